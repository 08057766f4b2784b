//! What is known of the gateway as a whole: for the status page, for `/metrics`, and for the health
//! that goes upstream. All three tell the same figures.

mod figures;

use crate::devices::{self, DeviceInfo};
use crate::engine::EngineViews;
use crate::feeds::Loading;
use crate::metrics::Metrics;
use crate::pack::told::Packs;
use crate::store::disk::free_bytes;
use crate::store::hours::Hours;
use crate::store::lists::Lists;
use crate::store::{catch_up, floors, journal, outbox, retention};
use crate::upstream::{self, LinkState};
use kakou_core::evidence::SubjectKeys;
use kakou_core::ids::{DeviceId, GatewayId, LaneId, SiteId};
use kakou_core::lane::view::shapes::LaneStatus;
use kakou_core::lists;
use kakou_core::pass::trust::TrustList;
use kakou_core::records::LISTS;
use kakou_core::time::rfc3339;
use kakou_link::broker::Upstream;
use kakou_link::clock::Clock;
use kakou_link::tls;
use rusqlite::Connection;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Between two looks of those who follow the status page.
pub const SHOWN_EVERY: Duration = Duration::from_secs(2);

/// Everything that there is to look at.
pub struct Overview {
    /// The site.
    pub site: SiteId,
    /// This gateway.
    pub gateway: GatewayId,
    /// The offset of the site's time from UTC, for the screens.
    pub utc_offset_minutes: i64,
    /// The data folder.
    pub data: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// When the daemon began.
    pub begun: Instant,
    /// What the engine shows.
    pub views: EngineViews,
    /// Lanes with their profiles.
    pub lanes: Vec<(LaneId, String)>,
    /// Which lane a device belongs to.
    pub lane_devices: Vec<(DeviceId, LaneId)>,
    /// Devices.
    pub devices: Vec<DeviceInfo>,
    /// The keys in use.
    pub trust: watch::Receiver<Arc<TrustList>>,
    /// What makes subject keys.
    pub subjects: watch::Receiver<Arc<SubjectKeys>>,
    /// Hours after which a list is stale, where a lane looks into it.
    pub stale_after_h: BTreeMap<String, i64>,
    /// The feed that is on its way.
    pub loading: watch::Receiver<Option<Loading>>,
    /// Which pack is in use, and which one waits for its time.
    pub packs: watch::Receiver<Packs>,
    /// The broker.
    pub broker: Option<Upstream>,
    /// The link upstream.
    pub link: watch::Receiver<LinkState>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Opened at the first look.
    pub readers: Readers,
    /// What the status page showed last, and when.
    pub last: Mutex<Option<(Instant, Arc<str>)>>,
}

/// Reading connections, kept open. One look at a time: each takes a few rows.
#[derive(Default)]
pub struct Readers(Mutex<Option<(Connection, Lists)>>, Mutex<Hours>);

impl Readers {
    /// Looks, if both files can be opened; what fails is opened anew the next time.
    fn look<T>(
        &self,
        data: &std::path::Path,
        with: impl FnOnce(&Connection, &Lists) -> Option<T>,
    ) -> Option<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (reader, lists) = match kept.take() {
            Some(open) => open,
            None => (journal::reader(data).ok()?, Lists::open(data).ok()?),
        };
        let seen = with(&reader, &lists)?;
        *kept = Some((reader, lists));
        Some(seen)
    }
}

impl Overview {
    /// The status page as JSON. Reads a few rows of the journal; not for an async thread.
    pub fn status(&self) -> Value {
        let link = self.link.borrow().clone();
        let state = match (&self.broker, link.online) {
            (None, _) => "off",
            (Some(_), true) => "online",
            (Some(_), false) => "offline",
        };
        let broker = self.broker.as_ref().map(Upstream::address);
        let mut all = self.common();
        all.insert("site".into(), json!(self.site));
        all.insert("gateway".into(), json!(self.gateway));
        all.insert("epoch".into(), json!(self.views.epoch));
        all.insert("utc_offset_minutes".into(), json!(self.utc_offset_minutes));
        let lanes: Vec<_> = self.views.lanes.keys().map(|id| self.lane(id)).collect();
        all.insert("lanes".into(), json!(lanes));
        all.insert("hours".into(), self.hours());
        all.insert(
            "upstream".into(),
            json!({ "state": state, "broker": broker, "since_s": link.since.elapsed().as_secs(),
                "detail": link.detail, "published": link.published }),
        );
        Value::Object(all)
    }

