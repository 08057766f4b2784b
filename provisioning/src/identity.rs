//! The identity of a gateway: its key, and the request for a certificate.

use rcgen::{CertificateParams, DnType, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;

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

/// The proof that goes with a request for renewal: the request, signed with the key before it.
/// Unlike a TLS client certificate it still works when that certificate has ended.
pub fn prove(key_pem: &str, csr_der: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    let der = crate::certificate::pem_der(key_pem)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der, &random).ok()?;
    Some(key.sign(&random, csr_der).ok()?.as_ref().to_vec())
}

/// Whether a request was signed with the key of a certificate.
pub fn is_proved(certificate_der: &[u8], csr_der: &[u8], signature: &[u8]) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate_der) else { return false };
    let key = certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes().to_vec();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(csr_der, signature).is_ok()
}
