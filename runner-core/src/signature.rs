//! What a module exports and imports, read from the module itself. It describes; it runs nothing.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;
use wasmtime::component::ComponentExportIndex;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type as Given};
use wasmtime::{Engine, ExternType, FuncType, ModuleExport};

use crate::code::Compiled;
use crate::error::{Error, Result, short};
use crate::link::{PREVIEW1, fits};
use crate::task::{self, TASKS};
use crate::types::{Budget, Type, core_type, from_wasmtime, schema};

/// What kind of module it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A component, or a core module that carried component-type metadata.
    Component,
    /// A core module that knows nothing of WASI.
    Core,
    /// A core module on WASI preview 1 with a `_start`.
    WasiCommand,
    /// A core module on WASI preview 1 without one.
    WasiReactor,
}

impl Kind {
    /// The kind's name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Component => "component",
            Kind::Core => "core",
            Kind::WasiCommand => "wasi-command",
            Kind::WasiReactor => "wasi-reactor",
        }
    }
}

/// Something that can be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// Its name: of a function inside an exported interface `ns:pkg/iface@1.0.0#name`.
    pub name: String,
    /// What it is and how it is called.
    pub kind: ExportKind,
}

/// What an export is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ExportKind {
    /// A function, called by its types.
    Function(Arc<Signature>),
    /// A command: arguments, environment and standard input to an exit code and output.
    Command,
    /// A `wasi:http/incoming-handler`: a request to a response.
    Http,
    /// Something that cannot be called from outside, and why.
    Unsupported(String),
}

/// The types of a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Parameters in order. Those of core modules are named where the module carries names, else `p0`, `p1`, ..
    pub parameters: Vec<(String, Type)>,
    /// Results; components have at most one, core functions any number.
    pub results: Vec<Type>,
    /// What a task says it is about; empty for other functions.
    pub about: String,
}

impl Signature {
    /// JSON Schema of the arguments as an array.
    pub fn arguments_schema(&self) -> Value {
        let types: Vec<_> = self.parameters.iter().map(|(_, ty)| ty.clone()).collect();
        crate::types::schema_of_arguments(&types)
    }

    /// JSON Schema of the value returned: of a top-level `result` its `ok` side, of several results an array; `None`
    /// where nothing is returned.
    pub fn result_schema(&self) -> Option<Value> {
        match self.results.as_slice() {
            [] | [Type::Result(None, _)] => None,
            [Type::Result(Some(ok), _)] => Some(schema(ok)),
            [one] => Some(schema(one)),
            many => Some(crate::types::schema_of_arguments(many)),
        }
    }

    fn opaque(&self) -> Option<String> {
        let parameter = self.parameters.iter().find_map(|(name, ty)| {
            ty.opaque()
                .map(|opaque| format!("parameter `{}` has type `{opaque}`, which has no form in JSON", short(name)))
        });
        parameter.or_else(|| {
            let opaque = self.results.iter().find_map(Type::opaque)?;
            Some(format!("the result has type `{opaque}`, which has no form in JSON"))
        })
    }
}

/// Something that a module needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The interface of a component, or `module` of a core module.
    pub name: String,
    /// What is imported from it.
    pub items: Vec<String>,
}

/// Where an export lies in the compiled code.
#[derive(Clone)]
pub(crate) enum Entry {
    Core {
        index: ModuleExport,
        signature: Arc<Signature>,
    },
    Component {
        index: ComponentExportIndex,
        signature: Arc<Signature>,
        /// How many bytes of the engine's values one byte of a result's JSON may take.
        expansion: u64,
    },
    Task {
        name: String,
        functions: task::Functions,
        signature: Arc<Signature>,
    },
    Start(ModuleExport),
    Run(ComponentExportIndex),
    Http,
}

