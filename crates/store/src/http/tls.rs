//! TLS on a connection, and trust in the gateway's certificate.
//!
//! What always holds here: a certificate is trusted if a trusted authority has signed it, or if it is, byte for
//! byte, one of those that the person has named; in both cases only for the name in the URL and within its dates.

use std::fmt::{self, Debug};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::Error as HttpError;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use super::connection::{BUFFER_BYTES, Connection};
use super::mixed::Mixed;
use super::settings::{CA_FILE, file_bytes};
use crate::{Error, Result};

/// Most bytes of a file of certificates.
const CA_BYTES_MAX: u64 = 4 << 20;

/// Which certificates are believed.
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    /// Certificates of the person's own, instead of the public ones.
    file: Option<PathBuf>,
    now: Mutex<Now>,
}

struct Now {
    config: Arc<ClientConfig>,
    /// Of the file, when it was read.
    stamp: Option<Stamp>,
}

type Stamp = (Option<SystemTime>, u64);

impl Trust {
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let stamp = file.as_deref().and_then(stamp);
        let config = config(&provider, file.as_deref())?;
        Ok(Self {
            provider,
            file,
            now: Mutex::new(Now { config, stamp }),
        })
    }

    /// The configuration that is valid now: a file that was replaced, as certificates are when they are renewed, is
    /// read again. An unreadable file replaces nothing.
    fn config(&self) -> Arc<ClientConfig> {
        let found = self.file.as_deref().and_then(stamp);
        let mut now = self.now.lock();
        if found.is_some() && found != now.stamp {
            now.stamp = found;
            if let Ok(config) = config(&self.provider, self.file.as_deref()) {
                now.config = config;
            }
        }
        now.config.clone()
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok(), found.len()))
}

fn config(provider: &Arc<CryptoProvider>, file: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let unusable = |error: &dyn fmt::Display| Error::Url(format!("TLS cannot be used: {error}"));
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&error))?;
    let builder = match file {
        None => builder.with_root_certificates(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        }),
        Some(path) => {
            let own = certificates(path)?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(own.iter().cloned());
            let signed =
                WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
                    .build()
                    .map_err(|error| no_certificates(path, &error.to_string()))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Own { signed, own }))
        }
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = file_bytes(path, CA_FILE, CA_BYTES_MAX)?;
    let own = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| no_certificates(path, &error.to_string()))?;
    if own.is_empty() {
        return Err(no_certificates(path, "it holds none"));
    }
    Ok(own)
}

fn no_certificates(path: &Path, why: &str) -> Error {
    Error::Url(format!(
        "{} ({CA_FILE}) is no file of certificates: {why}; PEM blocks are needed",
        path.display()
    ))
}

/// Trusts certificates that the person's own have signed, and those certificates themselves.
///
/// The latter is for what `openssl req -x509` makes: an authority that is used as a server's certificate, which the
/// rules of the public Web forbid. No other server gets in by it: it is that very certificate that was named.
#[derive(Debug)]
struct Own {
    signed: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let signed = self.signed.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let Err(error) = signed else {
            return signed;
        };
        // Its dates are looked at before either of these two is found: they are right.
        let in_time = is_authority(&error)
            || matches!(
                error,
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
            );
        if !in_time || !self.own.iter().any(|own| own == end_entity) {
            return Err(error);
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

/// Whether a certificate was refused because it is an authority's and not a server's.
fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(
        other.0.downcast_ref(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

/// The problem with a certificate, and what to do.
pub(super) fn refused(error: &rustls::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(why) = error else {
        return None;
    };
    let own = format!("for a certificate of your own name its file in {CA_FILE}");
    Some(match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: whoever runs it must renew it (or this computer's date is wrong)".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: check this computer's date".into()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } if presented.is_empty() => format!(
            "its certificate names no host at all, nor {}: check the URL; who runs it makes one with `-addext subjectAltName=DNS:…` or `IP:…`",
            expected.to_str()
        ),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "its certificate is for {}, not for {}: check the URL, or use one of those names",
            presented.join(", "),
            expected.to_str()
        ),
        CertificateError::UnknownIssuer => {
            format!("nobody vouches for its certificate: check the URL; {own}")
        }
        _ if is_authority(error) => {
            format!("its certificate is nobody's but its own: check the URL; {own}")
        }
        _ => format!("{error}: check the URL and this computer's date; {own}"),
    })
}

/// Puts TLS on connections that want it.
pub(super) struct Tls(pub(super) Trust);

impl Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.file).finish()
    }
}

impl Connector<Connection> for Tls {
    type Out = Either<Connection, Secure>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        connection: Option<Connection>,
    ) -> Result<Option<Self::Out>, HttpError> {
        let Some(connection) = connection else {
            return Ok(None);
        };
        if !details.needs_tls() {
            return Ok(Some(Either::A(connection)));
        }
        let host = details.uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| HttpError::Tls("the host's name is malformed"))?;
        let mut tls = ClientConnection::new(self.0.config(), name)?;
        let mut line = TransportAdapter::new(connection, details.current_time.clone());
        tls.complete_io(&mut line).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                io::Error::new(error.kind(), Mixed::Ended)
            } else {
                error
            }
        })?;
        Ok(Some(Either::B(Secure {
            buffers: LazyBuffers::new(BUFFER_BYTES, BUFFER_BYTES),
            stream: StreamOwned::new(tls, line),
        })))
    }
}

/// A connection with TLS.
pub(super) struct Secure {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter<Connection>>,
}

impl Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stream.sock.get_ref().fmt(f)
    }
}

impl Transport for Secure {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), HttpError> {
        self.stream.sock.set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, HttpError> {
        self.stream.sock.set_timeout(timeout);
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
