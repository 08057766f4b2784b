//! MQTT 5 and 3.1.1 behind one interface: the only module that uses the client library.
//!
//! Correctness rests on what both versions have: quality of service 1, packet ids, acknowledgements,
//! retained messages, the will. What only version 5 has (content type, reasons, limits of the
//! broker) is used where it is there and never needed. No message is kept beyond a connection: a connection is
//! opened once, and when it ends its queues are dropped; the caller publishes again from its own store.

use crate::broker::{MqttVersion, Upstream};
use crate::files;
use crate::tls::{self, TlsError};
use kakou_core::text::trimmed;
use rumqttc as v5;
use rumqttc_v4 as v4;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

/// Unacknowledged bytes for this long end the connection: a peer that has stopped reading keeps
/// answering to nothing, and the keep-alive does not see it.
const USER_TIMEOUT_MS: u32 = 20_000;
/// The longest time that a connection may take to come up.
const CONNECT_LIMIT: Duration = Duration::from_secs(8);
/// How long a broker keeps a session for a client that is away.
const SESSION_S: u32 = 7 * 86_400;
/// Default capacity of the queue of events; while it is full the connection is not read.
const HEARD: usize = 512;
/// Default number of packets that are read at once.
const READ: usize = 128;
/// The largest packet taken from a broker.
pub const MAX_PACKET: u32 = 1 << 20;

/// The settings of a connection.
pub struct Options<'a> {
    /// Where, and how to be known there.
    pub broker: &'a Upstream,
    /// The name of this client at the broker.
    pub client_id: String,
    /// Whether the broker forgets this client when it goes.
    pub clean: bool,
    /// What the broker publishes when this client is lost.
    pub will: Option<Will>,
    /// Messages without acknowledgement at most, out.
    pub inflight: u16,
    /// The same for incoming messages: at most this many, of [`MAX_PACKET`] each, are in memory.
    pub incoming: u16,
    /// Requests that may wait in the client.
    pub capacity: usize,
    /// Whether received messages are acknowledged by [`Client::ack`] alone.
    pub manual_acks: bool,
}

/// The will: the message that the broker publishes when a client is lost.
#[derive(Debug, Clone)]
pub struct Will {
    /// Its topic.
    pub topic: String,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the broker keeps it.
    pub retain: bool,
}

/// The properties of a message that is published.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark<'a> {
    /// Kept by the broker for later subscribers.
    pub retain: bool,
    /// Without acknowledgement: for what is worth nothing a minute later.
    pub unsure: bool,
    /// MQTT 5: what the body is.
    pub content_type: Option<&'a str>,
    /// MQTT 5: the broker keeps it for so many seconds for whoever is away.
    pub keep_s: Option<u32>,
}

/// A message that was received.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its body.
    pub payload: Bytes,
    /// Whether the broker had kept it.
    pub retained: bool,
    origin: Origin,
}

#[derive(Debug, Clone)]
enum Origin {
    V5(Box<v5::Publish>),
    V4(v4::Publish),
}

/// An event of a connection.
#[derive(Debug)]
pub enum MqttEvent {
    /// The broker has taken the client.
    Connected {
        /// The largest packet that the broker takes.
        max_packet: Option<u32>,
        /// Unacknowledged messages that the broker takes.
        receive_max: u16,
        /// Whether the broker has kept a session: what was sent meanwhile comes now.
        session: bool,
        /// Whether it keeps messages for later subscribers. Where it does not, none is asked for.
        retains: bool,
    },
    /// The broker has answered a subscription; the text says why it refused.
    Subscribed(Result<(), String>),
    /// A message went out under this packet id.
    Departed(u16),
    /// A message was acknowledged; the text says why the broker refused it.
    Acked(u16, Result<(), String>),
    /// A message came.
    Message(Message),
    /// Anything else.
    Other,
}

/// Why the client did not accept a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Its queue is full.
    #[error("the client's queue is full")]
    Full,
    /// It has ended.
    #[error("the client has ended")]
    Ended,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The password cannot be read.
    #[error("{0}: the password of the broker cannot be read: {1}")]
    Password(std::path::PathBuf, std::io::Error),
    /// The options do not fit together.
    #[error("the options of the connection do not fit together: {0}")]
    Options(String),
    /// The broker keeps no messages, and takes no client whose will is to be kept.
    #[error("the broker keeps no retained messages, and refuses a client that wants its will kept")]
    NoRetain,
    /// The connection says so.
    #[error("{0}")]
    Connection(String),
}

/// The sending half of a connection; clones share it.
#[derive(Clone)]
pub struct Client {
    way: MqttClient,
    /// Whether the broker supports retained messages: the library drops a retained message where it does not.
    retains: Arc<AtomicBool>,
}

#[derive(Clone)]
enum MqttClient {
    V5(v5::AsyncClient),
    V4(v4::AsyncClient),
}

