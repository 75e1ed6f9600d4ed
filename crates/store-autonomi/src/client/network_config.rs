//! Which network is meant: the main one, or a local one by its manifest.

use std::path::Path;

use ant_core::data::{CustomNetwork, DevnetManifest, EvmNetwork, MultiAddr};
use safeos_store::{Error, Result};

/// Most bytes of a manifest.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// A network to connect to.
#[derive(Clone, Debug)]
pub(crate) struct NetworkConfig {
    /// Its URL, for messages.
    pub url: String,
    /// Peers to begin with.
    pub seeds: Vec<MultiAddr>,
    /// The chain on which it is paid.
    pub chain: EvmNetwork,
    /// It is on this computer alone.
    pub local: bool,
}

impl NetworkConfig {
    /// Reads the manifest, or takes what is compiled in.
    pub fn find(url: &str, manifest: Option<&Path>) -> Result<Self> {
        let broken = |why: String| Error::Broken {
            url: url.to_owned(),
            why,
        };
        let Some(path) = manifest else {
            let seeds = ant_core::network_defaults::bundled_bootstrap_seeds()
                .map_err(|error| broken(error.to_string()))?;
            return Ok(Self {
                url: url.to_owned(),
                seeds: seeds.quic,
                chain: EvmNetwork::ArbitrumOne,
                local: false,
            });
        };
        let about = |what: String| format!("the manifest {} {what}", path.display());
        let read = || {
            let file = std::fs::File::open(path)?;
            let mut text = String::new();
            std::io::Read::read_to_string(
                &mut std::io::Read::take(file, MANIFEST_BYTES_MAX),
                &mut text,
            )?;
            Ok::<_, std::io::Error>(text)
        };
        let text = read().map_err(|error| Error::Unreachable {
            url: url.to_owned(),
            why: about(format!(
                "cannot be read ({error}): a local network that runs writes it, `safe devnet` starts one"
            )),
        })?;
        let manifest: DevnetManifest = serde_json::from_str(&text)
            .map_err(|error| broken(about(format!("is not of a local network: {error}"))))?;
        let evm = manifest
            .evm
            .ok_or_else(|| broken(about("does not say how records are paid for".into())))?;
        let address = |what: &str, text: &str| {
            text.parse()
                .map_err(|_| broken(about(format!("has a wrong {what}: {text}"))))
        };
        let chain = CustomNetwork {
            rpc_url_http: url::Url::parse(&evm.rpc_url)
                .map_err(|error| broken(about(format!("has a wrong rpc_url: {error}"))))?,
            payment_token_address: address("payment_token_address", &evm.payment_token_address)?,
            payment_vault_address: address("payment_vault_address", &evm.payment_vault_address)?,
        };
        if manifest.bootstrap.is_empty() {
            return Err(broken(about("names no peer to begin with".into())));
        }
        let on_this_computer = |peer: &MultiAddr| {
            peer.socket_addr()
                .is_some_and(|address| address.ip().is_loopback())
        };
        Ok(Self {
            url: url.to_owned(),
            local: manifest.bootstrap.iter().all(on_this_computer),
            seeds: manifest.bootstrap,
            chain: EvmNetwork::Custom(chain),
        })
    }
}
