//! A live view for plants that speak Sparkplug B (Eclipse Sparkplug specification 3.0.0).
//!
//! The gateway is an edge node: birth, data when something has changed, death as the will. By the
//! rule of that specification data goes with quality of service 0, so this is a view, and never the
//! way of the evidence.

use super::{plugged, unplugged};
use crate::metrics::Metrics;
use crate::overview::Overview;
use kakou_link::backoff::Backoff;
use kakou_link::broker::Upstream;
use kakou_link::durable;
use kakou_link::mqtt::{self, Mark, MqttEvent, Will};
use kakou_link::outage::Outage;
use prost::Message;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
const BD_SEQ: &str = "bdSeq";
const REBIRTH: &str = "Node Control/Rebirth";
/// The file with the number of the last birth.
const BIRTHS: &str = "sparkplug";

/// What the task needs.
pub struct View {
    /// The broker.
    pub settings: Upstream,
    /// What there is to see.
    pub overview: Arc<Overview>,
    /// Whether the network may be used.
    pub plug: watch::Receiver<bool>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// `org.eclipse.tahu.protobuf.Payload`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct Payload {
    #[prost(uint64, optional, tag = "1")]
    timestamp: Option<u64>,
    #[prost(message, repeated, tag = "2")]
    metrics: Vec<Metric>,
    #[prost(uint64, optional, tag = "3")]
    seq: Option<u64>,
}

/// `org.eclipse.tahu.protobuf.Payload.Metric`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct Metric {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "3")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "4")]
    datatype: Option<u32>,
    #[prost(bool, optional, tag = "7")]
    is_null: Option<bool>,
    #[prost(oneof = "Reading", tags = "11, 14, 15")]
    value: Option<Reading>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Reading {
    #[prost(uint64, tag = "11")]
    Long(u64),
    #[prost(bool, tag = "14")]
    Boolean(bool),
    #[prost(string, tag = "15")]
    Text(String),
}

impl Reading {
    /// The number of the data type: UInt64, Boolean, String.
    const fn datatype(&self) -> u32 {
        match self {
            Self::Long(_) => 8,
            Self::Boolean(_) => 11,
            Self::Text(_) => 12,
        }
    }
}

type Values = BTreeMap<String, Reading>;

/// The values of a health report that are worth a live look.
fn values(health: &Value) -> Values {
    let mut all = Values::new();
    let text = |v: &Value| v.as_str().map(|t| Reading::Text(t.to_owned()));
    let long = |v: &Value| v.as_u64().map(Reading::Long);
    let mut add = |name: String, value: Option<Reading>| {
        if let Some(value) = value {
            all.insert(name, value);
        }
    };
    add("Properties/version".into(), text(&health["version"]));
    add("clock".into(), text(&health["clock"]["quality"]));
    add("store".into(), text(&health["store"]["state"]));
    for lane in health["lanes"].as_array().into_iter().flatten() {
        let Some(id) = lane["id"].as_str() else { continue };
        add(format!("lanes/{id}/mode"), text(&lane["mode"]));
        for (name, count) in lane["outcomes"].as_object().into_iter().flatten() {
            add(format!("lanes/{id}/{name}"), long(count));
        }
    }
    for device in health["devices"].as_array().into_iter().flatten() {
        if let Some(id) = device["id"].as_str() {
            add(format!("devices/{id}/state"), text(&device["state"]));
        }
    }
    for stream in health["outbox"].as_array().into_iter().flatten() {
        if let Some(class) = stream["class"].as_str() {
            add(format!("outbox/{class}"), long(&stream["unpublished"]));
        }
    }
    all
}

fn payload(values: &Values, at_ms: u64, seq: Option<u64>) -> Vec<u8> {
    let metrics = values
        .iter()
        .map(|(name, value)| Metric {
            name: Some(name.clone()),
            timestamp: Some(at_ms),
            datatype: Some(value.datatype()),
            is_null: None,
            value: Some(value.clone()),
        })
        .collect();
    Payload { timestamp: Some(at_ms), metrics, seq }.encode_to_vec()
}