/// The receiving half of a connection. Dropping it ends the connection.
///
/// A task of its own drives the client library: its `poll` is not cancellation-safe, and cancelling it while the
/// connection comes up would start the connection again.
pub struct Events {
    heard: mpsc::Receiver<Result<MqttEvent, MqttError>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum MqttEventLoop {
    V5(Box<v5::EventLoop>),
    V4(Box<v4::EventLoop>),
}

async fn dial(address: String) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_tcp_user_timeout(&stream, USER_TIMEOUT_MS)?;
    Ok(stream)
}

/// Begins a connection; it comes up while [`Events::poll`] is called.
pub fn open(options: Options<'_>) -> Result<(Client, Events), MqttError> {
    let b = options.broker;
    let heard = HEARD.min(options.incoming.into());
    let tls = tls::client(b)?;
    let password = |file: &std::path::PathBuf| {
        let text = files::read_text(file).map_err(|e| MqttError::Password(file.clone(), e))?;
        Ok::<_, MqttError>(trimmed(&text).to_owned())
    };
    // A name alone is sent as well: a broker may know its clients by it.
    let login = match &b.username {
        Some(user) => Some((user.clone(), b.password_file.as_ref().map(password).transpose()?)),
        None => None,
    };
    match b.version {
        MqttVersion::V5 => open_v5(options, tls, login),
        MqttVersion::V311 => open_v4(options, tls, login),
    }
    .map(|(way, source)| {
        let retains = Arc::new(AtomicBool::new(true));
        (Client { way, retains: retains.clone() }, Events::drive(source, heard, retains))
    })
}

type Tls = Option<Arc<rustls::ClientConfig>>;
type Login = Option<(String, Option<String>)>;

fn open_v5(options: Options<'_>, tls: Tls, login: Login) -> Result<(MqttClient, MqttEventLoop), MqttError> {
    let b = options.broker;
    let mut o = v5::MqttOptions::new(options.client_id, (b.host.as_str(), b.port));
    o.set_clean_start(options.clean)
        .set_keep_alive(15)
        .set_connect_timeout(CONNECT_LIMIT)
        .set_request_channel_capacity(options.capacity)
        .set_max_request_batch(256)
        .set_read_batch_size(READ.min(options.incoming.into()))
        .set_outgoing_inflight_upper_limit(options.inflight)
        .set_receive_maximum(Some(options.incoming))
        .set_max_packet_size(Some(MAX_PACKET))
        .set_socket_connector(|address, _| dial(address));
    if !options.clean {
        o.set_session_expiry_interval(Some(SESSION_S));
        o.set_session_store(NothingUnderWay { inflight: options.inflight, manual: options.manual_acks });
    }
    if options.manual_acks {
        o.set_ack_mode(v5::AckMode::Manual);
    }
    if let Some(Will { topic, body, retain }) = options.will {
        o.set_last_will(v5::LastWill::new(topic, body, v5::QoS::AtLeastOnce, retain, None));
    }
    match login {
        Some((user, Some(password))) => drop(o.set_credentials(user, password)),
        Some((user, None)) => drop(o.set_username(user)),
        None => {}
    }
    if let Some(tls) = tls {
        o.set_transport(v5::Transport::tls_with_config(v5::TlsConfiguration::Rustls(tls)));
    }
    let (client, events) =
        v5::AsyncClient::builder(o).try_build().map_err(|e| MqttError::Options(e.to_string()))?;
    Ok((MqttClient::V5(client), MqttEventLoop::V5(Box::new(events))))
}

fn open_v4(options: Options<'_>, tls: Tls, login: Login) -> Result<(MqttClient, MqttEventLoop), MqttError> {
    let b = options.broker;
    let mut o = v4::MqttOptions::new(options.client_id, (b.host.as_str(), b.port));
    let max = usize::try_from(MAX_PACKET).unwrap_or(usize::MAX);
    o.set_clean_session(options.clean)
        .set_keep_alive(15)
        .set_request_channel_capacity(options.capacity)
        .set_max_request_batch(256)
        .set_read_batch_size(READ.min(options.incoming.into()))
        .set_inflight(options.inflight)
        .set_max_packet_size(max, max)
        .set_socket_connector(|address, _| dial(address));
    if options.manual_acks {
        o.set_ack_mode(v4::AckMode::Manual);
    }
    if let Some(Will { topic, body, retain }) = options.will {
        o.set_last_will(v4::LastWill::new(topic, body, v4::QoS::AtLeastOnce, retain));
    }
    match login {
        Some((user, Some(password))) => drop(o.set_credentials(user, password)),
        Some((user, None)) => drop(o.set_username(user)),
        None => {}
    }
    if let Some(tls) = tls {
        o.set_transport(v4::Transport::tls_with_config(v4::TlsConfiguration::Rustls(tls)));
    }
    let (client, mut events) =
        v4::AsyncClient::builder(o).try_build().map_err(|e| MqttError::Options(e.to_string()))?;
    let mut network = v4::NetworkOptions::new();
    network.set_connection_timeout(CONNECT_LIMIT.as_secs());
    events.set_network_options(network);
    Ok((MqttClient::V4(client), MqttEventLoop::V4(Box::new(events))))
}

