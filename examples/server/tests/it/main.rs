//! The server at its door: routes without a port, and the real program where a process is what matters.

#![allow(clippy::unwrap_used, reason = "a test ends where it finds what it did not expect")]

mod addresses; // who may speak to it: Host, Origin, token
mod answers; // what the server holds until somebody has read it
mod bodies; // what may be sent, and how much
mod calls; // stored modules, called
mod compilers; // modules that are hard to compile, and the children that do it
mod examples; // modules to try
mod files; // what modules keep: listed, read, written, removed
mod grants; // what modules may use, and who has to say so
mod handlers; // a module's own HTTP handler
mod kv; // what modules keep by key, seen and removed
mod logs; // what modules say, in the real program's log
mod page; // the built page
mod patience; // clients that are slow, and what they are told
mod process; // the real program: its command line, its end, what outlives it
mod run; // modules that come along
mod running; // the real program, started and ended
mod service; // health, metrics, description
mod stored; // what is kept: versions, pages, removal, restarts
mod support;
mod traces; // spans, as a collector gets them
mod walks; // what the READMEs show and ask, from an empty folder on
mod workflows; // workflows and their executions
