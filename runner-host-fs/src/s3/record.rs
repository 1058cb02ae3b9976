//! What a commit is to do, written down so that whoever finds it can do it: one object, whose key says whose turn it is.
//!
//! Eight bytes that say what it is, eight for the length of a head, the head as JSON, and behind it the contents of what is
//! small, one after the other.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::keys::Metadata;
use crate::error::{Error, ErrorKind, Result};

const MAGIC: &[u8; 8] = b"runner1\n";

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Tells it from every other.
    pub(crate) id: String,
    /// Whether some of it may be done, where the objects do not tell: one that only removes is written twice.
    pub(crate) begun: bool,
    pub(crate) ops: Vec<Op>,
}

/// One object's part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Op {
    pub(crate) key: String,
    /// The ETag that the object has before; `None` where there is none.
    pub(crate) expected: Option<String>,
    pub(crate) act: Act,
}

/// What becomes of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Act {
    /// It has the next so many bytes of the contents.
    Put { bytes: u64, stamp: String, metadata: Metadata, content_type: Option<String> },
    /// It is what was uploaded.
    Complete { bytes: u64, stamp: String, upload: String, parts: Vec<(i32, String)> },
    /// It goes.
    Delete,
    /// It is not there: a directory is made that has its name.
    Free,
}

impl Record {
    /// As an object: all that is in it, and where the contents begin.
    pub(crate) fn encoded(&self, contents: &[Bytes]) -> Result<(Bytes, usize)> {
        let wrong = |error| Error::new(ErrorKind::Io, "the commit cannot be written down").caused_by(error);
        let head = serde_json::to_vec(self).map_err(wrong)?;
        let bytes: usize = contents.iter().map(Bytes::len).sum();
        let mut encoded = BytesMut::with_capacity(MAGIC.len() + 8 + head.len() + bytes);
        encoded.extend_from_slice(MAGIC);
        encoded.put_u64_le(head.len() as u64);
        encoded.extend_from_slice(&head);
        let at = encoded.len();
        contents.iter().for_each(|content| encoded.extend_from_slice(content));
        Ok((encoded.freeze(), at))
    }

    /// A record, and the contents behind it; `None` for what is none, or not whole.
    pub(crate) fn decoded(mut bytes: Bytes) -> Option<(Self, Bytes)> {
        if bytes.len() < MAGIC.len() + 8 || bytes.split_to(MAGIC.len()) != MAGIC[..] {
            return None;
        }
        let length = usize::try_from(u64::from_le_bytes(bytes.split_to(8)[..].try_into().ok()?)).ok()?;
        if bytes.len() < length {
            return None;
        }
        let record: Record = serde_json::from_slice(&bytes.split_to(length)).ok()?;
        let contents: u64 = record.ops.iter().map(Op::content_bytes).sum();
        (contents == bytes.len() as u64).then_some((record, bytes))
    }

    /// The contents of each operation, in their order.
    pub(crate) fn contents(&self, mut all: Bytes) -> Vec<Bytes> {
        let next = |op: &Op| all.split_to(all.len().min(op.content_bytes() as usize));
        self.ops.iter().map(next).collect()
    }
}

impl Op {
    fn content_bytes(&self) -> u64 {
        match self.act {
            Act::Put { bytes, .. } => bytes,
            Act::Complete { .. } | Act::Delete | Act::Free => 0,
        }
    }

    /// The stamp that its object has when it is done; `None` where there is no object then.
    pub(crate) fn stamp(&self) -> Option<&str> {
        match &self.act {
            Act::Put { stamp, .. } | Act::Complete { stamp, .. } => Some(stamp),
            Act::Delete | Act::Free => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_only_whole() {
        let put = |key: &str, bytes| Op {
            key: key.to_owned(),
            expected: None,
            act: Act::Put { bytes, stamp: "s".into(), metadata: Metadata::new(), content_type: None },
        };
        let delete = Op { key: "c".into(), expected: Some("\"e\"".into()), act: Act::Delete };
        let record = Record { id: "1".into(), begun: false, ops: vec![put("a", 3), delete, put("b", 2)] };
        let (encoded, at) = record.encoded(&["one".into(), "22".into()]).expect("it is written");
        assert_eq!(&encoded[at..], b"one22");
        let (decoded, contents) = Record::decoded(encoded.clone()).expect("it is one");
        assert_eq!(decoded, record);
        assert_eq!(decoded.contents(contents), ["one", "", "22"]);
        for length in [0, 7, 15, 20, at, encoded.len() - 1] {
            assert_eq!(Record::decoded(encoded.slice(..length)), None, "{length} bytes of it");
        }
    }
}
