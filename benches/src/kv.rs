//! Key-value stores as a guest meets them: from memory beside a map behind bare wasmtime's linker, from a file beside rusqlite
//! without a guest, and a counter that many guests swap at once beside the same swaps without guests.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use runner_core::{Bounds, Executor, Grants, Program};
use runner_host_kv::{Error, Expected, Key, Kv, MemoryStore, Namespace, SqliteStore, Store as KvStore, StoreExt};
use rusqlite::{Connection, params};
use serde_json::json;
use tempfile::TempDir;
use wasmtime::component::{Component, Linker, Resource, ResourceTable, ResourceType};
use wasmtime::{Store, StoreContextMut};

use crate::host_calls::loops;
use crate::measure::{Pace, Pairs, median};
use crate::report::Line;
use crate::{Row, Side, bare, child, guests, wait};

/// What is measured in this process.
pub const ROWS: &[Row] = &[
    Row::new("kv get, memory, wasi:keyvalue", || memory("get")).goal(2.0),
    Row::new("kv get, memory, runner:kv", || memory("get-ours")).goal(2.0),
    Row::new("kv get, SQLite beside rusqlite", || sqlite("get", false)).goal(1.5),
    Row::new("kv get, SQLite beside rusqlite, reading aside", || sqlite("get", true)),
    Row::new("kv set, SQLite beside rusqlite", || sqlite("set", false)).goal(1.5),
];

/// Keys of each store, one of which is asked for.
const KEYS: usize = 1_000;
const KEY: &str = "key-0500";
const VALUE_BYTES: usize = 1 << 10;

fn keys() -> impl Iterator<Item = String> {
    (0..KEYS).map(|number| format!("key-{number:04}"))
}

fn namespace() -> Namespace {
    Namespace::new("benches").expect("the name is short")
}

fn key(text: &str) -> Key {
    Key::new(text).expect("the key is short")
}

/// The types that bare wasmtime's functions are bound by.
mod wasi {
    wasmtime::component::bindgen!({ path: "../runner-host-kv/wit/keyvalue-draft2", world: "imports" });
}
mod own {
    wasmtime::component::bindgen!({ path: "../runner-host-kv/wit/runner-kv", world: "imports" });
}
use own::runner::kv::store as own_store;
use wasi::wasi::keyvalue::store as wasi_store;

/// All that a bare store has.
struct Bare {
    table: ResourceTable,
    kept: HashMap<String, Vec<u8>>,
}

struct Bucket;

/// What the guest imports of either interface, by typed functions as a host on wasmtime writes them.
fn bare_linker() -> wasmtime::Result<Linker<Bare>> {
    fn opened(store: &mut StoreContextMut<'_, Bare>) -> wasmtime::Result<Resource<Bucket>> {
        Ok(store.data_mut().table.push(Bucket)?)
    }
    fn found(
        store: &StoreContextMut<'_, Bare>,
        bucket: &Resource<Bucket>,
        key: &str,
    ) -> wasmtime::Result<Option<Vec<u8>>> {
        store.data().table.get(bucket)?;
        Ok(store.data().kept.get(key).cloned())
    }
    let dropped = |mut store: StoreContextMut<'_, Bare>, bucket| -> wasmtime::Result<()> {
        store.data_mut().table.delete(Resource::<Bucket>::new_own(bucket))?;
        Ok(())
    };
    let mut linker = Linker::new(bare::engine());

    let mut wasi = linker.instance("wasi:keyvalue/store@0.2.0-draft2")?;
    wasi.resource("bucket", ResourceType::host::<Bucket>(), dropped)?;
    wasi.func_wrap("open", |mut store, (_name,): (String,)| Ok((Ok::<_, wasi_store::Error>(opened(&mut store)?),)))?;
    wasi.func_wrap("[method]bucket.get", |store, (bucket, key): (Resource<Bucket>, String)| {
        Ok((Ok::<_, wasi_store::Error>(found(&store, &bucket, &key)?),))
    })?;
    wasi.func_wrap(
        "[method]bucket.set",
        |mut store: StoreContextMut<'_, Bare>, (bucket, key, value): (Resource<Bucket>, String, Vec<u8>)| {
            store.data().table.get(&bucket)?;
            store.data_mut().kept.insert(key, value);
            Ok((Ok::<_, wasi_store::Error>(()),))
        },
    )?;

    let mut own = linker.instance("runner:kv/store@0.1.0")?;
    own.resource("bucket", ResourceType::host::<Bucket>(), dropped)?;
    own.func_wrap("open", |mut store, (_name,): (String,)| Ok((Ok::<_, own_store::Error>(opened(&mut store)?),)))?;
    own.func_wrap("[method]bucket.get", |store, (bucket, key): (Resource<Bucket>, String)| {
        let found = found(&store, &bucket, &key)?;
        let entry = found.map(|value| own_store::Entry { value, version: 1, ends_in: None });
        Ok((Ok::<_, own_store::Error>(entry),))
    })?;
    Ok(linker)
}

