//! Who serves an import, and the linkers that follow from it: WASI always and closed, the rest where it was granted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use semver::Version;
use serde_json::{Value, json};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ResourceType, Val};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::I32Exit;

use crate::capability::{Grants, Lender, Loan};
use crate::error::{Error, ErrorKind, Result, short};
use crate::host::Host;
use crate::limits::Metering;
use crate::signature::{Import, Kind};

/// How an import is served.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Service {
    /// The host always gives it.
    Provided,
    /// It is linked, but every use of it is answered with the interface's own denied code.
    Closed {
        /// The capability of this executor that would serve it.
        capability: Option<String>,
        /// What to write, for people, where a capability would.
        advice: Option<String>,
    },
    /// A capability serves it, and it was granted.
    Granted {
        /// The capability's id.
        capability: String,
    },
    /// A capability serves it, and it was granted what this host cannot give, or no longer: the module cannot run.
    Broken {
        /// The capability's id.
        capability: String,
        /// What the host lacks, or the grant says wrong, for people.
        reason: String,
    },
    /// Nothing serves it, or what serves it was not granted: the module cannot run.
    Missing {
        /// The capability of this executor that would serve it.
        capability: Option<String>,
        /// What to write, for people.
        advice: String,
    },
}

impl Service {
    /// The name in JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Service::Provided => "provided",
            Service::Closed { .. } => "closed",
            Service::Granted { .. } => "granted",
            Service::Broken { .. } => "broken",
            Service::Missing { .. } => "missing",
        }
    }
}

/// WASI interfaces that the host always serves to components, and whether closed.
const STANDARD: &[(&str, bool)] = &[
    ("wasi:cli/environment@0.2.0", false),
    ("wasi:cli/exit@0.2.0", false),
    ("wasi:cli/stdin@0.2.0", false),
    ("wasi:cli/stdout@0.2.0", false),
    ("wasi:cli/stderr@0.2.0", false),
    ("wasi:cli/terminal-input@0.2.0", false),
    ("wasi:cli/terminal-output@0.2.0", false),
    ("wasi:cli/terminal-stdin@0.2.0", false),
    ("wasi:cli/terminal-stdout@0.2.0", false),
    ("wasi:cli/terminal-stderr@0.2.0", false),
    ("wasi:clocks/monotonic-clock@0.2.0", false),
    ("wasi:clocks/wall-clock@0.2.0", false),
    ("wasi:io/error@0.2.0", false),
    ("wasi:io/poll@0.2.0", false),
    ("wasi:io/streams@0.2.0", false),
    ("wasi:random/random@0.2.0", false),
    ("wasi:random/insecure@0.2.0", false),
    ("wasi:random/insecure-seed@0.2.0", false),
    ("wasi:http/types@0.2.0", false),
    ("wasi:http/outgoing-handler@0.2.0", true),
    ("wasi:filesystem/preopens@0.2.0", true),
    ("wasi:filesystem/types@0.2.0", true),
    ("wasi:sockets/instance-network@0.2.0", true),
    ("wasi:sockets/ip-name-lookup@0.2.0", true),
    ("wasi:sockets/network@0.2.0", true),
    ("wasi:sockets/tcp@0.2.0", true),
    ("wasi:sockets/tcp-create-socket@0.2.0", true),
    ("wasi:sockets/udp@0.2.0", true),
    ("wasi:sockets/udp-create-socket@0.2.0", true),
];

pub(crate) const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Says how an import of such a module is served, given the capabilities of the executor and what was granted of them.
/// `program` is what the host calls it, for the advice.
pub(crate) fn service(
    import: &Import,
    kind: Kind,
    lenders: &[Arc<dyn Lender>],
    grants: &Grants,
    program: Option<&str>,
) -> Service {
    let name = import.name.as_str();
    // Several may serve one interface; the one that was granted is meant.
    let serving = || lenders.iter().filter(|lender| lender.serves().iter().any(|served| serves(served, name, kind)));
    let lender = serving().find(|lender| grants.get(lender.id()).is_some()).or_else(|| serving().next());
    match lender {
        Some(lender) if grants.get(lender.id()).is_some() => Service::Granted { capability: lender.id().to_owned() },
        // A standard interface that nobody was granted falls back to its closed form.
        _ => match standard(name, kind) {
            Some(true) => Service::Closed {
                capability: lender.map(|lender| lender.id().to_owned()),
                advice: lender.map(|lender| advice(lender.as_ref(), program)),
            },
            Some(false) => Service::Provided,
            None => missing(name, lender, program),
        },
    }
}

