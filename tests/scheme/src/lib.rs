//! Plays the kernel of Redox to the front that serves `safe:` there, so that its tests need no Redox.
//!
//! `kernel` builds the submission entries that a kernel sends and takes the completion entries; the
//! daemon's own threads work on them. `process` is a program's C library on top of that: paths,
//! descriptors, offsets. [`cases`] is the list of operations that have to work, over the small trait in [`files`]: here
//! a `process::Process` is under it, on a real Redox (and for comparison here) [`system`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cases;
#[cfg(not(target_os = "redox"))]
pub mod computer;
pub mod files;
#[cfg(not(target_os = "redox"))]
pub mod kernel;
#[cfg(not(target_os = "redox"))]
pub mod process;
pub mod system;
