//! `#[runner::http]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result, ReturnType, parse2};

use crate::task::first_span;

const SHAPE: &str =
    "an HTTP handler is written `#[runner::http] async fn handle(request: http::Request) -> http::Response`";

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = parse2(item.clone())
        .map_err(|_| Error::new(first_span(&item), format!("`#[runner::http]` stands on a function: {SHAPE}")))?;
    if !attribute.is_empty() {
        let message = "expected nothing in `#[runner::http]`: the handler itself looks at method and path";
        return Err(Error::new(first_span(&attribute), message));
    }
    let signature = &function.sig;
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new(unsafety.span(), "an HTTP handler is not unsafe: anybody may call it"));
    }
    if !signature.generics.params.is_empty() {
        let message = "an HTTP handler is not generic: it takes `http::Request`, and gives one type";
        return Err(Error::new(signature.generics.span(), message));
    }
    let typed = match (signature.inputs.first(), signature.inputs.len()) {
        (Some(FnArg::Receiver(receiver)), _) => {
            return Err(Error::new(receiver.span(), format!("an HTTP handler has no `self`: {SHAPE}")));
        }
        (Some(FnArg::Typed(typed)), 1) => typed,
        (_, found) => {
            let at = if found == 0 { signature.ident.span() } else { signature.inputs.span() };
            return Err(Error::new(
                at,
                format!("an HTTP handler has one parameter, the request, found {found}: {SHAPE}"),
            ));
        }
    };
    let ReturnType::Type(_, answer) = &signature.output else {
        return Err(Error::new(signature.ident.span(), format!("an HTTP handler answers something: {SHAPE}")));
    };
    let ident = &signature.ident;
    // The mistakes with its types are shown where they stand.
    let taken = quote_spanned!(typed.ty.span()=> ::runner::http::Taken::taken(__runner_request));
    let awaited = signature.asyncness.map(|_| quote!(.await));
    let reply = quote_spanned!(answer.span()=> ::runner::http::Reply::reply(__runner_answer));
    Ok(quote! {
        #function
        #[doc(hidden)]
        #[allow(dead_code)]
        const A_MODULE_HAS_ONE_HTTP_HANDLER: () = {
            // What the author wrote is called from among these names, and must not meet one of its own.
            struct __RunnerHandler;
            impl ::runner::__private::wasip2::exports::http::incoming_handler::Guest for __RunnerHandler {
                fn handle(
                    __runner_request: ::runner::__private::wasip2::http::types::IncomingRequest,
                    __runner_out: ::runner::__private::wasip2::http::types::ResponseOutparam,
                ) {
                    ::runner::http::serve(
                        __runner_request,
                        __runner_out,
                        async |__runner_request: ::runner::http::Request| {
                            let __runner_request = #taken;
                            let __runner_answer = #ident(__runner_request)#awaited;
                            #reply
                        },
                    )
                }
            }
            #[cfg(target_arch = "wasm32")]
            ::runner::__private::wasip2::http::proxy::export!(__RunnerHandler with_types_in ::runner::__private::wasip2);
        };
    })
}