/// The same for whoever asks before a load, which would be refused where a grant does not hold.
pub(crate) fn explained(
    import: &Import,
    kind: Kind,
    lenders: &[Arc<dyn Lender>],
    grants: &Grants,
    program: Option<&str>,
) -> Service {
    match service(import, kind, lenders, grants, program) {
        Service::Granted { capability } => match check_one(&capability, lenders, grants) {
            Ok(()) => Service::Granted { capability },
            Err(error) => Service::Broken { capability, reason: error.to_string() },
        },
        other => other,
    }
}

fn standard(name: &str, kind: Kind) -> Option<bool> {
    match kind {
        Kind::Component => STANDARD.iter().find(|(known, _)| fits(known, name)).map(|(_, closed)| *closed),
        Kind::Core | Kind::WasiCommand | Kind::WasiReactor => (name == PREVIEW1).then_some(false),
    }
}

/// Whether a module can print by an import.
fn prints(import: &Import, kind: Kind) -> bool {
    match kind {
        Kind::Component => ["wasi:cli/stdout@0.2.0", "wasi:cli/stderr@0.2.0"].iter().any(|it| fits(it, &import.name)),
        Kind::Core | Kind::WasiCommand | Kind::WasiReactor => import.name == PREVIEW1,
    }
}

/// Whether an import is served by a name. A core module imports from what it names exactly; a component's `ns:pkg/iface@1.2.0`
/// is served by the name without a version, and by versions that [fit](fits).
fn serves(served: &str, import: &str, kind: Kind) -> bool {
    match kind {
        Kind::Component => fits(served, import) || import.split_once('@').is_some_and(|(name, _)| name == served),
        Kind::Core | Kind::WasiCommand | Kind::WasiReactor => served == import,
    }
}

/// Whether the linker takes a component's import for this interface: equal names, or versions with the same leftmost
/// non-zero number, releases both.
pub(crate) fn fits(offered: &str, import: &str) -> bool {
    fn track(name: &str) -> Option<(&str, u64, u64)> {
        let (interface, version) = name.split_once('@')?;
        let version = Version::parse(version).ok().filter(|version| version.pre.is_empty())?;
        match (version.major, version.minor) {
            (0, 0) => None,
            (0, minor) => Some((interface, 0, minor)),
            (major, _) => Some((interface, major, 0)),
        }
    }
    offered == import || track(offered).is_some_and(|offered| track(import) == Some(offered))
}

fn missing(name: &str, lender: Option<&Arc<dyn Lender>>, program: Option<&str>) -> Service {
    match lender {
        Some(lender) => {
            Service::Missing { capability: Some(lender.id().to_owned()), advice: advice(lender.as_ref(), program) }
        }
        None => Service::Missing {
            capability: None,
            advice: format!(
                "nothing that this host lends serves it; an embedder adds a capability that names `{}` in `serves`, or a \
                 host function",
                short(name)
            ),
        },
    }
}

fn advice(lender: &dyn Lender, program: Option<&str>) -> String {
    format!("capability `{}` serves it: grant it with {}", lender.id(), grant_example(lender, program))
}

/// A grant as one would write it: the schema's own example, or its names for what goes in.
fn grant_example(lender: &dyn Lender, program: Option<&str>) -> Value {
    let schema = lender.grant_schema();
    if let Some(example) = schema.get("examples").and_then(|examples| examples.get(0)) {
        let mut example = example.clone();
        if let Some(program) = program {
            name_after(program, &mut example, &schema, &schema);
        }
        return json!({ lender.id(): example });
    }
    let fields = schema.get("properties").and_then(Value::as_object);
    let value = match fields {
        Some(fields) => fields
            .iter()
            .map(|(name, field)| {
                let example = field.get("examples").and_then(|examples| examples.get(0));
                let value = example.or(field.get("default")).or(field.get("type"));
                (name.clone(), value.cloned().unwrap_or(Value::Null))
            })
            .collect(),
        None => Value::Null,
    };
    json!({ lender.id(): value })
}

