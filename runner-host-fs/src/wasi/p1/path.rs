//! What is done by a path, from a directory that is open. A path is read here, and leads nowhere out of that directory.
//!
//! What ends in `/` has to be a directory, and a link that it names is followed, as on Linux.

use super::table::{Node, OpenDirectory, OpenFile, may};
use super::types::{FILESTAT_BYTES, SYMLINK_FOLLOW, fdflags, filestat, known, oflags, rights, times};
use super::{Answer, Guest, Refused};
use crate::ext::{canonical, canonical_there, locate};
use crate::path::VPath;
use crate::vfs::{Follow, Kind, Open, Stat, Vfs};
use crate::wasi::errno::Errno;

/// What a path means.
struct Place {
    path: VPath,
    /// It has to be a directory.
    directory: bool,
    /// It ends in `.` or `..`: there is no name that could be taken away or given.
    nameless: bool,
}

impl Place {
    /// What there is, followed to its end.
    async fn stat(&self, tree: &dyn Vfs, follow: Follow) -> Result<Stat, Refused> {
        let follow = if self.directory { Follow::Yes } else { follow };
        let stat = tree.stat(&self.path, follow).await?;
        match self.directory && stat.kind != Kind::Directory {
            true => Err(Errno::NOTDIR.into()),
            false => Ok(stat),
        }
    }

