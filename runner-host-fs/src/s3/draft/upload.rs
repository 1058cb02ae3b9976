//! Large contents on their way into the bucket, in parts that nobody sees before the upload is completed. Who drops an upload
//! gives it up: the volume's janitor aborts it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use super::super::bucket::{About, Bucket, random};
use super::super::cache::Room;
use super::super::keys::STAMP;
use super::super::reader::{Ahead, changed};
use super::super::trouble::Trouble;
use super::body::{Content, Parts};
use crate::error::Result;

/// Bytes of each part but the last: above the 5 MiB that S3 wants, and few enough to hold some of them in memory.
pub(crate) const PART_BYTES: u64 = 8 << 20;

/// Parts that an upload may have, which is S3's own most: files of 78 GiB.
pub(crate) const PARTS_MAX: u32 = 10_000;

/// Bytes of a part that is copied within the bucket, where S3 takes 5 GiB: no bytes of it pass here.
const COPIED_BYTES: u64 = 1 << 30;

/// Parts of one file that are on their way at the same time: 16 MiB of the cache's memory.
const SENDING_MAX: usize = 2;

/// Copies of one file that are under way at the same time.
const COPYING_MAX: usize = 8;

/// What uploads of a call need.
#[derive(Clone)]
pub(crate) struct Uploads {
    pub(crate) bucket: Bucket,
    pub(crate) janitor: Janitor,
}

/// Does what is left when somebody who cannot wait is gone.
#[derive(Clone)]
pub(crate) struct Janitor {
    bucket: Bucket,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
}

impl Janitor {
    /// For a volume, within its runtime.
    pub(crate) fn new(bucket: Bucket) -> Self {
        Janitor { bucket, tasks: TaskTracker::new(), runtime: tokio::runtime::Handle::current() }
    }

    /// Aborts an upload. Where it fails, the bucket's own rule for incomplete uploads is what is left.
    fn abort(&self, key: Arc<str>, id: String) {
        let bucket = self.bucket.clone();
        self.tasks.spawn_on(async move { drop(bucket.abort(&key, &id).await) }, &self.runtime);
    }

    /// Waits until nothing is left to do.
    pub(crate) async fn idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}

/// An upload that was begun.
pub(crate) struct Upload {
    pub(crate) key: Arc<str>,
    pub(crate) id: String,
    pub(crate) stamp: String,
    janitor: Janitor,
    /// Whether somebody else answers for it.
    is_handed_over: bool,
}

impl Upload {
    /// Whether a commit's record names it: then it is completed or aborted by who finishes that.
    pub(crate) fn hand_over(&mut self, is_named: bool) {
        self.is_handed_over = is_named;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_handed_over {
            self.janitor.abort(self.key.clone(), std::mem::take(&mut self.id));
        }
    }
}

/// A stamp that no other write has.
pub(crate) fn stamp() -> String {
    format!("{:032x}", random())
}

impl Uploads {
    /// Begins an upload for a key.
    pub(crate) async fn begin(&self, key: &Arc<str>, mut about: About) -> Result<Upload, Trouble> {
        let stamp = stamp();
        about.metadata.insert(STAMP.to_owned(), stamp.clone());
        let id = self.bucket.create_upload(key, &about).await?;
        Ok(Upload { key: key.clone(), id, stamp, janitor: self.janitor.clone(), is_handed_over: false })
    }

    /// Brings a content into an upload for a key, as far as it is not on its way already.
    pub(crate) async fn send(
        &self,
        parts: &Parts,
        content: &mut Content,
        key: &Arc<str>,
        about: About,
    ) -> Result<(Upload, Vec<(i32, String)>)> {
        let (mut sent, mut upload) = (BTreeMap::new(), None);
        if let Some(mut stream) = content.take_stream()
            && *stream.key == **key
        {
            stream.settle().await;
            (sent, upload) = (std::mem::take(&mut stream.sent), stream.upload.take());
        }
        let upload = match upload {
            Some(upload) => upload,
            None => self.begin(key, about).await.map_err(|trouble| trouble.told("an upload", key))?,
        };
        let size = content.size();
        let whole = content.unchanged(&(0..size)).is_some();
        let (bytes, most) = if whole { (COPIED_BYTES, COPYING_MAX) } else { (PART_BYTES, SENDING_MAX) };
        let missing =
            (0..size.div_ceil(bytes)).map(|index| (number(index), index * bytes..size.min((index + 1) * bytes)));
        let missing: Vec<_> = missing.filter(|(number, _)| !sent.contains_key(number)).collect();
        let content = &*content;
        let one = |(number, range): (i32, Range<u64>)| {
            let upload = &upload;
            async move {
                let done = match content.unchanged(&range) {
                    Some(version) => {
                        let source = (&*version.key, &*version.etag);
                        let copied = self.bucket.copy_part(key, &upload.id, number, source, range).await;
                        copied.map_err(|trouble| changed(trouble, version))
                    }
                    None => {
                        let _room = parts.reader.room(range.end - range.start);
                        let bytes = content.bytes(parts, &Ahead::default(), range).await?.freeze();
                        let put = self.bucket.put_part(key, &upload.id, number, bytes).await;
                        put.map_err(|trouble| trouble.told("an upload", key))
                    }
                };
                done.map(|etag| (number, etag))
            }
        };
        let mut sending = stream::iter(missing.into_iter().map(one)).buffer_unordered(most);
        while let Some(done) = sending.next().await {
            let (number, etag) = done?;
            sent.insert(number, etag);
        }
        drop(sending);
        Ok((upload, sent.into_iter().collect()))
    }
}

