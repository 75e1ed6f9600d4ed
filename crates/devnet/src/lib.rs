//! A local network of real nodes, for development and tests: the nodes as processes of their own, a chain of its own
//! on which they are paid, everything in one folder, so that it can be stopped and started again.
//!
//! What always holds here: every process that was started ends with this one, however it ends; nothing listens or
//! connects beyond this computer's loopback; the chain's money is worth nothing.

#[cfg(all(target_os = "linux", feature = "client"))]
mod chain;
#[cfg(all(target_os = "linux", feature = "client"))]
mod folder;
#[cfg(all(target_os = "linux", feature = "client"))]
mod network;
#[cfg(target_os = "linux")]
mod options;
#[cfg(all(target_os = "linux", feature = "client"))]
mod process;
#[cfg(all(target_os = "linux", feature = "client"))]
mod ready;
#[cfg(all(target_os = "linux", not(feature = "client")))]
mod without;
#[cfg(all(target_os = "linux", not(feature = "client")))]
use without as network;

use std::path::PathBuf;

#[cfg(target_os = "linux")]
pub use network::Devnet;
#[cfg(target_os = "linux")]
pub use options::{NODES, Options, WALLET_KEY};

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
        /// The failure.
        why: String,
    },
    /// A file.
    #[error("{}: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The problem.
        why: String,
    },
    /// It runs and does not come to life.
    #[error("the network does not get ready: {0}")]
    NotReady(String),
    /// The caller has stopped it.
    #[error("stopped")]
    Stopped,
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(target_os = "linux")]
pub(crate) fn failed(path: &std::path::Path, error: &std::io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        why: error.to_string(),
    }
}
