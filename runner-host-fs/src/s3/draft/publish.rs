//! How a draft is published: what is small is put into the commit's record, what is large is uploaded before, and then it is one
//! commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::super::bucket::About;
use super::super::cache::Version;
use super::super::keys::{self, LINK};
use super::super::reader::{Ahead, changed};
use super::super::record::{Act, Op};
use super::super::tally::Count;
use super::super::trouble::Trouble;
use super::Draft;
use super::plan::{Plan, Put, Source, Which, Written};
use super::upload::{Upload, stamp};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::volume::Changes;

/// Bytes that a content may have which rides in the record: two of them are not slower than an upload's three requests.
const SMALL_BYTES: u64 = 256 << 10;

/// Bytes of all contents in one record. It is in memory while it is written, and read whole by who finishes it.
const RECORD_BYTES: u64 = 16 << 20;

/// Objects that one commit may change: 20 MiB of a record.
const CHANGES_MAX: usize = 100_000;

/// Contents that are made ready at the same time.
const READYING_MAX: usize = 8;

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Changed,
    Removed,
}

/// A content that is ready to be published.
struct Ready {
    content: Content,
    /// How many bytes the object has, and how many changes its body had.
    bytes: u64,
    changes: u64,
}

enum Content {
    Small(Bytes, About),
    Large(Upload, Vec<(i32, String)>),
}

