//! What guests of Runner log: `wasi:logging` and captured output into `tracing`
