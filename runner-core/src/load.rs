//! What the bytes are: found out before anything compiles, within bounds that keep the compiler from harm.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasmparser::{
    Chunk, ComponentExternalKind, ExternalKind, IndirectNaming, KnownCustom, Name, Parser, Payload, TypeRef,
};

use crate::code::Compiled;
use crate::engine::{MEMORIES_EACH, TABLES_EACH};
use crate::error::{Error, ErrorKind, Result, short};
use crate::limits::Bounds;
use crate::signature::{Counted, ParameterNames};

/// How a module is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    /// A core module, as it is.
    Core,
    /// A component, as it is.
    Component,
    /// A core module that carries component-type metadata: wrapped into a component first.
    Wrapped,
}

/// A module in binary, and what could be read from it without compiling.
pub(crate) struct Source {
    pub(crate) bytes: Bytes,
    pub(crate) form: Form,
    /// From the module's name section.
    pub(crate) parameters: ParameterNames,
}

/// The adapters that turn preview 1 imports into preview 2, of the engine's own version: the command's also turns `_start`
/// into `wasi:cli/run`.
const REACTOR: &[u8] = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
const COMMAND: &[u8] = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER;
const PREVIEW1: &str = "wasi_snapshot_preview1";
const MAGIC: &[u8] = b"\0asm";
/// Version and layer of a core module, and of a component, behind the magic.
const CORE: &[u8] = &[1, 0, 0, 0];
const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];
/// Names longer than this are not shown; a module may name a parameter as it likes.
const NAME_BYTES_MAX: usize = 128;
/// As many parameters as a function may have (WebAssembly JavaScript interface, implementation limits).
const PARAMETERS_MAX: usize = 1_000;
/// Names kept of one module; types of more parameters are not described either.
const NAMES_MAX: usize = 100_000;

/// Refuses a module by its size alone.
pub(crate) fn check_size(found: usize, bounds: &Bounds) -> Result<()> {
    match bounds.module_bytes {
        bound if found > bound => Err(Error::exceeded(format!("the module has {found} bytes, the bound is {bound}"))),
        _ => Ok(()),
    }
}

/// Whether the bytes are WebAssembly text, which is translated first; an error where they are neither text nor binary.
pub(crate) fn is_text(bytes: &[u8]) -> Result<bool> {
    if bytes.starts_with(MAGIC) {
        return Ok(false);
    }
    check_text(bytes).map(|()| true)
}

/// Text to binary. How long it takes is the text's to say: the translator is quadratic in places.
pub(crate) fn translate(bytes: &[u8]) -> Result<Vec<u8>> {
    let binary = wat::parse_bytes(bytes).map_err(|error| Error::invalid(format!("WebAssembly text: {error}")))?;
    Ok(binary.into_owned())
}

/// Reads what a binary is. Cheap: function bodies are skipped.
pub(crate) fn read(bytes: Bytes, bounds: &Bounds) -> Result<Source> {
    let form = match bytes.get(4..8) {
        Some(CORE) => Form::Core,
        Some(COMPONENT) => Form::Component,
        Some(version) => {
            return Err(Error::invalid(format!(
                "WebAssembly version {version:02x?} is unknown, expected {CORE:02x?} (module) or {COMPONENT:02x?} (component)"
            )));
        }
        None => return Err(truncated(bytes.len())),
    };
    let mut source = Source { bytes: bytes.clone(), form, parameters: HashMap::new() };
    sections(&bytes, &mut source, bounds)?;
    Ok(source)
}

