//! What is wrong with a gateway, the worst first, and its line for those who look at all of them.
//!
//! What is not known is told as unknown, and what is not heard is an alarm of its own: a gateway may say that it is
//! online, and nothing may come of it.

use super::{GatewayStatus, Listening};
use crate::ingest::From;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::time::WallMs;
use serde::Serialize;
use serde_json::Value;

/// What can be wrong, the worst first. A doubt about records comes before a gateway that is away, which works on its
/// own; nobody knows what one does that is silent. The page has the same list.
pub const ALARMS: [&str; 18] = [
    "CONFLICT",
    "GAP",
    "REFUSED",
    "STORE",
    "SILENT",
    "OFFLINE",
    "USES",
    "CERT",
    "DAMAGED",
    "STALE_LISTS",
    "UNSIGNED",
    "RECEIPTS",
    "OUTBOX",
    "DEVICES",
    "CLOCK",
    "HOT",
    "PHOTOS",
    "NEVER",
];

/// Health comes once a minute: three that did not come are silence.
pub const SILENT_MS: WallMs = 180_000;
/// A conflict or a loss is shown for so long; what it was stays on record.
const SHOWN_MS: WallMs = 24 * 3_600_000;
/// Events that wait longer are worth an alarm.
const OUTBOX_OLD_S: i64 = 600;
/// So many events that the central side has not confirmed are.
const UNRECEIPTED: i64 = 10_000;
/// A photograph that waits longer is.
const PHOTO_OLD_S: i64 = 24 * 3_600;
/// A certificate that ends sooner is.
const CERT_DAYS: i64 = 14;
/// A box that is hotter is, in degrees Celsius.
const HOT_C: f64 = 70.0;

/// A sum of what a gateway says; it may say anything, and the sum ends at the largest number.
pub fn sum<'a>(figures: impl Iterator<Item = &'a Value>) -> i64 {
    figures.filter_map(Value::as_i64).fold(0, i64::saturating_add)
}

/// How bad it is: the place of the worst alarm, then how many there are. Less is worse.
pub fn rank(row: &Value) -> (usize, usize) {
    let names = row["alarms"].as_array().map_or(&[][..], Vec::as_slice);
    let place = |name: &Value| ALARMS.iter().position(|a| name == a).unwrap_or(ALARMS.len());
    let worst = names.iter().map(place).min().unwrap_or(ALARMS.len() + 1);
    (worst, usize::MAX - names.len())
}

/// Seconds since a moment.
pub(super) fn since(then: WallMs, now: WallMs) -> i64 {
    (now - then).max(0) / 1000
}

/// The line of a gateway that was heard of. A thousand of them are written whenever somebody looks.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    site: &'a SiteId,
    gateway: &'a GatewayId,
    online: Option<bool>,
    silent: bool,
    waiting: bool,
    since_s: Option<i64>,
    since_exact: bool,
    seen_s: Option<i64>,
    health_s: Option<i64>,
    version: Option<&'a str>,
    outbox: Option<i64>,
    oldest_s: Option<i64>,
    unreceipted: Option<i64>,
    photos: &'a Value,
    lists_age_s: Option<i64>,
    stale: Option<usize>,
    cert_days: Option<i64>,
    clock: &'a str,
    devices: Option<usize>,
    devices_down: Option<usize>,
    uses_wait_for: Option<&'a Vec<Value>>,
    /// From when the pack that waits there counts.
    pack_from: Option<&'a str>,
    lanes: Option<usize>,
    admit: Option<i64>,
    refer: Option<i64>,
    hold: Option<i64>,
    deny: Option<i64>,
    alarms: Vec<&'static str>,
}

/// The line of a box that was never heard of.
#[derive(Debug, Serialize)]
pub(super) struct Never<'a> {
    site: &'a SiteId,
    gateway: &'a GatewayId,
    online: Option<bool>,
    silent: bool,
    waiting: bool,
    never: bool,
    clock: &'static str,
    alarms: &'static [&'static str],
}

