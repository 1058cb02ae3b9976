//! The test kit for guests of Runner: tests on the host's side, with the backends that users run, and faults put into them.
//!
//! ```
#![doc = include_str!("../examples/faults.rs")]
//! ```
//!
//! That is a whole test of a guest, as a program. The other half of this crate is the program `runner-test`, which lets
//! `cargo test --target wasm32-wasip2` run the guest's own tests on Runner: the README leads there from an empty folder.
//!
//! # What a test has
//!
//! * [`Guest`]: a module at hand, or built from its crate by one call.
//! * [`Host`]: an executor, with key-value stores and files in memory, or those of a directory, HTTP by its policy, configuration, the
//!   log; closed until a test opens it. Nothing of it is a mock: what guests meet is what they meet in production, over the loopback address.
//! * [`Keys`] and [`Folder`]: a store and the files of a mount, which a test fills, puts faults into, and looks at afterwards.
//! * [`Server`]: whom guests ask. It answers as a test says, and remembers what it was asked, with secrets filled in.
//! * [`Done`]: what a guest did, in the words in which a test says what it expects. What fails says all that is known of the
//!   run. Why the host refused a request stands in its own log (`tracing`, level debug): a subscriber of the test's shows it.
//!
//! # What goes wrong
//!
//! | fault | where | what the guest sees |
//! |---|---|---|
//! | the store is away | [`Fault::unavailable`] | the error of its interface, and nothing was done |
//! | the answer is lost | [`Fault::answer_lost`] | the same error, and all was done |
//! | somebody else is faster | [`Fault::conflict`] | a compare-and-swap that fails |
//! | the store is slow, or silent | [`Fault::delay`], [`Fault::silent`] | time that passes, and its deadline |
//! | the disk is full, a file is denied, .. | [`Fault::error`], of a [`path`](Fault::path) and [operations](Operation) | that error |
//! | files are away, slow, silent, lost | the same as of a store, by [`Folder::fail`] | `EIO`; time that passes, and its deadline |
//! | what was written is not published | [`Fault::unavailable`], [`Fault::conflict`] of [`Operation::Commit`] | nothing: its call is an error of the host |
//! | 5xx, then better | [`Server::answer`] with several [`Answer`]s | one status after the other |
//! | a slow answer | [`Answer::delayed`], [`Answer::slowly`] | time-outs of its own, of [`CapsGrant`], its deadline |
//! | an answer that breaks off | [`Answer::cut_after`], [`Answer::reset_after`] | a body that is not complete |
//! | no answer | [`Answer::reset`], [`Answer::silent`] | a connection that ends, or a time-out |
//! | a refusal by policy | a server that was not opened | `HTTP-request-denied` |
//! | a grant that is used up, or is for reading | [`HostBuilder::mount`] | `EDQUOT`, `EFBIG`, `EROFS`, as any file system says it |
//! | somebody else writes the same file | [`Folder::write`] while the call runs | an error of the call, once the guest returned |
//!
//! # Time
//!
//! Clocks and random numbers of guests are the same in every run, from 2020-01-01 on; [`Host::advance`] winds them between two
//! calls, and with them the ends of values in stores. Deadlines and the delays of stores are on tokio's clock: after
//! `tokio::time::pause()` (its feature `test-util`, and a runtime of one thread) they are wound too, and an hour takes no
//! time. Load guests before: the compiler takes real time. Servers and what asks them need real time throughout.

mod call;
mod error;
mod fault;
mod files;
mod guest;
mod host;
mod keys;
mod logs;
mod server;

pub use self::call::{Done, Program, Run};
pub use self::error::{Error, ErrorKind, Result};
pub use self::fault::{Fault, Faulty, Operation};
pub use self::files::Folder;
pub use self::guest::{Build, Guest};
pub use self::host::{Host, HostBuilder};
pub use self::keys::Keys;
pub use self::logs::{Logs, Message};
pub use self::server::{Answer, Answers, Request, Server};

pub use runner_core::{Ending, Limit, LimitKind, Limits};
pub use runner_host_fs::{ErrorKind as FileErrorKind, Mode, Mount};
pub use runner_host_http::{CapsGrant, Rule};
pub use serde_json::{Value, json};
pub use tracing::Level;
