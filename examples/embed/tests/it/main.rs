//! Each program runs as its user would run it, says what its comments promise, and is at most sixty lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

fn stdout(program: &str) -> String {
    let output = Command::new(program).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn run_shows_a_signature_an_answer_and_a_bill() {
    let shown = stdout(env!("CARGO_BIN_EXE_run"));
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[..2], ["add: func(a: s32, b: s32) -> s32", "42"]);
    assert!(lines[2].starts_with("wall "), "{shown}");
}

#[test]
fn the_front_pages_show_the_program_that_runs() {
    let program = include_str!("../../src/bin/run.rs");
    for page in [include_str!("../../../../README.md"), include_str!("../../../../runner-core/README.md")] {
        let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
        assert_eq!(shown, Some(program));
        let git = concat!("runner-core = { git = \"", env!("CARGO_PKG_REPOSITORY"), "\" }");
        assert!(page.contains(git), "`{git}` is not there");
        for (needed, version) in [("tokio", "tokio = { version = \"1\""), ("serde_json", "serde_json = \"1\"")] {
            assert!(page.contains(version), "`{needed}` is not among the dependencies");
        }
    }
}

#[test]
fn limits_names_each_limit_that_was_met() {
    let shown = stdout(env!("CARGO_BIN_EXE_limits"));
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[0], "spin: deadline (100 ms allowed)");
    assert_eq!(lines[1], "grow: memory (8388608 bytes allowed)");
    assert!(lines[2].contains("kind: Fuel, allowed: 1000000") && lines[2].contains("fuel 1000000"), "{shown}");
}

#[test]
fn capability_keeps_what_a_call_that_returned_has_added() {
    assert_eq!(stdout(env!("CARGO_BIN_EXE_capability")).trim(), "Returned(Number(21)), then 21");
}

#[test]
fn http_serves_a_guest() {
    let guest = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(guest.path(), runner_guests::get("http-hello.wasm")).expect("written");
    let mut server = Command::new(env!("CARGO_BIN_EXE_http"))
        .args([guest.path().to_str().expect("a path"), "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("piped")).read_line(&mut line).expect("its address");
    let mut stream = TcpStream::connect(line.trim().trim_start_matches("http://")).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    server.kill().and_then(|()| server.wait()).expect("it ends");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("Hello from wasm"), "{answer}");
}

#[test]
fn no_program_is_longer_than_sixty_lines() {
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin")).expect("the programs") {
        let path = file.expect("a file").path();
        let lines = std::fs::read_to_string(&path).expect("text").lines().count();
        assert!(lines <= 60, "{} has {lines} lines", path.display());
    }
}
