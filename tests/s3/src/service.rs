//! The operations of S3 over the store: `s3s` has read the request and checked its signature, and writes the answer down. Each
//! operation takes its body in first and then holds the one lock for the rest.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{self, CopySource, ETag, ETagCondition, StreamingBlob, Timestamp};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};

use crate::body::{Received, receive};
use crate::clock::Clock;
use crate::content::Content;
use crate::store::{After, Bucket, Conditions, Object, Part, Store, check_number, failed, invalid, matches};

/// What S3 gives of one listing in one answer.
pub const PAGE_KEYS_MAX: i32 = 1000;

/// The state that the service and the tests share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Guards everything that is stored: a condition and its write are one step.
    store: Mutex<Store>,
    pub(crate) clock: Clock,
    /// ETags are no digests, but numbers of their own.
    quick_etags: bool,
    etags_given: Mutex<u64>,
}

impl Shared {
    pub(crate) fn new(quick_etags: bool) -> Self {
        Self { quick_etags, ..Self::default() }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        // Each change of the store is one insert or one removal.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, to the second.
    pub(crate) fn second(&self) -> SystemTime {
        let since = self.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
    }

    pub(crate) fn digest(&self, content: &Content) -> [u8; 16] {
        if self.quick_etags {
            return self.number();
        }
        let mut md5 = Md5::new();
        content.slices(0..content.len()).for_each(|slice| md5.update(&slice));
        md5.finalize()
    }

    fn number(&self) -> [u8; 16] {
        let mut given = self.etags_given.lock().unwrap_or_else(PoisonError::into_inner);
        *given += 1;
        u128::from(*given).to_be_bytes()
    }
}

/// What `s3s` calls.
#[derive(Debug, Clone)]
pub(crate) struct Service(pub(crate) Arc<Shared>);

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn strong(etag: &str) -> ETag {
    ETag::Strong(etag.to_owned())
}

fn answer<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

fn page_size(asked: Option<i32>) -> S3Result<usize> {
    let asked = asked.unwrap_or(PAGE_KEYS_MAX);
    let size = usize::try_from(asked.min(PAGE_KEYS_MAX));
    size.map_err(|_| s3_error!(InvalidArgument, "a page of {asked} keys"))
}

/// What S3 leaves as it is where a listing is to be URL-encoded.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// A key as the listing writes it.
fn written(text: &str, encoding: Option<&dto::EncodingType>) -> String {
    match encoding.map(dto::EncodingType::as_str) {
        Some(dto::EncodingType::URL) => utf8_percent_encode(text, PLAIN).to_string(),
        _ => text.to_owned(),
    }
}

/// A token is the key or the common prefix that the page ended with.
fn token(after: &After) -> String {
    match after {
        After::Key(key) => format!("k{}", utf8_percent_encode(key, NON_ALPHANUMERIC)),
        After::Prefix(prefix) => format!("p{}", utf8_percent_encode(prefix, NON_ALPHANUMERIC)),
    }
}

fn read_token(token: &str) -> S3Result<After> {
    let decoded = |text| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
    let after = match token.split_at_checked(1) {
        Some(("k", key)) => decoded(key).map(After::Key).ok(),
        Some(("p", prefix)) => decoded(prefix).map(After::Prefix).ok(),
        _ => None,
    };
    after.ok_or_else(|| s3_error!(InvalidArgument, "the continuation token `{token}` is none of ours"))
}

/// The range of a request, within the content.
fn range_of(asked: Option<dto::Range>, len: u64) -> S3Result<Range<u64>> {
    let Some(asked) = asked else { return Ok(0..len) };
    let range = asked.check(len).ok().filter(|range| !range.is_empty());
    range.ok_or_else(|| {
        let mut error = s3_error!(InvalidRange, "`{}` of {len} bytes", asked.to_header_string());
        let value = HeaderValue::from_str(&format!("bytes */{len}")).expect("digits are a header's value");
        error.set_headers(HeaderMap::from_iter([(http::header::CONTENT_RANGE, value)]));
        error
    })
}

struct ReadConditions<'a> {
    if_match: Option<&'a ETagCondition>,
    if_none_match: Option<&'a ETagCondition>,
    if_modified_since: Option<&'a Timestamp>,
    if_unmodified_since: Option<&'a Timestamp>,
}

