//! What is done with the streams of a file.

use serde_json::{Value, json};
use wasip2::filesystem::types::filesystem_error_code;
use wasip2::io::streams::StreamError;

use super::{Open, number, text};

/// `None` where the step is none with a stream.
pub fn run(open: &mut Open, step: &[Value]) -> Option<Value> {
    let (verb, name) = (text(step, 0), text(step, 1));
    let came = match verb {
        "reader" => {
            let made = open.descriptors[text(step, 2)].read_via_stream(number(step, 3));
            return Some(match made {
                Err(error) => json!({ "err": error.name() }),
                Ok(stream) => {
                    open.inputs.insert(name.to_owned(), stream);
                    json!("ok")
                }
            });
        }
        "writer" | "appender" => {
            let descriptor = &open.descriptors[text(step, 2)];
            let made = match verb {
                "writer" => descriptor.write_via_stream(number(step, 3)),
                _ => descriptor.append_via_stream(),
            };
            return Some(match made {
                Err(error) => json!({ "err": error.name() }),
                Ok(stream) => {
                    open.outputs.insert(name.to_owned(), stream);
                    json!("ok")
                }
            });
        }
        // A stream that is made, used once and dropped: from a place, at a place, at the end.
        "take" => match open.descriptors[name].read_via_stream(number(step, 2)) {
            Err(error) => return Some(json!({ "err": error.name() })),
            Ok(stream) => stream.blocking_read(number(step, 3)).map(shown),
        },
        "give" | "add" => {
            let descriptor = &open.descriptors[name];
            let made = match verb {
                "give" => descriptor.write_via_stream(number(step, 4)),
                _ => descriptor.append_via_stream(),
            };
            match made {
                Err(error) => return Some(json!({ "err": error.name() })),
                Ok(stream) => stream.blocking_write_and_flush(&bytes(step)).map(|()| json!("ok")),
            }
        }
        "in-read" => open.inputs[name].read(number(step, 2)).map(shown),
        "in-blocking-read" => open.inputs[name].blocking_read(number(step, 2)).map(shown),
        // Asks and waits until there is something, or the end.
        "in-poll-read" => loop {
            match open.inputs[name].read(number(step, 2)) {
                Ok(bytes) if bytes.is_empty() => open.inputs[name].subscribe().block(),
                other => break other.map(shown),
            }
        },
        "in-skip" => open.inputs[name].blocking_skip(number(step, 2)).map(|skipped| json!(skipped)),
        "in-ready" => Ok(json!(open.inputs[name].subscribe().ready())),
        "in-block" => {
            open.inputs[name].subscribe().block();
            Ok(json!("ok"))
        }
        // All of it, as how much it is.
        "in-count" => {
            let mut count = 0;
            loop {
                match open.inputs[name].blocking_read(1 << 20) {
                    Ok(bytes) => count += bytes.len(),
                    Err(StreamError::Closed) => break Ok(json!(count)),
                    Err(error) => break Err(error),
                }
            }
        }
        "out-check" => open.outputs[name].check_write().map(|allowed| json!(allowed)),
        "out-write" => open.outputs[name].write(&bytes(step)).map(|()| json!("ok")),
        "out-blocking-write" => open.outputs[name].blocking_write_and_flush(&bytes(step)).map(|()| json!("ok")),
        "out-flush" => open.outputs[name].flush().map(|()| json!("ok")),
        "out-blocking-flush" => open.outputs[name].blocking_flush().map(|()| json!("ok")),
        "out-block" => {
            open.outputs[name].subscribe().block();
            Ok(json!("ok"))
        }
        "out-zeroes" => open.outputs[name].write_zeroes(number(step, 2)).map(|()| json!("ok")),
        "out-splice" => {
            let from = &open.inputs[text(step, 2)];
            open.outputs[name].blocking_splice(from, number(step, 3)).map(|moved| json!(moved))
        }
        _ => return None,
    };
    Some(came.unwrap_or_else(|error| match error {
        StreamError::Closed => json!("closed"),
        StreamError::LastOperationFailed(error) => {
            json!({ "failed": filesystem_error_code(&error).map(|code| code.name()) })
        }
    }))
}

fn shown(bytes: Vec<u8>) -> Value {
    json!(String::from_utf8_lossy(&bytes))
}

/// A text, or so many times one.
fn bytes(step: &[Value]) -> Vec<u8> {
    let times = step.get(3).and_then(Value::as_u64).unwrap_or(1);
    text(step, 2).repeat(times as usize).into_bytes()
}
