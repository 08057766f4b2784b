//! What the gateways of a site tell each other: which single-use passes and seal numbers were used.
//!
//! A pass with a signer goes by its random id; one of a list by a key that is made of its plate, or of the number of
//! a person, with the key of the site, so that the broker cannot tell whose it is (`~list:KEY`); a seal by its number
//! (`~seal:NUMBER`). And what stands in the registers that the site shares: keys and holders are hashes with the key of
//! the site.

use kakou_core::ids::{GatewayId, LaneId, SiteId};
pub use kakou_core::records::{SEAL, seal_use as seal};
use kakou_core::register::Slot;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest name of a pass, signer and id, in bytes: a token's id is 16 bytes, a certificate's 80 letters.
pub const LONGEST_PASS: usize = 120;

/// What stands before the place of a slot, between uses and entries.
pub const SLOTS: &str = "v:";
/// The place between slots and entries.
pub const ENTRIES: &str = "e:";
/// The place behind all entries, whose names are hexadecimal: whoever asks there hears only for whom the other one waits.
pub const WAITS: &str = "e:~";
/// Names in a page at most. Whoever waits for more is not complete in any case.
pub const NAMES: usize = 8;
/// The longest place in an answer, in bytes: a pass, a slot, or the name of an entry, and what stands before it.
const PLACE: usize = 240;

/// The use of a pass, or of a seal, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// The pass: signer and id. `~list` stands for a pass without a signer, `~seal` for a seal.
    pub pass: String,
    /// The lane.
    #[schema(value_type = String)]
    pub lane: LaneId,
    /// The visit at that gateway.
    pub visit: u64,
    /// When, UTC milliseconds.
    pub at_ms: Option<i64>,
}

impl Used {
    /// Whether it is of the form that gateways tell: a signer, an id, both in plain characters.
    pub fn is_good(&self) -> bool {
        let parts = self.pass.split_once(':');
        self.pass.len() <= LONGEST_PASS
            && self.pass.bytes().all(|b| b.is_ascii_graphic())
            && parts.is_some_and(|(kid, id)| !kid.is_empty() && !id.is_empty())
    }
}

/// A slot of a register, as one gateway knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToldSlot {
    /// The slot: `register`, `key` and `holder` as hashes, the latest `put` and the latest `end`, each with its place in the
    /// order of all acts (`at`). Of two accounts of one slot the later put and the later end count.
    #[schema(value_type = Object)]
    pub slot: Slot,
    /// From the central side: whose word it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub teller: Option<GatewayId>,
}

impl From<Slot> for ToldSlot {
    fn from(slot: Slot) -> Self {
        Self { slot, teller: None }
    }
}

impl ToldSlot {
    /// Whether it is of the form that gateways tell.
    pub fn is_good(&self) -> bool {
        self.slot.is_good()
    }

    /// Its place in an answer.
    pub fn place(&self) -> String {
        let Slot { register, key, holder, part, .. } = &self.slot;
        format!("{SLOTS}{register}/{key}/{holder}/{part}")
    }
}

/// What a hospital's system told of a patient, or what an officer took back at the duty console (a pass, or somebody who is
/// held), as one gateway knows it: sealed with the key that the gateways of the site
/// share (ChaCha20-Poly1305; the key is HMAC-SHA256 of `kakou peer patient 1` with the subject key, the associated data
/// are `site/gateway`). Inside are the id, and what was told of each of its
/// lists; of two words of one entry the newer one counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ToldPatient {
    /// The number of the subject key.
    pub key: u32,
    /// The nonce, base64url.
    pub nonce: String,
    /// The ciphertext, base64url.
    pub sealed: String,
}

impl ToldPatient {
    /// Whether it is of the form that gateways tell.
    pub fn is_good(&self) -> bool {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        self.nonce.len() == 16 && plain(&self.nonce) && self.sealed.len() > 22 && plain(&self.sealed)
    }
}

/// A question for what another gateway knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ask {
    /// Whom it asks; nobody is everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub to: Option<GatewayId>,
    /// Up to where it was answered: what a page has given as `next`. Empty for the beginning, [`ENTRIES`] for the
    /// entries alone.
    #[serde(default)]
    pub after: String,
}

impl Ask {
    /// Whether it can be answered in a page: the place comes back in it.
    pub fn is_good(&self) -> bool {
        self.after.len() <= PLACE && !self.after.chars().any(char::is_control)
    }
}

