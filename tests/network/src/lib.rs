//! Shared parts of the tests on a local network: the network, alone with itself, and a look at its chain.
// Test support: a failed expectation is a failed test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alone;
mod chain;

use std::path::{Path, PathBuf};

pub use alone::alone;
pub use chain::Chain;
use safeos_devnet::{Devnet, Options};
use safeos_suite_tests::binaries;

/// How many nodes.
pub const NODES: usize = 10;

/// The options of a network of this build's programs, in `folder`.
///
/// # Panics
/// When a program is missing; says which and how to get it.
pub fn options(folder: &Path, nodes: usize) -> Options {
    let node = binaries::folder().join("safe-node");
    if std::env::var_os("SAFE_NODE").is_none() && node.is_file() {
        // SAFETY: called before this process has other threads that look at the environment.
        unsafe { std::env::set_var("SAFE_NODE", node) };
    }
    Options::find(folder, nodes)
        .unwrap_or_else(|error| panic!("there is no local network: {error}"))
}

/// Starts a network.
///
/// # Panics
/// When it cannot be started; says why.
pub fn start(folder: &Path, nodes: usize) -> Devnet {
    let options = options(folder, nodes);
    Devnet::start(options, &|| false)
        .unwrap_or_else(|error| panic!("the local network does not start: {error}"))
}

/// The URL of the network with this manifest.
pub fn url(manifest: &Path) -> String {
    format!("autonomi://{}", manifest.display())
}

/// Writes a wallet's key where programs read it.
pub fn key_file(folder: &Path, name: &str, key: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, key).unwrap();
    path
}
