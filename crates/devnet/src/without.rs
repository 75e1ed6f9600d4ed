//! In place of the network, where its client was left out: there is never one.

use std::convert::Infallible;
use std::path::PathBuf;

use crate::options::NO_CLIENT;
use crate::{Options, Result};

/// A local network that runs: none does.
pub struct Devnet(Infallible);

impl Devnet {
    /// Says that the client is missing.
    pub fn start(_: Options, _: &dyn Fn() -> bool) -> Result<Self> {
        Err(NO_CLIENT)
    }

    /// Where the manifest is.
    pub fn manifest(&self) -> PathBuf {
        match self.0 {}
    }

    /// The chain's URL.
    pub fn chain_url(&self) -> String {
        match self.0 {}
    }

    /// Whether it still runs.
    pub fn check(&mut self) -> Result<()> {
        match self.0 {}
    }

    /// Ends it.
    pub fn stop(self) {
        match self.0 {}
    }
}
