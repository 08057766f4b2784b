//! Lists in the folder: signed feeds, and what a site without fleet keys keeps by hand. A USB drive is
//! a second folder, of which only signed feeds are taken.

use super::{Feeds, HEAD_MAX, Memory, POLICY};
use crate::store::edition::{self, Order};
use kakou_core::pass::trust::TrustList;
use kakou_core::records::LISTS;
use kakou_link::{durable, files};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// An unsigned file is read whole: for what a site keeps by hand.
const UNSIGNED_MAX: u64 = 64 << 20;

/// An unsigned list in the folder.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsigned {
    name: String,
    version: u64,
    /// UTC seconds.
    issued: i64,
    /// By id. A revocation has the id `kid:pass id`.
    entries: BTreeMap<String, Map<String, Value>>,
}

impl Feeds {
    /// Looks into the folder, and at the USB drive.
    pub(super) fn look(&self, memory: &mut Memory) {
        self.give_keys(memory);
        self.ask_for_damaged(memory);
        self.look_at_staged(memory);
        for name in LISTS {
            if self.end.is_cancelled() {
                return;
            }
            for place in [&self.folder, &self.usb_drive] {
                if memory.seen.changed(&place.join(format!("{name}.feed"))) {
                    self.signed_file(place, name);
                }
            }
            let plain = self.folder.join(format!("{name}.json"));
            if memory.seen.changed(&plain) {
                if self.keys.is_some() {
                    self.refuse(
                        &plain.display().to_string(),
                        "nobody signed it; this gateway has fleet keys",
                    );
                } else if let Err(why) = self.plain_file(name, &plain) {
                    self.refuse(&plain.display().to_string(), &why);
                }
            }
        }
    }

    /// Until it has its keys, a list of an earlier program answers nobody: what fails is tried again each time.
    fn give_keys(&self, memory: &mut Memory) {
        if memory.unkeyed.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        let unkeyed = edition::give_keys(&self.data).unwrap_or_else(|e| vec![e.to_string()]);
        if memory.unkeyed.as_ref() != Some(&unkeyed) {
            for why in &unkeyed {
                log::error!("{why}; until then it answers nobody, and it is tried again");
            }
        }
        memory.unkeyed = Some(unkeyed);
    }

    fn signed_file(&self, place: &Path, name: &str) {
        let path = place.join(format!("{name}.feed"));
        let what = path.display().to_string();
        let word = match durable::read_small(&path, HEAD_MAX) {
            Ok(word) => word,
            Err(e) => return self.refuse(&what, &e.to_string()),
        };
        let Some((head, signer)) = self.open(&what, &word) else { return };
        if !self.is_news(&what, &head) {
            return;
        }
        let Some(part) = head.part_from(self.in_use(&head.feed)) else {
            return self.refuse(&what, "no part leads to it from the edition in use");
        };
        match File::open(place.join("parts").join(&part.sha256)) {
            Ok(body) if self.is_for_later(&head) => self.stage((&head, &signer), &word, part, body),
            Ok(body) => self.apply(&head, &signer, part, BufReader::new(body.take(part.bytes)), &mut |_| {}),
            Err(e) => self.refuse(&what, &format!("its body parts/{}: {e}", part.sha256)),
        }
    }

    pub(super) fn plain_file(&self, name: &str, path: &Path) -> Result<(), String> {
        let size = std::fs::metadata(path).map_err(|e| e.to_string())?.len();
        if size > UNSIGNED_MAX {
            return Err(format!("{} MB: a list of this size comes as a signed feed", size >> 20));
        }
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        if name == "trust" {
            let version = TrustList::from_json(&bytes).map_err(|e| e.to_string())?.version;
            let now = self.trust.borrow().version;
            if version < now {
                return Err(format!("version {version} is older than version {now}"));
            }
            if std::fs::read(self.data.join("trust.json")).is_ok_and(|kept| kept == bytes) {
                return Ok(());
            }
            self.trust(&bytes, None, &[], "");
            return Ok(());
        }
        let list: Unsigned = files::json(&bytes)?;
        if list.name != name {
            return Err(format!("this is the list `{}`, not `{name}`", list.name));
        }
        match self.in_use(name) {
            Some(now) if list.version < now => {
                return Err(format!("version {} is older than version {now} in use", list.version));
            }
            Some(now) if list.version == now => return Ok(()),
            Some(_) | None => {}
        }
        let mut lines = Vec::new();
        for (id, facts) in &list.entries {
            serde_json::to_writer(&mut lines, &json!({ "id": id, "facts": facts }))
                .map_err(|e| e.to_string())?;
            lines.push(b'\n');
        }
        let check = |edition: &Connection| self.policy_fits(edition);
        let order = Order {
            data: &self.data,
            name,
            version: list.version,
            issued_ms: list.issued * 1000,
            base: None,
            sha256: None,
            signer: "",
            canary: &[],
            check: if name == POLICY { Some(&check) } else { None },
        };
        let list = edition::build(&order, lines.as_slice(), &mut |_| !self.end.is_cancelled())
            .map_err(|e| e.to_string())?;
        self.taken(&list);
        Ok(())
    }
}
