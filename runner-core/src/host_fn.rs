//! The small door beside [`Capability`](crate::Capability): one async function, lent by the interface it stands in.

use std::any::{Any, TypeId};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use wasmtime::component::{ComponentNamedList, Lift, Lower};
use wasmtime::{WasmRet, WasmTyList};

use crate::capability::{CallContext, Lender, Loan};
use crate::error::Result;
use crate::host::Host;
use crate::outcome::Ending;

/// Adds a function to a linker, under the name of an interface or module.
type Add<L> = Box<dyn Fn(&mut L, &str) -> wasmtime::Result<()> + Send + Sync>;

/// The host functions of one interface or core module. Its id in grants is the interface's name.
pub(crate) struct HostFunctions {
    pub(crate) interface: String,
    component: Vec<Add<wasmtime::component::Linker<Host>>>,
    core: Vec<Add<wasmtime::Linker<Host>>>,
}

impl HostFunctions {
    pub(crate) fn new(interface: &str) -> Self {
        HostFunctions { interface: interface.to_owned(), component: Vec::new(), core: Vec::new() }
    }

    pub(crate) fn add<F, Fut, P, R>(&mut self, name: &str, f: F)
    where
        F: Fn(P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        P: ComponentNamedList + Lift + Send + 'static,
        R: ComponentNamedList + Lower + Send + 'static,
    {
        let (id, name, f) = (self.interface.clone(), name.to_owned(), Arc::new(f));
        self.component.push(Box::new(move |linker, interface| {
            let (id, f) = (id.clone(), Arc::clone(&f));
            linker.instance(interface)?.func_wrap_async(&name, move |mut store, params: P| {
                store.data_mut().count(&id);
                let answer = f(params);
                Box::new(async move { Ok(answer.await?) })
            })
        }));
    }

    pub(crate) fn add_core<F, Fut, P, R>(&mut self, name: &str, f: F)
    where
        F: Fn(P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        P: WasmTyList + Send + 'static,
        R: Send + 'static,
        wasmtime::Result<R>: WasmRet,
    {
        let (id, name, f) = (self.interface.clone(), name.to_owned(), Arc::new(f));
        self.core.push(Box::new(move |linker, module| {
            let (id, f) = (id.clone(), Arc::clone(&f));
            linker.func_wrap_async(module, &name, move |mut caller, params: P| {
                caller.data_mut().count(&id);
                let answer = f(params);
                Box::new(async move { answer.await.map_err(wasmtime::Error::from) })
            })?;
            Ok(())
        }));
    }
}

/// The state of host functions: none. They share it, since none looks for it.
struct Stateless;

#[async_trait]
impl Lender for HostFunctions {
    fn id(&self) -> &str {
        &self.interface
    }

    fn serves(&self) -> Vec<String> {
        vec![self.interface.clone()]
    }

    fn state_type(&self) -> TypeId {
        TypeId::of::<Stateless>()
    }

    /// Under the names imported: the interface's own may stand without a version.
    fn linked_as(&self, mut imported: Vec<String>) -> Vec<String> {
        imported.sort_unstable();
        imported
    }

    fn link(&self, linker: &mut wasmtime::component::Linker<Host>, names: &[String]) -> wasmtime::Result<()> {
        names.iter().try_for_each(|name| self.component.iter().try_for_each(|add| add(linker, name)))
    }

    fn link_core(&self, linker: &mut wasmtime::Linker<Host>) -> wasmtime::Result<()> {
        self.core.iter().try_for_each(|add| add(linker, &self.interface))
    }

    fn grant_schema(&self) -> Value {
        serde_json::json!({ "type": "null" })
    }

    fn closes(&self) -> bool {
        false
    }

    fn lend(self: Arc<Self>, grant: &Value) -> Result<Loan> {
        match grant {
            Value::Null => Ok(Loan::new(self, Box::new(()), false)),
            other => Err(crate::Error::invalid(format!(
                "grant for `{}`: a host function is granted with null, found {other}",
                self.interface
            ))),
        }
    }

    fn open(&self, _grant: &(dyn Any + Send + Sync), _call: &CallContext) -> Result<Box<dyn Any + Send>> {
        Ok(Box::new(Stateless))
    }

    async fn close(&self, _state: Box<dyn Any + Send>, _ending: &Ending<()>) -> Result<()> {
        Ok(())
    }
}
