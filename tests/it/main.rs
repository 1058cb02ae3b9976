//! The house's rules, read from `cargo metadata` and the sources, so that they stay true.

mod house; // who may import whom, and what stands nowhere
