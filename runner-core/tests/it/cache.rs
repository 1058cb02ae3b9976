//! Compiled code: a second process starts without compiling, and what does not verify is compiled again, never run.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use runner_core::{
    Bounds, CodeStore, DirectoryStore, ErrorKind, Executor, Grants, LocalStore, Metering, ModuleId, Program,
    VerifiedStore, async_trait,
};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{guest, small, turns, value};

const KEY: &[u8] = b"a key of thirty-two bytes, or so.";

/// What another process would be: an executor that shares nothing but the directory.
fn with_local(directory: &Path) -> Executor {
    let store = LocalStore::open(directory).expect("the store opens");
    Executor::builder().bounds(small()).local_store(store).build().expect("it starts")
}

fn with_verified(shared: &Path, local: &Path, key: &[u8]) -> Executor {
    let local = LocalStore::open(local).expect("the store opens");
    let store = VerifiedStore::new(DirectoryStore::new(shared), key, local).expect("the key fits");
    Executor::builder().bounds(small()).verified_store(store).build().expect("it starts")
}

async fn load(executor: &Executor, name: &str) -> Program {
    executor.load(guest(name), &Grants::none()).await.expect("it loads")
}

/// How long the load compiled: zero where the code was there.
async fn compiled(executor: &Executor) -> Duration {
    let outcome = load(executor, "gcd.wat").await.call("gcd").args(json!([48, 36])).run().await.expect("it runs");
    let compile = outcome.usage.compile;
    assert_eq!(value(outcome), json!(12));
    compile
}

/// The same, and waits until what is written beside the call is there.
async fn compiled_and_kept(executor: Executor) -> Duration {
    let compile = compiled(&executor).await;
    executor.shutdown().await;
    compile
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

#[tokio::test]
async fn a_second_process_starts_from_the_local_store_without_compiling() {
    let directory = TempDir::new().expect("a directory");
    let store = directory.path().join("code");
    assert!(!compiled(&with_local(&store)).await.is_zero());
    assert!(compiled(&with_local(&store)).await.is_zero());
    // Components and wrapped modules too, under their own kind.
    assert_eq!(
        load(&with_local(&store), "greet.wasm").await.kind(),
        load(&with_local(&store), "greet.wasm").await.kind()
    );
    let again = load(&with_local(&store), "greet.wasm").await;
    assert_eq!(value(again.call("add").args(json!([1, 2])).run().await.expect("it runs")), json!(3));
    assert_eq!(files(&store).len(), 2);
}

#[tokio::test]
async fn a_module_is_loaded_by_its_id_alone_where_its_code_is_kept() {
    let directory = TempDir::new().expect("a directory");
    let store = directory.path().join("code");
    let id = ModuleId::of(guest("gcd.wat"));
    let error = with_local(&store).load_compiled(&id, &Grants::none()).await.expect_err("it is not there");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    compiled(&with_local(&store)).await;
    let program = with_local(&store).load_compiled(&id, &Grants::none()).await.expect("it is there");
    assert_eq!(program.id(), id);
    assert_eq!(value(program.call("gcd").args(json!([48, 36])).run().await.expect("it runs")), json!(12));
}

#[tokio::test]
async fn metering_is_part_of_the_key() {
    let directory = TempDir::new().expect("a directory");
    let executor = with_local(&directory.path().join("code"));
    for metering in [Metering::Epochs, Metering::Fuel, Metering::None] {
        executor.load(guest("gcd.wat"), &Grants::none()).metering(metering).await.expect("it loads");
    }
    assert_eq!(files(&directory.path().join("code")).len(), 3);
}

#[tokio::test]
async fn a_local_store_that_others_can_touch_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let check = |name: &str, words: &str| {
        let error = LocalStore::open(directory.path().join(name)).expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains(words), "`{error}` does not say `{words}`");
    };
    for mode in [0o755, 0o770, 0o701, 0o777] {
        let path = directory.path().join("loose");
        fs::create_dir_all(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        check("loose", &format!("has mode {mode:04o}, expected 0700"));
    }
    fs::create_dir(directory.path().join("private")).expect("made");
    fs::set_permissions(directory.path().join("private"), fs::Permissions::from_mode(0o700)).expect("set");
    symlink(directory.path().join("private"), directory.path().join("link")).expect("linked");
    check("link", "is not a directory of its own");
    LocalStore::open(directory.path().join("private")).expect("a private one is taken");
}

