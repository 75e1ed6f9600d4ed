//! A local network of real nodes, for development and tests: the nodes as processes of their own, a chain of its own
//! on which they are paid, everything in one folder, so that it can be stopped and started again.
//!
//! What always holds here: every process that was started ends with this one, however it ends; nothing listens or
//! connects beyond this computer's loopback; the chain's money is worth nothing.

#[cfg(target_os = "linux")]
mod chain;
#[cfg(target_os = "linux")]
mod folder;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod ready;

use std::path::PathBuf;

#[cfg(target_os = "linux")]
pub use network::{Devnet, NODES, Options, WALLET_KEY};

/// Why there is no network; says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program that it needs is not there.
    #[error("{what} is missing: {cure}")]
    Missing {
        /// Which.
        what: &'static str,
        /// How to get it.
        cure: &'static str,
    },
    /// A process ended or cannot be started.
    #[error("{what}: {why}")]
    Process {
        /// Which.
        what: String,
        /// What happened.
        why: String,
    },
    /// A file.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It runs and does not come to life.
    #[error("the network does not get ready: {0}")]
    NotReady(String),
    /// Whoever asked has said to stop.
    #[error("stopped")]
    Stopped,
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
