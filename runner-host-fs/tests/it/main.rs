//! The tests of files, without a guest.

mod backends;
