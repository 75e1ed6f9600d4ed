//! Store URLs, and the errors of malformed ones.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A store URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A folder; the path is absolute.
    File(PathBuf),
    /// Gateways to one store: `http://host:port` or `https://host:port` each, nothing after the port.
    Http(Vec<String>),
    /// The network.
    Autonomi(Autonomi),
}

/// The network that an `autonomi:` URL names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autonomi {
    /// The manifest of a local network; `None`: the main one.
    pub manifest: Option<PathBuf>,
    /// The URL of the store that keeps pointers, where they are not on the network.
    pub head: Option<String>,
}

/// Parses a store URL; [`Error::Url`] for a malformed one.
pub fn parse(url: &str) -> Result<Parsed> {
    let wrong = |why: &str| Err(Error::Url(format!("“{}” {why}", shown(url))));
    let Some((scheme, rest)) = url.split_once(':') else {
        if url.starts_with('/') {
            return wrong(&format!(
                "is a path, not a store: use {}",
                file_url(Path::new(url))?
            ));
        }
        return wrong(NONE);
    };
    match scheme {
        "file" => {}
        "http" | "https" => return gateways(url),
        "autonomi" => return autonomi(url, rest).map(Parsed::Autonomi),
        _ => return wrong(NONE),
    }
    if rest.contains(['?', '#']) {
        return wrong("has a ? or # in its path: write ? as %3F and # as %23");
    }
    local_path(rest)
        .map(Parsed::File)
        .or_else(|why| wrong(&format!("{why} file:///path")))
}

/// The path after a scheme, from `//`, `//localhost` or nothing on; else the problem with it, to be followed by the
/// correct form.
fn local_path(rest: &str) -> Result<PathBuf, &'static str> {
    let path = match rest.strip_prefix("//") {
        Some(after) => {
            let (host, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            if !host.is_empty() && host != "localhost" {
                return Err("names a computer: the path is on this one, use");
            }
            path
        }
        None => rest,
    };
    if !path.starts_with('/') {
        return Err("has no absolute path: use");
    }
    let Some(bytes) = decode(path) else {
        return Err("has a % without two hexadecimal digits after it: write % as %25, as in");
    };
    if bytes.contains(&0) {
        return Err("has a NUL in its path, which no file name can have: use");
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

/// `autonomi:`, or `autonomi:///path/manifest.json`; after either perhaps `?head=URL`.
fn autonomi(url: &str, rest: &str) -> Result<Autonomi> {
    let wrong = |why: &str| Err(Error::Url(format!("“{}” {why}", shown(url))));
    if rest.contains('#') {
        return wrong("has a #: write # as %23");
    }
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let head = match query {
        None => None,
        Some(query) => match query.strip_prefix("head=") {
            Some(head) if !head.is_empty() => Some(head.to_owned()),
            _ => {
                return wrong(
                    "has something after the ? that is not head=URL, the store that keeps the head",
                );
            }
        },
    };
    if let Some(head) = &head
        && let Parsed::Autonomi(_) = parse(head)?
    {
        return wrong("keeps its head on the network anyway: leave ?head= out");
    }
    let manifest = match place {
        "" | "//" => None,
        place => match local_path(place) {
            Ok(path) => Some(path),
            Err(why) => return wrong(&format!("{why} autonomi:///path/manifest.json")),
        },
    };
    Ok(Autonomi { manifest, head })
}

const NONE: &str = "is not a store: use file:///path, https://host or autonomi:";
/// Most gateways of one store.
const GATEWAYS_MAX: usize = 8;

/// Gateways with commas between them.
fn gateways(url: &str) -> Result<Parsed> {
    let gateways: Vec<String> = url.split(',').map(gateway).collect::<Result<_>>()?;
    if gateways.len() > GATEWAYS_MAX {
        return Err(Error::Url(format!(
            "“{}” names more than {GATEWAYS_MAX} gateways",
            shown(url)
        )));
    }
    Ok(Parsed::Http(gateways))
}

fn gateway(url: &str) -> Result<String> {
    let wrong = |why: &str| Err(Error::Url(format!("“{}” {why}", shown(url))));
    let url = url.trim();
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some(("https", rest)) => ("https", rest),
        _ => return wrong("is not a gateway: use https://host or http://host:port"),
    };
    let host = rest.strip_suffix('/').unwrap_or(rest);
    if host.contains('@') {
        // Every reader of the URL would see the secret: it is not repeated.
        return Err(Error::Url(
            "the store's URL holds a name or password: put the token into a file that only you can read, and name the file in SAFE_TOKEN_FILE".into(),
        ));
    }
    if host.contains(['/', '?', '#']) {
        return wrong(
            "has something after host and port: a gateway is https://host or http://host:port",
        );
    }
    // [v6] in brackets, else a name or address and perhaps a port.
    let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => (
            address,
            port.strip_prefix(':').or(port.is_empty().then_some("80")),
        ),
        Some(_) => return wrong("has a malformed address in brackets"),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, Some("80")),
        },
    };
    if name.is_empty() {
        return wrong("names no host: use https://host or http://host:port");
    }
    let of_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if !name.chars().all(of_host) {
        return wrong("has a character that no host has");
    }
    let port = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return wrong("has a malformed port: use a number from 1 to 65535");
    }
    Ok(format!("{scheme}://{host}"))
}

/// The URL of the store in this folder; an error when the path is not absolute.
pub fn file_url(path: &Path) -> Result<String> {
    if !path.is_absolute() {
        return Err(Error::Url(format!(
            "“{}” is not an absolute path, which a file: store needs",
            path.display()
        )));
    }
    let mut url = "file://".to_owned();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(byte) {
            url.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    Ok(url)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            (high * 16 + low) as u8
        } else {
            byte
        });
    }
    Some(bytes)
}

