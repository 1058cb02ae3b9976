//! How changes of several objects become one: they are written down under a key that only one can have ([`Record`]), looked at
//! whether they still hold, and then made one by one, by whoever is there to do it.
//!
//! To finish a record twice, or two at the same time, changes nothing: each write has a condition, and a stamp by which what
//! was done is known. So a host that was killed before there is a record has done nothing, and after it somebody else finishes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::bucket::{About, Bucket, Head, If, LISTED_MAX, Start, WHOLE_BYTES_MAX};
use super::draft::stamp;
use super::keys::{Keys, Metadata, STAMP, lister};
use super::record::{Act, Op, Record};
use super::trouble::Trouble;
use crate::error::{Error, ErrorKind, Result};

/// Objects that one commit publishes at the same time.
const PUBLISHING_MAX: usize = 16;

/// How often somebody else's commit may come first.
const TURNS_MAX: usize = 100;

/// The first and the longest pause between two looks at somebody else's record.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Publishes below one prefix.
#[derive(Clone)]
pub(crate) struct Commits {
    pub(crate) bucket: Bucket,
    pub(crate) keys: Keys,
    pub(crate) heeds: Heeds,
    /// Whether it may finish what others have left.
    pub(crate) may_write: bool,
    /// How long somebody else's commit is waited for.
    pub(crate) patience: Duration,
}

/// Which conditions the store heeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heeds {
    pub(crate) writes: bool,
    pub(crate) deletes: bool,
}

/// How one operation stands.
enum State {
    Open,
    /// It is done: the ETag of its object, where it has one.
    Done(Option<String>),
    /// Somebody else has changed the object: what it is now.
    Broken(Option<String>),
    /// The bucket will not do it.
    Refused(Error),
}

impl State {
    /// Whether it can never be done.
    fn is_lost(&self) -> bool {
        matches!(self, State::Broken(_) | State::Refused(_))
    }
}

/// How a record has ended.
enum Ended {
    /// All is done: the ETag of each object that was written.
    Done(Vec<Option<String>>),
    /// Somebody else has changed what it is about.
    Broken(Error),
}

/// Who has written a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    Found,
}

/// What a record is while it is there.
struct Taken {
    record: Record,
    contents: Vec<Bytes>,
    etag: String,
    /// When it may have come to be there.
    since_ns: u64,
}

impl Commits {
    /// Does all of the operations, or none; answers the ETag of each object that was written. The contents are those of the
    /// operations that put some, in their order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] with the path and both ETags: nothing was published. [`ErrorKind::Io`] where somebody who keeps no
    /// records came in between: it says what was published; and where the bucket failed: it says whether what was begun may
    /// be finished yet.
    ///
    /// `recorded` is told when the record may be there, and somebody else may finish what it names, and when it is not.
    pub(crate) async fn run(
        &self,
        ops: Vec<Op>,
        contents: &[Bytes],
        recorded: impl FnMut(bool) + Send,
    ) -> Result<Vec<Option<String>>> {
        let record = Record { id: stamp(), begun: false, ops };
        let taken = self.take(record, contents, recorded).await?;
        match self.finish(&taken, Whose::Own).await.map_err(doubtful)? {
            Ended::Done(etags) => Ok(etags),
            Ended::Broken(error) => Err(error),
        }
    }

