//! Every path and every expression in a state's own fields, with its place and with what `$` is there.

use crate::choice::{Condition, Operand};
use crate::complaint::under;
use crate::fields::{PathOrNull, Quantity};
use crate::flow::Flow;
use crate::jsonata::Jsonata;
use crate::path::Path;
use crate::state::{Items, Kind, State, Until};
use crate::template::{Expression, Hole, Template};

/// One path or expression that a state reads.
pub(super) struct Read<'s> {
    /// Where it stands, as a JSON pointer in the definition.
    pub(super) pointer: String,
    pub(super) dollar: Dollar,
    pub(super) of: Of<'s>,
    /// Whether nothing is wrong where it leads nowhere: it is asked whether it is there.
    pub(super) may_miss: bool,
}

pub(super) enum Of<'s> {
    Path(&'s Path),
    Jsonata(&'s Jsonata),
}

/// What `$` is, and with it which parts `$states` has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dollar {
    /// The state's input.
    Input,
    /// What `InputPath` let through.
    Effective,
    /// What the state, its task or its machines gave.
    Result,
    /// The input with the result in it.
    Combined,
    /// What went wrong.
    Error,
}

struct Reads<'s> {
    pointer: &'s str,
    found: Vec<Read<'s>>,
}

/// All that a state reads.
pub(super) fn reads(state: &State) -> Vec<Read<'_>> {
    let mut reads = Reads { pointer: &state.pointer, found: Vec::new() };
    reads.of(&state.kind);
    reads.found
}

impl<'s> Reads<'s> {
    fn of(&mut self, kind: &'s Kind) {
        match kind {
            Kind::Pass(state) => self.flow(&state.flow, "Parameters", Dollar::Result),
            Kind::Succeed(state) => self.flow(&state.flow, "", Dollar::Effective),
            Kind::Fail(state) => {
                for (name, template) in [("Error", &state.error), ("Cause", &state.cause)] {
                    if let Some(template) = template {
                        let is_path = matches!(template, Template::Hole(Hole { field, .. }) if field.ends_with("Path"));
                        let at = if is_path { format!("{name}Path") } else { name.to_owned() };
                        self.template(template, self.at(&at), Dollar::Input);
                    }
                }
            }
            Kind::Wait(state) => {
                match &state.until {
                    Until::Seconds(quantity) => self.quantity(Some(quantity), "Seconds"),
                    Until::Path(path) => self.path(path, self.at("TimestampPath"), Dollar::Effective),
                    Until::Expression(hole) => self.hole(hole, self.at("Timestamp"), Dollar::Effective),
                    Until::Instant(_) => {}
                }
                self.flow(&state.flow, "", Dollar::Effective);
            }
            Kind::Choice(state) => {
                for (index, rule) in state.rules.iter().enumerate() {
                    let at = self.at(&format!("Choices/{index}"));
                    self.condition(&rule.condition, &at);
                    self.optional(rule.output.as_ref(), under(&at, "Output"), Dollar::Effective);
                    self.optional(rule.assign.as_ref(), under(&at, "Assign"), Dollar::Effective);
                }
                self.flow(&state.flow, "", Dollar::Effective);
            }
            Kind::Task(state) => {
                self.quantity(state.timeout.as_ref(), "TimeoutSeconds");
                self.quantity(state.heartbeat.as_ref(), "HeartbeatSeconds");
                self.flow(&state.flow, "Parameters", Dollar::Result);
            }
            Kind::Parallel(state) => self.flow(&state.flow, "Parameters", Dollar::Result),
            Kind::Map(state) => {
                match &state.items {
                    // It leads into what is read, of which nothing is known.
                    Items::Path(_) if state.has_reader => {}
                    Items::Path(path) => self.path(path, self.at("ItemsPath"), Dollar::Effective),
                    Items::Template(template) => self.template(template, self.at("Items"), Dollar::Effective),
                    Items::Input => {}
                }
                self.optional(state.item_selector.as_ref(), self.at("ItemSelector"), Dollar::Effective);
                if let Some(batcher) = &state.batcher {
                    self.quantity(batcher.items_max.as_ref(), "ItemBatcher/MaxItemsPerBatch");
                    self.quantity(batcher.bytes_max.as_ref(), "ItemBatcher/MaxInputBytesPerBatch");
                    self.optional(batcher.input.as_ref(), self.at("ItemBatcher/BatchInput"), Dollar::Effective);
                }
                self.quantity(state.max_concurrency.as_ref(), "MaxConcurrency");
                self.quantity(state.tolerated_count.as_ref(), "ToleratedFailureCount");
                self.quantity(state.tolerated_percentage.as_ref(), "ToleratedFailurePercentage");
                self.flow(&state.flow, "", Dollar::Result);
            }
        }
        for (index, catcher) in kind.catch().iter().enumerate() {
            let at = self.at(&format!("Catch/{index}"));
            self.optional(catcher.output.as_ref(), under(&at, "Output"), Dollar::Error);
            self.optional(catcher.assign.as_ref(), under(&at, "Assign"), Dollar::Error);
        }
    }