/// As much of it as belongs in a message.
fn shown(url: &str) -> String {
    url.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn path(url: &str) -> String {
        let Parsed::File(path) = parse(url).unwrap() else {
            panic!("{url}")
        };
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn gateways_are_named_in_these_ways() {
        for (url, gateways) in [
            ("http://host:8080", &["http://host:8080"][..]),
            ("https://a.b-c.example/", &["https://a.b-c.example"]),
            ("http://127.0.0.1:1", &["http://127.0.0.1:1"]),
            ("http://[::1]:8080", &["http://[::1]:8080"]),
            ("https://a,https://b:1", &["https://a", "https://b:1"]),
        ] {
            let gateways = gateways.iter().map(|&url| url.to_owned()).collect();
            assert_eq!(parse(url).unwrap(), Parsed::Http(gateways), "{url}");
        }
        for (url, says) in [
            ("http://", "names no host"),
            ("http://:80", "names no host"),
            ("http:host", "is not a gateway"),
            ("http://host/path", "after host and port"),
            ("http://host?x", "after host and port"),
            ("http://ho st", "character"),
            ("http://höst", "character"),
            ("http://host:", "port"),
            ("http://host:0", "port"),
            ("http://host:65536", "port"),
            ("http://host:+1", "port"),
            ("http://[::1", "character"),
            ("http://[x]:1", "brackets"),
            ("http://a,", "is not a gateway"),
            ("http://a,file:///b", "is not a gateway"),
            (
                "http://a,http://a,http://a,http://a,http://a,http://a,http://a,http://a,http://a",
                "more than",
            ),
        ] {
            let message = parse(url).unwrap_err().to_string();
            assert!(message.contains(says), "{url}: {message}");
        }
        let message = parse("https://ana:secret@host").unwrap_err().to_string();
        assert!(
            !message.contains("secret") && message.contains("SAFE_TOKEN_FILE"),
            "{message}"
        );
    }

    #[test]
    fn the_network_is_named_in_these_ways() {
        let network = |manifest: Option<&str>, head: Option<&str>| {
            Parsed::Autonomi(Autonomi {
                manifest: manifest.map(PathBuf::from),
                head: head.map(str::to_owned),
            })
        };
        for (url, parsed) in [
            ("autonomi:", network(None, None)),
            ("autonomi://", network(None, None)),
            (
                "autonomi:///a%20b/m.json",
                network(Some("/a b/m.json"), None),
            ),
            ("autonomi:/m.json", network(Some("/m.json"), None)),
            (
                "autonomi:?head=file:///heads",
                network(None, Some("file:///heads")),
            ),
            (
                "autonomi:///m.json?head=https://a,https://b",
                network(Some("/m.json"), Some("https://a,https://b")),
            ),
        ] {
            assert_eq!(parse(url).unwrap(), parsed, "{url}");
        }
        for (url, says) in [
            ("autonomi:main", "autonomi:///path"),
            ("autonomi://host/m.json", "names a computer"),
            ("autonomi:?heads=x", "head=URL"),
            ("autonomi:?head=", "head=URL"),
            ("autonomi:?head=nonsense", "not a store"),
            ("autonomi:?head=autonomi:", "leave ?head= out"),
            ("autonomi:#x", "%23"),
        ] {
            let message = parse(url).unwrap_err().to_string();
            assert!(message.contains(says), "{url}: {message}");
        }
    }

    #[test]
    fn files_are_named_in_these_ways() {
        assert_eq!(path("file:///srv/store"), "/srv/store");
        assert_eq!(path("file://localhost/srv/store"), "/srv/store");
        assert_eq!(path("file:/srv/store"), "/srv/store");
        assert_eq!(path("file:///a%20b/%C3%A4%25"), "/a b/ä%");
        assert_eq!(path("file:///a b/ä"), "/a b/ä");
    }

    #[test]
    fn each_other_text_gets_a_message_that_names_it_and_the_cure() {
        for (url, says) in [
            ("", "use file:///path"),
            ("nonsense", "use file:///path"),
            ("/srv/store", "use file:///srv/store"),
            ("/srv/a b", "use file:///srv/a%20b"),
            ("file:relative", "no absolute path"),
            ("file:", "no absolute path"),
            ("file://", "no absolute path"),
            ("file://relative/path", "names a computer"),
            ("file:///a%2", "write % as %25"),
            ("file:///a%zz", "write % as %25"),
            ("file:///a%+1", "write % as %25"),
            ("file:///a%00b", "NUL"),
            ("file:///a?b", "%3F"),
            ("s3://bucket", "use file:///path"),
        ] {
            let message = parse(url).unwrap_err().to_string();
            assert!(message.contains(says), "{url}: {message}");
            assert!(message.contains(&format!("“{url}”")), "{url}: {message}");
        }
        let long = format!("x{}", "y".repeat(1_000_000));
        assert!(parse(&long).unwrap_err().to_string().len() < 1000);
    }

    #[test]
    fn a_path_becomes_a_url_and_a_path_again() {
        for text in ["/", "/a", "/a b", "/ä%?#", "/new\nline"] {
            assert_eq!(path(&file_url(Path::new(text)).unwrap()), text);
        }
        let raw = PathBuf::from(OsString::from_vec(vec![b'/', 0xff, 0xfe]));
        assert_eq!(parse(&file_url(&raw).unwrap()).unwrap(), Parsed::File(raw));
        assert!(file_url(Path::new("a")).is_err());
    }
}
