//! Health as OpenMetrics: every alarm of the central page has its figure.

use crate::metrics::Figures;
use serde_json::Value;

fn yes(value: &Value) -> Option<f64> {
    value.as_bool().map(|yes| f64::from(u8::from(yes)))
}

/// Shows a report of health.
pub(super) fn show(f: &mut Figures, health: &Value, online: bool) {
    let rows = |name: &str| health[name].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let unpublished = rows("outbox").filter_map(|row| row["unpublished"].as_f64()).sum::<f64>();
    let down = rows("devices").filter(|d| d["state"] != "ready").count();
    let (store, uptime) = (&health["store"], &health["uptime_s"]);
    f.gauge(("events", "Events in the journal since its epoch began"), &[], store["events"].as_f64());
    f.gauge(("outbox_unpublished", "Events that the broker has not acknowledged"), &[], Some(unpublished));
    f.gauge(("upstream_online", "1 while connected"), &[], Some(u8::from(online)));
    f.gauge(("devices_not_ready", "Devices that are absent or faulty"), &[], Some(down as f64));
    f.gauge(("store_closed", "1 while nothing can be recorded"), &[], Some(u8::from(store["state"] != "ok")));
    f.gauge(("store_used_bytes", "Journal and photographs"), &[], store["used_bytes"].as_f64());
    f.gauge(("store_free_bytes", "Free on its disk"), &[], store["free_bytes"].as_f64());
    f.gauge(("uptime_seconds", "Seconds since start"), &[], uptime.as_f64());
    let version = text(&health["version"]);
    f.gauge(("version", "1, with the version as a label"), &[("version", &version)], Some(1));
    for row in rows("outbox") {
        let stream = text(&row["class"]);
        let labels = [("stream", stream.as_str())];
        let help = "Events of a stream that the broker has not acknowledged";
        f.gauge(("stream_unpublished", help), &labels, row["unpublished"].as_f64());
        let help = "Events of a stream that the central side has not receipted";
        f.gauge(("stream_unreceipted", help), &labels, row["unreceipted"].as_f64());
        let help =
            "Age of the oldest event of a stream that the broker has not acknowledged, 0 where none waits";
        let age = row["oldest_age_s"].as_f64().unwrap_or(0.0);
        f.gauge(("stream_oldest_age_seconds", help), &labels, Some(age));
    }
    for row in rows("lists") {
        let list = text(&row["name"]);
        let labels = [("list", list.as_str())];
        f.gauge(("list_age_seconds", "Since a list was issued"), &labels, row["age_s"].as_f64());
        f.gauge(("list_stale", "1 where lanes take a list for too old"), &labels, yes(&row["stale"]));
        f.gauge(("list_signed", "1 where somebody has signed a list"), &labels, yes(&row["signed"]));
        f.gauge(("list_damaged", "1 where a list cannot be read"), &labels, yes(&row["damaged"]));
        f.gauge(("list_version", "The edition in use"), &labels, row["version"].as_f64());
        f.gauge(("list_entries", "Entries of a list"), &labels, row["entries"].as_f64());
    }
    for row in rows("devices") {
        let [device, driver, lane] = ["id", "driver", "lane"].map(|key| text(&row[key]));
        let labels = [("lane", lane.as_str()), ("device", &device), ("driver", &driver)];
        let ready = u8::from(row["state"] == "ready");
        f.gauge(("device_ready", "1 while a device is there and works"), &labels, Some(ready));
    }
    for row in rows("lanes") {
        let [lane, profile] = ["id", "profile"].map(|key| text(&row[key]));
        let labels = [("lane", lane.as_str()), ("profile", &profile)];
        let closed = u8::from(row["mode"] == "closed");
        f.gauge(("lane_closed", "1 while a lane takes nobody"), &labels, Some(closed));
    }
    let photos = &health["photos"];
    f.gauge(("photos_waiting", "Photographs without a receipt"), &[], photos["waiting"].as_f64());
    let age = photos["oldest_age_s"].as_f64().unwrap_or(0.0);
    f.gauge(("photos_oldest_age_seconds", "Age of the oldest of them, 0 where none waits"), &[], Some(age));
    let days = health["certificate"]["days"].as_f64();
    f.gauge(("certificate_days", "Days that the own certificate still counts"), &[], days);
    let synced = yes(&health["clock"]["synced"]);
    f.gauge(("clock_synced", "1 while a time service confirms the clock"), &[], synced);
    let machine = &health["box"];
    f.gauge(("box_temperature_celsius", "The hottest sensor"), &[], machine["temp_c"].as_f64());
    f.gauge(("box_load1", "Load of the last minute"), &[], machine["load1"].as_f64());
    let memory = machine["mem_mb"].as_f64().map(|mb| mb * 1_048_576.0);
    f.gauge(("memory_bytes", "Resident memory of the daemon"), &[], memory);
    let waits = health["uses"]["waits_for"].as_array().map(|all| all.len() as f64);
    f.gauge(
        ("uses_waited_for", "Gateways of the site that have not told which passes were used"),
        &[],
        waits,
    );
}
