//! `kakou fleet watch`

use super::{Broker, watched};
use crate::fleet::sum;
use crate::fleet::watch::now_ms;
use crate::shown;
use serde_json::Value;
use std::time::Duration;

/// Shows the fleet until Ctrl-C, or once.
pub(super) async fn show(
    broker: &Broker,
    site: String,
    once: Option<u64>,
    as_json: bool,
) -> Result<(), String> {
    let (fleet, _out, _cancel) = watched(broker, &site, "watch")?;
    loop {
        tokio::time::sleep(Duration::from_secs(once.unwrap_or(2))).await;
        let rows = fleet.lock().rows(now_ms());
        if as_json {
            println!("{}", shown::json(&rows));
        } else {
            if once.is_none() {
                print!("\x1b[2J\x1b[H");
            }
            print!("{}", table(&rows));
        }
        if once.is_some() {
            return Ok(());
        }
    }
}

fn table(rows: &Value) -> String {
    let mut all: Vec<&Value> = rows["gateways"].as_array().map(|a| a.iter().collect()).unwrap_or_default();
    let alarms = |r: &Value| r["alarms"].as_array().map_or(0, Vec::len);
    all.sort_by_key(|r| (std::cmp::Reverse(alarms(r)), r["site"].to_string(), r["gateway"].to_string()));
    let number = |v: &Value| v.as_i64().map_or("?".to_owned(), |n| n.to_string());
    let mut out = format!(
        "{:<28} {:<8} {:>8} {:>8} {:>6} {:>5} {:>9} {:>7} {:>7}  alarms\n",
        "gateway", "link", "outbox", "oldest s", "stale", "cert", "devices", "admit", "others"
    );
    for r in &all {
        let link = match r["online"].as_bool() {
            Some(true) => "online",
            Some(false) => "OFFLINE",
            None => "?",
        };
        let others = sum(["refer", "hold", "deny"].iter().map(|k| &r[*k]));
        let words: Vec<&str> =
            r["alarms"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        out.push_str(&format!(
            "{:<28} {link:<8} {:>8} {:>8} {:>6} {:>5} {:>9} {:>7} {others:>7}  {}\n",
            format!("{}/{}", r["site"].as_str().unwrap_or("?"), r["gateway"].as_str().unwrap_or("?")),
            number(&r["outbox"]),
            if r["oldest_s"].is_null() { "-".to_owned() } else { number(&r["oldest_s"]) },
            number(&r["stale"]),
            number(&r["cert_days"]),
            format!("{}/{}", number(&r["devices_down"]), number(&r["devices"])),
            number(&r["admit"]),
            words.join(" ")
        ));
    }
    let online = all.iter().filter(|r| r["online"] == true).count();
    out.push_str(&format!("{} gateways, {online} online\n", all.len()));
    out
}
