//! The attributes of `runner-sdk-guest`. Use them from there: `#[runner::task]`, `#[runner::http]`.

use proc_macro::TokenStream;

mod http;
mod task;

/// Makes a function a task: `#[runner::task] fn total(order: Order) -> Result<Receipt, Failure>`.
///
/// It may be an `async fn`. Its parameters are anything that serde reads from JSON, its result anything that serde writes; with
/// `schemars::JsonSchema` derived, callers see their schemas. Its name is the function's, or that of
/// `#[runner::task(name = "..")]`; what it is about is its doc comment. The function itself stays as it is, and can be called
/// and tested like any other.
#[proc_macro_attribute]
pub fn task(attribute: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(attribute.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}

/// Makes a function the module's HTTP handler: `#[runner::http] async fn handle(request: http::Request) -> http::Response`.
///
/// Its parameter is the request, whose body is read as it comes. Its result is anything that implements `runner::http::Reply`:
/// a response, what is made into one, or a `Result` of these, whose error is answered with 500 and logged. It may be a plain
/// `fn`. A module has one handler. The function itself stays as it is, and can be called and tested like any other.
#[proc_macro_attribute]
pub fn http(attribute: TokenStream, item: TokenStream) -> TokenStream {
    http::expand(attribute.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
