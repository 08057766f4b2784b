//! The section `[hl7]`: where a hospital's system is heard, who may speak there, and how its messages are read.

use super::{Full, Wrong};
use crate::config::ConfigError;
use kakou_core::hl7::Charset;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use toml::Spanned;

/// Hosts that may be named: an interface engine or two, and whoever replaces them.
const MOST: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HospitalFile {
    listen: Spanned<SocketAddr>,
    /// Addresses and names of hosts that may speak.
    hosts: Spanned<Vec<String>>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    /// Roots of the certificates that whoever speaks must show.
    client_ca: Option<PathBuf>,
    /// How messages are encoded that do not say so.
    charset: Option<Spanned<String>>,
    /// Which of the ids of a patient is that of the wristband: its type (PID-3.5).
    #[serde(default)]
    id_type: String,
}

/// Where a hospital's system is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hospital {
    /// The address.
    pub listen: SocketAddr,
    /// Who may speak.
    pub hosts: Vec<Host>,
    /// TLS: certificate, key, and the roots of whoever speaks, PEM.
    pub tls: Option<(PathBuf, PathBuf, Option<PathBuf>)>,
    /// How messages are encoded that do not say so.
    pub charset: Charset,
    /// The type of the ids on wristbands; empty for the first one of a message.
    pub id_type: String,
}

/// A host that may speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// By its address.
    Address(IpAddr),
    /// By its name, which is looked up when somebody comes.
    Name(String),
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

fn host(text: &str) -> Option<Host> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Host::Address(address.to_canonical()));
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    // What looks like an address with a mistake is none, and no name.
    let lettered = text.bytes().any(|b| b.is_ascii_alphabetic());
    (text.len() <= 253 && lettered && text.split('.').all(label)).then(|| Host::Name(text.to_owned()))
}

pub(super) fn read_hospital(
    file: &Spanned<HospitalFile>,
    full: Full<'_>,
    wrong: Wrong<'_>,
) -> Result<Hospital, ConfigError> {
    let (at, file) = (file.span().start, file.get_ref());
    let names = file.hosts.get_ref();
    if names.is_empty() || names.len() > MOST {
        let what = format!(
            "`hosts` names who may send messages, from 1 to {MOST} of them, as in [\"192.0.2.7\", \"his.hospital.example\"]"
        );
        return Err(wrong(file.hosts.span().start, what));
    }
    let one = |name: &String| {
        let what = || format!("`{name}` is neither an address nor the name of a host");
        host(name).ok_or_else(|| wrong(file.hosts.span().start, what()))
    };
    let hosts = names.iter().map(one).collect::<Result<_, _>>()?;
    let clients = file.client_ca.as_ref().map(full);
    let tls = match (&file.cert, &file.key) {
        (Some(cert), Some(key)) => Some((full(cert), full(key), clients)),
        (None, None) if clients.is_none() => None,
        (None, None) => return Err(wrong(at, "`client_ca` needs `cert` and `key`".into())),
        (Some(_), None) | (None, Some(_)) => {
            return Err(wrong(at, "`cert` and `key` belong together".into()));
        }
    };
    let charset = match &file.charset {
        None => Charset::default(),
        Some(name) => Charset::parse(name.get_ref()).ok_or_else(|| {
            wrong(name.span().start, "`charset` is \"utf-8\" or \"gb18030\" (for GBK and GB2312, too)".into())
        })?,
    };
    Ok(Hospital { listen: *file.listen.get_ref(), hosts, tls, charset, id_type: file.id_type.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_or_a_name_and_no_network() {
        assert_eq!(host("192.0.2.7"), Some(Host::Address("192.0.2.7".parse().unwrap())));
        assert_eq!(host("::ffff:192.0.2.7"), Some(Host::Address("192.0.2.7".parse().unwrap())));
        assert_eq!(host("his.hospital.example"), Some(Host::Name("his.hospital.example".into())));
        for bad in ["", "192.0.2", "192.0.2.300", "192.0.2.0/24", "*", "his..example", "a b", "0.0.0.0/0"] {
            assert_eq!(host(bad), None, "{bad}");
        }
    }
}
