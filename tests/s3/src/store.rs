//! What the server holds, and the rules of S3 over it. Everything here runs under one lock (see `server.rs`), so that a condition and
//! the write that it guards are one step; nothing here waits, and nothing knows HTTP.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use s3s::dto::{Checksum, ETagCondition};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use crate::content::Content;
use crate::generated::Generated;

/// What S3 asks of each part of an upload but the last.
pub const PART_BYTES_MIN: u64 = 5 << 20;
/// What S3 allows, of one object's metadata: names and values together.
const METADATA_BYTES_MAX: usize = 2 << 10;

/// An object, as it is stored.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bytes.
    pub content: Content,
    /// Its ETag, without the quotes.
    pub etag: String,
    /// When it was written, to the second, as S3 tells it.
    pub modified: SystemTime,
    /// What the writer noted beside it.
    pub metadata: BTreeMap<String, String>,
    /// What its writer called it.
    pub content_type: Option<String>,
    pub(crate) checksum: Option<Checksum>,
}

impl Object {
    /// An object without metadata.
    pub fn new(content: Content, etag: String, modified: SystemTime) -> Self {
        Self { content, etag, modified, metadata: BTreeMap::new(), content_type: None, checksum: None }
    }
}

/// A part of an upload.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its bytes.
    pub content: Content,
    /// Its ETag, without the quotes.
    pub etag: String,
    /// When it was written.
    pub modified: SystemTime,
    /// The sixteen bytes that the ETag is the text of.
    pub(crate) digest: [u8; 16],
}

/// An upload in parts that is neither complete nor aborted.
#[derive(Debug, Clone)]
pub struct Upload {
    /// When it was opened.
    pub initiated: SystemTime,
    /// What has arrived, by number.
    pub parts: BTreeMap<i32, Part>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) content_type: Option<String>,
}

/// The conditions of a write.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
}

#[derive(Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) objects: BTreeMap<String, Arc<Object>>,
    /// By key and id, which is the order in which S3 lists them.
    pub(crate) uploads: BTreeMap<(String, String), Upload>,
    pub(crate) generated: Vec<Generated>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    buckets: BTreeMap<String, Bucket>,
    /// Writes, deletes and copies do what they are asked whatever their conditions say.
    pub(crate) ignores_preconditions: bool,
    uploads_opened: u64,
}

/// One page of a listing.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<(String, Arc<Object>)>,
    pub(crate) prefixes: Vec<String>,
    /// Where the next page begins, when there is one.
    pub(crate) next: Option<After>,
}

/// What a page begins behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// A key.
    Key(String),
    /// All keys below a common prefix.
    Prefix(String),
}

impl Store {
    pub(crate) fn bucket(&self, name: &str) -> S3Result<&Bucket> {
        self.buckets.get(name).ok_or_else(|| s3_error!(NoSuchBucket, "there is no bucket `{name}`"))
    }

    pub(crate) fn bucket_mut(&mut self, name: &str) -> S3Result<&mut Bucket> {
        self.buckets.get_mut(name).ok_or_else(|| s3_error!(NoSuchBucket, "there is no bucket `{name}`"))
    }

    pub(crate) fn create_bucket(&mut self, name: &str) -> S3Result {
        if self.buckets.contains_key(name) {
            return Err(s3_error!(BucketAlreadyOwnedByYou, "bucket `{name}` is there"));
        }
        self.buckets.insert(name.to_owned(), Bucket::default());
        Ok(())
    }

    pub(crate) fn put(&mut self, bucket: &str, key: &str, object: Object, conditions: &Conditions) -> S3Result {
        check_metadata(&object.metadata)?;
        let ignores = self.ignores_preconditions;
        let bucket = self.bucket_mut(bucket)?;
        if !ignores {
            conditions.check(key, bucket.find(key).as_deref())?;
        }
        bucket.objects.insert(key.to_owned(), Arc::new(object));
        Ok(())
    }

    pub(crate) fn delete(&mut self, bucket: &str, key: &str, if_match: Option<&ETagCondition>) -> S3Result {
        let ignores = self.ignores_preconditions;
        let bucket = self.bucket_mut(bucket)?;
        let found = bucket.find(key);
        if let (Some(expected), false) = (if_match, ignores) {
            // S3's manual does not say what a missing object answers: 412 is what it says of a condition that does not hold.
            if !found.as_ref().is_some_and(|found| matches(expected, found)) {
                return Err(failed("If-Match", key));
            }
        }
        if bucket.objects.remove(key).is_none() && found.is_some() {
            return Err(s3_error!(MethodNotAllowed, "`{key}` is computed: it cannot be deleted"));
        }
        Ok(())
    }

    pub(crate) fn open_upload(
        &mut self,
        bucket: &str,
        key: &str,
        metadata: BTreeMap<String, String>,
        content_type: Option<String>,
        initiated: SystemTime,
    ) -> S3Result<String> {
        check_metadata(&metadata)?;
        self.uploads_opened += 1;
        let id = format!("upload-{:08}", self.uploads_opened);
        let upload = Upload { initiated, parts: BTreeMap::new(), metadata, content_type };
        self.bucket_mut(bucket)?.uploads.insert((key.to_owned(), id.clone()), upload);
        Ok(id)
    }