fn memory(function: &'static str) -> (Side, Side) {
    let component = Component::new(bare::engine(), guests::component("kv-loop")).expect("it compiles");
    let kept = keys().map(|key| (key, vec![b'v'; VALUE_BYTES])).collect();
    let mut store = Store::new(bare::engine(), Bare { table: ResourceTable::new(), kept });
    let linker = bare_linker().expect("each name is new");
    let instance = wait(linker.instantiate_async(&mut store, &component)).expect("it starts");
    let run = instance.get_typed_func::<(&str, u32), (u64,)>(&mut store, function).expect("it is there");
    let bare = loops(async move |times| {
        let (bytes,) = run.call_async(&mut store, (KEY, times)).await.expect("it returns");
        assert_eq!(bytes, u64::from(times) * VALUE_BYTES as u64);
    });
    (bare, guest(MemoryStore::new(), function))
}

/// A guest that reads or writes one key of a store again and again.
fn guest(store: impl KvStore + Clone, function: &'static str) -> Side {
    let values = keys().map(|text| (key(&text), Bytes::from(vec![b'v'; VALUE_BYTES]))).collect();
    wait(store.set_many(&namespace(), values)).expect("it is written");
    let program = wait(program(&executor(store), "kv-loop"));
    let mut instance = wait(program.instance().start()).expect("it starts");
    if function == "set" {
        let set = instance.typed_component::<(&str, u32, u32), ()>(function).expect("it is there");
        return loops(async move |times| {
            let outcome = set.call(&mut instance, (KEY, VALUE_BYTES as u32, times)).await.expect("it runs");
            assert!(outcome.ending.is_returned(), "{:?}", outcome.ending);
        });
    }
    let get = instance.typed_component::<(&str, u32), (u64,)>(function).expect("it is there");
    loops(async move |times| {
        let outcome = get.call(&mut instance, (KEY, times)).await.expect("it runs");
        assert_eq!(outcome.returned(), Some((u64::from(times) * VALUE_BYTES as u64,)));
    })
}

fn executor(store: impl KvStore) -> Executor {
    let bounds = Bounds { calls: GUESTS as u32, ..Bounds::default() };
    Executor::builder().bounds(bounds).capability(Kv::new(store)).build().expect("it starts")
}

async fn program(executor: &Executor, guest: &str) -> Program {
    let grant = json!({ "stores": { "default": { "namespace": "benches" } } });
    let grants = Grants::none().grant("kv", grant);
    executor.load(runner_guests::get(guest), &grants).await.expect("it loads")
}

/// Both sides wait for the disk as SQLite does with a write-ahead log and `synchronous = FULL`.
fn sqlite(function: &'static str, aside: bool) -> (Side, Side) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(folder.path().join("ours.sqlite")).expect("a new file opens");
    let ours = guest(if aside { store.reading_aside() } else { store }, function);
    (native(folder, function).expect("SQLite works"), ours)
}

