//! What AWS made up anew each time stands in the cases as a placeholder, which matches anything.

use serde_json::Value;

/// What matches anything.
pub(super) struct Wild<'c>(Vec<&'c str>);

impl<'c> Wild<'c> {
    pub(super) fn of(case: &'c Value) -> Self {
        Self(case["placeholders"].as_array().into_iter().flatten().filter_map(Value::as_str).collect())
    }

    pub(super) fn is(&self, wanted: &Value, got: &Value) -> bool {
        match (wanted, got) {
            (Value::String(wanted), _)
                if self.0.contains(&wanted.as_str()) || matches!(wanted.as_str(), "date" | "timestamp") =>
            {
                true
            }
            (Value::String(wanted), Value::String(got)) => like(wanted, got),
            (Value::String(wanted), _) => wanted.starts_with('<') && wanted.ends_with('>'),
            (Value::Number(wanted), Value::Number(got)) => wanted.as_f64() == got.as_f64(),
            (Value::Array(wanted), Value::Array(got)) => {
                wanted.len() == got.len() && wanted.iter().zip(got).all(|(wanted, got)| self.is(wanted, got))
            }
            (Value::Object(wanted), Value::Object(got)) => {
                wanted.len() == got.len()
                    && wanted.iter().all(|(key, wanted)| got.get(key).is_some_and(|got| self.is(wanted, got)))
            }
            _ => wanted == got,
        }
    }

    /// A cause that is recorded as an object was its text.
    pub(super) fn cause(&self, wanted: &Value, got: &Value, is_blank: bool) -> bool {
        match (wanted, got.as_str()) {
            (Value::Object(_), Some(text)) => serde_json::from_str(text).is_ok_and(|got: Value| self.is(wanted, &got)),
            (Value::String(wanted), Some(got)) if is_blank => {
                self.is(&Value::String(blank(wanted)), &Value::String(blank(got)))
            }
            _ => self.is(wanted, got),
        }
    }

    fn entry(&self, wanted: &Value, got: &Value) -> bool {
        let (Value::Object(wanted), Value::Object(got)) = (wanted, got) else { return false };
        let kind = wanted.get("type").and_then(Value::as_str).unwrap_or_default();
        // What a service answered to a request that is waited for is recorded in the history alone, so no run can know it.
        let is_unknown = |key: &str| kind == "TaskSubmitted" && key == "output";
        let is_named = matches!(kind, "LambdaFunctionScheduled" | "ActivityScheduled");
        wanted.keys().filter(|key| !is_unknown(key)).count() == got.keys().filter(|key| !is_unknown(key)).count()
            && wanted.iter().all(|(key, wanted)| {
                is_unknown(key)
                    || got.get(key).is_some_and(|got| match (key.as_str(), wanted.as_str()) {
                        ("cause", _) => self.cause(wanted, got, false),
                        // The name at the end was made up anew, and not everywhere is it a placeholder.
                        ("resource", Some(arn)) if is_named => {
                            let (before, _) = arn.rsplit_once(':').unwrap_or((arn, ""));
                            self.is(&Value::String(format!("{before}:<name>")), got)
                        }
                        _ => self.is(wanted, got),
                    })
            })
    }

    /// Whether two histories are the same, or where they differ first.
    pub(super) fn trace(&self, wanted: &[Value], got: &[Value], is_free: bool) -> Result<bool, usize> {
        let first = (0..wanted.len().max(got.len())).find(|place| {
            let pair = wanted.get(*place).zip(got.get(*place));
            !pair.is_some_and(|(wanted, got)| self.entry(wanted, got))
        });
        let Some(first) = first else { return Ok(true) };
        let mut left: Vec<&Value> = got.iter().collect();
        let is_same = is_free
            && wanted.len() == got.len()
            && wanted.iter().all(|wanted| {
                let place = left.iter().position(|got| self.entry(wanted, got));
                place.map(|place| left.swap_remove(place)).is_some()
            });
        if is_same { Ok(true) } else { Err(first) }
    }
}

/// Whether a text has the parts of another that lie around its `<..>`.
fn like(wanted: &str, got: &str) -> bool {
    let mut parts = Vec::new();
    let mut rest = wanted;
    while let Some((begin, end)) = rest.find('<').and_then(|begin| Some((begin, begin + rest[begin..].find('>')?))) {
        parts.push(&rest[..begin]);
        rest = &rest[end + 1..];
    }
    let Some((first, middle)) = parts.split_first() else { return wanted == got };
    let Some(mut left) = got.strip_prefix(first).and_then(|left| left.strip_suffix(rest)) else { return wanted == got };
    for part in middle {
        match left.find(part) {
            Some(place) => left = &left[place + part.len()..],
            None => return wanted == got,
        }
    }
    true
}

fn blank(cause: &str) -> String {
    match cause.split_once("(entered at the event id #") {
        Some((before, after)) => {
            let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}(entered at the event id #{after}")
        }
        None => cause.to_owned(),
    }
}
