//! The parts of a network, and where its programs are.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::{Error, Result, failed};

/// The key of the wallet that has all the money: anvil's first, which everybody knows.
pub const WALLET_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
/// How many nodes a network may have. Fewer find no quorum; each takes 100 to 200 MB of memory.
pub const NODES: RangeInclusive<usize> = 7..=100;
/// Where the network's client was left out.
pub(crate) const NO_CLIENT: Error = Error::Missing {
    what: "the network's client",
    cure: "this `safe` was built without it; `./build.sh devnet` builds one that has it, and starts it",
};

/// The parts of a network.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything is kept here.
    pub folder: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// The node's program: `safe-node` or `ant-node`.
    pub node: PathBuf,
    /// The chain's program.
    pub anvil: PathBuf,
}

impl Options {
    /// A network in `folder`, with the programs found where they may be: named by the environment
    /// (`SAFE_NODE`, `SAFE_ANVIL`), beside this program, in PATH.
    pub fn find(folder: &Path, nodes: usize) -> Result<Self> {
        if !cfg!(feature = "client") {
            return Err(NO_CLIENT);
        }
        let node = find("SAFE_NODE", &["safe-node", "ant-node"]).ok_or(Error::Missing {
            what: "the node's program safe-node",
            cure: "`./build.sh devnet` builds and starts it; or name one in SAFE_NODE",
        })?;
        let anvil = find("SAFE_ANVIL", &["anvil"]).ok_or(Error::Missing {
            what: "the chain's program anvil",
            cure: "`./build.sh devnet` installs it; or `npm install @foundry-rs/anvil`, and name node_modules/@foundry-rs/anvil-*/bin/anvil in SAFE_ANVIL",
        })?;
        Ok(Self {
            folder: std::path::absolute(folder).map_err(|e| failed(folder, &e))?,
            nodes,
            node,
            anvil,
        })
    }
}

fn find(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return Some(named.into());
    }
    let beside = std::env::current_exe().ok();
    let beside = beside.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = beside
        .into_iter()
        .chain(std::env::split_paths(&path))
        .collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}
