//! `safe store serve`: a gateway in the foreground.

use std::sync::Arc;
use std::time::Duration;

use safeos_gateway::{Cached, Limits, Mirrored, Options, Server};
use safeos_store::{Observed, Store, keep_memory};
use serde_json::json;

use super::Context;
use crate::args::Serve;
use crate::exposed;
use crate::failure::{Failure, Result, one_line};
use crate::signals;

/// How often it looks for a signal.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Serves until a signal says to end.
pub fn serve(context: &Context, how: &Serve) -> Result<()> {
    keep_memory();
    signals::watch()?;
    let log: Arc<dyn Fn(&str) + Send + Sync> =
        Arc::new(|line| eprintln!("safe: {}", one_line(line)));
    let url = context.dirs.store(how.store.as_deref());
    let options = Options {
        listen: how.listen.clone(),
        tls: how.tls_cert.clone().zip(how.tls_key.clone()),
        token_file: how.token_file.clone(),
        proxies: how.proxy.clone(),
        allow_delete: how.allow_delete,
        limits: Limits {
            rate: how.rate,
            connections: how.connections,
            connections_each: how.connections_each,
            memory_bytes: how.memory.saturating_mul(1 << 20),
            ..Limits::default()
        },
        log: log.clone(),
    };
    let store = Observed::around(store(context, &url, how, log)?);
    let server =
        Server::start(store, &options).map_err(|error| Failure::new("gateway_failed", error))?;
    for file in how.token_file.iter().chain(&how.tls_key) {
        exposed::look_at(file);
    }
    exposed::say(context.output.json);
    let ready = json!({"ready": true, "url": server.url(), "store": url});
    context
        .output
        .answer(&ready, || format!("serving {url} at {}", server.url()))?;
    if !server.address().ip().is_loopback() {
        if how.token_file.is_none() {
            context.output.note("without --token-file everybody who reaches this address can fetch and store records");
        } else if options.tls.is_none() {
            context.output.note("without --tls-cert and --tls-key tokens go over the network as they are, and clients do not send them");
        }
    }
    while signals::asked().is_none() {
        std::thread::sleep(LOOK_EVERY);
    }
    context
        .output
        .note("ending: requests under way are finished first");
    server.stop();
    Ok(())
}

/// The store, with the layers in front of it or behind it.
fn store(
    context: &Context,
    url: &str,
    how: &Serve,
    log: Arc<dyn Fn(&str) + Send + Sync>,
) -> Result<Arc<dyn Store>> {
    let store = context.dirs.open(url)?;
    if let Some(cache) = &how.cache {
        different(url, cache, "--cache")?;
        let bytes_max = how.cache_max.saturating_mul(1 << 20);
        let cache = context.dirs.open(cache)?;
        return Ok(Arc::new(Cached::new(store, cache, bytes_max)?));
    }
    if let Some(mirror) = &how.mirror {
        different(url, mirror, "--mirror")?;
        return Ok(Arc::new(Mirrored::new(
            store,
            context.dirs.open(mirror)?,
            log,
        )));
    }
    Ok(store)
}

fn different(url: &str, other: &str, option: &str) -> Result<()> {
    if url == other {
        return Err(Failure::usage(format!(
            "{option} names the store itself ({url}): name another one"
        )));
    }
    Ok(())
}