/// Puts the program's name where the schema says that it goes, see [`Capability::Grant`](crate::Capability::Grant). It ends
/// with the example, whatever the schema refers to.
fn name_after(program: &str, example: &mut Value, schema: &Value, whole: &Value) {
    let referred = schema.get("$ref").and_then(Value::as_str).and_then(|at| whole.pointer(at.strip_prefix('#')?));
    let schema = referred.unwrap_or(schema);
    match example {
        Value::String(text) if schema.get("x-program-name") == Some(&Value::Bool(true)) => program.clone_into(text),
        Value::Object(fields) => {
            for (name, field) in fields {
                let own = schema.get("properties").and_then(|own| own.get(name)).or(schema.get("additionalProperties"));
                name_after(program, field, own.unwrap_or(&Value::Null), whole);
            }
        }
        Value::Array(items) => {
            let of_each = schema.get("items").unwrap_or(&Value::Null);
            items.iter_mut().for_each(|item| name_after(program, item, of_each, whole));
        }
        _ => {}
    }
}

/// Linkers with everything of one set of capabilities.
#[derive(Clone)]
pub(crate) struct Linkers {
    pub(crate) core: wasmtime::Linker<Host>,
    pub(crate) component: wasmtime::component::Linker<Host>,
}

type Made = HashMap<(Metering, Vec<(String, Vec<String>)>), Arc<Linkers>>;

/// Linkers made so far, by metering, granted ids, and the names that each is linked under.
#[derive(Default)]
pub(crate) struct LinkerCache {
    made: Mutex<Made>,
}

/// Sets of capabilities whose linkers are remembered; one weighs some tens of kilobytes.
const REMEMBERED_MAX: usize = 256;

impl LinkerCache {
    pub(crate) fn get(&self, engine: &Engine, metering: Metering, loans: &[Loan]) -> Result<Arc<Linkers>> {
        let key = (metering, loans.iter().map(|loan| (loan.lender.id().to_owned(), loan.linked_as.clone())).collect());
        if let Some(linkers) = self.lock().get(&key) {
            return Ok(Arc::clone(linkers));
        }
        let made =
            Arc::new(make(engine, loans).map_err(|error| Error::internal("the linker cannot be made").source(error))?);
        let mut cache = self.lock();
        if cache.len() >= REMEMBERED_MAX {
            cache.clear();
        }
        cache.insert(key, Arc::clone(&made));
        Ok(made)
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(engine: &Engine, loans: &[Loan]) -> wasmtime::Result<Linkers> {
    let mut core = wasmtime::Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut core, Host::preview1)?;
    let mut component = wasmtime::component::Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut component)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut component)?;
    // A granted capability takes the place of a closed form.
    core.allow_shadowing(true);
    component.allow_shadowing(true);
    // wasmtime's own refuses codes above 125; a guest's exit code is its own to choose.
    core.func_wrap(PREVIEW1, "proc_exit", |code: i32| -> wasmtime::Result<()> { Err(I32Exit(code).into()) })?;
    for loan in loans {
        loan.lender.link(&mut component, &loan.linked_as)?;
        loan.lender.link_core(&mut core)?;
    }
    Ok(Linkers { core, component })
}

impl Linkers {
    /// The same, with all else that a component imports closed: to call it is a trap.
    ///
    /// wasmtime's own `define_unknown_imports_as_traps` goes by exact names, and would close standard interfaces of another
    /// version than the linker's.
    pub(crate) fn with_the_rest_closed(&self, component: &Component) -> wasmtime::Result<Self> {
        let mut linkers = self.clone();
        let (engine, ty) = (component.engine(), component.component_type());
        // What a standard interface gives is known already, wherever else it is spoken of.
        let mut given = Vec::new();
        for (_, import) in ty.imports(engine).filter(|(name, _)| standard(name, Kind::Component).is_some()) {
            let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
            given.extend(instance.exports(engine).filter_map(|(_, export)| match export.ty {
                ComponentItem::Resource(resource) => Some(resource),
                _ => None,
            }));
        }
        for (name, import) in ty.imports(engine) {
            let message = format!("`{}` is not granted", short(name));
            let instance = match import.ty {
                ComponentItem::ComponentInstance(instance) => instance,
                ComponentItem::ComponentFunc(_) => {
                    let refused = move |_: StoreContextMut<'_, Host>, _, _: &[Val], _: &mut [Val]| {
                        Err(wasmtime::Error::msg(message.clone()))
                    };
                    linkers.component.root().func_new(name, refused)?;
                    continue;
                }
                ComponentItem::Resource(_) => {
                    linkers.component.root().resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?;
                    continue;
                }
                _ => continue,
            };
            if standard(name, Kind::Component).is_some() {
                continue;
            }
            let mut closed = linkers.component.instance(name)?;
            for (item, export) in instance.exports(engine) {
                match export.ty {
                    ComponentItem::ComponentFunc(_) => {
                        let message = message.clone();
                        closed.func_new(item, move |_, _, _, _| Err(wasmtime::Error::msg(message.clone())))?;
                    }
                    ComponentItem::Resource(own) if !given.contains(&own) => {
                        closed.resource(item, ResourceType::host::<()>(), |_, _| Ok(()))?;
                    }
                    _ => {}
                }
            }
        }
        Ok(linkers)
    }
}

