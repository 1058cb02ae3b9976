//! The context object (`$$`, `$states.context`), made piece by piece as it is asked for: its input can be large.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::time::{self, Millis};

/// What of the context object is the same for the whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// The execution's identity: an ARN on AWS.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The role that it runs as; AWS always has one.
    pub role_arn: String,
    /// The identity of the state machine.
    pub state_machine_id: String,
    /// Its name.
    pub state_machine_name: String,
    /// What the run was started with.
    pub input: Value,
    /// When it was started, in milliseconds since 1970.
    pub started_ms: i64,
    /// How often it was started again from where it failed; `None` where that cannot be, as in a synchronous Express
    /// execution, whose context object does not have the field.
    pub redrive_count: Option<u32>,
}

/// The item of a Map's iteration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) index: u64,
    pub(crate) value: Value,
}

/// The context object as a state sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) execution: &'a Execution,
    pub(crate) state: &'a str,
    pub(crate) entered_ms: Millis,
    /// Task states count their retries; the others do not have the field.
    pub(crate) retry_count: Option<u32>,
    pub(crate) token: Option<&'a str>,
    pub(crate) item: Option<&'a Item>,
    /// What was given in the place of our own, as a test or a simulation does.
    pub(crate) given: Option<&'a Value>,
}

impl Context<'_> {
    /// The object with nothing but the part that a path of keys leads to.
    pub(crate) fn part<'k>(&self, mut keys: impl Iterator<Item = &'k str>) -> Value {
        let (section, field) = (keys.next(), keys.next());
        let mut object = Map::new();
        let mut add = |name: &str, fields: &dyn Fn() -> Option<Value>| {
            if section.is_none_or(|section| section == name) {
                object.extend(fields().map(|value| (name.to_owned(), value)));
            }
        };
        let execution = self.execution;
        add("Execution", &|| {
            let mut fields = json!({
                "Id": execution.id,
                "Name": execution.name,
                "RoleArn": execution.role_arn,
                "StartTime": time::format(execution.started_ms),
            });
            if let Some(count) = execution.redrive_count {
                fields["RedriveCount"] = count.into();
            }
            if field.is_none_or(|field| field == "Input") {
                fields["Input"] = execution.input.clone();
            }
            Some(fields)
        });
        add("StateMachine", &|| {
            Some(json!({ "Id": execution.state_machine_id, "Name": execution.state_machine_name }))
        });
        add("State", &|| {
            let mut fields = json!({ "Name": self.state, "EnteredTime": time::format(self.entered_ms) });
            if let Some(count) = self.retry_count {
                fields["RetryCount"] = count.into();
            }
            Some(fields)
        });
        add("Task", &|| self.token.map(|token| json!({ "Token": token })));
        add("Map", &|| self.item.map(|item| json!({ "Item": { "Index": item.index, "Value": item.value } })));
        let mut object = Value::Object(object);
        if let Some(given) = self.given {
            lay_over(&mut object, given, section);
        }
        object
    }
}

/// What was given wins, field by field of each section: an input that was given is not mixed with our own.
fn lay_over(object: &mut Value, given: &Value, section: Option<&str>) {
    let (Value::Object(object), Value::Object(given)) = (object, given) else { return };
    for (key, value) in given.iter().filter(|(key, _)| section.is_none_or(|section| section == *key)) {
        match (object.get_mut(key), value) {
            (Some(Value::Object(own)), Value::Object(fields)) => own.extend(fields.clone()),
            _ => {
                object.insert(key.clone(), value.clone());
            }
        }
    }
}

impl Execution {
    /// An execution with identities as AWS forms them, in an account of nobody.
    #[must_use]
    pub fn new(state_machine: &str, name: &str, input: Value, started_ms: i64) -> Self {
        let arn = "arn:aws:states:us-east-1:111111111111";
        Self {
            id: format!("{arn}:execution:{state_machine}:{name}"),
            name: name.to_owned(),
            role_arn: "arn:aws:iam::111111111111:role/runner".to_owned(),
            state_machine_id: format!("{arn}:stateMachine:{state_machine}"),
            state_machine_name: state_machine.to_owned(),
            input,
            started_ms,
            redrive_count: Some(0),
        }
    }

    /// The same by the identity of an Express execution.
    pub(crate) fn express(self) -> Self {
        Self { id: self.id.replace(":execution:", ":express:"), ..self }
    }
}
