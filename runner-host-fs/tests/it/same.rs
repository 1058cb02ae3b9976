//! Whatever is done to them, no tree differs from another, nor from a directory of the machine as std has it.
//!
//! A seed of one's own: `RUNNER_FS_SEED=7 RUNNER_FS_CASES=10000 cargo test -p runner-host-fs same`.

use std::fs;
use std::io::{self, ErrorKind as Io};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngSeed, TestRunner};
use runner_host_fs::{
    ErrorKind, File, Follow, Kind, LocalFs, MemoryFs, Mounts, Open, Overlay, Quota, QuotaLimits, SetTime, SetTimes,
    VPath, Vfs, VfsExt,
};
use rustix::fs::{AtFlags, CWD, OFlags, Timespec, Timestamps, UTIME_OMIT, linkat, utimensat};

/// Few, so that they meet.
const PATHS: [&str; 12] = ["a", "b", "c", "a/a", "a/b", "b/a", "b/c", "c/a", "a/a/a", "a/b/c", "b/c/a", "d/b/a"];
const TARGETS: [&str; 7] = ["a", "b", "a/b", "b/c", ".", "c", "none"];
/// Where they lead out, std would follow.
const TARGETS_UP: [&str; 6] = ["..", "../a", "../b/c", "../..", "../../a/a", "a/../b"];
/// Files that are open at the same time.
const SLOTS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Open(usize, &'static str, Open),
    Close(usize),
    WriteAt(usize, u64, Vec<u8>),
    Append(usize, Vec<u8>),
    SetLen(usize, u64),
    ReadAt(usize, u64, usize),
    StatOpen(usize),
    Write(&'static str, Vec<u8>),
    Read(&'static str),
    CreateDir(&'static str),
    RemoveFile(&'static str),
    RemoveDir(&'static str),
    Rename(&'static str, &'static str),
    Link(&'static str, Follow, &'static str),
    Symlink(&'static str, &'static str),
    Readlink(&'static str),
    Stat(&'static str, Follow),
    SetTimes(&'static str, Follow, u64),
    List(&'static str),
}

/// What is seen of a step, as text where it went well.
type Seen = Result<String, ErrorKind>;

fn open() -> impl Strategy<Value = Open> {
    let follow = prop_oneof![3 => Just(Follow::Yes), 1 => Just(Follow::No)];
    let flags = any::<(bool, bool, bool, bool)>();
    (flags, prop::bool::weighted(0.15), follow).prop_map(|((write, create, exclusive, truncate), directory, follow)| {
        Open {
            read: true,
            write,
            create,
            exclusive: exclusive && create,
            truncate: truncate && write,
            directory,
            follow,
        }
    })
}

fn step(targets: Vec<&'static str>) -> impl Strategy<Value = Step> {
    let path = || select(PATHS.to_vec());
    let bytes = || prop::collection::vec(any::<u8>(), 0..20);
    let follow = || select(vec![Follow::Yes, Follow::No]);
    let offset = || prop_oneof![4 => 0..40_u64, 1 => 16_370..16_400_u64, 1 => 32_760..33_000_u64];
    prop_oneof![
        4 => (0..SLOTS, path(), open()).prop_map(|(slot, path, how)| Step::Open(slot, path, how)),
        1 => (0..SLOTS).prop_map(Step::Close),
        2 => (0..SLOTS, offset(), bytes()).prop_map(|(slot, offset, bytes)| Step::WriteAt(slot, offset, bytes)),
        2 => (0..SLOTS, bytes()).prop_map(|(slot, bytes)| Step::Append(slot, bytes)),
        1 => (0..SLOTS, offset()).prop_map(|(slot, length)| Step::SetLen(slot, length)),
        2 => (0..SLOTS, offset(), 0..50_000_usize).prop_map(|(slot, offset, most)| Step::ReadAt(slot, offset, most)),
        1 => (0..SLOTS).prop_map(Step::StatOpen),
        3 => (path(), bytes()).prop_map(|(path, bytes)| Step::Write(path, bytes)),
        2 => path().prop_map(Step::Read),
        5 => path().prop_map(Step::CreateDir),
        2 => path().prop_map(Step::RemoveFile),
        2 => path().prop_map(Step::RemoveDir),
        5 => (path(), path()).prop_map(|(from, to)| Step::Rename(from, to)),
        2 => (path(), follow(), path()).prop_map(|(from, follow, to)| Step::Link(from, follow, to)),
        3 => (select(targets), path()).prop_map(|(target, path)| Step::Symlink(target, path)),
        1 => path().prop_map(Step::Readlink),
        2 => (path(), follow()).prop_map(|(path, follow)| Step::Stat(path, follow)),
        1 => (path(), follow(), 1..1_000_u64).prop_map(|(path, follow, s)| Step::SetTimes(path, follow, s * 1_000_000_007)),
        1 => path().prop_map(Step::List),
    ]
}

fn told(kind: Kind, size: u64, links: u64) -> String {
    match kind {
        Kind::File => format!("file, {size} bytes, {links} names"),
        Kind::Symlink => format!("link, {size} bytes"),
        Kind::Directory => "directory".to_owned(),
        Kind::Other => "other".to_owned(),
    }
}

/// One of ours.
struct Ours {
    name: &'static str,
    vfs: Arc<dyn Vfs>,
    open: [Option<Arc<dyn File>>; SLOTS],
    reads_what_was: [bool; SLOTS],
}

impl Ours {
    fn new(name: &'static str, vfs: impl Vfs) -> Self {
        Ours { name, vfs: Arc::new(vfs), open: Default::default(), reads_what_was: [false; SLOTS] }
    }

    /// Whether a step asks a file of the overlay that was opened for reading: it may be the one below, as it was then.
    fn reads_what_was(&mut self, step: &Step) -> bool {
        match step {
            Step::Open(slot, _, how) => {
                self.reads_what_was[*slot] = self.name == "overlay" && !how.write;
                false
            }
            Step::WriteAt(slot, ..) | Step::Append(slot, _) | Step::SetLen(slot, _) => self.reads_what_was[*slot],
            Step::ReadAt(slot, ..) | Step::StatOpen(slot) => self.reads_what_was[*slot],
            _ => false,
        }
    }

    async fn step(&mut self, step: &Step) -> Seen {
        self.done(step).await.map_err(|error| error.kind())
    }

    async fn done(&mut self, step: &Step) -> runner_host_fs::Result<String> {
        let at = |path: &str| VPath::new(path).expect("a path");
        let vfs = &self.vfs;
        let file = |slot: usize| self.open[slot].clone();
        Ok(match step {
            Step::Open(slot, path, how) => {
                self.open[*slot] = None;
                self.open[*slot] = Some(vfs.open(&at(path), *how).await?);
                String::new()
            }
            Step::Close(slot) => {
                if let Some(file) = self.open[*slot].take() {
                    file.close().await?;
                }
                String::new()
            }
            Step::WriteAt(slot, offset, bytes) => match file(*slot) {
                Some(file) => format!("{:?}", file.write_at(*offset, bytes.clone().into()).await?),
                None => String::new(),
            },
            Step::Append(slot, bytes) => match file(*slot) {
                Some(file) => file.append(bytes.clone().into()).await?.to_string(),
                None => String::new(),
            },
            Step::SetLen(slot, length) => match file(*slot) {
                Some(file) => format!("{:?}", file.set_len(*length).await?),
                None => String::new(),
            },
            Step::ReadAt(slot, offset, most) => match file(*slot) {
                Some(file) => format!("{:?}", file.read_at(*offset, *most).await?.to_vec()),
                None => String::new(),
            },
            Step::StatOpen(slot) => match file(*slot) {
                Some(file) => {
                    let stat = file.stat().await?;
                    told(stat.kind, stat.size, stat.links)
                }
                None => String::new(),
            },
            Step::Write(path, bytes) => format!("{:?}", vfs.write(&at(path), bytes.clone().into()).await?),
            Step::Read(path) => format!("{:?}", vfs.read(&at(path), 1 << 20).await?.to_vec()),
            Step::CreateDir(path) => format!("{:?}", vfs.create_dir(&at(path)).await?),
            Step::RemoveFile(path) => format!("{:?}", vfs.remove_file(&at(path)).await?),
            Step::RemoveDir(path) => format!("{:?}", vfs.remove_dir(&at(path)).await?),
            Step::Rename(from, to) => format!("{:?}", vfs.rename(&at(from), &at(to)).await?),
            Step::Link(from, follow, to) => format!("{:?}", vfs.link(&at(from), *follow, &at(to)).await?),
            Step::Symlink(target, path) => format!("{:?}", vfs.symlink(target, &at(path)).await?),
            Step::Readlink(path) => vfs.readlink(&at(path)).await?,
            Step::Stat(path, follow) => {
                let stat = vfs.stat(&at(path), *follow).await?;
                told(stat.kind, stat.size, stat.links)
            }
            Step::SetTimes(path, follow, ns) => {
                let times = SetTimes { modified: SetTime::To(*ns), ..SetTimes::default() };
                vfs.set_times(&at(path), *follow, times).await?;
                vfs.stat(&at(path), *follow).await?.modified_ns.to_string()
            }
            Step::List(path) => {
                let entries = vfs.list_all(&at(path)).await?;
                entries.iter().map(|entry| format!("{}: {:?}\n", entry.name, entry.kind)).collect()
            }
        })
    }

    /// All that is there.
    async fn tree(&self) -> String {
        let (mut found, mut walk) = (String::new(), self.vfs.walk(&VPath::root()));
        while let Some((path, kind)) = walk.next().await.expect("a tree is walked") {
            let holds = match kind {
                Kind::File => format!("{:?}", self.vfs.read(&path, 1 << 20).await.expect("a file is read").to_vec()),
                Kind::Symlink => self.vfs.readlink(&path).await.expect("a link is read"),
                _ => String::new(),
            };
            found += &format!("{path} {kind:?} {holds}\n");
        }
        found
    }
}

/// A directory of the machine, by std and by the calls that std lacks.
struct Real {
    root: PathBuf,
    open: [Option<(fs::File, bool)>; SLOTS],
}

impl Real {
    fn step(&mut self, step: &Step) -> Seen {
        self.done(step).map_err(|error| match error.kind() {
            _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => ErrorKind::Loop,
            _ if error.raw_os_error() == Some(rustix::io::Errno::BADF.raw_os_error()) => ErrorKind::BadDescriptor,
            _ if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) => ErrorKind::NotPermitted,
            Io::NotFound => ErrorKind::NotFound,
            Io::AlreadyExists => ErrorKind::Exists,
            Io::NotADirectory => ErrorKind::NotDirectory,
            Io::IsADirectory => ErrorKind::IsDirectory,
            Io::DirectoryNotEmpty => ErrorKind::NotEmpty,
            Io::InvalidInput => ErrorKind::Invalid,
            other => panic!("std says {other:?} of {step:?}: {error}"),
        })
    }

    fn done(&mut self, step: &Step) -> io::Result<String> {
        let at = |path: &str| self.root.join(path);
        let flags = |follow| if follow == Follow::Yes { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let file = |slot: usize| self.open[slot].as_ref().map(|(file, _)| file);
        let stat_of = |metadata: fs::Metadata| {
            let kind = match metadata.file_type() {
                kind if kind.is_file() => Kind::File,
                kind if kind.is_dir() => Kind::Directory,
                _ => Kind::Symlink,
            };
            told(kind, metadata.len(), metadata.nlink())
        };
        let nothing = "()".to_owned();
        Ok(match step {
            Step::Open(slot, path, how) => {
                let path = at(path);
                self.open[*slot] = None;
                how.check().map_err(|_| io::Error::from(Io::InvalidInput))?;
                let mut flags = OFlags::empty();
                flags.set(OFlags::CREATE, how.create);
                flags.set(OFlags::EXCL, how.exclusive);
                flags.set(OFlags::DIRECTORY, how.directory);
                flags.set(OFlags::NOFOLLOW, how.follow == Follow::No);
                let mut options = fs::OpenOptions::new();
                options.read(true).write(how.write).truncate(how.truncate).custom_flags(flags.bits().cast_signed());
                self.open[*slot] = Some((options.open(path)?, how.write));
                String::new()
            }
            Step::Close(slot) => {
                self.open[*slot] = None;
                String::new()
            }
            Step::WriteAt(slot, offset, bytes) => match file(*slot) {
                Some(_) if !self.writes(*slot) => return Err(rustix::io::Errno::BADF.into()),
                Some(file) => format!("{:?}", file.write_all_at(bytes, *offset)?),
                None => String::new(),
            },
            Step::Append(slot, bytes) => match file(*slot) {
                Some(_) if !self.writes(*slot) => return Err(rustix::io::Errno::BADF.into()),
                Some(file) => {
                    file.write_all_at(bytes, file.metadata()?.len())?;
                    file.metadata()?.len().to_string()
                }
                None => String::new(),
            },
            Step::SetLen(slot, length) => match file(*slot) {
                Some(_) if !self.writes(*slot) => return Err(rustix::io::Errno::BADF.into()),
                Some(file) => format!("{:?}", file.set_len(*length)?),
                None => String::new(),
            },
            Step::ReadAt(slot, offset, most) => match file(*slot) {
                Some(file) => {
                    let mut bytes = vec![0; *most];
                    let mut read = 0;
                    loop {
                        match file.read_at(&mut bytes[read..], *offset + read as u64)? {
                            0 => break,
                            count => read += count,
                        }
                    }
                    format!("{:?}", &bytes[..read])
                }
                None => String::new(),
            },
            Step::StatOpen(slot) => match file(*slot) {
                Some(file) => stat_of(file.metadata()?),
                None => String::new(),
            },
            Step::Write(path, bytes) => format!("{:?}", fs::write(at(path), bytes)?),
            Step::Read(path) => format!("{:?}", fs::read(at(path))?),
            Step::CreateDir(path) => format!("{:?}", fs::create_dir(at(path))?),
            Step::RemoveFile(path) => format!("{:?}", fs::remove_file(at(path))?),
            Step::RemoveDir(path) => format!("{:?}", fs::remove_dir(at(path))?),
            Step::Rename(from, to) => format!("{:?}", fs::rename(at(from), at(to))?),
            Step::Link(from, follow, to) => {
                let flags = if *follow == Follow::Yes { AtFlags::SYMLINK_FOLLOW } else { AtFlags::empty() };
                linkat(CWD, at(from), CWD, at(to), flags)?;
                nothing
            }
            Step::Symlink(target, path) => format!("{:?}", std::os::unix::fs::symlink(target, at(path))?),
            Step::Readlink(path) => fs::read_link(at(path))?.display().to_string(),
            Step::Stat(path, Follow::Yes) => stat_of(fs::metadata(at(path))?),
            Step::Stat(path, Follow::No) => stat_of(fs::symlink_metadata(at(path))?),
            Step::SetTimes(path, follow, ns) => {
                let seconds = i64::try_from(ns / 1_000_000_000).expect("few");
                let to = Timespec { tv_sec: seconds, tv_nsec: i64::try_from(ns % 1_000_000_000).expect("few") };
                let keep = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
                let times = Timestamps { last_access: keep, last_modification: to };
                utimensat(CWD, at(path), &times, flags(*follow))?;
                let metadata = match follow {
                    Follow::Yes => fs::metadata(at(path))?,
                    Follow::No => fs::symlink_metadata(at(path))?,
                };
                (metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()).to_string()
            }
            Step::List(path) => {
                let mut lines = Vec::new();
                for entry in fs::read_dir(at(path))? {
                    let entry = entry?;
                    let kind = match entry.file_type()? {
                        kind if kind.is_file() => Kind::File,
                        kind if kind.is_dir() => Kind::Directory,
                        _ => Kind::Symlink,
                    };
                    lines.push(format!("{}: {kind:?}\n", entry.file_name().display()));
                }
                lines.sort_unstable();
                lines.concat()
            }
        })
    }

    fn writes(&self, slot: usize) -> bool {
        self.open[slot].as_ref().is_some_and(|(_, write)| *write)
    }
}

/// What is there before the first step: something for the overlay to lie over.
const BEFORE: [Step; 6] = [
    Step::CreateDir("a"),
    Step::CreateDir("a/b"),
    Step::CreateDir("b"),
    Step::Symlink("a/b", "c"),
    Step::Symlink("none", "b/c"),
    Step::CreateDir("a/a"),
];
const FILES: [(&str, &str); 3] = [("a/b/c", "under"), ("b/a", "lower"), ("a/a/a", "deep")];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Drives them all, and a directory by std where no link leads out of it.
fn check(targets: Vec<&'static str>, with_std: bool) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    run(step(targets), |steps| runtime.block_on(drive(&steps, with_std)));
}

/// Runs cases of random steps, as many and with the seed that the environment says.
fn run(step: impl Strategy<Value = Step>, case: impl Fn(Vec<Step>) -> Result<(), TestCaseError>) {
    let config = ProptestConfig {
        cases: u32::try_from(number("RUNNER_FS_CASES", 400)).expect("a number of cases"),
        rng_seed: RngSeed::Fixed(number("RUNNER_FS_SEED", 4)),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let strategy = prop::collection::vec(step, 1..40);
    let ran = TestRunner::new(config).run(&strategy, case);
    ran.unwrap_or_else(|error| panic!("{error}"));
}

async fn drive(steps: &[Step], with_std: bool) -> Result<(), TestCaseError> {
    let (folder, directory) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut real = Real { root: directory.path().to_owned(), open: Default::default() };
    let lower = MemoryFs::default();
    let wide = QuotaLimits { bytes: 1 << 30, files: 10_000, file_bytes: u64::MAX };
    let counted = Arc::new(Quota::new(MemoryFs::default(), wide));
    let mounts = Mounts::new().mount(VPath::root(), counted.clone()).expect("a free place");
    let mut all = [
        Ours::new("memory", MemoryFs::default()),
        Ours::new("local", LocalFs::open(folder.path()).expect("a folder opens")),
        Ours::new("mounts of a quota", mounts),
        Ours::new("lower", lower.clone()),
    ];
    let files = FILES.map(|(path, text)| Step::Write(path, text.as_bytes().to_vec()));
    for step in BEFORE.iter().chain(&files) {
        for one in &mut all {
            one.step(step).await.expect("it can be made");
        }
        real.step(step).expect("it can be made");
    }
    let below = all[3].tree().await;
    all[3] = Ours::new("overlay", Overlay::new(MemoryFs::default(), lower.clone()));

    for (number, step) in steps.iter().enumerate() {
        let expected = all[0].step(step).await;
        for one in &mut all[1..] {
            let found = one.step(step).await;
            if one.reads_what_was(step) {
                continue;
            }
            prop_assert_eq!(&found, &expected, "{} and memory differ at step {}: {:?}", one.name, number, step);
        }
        if with_std {
            let found = real.step(step);
            prop_assert_eq!(&found, &expected, "std and memory differ at step {}: {:?}", number, step);
        }
    }
    let expected = all[0].tree().await;
    for one in &all[1..] {
        prop_assert_eq!(one.tree().await, expected.clone(), "{} and memory differ in the end", one.name);
    }
    if with_std {
        let machine = Ours::new("std", LocalFs::open(directory.path()).expect("a folder opens"));
        prop_assert_eq!(machine.tree().await, expected, "std and memory differ in the end");
    }
    prop_assert_eq!(Ours::new("lower", lower).tree().await, below, "what lies below the overlay was changed");

    // What the quota has counted is what another one finds that counts it anew; what is open is closed before.
    all[2].open = Default::default();
    let kept = counted.usage().await.expect("it is counted");
    let anew = Quota::new(all[2].vfs.clone(), wide).usage().await.expect("it is counted");
    prop_assert_eq!(kept, anew, "the quota has lost count");
    Ok(())
}

#[test]
fn no_tree_differs_from_another_nor_from_what_std_does() {
    check(TARGETS.to_vec(), true);
}

#[test]
fn no_tree_differs_from_another_where_links_lead_upwards_and_out() {
    check([TARGETS.as_slice(), &TARGETS_UP].concat(), false);
}

/// A bucket, in both ways of publishing, against memory: each case below a prefix of its own.
#[cfg(feature = "s3")]
mod bucket {
    use std::sync::atomic::{AtomicU64, Ordering};

    use runner_host_fs::{Mode, S3Fs, Session, View, Volume};

    use super::*;

    struct Bucket {
        _server: runner_s3::Server,
        volume: S3Fs,
        cases: AtomicU64,
    }

    fn session(volume: &S3Fs, prefix: &str, mode: Mode) -> Arc<dyn Session> {
        let prefix = VPath::new(prefix).expect("a path");
        volume.open(&View { prefix, mode, ..View::all() }).expect("such a view can be had")
    }

    impl Bucket {
        async fn case(&self, steps: &[Step]) -> Result<(), TestCaseError> {
            let number = self.cases.fetch_add(1, Ordering::SeqCst);
            let modes = [("on success", Mode::OnSuccess), ("on sync", Mode::OnSync)];
            let prefixes = modes.map(|(_, mode)| format!("case {number}/{mode:?}"));
            let mut memory = Ours::new("memory", MemoryFs::default());
            let files = FILES.map(|(path, text)| Step::Write(path, text.as_bytes().to_vec()));
            for prefix in &prefixes {
                // What is there before was written by another call.
                let before = session(&self.volume, prefix, Mode::OnSuccess);
                let mut ours = Ours::new("before", before.files());
                for step in BEFORE.iter().chain(&files) {
                    ours.step(step).await.expect("it can be made");
                }
                drop(ours);
                before.commit().await.expect("nobody else is there");
            }
            for step in BEFORE.iter().chain(&files) {
                memory.step(step).await.expect("it can be made");
            }
            let sessions = [0, 1].map(|at| session(&self.volume, &prefixes[at], modes[at].1));
            let mut calls = [0, 1].map(|at| Ours::new(modes[at].0, sessions[at].files()));
            for (number, step) in steps.iter().enumerate() {
                let expected = memory.step(step).await;
                for call in &mut calls {
                    let found = call.step(step).await;
                    prop_assert_eq!(
                        &found,
                        &expected,
                        "{} and memory differ at step {}: {:?}",
                        call.name,
                        number,
                        step
                    );
                }
            }
            memory.open = Default::default();
            let expected = memory.tree().await;
            for ((call, session), prefix) in calls.iter_mut().zip(&sessions).zip(&prefixes) {
                call.open = Default::default();
                prop_assert_eq!(call.tree().await, expected.clone(), "{} and memory differ in the end", call.name);
                session.commit().await.expect("nobody else is there");
                let next = Ours::new("next", super::bucket::session(&self.volume, prefix, Mode::ReadOnly).files());
                prop_assert_eq!(
                    next.tree().await,
                    expected.clone(),
                    "{}: the next call finds something else",
                    call.name
                );
            }
            Ok(())
        }
    }

    fn check(targets: Vec<&'static str>) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let server = runner_s3::Server::start();
        let volume = S3Fs::connect(crate::support::bucket::settings(&server.endpoint()));
        let volume = runtime.block_on(volume).expect("the store is there");
        let bucket = Bucket { _server: server, volume, cases: AtomicU64::new(0) };
        // A file is one object: it has one name.
        let step = step(targets).prop_map(|step| match step {
            Step::Link(path, follow, _) => Step::Stat(path, follow),
            step => step,
        });
        run(step, |steps| runtime.block_on(bucket.case(&steps)));
    }

    #[test]
    fn no_bucket_differs_from_memory_and_the_next_call_finds_the_same() {
        check(TARGETS.to_vec());
    }

    #[test]
    fn no_bucket_differs_from_memory_where_links_lead_upwards_and_out() {
        check([TARGETS.as_slice(), &TARGETS_UP].concat());
    }
}
