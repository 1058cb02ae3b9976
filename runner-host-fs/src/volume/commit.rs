//! How a draft is published: what it relies on is looked at again, a record of all steps is written down, and then each is done. A
//! record that is found is of a process that did not come to its end: its steps are done again, each of which may have been
//! done before.

mod plan;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use self::plan::{Check, Plan, Prepared};
use super::draft::{Belief, Inner, Names, Print, Stage};
use super::ground::Ground;
use super::held::Outcome;
use crate::error::{Error, ErrorKind, Result};
use crate::ext::VfsExt;
use crate::path::VPath;
use crate::vfs::{Flush, Follow, Kind, Open, SetTime, SetTimes, Stat, Vfs};
use bytes::Bytes;
use std::sync::atomic::Ordering;
use tokio::sync::{OwnedMutexGuard, oneshot};

/// The record of a commit that is under way: where it is, the commit will be there whole.
pub(super) const RECORD: &str = "commit";

/// The record while it is written.
pub(super) const DRAFT: &str = "commit.new";

/// Bytes that a record is read with: 16 MiB of paths, each in some three steps, six bytes for one that is escaped, and 100 bytes for
/// each of some 400,000 steps.
const RECORD_BYTES_MAX: u64 = 512 << 20;

/// What a record says.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Of this layout; one of another is refused.
    version: u32,
    prefix: VPath,
    stage: String,
    /// Whether the bytes were to reach the disk.
    synced: bool,
    steps: Vec<Step>,
}

/// Of [`Record`].
const VERSION: u32 = 1;

/// One step. Paths are below the prefix, names in the stage. What is moved or removed is told by its inode from what may
/// have come to its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Step {
    Dir {
        path: VPath,
    },
    Put {
        name: VPath,
        path: VPath,
        /// What comes is there already, and loses that name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        home: Option<Home>,
    },
    Take {
        path: VPath,
        inode: u64,
        name: VPath,
    },
    Move {
        path: VPath,
        inode: u64,
        to: VPath,
    },
    Remove {
        path: VPath,
        inode: u64,
        directory: bool,
    },
    Times {
        path: VPath,
        accessed_ns: u64,
        modified_ns: u64,
    },
}

/// The place that something has below.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Home {
    path: VPath,
    inode: u64,
}

impl Step {
    /// Whether something comes to its path.
    fn comes(&self) -> bool {
        matches!(self, Step::Dir { .. } | Step::Put { .. } | Step::Move { .. })
    }

    /// The place that something leaves with it.
    fn home(&self) -> Option<&VPath> {
        match self {
            Step::Put { home, .. } => home.as_ref().map(|home| &home.path),
            Step::Take { path, .. } | Step::Move { path, .. } => Some(path),
            Step::Dir { .. } | Step::Remove { .. } | Step::Times { .. } => None,
        }
    }

    fn path(&self) -> &VPath {
        match self {
            Step::Dir { path }
            | Step::Put { path, .. }
            | Step::Take { path, .. }
            | Step::Move { to: path, .. }
            | Step::Remove { path, .. }
            | Step::Times { path, .. } => path,
        }
    }
}

/// What there is when a draft can be published and nothing is done yet.
struct Ready<'d, G: Ground> {
    _ours: OwnedMutexGuard<()>,
    _lock: G::Lock,
    stage: &'d Stage<G>,
    view: &'d G::Tree,
    steps: Vec<Step>,
    synced: bool,
    records: Option<G::Tree>,
}

/// Does work in a task of its own, to its end, also where nobody waits for it any more: an operation that is cut off may be done
/// later, on another thread, and must not meet what the next who has the lock does.
pub(super) async fn to_its_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return work.await };
    match runtime.spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::new(ErrorKind::Io, "the runtime ended in a commit").caused_by(error)),
        },
    }
}

