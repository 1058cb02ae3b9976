//! What is given in the place of a real answer, and what AWS does not take.

use serde_json::Value;

use crate::failure::Failure;
use crate::state::{Kind, State};

use super::{Configuration, FieldValidation, Refused, StateTest, invalid, is_awaited, json_of, shapes};

/// What the state's task or machines gave.
pub(super) enum Mocked {
    Result(Value),
    Failure(Failure),
}

/// What is wrong with a test whatever its state is.
pub(super) fn check(test: &StateTest) -> Result<(), Refused> {
    if test.state_name.as_deref() == Some("") {
        let words =
            "Parameter validation failed:\nInvalid length for parameter stateName, value: 0, valid min length: 1";
        return Err(("ParamValidationError", words.to_owned()));
    }
    let Configuration { error_caused_by_state, map_item_reader_data, map_iteration_failure_count, retrier_retry_count } =
        &test.state_configuration;
    match &test.mock {
        Some(mock) => {
            if mock.result.is_some() && mock.error_output.is_some() {
                let words = "A test mock should have only one of the following fields: [result, errorOutput].";
                return Err(invalid(words));
            }
            if mock.result.is_none() && mock.error_output.is_none() {
                return Err(invalid("A test mock should have one of the following fields: [result, errorOutput]."));
            }
            if test.reveal_secrets {
                return Err(invalid("TestState does not support RevealSecrets when a mock is specified."));
            }
        }
        None => {
            let asked = [
                ("MapIterationFailureCount", map_iteration_failure_count.is_some()),
                ("ErrorCausedByState", error_caused_by_state.is_some()),
                ("MapItemReaderData", map_item_reader_data.is_some()),
                ("RetrierRetryCount", retrier_retry_count.is_some()),
            ];
            if let Some((field, _)) = asked.iter().find(|(_, is_asked)| *is_asked) {
                return Err(invalid(format!("TestState does not support {field} when a mock is not specified.")));
            }
        }
    }
    Ok(())
}

impl Mocked {
    /// What the test gives, where it gives something; refuses what does not go with the state.
    pub(super) fn of(test: &StateTest, state: &State) -> Result<Option<Self>, Refused> {
        let Some(mock) = &test.mock else {
            return match &state.kind {
                Kind::Map(_) | Kind::Parallel(_) => {
                    let words = "TestState API does not support Map or Parallel states. \
                                 Supported state types include: [Task, Wait, Pass, Succeed, Fail, Choice]";
                    Err(("InvalidDefinition", words.to_owned()))
                }
                Kind::Task(task) if is_awaited(&task.resource) => {
                    let resource = task.resource.text();
                    Err(invalid(format!("a mock is needed: `{resource}` is only done when somebody says so later")))
                }
                _ => Ok(None),
            };
        };
        if !matches!(state.kind, Kind::Task(_) | Kind::Map(_) | Kind::Parallel(_)) {
            let kind = state.kind.name();
            return Err(invalid(format!("State type '{kind}' is not supported when a mock is specified")));
        }
        caused_by(test, state)?;
        if let Some(given) = &mock.error_output {
            let failure = Failure { error: given.error.clone(), cause: given.cause.clone(), location: None };
            return Ok(Some(Self::Failure(failure)));
        }
        let Some(result) = &mock.result else { return Ok(None) };
        let result = json_of("mock.result", result).map_err(|_| invalid("Mocked result must be valid JSON"))?;
        let items = result.as_array().map(Vec::len);
        match &state.kind {
            Kind::Parallel(parallel) => {
                let items = items.ok_or_else(|| invalid("Mocked result must be an array."))?;
                if items != parallel.branches.len() {
                    let words = "Mocked result must contain the same number of items as number of Parallel branches.";
                    return Err(invalid(words));
                }
            }
            Kind::Map(map) if !map.has_writer => {
                let items = items.ok_or_else(|| invalid("Mocked result must be an array."))?;
                if test.state_configuration.map_iteration_failure_count.is_some_and(|failed| failed > items as u64) {
                    let words =
                        "Map iteration failure count must be less than or equal to the number of Map iterations";
                    return Err(invalid(words));
                }
            }
            Kind::Task(task) if mock.field_validation_mode != FieldValidation::None => {
                let is_strict = mock.field_validation_mode == FieldValidation::Strict;
                if let Some(reason) = shapes::wrong(&task.resource, &result, is_strict) {
                    return Err(invalid(format!("Mock result schema validation error: {reason}")));
                }
            }
            _ => {}
        }
        Ok(Some(Self::Result(result)))
    }
}

/// The state that a failure is said to come from must lie in the one that is tested.
fn caused_by(test: &StateTest, state: &State) -> Result<(), Refused> {
    let Some(name) = &test.state_configuration.error_caused_by_state else { return Ok(()) };
    let mut machines: Vec<_> = state.kind.machines().iter().collect();
    while let Some(machine) = machines.pop() {
        if machine.states.contains_key(name) {
            return Ok(());
        }
        machines.extend(machine.states.values().flat_map(|inner| inner.kind.machines()));
    }
    Err(invalid(format!("errorCausedByState: no state '{name}' lies in state '{}'", state.name)))
}
