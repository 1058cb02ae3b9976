//! A call's account: counted once and told to its span once, whoever waits for the call's end or goes away before it.

use std::sync::Arc;
use std::time::Instant;

use runner_core::{Error, ModuleId, Outcome};
use tracing::Span;

use crate::metrics::Metrics;
use crate::{clock, traces};

/// A call under way. Dropped before it is settled, it counts as cancelled: nobody waits any more.
pub(crate) struct Account {
    metrics: Arc<Metrics>,
    span: Span,
    from: Instant,
    is_settled: bool,
}

impl Account {
    pub(crate) fn open(metrics: &Arc<Metrics>, module: &ModuleId, function: &str) -> Self {
        let span = traces::call(module, function);
        Account { metrics: Arc::clone(metrics), span, from: clock::now(), is_settled: false }
    }

    /// What the call runs in.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The call ended.
    pub(crate) fn settle<T>(mut self, ended: Result<&Outcome<T>, &Error>) {
        self.is_settled = true;
        self.metrics.called(ended);
        traces::ended(&self.span, ended);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.is_settled {
            self.metrics.abandoned(self.from.elapsed());
            traces::abandoned(&self.span);
        }
    }
}
