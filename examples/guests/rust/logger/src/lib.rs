//! Logs and prints what it is told to.

wit_bindgen::generate!({
    path: ["../../../../runner-host-logging/wit/logging", "../../wit/demo-logger"],
    world: "demo:logger/logger",
    generate_all,
});

use std::io::{Write, stderr, stdout};

use wasi::logging::logging as without_version;
use wasi::logging0_1_0_draft::logging;

struct Logger;

export!(Logger);

impl Guest for Logger {
    fn log(level: Level, context: String, message: String, times: u32) {
        for _ in 0..times {
            logging::log(level, &context, &message);
        }
    }

    fn log_without_version(context: String, message: String) {
        without_version::log(without_version::Level::Warn, &context, &message);
    }

    fn print(out: Vec<u8>, err: Vec<u8>) {
        stdout().write_all(&out).and_then(|()| stdout().flush()).expect("standard output is open");
        stderr().write_all(&err).expect("standard error is open");
    }

    fn log_and_trap(message: String) {
        logging::log(Level::Info, "", &message);
        Self::print(message.clone().into_bytes(), message.into_bytes());
        std::process::abort();
    }
}
