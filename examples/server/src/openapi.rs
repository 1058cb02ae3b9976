//! The description of the API, OpenAPI 3.1, made of the routes and shapes themselves.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::server::Shared;

const BEARER: &str = "bearer";

/// What the routes are added to.
pub(crate) fn base() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Runner")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Stores WebAssembly modules, calls them by their real types within limits, and says what each call did and what it cost."))
        .build();
    let mut components = Components::new();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("Wanted where the server was started with a token."))
        .build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new(BEARER, Vec::<String>::new())]))
        .build()
}

/// Adds routes that the router has in a form of its own.
pub(crate) fn finish<const N: usize>(mut api: OpenApi, routes: [UtoipaMethodRouter<Shared>; N]) -> String {
    for (schemas, paths, _) in routes {
        for (path, item) in paths.paths {
            api.paths.paths.insert(path, item);
        }
        api.components.get_or_insert_default().schemas.extend(schemas);
    }
    // The shapes are plain: writing them does not fail, and a test reads them.
    api.to_json().unwrap_or_default()
}