    pub(crate) fn add_part(&mut self, bucket: &str, key: &str, upload: &str, number: i32, part: Part) -> S3Result {
        check_number(number)?;
        self.bucket_mut(bucket)?.upload_mut(key, upload)?.parts.insert(number, part);
        Ok(())
    }

    /// Makes an object of the parts that are named. `etag` makes its ETag of those of the parts.
    pub(crate) fn complete(
        &mut self,
        bucket: &str,
        (key, upload): (&str, &str),
        named: &[(i32, String)],
        conditions: &Conditions,
        modified: SystemTime,
        etag: impl FnOnce(&[[u8; 16]]) -> String,
    ) -> S3Result<Arc<Object>> {
        let ignores = self.ignores_preconditions;
        let bucket = self.bucket_mut(bucket)?;
        let open = bucket.upload(key, upload)?;
        let parts = chosen(&open.parts, named)?;
        if !ignores {
            conditions.check(key, bucket.find(key).as_deref())?;
        }
        let digests: Vec<_> = parts.iter().map(|part| part.digest).collect();
        let content = match &parts[..] {
            [part] => part.content.clone(),
            parts => Content::of(parts.iter().flat_map(|part| part.content.slices(0..part.content.len()))),
        };
        let (metadata, content_type) = (open.metadata.clone(), open.content_type.clone());
        let object = Object { metadata, content_type, ..Object::new(content, etag(&digests), modified) };
        let object = Arc::new(object);
        bucket.objects.insert(key.to_owned(), Arc::clone(&object));
        bucket.uploads.remove(&(key.to_owned(), upload.to_owned()));
        Ok(object)
    }
}

/// The parts that a list names, in its order.
fn chosen<'a>(parts: &'a BTreeMap<i32, Part>, named: &[(i32, String)]) -> S3Result<Vec<&'a Part>> {
    if named.is_empty() {
        return Err(s3_error!(MalformedXML, "an upload is completed with one part or more"));
    }
    if let Some(pair) = named.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        return Err(s3_error!(InvalidPartOrder, "part {} stands before part {}", pair[0].0, pair[1].0));
    }
    let mut found = Vec::with_capacity(named.len());
    for (number, etag) in named {
        match parts.get(number) {
            Some(part) if part.etag == *etag => found.push(part),
            Some(part) => {
                return Err(s3_error!(InvalidPart, "part {number} is `{}`, expected `{etag}`", part.etag));
            }
            None => return Err(s3_error!(InvalidPart, "there is no part {number}")),
        }
    }
    let (_, all_but_last) = found.split_last().expect("the list is not empty");
    for (part, (number, _)) in all_but_last.iter().zip(named) {
        if part.content.len() < PART_BYTES_MIN {
            let len = part.content.len();
            return Err(s3_error!(EntityTooSmall, "part {number} has {len} bytes, expected {PART_BYTES_MIN}"));
        }
    }
    Ok(found)
}

impl Conditions {
    fn check(&self, key: &str, found: Option<&Object>) -> S3Result {
        match &self.if_none_match {
            Some(ETagCondition::Any) if found.is_some() => return Err(failed("If-None-Match", key)),
            Some(ETagCondition::ETag(_)) => {
                return Err(s3_error!(NotImplemented, "If-None-Match of a write expects `*`"));
            }
            _ => {}
        }
        match (&self.if_match, found) {
            (None, _) => Ok(()),
            (Some(ETagCondition::Any), _) => Err(s3_error!(NotImplemented, "If-Match of a write expects an ETag")),
            (Some(_), None) => Err(s3_error!(NoSuchKey, "there is no `{key}` to match")),
            (Some(expected), Some(found)) if matches(expected, found) => Ok(()),
            (Some(_), Some(_)) => Err(failed("If-Match", key)),
        }
    }
}

pub(crate) fn matches(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    }
}

pub(crate) fn failed(condition: &str, key: &str) -> S3Error {
    s3_error!(PreconditionFailed, "{condition} does not hold of `{key}`")
}

pub(crate) fn check_number(number: i32) -> S3Result {
    let valid = (1..=10_000).contains(&number);
    if valid { Ok(()) } else { Err(s3_error!(InvalidArgument, "part {number} is none of 1 to 10000")) }
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> S3Result {
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(s3_error!(MetadataTooLarge, "metadata of {bytes} bytes, expected {METADATA_BYTES_MAX} at most"));
    }
    Ok(())
}

impl Bucket {
    pub(crate) fn find(&self, key: &str) -> Option<Arc<Object>> {
        let stored = self.objects.get(key).cloned();
        stored.or_else(|| self.generated.iter().find_map(|generated| generated.find(key)))
    }

