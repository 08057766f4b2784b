//! Mosquitto's own figures, measured by the same client on the same machine, and a counter of what
//! arrives.

use crate::brokers::Mosquitto;
use crate::figures::Missing;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, PublishOptions, QoS};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::watch;

fn client(name: &str, port: u16) -> (AsyncClient, EventLoop) {
    let mut o = MqttOptions::new(name, ("127.0.0.1", port));
    o.set_keep_alive(30)
        .set_max_request_batch(256)
        .set_read_batch_size(128)
        .set_request_channel_capacity(4096)
        .set_outgoing_inflight_upper_limit(256)
        .set_max_packet_size(Some(1 << 20));
    let mut n = NetworkOptions::new();
    n.set_tcp_nodelay(true);
    o.set_network_options(n);
    AsyncClient::builder(o).build()
}

fn lost(e: impl std::fmt::Display) -> Missing {
    Missing(format!("the broker was lost: {e}"))
}

/// Publishes so many messages of 400 bytes and waits for every acknowledgement.
async fn publish(port: u16, messages: u64) -> Result<Duration, Missing> {
    let (client, mut events) = client("bench-publisher", port);
    while !matches!(events.poll().await.map_err(lost)?, Event::Incoming(Packet::ConnAck(_))) {}
    let from = Instant::now();
    let body = vec![b'x'; 400];
    let (mut sent, mut acked) = (0, 0);
    while acked < messages {
        while sent < messages && sent - acked < 1_000 {
            match client.try_publish("bench/evt", body.clone(), PublishOptions::new(QoS::AtLeastOnce)) {
                Ok(()) => sent += 1,
                Err(_) => break,
            }
        }
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.map_err(lost)? {
            acked += 1;
        }
    }
    Ok(from.elapsed())
}

/// How many messages a second Mosquitto accepts into memory, with a subscriber that is away so that
/// it has to keep them.
pub async fn accept_rate(folder: &Path) -> Result<f64, Missing> {
    let mut broker = Mosquitto::plain(folder, "accept");
    broker.start();
    away(broker.port).await?;
    let messages = 60_000;
    let time = publish(broker.port, messages).await?;
    Ok(messages as f64 / time.as_secs_f64())
}

/// A subscriber that leaves and wants everything kept.
async fn away(port: u16) -> Result<(), Missing> {
    let mut o = MqttOptions::new("bench-away", ("127.0.0.1", port));
    o.set_clean_start(false).set_session_expiry_interval(Some(3600));
    let (client, mut events) = AsyncClient::builder(o).build();
    client.try_subscribe("bench/#", QoS::AtLeastOnce).map_err(lost)?;
    while !matches!(events.poll().await.map_err(lost)?, Event::Incoming(Packet::SubAck(_))) {}
    Ok(())
}

/// Counts events that arrive at a broker.
pub struct Counter {
    seen: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Counter {
    /// Subscribes to everything; with `batches`, the events of a JSON array count each.
    pub async fn subscribe(port: u16, batches: bool) -> Result<Self, Missing> {
        let (client, mut events) = client("bench-counter", port);
        client.try_subscribe("#", QoS::AtMostOnce).map_err(lost)?;
        while !matches!(events.poll().await.map_err(lost)?, Event::Incoming(Packet::SubAck(_))) {}
        let (tx, seen) = watch::channel(0);
        let task = tokio::spawn(async move {
            let _client = client;
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::Publish(p)) = event
                    && !p.topic.ends_with(b"state")
                {
                    let many = batches && p.payload.first() == Some(&b'[');
                    let n = if many {
                        p.payload.windows(15).filter(|w| w == b"{\"specversion\":").count()
                    } else {
                        1
                    };
                    tx.send_modify(|c| *c += n as u64);
                }
            }
        });
        Ok(Self { seen, task })
    }

    /// Waits until so many have arrived.
    pub async fn reach(&self, count: u64, limit: Duration) -> Result<(), Missing> {
        let mut seen = self.seen.clone();
        let arrived = tokio::time::timeout(limit, seen.wait_for(|n| *n >= count)).await;
        match arrived {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Missing(format!("{} of {count} events arrived", *self.seen.borrow()))),
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How many events a second a Mosquitto bridge drains: a backlog is queued while the upstream is
/// away, then the upstream comes.
pub async fn bridge_drain(messages: u64) -> Result<f64, Missing> {
    let folder = tempfile::tempdir()?;
    let mut upstream = Mosquitto::plain(folder.path(), "bridge-upstream");
    let lines = format!(
        "allow_anonymous true\npersistence false\nmax_queued_messages 0\nmax_queued_bytes 0\n\
         connection up\naddress 127.0.0.1:{}\ntopic bench/# out 1\ncleansession false\nclientid edge\n\
         local_clientid edge.local\nbridge_protocol_version mqttv311\nrestart_timeout 1 2\nkeepalive_interval 10\n\
         notifications false",
        upstream.port
    );
    let mut edge = Mosquitto::new(folder.path(), "bridge-edge", &lines);
    edge.start();
    publish(edge.port, messages).await?;
    upstream.start();
    let counter = Counter::subscribe(upstream.port, false).await?;
    // The bridge tries once a second: the drain counts from the first event.
    let mut seen = counter.seen.clone();
    tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|n| *n > 0))
        .await
        .map_err(|_| Missing("the bridge did not connect".into()))?
        .map_err(lost)?;
    let (from, before) = (Instant::now(), *counter.seen.borrow());
    counter.reach(messages, Duration::from_secs(60)).await?;
    Ok((messages - before) as f64 / from.elapsed().as_secs_f64())
}

/// A message as it came over MQTT 5.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its topic.
    pub topic: String,
    /// The property Content Type.
    pub content_type: Option<String>,
    /// Its body.
    pub payload: Vec<u8>,
}

/// Keeps everything that arrives at a broker, until it is dropped.
pub struct Recorder {
    seen: watch::Receiver<Vec<Recorded>>,
    task: tokio::task::JoinHandle<()>,
}

impl Recorder {
    /// Subscribes to everything.
    pub async fn subscribe(port: u16) -> Result<Self, Missing> {
        let (client, mut events) = client("recorder", port);
        client.try_subscribe("#", QoS::AtLeastOnce).map_err(lost)?;
        while !matches!(events.poll().await.map_err(lost)?, Event::Incoming(Packet::SubAck(_))) {}
        let (tx, seen) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            // The client ends with its last owner.
            let _client = client;
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::Publish(p)) = event {
                    let topic = String::from_utf8_lossy(&p.topic).into_owned();
                    let content_type = p.properties.as_ref().and_then(|p| p.content_type.clone());
                    let payload = p.payload.to_vec();
                    tx.send_modify(|all| all.push(Recorded { topic, content_type, payload }));
                }
            }
        });
        Ok(Self { seen, task })
    }

    /// Waits until what has come is enough, and gives it.
    pub async fn until(
        &mut self,
        limit: Duration,
        enough: impl FnMut(&Vec<Recorded>) -> bool,
    ) -> Result<Vec<Recorded>, Missing> {
        let came = tokio::time::timeout(limit, self.seen.wait_for(enough)).await.is_ok_and(|w| w.is_ok());
        let all = self.seen.borrow().clone();
        if came {
            return Ok(all);
        }
        let topics: Vec<_> = all.iter().map(|m| &m.topic).collect();
        Err(Missing(format!("not everything came: {topics:?}")))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}
