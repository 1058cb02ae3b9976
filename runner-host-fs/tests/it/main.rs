//! The tests of files, without a guest.

mod backends; // the public suite, for each backend and each wrapper
mod limits; // what has a bound, at it and over it
mod local; // what others do in and around a directory
mod path; // what a text means
mod readme; // what the README shows is what was compiled
#[cfg(feature = "s3")]
mod s3; // a bucket, over a real server and through faults
mod same; // random operations on all of them, and on a directory by std
mod together; // trees over and beside each other
