//! The store on the network: Autonomi, by its own client (`ant-core`), and every other kind of store by its URL.
//!
//! What always holds here: a record is paid for before it is sent and never twice (payments are in a journal on
//! this computer until the network has the record); answers of the network are checked like anything from a
//! store; no call hangs, however the network behaves.
//!
//! The client is several hundred crates, so it is there only with the feature `client`, and never on Redox. Without it
//! an `autonomi:` store is refused with an error that says how to get it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use safeos_store::{Parsed, Result, Store};

mod settings;
pub use settings::{Options, SPEND_MAX, WALLET_KEY_FILE};

mod split_store;
pub use split_store::SplitStore;

#[cfg(all(feature = "client", not(target_os = "redox")))]
mod client;
#[cfg(all(feature = "client", not(target_os = "redox")))]
pub use client::AutonomiStore;
#[cfg(any(test, not(feature = "client"), target_os = "redox"))]
mod without;
#[cfg(any(not(feature = "client"), target_os = "redox"))]
use without as client;

/// Opens a store by its URL: all that [`safeos_store::open`] opens, and `autonomi:` (the main network) or
/// `autonomi:///path/manifest.json` (a local one), with `?head=URL` for a store that keeps the pointers.
pub fn open(url: &str, options: &Options) -> Result<Arc<dyn Store>> {
    let Parsed::Autonomi(named) = safeos_store::parse(url)? else {
        return safeos_store::open(url);
    };
    let records = client::records(url, &named, options)?;
    Ok(match &named.head {
        Some(head) => Arc::new(SplitStore::new(url, records, safeos_store::open(head)?)),
        None => records,
    })
}
