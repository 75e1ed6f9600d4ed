//! Plays the kernel of Redox to the front that serves `safe:` there, so that its tests need no Redox.
//!
//! [`kernel`] builds the submission entries that a kernel sends and takes the completion entries; the
//! daemon's own threads work on them. [`process`] is what a program's C library makes of that: paths,
//! descriptors, offsets. [`cases`] is the list of what has to work, over the small trait in [`files`]: here
//! a [`process::Process`] is under it, on a real Redox the system itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cases;
pub mod computer;
pub mod files;
pub mod kernel;
pub mod process;
