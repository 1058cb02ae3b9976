//! The modules that are measured, as binaries: wasmtime is given what Runner would make of them, so that nobody converts.

use std::fmt::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Functions of [`ten_kib`] that nobody but the module calls.
const FUNCTIONS: usize = 130;

/// A module in text, as a binary.
pub fn text(name: &str) -> Vec<u8> {
    wat::parse_str(runner_guests::wat(name)).expect("the guests are well formed")
}

/// A core module with component-type metadata, wrapped as Runner wraps it.
pub fn component(name: &str) -> Vec<u8> {
    let module = runner_guests::get(name);
    let encoder = wit_component::ComponentEncoder::default().module(module);
    encoder.and_then(|mut encoder| encoder.encode()).expect("the guest carries its types")
}

/// A module of 10 KiB with a page of memory and over a hundred functions, two of them exported: a small program.
pub fn ten_kib() -> &'static [u8] {
    static MODULE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut text = String::from("(module (memory (export \"memory\") 1)\n");
        text += "(func (export \"add\") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))\n";
        for index in 0..FUNCTIONS {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "(func $step_{index} (param $at i32) (param $by i32) (result i32)
                   (local $sum i32)
                   (loop $again
                     (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
                     (i32.store (local.get $at) (i32.xor (local.get $sum) (i32.const {index})))
                     (br_if $again (local.tee $by (i32.sub (local.get $by) (i32.const 1)))))
                   (local.get $sum))"
            );
        }
        text += "(func (export \"steps\") (param $at i32) (result i32) (local.get $at)\n";
        for index in 0..FUNCTIONS {
            let _ = writeln!(text, "(call $step_{index} (i32.const 1))");
        }
        text += "))";
        wat::parse_str(text).expect("the text is well formed")
    });
    &MODULE
}

/// The same module under another digest: a custom section that no other copy has, so that no cache knows it.
pub fn never_seen(module: &[u8]) -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    // Section 0, its size, the length of its name, the name, the count.
    [module, &[0, 10, 1, b'n'], &count].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_of_ten_kib_has_about_as_much() {
        assert!((9_000..13_000).contains(&ten_kib().len()), "{}", ten_kib().len());
    }

    #[test]
    fn a_copy_is_valid_and_has_another_digest() {
        let (one, two) = (never_seen(ten_kib()), never_seen(ten_kib()));
        assert_ne!(one, two);
        let engine = wasmtime::Engine::default();
        wasmtime::Module::validate(&engine, &one).expect("a custom section changes nothing");
    }
}