/// rusqlite on the thread that asks, with prepared statements and nothing between: a table of keys and values.
fn native(folder: TempDir, function: &'static str) -> rusqlite::Result<Side> {
    let connection = Connection::open(folder.path().join("native.sqlite"))?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch("CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT; BEGIN")?;
    let mut value = vec![b'v'; VALUE_BYTES];
    for key in keys() {
        connection.execute("INSERT INTO entry VALUES (?1, ?2)", params![key.as_bytes(), value])?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(Box::new(move |times| {
        let _stays = &folder;
        let from = Instant::now();
        for number in 0..times {
            if function == "set" {
                // SQLite writes no page whose bytes stay the same; ours has a version beside each value.
                value[..8].copy_from_slice(&(number + 1).to_le_bytes());
                let upsert = "INSERT INTO entry VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
                let mut statement = connection.prepare_cached(upsert).expect("it is SQL");
                statement.execute(params![KEY.as_bytes(), value]).expect("it is written");
            } else {
                let select = "SELECT value FROM entry WHERE key = ?1";
                let mut statement = connection.prepare_cached(select).expect("it is SQL");
                let found: Vec<u8> = statement.query_row([KEY.as_bytes()], |row| row.get(0)).expect("it is there");
                assert_eq!(found.len(), VALUE_BYTES);
            }
        }
        from.elapsed()
    }))
}

/// Guests at once, and what they count to together.
const GUESTS: usize = 64;
const COUNT: u64 = 1_000;

/// Measures the rows whose names are wanted: one counter, swapped by many at once, each side in processes of its own.
pub fn lines(wanted: impl Fn(&str) -> bool, pace: &Pace) -> Vec<Line> {
    let rounds = if pace.pairs_min > 1 { 7 } else { 1 };
    let mut lines = Vec::new();
    for backend in ["memory", "SQLite"] {
        let name = format!("kv, 1,000 increments by 64 guests that swap, {backend}");
        if !wanted(&name) {
            continue;
        }
        let mut pairs = Pairs::default();
        let counted = |side: &str| child::answer(&["increments", side, backend])[0];
        for round in 0..rounds {
            if round % 2 == 0 {
                let first = counted("bare");
                pairs.push(first, counted("ours"));
            } else {
                let first = counted("ours");
                pairs.push(counted("bare"), first);
            }
        }
        let shown = |rates: &[f64]| format!("{:.0}/s", median(rates));
        let figures = (shown(&pairs.bare), shown(&pairs.ours));
        lines.push(Line::rate(name, figures, &pairs, None));
    }
    lines
}

/// The child's part: counts on two threads, sees that nothing was lost, and says how many increments a second that were.
///
/// # Errors
/// Where a number is not what was counted to.
pub fn increments(side: &str, backend: &str) -> io::Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    let store = store(backend, folder.path());
    runtime.block_on(async {
        let left = Arc::new(AtomicU64::new(COUNT));
        let take = move || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        let executor = executor(Arc::clone(&store));
        let program = program(&executor, "kv-counter").await;
        guest_adds(&program, "warm").await;
        let from = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..GUESTS {
            let (take, program, store) = (take.clone(), program.clone(), Arc::clone(&store));
            let by_guest = side == "ours";
            tasks.push(tokio::spawn(async move {
                while take() {
                    if by_guest { guest_adds(&program, "n").await } else { store_adds(&*store, "n").await }
                }
            }));
        }
        for task in tasks {
            task.await?;
        }
        let took = from.elapsed();
        let sum = store.get(&namespace(), &key("n")).await.map_err(io::Error::other)?;
        let sum = sum.map(|entry| entry.value);
        match sum == Some(COUNT.to_string().into()) {
            true => Ok(vec![COUNT as f64 / took.as_secs_f64()]),
            false => Err(io::Error::other(format!("counted to {sum:?}, expected {COUNT}"))),
        }
    })
}

fn store(backend: &str, folder: &Path) -> Arc<dyn KvStore> {
    match backend {
        "memory" => Arc::new(MemoryStore::new()),
        _ => Arc::new(SqliteStore::open(folder.join("kv.sqlite")).expect("a new file opens")),
    }
}

/// A guest of its own for one increment.
async fn guest_adds(program: &Program, counter: &str) {
    let outcome = program.call("add-by-swap").args(json!(["default", counter, 1])).run().await.expect("it runs");
    assert!(outcome.ending.is_returned(), "{:?}", outcome.ending);
}

/// The same swaps without a guest.
async fn store_adds(store: &dyn KvStore, counter: &str) {
    let (space, key) = (namespace(), key(counter));
    loop {
        let found = store.get(&space, &key).await.expect("it answers");
        let before = found.as_ref().map_or(Ok(0), |entry| String::from_utf8_lossy(&entry.value).parse::<u64>());
        let sum = before.expect("it is a number") + 1;
        let expected = found.map_or(Expected::Absent, |entry| Expected::At(entry.version));
        match store.swap(&space, &key, sum.to_string().into(), expected).await {
            Ok(_) => return,
            Err(Error::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
