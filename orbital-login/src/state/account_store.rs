//! Where an account lives.

use crate::message::Message;
use crate::typed::Typed;

/// The kinds of places.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Kind {
    /// The store of this computer's SafeOS.
    #[default]
    Computer,
    /// A server that keeps records for others.
    Server,
    /// The network of everybody.
    Network,
}

impl Kind {
    /// All of them, as they stand on the screen.
    pub const ALL: [Self; 3] = [Self::Computer, Self::Server, Self::Network];

    /// A short name.
    pub const fn label(self) -> Message {
        Message::new(match self {
            Self::Computer => "kind-computer",
            Self::Server => "kind-server",
            Self::Network => "kind-network",
        })
    }
}

/// A place: its kind, and which server or network.
#[derive(Debug)]
pub struct AccountStore {
    /// The kind.
    pub kind: Kind,
    /// The server's address as typed.
    pub server: Typed,
    /// The network's URL: the network of everybody, or a local one.
    pub network: String,
    /// Where this computer's own store is, if it is elsewhere.
    pub own: Option<String>,
}

impl Default for AccountStore {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            server: Typed::new(),
            network: NETWORK.to_owned(),
            own: None,
        }
    }
}

/// The URL of the network.
pub const NETWORK: &str = "autonomi:";

/// Whether a store's URL names the network, or a local one.
pub fn is_network(url: &str) -> bool {
    let scheme = url.trim_start().get(..NETWORK.len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(NETWORK))
}

/// The server of a store's URL as people know it: without what every URL has. Of several that serve the same the first.
pub fn host(url: &str) -> &str {
    let url = url.trim();
    let first = url.split(',').next().unwrap_or(url);
    let host = first.split_once("://").map_or(first, |(_, host)| host);
    host.trim_end_matches('/')
}

impl AccountStore {
    /// The same, on a computer whose own store is there.
    pub fn with_own(self, own: Option<&str>) -> Self {
        Self {
            own: own.map(str::to_owned),
            ..self
        }
    }

    /// Where an account is, as it stands inside of a sentence.
    pub fn short(&self) -> Message {
        let server = self.server.as_str().trim();
        match (self.kind, &self.own) {
            (Kind::Computer, None) => Message::new("at-computer"),
            (Kind::Computer, Some(own)) => Message::new("at-host").with("host", host(own)),
            (Kind::Server, _) if server.is_empty() => Message::new("at-server"),
            (Kind::Server, _) => Message::new("at-host").with("host", host(server)),
            (Kind::Network, _) if self.network == NETWORK => Message::new("at-network"),
            (Kind::Network, _) => {
                Message::new("at-local-network").with("url", self.network.as_str())
            }
        }
    }

    /// The place that a store's URL names.
    pub fn of(store: Option<&str>) -> Self {
        match store {
            Some(url) if is_network(url) => Self {
                kind: Kind::Network,
                network: url.to_owned(),
                ..Self::default()
            },
            Some(url) if url.starts_with("http:") || url.starts_with("https:") => Self {
                kind: Kind::Server,
                server: Typed::of(url),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    /// The URL for a request; `None`: the daemon's own store.
    pub fn url(&self) -> Option<String> {
        match self.kind {
            Kind::Computer => None,
            Kind::Network => Some(self.network.clone()),
            Kind::Server => {
                let typed = self.server.as_str().trim();
                // People write a host, perhaps with a port.
                Some(
                    if is_network(typed) || typed.contains(':') && typed.contains("//") {
                        typed.to_owned()
                    } else {
                        format!("https://{typed}")
                    },
                )
            }
        }
    }

    /// Whether it is the network, chosen or typed: records are paid for there.
    pub fn is_network(&self) -> bool {
        self.url().is_some_and(|url| is_network(&url))
    }

    /// The place by its name, at the beginning of a sentence.
    pub fn words(&self) -> Message {
        let server = self.server.as_str().trim();
        let local = |url: &str| Message::new("the-local-network").with("url", url);
        let named = |url: &str| Message::new("the-host").with("host", host(url));
        match self.kind {
            Kind::Computer => match &self.own {
                Some(own) => named(own),
                None => Message::new("the-computer"),
            },
            Kind::Server if server.is_empty() => Message::new("the-server"),
            Kind::Server if self.is_network() => local(server),
            Kind::Server => named(server),
            Kind::Network if self.network == NETWORK => Message::new("the-network"),
            Kind::Network => local(&self.network),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    fn say(message: &Message) -> String {
        Language::English.say(message)
    }

    #[test]
    fn a_place_is_told_as_people_know_it() {
        let own =
            AccountStore::default().with_own(Some("https://home.example,https://two.example"));
        assert_eq!(say(&own.short()), "at home.example");
        assert_eq!(say(&own.words()), "The server home.example");
        assert_eq!(own.url(), None);
        assert_eq!(say(&AccountStore::default().short()), "on this computer");
        let server = AccountStore::of(Some("http://10.0.2.2:8080/"));
        assert_eq!(say(&server.short()), "at 10.0.2.2:8080");
        assert_eq!(
            say(&AccountStore::of(Some(NETWORK)).short()),
            "on the SAFE Network"
        );
        for odd in ["", "://", "x://", ",,"] {
            host(odd);
        }
    }

    #[test]
    fn a_place_becomes_a_url_and_a_place_again() {
        for url in ["https://host:8443", "http://10.0.2.2:8080"] {
            let place = AccountStore::of(Some(url));
            assert_eq!(place.kind, Kind::Server);
            assert_eq!(place.url().as_deref(), Some(url));
        }
        assert_eq!(AccountStore::of(None).url(), None);
        assert_eq!(AccountStore::of(Some("file:///x")).kind, Kind::Computer);
        assert_eq!(
            AccountStore::of(Some(NETWORK)).url().as_deref(),
            Some(NETWORK)
        );
        // A local network, remembered or typed.
        let local = "autonomi:///run/net/manifest.json";
        let place = AccountStore::of(Some(local));
        assert_eq!((place.kind, place.is_network()), (Kind::Network, true));
        assert_eq!(place.url().as_deref(), Some(local));
        assert!(say(&place.words()).contains(local));
        for typed in [local, NETWORK] {
            let mut place = AccountStore::of(Some("https://x"));
            assert!(!place.is_network());
            place.server = Typed::of(&format!(" {typed} "));
            assert!(place.is_network());
            assert_eq!(place.url().as_deref(), Some(typed));
        }
        assert!(
            !is_network("autonom") && !is_network("é") && !AccountStore::default().is_network()
        );
        let mut place = AccountStore::of(Some("https://x"));
        place.server = Typed::of(" example.org ");
        assert_eq!(place.url().as_deref(), Some("https://example.org"));
    }
}
