//! Passes: from the text of a code to a checked pass, offline.
//!
//! Order: what stands around the text, prefix, base45, bounded inflate, COSE, keys by kid, signature over the received bytes,
//! key usage, region and validity, then the token's own validity. Revocation, holds and use
//! counters need the store and follow in the lane's verify step.

pub mod base45;
pub mod cbor;
pub mod cose;
pub mod cwt;
pub mod hcert;
pub mod id;
pub mod kp1;
pub mod numbers;
pub mod plate;
pub mod public_key;
pub mod trust;

use crate::codes::Code;
pub use crate::hex::{hex, unhex};
use crate::text::trimmed_bytes;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cose::Sign1;
use cwt::Cwt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use trust::{Signer, SignerKey, TrustList, Usage};

/// The longest text that is looked at: a QR code of version 40 holds 4296 alphanumeric characters.
pub const MAX_TEXT: usize = 4296;
/// The longest text that is taken for an opaque id.
pub const MAX_OPAQUE: usize = 64;

/// The family of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Our own profile.
    Kp1,
    /// EU Digital COVID Certificate.
    Hcert,
    /// An id to be looked up on this gateway.
    Opaque,
}

impl Format {
    /// Tells the family from the first characters; everything that is not marked is an id.
    pub fn of(text: &[u8]) -> Self {
        if text.starts_with(kp1::PREFIX) {
            Self::Kp1
        } else if text.starts_with(hcert::PREFIX) {
            Self::Hcert
        } else {
            Self::Opaque
        }
    }
    /// The word as screens and `--json` write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kp1 => "KP1",
            Self::Hcert => "HCERT",
            Self::Opaque => "opaque",
        }
    }
}

/// What command codes of staff begin with: no id does.
pub const COMMAND_SCHEME: &str = "KC1:";

/// The kind of what stands for a pass where a form says whose visit it is.
pub const FORM: &str = "form";

/// A pass whose signature, usage and validity were checked, or an id that needs no signature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// Its family.
    pub format: Format,
    /// Its kind as profiles write it: `resident-card`, `vehicle-pass`, `hcert-test`, `opaque` …
    pub kind: String,
    /// The key id that it names, hexadecimal; empty for an opaque id.
    pub kid: String,
    /// Who signed it, told by the public key; empty for an opaque id, and in a visit of an earlier version.
    #[serde(default)]
    pub signer: String,
    /// The pass id: the token id or the certificate identifier; never anything of the signature.
    pub id: String,
    /// Whom or what it is about: a resident's id, a plate, the opaque id itself.
    pub subject: String,
    /// Full name, where the pass carries one.
    pub name: Option<String>,
    /// Expiry, UTC seconds.
    pub exp: Option<i64>,
    /// What rules may ask.
    pub facts: Map<String, Json>,
}

impl Pass {
    /// What makes it this pass and no other: who signed it and its id. The key id that it names is no part of
    /// that, since one key may have several and not all stand under the signature.
    pub fn identity(&self) -> String {
        let signer = if self.signer.is_empty() { &self.kid } else { &self.signer };
        format!("{signer}:{}", self.id)
    }

    /// What its use goes by at a gateway. A pass of a list has no id of its own: for the same plate, another window
    /// (not before, end) is another pass.
    pub fn used_as(&self, window: [Option<i64>; 2]) -> String {
        if !self.kid.is_empty() || window == [None, None] {
            return self.identity();
        }
        let [from, to] = window.map(|ms| ms.map(|ms| ms.to_string()).unwrap_or_default());
        format!(":{}@{from}-{to}", self.id)
    }

    /// The ids of its key: the one that it names and all others under which the list has that key.
    pub fn kids(&self, trust: &TrustList) -> BTreeSet<String> {
        let named = (!self.kid.is_empty()).then(|| self.kid.clone());
        named.into_iter().chain(trust.kids(&self.signer)).collect()
    }
}

/// A code that did not become a pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// The reason.
    pub code: Code,
    /// Its family.
    pub format: Format,
    /// The key id that it names, hexadecimal.
    pub kid: String,
    /// What exactly was wrong, for the log and for `kakou verify`; no person's data.
    pub why: String,
    /// The pass itself, if its signature was good: an expired card still says whose it is.
    pub pass: Option<Box<Pass>>,
}

/// What a check needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    /// The keys.
    pub trust: &'a TrustList,
    /// Now in UTC seconds; without it no validity can be judged.
    pub now_s: Option<i64>,
    /// The region of this gateway, for keys that count in one region only.
    pub region: &'a str,
}

struct Token {
    cwt: Cwt,
    usage: Usage,
    kind: &'static str,
    id: String,
    subject: String,
    name: Option<String>,
    facts: Map<String, Json>,
}