#[tokio::test]
async fn a_local_store_that_can_be_replaced_from_above_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let above = directory.path().join("above");
    fs::create_dir(&above).expect("made");
    let open = |mode: u32| {
        fs::set_permissions(&above, fs::Permissions::from_mode(mode)).expect("set");
        LocalStore::open(above.join("between/code"))
    };
    for mode in [0o777, 0o775, 0o722] {
        let error = open(mode).expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let words = format!("above`, of user {} with mode {mode:04o}", rustix::process::geteuid().as_raw());
        assert!(error.to_string().contains(&words), "`{error}` does not say `{words}`");
    }
    for mode in [0o700, 0o755, 0o1777] {
        open(mode).expect("nobody else can replace what lies below");
    }
}

#[tokio::test]
async fn a_local_store_holds_to_its_size_and_forgets_the_oldest() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("code");
    let executor = |bytes| {
        let store = LocalStore::open(&path).expect("it opens").bytes_max(bytes);
        Executor::builder().bounds(small()).local_store(store).build().expect("it starts")
    };
    let is_kept = |module: &'static str| {
        let (executor, id) = (executor(u64::MAX), ModuleId::of(guest(module)));
        async move { executor.load_compiled(&id, &Grants::none()).await.is_ok() }
    };
    load(&executor(u64::MAX), "gcd.wat").await;
    let one = files(&path)[0].metadata().expect("a file").len();
    fs::File::open(&files(&path)[0]).and_then(|file| file.set_modified(std::time::UNIX_EPOCH)).expect("made old");
    load(&executor(u64::MAX), "sum_of_2_ints.wat").await;
    assert!(is_kept("gcd.wat").await && is_kept("sum_of_2_ints.wat").await);
    // Room for two of the three.
    load(&executor(one * 5 / 2), "max_of_2_ints.wat").await;
    assert!(!is_kept("gcd.wat").await);
    assert!(is_kept("sum_of_2_ints.wat").await && is_kept("max_of_2_ints.wat").await);
}

#[tokio::test]
async fn an_artefact_of_another_engine_is_compiled_again() {
    let directory = TempDir::new().expect("a directory");
    let store = directory.path().join("code");
    compiled(&with_local(&store)).await;
    // What an older version of the engine would have left under the same name.
    let path = files(&store).remove(0);
    let mut artefact = fs::read(&path).expect("read");
    // The engine's section: a format byte, the length of its version, the version.
    let version =
        artefact.windows(3).position(|window| window == b"\x0248").expect("the version stands in the artefact");
    artefact[version + 1] = b'1';
    fs::remove_file(&path).expect("removed");
    fs::write(&path, artefact).expect("written");
    assert!(!compiled(&with_local(&store)).await.is_zero());
}

#[tokio::test]
async fn the_verified_door_shares_code_between_hosts() {
    let directory = TempDir::new().expect("a directory");
    let (shared, here, there) = places(&directory);
    assert!(!compiled_and_kept(with_verified(&shared, &here, KEY)).await.is_zero());
    // Another host: its local store is empty, the shared place is not.
    // It runs at once; that it is kept is the executor's to see to before it ends.
    assert!(compiled_and_kept(with_verified(&shared, &there, KEY)).await.is_zero());
    assert_eq!(files(&there).len(), 1, "what verified has entered the local store");
    fs::remove_dir_all(&shared).expect("removed");
    assert!(compiled(&with_verified(&shared, &there, KEY)).await.is_zero(), "and is enough by itself");
}

fn places(directory: &TempDir) -> (PathBuf, PathBuf, PathBuf) {
    let place = |name: &str| directory.path().join(name);
    fs::create_dir(place("shared")).expect("made");
    (place("shared"), place("here"), place("there"))
}

