//! Key-value stores for guests of Runner: wasi:keyvalue over memory and SQLite.
