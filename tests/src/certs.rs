//! A certificate authority for tests.

use kakou_link::tls;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of a certificate authority and what it signed.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
    /// The root certificate.
    pub ca: PathBuf,
}

impl Authority {
    /// Leaves the root's key in the folder, for [`Authority::again`].
    pub fn keep(&self) {
        std::fs::write(self.folder.join("ca.key"), self.issuer.key().serialize_pem()).expect("a file");
    }
    /// The authority that left its key in a folder.
    pub fn again(folder: &Path) -> Self {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
        let key = KeyPair::from_pem(&read("ca.key")).expect("a key");
        let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), key).expect("a root");
        Self { issuer, folder: folder.to_path_buf(), ca: folder.join("ca.pem") }
    }
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

    /// Signs a request (PEM) into a file.
    pub fn sign(&self, csr: &str, file: &Path) {
        let mut request = CertificateSigningRequestParams::from_pem(csr).expect("a request");
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = request.signed_by(&self.issuer).expect("a signature");
        std::fs::write(file, certificate.pem()).expect("a file");
    }

    /// A certificate for a name, of a server for this machine's own addresses as well: the files of certificate and key.
    pub fn issue(&self, name: &str, server: bool) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key");
        let names =
            if server { ["127.0.0.1", "::1", "localhost"].map(str::to_owned).to_vec() } else { vec![] };
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

/// A client that knows these roots, and has no certificate.
pub fn client(ca: &Path) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for root in tls::certificates(ca).expect("roots") {
        roots.add(root).expect("roots");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("roots")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(client)
}
