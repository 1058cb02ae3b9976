//! Every function of the SDK's faces for key-value stores, configuration and logs, one task each.
//!
//! The same source is built for every target, and behaves the same.

use std::fmt;
use std::time::Duration;

use runner::kv::{self, Ends, Expected, Store, Version, Write};
use runner::{Failure, config};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A store by name, whose values end where a time is given.
#[derive(Deserialize)]
struct At {
    store: String,
    key: String,
    lasting_ms: Option<u64>,
}

impl At {
    fn open(&self) -> Result<Store, kv::Error> {
        let store = kv::open(&self.store)?;
        Ok(self.lasting_ms.map_or(store.clone(), |ms| store.lasting(Duration::from_millis(ms))))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Until {
    Never,
    Keep,
    AfterMs(u64),
}

impl From<Until> for Ends {
    fn from(until: Until) -> Self {
        match until {
            Until::Never => Ends::Never,
            Until::Keep => Ends::Keep,
            Until::AfterMs(ms) => Ends::After(Duration::from_millis(ms)),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum If {
    Anything,
    Absent,
    At(u64),
}

impl From<If> for Expected {
    fn from(expected: If) -> Self {
        match expected {
            If::Anything => Expected::Anything,
            If::Absent => Expected::Absent,
            If::At(version) => Expected::At(Version::new(version)),
        }
    }
}

#[runner::task]
fn get(at: At) -> Result<Option<String>, Failure> {
    Ok(at.open()?.get(&at.key)?.map(String::from_utf8).transpose()?)
}

#[runner::task]
fn entry(at: At) -> Result<Value, Failure> {
    Ok(at.open()?.entry(&at.key)?.map_or(Value::Null, |entry| {
        let ends_in_ms = entry.ends_in.map(|time| time.as_millis() as u64);
        json!({ "bytes": entry.value.len(), "version": entry.version.number(), "ends_in_ms": ends_in_ms })
    }))
}

#[runner::task]
fn exists(at: At) -> Result<bool, kv::Error> {
    at.open()?.exists(&at.key)
}

#[runner::task]
fn set(at: At, value: String) -> Result<(), kv::Error> {
    at.open()?.set(&at.key, value)
}

#[runner::task]
fn insert(at: At, value: String) -> Result<bool, kv::Error> {
    at.open()?.insert(&at.key, value)
}

#[runner::task]
fn write(at: At, value: String, until: Until, expected: If) -> Result<u64, kv::Error> {
    Ok(at.open()?.write(&at.key, value, until.into(), expected.into())?.number())
}

#[runner::task]
fn delete(at: At, expected: Option<If>) -> Result<bool, kv::Error> {
    match expected {
        None => at.open()?.delete(&at.key),
        Some(expected) => at.open()?.delete_if(&at.key, expected.into()),
    }
}

#[runner::task]
fn increment(at: At, by: i64, within: Option<(i64, i64)>) -> Result<i64, kv::Error> {
    match within {
        None => at.open()?.increment(&at.key, by),
        Some((least, most)) => at.open()?.increment_within(&at.key, by, least..=most),
    }
}

/// What is kept as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    lines: Vec<String>,
}

#[runner::task]
fn get_note(at: At) -> Result<Option<Note>, kv::Error> {
    at.open()?.get_json(&at.key)
}

#[runner::task]
fn set_note(at: At, note: Note) -> Result<(), kv::Error> {
    at.open()?.set_json(&at.key, &note)
}

/// Adds a line; no more than three.
#[runner::task]
fn add_line(at: At, line: String) -> Result<Note, Failure> {
    at.open()?.try_update_json(&at.key, |note: Option<Note>| {
        let mut lines = note.map(|note| note.lines).unwrap_or_default();
        lines.push(line.clone());
        match lines.len() {
            0..=3 => Ok(Note { lines }),
            _ => Err(Failure::new("note-is-full", "a note has three lines at most")),
        }
    })
}

#[runner::task]
fn append(at: At, text: String) -> Result<String, Failure> {
    let appended =
        at.open()?.update(&at.key, |value| [value.unwrap_or_default(), text.clone().into_bytes()].concat())?;
    Ok(String::from_utf8(appended)?)
}

/// Gives a value half of the time that it has left.
#[runner::task]
fn halve(at: At) -> Result<u64, Failure> {
    let version = at.open()?.update_entry(&at.key, |entry| {
        let entry = entry.ok_or_else(|| Failure::new("absent", "there is nothing to halve"))?;
        let left = entry.ends_in.ok_or_else(|| Failure::new("endless", "it has no end"))?;
        Ok::<_, Failure>(Write { value: entry.value, ends: Ends::After(left / 2) })
    })?;
    Ok(version.number())
}

/// Changes a value that it changes again each time that it is asked.
#[runner::task]
fn quarrel(at: At) -> Result<Vec<u8>, kv::Error> {
    let (store, mut rounds) = (at.open()?, 0);
    store.update(&at.key, |_| {
        rounds += 1;
        let _ = store.set(&at.key, rounds.to_string());
        Vec::new()
    })
}

#[runner::task]
fn keys(at: At) -> Result<Vec<String>, kv::Error> {
    at.open()?.keys(at.key.as_str()).collect()
}

#[runner::task]
fn page(at: At, cursor: Option<String>, limit: Option<u32>) -> Result<(Vec<String>, Option<String>), kv::Error> {
    let page = at.open()?.page(&at.key, cursor.as_deref(), limit)?;
    Ok((page.keys, page.cursor))
}

/// An error of an author, around one of the SDK's.
#[derive(Debug)]
struct Lost(kv::Error);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the note is lost")
    }
}

impl std::error::Error for Lost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[runner::task]
fn lost(at: At) -> Result<String, Lost> {
    match kv::open(&at.store) {
        Ok(_) => Ok("it is there".to_owned()),
        Err(error) => Err(Lost(error)),
    }
}

#[runner::task]
fn value(name: String) -> Result<Option<String>, Failure> {
    Ok(config::get(&name)?)
}

#[runner::task]
fn number(name: String) -> Result<Option<u16>, Failure> {
    Ok(config::get_as(&name)?)
}

#[runner::task]
fn required(name: String) -> Result<String, Failure> {
    Ok(config::require(&name)?)
}

#[runner::task]
fn values() -> Result<Value, config::Error> {
    Ok(json!(config::all()?))
}

/// Says something at each level, by both crates.
#[runner::task]
fn say(level: Option<String>) -> Result<(), Failure> {
    if let Some(level) = level {
        runner::log::set_max_level(level.parse()?);
    }
    log::error!(target: "shop", "log {}", 1);
    log::warn!(article = "lamp", left = 0; "log {}", 2);
    log::info!("log 3");
    log::debug!("log 4");
    log::trace!("log 5");
    tracing::error!(target: "shop", "tracing {}", 1);
    tracing::warn!(article = "lamp", left = 0, cause = ?Some(1), r#type = %"plain", "tracing 2");
    tracing::info!(alone = true);
    tracing::debug!("tracing 4");
    tracing::trace!("tracing 5");
    Ok(())
}

/// Says something within spans.
#[runner::task]
fn pack(order: u64) {
    let outer = tracing::info_span!("order", id = order, parcels = tracing::field::Empty);
    let _outer = outer.enter();
    outer.record("parcels", 2);
    for number in 0..2 {
        parcel(number);
    }
    tracing::debug_span!("left out").in_scope(|| tracing::info!("packed"));
    tracing::info!(parent: None, "elsewhere");
    drop(_outer);
    tracing::info!(parent: &outer, "sent");
    log::info!("done");
}

#[tracing::instrument]
fn parcel(number: u32) {
    // Something that logs while it is written down.
    struct Talks;
    impl fmt::Display for Talks {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("talks");
            f.write_str("it talked")
        }
    }
    tracing::info!(talks = %Talks, "parcel");
}

#[runner::task]
fn panic(with: String) {
    panic!("it was {with}");
}