/// The number of each connection, 0 to 255 and round again: by it a host tells which birth a death belongs to. It goes
/// on over restarts: a daemon that was killed dies with the number of its birth, and the next one is born with another.
struct Births(PathBuf, Option<u64>);

impl Births {
    fn advance(&mut self) -> u64 {
        let Self(file, last) = self;
        let kept = || std::fs::read_to_string(&*file).ok()?.trim().parse::<u64>().ok();
        let next = last.take().or_else(kept).map_or(0, |last| (last + 1) % 256);
        if let Err(e) = durable::write(file, next.to_string().as_bytes()) {
            log::warn!("sparkplug: {}: {e}; after a restart bdSeq begins where it was", file.display());
        }
        *last = Some(next);
        next
    }

    /// The next one, when it is kept.
    async fn next(mut self) -> (u64, Self) {
        let file = self.0.clone();
        let advanced = tokio::task::spawn_blocking(move || (self.advance(), self)).await;
        advanced.unwrap_or((0, Self(file, None)))
    }
}

/// Shows until cancelled.
pub async fn run(mut view: View, cancel: CancellationToken) {
    let mut backoff = Backoff::default();
    let mut outage = Outage::new("Sparkplug", &view.settings.address());
    let mut births = Births(view.overview.data.join(BIRTHS), None);
    loop {
        if !plugged(&mut view.plug, &cancel).await {
            return;
        }
        let begun = Instant::now();
        let (number, next) = births.next().await;
        births = next;
        let Err(why) = view.connection(number, &mut outage, &cancel).await else { return };
        view.metrics.count("sparkplug_link_lost_total");
        if let Some(line) = outage.lost(&why, Instant::now()) {
            log::warn!("{line}");
        }
        let pause = backoff.pause(Some(begun.elapsed()));
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(pause) => {} }
    }
}

impl View {
    fn topic(&self, kind: &str) -> String {
        format!("spBv1.0/{}/{kind}/{}", self.overview.site, self.overview.gateway)
    }

    fn now_ms(&self) -> u64 {
        self.overview.clock.now().wall_ms.map_or(0, i64::cast_unsigned)
    }

    async fn look(&self) -> Values {
        let overview = self.overview.clone();
        let look = tokio::task::spawn_blocking(move || overview.health());
        look.await.map(|health| values(&health)).unwrap_or_default()
    }

