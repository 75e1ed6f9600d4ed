//! The store on the network: Autonomi, by its own client (`ant-core`), and every other kind of store by its URL.
//!
//! What always holds here: a record is paid for before it is sent and never twice (what was paid is in a journal on
//! this computer until the network has the record); what comes from the network is checked like anything from a
//! store; no call hangs, however the network behaves.

use std::path::PathBuf;
use std::sync::Arc;

use safeos_store::{Parsed, Result, Store};

mod heads;
pub use heads::HeadsElsewhere;

#[cfg(not(target_os = "redox"))]
mod chunks;
#[cfg(not(target_os = "redox"))]
mod failure;
#[cfg(not(target_os = "redox"))]
mod journal;
#[cfg(not(target_os = "redox"))]
mod link;
#[cfg(not(target_os = "redox"))]
mod payment;
#[cfg(not(target_os = "redox"))]
mod place;
#[cfg(not(target_os = "redox"))]
mod pointers;
#[cfg(not(target_os = "redox"))]
mod purse;
#[cfg(not(target_os = "redox"))]
mod store;
#[cfg(not(target_os = "redox"))]
pub use store::AutonomiStore;

/// The file with the key of the wallet that pays, for programs without an account: a gateway, `safe store copy`.
pub const WALLET_KEY_FILE: &str = "SAFE_WALLET_KEY_FILE";
/// Most tokens that one upload may cost.
pub const SPEND_MAX: &str = "SAFE_SPEND_MAX";

/// What opening a store needs besides its URL.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder for local state: the journal of payments is in it.
    pub state: PathBuf,
}

/// Opens a store by its URL: all that [`safeos_store::open`] opens, and `autonomi:` (the main network) or
/// `autonomi:///path/manifest.json` (a local one), with `?head=URL` for a store that keeps the pointers.
pub fn open(url: &str, options: &Options) -> Result<Arc<dyn Store>> {
    let Parsed::Autonomi(named) = safeos_store::parse(url)? else {
        return safeos_store::open(url);
    };
    let records = records(url, &named, options)?;
    Ok(match &named.head {
        Some(head) => Arc::new(HeadsElsewhere::new(url, records, safeos_store::open(head)?)),
        None => records,
    })
}

#[cfg(not(target_os = "redox"))]
fn records(url: &str, named: &safeos_store::Autonomi, options: &Options) -> Result<Arc<dyn Store>> {
    let store = AutonomiStore::open(url, named.manifest.as_deref(), &options.state)?;
    if let Some(key) = secret_file(url)?
        && let Some(purse) = store.purse()
    {
        purse.fund(&key)?;
    }
    Ok(Arc::new(store))
}

#[cfg(target_os = "redox")]
fn records(url: &str, _: &safeos_store::Autonomi, _: &Options) -> Result<Arc<dyn Store>> {
    safeos_store::open(url)
}

/// The wallet key in the file that the environment names.
#[cfg(not(target_os = "redox"))]
fn secret_file(url: &str) -> Result<Option<zeroize::Zeroizing<String>>> {
    let Some(path) = std::env::var_os(WALLET_KEY_FILE).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let text = std::fs::read_to_string(&path).map_err(|error| safeos_store::Error::Unpaid {
        url: url.to_owned(),
        why: format!(
            "the file {} ({WALLET_KEY_FILE}) cannot be read: {error}",
            path.display()
        ),
    })?;
    Ok(Some(zeroize::Zeroizing::new(text)))
}
