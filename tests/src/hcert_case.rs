//! The cases of the published HCERT test data: what each stage is given and what is expected.

use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_core::pass::cose::{CoseError, Sign1};
use kakou_core::pass::trust::{KeyEntry, Signer, TrustFile, TrustList};
use kakou_core::pass::{Check, Pass, Refused, base45, check, hcert};
use kakou_core::time::parse_instant;
use kakou_provisioning::certificate::{self, CertificateError};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// One case.
pub struct Case {
    /// Its file below the folder.
    pub name: String,
    json: Value,
}

/// A field that a case expects, and what we find.
pub struct Judged {
    /// The field without its `EXPECTED`.
    pub field: &'static str,
    /// What the case says.
    pub expected: bool,
    /// What we say.
    pub found: bool,
    /// Why a disagreement is right.
    pub excuse: Option<&'static str>,
}

/// Reads every case below a folder.
pub fn load(folder: &Path) -> std::io::Result<Vec<Case>> {
    let mut files = Vec::new();
    walk(folder, &mut files)?;
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read(&file)?;
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
        if let Ok(json) = serde_json::from_slice::<Value>(text)
            && json.get("EXPECTEDRESULTS").is_some_and(Value::is_object)
        {
            let name = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
            cases.push(Case { name, json });
        }
    }
    Ok(cases)
}

fn walk(folder: &Path, out: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "json") {
            out.push(path);
        }
    }
    Ok(())
}

/// Whether a certificate's key is of a curve that no pass is signed on.
fn of_another_curve(der: &[u8]) -> bool {
    matches!(certificate::entry(der), Err(CertificateError::Key(_)))
}

/// The bytes of hexadecimal digits; none where there are others.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(text.get(i..i + 2)?, 16).ok()).collect()
}

