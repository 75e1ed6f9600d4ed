//! A node of the network as a program: the network's own (`ant-node`, the library) with a smaller command line.
//!
//! It takes the arguments that `safe devnet` gives to `ant-node`, which can stand in its place. The difference: it is
//! for local networks only, and does not replace itself by newer versions from the internet.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use ant_node::NodeBuilder;
use ant_node::config::{EvmNetworkConfig, NetworkMode, NodeConfig, PaymentConfig, UpgradeConfig};
use clap::Parser;

/// When a node first looks for a newer version of itself: never, as processes go.
const TEN_YEARS_IN_HOURS: u64 = 10 * 365 * 24;

/// A node of a local network.
#[derive(Parser)]
#[command(name = "safe-node", version)]
struct Args {
    /// The node's folder
    #[arg(long)]
    root_dir: PathBuf,
    /// The UDP port
    #[arg(long)]
    port: u16,
    /// Peers to begin with
    #[arg(long)]
    bootstrap: Vec<SocketAddr>,
    /// The address that is paid
    #[arg(long)]
    rewards_address: String,
    /// The chain's URL
    #[arg(long)]
    evm_rpc_url: String,
    /// The token's contract
    #[arg(long)]
    evm_payment_token: String,
    /// The contract that takes payments
    #[arg(long)]
    evm_payment_vault: String,
    /// Must be `development`
    #[arg(long, value_parser = ["development"])]
    network_mode: String,
    /// Must be 0
    #[arg(long, value_parser = ["0"])]
    metrics_port: String,
    /// Always so
    #[arg(long)]
    ipv4_only: bool,
    /// Always so
    #[arg(long)]
    disable_webrtc_direct: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let config = NodeConfig {
        root_dir: args.root_dir,
        port: args.port,
        ipv4_only: true,
        bootstrap: args.bootstrap,
        network_mode: NetworkMode::Development,
        upgrade: UpgradeConfig {
            check_interval_hours: TEN_YEARS_IN_HOURS,
            stop_on_upgrade: true,
            ..UpgradeConfig::default()
        },
        payment: PaymentConfig {
            rewards_address: Some(args.rewards_address),
            evm_network: EvmNetworkConfig::Custom {
                rpc_url: args.evm_rpc_url,
                payment_token_address: args.evm_payment_token,
                payment_vault_address: args.evm_payment_vault,
            },
            metrics_port: 0,
            ..PaymentConfig::default()
        },
        ..NodeConfig::default()
    };
    let outcome = tokio::runtime::Builder::new_multi_thread()
        // As many as the network's own program takes: with fewer a busy one keeps its connections waiting.
        .worker_threads(4)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
        .and_then(|runtime| {
            runtime.block_on(async {
                let node = NodeBuilder::new(config).build().await;
                let mut node = node.map_err(|error| error.to_string())?;
                node.run().await.map_err(|error| error.to_string())
            })
        });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("safe-node: {error}");
            ExitCode::FAILURE
        }
    }
}
