//! Files with faults: what a volume's session is asked for, and what its guest is told.
//!
//! The faults lie where the guest's own operations come in, before the draft and the tree: what reaches those is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use runner_host_fs::{
    Changes, Error, ErrorKind, FILE_BYTES_MAX, File, Flush, Follow, Kind, Mode, Open, Page, Result, Session, SetTimes,
    Stat, VPath, Vfs, VfsExt, View, Volume, async_trait,
};

use super::{Asked, Fault, Faults, Faulty, Operation, Part, What};

/// Paths that a session remembers as changed, for its commit; those after them meet no fault there.
const CHANGED_MAX: usize = 10_000;

#[deny(clippy::missing_trait_methods)]
impl<V: Volume + Clone> Volume for Faulty<V> {
    fn check(&self, view: &View) -> Result<()> {
        self.sound.check(view)
    }

    fn open(&self, view: &View) -> Result<Arc<dyn Session>> {
        let session = self.sound.open(view)?;
        let watch = Watch { faults: self.faults.clone(), prefix: view.prefix.clone(), changed: Mutex::default() };
        let tree = Tree { files: session.files(), watch: Arc::new(watch) };
        Ok(Arc::new(FaultySession { volume: self.sound.clone(), view: view.clone(), session, tree }))
    }
}

/// What meets the operations of one session.
struct Watch {
    faults: Faults,
    /// What is before a path of the session in the [`Folder`](crate::Folder)'s words.
    prefix: VPath,
    /// What the guest has changed, as the session calls it.
    changed: Mutex<BTreeSet<VPath>>,
}

impl Watch {
    /// A path as a test calls it.
    fn name(&self, path: &VPath) -> String {
        match (self.prefix.as_relative(), path.as_relative()) {
            ("", name) => name.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, name) => format!("{prefix}/{name}"),
        }
    }

    async fn meet(&self, asked: &[(Operation, &VPath)]) -> Result<Option<Fault>> {
        let named: Vec<_> = asked.iter().map(|(operation, path)| (*operation, self.name(path))).collect();
        let parts = named.iter().map(|(operation, name)| Part {
            operation: *operation,
            name: Some(name),
            conditional: *operation == Operation::Commit,
        });
        let wrong = self.faults.pass(&Asked { namespace: None, parts: parts.collect() }).await;
        let what = || match named.first() {
            Some((operation, name)) => format!("{operation:?} of `{name}`"),
            None => "nothing".to_owned(),
        };
        match wrong.as_ref().map(|fault| fault.what) {
            Some(What::Unavailable) => Err(away()),
            Some(What::Error(kind)) => {
                Err(Error::new(kind, format!("{} fails with {kind:?}, as the test wants it", what())))
            }
            _ => Ok(wrong),
        }
    }

    /// Does what is asked for, unless a fault comes in between.
    async fn pass<T>(&self, asked: &[(Operation, &VPath)], doing: impl Future<Output = Result<T>>) -> Result<T> {
        let wrong = self.meet(asked).await?;
        for (operation, path) in asked {
            if matches!(
                operation,
                Operation::Create | Operation::Write | Operation::Remove | Operation::Rename | Operation::SetTimes
            ) {
                let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
                if changed.len() < CHANGED_MAX {
                    changed.insert((*path).clone());
                }
            }
        }
        match wrong {
            Some(Fault { what: What::Lost, .. }) => doing.await.and_then(|_| Err(away())),
            _ => doing.await,
        }
    }
}

fn away() -> Error {
    Error::new(ErrorKind::Io, "the files are away, as the test wants it")
}

struct FaultySession<V> {
    volume: V,
    view: View,
    session: Arc<dyn Session>,
    tree: Tree,
}