/// Everything read from one module.
pub(crate) struct Surface {
    pub(crate) kind: Kind,
    pub(crate) exports: Vec<Export>,
    pub(crate) imports: Vec<Import>,
    pub(crate) entries: IndexMap<String, Entry>,
    /// A preview 1 reactor's or library's `_initialize`, run before the first call.
    pub(crate) initialize: Option<ModuleExport>,
    /// How it is asked for its tasks, which are not yet among its exports.
    pub(crate) tasks: Option<task::Functions>,
    /// About how many bytes it takes.
    pub(crate) bytes: u64,
}

/// Names of the parameters of exported core functions, by the names of the exports.
pub(crate) type ParameterNames = HashMap<String, Arc<[String]>>;

impl Surface {
    /// Reads it all.
    ///
    /// # Errors
    /// `Exceeded` where it exports or imports more than `bound`, through however many sections, instances and types, or
    /// where their names are too long.
    pub(crate) fn read(engine: &Engine, compiled: &Compiled, parameters: &ParameterNames, bound: u32) -> Result<Self> {
        let counted = Counted::new(bound);
        match compiled {
            Compiled::Module(module) => Self::of_module(module, parameters, counted),
            Compiled::Component(component) => Self::of_component(engine, component, counted),
        }
    }

    fn of_module(module: &wasmtime::Module, parameters: &ParameterNames, mut counted: Counted) -> Result<Self> {
        let mut imports = Imports::default();
        for import in module.imports() {
            counted.imports(1)?;
            imports.add(import.module(), import.name(), &mut counted)?;
        }
        let imports = imports.list;
        let wasi = imports.iter().any(|import| import.name == PREVIEW1);
        let starts = module.get_export("_start").is_some();
        let kind = match (wasi, starts) {
            (true, true) => Kind::WasiCommand,
            (true, false) => Kind::WasiReactor,
            (false, _) => Kind::Core,
        };
        let (mut exports, mut entries, mut initialize) = (Vec::new(), IndexMap::new(), None);
        let mut budget = Budget::new();
        for export in module.exports() {
            let (ExternType::Func(ty), Some(index)) = (export.ty(), module.get_export_index(export.name())) else {
                continue;
            };
            counted.exports(1)?;
            counted.name(export.name())?;
            let name = export.name().to_owned();
            let takes_nothing = ty.params().len() + ty.results().len() == 0;
            if name == "_initialize" && takes_nothing {
                initialize = Some(index);
                continue;
            }
            if name == "_start" && takes_nothing {
                entries.insert(name.clone(), Entry::Start(index));
                exports.push(Export { name, kind: ExportKind::Command });
                continue;
            }
            let kind = exported(core_signature(&ty, parameters.get(&name), &mut budget));
            if let ExportKind::Function(signature) = &kind {
                entries.insert(name.clone(), Entry::Core { index, signature: Arc::clone(signature) });
            }
            exports.push(Export { name, kind });
        }
        let bytes = budget.spent() + counted.bytes();
        Ok(Surface { kind, exports, imports, entries, initialize, tasks: None, bytes })
    }

