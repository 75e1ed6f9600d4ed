//! The identity of the client.
//!
//! What always holds here: a client's own claim about its address is not believed; a claim by a proxy that the
//! gateway's operator has named is.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::HeaderMap;

/// The header in which proxies name their client.
const FORWARDED: &str = "x-forwarded-for";

/// A holder of an IPv6 address has 2^64 of them: the addresses that count as one client.
pub(crate) fn network(client: IpAddr) -> IpAddr {
    match plain(client) {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// An IPv4 address, also where it comes dressed up as one of IPv6.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Proxies that are believed: networks, as an address and the number of bits that count.
#[derive(Default)]
pub(crate) struct Proxies(Vec<(IpAddr, u32)>);

impl Proxies {
    /// `ADDRESS` or `ADDRESS/BITS` each.
    pub(crate) fn parse(networks: &[String]) -> Result<Self, String> {
        let one = |text: &String| {
            let (address, bits) = text.split_once('/').unwrap_or((text, ""));
            let address: IpAddr = address.parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = match bits {
                "" if !text.contains('/') => most,
                bits => bits.parse().ok().filter(|bits| *bits <= most)?,
            };
            Some((address, bits))
        };
        let parsed = networks.iter().map(|text| {
            one(text).ok_or_else(|| {
                format!("“{text}” is no address of a proxy: write ADDRESS, or ADDRESS/BITS for a network")
            })
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = plain(address);
        self.0
            .iter()
            .any(|(network, bits)| match (network, address) {
                (IpAddr::V4(network), IpAddr::V4(address)) => same(
                    network.to_bits().into(),
                    address.to_bits().into(),
                    32 - bits,
                ),
                (IpAddr::V6(network), IpAddr::V6(address)) => {
                    same(network.to_bits(), address.to_bits(), 128 - bits)
                }
                _ => false,
            })
    }

    /// The client: the other end of the connection, or, if that is one of these, the last address that it names which
    /// is none of them. Each proxy adds its client at the end; earlier entries may be forged.
    pub(crate) fn client(&self, peer: IpAddr, head: &HeaderMap) -> IpAddr {
        let mut client = plain(peer);
        let named: Vec<&str> = head
            .get_all(FORWARDED)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .collect();
        for name in named.into_iter().rev() {
            if !self.contain(client) {
                break;
            }
            match address(name.trim()) {
                Some(address) => client = plain(address),
                None => break,
            }
        }
        client
    }
}

/// An address, which some proxies write with a port.
fn address(text: &str) -> Option<IpAddr> {
    let port = || {
        text.parse()
            .ok()
            .map(|whole: std::net::SocketAddr| whole.ip())
    };
    text.parse().ok().or_else(port)
}

/// Whether two addresses are the same but for these bits at the end.
fn same(one: u128, other: u128, rest: u32) -> bool {
    (one ^ other)
        .checked_shr(rest)
        .is_none_or(|differs| differs == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_ipv6_are_one_client() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }

    #[test]
    fn only_a_named_proxy_says_who_asks() {
        let proxies = Proxies::parse(&["127.0.0.1".into(), "10.0.0.0/8".into(), "fd00::/8".into()]);
        let proxies = proxies.unwrap();
        let client = |peer: &str, lines: &[&str]| {
            let mut head = HeaderMap::new();
            for line in lines {
                head.append(FORWARDED, line.parse().unwrap());
            }
            proxies.client(peer.parse().unwrap(), &head).to_string()
        };
        for (peer, lines, who) in [
            ("192.0.2.1", &["198.51.100.1"][..], "192.0.2.1"),
            ("127.0.0.1", &[], "127.0.0.1"),
            ("127.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:127.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("fd12::1", &["[2001:db8::1]:80"], "2001:db8::1"),
            // The first of these is the client's own invention.
            (
                "127.0.0.1",
                &["203.0.113.9, 198.51.100.1, 10.1.2.3"],
                "198.51.100.1",
            ),
            (
                "127.0.0.1",
                &["203.0.113.9", "198.51.100.1"],
                "198.51.100.1",
            ),
            ("127.0.0.1", &["198.51.100.1, nonsense"], "127.0.0.1"),
        ] {
            assert_eq!(client(peer, lines), who, "{peer} {lines:?}");
        }
        for wrong in [
            "",
            "example.org",
            "10.0.0.0/33",
            "10.0.0.0/",
            "::/129",
            "10.0.0.0/x",
        ] {
            let error = Proxies::parse(&[wrong.into()]).err().unwrap();
            assert!(error.contains("no address of a proxy"), "{error}");
        }
        let everybody = Proxies::parse(&["0.0.0.0/0".into()]).unwrap();
        assert!(everybody.contain("192.0.2.1".parse().unwrap()));
    }
}