/// Publishes a draft that nobody writes to any more. Where it is given up before the first step, by who asked for it, nothing is
/// published; from there on it is not cut off.
pub(super) async fn publish<G: Ground>(
    draft: &Inner<G>,
    names: &Names,
    beliefs: &BTreeMap<VPath, Belief>,
    given_up: oneshot::Receiver<()>,
) -> Result<Outcome> {
    let plan = Plan::of(names, beliefs, &mut || draft.number())?;
    if plan.is_empty() {
        return Ok(Outcome::default());
    }
    let done = draft.ledger.publish(async {
        tokio::select! {
            biased;
            _ = given_up => Err(Error::new(ErrorKind::Io, "the commit was given up: nothing was published")),
            ready = readied(draft, &plan) => finish(draft, ready?).await,
        }
    });
    done.await?;
    draft.lower.ground().keeper().quotas.doubt(draft.lower.prefix(), draft.ledger.counts());
    Ok(plan.outcome)
}

/// Waits for the lock, looks again, and prepares the steps in the stage.
async fn readied<'d, G: Ground>(draft: &'d Inner<G>, plan: &Plan) -> Result<Ready<'d, G>> {
    let ground = draft.lower.ground();
    let stage = draft.stage().await?;
    let ours = ground.keeper().committing.clone().lock_owned().await;
    let lock = ground.lock().await?;
    let view = draft.lower.make().await?;
    let device = match G::DISKS {
        true => Some(stage.tree.stat(&VPath::root(), Follow::No).await?.device),
        false => None,
    };
    for check in &plan.checks {
        look_again(view, check, device).await?;
    }
    let steps = prepare(ground, view, &stage.tree, plan).await?;
    let synced = draft.synced.load(Ordering::SeqCst);
    if synced {
        for step in &steps {
            if let Step::Put { name, .. } = step {
                flush(&stage.tree, name).await?;
            }
        }
    }
    // One step is done or not; several need a record to be done together.
    let records = match steps.len() {
        0 | 1 => None,
        _ => ground.records().await?,
    };
    Ok(Ready { _ours: ours, _lock: lock, stage, view, steps, synced, records })
}

/// Writes the record, does the steps, and removes the record.
async fn finish<G: Ground>(draft: &Inner<G>, ready: Ready<'_, G>) -> Result<()> {
    let Ready { stage, view, steps, synced, records, .. } = &ready;
    if let Some(records) = records {
        let (prefix, name) = (draft.lower.prefix().clone(), stage.name.clone());
        let record = Record { version: VERSION, prefix, stage: name, synced: *synced, steps: steps.clone() };
        // Before it is there: the runtime may end at any time.
        stage.keep(true);
        if let Err(error) = write(records, &record).await {
            // It may be there all the same, and must not be found.
            return match records.remove_file(&self::record()?).await {
                Err(left) if left.kind() != ErrorKind::NotFound => {
                    let message = format!("{error}; it may be published yet when the volume is next used");
                    Err(Error::new(error.kind(), message).caused_by(left))
                }
                _ => {
                    stage.keep(false);
                    Err(error)
                }
            };
        }
        // From here on it is done, by us or by whoever comes next.
    }
    let how = How { synced: *synced, again: false, later: records.is_some() };
    let done = run(draft.lower.ground(), view, &stage.tree, steps, how).await;
    if let (Err(error), Some(_)) = (&done, records) {
        let message = format!("{error}; what is missing will be published when the volume is next used");
        return Err(Error::new(error.kind(), message));
    }
    let refused = done?;
    if let Some(records) = records {
        records.remove_file(&record()?).await?;
        stage.keep(false);
    }
    match refused {
        None => Ok(()),
        Some(error) if steps.len() == 1 => Err(error),
        Some(error) => {
            let message = format!("{error}; all else that the call wrote was published");
            Err(Error::new(error.kind(), message).caused_by(error))
        }
    }
}

/// Finishes what a record says, where there is one. Answers the lock, which is held until that is done.
pub(super) async fn recover<G: Ground>(ground: &G, records: G::Tree, lock: G::Lock) -> Result<G::Lock> {
    let bytes = match records.read(&record()?, RECORD_BYTES_MAX).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(lock),
        bytes => bytes?,
    };
    let ground = ground.clone();
    to_its_end(async move { again(&ground, &records, &bytes).await.map(|()| lock) }).await
}

