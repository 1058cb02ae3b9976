//! The tree of files that a call sees of a bucket, over its draft.

use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::draft::{Body, Draft, Opened, Which};
use super::keys;
use super::reader::Ahead;
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::{File, Flush, Follow, Open, Page, SetTimes, Stat, Vfs, check_target};

/// A call's files.
pub(crate) struct S3Files {
    pub(crate) draft: Arc<Draft>,
    /// Whether each change of a name, and each file that is synced or closed, is published at once.
    pub(crate) at_once: bool,
}

impl S3Files {
    /// A name was changed.
    async fn changed(&self) -> Result<()> {
        match self.at_once {
            true => self.draft.publish(Which::But(None)).await,
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Vfs for S3Files {
    async fn open(&self, path: &VPath, how: Open) -> Result<Arc<dyn File>> {
        how.check()?;
        let now = self.draft.now_ns();
        let opened = self.draft.settled(|tree| tree.open(path, how, now)).await?;
        let Opened { id, body, truncate, made, ahead } = opened;
        // From here on it is closed again, whatever happens.
        let file = S3File { draft: self.draft.clone(), at_once: self.at_once, id, body, how, ahead: Ahead::default() };
        for version in ahead {
            self.draft.parts.reader.fetch_ahead(&version, 0..1);
        }
        if truncate {
            file.set_len(0).await?;
        }
        if made {
            self.changed().await?;
        }
        Ok(Arc::new(file))
    }

    async fn stat(&self, path: &VPath, follow: Follow) -> Result<Stat> {
        let stat = self.draft.settled(|tree| {
            let (end, place) = tree.there(path, follow)?;
            Ok(tree.stat(&end, place)?)
        });
        stat.await
    }

    async fn list(&self, path: &VPath, after: Option<&str>, limit: NonZeroU32) -> Result<Page> {
        self.draft.list(path, after, limit).await
    }

    async fn create_dir(&self, path: &VPath) -> Result<()> {
        let now = self.draft.now_ns();
        self.draft.settled(|tree| tree.create_dir(path, now)).await?;
        self.changed().await
    }

    async fn remove_file(&self, path: &VPath) -> Result<()> {
        let now = self.draft.now_ns();
        self.draft.settled(|tree| tree.remove_file(path, now)).await?;
        self.changed().await
    }

    async fn remove_dir(&self, path: &VPath) -> Result<()> {
        let now = self.draft.now_ns();
        self.draft.settled(|tree| tree.remove_dir(path, now)).await?;
        self.changed().await
    }

    async fn rename(&self, from: &VPath, to: &VPath) -> Result<()> {
        let now = self.draft.now_ns();
        match self.draft.settled(|tree| tree.rename(from, to, now)).await? {
            true => self.changed().await,
            false => Ok(()),
        }
    }

    async fn link(&self, _from: &VPath, _follow: Follow, to: &VPath) -> Result<()> {
        let message = format!("`{to}` would be a second name of a file, which is one object of a bucket");
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    async fn symlink(&self, target: &str, path: &VPath) -> Result<()> {
        check_target(target)?;
        let now = self.draft.now_ns();
        keys::check_metadata(&keys::metadata(now, Some(target)))?;
        self.draft.settled(|tree| tree.symlink(target, path, now)).await?;
        self.changed().await
    }

    async fn readlink(&self, path: &VPath) -> Result<String> {
        self.draft.settled(|tree| tree.readlink(path)).await
    }

    async fn set_times(&self, path: &VPath, follow: Follow, times: SetTimes) -> Result<()> {
        let now = self.draft.now_ns();
        self.draft.settled(|tree| tree.set_times_at(path, follow, times, now)).await?;
        self.changed().await
    }
}

/// A file or a directory that is open.
struct S3File {
    draft: Arc<Draft>,
    at_once: bool,
    id: u64,
    /// `None` of a directory.
    body: Option<Arc<Body>>,
    how: Open,
    ahead: Ahead,
}

impl S3File {
    /// What may be written into.
    fn writable(&self) -> Result<&Arc<Body>> {
        match (&self.body, self.how.write) {
            (Some(body), true) => Ok(body),
            _ => Err(Error::not_opened_for("writing")),
        }
    }

    fn touch(&self) {
        let now = self.draft.now_ns();
        self.draft.tree().touch(self.id, now);
    }

    async fn publish(&self) -> Result<()> {
        match self.at_once && self.how.write {
            true => self.draft.publish(Which::But(Some(self.id))).await,
            false => Ok(()),
        }
    }
}

#[async_trait]
impl File for S3File {
    async fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes> {
        match &self.body {
            None => Err(Error::file_is_directory()),
            Some(_) if !self.how.read => Err(Error::not_opened_for("reading")),
            Some(body) => body.read(&self.ahead, offset, bytes_max).await,
        }
    }

    async fn write_at(&self, offset: u64, bytes: Bytes) -> Result<()> {
        let body = self.writable()?;
        if !bytes.is_empty() {
            body.write(Some(offset), &bytes).await?;
            self.touch();
        }
        Ok(())
    }

    async fn append(&self, bytes: Bytes) -> Result<u64> {
        let end = self.writable()?.write(None, &bytes).await?;
        if !bytes.is_empty() {
            self.touch();
        }
        Ok(end)
    }

    async fn set_len(&self, bytes: u64) -> Result<()> {
        self.writable()?.set_len(bytes).await?;
        self.touch();
        Ok(())
    }

    async fn sync(&self, _what: Flush) -> Result<()> {
        self.publish().await
    }

    async fn stat(&self) -> Result<Stat> {
        self.draft.tree().stat_node(self.id)
    }

    async fn set_times(&self, times: SetTimes) -> Result<()> {
        let now = self.draft.now_ns();
        self.draft.tree().set_times(self.id, times, now)
    }

    async fn close(&self) -> Result<()> {
        self.publish().await
    }
}

impl Drop for S3File {
    fn drop(&mut self) {
        self.draft.tree().close(self.id, self.how.write);
    }
}
