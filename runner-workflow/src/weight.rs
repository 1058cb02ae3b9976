//! What a value weighs as JSON, without writing it down.

use serde_json::Value;

use crate::failure::{Failure, names};
use crate::limits::VALUE_DEPTH;
use crate::state::Leave;

/// How many bytes of JSON a value has, or `None` where it has more than `bytes_max`. Stops counting there.
pub(crate) fn json_bytes(value: &Value, bytes_max: usize) -> Option<usize> {
    struct Scale(usize);
    impl std::io::Write for Scale {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut scale = Scale(bytes_max);
    serde_json::to_writer(&mut scale, value).ok().map(|()| bytes_max - scale.0)
}

/// Whether a value is nested deeper than so many arrays and objects.
pub(crate) fn is_deeper(value: &Value, depth_max: usize) -> bool {
    let within = |inner: &Value| depth_max == 0 || is_deeper(inner, depth_max - 1);
    match value {
        Value::Array(items) => depth_max == 0 || items.iter().any(within),
        Value::Object(object) => depth_max == 0 || object.values().any(within),
        _ => false,
    }
}

/// Refuses what is too large, or nested too deep, in the name of what gave it.
pub(crate) fn weigh(value: &Value, bytes_max: usize, giver: &str) -> Result<(), Failure> {
    let refused = |what: &str| {
        Err(Failure::new(names::DATA_LIMIT, format!("The state/task '{giver}' returned a result with a {what}.")))
    };
    if json_bytes(value, bytes_max).is_none() {
        return refused("size exceeding the maximum number of bytes service limit");
    }
    if is_deeper(value, VALUE_DEPTH) {
        return refused("depth exceeding the maximum number of levels");
    }
    Ok(())
}

/// What a state is left with, unless its output, or one of its variables, is too large.
pub(crate) fn weighed(leave: Leave, bytes_max: usize, state: &str) -> Result<Leave, Failure> {
    for value in std::iter::once(&leave.output).chain(leave.assigned.values()) {
        weigh(value, bytes_max, state)?;
    }
    Ok(leave)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_weighs_what_it_would_be_written_as() {
        let value = json!({"a": [1, "ü", null], "b": 1.5});
        let bytes = value.to_string().len();
        assert_eq!(json_bytes(&value, bytes), Some(bytes));
        assert_eq!(json_bytes(&value, bytes - 1), None);
    }

    #[test]
    fn arrays_and_objects_are_levels() {
        assert!(!is_deeper(&json!(1), 0));
        assert!(is_deeper(&json!([]), 0));
        assert!(!is_deeper(&json!([[], {"a": 1}]), 2));
        assert!(is_deeper(&json!([[], {"a": {}}]), 2));
    }
}
