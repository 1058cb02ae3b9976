//! The crate through its public door, with a real guest built from source.

mod grants; // what a grant may say, and what it may not
mod guests; // what arrives in a guest, and what does not
mod readme; // what is shown is what was compiled
mod support;
