//! A small certificate authority for a fleet that has none: one root, a register, a revocation list.
//!
//! Everything lies in a folder: `root.pem` and `root.key` (keep it where you sign), `register.jsonl`
//! with one line for each certificate that was ever issued. Keys are ECDSA on P-256; profiles follow
//! RFC 5280.

pub use kakou_core::pass::hex;
use kakou_core::pass::unhex;
use kakou_provisioning::certificate::{fingerprint, pem_der};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertificateSigningRequestParams,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevocationReason, RevokedCertParams, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};
use x509_cert::der::Decode;
use x509_cert::der::asn1::AnyRef;

/// Days of a root.
const ROOT_DAYS: i64 = 20 * 365;
/// Days of a server's certificate.
const SERVER_DAYS: i64 = 825;
/// Days that a revocation list counts: a broker refuses everybody once it has run out.
const CRL_DAYS: i64 = 30;

/// Why the authority cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// There is one already.
    #[error("{0} holds an authority already: a second one would cut off everybody who trusts the first")]
    There(PathBuf),
    /// The request is not good, or the encoder failed.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Bytes that nobody has signed.
    #[error("the request is not one structure in DER to its last byte: {0}")]
    Request(#[from] x509_cert::der::Error),
    /// A line of the register.
    #[error("{0}, line {1}: {2}")]
    Register(PathBuf, usize, serde_json::Error),
    /// No such certificate.
    #[error("no certificate that counts was issued to `{0}`")]
    Nobody(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issued {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// To whom: `SITE.GATEWAY`, or the name of a server.
    pub name: String,
    /// When, UTC seconds.
    pub at: i64,
    /// Until when, UTC seconds.
    pub ends: i64,
    /// SHA-256 of the certificate, hexadecimal.
    pub sha256: String,
    /// When it was revoked, UTC seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
}

/// A certificate with what belongs to it, PEM.
pub struct Made {
    /// The certificate.
    pub certificate: String,
    /// Its key, where the authority made it.
    pub key: Option<String>,
}

/// The authority of a folder.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// The root certificate, PEM.
    pub root: String,
    /// The root certificate, DER.
    pub root_der: Vec<u8>,
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> AuthorityError + '_ {
    move |e| AuthorityError::Io(path.to_path_buf(), e)
}

fn write_secret(path: &Path, text: &str) -> Result<(), AuthorityError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut f| f.write_all(text.as_bytes()).and_then(|()| f.sync_all())).map_err(at(path))
}

/// Reads the request of a gateway, signed by its key. What stands behind its end nobody has signed: a request that goes
/// on there is none.
pub fn request(csr_der: &[u8]) -> Result<CertificateSigningRequestParams, AuthorityError> {
    AnyRef::from_der(csr_der)?;
    Ok(CertificateSigningRequestParams::from_der(&csr_der.into())?)
}

/// Valid from an hour ago: clocks differ.
fn valid(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(days);
}

