//! Configuration for guests of Runner: `wasi:config`, by grant
