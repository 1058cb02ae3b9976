//! Runner over HTTP: modules are stored and called, and say what they did and what it cost; workflows are kept, and carried on.
//!
//! [`app`] makes the routes of a [`Server`]; tests call them without a port. [`serve`] puts them behind a listener that
//! ends gracefully. The API is described at `/openapi.json`.

mod account;
mod answer;
mod api;
mod body;
mod call;
mod clock;
mod examples;
mod flows;
mod guard;
mod json;
mod lend;
mod metrics;
mod observe;
mod openapi;
mod page;
mod patient;
mod place;
mod room;
mod routes;
mod serve;
mod server;
mod settings;
mod store;
mod stranger;
mod surface;
mod traces;

pub use self::flows::Flows;
pub use self::lend::Lending;
pub use self::place::Place;
pub use self::routes::app;
pub use self::serve::serve;
pub use self::server::Server;
pub use self::settings::{Settings, Token, bounds, limits_max};
pub use self::store::{Capacity, Store};
pub use self::traces::Traces;
