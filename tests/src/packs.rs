//! Packs and profiles as a central side hands them out, for gateways of tests.

use crate::passes;
use kakou_authority::issuer::Issuer;
use kakou_core::evidence::Hash;
use kakou_core::pass::trust::{TrustFile, Usage};
use kakou_wire::feed::{HEAD, Head, Part};
use serde_json::json;
use std::path::{Path, PathBuf};

/// A central side that signs lists.
pub struct Office {
    issuer: Issuer,
    /// The fleet's keys, which a gateway names as `fleet_keys`.
    pub keys: PathBuf,
}

impl Office {
    /// With a key of its own; the file of the fleet's keys lies in the folder.
    pub fn open(folder: &Path) -> Self {
        let (issuer, keys) = (passes::issuer(), folder.join("fleet.json"));
        let entries = vec![issuer.entry("central", &[Usage::Feed])];
        let file = TrustFile { name: "fleet".into(), version: 1, issued: passes::now_s(), keys: entries };
        std::fs::write(&keys, serde_json::to_vec(&file).expect("keys are JSON")).expect("a file of keys");
        Self { issuer, keys }
    }

    /// The line of `[gateway]` that names them.
    pub fn line(&self) -> String {
        format!("fleet_keys = \"{}\"", self.keys.display())
    }

    /// Puts an edition of the policy into a folder of lists, there whole or not at all; gives the file of its body.
    pub fn hand_out(&self, lists: &Path, version: u64, body: &str, from: Option<i64>) -> PathBuf {
        let sha256 = Hash::of(body.as_bytes()).hex();
        let part = lists.join("parts").join(&sha256);
        std::fs::create_dir_all(lists.join("parts")).expect("a folder for bodies");
        std::fs::write(&part, body).expect("a body");
        let parts = vec![Part { base: None, sha256, bytes: body.len() as u64 }];
        let issued = passes::now_s();
        let head = Head { feed: "policy".into(), version, issued, parts, at: None, from, canary: Vec::new() };
        let head = serde_json::to_vec(&head).expect("a head is JSON");
        let word = self.issuer.sign_message(&head, HEAD).expect("it can sign");
        std::fs::write(lists.join("fresh"), word).expect("a head");
        std::fs::rename(lists.join("fresh"), lists.join("policy.feed")).expect("a head in its place");
        part
    }
}

/// The line of a profile.
pub fn profile(id: &str, toml: &str) -> String {
    json!({ "id": id, "facts": { "toml": toml } }).to_string() + "\n"
}

/// The line of what says what is in a pack.
pub fn manifest(id: &str, [zh, en]: [&str; 2], version: &str, profiles: &[&str]) -> String {
    let text = format!(
        "id = \"{id}\"\ntitle = {{ zh = \"{zh}\", en = \"{en}\" }}\nversion = \"{version}\"\nprofiles = {profiles:?}\n"
    );
    json!({ "id": "pack.toml", "facts": { "file": text } }).to_string() + "\n"
}
