//! The chain on which nodes are paid: anvil, with the network's contracts.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ant_core::data::{CustomNetwork, EvmAddress, EvmNetwork, Wallet};

use crate::folder::Contracts;
use crate::process::Process;
use crate::{Error, Result};

/// How long it may take to answer.
const READY_MAX: Duration = Duration::from_secs(30);

/// Starts the chain in the state in which it was stopped.
pub(crate) fn start(anvil: &Path, port: u16, folder: &Path, state: &Path) -> Result<Process> {
    let mut command = Command::new(anvil);
    command
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .arg("--state")
        .arg(state)
        // And every second: a chain that was killed must know what was paid.
        .args(["--state-interval", "1", "--quiet"]);
    let mut process = Process::start("the chain", command, folder, &folder.join("chain.log"))?;
    let start = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        process.check()?;
        if start.elapsed() > READY_MAX {
            return Err(Error::NotReady("the chain does not answer".into()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(process)
}

pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Puts the network's contracts on a new chain.
pub(crate) async fn deploy(port: u16, key: &str) -> Result<Contracts> {
    let failed = |why: String| Error::Process {
        what: "putting the contracts on the chain".into(),
        why,
    };
    let rpc_url_http = url(port)
        .parse()
        .map_err(|_| failed("the chain's URL is malformed".into()))?;
    let nowhere = CustomNetwork {
        rpc_url_http,
        payment_token_address: EvmAddress::ZERO,
        payment_vault_address: EvmAddress::ZERO,
    };
    let wallet = Wallet::new_from_private_key(EvmNetwork::Custom(nowhere), key)
        .map_err(|error| failed(error.to_string()))?;
    // A failure there panics: in a task of its own it is an error.
    let deployed = tokio::spawn(async move {
        let provider = wallet.to_provider();
        let token = evmlib::contract::network_token::NetworkToken::deploy(provider.clone()).await;
        let token = *token.contract.address();
        let vault = evmlib::contract::payment_vault::implementation::deploy(&provider, token).await;
        (token, vault)
    });
    let (token, vault) = deployed.await.map_err(|error| failed(error.to_string()))?;
    Ok(Contracts {
        token: token.to_string(),
        vault: vault.to_string(),
    })
}
