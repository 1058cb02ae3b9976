//! Nothing here: this crate is its tests, in `it/`.
