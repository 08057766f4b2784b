//! A gateway as its broker sees it: a real connection with will, birth, health, events with receipts,
//! and answers to questions. It decides nothing and stores nothing.

use kakou_central::fleet::watch::now_ms;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::pass::trust::{TrustList, Usage};
use kakou_core::signed;
use kakou_link::backoff::Backoff;
use kakou_link::broker::Upstream;
use kakou_link::mqtt::{self, Client, Mark, MqttEvent, Will};
use kakou_wire::order::{Question, TRACE};
use kakou_wire::receipt::Receipt;
use kakou_wire::topic::topic;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What all of them count.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that are up.
    pub online: AtomicU64,
    /// Connections that came up.
    pub connected: AtomicU64,
    /// Attempts that failed or connections that were lost.
    pub lost: AtomicU64,
    /// Events sent.
    pub sent: AtomicU64,
    /// Events receipted.
    pub receipted: AtomicU64,
    /// Questions answered.
    pub answered: AtomicU64,
}

/// One of them.
pub struct SimGateway {
    /// The site.
    pub site: SiteId,
    /// The gateway.
    pub gateway: GatewayId,
    /// The broker.
    pub broker: Upstream,
    /// Who may ask.
    pub keys: Arc<TrustList>,
    /// Between two events.
    pub every: Duration,
    /// What is counted.
    pub counters: Arc<Counters>,
}

impl SimGateway {
    fn topic(&self, rest: &str) -> String {
        topic(&self.site, &self.gateway, rest)
    }

    /// Runs until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let (mut backoff, mut seq) = (Backoff::default(), 0);
        while !cancel.is_cancelled() {
            let mut up = None;
            let end = self.connection(&cancel, &mut seq, &mut up).await;
            if up.is_some() {
                self.counters.online.fetch_sub(1, Ordering::Relaxed);
            }
            if end.is_ok() {
                return;
            }
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            let pause = backoff.pause(up.map(|at: Instant| at.elapsed()));
            tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(pause) => {} }
        }
    }

    async fn connection(
        &self,
        cancel: &CancellationToken,
        seq: &mut u64,
        up: &mut Option<Instant>,
    ) -> Result<(), String> {
        let will = json!({ "online": false, "epoch": 1 }).to_string();
        let (client, mut events) = mqtt::open(mqtt::Options {
            broker: &self.broker,
            client_id: format!("{}-{}-up", self.site, self.gateway),
            clean: true,
            will: Some(Will { topic: self.topic("state"), body: will.into(), retain: true }),
            inflight: 20,
            incoming: 20,
            capacity: 32,
            manual_acks: false,
        })
        .map_err(|e| e.to_string())?;
        let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + self.every, self.every);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut health = tokio::time::interval(Duration::from_secs(60));
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                heard = events.poll() => match heard.map_err(|e| e.to_string())? {
                    MqttEvent::Connected { .. } => {
                        *up = Some(Instant::now());
                        self.counters.online.fetch_add(1, Ordering::Relaxed);
                        self.counters.connected.fetch_add(1, Ordering::Relaxed);
                        self.birth(&client, *seq)?;
                    }
                    MqttEvent::Message(m) if m.topic.ends_with("/rcpt") => {
                        if let Ok(r) = serde_json::from_slice::<Receipt>(&m.payload) {
                            self.counters.receipted.fetch_max(r.through_seq, Ordering::Relaxed);
                        }
                    }
                    MqttEvent::Message(m) => self.answer(&client, &m.payload)?,
                    MqttEvent::Subscribed(_) | MqttEvent::Departed(_) | MqttEvent::Acked(..) | MqttEvent::Other => {}
                },
                _ = clock.tick(), if up.is_some() => {
                    *seq += 1;
                    self.put(&client, &self.topic("evt/verdict"), &self.event(*seq), Mark::default())?;
                    self.counters.sent.fetch_add(1, Ordering::Relaxed);
                }
                _ = health.tick(), if up.is_some() => {
                    self.put(&client, &self.topic("health"), &health_of(), Mark { unsure: true, ..Mark::default() })?;
                }
            }
        }
    }

    fn put(&self, client: &Client, topic: &str, body: &Value, mark: Mark<'_>) -> Result<(), String> {
        client.publish(topic, body.to_string().into_bytes(), mark).map_err(|e| e.to_string())
    }

    fn birth(&self, client: &Client, seq: u64) -> Result<(), String> {
        for filter in [self.topic("rcpt"), format!("kakou/v1/{}/trace/req", self.site)] {
            client.subscribe(&filter).map_err(|e| e.to_string())?;
        }
        let state = json!({ "online": true, "version": "0.1.0", "epoch": 1, "heads": { "verdict": seq },
            "floor": {}, "lanes": [{ "id": "lane-1", "profile": "school-gate" }] });
        self.put(client, &self.topic("state"), &state, Mark { retain: true, ..Mark::default() })?;
        self.put(client, &self.topic("health"), &health_of(), Mark { unsure: true, ..Mark::default() })
    }

    fn event(&self, seq: u64) -> Value {
        json!({ "specversion": "1.0", "id": format!("{}/1/{seq}", self.gateway),
            "source": format!("/kakou/{}/{}", self.site, self.gateway), "type": "kakou.transaction.v1",
            "time": kakou_core::time::rfc3339(now_ms()), "subject": format!("lane-1/{seq}"),
            "datacontenttype": "application/json", "audience": "community,cdc", "stream": "verdict",
            "streamseq": seq, "boot": "sim", "monoms": "0", "clocksynced": true,
            "data": { "outcome": "ADMIT", "codes": ["OK"], "subject": "0123456789abcdef0123456789abcdef" } })
    }

    fn answer(&self, client: &Client, envelope: &[u8]) -> Result<(), String> {
        let opened =
            signed::open(envelope, TRACE, &self.keys, Usage::Trace, None).map_err(|e| e.to_string())?;
        let q: Question = serde_json::from_slice(&opened.payload).map_err(|e| e.to_string())?;
        let row = |n: i64| {
            json!({ "seq": n, "at": kakou_core::time::rfc3339(q.to_ms - n * 1000), "lane": "lane-1", "outcome": "ADMIT",
                "codes": ["OK"], "subject": q.subject, "unsent": n == 0 })
        };
        let rows: Vec<Value> = (0..3).map(row).collect();
        let body = json!({ "id": q.id, "rows": rows, "truncated": false, "took_us": 0 });
        self.counters.answered.fetch_add(1, Ordering::Relaxed);
        self.put(client, &self.topic(&format!("trace/{}", q.id)), &body, Mark::default())
    }
}

