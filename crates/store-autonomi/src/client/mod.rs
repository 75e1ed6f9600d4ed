//! The network by its own client. Only this folder imports that client's crates.

use std::path::PathBuf;
use std::sync::Arc;

use safeos_store::{Autonomi, Error, Result, Store};
use zeroize::Zeroizing;

use crate::{Options, WALLET_KEY_FILE};

mod chunks;
mod failure;
mod journal;
mod link;
mod network_config;
mod payment;
mod pointers;
mod store;
mod wallets;

pub use store::AutonomiStore;

/// Opens the network's part of a store, with the wallet that the environment names.
pub(crate) fn records(url: &str, named: &Autonomi, options: &Options) -> Result<Arc<dyn Store>> {
    let store = AutonomiStore::open(url, named.manifest.as_deref(), &options.state)?;
    if let Some(key) = wallet_key(url)?
        && let Some(wallet) = store.wallet()
    {
        wallet.fund(&key)?;
    }
    Ok(Arc::new(store))
}

/// The wallet key in the file that the environment names.
fn wallet_key(url: &str) -> Result<Option<Zeroizing<String>>> {
    let Some(path) = std::env::var_os(WALLET_KEY_FILE).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let text = std::fs::read_to_string(&path).map_err(|error| Error::Unpaid {
        url: url.to_owned(),
        why: format!(
            "the file {} ({WALLET_KEY_FILE}) cannot be read: {error}",
            path.display()
        ),
    })?;
    Ok(Some(Zeroizing::new(text)))
}
