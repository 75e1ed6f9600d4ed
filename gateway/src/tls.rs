//! TLS with a certificate from files, read again when it is renewed.

use std::path::Path;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::watched::Watched;

/// A name that no certificate is for.
const NOBODY: &str = "nobody.invalid";

/// The certificate chain and its key; returns which file is wrong, and how. `log` gets what clients will not like.
pub(crate) fn acceptor(
    chain: &Path,
    key: &Path,
    log: Arc<dyn Fn(&str) + Send + Sync>,
) -> Result<Watched<TlsAcceptor>, String> {
    let (chain, key) = (chain.to_owned(), key.to_owned());
    Watched::open(&[&chain.clone(), &key.clone()], move || {
        read(&chain, &key, &*log)
    })
}

fn read(
    chain: &Path,
    key: &Path,
    log: &(dyn Fn(&str) + Send + Sync),
) -> Result<TlsAcceptor, String> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect)
        .map_err(|error| {
            format!(
                "the certificate {} cannot be read: {error}",
                chain.display()
            )
        })?;
    let Some(own) = certificates.first().cloned() else {
        return Err(format!("{} holds no certificate (PEM)", chain.display()));
    };
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("the key {} cannot be read: {error}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(certificates, secret)
        })
        .map_err(|error| {
            format!(
                "certificate {} and key {} cannot be used together: {error}",
                chain.display(),
                key.display()
            )
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if let Some(why) = unusable(&own) {
        log(&format!(
            "no client will accept the certificate {}: {why}",
            chain.display()
        ));
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Why no client accepts this certificate, for any authority and any name of the gateway.
fn unusable(certificate: &CertificateDer<'_>) -> Option<String> {
    use rustls::client::danger::ServerCertVerifier;
    let name = ServerName::try_from(NOBODY).ok()?;
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let named = verify_server_name(&parsed, &name).err();
    if let Some(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
        presented,
        ..
    })) = named
        && presented.is_empty()
    {
        return Some(
            "it is for no name (subjectAltName); make one with `openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out chain.pem -days 365 -subj /CN=HOST -addext subjectAltName=DNS:HOST`, HOST being the name in the gateway's URL (for an address, `IP:ADDRESS`)".into(),
        );
    }
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .ok()?;
    // Its dates are looked at first.
    match verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()) {
        Err(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Some("it has expired".into()),
        Err(rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Some("it is not valid yet".into()),
        _ => None,
    }
}
