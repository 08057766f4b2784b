//! Certificates and the broker.

use super::Finding;
use crate::config::Settings;
use kakou_link::broker::Upstream;
use kakou_link::tls;
use kakou_provisioning::certificate::validity;
use serde_json::Value;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A certificate that ends sooner is worth a word.
const SOON_DAYS: u64 = 30;
const DAY_S: u64 = 86_400;
/// A broker that does not take a connection in this time is not reached.
const REACH: Duration = Duration::from_secs(3);

/// Looks at them.
pub fn examine(settings: &Settings) -> Vec<Finding> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut out = Vec::new();
    if let Some((cert, _)) = settings.http.as_ref().and_then(|h| h.tls.as_ref()) {
        out.push(certificate("certificate of the screens", cert, now));
    }
    let Some(upstream) = &settings.upstream else {
        out.push(Finding::right("broker", "none is configured: this gateway works alone"));
        return out;
    };
    if let Some((cert, _)) = &upstream.identity {
        out.push(certificate("certificate of the gateway", cert, now));
    }
    if let Some(ca) = &upstream.ca {
        out.push(certificate("root of the fleet", ca, now));
    }
    if let Err(e) = tls::client(upstream) {
        out.push(Finding::wrong("TLS", e.to_string(), "enrol the gateway anew, or copy the files again"));
    }
    out.push(broker(upstream, said(settings).as_ref()));
    out
}

fn certificate(what: &str, file: &Path, now: u64) -> Finding {
    let renew = "renew it: rotate the gateway's certificate from the central side, or enrol anew";
    let der = match tls::certificates(file) {
        Ok(all) if !all.is_empty() => all[0].clone(),
        Ok(_) => return Finding::wrong(what, format!("{} holds none", file.display()), renew),
        Err(e) => return Finding::wrong(what, e.to_string(), renew),
    };
    match validity(&der) {
        Err(e) => Finding::wrong(what, format!("{}: {e}", file.display()), renew),
        Ok((begins, _)) if now < begins => Finding::wrong(
            what,
            format!("{} is not valid yet: is the clock right?", file.display()),
            "set the clock",
        ),
        Ok((_, ends)) if now >= ends => {
            Finding::wrong(what, format!("ended {} days ago", (now - ends) / DAY_S), renew)
        }
        Ok((_, ends)) if ends - now < SOON_DAYS * DAY_S => {
            Finding::warning(what, format!("ends in {} days", (ends - now) / DAY_S), renew)
        }
        Ok((_, ends)) => Finding::right(what, format!("good for {} days", (ends - now) / DAY_S)),
    }
}

/// What the gateway that runs here says of its link.
fn said(settings: &Settings) -> Option<Value> {
    let http = settings.http.as_ref().filter(|http| http.tls.is_none())?;
    let config = ureq::Agent::config_builder().timeout_global(Some(REACH)).build();
    let url = format!("http://{}/api/v1/status", http.listen);
    let status: Value = ureq::Agent::from(config).get(&url).call().ok()?.body_mut().read_json().ok()?;
    let own = status["site"] == settings.site.as_str() && status["gateway"] == settings.gateway.as_str();
    own.then(|| status["upstream"].clone())
}

/// A broker that can be reached may still take nothing of this gateway.
fn reached(shown: &str, said: Option<&Value>) -> Finding {
    let detail = said.and_then(|s| s["detail"].as_str()).unwrap_or_default();
    match said.and_then(|s| s["state"].as_str()) {
        None => {
            let found = format!("{shown} is reached; whether it takes this gateway, only the gateway knows");
            Finding::right("broker", found)
        }
        Some("online") if detail.is_empty() => {
            Finding::right("broker", format!("{shown} is reached, and takes what this gateway sends"))
        }
        Some("online") => Finding::warning("broker", format!("{shown}: {detail}"), "see what it says"),
        Some(_) => {
            let todo = if detail.contains("NotAuthorized") {
                "add the block of this gateway to the broker's access list (mosquitto.acl.tmpl), and have it read anew"
            } else {
                "see to the broker: its log says why; events are kept until then"
            };
            let why = if detail.is_empty() { "there is no link yet" } else { detail };
            Finding::wrong("broker", format!("{shown} is reached, but the gateway says: {why}"), todo)
        }
    }
}

fn broker(upstream: &Upstream, said: Option<&Value>) -> Finding {
    let shown = upstream.address();
    let addresses = match (upstream.host.as_str(), upstream.port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(e) => {
            return Finding::warning(
                "broker",
                format!("{shown}: the name is not found: {e}"),
                "see to the network and its name server; events are kept until then",
            );
        }
    };
    let mut last = String::from("no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, REACH) {
            Ok(_) => return reached(&shown, said),
            Err(e) => last = e.to_string(),
        }
    }
    Finding::warning(
        "broker",
        format!("{shown} is not reached: {last}"),
        "see to cable, firewall and address; events are kept until then",
    )
}
