//! When a network can be used.

use std::time::{Duration, Instant};

use ant_core::data::{Client, ClientConfig, DevnetManifest};
use ant_protocol::DATA_TYPE_CHUNK;

use crate::{Error, Result};

/// Places that are asked about.
const PLACES: u8 = 4;
/// Nodes that keep a record.
const GROUP: usize = 7;
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until all nodes that would keep a record offer prices, for records anywhere.
pub(crate) async fn wait(
    manifest: &DevnetManifest,
    limit: Duration,
    mut check: impl FnMut() -> Result<()>,
) -> Result<()> {
    let start = Instant::now();
    let wanted = GROUP.min(manifest.node_count);
    let mut said = String::from("no node answers");
    let config = ClientConfig {
        allow_loopback: true,
        ipv6: false,
        ..ClientConfig::default()
    };
    let late = |said: &str| Error::NotReady(said.to_owned());
    let client = loop {
        let connecting = Client::connect_multiaddrs(&manifest.bootstrap, config.clone());
        match checked(&mut check, connecting).await? {
            Ok(client) => break client,
            Err(error) if start.elapsed() < limit => said = error.to_string(),
            Err(_) => return Err(late(&said)),
        }
        tokio::time::sleep(PAUSE).await;
    };
    let mut place = 0;
    while place < PLACES {
        if start.elapsed() > limit {
            return Err(late(&said));
        }
        let address = [place.wrapping_mul(61).wrapping_add(7); 32];
        let asking = client.get_store_quotes(&address, 1, DATA_TYPE_CHUNK);
        match checked(&mut check, asking).await? {
            Ok(quotes) if quotes.len() >= wanted => {
                place += 1;
                continue;
            }
            Ok(quotes) => said = format!("{} of {wanted} nodes offer a price", quotes.len()),
            Err(error) => said = error.to_string(),
        }
        tokio::time::sleep(PAUSE).await;
    }
    // Its errors on leaving do not matter.
    let _ = client.network().node().stop().await;
    Ok(())
}

/// Does something that may take long, and gives up when `check` fails meanwhile.
async fn checked<T>(
    check: &mut impl FnMut() -> Result<()>,
    work: impl Future<Output = T>,
) -> Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        check()?;
        if let Ok(done) = tokio::time::timeout(PAUSE, &mut work).await {
            return Ok(done);
        }
    }
}
