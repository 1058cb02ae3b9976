//! What a request asks of S3, read from its method, target and headers alone: the server and the proxy name requests by one rule,
//! so that a count means the same wherever it was taken.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The operation of S3 that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "they are called as S3 calls them")]
pub enum Kind {
    AbortMultipartUpload,
    CompleteMultipartUpload,
    CopyObject,
    CreateBucket,
    CreateMultipartUpload,
    DeleteBucket,
    DeleteObject,
    DeleteObjects,
    GetBucketLocation,
    GetObject,
    HeadBucket,
    HeadObject,
    ListBuckets,
    ListMultipartUploads,
    ListObjects,
    ListObjectsV2,
    ListParts,
    PutObject,
    UploadPart,
    UploadPartCopy,
    /// Anything else: permissions, tags, settings of buckets.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A request as it was read: what it asks for, of what, and under which conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The operation.
    pub kind: Kind,
    /// The bucket, empty for a list of buckets.
    pub bucket: String,
    /// The key, decoded; empty where the bucket itself is asked.
    pub key: String,
    /// The prefix of a listing, decoded.
    pub prefix: String,
    /// The header `range`, or that of the source of a copy.
    pub range: Option<String>,
    /// The header `if-match`.
    pub if_match: Option<String>,
    /// The header `if-none-match`.
    pub if_none_match: Option<String>,
    /// The header `x-amz-copy-source-if-match`.
    pub copy_if_match: Option<String>,
    /// The upload that it belongs to.
    pub upload: Option<String>,
    /// The number of the part.
    pub part: Option<u32>,
    /// Bytes of the body, as the head declares them.
    pub received: u64,
}

/// Sub-resources of a bucket or an object, which `Kind` has no name for.
const OTHERS: [&str; 8] = ["acl", "attributes", "cors", "lifecycle", "policy", "tagging", "versioning", "versions"];

impl Call {
    /// Reads a request's head. `target` is what stands in its first line, `header` looks a header up by its lower-case name.
    pub fn read<'a>(method: &str, target: &str, header: impl Fn(&str) -> Option<&'a str>) -> Self {
        // A target with scheme and host is what a client sends to a forward proxy.
        let target = target.strip_prefix("http://").map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = decoded(path.strip_prefix('/').unwrap_or(path));
        let (bucket, key) = match header("host").and_then(bucket_of_host) {
            Some(bucket) => (bucket.to_owned(), path),
            None => {
                path.split_once('/').map_or((path.clone(), String::new()), |(bucket, key)| (bucket.into(), key.into()))
            }
        };
        let query: Vec<(&str, String)> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (name, decoded(value)))
            .collect();
        let has = |name: &str| query.iter().any(|(one, _)| *one == name);
        let value = |name: &str| query.iter().find(|(one, _)| *one == name).map(|(_, value)| value.clone());
        let copies = header("x-amz-copy-source").is_some();
        let kind = match (method, bucket.is_empty(), key.is_empty()) {
            ("GET", true, _) => Kind::ListBuckets,
            _ if OTHERS.iter().any(|name| has(name)) => Kind::Other,
            ("GET", _, true) if has("uploads") => Kind::ListMultipartUploads,
            ("GET", _, true) if has("location") => Kind::GetBucketLocation,
            ("GET", _, true) if value("list-type").as_deref() == Some("2") => Kind::ListObjectsV2,
            ("GET", _, true) => Kind::ListObjects,
            ("HEAD", _, true) => Kind::HeadBucket,
            ("PUT", _, true) => Kind::CreateBucket,
            ("DELETE", _, true) => Kind::DeleteBucket,
            ("POST", _, true) if has("delete") => Kind::DeleteObjects,
            ("GET", _, false) if has("uploadId") => Kind::ListParts,
            ("GET", _, false) => Kind::GetObject,
            ("HEAD", _, false) => Kind::HeadObject,
            ("PUT", _, false) if has("uploadId") && copies => Kind::UploadPartCopy,
            ("PUT", _, false) if has("uploadId") => Kind::UploadPart,
            ("PUT", _, false) if copies => Kind::CopyObject,
            ("PUT", _, false) => Kind::PutObject,
            ("POST", _, false) if has("uploads") => Kind::CreateMultipartUpload,
            ("POST", _, false) if has("uploadId") => Kind::CompleteMultipartUpload,
            ("DELETE", _, false) if has("uploadId") => Kind::AbortMultipartUpload,
            ("DELETE", _, false) => Kind::DeleteObject,
            _ => Kind::Other,
        };
        let text = |name: &str| header(name).map(str::to_owned);
        Self {
            kind,
            bucket,
            key,
            prefix: value("prefix").unwrap_or_default(),
            range: text("range").or_else(|| text("x-amz-copy-source-range")),
            if_match: text("if-match"),
            if_none_match: text("if-none-match"),
            copy_if_match: text("x-amz-copy-source-if-match"),
            upload: value("uploadId"),
            part: value("partNumber").and_then(|number| number.parse().ok()),
            received: header("content-length").and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
        }
    }
}

/// The bucket that a host of the virtual-host style names: the servers here are all called `localhost`.
pub(crate) fn bucket_of_host(host: &str) -> Option<&str> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.strip_suffix(".localhost").filter(|bucket| !bucket.is_empty())
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
