//! Task (<https://states-language.net/spec.html#task-state>).

use serde_json::Value;

use super::{Next, Step};
use crate::catch::Catcher;
use crate::definition::Language;
use crate::failure::Failure;
use crate::fields::{Fields, Quantity};
use crate::flow::Flow;
use crate::limits::SECONDS_MAX;
use crate::resource::Resource;
use crate::retry::Retrier;
use crate::scene::Scene;

/// Has a task done.
#[derive(Debug, Clone)]
pub struct Task {
    /// What comes in and goes out.
    pub flow: Flow,
    /// What does it.
    pub resource: Resource,
    /// How long it may take, in seconds.
    pub timeout: Option<Quantity>,
    /// How long it may be silent, in seconds.
    pub heartbeat: Option<Quantity>,
    /// When it is tried again.
    pub retry: Vec<Retrier>,
    /// Where the run goes when it failed.
    pub catch: Vec<Catcher>,
    /// Where it goes.
    pub next: Next,
}

/// A task as it is to be done.
pub(crate) struct Call {
    pub(crate) arguments: Value,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) heartbeat_seconds: Option<u64>,
}

impl Task {
    pub(crate) fn check(fields: &mut Fields<'_, '_>) -> Self {
        fields.allow_in_state(
            &[
                "Assign",
                "Catch",
                "Credentials",
                "End",
                "HeartbeatSeconds",
                "Next",
                "Resource",
                "Retry",
                "TimeoutSeconds",
            ],
            &[
                "HeartbeatSecondsPath",
                "InputPath",
                "OutputPath",
                "Parameters",
                "ResultPath",
                "ResultSelector",
                "TimeoutSecondsPath",
            ],
            &["Arguments", "Output"],
        );
        fields.require(&["Resource"]);
        if let Some(Value::Object(credentials)) = fields.object.get("Credentials")
            && !credentials.contains_key("RoleArn")
            && !credentials.contains_key("RoleArn.$")
        {
            fields.complain("Credentials", "The field 'RoleArn' is required but was missing");
        }
        let arguments = if fields.language == Language::JsonPath { "Parameters" } else { "Arguments" };
        Self {
            flow: Flow::check(fields, Some(arguments)),
            resource: Resource::new(&fields.text("Resource").unwrap_or_default()),
            timeout: fields.quantity("TimeoutSeconds"),
            heartbeat: fields.quantity("HeartbeatSeconds"),
            retry: Retrier::check_all(fields),
            catch: Catcher::check_all(fields),
            next: Next::check(fields),
        }
    }

    pub(crate) fn enter(&self, scene: &Scene<'_>) -> Result<Step, Failure> {
        let effective = self.flow.effective(scene)?;
        let inner = scene.looking_at(&effective);
        let timeout_seconds = seconds(&inner, self.timeout.as_ref(), "TimeoutSeconds")?;
        let heartbeat_seconds = seconds(&inner, self.heartbeat.as_ref(), "HeartbeatSeconds")?;
        let arguments = self.flow.arguments(scene)?;
        Ok(Step::Invoke(Call { arguments, timeout_seconds, heartbeat_seconds }))
    }
}

fn seconds(scene: &Scene<'_>, quantity: Option<&Quantity>, field: &str) -> Result<Option<u64>, Failure> {
    let Some(quantity) = quantity else { return Ok(None) };
    let value = scene.quantity(quantity)?;
    let whole = value
        .as_u64()
        .or_else(|| value.as_f64().filter(|number| number.fract() == 0.0 && *number > 0.0).map(|n| n as u64));
    match (whole, quantity) {
        (Some(seconds), _) if (1..=SECONDS_MAX).contains(&seconds) => Ok(Some(seconds)),
        (_, Quantity::Path(path)) => {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Err(Failure::runtime(format!(
                "The {field}Path parameter cannot be parsed as a positive long value: {path} == {shown}"
            )))
        }
        (_, _) => Err(Failure::query(
            format!("Expected a value between 1 and {SECONDS_MAX} for field '{field}'. Got {value}"),
            field,
        )),
    }
}
