//! TLS settings: only the fleet's root certificates are trusted, and the gateway shows its own certificate.

use crate::broker::Upstream;
use crate::files;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// What is looked for is not in a file.
    #[error("{0}: it has no `{1}`: give a PEM file that has")]
    Nothing(PathBuf, &'static str),
    /// Nobody is there to type the passphrase of a key.
    #[error(
        "{0}: the key is encrypted with a passphrase, which a daemon cannot ask for; write it out without: openssl pkey -in {0} -out plain.pem"
    )]
    Encrypted(PathBuf),
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

/// The text of a PEM file, without the byte order marks of files that were put together.
fn text_of(path: &Path) -> Result<String, TlsError> {
    let text = files::read_text(path).map_err(|e| TlsError::Read(path.to_path_buf(), e))?;
    Ok(text.replace('\u{feff}', ""))
}

/// Certificates of a PEM file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |e| TlsError::Pem(path.to_path_buf(), e);
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(text_of(path)?.as_bytes()).collect::<Result<_, _>>().map_err(bad)?;
    if all.is_empty() {
        return Err(TlsError::Nothing(path.to_path_buf(), "-----BEGIN CERTIFICATE-----"));
    }
    Ok(all)
}

/// The key of a PEM file.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = text_of(path)?;
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::Encrypted(path.to_path_buf()));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|e| {
        if matches!(e, pem::Error::NoItemsFound) {
            return TlsError::Nothing(path.to_path_buf(), "-----BEGIN PRIVATE KEY-----");
        }
        TlsError::Pem(path.to_path_buf(), e)
    })
}

/// The client side; files are read again for each connection, so that a renewed certificate is used at once.
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
    let mut config = plain_server(cert, file, None)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A server side without HTTP. With roots, whoever connects must show a certificate that one of them has signed.
pub fn plain_server(
    cert: &Path,
    file: &Path,
    clients: Option<&Path>,
) -> Result<rustls::ServerConfig, TlsError> {
    let wrong = |e| TlsError::Rustls(cert.to_path_buf(), e);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(wrong)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let wrong = |e| TlsError::Rustls(ca.to_path_buf(), e);
            let mut roots = RootCertStore::empty();
            for root in certificates(ca)? {
                roots.add(root).map_err(wrong)?;
            }
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|e| wrong(rustls::Error::General(e.to_string())))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder.with_single_cert(certificates(cert)?, key(file)?).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_authority::authority::Authority;

    #[test]
    fn byte_order_marks_cost_no_certificate_and_no_key() {
        let folder = tempfile::tempdir().unwrap();
        Authority::make(folder.path(), "roots").unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let both = folder.path().join("both.pem");
        let root = read("root.pem");
        // Two files put together, each with its mark.
        std::fs::write(&both, format!("\u{feff}{root}\u{feff}{root}")).unwrap();
        assert_eq!(certificates(&both).unwrap().len(), 2);
        let marked = folder.path().join("marked.key");
        std::fs::write(&marked, format!("\u{feff}{}", read("root.key"))).unwrap();
        assert!(key(&marked).is_ok());
    }

    #[test]
    fn a_key_that_nobody_can_unlock_and_a_file_of_another_kind_are_named() {
        let folder = tempfile::tempdir().unwrap();
        Authority::make(folder.path(), "roots").unwrap();
        let file = folder.path().join("key.pem");
        for (text, words) in [
            (
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "passphrase",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIB\n-----END RSA PRIVATE KEY-----\n",
                "passphrase",
            ),
            ("no PEM", "-----BEGIN PRIVATE KEY-----"),
        ] {
            std::fs::write(&file, text).unwrap();
            let said = key(&file).unwrap_err().to_string();
            assert!(said.contains(words) && said.contains("key.pem"), "{said}");
        }
        let said = certificates(&folder.path().join("root.key")).unwrap_err().to_string();
        assert!(said.contains("-----BEGIN CERTIFICATE-----"), "{said}");
    }
}
