//! The only part that knows the engine: what the core asks of [`Logging`], and the face that guests see of a [`Session`].

use runner_core::wasmtime::StoreContextMut;
use runner_core::wasmtime::component::Linker;
use runner_core::{CallContext, Capability, Ending, HasView, Host, View, async_trait, wasmtime};

use self::bindings::wasi::logging::logging;
use crate::grant::{Grant, Level};
use crate::logging::{Logging, Session};

mod bindings {
    runner_core::wasmtime::component::bindgen!({
        path: "wit/logging",
        world: "imports",
        imports: { default: trappable },
        wasmtime_crate: runner_core::wasmtime,
    });
}

/// What the interface was called before its package had a version; its function has not changed.
const BEFORE: &str = "wasi:logging/logging";

#[async_trait]
impl Capability for Logging {
    type Grant = Grant;
    type State = Session;

    fn id(&self) -> &str {
        "logging"
    }

    fn serves(&self) -> &[&str] {
        &["wasi:logging/logging@0.1.0-draft", BEFORE]
    }

    fn link(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
        logging::add_to_linker::<_, HasView<Session>>(linker, Host::view)?;
        type Message = (logging::Level, String, String);
        linker.instance(BEFORE)?.func_wrap("log", |mut store: StoreContextMut<'_, Host>, message: Message| {
            let (level, context, message) = message;
            logging::Host::log(&mut store.data_mut().view::<Session>(), level, context, message)
        })
    }

    /// What guests print is heard of those, too, that import nothing of it.
    fn listens(&self) -> bool {
        true
    }

    fn open(&self, grant: &Grant, call: &CallContext) -> runner_core::Result<Session> {
        Ok(self.session(grant, call))
    }

    async fn close(&self, session: Session, _ending: &Ending<()>) -> runner_core::Result<()> {
        session.end();
        Ok(())
    }

    /// No response waits for the log.
    fn commits(&self, _grant: &Grant) -> bool {
        false
    }
}

impl logging::Host for View<'_, Session> {
    fn log(&mut self, level: logging::Level, context: String, message: String) -> wasmtime::Result<()> {
        self.charge(0, (context.len() + message.len()) as u64)?;
        Session::log(self, level.into(), &context, &message);
        Ok(())
    }
}

impl From<logging::Level> for Level {
    fn from(level: logging::Level) -> Self {
        match level {
            logging::Level::Trace => Level::Trace,
            logging::Level::Debug => Level::Debug,
            logging::Level::Info => Level::Info,
            logging::Level::Warn => Level::Warn,
            logging::Level::Error => Level::Error,
            logging::Level::Critical => Level::Critical,
        }
    }
}
