//! Where a hospital's system is heard.

use super::Finding;
use crate::config::{Hospital, Host, Settings};
use kakou_core::hl7::word::LISTS;
use kakou_link::tls;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

const WHAT: &str = "HL7";
/// A port of this machine that takes no connection in this time is closed.
const REACH: Duration = Duration::from_secs(2);

/// Looks at it, if it is configured.
pub fn examine(settings: &Settings, lists: &[(String, i64)]) -> Vec<Finding> {
    let Some(hospital) = &settings.hospital else { return Vec::new() };
    let mut out = Vec::new();
    match &hospital.tls {
        Some((cert, key, clients)) => {
            if let Err(e) = tls::plain_server(cert, key, clients.as_deref()) {
                let todo = "give `cert`, `key` and `client_ca` of [hl7] as PEM files that fit each other";
                out.push(Finding::wrong(WHAT, e.to_string(), todo));
            }
        }
        None if hospital.listen.ip().is_loopback() => {}
        None => out.push(Finding::warning(
            WHAT,
            "messages come without TLS: names and wards can be read on the network",
            "give `cert` and `key` in [hl7], or keep this network to the hospital's servers",
        )),
    }
    for host in &hospital.hosts {
        let Host::Name(name) = host else { continue };
        if (name.as_str(), 0).to_socket_addrs().is_err() {
            let todo = "correct the name in `hosts` of [hl7], or write its address there";
            out.push(Finding::wrong(WHAT, format!("the host `{name}` has no address"), todo));
        }
    }
    for list in LISTS {
        if !lists.iter().any(|(name, _)| name == list) {
            let todo = "send an edition of it, were it an empty one: messages stand above it";
            out.push(Finding::wrong(WHAT, format!("there is no list `{list}`"), todo));
        }
    }
    out.push(port(hospital));
    out
}

fn port(hospital: &Hospital) -> Finding {
    let at = hospital.listen;
    let here = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new([127, 0, 0, 1].into(), at.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), at.port())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => at,
    };
    let hosts: Vec<String> = hospital.hosts.iter().map(ToString::to_string).collect();
    match TcpStream::connect_timeout(&here, REACH) {
        Ok(_) => Finding::right(WHAT, format!("{at} listens for {}", hosts.join(", "))),
        Err(e) => Finding::warning(
            WHAT,
            format!("nobody listens on {at}: {e}"),
            "start the gateway; if it runs, its log says why it does not listen",
        ),
    }
}