    /// The status page for everybody who follows it: one look serves all of them. None at the end of the daemon.
    pub async fn shown(self: Arc<Self>) -> Option<Arc<str>> {
        let look = move || {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, text)) = &*last
                && at.elapsed() < SHOWN_EVERY / 2
            {
                return text.clone();
            }
            let text: Arc<str> = self.status().to_string().into();
            *last = Some((Instant::now(), text.clone()));
            text
        };
        tokio::task::spawn_blocking(look).await.ok()
    }

    /// What goes upstream once a minute. Reads a few rows of the journal; not for an async thread.
    pub fn health(&self) -> Value {
        let mut all = self.common();
        all.insert("at".into(), json!(self.clock.now().wall_ms.map(rfc3339)));
        let lanes: Vec<Value> = self
            .lanes
            .iter()
            .map(|(id, profile)| {
                let lane = self.lane(id);
                let (mode, counters) = (lane.as_ref().map(|l| l.mode), lane.map(|l| l.counters));
                json!({ "id": id, "profile": profile, "mode": mode, "outcomes": counters })
            })
            .collect();
        all.insert("lanes".into(), json!(lanes));
        all.insert("certificate".into(), self.certificate());
        all.insert("box".into(), machine());
        Value::Object(all)
    }

    /// Gateways of the site that have not told which passes were used. Not for an async thread.
    pub fn uses_wait_for(&self) -> Option<Vec<GatewayId>> {
        self.readers.look(&self.data, |journal, _| catch_up::waits_for(journal).ok())
    }

    /// Verdicts of the last hours, lane by lane; nothing while nobody knows the time.
    fn hours(&self) -> Value {
        let Some(now_ms) = self.clock.now().wall_ms else { return Value::Null };
        let mut hours = self.readers.1.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = self.lanes.iter().map(|(id, _)| id.as_str());
        let look = |journal: &Connection, _: &Lists| {
            hours.shown(journal, lanes, now_ms, self.utc_offset_minutes).ok()
        };
        self.readers.look(&self.data, look).unwrap_or_default()
    }

    /// One line of the status page; none before the lane has shown anything.
    fn lane(&self, id: &LaneId) -> Option<LaneStatus> {
        let view = self.views.lanes.get(id)?.borrow().clone();
        view.status()
    }

    fn common(&self) -> Map<String, Value> {
        let now = self.clock.now();
        let positions = *self.views.positions.borrow();
        let seen = self.readers.look(&self.data, |journal, lists| {
            let used = retention::bytes(journal).ok()?.0;
            let waiting = outbox::photos_waiting(journal).ok()?;
            let kept = outbox::photos_kept(journal).ok()?;
            let depths = upstream::depths(journal, &positions, now.wall_ms);
            let uses = uses(journal).ok()?;
            Some((depths, used, self.lists(lists, now.wall_ms), waiting, kept, uses))
        });
        let (outbox, used, lists, waiting, (photos, photo_bytes), uses) = seen.unwrap_or_default();
        let uses = if uses.is_null() { json!({ "waits_for": [] }) } else { uses };
        let closed = self.views.closed.borrow().is_some();
        let oldest = waiting.oldest_ms.zip(now.wall_ms).map(|(then, now)| ((now - then) / 1000).max(0));
        let all = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_s": self.begun.elapsed().as_secs(),
            "clock": { "wall": now.wall_ms.map(rfc3339), "synced": now.synced(),
                "quality": now.quality.as_str() },
            "devices": self.devices(),
            "lists": lists,
            "loading": *self.loading.borrow(),
            "packs": self.packs.borrow().json(),
            "outbox": outbox,
            "uses": uses,
            "subject_key": self.subjects.borrow().number(),
            "photos": { "waiting": waiting.count, "oldest_age_s": oldest },
            "store": { "events": positions.stored().iter().sum::<u64>(), "photos": photos, "used_bytes": used + photo_bytes,
                "free_bytes": free_bytes(&self.data), "state": if closed { "full" } else { "ok" } },
            "counters": self.metrics.plain(),
        });
        match all {
            Value::Object(all) => all,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Map::new()
            }
        }
    }

    fn devices(&self) -> Vec<Value> {
        let lane_of: BTreeMap<&str, &str> =
            self.lane_devices.iter().map(|(device, lane)| (device.as_str(), lane.as_str())).collect();
        let mut all = devices::health(&self.devices);
        for device in &mut all {
            let lane = device["id"].as_str().and_then(|id| lane_of.get(id)).copied();
            device["lane"] = json!(lane);
        }
        all
    }

    fn lists(&self, stored: &Lists, now_ms: Option<i64>) -> Vec<Value> {
        let age = |issued: i64| now_ms.map(|now| (now - issued) / 1000);
        let trust = self.trust.borrow();
        // The first five are what lanes look into; the others are shown where they are.
        let shown = LISTS.iter().enumerate().filter(|(i, n)| *i < 5 || stored.in_use(n).is_some());
        shown
            .map(|(_, &name)| {
                let (version, entries, single, issued, signed) = if name == "trust" {
                    let issued = (trust.version > 0).then_some(trust.issued * 1000);
                    // One that came with the enrolment was vouched for, but nobody has signed it as a feed.
                    let newest = floors::version(&self.data, name).ok().flatten();
                    let signed = trust.version > 0 && newest == Some(trust.version);
                    (trust.version, trust.len() as u64, 0, issued, signed)
                } else {
                    match stored.in_use(name) {
                        Some(l) => (l.version, l.entries, l.single, Some(l.issued_ms), !l.signer.is_empty()),
                        None => (0, 0, 0, None, false),
                    }
                };
                let age = issued.and_then(age);
                // Trust lives as long as its keys; the others as long as their kind where no lane says otherwise.
                let limit_s =
                    self.stale_after_h.get(name).copied().unwrap_or_else(|| own_hours(name)) * 3_600;
                let stale = if name == "trust" { issued.is_none() } else { age.is_none_or(|s| s > limit_s) };
                json!({ "name": name, "version": version, "entries": entries, "age_s": age, "stale": stale,
                    "single": single, "damaged": stored.damaged(name), "signed": signed })
            })
            .collect()
    }

    /// Days that the gateway's own certificate is still good; unknown without one.
    fn certificate(&self) -> Value {
        let file = self.broker.as_ref().and_then(|b| b.identity.as_ref()).map(|(cert, _)| cert);
        let ends = file.and_then(|f| {
            let chain = tls::certificates(f).ok()?;
            let (_, ends) = kakou_provisioning::certificate::validity(chain.first()?).ok()?;
            i64::try_from(ends).ok()
        });
        let days = ends.zip(self.clock.now().wall_s()).map(|(ends, now)| (ends - now) / 86_400);
        json!({ "days": days, "ends": ends.map(|s| rfc3339(s * 1000)) })
    }

    /// The exposition of `/metrics`: the figures of the health that goes upstream. Reads a few rows of the journal; not
    /// for an async thread.
    pub fn metrics(&self) -> String {
        let online = self.link.borrow().online;
        let health = self.health();
        self.metrics.text(|f| figures::show(f, &health, online))
    }
}