/// The client's half of a session that the broker has kept: always without messages in flight, because the caller
/// publishes those again. Without it the library would send nothing in a resumed session.
#[derive(Debug)]
struct NothingUnderWay {
    inflight: u16,
    manual: bool,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, v5::SessionStoreError>> + Send + 'a>>;

impl v5::SessionStore for NothingUnderWay {
    fn load<'a>(&'a self, key: &'a v5::SessionStoreKey) -> Answer<'a, Option<v5::PersistedSession>> {
        let session = v5::PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(SESSION_S),
            outgoing_inflight_upper_limit: Some(self.inflight),
            ack_mode: if self.manual {
                v5::PersistedAckMode::Manual
            } else {
                v5::PersistedAckMode::Automatic
            },
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }
    fn save<'a>(&'a self, _: &'a v5::SessionStoreKey, _: &'a v5::PersistedSession) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
    fn clear<'a>(&'a self, _: &'a v5::SessionStoreKey) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

fn not_taken_v5(e: &v5::ClientError) -> SendError {
    if matches!(e, v5::ClientError::RequestChannelFull(_)) { SendError::Full } else { SendError::Ended }
}

fn not_taken_v4(e: &v4::ClientError) -> SendError {
    if matches!(e, v4::ClientError::RequestChannelFull(_)) { SendError::Full } else { SendError::Ended }
}

impl Client {
    /// Hands a message to the client.
    pub fn publish(&self, topic: &str, body: Vec<u8>, mark: Mark<'_>) -> Result<(), SendError> {
        let retain = mark.retain && self.retains.load(Ordering::Relaxed);
        match &self.way {
            MqttClient::V5(client) => {
                let qos = if mark.unsure { v5::QoS::AtMostOnce } else { v5::QoS::AtLeastOnce };
                let mut options = v5::PublishOptions::new(qos).retain(retain);
                if mark.content_type.is_some() || mark.keep_s.is_some() {
                    options = options.properties(v5::PublishProperties {
                        content_type: mark.content_type.map(str::to_owned),
                        message_expiry_interval: mark.keep_s,
                        ..v5::PublishProperties::default()
                    });
                }
                client.try_publish(topic.to_owned(), body, options).map_err(|e| not_taken_v5(&e))
            }
            MqttClient::V4(client) => {
                let qos = if mark.unsure { v4::QoS::AtMostOnce } else { v4::QoS::AtLeastOnce };
                let options = v4::PublishOptions::new(qos).retain(retain);
                client.try_publish(topic.to_owned(), body, options).map_err(|e| not_taken_v4(&e))
            }
        }
    }