#[tokio::test]
async fn what_does_not_verify_is_compiled_again_never_run() {
    type Tamper = fn(&mut Vec<u8>);
    let tamperings: [(&str, Tamper); 5] = [
        ("one bit of code", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }),
        ("one bit of the seal", |bytes| bytes[0] ^= 1),
        ("truncated", |bytes| bytes.truncate(bytes.len() - 1)),
        ("shorter than a seal", |bytes| bytes.truncate(10)),
        ("empty", Vec::clear),
    ];
    for (what, tamper) in tamperings {
        let directory = TempDir::new().expect("a directory");
        let (shared, here, there) = places(&directory);
        compiled_and_kept(with_verified(&shared, &here, KEY)).await;
        let path = files(&shared).remove(0);
        let mut sealed = fs::read(&path).expect("read");
        tamper(&mut sealed);
        fs::write(&path, &sealed).expect("written");
        assert!(!compiled_and_kept(with_verified(&shared, &there, KEY)).await.is_zero(), "{what}");
        // The good one has replaced it.
        assert_ne!(fs::read(&path).expect("read"), sealed, "{what}");
    }
}

#[tokio::test]
async fn what_was_sealed_with_another_key_or_for_another_module_is_compiled_again() {
    let directory = TempDir::new().expect("a directory");
    let (shared, here, there) = places(&directory);
    compiled_and_kept(with_verified(&shared, &here, KEY)).await;
    let other = b"another key of thirty-two bytes!!";
    assert!(!compiled(&with_verified(&shared, &there, other)).await.is_zero());

    let directory = TempDir::new().expect("a directory");
    let (shared, here, there) = places(&directory);
    let first = with_verified(&shared, &here, KEY);
    load(&first, "sum_of_2_ints.wat").await;
    first.shutdown().await;
    let sum = files(&shared).remove(0);
    compiled_and_kept(with_verified(&shared, &here, KEY)).await;
    let gcd = files(&shared).into_iter().find(|path| *path != sum).expect("two artefacts");
    // Good code, well sealed, under another module's name.
    fs::copy(&sum, &gcd).expect("copied");
    assert!(!compiled(&with_verified(&shared, &there, KEY)).await.is_zero());
}

#[tokio::test]
async fn a_short_key_is_refused() {
    let directory = TempDir::new().expect("a directory");
    let local = LocalStore::open(directory.path().join("code")).expect("it opens");
    let error = VerifiedStore::new(DirectoryStore::new(directory.path()), b"short", local).err().expect("too short");
    assert!(error.to_string().contains("needs 32 bytes, found 5"), "{error}");
}

#[tokio::test]
async fn a_shared_place_that_is_away_costs_a_compilation_and_no_more() {
    let directory = TempDir::new().expect("a directory");
    let executor = with_verified(&directory.path().join("absent"), &directory.path().join("here"), KEY);
    assert!(!compiled(&executor).await.is_zero());
}

#[tokio::test]
async fn a_module_that_many_ask_for_at_once_compiles_once() {
    let directory = TempDir::new().expect("a directory");
    let executor = with_local(&directory.path().join("code"));
    let loads = (0..20).map(|_| async { compiled(&executor).await });
    let times = futures::future::join_all(loads).await;
    assert_eq!(times.iter().filter(|time| !time.is_zero()).count(), 1);
}

#[tokio::test]
async fn what_anyone_may_have_put_in_the_shared_place_costs_a_compilation_and_no_more() {
    for put in [
        // A pipe would never end.
        |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().expect("it runs").success()),
        // A sparse file would fill the memory.
        |path: &Path| fs::File::create(path).and_then(|file| file.set_len(1 << 40)).expect("made"),
        |path: &Path| fs::create_dir(path).expect("made"),
    ] {
        let directory = TempDir::new().expect("a directory");
        let (shared, here, there) = places(&directory);
        compiled_and_kept(with_verified(&shared, &here, KEY)).await;
        let path = files(&shared).remove(0);
        fs::remove_file(&path).expect("removed");
        put(&path);
        assert!(!compiled(&with_verified(&shared, &there, KEY)).await.is_zero());
    }
}

/// A place that hangs, for reading or for writing.
struct Hanging {
    reads: bool,
    writes: bool,
}