    fn of_component(engine: &Engine, component: &wasmtime::component::Component, mut counted: Counted) -> Result<Self> {
        let ty = component.component_type();
        let mut imports = Imports::default();
        for (name, import) in ty.imports(engine) {
            match import.ty {
                ComponentItem::ComponentInstance(instance) => {
                    let mut items = Vec::new();
                    for (item, import) in instance.exports(engine) {
                        // Types count as well: many imports may share one long list of them.
                        counted.imports(1)?;
                        if !matches!(import.ty, ComponentItem::Type(_)) {
                            counted.name(item)?;
                            items.push(item.to_owned());
                        }
                    }
                    // An interface of nothing but types needs nothing from the host.
                    if !items.is_empty() {
                        counted.name(name)?;
                        imports.list.push(Import { name: name.to_owned(), items });
                    }
                }
                // A type alone needs nothing from the host.
                ComponentItem::Type(_) => {}
                _ => imports.add(name, name, &mut counted)?,
            }
        }
        let (mut exports, mut entries, mut budget) = (Vec::new(), IndexMap::new(), Budget::new());
        let mut tasks = None;
        for (name, export) in ty.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(func) => {
                    counted.exports(1)?;
                    counted.name(name)?;
                    if let Some(index) = component.get_export_index(None, name) {
                        let signature = signature(&func, &mut budget);
                        function(&func, name.to_owned(), index, signature, &mut exports, &mut entries);
                    }
                }
                ComponentItem::ComponentInstance(instance) => {
                    let Some(parent) = component.get_export_index(None, name) else { continue };
                    counted.name(name)?;
                    let handle = instance.get_export(engine, "handle");
                    if fits("wasi:http/incoming-handler@0.2.0", name) && handle.is_some_and(|it| handles(&it.ty)) {
                        entries.insert(name.to_owned(), Entry::Http);
                        exports.push(Export { name: name.to_owned(), kind: ExportKind::Http });
                        continue;
                    }
                    if fits(TASKS, name) {
                        let function = |name| component.get_export_index(Some(&parent), name);
                        if let (Some(describe), Some(run)) = (function("describe"), function("run")) {
                            tasks = Some(task::Functions { describe, run });
                            continue;
                        }
                    }
                    let command = fits("wasi:cli/run@0.2.0", name);
                    for (item, export) in instance.exports(engine) {
                        counted.exports(1)?;
                        let ComponentItem::ComponentFunc(func) = export.ty else { continue };
                        let Some(index) = component.get_export_index(Some(&parent), item) else { continue };
                        if command && item == "run" && runs(&func) {
                            entries.insert(name.to_owned(), Entry::Run(index));
                            exports.push(Export { name: name.to_owned(), kind: ExportKind::Command });
                        } else {
                            counted.name(name)?;
                            counted.name(item)?;
                            let signature = signature(&func, &mut budget);
                            function(&func, format!("{name}#{item}"), index, signature, &mut exports, &mut entries);
                        }
                    }
                }
                _ => {}
            }
        }
        let bytes = budget.spent() + counted.bytes();
        let (kind, imports) = (Kind::Component, imports.list);
        Ok(Surface { kind, exports, imports, entries, initialize: None, tasks, bytes })
    }
}

/// Exports and imports so far, and what was copied of their names.
pub(crate) struct Counted {
    imports: u32,
    exports: u32,
    bound: u32,
    name_bytes: usize,
}

impl Counted {
    pub(crate) fn new(bound: u32) -> Self {
        Counted { imports: 0, exports: 0, bound, name_bytes: 0 }
    }

    /// A name that is about to be copied: the engine shares those that are used twice.
    fn name(&mut self, name: &str) -> Result<()> {
        /// About 800 bytes for each of 20,000 exports.
        const BYTES_MAX: usize = 16 << 20;
        self.name_bytes = self.name_bytes.saturating_add(name.len());
        match self.name_bytes > BYTES_MAX {
            true => Err(Error::exceeded(format!(
                "the names of the module's exports and imports have at least {} bytes, the bound is {BYTES_MAX}",
                self.name_bytes
            ))),
            false => Ok(()),
        }
    }

    /// About how many bytes the lists of exports and imports take; exports stand in two.
    fn bytes(&self) -> u64 {
        let each = size_of::<Export>() + size_of::<Entry>() + 2 * size_of::<String>();
        (self.exports as usize + self.imports as usize) as u64 * each as u64 + 2 * self.name_bytes as u64
    }

    pub(crate) fn imports(&mut self, more: u32) -> Result<()> {
        self.imports = self.imports.saturating_add(more);
        self.check(self.imports, "imports")
    }

    pub(crate) fn exports(&mut self, more: u32) -> Result<()> {
        self.exports = self.exports.saturating_add(more);
        self.check(self.exports, "exports")
    }

    fn check(&self, found: u32, what: &str) -> Result<()> {
        match found > self.bound {
            true => {
                Err(Error::exceeded(format!("the module has at least {found} {what}, the bound is {}", self.bound)))
            }
            false => Ok(()),
        }
    }
}