/// Checks the text of a code.
pub fn check(text: &[u8], with: Check<'_>) -> Result<Pass, Refused> {
    // No pass ends in a blank: base45 has none there.
    let text = trimmed_bytes(text);
    let format = Format::of(text);
    let refused = |code, kid: &[u8], why: String| Refused { code, format, kid: hex(kid), why, pass: None };
    let unreadable = |why: String| refused(Code::C_UNREADABLE, &[], why);
    if text.len() > MAX_TEXT {
        return Err(unreadable(format!("longer than {MAX_TEXT} characters")));
    }
    let message = match format {
        Format::Opaque => return opaque(text).ok_or_else(|| unreadable("neither a pass nor an id".into())),
        Format::Kp1 => base45::decode(&text[kp1::PREFIX.len()..]).map_err(|e| unreadable(e.to_string()))?,
        Format::Hcert => {
            let bytes =
                base45::decode(&text[hcert::PREFIX.len()..]).map_err(|e| unreadable(e.to_string()))?;
            if hcert::is_zlib(&bytes) {
                hcert::inflate(&bytes).map_err(|e| unreadable(e.to_string()))?
            } else {
                bytes
            }
        }
    };
    let message = Sign1::read(&message).map_err(|e| unreadable(e.to_string()))?;
    if format == Format::Kp1 && !message.kid.is_empty() && !message.kid_protected {
        // What a key may sign goes by its id: nobody may choose it afterwards.
        return Err(unreadable(
            "the key id of a KP1 pass stands in the protected header, here it does not".into(),
        ));
    }
    let kid = message.kid.clone();
    let keys = match with.trust.signer(&message) {
        Signer::UnknownKey => {
            return Err(refused(Code::C_UNKNOWN, &kid, "no trusted key has this id".into()));
        }
        Signer::Mismatch => return Err(refused(Code::C_BADSIG, &kid, "the signature does not fit".into())),
        Signer::Found(keys) => keys,
    };
    let token = read_token(format, message.payload).map_err(|why| refused(Code::C_UNREADABLE, &kid, why))?;
    let signer = keys.first().map(|key| key.id().to_owned()).unwrap_or_default();
    // A key id under the signature is the word of the signer: its entries count, and no others. One outside of it
    // may be any id of the key, at the choice of whoever carries the pass: it gets what every one of them gives,
    // so that no choice gives more than another. Only its time may come from any of them: of a certificate that
    // was renewed the earlier one runs out, while the key goes on.
    let mut ids = if message.kid_protected { vec![keys] } else { with.trust.entries(&signer) };
    let mut every_id = |gives: &dyn Fn(&SignerKey) -> bool| {
        ids.iter_mut().for_each(|entries| entries.retain(gives));
        ids.iter().all(|entries| !entries.is_empty())
    };
    if !every_id(&|key| key.may(token.usage)) {
        return Err(refused(Code::C_WRONG_SITE, &kid, "the key may not sign this kind of pass".into()));
    }
    let cwt = token.cwt;
    let pass = Pass {
        format,
        kind: token.kind.to_owned(),
        kid: hex(&kid),
        signer,
        id: token.id,
        subject: token.subject,
        name: token.name,
        exp: cwt.exp,
        facts: token.facts,
    };
    let known =
        |code, why: &str| Refused { pass: Some(Box::new(pass.clone())), ..refused(code, &kid, why.into()) };
    if !every_id(&|key| key.covers(with.region)) {
        return Err(known(Code::C_WRONG_SITE, "the key does not count in this region"));
    }
    let Some(now_s) = with.now_s else { return Err(known(Code::X_CLOCK, "the time is not known")) };
    if !ids.iter().flatten().any(|key| key.valid_at(now_s)) {
        return Err(known(Code::C_EXPIRED, "the key is not valid now"));
    }
    if let Some(why) = cwt.fault_at(now_s) {
        return Err(known(Code::C_EXPIRED, why));
    }
    Ok(pass)
}

/// The kind that a KP1 pass says it is, for whoever need not verify the passes of other kinds: nobody has verified it.
pub fn unverified_kind(text: &[u8]) -> Option<&'static str> {
    let text = Some(trimmed_bytes(text)).filter(|text| text.len() <= MAX_TEXT)?;
    let message = base45::decode(text.strip_prefix(kp1::PREFIX)?).ok()?;
    let message = Sign1::read(&message).ok()?;
    kp1::kind_word(kp1::claims(message.payload).ok()?.kind)
}

fn read_token(format: Format, payload: &[u8]) -> Result<Token, String> {
    match format {
        Format::Hcert => {
            let h = hcert::claims(payload).map_err(|e| e.to_string())?;
            let kind = h.kind();
            let (subject, id) = (id::normal(&h.uvci), h.uvci);
            Ok(Token { cwt: h.cwt, usage: h.usage, kind, id, subject, name: h.name, facts: h.facts })
        }
        Format::Kp1 => {
            let p = kp1::claims(payload).map_err(|e| e.to_string())?;
            let kind = kp1::kind_word(p.kind).ok_or("unknown kind")?;
            let text = |key: &str| p.facts.get(key).and_then(Json::as_str).map(str::to_owned);
            let id = URL_SAFE_NO_PAD.encode(&p.cwt.cti);
            let subject = if p.kind == Usage::VehiclePass {
                match text("plate") {
                    Some(plate) => plate::normal(&plate).ok_or("the plate is not of a known form")?,
                    // For whom it is it does not say: it stands for itself.
                    None => id.clone(),
                }
            } else {
                text("id").map(|id| id::normal(&id)).filter(|id| !id.is_empty()).ok_or("no subject")?
            };
            Ok(Token { cwt: p.cwt, usage: p.kind, kind, id, subject, name: text("name"), facts: p.facts })
        }
        Format::Opaque => Err("an opaque id has no token".into()),
    }
}

fn opaque(text: &[u8]) -> Option<Pass> {
    let subject = id::normal(std::str::from_utf8(text).ok()?);
    // What the sheet of the staff says is nobody's id.
    let good = !subject.starts_with(COMMAND_SCHEME)
        && !subject.is_empty()
        && subject.len() <= MAX_OPAQUE
        && subject.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '·'));
    if !good || id::is_address(&subject) {
        return None;
    }
    Some(Pass {
        format: Format::Opaque,
        kind: "opaque".into(),
        kid: String::new(),
        signer: String::new(),
        id: subject.clone(),
        subject,
        name: None,
        exp: None,
        facts: Map::new(),
    })
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod traps;
