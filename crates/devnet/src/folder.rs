//! The state that a network keeps between two starts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::process::free_port;
use crate::{Error, Result, failed};

/// Ports, and the contracts on the chain. Nodes know each other by their ports, so these stay.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Known {
    pub chain_port: u16,
    pub node_ports: Vec<u16>,
    /// `None` before the first start has come so far.
    pub contracts: Option<Contracts>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Contracts {
    pub token: String,
    pub vault: String,
}

/// The folder of a network.
pub(crate) struct Folder {
    pub path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder for this process.
    pub fn take(path: &Path) -> Result<Self> {
        fs::create_dir_all(path.join("nodes")).map_err(|error| failed(path, &error))?;
        let lock = path.join("lock");
        let file = File::create(&lock).map_err(|error| failed(&lock, &error))?;
        file.try_lock().map_err(|_| Error::File {
            path: path.to_owned(),
            why: "a network runs in this folder already: stop it, or name another folder".into(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            _lock: file,
        })
    }

    pub fn manifest(&self) -> PathBuf {
        self.path.join("manifest.json")
    }

    pub fn chain(&self) -> PathBuf {
        self.path.join("chain.json")
    }

    pub fn node(&self, number: usize) -> PathBuf {
        self.path.join("nodes").join(number.to_string())
    }

    fn known_file(&self) -> PathBuf {
        self.path.join("network.json")
    }

    /// The stored state, or new ports for a network that was never started.
    pub fn known(&self, nodes: usize) -> Result<Known> {
        let path = self.known_file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Known {
                    chain_port: free_port()?,
                    node_ports: (0..nodes).map(|_| free_port()).collect::<Result<_>>()?,
                    contracts: None,
                });
            }
            Err(error) => return Err(failed(&path, &error)),
        };
        let mut known: Known = serde_json::from_slice(&text).map_err(|error| Error::File {
            path: path.clone(),
            why: format!("it is damaged ({error}): remove the folder to begin anew"),
        })?;
        while known.node_ports.len() < nodes {
            known.node_ports.push(free_port()?);
        }
        Ok(known)
    }

    pub fn keep(&self, known: &Known) -> Result<()> {
        self.write(&self.known_file(), known)
    }

    pub fn write(&self, path: &Path, what: &impl Serialize) -> Result<()> {
        let text = serde_json::to_vec_pretty(what).map_err(|error| Error::File {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        // Its owner's alone: the key of the wallet with the play money is in it.
        safeos_store::disk::replace(path, &text).map_err(|error| failed(path, &error))
    }
}
