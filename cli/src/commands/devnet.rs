//! `safe devnet`: a local network of real nodes in the foreground.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use safeos_devnet::{Devnet, Error, NODES, Options, WALLET_KEY};
use serde_json::json;

use super::Context;
use crate::args::Devnet as How;
use crate::failure::{Failure, Result};
use crate::{dirs, signals};

/// How often it looks for a signal …
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// … and, in such steps, whether everything still runs.
const CHECK_EVERY: u32 = 20;

/// Runs until a signal says to end.
pub fn devnet(context: &Context, how: &How) -> Result<()> {
    if !NODES.contains(&how.nodes) {
        return Err(Failure::usage(format!(
            "--nodes {}: a network has {} to {} nodes",
            how.nodes,
            NODES.start(),
            NODES.end()
        )));
    }
    signals::watch()?;
    let folder = match &how.dir {
        Some(folder) => folder.clone(),
        None => default_folder(context)?,
    };
    let options = Options::find(&folder, how.nodes).map_err(failed)?;
    context.output.note(&format!(
        "starting {} nodes in {}",
        options.nodes,
        options.folder.display()
    ));
    let told = Cell::new(false);
    let stopped = || {
        let asked = signals::asked().is_some();
        // Said at once: nodes that are just starting take some seconds to end.
        if asked && !told.replace(true) {
            let line = "ending the network; what it holds stays in its folder";
            context.output.note(line);
        }
        asked
    };
    let mut network = Devnet::start(options, &stopped).map_err(failed)?;
    let manifest = network.manifest();
    let url = safeos_store::file_url(&manifest)?.replacen("file:", "autonomi:", 1);
    let ready = json!({
        "ready": true,
        "manifest": manifest,
        "store": url,
        "chain": network.chain_url(),
        "wallet_key": WALLET_KEY,
    });
    context.output.answer(&ready, || {
        format!(
            "the network is ready\nmanifest    {}\nstore       {url}\nwallet key  {WALLET_KEY} (everybody's: its money is worth nothing)",
            manifest.display()
        )
    })?;
    let mut step = 0;
    let outcome = loop {
        if stopped() {
            break Ok(());
        }
        std::thread::sleep(LOOK_EVERY);
        step += 1;
        if step % CHECK_EVERY == 0
            && let Err(error) = network.check()
        {
            break Err(failed(error));
        }
    };
    network.stop();
    outcome
}

fn default_folder(context: &Context) -> Result<PathBuf> {
    let state = &context.dirs.state;
    dirs::private_dir(state).map_err(|e| {
        Failure::system(
            format!("the state folder {} cannot be made", state.display()),
            &e,
        )
    })?;
    Ok(state.join("devnet"))
}

fn failed(error: Error) -> Failure {
    match error {
        Error::Stopped => {
            signals::asked().map_or_else(|| Failure::new("stopped", "stopped"), Failure::stopped)
        }
        error => Failure::new("devnet_failed", error.to_string()),
    }
}