/// The number of a part: there are at most [`PARTS_MAX`].
fn number(index: u64) -> i32 {
    i32::try_from(index + 1).unwrap_or(i32::MAX)
}

/// A file that is uploaded while it is written.
pub(crate) struct Stream {
    uploads: Uploads,
    key: Arc<str>,
    upload: Option<Upload>,
    /// Parts that are there, with their ETags.
    sent: BTreeMap<i32, String>,
    /// Parts that are on their way, and whether each still holds: one that was written over meanwhile does not.
    sending: BTreeMap<i32, bool>,
    tasks: JoinSet<(i32, Result<String, Trouble>)>,
    next: u64,
    failed: bool,
}

impl Stream {
    pub(crate) fn new(uploads: Uploads, key: Arc<str>) -> Self {
        let (sent, sending, tasks) = (BTreeMap::new(), BTreeMap::new(), JoinSet::new());
        Stream { uploads, key, upload: None, sent, sending, tasks, next: 0, failed: false }
    }

    /// The next part that is complete.
    pub(crate) fn next(&self, size: u64) -> Option<(i32, Range<u64>)> {
        let range = self.next * PART_BYTES..(self.next + 1) * PART_BYTES;
        (!self.failed && range.end <= size).then(|| (number(self.next), range))
    }

    /// Waits where as many are on their way as may be.
    pub(crate) async fn wait(&mut self) {
        while self.tasks.len() >= SENDING_MAX {
            self.one().await;
        }
    }

    /// Sends it, once nothing else is on its way to its place: whatever came last would count there.
    pub(crate) async fn send(&mut self, part: i32, bytes: Bytes, room: Room) {
        while self.sending.contains_key(&part) && !self.tasks.is_empty() {
            self.one().await;
        }
        if self.upload.is_none() {
            match self.uploads.begin(&self.key, About::default()).await {
                Ok(upload) => self.upload = Some(upload),
                Err(_) => self.failed = true,
            }
        }
        let Some(upload) = &self.upload else { return };
        let (bucket, key, id) = (self.uploads.bucket.clone(), self.key.clone(), upload.id.clone());
        self.sending.insert(part, true);
        self.tasks.spawn(async move {
            let put = bucket.put_part(&key, &id, part, bytes).await;
            drop(room);
            (part, put)
        });
        self.next += 1;
    }

    async fn one(&mut self) {
        match self.tasks.join_next().await {
            Some(Ok((part, sent))) => {
                let holds = self.sending.remove(&part).unwrap_or(false);
                match sent {
                    Ok(etag) => self.sent.extend(holds.then_some((part, etag))),
                    Err(_) => self.failed = true,
                }
            }
            Some(Err(_)) => self.failed = true,
            None => {}
        }
    }

    /// Waits for what is on its way.
    async fn settle(&mut self) {
        while !self.tasks.is_empty() {
            self.one().await;
        }
    }

    /// What was sent of a range holds no more.
    pub(crate) fn stale(&mut self, range: Range<u64>) {
        let (first, last) = (number(range.start / PART_BYTES), number(range.end.saturating_sub(1) / PART_BYTES));
        self.sent.retain(|part, _| !(first..=last).contains(part));
        self.sending.range_mut(first..=last).for_each(|(_, holds)| *holds = false);
    }

    /// The same of all behind a place.
    pub(crate) fn stale_from(&mut self, start: u64) {
        self.stale(start..u64::MAX / 2);
        self.next = self.next.min(start / PART_BYTES);
    }
}
