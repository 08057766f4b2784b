//! The consumer on a broker: shared by `kakou central listen`, the demo and the tests.

use super::{Arrived, Consumer, Sink, read};
use crate::upstream::Receipt;
use rumqttc::{
    AckMode, AsyncClient, Event, MqttOptions, NetworkOptions, Packet, PublishOptions, QoS, TlsConfiguration,
    Transport,
};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where the consumer listens.
#[derive(Clone)]
pub struct Listen {
    /// Host of the broker.
    pub host: String,
    /// Port.
    pub port: u16,
    /// TLS, for anything but loopback.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The name of this consumer at the broker.
    pub client_id: String,
    /// The site, or `+` for all.
    pub site: String,
}

/// Figures of a consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events, each counted once.
    pub events: u64,
    /// Repetitions.
    pub duplicates: u64,
    /// Messages that were no events.
    pub refused: u64,
    /// Events held beyond a gap.
    pub gaps: u64,
    /// Receipts sent.
    pub receipts: u64,
    /// Whether the broker has taken the subscription.
    pub subscribed: bool,
}

/// Writes events to a stream, one JSON a line.
pub struct Lines<W: Write>(pub W);

impl<W: Write> Sink for Lines<W> {
    fn store(&mut self, events: &[Arrived]) -> io::Result<()> {
        for event in events {
            self.0.write_all(event.json.as_bytes())?;
            self.0.write_all(b"\n")?;
        }
        self.0.flush()
    }
}

/// At most one receipt a stream in this time: a backlog would else send as many as messages.
const RECEIPT_EVERY: Duration = Duration::from_millis(100);

/// Listens until cancelled; reconnects by itself.
pub async fn run(
    listen: Listen,
    mut consumer: Consumer,
    mut sink: Box<dyn Sink + Send>,
    tally: watch::Sender<Tally>,
    cancel: CancellationToken,
) {
    while !cancel.is_cancelled() {
        let mut o = MqttOptions::new(listen.client_id.clone(), (listen.host.as_str(), listen.port));
        o.set_clean_start(false)
            .set_session_expiry_interval(Some(7 * 86_400))
            .set_keep_alive(15)
            .set_max_packet_size(Some(1 << 20))
            .set_receive_maximum(Some(500))
            .set_max_request_batch(256)
            .set_read_batch_size(128)
            .set_request_channel_capacity(2048)
            .set_outgoing_inflight_upper_limit(256)
            .set_broker_session_resume_policy(rumqttc::BrokerSessionResumePolicy::AllowBrokerOnly)
            .set_ack_mode(AckMode::Manual);
        let mut n = NetworkOptions::new();
        n.set_tcp_nodelay(true);
        o.set_network_options(n);
        if let Some(tls) = &listen.tls {
            o.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls.clone())));
        }
        let Ok((client, mut events)) = AsyncClient::builder(o).try_build() else {
            return log::error!("the options of the broker connection do not fit together");
        };
        let mut session = Session { client, due: BTreeMap::new(), sent: Instant::now() };
        let mut clock = tokio::time::interval(RECEIPT_EVERY);
        loop {
            tokio::select! {
                () = cancel.cancelled() => {
                    session.receipts(&tally);
                    let end = async {
                        if session.client.disconnect_with_timeout(Duration::from_secs(1)).await.is_ok() {
                            while events.poll().await.is_ok() {}
                        }
                    };
                    drop(tokio::time::timeout(Duration::from_secs(2), end).await);
                    return;
                }
                _ = clock.tick() => session.receipts(&tally),
                event = events.poll() => match event {
                    Ok(event) => {
                        if let Err(e) = session.on(event, &listen, &mut consumer, sink.as_mut(), &tally) {
                            // Nothing is acknowledged that is not stored: the broker sends it again.
                            log::error!("events cannot be stored, the connection is begun anew: {e}");
                            break;
                        }
                    }
                    Err(e) => {
                        log::warn!("central: {e}");
                        break;
                    }
                },
            }
        }
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(Duration::from_millis(500)) => {} }
    }
}

struct Session {
    client: AsyncClient,
    due: BTreeMap<(String, String, u64, kakou_core::event::Class), u64>,
    sent: Instant,
}

impl Session {
    fn on(
        &mut self,
        event: Event,
        listen: &Listen,
        consumer: &mut Consumer,
        sink: &mut dyn Sink,
        tally: &watch::Sender<Tally>,
    ) -> io::Result<()> {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                let filter = format!("kakou/v1/{}/+/evt/+", listen.site);
                self.client.try_subscribe(filter, QoS::AtLeastOnce).map_err(io::Error::other)
            }
            Event::Incoming(Packet::SubAck(_)) => {
                tally.send_modify(|t| t.subscribed = true);
                Ok(())
            }
            Event::Incoming(Packet::Publish(message)) => {
                let topic = String::from_utf8_lossy(&message.topic).into_owned();
                let mut parts = topic.split('/').skip(2);
                let (site, gateway) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                match read(gateway, &message.payload) {
                    Ok(events) => {
                        let taken = consumer.take(events, sink)?;
                        for (gateway, epoch, class, through) in taken.receipts {
                            self.due.insert((site.to_owned(), gateway, epoch, class), through);
                        }
                        tally.send_modify(|t| {
                            t.events += taken.new;
                            t.duplicates += taken.duplicates;
                            t.gaps = consumer.gaps();
                        });
                    }
                    Err(e) => {
                        log::warn!("a message on {topic} is refused: {e}");
                        tally.send_modify(|t| t.refused += 1);
                    }
                }
                self.client.try_ack(&message).map_err(io::Error::other)?;
                if self.sent.elapsed() >= RECEIPT_EVERY {
                    self.receipts(tally);
                }
                Ok(())
            }
            Event::Incoming(_) | Event::Outgoing(_) | Event::Auth(_) => Ok(()),
        }
    }

    fn receipts(&mut self, tally: &watch::Sender<Tally>) {
        self.sent = Instant::now();
        for ((site, gateway, epoch, stream), through_seq) in std::mem::take(&mut self.due) {
            let receipt = Receipt { stream, epoch, through_seq };
            let body = serde_json::to_vec(&receipt).expect("a receipt is numbers and a word");
            let topic = format!("kakou/v1/{site}/{gateway}/rcpt");
            if self.client.try_publish(topic, body, PublishOptions::at_least_once()).is_ok() {
                tally.send_modify(|t| t.receipts += 1);
            } else {
                self.due.insert((site, gateway, epoch, stream), through_seq);
                return;
            }
        }
    }
}
