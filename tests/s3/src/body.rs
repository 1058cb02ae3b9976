//! The body of a request, as it is taken in: its pieces, its length, its digest and the checksums that its writer sent along.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{Checksum, StreamingBlob};
use s3s::{S3Result, TrailingHeaders, s3_error};

use crate::content::{Content, Pieces};

/// What S3 takes in one request.
const BODY_BYTES_MAX: u64 = 5 << 30;

/// A body that arrived whole, with what its writer said of it found true.
pub(crate) struct Received {
    pub(crate) content: Content,
    /// None where ETags are to be quick.
    pub(crate) digest: Option<[u8; 16]>,
    pub(crate) checksum: Checksum,
}

/// The headers and trailers that carry a checksum, and where it lands.
type Algorithm = (&'static str, fn(&mut ChecksumHasher), fn(&Checksum) -> &Option<String>);

const ALGORITHMS: [Algorithm; 5] = [
    ("x-amz-checksum-crc32", |hasher| hasher.crc32 = Some(Default::default()), |sum| &sum.checksum_crc32),
    ("x-amz-checksum-crc32c", |hasher| hasher.crc32c = Some(Default::default()), |sum| &sum.checksum_crc32c),
    ("x-amz-checksum-crc64nvme", |hasher| hasher.crc64nvme = Some(Default::default()), |sum| &sum.checksum_crc64nvme),
    ("x-amz-checksum-sha1", |hasher| hasher.sha1 = Some(Default::default()), |sum| &sum.checksum_sha1),
    ("x-amz-checksum-sha256", |hasher| hasher.sha256 = Some(Default::default()), |sum| &sum.checksum_sha256),
];

/// Takes a body in.
///
/// # Errors
///
/// A body that is cut off, that is longer or shorter than declared, or whose checksum does not hold.
pub(crate) async fn receive(
    body: Option<StreamingBlob>,
    headers: &HeaderMap,
    trailers: Option<TrailingHeaders>,
    digests: bool,
) -> S3Result<Received> {
    let trailing = headers.get("x-amz-trailer").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut hasher = ChecksumHasher::default();
    for (name, enable, _) in ALGORITHMS {
        if headers.contains_key(name) || trailing.split(',').any(|one| one.trim().eq_ignore_ascii_case(name)) {
            enable(&mut hasher);
        }
    }
    let (mut pieces, mut len, mut md5) = (Pieces::default(), 0, digests.then(Md5::new));
    if let Some(mut body) = body {
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| s3_error!(IncompleteBody, "the body ended early: {error}"))?;
            len += piece.len() as u64;
            if len > BODY_BYTES_MAX {
                return Err(s3_error!(EntityTooLarge, "a body has {BODY_BYTES_MAX} bytes at most"));
            }
            hasher.update(&piece);
            if let Some(md5) = &mut md5 {
                md5.update(&piece);
            }
            pieces.push(piece);
        }
    }
    let number = |name| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(declared) = number("x-amz-decoded-content-length").or_else(|| number("content-length"))
        && declared != len
    {
        return Err(s3_error!(IncompleteBody, "the body has {len} bytes, expected {declared}"));
    }
    let checksum = hasher.finalize();
    for (name, _, found) in ALGORITHMS {
        let trailer = trailers.as_ref().and_then(|trailers| trailers.read(|trailers| trailers.get(name).cloned()));
        let Some(expected) = headers.get(name).cloned().or_else(|| trailer.flatten()) else { continue };
        if let Some(found) = found(&checksum)
            && found.as_bytes() != expected.as_bytes()
        {
            return Err(s3_error!(BadDigest, "`{name}` is {found}, expected {expected:?}"));
        }
    }
    let digest = md5.map(|md5| md5.finalize());
    if let (Some(digest), Some(expected)) = (digest, headers.get("content-md5"))
        && STANDARD.encode(digest).as_bytes() != expected.as_bytes()
    {
        return Err(s3_error!(BadDigest, "`content-md5` is {}, expected {expected:?}", STANDARD.encode(digest)));
    }
    Ok(Received { content: pieces.finish(), digest, checksum })
}
