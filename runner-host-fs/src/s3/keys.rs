//! Which key a path has, which keys have a path, and the words of an object's metadata. Nothing here asks a bucket.
//!
//! A file is an object whose key is its path below a prefix; a directory is every prefix that ends in `/`, and an empty one
//! is a marker: an object of no bytes with that key. A symbolic link is an object of [`LINK`]'s bytes with its target in
//! the metadata, so that a listing, which tells sizes and no metadata, leaves few to be asked about.

use std::collections::HashMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::{Error, ErrorKind, Result};
use crate::path::{NAME_BYTES_MAX, PATH_BYTES_MAX, VPath};
use crate::vfs::check_target;

/// The bytes that S3 lets a key have.
pub(crate) const KEY_BYTES_MAX: usize = 1_024;

/// The name that no file has: what Runner keeps for itself lies below it.
pub(crate) const OURS: &str = ".runner";

/// What is in an object that is a symbolic link. Its length is one that few other objects have: only those are asked.
pub(crate) const LINK: &[u8; 32] = b"a symbolic link: see metadata..\n";

/// Metadata: when the file was changed, in seconds with nine places, as rclone writes it.
const MODIFIED: &str = "mtime";
/// Metadata: the target of a symbolic link, percent-encoded but for letters, digits and `-._~/`.
const TARGET: &str = "runner-symlink";
/// Metadata: which write made the object. No two have the same.
pub(crate) const STAMP: &str = "runner-stamp";

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The metadata of an object: lower case, ASCII.
pub(crate) type Metadata = HashMap<String, String>;

/// The keys below one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// Empty, or ends in `/`.
    root: Arc<str>,
}

impl Keys {
    /// The keys below a path of the bucket.
    pub(crate) fn new(prefix: &VPath) -> Self {
        Keys { root: directory(prefix.as_relative()).into() }
    }

    /// The keys below a path of these.
    pub(crate) fn below(&self, path: &VPath) -> Self {
        Keys { root: format!("{}{}", self.root, directory(path.as_relative())).into() }
    }

    /// The prefix of them all.
    pub(crate) fn root(&self) -> &Arc<str> {
        &self.root
    }

    /// Where the commit that is under way is recorded.
    pub(crate) fn record(&self) -> String {
        format!("{}{OURS}/commit", self.root)
    }

    /// A key that nobody else uses.
    pub(crate) fn scratch(&self, id: &str) -> String {
        format!("{}{OURS}/probe-{id}", self.root)
    }

    /// The path that a key has, for who is told of it; `None` where it has none.
    pub(crate) fn path(&self, key: &str) -> Option<VPath> {
        let rest = key.strip_prefix(&*self.root)?;
        let names = rest.strip_suffix('/').unwrap_or(rest);
        match names.split('/').all(is_name) {
            true => VPath::new(names).ok(),
            false => None,
        }
    }
}

fn directory(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!("{path}/"),
    }
}

/// The key of a name in a directory.
pub(crate) fn child(directory: &str, name: &str) -> Result<String> {
    let key = format!("{directory}{name}");
    if name == OURS {
        return Err(Error::new(ErrorKind::NotPermitted, format!("`{OURS}` is a name that Runner keeps for itself")));
    }
    // One for the `/` of a directory, so that a file and a directory can have the same names.
    match key.len() < KEY_BYTES_MAX {
        true => Ok(key),
        false => {
            let message = format!("key `{key}` has {} bytes, {} are allowed", key.len(), KEY_BYTES_MAX - 1);
            Err(Error::new(ErrorKind::NameTooLong, message))
        }
    }
}

/// The directory that lists a key: a marker lies in its own.
pub(crate) fn lister(key: &str) -> &str {
    &key[..key.rfind('/').map_or(0, |slash| slash + 1)]
}

/// Whether something with this name shows in a directory. What has no name, `.`, `..`, a name that is too long, and ours,
/// do not.
pub(crate) fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | ".." | OURS) && name.len() <= NAME_BYTES_MAX && !name.contains(['/', '\0'])
}

/// The inode of what came from the bucket: its key's own, the same in every call. FNV-1a over 64 bits, of which the highest
/// is left to what a call makes itself.
pub(crate) fn inode(key: &str) -> u64 {
    let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    key.bytes().fold(0xcbf2_9ce4_8422_2325, hash) >> 1
}

/// Bytes that S3 takes of an object's own metadata, names and values together
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>).
const METADATA_BYTES_MAX: usize = 2 << 10;

/// Bytes of a stamp, which each write has besides.
const STAMP_BYTES: usize = 32;

