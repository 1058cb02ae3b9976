//! The state is entered, given what its task gave, and left; on the way it is written down what became of the input.

use std::cell::RefCell;

use serde_json::{Map, Value};

use crate::catch::Catcher;
use crate::context::{Context, Execution};
use crate::definition::Language;
use crate::failure::{Failure, names};
use crate::flow;
use crate::limits::AWS_PAYLOAD_BYTES;
use crate::random::Random;
use crate::retry::Retrier;
use crate::scene::{Scene, Scope};
use crate::simulate::BEGIN_MS;
use crate::state::{Kind, Leave, Map as MapState, Next, State, Step};
use crate::weight::{weigh, weighed};

use super::mock::Mocked;
use super::{ErrorDetails, Inspection, InspectionLevel, Refused, StateTest, StateTested, invalid, json_of};

/// A state on the bench.
pub(super) struct Bench<'t> {
    test: &'t StateTest,
    state: &'t State,
    execution: Execution,
    given: Option<Value>,
    variables: Map<String, Value>,
    /// What a reader would have read.
    read: Option<Vec<Value>>,
    token: String,
    random: Random,
}

impl<'t> Bench<'t> {
    pub(super) fn new(test: &'t StateTest, state: &'t State) -> Result<Self, Refused> {
        let given = test.context.as_ref().map(|context| json_of("context", context)).transpose()?;
        let variables = match test.variables.as_ref().map(|value| json_of("variables", value)).transpose()? {
            None => Map::new(),
            Some(Value::Object(variables)) => variables,
            Some(_) => return Err(invalid("`variables` must be an object")),
        };
        let read = match &test.state_configuration.map_item_reader_data {
            None => None,
            Some(data) => match json_of("mapItemReaderData", data)? {
                Value::Array(items) => Some(items),
                _ => return Err(invalid("`mapItemReaderData` must be an array")),
            },
        };
        let mut random = Random::seeded(test.seed);
        let token = random.uuid();
        let now = test.now_ms.unwrap_or(BEGIN_MS);
        let execution = Execution::new("test", "tested", test.input.clone(), now).express();
        let execution = Execution { redrive_count: None, ..execution };
        Ok(Self { test, state, execution, given, variables, read, token, random })
    }

    pub(super) fn run(mut self, mocked: Option<Mocked>) -> Result<StateTested, Refused> {
        let mut inspection = Inspection { input: Some(self.test.input.clone()), ..Inspection::default() };
        // The steps are looked at with a chance of their own: what they draw, the state itself draws again.
        let looked = self.in_scene(&RefCell::new(self.random), |scene| self.look(scene, &mocked, &mut inspection));
        let random = RefCell::new(self.random);
        let left = self.in_scene(&random, |scene| {
            let leave = self.pass(scene, mocked)?;
            // What one of them finds wrong the other finds too.
            looked.map(|()| leave)
        });
        self.random = *random.borrow();
        let mut tested = match left.and_then(|leave| weighed(leave, AWS_PAYLOAD_BYTES, &self.state.name)) {
            Ok(leave) => self.left("SUCCEEDED", leave, &mut inspection),
            Err(failure) => self.failed(failure, &mut inspection),
        };
        if self.test.inspection_level != InspectionLevel::Info {
            tested.inspection_data = Some(Box::new(inspection));
        }
        Ok(tested)
    }

    /// What a Task hands over; `None` where it fails before.
    pub(super) fn arguments(&self) -> Option<Value> {
        let step = self.in_scene(&RefCell::new(self.random), |scene| self.state.kind.enter(scene));
        match step {
            Ok(Step::Invoke(call)) => Some(call.arguments),
            _ => None,
        }
    }