    async fn connection(
        &mut self,
        birth: u64,
        outage: &mut Outage,
        cancel: &CancellationToken,
    ) -> Result<(), String> {
        let death = Values::from([(BD_SEQ.to_owned(), Reading::Long(birth))]);
        let body = payload(&death, self.now_ms(), None);
        let (client, mut events) = mqtt::open(mqtt::Options {
            broker: &self.settings,
            client_id: format!("{}-{}-sparkplug", self.overview.site, self.overview.gateway),
            clean: true,
            will: Some(Will { topic: self.topic("NDEATH"), body: body.clone(), retain: false }),
            inflight: self.settings.inflight,
            incoming: self.settings.inflight,
            capacity: 32,
            manual_acks: false,
        })
        .map_err(|e| e.to_string())?;
        let (mut seq, mut shown) = (0_u64, None::<Values>);
        let mut look = tokio::time::interval(LOOK);
        let command = self.topic("NCMD");
        let unsure = Mark { unsure: true, ..Mark::default() };
        loop {
            let born = tokio::select! {
                () = cancel.cancelled() => {
                    client.publish(&self.topic("NDEATH"), body, unsure).map_err(|e| e.to_string())?;
                    client.farewell(&mut events).await;
                    return Ok(());
                }
                () = unplugged(&mut self.plug) => return Err("unplugged".into()),
                heard = events.poll() => match heard.map_err(|e| e.to_string())? {
                    MqttEvent::Connected { .. } => {
                        client.subscribe(&command).map_err(|e| e.to_string())?;
                        if let Some(line) = outage.up(Instant::now()) {
                            log::info!("{line}");
                        }
                        true
                    }
                    MqttEvent::Message(m) => m.topic == command && rebirth(&m.payload),
                    MqttEvent::Subscribed(Err(why)) => return Err(why),
                    MqttEvent::Subscribed(Ok(())) | MqttEvent::Departed(_) | MqttEvent::Acked(..) | MqttEvent::Other => continue,
                },
                _ = look.tick() => false,
            };
            if !born && shown.is_none() {
                continue;
            }
            let values = self.look().await;
            // A name that the birth did not have needs a new birth.
            let before =
                shown.replace(values.clone()).filter(|b| !born && values.keys().all(|n| b.contains_key(n)));
            let (kind, told) = match before {
                Some(before) => {
                    seq = (seq + 1) % 256;
                    let changed = |(name, value): &(&String, &Reading)| before.get(*name) != Some(value);
                    ("NDATA", values.iter().filter(changed).map(|(n, v)| (n.clone(), v.clone())).collect())
                }
                None => {
                    seq = 0;
                    let more = [(BD_SEQ, Reading::Long(birth)), (REBIRTH, Reading::Boolean(false))];
                    (
                        "NBIRTH",
                        values.into_iter().chain(more.map(|(n, v)| (n.to_owned(), v))).collect::<Values>(),
                    )
                }
            };
            if told.is_empty() {
                // Nothing is sent, and no number is used up.
                seq = (seq + 255) % 256;
                continue;
            }
            let body = payload(&told, self.now_ms(), Some(seq));
            client.publish(&self.topic(kind), body, unsure).map_err(|e| e.to_string())?;
        }
    }
}

/// Whether a host asks for a new birth.
fn rebirth(payload: &[u8]) -> bool {
    let asked = |m: &Metric| m.name.as_deref() == Some(REBIRTH) && m.value == Some(Reading::Boolean(true));
    Payload::decode(payload).is_ok_and(|p| p.metrics.iter().any(asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn births_are_numbered_over_restarts_and_begin_again_after_255() {
        let folder = tempfile::tempdir().unwrap();
        let begun = || Births(folder.path().join(BIRTHS), None);
        let mut first = begun();
        assert_eq!([first.advance(), first.advance()], [0, 1]);
        assert_eq!(begun().advance(), 2, "another process");
        std::fs::write(folder.path().join(BIRTHS), "254").unwrap();
        let mut last = begun();
        assert_eq!([last.advance(), last.advance()], [255, 0]);
        std::fs::write(folder.path().join(BIRTHS), "").unwrap();
        assert_eq!(begun().advance(), 0, "a file that was cut off");
    }

    #[test]
    fn payloads_are_those_of_the_specification() {
        let health = json!({ "version": "1.0", "clock": { "quality": "synced" }, "store": { "state": "ok" },
            "lanes": [{ "id": "lane-1", "mode": "open", "outcomes": { "ADMIT": 3 } }],
            "devices": [{ "id": "scanner", "state": "ready" }], "outbox": [{ "class": "verdict", "unpublished": 7 }] });
        let values = values(&health);
        assert_eq!(values["lanes/lane-1/ADMIT"], Reading::Long(3));
        assert_eq!(values["outbox/verdict"], Reading::Long(7));
        assert_eq!(values.len(), 7);
        let bytes = payload(&Values::from([("bdSeq".into(), Reading::Long(5))]), 1, Some(2));
        // Field 1 = 1; field 2: name, timestamp, data type 8, long value 5; field 3 = 2.
        let wanted =
            [&[0x08, 1, 0x12, 13, 0x0a, 5][..], b"bdSeq", &[0x18, 1, 0x20, 8, 0x58, 5, 0x18, 2]].concat();
        assert_eq!(bytes, wanted);
        let asks = |on: bool| payload(&Values::from([(REBIRTH.into(), Reading::Boolean(on))]), 1, None);
        assert!(rebirth(&asks(true)) && !rebirth(&asks(false)) && !rebirth(b"\xff"));
    }
}
