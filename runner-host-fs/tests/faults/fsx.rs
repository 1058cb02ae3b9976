//! A random stream of operations from inside a guest, over each backend and over wasmtime's own filesystem on a directory: bytes,
//! sizes, names, times and errors are compared step by step. What may differ is named in one table, with its reason.

mod components; // wasi:filesystem 0.2
mod modules; // preview 1
mod table; // what differs

use std::collections::BTreeMap;
use std::path::Path;

use runner_core::Executor;
use runner_host_fs::{LocalFs, MemoryFs, Mode, S3Fs, S3Settings, Vfs, View, Volume};
use runner_s3::Server;
use tempfile::TempDir;

use super::{Chance, call, is_long, seed, settings, tree};
use crate::support::executor;
use table::DEVIATIONS;

/// Few, so that they meet.
const PATHS: [&str; 12] = ["a", "b", "c", "a/a", "a/b", "b/a", "b/c", "c/a", "a/a/a", "a/b/c", "b/c/a", "d/b/a"];
/// None leads out.
const TARGETS: [&str; 6] = ["a", "b", "a/b", "c", "none", "b/c"];
/// What is open at the same time.
const SLOTS: u64 = 4;
/// Seeds that are tried by default, and where all is asked for.
const SEEDS: (u64, u64) = (3, 200);
/// Steps of one seed.
const STEPS: usize = 300;
/// Times before it are what somebody has set; later ones are the clock's.
const CLOCK_SECONDS: u64 = 1_600_000_000;

/// Of preview 1, those that steps like these end with.
const ERRORS: [&str; 11] =
    ["badf", "noent", "notdir", "isdir", "exist", "inval", "notempty", "loop", "perm", "notsup", "nametoolong"];

fn seeds() -> std::ops::Range<u64> {
    let count = if is_long() { SEEDS.1 } else { SEEDS.0 };
    seed()..seed() + std::env::var("RUNNER_FS_CASES").map_or(count, |text| text.parse().expect("a number"))
}

fn any<T: Copy>(chance: &mut Chance, of: &[T]) -> T {
    of[chance.below(of.len() as u64) as usize]
}

/// Some letters of a few, each with an even chance.
fn letters(chance: &mut Chance, of: &str) -> String {
    of.chars().filter(|_| chance.below(2) == 0).collect()
}

/// A place in a file: mostly near the beginning, at times behind a block, at times behind what is small in a bucket.
fn offset(chance: &mut Chance) -> u64 {
    match chance.below(20) {
        0 => 260_000 + chance.below(5_000),
        1 => 16_370 + chance.below(30),
        2 => 4_090 + chance.below(12),
        _ => chance.below(40),
    }
}

/// One of ours: a volume that an executor lends, and what one sees of it afterwards.
struct Backend {
    name: &'static str,
    mode: &'static str,
    executor: Executor,
    after: After,
}

enum After {
    Memory(MemoryFs),
    Directory(TempDir),
    Bucket(Box<S3Settings>),
}

impl Backend {
    /// All backends, new. A file of a bucket has one name: where there are links, there is none.
    async fn all(server: &Server, case: u64, hard_links: bool) -> Vec<Backend> {
        let mut all = Vec::new();
        for mode in ["on-sync", "on-success"] {
            let drafts = mode == "on-success";
            let memory = MemoryFs::default();
            all.push(Backend {
                name: if drafts { "a draft over memory" } else { "memory" },
                mode,
                executor: executor(memory.clone()),
                after: After::Memory(memory),
            });
            let folder = tempfile::tempdir().expect("a folder");
            all.push(Backend {
                name: if drafts { "a draft over a directory" } else { "a directory" },
                mode,
                executor: executor(LocalFs::open(folder.path()).expect("it opens")),
                after: After::Directory(folder),
            });
            if !hard_links {
                let mut settings = settings(&server.endpoint());
                settings.prefix = format!("case-{case}-{mode}");
                let volume = S3Fs::connect(settings.clone()).await.expect("the store is there");
                all.push(Backend {
                    name: if drafts { "a draft over a bucket" } else { "a bucket" },
                    mode,
                    executor: executor(volume),
                    after: After::Bucket(Box::new(settings)),
                });
            }
        }
        all
    }

    /// What is there when all is committed, for a call that begins then.
    async fn tree(&self) -> String {
        match &self.after {
            After::Memory(memory) => tree(memory).await,
            After::Directory(folder) => of_directory(folder.path()).await,
            After::Bucket(settings) => {
                let volume = S3Fs::connect(S3Settings::clone(settings)).await.expect("the store is there");
                tree(&*call(&volume, Mode::ReadOnly).1).await
            }
        }
    }
}

/// What a directory of the machine holds.
async fn of_directory(path: &Path) -> String {
    let files = LocalFs::open(path).expect("it opens");
    let session = Volume::open(&files, &View { mode: Mode::ReadOnly, ..View::all() });
    let files: std::sync::Arc<dyn Vfs> = session.expect("it opens").files();
    tree(&*files).await
}

/// What was compared, and which deviations were met how often.
#[derive(Default)]
struct Compared {
    steps: u64,
    /// Of which wasmtime had said that they went well.
    well: u64,
    met: BTreeMap<&'static str, u64>,
    wrong: BTreeMap<String, u64>,
}

impl Compared {
    /// Whether two answers are the same, or known to differ; notes what is wrong.
    fn step(&mut self, backend: &str, step: &str, (ours, stock): (&str, &str), at: &str) -> bool {
        self.steps += 1;
        self.well += u64::from(!stock.starts_with('{') && !ERRORS.contains(&stock));
        if ours == stock {
            return true;
        }
        let known = DEVIATIONS.iter().find(|known| known.holds(step, ours, stock));
        match known {
            Some(known) => *self.met.entry(known.why).or_default() += 1,
            None => {
                let verb = step.split([' ', ',']).next().unwrap_or_default();
                let cut = |text: &str| text.chars().take(60).collect::<String>();
                let what = format!("{verb}: stock `{}`, {backend} `{}`", cut(stock), cut(ours));
                println!("WRONG {at}: {step}: {what}");
                *self.wrong.entry(what).or_default() += 1;
            }
        }
        known.is_some()
    }

    fn tree(&mut self, backend: &str, (ours, stock): (&str, &str), at: &str) {
        if ours != stock {
            println!("WRONG {at}: {backend} in the end:\n{ours}\nstock:\n{stock}");
            *self.wrong.entry(format!("{backend}: another tree in the end")).or_default() += 1;
        }
    }

    fn told(&self, what: &str) {
        println!(
            "{what}: seeds {:?}, {} answers compared, {} of steps that went well; what differs and why:",
            seeds(),
            self.steps,
            self.well
        );
        for (why, times) in &self.met {
            println!("{times:>8}  {why}");
        }
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }
}