/// An import with the first of its items: a core module's interface alone says little.
fn shown(import: &Import) -> String {
    const ITEMS_SHOWN: usize = 3;
    let items: Vec<_> = import.items.iter().take(ITEMS_SHOWN).map(|item| format!("`{}`", short(item))).collect();
    let more = if import.items.len() > ITEMS_SHOWN { ", .." } else { "" };
    match items.is_empty() {
        true => format!("`{}`", short(&import.name)),
        false => format!("`{}` ({}{more})", short(&import.name), items.join(", ")),
    }
}

/// Missing imports that an error names one by one.
const LACKING_SHOWN: usize = 10;

fn lender<'a>(id: &str, lenders: &'a [Arc<dyn Lender>]) -> Result<&'a Arc<dyn Lender>> {
    lenders.iter().find(|lender| lender.id() == id).ok_or_else(|| {
        let known: Vec<_> = lenders.iter().map(|lender| format!("`{}`", lender.id())).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Error::invalid(format!("grant for `{}`: no such capability, this executor has {known}", short(id)))
    })
}

/// Whether each grant is one for a capability that there is, and fits it.
pub(crate) fn check(grants: &Grants, lenders: &[Arc<dyn Lender>]) -> Result<()> {
    grants.ids().try_for_each(|id| check_one(id, lenders, grants))
}

fn check_one(id: &str, lenders: &[Arc<dyn Lender>], grants: &Grants) -> Result<()> {
    Arc::clone(lender(id, lenders)?).lend(grants.get(id).unwrap_or(&Value::Null)).map(drop)
}

/// The loans that a program's imports call for, or the error that names what is missing.
pub(crate) fn loans(
    imports: &[Import],
    kind: Kind,
    lenders: &[Arc<dyn Lender>],
    grants: &Grants,
    program: Option<&str>,
) -> Result<Vec<Loan>> {
    for id in grants.ids() {
        lender(id, lenders)?;
    }
    // What each of them serves.
    let mut granted: HashMap<String, Vec<String>> = HashMap::new();
    let mut lacking: Vec<String> = Vec::new();
    for import in imports {
        match service(import, kind, lenders, grants, program) {
            Service::Granted { capability } => granted.entry(capability).or_default().push(import.name.clone()),
            Service::Missing { advice, .. } => {
                lacking.push(format!("import {} is not granted: {advice}", shown(import)))
            }
            _ => {}
        }
    }
    if !lacking.is_empty() {
        let more = lacking.len().saturating_sub(LACKING_SHOWN);
        lacking.truncate(LACKING_SHOWN);
        if more > 0 {
            lacking.push(format!("and {more} more"));
        }
        return Err(Error::new(ErrorKind::Denied, lacking.join("; ")));
    }
    // Who listens is there although nothing of its own is imported.
    if imports.iter().any(|import| prints(import, kind)) {
        for lender in lenders.iter().filter(|lender| lender.listens() && grants.get(lender.id()).is_some()) {
            granted.entry(lender.id().to_owned()).or_default();
        }
    }
    // In the order of registration: closing runs backwards through it.
    let lent = lenders.iter().filter_map(|lender| Some((lender, granted.remove(lender.id())?)));
    lent.map(|(lender, imported)| {
        let mut loan = Arc::clone(lender).lend(grants.get(lender.id()).unwrap_or(&Value::Null))?;
        loan.linked_as = lender.linked_as(imported);
        Ok(loan)
    })
    .collect()
}