impl ReadConditions<'_> {
    /// Each date counts only where its ETag is not given.
    fn check(&self, key: &str, object: &Object) -> S3Result {
        let modified = Timestamp::from(object.modified);
        match (self.if_match, self.if_unmodified_since) {
            (Some(expected), _) if !matches(expected, object) => return Err(failed("If-Match", key)),
            (None, Some(since)) if modified > *since => return Err(failed("If-Unmodified-Since", key)),
            _ => {}
        }
        let unchanged = match (self.if_none_match, self.if_modified_since) {
            (Some(known), _) => matches(known, object),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        if !unchanged {
            return Ok(());
        }
        let mut error = S3Error::new(S3ErrorCode::NotModified);
        let etag = strong(&object.etag).to_http_header().expect("hexadecimal digits are a header's value");
        error.set_headers(HeaderMap::from_iter([(http::header::ETAG, etag)]));
        Err(error)
    }
}

/// The bucket and the key of the source of a copy.
fn source_of(source: &CopySource) -> S3Result<(&str, &str)> {
    match source {
        CopySource::Bucket { bucket, key, version_id: None } => Ok((bucket, key)),
        _ => Err(s3_error!(NotImplemented, "the source of a copy is a bucket and a key, without a version")),
    }
}

/// A condition that `s3s` does not read for this operation.
fn condition(headers: &HeaderMap, name: &str) -> S3Result<Option<ETagCondition>> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let read = ETagCondition::parse_http_header(value.as_bytes());
    read.map(Some).map_err(|error| s3_error!(InvalidArgument, "`{name}`: {error}"))
}

fn ordered(metadata: Option<dto::Metadata>) -> BTreeMap<String, String> {
    metadata.unwrap_or_default().into_iter().collect()
}

