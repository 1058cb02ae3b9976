//! What is kept of a run between two steps: its state, what it owes, and when something is due. Large values lie beside it,
//! by their digests: a step does not write again what has not changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::doer::Told;
use crate::command::Invocation;
use crate::definition::Definition;
use crate::error::{Error, Result};
use crate::history::HistoryEvent;
use crate::run::{Key, RunState};
use crate::store::{Digest, Line, Store};
use crate::weight::json_bytes;

/// What a value may weigh as JSON and lie where it is, in bytes: with two pages of SQLite's a row costs little more than with
/// one.
const INLINE_BYTES: usize = 8 << 10;

/// The one field of what stands for a value that lies elsewhere. A value of the user's that has it lies elsewhere too, so that
/// there is no doubt.
const ELSEWHERE: &str = "\0elsewhere";

/// A run with all that is kept with it.
#[derive(Clone, Debug)]
pub(super) struct Carried {
    pub(super) run: RunState,
    pub(super) rest: Rest,
}

/// What is kept beside the run's own state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rest {
    /// Tasks and children that are to be given out, and have not answered.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) owed: BTreeMap<Key, Owed>,
    /// When which timer fires.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) timers: BTreeMap<Key, i64>,
    /// Children that are waited for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) children: BTreeMap<Key, String>,
    /// Starts of children that nobody waits for any longer: it is not known whether there is a child, which is to be stopped then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) orphans: BTreeMap<Key, Owed>,
    /// Children that nobody waits for any longer: they are to be stopped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stops: Vec<String>,
    /// Who waits for this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Parent>,
    /// It has ended, and its parent does not know.
    #[serde(skip_serializing_if = "is_false")]
    pub(super) is_to_tell: bool,
    /// There is more to do at once.
    #[serde(skip_serializing_if = "is_false")]
    pub(super) has_more: bool,
    /// When the newest entry of its history was made: what comes is never older.
    pub(super) now_ms: i64,
}

/// What is to be given out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Owed {
    pub(super) invocation: Invocation,
    /// When its state's time is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deadline_ms: Option<i64>,
}

/// Who waits for an execution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Parent {
    pub(super) execution: String,
    pub(super) task: Key,
    /// How many are above.
    pub(super) depth: u32,
    /// Whether it waits for the end.
    pub(super) waits: bool,
    /// How the end is told.
    #[serde(default)]
    pub(super) told: Told,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Rest {
    /// Whether something is to be done for it that no event brings.
    pub(super) fn owes(&self) -> bool {
        let relates = !self.orphans.is_empty() || !self.stops.is_empty() || self.is_to_tell;
        relates || !self.owed.is_empty() || self.has_more
    }

    pub(super) fn due_ms(&self) -> Option<i64> {
        self.timers.values().min().copied()
    }
}

/// Who waits for an execution, of which the state is kept.
pub(super) fn parent_of(id: &str, text: &str) -> Result<Option<Parent>> {
    let rest = text.split_once('\n').map_or(text, |(rest, _)| rest);
    let rest: Rest = serde_json::from_str(rest).map_err(|error| unreadable(id, &error.to_string()))?;
    Ok(rest.parent)
}

fn unreadable(id: &str, what: &str) -> Error {
    Error::damaged(format!("the state of the execution `{id}` cannot be read: {what}"))
}

impl Carried {
    /// Writes it down. Large values are taken out and answered beside it.
    pub(super) fn write(&mut self, values: &mut Vec<(Digest, String)>) -> String {
        let mut out = Out { values, places: Vec::new() };
        self.run.each_value(&mut |value| out.take(value));
        let rest = serde_json::to_string(&self.rest).expect("its keys are texts");
        let text = format!("{rest}\n{}", self.run.to_json());
        let mut back = out.places.into_iter();
        self.run.each_value(&mut |value| {
            if let Some(own) = back.next().flatten() {
                *value = own;
            }
        });
        text
    }