/// Whether it is `handle: func(request: own<..>, response-out: own<..>)`.
fn handles(item: &ComponentItem) -> bool {
    let ComponentItem::ComponentFunc(func) = item else { return false };
    let taken: Vec<_> = func.params().map(|(_, ty)| ty).collect();
    matches!(taken[..], [Given::Own(_), Given::Own(_)]) && func.results().len() == 0
}

/// Whether it is `run: func() -> result`.
fn runs(func: &ComponentFunc) -> bool {
    let given: Vec<_> = func.results().collect();
    let is_result = |ty: &Given| matches!(ty, Given::Result(ty) if ty.ok().is_none() && ty.err().is_none());
    func.params().len() == 0 && matches!(&given[..], [one] if is_result(one))
}

/// The types of a component's function; `None` where they are too many to describe.
fn signature(func: &ComponentFunc, budget: &mut Budget) -> Option<Signature> {
    let parameters = func.params().map(|(name, ty)| Some((budget.name(name)?, from_wasmtime(&ty, budget)?)));
    let parameters = parameters.collect::<Option<_>>()?;
    let results = func.results().map(|ty| from_wasmtime(&ty, budget)).collect::<Option<_>>()?;
    Some(Signature { parameters, results, about: String::new() })
}

/// The types of a core function, likewise.
fn core_signature(ty: &FuncType, named: Option<&Arc<[String]>>, budget: &mut Budget) -> Option<Signature> {
    budget.types(ty.params().len() + ty.results().len())?;
    let parameters = ty.params().enumerate().map(|(at, ty)| {
        let name = match named.and_then(|names| names.get(at)) {
            Some(name) => budget.name(name)?,
            None => budget.name(&format!("p{at}"))?,
        };
        Some((name, core_type(&ty)))
    });
    Some(Signature {
        parameters: parameters.collect::<Option<_>>()?,
        results: ty.results().map(|ty| core_type(&ty)).collect(),
        about: String::new(),
    })
}

fn function(
    func: &ComponentFunc,
    name: String,
    index: ComponentExportIndex,
    signature: Option<Signature>,
    exports: &mut Vec<Export>,
    entries: &mut IndexMap<String, Entry>,
) {
    let unsupported = |reason: &str| ExportKind::Unsupported(reason.to_owned());
    let kind = match signature {
        _ if func.async_() => unsupported("it is an async function, which needs WASI 0.3"),
        _ if name.contains("#[") || name.starts_with('[') => {
            unsupported("it is a constructor or method of a resource, which has no form in JSON")
        }
        signature => exported(signature),
    };
    if let ExportKind::Function(signature) = &kind {
        let expansion = signature.results.iter().map(Type::expansion).max().unwrap_or(1);
        entries.insert(name.clone(), Entry::Component { index, signature: Arc::clone(signature), expansion });
    }
    exports.push(Export { name, kind });
}

fn exported(signature: Option<Signature>) -> ExportKind {
    let Some(signature) = signature else {
        return ExportKind::Unsupported("the module's types are too many to describe".to_owned());
    };
    match signature.opaque() {
        Some(reason) => ExportKind::Unsupported(reason),
        None => ExportKind::Function(Arc::new(signature)),
    }
}

/// Imports by what they are imported from.
#[derive(Default)]
struct Imports {
    list: Vec<Import>,
    at: HashMap<String, usize>,
}

impl Imports {
    fn add(&mut self, name: &str, item: &str, counted: &mut Counted) -> Result<()> {
        counted.name(item)?;
        let at = match self.at.get(name) {
            Some(at) => *at,
            None => {
                counted.name(name)?;
                self.at.insert(name.to_owned(), self.list.len());
                self.list.push(Import { name: name.to_owned(), items: Vec::new() });
                self.list.len() - 1
            }
        };
        self.list[at].items.push(item.to_owned());
        Ok(())
    }
}
