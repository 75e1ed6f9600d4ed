use std::sync::Arc;

use crate::{Error, FileStore, HttpOptions, HttpStore, Parsed, Result, Store, from_here, parse};

/// Opens a store by its URL: `file:///path` (made when missing), `http://host:port` or `https://host`, several of
/// these with commas between them for gateways to the same store; [`Error::Url`] for a malformed one. The network's
/// client is a crate above this one, which opens `autonomi:` too.
pub fn open(url: &str) -> Result<Arc<dyn Store>> {
    match parse(url)? {
        Parsed::File(path) => Ok(Arc::new(FileStore::open(url, &from_here(path))?)),
        Parsed::Http(gateways) => {
            let options = HttpOptions::from_environment();
            Ok(Arc::new(HttpStore::open(url, gateways, &options)?))
        }
        Parsed::Autonomi(_) => Err(Error::Url(format!(
            "“{url}” cannot be reached from here by itself: use a gateway to it, https://host, which `safe store serve` makes"
        ))),
    }
}

/// Whether there may be a store at this URL. `false` for a folder that [`open`] would make one of: its disk may not be
/// mounted, or the path is another one. A server is not asked.
pub fn may_be_there(url: &str) -> Result<bool> {
    match parse(url)? {
        // An error of the disk is for whoever opens it.
        Parsed::File(path) => Ok(FileStore::is_in(&from_here(path)).unwrap_or(true)),
        _ => Ok(true),
    }
}
