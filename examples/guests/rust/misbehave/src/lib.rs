//! Does, on request, each thing that a limit has to stop.
//!
//! Every function breaks one limit and no other: the tests meet each limit alone and read its
//! name in the ending. `add` is the good neighbour.

wit_bindgen::generate!({ path: "../../wit/demo-misbehave", world: "misbehaving" });

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::mem;
use wasip2::cli::stdout::get_stdout;
use wasip2::clocks::monotonic_clock::{now, subscribe_duration};
use wasip2::random::random::get_random_bytes;

struct Misbehave;

impl Guest for Misbehave {
    fn spin() {
        loop {
            black_box(0);
        }
    }

    fn sleep(ms: u64) {
        subscribe_duration(ms.saturating_mul(1_000_000)).block();
    }

    fn grab_memory(bytes: u64) -> u64 {
        // Ones, so that every page is written.
        black_box(vec![1u8; bytes as usize]).len() as u64
    }

    fn big_string(bytes: u32) -> String {
        "x".repeat(bytes as usize)
    }

    fn big_list(n: u32) -> Vec<u8> {
        vec![7; n as usize]
    }

    fn open_handles() {
        loop {
            mem::forget(subscribe_duration(1_000_000_000));
            mem::forget(get_stdout());
        }
    }

    fn hold_handles(n: u32) -> u32 {
        let held: Vec<_> = (0..n).map(|_| get_stdout()).collect();
        black_box(&held).len() as u32
    }

    fn say(out: u32, err: u32, text: u32) -> String {
        flood(io::stdout(), out.into());
        flood(io::stderr(), err.into());
        "x".repeat(text as usize)
    }

    fn flood_stdout(bytes: u64) {
        flood(io::stdout(), bytes);
    }

    fn flood_stderr(bytes: u64) {
        flood(io::stderr(), bytes);
    }

    fn recurse() {
        black_box(deeper(0));
    }

    fn panic(message: String) {
        panic!("{message}");
    }

    fn exit(code: u8) {
        std::process::exit(code.into());
    }

    fn many_host_calls(n: u64) -> u64 {
        (0..n).fold(0, |latest, _| now().max(latest))
    }

    fn make_random(bytes: u64) -> u64 {
        get_random_bytes(bytes).len() as u64
    }

    fn add(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
}

fn flood(mut stream: impl Write, bytes: u64) {
    let written = io::copy(&mut io::repeat(b'x').take(bytes), &mut stream);
    written.and_then(|_| stream.flush()).expect("the stream takes it all");
}

/// Never ends; the addition keeps this from being a tail call.
#[allow(unconditional_recursion)]
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    black_box(depth);
    deeper(depth + 1) + black_box(1)
}

export!(Misbehave);
