//! A tree's values in the standard's words, and back.

use std::hash::{DefaultHasher, Hash, Hasher};

use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;

use super::bindings::wasi::filesystem::types::{
    DescriptorStat, DescriptorType, ErrorCode, MetadataHashValue, NewTimestamp,
};
use crate::vfs::{Kind, SetTime, SetTimes, Stat};

pub(super) fn kind(kind: Kind) -> DescriptorType {
    match kind {
        Kind::File => DescriptorType::RegularFile,
        Kind::Directory => DescriptorType::Directory,
        Kind::Symlink => DescriptorType::SymbolicLink,
        Kind::Other => DescriptorType::Unknown,
    }
}

pub(super) fn shown(stat: &Stat) -> DescriptorStat {
    DescriptorStat {
        type_: kind(stat.kind),
        link_count: stat.links,
        size: stat.size,
        data_access_timestamp: Some(datetime(stat.accessed_ns)),
        data_modification_timestamp: Some(datetime(stat.modified_ns)),
        status_change_timestamp: Some(datetime(stat.changed_ns)),
    }
}

/// By what a file is told from all others: device and inode.
pub(super) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.device, stat.inode)
}

/// Libraries make an inode of it: it is of the file alone, and the same for as long as that is there.
pub(super) fn hash(identity: (u64, u64)) -> MetadataHashValue {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, identity).hash(&mut hasher);
        hasher.finish()
    };
    MetadataHashValue { lower: half(0), upper: half(1) }
}

const NS_EACH_SECOND: u64 = 1_000_000_000;

fn datetime(ns: u64) -> Datetime {
    let nanoseconds = u32::try_from(ns % NS_EACH_SECOND).expect("what is left of a second fits");
    Datetime { seconds: ns / NS_EACH_SECOND, nanoseconds }
}

pub(super) fn times(accessed: NewTimestamp, modified: NewTimestamp) -> Result<SetTimes, ErrorCode> {
    Ok(SetTimes { accessed: time(accessed)?, modified: time(modified)? })
}

fn time(new: NewTimestamp) -> Result<SetTime, ErrorCode> {
    Ok(match new {
        NewTimestamp::NoChange => SetTime::Keep,
        NewTimestamp::Now => SetTime::Now,
        NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }) => {
            let ns = seconds.checked_mul(NS_EACH_SECOND).and_then(|ns| ns.checked_add(u64::from(nanoseconds)));
            SetTime::To(ns.ok_or(ErrorCode::Overflow)?)
        }
    })
}
