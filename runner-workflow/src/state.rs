//! The eight states, each in a file of one shape: its fields, `check` (from the definition to the fields), and `enter` (what
//! happens when a run comes to it). States with a result also `leave` with it.

mod choice;
mod fail;
mod map;
mod parallel;
mod pass;
mod succeed;
mod task;
mod wait;

use serde_json::{Map as Object, Value};

pub use self::choice::Choice;
pub use self::fail::Fail;
pub use self::map::{Batcher, Items, Map};
pub use self::parallel::Parallel;
pub use self::pass::Pass;
pub use self::succeed::Succeed;
pub use self::task::Task;
pub use self::wait::{Until, Wait};

use crate::catch::Catcher;
use crate::definition::{Language, Machine};
use crate::failure::Failure;
use crate::fields::Fields;
use crate::retry::Retrier;
use crate::scene::Scene;
use crate::time::Millis;

pub(crate) use self::map::Iteration;
pub(crate) use self::task::Call;

/// A state of a machine.
#[derive(Debug, Clone)]
pub struct State {
    /// Its name, unique in its machine.
    pub name: String,
    /// Where it stands in the definition, as a JSON pointer.
    pub pointer: String,
    /// The language of its paths and templates.
    pub language: Language,
    /// What it does.
    pub kind: Kind,
}

/// What a state does, with its fields.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Passes its input on, perhaps reshaped.
    Pass(Pass),
    /// Has a task done.
    Task(Box<Task>),
    /// Goes where a rule leads.
    Choice(Choice),
    /// Waits.
    Wait(Wait),
    /// Ends its machine well.
    Succeed(Succeed),
    /// Ends its machine with a failure.
    Fail(Fail),
    /// Runs machines side by side.
    Parallel(Parallel),
    /// Runs one machine for each item.
    Map(Box<Map>),
}

/// Where a run goes after a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// To another state of the same machine.
    State(String),
    /// Nowhere: the machine's output is the state's.
    End,
}

/// What a state does when a run comes to it.
pub(crate) enum Step {
    /// It is done.
    Leave(Leave),
    /// It fails the machine that it is in.
    Fail(Failure),
    Wait {
        until: Millis,
    },
    Invoke(Call),
    /// Every branch begins with this input.
    Branch {
        input: Value,
    },
    Iterate(Iteration),
}

/// How a state is left.
#[derive(Debug)]
pub(crate) struct Leave {
    pub(crate) output: Value,
    pub(crate) assigned: Object<String, Value>,
    pub(crate) next: Next,
}

/// The names of `Type`, in the order in which AWS lists them.
const TYPES: [&str; 8] = ["Task", "Wait", "Pass", "Succeed", "Fail", "Choice", "Parallel", "Map"];

impl State {
    pub(crate) fn check(name: &str, fields: &mut Fields<'_, '_>, depth: usize) -> Option<Self> {
        if let Some(language) = Language::check(fields) {
            fields.language = language;
        }
        if !fields.has("Type") {
            fields.require(&["Type"]);
            return None;
        }
        let kind = match fields.text("Type")?.as_str() {
            "Pass" => Kind::Pass(Pass::check(fields)),
            "Task" => Kind::Task(Box::new(Task::check(fields))),
            "Choice" => Kind::Choice(Choice::check(fields)),
            "Wait" => Kind::Wait(Wait::check(fields)),
            "Succeed" => Kind::Succeed(Succeed::check(fields)),
            "Fail" => Kind::Fail(Fail::check(fields)),
            "Parallel" => Kind::Parallel(Parallel::check(fields, depth)),
            "Map" => Kind::Map(Box::new(Map::check(fields, depth)?)),
            _ => {
                let types = TYPES.join(", ");
                fields.complain("Type", format!("The field 'Type' should have one of these values: [{types}]"));
                return None;
            }
        };
        Some(Self { name: name.to_owned(), pointer: fields.pointer.clone(), language: fields.language, kind })
    }

    /// Every state that it can lead to, with the place that names it, from the state's own pointer on.
    #[must_use]
    pub fn targets(&self) -> Vec<(String, &str)> {
        let mut targets = Vec::new();
        if let Some(Next::State(name)) = self.kind.next() {
            targets.push(("/Next".to_owned(), name.as_str()));
        }
        if let Kind::Choice(choice) = &self.kind {
            let rules = choice.rules.iter().enumerate();
            targets.extend(rules.map(|(index, rule)| (format!("/Choices/{index}/Next"), rule.next.as_str())));
            targets.extend(choice.default.as_deref().map(|name| ("/Default".to_owned(), name)));
        }
        let catchers = self.kind.catch().iter().enumerate();
        targets.extend(catchers.map(|(index, catcher)| (format!("/Catch/{index}/Next"), catcher.next.as_str())));
        targets
    }
}

