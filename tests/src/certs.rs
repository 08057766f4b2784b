//! A certificate authority for tests.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::path::{Path, PathBuf};

/// Files of a certificate authority and what it signed.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    /// The root certificate.
    pub ca: PathBuf,
}

impl Authority {
    /// A fresh root in a folder.
    pub fn new(folder: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test root");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key).expect("a root");
        let ca = folder.join("ca.pem");
        std::fs::write(&ca, root.pem()).expect("a file");
        Self { issuer: Issuer::new(params, key), folder: folder.to_path_buf(), ca }
    }

    /// A certificate for a name and 127.0.0.1: the files of certificate and key.
    pub fn issue(&self, name: &str, server: bool) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let names = if server { vec!["127.0.0.1".to_owned(), "localhost".to_owned()] } else { vec![] };
        let mut params = CertificateParams::new(names).expect("good names");
        params.distinguished_name.push(DnType::CommonName, name);
        let purpose =
            if server { ExtendedKeyUsagePurpose::ServerAuth } else { ExtendedKeyUsagePurpose::ClientAuth };
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.issuer).expect("a signature");
        let (cert, file) = (self.folder.join(format!("{name}.pem")), self.folder.join(format!("{name}.key")));
        std::fs::write(&cert, certificate.pem()).expect("a file");
        std::fs::write(&file, key.serialize_pem()).expect("a file");
        (cert, file)
    }
}
