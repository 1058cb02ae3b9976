//! The digests that `States.Hash` and `$hash` know.

use sha2::Digest;

/// The digest in lower-case hexadecimal; `None` for an algorithm that the language does not know.
pub(crate) fn hex(algorithm: &str, data: &[u8]) -> Option<String> {
    fn digest<D: Digest>(data: &[u8]) -> String {
        D::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
    }
    Some(match algorithm {
        "MD5" => digest::<md5::Md5>(data),
        "SHA-1" => digest::<sha1::Sha1>(data),
        "SHA-256" => digest::<sha2::Sha256>(data),
        "SHA-384" => digest::<sha2::Sha384>(data),
        "SHA-512" => digest::<sha2::Sha512>(data),
        _ => return None,
    })
}
