//! How many requests a second one client may make.
//!
//! What always holds here: a fixed number of clients is remembered; those that were away longest are
//! forgotten, which is to their advantage.

use std::net::{IpAddr, Ipv6Addr};

use hashlink::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Clients remembered.
const CLIENTS_MAX: usize = 16_384;
/// Seconds' worth of requests that may come at once.
const BURST_SECONDS: f64 = 4.0;

/// A bucket for each client, filled steadily and emptied by requests.
pub(crate) struct Rate {
    each_second: f64,
    buckets: Mutex<LruCache<IpAddr, (f64, Instant)>>,
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
    pub(crate) fn allows(&self, client: IpAddr) -> bool {
        if self.each_second == 0.0 {
            return true;
        }
        let most = self.each_second * BURST_SECONDS;
        let now = Instant::now();
        let mut buckets = self.buckets.lock();
        let (left, seen) = buckets
            .get(&network(client))
            .copied()
            .unwrap_or((most, now));
        let gained = now.duration_since(seen).as_secs_f64() * self.each_second;
        let left = (left + gained).min(most);
        let allowed = left >= 1.0;
        let left = if allowed { left - 1.0 } else { left };
        buckets.insert(network(client), (left, now));
        allowed
    }
}

/// One who has an IPv6 address has 2^64 of them.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => address.into(),
            None => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_then_a_steady_number_for_each() {
        let rate = Rate::new(50);
        let (one, two) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let served = (0..1000).filter(|_| rate.allows(one)).count();
        assert!((200..300).contains(&served), "{served}");
        assert!(rate.allows(two));
        std::thread::sleep(Duration::from_millis(100));
        assert!(rate.allows(one));
        assert!((0..5000).all(|_| Rate::new(0).allows(one)));
    }

    #[test]
    fn neighbours_in_ipv6_are_one_client() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