#[async_trait]
impl CodeStore for Hanging {
    async fn get(&self, _name: &str) -> io::Result<Option<Bytes>> {
        match self.reads {
            true => std::future::pending().await,
            false => Ok(None),
        }
    }

    async fn put(&self, _name: &str, _sealed: Bytes) -> io::Result<()> {
        match self.writes {
            true => std::future::pending().await,
            false => Ok(()),
        }
    }
}

fn hanging(directory: &TempDir, reads: bool, writes: bool, bounds: Bounds) -> Executor {
    let local = LocalStore::open(directory.path().join("code")).expect("the store opens");
    let store = VerifiedStore::new(Hanging { reads, writes }, KEY, local).expect("the key fits");
    Executor::builder().bounds(bounds).verified_store(store).build().expect("it starts")
}

#[tokio::test]
async fn a_shared_place_that_hangs_is_waited_for_ten_seconds_and_no_more() {
    let directory = TempDir::new().expect("a directory");
    let executor = hanging(&directory, true, false, small());
    tokio::time::pause();
    let (load, ()) = futures::join!(compiled(&executor), async {
        turns().await;
        tokio::time::advance(Duration::from_secs(10)).await;
        // What is left is real work.
        tokio::time::resume();
    });
    assert!(!load.is_zero(), "it was compiled");
}

#[tokio::test]
async fn sharing_with_a_place_that_hangs_holds_up_no_call_and_shutdown_for_ten_seconds() {
    let directory = TempDir::new().expect("a directory");
    let executor = hanging(&directory, false, true, small());
    assert!(!compiled(&executor).await.is_zero());
    tokio::time::pause();
    let before = tokio::time::Instant::now();
    executor.shutdown().await;
    // Some of the ten had passed before the clock stood still.
    let waited = before.elapsed();
    assert!(waited > Duration::from_secs(5) && waited <= Duration::from_millis(10_001), "{waited:?}");
}

#[tokio::test]
async fn a_load_waits_for_another_of_the_same_module_twice_as_long_as_a_compilation_may_take() {
    let directory = TempDir::new().expect("a directory");
    let executor = hanging(&directory, true, false, Bounds { compile: Duration::from_secs(4), ..small() });
    tokio::time::pause();
    let waits = async {
        turns().await;
        executor.load(guest("gcd.wat"), &Grants::none()).await
    };
    let wind = async {
        turns().await;
        turns().await;
        tokio::time::advance(Duration::from_secs(8)).await;
        turns().await;
        tokio::time::advance(Duration::from_secs(2)).await;
        tokio::time::resume();
    };
    let (first, second, ()) = futures::join!(load(&executor, "gcd.wat"), waits, wind);
    assert_eq!(first.exports().len(), 1, "it compiles");
    let error = second.expect_err("it waited long enough");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "another load of this module took over 8s"));
}

/// A place that counts who reads there at once, and answers nobody.
struct Counting(Arc<AtomicUsize>);

#[async_trait]
impl CodeStore for Counting {
    async fn get(&self, _name: &str) -> io::Result<Option<Bytes>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }

    async fn put(&self, _name: &str, _sealed: Bytes) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_shared_place_is_read_by_four_at_once() {
    let directory = TempDir::new().expect("a directory");
    let local = LocalStore::open(directory.path().join("code")).expect("the store opens");
    let reading = Arc::new(AtomicUsize::new(0));
    let store = VerifiedStore::new(Counting(Arc::clone(&reading)), KEY, local).expect("the key fits");
    let executor = Executor::builder().bounds(small()).verified_store(store).build().expect("it starts");
    tokio::time::pause();
    let names = ["gcd.wat", "swap.wat", "counter.wat", "factorial.wat", "fibonacci.wat", "is_prime.wat"];
    let loads = futures::future::join_all(names.map(|name| load(&executor, name)));
    let wind = async {
        turns().await;
        assert_eq!(reading.load(Ordering::Relaxed), 4, "the others wait");
        // They wait no longer for their turn than for an answer.
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::resume();
    };
    let (programs, ()) = futures::join!(loads, wind);
    assert_eq!(programs.len(), names.len(), "all are compiled");
}
