//! Sessions that end by themselves, over `runner:kv`: values with an end, versions, pages by prefix, errors by name.

// The generated code flattens records into arguments.
#![allow(clippy::too_many_arguments)]

wit_bindgen::generate!({
    path: ["../../../../runner-host-kv/wit/runner-kv", "../../wit/demo-kv-sessions"],
    world: "demo:kv-sessions/kv-sessions",
    generate_all,
});

use runner::kv::store::{self, Bucket, Ends, Error, Expected};

struct Sessions;

export!(Sessions);

impl Guest for Sessions {
    fn start(user: String, id: String, ms: u64) -> Result<bool, String> {
        match open()?.set(&key(&user, &id), b"started", Ends::After(ms), Expected::Absent) {
            Ok(_) => Ok(true),
            Err(Error::Conflict(Some(_))) => Ok(false),
            Err(error) => Err(told(error)),
        }
    }

    fn left(user: String, id: String) -> Result<Option<u64>, String> {
        Ok(open()?.get(&key(&user, &id)).map_err(told)?.and_then(|entry| entry.ends_in))
    }

    fn note(user: String, id: String, version: Option<u64>, text: String) -> Result<String, String> {
        let expected = version.map_or(Expected::Anything, Expected::Version);
        let bucket = open()?;
        if !bucket.exists(&key(&user, &id)).map_err(told)? {
            return Ok("absent".to_owned());
        }
        match bucket.set(&key(&user, &id), text.as_bytes(), Ends::Keep, expected) {
            Ok(_) => Ok("swapped".to_owned()),
            Err(Error::Conflict(_)) => Ok("conflict".to_owned()),
            Err(error) => Err(told(error)),
        }
    }

    fn version(user: String, id: String) -> Result<Option<u64>, String> {
        Ok(open()?.get(&key(&user, &id)).map_err(told)?.map(|entry| entry.version))
    }

    fn end(user: String, id: String) -> Result<bool, String> {
        open()?.delete(&key(&user, &id), Expected::Anything).map_err(told)
    }

    fn of_user(user: String, limit: Option<u32>) -> Result<Vec<Vec<String>>, String> {
        let (bucket, prefix) = (open()?, key(&user, ""));
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = bucket.list_keys(&prefix, cursor.as_deref(), limit).map_err(told)?;
            pages.push(page.keys.iter().map(|key| key[prefix.len()..].to_owned()).collect());
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(pages);
            }
        }
    }

    fn hit(user: String, window_ms: u64, most: i64) -> Result<Option<i64>, String> {
        match open()?.increment(&format!("hits of {user}"), 1, 0, most, Ends::After(window_ms)) {
            Ok(sum) => Ok(Some(sum)),
            Err(Error::OutOfRange) => Ok(None),
            Err(error) => Err(told(error)),
        }
    }

    fn set_error(store: String, key: String, bytes: u32) -> String {
        let value = vec![b'x'; bytes as usize];
        let set = |bucket: Bucket| bucket.set(&key, &value, Ends::Never, Expected::Anything);
        match store::open(&store).and_then(set) {
            Ok(_) => "none".to_owned(),
            Err(error) => told(error),
        }
    }
}

fn open() -> Result<Bucket, String> {
    store::open("default").map_err(told)
}

fn key(user: &str, id: &str) -> String {
    format!("session/{user}/{id}")
}

fn told(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no-such-store".to_owned(),
        Error::AccessDenied => "access-denied".to_owned(),
        Error::TooLarge(words) => format!("too-large: {words}"),
        Error::Full(words) => format!("full: {words}"),
        Error::Conflict(found) => format!("conflict: {found:?}"),
        Error::NotANumber => "not-a-number".to_owned(),
        Error::OutOfRange => "out-of-range".to_owned(),
        Error::Invalid(words) => format!("invalid: {words}"),
        Error::Unavailable(words) => format!("unavailable: {words}"),
    }
}