impl Draft {
    /// Publishes what the call has written.
    pub(crate) async fn publish(&self, which: Which) -> Result<()> {
        let _one = self.publishing.lock().await;
        if let Some((kind, why)) = self.failed.get() {
            let message = format!("nothing more of the call is published, since an earlier commit of it failed: {why}");
            return Err(Error::new(*kind, message));
        }
        let plan = self.settled(|tree| tree.plan(which)).await?;
        let found = plan.puts.len() + plan.deletes.len();
        if found == 0 {
            return Ok(());
        }
        if found > CHANGES_MAX {
            let message = format!("the call has changed {found} objects, {CHANGES_MAX} may be");
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        let orphans = self.tree().orphans();
        for body in orphans {
            body.keep().await?;
        }
        let mut ready = self.ready(&plan.puts).await?;
        let (ops, contents) = ops(&plan, &ready);
        let etags = self.commits.run(ops, &contents, |is_there| hand_over(&mut ready, is_there)).await;
        self.pages.forget();
        let etags = etags.inspect_err(|error| {
            // What is in the bucket is not what the call has seen, or nobody knows.
            self.failed.get_or_init(|| (error.kind(), error.to_string()));
        })?;
        let mut written = Vec::with_capacity(ready.len());
        for ((put, ready), etag) in plan.puts.iter().zip(&ready).zip(etags) {
            let etag = etag.unwrap_or_default().into();
            let version = Version { key: put.key.clone(), etag, size: ready.bytes };
            self.bucket.tally().add(Count::CommittedBytes, ready.bytes);
            self.bucket.tally().add(Count::CommittedFiles, u64::from(!matches!(put.source, Source::Marker)));
            if let Content::Small(bytes, _) = &ready.content {
                self.parts.reader.keep(&version, bytes);
            }
            written.push(Written { id: put.id, version, changes: ready.changes });
        }
        let bodies = {
            let mut tree = self.tree();
            tree.apply(&plan, &written)?;
            tree.bodies(&written)
        };
        self.pages.forget();
        for Written { id, version, changes } in written {
            if let Some(body) = bodies.get(&id) {
                body.published(version, changes).await;
            }
        }
        self.note(&plan);
        if let Some(published) = self.published.get() {
            published(self.tree().unpublished());
        }
        Ok(())
    }

    /// Makes all contents ready: what is small is read, what is large is uploaded.
    async fn ready(&self, puts: &[Put]) -> Result<Vec<Ready>> {
        let mut room = RECORD_BYTES;
        let mut readying = Vec::new();
        for put in puts {
            let bytes = put.source.bytes();
            let small = bytes <= SMALL_BYTES && bytes <= room;
            if small {
                room -= bytes;
            }
            readying.push(self.ready_one(put, small));
        }
        stream::iter(readying).buffered(READYING_MAX).try_collect().await
    }

    async fn ready_one(&self, put: &Put, small: bool) -> Result<Ready> {
        let small_of = |bytes: Bytes, about, changes| Ready {
            bytes: bytes.len() as u64,
            content: Content::Small(bytes, about),
            changes,
        };
        match &put.source {
            Source::Marker => Ok(small_of(Bytes::new(), About::default(), 0)),
            Source::Link { target, modified_ns } => {
                let about = About { metadata: keys::metadata(*modified_ns, Some(target)), content_type: None };
                Ok(small_of(Bytes::from_static(LINK), about, 0))
            }
            Source::Written { body, modified_ns } => {
                let about = About { metadata: keys::metadata(*modified_ns, None), content_type: None };
                let mut content = body.held().await;
                let (bytes, changes) = (content.size(), content.changes());
                // It may have grown since.
                if small && bytes <= SMALL_BYTES {
                    let bytes = content.bytes(&self.parts, &Ahead::default(), 0..bytes).await?;
                    return Ok(small_of(bytes.freeze(), about, changes));
                }
                if bytes == 0 {
                    return Ok(small_of(Bytes::new(), about, changes));
                }
                let (upload, parts) = self.parts.uploads.send(&self.parts, &mut content, &put.key, about).await?;
                Ok(Ready { content: Content::Large(upload, parts), bytes, changes })
            }
            Source::Kept { version, modified_ns } => self.ready_kept(put, version, *modified_ns, small).await,
        }
    }

    /// An object that gets another key or other metadata: with what others have written beside its bytes.
    async fn ready_kept(&self, put: &Put, version: &Version, modified_ns: Option<u64>, small: bool) -> Result<Ready> {
        let told = |trouble| changed(trouble, version);
        let about = |head: super::super::bucket::Head| {
            let mut metadata = head.metadata;
            if let Some(modified_ns) = modified_ns {
                metadata.extend(keys::metadata(modified_ns, None));
            }
            let named = |error: Error| Error::new(error.kind(), format!("object `{}`: {error}", version.key));
            keys::check_metadata(&metadata).map_err(named)?;
            Ok::<_, Error>(About { metadata, content_type: head.content_type })
        };
        let same = |etag: &str| if *etag == *version.etag { Ok(()) } else { Err(told(Trouble::Refused)) };
        if small || version.size == 0 {
            let found = self.bucket.get_whole(&version.key).await.map_err(told)?;
            let (head, bytes) = found.ok_or_else(|| told(Trouble::Missing))?;
            same(&head.etag)?;
            return Ok(Ready { bytes: version.size, content: Content::Small(bytes, about(head)?), changes: 0 });
        }
        let head = self.bucket.head(&version.key).await.map_err(told)?.ok_or_else(|| told(Trouble::Missing))?;
        same(&head.etag)?;
        let body = super::Body::of(&self.parts, version.clone());
        let mut content = body.held().await;
        let (upload, parts) = self.parts.uploads.send(&self.parts, &mut content, &put.key, about(head)?).await?;
        Ok(Ready { content: Content::Large(upload, parts), bytes: version.size, changes: 0 })
    }

    /// Remembers what is different now. Markers are nothing by themselves: the directories are told by the tree, and one that
    /// was moved stands for all that was moved with it.
    fn note(&self, plan: &Plan) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unnamed = self.unnamed.lock().unwrap_or_else(PoisonError::into_inner);
        let made: BTreeSet<&str> = plan.moved.iter().map(|moved| &*moved.prefix).collect();
        let came = plan.moved.iter().filter_map(|moved| Some((&*moved.prefix, moved.from.as_deref()?)));
        let came: BTreeMap<&str, &str> = came.collect();
        let with_another = |from: &str, to: &str| {
            let ((above, name), (above_from, name_from)) = (split(to), split(from));
            name == name_from && came.get(above) == Some(&above_from)
        };
        let directories = came.iter().map(|(to, from)| (*from, *to));
        let files = plan.puts.iter().filter_map(|put| match &put.source {
            Source::Kept { version, .. } => Some((&*version.key, &*put.key)),
            Source::Written { .. } | Source::Link { .. } | Source::Marker => None,
        });
        let silent = directories.chain(files).filter(|(from, to)| from == to || with_another(from, to));
        let silent: BTreeSet<&str> = silent.flat_map(|(from, to)| [from, to]).collect();

        let gone = plan.gone.iter().map(|prefix| &**prefix).filter(|prefix| !made.contains(prefix));
        let deletes = plan.deletes.iter().map(|(key, _)| &**key).filter(|key| !key.ends_with('/'));
        let removed = gone.chain(deletes).map(|key| (key, Change::Removed));
        let written = plan.puts.iter().filter(|put| !matches!(put.source, Source::Marker));
        let written =
            written.map(|put| (&*put.key, if put.expected.is_some() { Change::Changed } else { Change::Added }));
        let made = made.iter().filter(|prefix| !plan.gone.contains(**prefix)).map(|prefix| (*prefix, Change::Added));
        // What has the name of something that is gone comes after it.
        for (key, change) in removed.chain(made).chain(written).filter(|(key, _)| !silent.contains(key)) {
            if let Some(path) = self.commits.keys.path(key) {
                note(&mut changes, &mut unnamed, path, change);
            }
        }
    }
}

