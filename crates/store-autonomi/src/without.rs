//! In place of the client, where it was left out.

use std::sync::Arc;

use safeos_store::{Autonomi, Error, Result, Store};

use crate::Options;

/// Says what to do.
pub(crate) fn records(url: &str, _: &Autonomi, _: &Options) -> Result<Arc<dyn Store>> {
    let gateway = "name a gateway to the network, https://HOST, which `safe store serve --store autonomi:` makes on another computer";
    let cure = if cfg!(target_os = "redox") {
        gateway.to_owned()
    } else {
        format!(
            "build it with the client, by `./build.sh setup --store autonomi:` (or `cargo build --release --features autonomi` for each of the packages safe and safed); or {gateway}"
        )
    };
    Err(Error::NoClient {
        url: url.to_owned(),
        cure,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    #[test]
    fn an_autonomi_store_is_refused_with_what_to_do() {
        let Ok(safeos_store::Parsed::Autonomi(named)) = safeos_store::parse("autonomi:") else {
            panic!("no URL of the network")
        };
        let options = crate::Options {
            state: std::env::temp_dir(),
        };
        let error = super::records("autonomi:", &named, &options).err().unwrap();
        assert_eq!(error.code(), "no_network_client");
        let message = error.to_string();
        assert!(message.contains("--store autonomi:"), "{message}");
        assert!(message.contains("https://"), "{message}");
    }
}
