//! Children: this same program, told by its arguments to do one task on one core and print numbers.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::{http, kv, memory, outgoing, s3};

/// The argument that makes a child of this program.
const CHILD: &str = "child";

/// Does the child's part where the arguments say that this is one; then nothing else is to be done.
///
/// # Errors
/// What the task met.
pub fn was_one() -> io::Result<bool> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let numbers = match args.as_slice() {
        [CHILD, "memory", side, task] => memory::serve(side, task)?,
        [CHILD, "server", side] => {
            http::serve(side)?;
            Vec::new()
        }
        [CHILD, "load", address, what, connections, milliseconds] => {
            let parsed = (connections.parse(), milliseconds.parse());
            let (Ok(connections), Ok(milliseconds)) = parsed else { return Err(io::Error::other("not numbers")) };
            http::load(address, what, connections, milliseconds)?
        }
        [CHILD, "origin", host] => {
            outgoing::serve_origin(host)?;
            Vec::new()
        }
        [CHILD, "asker", side, address, connections] => {
            outgoing::ask(side, address, connections.parse().map_err(io::Error::other)?)?;
            Vec::new()
        }
        [CHILD, "increments", side, backend] => kv::increments(side, backend)?,
        [CHILD, "bucket", scale] => {
            s3::serve_bucket(scale)?;
            Vec::new()
        }
        [CHILD, "hand", side, port, scale, code] => {
            s3::work(side, port, scale, code)?;
            Vec::new()
        }
        _ => return Ok(false),
    };
    say(&numbers);
    Ok(true)
}

/// Tells the parent some numbers, on one line.
#[allow(clippy::print_stdout, reason = "it is how a child answers")]
pub fn say(numbers: &[f64]) {
    println!("{}", numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
}

/// Starts a child on one core where there is `taskset`, anywhere else.
///
/// # Panics
/// Where it does not start.
pub fn start(args: &[&str], core: Option<usize>) -> Child {
    let program = std::env::current_exe().expect("the system knows this program");
    let command = |program: &OsStr| {
        let mut command = Command::new(program);
        // The child ends when its standard input does, whatever becomes of this process.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    };
    if let Some(core) = core {
        let mut pinned = command("taskset".as_ref());
        pinned.arg("-c").arg(core.to_string()).arg(&program).arg(CHILD).args(args);
        if let Ok(child) = pinned.spawn() {
            return child;
        }
    }
    command(program.as_os_str()).arg(CHILD).args(args).spawn().expect("this program starts itself")
}

/// What a child said on its next line.
///
/// # Panics
/// Where it said nothing that is a line of numbers.
pub fn heard(child: &mut Child) -> Vec<f64> {
    let mut line = String::new();
    let output = child.stdout.as_mut().expect("its output is piped");
    BufReader::with_capacity(1, output).read_line(&mut line).expect("it can be read");
    let numbers: Option<Vec<f64>> = line.split_whitespace().map(|number| number.parse().ok()).collect();
    numbers.filter(|numbers| !numbers.is_empty()).unwrap_or_else(|| panic!("the child said {line:?}"))
}

/// Runs a child to its end and gives what it said.
///
/// # Panics
/// As [`start`] and [`heard`].
pub fn answer(args: &[&str]) -> Vec<f64> {
    answer_on(args, None)
}

/// The same, on one core.
///
/// # Panics
/// As [`start`] and [`heard`].
pub fn answer_on(args: &[&str], core: Option<usize>) -> Vec<f64> {
    let mut child = start(args, core);
    let numbers = heard(&mut child);
    child.wait().expect("it ends");
    numbers
}