/// Hours after which a list is too old where no lane looks into it.
fn own_hours(name: &str) -> i64 {
    lists::find(name).map_or(lists::DAY_H, |list| list.stale_h)
}

/// What the box itself says: the hottest sensor, load, memory of this process.
fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let zones = std::fs::read_dir("/sys/class/thermal").into_iter().flatten().flatten();
    let hottest = zones
        .filter_map(|z| read(z.path().join("temp").to_str()?)?.trim().parse::<f64>().ok())
        .max_by(f64::total_cmp);
    // Not from /proc/loadavg: the unit's /proc shows processes alone. In 1/65536, see sysinfo(2).
    let load = f64::from(u32::try_from(rustix::system::sysinfo().loads[0]).unwrap_or(u32::MAX)) / 65_536.0;
    let load = (load * 100.0).round() / 100.0;
    let rss = read("/proc/self/status").and_then(|t| {
        let line = t.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    });
    json!({ "temp_c": hottest.map(|t| t / 1000.0), "load1": load, "mem_mb": rss.map(|kb| (kb / 102.4).round() / 10.0) })
}

/// Keeps the health that goes upstream fresh, until cancelled.
pub async fn keep(overview: Arc<Overview>, health: watch::Sender<Arc<str>>, cancel: CancellationToken) {
    let mut clock = tokio::time::interval(upstream::HEALTH_EVERY);
    let (mut link, mut packs) = (overview.link.clone(), overview.packs.clone());
    let mut online = false;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = clock.tick() => {}
            // So is a pack that has come and waits.
            Ok(()) = packs.changed() => {}
            // A link that has just come up is told at once.
            changed = link.changed() => {
                if changed.is_err() { return }
                let now = link.borrow_and_update().online;
                if std::mem::replace(&mut online, now) || !now { continue }
            }
        }
        let look = overview.clone();
        if let Ok(text) = tokio::task::spawn_blocking(move || look.health().to_string()).await {
            health.send_replace(text.into());
        }
    }
}
/// Whom the lanes wait for, and what the central side has said, where it does not know everything.
fn uses(journal: &Connection) -> rusqlite::Result<Value> {
    let mut uses = json!({ "waits_for": catch_up::waits_for(journal)? });
    if let Some(lacks) = catch_up::central_lacks(journal)? {
        uses["central"] = json!({ "since": lacks.since_ms.map(rfc3339) });
    }
    Ok(uses)
}
