//! Every WIT value type, there and back.
//!
//! `echo-*` returns what it was given, both at the top level and in the exported interface
//! `values`, so that the host's JSON mapping is tested with real guests. The other functions
//! end in results of each shape, or use resources, which the host refuses by name.

// The generated code flattens records into arguments.
#![allow(clippy::too_many_arguments)]

wit_bindgen::generate!({ path: "../../wit/demo-types", world: "all-types", generate_all });

use exports::demo::types::counters::{self, CounterBorrow};
use exports::demo::types::values;
use std::cell::Cell;

struct All;

/// The echoes of one trait; `with` adds what else the trait has.
macro_rules! echoes {
    ($guest:path, { $($echo:ident: $type:ty,)* } with { $($rest:item)* }) => {
        impl $guest for All {
            $(fn $echo(v: $type) -> $type { v })*
            $($rest)*
        }
    };
}

/// The same list for the two traits.
macro_rules! all_echoes {
    ($guest:path, with { $($rest:item)* }) => {
        echoes!($guest, {
            echo_bool: bool,
            echo_s8: i8,
            echo_u8: u8,
            echo_s16: i16,
            echo_u16: u16,
            echo_s32: i32,
            echo_u32: u32,
            echo_s64: i64,
            echo_u64: u64,
            echo_f32: f32,
            echo_f64: f64,
            echo_char: char,
            echo_string: String,
            echo_bytes: Vec<u8>,
            echo_numbers: Vec<u32>,
            echo_strings: Vec<String>,
            echo_lists: Vec<Vec<String>>,
            echo_points: Vec<Point>,
            echo_people: Vec<Person>,
            echo_point: Point,
            echo_person: Person,
            echo_tuple: (bool, i64, String),
            echo_shape: Shape,
            echo_signal: Signal,
            echo_color: Color,
            echo_permissions: Permissions,
            echo_bits: Bits,
            echo_option: Option<String>,
            echo_option_option: Option<Option<u32>>,
            echo_option_option_option: Option<Option<Option<bool>>>,
            echo_attempts: Attempts,
            echo_results: Vec<Result<u32, String>>,
            echo_result: Result<u32, String>,
            echo_result_ok: Result<String, ()>,
            echo_result_err: Result<(), Color>,
            echo_result_empty: Result<(), ()>,
        } with { $($rest)* });
    };
}

all_echoes!(values::Guest, with {});

all_echoes!(Guest, with {
    fn two_args(first: String, second: Vec<u32>) -> String {
        format!("{first} {second:?}")
    }

    fn nothing() {}

    fn try_parse(s: String) -> Result<i32, String> {
        s.parse().map_err(|e| format!("`{s}` is no number: {e}"))
    }

    fn fail_record() -> Result<String, Failure> {
        Err(Failure {
            code: "demo.busy".into(),
            message: "come back later".into(),
            retryable: true,
        })
    }

    fn fail_variant() -> Result<(), Refusal> {
        Err(Refusal::Busy(7))
    }

    fn fail_empty() -> Result<(), ()> {
        Err(())
    }
});

/// Counts the live ones in `LIVE`.
struct Counter(Cell<i32>);

thread_local!(static LIVE: Cell<u32> = const { Cell::new(0) });

impl Drop for Counter {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
    }
}

impl counters::GuestCounter for Counter {
    fn new(start: i32) -> Self {
        LIVE.set(LIVE.get() + 1);
        Counter(Cell::new(start))
    }

    fn next(&self) -> i32 {
        self.0.set(self.0.get().wrapping_add(1));
        self.0.get()
    }

    fn merge(a: counters::Counter, b: counters::Counter) -> counters::Counter {
        let sum = Self::value(a.get()).wrapping_add(Self::value(b.get()));
        counters::Counter::new(<Self as counters::GuestCounter>::new(sum))
    }
}

impl Counter {
    fn value(&self) -> i32 {
        self.0.get()
    }
}

impl counters::Guest for All {
    type Counter = Counter;

    fn open(start: i32) -> counters::Counter {
        counters::Counter::new(<Counter as counters::GuestCounter>::new(start))
    }

    fn read(counter: CounterBorrow<'_>) -> i32 {
        counter.get::<Counter>().value()
    }

    fn close(counter: counters::Counter) -> i32 {
        counter.get::<Counter>().value()
    }

    fn read_all(counters: Vec<CounterBorrow<'_>>) -> i32 {
        counters.iter().map(|c| c.get::<Counter>().value()).sum()
    }

    fn live() -> u32 {
        LIVE.get()
    }
}

export!(All);
