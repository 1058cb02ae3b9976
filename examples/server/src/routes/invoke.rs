//! Calls: of bytes that come along, and of modules that are stored.

use axum::Json;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request as HttpRequest, State};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::reference::Asked;
use super::{Target, modules};
use crate::api::{Outcome, Problem, Refusals, Request, Wasm};
use crate::body::{self, JSON_BYTES_MAX, media_type};
use crate::call;
use crate::json::{self, shown};
use crate::room::Place;
use crate::server::Shared;

/// What to call, where the body is the module itself.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OneShot {
    /// The export to call. May be left out where the module is a command, or has only one function.
    function: Option<String>,
    /// The arguments of a function, as JSON: an array in order, or an object by name.
    #[param(example = "[20, 22]")]
    args: Option<String>,
    /// The arguments of a command, as a JSON array of strings.
    args_cli: Option<String>,
}

/// The parts of a one-shot call.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes; the parts are read one by one")]
struct OneShotParts {
    /// The module's bytes.
    module: Wasm,
    request: Option<Request>,
}

/// Calls a module that comes along and is not kept, with nothing granted.
///
/// The body is the module. In a clone, `curl -g --data-binary @examples/guests/wat/sum_of_2_ints.wat
/// 'http://127.0.0.1:8080/v1/run?args=[20,22]'` calls one. Or the body is `multipart/form-data`, with the module in one
/// part and a whole request in the other.
#[utoipa::path(post, path = "/v1/run", tag = "calls", params(OneShot), request_body(description = "The module, or the module and a request", content(
    (Wasm = "application/wasm"), (String = "text/plain"), (OneShotParts = "multipart/form-data")
)), responses(
    (status = 200, description = "What the call did and what it cost, however it ended", body = Outcome),
    Refusals,
))]
pub(super) async fn run(
    State(shared): State<Shared>,
    Asked(query): Asked<OneShot>,
    request: HttpRequest,
) -> Result<Json<Outcome>, Problem> {
    let module_bytes_max = shared.executor.bounds().module_bytes;
    if media_type(request.headers()).as_deref() == Some("multipart/form-data") {
        if query.function.is_some() || query.args.is_some() || query.args_cli.is_some() {
            return Err(Problem::invalid(
                "a multipart call has all of its request in the part `request`, nothing in the query",
            ));
        }
        let Parts { module, request, _place } = Parts::read(&shared, module_bytes_max, request).await?;
        let program = shared.load(&module, request.metering.into()).await?;
        return Ok(Json(call::call(&shared, &program, modules::own_name(None), request).await?));
    }
    let module = body::read_module(&shared.bodies, request, module_bytes_max).await?;
    let mut place = shared.bodies.place();
    let asked = query.into_request(&mut place).await?;
    let program = shared.load(&module, asked.metering.into()).await?;
    // The code is all that is needed from here on.
    drop(module);
    Ok(Json(call::call(&shared, &program, modules::own_name(None), asked).await?))
}

/// Calls a stored module.
///
/// Each call has a fresh instance. The program's name (`argv[0]`) is the module's name, or `module` where it was called
/// by its content.
#[utoipa::path(post, path = "/v1/modules/{ref}/call", tag = "calls", params(
    ("ref" = String, Path, description = "`NAME` (its newest version), `NAME@N` or `sha256:HEX`"),
), request_body(content = Request, content_type = "application/json"), responses(
    (status = 200, description = "What the call did and what it cost, however it ended", body = Outcome),
    Refusals,
))]
pub(super) async fn call(
    State(shared): State<Shared>,
    Target(reference): Target,
    request: HttpRequest,
) -> Result<Json<Outcome>, Problem> {
    let (asked, _place): (Request, _) = body::read_json(&shared.bodies, request).await?;
    let stored = shared.store.find(reference).await?;
    let program = shared.program(&stored, asked.metering.into()).await?;
    Ok(Json(call::call(&shared, &program, modules::own_name(stored.label.as_ref()), asked).await?))
}

impl OneShot {
    async fn into_request(self, place: &mut Place) -> Result<Request, Problem> {
        for text in [&self.args, &self.args_cli].into_iter().flatten() {
            json::make_room(text.as_bytes(), place).await?;
        }
        let json = |name: &str, text: &str| {
            serde_json::from_str::<Value>(text)
                .map_err(|error| Problem::invalid(format!("`{name}` is not JSON: {error}, found `{}`", shown(text))))
        };
        let args = self.args.map(|text| json("args", &text)).transpose()?.unwrap_or_default();
        let args_cli = self.args_cli.map(|text| json("args_cli", &text)).transpose()?;
        let args_cli = args_cli.map(serde_json::from_value).transpose();
        let args_cli =
            args_cli.map_err(|error| Problem::invalid(format!("`args_cli` is not an array of strings: {error}")))?;
        Ok(Request { function: self.function, args, args_cli: args_cli.unwrap_or_default(), ..Request::default() })
    }
}

/// The two parts, and their place.
struct Parts {
    module: Bytes,
    request: Request,
    _place: Place,
}

impl Parts {
    async fn read(shared: &Shared, module_bytes_max: usize, request: HttpRequest) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let held = body::read(&shared.bodies, request, module_bytes_max + JSON_BYTES_MAX).await?;
        // The parts are a copy: the body as it came is gone once they are read.
        let (bytes, mut place) = held.into_parts();
        let mut whole = HttpRequest::new(bytes.into());
        *whole.headers_mut() = headers;
        // The layer that says so saw the request before; this is another.
        DefaultBodyLimit::disable().apply(&mut whole);
        let multipart = Multipart::from_request(whole, &()).await;
        let mut multipart = multipart.map_err(|rejection| Problem::invalid(rejection.body_text()))?;
        let (mut module, mut request) = (None, None);
        while let Some(field) = multipart.next_field().await.map_err(broken)? {
            match field.name().map(str::to_owned).as_deref() {
                Some("module") if module.is_none() => module = Some(bounded(field, module_bytes_max).await?),
                Some("request") if request.is_none() => {
                    request = Some(json::parse(&bounded(field, JSON_BYTES_MAX).await?, &mut place).await?)
                }
                name => {
                    let name = name.unwrap_or_default();
                    return Err(Problem::invalid(format!(
                        "part `{name}`: expected one part `module` and at most one part `request`"
                    )));
                }
            }
        }
        let module = module.ok_or_else(|| Problem::invalid("the part `module` is missing"))?;
        Ok(Parts { module, request: request.unwrap_or_default(), _place: place })
    }
}

async fn bounded(field: Field<'_>, bytes_max: usize) -> Result<Bytes, Problem> {
    let name = field.name().unwrap_or_default().to_owned();
    let bytes = field.bytes().await.map_err(broken)?;
    match bytes.len() > bytes_max {
        true => Err(Problem::exceeded(format!("part `{name}` has more than {bytes_max} bytes"))),
        false => Ok(bytes),
    }
}

fn broken(error: MultipartError) -> Problem {
    Problem::invalid(format!("the multipart body is broken: {}", error.body_text()))
}
