//! What the HTTP client is told by its caller and by the environment: never by the URL.

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

/// The variable that names a file with a bearer token.
pub const TOKEN_FILE: &str = "SAFE_TOKEN_FILE";
/// The variable that names a file with the certificates (PEM) of who may vouch for a gateway, instead of the
/// public ones.
pub const CA_FILE: &str = "SAFE_CA_FILE";
/// Most bytes of these files.
const TOKEN_BYTES_MAX: u64 = 4096;
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
    /// A file whose first line is the bearer token.
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

    /// The value of the header that carries the token.
    pub(super) fn token(&self, gateways: &[String]) -> Result<Option<Zeroizing<String>>> {
        let Some(path) = &self.token_file else {
            return Ok(None);
        };
        if let Some(open) = gateways.iter().find(|url| !is_private(url)) {
            return Err(Error::Refused {
                url: open.clone(),
                why: format!(
                    "the token in {} would be sent to it for everybody on the way to read: use https://, or unset {TOKEN_FILE}",
                    path.display()
                ),
            });
        }
        let text = read(path, TOKEN_FILE, TOKEN_BYTES_MAX)?;
        let line = text.lines().next().unwrap_or_default().trim();
        if line.is_empty() || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Url(format!(
                "the first line of {} ({TOKEN_FILE}) is no token: it must be one word of letters, digits and signs",
                path.display()
            )));
        }
        Ok(Some(Zeroizing::new(format!("Bearer {line}"))))
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
