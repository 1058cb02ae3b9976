//! What has to be done to make a volume what a draft is: which paths are looked at again, and the steps in their order. It asks nobody.
//!
//! First what is in the way, or moves through the stage, from below; then directories from above, and what comes into them; then
//! what is removed, from below; then times. So a reader sees new files before others name them, and old ones until then.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{Home, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::path::VPath;
use crate::vfs::Kind;
use crate::volume::draft::{Belief, Body, Child, Dir, Names, PATHS_BYTES_MAX, Print, ROOT, named};
use crate::volume::held::Outcome;

/// What is looked at again before anything is done.
#[derive(Debug)]
pub(super) enum Check {
    /// What was at a path is there still; a directory may have come where one is to be made.
    Same {
        path: VPath,
        belief: Belief,
        merges: bool,
    },
    Directory {
        path: VPath,
    },
    /// A directory that is removed has no entries but these.
    Only {
        path: VPath,
        known: HashSet<String>,
    },
}

/// What is made in the stage before the first step.
#[derive(Debug)]
pub(super) enum Prepared {
    /// One more name of a file in the stage.
    Second {
        of: VPath,
        name: VPath,
    },
    /// A name for a file that is as it was, elsewhere; `only` where it need not keep the one it has.
    Bound {
        home: VPath,
        inode: u64,
        name: VPath,
        only: bool,
    },
    Symlink {
        target: String,
        name: VPath,
        times: Option<(u64, u64)>,
    },
}

#[derive(Default)]
pub(super) struct Plan {
    pub(super) checks: Vec<Check>,
    pub(super) prepared: Vec<Prepared>,
    /// What is in the way, from below.
    pub(super) first: Vec<Step>,
    pub(super) rest: Vec<Step>,
    pub(super) outcome: Outcome,
}

/// One name of the draft, in the order of a walk.
struct Visit<'a> {
    path: VPath,
    /// Where it is below, had it not moved.
    lower: Option<VPath>,
    child: &'a Child,
    /// Whether the directory that it is in is where it was below, and so are those above.
    settled: bool,
    /// Whether that directory is there, at its path, before anything moves through the stage.
    steady: bool,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.prepared.is_empty() && self.first.is_empty() && self.rest.is_empty()
    }

    pub(super) fn of(
        names: &Names,
        beliefs: &BTreeMap<VPath, Belief>,
        number: &mut dyn FnMut() -> u64,
    ) -> Result<Plan> {
        let visits = visits(names)?;
        let mut planner = Planner::new(names, beliefs, number, &visits)?;
        planner.directories(&visits)?;
        planner.files(&visits)?;
        planner.removals()?;
        planner.finish()
    }
}

/// All names of the draft, a directory before what is in it.
fn visits(names: &Names) -> Result<Vec<Visit<'_>>> {
    let (mut visits, mut bytes) = (Vec::new(), 0_usize);
    let mut ahead = vec![(ROOT, VPath::root(), true, true)];
    while let Some((id, at, settled, steady)) = ahead.pop() {
        let dir = names.dir(id)?;
        for (name, child) in &dir.entries {
            let (path, lower) = (at.child(name)?, dir.lower_of(name)?);
            bytes += path.as_relative().len();
            if bytes > PATHS_BYTES_MAX {
                let message = format!(
                    "the paths that the draft has changed have more than {PATHS_BYTES_MAX} bytes, no more are allowed: nothing was \
                     published"
                );
                return Err(Error::new(ErrorKind::NoSpace, message));
            }
            if let Child::Dir(id) = child {
                let own = &names.dir(*id)?.lower;
                let (stays, new) = (own.is_some() && *own == lower, own.is_none());
                ahead.push((*id, path.clone(), settled && stays, steady && ((settled && stays) || new)));
            }
            visits.push(Visit { path, lower, child, settled, steady });
        }
    }
    Ok(visits)
}

struct Planner<'a> {
    names: &'a Names,
    beliefs: &'a BTreeMap<VPath, Belief>,
    number: &'a mut dyn FnMut() -> u64,
    /// The directories below that are somewhere else now.
    moved: HashSet<VPath>,
    /// Where files and links are below that have other names now.
    homes: HashSet<VPath>,
    /// What is below where something of another kind is to come.
    in_way: HashSet<VPath>,
    /// The directories that are where they were below.
    settled: HashSet<u64>,
    checked: BTreeMap<VPath, bool>,
    parents: BTreeSet<VPath>,
    only: Vec<Check>,
    prepared: Vec<Prepared>,
    first: Vec<(usize, Step)>,
    dirs: Vec<Step>,
    /// With the path below that each comes to.
    files: Vec<(Option<VPath>, Step)>,
    last: Vec<(usize, Step)>,
    times: Vec<Step>,
    /// Paths where something is now.
    put: HashSet<VPath>,
    added: Vec<VPath>,
    changed: Vec<VPath>,
    removed: Vec<VPath>,
    bytes: u64,
    count: u64,
}

