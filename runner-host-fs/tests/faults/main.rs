//! What becomes of a bucket's files under faults: hosts that are killed, hosts that race, stores and networks that fail.
//!
//! A target of its own: it starts itself as other hosts, it takes minutes where all of it is asked for (`RUNNER_LONG=1`, as
//! `scripts/test.sh --long` does), and it is compiled in a fraction of what `it` takes.
//!
//! What is drawn by chance has a seed that is printed: `RUNNER_FS_SEED=7` is one of your own, and `RUNNER_FS_CASES=50` that many of
//! them for `fsx`.

#![cfg(feature = "s3")]
#![allow(clippy::print_stdout, reason = "what was tried, and how often it ended how, is told to whoever looks")]

mod bounded; // guests that ask for too much, and what it takes of the host
mod fsx; // random operations from inside a guest, on each backend and on wasmtime's own filesystem
mod killed; // kill -9 at each request of a commit
mod matrix; // each fault at each request
mod other; // hosts that are processes of their own
#[path = "../it/p1"]
mod p1 {
    //! What `it` drives modules with.
    #[allow(dead_code, reason = "`it` uses the rest")]
    pub(crate) mod door;
    #[allow(dead_code, reason = "`it` uses the rest")]
    pub(crate) mod steps;
}
mod race; // two hosts that write the same files
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "`it` uses the rest")]
mod support;

use std::sync::Arc;

use runner_host_fs::{Kind, Mode, S3Fs, Session, VPath, Vfs, VfsExt, View, Volume};
use runner_s3::Endpoint;

use crate::support::at;
use crate::support::bucket::{long, settings};

/// A host that knows nothing yet of a store.
async fn connect(endpoint: &Endpoint) -> S3Fs {
    S3Fs::connect(settings(endpoint)).await.expect("the store is there")
}

/// A call's view of all of a volume.
fn call(volume: &S3Fs, mode: Mode) -> (Arc<dyn Session>, Arc<dyn Vfs>) {
    let session = volume.open(&View { mode, ..View::all() }).expect("such a view can be had");
    let files = session.files();
    (session, files)
}

async fn put(files: &dyn Vfs, path: &str, bytes: &str) {
    let written = files.write(&at(path), bytes.to_owned().into()).await;
    written.unwrap_or_else(|error| panic!("`{path}`: {error}"));
}

/// All that is there: each name with its bytes, of which long ones are their number and a digest.
async fn tree(files: &dyn Vfs) -> String {
    let (mut found, mut walk) = (String::new(), files.walk(&VPath::root()));
    while let Some((path, kind)) = walk.next().await.expect("a tree is walked") {
        let holds = match kind {
            Kind::File => {
                let bytes = files.read(&path, 64 << 20).await.expect("a file is read");
                match bytes.len() {
                    0..200 => String::from_utf8_lossy(&bytes).into_owned(),
                    length => format!("{length} bytes, {:016x}", digest(&bytes)),
                }
            }
            Kind::Symlink => format!("-> {}", files.readlink(&path).await.expect("a link is read")),
            Kind::Directory | Kind::Other => String::new(),
        };
        found += &format!("{path} {kind:?} {holds}\n");
    }
    found
}

/// FNV-1a by words: nobody means to deceive it.
fn digest(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(8).map(|chunk| chunk.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte)));
    words.fold(0xcbf2_9ce4_8422_2325, |digest, word| (digest ^ word).wrapping_mul(0x0100_0000_01b3))
}

/// Whether all of it is asked for, which takes minutes.
fn is_long() -> bool {
    std::env::var_os("RUNNER_LONG").is_some()
}

/// The seed of this run.
fn seed() -> u64 {
    std::env::var("RUNNER_FS_SEED").map_or(4, |text| text.parse().expect("a number"))
}

/// Numbers by chance, the same for the same seed (SplitMix64).
struct Chance(u64);

impl Chance {
    /// A number below another one.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }
}
