//! What the HTTP client is told by its caller and by the environment: never by the URL.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::network::{Network, System};
use crate::{Error, Result};

/// The variable that names a file with bearer tokens.
pub const TOKEN_FILE: &str = "SAFE_TOKEN_FILE";
/// The variable that names a file with the certificates (PEM) of who may vouch for a gateway, instead of the
/// public ones.
pub const CA_FILE: &str = "SAFE_CA_FILE";
/// Most bytes of these files.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;
const CA_BYTES_MAX: u64 = 4 << 20;

/// How long a client waits for what.
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
}

/// How to reach gateways.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// A file of bearer tokens: lines of `TOKEN`, or `URL TOKEN` for that gateway alone.
    pub token_file: Option<PathBuf>,
    /// A file of certificates (PEM) that vouch for the gateway, instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// How long to wait for what.
    pub patience: Patience,
    /// Most requests at once.
    pub parallel: usize,
    /// The network; this computer's if none is given.
    pub network: Arc<dyn Network>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            token_file: None,
            ca_file: None,
            patience: Patience::default(),
            parallel: 4,
            network: Arc::new(System::default()),
        }
    }
}

impl HttpOptions {
    /// What the environment says.
    pub fn from_environment() -> Self {
        let file = |name| {
            std::env::var_os(name)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        Self {
            token_file: file(TOKEN_FILE),
            ca_file: file(CA_FILE),
            ..Self::default()
        }
    }

    /// For each gateway the value of the header that carries its token, if it has one.
    pub(super) fn tokens(&self, gateways: &[String]) -> Result<Tokens> {
        let mut tokens = Tokens::new();
        let Some(path) = &self.token_file else {
            return Ok(tokens);
        };
        let text = read(path, TOKEN_FILE, TOKEN_BYTES_MAX)?;
        let given = parse_tokens(&text, path)?;
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
            tokens.insert(gateway.clone(), Zeroizing::new(format!("Bearer {token}")));
        }
        Ok(tokens)
    }

    pub(super) fn tls(&self) -> Result<TlsConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        let Some(path) = &self.ca_file else {
            return Ok(tls.build());
        };
        let text = read(path, CA_FILE, CA_BYTES_MAX)?;
        let mut roots = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            let certificate =
                certificate.map_err(|error| no_certificates(path, &error.to_string()))?;
            roots.push(Certificate::from_der(&certificate).to_owned());
        }
        if roots.is_empty() {
            return Err(no_certificates(path, "it holds none"));
        }
        Ok(tls.root_certs(RootCerts::Specific(Arc::new(roots))).build())
    }
}

/// By gateway.
pub(super) type Tokens = BTreeMap<String, Zeroizing<String>>;

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

fn no_certificates(path: &Path, why: &str) -> Error {
    Error::Url(format!(
        "{} ({CA_FILE}) is no file of certificates: {why}; PEM blocks are needed",
        path.display()
    ))
}

/// Whether what is sent to this gateway is seen by nobody on the way.
fn is_private(url: &str) -> bool {
    let Some(host) = url.strip_prefix("http://") else {
        return true;
    };
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let own = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(own) || url.starts_with("http://[::1]")
}

fn read(path: &Path, setting: &str, max: u64) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    std::fs::File::open(path)
        .and_then(|file| file.take(max).read_to_string(&mut text))
        .map_err(|error| {
            Error::Url(format!(
                "{}, which {setting} names, cannot be read: {error}",
                path.display()
            ))
        })?;
    Ok(text)
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
        assert_eq!(
            (both[a].as_str(), both[b].as_str()),
            ("Bearer any", "Bearer for-b")
        );
        let one = tokens("\nhttps://b:1 for-b\n", &[a, b]).unwrap();
        assert_eq!((one.len(), one[b].as_str()), (1, "Bearer for-b"));
        for open in [
            "http://a",
            "http://127.0.0.1.example:1",
            "http://10.0.0.1:80",
        ] {
            let error = tokens("any", &[open]).unwrap_err();
            assert!(error.to_string().contains("https://"), "{error}");
        }
        for own in ["http://127.0.0.1:1", "http://localhost", "http://[::1]:5"] {
            assert_eq!(tokens("any", &[own]).unwrap().len(), 1, "{own}");
        }
        for (text, says) in [
            ("", "holds no token"),
            ("two words", "is no token"),
            ("https://a one two", "is no token"),
            ("t\u{f6}ken", "character"),
        ] {
            let error = tokens(text, &[a]).unwrap_err().to_string();
            assert!(
                error.contains(says) && error.contains("SAFE_TOKEN_FILE"),
                "{error}"
            );
        }
    }
}
