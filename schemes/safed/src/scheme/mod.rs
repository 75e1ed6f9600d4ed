//! The Redox front: the namespace as the scheme `safe`.
//!
//! ```text
//! kernel ──▶ wire (its messages in our terms) ──▶ server (threads, cancellation)
//!                                                    │
//!                     walk, handles ◀── front, open, change ──▶ memory, locks
//! ```
//!
//! All of it but [`redox`] is the same on every system: a test can play the kernel.

mod change;
mod front;
mod handles;
mod locks;
mod memory;
mod open;
#[cfg(target_os = "redox")]
pub mod redox;
mod server;
mod walk;
mod wire;

pub use server::{Server, Wire};
pub use wire::{Cqe, Sqe};