/// Does the steps of a record, each of which may have been done before.
async fn again<G: Ground>(ground: &G, records: &G::Tree, bytes: &[u8]) -> Result<()> {
    let Ok(found) = serde_json::from_slice::<Record>(bytes) else {
        // It was written whole before it had its name: the machine itself has lost it, and then all may be lost that was
        // not synced.
        return records.remove_file(&record()?).await;
    };
    if found.version != VERSION {
        let message = format!("the record `.runner/{RECORD}`: expected version {VERSION}, found {}", found.version);
        return Err(Error::new(ErrorKind::Io, message));
    }
    let view = ground.below(&found.prefix, true).await?.ok_or_else(|| Error::not_found(&found.prefix))?;
    if let Some(stage) = ground.restage(&found.stage).await? {
        let how = How { synced: found.synced, again: true, later: true };
        if let Some(error) = run(ground, &view, &stage, &found.steps, how).await? {
            tracing::warn!(%error, "a commit that was cut off is finished but for what is refused");
        }
    }
    records.remove_file(&record()?).await?;
    ground.unstage(&found.stage).await
}

fn record() -> Result<VPath> {
    VPath::root().child(RECORD)
}

async fn write<T: Vfs>(records: &T, record_: &Record) -> Result<()> {
    let told = |error| Error::new(ErrorKind::Io, "the record of the commit cannot be written").caused_by(error);
    let bytes: Bytes = serde_json::to_vec(record_).map_err(told)?.into();
    let new = VPath::root().child(DRAFT)?;
    records.write(&new, bytes).await?;
    if record_.synced {
        flush(records, &new).await?;
    }
    records.rename(&new, &record()?).await?;
    if record_.synced {
        flush(records, &VPath::root()).await?;
    }
    Ok(())
}

