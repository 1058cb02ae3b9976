//! Outgoing HTTP for guests of Runner: wasi:http by allow-list, over pooled connections.