/// A line of either sort.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Line<'a> {
    /// Of one that was heard of.
    Known(Box<Row<'a>>),
    /// Of one that was not.
    Never(Never<'a>),
}

impl GatewayStatus {
    /// When anything was last heard of it.
    pub(super) fn seen(&self) -> Option<WallMs> {
        self.seen.max(self.health_at)
    }

    /// Whether its health has stayed away for so long that somebody must look, as far as anybody has listened.
    pub(super) fn silent(&self, listening: &Listening, now: WallMs) -> bool {
        let Some(last) = self.health_at.or(self.first) else { return false };
        // One that has just come back may take its time as well.
        let back = self.since.filter(|(_, exact)| *exact && self.state["online"] == true);
        let last = back.map_or(last, |(at, _)| last.max(at));
        let here = listening.connected.is_some_and(|begun| now - last.max(begun) > SILENT_MS);
        // Whoever wrote the database heard others after it.
        let there = listening.recorded.is_some_and(|newest| newest - last > SILENT_MS);
        here || there
    }

    /// What a gateway counts and keeps, as one line.
    pub(super) fn row<'a>(&'a self, from: &'a From, listening: &Listening, now: WallMs) -> Row<'a> {
        let health = &self.health;
        let all = |list: &'static str| health[list].as_array();
        let outbox = all("outbox").map(|o| sum(o.iter().map(|c| &c["unpublished"])));
        let unreceipted = all("outbox").map(|o| sum(o.iter().map(|c| &c["unreceipted"])));
        let oldest = all("outbox").and_then(|o| o.iter().filter_map(|c| c["oldest_age_s"].as_i64()).max());
        let lists_age = all("lists").and_then(|l| l.iter().filter_map(|l| l["age_s"].as_i64()).max());
        let stale = all("lists").map(|l| l.iter().filter(|l| l["stale"] == true).count());
        let damaged = all("lists").is_some_and(|l| l.iter().any(|l| l["damaged"] == true));
        // Keys that came with the enrolment were vouched for; a list that is not there is not unsigned.
        let unsigned = |l: &Value| l["signed"] == false && l["name"] != "trust" && l["version"] != 0;
        let unsigned = all("lists").is_some_and(|l| l.iter().any(unsigned));
        let devices = all("devices").map(Vec::len);
        let down = all("devices").map(|d| d.iter().filter(|d| d["state"] != "ready").count());
        let outcome = |word: &str| all("lanes").map(|l| sum(l.iter().map(|l| &l["outcomes"][word])));
        let waits_for = health["uses"]["waits_for"].as_array().filter(|w| !w.is_empty());
        let online = self.state["online"].as_bool();
        let cert_days = health["certificate"]["days"].as_i64();
        let quality = health["clock"]["quality"].as_str().unwrap_or("unknown");
        let lately = |at: Option<WallMs>| at.is_some_and(|at| now - at < SHOWN_MS);
        let shed = health["counters"]["journal_shed_total"].as_i64().is_some_and(|n| n > 0);
        // One that has gone away says nothing: that it is away is enough.
        let silent = online != Some(false) && self.silent(listening, now);
        let on = |name: &str| match name {
            "CONFLICT" => lately(self.conflict),
            "GAP" => shed || lately(self.gap),
            "REFUSED" => lately(self.aside.as_ref().map(|a| a.at)),
            "STORE" => health["store"]["state"].as_str().is_some_and(|s| s != "ok"),
            "SILENT" => silent,
            "OFFLINE" => online == Some(false),
            "USES" => waits_for.is_some(),
            "CERT" => cert_days.is_some_and(|d| d < CERT_DAYS),
            "DAMAGED" => damaged,
            "STALE_LISTS" => stale.is_some_and(|n| n > 0),
            "UNSIGNED" => unsigned,
            "RECEIPTS" => unreceipted.is_some_and(|n| n > UNRECEIPTED),
            "OUTBOX" => oldest.is_some_and(|s| s > OUTBOX_OLD_S),
            "DEVICES" => down.is_some_and(|n| n > 0),
            "CLOCK" => quality == "unsynced" || quality == "floor",
            "HOT" => health["box"]["temp_c"].as_f64().is_some_and(|c| c >= HOT_C),
            "PHOTOS" => health["photos"]["oldest_age_s"].as_i64().is_some_and(|s| s > PHOTO_OLD_S),
            _ => false,
        };
        let alarms: Vec<&str> = ALARMS.into_iter().filter(|name| on(name)).collect();
        let old = self.health_at.is_none_or(|at| now - at > SILENT_MS);
        let waiting = old && !silent && online != Some(false);
        let version = health["version"].as_str().or(self.state["version"].as_str());
        Row {
            site: &from.site,
            gateway: &from.gateway,
            online,
            silent,
            waiting,
            since_s: self.since.map(|(at, _)| since(at, now)),
            since_exact: self.since.is_some_and(|(_, exact)| exact),
            seen_s: self.seen().map(|at| since(at, now)),
            health_s: self.health_at.map(|at| since(at, now)),
            version,
            outbox,
            oldest_s: oldest,
            unreceipted,
            photos: &health["photos"]["waiting"],
            lists_age_s: lists_age,
            stale,
            cert_days,
            clock: quality,
            devices,
            devices_down: down,
            uses_wait_for: waits_for,
            pack_from: health["packs"]["waiting"]["from"].as_str(),
            lanes: self.state["lanes"].as_array().map(Vec::len),
            admit: outcome("ADMIT"),
            refer: outcome("REFER"),
            hold: outcome("HOLD"),
            deny: outcome("DENY"),
            alarms,
        }
    }
}

/// The line of a box that is expected and was never heard of.
pub(super) fn never<'a>(from: &'a From, listening: &Listening, now: WallMs) -> Never<'a> {
    // With a database it is known at once; else somebody must have listened first.
    let known = listening.recorded.is_some() || listening.connected.is_some_and(|at| now - at > SILENT_MS);
    let alarms: &[&str] = if known { &["NEVER"] } else { &[] };
    let (site, gateway) = (&from.site, &from.gateway);
    Never {
        site,
        gateway,
        online: None,
        silent: false,
        waiting: !known,
        never: known,
        clock: "unknown",
        alarms,
    }
}
