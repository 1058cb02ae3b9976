//! The one file that trusts bytes to be code. Who calls it says in his own comment why they may be.

#![allow(unsafe_code, reason = "deserializing compiled code is the one unsafe act of this crate")]

use std::fs::File;
use std::path::Path;

use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use crate::error::{Error, Result};

/// Compiled code. Both kinds are handles: cloning is cheap.
#[derive(Clone)]
pub(crate) enum Compiled {
    Module(Module),
    Component(Component),
}

impl Compiled {
    /// Bytes of machine code, for the bound on code in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let image = match self {
            Compiled::Module(module) => module.image_range(),
            Compiled::Component(component) => component.image_range(),
        };
        (image.end as usize - image.start as usize) as u64
    }
}

/// What an artefact is; it stands in the name of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CodeKind {
    Module,
    Component,
}

impl CodeKind {
    pub(crate) fn of(artefact: &[u8]) -> Option<Self> {
        Engine::detect_precompiled(artefact).map(|kind| match kind {
            Precompiled::Module => CodeKind::Module,
            Precompiled::Component => CodeKind::Component,
        })
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            CodeKind::Module => "module",
            CodeKind::Component => "component",
        }
    }
}

/// Loads what our own compiler has just made, in this process or in a child that answered through a private pipe; or what
/// carries our own seal over every byte.
pub(crate) fn from_own_compiler(engine: &Engine, artefact: &[u8]) -> Result<Compiled> {
    // SAFETY: the bytes come straight from wasmtime's serializer, or are those that were sealed when they did; see the
    // callers of this function.
    let loaded = unsafe {
        match CodeKind::of(artefact) {
            Some(CodeKind::Module) => Module::deserialize(engine, artefact).map(Compiled::Module),
            Some(CodeKind::Component) => Component::deserialize(engine, artefact).map(Compiled::Component),
            None => return Err(Error::internal("the compiler answered with something that is not compiled code")),
        }
    };
    loaded.map_err(|error| match format!("{error:#}").contains("pooling allocator") {
        true => {
            Error::exceeded(format!("the module is larger than an instance of this executor's pool may be: {error:#}"))
        }
        false => Error::internal("the compiler's code does not fit the engine").source(error),
    })
}

/// Maps a module of the local store. `None` where another engine made it.
///
/// The caller has checked that the directory is this user's alone, mode 0700, and files are renamed into it whole and never
/// changed: nobody else can have written what is mapped here.
pub(crate) fn map_module(engine: &Engine, file: File) -> Option<Compiled> {
    // SAFETY: see above.
    fitting(unsafe { Module::deserialize_open_file(engine, file) }).map(Compiled::Module)
}

/// Maps a component of the local store, as [`map_module`] does.
pub(crate) fn map_component(engine: &Engine, path: &Path) -> Option<Compiled> {
    // SAFETY: see above.
    fitting(unsafe { Component::deserialize_file(engine, path) }).map(Compiled::Component)
}

fn fitting<T>(loaded: wasmtime::Result<T>) -> Option<T> {
    loaded.inspect_err(|error| tracing::warn!(%error, "code in the local store does not fit this engine")).ok()
}
