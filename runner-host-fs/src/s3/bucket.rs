//! The requests that are made of a bucket, and the only file that makes them: each is counted, bounded in time, tried again
//! where that may help, and its answer is looked at before it is believed.
//!
//! The SDK tries nothing again: a write with a condition that was done, and whose answer was lost, is refused the second
//! time, which only who knows the write's stamp can tell from a conflict.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, EncodingType};
use bytes::{Bytes, BytesMut};
use tokio::sync::Semaphore;

use super::keys::{self, Metadata};
use super::settings::S3Retry;
use super::tally::{Count, Tally};
use super::trouble::{Trouble, broken_off, judge, lasting, odd};
use crate::clock::Clock;

/// Requests that one volume has under way at most: as many as a connection pool may hold sockets.
const REQUESTS_MAX: usize = 64;

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Entries that a listing answers at once, which is S3's own most.
pub(crate) const LISTED_MAX: i32 = 1_000;

/// Bytes that an object may have which is read whole without knowing its size. A commit's record has no more: 16 MiB of contents,
/// and 100,000 changes with keys of 400 bytes, in memory while it is written or finished.
pub(crate) const WHOLE_BYTES_MAX: u64 = 64 << 20;

/// A bucket, for one call. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Bucket {
    shared: Arc<Shared>,
    tally: Arc<Tally>,
    /// How often a request is tried.
    attempts: u32,
}

struct Shared {
    client: Client,
    name: String,
    retry: S3Retry,
    clock: Arc<dyn Clock>,
    places: Semaphore,
}

/// The condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum If {
    /// Nothing has the key.
    Absent,
    /// What has the key has this ETag.
    Match(String),
    /// Whatever has it.
    Any,
}

/// One object of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) key: String,
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) modified_ns: u64,
}

/// One page of a listing, keys that are no text left out.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) objects: Vec<Listed>,
    pub(crate) prefixes: Vec<String>,
    /// How to ask for what comes then.
    pub(crate) next: Option<String>,
    /// The last key or prefix of the page; there may be some behind it that are no text.
    pub(crate) last: Option<String>,
}

/// What is known of one object.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) modified_ns: u64,
    pub(crate) metadata: Metadata,
    pub(crate) content_type: Option<String>,
}

/// Where a listing begins.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    First,
    /// Behind a key.
    Behind(String),
    /// Where a page said that the next one is.
    Page(String),
}

impl Bucket {
    pub(crate) fn new(client: Client, name: String, retry: S3Retry, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared { client, name, retry, clock, places: Semaphore::new(REQUESTS_MAX) };
        let tally = Arc::new(Tally::new(retry.per_call));
        Bucket { shared: Arc::new(shared), tally, attempts: retry.attempts }
    }

    /// The same bucket for another call.
    pub(crate) fn anew(&self) -> Self {
        let retry = self.shared.retry;
        let tally = Arc::new(Tally::new(retry.per_call));
        Bucket { shared: self.shared.clone(), tally, attempts: retry.attempts }
    }

