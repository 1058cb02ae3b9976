//! News for one thread: it is led there, and from there back out, each outer state looking at what became of its part.

use serde_json::Value;

use crate::failure::{Failure, names};
use crate::history::{Entry, Stage};
use crate::resource::Resource;
use crate::run::{At, Doing, Pending, Thread, Visit};
use crate::scene::{Scene, Scope};
use crate::state::Kind;
use crate::weight::weigh;

use super::after;
use super::engine::{Engine, Place, Trail, take};

/// What came.
pub(super) enum News {
    Timer(u64),
    Task(u64, What),
}

/// What came of a task.
pub(super) enum What {
    Submitted(Option<Value>),
    Heartbeat,
    Succeeded(Value),
    Failed(Failure),
    TimedOut,
}

impl Engine<'_> {
    pub(super) fn deliver(&mut self, thread: &mut Thread, place: Place<'_>, path: &[u64], news: News) {
        let Some((index, rest)) = path.split_first() else {
            self.receive(thread, place, news);
            return self.go(thread, place);
        };
        let scope = Scope { own: &thread.variables, outer: place.scope };
        let At::In(visit) = &mut thread.at else { return };
        let machines = place.state(&visit.state).kind.machines();
        let path = [place.path, &[*index]].concat();
        let inner = Place { path: &path, scope: Some(&scope), item: thread.item.as_ref().or(place.item), ..place };
        match &mut visit.doing {
            Doing::Parallel { branches } => {
                let at = usize::try_from(*index).ok();
                let branch = at.and_then(|at| branches.get_mut(at).zip(machines.get(at)));
                let Some((branch, machine)) = branch else { return };
                self.deliver(branch, Place { machine, ..inner }, rest, news);
            }
            Doing::Map(map) => {
                let Some((child, machine)) = map.running.get_mut(index).zip(machines.first()) else { return };
                let trail = Trail { map: &visit.state, index: *index, outer: place.iteration };
                self.deliver(child, Place { machine, iteration: Some(&trail), ..inner }, rest, news);
            }
            _ => return,
        }
        if self.tend(thread, place, Some(*index)) {
            self.go(thread, place);
        }
    }

    fn receive(&mut self, thread: &mut Thread, place: Place<'_>, news: News) {
        let Some(mut visit) = take(thread) else { return };
        match (&visit.doing, news) {
            (Doing::Waiting { timer, .. }, News::Timer(fired)) if *timer == fired => {
                self.finish(thread, visit, place, Value::Null, None);
            }
            (Doing::Backoff { timer, .. }, News::Timer(fired)) if *timer == fired => {
                visit.doing = Doing::Starting;
                thread.at = At::In(visit);
            }
            (Doing::Task(pending), News::Timer(fired))
                if [pending.timeout, pending.heartbeat].contains(&Some(fired)) =>
            {
                self.task(thread, visit, place, What::TimedOut, Some(fired));
            }
            (Doing::Task(pending), News::Task(task, what)) if pending.task == task => {
                self.task(thread, visit, place, what, None);
            }
            // Of something that nobody waits for any longer.
            _ => thread.at = At::In(visit),
        }
    }

    fn task(&mut self, thread: &mut Thread, mut visit: Box<Visit>, place: Place<'_>, what: What, fired: Option<u64>) {
        let Kind::Task(task) = &place.state(&visit.state).kind else { return thread.at = At::In(visit) };
        let resource = &task.resource;
        let Doing::Task(pending) = &mut visit.doing else { return thread.at = At::In(visit) };
        match what {
            What::Submitted(output) => {
                self.record(Entry { output, ..Entry::of_task(Stage::Submitted, resource, None) });
                thread.at = At::In(visit);
            }
            What::Heartbeat => {
                if let Some(seconds) = pending.heartbeat_seconds {
                    self.cancel_timer(place.path, pending.heartbeat);
                    let at = after(self.now, seconds);
                    pending.heartbeat = Some(self.set_timer(place.path, at));
                    pending.heartbeat_at = Some(at);
                }
                thread.at = At::In(visit);
            }
            What::Succeeded(output) => {
                let token = pending.token.clone();
                self.stop_timers(pending.clone(), place, None);
                if let Err(failure) = weigh(&output, self.limits.payload_bytes, resource.shown()) {
                    return self.task_failed(thread, visit, place, resource, Stage::Failed, failure);
                }
                self.record(Entry::of_task(Stage::Succeeded, resource, None).with_output(output.clone()));
                self.finish(thread, visit, place, output, token.as_deref());
            }
            What::Failed(failure) => {
                self.stop_timers(pending.clone(), place, None);
                self.task_failed(thread, visit, place, resource, Stage::Failed, failure);
            }
            What::TimedOut => {
                let task = pending.task;
                self.stop_timers(pending.clone(), place, fired);
                if fired.is_some() {
                    let task = crate::run::Key { path: place.path.to_vec(), serial: task };
                    self.commands.push(crate::command::Command::CancelTask(task));
                }
                let failure = Failure { error: Some(names::TIMEOUT.to_owned()), cause: None, location: None };
                self.task_failed(thread, visit, place, resource, Stage::TimedOut, failure);
            }
        }
    }

    fn stop_timers(&mut self, pending: Pending, place: Place<'_>, fired: Option<u64>) {
        for timer in [pending.timeout, pending.heartbeat] {
            self.cancel_timer(place.path, timer.filter(|timer| Some(*timer) != fired));
        }
    }

    fn task_failed(
        &mut self,
        thread: &mut Thread,
        visit: Box<Visit>,
        place: Place<'_>,
        resource: &Resource,
        stage: Stage,
        failure: Failure,
    ) {
        self.record(Entry::of_task(stage, resource, None).with_failure(&failure));
        self.fail(thread, visit, place, failure);
    }

    /// A state has its result.
    pub(super) fn finish(
        &mut self,
        thread: &mut Thread,
        visit: Box<Visit>,
        place: Place<'_>,
        result: Value,
        token: Option<&str>,
    ) {
        let kind = &place.state(&visit.state).kind;
        match self.evaluate(thread, &visit, place, token, |scene: &Scene<'_>| kind.leave(scene, result)) {
            Ok(leave) => self.leave(thread, visit, place, leave),
            Err(failure) => self.fail(thread, visit, place, failure),
        }
    }
}
