//! What the central side signs about a feed: its head, and an entry that comes by itself.

use kakou_core::pass::trust::Usage;
use kakou_core::records::LISTS;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The type of a signed head.
pub const HEAD: &str = "kakou-feed";
/// The type of a signed entry.
pub const ENTRY: &str = "kakou-entry";
/// A QR code that holds a signed entry begins so.
pub const ENTRY_PREFIX: &[u8] = b"KE1:";
/// And is not larger: a QR code has no room for more.
pub const ENTRY_MAX: u64 = 4_096;
/// Bytes of a chunk of a feed's body.
pub const CHUNK: usize = 64 << 10;
/// Chunks that are asked for together.
pub const GROUP: u32 = 16;
/// A body that is larger is no feed.
pub const MAX_BODY: u64 = 2 << 30;

/// The newest edition of a feed, and the ways to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Which feed: a list's name.
    pub feed: String,
    /// The edition; it only grows.
    pub version: u64,
    /// When it was issued, UTC seconds.
    pub issued: i64,
    /// The bodies that lead to it: a snapshot, and changes of earlier editions.
    pub parts: Vec<Part>,
    /// Where the bodies are as files named by their hash, https://…; otherwise they come by the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Of `policy`: from when it counts, UTC seconds; without it, at once. Until then it waits at the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// What must come out before it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canary: Vec<Canary>,
}

/// A look-up that must come out so before an edition counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The id.
    pub id: String,
    /// Facts that the entry must have; without them, there must be no entry.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub facts: Option<Map<String, Value>>,
}

/// One body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The edition that it changes; none for a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// The hash of the body.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// One entry of a list, by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Which feed.
    pub feed: String,
    /// When it was issued, UTC milliseconds.
    pub issued_ms: i64,
    /// The id.
    pub id: String,
    /// The facts; none takes the entry away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub facts: Option<Map<String, Value>>,
}

/// What a key must be allowed to sign for a feed.
pub fn usage(feed: &str) -> Usage {
    if feed == "trust" { Usage::TrustUpdate } else { Usage::Feed }
}

/// Whether a hash is one: it becomes part of a file name and a topic.
pub fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl Head {
    /// What is wrong with it, apart from its signature.
    pub fn fault(&self) -> Option<String> {
        if !LISTS.contains(&self.feed.as_str()) {
            return Some(format!("`{}` is not a feed; there are: {}", self.feed, LISTS.join(", ")));
        }
        if self.version == 0 || self.version > i64::MAX.cast_unsigned() {
            return Some("an edition is a number from 1".into());
        }
        if self.from.is_some() && self.feed != "policy" {
            return Some(format!("`{}` has no `from`: only `policy` counts from a time", self.feed));
        }
        let bad = self.parts.iter().find(|p| !is_hash(&p.sha256) || p.bytes > MAX_BODY);
        bad.map(|p| format!("part `{}` has no good hash or size", p.sha256))
    }

    /// The smallest body that leads from an edition to this one.
    pub fn part_from(&self, version: Option<u64>) -> Option<&Part> {
        // By the time that it counts another edition may be in use than now.
        let fits = |p: &&Part| p.base.is_none() || (p.base == version && self.from.is_none());
        self.parts.iter().filter(fits).min_by_key(|p| (p.bytes, p.base.is_none()))
    }

    /// How many chunks a part has.
    pub fn chunks(part: &Part) -> u32 {
        u32::try_from(part.bytes.div_ceil(CHUNK as u64)).unwrap_or(u32::MAX)
    }
}

/// The topic of a head.
pub fn head_topic(feed: &str) -> String {
    format!("kakou/v1/feed/{feed}/head")
}

/// The topic of a chunk; a group of them is asked for with `+` as the number.
pub fn chunk_topic(feed: &str, sha256: &str, group: u32, n: &str) -> String {
    format!("kakou/v1/feed/{feed}/body/{sha256}/{group}/{n}")
}
