//! A command of many faces: the first argument says what to do.
//!
//! One source, built for wasm32-wasip1 and for wasm32-wasip2. It proves arguments,
//! environment, the standard streams, exact exit codes, clocks, random bytes, and that what
//! was not granted (files, sockets) answers with a plain error instead of a trap.

use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg_attr(target_env = "p1", path = "opened_p1.rs")]
#[cfg_attr(target_env = "p2", path = "opened_p2.rs")]
mod opened;

const USAGE: &str =
    "usage: command echo ARGS.. | args ARGS.. | opened | env [NAME] | cat | exit N | stderr TEXT | panic | clock
  | random BYTES | sleep MS | flood BYTES | ls PATH | read PATH | write PATH TEXT
  | connect ADDR | memory BYTES | spin";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(code) => code,
        Err(error) => {
            // The number is WASI's own errno, where there is one.
            eprintln!("{:?} ({:?}): {error}", error.kind(), error.raw_os_error());
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> io::Result<ExitCode> {
    match args {
        ["echo", words @ ..] => println!("{}", words.join(" ")),
        ["args", ..] => args.iter().for_each(|arg| println!("{arg:?}")),
        ["opened"] => opened::print(),
        ["env", name] => match env::var(name) {
            Ok(value) => println!("{value}"),
            Err(_) => return Ok(ExitCode::FAILURE),
        },
        ["env"] => env::vars().for_each(|(name, value)| println!("{name}={value}")),
        ["cat"] => {
            io::copy(&mut io::stdin(), &mut io::stdout())?;
        }
        ["exit", code] => std::process::exit(number(code)? as i32),
        ["stderr", text] => eprintln!("{text}"),
        ["panic"] => panic!("asked to"),
        ["clock"] => clock(),
        ["random", bytes] => println!("{}", random_hex(number(bytes)? as usize)),
        ["sleep", ms] => thread::sleep(Duration::from_millis(number(ms)?)),
        ["flood", bytes] => {
            io::copy(&mut io::repeat(b'x').take(number(bytes)?), &mut io::stdout())?;
        }
        ["ls", path] => {
            for entry in fs::read_dir(path)? {
                println!("{}", entry?.file_name().display());
            }
        }
        ["read", path] => io::stdout().write_all(&fs::read(path)?)?,
        ["write", path, text] => fs::write(path, text)?,
        ["connect", address] => {
            TcpStream::connect(address)?;
            println!("connected");
        }
        ["memory", bytes] => {
            // Ones, so that every page is written.
            let block = vec![1u8; number(bytes)? as usize];
            println!("{}", std::hint::black_box(&block).len());
        }
        ["spin"] => loop {
            std::hint::black_box(0);
        },
        _ => {
            eprintln!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn number(text: &str) -> io::Result<u64> {
    text.parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, format!("`{text}`: {e}")))
}

/// The wall clock in nanoseconds since 1970, then two readings of the monotonic one, as
/// nanoseconds since the call began.
fn clock() {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let start = Instant::now();
    let (first, second) = (start.elapsed(), start.elapsed());
    println!("{}\n{}\n{}", wall.as_nanos(), first.as_nanos(), second.as_nanos());
}

/// As many bytes, spun from the one seed that std asks of the host.
fn random_hex(bytes: usize) -> String {
    let state = RandomState::new();
    let words = (0u64..).map(|i| state.hash_one(i));
    let mut hex: String = words.take(bytes.div_ceil(8)).map(|word| format!("{word:016x}")).collect();
    hex.truncate(bytes * 2);
    hex
}
