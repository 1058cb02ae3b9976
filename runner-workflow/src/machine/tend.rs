//! States with machines in them: branches and iterations begin, and what became of them is gathered.

use serde_json::Value;

use crate::context::Item;
use crate::definition::Machine;
use crate::failure::{Failure, names};
use crate::history::Entry;
use crate::run::{At, Doing, Iterating, Thread, Visit};
use crate::scene::Scope;
use crate::state::Kind;

use super::engine::{Engine, Place, Trail, take};

/// What became of all the parts together.
enum Outcome {
    Pending,
    Done(Value),
    Failed(Failure),
}

impl Engine<'_> {
    /// Looks after a state's parts, one of which may have news. Whether the state itself is further now.
    pub(super) fn tend(&mut self, thread: &mut Thread, place: Place<'_>, news: Option<u64>) -> bool {
        let Some(mut visit) = take(thread) else { return false };
        let outcome = match &mut visit.doing {
            Doing::Parallel { branches } => {
                let mut branches = std::mem::take(branches);
                let outcome = self.branches(thread, &visit, place, &mut branches, news);
                visit.doing = Doing::Parallel { branches };
                outcome
            }
            Doing::Map(map) => {
                // A box of nothing takes the place while the iterations look at the visit that they lie in.
                let mut map = std::mem::replace(map, Box::new(Iterating::empty()));
                let outcome = self.iterations(thread, &visit, place, &mut map, news);
                visit.doing = Doing::Map(map);
                outcome
            }
            _ => Outcome::Pending,
        };
        match outcome {
            Outcome::Pending => {
                thread.at = At::In(visit);
                return false;
            }
            Outcome::Done(result) => {
                if matches!(visit.doing, Doing::Map(_)) {
                    self.record(Entry::new("MapStateSucceeded"));
                }
                self.finish(thread, visit, place, result, None);
            }
            Outcome::Failed(failure) => self.fail(thread, visit, place, failure),
        }
        true
    }

    fn branches(
        &mut self,
        thread: &Thread,
        visit: &Visit,
        place: Place<'_>,
        branches: &mut [Thread],
        news: Option<u64>,
    ) -> Outcome {
        let scope = Scope { own: &thread.variables, outer: place.scope };
        let machines = place.state(&visit.state).kind.machines();
        for (index, machine) in machines.iter().enumerate() {
            if news.is_none() {
                let path = [place.path, &[index as u64]].concat();
                let item = thread.item.as_ref().or(place.item);
                self.go(&mut branches[index], Place { machine, path: &path, scope: Some(&scope), item, ..place });
            }
            if let At::Failed(failed) = &branches[index].at {
                let failure = failed.failure.clone();
                self.cancel_branches(branches, &mut place.path.to_vec(), Some(index));
                return Outcome::Failed(failure);
            }
        }
        let outputs = branches.iter().map(|branch| match &branch.at {
            At::Ended(output) => Some(output.clone()),
            _ => None,
        });
        outputs.collect::<Option<Vec<Value>>>().map_or(Outcome::Pending, |outputs| Outcome::Done(Value::Array(outputs)))
    }

    fn iterations(
        &mut self,
        thread: &Thread,
        visit: &Visit,
        place: Place<'_>,
        map: &mut Iterating,
        news: Option<u64>,
    ) -> Outcome {
        let scope = Scope { own: &thread.variables, outer: place.scope };
        let Some(machine) = place.state(&visit.state).kind.machines().first() else { return Outcome::Pending };
        let inner = Place { machine, scope: Some(&scope), item: thread.item.as_ref().or(place.item), ..place };
        let known: Vec<u64> = match news {
            Some(index) => vec![index],
            None => map.running.keys().copied().collect(),
        };
        for index in known {
            if let Some(mut child) = map.running.remove(&index) {
                if news.is_none() {
                    self.iterate(&mut child, visit, inner, index);
                }
                if let Some(failure) = self.gather(&visit.state, map, index, child, place) {
                    return Outcome::Failed(failure);
                }
            }
        }
        while map.running.len() < map.concurrency && map.next < map.items.len() && !self.is_over {
            if self.budget == 0 {
                self.has_more = true;
                return Outcome::Pending;
            }
            let index = map.next as u64;
            let item = Item { index, value: map.items[map.next].take() };
            map.next += 1;
            let mut child = match self.begin(thread, visit, place, &map.effective, machine, item) {
                Ok(child) => child,
                Err(failure) => {
                    self.cancel_iterations(&visit.state, map, &mut place.path.to_vec());
                    return Outcome::Failed(failure);
                }
            };
            self.record(Entry { index: Some(index), ..Entry::named("MapIterationStarted", &visit.state) });
            self.iterate(&mut child, visit, inner, index);
            if let Some(failure) = self.gather(&visit.state, map, index, child, place) {
                return Outcome::Failed(failure);
            }
        }
        if !map.running.is_empty() || map.next < map.items.len() {
            return Outcome::Pending;
        }
        Outcome::Done(map.results.iter().flatten().cloned().collect())
    }

    /// An iteration, with what the item selector makes of its item.
    fn begin(
        &mut self,
        thread: &Thread,
        visit: &Visit,
        place: Place<'_>,
        effective: &Value,
        machine: &Machine,
        item: Item,
    ) -> Result<Thread, Failure> {
        let selector = match &place.state(&visit.state).kind {
            Kind::Map(map) => map.item_selector.as_ref(),
            _ => None,
        };
        let input = match selector {
            None => item.value.clone(),
            Some(template) => self.evaluate(thread, visit, place, None, |scene| {
                let mut scene = scene.looking_at(effective);
                scene.context.item = Some(&item);
                template.fill(&scene)
            })?,
        };
        Ok(Thread::new(machine.start_at.clone(), input, Some(item)))
    }

    fn iterate(&mut self, child: &mut Thread, visit: &Visit, place: Place<'_>, index: u64) {
        let path = [place.path, &[index]].concat();
        let trail = Trail { map: &visit.state, index, outer: place.iteration };
        self.go(child, Place { path: &path, iteration: Some(&trail), ..place });
    }

    /// Takes in what became of an iteration; gives the failure that is one too many.
    fn gather(
        &mut self,
        name: &str,
        map: &mut Iterating,
        index: u64,
        mut child: Thread,
        place: Place<'_>,
    ) -> Option<Failure> {
        let entry = |kind: &'static str| Entry { index: Some(index), ..Entry::named(kind, name) };
        match &mut child.at {
            At::Ended(output) => {
                self.record(entry("MapIterationSucceeded"));
                map.results[usize::try_from(index).ok()?] = Some(output.take());
                None
            }
            At::Failed(failed) => {
                self.record(entry("MapIterationFailed"));
                map.failed = map.failed.saturating_add(1);
                let failure = match map.tolerated {
                    Some(tolerated) if map.failed <= tolerated => return None,
                    Some(1..) => {
                        Failure::new(names::TOLERANCE, "The specified tolerated failure threshold was exceeded")
                    }
                    _ => failed.failure.clone(),
                };
                map.running.insert(index, child);
                self.cancel_iterations(name, map, &mut place.path.to_vec());
                Some(failure)
            }
            _ => {
                map.running.insert(index, child);
                None
            }
        }
    }
}

impl Iterating {
    const fn empty() -> Self {
        Self {
            items: Vec::new(),
            effective: Value::Null,
            concurrency: 0,
            tolerated: None,
            next: 0,
            running: std::collections::BTreeMap::new(),
            results: Vec::new(),
            failed: 0,
        }
    }
}
