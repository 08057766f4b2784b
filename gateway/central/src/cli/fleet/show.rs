//! `kakou fleet watch`

use super::{Broker, Sources, watched};
use crate::fleet::alarms::{rank, sum};
use crate::fleet::watch::now_ms;
use kakou_gateway::printed;
use kakou_gateway::{print, println};
use kakou_link::shown;
use serde_json::Value;
use std::time::Duration;

/// Shows the fleet until Ctrl-C, or once.
pub(super) async fn show(
    broker: &Broker,
    sources: &Sources,
    site: String,
    once: Option<u64>,
    as_json: bool,
) -> Result<(), String> {
    let (fleet, _out, cancel) = watched(broker, &site, "watch")?;
    sources.follow(&site, &fleet, &cancel)?;
    loop {
        tokio::time::sleep(Duration::from_secs(once.unwrap_or(2))).await;
        let rows = fleet.lock().rows(now_ms());
        if as_json {
            println!("{}", shown::json(&rows));
        } else {
            if once.is_none() {
                printed::clear();
            }
            print!("{}", table(&rows));
        }
        if once.is_some() {
            return Ok(());
        }
    }
}

/// Seconds as people read them.
fn age(seconds: i64) -> String {
    match seconds {
        ..90 => format!("{seconds} s"),
        90..5_400 => format!("{} min", seconds / 60),
        5_400..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// What is wrong with whoever looks: nothing that follows is then the present state.
fn above(listening: &Value) -> String {
    let text = |v: &Value| shown::line(v.as_str().unwrap_or_default());
    let mut out = String::new();
    match listening["alarm"].as_str() {
        Some("LOST") => out.push_str("NOT CONNECTED to the broker: this is not the present state\n"),
        Some("REFUSED") => {
            let all: Vec<String> = listening["refused"].as_array().into_iter().flatten().map(text).collect();
            out.push_str(&format!(
                "THE BROKER REFUSES to tell everything ({}): see its access list\n",
                all.join(", ")
            ));
        }
        Some(_) => out.push_str(
            "NOTHING IS HEARD of any gateway: is this user allowed to read? See the broker's access list\n",
        ),
        None => {}
    }
    if let Some(why) = listening["forgets"].as_str() {
        out.push_str(&format!("What was before is not known: {}\n", shown::line(why)));
    }
    if let Some(why) = listening["unlisted"].as_str() {
        out.push_str(&format!("The list of expected boxes is an old one: {}\n", shown::line(why)));
    }
    out
}

fn table(rows: &Value) -> String {
    let mut all: Vec<&Value> = rows["gateways"].as_array().map(|a| a.iter().collect()).unwrap_or_default();
    all.sort_by_key(|r| (rank(r), r["site"].to_string(), r["gateway"].to_string()));
    let mut out = above(&rows["listening"]);
    out.push_str(&format!(
        "{:<28} {:<16} {:>8} {:>8} {:>6} {:>5} {:>11} {:>7} {:>7}  alarms\n",
        "gateway", "link", "outbox", "oldest", "stale", "cert", "devices", "admit", "others"
    ));
    for r in &all {
        // What has not come yet is no fault.
        let none = if r["waiting"] == true { "…" } else { "?" };
        let number = |v: &Value| v.as_i64().map_or(none.to_owned(), |n| n.to_string());
        let at_least = if r["since_exact"] == true { "" } else { "≥" };
        let since = r["since_s"].as_i64().map_or(String::new(), |s| format!(" {at_least}{}", age(s)));
        let link = match r["online"].as_bool() {
            Some(true) => format!("online{since}"),
            Some(false) => format!("OFFLINE{since}"),
            None => "-".to_owned(),
        };
        let devices = match (r["devices"].as_i64(), r["devices_down"].as_i64()) {
            (Some(all), Some(down)) => format!("{}/{all} work", all - down),
            _ => none.to_owned(),
        };
        let others = if r["admit"].is_null() {
            none.to_owned()
        } else {
            sum(["refer", "hold", "deny"].iter().map(|k| &r[*k])).to_string()
        };
        let mut words: Vec<String> = r["alarms"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        if r["waiting"] == true {
            words.push("(waits for its first report)".into());
        }
        if let Some(from) = r["pack_from"].as_str() {
            words.push(format!("(a pack waits until {})", shown::line(from)));
        }
        if let Some(s) = r["health_s"].as_i64().filter(|_| r["silent"] == true) {
            words.push(format!("(last report {} ago)", age(s)));
        }
        out.push_str(&format!(
            "{:<28} {link:<16} {:>8} {:>8} {:>6} {:>5} {devices:>11} {:>7} {others:>7}  {}\n",
            format!("{}/{}", r["site"].as_str().unwrap_or("?"), r["gateway"].as_str().unwrap_or("?")),
            number(&r["outbox"]),
            r["oldest_s"].as_i64().map_or("-".to_owned(), age),
            number(&r["stale"]),
            number(&r["cert_days"]),
            number(&r["admit"]),
            words.join(" ")
        ));
    }
    let count = |of: fn(&Value) -> bool| all.iter().filter(|r| of(r)).count();
    out.push_str(&format!(
        "{} gateways, {} online, {} with alarms\n",
        all.len(),
        count(|r| r["online"] == true),
        count(|r| r["alarms"].as_array().is_some_and(|a| !a.is_empty()))
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_worst_is_on_top_and_devices_are_counted_as_those_that_work() {
        let row = |gateway: &str, alarms: &[&str]| {
            json!({ "site": "s", "gateway": gateway, "online": true, "since_s": 7_200, "since_exact": true,
                "devices": 4, "devices_down": 1, "admit": 3, "alarms": alarms, "waiting": false })
        };
        let mut waits = row("g5", &[]);
        (waits["waiting"], waits["devices"], waits["since_exact"]) = (json!(true), Value::Null, json!(false));
        let rows = json!({ "listening": { "alarm": "DEAF" }, "gateways": [row("g1", &[]), waits,
            row("g2", &["DEVICES", "CLOCK", "HOT"]), row("g3", &["OFFLINE"]), row("g4", &["SILENT"])] });
        let text = table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("NOTHING IS HEARD"), "{text}");
        let order: Vec<&str> = lines[2..7].iter().map(|l| &l[2..4]).collect();
        assert_eq!(order, ["g4", "g3", "g2", "g1", "g5"], "{text}");
        assert!(lines[2].contains("3/4 work") && lines[2].contains("online 2 h "), "{text}");
        assert!(lines[6].contains("≥2 h") && lines[6].contains("waits for its first report"), "{text}");
        assert!(!lines[6].contains('?'), "{text}");
    }
}
