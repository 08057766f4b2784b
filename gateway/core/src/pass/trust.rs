//! The trust list: which keys may sign what.
//!
//! A key that signs residents' cards does not sign vehicle permits: each key carries a usage
//! mask. Keys come from the list alone; nothing inside a code can name, fetch or alter one.
//!
//! Who signed is told by the public key, never by its id: national lists hold renewed certificates over one
//! key, and each certificate gives it another id. All of them are one signer for uses and revocations.

use super::cose::{Alg, Sign1};
use super::public_key;
use crate::evidence::Hash;
use crate::hex::hex;
use crate::text::{json_fault, line_at, without_mark};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// What a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// KP1 resident card.
    ResidentCard,
    /// KP1 vehicle pass.
    VehiclePass,
    /// KP1 staff badge.
    StaffBadge,
    /// KP1 companion card.
    CompanionCard,
    /// KP1 release slip.
    ReleaseSlip,
    /// KP1 roster entry.
    RosterEntry,
    /// KP1 trust update.
    TrustUpdate,
    /// KP1 provisioning code.
    ProvisioningCode,
    /// HCERT test certificate.
    HcertTest,
    /// HCERT vaccination certificate.
    HcertVaccination,
    /// HCERT recovery certificate.
    HcertRecovery,
    /// Feeds of the central side: every list but the trust list.
    Feed,
    /// Commands that touch a lane: open it, show a message, take a photograph.
    Operate,
    /// Commands that touch the box: diagnostics, certificate, profiles, restart.
    Maintain,
    /// Configuration.
    Configure,
    /// Questions about who was where.
    Trace,
}

/// A usage as a list names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum UsageName {
    /// One that this program knows.
    Known(Usage),
    /// A word of a newer program: kept, and good for nothing here.
    Unknown(String),
}

impl From<Usage> for UsageName {
    fn from(usage: Usage) -> Self {
        Self::Known(usage)
    }
}

/// An algorithm as a list names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AlgName {
    /// One that this program knows.
    Known(Alg),
    /// A word of a newer program: its key is kept, and counts for nothing here.
    Unknown(String),
}

impl From<Alg> for AlgName {
    fn from(alg: Alg) -> Self {
        Self::Known(alg)
    }
}

/// One key as the list file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Key id, base64. Several keys may share one, and one key may have several.
    pub kid: String,
    /// The one algorithm of this key.
    pub alg: AlgName,
    /// Public key, base64: ES256 the uncompressed point (65 bytes), EdDSA 32 bytes, PS256 the
    /// DER `RSAPublicKey`; or of any of them the DER `SubjectPublicKeyInfo` or certificate.
    pub key: String,
    /// What it may sign.
    pub usages: Vec<UsageName>,
    /// Who holds it, for people.
    #[serde(default)]
    pub issuer: String,
    /// Where its passes count; everywhere if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Not before, UTC seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Expiry, UTC seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
}

/// The list file, JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    /// Always `trust`.
    pub name: String,
    /// Grows by one with each edition.
    pub version: u64,
    /// When it was issued, UTC seconds.
    pub issued: i64,
    /// The keys.
    pub keys: Vec<KeyEntry>,
}

impl TrustFile {
    /// Reads the file.
    pub fn read(json: &[u8]) -> Result<Self, TrustError> {
        let json = without_mark(json);
        serde_json::from_slice(json).map_err(|e| TrustError::Json(json_fault(json, &e)))
    }
}

/// The line where an entry of a list file begins.
fn line_of(json: &[u8], index: usize) -> Option<usize> {
    #[derive(Deserialize)]
    struct Entries<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let entries: Entries<'_> = serde_json::from_slice(json).ok()?;
    let at = entries.keys.get(index)?.get().as_ptr().addr().checked_sub(json.as_ptr().addr())?;
    Some(line_at(json, at))
}

/// Why a trust list is refused.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not the JSON that it should be.
    #[error("the list is not JSON of its form: {0}")]
    Json(String),
    /// A list of another name.
    #[error("this is the list `{0}`, not `{1}`")]
    Name(String, &'static str),
    /// An entry cannot be used.
    #[error("{}key {}: {why}", line.map(|l| format!("line {l}: ")).unwrap_or_default(), index + 1)]
    Key {
        /// Which, from 0.
        index: usize,
        /// The line of the file where it begins.
        line: Option<usize>,
        /// What is wrong.
        why: String,
    },
}

#[derive(Debug, Clone)]
struct Key {
    alg: Alg,
    public: Vec<u8>,
    signer: SignerKey,
}

/// The list, ready for use.
#[derive(Debug, Clone, Default)]
pub struct TrustList {
    /// Edition.
    pub version: u64,
    /// When it was issued, UTC seconds.
    pub issued: i64,
    keys: BTreeMap<Vec<u8>, Vec<Key>>,
    /// The key ids of each signer.
    kids: BTreeMap<String, BTreeSet<Vec<u8>>>,
    count: usize,
    left_out: usize,
}

/// What the list says of a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// No key has this id: unknown, which is not the same as invalid.
    UnknownKey,
    /// Keys have this id, none of them made the signature.
    Mismatch,
    /// Signed by a key of the list; by several entries where one key stands there more than once.
    Found(Vec<SignerKey>),
}

/// The key behind a good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerKey {
    id: String,
    usages: Vec<Usage>,
    issuer: String,
    region: Option<String>,
    nbf: i64,
    exp: i64,
}