/// Whether a write may have such metadata, and its stamp.
pub(crate) fn check_metadata(metadata: &Metadata) -> Result<()> {
    let own = metadata.iter().filter(|(name, _)| *name != STAMP).map(|(name, value)| name.len() + value.len());
    let found = own.sum::<usize>() + STAMP.len() + STAMP_BYTES;
    match found <= METADATA_BYTES_MAX {
        true => Ok(()),
        false => {
            let message = format!(
                "the metadata of its object would have {found} bytes, {METADATA_BYTES_MAX} are allowed: the target of a link \
                 counts there, three times where it is not ASCII"
            );
            Err(Error::new(ErrorKind::NameTooLong, message))
        }
    }
}

/// The metadata of a file or a link that a call writes.
pub(crate) fn metadata(modified_ns: u64, target: Option<&str>) -> Metadata {
    let (seconds, rest) = (modified_ns / 1_000_000_000, modified_ns % 1_000_000_000);
    let mut metadata = Metadata::from([(MODIFIED.to_owned(), format!("{seconds}.{rest:09}"))]);
    if let Some(target) = target {
        metadata.insert(TARGET.to_owned(), utf8_percent_encode(target, ENCODED).to_string());
    }
    metadata
}

/// The target that an object's metadata names, where it is a link that a tree can have.
pub(crate) fn target(metadata: &Metadata) -> Option<String> {
    let target = percent_decode_str(metadata.get(TARGET)?).decode_utf8().ok()?.into_owned();
    check_target(&target).is_ok().then_some(target)
}

/// A key as a listing writes it, decoded: `None` for what is no text.
pub(crate) fn decoded(key: &str) -> Option<String> {
    let spaces = key.replace('+', " ");
    Some(percent_decode_str(&spaces).decode_utf8().ok()?.into_owned())
}

/// A key as a header for the source of a copy writes it.
pub(crate) fn encoded(key: &str) -> String {
    utf8_percent_encode(key, ENCODED).to_string()
}

/// The prefix of a bucket that a text means.
pub(crate) fn prefix(text: &str) -> Result<VPath> {
    let told = |error: Error| {
        Error::new(ErrorKind::Invalid, format!("prefix `{}`: {error}", text.escape_debug())).caused_by(error)
    };
    let path = match text {
        "" | "/" => VPath::root(),
        text if text.len() > PATH_BYTES_MAX.min(KEY_BYTES_MAX / 2) => {
            let message = format!("the prefix has {} bytes, {} are allowed", text.len(), KEY_BYTES_MAX / 2);
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        text => VPath::new(text).map_err(told)?,
    };
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_key_and_the_key_has_the_path() {
        let keys = Keys::new(&VPath::new("a/b").expect("a path"));
        let shop = keys.below(&VPath::new("shop").expect("a path"));
        assert_eq!((&**keys.root(), &**shop.root()), ("a/b/", "a/b/shop/"));
        assert_eq!(&**Keys::new(&VPath::root()).below(&VPath::root()).root(), "");
        assert_eq!(child(shop.root(), "x y").expect("a key"), "a/b/shop/x y");
        for (key, path) in [("a/b/shop/x/y", Some("/x/y")), ("a/b/shop/x/", Some("/x")), ("a/b/shop", None)] {
            assert_eq!(shop.path(key).map(|path| path.to_string()).as_deref(), path, "{key}");
        }
        for hidden in ["a/b/shop/x//y", "a/b/shop/./y", "a/b/shop/x/..", "a/b/shop/.runner/commit"] {
            assert_eq!(shop.path(hidden), None, "{hidden}");
        }
    }

    #[test]
    fn a_key_is_refused_that_s3_would_not_take_or_that_is_ours() {
        let kind = |result: Result<String>| result.map(drop).map_err(|error| error.kind());
        assert_eq!(kind(child(&"d".repeat(1_000), &"n".repeat(23))), Ok(()));
        assert_eq!(kind(child(&"d".repeat(1_000), &"n".repeat(24))), Err(ErrorKind::NameTooLong));
        assert_eq!(kind(child("", OURS)), Err(ErrorKind::NotPermitted));
    }

    #[test]
    fn any_target_survives_the_metadata_which_is_ascii() {
        for text in ["a/b", "../é 日本\n%41", "+"] {
            let metadata = metadata(1_700_000_000_000_000_007, Some(text));
            assert!(metadata.values().all(|value| value.bytes().all(|byte| byte.is_ascii_graphic())));
            assert_eq!(target(&metadata).as_deref(), Some(text));
            assert_eq!(metadata["mtime"], "1700000000.000000007");
        }
        let foreign = Metadata::from([(TARGET.to_owned(), "/etc/passwd".to_owned())]);
        assert_eq!(target(&foreign), None, "a link that leads out is none");
    }

    #[test]
    fn a_listing_is_read_as_it_is_written() {
        assert_eq!(decoded("a%2Fb+c%2B%0A").as_deref(), Some("a/b c+\n"));
        assert_eq!(decoded("%FF"), None);
        assert_eq!((lister("a/b"), lister("a/b/"), lister("a")), ("a/", "a/b/", ""));
    }
}