impl Kind {
    /// The name of its `Type`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Pass(_) => "Pass",
            Self::Task(_) => "Task",
            Self::Choice(_) => "Choice",
            Self::Wait(_) => "Wait",
            Self::Succeed(_) => "Succeed",
            Self::Fail(_) => "Fail",
            Self::Parallel(_) => "Parallel",
            Self::Map(_) => "Map",
        }
    }

    /// The history's word for that a run came to it.
    pub(crate) const fn entered(&self) -> &'static str {
        match self {
            Self::Pass(_) => "PassStateEntered",
            Self::Task(_) => "TaskStateEntered",
            Self::Choice(_) => "ChoiceStateEntered",
            Self::Wait(_) => "WaitStateEntered",
            Self::Succeed(_) => "SucceedStateEntered",
            Self::Fail(_) => "FailStateEntered",
            Self::Parallel(_) => "ParallelStateEntered",
            Self::Map(_) => "MapStateEntered",
        }
    }

    /// The history's word for that a run left it.
    pub(crate) const fn exited(&self) -> &'static str {
        match self {
            Self::Pass(_) => "PassStateExited",
            Self::Task(_) => "TaskStateExited",
            Self::Choice(_) => "ChoiceStateExited",
            Self::Wait(_) => "WaitStateExited",
            Self::Succeed(_) => "SucceedStateExited",
            Self::Fail(_) => "FailStateExited",
            Self::Parallel(_) => "ParallelStateExited",
            Self::Map(_) => "MapStateExited",
        }
    }

    /// `Next` or `End`, for the kinds that have them.
    #[must_use]
    pub const fn next(&self) -> Option<&Next> {
        match self {
            Self::Pass(state) => Some(&state.next),
            Self::Task(state) => Some(&state.next),
            Self::Wait(state) => Some(&state.next),
            Self::Parallel(state) => Some(&state.next),
            Self::Map(state) => Some(&state.next),
            Self::Choice(_) | Self::Succeed(_) | Self::Fail(_) => None,
        }
    }

    /// `Retry`.
    #[must_use]
    pub fn retry(&self) -> &[Retrier] {
        match self {
            Self::Task(state) => &state.retry,
            Self::Parallel(state) => &state.retry,
            Self::Map(state) => &state.retry,
            _ => &[],
        }
    }

    /// `Catch`.
    #[must_use]
    pub fn catch(&self) -> &[Catcher] {
        match self {
            Self::Task(state) => &state.catch,
            Self::Parallel(state) => &state.catch,
            Self::Map(state) => &state.catch,
            _ => &[],
        }
    }

    /// The machines that lie in it.
    #[must_use]
    pub fn machines(&self) -> &[Machine] {
        match self {
            Self::Parallel(state) => &state.branches,
            Self::Map(state) => std::slice::from_ref(&state.processor),
            _ => &[],
        }
    }

    pub(crate) fn enter(&self, scene: &Scene<'_>) -> Result<Step, Failure> {
        match self {
            Self::Pass(state) => state.enter(scene),
            Self::Task(state) => state.enter(scene),
            Self::Choice(state) => state.enter(scene),
            Self::Wait(state) => state.enter(scene),
            Self::Succeed(state) => state.enter(scene),
            Self::Fail(state) => state.enter(scene),
            Self::Parallel(state) => state.enter(scene),
            Self::Map(state) => state.enter(scene),
        }
    }

    /// What a state with a result does with it; a Wait has none and passes on what it got.
    pub(crate) fn leave(&self, scene: &Scene<'_>, result: Value) -> Result<Leave, Failure> {
        match self {
            Self::Task(state) => state.flow.leave(scene, result, state.next.clone()),
            Self::Parallel(state) => state.flow.leave(scene, result, state.next.clone()),
            Self::Map(state) => state.flow.leave(scene, result, state.next.clone()),
            Self::Wait(state) => state.flow.pass_on(scene, state.next.clone()),
            // The others are left when they are entered.
            _ => Ok(Leave { output: result, assigned: Object::new(), next: Next::End }),
        }
    }
}