    /// For what is made, and is no directory: a `/` behind its name is as wrong as what there is says.
    async fn names_no_directory(&self, tree: &dyn Vfs) -> Answer {
        if !self.directory {
            return Ok(());
        }
        match tree.stat(&self.path, Follow::No).await {
            Ok(stat) if stat.kind == Kind::Directory => Err(Errno::EXIST.into()),
            Ok(_) => Err(Errno::NOTDIR.into()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Guest<'_> {
    /// Reads a path from a directory that gives a right.
    async fn place(&mut self, fd: u32, right: u64, path: u32, bytes: u32) -> Result<Place, Refused> {
        let from = self.table().directory(fd, right)?.path.clone();
        let text = self.memory.path(path, bytes)?;
        let located = locate(&*self.files.tree, &from, text).await?;
        let last = text.trim_end_matches('/').rsplit('/').next();
        let nameless = matches!(last, Some("." | ".."));
        Ok(Place { path: located.path, directory: located.directory, nameless })
    }

    pub(super) async fn path_create_directory(&mut self, fd: u32, path: u32, bytes: u32) -> Answer {
        let place = self.place(fd, rights::PATH_CREATE_DIRECTORY, path, bytes).await?;
        Ok(self.files.tree.create_dir(&place.path).await?)
    }

    pub(super) async fn path_filestat_get(&mut self, fd: u32, lookup: u32, path: u32, bytes: u32, out: u32) -> Answer {
        self.memory.check(out, FILESTAT_BYTES)?;
        let follow = follow(lookup)?;
        let place = self.place(fd, rights::PATH_FILESTAT_GET, path, bytes).await?;
        let stat = place.stat(&*self.files.tree, follow).await?;
        Ok(self.memory.put(out, filestat(Some(&stat)))?)
    }

    #[expect(clippy::too_many_arguments, reason = "preview 1 has so many")]
    pub(super) async fn path_filestat_set_times(
        &mut self,
        fd: u32,
        lookup: u32,
        path: u32,
        bytes: u32,
        accessed_ns: u64,
        modified_ns: u64,
        flags: u32,
    ) -> Answer {
        let (follow, times) = (follow(lookup)?, times(accessed_ns, modified_ns, flags)?);
        let place = self.place(fd, rights::PATH_FILESTAT_SET_TIMES, path, bytes).await?;
        if place.directory {
            place.stat(&*self.files.tree, Follow::Yes).await?;
        }
        let follow = if place.directory { Follow::Yes } else { follow };
        Ok(self.files.tree.set_times(&place.path, follow, times).await?)
    }

    #[expect(clippy::too_many_arguments, reason = "preview 1 has so many")]
    pub(super) async fn path_link(
        &mut self,
        fd: u32,
        lookup: u32,
        path: u32,
        bytes: u32,
        new_fd: u32,
        new_path: u32,
        new_bytes: u32,
    ) -> Answer {
        let follow = follow(lookup)?;
        let from = self.place(fd, rights::PATH_LINK_SOURCE, path, bytes).await?;
        let to = self.place(new_fd, rights::PATH_LINK_TARGET, new_path, new_bytes).await?;
        let tree = &*self.files.tree;
        if from.directory {
            from.stat(tree, Follow::Yes).await?;
            return Err(Errno::PERM.into());
        }
        to.names_no_directory(tree).await?;
        Ok(tree.link(&from.path, follow, &to.path).await?)
    }

    /// Of the rights that are wanted, reading and writing are looked at: see `table.rs`.
    #[expect(clippy::too_many_arguments, reason = "preview 1 has so many")]
    pub(super) async fn path_open(
        &mut self,
        fd: u32,
        lookup: u32,
        path: u32,
        bytes: u32,
        how: u32,
        wanted: u64,
        _inheriting: u64,
        flags: u32,
        out: u32,
    ) -> Answer {
        let (follow, how, flags) = (follow(lookup)?, known(how, oflags::ALL)?, known(flags, fdflags::ALL)?);
        self.memory.check(out, 4)?;
        let most = self.files.table.max_capacity();
        self.table().room(most)?;
        let descriptor = self.table().get(fd)?;
        let (given, inherited) = match &descriptor.node {
            Node::Directory(_) => (descriptor.base, descriptor.inheriting),
            Node::File(_) => return Err(Errno::NOTDIR.into()),
            _ => return Err(Errno::BADF.into()),
        };
        let [create, directory, exclusive, truncate] =
            [oflags::CREATE, oflags::DIRECTORY, oflags::EXCLUSIVE, oflags::TRUNCATE].map(|flag| how & flag != 0);
        if directory && (create || exclusive || truncate) {
            return Err(Errno::INVAL.into());
        }
        if create {
            may(given, rights::PATH_CREATE_FILE)?;
        }
        if truncate && may(given, rights::PATH_FILESTAT_SET_SIZE).is_err() {
            return Err(Errno::PERM.into());
        }
        let place = self.place(fd, rights::PATH_OPEN, path, bytes).await?;
        if place.directory && (create || truncate) {
            return Err(Errno::ISDIR.into());
        }
        let [read, write] = [rights::FD_READ, rights::FD_WRITE].map(|right| wanted & inherited & right != 0);
        let how = Open {
            read,
            write: write || truncate,
            create,
            exclusive: create && exclusive,
            truncate,
            directory: directory || place.directory,
            follow: if place.directory { Follow::Yes } else { follow },
        };
        let tree = self.files.tree.clone();
        let file = tree.open(&place.path, how).await?;
        let kind = match how {
            Open { directory: true, .. } => Kind::Directory,
            // No directory is opened so.
            Open { write: true, .. } | Open { create: true, .. } => Kind::File,
            _ => file.stat().await?.kind,
        };
        let (node, base, inheriting) = if kind == Kind::Directory {
            let path = canonical_there(&*tree, &place.path).await?;
            let directory = OpenDirectory { path, file: Some(file), preopen: None, listing: None };
            (Node::Directory(directory), inherited & rights::DIRECTORY, inherited)
        } else {
            let mut base = inherited & rights::FILE;
            for (right, opened) in [(rights::FD_READ, read), (rights::FD_WRITE, write)] {
                base &= if opened { !0 } else { !right };
            }
            (Node::File(OpenFile { file, position: 0, flags }), base, base)
        };
        let fd = self.table().open(node, base, inheriting);
        Ok(self.memory.put_u32(out, fd)?)
    }

    pub(super) async fn path_readlink(
        &mut self,
        fd: u32,
        path: u32,
        bytes: u32,
        buffer: u32,
        buffer_bytes: u32,
        out: u32,
    ) -> Answer {
        self.memory.check(out, 4)?;
        let place = self.place(fd, rights::PATH_READLINK, path, bytes).await?;
        if place.directory {
            place.stat(&*self.files.tree, Follow::Yes).await?;
            return Err(Errno::INVAL.into());
        }
        let target = self.files.tree.readlink(&place.path).await?;
        self.files.charge(target.len() as u64, 0)?;
        let used = u32::try_from(target.len()).map_or(buffer_bytes, |length| length.min(buffer_bytes));
        self.memory.write(buffer, used)?.copy_from_slice(&target.as_bytes()[..used as usize]);
        Ok(self.memory.put(out, used.to_le_bytes())?)
    }

    pub(super) async fn path_remove_directory(&mut self, fd: u32, path: u32, bytes: u32) -> Answer {
        let place = self.place(fd, rights::PATH_REMOVE_DIRECTORY, path, bytes).await?;
        match place.nameless {
            true => Err(Errno::INVAL.into()),
            false => Ok(self.files.tree.remove_dir(&place.path).await?),
        }
    }

    pub(super) async fn path_rename(
        &mut self,
        fd: u32,
        path: u32,
        bytes: u32,
        new_fd: u32,
        new_path: u32,
        new_bytes: u32,
    ) -> Answer {
        let from = self.place(fd, rights::PATH_RENAME_SOURCE, path, bytes).await?;
        let to = self.place(new_fd, rights::PATH_RENAME_TARGET, new_path, new_bytes).await?;
        if from.nameless || to.nameless {
            return Err(Errno::BUSY.into());
        }
        let tree = self.files.tree.clone();
        if (from.directory || to.directory) && tree.stat(&from.path, Follow::No).await?.kind != Kind::Directory {
            return Err(Errno::NOTDIR.into());
        }
        let moves = match self.table().has_directories() {
            true => {
                let (from, to) =
                    (canonical(&*tree, &from.path, Follow::No).await?, canonical(&*tree, &to.path, Follow::No).await?);
                Some((from.path, to.path))
            }
            false => None,
        };
        tree.rename(&from.path, &to.path).await?;
        if let Some((from, to)) = moves {
            self.table().moved(&from, &to);
        }
        Ok(())
    }

    pub(super) async fn path_symlink(
        &mut self,
        target: u32,
        target_bytes: u32,
        fd: u32,
        path: u32,
        bytes: u32,
    ) -> Answer {
        let place = self.place(fd, rights::PATH_SYMLINK, path, bytes).await?;
        let target = self.memory.path(target, target_bytes)?;
        let tree = &*self.files.tree;
        place.names_no_directory(tree).await?;
        Ok(tree.symlink(target, &place.path).await?)
    }

    pub(super) async fn path_unlink_file(&mut self, fd: u32, path: u32, bytes: u32) -> Answer {
        let place = self.place(fd, rights::PATH_UNLINK_FILE, path, bytes).await?;
        let tree = &*self.files.tree;
        if place.directory {
            return match tree.stat(&place.path, Follow::No).await?.kind {
                Kind::Directory => Err(Errno::ISDIR.into()),
                _ => Err(Errno::NOTDIR.into()),
            };
        }
        Ok(tree.remove_file(&place.path).await?)
    }
}

fn follow(lookup: u32) -> Result<Follow, Errno> {
    Ok(match known(lookup, SYMLINK_FOLLOW)? {
        0 => Follow::No,
        _ => Follow::Yes,
    })
}