    pub(crate) fn object(&self, key: &str) -> S3Result<Arc<Object>> {
        self.find(key).ok_or_else(|| s3_error!(NoSuchKey, "there is no `{key}`"))
    }

    pub(crate) fn upload(&self, key: &str, id: &str) -> S3Result<&Upload> {
        self.uploads.get(&(key.to_owned(), id.to_owned())).ok_or_else(|| no_upload(key, id))
    }

    fn upload_mut(&mut self, key: &str, id: &str) -> S3Result<&mut Upload> {
        self.uploads.get_mut(&(key.to_owned(), id.to_owned())).ok_or_else(|| no_upload(key, id))
    }

    pub(crate) fn abort(&mut self, key: &str, id: &str) -> S3Result {
        let removed = self.uploads.remove(&(key.to_owned(), id.to_owned()));
        removed.map(drop).ok_or_else(|| no_upload(key, id))
    }

    /// Up to `items_max` keys and common prefixes behind `after`, in the order of their bytes.
    pub(crate) fn list(&self, prefix: &str, delimiter: &str, after: Option<&After>, items_max: usize) -> Page {
        let mut page = Page::default();
        let mut cursor = Cursor::new(self, prefix, after);
        let mut last = None;
        while items_max > 0
            && let Some((key, object)) = cursor.next()
            && key.starts_with(prefix)
        {
            if page.objects.len() + page.prefixes.len() == items_max {
                page.next = last;
                break;
            }
            let rest = &key[prefix.len()..];
            match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                Some(at) => {
                    let common = key[..prefix.len() + at + delimiter.len()].to_owned();
                    last = Some(After::Prefix(common.clone()));
                    cursor.skip(&common);
                    page.prefixes.push(common);
                }
                None => {
                    last = Some(After::Key(key.clone()));
                    page.objects.push((key, object));
                }
            }
        }
        page
    }
}

fn no_upload(key: &str, id: &str) -> S3Error {
    s3_error!(NoSuchUpload, "there is no upload `{id}` of `{key}`")
}

/// Goes through the keys of a bucket in order, the stored and the computed ones.
struct Cursor<'a> {
    bucket: &'a Bucket,
    stored: std::iter::Peekable<std::collections::btree_map::Range<'a, String, Arc<Object>>>,
    /// The next number of each run of computed keys.
    numbers: Vec<u64>,
    /// What has been listed as one common prefix.
    skipped: Option<String>,
}

impl<'a> Cursor<'a> {
    fn new(bucket: &'a Bucket, prefix: &str, after: Option<&After>) -> Self {
        let mut cursor = Self {
            bucket,
            stored: bucket.objects.range::<String, _>(..).peekable(),
            numbers: Vec::new(),
            skipped: None,
        };
        match after {
            Some(After::Key(key)) if key.as_str() >= prefix => cursor.seek(Bound::Excluded(key)),
            Some(After::Prefix(common)) => cursor.skip(common),
            _ => cursor.seek(Bound::Included(prefix)),
        }
        cursor
    }

    fn seek(&mut self, from: Bound<&str>) {
        self.stored = self.bucket.objects.range::<str, _>((from, Bound::Unbounded)).peekable();
        let number = |generated: &Generated| match from {
            Bound::Excluded(key) => {
                let number = generated.seek(key);
                number + u64::from(generated.name(number).as_deref() == Some(key))
            }
            Bound::Included(key) => generated.seek(key),
            Bound::Unbounded => 0,
        };
        self.numbers = self.bucket.generated.iter().map(number).collect();
    }

    /// Goes behind all keys of a common prefix.
    fn skip(&mut self, common: &str) {
        // No character stands behind this one; the few keys that continue with it are passed over one by one.
        self.seek(Bound::Included(&format!("{common}\u{10ffff}")));
        self.skipped = Some(common.to_owned());
    }

    fn next(&mut self) -> Option<(String, Arc<Object>)> {
        loop {
            let stored = self.stored.peek().map(|(key, _)| key.as_str());
            let names = self.bucket.generated.iter().zip(&self.numbers).map(|(one, number)| one.name(*number));
            let names: Vec<Option<String>> = names.collect();
            let computed = names.iter().flatten().map(String::as_str);
            let key = computed.chain(stored).min()?.to_owned();
            let mut object = None;
            for ((generated, number), name) in self.bucket.generated.iter().zip(&mut self.numbers).zip(&names) {
                if name.as_ref() == Some(&key) {
                    object = Some(generated.object(*number));
                    *number += 1;
                }
            }
            if stored == Some(key.as_str()) {
                object = self.stored.next().map(|(_, object)| Arc::clone(object));
            }
            let passed = self.skipped.as_ref().is_some_and(|skipped| key.starts_with(skipped.as_str()));
            if !passed {
                return object.map(|object| (key, object));
            }
        }
    }
}

/// The error of a number that S3 does not allow.
pub(crate) fn invalid(code: S3ErrorCode, message: &'static str) -> S3Error {
    S3Error::with_message(code, message)
}