fn health_of() -> Value {
    let outbox: Vec<Value> = ["verdict", "scan", "sample", "health"]
        .iter()
        .map(|c| json!({ "class": c, "unpublished": 0, "unreceipted": 1, "oldest_age_s": null }))
        .collect();
    let lists: Vec<Value> = ["trust", "status", "pass", "revocation", "hold"]
        .iter()
        .map(|n| json!({ "name": n, "version": 7, "entries": 1000, "age_s": 3600, "stale": false, "signed": true }))
        .collect();
    let devices: Vec<Value> = ["scanner", "thermometer", "barrier"]
        .iter()
        .map(|d| json!({ "id": format!("lane-1-{d}"), "driver": d, "state": "ready", "errors": 0, "latency_ms": 2.0 }))
        .collect();
    json!({ "at": kakou_core::time::rfc3339(now_ms()), "uptime_s": 100, "version": "0.1.0", "outbox": outbox,
        "photos": { "waiting": 0, "oldest_age_s": null }, "lists": lists, "certificate": { "days": 60 },
        "clock": { "synced": true, "quality": "synced" }, "devices": devices,
        "lanes": [{ "id": "lane-1", "profile": "school-gate", "outcomes": { "ADMIT": 400, "REFER": 2, "HOLD": 1, "DENY": 0 } }],
        "counters": {}, "store": { "used_bytes": 1, "free_bytes": 1, "state": "ok" },
        "box": { "temp_c": 51.0, "load1": 0.1, "mem_mb": 18.0 } })
}
