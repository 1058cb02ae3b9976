//! A webhook: tells somebody of an event by HTTP, with a secret that this program never has.
//!
//! Who runs it configures `webhook-url`, and grants the address and the secret `WEBHOOK_TOKEN` to it.

use std::time::Duration;

use runner::http::{self, ErrorKind, StatusCode};
use runner::{Failure, config, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Event {
    /// What kind of event it is, such as `order.paid`.
    event: String,
    /// What it is about.
    subject: String,
}

/// What the other side said.
#[derive(Serialize, JsonSchema)]
struct Delivered {
    /// The status of its answer.
    status: u16,
    /// Which attempt it was.
    attempt: u32,
}

/// How much of an answer a failure shows.
const SHOWN_BYTES: usize = 200;

/// Posts an event to the address that is configured as `webhook-url`.
///
/// It is worth another attempt where the other side has trouble (5xx, 408, 425, 429), is away, or takes more than ten seconds. The
/// caller's idempotency key goes with each of them, so that the other side can tell that it has the event already.
#[runner::task]
async fn notify(event: Event) -> Result<Delivered, Failure> {
    let url: String = config::require("webhook-url")?;
    let context = task::context();
    let attempt = context.as_ref().map_or(1, |context| context.attempt);
    let mut request = http::post(url)
        .bearer("{{secret:WEBHOOK_TOKEN}}") // the host fills it in
        .json(&event)
        .timeout(Duration::from_secs(10));
    if let Some(key) = context.and_then(|context| context.idempotency_key) {
        request = request.header("idempotency-key", key);
    }
    let response = request.send().await.map_err(|error| match error.kind() {
        ErrorKind::Denied => Failure::new("not-granted", format!("the webhook may not be asked: {error}")),
        _ => error.into(),
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(Delivered { status: status.as_u16(), attempt });
    }
    // The status counts, whatever becomes of the words behind it.
    let said = response.into_body().chunk().await.ok().flatten().unwrap_or_default();
    let said = String::from_utf8_lossy(&said[..said.len().min(SHOWN_BYTES)]).into_owned();
    let message = format!("the webhook answered {status}: {said}");
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    Err(match status.is_server_error() || busy.contains(&status) {
        true => Failure::new("unavailable", message).retryable(),
        false => Failure::new("refused", message),
    })
}