/// A page of the answer: uses first, then slots of registers, then entries from codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page {
    /// Who has asked.
    #[serde(rename = "for")]
    #[schema(value_type = String)]
    pub asker: GatewayId,
    /// Where it begins, as it was asked.
    pub after: String,
    /// Uses of passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<KnownUse>,
    /// Slots of registers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<ToldSlot>,
    /// Texts of signed entries, as codes hold them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<String>,
    /// Where the next page begins; without it, this is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Gateways whose uses the answering one does not know yet itself; `central` is the central side. A gateway that
    /// waits has just come in the place of another. From the central side: gateways of which it does not know all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub waits_for: Vec<GatewayId>,
    /// From the central side: from when on it has heard whoever asks, UTC milliseconds; absent if never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
}

/// A use that a gateway knows of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownUse {
    /// The pass, as in [`Used`].
    pub pass: String,
    /// Where it was used.
    #[schema(value_type = String)]
    pub gateway: GatewayId,
    /// The lane.
    #[schema(value_type = String)]
    pub lane: LaneId,
    /// The visit at that gateway.
    pub visit: u64,
    /// When, UTC milliseconds.
    pub at_ms: Option<i64>,
    /// From the central side: whose word it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub teller: Option<GatewayId>,
}

impl KnownUse {
    /// As the gateway itself would tell it.
    pub fn used(&self) -> Used {
        let Self { pass, lane, visit, at_ms, .. } = self;
        Used { pass: pass.clone(), lane: lane.clone(), visit: *visit, at_ms: *at_ms }
    }
}

impl Page {
    /// One with nothing in it.
    pub fn empty(asker: GatewayId, after: String) -> Self {
        Self {
            asker,
            after,
            uses: vec![],
            slots: vec![],
            entries: vec![],
            next: None,
            waits_for: vec![],
            since_ms: None,
        }
    }

    /// Whether it leads on: behind a place comes a later one, so that an answer has an end.
    pub fn is_good(&self) -> bool {
        fn place(text: &str) -> (bool, &str) {
            (text.starts_with(ENTRIES), text)
        }
        let behind = |next: &String| next.len() <= PLACE && place(next) > place(&self.after);
        self.next.as_ref().is_none_or(behind)
            && self.uses.iter().all(|known| known.used().is_good())
            && self.slots.iter().all(ToldSlot::is_good)
    }
}

/// Where a gateway tells of uses, slots and patients, and says that it is new, asks and answers: `redemption`, `slot`,
/// `patient`, `hello`, `ask`, `tell`.
pub fn topic(site: &SiteId, gateway: &str, kind: &str) -> String {
    format!("kakou/v1/{site}/peer/{gateway}/{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_names_a_signer_and_an_id_and_is_short() {
        let used =
            |pass: &str| Used { pass: pass.into(), lane: LaneId::new("l").unwrap(), visit: 1, at_ms: None };
        assert!(used("8ed05c50cb24b41b:Zm9vYmFyYmF6cXV4MTIzNA").is_good());
        assert!(used(&format!("k:{}", "x".repeat(LONGEST_PASS - 2))).is_good());
        let long = format!("k:{}", "x".repeat(LONGEST_PASS - 1));
        for bad in ["", ":", ":辽P12345@1-2", ":P-1", "k:", "k", "k:a b", "k:a\nb", "k:辽", &long] {
            assert!(!used(bad).is_good(), "{bad}");
        }
    }

    #[test]
    fn a_question_that_would_not_fit_an_answer_and_an_answer_that_leads_nowhere_are_not_taken() {
        let ask = |after: &str| Ask { to: None, after: after.into() };
        let long = "x".repeat(PLACE + 1);
        for (after, good) in
            [("", true), (ENTRIES, true), ("u:k:1", true), (long.as_str(), false), ("u:\u{1}", false)]
        {
            assert_eq!(ask(after).is_good(), good, "{after:?}");
        }
        let leads = |after: &str, next: Option<&str>| {
            let (asker, next) = (GatewayId::new("gw-1").unwrap(), next.map(str::to_owned));
            Page { next, ..Page::empty(asker, after.into()) }.is_good()
        };
        assert!(leads("", None) && leads("", Some("u:k:1")) && leads("u:k:1", Some("u:k:2")));
        assert!(
            leads("u:k:2", Some("v:"))
                && leads("v:", Some("v:a/b"))
                && leads("v:a/b", Some("e:"))
                && leads("e:", Some("e:00"))
                && leads("e:00", None)
        );
        for (after, next) in [("u:k:1", "u:k:1"), ("u:k:2", "u:k:1"), ("e:00", "u:k:1"), ("", "")] {
            assert!(!leads(after, Some(next)), "{after} {next}");
        }
    }
}
