//! The machine: disk, clock, programs that get in the way.

use super::{Finding, lists_of};
use crate::config::Settings;
use crate::store::disk::free_bytes;
use kakou_core::time::Quality;
use std::path::Path;

/// With less room than this, photographs of a day may not fit.
const LITTLE_ROOM: u64 = 1 << 30;
/// A list older than this is stale in most profiles.
const STALE_MS: i64 = 24 * 3_600_000;

/// Looks at it.
pub fn examine(settings: Option<&Settings>) -> Vec<Finding> {
    let mut out = vec![modem_manager()];
    if let Some(settings) = settings {
        out.push(disk(&settings.data, settings.retention.reserve_bytes));
        out.push(clock(settings));
        out.push(lists(settings));
    }
    out
}

fn runs(program: &str) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes
        .flatten()
        .any(|p| std::fs::read_to_string(p.path().join("comm")).is_ok_and(|name| name.trim() == program))
}

fn modem_manager() -> Finding {
    // The kernel cuts names of processes at 15 characters.
    if runs("ModemManager") {
        Finding::warning(
            "ModemManager",
            "runs: it writes modem commands into every new serial port, scanners as well",
            "systemctl mask --now ModemManager",
        )
    } else {
        Finding::right("ModemManager", "does not run")
    }
}

fn disk(data: &Path, reserve: u64) -> Finding {
    let what = "disk";
    // The folder may still have to be made: its nearest parent says how much room there is.
    let here =
        |p: &Path| if p.as_os_str().is_empty() { Path::new(".").to_path_buf() } else { p.to_path_buf() };
    let Some(there) = data.ancestors().map(here).find(|p| p.exists()) else {
        return Finding::wrong(what, format!("{} is nowhere", data.display()), "make the data folder");
    };
    let there = there.as_path();
    let writable = rustix::fs::access(there, rustix::fs::Access::WRITE_OK).is_ok();
    let shown = there.display();
    let free = free_bytes(there).unwrap_or(0);
    let mb = free >> 20;
    if !writable {
        return Finding::wrong(
            what,
            format!("{shown} cannot be written to"),
            "give the folder to the gateway's user, or remount the disk for writing",
        );
    }
    if free < 2 * reserve.max(1) {
        return Finding::wrong(what, format!("{mb} MB free at {shown}: the lanes close"), "make room");
    }
    if free < LITTLE_ROOM {
        return Finding::warning(
            what,
            format!("{mb} MB free at {shown}"),
            "make room, or set `[retention] max_mb` lower than what is free",
        );
    }
    Finding::right(what, format!("{mb} MB free at {shown}"))
}

fn clock(settings: &Settings) -> Finding {
    let now = settings.clock.now();
    let shown = now.wall_ms.map(kakou_core::time::rfc3339).unwrap_or_default();
    if now.quality == Quality::Floor {
        return Finding::wrong(
            "clock",
            format!("the box lives before {shown}, which is known to be past"),
            "connect the network until the time service has set it, or fit a clock module with a battery",
        );
    }
    if !now.synced() {
        return Finding::warning(
            "clock",
            format!(
                "{shown}, not confirmed by a time service: verdicts that depend on the time are in doubt"
            ),
            "systemctl enable --now systemd-timesyncd, and let it reach a time server",
        );
    }
    Finding::right("clock", format!("{shown}, synchronised"))
}

fn lists(settings: &Settings) -> Finding {
    let lists = lists_of(settings);
    let now = settings.clock.now().wall_ms.unwrap_or(0);
    let age_h = |issued: &i64| (now - issued) / 3_600_000;
    // Those of a signed feed are kept in the data folder; where feeds are signed, no others count.
    let given = settings.fleet_keys.is_none() && settings.lists.join("trust.json").exists();
    if !given && !settings.data.join("trust.json").exists() {
        return Finding::wrong(
            "lists",
            format!(
                "no keys: {} is not there, so that every pass is unknown",
                settings.lists.join("trust.json").display()
            ),
            "get trust.json from the central side, or make a test one with `kakou pass`",
        );
    }
    let shown: Vec<String> =
        lists.iter().map(|(name, issued)| format!("{name} {} h old", age_h(issued))).collect();
    let stale = lists.iter().filter(|(name, issued)| name != "trust" && now - issued > STALE_MS).count();
    if shown.is_empty() {
        return Finding::warning(
            "lists",
            "keys only, no lists: a lane whose profile asks for one takes it for too old",
            "see why the central side sends none: `kakou status`",
        );
    }
    let shown = shown.join(", ");
    if stale > 0 {
        return Finding::warning("lists", shown, "see why the central side sends none: `kakou status`");
    }
    Finding::right("lists", shown)
}
