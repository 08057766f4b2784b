//! TLS towards the broker: roots of the fleet alone, and the gateway's own certificate.

use crate::config::Upstream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{0}: not readable as PEM: {1}")]
    Pem(PathBuf, rustls::pki_types::pem::Error),
    /// `mqtts` needs the roots of the fleet.
    #[error("`broker` is mqtts://, so `ca` must name the file with the fleet's root certificates")]
    NoRoots,
    /// The key and the certificate do not make an identity.
    #[error("{0}: {1}")]
    Rustls(PathBuf, rustls::Error),
}

/// Certificates of a PEM file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |e| TlsError::Pem(path.to_path_buf(), e);
    CertificateDer::pem_file_iter(path).map_err(bad)?.collect::<Result<_, _>>().map_err(bad)
}

/// The key of a PEM file.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| TlsError::Pem(path.to_path_buf(), e))
}

/// The client side; files are read anew for each connection, so that a rotated certificate counts.
pub fn client(settings: &Upstream) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    if !settings.tls {
        return Ok(None);
    }
    fleet(settings).map(Some)
}

/// TLS with the roots of the fleet and the gateway's own certificate.
pub fn fleet(settings: &Upstream) -> Result<Arc<ClientConfig>, TlsError> {
    with(settings, settings.identity.as_ref())
}

/// TLS with the roots of the fleet alone: for who asks for a certificate.
pub fn roots(settings: &Upstream) -> Result<Arc<ClientConfig>, TlsError> {
    with(settings, None)
}

fn with(settings: &Upstream, identity: Option<&(PathBuf, PathBuf)>) -> Result<Arc<ClientConfig>, TlsError> {
    let ca = settings.ca.as_ref().ok_or(TlsError::NoRoots)?;
    let wrong = |e| TlsError::Rustls(ca.clone(), e);
    let mut roots = RootCertStore::empty();
    for root in certificates(ca)? {
        roots.add(root).map_err(wrong)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(settings.clock.clone()))
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((cert, file)) => builder
            .with_client_auth_cert(certificates(cert)?, key(file)?)
            .map_err(|e| TlsError::Rustls(cert.clone(), e))?,
    };
    Ok(Arc::new(config))
}

/// Whether a certificate is one of the fleet: signed by its roots, for a client, and in its time.
pub fn of_fleet(settings: &Upstream, cert: &Path) -> Result<(), TlsError> {
    let wrong = |e| TlsError::Rustls(cert.to_path_buf(), e);
    let mut roots = RootCertStore::empty();
    for root in certificates(settings.ca.as_ref().ok_or(TlsError::NoRoots)?)? {
        roots.add(root).map_err(wrong)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| wrong(rustls::Error::General(e.to_string())))?;
    let chain = certificates(cert)?;
    let (first, rest) = chain.split_first().ok_or(TlsError::NoRoots)?;
    let ms = u64::try_from(settings.clock.now().wall_ms.unwrap_or(0)).unwrap_or(0);
    let now = rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_millis(ms));
    verifier.verify_client_cert(first, rest, now).map(drop).map_err(wrong)
}

/// Whether a certificate and a key belong together.
pub fn fits(cert: &Path, file: &Path) -> Result<(), TlsError> {
    let wrong = |e| TlsError::Rustls(cert.to_path_buf(), e);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(certificates(cert)?, key(file)?)
        .map(drop)
        .map_err(wrong)
}

/// The server side of the screens.
pub fn server(cert: &Path, file: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let wrong = |e| TlsError::Rustls(cert.to_path_buf(), e);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(wrong)?
        .with_no_client_auth()
        .with_single_cert(certificates(cert)?, key(file)?)
        .map_err(wrong)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
