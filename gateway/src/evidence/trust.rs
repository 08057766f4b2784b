//! Whose key it is: by the certificate of the box under a root that the verifier gives, or by the key itself.

use super::{Key, endorsed};
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_provisioning::{certificate, identity};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use std::sync::Arc;
use std::time::Duration;

/// What the verifier trusts.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The roots of the fleet, PEM.
    Roots(String),
    /// The public key of the gateway, 32 bytes in hexadecimal.
    Key(String),
}

/// Why a key is not the gateway's.
#[derive(Debug, thiserror::Error)]
pub enum NotTrusted {
    /// It is not the one that the verifier gave.
    #[error(
        "the file is signed by another key than the one given: it is not of this gateway, or was signed anew"
    )]
    OtherKey,
    /// Nothing to check by the root.
    #[error(
        "the file has no certificate: the gateway was configured by hand. Verify it with --key and the content of \
         gateway.pub, which you have from the box or its owner, not with the file"
    )]
    NoCertificate,
    /// It does not lead to the root.
    #[error("the certificate in the file is not one of the given root: {0}")]
    Certificate(String),
    /// It is another box of the fleet.
    #[error("the certificate in the file is that of {0}, the records are of {1}")]
    OtherGateway(String, String),
    /// The key of the certificate has not signed it.
    #[error("the key that signed the file has no valid word of the box's certificate: it was signed anew")]
    NotEndorsed,
    /// The file of the root.
    #[error("the root has no certificate in PEM")]
    NoRoot,
}

/// Whether the key is that of the gateway. The certificate must have counted when the file was made.
pub fn check(trust: &Trust, key: &Key, site: &str, gateway: &str, made_ms: i64) -> Result<(), NotTrusted> {
    let roots = match trust {
        Trust::Key(public) if public.trim().eq_ignore_ascii_case(&key.public) => return Ok(()),
        Trust::Key(_) => return Err(NotTrusted::OtherKey),
        Trust::Roots(pem) => roots(pem)?,
    };
    if key.certificates.is_empty() {
        return Err(NotTrusted::NoCertificate);
    }
    let wrong = |e: &dyn std::fmt::Display| NotTrusted::Certificate(e.to_string());
    let mut chain = Vec::new();
    for text in &key.certificates {
        chain.push(CertificateDer::from(STANDARD.decode(text).map_err(|e| wrong(&e))?));
    }
    let (own, rest) = chain.split_first().ok_or(NotTrusted::NoCertificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| wrong(&e))?;
    let at = UnixTime::since_unix_epoch(Duration::from_millis(made_ms.max(0).unsigned_abs()));
    verifier.verify_client_cert(own, rest, at).map_err(|e| wrong(&e))?;
    let (name, of) = (certificate::common_name(own).unwrap_or_default(), format!("{site}.{gateway}"));
    if name != of {
        return Err(NotTrusted::OtherGateway(name, of));
    }
    let word = STANDARD.decode(&key.endorsement).map_err(|_| NotTrusted::NotEndorsed)?;
    let said = endorsed(site, gateway, &key.public);
    if identity::is_proved(own, said.as_bytes(), &word) { Ok(()) } else { Err(NotTrusted::NotEndorsed) }
}

fn roots(pem: &str) -> Result<RootCertStore, NotTrusted> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(root.map_err(|_| NotTrusted::NoRoot)?).map_err(|_| NotTrusted::NoRoot)?;
    }
    if roots.is_empty() { Err(NotTrusted::NoRoot) } else { Ok(roots) }
}
