//! The bytes of one file in memory, in blocks: what was never written takes no room.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Bytes that are kept together: a byte in the middle of nothing takes this much.
const BLOCK_BYTES: usize = 16 << 10;

/// The bytes of a file. A block that is not there is zeros, and so is what a block lacks at its end.
#[derive(Default)]
pub(super) struct Blocks {
    pub(super) length: u64,
    blocks: BTreeMap<u64, Vec<u8>>,
    /// Bytes in the blocks.
    pub(super) held: u64,
}

impl Blocks {
    pub(super) fn read(&self, offset: u64, bytes_max: usize) -> Bytes {
        let left = self.length.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(bytes_max)];
        for Piece { block, within, range } in pieces(offset, bytes.len()) {
            if let Some(held) = self.blocks.get(&block).and_then(|block| block.get(within..)) {
                let count = held.len().min(range.len());
                bytes[range.start..range.start + count].copy_from_slice(&held[..count]);
            }
        }
        bytes.into()
    }

    /// How many bytes more it holds after a write.
    pub(super) fn growth(&self, offset: u64, length: usize) -> u64 {
        let grown = pieces(offset, length).map(|Piece { block, within, range }| {
            let held = self.blocks.get(&block).map_or(0, Vec::len);
            (within + range.len()).saturating_sub(held) as u64
        });
        grown.sum()
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for Piece { block, within, range } in pieces(offset, bytes.len()) {
            let block = self.blocks.entry(block).or_default();
            let end = within + range.len();
            if block.len() < end {
                self.held += (end - block.len()) as u64;
                block.resize(end, 0);
            }
            block[within..end].copy_from_slice(&bytes[range]);
        }
        self.length = self.length.max(offset + bytes.len() as u64);
    }

    pub(super) fn set_len(&mut self, length: u64) {
        if length < self.length {
            let (last, within) = (length / BLOCK_BYTES as u64, (length % BLOCK_BYTES as u64) as usize);
            for (_, block) in self.blocks.split_off(&(last + 1)) {
                self.held -= block.len() as u64;
            }
            if let Some(block) = self.blocks.get_mut(&last) {
                self.held -= block.len().saturating_sub(within) as u64;
                block.truncate(within);
                block.shrink_to_fit();
            }
        }
        self.length = length;
    }
}

/// The part of some bytes that lies in one block.
struct Piece {
    block: u64,
    /// Where it begins in the block.
    within: usize,
    /// Where it lies in the bytes.
    range: std::ops::Range<usize>,
}

fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = (at % BLOCK_BYTES as u64) as usize;
        let count = (length - done).min(BLOCK_BYTES - within);
        let piece = Piece { block: at / BLOCK_BYTES as u64, within, range: done..done + count };
        done += count;
        (count > 0).then_some(piece)
    })
}