/// An error that says what was found instead of text.
fn check_text(bytes: &[u8]) -> Result<()> {
    if !bytes.is_empty() && MAGIC.starts_with(bytes) {
        return Err(truncated(bytes.len()));
    }
    let found = match bytes {
        [] => Some("nothing"),
        [0x7f, b'E', b'L', b'F', ..] => {
            Some("an ELF file (compiled code is never taken from a caller; give the .wasm)")
        }
        [0x1f, 0x8b, ..] => Some("gzip data (unpack it first)"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd data (unpack it first)"),
        [b'P', b'K', 3, 4, ..] => Some("a zip archive (unpack it first)"),
        [b'B', b'C', 0xc0, 0xde, ..] => Some("LLVM bitcode (link it first)"),
        _ => None,
    };
    let refuse = |found: &str| {
        Error::invalid(format!("not a WebAssembly module: expected `\\0asm` or WebAssembly text, found {found}"))
    };
    if let Some(found) = found {
        return Err(refuse(found));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(refuse(&format!("bytes {:02x?}", &bytes[..bytes.len().min(4)])));
    };
    // Text starts with a parenthesis or a comment; anything else is some other document.
    match text.trim_start().as_bytes() {
        [] => Err(refuse("white space only")),
        [b'(' | b';', ..] => Ok(()),
        [b'<', ..] => Err(refuse("HTML or XML")),
        [b'{' | b'[', ..] => Err(refuse("JSON")),
        _ => {
            let start: String = text.trim_start().chars().take(20).collect();
            Err(refuse(&format!("text that starts with `{start}`")))
        }
    }
}

fn truncated(len: usize) -> Error {
    Error::invalid(format!("the module is truncated: it ends after {len} bytes, inside its header"))
}

/// Walks over the sections of the outermost module or component.
fn sections(bytes: &[u8], source: &mut Source, bounds: &Bounds) -> Result<()> {
    // Functions by index with the names that they are exported by.
    let mut exported: HashMap<u32, Vec<String>> = HashMap::new();
    let mut names_left = NAMES_MAX;
    // A component may have any number of sections of each kind: what counts is the sum.
    let mut counted = Counted::new(bounds.exports);
    let (mut parser, mut at) = (Parser::new(0), 0);
    while at < bytes.len() {
        let parsed = parser.parse(&bytes[at..], true).map_err(|error| malformed(&error))?;
        let Chunk::Parsed { consumed, payload } = parsed else { break };
        at += consumed;
        match payload {
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                at += size as usize;
            }
            // What is nested is the engine's to read.
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } => {
                at = unchecked_range.end;
            }
            Payload::ImportSection(imports) => {
                counted.imports(imports.count())?;
                for import in imports.into_imports() {
                    let import = import.map_err(|error| malformed(&error))?;
                    shared_memory(&import.ty)?;
                    if import.module == "wasi_unstable" {
                        return Err(Error::invalid(
                            "the module imports `wasi_unstable` (WASI 0.0); build it with a newer toolchain for `wasi_snapshot_preview1` or WASI 0.2",
                        ));
                    }
                }
            }
            Payload::ExportSection(exports) => {
                counted.exports(exports.count())?;
                for export in exports {
                    let export = export.map_err(|error| malformed(&error))?;
                    if export.kind == ExternalKind::Func {
                        exported.entry(export.index).or_default().push(export.name.to_owned());
                    }
                }
            }
            Payload::ComponentImportSection(imports) => {
                counted.imports(imports.count())?;
                for import in imports {
                    let name = import.map_err(|error| malformed(&error))?.name.name;
                    newer_wasi(name)?;
                }
            }
            Payload::ComponentExportSection(exports) => {
                counted.exports(exports.count())?;
                for export in exports {
                    let export = export.map_err(|error| malformed(&error))?;
                    if export.kind == ComponentExternalKind::Instance {
                        newer_wasi(export.name.name)?;
                    }
                }
            }
            Payload::CustomSection(section) if source.form == Form::Core => {
                if section.name().starts_with("component-type") {
                    source.form = Form::Wrapped;
                }
                // A broken name section costs names, nothing else.
                if let KnownCustom::Name(names) = section.as_known() {
                    for name in names.into_iter().flatten() {
                        if let Name::Local(functions) = name {
                            for function in functions.into_iter().flatten() {
                                // Taken out: what is named again keeps its first names.
                                let Some(exports) = exported.remove(&function.index) else { continue };
                                let names = parameters(&function, names_left);
                                names_left -= names.len();
                                let names = exports.into_iter().map(|export| (export, Arc::clone(&names)));
                                source.parameters.extend(names);
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
    if at > bytes.len() {
        return Err(Error::invalid(format!(
            "the module is truncated: a section ends at byte {at}, the bytes at {}",
            bytes.len()
        )));
    }
    Ok(())
}

/// The names of a function's first locals, which are its parameters; a gap ends what can be named.
fn parameters(function: &IndirectNaming<'_>, names_max: usize) -> Arc<[String]> {
    let named = function.names.clone().into_iter().flatten().enumerate();
    named
        .take(names_max.min(PARAMETERS_MAX))
        .take_while(|(at, naming)| naming.index as usize == *at && naming.name.len() <= NAME_BYTES_MAX)
        .map(|(_, naming)| naming.name.to_owned())
        .collect()
}

/// Refuses what would keep the compiler busy for too long, before it starts.
pub(crate) fn check_bounds(bytes: &[u8], bounds: &Bounds) -> Result<()> {
    let mut functions: u64 = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| malformed(&error))? {
            Payload::CodeSectionStart { count, .. } => {
                functions += u64::from(count);
                if functions > u64::from(bounds.functions) {
                    let bound = bounds.functions;
                    return Err(Error::exceeded(format!(
                        "the module has at least {functions} functions, the bound is {bound}"
                    )));
                }
            }
            Payload::TableSection(tables) => {
                check_count(tables.count(), TABLES_EACH, "module has", "tables")?;
                for table in tables {
                    let (found, bound) = (table.map_err(|error| malformed(&error))?.ty.initial, bounds.table_elements);
                    if found > bound as u64 {
                        return Err(Error::exceeded(format!(
                            "the module has a table of {found} elements, the bound is {bound}"
                        )));
                    }
                }
            }
            Payload::MemorySection(memories) => {
                check_count(memories.count(), MEMORIES_EACH, "module has", "memories")?;
                for memory in memories {
                    let ty = memory.map_err(|error| malformed(&error))?;
                    // 64 KiB, unless the module says otherwise.
                    let page_bytes = 1_u64.checked_shl(ty.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
                    let (found, bound) = (ty.initial.saturating_mul(page_bytes), bounds.memory_bytes);
                    if found > bound {
                        return Err(Error::exceeded(format!(
                            "the module has a memory of {found} bytes, the bound is {bound}"
                        )));
                    }
                }
            }
            Payload::CodeSectionEntry(body) if body.range().len() > bounds.body_bytes => {
                let (found, bound) = (body.range().len(), bounds.body_bytes);
                return Err(Error::exceeded(format!(
                    "the module has a function of {found} bytes, the bound is {bound}"
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Refuses a component whose modules have too many memories or tables together: what it instantiates, and how often, is
/// known once it is compiled.
pub(crate) fn check_resources(compiled: &Compiled) -> Result<()> {
    let Compiled::Component(component) = compiled else { return Ok(()) };
    // None where it instantiates modules that it imports, which nothing serves.
    let Some(required) = component.resources_required() else { return Ok(()) };
    check_count(required.num_memories, MEMORIES_EACH, "component's instances have", "memories together")?;
    check_count(required.num_tables, TABLES_EACH, "component's instances have", "tables together")
}

fn check_count(found: u32, bound: u32, whose: &str, what: &str) -> Result<()> {
    match found > bound {
        true => Err(Error::exceeded(format!("the {whose} {found} {what}, the bound is {bound}"))),
        false => Ok(()),
    }
}

/// Makes a component of a core module that carries component-type metadata. What is a command as well, as a test program of
/// tasks is, stays one.
pub(crate) fn wrap(bytes: &[u8]) -> Result<Vec<u8>> {
    let adapter = if is_command(bytes)? { COMMAND } else { REACTOR };
    let wrapped = wit_component::ComponentEncoder::default()
        .module(bytes)
        .and_then(|encoder| encoder.adapter(PREVIEW1, adapter))
        .and_then(|mut encoder| encoder.encode());
    wrapped.map_err(|error| Error::invalid(format!("the module's component-type metadata does not fit it: {error:#}")))
}

/// Whether a core module exports `_start`.
fn is_command(bytes: &[u8]) -> Result<bool> {
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::ExportSection(exports) = payload.map_err(|error| malformed(&error))? {
            for export in exports {
                let export = export.map_err(|error| malformed(&error))?;
                if export.kind == ExternalKind::Func && export.name == "_start" {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn malformed(error: &wasmparser::BinaryReaderError) -> Error {
    let what = if error.message().contains("unexpected end") { "truncated" } else { "malformed" };
    Error::invalid(format!("the module is {what}: {} at byte {}", error.message(), error.offset()))
}

fn shared_memory(ty: &TypeRef) -> Result<()> {
    match ty {
        TypeRef::Memory(memory) if memory.shared => Err(Error::invalid(
            "the module imports a shared memory: the threads proposal is not supported, build it without threads",
        )),
        _ => Ok(()),
    }
}

fn newer_wasi(name: &str) -> Result<()> {
    match name.split_once("@0.3") {
        Some((interface, _)) if interface.starts_with("wasi:") => Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "the component uses `{}`: WASI 0.3 is not supported, build it for WASI 0.2 (`wasm32-wasip2`)",
                short(name)
            ),
        )),
        _ => Ok(()),
    }
}
