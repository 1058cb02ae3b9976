//! The only part that knows the engine: what the core asks of [`Config`], and the face that guests see of a [`Session`].

use runner_core::wasmtime::StoreContextMut;
use runner_core::wasmtime::component::Linker;
use runner_core::{CallContext, Capability, Error, ErrorKind, HasView, Host, View, async_trait, wasmtime};

use self::bindings::wasi::config::store;
use crate::config::{Config, Session};
use crate::grant::Grant;

mod bindings {
    runner_core::wasmtime::component::bindgen!({
        path: "wit/config",
        world: "imports",
        imports: { default: trappable },
        wasmtime_crate: runner_core::wasmtime,
    });
}

/// What the interface was called before; its functions have not changed.
const BEFORE: [&str; 2] = ["wasi:config/store@0.2.0-draft", "wasi:config/runtime@0.2.0-draft"];

const SERVED: [&str; 3] = ["wasi:config/store@0.2.0-rc.1", BEFORE[0], BEFORE[1]];

#[async_trait]
impl Capability for Config {
    type Grant = Grant;
    type State = Session;

    fn id(&self) -> &str {
        "config"
    }

    fn serves(&self) -> &[&str] {
        &SERVED
    }

    fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
        store::add_to_linker::<_, HasView<Session>>(linker, Host::view)?;
        for name in BEFORE {
            let mut instance = linker.instance(name)?;
            instance.func_wrap("get", |mut store: StoreContextMut<'_, Host>, (key,): (String,)| {
                Ok((store::Host::get(&mut store.data_mut().view::<Session>(), key)?,))
            })?;
            instance.func_wrap("get-all", |mut store: StoreContextMut<'_, Host>, ()| {
                Ok((store::Host::get_all(&mut store.data_mut().view::<Session>())?,))
            })?;
        }
        Ok(())
    }

    fn check(&self, grant: &Grant) -> runner_core::Result<()> {
        Config::check(self, grant).map_err(|why| Error::new(ErrorKind::Invalid, why))
    }

    fn open(&self, grant: &Grant, _call: &CallContext) -> runner_core::Result<Session> {
        Ok(self.session(grant))
    }

    /// Nothing is ever written.
    fn commits(&self, _grant: &Grant) -> bool {
        false
    }
}

/// The outer error stops the guest; the inner one never comes.
type Answer<T> = wasmtime::Result<Result<T, store::Error>>;

impl store::Host for View<'_, Session> {
    fn get(&mut self, key: String) -> Answer<Option<String>> {
        let value = Session::get(self, &key).map(str::to_owned);
        self.charge(value.as_ref().map_or(0, |value| value.len() as u64), 0)?;
        Ok(Ok(value))
    }

    fn get_all(&mut self) -> Answer<Vec<(String, String)>> {
        // What is over the limit is not copied.
        let bytes = self.all().iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        self.charge(bytes, 0)?;
        Ok(Ok(self.all().into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()))
    }
}
