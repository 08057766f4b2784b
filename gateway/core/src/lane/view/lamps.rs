//! Whether a lane could work, said before anybody comes: its devices, its lists and its clock.

use super::Around;
use super::shapes::{Lamp, ListAges};
use crate::lane::step::actuate::SIGNAL;
use crate::lane::{LOOP, Lane};
use crate::profile::{DeviceKind, StepKind};
use crate::text::Text;
use crate::time::Now;
use std::collections::BTreeSet;

const HOUR_MS: i64 = 3_600_000;

/// Whether every device that the profile cannot do without answers, and the lane is open.
pub(super) fn is_ready(lane: &Lane, around: &Around<'_>) -> bool {
    let needed = lane.setup.profile.devices().filter(|(_, _, optional)| !optional);
    let mut wired = needed.filter_map(|(role, ..)| lane.setup.devices.get(role));
    around.closed.is_none() && wired.all(|device| around.links.get(device) == Some(&true))
}

/// One lamp for each device, one for the lists, one for the clock.
pub(super) fn lamps(lane: &Lane, now: &Now, around: &Around<'_>) -> Vec<Lamp> {
    let mut out = devices(lane, around);
    out.extend(lists(lane, now, around));
    let synced = now.synced() && now.wall_ms.is_some();
    out.push(lamp("clock", "clock", Text::new("时钟", "Clock"), if synced { "ok" } else { "warn" }));
    out
}

fn lamp(id: &str, kind: &str, title: Text, state: &'static str) -> Lamp {
    Lamp { id: id.to_owned(), kind: kind.to_owned(), title, state, lists: None }
}

fn devices(lane: &Lane, around: &Around<'_>) -> Vec<Lamp> {
    let mut seen = BTreeSet::new();
    let mut roles: Vec<(&str, Option<DeviceKind>, bool)> = Vec::new();
    roles.extend(lane.setup.profile.devices().map(|(role, kind, optional)| (role, Some(kind), optional)));
    roles.extend(lane.setup.devices.keys().map(|role| (role.as_str(), None, true)));
    let mut out = Vec::new();
    for (role, kind, optional) in roles {
        let Some(device) = lane.setup.devices.get(role).filter(|_| seen.insert(role)) else { continue };
        let state = match around.links.get(device) {
            Some(true) => "ok",
            Some(false) | None if optional => "warn",
            Some(false) | None => "bad",
        };
        let word = kind.map_or(role, |kind| kind.as_str());
        out.push(lamp(role, word, title(kind, role), state));
    }
    out
}

fn title(kind: Option<DeviceKind>, role: &str) -> Text {
    match kind {
        Some(DeviceKind::Scanner) => Text::new("扫码器", "Scanner"),
        Some(DeviceKind::Thermometer) => Text::new("测温仪", "Thermometer"),
        Some(DeviceKind::Relay) => Text::new("道闸", "Barrier"),
        Some(DeviceKind::Camera) => Text::new("相机", "Camera"),
        Some(DeviceKind::Printer) => Text::new("打印机", "Printer"),
        Some(DeviceKind::Scale) => Text::new("秤", "Scale"),
        Some(DeviceKind::Signal) => Text::new("信号灯", "Lamps"),
        Some(DeviceKind::Input) | None if role == LOOP => Text::new("地感", "Vehicle loop"),
        None if role == SIGNAL => Text::new("信号灯", "Lamps"),
        Some(DeviceKind::Input) | None => Text::new(role, role),
    }
}

/// The age of the oldest list that this lane looks into, and which ones are too old or not there.
fn lists(lane: &Lane, now: &Now, around: &Around<'_>) -> Option<Lamp> {
    let profile = &lane.setup.profile;
    let named: BTreeSet<&str> = profile.lists().collect();
    let takes_signed = |kind: &StepKind| matches!(kind, StepKind::Scan(scan) if scan.takes_signed());
    let signed = profile.steps.iter().any(|step| takes_signed(&step.kind));
    let (mut missing, mut stale, mut oldest_ms) = (Vec::<String>::new(), Vec::<String>::new(), None::<i64>);
    for name in named {
        let Some(issued) = (around.issued)(name) else {
            missing.push(name.to_owned());
            continue;
        };
        let age = now.wall_ms.map(|now| (now - issued).max(0));
        if age.is_none_or(|age| age > profile.stale_after(name) * HOUR_MS) {
            stale.push(name.to_owned());
        }
        oldest_ms = oldest_ms.max(age);
    }
    if signed && lane.setup.trust.version == 0 {
        missing.push("trust".to_owned());
    }
    if oldest_ms.is_none() && missing.is_empty() && stale.is_empty() {
        return None;
    }
    let state = if missing.is_empty() && stale.is_empty() { "ok" } else { "warn" };
    let ages = ListAges { age_s: oldest_ms.map(|ms| ms / 1000), missing, stale };
    Some(Lamp { lists: Some(ages), ..lamp("lists", "lists", Text::new("名单", "Lists"), state) })
}
