//! Wait (<https://states-language.net/spec.html#wait-state>).

use std::borrow::Cow;

use serde_json::Value;

use super::{Next, Step};
use crate::definition::Language;
use crate::failure::Failure;
use crate::fields::{Fields, Quantity};
use crate::flow::Flow;
use crate::intrinsics::Surroundings as _;
use crate::limits::SECONDS_MAX;
use crate::path::Path;
use crate::scene::Scene;
use crate::template::{Hole, Template};
use crate::time::{self, Millis};

/// Waits.
#[derive(Debug, Clone)]
pub struct Wait {
    /// What comes in and goes out.
    pub flow: Flow,
    /// How long.
    pub until: Until,
    /// Where it goes.
    pub next: Next,
}

/// How long a Wait waits.
#[derive(Debug, Clone)]
pub enum Until {
    /// `Seconds` or `SecondsPath`: so many seconds.
    Seconds(Quantity),
    /// `Timestamp`: until an instant, in nanoseconds since 1970.
    Instant(i128),
    /// `TimestampPath`: until the instant that the input names.
    Path(Path),
    /// `Timestamp` as a JSONata expression.
    Expression(Hole),
}

const FORMAT: &str = "ISO-8601 extended offset date-time format string";

impl Wait {
    pub(crate) fn check(fields: &mut Fields<'_, '_>) -> Self {
        let paths = ["InputPath", "OutputPath", "SecondsPath", "TimestampPath"];
        fields.allow_in_state(&["Assign", "End", "Next", "Seconds", "Timestamp"], &paths, &["Output"]);
        let until = Self::check_until(fields).unwrap_or(Until::Instant(0));
        Self { flow: Flow::check(fields, None), until, next: Next::check(fields) }
    }

    fn check_until(fields: &mut Fields<'_, '_>) -> Option<Until> {
        let names = ["Seconds", "SecondsPath", "Timestamp", "TimestampPath"];
        if !names.iter().any(|name| fields.has(name)) {
            fields.require(&["Seconds"]);
            return None;
        }
        if fields.has("Seconds") || fields.has("SecondsPath") {
            let seconds = fields.quantity("Seconds")?;
            if matches!(seconds, Quantity::Fixed(number) if number < 0.0 || number > SECONDS_MAX as f64 || number.fract() != 0.0)
            {
                fields.complain("Seconds", format!("Expected value of type Integer, from 0 to {SECONDS_MAX}"));
            }
            return Some(Until::Seconds(seconds));
        }
        if fields.has("TimestampPath") && fields.language == Language::JsonPath {
            return fields.path("TimestampPath").map(Until::Path);
        }
        let text = fields.text("Timestamp")?;
        if fields.language == Language::Jsonata
            && let Some(Template::Hole(hole)) = fields.jsonata("Timestamp", "Timestamp")
        {
            return Some(Until::Expression(hole));
        }
        let instant = time::parse(&text);
        if instant.is_none() {
            fields.complain("Timestamp", "String does not match RFC3339 timestamp");
        }
        instant.map(Until::Instant)
    }

    pub(crate) fn enter(&self, scene: &Scene<'_>) -> Result<Step, Failure> {
        let effective = self.flow.effective(scene)?;
        let until = self.until(&scene.looking_at(&effective))?;
        Ok(Step::Wait { until })
    }

    fn until(&self, scene: &Scene<'_>) -> Result<Millis, Failure> {
        match &self.until {
            Until::Instant(nanos) => Ok(millis(*nanos)),
            Until::Path(path) => {
                let value = referenced(scene, path, "TimestampPath")?;
                let instant = value.as_str().and_then(time::parse);
                instant.map(millis).ok_or_else(|| {
                    let text = plain(&value);
                    Failure::runtime(format!(
                        "The TimestampPath parameter does not reference a valid {FORMAT}: {path} == {text}"
                    ))
                })
            }
            Until::Expression(hole) => {
                let value = scene.fill_as(hole, "string")?;
                let text = value.as_str().unwrap_or_default();
                time::parse(text).map(millis).ok_or_else(|| {
                    Failure::query(format!("The Timestamp field cannot be parsed as an {FORMAT}: {text}"), &hole.field)
                })
            }
            Until::Seconds(Quantity::Path(path)) => {
                let value = referenced(scene, path, "SecondsPath")?;
                let wrong = |what: &str| {
                    Failure::runtime(format!("The SecondsPath parameter {what}: {path} == {}", plain(&value)))
                };
                let seconds = value.as_i64().ok_or_else(|| wrong("cannot be parsed as a long value"))?;
                let seconds = u64::try_from(seconds).map_err(|_| wrong("references a negative value"))?;
                Ok(after(scene.now, seconds))
            }
            Until::Seconds(quantity) => {
                let value = scene.quantity(quantity)?;
                let seconds = value.as_u64().filter(|seconds| *seconds <= SECONDS_MAX);
                seconds.map(|seconds| after(scene.now, seconds)).ok_or_else(|| {
                    Failure::query(
                        format!("Expected a value between 0 and {SECONDS_MAX} for field 'Seconds'. Got {value}"),
                        "Seconds",
                    )
                })
            }
        }
    }
}

fn referenced<'s>(scene: &'s Scene<'_>, path: &Path, field: &str) -> Result<Cow<'s, Value>, Failure> {
    let absent = |_| Failure::runtime(format!("The {field} parameter does not reference an input value: {path}"));
    scene.find(path).map_err(absent)
}

fn plain(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| value.to_string().into(), Into::into)
}

fn after(now: Millis, seconds: u64) -> Millis {
    now.saturating_add(i64::try_from(seconds.min(SECONDS_MAX)).unwrap_or(0) * 1000)
}

/// Not before the instant: what is less than a millisecond counts as one.
fn millis(nanos: i128) -> Millis {
    let rounded = nanos.div_euclid(1_000_000) + i128::from(nanos.rem_euclid(1_000_000) > 0);
    Millis::try_from(rounded).unwrap_or(Millis::MAX)
}
