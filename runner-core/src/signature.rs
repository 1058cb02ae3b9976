//! What a module exports and imports, read from the module itself. It describes; it runs nothing.

use std::collections::HashMap;

use indexmap::IndexMap;
use serde_json::Value;
use wasmtime::component::ComponentExportIndex;
use wasmtime::component::types::ComponentItem;
use wasmtime::{Engine, ExternType, ModuleExport};

use crate::code::Compiled;
use crate::error::{Error, Result};
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
    Function(Signature),
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
            ty.opaque().map(|opaque| format!("parameter `{name}` has type `{opaque}`, which has no form in JSON"))
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
    Core { index: ModuleExport, signature: Signature },
    Component { index: ComponentExportIndex, signature: Signature },
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
}

impl Surface {
    /// Reads it all.
    ///
    /// # Errors
    /// `Exceeded` where it exports or imports more than `bound`, through however many sections, instances and types.
    pub(crate) fn read(
        engine: &Engine,
        compiled: &Compiled,
        parameters: &HashMap<String, Vec<String>>,
        bound: u32,
    ) -> Result<Self> {
        match compiled {
            // Its sections were counted, or it would not have been compiled.
            Compiled::Module(module) => Ok(Self::of_module(module, parameters)),
            Compiled::Component(component) => Self::of_component(engine, component, Counted::new(bound)),
        }
    }

    fn of_module(module: &wasmtime::Module, parameters: &HashMap<String, Vec<String>>) -> Self {
        let mut imports = Imports::default();
        for import in module.imports() {
            imports.add(import.module(), import.name());
        }
        let imports = imports.list;
        let wasi = imports.iter().any(|import| import.name == "wasi_snapshot_preview1");
        let starts = module.get_export("_start").is_some();
        let kind = match (wasi, starts) {
            (true, true) => Kind::WasiCommand,
            (true, false) => Kind::WasiReactor,
            (false, _) => Kind::Core,
        };
        let (mut exports, mut entries, mut initialize) = (Vec::new(), IndexMap::new(), None);
        let names: Vec<_> = module.exports().map(|export| (export.name().to_owned(), export.ty())).collect();
        for (name, ty) in names {
            let (ExternType::Func(ty), Some(index)) = (ty, module.get_export_index(&name)) else { continue };
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
            let named = parameters.get(&name);
            let signature = Signature {
                parameters: ty
                    .params()
                    .enumerate()
                    .map(|(at, ty)| {
                        let name = named.and_then(|names| names.get(at)).cloned();
                        (name.unwrap_or_else(|| format!("p{at}")), core_type(&ty))
                    })
                    .collect(),
                results: ty.results().map(|ty| core_type(&ty)).collect(),
            };
            let kind = exported(&signature);
            if matches!(kind, ExportKind::Function(_)) {
                entries.insert(name.clone(), Entry::Core { index, signature });
            }
            exports.push(Export { name, kind });
        }
        Surface { kind, exports, imports, entries, initialize }
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
                            items.push(item.to_owned());
                        }
                    }
                    // An interface of nothing but types needs nothing from the host.
                    if !items.is_empty() {
                        imports.list.push(Import { name: name.to_owned(), items });
                    }
                }
                // A type alone needs nothing from the host.
                ComponentItem::Type(_) => {}
                _ => imports.add(name, name),
            }
        }
        let (mut exports, mut entries, mut budget) = (Vec::new(), IndexMap::new(), Budget::new());
        for (name, export) in ty.exports(engine) {
            match export.ty {
                ComponentItem::ComponentFunc(func) => {
                    counted.exports(1)?;
                    if let Some(index) = component.get_export_index(None, name) {
                        let signature = signature(&func, &mut budget);
                        function(&func, name.to_owned(), index, signature, &mut exports, &mut entries);
                    }
                }
                ComponentItem::ComponentInstance(instance) => {
                    let Some(parent) = component.get_export_index(None, name) else { continue };
                    if name.starts_with("wasi:http/incoming-handler@0.2") {
                        entries.insert(name.to_owned(), Entry::Http);
                        exports.push(Export { name: name.to_owned(), kind: ExportKind::Http });
                        continue;
                    }
                    let command = name.starts_with("wasi:cli/run@0.2");
                    for (item, export) in instance.exports(engine) {
                        counted.exports(1)?;
                        let ComponentItem::ComponentFunc(func) = export.ty else { continue };
                        let Some(index) = component.get_export_index(Some(&parent), item) else { continue };
                        if command && item == "run" {
                            entries.insert(name.to_owned(), Entry::Run(index));
                            exports.push(Export { name: name.to_owned(), kind: ExportKind::Command });
                        } else {
                            let signature = signature(&func, &mut budget);
                            function(&func, format!("{name}#{item}"), index, signature, &mut exports, &mut entries);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(Surface { kind: Kind::Component, exports, imports: imports.list, entries, initialize: None })
    }
}

/// Exports and imports so far.
pub(crate) struct Counted {
    imports: u32,
    exports: u32,
    bound: u32,
}

impl Counted {
    pub(crate) fn new(bound: u32) -> Self {
        Counted { imports: 0, exports: 0, bound }
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

/// The types of a component's function; `None` where they are too many to describe.
fn signature(func: &wasmtime::component::types::ComponentFunc, budget: &mut Budget) -> Option<Signature> {
    let parameters = func.params().map(|(name, ty)| Some((name.to_owned(), from_wasmtime(&ty, budget)?)));
    let parameters = parameters.collect::<Option<_>>()?;
    let results = func.results().map(|ty| from_wasmtime(&ty, budget)).collect::<Option<_>>()?;
    Some(Signature { parameters, results })
}

fn function(
    func: &wasmtime::component::types::ComponentFunc,
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
        None => unsupported("the module's types are too many to describe"),
        Some(signature) => exported(&signature),
    };
    if let ExportKind::Function(signature) = &kind {
        entries.insert(name.clone(), Entry::Component { index, signature: signature.clone() });
    }
    exports.push(Export { name, kind });
}

fn exported(signature: &Signature) -> ExportKind {
    match signature.opaque() {
        Some(reason) => ExportKind::Unsupported(reason),
        None => ExportKind::Function(signature.clone()),
    }
}

/// Imports by what they are imported from.
#[derive(Default)]
struct Imports {
    list: Vec<Import>,
    at: HashMap<String, usize>,
}

impl Imports {
    fn add(&mut self, name: &str, item: &str) {
        let at = match self.at.get(name) {
            Some(at) => *at,
            None => {
                self.at.insert(name.to_owned(), self.list.len());
                self.list.push(Import { name: name.to_owned(), items: Vec::new() });
                self.list.len() - 1
            }
        };
        self.list[at].items.push(item.to_owned());
    }
}
