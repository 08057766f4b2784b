//! Listens to a whole fleet and keeps what it says.

use super::Fleet;
use super::send::OutgoingMessage;
use kakou_link::broker::Upstream;
use kakou_link::mqtt::{self, Mark, MqttEvent};
use kakou_link::outage::Outage;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Between two connections.
const PAUSE: Duration = Duration::from_secs(1);

/// What is heard of each gateway.
pub const HEARD: [&str; 5] = ["state", "health", "evt/verdict", "cmdres/+", "trace/+"];

/// A fleet that is watched.
#[derive(Clone, Default)]
pub struct Watched(Arc<Mutex<Fleet>>);

impl Watched {
    /// A look, or a change.
    pub fn lock(&self) -> MutexGuard<'_, Fleet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// UTC milliseconds.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// What to listen to.
#[derive(Clone)]
pub struct Watch {
    /// The broker.
    pub broker: Upstream,
    /// The name of this client at the broker.
    pub client_id: String,
    /// One site, or `+` for all.
    pub site: String,
}

/// Watches until cancelled; what is given goes out.
pub async fn run(
    watch: Watch,
    fleet: Watched,
    mut out: mpsc::Receiver<OutgoingMessage>,
    cancel: CancellationToken,
) {
    let mut waiting: Option<OutgoingMessage> = None;
    fleet.lock().begins(now_ms());
    let mut outage = Outage::new(&watch.client_id, &watch.broker.address());
    while !cancel.is_cancelled() {
        let opened = mqtt::open(mqtt::Options {
            broker: &watch.broker,
            client_id: watch.client_id.clone(),
            clean: true,
            will: None,
            inflight: 500,
            incoming: 500,
            capacity: 1024,
            manual_acks: false,
        });
        let (client, mut events) = match opened {
            Ok(opened) => opened,
            Err(e) => return log::error!("fleet: {e}"),
        };
        let mut up = false;
        loop {
            if up && let Some(message) = waiting.take() {
                let mark = Mark { retain: message.retain, ..Mark::default() };
                if client.publish(&message.topic, message.body.clone(), mark).is_err() {
                    waiting = Some(message);
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return client.farewell(&mut events).await,
                message = out.recv(), if up && waiting.is_none() => match message {
                    Some(message) => waiting = Some(message),
                    None => return,
                },
                heard = events.poll() => match heard {
                    Ok(MqttEvent::Connected { .. }) => {
                        fleet.lock().connected(now_ms());
                        if let Some(line) = outage.up(Instant::now()) {
                            log::info!("{line}");
                        }
                        up = HEARD.iter().all(|k| client.subscribe(&format!("kakou/v1/{}/+/{k}", watch.site)).is_ok());
                    }
                    Ok(MqttEvent::Subscribed(Err(why))) => {
                        log::error!("fleet: a subscription is refused: {why}");
                        fleet.lock().refused(why);
                    }
                    Ok(MqttEvent::Message(m)) if m.retained => fleet.lock().take_kept(&m.topic, &m.payload, now_ms()),
                    Ok(MqttEvent::Message(m)) => fleet.lock().take(&m.topic, &m.payload, now_ms()),
                    Ok(_) => {}
                    Err(e) => {
                        fleet.lock().lost(now_ms());
                        if let Some(line) = outage.lost(&e.to_string(), Instant::now()) {
                            log::warn!("{line}");
                        }
                        break;
                    }
                },
            }
        }
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(PAUSE) => {} }
    }
}
