use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use ant_core::data::{DevnetManifest, MultiAddr};
use ant_protocol::DevnetEvmInfo;

use crate::folder::{Contracts, Folder, Known};
use crate::process::Process;
use crate::{Error, NODES, Options, Result, WALLET_KEY, chain, ready};

/// Where the nodes are paid to: anvil's second.
const REWARDS: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// From its start to its first price.
const READY_MAX: Duration = Duration::from_secs(180);
const END_MAX: Duration = Duration::from_secs(15);

/// A local network that runs. Dropped, it ends.
pub struct Devnet {
    options: Options,
    folder: Folder,
    known: Known,
    contracts: Contracts,
    chain: Process,
    nodes: Vec<Option<Process>>,
}

impl Devnet {
    /// Starts a network, or the one of this folder again, and waits until it can be used; `stopped` says whether to
    /// give up.
    pub fn start(options: Options, stopped: &dyn Fn() -> bool) -> Result<Self> {
        if !NODES.contains(&options.nodes) {
            return Err(Error::NotReady(format!(
                "a network has {} to {} nodes",
                NODES.start(),
                NODES.end()
            )));
        }
        let folder = Folder::take(&options.folder)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Error::NotReady(error.to_string()))?;
        let mut known = folder.known(options.nodes)?;
        let port = known.chain_port;
        let chain = chain::start(&options.anvil, port, &folder.path, &folder.chain())?;
        let contracts = match known.contracts.clone() {
            Some(contracts) => contracts,
            None => runtime.block_on(chain::deploy(port, WALLET_KEY))?,
        };
        known.contracts = Some(contracts.clone());
        folder.keep(&known)?;
        let mut network = Self {
            nodes: (0..options.nodes).map(|_| None).collect(),
            options,
            folder,
            known,
            contracts,
            chain,
        };
        for number in 0..network.nodes.len() {
            network.start_node(number)?;
        }
        let manifest = network.manifest_now();
        runtime.block_on(ready::wait(&manifest, READY_MAX, || {
            if stopped() {
                return Err(Error::Stopped);
            }
            network.check()
        }))?;
        runtime.shutdown_background();
        network.folder.write(&network.manifest(), &manifest)?;
        Ok(network)
    }

    /// Where the manifest is: `autonomi://` and this path is the network's URL.
    pub fn manifest(&self) -> PathBuf {
        self.folder.manifest()
    }

    /// The chain's URL.
    pub fn chain_url(&self) -> String {
        chain::url(self.known.chain_port)
    }

    fn manifest_now(&self) -> DevnetManifest {
        let ports = &self.known.node_ports[..self.nodes.len()];
        let bootstrap = ports
            .iter()
            .map(|port| MultiAddr::quic(([127, 0, 0, 1], *port).into()))
            .collect();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        DevnetManifest {
            base_port: ports.first().copied().unwrap_or_default(),
            node_count: self.nodes.len(),
            bootstrap,
            data_dir: self.folder.path.clone(),
            created_at: now.map_or(0, |now| now.as_secs()).to_string(),
            evm: Some(DevnetEvmInfo {
                rpc_url: self.chain_url(),
                wallet_private_key: WALLET_KEY.to_owned(),
                payment_token_address: self.contracts.token.clone(),
                payment_vault_address: self.contracts.vault.clone(),
            }),
        }
    }

    /// Starts one node (again).
    pub fn start_node(&mut self, number: usize) -> Result<()> {
        let folder = self.folder.node(number);
        std::fs::create_dir_all(&folder).map_err(|e| crate::failed(&folder, &e))?;
        let mut command = Command::new(&self.options.node);
        command.arg("--root-dir").arg(&folder);
        let port = |number: usize| self.known.node_ports.get(number).copied().unwrap_or(0);
        let flag = |command: &mut Command, name: &str, value: &str| {
            command.arg(name).arg(value);
        };
        flag(&mut command, "--port", &port(number).to_string());
        command.args(["--ipv4-only", "--disable-webrtc-direct"]);
        flag(&mut command, "--network-mode", "development");
        flag(&mut command, "--metrics-port", "0");
        // Some of the others: a node that comes back must not need one that is gone.
        let others = (0..self.nodes.len())
            .filter(|other| *other != number)
            .take(3);
        for other in others {
            let address = format!("127.0.0.1:{}", port(other));
            flag(&mut command, "--bootstrap", &address);
        }
        flag(&mut command, "--rewards-address", REWARDS);
        flag(&mut command, "--evm-rpc-url", &self.chain_url());
        flag(&mut command, "--evm-payment-token", &self.contracts.token);
        flag(&mut command, "--evm-payment-vault", &self.contracts.vault);
        let what = format!("node {number}");
        let log = folder.join("log");
        let process = Process::start(&what, command, &folder, &log)?;
        if let Some(place) = self.nodes.get_mut(number) {
            *place = Some(process);
        }
        Ok(())
    }

    /// Ends one node at once, as a crash would.
    pub fn kill_node(&mut self, number: usize) {
        if let Some(mut node) = self.nodes.get_mut(number).and_then(Option::take) {
            node.kill();
        }
    }

    /// An error if a process has ended that was not killed.
    pub fn check(&mut self) -> Result<()> {
        self.chain.check()?;
        for node in self.nodes.iter_mut().flatten() {
            node.check()?;
        }
        Ok(())
    }

    /// Ends everything in order: first the nodes, then the chain, which writes down what was paid.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = std::fs::remove_file(self.manifest());
        for node in self.nodes.iter_mut().flatten() {
            node.ask_to_end();
        }
        for node in self.nodes.iter_mut().flatten() {
            node.end(END_MAX);
        }
        self.nodes.clear();
        self.chain.ask_to_end();
        self.chain.end(END_MAX);
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.end();
    }
}