impl<V: Volume> FaultySession<V> {
    /// Publishes, as another call would, what is at the paths that this one has changed, with the bytes that it has; the first
    /// path that is no file there is the conflict itself.
    async fn overtake(&self, paths: &[VPath]) -> Result<()> {
        let View { prefix, .. } = self.view.clone();
        let other = self.volume.open(&View { prefix, ..View::all() })?;
        let files = other.files();
        let written = async {
            for path in paths {
                match files.stat(path, Follow::No).await {
                    Ok(stat) if stat.kind == Kind::File => {
                        files.write(path, files.read(path, FILE_BYTES_MAX).await?).await?;
                    }
                    Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotDirectory) => {
                        return Err(error);
                    }
                    _ => {
                        let message = format!("`{path}` was changed by another call meanwhile, as the test wants it");
                        return Err(Error::new(ErrorKind::Conflict, message));
                    }
                }
            }
            Ok(())
        };
        match written.await {
            Ok(()) => other.commit().await,
            Err(error) => other.discard().await.and(Err(error)),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<V: Volume> Session for FaultySession<V> {
    fn files(&self) -> Arc<dyn Vfs> {
        Arc::new(self.tree.clone())
    }

    async fn commit(&self) -> Result<()> {
        // Of the other modes nothing waits for it.
        if self.view.mode != Mode::OnSuccess {
            return self.session.commit().await;
        }
        let watch = &self.tree.watch;
        let changed: Vec<_> = watch.changed.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        let asked: Vec<_> = changed.iter().map(|path| (Operation::Commit, path)).collect();
        let wrong = match watch.meet(&asked).await {
            Ok(Some(Fault { what: What::Conflict, path, .. })) => {
                let is_meant = |changed: &&VPath| path.as_ref().is_none_or(|path| *path == watch.name(changed));
                let meant: Vec<_> = changed.iter().filter(is_meant).cloned().collect();
                self.overtake(&meant).await.map(|()| None)
            }
            other => other,
        };
        match wrong {
            Ok(Some(Fault { what: What::Lost, .. })) => self.session.commit().await.and_then(|()| Err(away())),
            Ok(_) => self.session.commit().await,
            // One of both is called.
            Err(error) => self.session.discard().await.and(Err(error)),
        }
    }

    async fn discard(&self) -> Result<()> {
        self.session.discard().await
    }

    fn changes(&self) -> Changes {
        self.session.changes()
    }

    fn usage(&self) -> BTreeMap<&'static str, u64> {
        self.session.usage()
    }
}

/// The files of a session.
#[derive(Clone)]
struct Tree {
    files: Arc<dyn Vfs>,
    watch: Arc<Watch>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Vfs for Tree {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        let mut asked = vec![(Operation::Open, path)];
        asked.extend(how.create.then_some((Operation::Create, path)));
        asked.extend(how.truncate.then_some((Operation::Write, path)));
        let file = self.watch.pass(&asked, self.files.open(path, how)).await?;
        Ok(Arc::new(FaultyFile { file, path: path.clone(), watch: self.watch.clone() }))
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        self.watch.pass(&[(Operation::Stat, path)], self.files.stat(path, follow)).await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.watch.pass(&[(Operation::List, path)], self.files.list(path, after, limit)).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        self.watch.pass(&[(Operation::Create, path)], self.files.create_dir(path)).await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        self.watch.pass(&[(Operation::Remove, path)], self.files.remove_file(path)).await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        self.watch.pass(&[(Operation::Remove, path)], self.files.remove_dir(path)).await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let asked = [(Operation::Rename, from), (Operation::Rename, to)];
        self.watch.pass(&asked, self.files.rename(from, to)).await
    }

    async fn link(&self, from: &VPath, follow: Follow, to: &VPath) -> Result<()> {
        self.watch.pass(&[(Operation::Create, to)], self.files.link(from, follow, to)).await
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        self.watch.pass(&[(Operation::Create, path)], self.files.symlink(target, path)).await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.watch.pass(&[(Operation::Stat, path)], self.files.readlink(path)).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        self.watch.pass(&[(Operation::SetTimes, path)], self.files.set_times(path, follow, times)).await
    }
}

/// An open file, by the path that it was opened by.
struct FaultyFile {
    file: Arc<dyn File>,
    path: VPath,
    watch: Arc<Watch>,
}

impl FaultyFile {
    async fn pass<T>(&self, operation: Operation, doing: impl Future<Output = Result<T>>) -> Result<T> {
        self.watch.pass(&[(operation, &self.path)], doing).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl File for FaultyFile {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        self.pass(Operation::Read, self.file.read_at(offset, bytes_max)).await
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        self.pass(Operation::Write, self.file.write_at(offset, bytes)).await
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        self.pass(Operation::Write, self.file.append(bytes)).await
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.pass(Operation::Write, self.file.set_len(bytes)).await
    }

    async fn sync(&self, what: Flush) -> Result<()> {
        self.pass(Operation::Sync, self.file.sync(what)).await
    }

    async fn stat(&self) -> Result<Stat> {
        self.pass(Operation::Stat, self.file.stat()).await
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        self.pass(Operation::SetTimes, self.file.set_times(times)).await
    }

    async fn close(&self) -> Result<()> {
        self.pass(Operation::Close, self.file.close()).await
    }
}
