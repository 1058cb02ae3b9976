//! `#[runner::task]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Error, Expr, ExprLit, FnArg, ItemFn, Lit, LitStr, Meta, MetaNameValue, Pat, Result, ReturnType, Type, parse2,
};

const SHAPE: &str = "a task is written `#[runner::task] fn name(input: Input) -> Result<Output, runner::Failure>`";

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let function: ItemFn = parse2(item.clone())
        .map_err(|_| Error::new(first_span(&item), format!("`#[runner::task]` stands on a function: {SHAPE}")))?;
    let name = name(attribute, &function)?;
    check(&function)?;
    let about = about(&function);
    let (mut names, mut types) = (Vec::new(), Vec::new());
    for argument in &function.sig.inputs {
        let FnArg::Typed(typed) = argument else {
            return Err(Error::new(argument.span(), format!("a task has no `self`: {SHAPE}")));
        };
        let Pat::Ident(ident) = typed.pat.as_ref() else {
            let message = "a task's parameters have names, which callers use: write `input: Input`";
            return Err(Error::new(typed.pat.span(), message));
        };
        if let Type::Reference(reference) = typed.ty.as_ref() {
            let message =
                "a task owns its parameters, which are read from JSON: write `String` for `&str`, `Vec<T>` for `&[T]`";
            return Err(Error::new(reference.span(), message));
        }
        names.push(ident.ident.to_string().trim_start_matches("r#").to_owned());
        types.push(typed.ty.as_ref());
    }
    let (ident, at) = (&function.sig.ident, 0..types.len());
    // What the author wrote is called from among these names, and must not meet one of its own.
    let values: Vec<_> = at.map(|at| quote::format_ident!("__runner_value_{at}")).collect();
    let called = quote!(#ident(#(#values),*));
    let called = if function.sig.asyncness.is_some() { quote!(::runner::block_on(#called)) } else { called };
    let unit: Type = parse2(quote!(()))?;
    let answer: &Type = match &function.sig.output {
        ReturnType::Default => &unit,
        ReturnType::Type(_, ty) => ty,
    };
    // The mistakes with its types are shown where they stand.
    let read: Vec<_> = types
        .iter()
        .map(|ty| quote_spanned!(ty.span()=> ::runner::__private::Arguments::take::<#ty>(&mut __runner_arguments)?))
        .collect();
    let written = quote_spanned! {answer.span()=>
        match ::runner::__private::Answered::new(#called).split() {
            ::std::result::Result::Ok(value) => ::runner::__private::written(&value),
            ::std::result::Result::Err(error) => ::std::result::Result::Err(
                ::runner::__private::said_no(::runner::__private::Refused::new(error).told())
            ),
        }
    };
    Ok(quote! {
        #function
        const _: () = {
            use ::runner::__private::{
                CannotFail as _, IsFailure as _, IsNoFailure as _, MayFail as _, Successful as _, Successfully as _,
                WithSchema as _, WithoutSchema as _,
            };
            fn __runner_describe() -> ::runner::__private::Described {
                ::runner::__private::Described {
                    parameters: ::std::vec![
                        #((#names, (&::runner::__private::SchemaOf::<#types>::taken()).schema())),*
                    ],
                    result: (&::runner::__private::SchemaOf::<#answer>::given().successful()).schema(),
                }
            }
            fn __runner_run(
                __runner_arguments: &str,
            ) -> ::std::result::Result<::std::string::String, ::runner::Failure> {
                let mut __runner_arguments =
                    ::runner::__private::Arguments::read(&[#(#names),*], __runner_arguments)?;
                #(let #values = #read;)*
                #written
            }
            ::runner::__private::inventory::submit! {
                ::runner::__private::Task {
                    name: #name,
                    about: #about,
                    describe: __runner_describe,
                    run: __runner_run,
                }
            }
        };
    })
}

pub(crate) fn first_span(item: &TokenStream) -> proc_macro2::Span {
    item.clone().into_iter().next().map_or_else(proc_macro2::Span::call_site, |token| token.span())
}

fn name(attribute: TokenStream, function: &ItemFn) -> Result<String> {
    if attribute.is_empty() {
        return Ok(function.sig.ident.to_string().trim_start_matches("r#").to_owned());
    }
    let span = first_span(&attribute);
    let given = match parse2::<Meta>(attribute) {
        Ok(Meta::NameValue(MetaNameValue { path, value: Expr::Lit(ExprLit { lit: Lit::Str(name), .. }), .. }))
            if path.is_ident("name") =>
        {
            name
        }
        _ => return Err(Error::new(span, "expected nothing, or `name = \"..\"`: `#[runner::task(name = \"total\")]`")),
    };
    is_name(&given)
}

fn is_name(given: &LitStr) -> Result<String> {
    let name = given.value();
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    match !name.is_empty() && name.len() <= 100 && name.chars().all(fits) {
        true => Ok(name),
        false => Err(Error::new(given.span(), "a task's name is 1 to 100 of `A-Z a-z 0-9 - _ .`")),
    }
}

fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new(unsafety.span(), "a task is not unsafe: anybody may call it"));
    }
    if !signature.generics.params.is_empty() {
        let message = "a task is not generic: callers send JSON, write the types out";
        return Err(Error::new(signature.generics.span(), message));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(Error::new(variadic.span(), format!("a task has a fixed number of parameters: {SHAPE}")));
    }
    Ok(())
}

/// The doc comment, its lines joined.
fn about(function: &ItemFn) -> String {
    let lines = function.attrs.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(MetaNameValue { path, value: Expr::Lit(ExprLit { lit: Lit::Str(line), .. }), .. })
            if path.is_ident("doc") =>
        {
            Some(line.value().trim().to_owned())
        }
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}