    /// The same for the same call, which tries nothing again: for what is asked ahead, and asked again by who wants it.
    pub(crate) fn once(&self) -> Self {
        Bucket { attempts: 1, ..self.clone() }
    }

    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// One page of what begins with a prefix; with `delimited`, only as far as the next `/`.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        delimited: bool,
        start: Start,
        most: i32,
    ) -> Result<Listing, Trouble> {
        let listed = self.tried(Count::List, || {
            let request = self.shared.client.list_objects_v2().bucket(self.name()).prefix(prefix).max_keys(most);
            let request = request.encoding_type(EncodingType::Url);
            let request = if delimited { request.delimiter("/") } else { request };
            let request = match &start {
                Start::First => request,
                Start::Behind(key) => request.start_after(key),
                Start::Page(token) => request.continuation_token(token),
            };
            async move { request.send().await.map_err(judge) }
        });
        let answer = listed.await?;
        let url = answer.encoding_type() == Some(&EncodingType::Url);
        let decoded = |text: &str| if url { keys::decoded(text) } else { Some(text.to_owned()) };
        let mut listing = Listing::default();
        for object in answer.contents() {
            let Some(key) = object.key().and_then(decoded) else { continue };
            listing.objects.push(Listed {
                key,
                etag: quoted(object.e_tag().unwrap_or_default()),
                size: bytes(object.size()),
                modified_ns: nanoseconds(object.last_modified()),
            });
        }
        let prefixes = answer.common_prefixes().iter().filter_map(|prefix| prefix.prefix());
        listing.prefixes.extend(prefixes.filter_map(decoded));
        let ends = [listing.objects.last().map(|listed| &listed.key), listing.prefixes.last()];
        listing.last = ends.into_iter().flatten().max().cloned();
        if answer.is_truncated() == Some(true) {
            listing.next = answer.next_continuation_token().map(str::to_owned);
        }
        Ok(listing)
    }

    /// What is known of an object; `None` where there is none.
    pub(crate) async fn head(&self, key: &str) -> Result<Option<Head>, Trouble> {
        let asked = self.tried(Count::Head, || {
            let request = self.shared.client.head_object().bucket(self.name()).key(key);
            async move {
                match request.send().await.map_err(judge) {
                    Err(Trouble::Denied(_)) => Err(self.why_denied(key).await),
                    answered => answered,
                }
            }
        });
        match asked.await {
            Ok(answer) => Ok(Some(Head {
                etag: quoted(answer.e_tag().unwrap_or_default()),
                size: bytes(answer.content_length()),
                modified_ns: nanoseconds(answer.last_modified()),
                metadata: answer.metadata().cloned().unwrap_or_default(),
                content_type: answer.content_type().map(str::to_owned),
            })),
            Err(Trouble::Missing) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Why a HEAD was answered with 403: its answer has no body to say so, as a GET's has. It may be but the clock, which passes.
    async fn why_denied(&self, key: &str) -> Trouble {
        self.tally.add(Count::Get, 1);
        let request = self.shared.client.get_object().bucket(self.name()).key(key).range("bytes=0-0");
        match request.send().await.map_err(judge) {
            Err(trouble @ (Trouble::Denied(_) | Trouble::Passing(_))) => trouble,
            _ => odd("what is known of an object was denied, and its bytes are not"),
        }
    }

    /// Some bytes of an object as it was seen, in pieces of so many, each handed over when it is there: [`Trouble::Refused`]
    /// where it is another one by now. A try that breaks off is gone on with behind the last piece that came.
    pub(crate) async fn get(
        &self,
        key: &str,
        etag: &str,
        range: Range<u64>,
        piece: usize,
        take: &mut (dyn FnMut(Bytes) + Send),
    ) -> Result<(), Trouble> {
        let last = range.end.saturating_sub(1);
        let taken = Mutex::new((range.start, take));
        let got = self.tried(Count::Get, || {
            let first = lock(&taken).0;
            let request = self.shared.client.get_object().bucket(self.name()).key(key).if_match(etag);
            let request = request.range(format!("bytes={first}-{last}"));
            let taken = &taken;
            async move {
                let answer = request.send().await.map_err(judge)?;
                if answer.e_tag().map(quoted).as_deref() != Some(etag) {
                    // A store that does not heed the condition.
                    return Err(Trouble::Refused);
                }
                let begins = format!("bytes {first}-{last}/");
                if !answer.content_range().is_some_and(|range| range.starts_with(&begins)) {
                    let found = answer.content_range().unwrap_or("all of it").to_owned();
                    return Err(lasting(format!("bytes {first} to {last} were asked for, and {found} answered")));
                }
                let taken = |bytes: Bytes| {
                    self.tally.add(Count::BytesIn, bytes.len() as u64);
                    let (at, take) = &mut *lock(taken);
                    *at += bytes.len() as u64;
                    take(bytes);
                };
                pieces(answer.body, answer.content_length, range.end - first, piece, taken).await
            }
        });
        got.await
    }

    /// All of an object as it is now, with what is known of it; `None` where there is none.
    pub(crate) async fn get_whole(&self, key: &str) -> Result<Option<(Head, Bytes)>, Trouble> {
        let got = self.tried(Count::Get, || {
            let request = self.shared.client.get_object().bucket(self.name()).key(key);
            async move {
                let answer = request.send().await.map_err(judge)?;
                let head = Head {
                    etag: quoted(answer.e_tag().unwrap_or_default()),
                    size: bytes(answer.content_length()),
                    modified_ns: nanoseconds(answer.last_modified()),
                    metadata: answer.metadata().cloned().unwrap_or_default(),
                    content_type: answer.content_type().map(str::to_owned),
                };
                if head.size > WHOLE_BYTES_MAX {
                    let size = head.size;
                    return Err(lasting(format!("it has {size} bytes, {WHOLE_BYTES_MAX} are read at once")));
                }
                let size = usize::try_from(head.size).unwrap_or(usize::MAX);
                let mut whole = Bytes::new();
                pieces(answer.body, answer.content_length, head.size, size, |bytes| whole = bytes).await?;
                Ok((head, whole))
            }
        });
        match got.await {
            Ok((head, bytes)) => {
                self.tally.add(Count::BytesIn, bytes.len() as u64);
                Ok(Some((head, bytes)))
            }
            Err(Trouble::Missing) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Writes an object; answers its ETag. [`Trouble::Refused`] may be our own doing, of a try whose answer was lost.
    pub(crate) async fn put(&self, key: &str, body: Bytes, when: &If, about: &About) -> Result<String, Trouble> {
        let put = self.tried(Count::Put, || {
            let request = self.shared.client.put_object().bucket(self.name()).key(key);
            let request =
                request.set_metadata(Some(about.metadata.clone())).set_content_type(about.content_type.clone());
            let request = match when {
                If::Absent => request.if_none_match("*"),
                If::Match(etag) => request.if_match(etag),
                If::Any => request,
            };
            let request = request.body(ByteStream::from(body.clone()));
            async move { request.send().await.map_err(judge) }
        });
        let answer = put.await?;
        self.tally.add(Count::BytesOut, body.len() as u64);
        etag(answer.e_tag)
    }

    /// Removes an object: also well where it is gone already.
    pub(crate) async fn delete(&self, key: &str, when: &If) -> Result<(), Trouble> {
        let deleted = self.tried(Count::Delete, || {
            let request = self.shared.client.delete_object().bucket(self.name()).key(key);
            let request = match when {
                If::Match(etag) => request.if_match(etag),
                If::Absent | If::Any => request,
            };
            async move { request.send().await.map_err(judge) }
        });
        match deleted.await {
            Ok(_) | Err(Trouble::Missing) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Begins an upload in parts, which nobody sees before it is completed; answers its id.
    pub(crate) async fn create_upload(&self, key: &str, about: &About) -> Result<String, Trouble> {
        let created = self.tried(Count::Upload, || {
            let request = self.shared.client.create_multipart_upload().bucket(self.name()).key(key);
            let request =
                request.set_metadata(Some(about.metadata.clone())).set_content_type(about.content_type.clone());
            async move { request.send().await.map_err(judge) }
        });
        created.await?.upload_id.ok_or_else(|| lasting("the bucket began an upload without an id"))
    }

    /// Uploads one part, from 1 on; answers its ETag.
    pub(crate) async fn put_part(&self, key: &str, upload: &str, part: i32, body: Bytes) -> Result<String, Trouble> {
        let put = self.tried(Count::Part, || {
            let request = self.shared.client.upload_part().bucket(self.name()).key(key).upload_id(upload);
            let request = request.part_number(part).body(ByteStream::from(body.clone()));
            async move { request.send().await.map_err(judge) }
        });
        let answer = put.await?;
        self.tally.add(Count::BytesOut, body.len() as u64);
        etag(answer.e_tag)
    }

    /// Makes one part of bytes that another object has, as it was seen; answers its ETag.
    pub(crate) async fn copy_part(
        &self,
        key: &str,
        upload: &str,
        part: i32,
        source: (&str, &str),
        range: Range<u64>,
    ) -> Result<String, Trouble> {
        let (from, seen) = source;
        let from = format!("{}/{}", self.name(), keys::encoded(from));
        let copied = self.tried(Count::Copy, || {
            let request = self.shared.client.upload_part_copy().bucket(self.name()).key(key).upload_id(upload);
            let request = request.part_number(part).copy_source(&from).copy_source_if_match(seen);
            let request = request.copy_source_range(format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
            async move { request.send().await.map_err(judge) }
        });
        let answer = copied.await?;
        etag(answer.copy_part_result.and_then(|result| result.e_tag))
    }

    /// Makes an object of the parts, in their order; answers its ETag. As with [`put`](Self::put), what is
    /// [`Trouble::Refused`] or [`Trouble::Missing`] may be our own doing.
    pub(crate) async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[(i32, String)],
        when: &If,
    ) -> Result<String, Trouble> {
        let part =
            |(number, etag): &(i32, String)| CompletedPart::builder().part_number(*number).e_tag(etag.clone()).build();
        let completed = self.tried(Count::Complete, || {
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.iter().map(part).collect())).build();
            let request = self.shared.client.complete_multipart_upload().bucket(self.name()).key(key);
            let request = request.upload_id(upload).multipart_upload(parts);
            let request = match when {
                If::Absent => request.if_none_match("*"),
                If::Match(etag) => request.if_match(etag),
                If::Any => request,
            };
            async move { request.send().await.map_err(judge) }
        });
        etag(completed.await?.e_tag)
    }

    /// Gives up an upload: also well where it is gone already.
    pub(crate) async fn abort(&self, key: &str, upload: &str) -> Result<(), Trouble> {
        let aborted = self.tried(Count::Abort, || {
            let request = self.shared.client.abort_multipart_upload().bucket(self.name()).key(key).upload_id(upload);
            async move { request.send().await.map_err(judge) }
        });
        match aborted.await {
            Ok(_) | Err(Trouble::Missing) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Does a request, counted, and again where its trouble may pass: within the tries of a request and of the call.
    async fn tried<T, F>(&self, what: Count, work: impl Fn() -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let retry = self.shared.retry;
        let mut tries = 1;
        loop {
            let place = self.shared.places.acquire().await.map_err(|_| lasting("the bucket is closed"))?;
            self.tally.add(what, 1);
            let done = tokio::time::timeout(retry.attempt, work()).await;
            drop(place);
            match done.unwrap_or_else(|_| Err(odd(format!("it took longer than {:?}", retry.attempt)))) {
                Err(Trouble::Passing(_)) if tries < self.attempts && self.tally.may_retry() => {
                    self.tally.add(Count::Retry, 1);
                    let pause = retry.pause.saturating_mul(1 << (tries - 1).min(16)).min(PAUSE_MAX);
                    self.pause(pause).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    /// Waits, at random not longer than this, so that those who failed together do not come again together.
    pub(crate) async fn pause(&self, longest: Duration) {
        self.shared.clock.sleep(longest.mul_f64(fraction())).await;
    }
}

/// What an object is written with beside its bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) metadata: Metadata,
    pub(crate) content_type: Option<String>,
}

/// A body in pieces, which must have as many bytes as were announced and asked for. Each piece is a buffer of its own: what
/// keeps one of them keeps no more than that.
async fn pieces(
    mut body: ByteStream,
    announced: Option<i64>,
    wanted: u64,
    piece: usize,
    mut take: impl FnMut(Bytes),
) -> Result<(), Trouble> {
    if bytes(announced) != wanted {
        return Err(odd(format!("{wanted} bytes were asked for, and {} announced", bytes(announced))));
    }
    let mut left = usize::try_from(wanted).unwrap_or(usize::MAX);
    let mut current = BytesMut::with_capacity(left.min(piece));
    while let Some(mut frame) = body.try_next().await.map_err(broken_off)? {
        left = left.checked_sub(frame.len()).ok_or_else(|| odd("more bytes came than were announced"))?;
        while !frame.is_empty() {
            let room = piece - current.len();
            current.extend_from_slice(&frame.split_to(room.min(frame.len())));
            if current.len() == piece {
                let next = BytesMut::with_capacity((left + frame.len()).min(piece));
                take(std::mem::replace(&mut current, next).freeze());
            }
        }
    }
    if left > 0 {
        return Err(odd(format!("{wanted} bytes were announced, and {left} of them did not come")));
    }
    if !current.is_empty() {
        take(current.freeze());
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn etag(found: Option<String>) -> Result<String, Trouble> {
    found.as_deref().map(quoted).ok_or_else(|| lasting("the bucket answered without an ETag"))
}

/// An ETag as a condition has it: some stores leave the quotes out here and there.
fn quoted(etag: &str) -> String {
    match etag.starts_with(['"', 'W']) {
        true => etag.to_owned(),
        false => format!("\"{etag}\""),
    }
}

fn bytes(length: Option<i64>) -> u64 {
    u64::try_from(length.unwrap_or(0)).unwrap_or(0)
}

fn nanoseconds(time: Option<&DateTime>) -> u64 {
    time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(0))
}

/// A number that nobody else has: of the standard's own source, which the machine seeds.
pub(crate) fn random() -> u128 {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}

fn fraction() -> f64 {
    f64::from(random() as u32) / f64::from(u32::MAX)
}
