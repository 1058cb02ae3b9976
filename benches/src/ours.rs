//! Runner as its users have it: the default bounds, limits and accounts.

use std::sync::LazyLock;

use runner_core::{Executor, Grants, Metering, Program};

use crate::wait;

/// The executor that every row uses, with nothing lent.
pub fn executor() -> &'static Executor {
    static EXECUTOR: LazyLock<Executor> = LazyLock::new(|| Executor::new().expect("an executor starts"));
    &EXECUTOR
}

/// A program with nothing granted.
pub fn program(bytes: &[u8]) -> Program {
    metered(bytes, Metering::default())
}

/// A program with nothing granted, stopped in this way.
pub fn metered(bytes: &[u8], metering: Metering) -> Program {
    wait(executor().load(bytes, &Grants::none()).metering(metering).into_future()).expect("the guest loads")
}
