//! The routes. Each is thin: what was asked, the part that does it, the answer.

mod examples;
mod executions;
mod files;
mod grants;
mod handler;
mod invoke;
mod kv;
mod modules;
mod reference;
mod service;
mod workflows;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::reference::Target;
use self::service::Description;
use crate::api::Problem;
use crate::server::{Server, Shared};
use crate::{answer, guard, observe, openapi, page};

/// All routes of a server.
pub fn app(server: Server) -> Router {
    let shared = Shared::from(server);
    let (router, api) = OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(invoke::run))
        .routes(routes!(modules::add, modules::list))
        .routes(routes!(modules::describe, modules::put, modules::remove))
        .routes(routes!(invoke::call))
        .routes(routes!(grants::tell, grants::put, grants::take_back))
        .routes(routes!(grants::schema))
        .routes(routes!(grants::secrets))
        .routes(routes!(kv::list))
        .routes(routes!(kv::clear))
        .routes(routes!(workflows::validate))
        .routes(routes!(workflows::simulated))
        .routes(routes!(workflows::tested))
        .routes(routes!(workflows::list))
        .routes(routes!(workflows::tell, workflows::put, workflows::remove))
        .routes(routes!(executions::start))
        .routes(routes!(executions::list))
        .routes(routes!(executions::tell))
        .routes(routes!(executions::history))
        .routes(routes!(executions::events))
        .routes(routes!(executions::stop))
        .routes(routes!(executions::redrive))
        .routes(routes!(executions::success))
        .routes(routes!(executions::failure))
        .routes(routes!(executions::heartbeat))
        .routes(routes!(examples::list))
        .routes(routes!(examples::bytes))
        .routes(routes!(service::health))
        .routes(routes!(service::metrics))
        .routes(routes!(service::openapi))
        .split_for_parts();
    let api = openapi::finish(api, [routes!(handler::http), routes!(files::read, files::write, files::remove)]);
    router
        // Any method and any path below: more than the description has words for.
        .route("/v1/modules/{ref}/http", any(handler::http))
        .route("/v1/modules/{ref}/http/", any(handler::http))
        .route("/v1/modules/{ref}/http/{*path}", any(handler::http))
        .route("/v1/files", get(files::read))
        .route("/v1/files/", get(files::read))
        .route("/v1/files/{*path}", get(files::read).put(files::write).delete(files::remove))
        .fallback(fallback)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(shared.clone())
        .layer(Extension(Description(api.into())))
        // Bodies are read within bounds of our own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(shared.answers.clone(), answer::hold))
        .layer(from_fn_with_state(Arc::clone(&shared.guard), guard::token))
        .layer(from_fn_with_state(Arc::clone(&shared.guard), guard::cors))
        .layer(from_fn_with_state(Arc::clone(&shared.guard), guard::address))
        .layer(from_fn_with_state(Arc::clone(&shared.metrics), observe::observe))
}

/// The page, for whatever is no route of the API.
async fn fallback(State(shared): State<Shared>, request: Request) -> Response {
    let path = request.uri().path();
    if path == "/v1" || path.starts_with("/v1/") {
        return Problem::not_found(format!("no route `{path}`: `/openapi.json` lists them")).into_response();
    }
    page::serve(shared.page, &request.into_parts().0).await
}

async fn method_not_allowed(request: Request) -> Problem {
    let (method, path) = (request.method(), request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "invalid", format!("`{path}` has no method {method}"))
}