impl Authority {
    /// Makes a root in an empty folder.
    pub fn make(folder: &Path, name: &str) -> Result<Self, AuthorityError> {
        fs::create_dir_all(folder).map_err(at(folder))?;
        let (root, key_file) = (folder.join("root.pem"), folder.join("root.key"));
        if root.exists() || key_file.exists() {
            return Err(AuthorityError::There(folder.to_path_buf()));
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(&mut params, ROOT_DAYS);
        let certificate = params.self_signed(&key)?;
        write_secret(&key_file, &key.serialize_pem())?;
        fs::write(&root, certificate.pem()).map_err(at(&root))?;
        Self::open(folder)
    }

    /// The one in a folder.
    pub fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(at(&path))
        };
        let (root, key) = (read("root.pem")?, KeyPair::from_pem(&read("root.key")?)?);
        let root_der = pem_der(&root).ok_or(rcgen::Error::CouldNotParseCertificate)?;
        let issuer = Issuer::from_ca_cert_pem(&root, key)?;
        Ok(Self { folder: folder.to_path_buf(), issuer, root, root_der })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Signs the request of a gateway. Only its public key is taken from the request: the name is
    /// the one that the authority knows it by.
    pub fn client(&self, csr_der: &[u8], name: &str, days: i64) -> Result<String, AuthorityError> {
        let request = request(csr_der)?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, days);
        let serial = self.serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let ends = params.not_after.unix_timestamp();
        let certificate = CertificateSigningRequestParams { params, ..request }.signed_by(&self.issuer)?;
        self.enter(&serial, name, ends, certificate.der())?;
        Ok(certificate.pem())
    }

    /// Makes key and certificate of a server (and client, as a broker's bridge or `central` is).
    pub fn server(&self, name: &str, hosts: &[String]) -> Result<Made, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(hosts.to_vec())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !hosts.is_empty() {
            params.extended_key_usages.insert(0, ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, SERVER_DAYS);
        let serial = self.serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let ends = params.not_after.unix_timestamp();
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.enter(&serial, name, ends, certificate.der())?;
        Ok(Made { certificate: certificate.pem(), key: Some(key.serialize_pem()) })
    }

    fn serial(&self) -> Result<[u8; 16], AuthorityError> {
        let mut serial = [0; 16];
        SystemRandom::new().fill(&mut serial).map_err(|_| AuthorityError::Random)?;
        // Positive, and of full length.
        serial[0] = (serial[0] & 0x7f) | 0x40;
        Ok(serial)
    }

    fn register(&self) -> PathBuf {
        self.folder.join("register.jsonl")
    }

    fn enter(&self, serial: &[u8], name: &str, ends: i64, der: &[u8]) -> Result<(), AuthorityError> {
        let (name, sha256) = (name.to_owned(), hex(&fingerprint(der)));
        let at_s = OffsetDateTime::now_utc().unix_timestamp();
        self.note(&Issued { serial: hex(serial), name, at: at_s, ends, sha256, revoked: None })
    }

    /// Appends a line; a later line about a serial number replaces an earlier one.
    fn note(&self, issued: &Issued) -> Result<(), AuthorityError> {
        let path = self.register();
        let mut line = serde_json::to_vec(issued).expect("strings and numbers");
        line.push(b'\n');
        let mut write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            let end = file.metadata()?.len();
            // A line that a full disk or a power cut has torn ends here, and is not part of this one.
            let torn = end > 0 && {
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                last != *b"\n"
            };
            if torn {
                line.insert(0, b'\n');
            }
            let done = file.write_all(&line).and_then(|()| file.sync_data());
            if done.is_err() {
                // What did not fit must not be half there.
                file.set_len(end)?;
            }
            done
        };
        write().map_err(at(&path))
    }

    /// Every certificate that was issued, each with its latest state.
    pub fn issued(&self) -> Result<Vec<Issued>, AuthorityError> {
        let path = self.register();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(at(&path)(e)),
        };
        let mut all: Vec<Issued> = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let one: Issued = match serde_json::from_str(line) {
                Ok(one) => one,
                // Torn by a power cut: what it was to say was never handed out.
                Err(e) if e.is_eof() || line.contains('\0') => continue,
                Err(e) => return Err(AuthorityError::Register(path, n + 1, e)),
            };
            match all.iter_mut().find(|i| i.serial == one.serial) {
                Some(known) => *known = one,
                None => all.push(one),
            }
        }
        Ok(all)
    }

    /// Whether a certificate was issued here and counts, apart from its dates.
    pub fn counts(&self, der: &[u8]) -> Result<Option<Issued>, AuthorityError> {
        let sha256 = hex(&fingerprint(der));
        Ok(self.issued()?.into_iter().find(|i| i.sha256 == sha256 && i.revoked.is_none()))
    }

    /// Revokes every certificate of a name; says how many.
    pub fn revoke(&self, name: &str) -> Result<usize, AuthorityError> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let all = self.issued()?;
        let mut count = 0;
        for one in all.into_iter().filter(|i| i.name == name && i.revoked.is_none()) {
            self.note(&Issued { revoked: Some(now), ..one })?;
            count += 1;
        }
        if count == 0 { Err(AuthorityError::Nobody(name.to_owned())) } else { Ok(count) }
    }

    /// Whether certificates of a name were revoked before.
    pub fn was_revoked(&self, name: &str) -> Result<bool, AuthorityError> {
        Ok(self.issued()?.iter().any(|i| i.name == name && i.revoked.is_some()))
    }

    /// The revocation list, PEM: for a broker's `crlfile`.
    pub fn crl(&self) -> Result<String, AuthorityError> {
        let now = OffsetDateTime::now_utc();
        let mut revoked_certs = Vec::new();
        for one in self.issued()? {
            let Some(when) = one.revoked else { continue };
            let (Some(serial), Ok(revocation_time)) =
                (unhex(&one.serial), OffsetDateTime::from_unix_timestamp(when))
            else {
                continue;
            };
            revoked_certs.push(RevokedCertParams {
                serial_number: SerialNumber::from_slice(&serial),
                revocation_time,
                reason_code: Some(RevocationReason::CessationOfOperation),
                invalidity_date: None,
            });
        }
        let list = CertificateRevocationListParams {
            this_update: now - Duration::hours(1),
            next_update: now + Duration::days(CRL_DAYS),
            crl_number: SerialNumber::from(now.unix_timestamp().unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_provisioning::{certificate, identity};

    #[test]
    fn what_is_issued_is_on_the_register_and_what_is_revoked_is_on_the_list() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::make(folder.path(), "Fleet").unwrap();
        assert!(matches!(Authority::make(folder.path(), "Fleet"), Err(AuthorityError::There(_))));
        let request = identity::request("whatever").unwrap();
        let pem = authority.client(&pem_der(&request.csr_pem).unwrap(), "school.gw-1", 90).unwrap();
        let (begins, ends) = certificate::validity(&pem_der(&pem).unwrap()).unwrap();
        assert!((89..=91).contains(&((ends - begins) / 86_400)));
        let server = authority.server("broker", &["127.0.0.1".into(), "broker.example".into()]).unwrap();
        assert!(server.key.is_some() && server.certificate.contains("BEGIN CERTIFICATE"));
        let issued = authority.issued().unwrap();
        assert_eq!(issued.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["school.gw-1", "broker"]);
        let authority = Authority::open(folder.path()).unwrap();
        let der = pem_der(&pem).unwrap();
        assert!(authority.counts(&der).unwrap().is_some());
        let before = authority.crl().unwrap();
        assert_eq!(authority.revoke("school.gw-1").unwrap(), 1);
        assert!(authority.counts(&der).unwrap().is_none());
        assert!(authority.crl().unwrap().len() > before.len());
        assert!(matches!(authority.revoke("school.gw-1"), Err(AuthorityError::Nobody(_))));
        assert!(authority.was_revoked("school.gw-1").unwrap() && !authority.was_revoked("broker").unwrap());
        assert!(authority.client(b"no request", "x", 1).is_err());
    }

    #[test]
    fn a_request_with_bytes_behind_its_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::make(folder.path(), "Fleet").unwrap();
        let csr = pem_der(&identity::request("new").unwrap().csr_pem).unwrap();
        for behind in [&b"\0"[..], b"0123", &csr] {
            let longer = [&csr, behind].concat();
            assert!(authority.client(&longer, "school.gw-1", 90).is_err(), "{} bytes", behind.len());
        }
        assert!(authority.client(&csr[..csr.len() - 1], "school.gw-1", 90).is_err());
        assert!(authority.issued().unwrap().is_empty());
        assert!(authority.client(&csr, "school.gw-1", 90).is_ok());
    }

    #[test]
    fn a_line_that_a_power_cut_has_torn_stops_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::make(folder.path(), "Fleet").unwrap();
        let issue = |name: &str| {
            let request = identity::request("whatever").unwrap();
            authority.client(&pem_der(&request.csr_pem).unwrap(), name, 90).unwrap()
        };
        let first = issue("school.gw-1");
        issue("school.gw-2");
        let path = authority.register();
        let text = fs::read_to_string(&path).unwrap();
        for torn in
            [text[..text.len() - 40].to_owned(), format!("{text}\0\0\0"), text[..text.len() - 1].into()]
        {
            fs::write(&path, torn).unwrap();
            let third = issue("school.gw-3");
            for pem in [&first, &third] {
                assert!(authority.counts(&pem_der(pem).unwrap()).unwrap().is_some());
            }
            assert!(authority.crl().is_ok());
        }
        fs::write(&path, format!("what is this?\n{text}")).unwrap();
        assert!(matches!(authority.issued(), Err(AuthorityError::Register(_, 1, _))), "edited by hand");
    }

    #[test]
    fn a_renewal_is_proved_with_the_key_before() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::make(folder.path(), "Fleet").unwrap();
        let (first, next) = (identity::request("a").unwrap(), identity::request("a").unwrap());
        let csr = |r: &identity::Request| pem_der(&r.csr_pem).unwrap();
        let certificate = pem_der(&authority.client(&csr(&first), "s.a", 1).unwrap()).unwrap();
        let proof = identity::prove(&first.key_pem, &csr(&next)).unwrap();
        assert!(identity::is_proved(&certificate, &csr(&next), &proof));
        assert!(!identity::is_proved(&certificate, &csr(&first), &proof));
        let other = identity::prove(&next.key_pem, &csr(&next)).unwrap();
        assert!(!identity::is_proved(&certificate, &csr(&next), &other));
        assert!(!identity::is_proved(b"none", &csr(&next), &proof));
    }
}