    /// Subscribes to a filter, with acknowledgements.
    pub fn subscribe(&self, filter: &str) -> Result<(), SendError> {
        match &self.way {
            MqttClient::V5(c) => {
                c.try_subscribe(filter.to_owned(), v5::QoS::AtLeastOnce).map_err(|e| not_taken_v5(&e))
            }
            MqttClient::V4(c) => {
                c.try_subscribe(filter.to_owned(), v4::QoS::AtLeastOnce).map_err(|e| not_taken_v4(&e))
            }
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(&self, filter: &str) -> Result<(), SendError> {
        match &self.way {
            MqttClient::V5(c) => c.try_unsubscribe(filter.to_owned()).map_err(|e| not_taken_v5(&e)),
            MqttClient::V4(c) => c.try_unsubscribe(filter.to_owned()).map_err(|e| not_taken_v4(&e)),
        }
    }

    /// Acknowledges a message, where acknowledgements are manual.
    pub fn ack(&self, message: &Message) -> Result<(), SendError> {
        match (&self.way, &message.origin) {
            (MqttClient::V5(c), Origin::V5(p)) => c.try_ack(p).map_err(|e| not_taken_v5(&e)),
            (MqttClient::V4(c), Origin::V4(p)) => c.try_ack(p).map_err(|e| not_taken_v4(&e)),
            (MqttClient::V5(_), Origin::V4(_)) | (MqttClient::V4(_), Origin::V5(_)) => Err(SendError::Ended),
        }
    }

    /// Disconnects, so that no will is published, after waiting a bounded time for messages in flight.
    pub async fn farewell(self, events: &mut Events) {
        let limit = Duration::from_secs(1);
        let end = async {
            let asked = match &self.way {
                MqttClient::V5(c) => c.disconnect_with_timeout(limit).await.is_ok(),
                MqttClient::V4(c) => c.disconnect_with_timeout(limit).await.is_ok(),
            };
            while asked && events.poll().await.is_ok() {}
        };
        drop(tokio::time::timeout(2 * limit, end).await);
    }
}

impl Events {
    fn drive(mut source: MqttEventLoop, most: usize, retains: Arc<AtomicBool>) -> Self {
        let (tx, heard) = mpsc::channel(most);
        let task = tokio::spawn(async move {
            loop {
                let next = source.poll().await;
                if let Ok(MqttEvent::Connected { retains: false, .. }) = &next {
                    retains.store(false, Ordering::Relaxed);
                }
                let end = next.is_err();
                if tx.send(next).await.is_err() || end {
                    return;
                }
            }
        });
        Self { heard, task }
    }

    /// The next event of the connection. An error ends the connection. Cancellation-safe.
    pub async fn poll(&mut self) -> Result<MqttEvent, MqttError> {
        let ended = || Err(MqttError::Connection("it has ended".into()));
        self.heard.recv().await.unwrap_or_else(ended)
    }
}

impl MqttEventLoop {
    async fn poll(&mut self) -> Result<MqttEvent, MqttError> {
        match self {
            Self::V5(events) => events.poll().await.map(heard_v5).map_err(|e| lost_v5(&e)),
            Self::V4(events) => {
                events.poll().await.map(heard_v4).map_err(|e| MqttError::Connection(e.to_string()))
            }
        }
    }
}

fn lost_v5(e: &v5::ConnectionError) -> MqttError {
    use v5::{ConnectReturnCode, ConnectionError};
    if matches!(e, ConnectionError::ConnectionRefused(ConnectReturnCode::RetainNotSupported)) {
        MqttError::NoRetain
    } else {
        MqttError::Connection(e.to_string())
    }
}

fn heard_v5(event: v5::Event) -> MqttEvent {
    match event {
        v5::Event::Incoming(v5::Packet::ConnAck(ack)) => {
            let properties = ack.properties.as_ref();
            MqttEvent::Connected {
                max_packet: properties.and_then(|p| p.max_packet_size),
                receive_max: properties.and_then(|p| p.receive_max).unwrap_or(u16::MAX),
                session: ack.session_present,
                retains: properties.and_then(|p| p.retain_available) != Some(0),
            }
        }
        v5::Event::Incoming(v5::Packet::SubAck(ack)) => {
            let refused = ack.return_codes.iter().find(|c| !matches!(c, v5::SubscribeReasonCode::Success(_)));
            MqttEvent::Subscribed(refused.map_or(Ok(()), |c| Err(format!("{c:?}"))))
        }
        v5::Event::Incoming(v5::Packet::PubAck(ack)) => {
            let good =
                matches!(ack.reason, v5::PubAckReason::Success | v5::PubAckReason::NoMatchingSubscribers);
            MqttEvent::Acked(ack.pkid, if good { Ok(()) } else { Err(format!("{:?}", ack.reason)) })
        }
        v5::Event::Incoming(v5::Packet::Publish(p)) => MqttEvent::Message(Message {
            topic: String::from_utf8_lossy(&p.topic).into_owned(),
            payload: p.payload.clone(),
            retained: p.retain,
            origin: Origin::V5(Box::new(p)),
        }),
        v5::Event::Outgoing(v5::Outgoing::Publish(pkid)) if pkid != 0 => MqttEvent::Departed(pkid),
        v5::Event::Incoming(_) | v5::Event::Outgoing(_) | v5::Event::Auth(_) => MqttEvent::Other,
    }
}

fn heard_v4(event: v4::Event) -> MqttEvent {
    match event {
        v4::Event::Incoming(v4::Packet::ConnAck(ack)) => MqttEvent::Connected {
            max_packet: None,
            receive_max: u16::MAX,
            session: ack.session_present,
            retains: true,
        },
        v4::Event::Incoming(v4::Packet::SubAck(ack)) => {
            let refused = ack.return_codes.contains(&v4::SubscribeReasonCode::Failure);
            MqttEvent::Subscribed(if refused { Err("refused".into()) } else { Ok(()) })
        }
        v4::Event::Incoming(v4::Packet::PubAck(ack)) => MqttEvent::Acked(ack.pkid, Ok(())),
        v4::Event::Incoming(v4::Packet::Publish(p)) => MqttEvent::Message(Message {
            topic: String::from_utf8_lossy(&p.topic).into_owned(),
            payload: p.payload.clone(),
            retained: p.retain,
            origin: Origin::V4(p),
        }),
        v4::Event::Outgoing(v4::Outgoing::Publish(pkid)) if pkid != 0 => MqttEvent::Departed(pkid),
        v4::Event::Incoming(_) | v4::Event::Outgoing(_) => MqttEvent::Other,
    }
}