impl Case {
    fn text(&self, key: &str) -> Option<&str> {
        self.json.get(key).and_then(Value::as_str)
    }
    fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.text(key).and_then(unhex)
    }
    fn expects(&self, key: &str) -> Option<bool> {
        self.json["EXPECTEDRESULTS"].get(key).and_then(Value::as_bool)
    }

    /// The text of the code; made from the inner stages where a case has only those.
    pub fn code(&self) -> Option<String> {
        if let Some(text) = self.text("PREFIX") {
            return Some(text.to_owned());
        }
        if let Some(text) = self.text("BASE45") {
            return Some(format!("HC1:{text}"));
        }
        let inner = self.bytes("COMPRESSED").or_else(|| self.bytes("COSE"))?;
        Some(format!("HC1:{}", base45::encode(&inner)))
    }

    /// The moment at which it is to be judged, UTC milliseconds.
    pub fn clock_ms(&self) -> Option<i64> {
        self.json["TESTCTX"]["VALIDATIONCLOCK"].as_str().and_then(parse_instant)
    }

    fn certificate(&self) -> Option<Vec<u8>> {
        self.json["TESTCTX"]["CERTIFICATE"].as_str().and_then(|c| STANDARD.decode(c.trim()).ok())
    }

    /// The case's certificate as the only key, under the key id that the code names: the published
    /// ids do not always follow the rule for them.
    pub fn keys(&self) -> Vec<KeyEntry> {
        let Some(mut entry) = self.certificate().and_then(|der| certificate::entry(&der).ok()) else {
            return Vec::new();
        };
        if let Some(kid) =
            self.cose().and_then(|m| Sign1::read(&m).ok().map(|s| s.kid)).filter(|k| !k.is_empty())
        {
            entry.kid = STANDARD.encode(kid);
        }
        vec![entry]
    }

    /// The keys as a trust list file.
    pub fn trust_file(&self) -> TrustFile {
        TrustFile {
            name: "trust".into(),
            version: 1,
            issued: self.clock_ms().unwrap_or(0) / 1000,
            keys: self.keys(),
        }
    }

    fn trust(&self) -> TrustList {
        TrustList::from_file(&self.trust_file(), "trust").unwrap_or_default()
    }

    /// What the library says of the whole code.
    pub fn verdict(&self) -> Option<Result<Pass, Refused>> {
        let (code, trust) = (self.code()?, self.trust());
        let now_s = self.clock_ms().map(|ms| ms.div_euclid(1000));
        Some(check(code.as_bytes(), Check { trust: &trust, now_s, region: "" }))
    }

    fn decoded(&self) -> Option<Vec<u8>> {
        let text = match self.text("PREFIX") {
            Some(text) => text.as_bytes().strip_prefix(hcert::PREFIX)?,
            None => self.text("BASE45")?.as_bytes(),
        };
        base45::decode(text).ok()
    }

    fn inflated(&self) -> Option<Vec<u8>> {
        let bytes = self.bytes("COMPRESSED").or_else(|| self.decoded())?;
        hcert::inflate(&bytes).ok()
    }

    fn cose(&self) -> Option<Vec<u8>> {
        let from_code = || {
            let bytes = self.decoded()?;
            if hcert::is_zlib(&bytes) { hcert::inflate(&bytes).ok() } else { Some(bytes) }
        };
        self.bytes("COSE").or_else(|| self.inflated()).or_else(from_code)
    }

    /// Judges each stage that the case speaks of.
    pub fn judge(&self) -> Vec<Judged> {
        let cose = self.cose();
        let message = cose.as_deref().and_then(|m| Sign1::read(m).ok());
        let claims = message.as_ref().and_then(|m| hcert::claims(m.payload).ok());
        let signer = message.as_ref().map(|m| self.trust().signer(m));
        let signed = matches!(signer, Some(Signer::Found(_)));
        let may =
            claims.as_ref().is_some_and(|c| self.keys().iter().any(|k| k.usages.contains(&c.usage.into())));
        let in_time = match (&claims, self.clock_ms()) {
            (Some(c), Some(ms)) => c.cwt.fault_at(ms.div_euclid(1000)).is_none(),
            _ => false,
        };
        let same = |made: Option<Vec<u8>>, key: &str| {
            made.is_some() && self.bytes(key).is_none_or(|k| Some(k) == made)
        };
        let unprefixed = self.text("PREFIX").is_some_and(|t| t.as_bytes().starts_with(hcert::PREFIX));
        let stages = [
            ("EXPECTEDUNPREFIX", "UNPREFIX", unprefixed),
            ("EXPECTEDB45DECODE", "B45DECODE", same(self.decoded(), "COMPRESSED")),
            ("EXPECTEDCOMPRESSION", "COMPRESSION", same(self.inflated(), "COSE")),
            ("EXPECTEDDECODE", "DECODE", claims.is_some()),
            ("EXPECTEDVERIFY", "VERIFY", signed),
            ("EXPECTEDKEYUSAGE", "KEYUSAGE", may),
            ("EXPECTEDEXPIRATIONCHECK", "EXPIRATIONCHECK", in_time),
        ];
        let mut out = Vec::new();
        for (key, field, found) in stages {
            if let Some(expected) = self.expects(key) {
                let excuse = if expected == found { None } else { self.excuse(field, cose.as_deref()) };
                out.push(Judged { field, expected, found, excuse });
            }
        }
        out
    }

    /// Disagreements that are right, each for a written reason that the case itself shows.
    fn excuse(&self, field: &str, cose: Option<&[u8]>) -> Option<&'static str> {
        let message = cose.map(Sign1::read);
        if let Some(Err(e)) = &message
            && matches!(e, CoseError::AlgUnprotected)
        {
            return Some(
                "the algorithm stands in the unprotected header alone: nothing protects it, so it is refused",
            );
        }
        match field {
            "VERIFY" if self.certificate().is_some_and(|der| of_another_curve(&der)) => Some(
                "the algorithm says ES256, but the certificate's key is not on P-256 (known issue of these cases)",
            ),
            _ => None,
        }
    }
}