/// The directory that a key lies in, and its name there, a directory's with `/`.
fn split(key: &str) -> (&str, &str) {
    let end = key.strip_suffix('/').unwrap_or(key).rfind('/').map_or(0, |at| at + 1);
    key.split_at(end)
}

fn note(changes: &mut BTreeMap<VPath, Change>, unnamed: &mut u64, path: VPath, change: Change) {
    let merged = match (changes.remove(&path), change) {
        (Some(Change::Added), Change::Removed) => return,
        (Some(Change::Added), _) => Change::Added,
        (Some(Change::Removed), Change::Added) => Change::Changed,
        (_, change) => change,
    };
    match changes.len() < Changes::NAMES_MAX {
        true => drop(changes.insert(path, merged)),
        false => *unnamed += 1,
    }
}

/// Whether a commit's record may name the uploads: then they are whoever's who finishes it.
fn hand_over(ready: &mut [Ready], is_there: bool) {
    for ready in ready {
        if let Content::Large(upload, _) = &mut ready.content {
            upload.hand_over(is_there);
        }
    }
}

/// What the commit is to do, with the contents of what is small.
fn ops(plan: &Plan, ready: &[Ready]) -> (Vec<Op>, Vec<Bytes>) {
    let (mut ops, mut contents) = (Vec::new(), Vec::new());
    for (put, ready) in plan.puts.iter().zip(ready) {
        let act = match &ready.content {
            Content::Small(bytes, about) => {
                contents.push(bytes.clone());
                let About { metadata, content_type } = about.clone();
                Act::Put { bytes: bytes.len() as u64, stamp: stamp(), metadata, content_type }
            }
            Content::Large(upload, parts) => {
                let (id, stamp) = (upload.id.clone(), upload.stamp.clone());
                Act::Complete { bytes: ready.bytes, stamp, upload: id, parts: parts.clone() }
            }
        };
        let expected = put.expected.as_deref().map(str::to_owned);
        ops.push(Op { key: put.key.to_string(), expected, act });
    }
    for (key, etag) in &plan.deletes {
        ops.push(Op { key: key.clone(), expected: Some(etag.to_string()), act: Act::Delete });
    }
    ops.extend(plan.free.iter().map(|key| Op { key: key.clone(), expected: None, act: Act::Free }));
    (ops, contents)
}

impl Source {
    fn bytes(&self) -> u64 {
        match self {
            Source::Written { body, .. } => body.size(),
            Source::Kept { version, .. } => version.size,
            Source::Link { .. } => LINK.len() as u64,
            Source::Marker => 0,
        }
    }
}
