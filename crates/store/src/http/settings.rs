//! Settings of the HTTP client, from its caller and from the environment: never from the URL.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::network::{Network, System};
use super::request_error::RequestError;
use crate::{Error, Result};

/// The variable that names a file with bearer tokens.
pub const TOKEN_FILE: &str = "SAFE_TOKEN_FILE";
/// The variable that names a file with the certificates (PEM) of the authorities that may vouch for a gateway, instead
/// of public ones.
pub const CA_FILE: &str = "SAFE_CA_FILE";
/// Most requests at once: as many packs as are loaded together are under way together, which a line of 1 Gbit/s and 200 ms
/// needs. Redox sends bodies in parts, and its network has little room for them.
const PARALLEL: usize = if cfg!(target_os = "redox") { 4 } else { 8 };
/// Most bytes of the file of tokens.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// The times a client waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the address of a name, and again for a connection.
    pub connect: Duration,
    /// For the next byte to come or go. A quarter of it is the longest pause that a gateway can ask for.
    pub stall: Duration,
    /// For a request, besides what its bytes take.
    pub request: Duration,
    /// A line slower than this, in bytes a second, is no line.
    pub slowest: u32,
    /// Before the first new try; each further one waits three times as long.
    pub again: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(20),
            request: Duration::from_secs(30),
            slowest: 32 * 1024,
            again: Duration::from_millis(150),
        }
    }
}

impl Patience {
    /// How long this many bytes may take on the slowest line.
    pub(super) fn for_bytes(&self, bytes: usize) -> Duration {
        Duration::from_micros(bytes as u64 * 1_000_000 / u64::from(self.slowest.max(1)))
    }

    /// How long the gateway wants to be left alone, as far as that can be waited for.
    pub(super) fn before_again(&self, error: &RequestError) -> Duration {
        let after = match error {
            RequestError::Away { after, .. } => after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        after.min(self.stall / 4)
    }
}

/// When a large body is sent in parts, each of which is answered before the next one goes over the same connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Parts {
    /// Where the network loses what does not fit its buffers ([`Network::loses`]).
    #[default]
    IfNeeded,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to reach gateways.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// A file of bearer tokens: lines of `TOKEN`, or `URL TOKEN` for that gateway alone.
    pub token_file: Option<PathBuf>,
    /// A file of certificates (PEM) that vouch for the gateway, instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// The times to wait.
    pub patience: Patience,
    /// Most requests at once.
    pub parallel: usize,
    /// When to send large bodies in parts.
    pub parts: Parts,
    /// The network; this computer's if none is given.
    pub network: Arc<dyn Network>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            token_file: None,
            ca_file: None,
            patience: Patience::default(),
            parallel: PARALLEL,
            parts: Parts::default(),
            network: Arc::new(System::default()),
        }
    }
}

impl HttpOptions {
    /// The settings of the environment.
    pub fn from_environment() -> Self {
        let file = |name| {
            std::env::var_os(name)
                .filter(|path| !path.is_empty())
                .map(|path| absolute(PathBuf::from(path)))
        };
        Self {
            token_file: file(TOKEN_FILE),
            ca_file: file(CA_FILE),
            ..Self::default()
        }
    }

    /// The tokens for these gateways.
    pub(super) fn tokens(&self, gateways: &[String]) -> Result<Tokens> {
        Tokens::open(self.token_file.clone(), gateways)
    }
}

/// Which token goes to which gateway.
pub(super) struct Tokens {
    file: Option<PathBuf>,
    gateways: Vec<String>,
    now: Mutex<Values>,
}

/// By gateway, the value of the header that carries its token.
type Values = BTreeMap<String, Arc<Zeroizing<String>>>;

impl Tokens {
    fn open(file: Option<PathBuf>, gateways: &[String]) -> Result<Self> {
        let tokens = Self {
            file,
            gateways: gateways.to_vec(),
            now: Mutex::default(),
        };
        *tokens.now.lock() = tokens.read()?;
        Ok(tokens)
    }

    /// The one for this gateway.
    pub(super) fn get(&self, gateway: &str) -> Option<Arc<Zeroizing<String>>> {
        self.now.lock().get(gateway).cloned()
    }

    /// Reads the file again, for when a gateway refuses a token: the person may have put another one there. Whether
    /// there is another one for this gateway than `refused`.
    pub(super) fn renew(
        &self,
        gateway: &str,
        refused: Option<&Arc<Zeroizing<String>>>,
    ) -> Result<bool> {
        let values = self.read()?;
        let new = values
            .get(gateway)
            .is_some_and(|value| Some(value) != refused);
        *self.now.lock() = values;
        Ok(new)
    }

