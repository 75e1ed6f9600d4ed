//! The Redox front: the namespace as the scheme `safe`.
//!
//! ```text
//! kernel ──▶ wire (its messages) ──▶ ask (in our terms) ──▶ server (threads, cancellation)
//!                                                               │
//!                          walk, handles ◀── front: open, look, change ──▶ memory, locks
//! ```
//!
//! All of it but [`redox`] is the same on every system: a test can play the kernel.

mod change;
mod front;
mod handles;
mod locks;
mod look;
mod memory;
mod open;
#[cfg(target_os = "redox")]
pub mod redox;
mod request;
mod server;
mod walk;
mod wire;

pub use server::{Server, Wire, Worker};
pub use wire::{Cqe, Sqe};