impl Service {
    async fn receive(
        &self,
        body: Option<StreamingBlob>,
        headers: &HeaderMap,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<(Received, [u8; 16])> {
        let received = receive(body, headers, trailers, !self.0.quick_etags).await?;
        let digest = received.digest.unwrap_or_else(|| self.0.number());
        Ok((received, digest))
    }

    /// The object that is read, with the range that is asked of it.
    fn read(
        &self,
        bucket: &str,
        key: &str,
        conditions: &ReadConditions<'_>,
        asked: Option<dto::Range>,
    ) -> S3Result<(Arc<Object>, Range<u64>)> {
        let object = self.0.store().bucket(bucket)?.object(key)?;
        conditions.check(key, &object)?;
        let range = range_of(asked, object.content.len())?;
        Ok((object, range))
    }

    /// The source of a copy, if it is what its reader takes it for.
    fn source(
        &self,
        source: &CopySource,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<Arc<Object>> {
        let (bucket, key) = source_of(source)?;
        let store = self.0.store();
        let object = store.bucket(bucket)?.object(key)?;
        if store.ignores_preconditions {
            return Ok(object);
        }
        if if_match.is_some_and(|expected| !matches(expected, &object)) {
            return Err(failed("x-amz-copy-source-if-match", key));
        }
        if if_none_match.is_some_and(|known| matches(known, &object)) {
            return Err(failed("x-amz-copy-source-if-none-match", key));
        }
        Ok(object)
    }
}

/// `bytes=FIRST-LAST`, as the source of a part is named.
fn source_range(asked: Option<&str>, len: u64) -> S3Result<Range<u64>> {
    let Some(asked) = asked else { return Ok(0..len) };
    let bounds = asked.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let range = bounds.and_then(|(first, last)| Some(first.parse::<u64>().ok()?..last.parse::<u64>().ok()? + 1));
    let within = range.filter(|range| !range.is_empty() && range.end <= len);
    within.ok_or_else(|| s3_error!(InvalidArgument, "`{asked}` is no range of {len} bytes"))
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn abort_multipart_upload(
        &self,
        req: S3Request<dto::AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
        self.0.store().bucket_mut(&req.input.bucket)?.abort(&req.input.key, &req.input.upload_id)?;
        answer(dto::AbortMultipartUploadOutput::default())
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<dto::CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
        let input = req.input;
        let mut named = Vec::new();
        for part in input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default() {
            let (Some(number), Some(etag)) = (part.part_number, part.e_tag) else {
                return Err(invalid(S3ErrorCode::MalformedXML, "a part has a number and an ETag"));
            };
            named.push((number, etag.into_value()));
        }
        let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
        let etag = |digests: &[[u8; 16]]| {
            let mut md5 = Md5::new();
            digests.iter().for_each(|digest| md5.update(digest));
            format!("{}-{}", hex(&md5.finalize()), digests.len())
        };
        let now = self.0.second();
        let upload = (input.key.as_str(), input.upload_id.as_str());
        let object = self.0.store().complete(&input.bucket, upload, &named, &conditions, now, etag)?;
        answer(dto::CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, utf8_percent_encode(&input.key, PLAIN))),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(strong(&object.etag)),
            ..Default::default()
        })
    }

    async fn copy_object(&self, req: S3Request<dto::CopyObjectInput>) -> S3Result<S3Response<dto::CopyObjectOutput>> {
        let input = req.input;
        let (if_match, if_none_match) = (input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref());
        let source = self.source(&input.copy_source, if_match, if_none_match)?;
        let replaces = input.metadata_directive.as_ref().is_some_and(|one| one.as_str() == "REPLACE");
        if source_of(&input.copy_source)? == (&input.bucket, &input.key) && !replaces {
            return Err(invalid(S3ErrorCode::InvalidRequest, "a copy onto itself changes the metadata"));
        }
        let conditions = Conditions {
            if_match: condition(&req.headers, "if-match")?,
            if_none_match: condition(&req.headers, "if-none-match")?,
        };
        let modified = self.0.second();
        let mut object = Object::clone(&source);
        object.etag = hex(&self.0.digest(&source.content));
        object.modified = modified;
        if replaces {
            object.metadata = ordered(input.metadata);
            object.content_type = input.content_type;
        }
        let result = dto::CopyObjectResult {
            e_tag: Some(strong(&object.etag)),
            last_modified: Some(modified.into()),
            ..Default::default()
        };
        self.0.store().put(&input.bucket, &input.key, object, &conditions)?;
        answer(dto::CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
    }

    async fn create_bucket(
        &self,
        req: S3Request<dto::CreateBucketInput>,
    ) -> S3Result<S3Response<dto::CreateBucketOutput>> {
        self.0.store().create_bucket(&req.input.bucket)?;
        answer(dto::CreateBucketOutput { location: Some(format!("/{}", req.input.bucket)) })
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<dto::CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
        let input = req.input;
        let (metadata, now) = (ordered(input.metadata), self.0.second());
        let id = self.0.store().open_upload(&input.bucket, &input.key, metadata, input.content_type, now)?;
        answer(dto::CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: input.checksum_type,
            ..Default::default()
        })
    }

    async fn delete_object(
        &self,
        req: S3Request<dto::DeleteObjectInput>,
    ) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
        self.0.store().delete(&req.input.bucket, &req.input.key, req.input.if_match.as_ref())?;
        answer(dto::DeleteObjectOutput::default())
    }

    async fn delete_objects(
        &self,
        req: S3Request<dto::DeleteObjectsInput>,
    ) -> S3Result<S3Response<dto::DeleteObjectsOutput>> {
        let input = req.input;
        if input.delete.objects.len() > PAGE_KEYS_MAX as usize {
            return Err(invalid(S3ErrorCode::MalformedXML, "more than a thousand keys"));
        }
        let quiet = input.delete.quiet.unwrap_or(false);
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        let mut store = self.0.store();
        store.bucket(&input.bucket)?;
        for object in input.delete.objects {
            let expected = object.e_tag.map(|etag| match etag.value() {
                "*" => ETagCondition::Any,
                _ => ETagCondition::ETag(etag),
            });
            match store.delete(&input.bucket, &object.key, expected.as_ref()) {
                Ok(()) if quiet => {}
                Ok(()) => deleted.push(dto::DeletedObject { key: Some(object.key), ..Default::default() }),
                Err(error) => errors.push(dto::Error {
                    code: Some(error.code().as_str().to_owned()),
                    key: Some(object.key),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        answer(dto::DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: Some(errors).filter(|errors| !errors.is_empty()),
            ..Default::default()
        })
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<dto::GetBucketLocationInput>,
    ) -> S3Result<S3Response<dto::GetBucketLocationOutput>> {
        self.0.store().bucket(&req.input.bucket)?;
        answer(dto::GetBucketLocationOutput::default())
    }

    async fn get_object(&self, req: S3Request<dto::GetObjectInput>) -> S3Result<S3Response<dto::GetObjectOutput>> {
        let input = req.input;
        if input.part_number.is_some() {
            return Err(invalid(S3ErrorCode::NotImplemented, "an object is read by ranges"));
        }
        let conditions = ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        };
        let (object, range) = self.read(&input.bucket, &input.key, &conditions, input.range)?;
        let whole = input.range.is_none();
        let asked = input.checksum_mode.is_some_and(|mode| mode.as_str() == dto::ChecksumMode::ENABLED);
        let checksum = object.checksum.clone().filter(|_| whole && asked).unwrap_or_default();
        let content_range =
            (!whole).then(|| format!("bytes {}-{}/{}", range.start, range.end - 1, object.content.len()));
        answer(dto::GetObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some((range.end - range.start) as i64),
            body: Some(StreamingBlob::new(object.content.slices(range))),
            content_range,
            content_type: object.content_type.clone(),
            e_tag: Some(strong(&object.etag)),
            last_modified: Some(object.modified.into()),
            metadata: Some(object.metadata.clone().into_iter().collect()),
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..Default::default()
        })
    }

    async fn head_bucket(&self, req: S3Request<dto::HeadBucketInput>) -> S3Result<S3Response<dto::HeadBucketOutput>> {
        self.0.store().bucket(&req.input.bucket)?;
        answer(dto::HeadBucketOutput { bucket_region: Some(crate::REGION.into()), ..Default::default() })
    }

    async fn head_object(&self, req: S3Request<dto::HeadObjectInput>) -> S3Result<S3Response<dto::HeadObjectOutput>> {
        let input = req.input;
        let conditions = ReadConditions {
            if_match: input.if_match.as_ref(),
            if_none_match: input.if_none_match.as_ref(),
            if_modified_since: input.if_modified_since.as_ref(),
            if_unmodified_since: input.if_unmodified_since.as_ref(),
        };
        let (object, range) = self.read(&input.bucket, &input.key, &conditions, input.range)?;
        answer(dto::HeadObjectOutput {
            accept_ranges: Some("bytes".into()),
            content_length: Some((range.end - range.start) as i64),
            content_type: object.content_type.clone(),
            e_tag: Some(strong(&object.etag)),
            last_modified: Some(object.modified.into()),
            metadata: Some(object.metadata.clone().into_iter().collect()),
            ..Default::default()
        })
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<dto::ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<dto::ListMultipartUploadsOutput>> {
        let input = req.input;
        if input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty()) {
            return Err(invalid(S3ErrorCode::NotImplemented, "uploads are listed without a delimiter"));
        }
        let size = page_size(input.max_uploads)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let (key_marker, id_marker) = (input.key_marker.clone(), input.upload_id_marker.clone());
        let store = self.0.store();
        let behind = |(key, id): &(String, String)| match (&key_marker, &id_marker) {
            (None, _) => true,
            (Some(marker), None) => key > marker,
            (Some(marker), Some(id_marker)) => (key, id) > (marker, id_marker),
        };
        let uploads = &store.bucket(&input.bucket)?.uploads;
        let mut found = uploads.iter().filter(|(at, _)| at.0.starts_with(&prefix) && behind(at)).peekable();
        let mut listed = Vec::new();
        let mut last = None;
        while listed.len() < size
            && let Some(((key, id), upload)) = found.next()
        {
            last = Some((key.clone(), id.clone()));
            listed.push(dto::MultipartUpload {
                key: Some(written(key, input.encoding_type.as_ref())),
                upload_id: Some(id.clone()),
                initiated: Some(upload.initiated.into()),
                ..Default::default()
            });
        }
        let truncated = found.peek().is_some() && size > 0;
        let (next_key, next_id) = last.filter(|_| truncated).unzip();
        answer(dto::ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            encoding_type: input.encoding_type.clone(),
            is_truncated: Some(truncated),
            key_marker: input.key_marker,
            upload_id_marker: input.upload_id_marker,
            max_uploads: Some(size as i32),
            next_key_marker: next_key.map(|key| written(&key, input.encoding_type.as_ref())),
            next_upload_id_marker: next_id,
            prefix: input.prefix,
            uploads: Some(listed),
            ..Default::default()
        })
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<dto::ListObjectsV2Input>,
    ) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
        let input = req.input;
        let size = page_size(input.max_keys)?;
        let after = match (&input.continuation_token, &input.start_after) {
            (Some(token), _) => Some(read_token(token)?),
            (None, Some(key)) => Some(After::Key(key.clone())),
            (None, None) => None,
        };
        let prefix = input.prefix.clone().unwrap_or_default();
        let delimiter = input.delimiter.clone().unwrap_or_default();
        let page = self.0.store().bucket(&input.bucket)?.list(&prefix, &delimiter, after.as_ref(), size);
        let encoding = input.encoding_type.as_ref();
        let contents: Vec<_> = page
            .objects
            .into_iter()
            .map(|(key, object)| dto::Object {
                key: Some(written(&key, encoding)),
                e_tag: Some(strong(&object.etag)),
                last_modified: Some(object.modified.into()),
                size: Some(object.content.len() as i64),
                storage_class: Some(dto::ObjectStorageClass::from_static(dto::ObjectStorageClass::STANDARD)),
                ..Default::default()
            })
            .collect();
        let prefixes: Vec<_> =
            page.prefixes.iter().map(|one| dto::CommonPrefix { prefix: Some(written(one, encoding)) }).collect();
        answer(dto::ListObjectsV2Output {
            name: Some(input.bucket),
            key_count: Some((contents.len() + prefixes.len()) as i32),
            contents: Some(contents),
            common_prefixes: Some(prefixes),
            max_keys: Some(size as i32),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_ref().map(token),
            continuation_token: input.continuation_token,
            prefix: input.prefix.map(|prefix| written(&prefix, encoding)),
            delimiter: input.delimiter.map(|delimiter| written(&delimiter, encoding)),
            start_after: input.start_after.map(|key| written(&key, encoding)),
            encoding_type: input.encoding_type.clone(),
            request_charged: None,
        })
    }

    async fn list_parts(&self, req: S3Request<dto::ListPartsInput>) -> S3Result<S3Response<dto::ListPartsOutput>> {
        let input = req.input;
        let size = page_size(input.max_parts)?;
        let marker = input.part_number_marker.unwrap_or(0);
        let store = self.0.store();
        let upload = store.bucket(&input.bucket)?.upload(&input.key, &input.upload_id)?;
        let mut behind = upload.parts.range(marker + 1..);
        let parts: Vec<_> = behind
            .by_ref()
            .take(size)
            .map(|(number, part)| dto::Part {
                part_number: Some(*number),
                e_tag: Some(strong(&part.etag)),
                size: Some(part.content.len() as i64),
                last_modified: Some(part.modified.into()),
                ..Default::default()
            })
            .collect();
        let truncated = size > 0 && behind.next().is_some();
        answer(dto::ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            max_parts: Some(size as i32),
            part_number_marker: Some(marker),
            is_truncated: Some(truncated),
            next_part_number_marker: parts.last().and_then(|part| part.part_number).filter(|_| truncated),
            parts: Some(parts),
            ..Default::default()
        })
    }

    async fn put_object(&self, req: S3Request<dto::PutObjectInput>) -> S3Result<S3Response<dto::PutObjectOutput>> {
        let S3Request { input, headers, trailing_headers, .. } = req;
        let (received, digest) = self.receive(input.body, &headers, trailing_headers).await?;
        let object = Object {
            metadata: ordered(input.metadata),
            content_type: input.content_type,
            checksum: Some(received.checksum.clone()),
            ..Object::new(received.content, hex(&digest), self.0.second())
        };
        let conditions = Conditions { if_match: input.if_match, if_none_match: input.if_none_match };
        let etag = strong(&object.etag);
        self.0.store().put(&input.bucket, &input.key, object, &conditions)?;
        answer(dto::PutObjectOutput {
            e_tag: Some(etag),
            checksum_crc32: received.checksum.checksum_crc32,
            checksum_crc32c: received.checksum.checksum_crc32c,
            checksum_crc64nvme: received.checksum.checksum_crc64nvme,
            checksum_sha1: received.checksum.checksum_sha1,
            checksum_sha256: received.checksum.checksum_sha256,
            ..Default::default()
        })
    }

    async fn upload_part(&self, req: S3Request<dto::UploadPartInput>) -> S3Result<S3Response<dto::UploadPartOutput>> {
        let S3Request { input, headers, trailing_headers, .. } = req;
        check_number(input.part_number)?;
        self.0.store().bucket(&input.bucket)?.upload(&input.key, &input.upload_id)?;
        let (received, digest) = self.receive(input.body, &headers, trailing_headers).await?;
        let part = Part { content: received.content, etag: hex(&digest), modified: self.0.second(), digest };
        let etag = strong(&part.etag);
        self.0.store().add_part(&input.bucket, &input.key, &input.upload_id, input.part_number, part)?;
        answer(dto::UploadPartOutput {
            e_tag: Some(etag),
            checksum_crc32: received.checksum.checksum_crc32,
            checksum_crc32c: received.checksum.checksum_crc32c,
            checksum_crc64nvme: received.checksum.checksum_crc64nvme,
            checksum_sha1: received.checksum.checksum_sha1,
            checksum_sha256: received.checksum.checksum_sha256,
            ..Default::default()
        })
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<dto::UploadPartCopyInput>,
    ) -> S3Result<S3Response<dto::UploadPartCopyOutput>> {
        let input = req.input;
        let (if_match, if_none_match) = (input.copy_source_if_match.as_ref(), input.copy_source_if_none_match.as_ref());
        let source = self.source(&input.copy_source, if_match, if_none_match)?;
        let range = source_range(input.copy_source_range.as_deref(), source.content.len())?;
        let content = match &source.content {
            stored @ Content::Stored(_) => Content::of(stored.slices(range)),
            computed @ Content::Computed { len, .. } if range == (0..*len) => computed.clone(),
            computed @ Content::Computed { .. } => Content::of(computed.slices(range)),
        };
        let (digest, modified) = (self.0.digest(&content), self.0.second());
        let part = Part { content, etag: hex(&digest), modified, digest };
        let result = dto::CopyPartResult {
            e_tag: Some(strong(&part.etag)),
            last_modified: Some(modified.into()),
            ..Default::default()
        };
        self.0.store().add_part(&input.bucket, &input.key, &input.upload_id, input.part_number, part)?;
        answer(dto::UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() })
    }
}

/// The uploads of a bucket, for the tests.
pub(crate) fn uploads_of(bucket: &Bucket) -> Vec<((String, String), crate::store::Upload)> {
    bucket.uploads.iter().map(|(at, upload)| (at.clone(), upload.clone())).collect()
}
