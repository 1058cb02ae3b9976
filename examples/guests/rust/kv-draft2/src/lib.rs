//! Every function of `wasi:keyvalue@0.2.0-draft2` but compare-and-swap, for tests: `kv-draft` is the same over the other draft.

wit_bindgen::generate!({
    path: ["../../../../runner-host-kv/wit/keyvalue-draft2", "../../wit/demo-kv-notes", "../../wit/demo-kv-draft2"],
    world: "demo:kv-draft2/kv-draft2",
    generate_all,
});

use wasi::keyvalue::store::{Bucket, Error};
use wasi::keyvalue::{atomics, batch, store};

struct Notes;

export!(Notes);

impl Guest for Notes {
    fn write(store: String, key: String, value: String) -> Result<(), String> {
        open(&store)?.set(&key, value.as_bytes()).map_err(told)
    }

    fn read(store: String, key: String) -> Result<Option<String>, String> {
        Ok(open(&store)?.get(&key).map_err(told)?.map(text))
    }

    fn remove(store: String, key: String) -> Result<(), String> {
        open(&store)?.delete(&key).map_err(told)
    }

    fn has(store: String, key: String) -> Result<bool, String> {
        open(&store)?.exists(&key).map_err(told)
    }

    fn pages(store: String, remove: bool) -> Result<Vec<Vec<String>>, String> {
        let bucket = open(&store)?;
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = bucket.list_keys(cursor.as_deref()).map_err(told)?;
            if remove {
                batch::delete_many(&bucket, &page.keys).map_err(told)?;
            }
            pages.push(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(pages);
            }
        }
    }

    fn write_many(store: String, values: Vec<(String, String)>) -> Result<(), String> {
        let values: Vec<_> = values.into_iter().map(|(key, value)| (key, value.into_bytes())).collect();
        batch::set_many(&open(&store)?, &values).map_err(told)
    }

    fn read_many(store: String, keys: Vec<String>) -> Result<Vec<Option<String>>, String> {
        let found = batch::get_many(&open(&store)?, &keys).map_err(told)?;
        assert_eq!(found.len(), keys.len(), "as many answers as keys");
        let value = |((found, value), key): ((String, Option<Vec<u8>>), _)| {
            assert_eq!(found, key, "in the order of the keys");
            value.map(text)
        };
        Ok(found.into_iter().zip(keys).map(value).collect())
    }

    fn remove_many(store: String, keys: Vec<String>) -> Result<(), String> {
        batch::delete_many(&open(&store)?, &keys).map_err(told)
    }

    fn add(store: String, key: String, by: i64) -> Result<i64, String> {
        atomics::increment(&open(&store)?, &key, by).map_err(told)
    }
}

fn open(store: &str) -> Result<Bucket, String> {
    store::open(store).map_err(told)
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}

fn told(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no-such-store".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::Other(words) => words,
    }
}