    /// Reads what was written.
    pub(super) async fn read(store: &dyn Store, id: &str, text: &str, definition: &Definition) -> Result<Self> {
        let (rest, run) = text.split_once('\n').ok_or_else(|| unreadable(id, "it is one line"))?;
        let rest = serde_json::from_str(rest).map_err(|error| unreadable(id, &error.to_string()))?;
        let mut run = RunState::from_json(run, definition).map_err(|error| unreadable(id, &error.to_string()))?;
        let mut wanted = Vec::new();
        run.each_value(&mut |value| wanted.extend(elsewhere(value)));
        if !wanted.is_empty() {
            let mut values = fetch(store, id, wanted).await?;
            run.each_value(&mut |value| {
                if let Some(own) = elsewhere(value).and_then(|digest| values.remove(&digest)) {
                    *value = own;
                }
            });
        }
        Ok(Self { run, rest })
    }
}

/// Takes large values out.
struct Out<'v> {
    values: &'v mut Vec<(Digest, String)>,
    /// What was taken from where, in their order; `None` where a value stayed.
    places: Vec<Option<Value>>,
}

impl Out<'_> {
    fn take(&mut self, value: &mut Value) {
        let stays = json_bytes(value, INLINE_BYTES).is_some() && elsewhere_text(value).is_none();
        self.places.push((!stays).then(|| put_out(value, self.values)));
    }
}

/// Puts what stands for a value in its place; answers the value.
fn put_out(value: &mut Value, values: &mut Vec<(Digest, String)>) -> Value {
    let text = value.to_string();
    let digest = Digest::of(&text);
    if !values.iter().any(|(known, _)| *known == digest) {
        values.push((digest, text));
    }
    let mark = Map::from_iter([(ELSEWHERE.to_owned(), digest.to_string().into())]);
    std::mem::replace(value, Value::Object(mark))
}

fn elsewhere_text(value: &Value) -> Option<&Value> {
    value.as_object().and_then(|object| object.get(ELSEWHERE))
}

fn elsewhere(value: &Value) -> Option<Digest> {
    elsewhere_text(value)?.as_str()?.parse().ok()
}

async fn fetch(store: &dyn Store, id: &str, mut wanted: Vec<Digest>) -> Result<BTreeMap<Digest, Value>> {
    wanted.sort_unstable();
    wanted.dedup();
    let texts = store.values(id, &wanted).await?;
    let mut values = BTreeMap::new();
    for (digest, text) in wanted.into_iter().zip(texts) {
        let damaged = |what: &str| Error::damaged(format!("value {digest} of the execution `{id}` {what}"));
        let text = text.ok_or_else(|| damaged("is not there"))?;
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        deserializer.disable_recursion_limit();
        let value = Value::deserialize(&mut deserializer).map_err(|_| damaged("is no JSON"))?;
        values.insert(digest, value);
    }
    Ok(values)
}

/// Writes an entry of a history down.
pub(super) fn line(mut event: HistoryEvent, values: &mut Vec<(Digest, String)>) -> Line {
    let entry = &mut event.entry;
    let each = [&mut entry.input, &mut entry.output].into_iter().flatten().chain(entry.assigned_variables.values_mut());
    for value in each {
        if json_bytes(value, INLINE_BYTES).is_none() || elsewhere_text(value).is_some() {
            put_out(value, values);
        }
    }
    let text = serde_json::to_string(&event).expect("its keys are texts");
    Line { number: event.id, text }
}

/// Reads entries of a history, with their values.
pub(super) async fn read_lines(store: &dyn Store, id: &str, lines: &[Line]) -> Result<Vec<HistoryEvent>> {
    let mut events = Vec::with_capacity(lines.len());
    for line in lines {
        let event: HistoryEvent = serde_json::from_str(&line.text).map_err(|error| {
            Error::damaged(format!("entry {} of the history of `{id}` cannot be read: {error}", line.number))
        })?;
        events.push(event);
    }
    let mut wanted = Vec::new();
    events.iter_mut().flat_map(values_of).for_each(|value| wanted.extend(elsewhere(value)));
    if !wanted.is_empty() {
        let values = fetch(store, id, wanted).await?;
        for value in events.iter_mut().flat_map(values_of) {
            if let Some(own) = elsewhere(value).and_then(|digest| values.get(&digest)) {
                *value = own.clone();
            }
        }
    }
    Ok(events)
}

fn values_of(event: &mut HistoryEvent) -> impl Iterator<Item = &mut Value> {
    let entry = &mut event.entry;
    let ends = [&mut entry.input, &mut entry.output].into_iter().flatten();
    ends.chain(entry.assigned_variables.values_mut())
}
