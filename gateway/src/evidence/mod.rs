//! The evidence of a visit as one file, for an office that has no gateway: a page that every browser opens, with the
//! photographs in it, and the records behind it for `kakou evidence verify`.
//!
//! The file is HTML without scripts or links: the page; then, as JSON in an element of its own, the [`Content`]; and as
//! its last line the signature of everything before it, with the gateway's key. Nothing in the file is trusted: whoever
//! verifies gives the root of the fleet (or the public key of the gateway), and the file shows by a certificate of
//! that root that its key is the gateway's.
//!
//! Records of other visits are not in it: their links of the chain are, as the hashes of their bodies.

pub mod export;
pub mod ledger;
pub mod page;
pub mod trust;
pub mod verify;

use kakou_core::evidence::Checkpoint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The form of the content that this version writes and reads.
pub const FORM: u32 = 1;
/// The form of the page: a verifier of another one does not compare the page with the records.
pub const PAGE: u32 = 1;
/// The largest file that is verified, in bytes.
pub const LARGEST: u64 = 512 << 20;

/// Before the content in the page.
const CONTENT: &str = "<script type=\"application/json\" id=\"kakou-evidence\">";
/// Behind it.
const CONTENT_END: &str = "</script>";
/// Before the signature, in the last line.
const SIGNATURE: &str = "<!-- kakou-evidence-signature-v1 ";
/// Behind it.
const SIGNATURE_END: &str = " -->\n";

/// What machines read in a file of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// [`FORM`].
    pub form: u32,
    /// [`PAGE`].
    pub page: u32,
    /// The site.
    pub site: String,
    /// The gateway.
    pub gateway: String,
    /// The epoch of its journal.
    pub epoch: u64,
    /// When the file was made, UTC milliseconds by the clock of the box.
    pub made_ms: i64,
    /// Minutes of the site's clock from UTC, for the page.
    pub utc_offset_minutes: i32,
    /// The key that signs, and who vouches for it.
    pub key: Key,
    /// The visit that was asked for, as `lane/number`; then those that are linked with it by a seal.
    pub visits: Vec<String>,
    /// By which seals.
    pub links: Vec<Link>,
    /// The numbers of their records, ascending.
    pub numbers: Vec<u64>,
    /// The records, in that order.
    pub records: Vec<Record>,
    /// The parts of the chain that they lie in.
    pub segments: Vec<Segment>,
    /// The photographs that the records name.
    pub photos: Vec<Photo>,
    /// Up to where the central side had receipted each stream, as the gateway knew it.
    pub receipts: BTreeMap<String, u64>,
}

/// The key of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Ed25519, 32 bytes in hexadecimal.
    pub public: String,
    /// The certificate of the box, DER in base64, and those between it and the root; none if it was never enrolled.
    pub certificates: Vec<String>,
    /// The word of the certificate's key for this one ([`endorsed`]): ECDSA on P-256 with SHA-256, ASN.1 in base64.
    pub endorsement: String,
}

/// What the key of the certificate signs.
pub fn endorsed(site: &str, gateway: &str, public: &str) -> String {
    format!("kakou-evidence-key-v1 {site}.{gateway} {public}")
}

/// What a visit has to do with one before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The number of the seal.
    pub seal: String,
    /// What happened to it there: `applied`, `resealed`, `verified`, `breach`, `checked`.
    pub what: String,
    /// The visit.
    pub visit: String,
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its number.
    pub seq: u64,
    /// The event, byte for byte as the chain has it.
    pub body: String,
}

/// A part of the chain without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// The event before its first one; 0 for the beginning of the journal.
    pub after: u64,
    /// The hash of that event, hexadecimal.
    pub hash: String,
    /// The hashes of the bodies that follow, hexadecimal.
    pub bodies: Vec<String>,
    /// The signed heads in it, from that of the first event before it, if there is one, to the one behind its last.
    pub heads: Vec<Checkpoint>,
}

impl Segment {
    /// Its last event.
    pub fn last(&self) -> u64 {
        self.after + self.bodies.len() as u64
    }
}

/// A photograph that a record names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Photo {
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// What it shows, as the record says.
    pub role: String,
    /// `here`: in the file. `removed`: its time was over. `shed`: the disk was full. `missing`: nobody knows why.
    pub state: String,
}