    fn in_scene<T>(&self, random: &RefCell<Random>, with: impl FnOnce(&Scene<'_>) -> T) -> T {
        let input = &self.test.input;
        let has_token = matches!(&self.state.kind, Kind::Task(task) if task.resource.pattern() == crate::resource::Pattern::Callback);
        let context = Context {
            execution: &self.execution,
            state: &self.state.name,
            entered_ms: self.execution.started_ms,
            // In a test every state has the field.
            retry_count: Some(self.test.state_configuration.retrier_retry_count.unwrap_or(0)),
            token: has_token.then_some(self.token.as_str()),
            item: None,
            given: self.given.as_ref(),
        };
        with(&Scene {
            dollar: input,
            input,
            result: None,
            error_output: None,
            context,
            scope: Scope { own: &self.variables, outer: None },
            now: self.execution.started_ms,
            random,
        })
    }

    /// Enters and leaves the state.
    fn pass(&self, scene: &Scene<'_>, mocked: Option<Mocked>) -> Result<Leave, Failure> {
        if let Kind::Map(map) = &self.state.kind {
            let effective = map.flow.effective(scene)?.into_owned();
            self.iterate(map, &scene.looking_at(&effective))?;
        } else {
            match self.state.kind.enter(scene)? {
                Step::Leave(leave) => return Ok(leave),
                Step::Fail(failure) => return Err(failure),
                Step::Wait { .. } => return self.state.kind.leave(scene, Value::Null),
                Step::Invoke(_) | Step::Branch { .. } | Step::Iterate(_) => {}
            }
        }
        match mocked {
            Some(Mocked::Failure(failure)) => Err(failure),
            Some(Mocked::Result(result)) => {
                weigh(&result, AWS_PAYLOAD_BYTES, &self.state.name)?;
                self.state.kind.leave(scene, result)
            }
            None => self.state.kind.leave(scene, Value::Null),
        }
    }

    /// Whether as many iterations failed as a Map does not tolerate. One that does not say what it tolerates is not asked.
    fn iterate(&self, map: &MapState, scene: &Scene<'_>) -> Result<(), Failure> {
        let items = self.items(map, scene)?;
        map.concurrency(scene)?;
        let tolerated = map.tolerated(scene, items.len())?;
        let failed = self.test.state_configuration.map_iteration_failure_count.unwrap_or(0);
        match tolerated {
            Some(tolerated) if failed > tolerated => {
                Err(Failure::new(names::TOLERANCE, "The specified tolerated failure threshold was exceeded"))
            }
            _ => Ok(()),
        }
    }

    fn items(&self, map: &MapState, scene: &Scene<'_>) -> Result<Vec<Value>, Failure> {
        map.batches(scene, self.unbatched(map, scene)?)
    }

    fn unbatched(&self, map: &MapState, scene: &Scene<'_>) -> Result<Vec<Value>, Failure> {
        match &self.read {
            Some(items) => Ok(items.clone()),
            // Nobody said what would have been read.
            None if map.has_reader => Ok(Vec::new()),
            None => map.items(scene),
        }
    }

    /// Writes down what becomes of the input, as far as it comes.
    fn look(&self, scene: &Scene<'_>, mocked: &Option<Mocked>, seen: &mut Inspection) -> Result<(), Failure> {
        let result = match mocked {
            Some(Mocked::Result(result)) => Some(result),
            _ => None,
        };
        let is_path = self.state.language == Language::JsonPath;
        match &self.state.kind {
            Kind::Pass(pass) if is_path => {
                let result = match &pass.result {
                    // What is replaced is not shown.
                    Some(result) => {
                        seen.result = Some(result.clone());
                        result.clone()
                    }
                    None => {
                        seen.after_input_path = Some(pass.flow.effective(scene)?.into_owned());
                        let arguments = pass.flow.arguments(scene)?;
                        seen.after_parameters = Some(arguments.clone());
                        arguments
                    }
                };
                seen.after_result_selector = Some(result.clone());
                seen.after_result_path = Some(flow::put(pass.flow.result_path.as_ref(), scene.input, result)?);
            }
            Kind::Succeed(state) if is_path => {
                seen.after_input_path = Some(state.flow.effective(scene)?.into_owned());
            }
            Kind::Choice(state) if is_path => {
                seen.after_input_path = Some(state.flow.effective(scene)?.into_owned());
            }
            Kind::Wait(state) if is_path => {
                seen.after_input_path = Some(state.flow.effective(scene)?.into_owned());
            }
            Kind::Task(task) if is_path => {
                seen.after_input_path = Some(task.flow.effective(scene)?.into_owned());
                seen.after_parameters = Some(task.flow.arguments(scene)?);
                seen.result = result.cloned();
                self.look_at_result(&task.flow, scene, result, seen)?;
            }
            Kind::Task(task) => {
                if task.flow.arguments.is_some() {
                    seen.after_arguments = Some(task.flow.arguments(scene)?);
                }
                seen.result = result.cloned();
            }
            Kind::Parallel(parallel) if is_path => self.look_at_result(&parallel.flow, scene, result, seen)?,
            Kind::Map(map) => self.look_at_map(map, scene, result, seen)?,
            _ => {}
        }
        Ok(())
    }

    fn look_at_map(
        &self,
        map: &MapState,
        scene: &Scene<'_>,
        result: Option<&Value>,
        seen: &mut Inspection,
    ) -> Result<(), Failure> {
        let is_path = self.state.language == Language::JsonPath;
        let effective = map.flow.effective(scene)?.into_owned();
        if is_path {
            seen.after_input_path = Some(effective.clone());
        }
        let inner = scene.looking_at(&effective);
        let items = self.unbatched(map, &inner)?;
        if is_path && !map.has_reader {
            seen.after_items_path = Some(Value::Array(items.clone()));
        }
        if let Some(selector) = &map.item_selector {
            let select = |(index, value): (usize, &Value)| {
                let item = crate::context::Item { index: index as u64, value: value.clone() };
                let mut scene = inner;
                scene.context.item = Some(&item);
                selector.fill(&scene)
            };
            seen.after_item_selector = Some(items.iter().enumerate().map(select).collect::<Result<_, _>>()?);
        }
        if map.batcher.is_some() {
            seen.after_item_batcher = Some(Value::Array(map.batches(&inner, items.clone())?));
        }
        seen.max_concurrency = Some(map.concurrency(&inner)?.map_or(0, |count| count as u64));
        let quantity = |quantity: &Option<_>| quantity.as_ref().map(|given| inner.quantity(given)).transpose();
        seen.tolerated_failure_count = quantity(&map.tolerated_count)?;
        seen.tolerated_failure_percentage = quantity(&map.tolerated_percentage)?;
        self.iterate(map, &inner)?;
        if is_path { self.look_at_result(&map.flow, scene, result, seen) } else { Ok(()) }
    }

    fn look_at_result(
        &self,
        flow: &flow::Flow,
        scene: &Scene<'_>,
        result: Option<&Value>,
        seen: &mut Inspection,
    ) -> Result<(), Failure> {
        let Some(result) = result else { return Ok(()) };
        let selected = match &flow.result_selector {
            Some(template) => template.fill(&scene.looking_at(result))?,
            None => result.clone(),
        };
        seen.after_result_selector = Some(selected.clone());
        seen.after_result_path = Some(flow::put(flow.result_path.as_ref(), scene.input, selected)?);
        Ok(())
    }

    fn left(&self, status: &'static str, leave: Leave, seen: &mut Inspection) -> StateTested {
        seen.variables = self.variables.clone();
        seen.variables.extend(leave.assigned);
        let next_state = match leave.next {
            Next::State(name) => Some(name),
            Next::End => None,
        };
        StateTested { status, output: Some(leave.output), next_state, ..StateTested::default() }
    }

    /// Whether a failure would be tried again, or caught.
    fn failed(&mut self, failure: Failure, seen: &mut Inspection) -> StateTested {
        let kind = &self.state.kind;
        let of = |status, failure: Failure| StateTested {
            status,
            error: failure.error,
            cause: failure.cause,
            ..StateTested::default()
        };
        if let Some(index) = Retrier::matching(kind.retry(), &failure) {
            let (retrier, tried) =
                (&kind.retry()[index], self.test.state_configuration.retrier_retry_count.unwrap_or(0));
            if u64::from(tried) < retrier.attempts_max {
                seen.error_details = Some(ErrorDetails {
                    retry_index: Some(index),
                    retry_backoff_interval_seconds: Some(retrier.delay_ms(tried, self.random.unit()) / 1000),
                    catch_index: None,
                });
                return of("RETRIABLE", failure);
            }
        }
        let Some(catcher) = Catcher::matching(kind.catch(), &failure) else { return of("FAILED", failure) };
        let catch_index = kind.catch().iter().position(|known| std::ptr::eq(known, catcher));
        let random = RefCell::new(self.random);
        let caught = self.in_scene(&random, |scene| catcher.leave(scene, &failure));
        match caught.and_then(|leave| weighed(leave, AWS_PAYLOAD_BYTES, &self.state.name)) {
            Ok(leave) => {
                seen.error_details = Some(ErrorDetails { catch_index, ..ErrorDetails::default() });
                let left = self.left("CAUGHT_ERROR", leave, seen);
                StateTested { error: failure.error, cause: failure.cause, ..left }
            }
            Err(failure) => of("FAILED", failure),
        }
    }
}
