//! The `[upstream]` table: the broker and how much it may carry.

use super::{ConfigError, Full, Wrong};
use crate::clock::Clock;
use serde::Deserialize;
use std::net::Ipv6Addr;
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
    /// The files that say who is trusted, and as whom this gateway is known.
    pub(super) fn trust(&self) -> [Option<PathBuf>; 4] {
        [&self.ca, &self.cert, &self.key, &self.password_file].map(Clone::clone)
    }
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
        let how = "write mqtts://HOST:8883, mqtts://[IPv6 ADDRESS]:8883 or mqtt://127.0.0.1:1883";
        wrong(at, format!("`broker = \"{}\"`: {how}", u.broker))
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
    if u.password_file.is_some() && u.username.is_none() {
        return Err(wrong(at, "`password_file` needs `username`".into()));
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
    // An IPv6 address stands in brackets, as in every URL; certificates and sockets know it without.
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']').filter(|host| host.parse::<Ipv6Addr>().is_ok())?,
        None => host,
    };
    (!host.is_empty()).then_some(())?;
    Some((tls, host.to_owned(), port.parse().ok()?))
}

impl Upstream {
    /// Host and port, for people.
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_found_by_name_and_by_both_kinds_of_address() {
        let read = read_broker;
        for (url, tls, host, port) in [
            ("mqtt://127.0.0.1:1883", false, "127.0.0.1", 1883),
            ("mqtts://broker.example:8883", true, "broker.example", 8883),
            ("mqtts://[::1]:8883", true, "::1", 8883),
            ("mqtt://[fd00::5]:1", false, "fd00::5", 1),
            ("mqtt://::1:1883", false, "::1", 1883),
        ] {
            assert_eq!(read(url), Some((tls, host.to_owned(), port)), "{url}");
        }
        for bad in
            ["mqtt://[::1:1883", "mqtt://[x]:1883", "mqtt://:1883", "mqtt://[]:1", "mqtt://h", "http://h:1"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        let shown = |url| Upstream::tool(url, None, None, MqttVersion::V5).unwrap().address();
        assert_eq!(shown("mqtts://[::1]:8883"), "[::1]:8883");
        assert_eq!(shown("mqtts://h:8883"), "h:8883");
    }
}
