//! The `[upstream]` table: the broker and how much it may carry.

use super::{ConfigError, Full, Wrong};
use kakou_link::broker::{MqttVersion, Upstream, backlog_per_s, read_broker};
use kakou_link::clock::Clock;
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

fn purge() -> String {
    "receipt".into()
}
const fn batch() -> usize {
    100
}
const fn inflight() -> u16 {
    100
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
