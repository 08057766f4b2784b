//! What the status page and the metrics show.

use super::App;
use crate::upstream;
use kakou_core::records::LISTS;
use kakou_core::time::rfc3339;
use kakou_drivers::health::State;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The whole page as JSON. Reads a few rows of the journal; not for an async thread.
pub fn status(app: &App) -> Value {
    let now = app.clock.now();
    let link = app.link.borrow().clone();
    let heads = *app.outlook.streams.borrow();
    let closed = *app.outlook.closed.borrow();
    let reader = crate::store::journal::reader(&app.data).ok();
    let outbox = reader.as_ref().map(|r| upstream::depths(r, &heads, &link, now.wall_ms)).unwrap_or_default();
    let used = reader.as_ref().and_then(|r| crate::store::retention::used_bytes(r).ok()).unwrap_or(0);
    let (photos, photo_bytes) = app.photos.count();
    let state = if closed.is_some() { "full" } else { "ok" };
    let upstream_state = match (&app.broker, link.online) {
        (None, _) => "off",
        (Some(_), true) => "online",
        (Some(_), false) => "offline",
    };
    json!({
        "site": app.site, "gateway": app.gateway, "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": app.begun.elapsed().as_secs(), "epoch": app.outlook.epoch,
        "clock": { "wall": now.wall_ms.map(rfc3339), "synced": now.synced },
        "lanes": app.outlook.lanes.values().map(|l| l.borrow().status.clone()).collect::<Vec<_>>(),
        "devices": devices(app),
        "lists": lists(app, now.wall_ms),
        "outbox": outbox,
        "upstream": { "state": upstream_state, "broker": app.broker, "since_s": link.since.elapsed().as_secs(),
            "detail": link.detail, "published": link.published },
        "store": { "events": heads.iter().sum::<u64>(), "photos": photos, "used_bytes": used + photo_bytes,
            "free_bytes": crate::engine::free_bytes(&app.data), "state": state },
        "counters": app.metrics.plain(),
    })
}

fn devices(app: &App) -> Vec<Value> {
    let lane_of: BTreeMap<&str, &str> =
        app.lane_devices.iter().map(|(device, lane)| (device.as_str(), lane.as_str())).collect();
    let mut all = crate::devices::health(&app.devices);
    for device in &mut all {
        let lane = device["id"].as_str().and_then(|id| lane_of.get(id)).copied();
        device["lane"] = json!(lane);
    }
    all
}

fn lists(app: &App, now_ms: Option<i64>) -> Vec<Value> {
    let age = |issued: i64| now_ms.map(|now| (now - issued) / 1000);
    let stored = crate::store::lists::Lists::open(&app.data).ok();
    let trust = app.trust.borrow();
    LISTS
        .iter()
        .map(|&name| {
            let (version, entries, issued) = if name == "trust" {
                (trust.version, trust.len() as u64, (trust.version > 0).then_some(trust.issued * 1000))
            } else {
                match stored.as_ref().and_then(|l| l.in_use(name).ok()).flatten() {
                    Some(l) => (l.version, l.entries, Some(l.issued_ms)),
                    None => (0, 0, None),
                }
            };
            let age = issued.and_then(age);
            // Trust lives as long as its keys; the others are daily.
            let stale = if name == "trust" { issued.is_none() } else { age.is_none_or(|s| s > 86_400) };
            json!({ "name": name, "version": version, "entries": entries, "age_s": age, "stale": stale })
        })
        .collect()
}

/// The exposition of `/metrics`.
pub fn metrics(app: &App) -> String {
    let link = app.link.borrow().clone();
    let heads = *app.outlook.streams.borrow();
    let unpublished: u64 = heads.iter().zip(link.acked).map(|(h, a)| h.saturating_sub(a)).sum();
    let down = app.devices.iter().filter(|d| d.health.borrow().state != State::Ready).count();
    app.metrics.text(&[
        ("events", "Events in the journal since its epoch began.", heads.iter().sum::<u64>() as f64),
        ("outbox_unpublished", "Events that the broker has not acknowledged.", unpublished as f64),
        ("upstream_online", "1 while connected.", f64::from(u8::from(link.online))),
        ("devices_not_ready", "Devices that are absent or faulty.", down as f64),
        (
            "store_closed",
            "1 while nothing can be recorded.",
            f64::from(u8::from(app.outlook.closed.borrow().is_some())),
        ),
        ("uptime_seconds", "Seconds since start.", app.begun.elapsed().as_secs_f64()),
    ])
}
