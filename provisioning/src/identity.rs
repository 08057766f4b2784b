//! The identity of a gateway: its key, and the request for a certificate.

use rcgen::{CertificateParams, DnType, KeyPair};

/// A fresh key and the request that goes with it.
pub struct Request {
    /// The private key, PKCS#8 PEM: it stays on the box.
    pub key_pem: String,
    /// The certificate signing request (RFC 2986), PEM.
    pub csr_pem: String,
}

/// The key generator or the encoder failed.
#[derive(Debug, thiserror::Error)]
#[error("no certificate request could be made: {0}")]
pub struct RequestError(#[from] rcgen::Error);

/// Makes a key (ECDSA on P-256) and a request under a common name.
pub fn request(common_name: &str) -> Result<Request, RequestError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    let csr = params.serialize_request(&key)?;
    Ok(Request { key_pem: key.serialize_pem(), csr_pem: csr.pem()? })
}
