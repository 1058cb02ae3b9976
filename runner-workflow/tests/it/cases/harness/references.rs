//! Which variables each state reads.

use runner_workflow::Definition;
use serde_json::{Map, Value, json};

use super::{Verdict, differs};

pub(super) fn run(case: &Value) -> Verdict {
    let definition = match Definition::from_value(&case["definition"]) {
        Ok(definition) => definition,
        Err(rejection) => return Verdict::of([Some(rejection.to_string()), None, None]),
    };
    // The order of the names is nobody's.
    let sorted = |(state, names): (&String, &Value)| {
        let mut names: Vec<&str> = names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        names.sort_unstable();
        (state.clone(), json!(names))
    };
    let wanted = case["expected_variable_references"].as_object().into_iter().flatten().map(sorted);
    let wanted = Value::Object(wanted.collect::<Map<_, _>>());
    let got = json!(definition.variable_references());
    Verdict::of([(wanted != got).then(|| differs("variables", &wanted, &got)), None, None])
}
