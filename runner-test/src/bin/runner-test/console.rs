//! What a guest prints: shown while it runs, or kept. Granted by the runner itself, never by a file.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use runner_core::{CallContext, Capability, Result, async_trait};

/// Hears what guests print, on both of their streams. Clones are the same console.
#[derive(Clone, Default)]
pub(crate) struct Console {
    /// Guards what is kept; `None` where it is shown at once.
    kept: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Console {
    /// The name that it is granted under.
    pub(crate) const ID: &str = "runner-test:console";

    /// From now on what is printed is kept, in the order of both streams; it gives what was kept so far.
    pub(crate) fn keep(&self) -> Vec<u8> {
        mem::take(self.kept.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
    }

    fn listener(&self, show: fn(&[u8]) -> io::Result<()>) -> Listener {
        let kept = Arc::clone(&self.kept);
        Arc::new(move |bytes| match &mut *kept.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(kept) => kept.extend_from_slice(bytes),
            // Who reads it may have gone away, as `head` does; the guest goes on.
            None => drop(show(bytes)),
        })
    }
}

type Listener = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// The listeners of one run.
pub(crate) struct Listening {
    _stdout: Listener,
    _stderr: Listener,
}

#[async_trait]
impl Capability for Console {
    type Grant = ();
    type State = Listening;

    fn id(&self) -> &str {
        Self::ID
    }

    fn serves(&self) -> &[&str] {
        &[]
    }

    fn listens(&self) -> bool {
        true
    }

    fn open(&self, _grant: &(), call: &CallContext) -> Result<Listening> {
        let stdout = self.listener(|bytes| {
            let mut out = io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        });
        let stderr = self.listener(|bytes| io::stderr().write_all(bytes));
        if let Some(streams) = &call.streams {
            streams.stdout.listen(&stdout);
            streams.stderr.listen(&stderr);
        }
        Ok(Listening { _stdout: stdout, _stderr: stderr })
    }
}
