//! The requests a second that one client may make: an address and a token, so that neither many clients with one token
//! nor many behind one address have to share.
//!
//! What always holds here: a fixed number of clients is remembered; those that were away longest are
//! forgotten, which is to their advantage.

use std::net::IpAddr;

use hashlink::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Clients remembered.
const CLIENTS_MAX: usize = 16_384;
/// Seconds' worth of requests that may come at once.
const BURST_SECONDS: f64 = 4.0;

/// A network, and which of the gateway's tokens it has shown.
pub(crate) type Client = (IpAddr, Option<u64>);

/// A bucket for each client, filled steadily and emptied by requests.
pub(crate) struct Rate {
    each_second: f64,
    buckets: Mutex<LruCache<Client, (f64, Instant)>>,
}

impl Rate {
    /// 0: any number.
    pub(crate) fn new(each_second: u32) -> Self {
        Self {
            each_second: f64::from(each_second),
            buckets: Mutex::new(LruCache::new(CLIENTS_MAX)),
        }
    }

    /// Whether one more request of this client is served.
    pub(crate) fn allows(&self, client: Client) -> bool {
        if self.each_second == 0.0 {
            return true;
        }
        let most = self.each_second * BURST_SECONDS;
        let now = Instant::now();
        let mut buckets = self.buckets.lock();
        let (left, seen) = buckets.get(&client).copied().unwrap_or((most, now));
        let gained = now.duration_since(seen).as_secs_f64() * self.each_second;
        let left = (left + gained).min(most);
        let allowed = left >= 1.0;
        let left = if allowed { left - 1.0 } else { left };
        buckets.insert(client, (left, now));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_a_steady_number_for_each() {
        let rate = Rate::new(50);
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let (one, two) = ((address(1), Some(7)), (address(2), Some(7)));
        let served = (0..1000).filter(|_| rate.allows(one)).count();
        assert!((200..300).contains(&served), "{served}");
        // One token at two addresses, and two at one.
        assert!(rate.allows(two) && rate.allows((address(1), Some(8))));
        assert!(rate.allows((address(1), None)));
        std::thread::sleep(Duration::from_millis(100));
        assert!(rate.allows(one));
        assert!((0..5000).all(|_| Rate::new(0).allows(one)));
    }
}
