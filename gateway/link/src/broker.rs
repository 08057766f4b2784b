//! Settings of the broker: address, credentials, limits.

use crate::clock::Clock;
use serde::Deserialize;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// A million events in eight minutes.
pub const fn backlog_per_s() -> u32 {
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
    /// The clock by which certificates are checked.
    pub clock: Clock,
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
