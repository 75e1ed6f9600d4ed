//! Shared parts of the suites: computers that sign in by the real commands, a place that cleans up after itself, and
//! ways to look at trees byte for byte.
//!
//! Everything of a test lies in one [`TestDir`]. When that is dropped, passed or failed, nothing of it
//! is mounted, running or on disk any more. Every command has a time limit: a hang is a failure.
// Test support: a failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod binaries;
pub mod computer;
pub mod random;
pub mod run;
pub mod test_dir;
pub mod tools;
pub mod tree;

pub use computer::Computer;
pub use random::Random;
pub use run::{Finished, run_for, sh};
pub use test_dir::TestDir;
