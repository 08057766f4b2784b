//! Document signer certificates (X.509) as entries of a trust list.
//!
//! The key id is the first eight bytes of the SHA-256 of the certificate, as the EU specifies. The
//! extended key usage says what the key may sign; without it the key may sign all three kinds of
//! health certificates. Source: "Technical Specifications for EU Digital COVID Certificates", vol. 1.

use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_core::evidence::Hash;
use kakou_core::pass::public_key::{alg, first_element};
use kakou_core::pass::trust::{KeyEntry, Usage};
use ring::digest::{SHA256, digest};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::ExtendedKeyUsage;

const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The kinds of health certificates, under the object identifiers in use.
const PURPOSES: [(&str, Usage); 6] = [
    ("1.3.6.1.4.1.1847.2021.1.1", Usage::HcertTest),
    ("1.3.6.1.4.1.1847.2021.1.2", Usage::HcertVaccination),
    ("1.3.6.1.4.1.1847.2021.1.3", Usage::HcertRecovery),
    ("1.3.6.1.4.1.0.1847.2021.1.1", Usage::HcertTest),
    ("1.3.6.1.4.1.0.1847.2021.1.2", Usage::HcertVaccination),
    ("1.3.6.1.4.1.0.1847.2021.1.3", Usage::HcertRecovery),
];

/// All three.
pub const HEALTH: [Usage; 3] = [Usage::HcertTest, Usage::HcertVaccination, Usage::HcertRecovery];

/// Why a certificate gives no key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not DER of a certificate.
    #[error("not an X.509 certificate: {0}")]
    Der(#[from] x509_cert::der::Error),
    /// A key that no pass is signed with.
    #[error("{0}")]
    Key(String),
}

/// When a certificate in DER begins and ends to be valid, in seconds since 1970.
pub fn validity(der: &[u8]) -> Result<(u64, u64), CertificateError> {
    let certificate = Certificate::from_der(der)?;
    let validity = certificate.tbs_certificate.validity;
    let seconds = |t: x509_cert::time::Time| t.to_unix_duration().as_secs();
    Ok((seconds(validity.not_before), seconds(validity.not_after)))
}

/// The common name of the subject, if there is one.
pub fn common_name(der: &[u8]) -> Option<String> {
    let subject = Certificate::from_der(der).ok()?.tbs_certificate.subject;
    let named =
        subject.0.iter().flat_map(|part| part.0.iter()).find(|attribute| attribute.oid == COMMON_NAME)?;
    std::str::from_utf8(named.value.value()).ok().map(str::to_owned)
}

/// The entry for a certificate in DER. The certificate's own validity is left out: it says when the
/// key may sign, the pass says when it counts.
pub fn entry(der: &[u8]) -> Result<KeyEntry, CertificateError> {
    // Some publishers leave bytes behind the certificate; the id is that of the certificate alone.
    let der = first_element(der)?;
    let certificate = Certificate::from_der(der)?;
    let spki = &certificate.tbs_certificate.subject_public_key_info;
    let alg = alg(spki).map_err(CertificateError::Key)?;
    let mut usages: Vec<Usage> = Vec::new();
    for extension in certificate.tbs_certificate.extensions.iter().flatten() {
        if extension.extn_id == EXTENDED_KEY_USAGE {
            let purposes = ExtendedKeyUsage::from_der(extension.extn_value.as_bytes())?;
            let known = purposes.0.iter().map(ToString::to_string);
            usages.extend(known.filter_map(|oid| PURPOSES.iter().find(|(p, _)| *p == oid).map(|(_, u)| *u)));
        }
    }
    if usages.is_empty() {
        usages = HEALTH.to_vec();
    }
    usages.sort_unstable();
    usages.dedup();
    Ok(KeyEntry {
        kid: STANDARD.encode(&Hash::of(der).0[..8]),
        alg: alg.into(),
        key: STANDARD.encode(spki.subject_public_key.raw_bytes()),
        usages: usages.into_iter().map(Into::into).collect(),
        issuer: certificate.tbs_certificate.subject.to_string(),
        region: None,
        nbf: None,
        exp: None,
    })
}

/// The SHA-256 of a certificate in DER.
pub fn fingerprint(der: &[u8]) -> [u8; 32] {
    digest(&SHA256, der).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The bytes of the first block of a PEM text.
pub fn pem_der(text: &str) -> Option<Vec<u8>> {
    let body: String = text
        .trim_start_matches('\u{feff}')
        .lines()
        .skip_while(|l| !l.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|l| !l.starts_with("-----END"))
        .collect();
    STANDARD.decode(body).ok().filter(|der| !der.is_empty())
}
