//! The trust list: keys come as a feed as well, and count at once.

use super::Feeds;
use crate::store::floors;
use kakou_core::pass::trust::TrustList;
use kakou_core::pass::{self, Check};
use kakou_link::durable;
use kakou_wire::feed::Canary;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// The trust list that was in use before the daemon ended, or that lies in the folder.
pub fn first_trust(data: &Path, folder: &Path, signed: bool) -> TrustList {
    let kept = read_trust(&data.join("trust.json"));
    let given = if signed { None } else { read_trust(&folder.join("trust.json")) };
    let newest = [kept, given].into_iter().flatten().max_by_key(|t| t.version);
    newest.unwrap_or_default()
}

fn read_trust(path: &Path) -> Option<TrustList> {
    let list = TrustList::from_json(&std::fs::read(path).ok()?);
    let list = list.inspect_err(|e| log::error!("{}: {e}; it is not in use", path.display())).ok();
    list.inspect(tell_left_out)
}

fn tell_left_out(list: &TrustList) {
    if list.left_out() > 0 {
        log::warn!(
            "trust list version {}: {} keys have an algorithm that this program does not know: what they sign is \
             not known here; install a newer version",
            list.version,
            list.left_out()
        );
    }
}

impl Feeds {
    /// New keys: canaries are passes that the new list must judge as they say.
    pub(super) fn trust(&self, body: &[u8], version: Option<u64>, canary: &[Canary], signer: &str) {
        let list = match TrustList::from_json(body) {
            Ok(list) => list,
            Err(e) => return self.refuse("trust", &e.to_string()),
        };
        let newest = match floors::version(&self.data, "trust") {
            Ok(newest) => newest.unwrap_or(0),
            Err(e) => return self.refuse("trust", &e.to_string()),
        };
        let now = self.trust.borrow().version.max(newest);
        if list.version < now || version.is_some_and(|v| v != list.version) {
            return self.refuse("trust", &format!("version {} is older than version {now}", list.version));
        }
        for c in canary {
            let with = Check { trust: &list, now_s: self.clock.now().wall_s(), region: &self.region };
            let code = pass::check(c.id.as_bytes(), with).map_or_else(|r| r.code.as_str(), |_| "OK");
            let Some(wanted) = c.facts.as_ref().and_then(|f| f.get("code")).and_then(Value::as_str) else {
                return self.refuse("trust", "a canary pass says with `code` what it must give, e.g. OK");
            };
            if wanted != code {
                return self.refuse("trust", &format!("the canary pass gives {code}, not {wanted}"));
            }
        }
        let kept = self.data.join("trust.json");
        if let Err(e) = durable::write(&kept, body) {
            return self.refuse("trust", &format!("it cannot be kept: {e}"));
        }
        let signed = (!signer.is_empty()).then_some(list.version);
        if let Err(e) = floors::keep(&self.data, "trust", signed, "") {
            return self.refuse("trust", &e.to_string());
        }
        log::info!("trust list version {} with {} keys is in use", list.version, list.len());
        tell_left_out(&list);
        let record = json!({ "feed": "trust", "version": list.version, "entries": list.len(),
            "left_out": list.left_out(), "signer": signer });
        self.trust.send_replace(Arc::new(list));
        self.record(record);
    }
}