    /// A field of the state; a field within a field as `A/b`.
    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.pointer)
    }

    fn flow(&mut self, flow: &'s Flow, arguments: &str, dollar: Dollar) {
        let arguments = if flow.language == crate::definition::Language::Jsonata { "Arguments" } else { arguments };
        self.path_or_null(flow.input_path.as_ref(), "InputPath", Dollar::Input);
        self.optional(flow.arguments.as_ref(), self.at(arguments), Dollar::Effective);
        self.optional(flow.result_selector.as_ref(), self.at("ResultSelector"), Dollar::Result);
        let combined = if dollar == Dollar::Result { Dollar::Combined } else { dollar };
        self.path_or_null(flow.output_path.as_ref(), "OutputPath", combined);
        self.optional(flow.output.as_ref(), self.at("Output"), dollar);
        self.optional(flow.assign.as_ref(), self.at("Assign"), dollar);
    }

    fn condition(&mut self, condition: &'s Condition, at: &str) {
        match condition {
            Condition::And(parts) | Condition::Or(parts) => {
                let name = if matches!(condition, Condition::And(_)) { "And" } else { "Or" };
                for (index, part) in parts.iter().enumerate() {
                    self.condition(part, &format!("{at}/{name}/{index}"));
                }
            }
            Condition::Not(part) => self.condition(part, &under(at, "Not")),
            Condition::Is(path, test, _) => {
                let may_miss = *test == crate::choice::Test::Present;
                let pointer = under(at, "Variable");
                self.found.push(Read { pointer, dollar: Dollar::Effective, of: Of::Path(path), may_miss });
            }
            Condition::Compare(path, _, operand) => {
                self.path(path, under(at, "Variable"), Dollar::Effective);
                if let Operand::Path(path) = operand {
                    self.path(path, at.to_owned(), Dollar::Effective);
                }
            }
            Condition::Expression(hole) => self.hole(hole, under(at, "Condition"), Dollar::Effective),
            Condition::Literal(_) => {}
        }
    }

    fn quantity(&mut self, quantity: Option<&'s Quantity>, name: &str) {
        match quantity {
            Some(Quantity::Path(path)) => self.path(path, self.at(&format!("{name}Path")), Dollar::Effective),
            Some(Quantity::Expression(hole)) => self.hole(hole, self.at(name), Dollar::Effective),
            Some(Quantity::Fixed(_)) | None => {}
        }
    }

    fn path_or_null(&mut self, path: Option<&'s PathOrNull>, name: &str, dollar: Dollar) {
        if let Some(PathOrNull::Path(path)) = path {
            self.path(path, self.at(name), dollar);
        }
    }

    fn path(&mut self, path: &'s Path, pointer: String, dollar: Dollar) {
        self.found.push(Read { pointer, dollar, of: Of::Path(path), may_miss: false });
    }

    fn optional(&mut self, template: Option<&'s Template>, pointer: String, dollar: Dollar) {
        if let Some(template) = template {
            self.template(template, pointer, dollar);
        }
    }

    fn template(&mut self, template: &'s Template, pointer: String, dollar: Dollar) {
        match template {
            Template::Literal(_) => {}
            Template::Hole(hole) => self.hole(hole, pointer, dollar),
            Template::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.template(item, format!("{pointer}/{index}"), dollar);
                }
            }
            Template::Object(parts) => {
                for (key, part) in parts {
                    let key = match part {
                        Template::Hole(Hole { field, expression: Expression::Path(_) | Expression::Intrinsic(_) }) => {
                            field
                        }
                        _ => key,
                    };
                    self.template(part, under(&pointer, key), dollar);
                }
            }
        }
    }

    fn hole(&mut self, hole: &'s Hole, pointer: String, dollar: Dollar) {
        match &hole.expression {
            Expression::Path(path) => self.path(path, pointer, dollar),
            Expression::Intrinsic(call) => {
                call.paths().into_iter().for_each(|path| self.path(path, pointer.clone(), dollar));
            }
            Expression::Jsonata(expression) => {
                self.found.push(Read { pointer, dollar, of: Of::Jsonata(expression), may_miss: false });
            }
        }
    }
}