/// Waits until what lies at a path is on disk.
async fn flush<T: Vfs>(tree: &T, path: &VPath) -> Result<()> {
    match tree.open(path, Open::reading().no_follow()).await {
        Ok(file) => file.sync(Flush::All).await,
        // A link has no bytes, and what is gone none that matter.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Loop) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn there<T: Vfs>(tree: &T, path: &VPath) -> Result<Option<Stat>> {
    match tree.stat(path, Follow::No).await {
        Ok(stat) => Ok(Some(stat)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotDirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn conflict(path: &VPath, what: &str) -> Error {
    let message = format!("`{path}` {what} while this call ran: nothing of it was published");
    Error::new(ErrorKind::Conflict, message)
}

/// Whether what the draft relies on is still so.
async fn look_again<T: Vfs>(view: &T, check: &Check, disk: Option<u64>) -> Result<()> {
    match check {
        Check::Same { path, belief, merges } => {
            let found = there(view, path).await?;
            match (belief, &found) {
                (Belief::Absent, None) => Ok(()),
                (Belief::Absent, Some(stat)) if *merges && stat.kind == Kind::Directory => Ok(()),
                (Belief::Absent, Some(_)) => Err(conflict(path, "was made by somebody else")),
                (Belief::There(_), None) => Err(conflict(path, "was removed by somebody else")),
                (Belief::There(print), Some(stat)) if Print::of(stat) == *print => Ok(()),
                (Belief::There(_), Some(_)) => Err(conflict(path, "was changed by somebody else")),
            }
        }
        Check::Directory { path } => match there(view, path).await? {
            Some(stat) if stat.kind == Kind::Directory && disk.is_some_and(|disk| stat.device != disk) => {
                let message = format!("`{path}` lies on another disk than `.runner`: nothing was published");
                Err(Error::new(ErrorKind::CrossDevice, message))
            }
            Some(stat) if stat.kind == Kind::Directory => Ok(()),
            _ => Err(conflict(path, "was removed by somebody else")),
        },
        Check::Only { path, known } => {
            for entry in view.list_all(path).await? {
                if !known.contains(&entry.name) {
                    return Err(conflict(&path.child(&entry.name)?, "was made by somebody else"));
                }
            }
            Ok(())
        }
    }
}

/// Makes in the stage what the steps need, and puts them into their order.
async fn prepare<G: Ground>(ground: &G, view: &G::Tree, stage: &G::Tree, plan: &Plan) -> Result<Vec<Step>> {
    let mut first = plan.first.clone();
    for prepared in &plan.prepared {
        match prepared {
            Prepared::Second { of, name } => stage.link(of, Follow::No, name).await?,
            Prepared::Symlink { target, name, times } => {
                stage.symlink(target, name).await?;
                if let Some((accessed_ns, modified_ns)) = *times {
                    stage.set_times(name, Follow::No, to(accessed_ns, modified_ns)).await?;
                }
            }
            Prepared::Bound { home, inode, name, only } => match ground.bind(view, home, stage, name).await {
                Ok(()) => {}
                // Where no second name is to be had, the file is out of sight for a moment.
                Err(_) if *only => {
                    let take = Step::Take { path: home.clone(), inode: *inode, name: name.clone() };
                    let depth = |step: &Step| step.path().names().count();
                    let at = first.partition_point(|step| depth(step) > depth(&take));
                    first.insert(at, take);
                }
                Err(error) => return Err(error),
            },
        }
    }
    Ok(first.into_iter().chain(plan.rest.iter().cloned()).collect())
}

fn to(accessed_ns: u64, modified_ns: u64) -> SetTimes {
    SetTimes { accessed: SetTime::To(accessed_ns), modified: SetTime::To(modified_ns) }
}

/// Whether a step may succeed later that has failed.
fn passes(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Io | ErrorKind::NoSpace | ErrorKind::Quota | ErrorKind::Busy)
}

/// How steps are done.
#[derive(Clone, Copy)]
struct How {
    /// Whether the bytes are to reach the disk.
    synced: bool,
    /// Whether each may have been done before.
    again: bool,
    /// Whether what fails is done later by whoever comes next.
    later: bool,
}

/// What the owner of the files has refused.
#[derive(Default)]
struct Refused<'s> {
    first: Option<Error>,
    /// Places to which nothing has come.
    vain: BTreeSet<&'s VPath>,
    /// Places that something keeps, since the one that it was to have is refused.
    held: BTreeSet<VPath>,
    /// By its name in the stage, what has to go back to its place.
    back: Vec<(&'s VPath, &'s Home)>,
    /// What has gone to other places than it had.
    went: BTreeMap<&'s VPath, &'s VPath>,
    /// Where something lies that could not go back.
    kept: Vec<String>,
}

impl<'s> Refused<'s> {
    fn done(&mut self, step: &'s Step) {
        if let (true, Some(home)) = (step.comes(), step.home()) {
            self.went.insert(home, step.path());
        }
    }

    fn refused(&mut self, step: &'s Step, error: Error) {
        self.first.get_or_insert(error);
        if step.comes() {
            self.vain.insert(step.path());
        }
        self.held.extend(step.home().map(|home| self.place(home)));
        if let Step::Put { name, home: Some(home), .. } = step {
            self.back.push((name, home));
        }
    }

    /// Whether a step must not be done any more.
    fn spares(&self, step: &Step) -> bool {
        match step {
            Step::Remove { path, .. } => self.held.contains(path),
            Step::Times { path, .. } => self.vain.contains(path),
            _ => false,
        }
    }

    /// Where something would be by now that nobody has moved by itself.
    fn place(&self, home: &VPath) -> VPath {
        let mut above = home.parent();
        while let Some(from) = above {
            if let Some(to) = self.went.get(&from)
                && let Some(Ok(place)) = home.strip(&from).map(|rest| rest.below(to))
            {
                return place;
            }
            above = from.parent();
        }
        home.clone()
    }

    fn told(self) -> Option<Error> {
        let error = self.first?;
        if self.kept.is_empty() {
            return Some(error);
        }
        let message = format!("{error}; there is no place any more for {}", self.kept.join(", "));
        Some(Error::new(error.kind(), message).caused_by(error))
    }
}

/// Does the steps; those that were done before are told by what they have left, where that may be. A step that the owner of the
/// files refuses keeps none of the others from being done, lest nobody can ever commit again: the first such is answered. What was
/// to come to a place that is refused has its old one back.
async fn run<G: Ground>(
    ground: &G,
    view: &G::Tree,
    stage: &G::Tree,
    steps: &[Step],
    how: How,
) -> Result<Option<Error>> {
    let How { synced, again, later } = how;
    let mut refused = Refused::default();
    let coming = steps.iter().rposition(Step::comes).map_or(0, |last| last + 1);
    for (at, step) in steps.iter().enumerate() {
        if at == coming {
            go_back(ground, view, stage, &mut refused, later).await?;
        }
        if refused.spares(step) {
            continue;
        }
        let done = match step.comes() && refused.held.contains(step.path()) {
            true => Err(Error::new(ErrorKind::Exists, "what is there had to stay there")),
            false => one(ground, view, stage, step, again).await,
        };
        match done {
            Ok(()) => refused.done(step),
            Err(error) => {
                let message = format!("`{}` could not be published: {error}", step.path());
                let told = Error::new(error.kind(), message).caused_by(error);
                if later && passes(&told) {
                    return Err(told);
                }
                refused.refused(step, told);
            }
        }
    }
    if coming == steps.len() {
        go_back(ground, view, stage, &mut refused, later).await?;
    }
    if synced {
        let back = refused.held.iter().filter_map(|home| home.parent());
        let parents: BTreeSet<_> = steps.iter().filter_map(|step| step.path().parent()).chain(back).collect();
        for parent in parents {
            flush(view, &parent).await?;
        }
    }
    Ok(refused.told())
}

/// Gives what could not come to its new place its old one back, from above. Where that is somebody else's by now, it is kept aside.
async fn go_back<G: Ground>(
    ground: &G,
    view: &G::Tree,
    stage: &G::Tree,
    refused: &mut Refused<'_>,
    later: bool,
) -> Result<()> {
    let mut back = std::mem::take(&mut refused.back);
    back.sort_by_key(|(_, home)| home.path.names().count());
    for (name, home) in back {
        if there(stage, name).await?.is_none() {
            continue;
        }
        let place = refused.place(&home.path);
        let done = match there(view, &place).await {
            Ok(Some(stat)) if stat.inode == home.inode => continue,
            Ok(Some(_)) => Err(Error::exists(&place)),
            Ok(None) => ground.shift(stage, name, view, &place).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => {}
            Err(error) if later && passes(&error) => return Err(error),
            Err(_) => {
                let kept = ground.keep(stage, name).await?;
                refused.kept.push(format!("what was `{}` and is `{kept}` now", home.path));
            }
        }
    }
    Ok(())
}

async fn one<G: Ground>(ground: &G, view: &G::Tree, stage: &G::Tree, step: &Step, again: bool) -> Result<()> {
    let is = async |path: &VPath, inode: u64| Ok(there(view, path).await?.is_some_and(|stat| stat.inode == inode));
    match step {
        Step::Dir { path } => match view.create_dir(path).await {
            Err(error) if error.kind() == ErrorKind::Exists => match there(view, path).await? {
                Some(stat) if stat.kind == Kind::Directory => Ok(()),
                _ => Err(error),
            },
            made => made,
        },
        Step::Put { name, .. } if again && there(stage, name).await?.is_none() => Ok(()),
        Step::Put { name, path, .. } => ground.shift(stage, name, view, path).await,
        Step::Take { path, inode, name } => match is(path, *inode).await? {
            true => ground.shift(view, path, stage, name).await,
            false => Ok(()),
        },
        Step::Move { path, inode, to } => match is(path, *inode).await? {
            true => view.rename(path, to).await,
            false => Ok(()),
        },
        Step::Remove { path, inode, directory } => match (is(path, *inode).await?, directory) {
            (false, _) => Ok(()),
            (true, false) => view.remove_file(path).await,
            (true, true) => match view.remove_dir(path).await {
                // Somebody has put something into it since it was looked at, and keeps it.
                Err(error) if error.kind() == ErrorKind::NotEmpty => Ok(()),
                removed => removed,
            },
        },
        Step::Times { path, accessed_ns, modified_ns } => {
            match view.set_times(path, Follow::No, to(*accessed_ns, *modified_ns)).await {
                Err(error) if again && error.kind() == ErrorKind::NotFound => Ok(()),
                set => set,
            }
        }
    }
}
