//! The bytes of an object: pieces as they came over the wire, shared and never copied together, or bytes that are computed from
//! their offset, so that an object may be larger than the machine's memory.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use s3s::StdError;
use s3s::stream::{ByteStream, RemainingLength};

/// Smaller pieces are copied together: each would keep the whole read buffer that it is a part of.
const PIECE_BYTES_MIN: usize = 16 << 10;
/// What small pieces are copied together to, and how much is computed at once.
const PIECE_BYTES: usize = 256 << 10;

/// An object's bytes. A clone shares them.
#[derive(Clone)]
pub enum Content {
    /// Pieces, each with the offset at which it ends.
    Stored(Arc<[(u64, Bytes)]>),
    /// As many bytes of [`pattern`] as the length says.
    Computed {
        /// Which pattern.
        seed: u64,
        /// In bytes.
        len: u64,
    },
}

impl Content {
    /// The pieces, one after another.
    pub fn of(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let mut end = 0;
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty()).map(|piece| {
            end += piece.len() as u64;
            (end, piece)
        });
        Self::Stored(pieces.collect())
    }

    /// In bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Stored(pieces) => pieces.last().map_or(0, |(end, _)| *end),
            Self::Computed { len, .. } => *len,
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them in one piece: copied, where they are several.
    pub fn bytes(&self) -> Bytes {
        let mut slices: Vec<_> = self.slices(0..self.len()).collect();
        match slices.len() {
            0 => Bytes::new(),
            1 => slices.remove(0),
            _ => slices.concat().into(),
        }
    }

    /// The pieces of a range, which lies within the content.
    pub fn slices(&self, range: Range<u64>) -> Slices {
        Slices { content: self.clone(), at: range.start, end: range.end.min(self.len()) }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::of([bytes])
    }
}

/// The pieces of a range of a content, one after another.
#[derive(Debug)]
pub struct Slices {
    content: Content,
    at: u64,
    end: u64,
}

impl Iterator for Slices {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.at >= self.end {
            return None;
        }
        let slice = match &self.content {
            Content::Stored(pieces) => {
                let (end, piece) = &pieces[pieces.partition_point(|(end, _)| *end <= self.at)];
                let start = end - piece.len() as u64;
                piece.slice((self.at - start) as usize..(self.end.min(*end) - start) as usize)
            }
            Content::Computed { seed, .. } => {
                let mut slice = BytesMut::zeroed((self.end - self.at).min(PIECE_BYTES as u64) as usize);
                pattern(*seed, self.at, &mut slice);
                slice.freeze()
            }
        };
        self.at += slice.len() as u64;
        Some(slice)
    }
}

impl Stream for Slices {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.next().map(Ok))
    }
}

impl ByteStream for Slices {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact((self.end - self.at) as usize)
    }
}

/// Collects pieces as they come.
#[derive(Default)]
pub(crate) struct Pieces {
    whole: VecDeque<Bytes>,
    small: BytesMut,
}

impl Pieces {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if piece.len() < PIECE_BYTES_MIN {
            self.small.extend_from_slice(&piece);
            if self.small.len() >= PIECE_BYTES {
                self.flush();
            }
        } else {
            self.flush();
            self.whole.push_back(piece);
        }
    }

    pub(crate) fn finish(mut self) -> Content {
        self.flush();
        Content::of(self.whole)
    }

    fn flush(&mut self) {
        // Of its own size: what is split off would keep the rest of the buffer.
        if !self.small.is_empty() {
            self.whole.push_back(Bytes::copy_from_slice(&self.small));
            self.small.clear();
        }
    }
}

/// Fills `bytes` with what stands at `offset` in the endless pattern of a seed. Each eight bytes are a hash of their place, so
/// that a range read from the wrong offset shows.
pub fn pattern(seed: u64, offset: u64, bytes: &mut [u8]) {
    let (key, mut at) = (mixed(seed), 0);
    while at < bytes.len() {
        let place = offset + at as u64;
        let word = mixed(key.wrapping_add(place / 8)).to_le_bytes();
        let from = (place % 8) as usize;
        let take = (8 - from).min(bytes.len() - at);
        bytes[at..at + take].copy_from_slice(&word[from..from + take]);
        at += take;
    }
}

/// The finisher of splitmix64: public domain, and each bit of the answer depends on each bit of the question.
pub(crate) fn mixed(seed: u64) -> u64 {
    let mut word = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