impl SignerKey {
    /// Whose key it is: the same under each of its ids and in each edition of the list.
    pub fn id(&self) -> &str {
        &self.id
    }
    /// Whether it may sign this.
    pub fn may(&self, usage: Usage) -> bool {
        self.usages.contains(&usage)
    }
    /// Who holds it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
    /// Whether it is valid at `now_s`, UTC seconds.
    pub fn valid_at(&self, now_s: i64) -> bool {
        (self.nbf..=self.exp).contains(&now_s)
    }
    /// Whether its passes count in `region`.
    pub fn covers(&self, region: &str) -> bool {
        self.region.as_deref().is_none_or(|r| r == region)
    }
}

impl TrustList {
    /// Reads a trust list.
    pub fn from_json(json: &[u8]) -> Result<Self, TrustError> {
        Self::read(json, "trust")
    }

    /// Reads the list of fleet keys: the same form, for who may sign messages to gateways.
    pub fn fleet(json: &[u8]) -> Result<Self, TrustError> {
        Self::read(json, "fleet")
    }

    fn read(json: &[u8], name: &'static str) -> Result<Self, TrustError> {
        let file = TrustFile::read(json)?;
        Self::from_file(&file, name).map_err(|e| match e {
            TrustError::Key { index, line: None, why } => {
                TrustError::Key { index, line: line_of(without_mark(json), index), why }
            }
            TrustError::Key { .. } | TrustError::Json(_) | TrustError::Name(..) => e,
        })
    }

    /// Takes a list whose form was read already.
    pub fn from_file(file: &TrustFile, name: &'static str) -> Result<Self, TrustError> {
        if file.name != name {
            return Err(TrustError::Name(file.name.clone(), name));
        }
        let mut list = Self { version: file.version, issued: file.issued, ..Self::default() };
        for (index, entry) in file.keys.iter().enumerate() {
            let bad = |why: String| TrustError::Key { index, line: None, why };
            // One key of a newer kind must not keep the others, and what the list takes back, from counting.
            let AlgName::Known(alg) = entry.alg else {
                list.left_out += 1;
                continue;
            };
            let kid = STANDARD.decode(&entry.kid).map_err(|_| bad("kid is not base64".into()))?;
            let key = STANDARD.decode(&entry.key).map_err(|_| bad("key is not base64".into()))?;
            if kid.is_empty() {
                return Err(bad("a key needs an id".into()));
            }
            let public = public_key::read(alg, &key).map_err(bad)?;
            if entry.usages.is_empty() {
                return Err(bad("a key without usages can sign nothing".into()));
            }
            let usages = entry.usages.iter().filter_map(|u| match u {
                UsageName::Known(usage) => Some(*usage),
                UsageName::Unknown(_) => None,
            });
            let id = signer_id(alg, &public);
            list.kids.entry(id.clone()).or_default().insert(kid.clone());
            list.keys.entry(kid).or_default().push(Key {
                alg,
                public,
                signer: SignerKey {
                    id,
                    usages: usages.collect(),
                    issuer: entry.issuer.clone(),
                    region: entry.region.clone(),
                    nbf: entry.nbf.unwrap_or(i64::MIN),
                    exp: entry.exp.unwrap_or(i64::MAX),
                },
            });
            list.count += 1;
        }
        Ok(list)
    }

    /// How many keys it holds.
    pub fn len(&self) -> usize {
        self.count
    }
    /// How many keys of the list count for nothing, since this program does not know their algorithms.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Finds who signed a message: every key that shares its kid is tried.
    pub fn signer(&self, message: &Sign1<'_>) -> Signer {
        self.signer_of(&message.kid, message.alg, &message.to_be_signed(), message.signature)
    }

    /// Finds who made a signature: every key that shares the kid is tried.
    pub fn signer_of(&self, kid: &[u8], alg: Alg, signed: &[u8], signature: &[u8]) -> Signer {
        let Some(keys) = self.keys.get(kid) else { return Signer::UnknownKey };
        let good = |key: &&Key| key.alg == alg && key.verifies(signed, signature);
        let found: Vec<SignerKey> = keys.iter().filter(good).map(|key| key.signer.clone()).collect();
        if found.is_empty() { Signer::Mismatch } else { Signer::Found(found) }
    }

    /// The ids under which the key of a signer stands here, hexadecimal.
    pub fn kids(&self, signer: &str) -> impl Iterator<Item = String> {
        self.kids.get(signer).into_iter().flatten().map(|kid| hex(kid))
    }

    /// The entries of a signer, for each of its key ids.
    pub fn entries(&self, signer: &str) -> Vec<Vec<SignerKey>> {
        let of_signer = |kid: &Vec<u8>| {
            let keys = self.keys.get(kid).into_iter().flatten().map(|key| &key.signer);
            keys.filter(|key| key.id == signer).cloned().collect()
        };
        self.kids.get(signer).into_iter().flatten().map(of_signer).collect()
    }
}

/// The name of a public key: the first half of a hash of its one form.
fn signer_id(alg: Alg, public: &[u8]) -> String {
    let named = [format!("{alg:?}:").as_bytes(), public].concat();
    hex(&Hash::of(&named).0[..16])
}

impl Key {
    fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self.alg {
            Alg::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
            Alg::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
            Alg::EdDSA => &signature::ED25519,
        };
        UnparsedPublicKey::new(algorithm, &self.public).verify(signed, signature).is_ok()
    }
}