    /// Finishes the commit that somebody else has left; answers whether there was one. Who lives is given time to do it himself.
    pub(crate) async fn recover(&self) -> Result<bool> {
        let key = self.keys.record();
        let found = self.bucket.get_whole(&key).await.map_err(|trouble| trouble.told("a look", &key))?;
        match found {
            Some(found) => self.help(found).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Writes the record, once nobody else's is there.
    async fn take(&self, record: Record, contents: &[Bytes], mut recorded: impl FnMut(bool) + Send) -> Result<Taken> {
        let key = self.keys.record();
        let (encoded, at) = record.encoded(contents)?;
        let bytes = encoded.len() as u64;
        if bytes > WHOLE_BYTES_MAX {
            let message = format!(
                "the commit of {} objects would be written down in {bytes} bytes, {WHOLE_BYTES_MAX} are allowed: change fewer \
                 objects at once, or those with shorter names",
                record.ops.len()
            );
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        for _ in 0..TURNS_MAX {
            let told = |trouble: Trouble| trouble.told("a commit", &key);
            recorded(true);
            let since_ns = self.bucket.clock().now_ns();
            let written = self.bucket.put(&key, encoded.clone(), &self.condition(&None), &About::default()).await;
            match written {
                Ok(etag) => {
                    let contents = record.contents(encoded.slice(at..));
                    return Ok(Taken { record, contents, etag, since_ns });
                }
                Err(Trouble::Refused) => {}
                Err(trouble @ (Trouble::Denied(_) | Trouble::Rejected(_))) => {
                    recorded(false);
                    return Err(told(trouble));
                }
                Err(trouble) => return Err(doubtful(told(trouble))),
            }
            let Some((head, bytes)) = self.bucket.get_whole(&key).await.map_err(told)? else {
                recorded(false);
                continue;
            };
            match Record::decoded(bytes.clone()) {
                // A try that was done, and whose answer was lost.
                Some((found, contents)) if found.id == record.id => {
                    let contents = found.contents(contents);
                    return Ok(Taken { record: found, contents, etag: head.etag, since_ns });
                }
                _ => {}
            }
            recorded(false);
            self.help((head, bytes)).await?;
        }
        Err(Error::new(ErrorKind::Busy, format!("{TURNS_MAX} other commits went first at `{key}`")))
    }

    /// Waits for somebody else's commit, and finishes it where it takes too long.
    async fn help(&self, (mut head, mut bytes): (Head, Bytes)) -> Result<()> {
        let key = self.keys.record();
        let id = |bytes: &Bytes| Record::decoded(bytes.clone()).map(|(record, _)| record.id);
        let helped = id(&bytes);
        let (mut waited, mut pause) = (Duration::ZERO, LOOKS.0);
        while waited < self.patience {
            self.bucket.clock().sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(LOOKS.1);
            let now = self.bucket.head(&key).await.map_err(|trouble| trouble.told("a look", &key))?;
            if now.is_some_and(|now| now.etag == head.etag) {
                continue;
            }
            // One that only removes is written twice: it is over when no record has its id.
            let now = self.bucket.get_whole(&key).await.map_err(|trouble| trouble.told("a look", &key))?;
            let Some(now) = now.filter(|(_, bytes)| helped.is_some() && id(bytes) == helped) else { return Ok(()) };
            (head, bytes) = now;
        }
        let Some((record, contents)) = Record::decoded(bytes) else {
            let message = format!("`{key}` is no commit that this version can read: look at it, and remove it");
            return Err(Error::new(ErrorKind::Io, message));
        };
        let contents = record.contents(contents);
        // Whoever wrote it is told how it ended, or is no more.
        self.finish(&Taken { record, contents, etag: head.etag, since_ns: 0 }, Whose::Found).await.map(drop)
    }

    /// Does what of a record is not done yet, and removes it. Anybody may, and several at once.
    async fn finish(&self, taken: &Taken, whose: Whose) -> Result<Ended> {
        let ops = &taken.record.ops;
        let marks = ops.iter().any(|op| op.stamp().is_some());
        // The condition of a single write says all that there is to look at.
        let mut states = match ops.len() {
            1 if marks => vec![State::Open],
            _ => self.look(ops).await?,
        };
        if whose == Whose::Found && !self.is_there(&taken.etag).await? {
            // Somebody was done with it before the look, which may have seen what came after.
            return Ok(Ended::Done(Vec::new()));
        }
        if !taken.record.begun && states.iter().any(State::is_lost) && self.is_late(whose, taken) {
            self.look_at_stamps(ops, &mut states).await?;
        }
        let begun = taken.record.begun || states.iter().any(|state| matches!(state, State::Done(_)));
        for (op, state) in ops.iter().zip(&mut states) {
            if begun && op.act == Act::Delete && matches!(state, State::Broken(None)) {
                *state = State::Done(None);
            }
        }
        if !begun && states.iter().any(State::is_lost) {
            return self.abandon(ops, &states, &taken.etag, whose).await;
        }
        let etag = match begun || marks || ops.len() == 1 {
            true => taken.etag.clone(),
            false => match self.begin(&taken.record, &taken.etag).await? {
                Some(etag) => etag,
                None => return self.ended(ops).await,
            },
        };
        let (begun, mut done_here) = (begun || etag != taken.etag, false);
        // Nothing is missing at any moment that was there before and is to be there after.
        let phase = |op: &Op| match (&op.act, &op.expected) {
            (Act::Delete | Act::Free, _) => 2,
            (_, Some(_)) => 1,
            (_, None) => 0,
        };
        for now in 0..=2 {
            let open = ops.iter().zip(&taken.contents).enumerate().zip(&states);
            let open = open.filter(|((_, (op, _)), state)| phase(op) == now && matches!(state, State::Open));
            let etag = etag.as_str();
            let doing = open.map(|((at, (op, content)), _)| async move {
                // Who is late may find what others have done since to be as it was before: there must be a record still.
                if self.is_late(whose, taken) && op.act != Act::Free && !self.is_there(etag).await? {
                    return match whose {
                        Whose::Own => self.seen(op).await.map(|state| (at, Some(state))),
                        Whose::Found => Ok((at, None)),
                    };
                }
                self.publish(op, content).await.map(|state| (at, Some(state)))
            });
            let done: Vec<_> =
                stream::iter(doing.collect::<Vec<_>>()).buffer_unordered(PUBLISHING_MAX).try_collect().await?;
            for (at, state) in done {
                let Some(state) = state else { return Ok(Ended::Done(Vec::new())) };
                done_here |= matches!(state, State::Done(_)) && ops[at].act != Act::Free;
                states[at] = state;
            }
            let has_some = |wanted: fn(&State) -> bool| states.iter().any(wanted);
            if whose == Whose::Found && !done_here {
                // Whoever may not write here does not decide what becomes of somebody else's commit.
                let denied = states.iter().find_map(|state| match state {
                    State::Refused(error) if error.kind() == ErrorKind::Denied => Some(error),
                    _ => None,
                });
                if let Some(error) = denied {
                    return Err(Error::new(error.kind(), error.to_string()));
                }
            }
            if !begun && !has_some(|state| matches!(state, State::Done(_))) && has_some(State::is_lost) {
                return self.abandon(ops, &states, etag, whose).await;
            }
        }
        let lost: Vec<_> = ops.iter().zip(&states).filter(|(_, state)| state.is_lost()).map(|(op, _)| op).collect();
        self.give_up(lost.into_iter()).await?;
        self.remove_record(&etag).await?;
        if states.iter().any(State::is_lost) {
            return Ok(Ended::Broken(self.conflict(ops, &states)));
        }
        let etag = |state| if let State::Done(etag) = state { etag } else { None };
        Ok(Ended::Done(states.into_iter().map(etag).collect()))
    }

    /// Whether somebody else may have come to finish it meanwhile.
    fn is_late(&self, whose: Whose, taken: &Taken) -> bool {
        let took = Duration::from_nanos(self.bucket.clock().now_ns().saturating_sub(taken.since_ns));
        whose == Whose::Found || took > self.patience
    }

    /// How an operation stands that somebody else was done with.
    async fn seen(&self, op: &Op) -> Result<State> {
        match &op.act {
            Act::Put { .. } | Act::Complete { .. } => self.whose(op).await,
            Act::Free => Ok(State::Done(None)),
            Act::Delete => {
                let head = self.bucket.head(&op.key).await.map_err(|trouble| trouble.told("a look", &op.key))?;
                Ok(head.map_or(State::Done(None), |head| State::Broken(Some(head.etag))))
            }
        }
    }

    /// Writes whose bytes are those of before have the ETag of before: whether they were done says their stamp.
    async fn look_at_stamps(&self, ops: &[Op], states: &mut [State]) -> Result<()> {
        let open =
            ops.iter().zip(&*states).enumerate().filter(|(_, (op, state))| {
                matches!(state, State::Open) && op.stamp().is_some() && op.expected.is_some()
            });
        let looks = open.map(|(at, (op, _))| async move { self.whose(op).await.map(|found| (at, found)) });
        let found: Vec<_> =
            stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(PUBLISHING_MAX).try_collect().await?;
        for (at, found) in found.into_iter().filter(|(_, found)| matches!(found, State::Done(_))) {
            states[at] = found;
        }
        Ok(())
    }

    /// Gives up a record of which nothing was done, and never will be.
    async fn abandon(&self, ops: &[Op], states: &[State], etag: &str, whose: Whose) -> Result<Ended> {
        let error = self.conflict(ops, states);
        if whose == Whose::Own && !self.is_there(etag).await? {
            // It was done by somebody who took it for left, and what it was about has been changed since.
            let message = format!("somebody else took the commit for left, and finished it or gave it up: {error}");
            return Ok(Ended::Broken(Error::new(ErrorKind::Io, message)));
        }
        self.give_up(ops.iter()).await?;
        self.remove_record(etag).await?;
        Ok(Ended::Broken(error))
    }

    /// Writes down that a record which only removes is begun: what is gone was there before. `None` where somebody else has
    /// ended it.
    async fn begin(&self, record: &Record, etag: &str) -> Result<Option<String>> {
        let key = self.keys.record();
        let begun = Record { begun: true, ..record.clone() };
        let (encoded, _) = begun.encoded(&[])?;
        let when = self.condition(&Some(etag.to_owned()));
        let found = match self.bucket.put(&key, encoded, &when, &About::default()).await {
            Ok(etag) => return Ok(Some(etag)),
            Err(Trouble::Refused | Trouble::Missing) => self.bucket.get_whole(&key).await,
            Err(trouble) => Err(trouble),
        };
        let found = found.map_err(|trouble| trouble.told("a commit", &key))?;
        let same = |bytes| Record::decoded(bytes).is_some_and(|(found, _)| found == begun);
        Ok(found.and_then(|(head, bytes)| same(bytes).then_some(head.etag)))
    }

    /// How a record that only removes has ended, which somebody else has finished or given up.
    async fn ended(&self, ops: &[Op]) -> Result<Ended> {
        let states = self.look(ops).await?;
        Ok(match states.iter().all(|state| matches!(state, State::Broken(None))) {
            true => Ended::Done(vec![None; ops.len()]),
            false => Ended::Broken(self.conflict(ops, &states)),
        })
    }

    /// Whether a record is still the one.
    async fn is_there(&self, etag: &str) -> Result<bool> {
        let key = self.keys.record();
        let head = self.bucket.head(&key).await.map_err(|trouble| trouble.told("a look", &key))?;
        Ok(head.is_some_and(|head| head.etag == etag))
    }

    /// Looks at each object: whether it is as it was expected, or done already.
    async fn look(&self, ops: &[Op]) -> Result<Vec<State>> {
        let mut found = HashMap::new();
        let mut directories: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for op in ops {
            directories.entry(lister(&op.key)).or_default().push(&op.key);
        }
        // Directories that lose something may be gone afterwards.
        let losing = ops.iter().filter(|op| op.act == Act::Delete).map(|op| &*op.key).collect();
        let looks = directories.into_iter().map(|(directory, keys)| self.listed(directory, keys, &losing));
        let mut looks = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(PUBLISHING_MAX);
        while let Some(listed) = looks.next().await {
            found.extend(listed?);
        }
        drop(looks);
        let states = ops.iter().map(|op| {
            let now = found.get(&*op.key).cloned();
            async move {
                match (&op.act, now) {
                    (_, now) if now == op.expected || !self.heeds.writes => Ok(State::Open),
                    // Somebody has made the same directory.
                    (Act::Free, Some(now)) if now == DIRECTORY => Ok(State::Open),
                    (Act::Delete | Act::Free, now) => Ok(State::Broken(now)),
                    (_, Some(now)) if now == DIRECTORY => Ok(State::Broken(Some(now))),
                    (_, None) => Ok(State::Broken(None)),
                    (_, Some(_)) => self.whose(op).await,
                }
            }
        });
        stream::iter(states.collect::<Vec<_>>()).buffered(PUBLISHING_MAX).try_collect().await
    }

    /// The ETags that some keys of a directory have, [`DIRECTORY`] where there is one; what is not there is left out.
    async fn listed<'k>(
        &self,
        directory: &str,
        mut keys: Vec<&'k str>,
        losing: &BTreeSet<&str>,
    ) -> Result<Vec<(&'k str, String)>> {
        keys.sort_unstable();
        let (mut found, mut at) = (Vec::new(), 0);
        while let Some(next) = keys.get(at) {
            let listing = self.bucket.list(directory, true, before(directory, next), LISTED_MAX).await;
            let listing = listing.map_err(|trouble| trouble.told("a look", directory))?;
            let etags: HashMap<_, _> = listing.objects.into_iter().map(|object| (object.key, object.etag)).collect();
            for prefix in &listing.prefixes {
                let key = keys.iter().find(|key| prefix.strip_suffix('/') == Some(**key));
                let stays = losing.range(&**prefix..).next().is_none_or(|losing| !losing.starts_with(&**prefix));
                found.extend(key.filter(|_| stays).map(|key| (*key, DIRECTORY.to_owned())));
            }
            let known = |key: &str| listing.next.is_none() || listing.last.as_deref().is_some_and(|last| key <= last);
            let first = at;
            while let Some(key) = keys.get(at).filter(|key| known(key)) {
                found.extend(etags.get(*key).map(|etag| (*key, etag.clone())));
                at += 1;
            }
            if at == first {
                // Keys between that nobody would think of: this one is asked for by itself.
                let head = self.bucket.head(next).await.map_err(|trouble| trouble.told("a look", next))?;
                found.extend(head.map(|head| (*next, head.etag)));
                at += 1;
            }
        }
        Ok(found)
    }

    /// Whether what an object is now is the operation's own doing.
    async fn whose(&self, op: &Op) -> Result<State> {
        let head = self.bucket.head(&op.key).await.map_err(|trouble| trouble.told("a look", &op.key))?;
        Ok(match head {
            Some(head) if head.metadata.get(STAMP).map(String::as_str) == op.stamp() => State::Done(Some(head.etag)),
            Some(head) => State::Broken(Some(head.etag)),
            None => State::Broken(None),
        })
    }

    /// Does one operation.
    async fn publish(&self, op: &Op, content: &Bytes) -> Result<State> {
        let when = self.condition(&op.expected);
        let done = match &op.act {
            Act::Put { stamp, metadata, content_type, .. } => {
                let mut metadata: Metadata = metadata.clone();
                metadata.insert(STAMP.to_owned(), stamp.clone());
                let about = About { metadata, content_type: content_type.clone() };
                self.bucket.put(&op.key, content.clone(), &when, &about).await
            }
            Act::Complete { upload, parts, .. } => self.bucket.complete(&op.key, upload, parts, &when).await,
            Act::Delete => return self.delete(&op.key, op.expected.as_deref()).await,
            Act::Free => return Ok(State::Done(None)),
        };
        match done {
            Ok(etag) => Ok(State::Done(Some(etag))),
            // Perhaps it was done before: by a try whose answer was lost, by who died, by who helps.
            Err(Trouble::Refused | Trouble::Missing) => self.whose(op).await,
            Err(trouble @ (Trouble::Denied(_) | Trouble::Rejected(_))) => {
                Ok(State::Refused(trouble.told("a write", &op.key)))
            }
            Err(trouble) => Err(trouble.told("a write", &op.key)),
        }
    }

    /// Removes an object that has an ETag.
    async fn delete(&self, key: &str, expected: Option<&str>) -> Result<State> {
        let told = |trouble: Trouble| trouble.told("a removal", key);
        let when = match (expected, self.heeds) {
            (Some(etag), Heeds { deletes: true, .. }) => If::Match(etag.to_owned()),
            (Some(etag), Heeds { writes: true, .. }) => {
                // The store removes whatever is there: it is looked at before, which leaves a moment.
                match self.bucket.head(key).await.map_err(told)? {
                    None => return Ok(State::Done(None)),
                    Some(head) if head.etag != etag => return Ok(State::Broken(Some(head.etag))),
                    Some(_) => If::Any,
                }
            }
            _ => If::Any,
        };
        match self.bucket.delete(key, &when).await {
            Ok(()) => Ok(State::Done(None)),
            Err(Trouble::Refused) => {
                let head = self.bucket.head(key).await.map_err(told)?;
                Ok(head.map_or(State::Done(None), |head| State::Broken(Some(head.etag))))
            }
            Err(trouble @ (Trouble::Denied(_) | Trouble::Rejected(_))) => Ok(State::Refused(told(trouble))),
            Err(trouble) => Err(told(trouble)),
        }
    }

    /// Aborts what was uploaded for what is not made.
    async fn give_up<'o>(&self, ops: impl Iterator<Item = &'o Op> + Send) -> Result<()> {
        for op in ops {
            if let Act::Complete { upload, .. } = &op.act {
                let aborted = self.bucket.abort(&op.key, upload).await;
                aborted.map_err(|trouble| trouble.told("an upload given up", &op.key))?;
            }
        }
        Ok(())
    }

    /// Removes a record, unless somebody has, and it is another one's already.
    async fn remove_record(&self, etag: &str) -> Result<()> {
        match self.delete(&self.keys.record(), Some(etag)).await? {
            State::Refused(error) => Err(error),
            _ => Ok(()),
        }
    }

    fn condition(&self, expected: &Option<String>) -> If {
        match expected {
            _ if !self.heeds.writes => If::Any,
            Some(etag) => If::Match(etag.clone()),
            None => If::Absent,
        }
    }

    /// Who lost is told of what, and what became of the rest.
    fn conflict(&self, ops: &[Op], states: &[State]) -> Error {
        let path = |op: &Op| self.keys.path(&op.key).map_or_else(|| op.key.clone(), |path| path.to_string());
        let (mut broken, mut published, mut kind) = (Vec::new(), Vec::new(), ErrorKind::Conflict);
        for (op, state) in ops.iter().zip(states) {
            match state {
                State::Broken(found) => {
                    let text = |etag: &Option<String>| etag.clone().unwrap_or_else(|| "nothing".to_owned());
                    let (expected, found) = (text(&op.expected), text(found));
                    broken.push(format!(
                        "`{}` was changed by somebody else: expected {expected}, found {found}",
                        path(op)
                    ));
                }
                State::Refused(error) => {
                    kind = error.kind();
                    broken.push(format!("`{}`: {error}", path(op)));
                }
                State::Done(_) if op.act != Act::Free => published.push(format!("`{}`", path(op))),
                State::Done(_) | State::Open => {}
            }
        }
        let (kind, published) = match published.is_empty() {
            true => (kind, "nothing was published".to_owned()),
            // To run again is no answer to that.
            false => (ErrorKind::Io, format!("published were {}", few(&published))),
        };
        Error::new(kind, format!("{}; {published}", few(&broken)))
    }
}

/// The bucket failed once the record may have been there.
fn doubtful(error: Error) -> Error {
    let message = format!("{error}; the commit may be published yet, by the call that comes next");
    Error::new(error.kind(), message).caused_by(error)
}

/// What stands for the ETag where a directory has the name: it would hide the file.
const DIRECTORY: &str = "a directory";

/// Names that a message lists at most.
const TOLD_MAX: usize = 20;

fn few(texts: &[String]) -> String {
    let (first, rest) = texts.split_at(texts.len().min(TOLD_MAX));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", first.join(", "))
}

/// A place in a listing shortly before a key.
fn before(directory: &str, key: &str) -> Start {
    let last = key.chars().next_back().filter(|_| key.len() > directory.len());
    let lower = last.and_then(|last| char::from_u32(u32::from(last) - 1));
    match (last, lower) {
        (Some(last), Some(lower)) => Start::Behind(format!("{}{lower}\u{10ffff}", &key[..key.len() - last.len_utf8()])),
        _ => Start::First,
    }
}
