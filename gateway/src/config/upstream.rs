//! The `[upstream]` table: the broker and how much it may carry.

use super::{ConfigError, Full, Wrong};
use crate::clock::Clock;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamFile {
    broker: String,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    username: Option<String>,
    password_file: Option<PathBuf>,
    #[serde(default = "purge")]
    purge: String,
    #[serde(default = "batch")]
    batch: usize,
    #[serde(default = "inflight")]
    inflight: u16,
    #[serde(default)]
    version: MqttVersion,
    /// Kilobits a second that photographs may take; without it, what is left.
    photo_kbit: Option<u32>,
    /// Whether Home Assistant is told what there is.
    #[serde(default)]
    home_assistant: bool,
    /// Whether the gateway shows itself as a Sparkplug B node, in the group of its site.
    #[serde(default)]
    sparkplug: bool,
    /// Late events a second at most.
    #[serde(default = "backlog_per_s")]
    backlog_per_s: u32,
}

/// A million events in eight minutes.
const fn backlog_per_s() -> u32 {
    2_000
}

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum MqttVersion {
    /// MQTT 5.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1: NATS, older RabbitMQ.
    #[serde(rename = "3.1.1")]
    V311,
}

fn purge() -> String {
    "receipt".into()
}
const fn batch() -> usize {
    100
}
const fn inflight() -> u16 {
    100
}

/// The broker.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is used.
    pub tls: bool,
    /// Roots.
    pub ca: Option<PathBuf>,
    /// Client certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// User name.
    pub username: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// Events per message at most.
    pub batch: usize,
    /// Messages without acknowledgement at most.
    pub inflight: u16,
    /// Whether a central side receipts what it has stored.
    pub receipts: bool,
    /// The version of the protocol.
    pub version: MqttVersion,
    /// Bytes a second that photographs may take.
    pub photo_rate: Option<u64>,
    /// Whether Home Assistant is told what there is.
    pub home_assistant: bool,
    /// Whether the gateway shows itself as a Sparkplug B node, in the group of its site.
    pub sparkplug: bool,
    /// Late events a second at most.
    pub backlog_per_s: u32,
    /// By which certificates are judged.
    pub clock: Clock,
}

impl UpstreamFile {
    /// Whether the central side is expected to receipt.
    pub(super) fn receipts(&self) -> bool {
        self.purge == "receipt"
    }
}

/// Checks the table.
pub(super) fn read_upstream(
    u: &Spanned<UpstreamFile>,
    clock: &Clock,
    full: Full<'_>,
    wrong: Wrong<'_>,
) -> Result<Upstream, ConfigError> {
    let (at, u) = (u.span().start, u.get_ref());
    let (tls, host, port) = read_broker(&u.broker).ok_or_else(|| {
        wrong(at, format!("`broker = \"{}\"`: write mqtts://HOST:8883, or mqtt://127.0.0.1:1883", u.broker))
    })?;
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if !tls && !loopback {
        return Err(wrong(
            at,
            format!("`{}`: without TLS only a broker on this machine is allowed; use mqtts://", u.broker),
        ));
    }
    if !["receipt", "puback"].contains(&u.purge.as_str()) {
        return Err(wrong(at, format!("`purge` is `{}`; allowed: receipt, puback", u.purge)));
    }
    if !(1..=1000).contains(&u.batch) || !(1..=512).contains(&u.inflight) {
        return Err(wrong(at, "`batch` is 1 to 1000, `inflight` is 1 to 512".into()));
    }
    let identity = match (&u.cert, &u.key) {
        (Some(cert), Some(key)) => Some((full(cert), full(key))),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(wrong(at, "`cert` and `key` belong together".into()));
        }
    };
    Ok(Upstream {
        host,
        port,
        tls,
        ca: u.ca.as_ref().map(full),
        identity,
        username: u.username.clone(),
        password_file: u.password_file.as_ref().map(full),
        batch: u.batch,
        inflight: u.inflight,
        receipts: u.purge == "receipt",
        version: u.version,
        photo_rate: u.photo_kbit.map(|kbit| u64::from(kbit) * 125),
        home_assistant: u.home_assistant,
        sparkplug: u.sparkplug,
        backlog_per_s: u.backlog_per_s.max(1),
        clock: clock.clone(),
    })
}

/// Whether with TLS, host and port of a broker's URL.
pub fn read_broker(url: &str) -> Option<(bool, String, u16)> {
    let (tls, rest) = match url.split_once("://")? {
        ("mqtts", rest) => (true, rest),
        ("mqtt", rest) => (false, rest),
        _ => return None,
    };
    let (host, port) = rest.rsplit_once(':')?;
    Some((tls, host.to_owned(), port.parse().ok()?))
}

impl Upstream {
    /// A broker for tools: no limits of their own, no receipts.
    pub fn tool(
        url: &str,
        ca: Option<PathBuf>,
        identity: Option<(PathBuf, PathBuf)>,
        version: MqttVersion,
    ) -> Option<Self> {
        let (tls, host, port) = read_broker(url)?;
        Some(Self {
            host,
            port,
            tls,
            ca,
            identity,
            username: None,
            password_file: None,
            batch: 1,
            inflight: 100,
            receipts: false,
            version,
            photo_rate: None,
            home_assistant: false,
            sparkplug: false,
            backlog_per_s: backlog_per_s(),
            clock: Clock::system(),
        })
    }
}
