//! HTTP, both ways: a client within the host's grant, and handlers that the host serves.
//!
//! # Asking others
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use runner::Failure;
//! use runner::http::{self, StatusCode};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     article: String,
//!     count: u32,
//! }
//!
//! /// Orders lamps from the shop, and gives what it says.
//! #[runner::task]
//! async fn order(count: u32) -> Result<Order, Failure> {
//!     let order = Order { article: "lamp".to_owned(), count };
//!     let response = http::post("https://shop.example.com/orders")
//!         .bearer("{{secret:SHOP_KEY}}") // filled in by the host: the guest never has it
//!         .json(&order)
//!         .timeout(Duration::from_secs(5))
//!         .send()
//!         .await?;
//!     match response.status() {
//!         StatusCode::OK | StatusCode::CREATED => Ok(response.into_body().json().await?),
//!         StatusCode::CONFLICT => Err(Failure::new("out-of-stock", "the shop has no lamps")),
//!         status => Err(Failure::new("unavailable", format!("the shop says {status}")).retryable()),
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! A task may be an `async fn`; one that is none calls [`block_on`](crate::block_on). What many requests at once need is in the
//! crate `futures`: `futures::future::join_all` sends them together.
//!
//! What may be asked of whom is the host's to say, in the grant `http`: without one, every request ends as
//! [`ErrorKind::Denied`]. By `?` an [`Error`] becomes a [`Failure`](crate::Failure) with a code of its kind, such as
//! `http-timeout`, and `retryable` where the same request may succeed later.
//!
//! # Being asked
//!
//! ```
//! use runner::Failure;
//! use runner::http::{Html, Json, Method, Reply, Request, Response, StatusCode};
//!
//! #[runner::http]
//! async fn handle(request: Request) -> Result<Response, Failure> {
//!     match (request.method(), request.uri().path()) {
//!         (&Method::GET, "/") => Html("<h1>Lamps</h1>").reply(),
//!         (&Method::POST, "/total") => {
//!             let counts: Vec<u32> = request.into_body().json().await?;
//!             Json(counts.iter().sum::<u32>()).reply()
//!         }
//!         (&Method::POST, "/echo") => Response::new(request.into_body()).reply(), // as it comes
//!         _ => (StatusCode::NOT_FOUND, "no such page").reply(),
//!     }
//! }
//! # fn main() {
//!
//! // It stays an ordinary function, for tests.
//! let request = Request::post("/total").body("[1, 2]".into()).expect("it is well formed");
//! let response = runner::block_on(handle(request)).expect("it answers");
//! assert_eq!(runner::block_on(response.into_body().text()).expect("it is text"), "3");
//! # }
//! ```
//!
//! A module has one handler, and may have tasks beside it. Who was asked is `request.uri().authority()`: there is no `host`
//! among the headers. What a handler [fails](crate::Failure) with is answered with 500 `internal server error`; the reason goes
//! to the log (feature `log`), or to standard error where the guest has none. Dropping a request's body unread is no mistake.
//! `connection`, `transfer-encoding` and their like are the host's to set: on a response they are left out.
//!
//! # Bodies
//!
//! A [`Body`] is bytes or a stream. [`Body::chunk`] reads piece by piece, in as much memory as a piece takes; `text`, `json`,
//! `form` and `bytes` read all, up to [`Body::limit`]. Nothing is decompressed, no cookie is kept, and redirects are followed
//! where the grant says so.

mod body;
mod client;
mod error;
mod handler;
mod wire;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};

pub use self::body::{Body, READ_BYTES};
pub use self::client::{RequestBuilder, Timeouts, delete, get, head, patch, post, put, request, send};
pub use self::error::{BoxError, Error, ErrorKind, Result};
pub use self::handler::{Html, Json, Reply};
#[doc(hidden)]
pub use self::handler::{Taken, serve};

/// A request, as the crate `http` has it.
pub type Request<B = Body> = ::http::Request<B>;

/// A response, as the crate `http` has it.
pub type Response<B = Body> = ::http::Response<B>;

/// The query of an address, percent-decoded: into a struct, a map, or pairs.
///
/// ```
/// use runner::http::{self, Request};
///
/// let request = Request::get("/lamps?page=2&word=old+lamp").body(()).expect("it is well formed");
/// let pairs: Vec<(String, String)> = http::query(request.uri())?;
/// assert_eq!(pairs[1], ("word".to_owned(), "old lamp".to_owned()));
/// # Ok::<(), http::Error>(())
/// ```
pub fn query<T: serde::de::DeserializeOwned>(uri: &Uri) -> Result<T> {
    let query = serde_urlencoded::from_str(uri.query().unwrap_or_default());
    query.map_err(|error| Error::caused(ErrorKind::Decode, "the query is not what was expected", error))
}