impl<'a> Planner<'a> {
    fn new(
        names: &'a Names,
        beliefs: &'a BTreeMap<VPath, Belief>,
        number: &'a mut dyn FnMut() -> u64,
        visits: &[Visit<'_>],
    ) -> Result<Self> {
        let mut planner = Planner {
            names,
            beliefs,
            number,
            moved: HashSet::new(),
            homes: HashSet::new(),
            in_way: HashSet::new(),
            settled: HashSet::from([ROOT]),
            checked: BTreeMap::new(),
            parents: BTreeSet::new(),
            only: Vec::new(),
            prepared: Vec::new(),
            first: Vec::new(),
            dirs: Vec::new(),
            files: Vec::new(),
            last: Vec::new(),
            times: Vec::new(),
            put: HashSet::new(),
            added: Vec::new(),
            changed: Vec::new(),
            removed: Vec::new(),
            bytes: 0,
            count: 0,
        };
        for visit in visits {
            let home = match visit.child {
                Child::Dir(id) => match &names.dir(*id)?.lower {
                    Some(home) if Some(home) != visit.lower.as_ref() => {
                        planner.moved.insert(home.clone());
                        continue;
                    }
                    Some(_) if visit.settled => {
                        planner.settled.insert(*id);
                        continue;
                    }
                    _ => continue,
                },
                Child::File(body) => &body.home,
                Child::Link(link) => &link.home,
                Child::Gone => continue,
            };
            if let Some(home) = home.as_ref().filter(|home| visit.lower.as_ref() != Some(home)) {
                planner.homes.insert(home.clone());
            }
        }
        Ok(planner)
    }

    /// A name in the stage that nothing has yet.
    fn name(&mut self) -> Result<VPath> {
        VPath::root().child(&(self.number)().to_string())
    }

    /// Where something is below that loses this name.
    fn home(&self, home: Option<&VPath>) -> Option<Home> {
        let print = self.print(home?)?;
        Some(Home { path: home?.clone(), inode: print.inode })
    }

    fn print(&self, lower: &VPath) -> Option<Print> {
        match self.beliefs.get(lower) {
            Some(Belief::There(print)) => Some(*print),
            Some(Belief::Absent) | None => None,
        }
    }

    /// Something is to be looked at again.
    fn check(&mut self, lower: &VPath, merges: bool) {
        let known = self.checked.entry(lower.clone()).or_insert(merges);
        *known &= merges;
    }

    /// Something comes to a path: what is there is noted, and got out of the way where it is of another kind.
    fn comes(&mut self, visit: &Visit<'_>, directory: bool) -> Result<()> {
        let before = self.print(&visit.path).map(|print| print.kind == Kind::Directory);
        match before {
            None => self.added.push(visit.path.clone()),
            Some(true) if directory => {}
            Some(_) => self.changed.push(visit.path.clone()),
        }
        self.put.insert(visit.path.clone());
        let Some(lower) = &visit.lower else { return Ok(()) };
        self.check(lower, directory);
        if let Some(parent) = lower.parent() {
            self.parents.insert(parent);
        }
        if let Some(print) = self.print(lower)
            && (directory || print.kind == Kind::Directory)
        {
            self.in_way.insert(lower.clone());
            if !self.moved.contains(lower) {
                self.remove(lower, print, true)?;
            }
        }
        Ok(())
    }

    fn remove(&mut self, lower: &VPath, print: Print, first: bool) -> Result<()> {
        let (path, inode) = (lower.clone(), print.inode);
        let step = match first && self.homes.contains(lower) {
            // Its new place may be refused yet: the file is removed with the stage.
            true => Step::Take { path, inode, name: self.name()? },
            false => Step::Remove { path, inode, directory: print.kind == Kind::Directory },
        };
        let steps = if first { &mut self.first } else { &mut self.last };
        steps.push((lower.names().count(), step));
        Ok(())
    }

    fn directories(&mut self, visits: &[Visit<'_>]) -> Result<()> {
        for visit in visits {
            let Child::Dir(id) = visit.child else { continue };
            let dir = self.names.dir(*id)?;
            match &dir.lower {
                Some(home) if Some(home) == visit.lower.as_ref() => {}
                None => {
                    self.comes(visit, true)?;
                    self.dirs.push(Step::Dir { path: visit.path.clone() });
                }
                Some(home) => {
                    self.comes(visit, true)?;
                    self.moves(visit, home)?;
                }
            }
            if dir.set {
                self.set_times(&visit.path, (dir.accessed_ns.unwrap_or(0), dir.modified_ns.unwrap_or(0)));
            }
        }
        let root = self.names.dir(ROOT)?;
        if root.set {
            self.set_times(&VPath::root(), (root.accessed_ns.unwrap_or(0), root.modified_ns.unwrap_or(0)));
        }
        Ok(())
    }

    /// A directory is somewhere else now: it is renamed, or goes through the stage where that cannot be done at once.
    fn moves(&mut self, visit: &Visit<'_>, home: &VPath) -> Result<()> {
        let Some(print) = self.print(home) else { return Ok(()) };
        self.check(home, false);
        let parent = home.parent().and_then(|parent| self.names.of.get(&parent));
        let vacant = match (parent, home.name()) {
            (Some(parent), Some(name)) => {
                let gone = matches!(self.names.dir(*parent)?.entries.get(name), Some(Child::Gone));
                gone && self.settled.contains(parent)
            }
            _ => false,
        };
        let free = visit.lower.as_ref().is_none_or(|lower| !self.moved.contains(lower));
        if vacant && free && visit.steady {
            self.dirs.push(Step::Move { path: home.clone(), inode: print.inode, to: visit.path.clone() });
        } else {
            let name = self.name()?;
            let take = Step::Take { path: home.clone(), inode: print.inode, name: name.clone() };
            self.first.push((home.names().count(), take));
            self.dirs.push(Step::Put { name, path: visit.path.clone(), home: self.home(Some(home)) });
        }
        Ok(())
    }

    fn set_times(&mut self, path: &VPath, (accessed_ns, modified_ns): (u64, u64)) {
        self.times.push(Step::Times { path: path.clone(), accessed_ns, modified_ns });
    }

    fn files(&mut self, visits: &[Visit<'_>]) -> Result<()> {
        // The names of each file: whether it keeps the one that it has below.
        let mut kept: HashMap<u64, bool> = HashMap::new();
        let mut named: HashMap<u64, u64> = HashMap::new();
        for visit in visits {
            if let Child::File(body) = visit.child {
                *kept.entry(body.number).or_default() |= body.home.is_some() && body.home == visit.lower;
                *named.entry(body.number).or_default() += 1;
            }
        }
        let mut staged: HashSet<u64> = HashSet::new();
        for visit in visits {
            match visit.child {
                Child::Gone | Child::Dir(_) => {}
                Child::Link(link) => {
                    let stays = link.home.is_some() && link.home == visit.lower;
                    match (stays, link.changed()) {
                        (true, None) => {}
                        (true, Some(times)) => {
                            self.touched(visit);
                            self.set_times(&visit.path, times);
                        }
                        (false, times) => {
                            self.comes(visit, false)?;
                            let (target, name) = (link.target.clone(), self.name()?);
                            self.prepared.push(Prepared::Symlink { target, name: name.clone(), times });
                            let home = self.home(link.home.as_ref());
                            self.files.push((visit.lower.clone(), Step::Put { name, path: visit.path.clone(), home }));
                            self.count += 1;
                        }
                    }
                }
                Child::File(body) => {
                    let stays = body.home.is_some() && body.home == visit.lower;
                    let (written, times) = body.changed();
                    if !written && stays {
                        if let Some(times) = times {
                            self.touched(visit);
                            self.set_times(&visit.path, times);
                        }
                        continue;
                    }
                    self.comes(visit, false)?;
                    self.count += 1;
                    let name = if written {
                        self.written(body, staged.insert(body.number))?
                    } else {
                        let name = self.name()?;
                        let only = !kept[&body.number] && named[&body.number] == 1;
                        self.bound(body, name.clone(), only);
                        name
                    };
                    let home = self.home(body.home.as_ref().filter(|_| !kept[&body.number]));
                    self.files.push((visit.lower.clone(), Step::Put { name, path: visit.path.clone(), home }));
                    if let Some(times) = times {
                        self.set_times(&visit.path, times);
                    }
                }
            }
        }
        Ok(())
    }

    /// A file that was written: its name in the stage, and for each further name of it one more.
    fn written(&mut self, body: &Body, first: bool) -> Result<VPath> {
        let of = body.staged_path()?;
        if first {
            self.bytes += body.size();
            return Ok(of);
        }
        let name = self.name()?;
        self.prepared.push(Prepared::Second { of, name: name.clone() });
        Ok(name)
    }

    /// A file that is as it was, under another name.
    fn bound(&mut self, body: &Body, name: VPath, only: bool) {
        if let Some(home) = &body.home {
            self.check(home, false);
            let inode = self.print(home).map_or(0, |print| print.inode);
            self.prepared.push(Prepared::Bound { home: home.clone(), inode, name, only });
        }
    }

    /// Something of which only the times are others.
    fn touched(&mut self, visit: &Visit<'_>) {
        if let Some(lower) = &visit.lower {
            self.check(lower, false);
        }
    }

    fn removals(&mut self) -> Result<()> {
        let names = self.names;
        let buried: HashSet<u64> = names.buried.iter().copied().collect();
        let of_all = names.dirs.iter().filter(|(_, dir)| dir.lower.is_some());
        for (id, dir) in of_all {
            for (name, child) in &dir.entries {
                let (Child::Gone, Some(lower)) = (child, dir.lower_of(name)?) else { continue };
                let Some(print) = self.print(&lower) else { continue };
                if self.moved.contains(&lower) {
                    if !self.put.contains(&lower) {
                        self.removed.push(lower);
                    }
                    continue;
                }
                self.check(&lower, false);
                if print.kind == Kind::Directory {
                    self.emptied(&lower)?;
                }
                let first = self.is_under_what_moves(&lower);
                self.remove(&lower, print, first)?;
                // What is in a directory that is elsewhere now was listed with it.
                let listed = self.settled.contains(id) || buried.contains(id);
                if listed && !self.put.contains(&lower) {
                    self.removed.push(lower);
                }
            }
        }
        for path in self.in_way.clone() {
            if self.print(&path).is_some_and(|print| print.kind == Kind::Directory) && !self.moved.contains(&path) {
                self.emptied(&path)?;
            }
        }
        Ok(())
    }

    /// A directory below that is removed: what it has must be what the draft knows of.
    fn emptied(&mut self, lower: &VPath) -> Result<()> {
        let dir: Option<&Dir> = self.names.of.get(lower).and_then(|id| self.names.dirs.get(id));
        let known = dir.map(|dir| dir.entries.keys().map(|name| name.to_string()).collect()).unwrap_or_default();
        self.only.push(Check::Only { path: lower.clone(), known });
        Ok(())
    }

    fn is_under_what_moves(&self, lower: &VPath) -> bool {
        let mut at = Some(lower.clone());
        while let Some(path) = at {
            if self.moved.contains(&path) || self.in_way.contains(&path) {
                return true;
            }
            at = path.parent();
        }
        false
    }

    fn finish(mut self) -> Result<Plan> {
        let from_below = |steps: &mut Vec<(usize, Step)>| {
            steps.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
            std::mem::take(steps).into_iter().map(|(_, step)| step).collect::<Vec<_>>()
        };
        let mut checks = Vec::new();
        checks.extend(self.parents.iter().map(|path| Check::Directory { path: path.clone() }));
        for (path, merges) in &self.checked {
            if let Some(belief) = self.beliefs.get(path) {
                checks.push(Check::Same { path: path.clone(), belief: *belief, merges: *merges });
            }
        }
        checks.append(&mut self.only);
        let first = from_below(&mut self.first);
        let mut rest = std::mem::take(&mut self.dirs);
        rest.append(&mut in_turn(std::mem::take(&mut self.files)));
        rest.append(&mut from_below(&mut self.last));
        self.times.sort_by_key(|step| std::cmp::Reverse(step.path().names().count()));
        rest.append(&mut self.times);
        let changes = named([self.added, self.changed, self.removed]);
        let outcome = Outcome { changes, bytes: self.bytes, files: self.count };
        Ok(Plan { checks, prepared: self.prepared, first, rest, outcome })
    }
}

/// What leaves a place comes before what comes to it, but in a circle: where its new place is refused, the old one is not taken yet.
fn in_turn(puts: Vec<(Option<VPath>, Step)>) -> Vec<Step> {
    let places = puts.iter().enumerate().filter_map(|(at, (lower, _))| Some((lower.as_ref()?, at)));
    let places: HashMap<&VPath, usize> = places.collect();
    // Who has to wait for each of them, and for how many each waits.
    let next: Vec<Option<usize>> = puts.iter().map(|(_, put)| places.get(put.home()?).copied()).collect();
    let mut waits = vec![0_usize; puts.len()];
    for next in next.iter().flatten() {
        waits[*next] += 1;
    }
    let mut ready: Vec<usize> = (0..puts.len()).rev().filter(|at| waits[*at] == 0).collect();
    let (mut puts, mut turns): (Vec<_>, Vec<_>) = (puts.into_iter().map(|(_, put)| Some(put)).collect(), Vec::new());
    while let Some(at) = ready.pop() {
        turns.extend(puts[at].take());
        if let Some(next) = next[at] {
            waits[next] -= 1;
            if waits[next] == 0 {
                ready.push(next);
            }
        }
    }
    turns.extend(puts.into_iter().flatten());
    turns
}
