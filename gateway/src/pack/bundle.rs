//! A pack as an edition of the feed `policy`, and back.

use super::{MANIFEST, Manifest, Pack, SCENARIOS, read_folder, shipped_pack};
use crate::feeds::POLICY;
use crate::store::edition::Line;
use crate::store::policy;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kakou_core::evidence::Hash;
use kakou_core::lists as known;
use kakou_core::pass::trust::TrustList;
use kakou_core::signed;
use kakou_link::durable;
use kakou_wire::feed::{self, HEAD, Head};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A body of a pack is not larger.
const BODY_MAX: u64 = 32 << 20;
const HEAD_MAX: u64 = 1 << 20;

/// Entries by id.
pub type Entries = BTreeMap<String, Map<String, Value>>;

/// A pack, and what was signed about it.
pub struct Found {
    /// The pack.
    pub pack: Pack,
    /// Its head, where it was signed.
    pub head: Option<Head>,
    /// Who signed it: nobody looked, where it is none.
    pub signer: Option<String>,
}

/// The entries of a pack.
pub fn entries(pack: &Pack) -> Entries {
    let one = |name: &str, text: &str| Map::from_iter([(name.to_owned(), json!(text))]);
    let mut all = Entries::new();
    if !pack.manifest_text.is_empty() {
        all.insert(MANIFEST.to_owned(), one("file", &pack.manifest_text));
    }
    for (id, (_, text)) in &pack.profiles {
        all.insert(id.clone(), one("toml", text));
    }
    for (name, text) in &pack.scenarios {
        all.insert(format!("{SCENARIOS}/{name}"), one("file", text));
    }
    for list in pack.lists().into_iter().filter_map(known::find) {
        let form = known::form::of(list);
        all.insert(format!("forms/{}.json", list.name), one("file", &form.to_string()));
    }
    all
}

/// The pack that entries are.
pub fn pack_of(entries: &Entries) -> Result<Pack, String> {
    let text = |facts: &Map<String, Value>, name: &str| facts.get(name)?.as_str().map(str::to_owned);
    let manifest_text = entries.get(MANIFEST).and_then(|f| text(f, "file")).unwrap_or_default();
    let manifest = (!manifest_text.is_empty()).then(|| Manifest::read(&manifest_text)).transpose()?;
    let (mut profiles, mut scenarios) = (BTreeMap::new(), BTreeMap::new());
    for (id, facts) in entries {
        if let Some(toml) = text(facts, "toml") {
            profiles.insert(id.clone(), (format!("{id}.toml"), toml));
        } else if let (Some(name), Some(file)) = (id.strip_prefix("scenarios/"), text(facts, "file")) {
            scenarios.insert(name.to_owned(), file);
        }
    }
    Ok(Pack { manifest, manifest_text, profiles, scenarios })
}

/// Reads a body.
pub fn read_body(body: &[u8]) -> Result<Entries, String> {
    let mut all = Entries::new();
    let lines = body.split(|b| *b == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    for (n, line) in lines {
        let wrong = |why: String| format!("line {}: {why}", n + 1);
        let Line { id, facts } = Line::read(line).map_err(wrong)?;
        let (_, facts) = facts.ok_or_else(|| wrong(format!("`{id}` has no facts")))?;
        all.insert(id.into_owned(), facts);
    }
    Ok(all)
}

/// The pack of a body.
pub fn read_pack(body: &[u8]) -> Result<Pack, String> {
    pack_of(&read_body(body)?)
}

/// A pack by the id of a shipped one, its folder, its signed head or the folder that this lies in with the body beside
/// it, or the data folder of a gateway, whose pack is that in use. With keys the signature is verified.
pub fn find(path: &Path, keys: Option<&TrustList>, now_s: i64) -> Result<Found, String> {
    let plain = |pack| Found { pack, head: None, signer: None };
    if path.is_file() {
        return signed_file(path, keys, now_s);
    }
    if path.join(MANIFEST).exists() {
        return read_folder(path).map(plain);
    }
    // What `pack sign --out` has written, or a folder of lists.
    let head = path.join(format!("{POLICY}.feed"));
    if head.is_file() {
        return signed_file(&head, keys, now_s);
    }
    if let Some(pack) = path.to_str().and_then(shipped_pack) {
        return Ok(plain(pack));
    }
    match policy::entries(path).map_err(|e| format!("{}: {e}", path.display()))? {
        Some(entries) => pack_of(&entries).map(plain),
        None => Err(format!(
            "{}: no pack: expected is a folder with {MANIFEST}, a signed {POLICY}.feed or its folder, the data folder \
             of a gateway that uses one, or the id of a shipped one (2022, everyday)",
            path.display()
        )),
    }
}

/// A head, and the body that lies beside it in `parts`.
fn signed_file(path: &Path, keys: Option<&TrustList>, now_s: i64) -> Result<Found, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let word = durable::read_small(path, HEAD_MAX).map_err(|e| wrong(e.to_string()))?;
    let (head, signer) = match keys {
        Some(keys) => {
            let opened = signed::open(&word, HEAD, keys, feed::usage(POLICY), Some(now_s))
                .map_err(|e| wrong(e.to_string()))?;
            let head = serde_json::from_slice::<Head>(&opened.payload).map_err(|e| wrong(e.to_string()))?;
            (head, Some(opened.issuer))
        }
        None => (unverified(&word).ok_or_else(|| wrong("not the head of a feed".into()))?, None),
    };
    if head.feed != POLICY {
        return Err(wrong(format!("this is the feed `{}`; packs come as `{POLICY}`", head.feed)));
    }
    if let Some(fault) = head.fault() {
        return Err(wrong(fault));
    }
    let part = head.parts.iter().find(|part| part.base.is_none());
    let part = part.ok_or_else(|| wrong("it has no snapshot".into()))?;
    let beside = path.parent().unwrap_or(Path::new(".")).join("parts").join(&part.sha256);
    let body =
        durable::read_small(&beside, BODY_MAX).map_err(|e| format!("its body {}: {e}", beside.display()))?;
    if Hash::of(&body).hex() != part.sha256 {
        return Err(format!("{}: its hash is not what was signed", beside.display()));
    }
    let pack = read_pack(&body).map_err(wrong)?;
    Ok(Found { pack, head: Some(head), signer })
}

/// What a signed head says, for whoever made it: nobody has verified it.
pub fn unverified(message: &[u8]) -> Option<Head> {
    let envelope: Value = serde_json::from_slice(message).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(envelope["payload"].as_str()?).ok()?;
    serde_json::from_slice(&payload).ok()
}
