//! The attributes of `runner-sdk-guest`. Use them from there: `#[runner::task]`.

use proc_macro::TokenStream;

mod task;

/// Makes a function a task: `#[runner::task] fn total(order: Order) -> Result<Receipt, Failure>`.
///
/// Its parameters are anything that serde reads from JSON, its result anything that serde writes; with
/// `schemars::JsonSchema` derived, callers see their schemas. Its name is the function's, or that of
/// `#[runner::task(name = "..")]`; what it is about is its doc comment. The function itself stays as it is, and can be called
/// and tested like any other.
#[proc_macro_attribute]
pub fn task(attribute: TokenStream, item: TokenStream) -> TokenStream {
    task::expand(attribute.into(), item.into()).unwrap_or_else(|error| error.into_compile_error()).into()
}