    fn read(&self) -> Result<Values> {
        let mut tokens = Values::new();
        let Some(path) = &self.file else {
            return Ok(tokens);
        };
        let bytes = file_bytes(path, TOKEN_FILE, TOKEN_BYTES_MAX)?;
        let text = std::str::from_utf8(&bytes).unwrap_or("\u{fffd}");
        let gateways = &self.gateways;
        let given = parse_tokens(text, path)?;
        for gateway in gateways {
            let own = given.iter().find(|(of, _)| *of == Some(gateway.as_str()));
            let any = given.iter().find(|(of, _)| of.is_none());
            let Some((_, token)) = own.or(any) else {
                continue;
            };
            if !is_private(gateway) {
                return Err(Error::Refused {
                    url: gateway.clone(),
                    why: format!(
                        "the token in {} would be sent to it for everybody on the way to read: use https://, or unset {TOKEN_FILE}",
                        path.display()
                    ),
                });
            }
            let value = Zeroizing::new(format!("Bearer {token}"));
            tokens.insert(gateway.clone(), Arc::new(value));
        }
        Ok(tokens)
    }
}

/// The same file wherever the process goes meanwhile: it is read again later.
fn absolute(path: PathBuf) -> PathBuf {
    match std::path::absolute(&path) {
        Ok(whole) => crate::from_here(whole),
        Err(_) => path,
    }
}

/// Lines of `TOKEN`, for whatever gateway is opened, or `URL TOKEN`, for that one alone.
fn parse_tokens<'a>(text: &'a str, path: &Path) -> Result<Vec<(Option<&'a str>, &'a str)>> {
    let wrong = |number: usize, why: &str| {
        Error::Url(format!(
            "line {number} of {} ({TOKEN_FILE}) {why}: write TOKEN, or URL TOKEN for one gateway alone",
            path.display()
        ))
    };
    let mut tokens = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let mut words = line.split_whitespace();
        let (url, token) = match (words.next(), words.next(), words.next()) {
            (None, ..) => continue,
            (Some(token), None, _) => (None, token),
            (Some(url), Some(token), None) if url.contains("://") => {
                (Some(url.trim_end_matches('/')), token)
            }
            _ => return Err(wrong(number, "is no token")),
        };
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong(number, "has a character that no token has"));
        }
        if url.is_none() && cfg!(target_os = "redox") {
            // One daemon opens the stores that any user names.
            return Err(wrong(number, "does not say which gateway it is for"));
        }
        tokens.push((url, token));
    }
    if tokens.is_empty() {
        return Err(wrong(1, "holds no token"));
    }
    Ok(tokens)
}

/// Whether requests to this gateway cannot be read on the way.
fn is_private(url: &str) -> bool {
    let Some(host) = url.strip_prefix("http://") else {
        return true;
    };
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let own = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(own) || url.starts_with("http://[::1]")
}

/// The content of a file that a setting names.
pub(super) fn file_bytes(path: &Path, setting: &str, max: u64) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(max).read_to_end(&mut bytes))
        .map_err(|error| {
            Error::Url(format!(
                "{}, which {setting} names, cannot be read: {error}",
                path.display()
            ))
        })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_whom_it_is_for_and_never_in_the_clear() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let tokens = |text: &str, gateways: &[&str]| {
            std::fs::write(&path, text).unwrap();
            let options = HttpOptions {
                token_file: Some(path.clone()),
                ..HttpOptions::default()
            };
            let gateways: Vec<_> = gateways.iter().map(|url| (*url).to_owned()).collect();
            options.tokens(&gateways)
        };
        let (a, b) = ("https://a", "https://b:1");
        let both = tokens("any\nhttps://b:1/ for-b\n", &[a, b]).unwrap();
        let value = |tokens: &Tokens, url| tokens.get(url).map(|value| value.to_string());
        assert_eq!(value(&both, a).unwrap(), "Bearer any");
        assert_eq!(value(&both, b).unwrap(), "Bearer for-b");
        let one = tokens("\nhttps://b:1 for-b\n", &[a, b]).unwrap();
        assert_eq!(value(&one, b).unwrap(), "Bearer for-b");
        assert!(value(&one, a).is_none());
        for open in [
            "http://a",
            "http://127.0.0.1.example:1",
            "http://10.0.0.1:80",
        ] {
            let error = tokens("any", &[open]).err().unwrap();
            assert!(error.to_string().contains("https://"), "{error}");
        }
        for own in ["http://127.0.0.1:1", "http://localhost", "http://[::1]:5"] {
            assert!(tokens("any", &[own]).unwrap().get(own).is_some(), "{own}");
        }
        for (text, says) in [
            ("", "holds no token"),
            ("two words", "is no token"),
            ("https://a one two", "is no token"),
            ("t\u{f6}ken", "character"),
        ] {
            let error = tokens(text, &[a]).err().unwrap().to_string();
            assert!(
                error.contains(says) && error.contains("SAFE_TOKEN_FILE"),
                "{error}"
            );
        }
    }
}
