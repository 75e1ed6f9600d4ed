//! Merging two states of a home, and checking the result.
// Helpers of tests are outside of what the lints know to be tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod cases;
mod check;
mod random;
mod world;
