//! `kakou status`

use super::fail;
use kakou_core::time::{local, parse_instant};
use kakou_link::shown;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// Shows lanes with their verdicts of the last hours, devices, lists, outbox and store of a running gateway.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where its screens are.
    #[arg(long, default_value = "http://127.0.0.1:8088", value_name = "URL")]
    url: String,
    /// Prints the JSON as it is.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(a: &Arguments) -> ExitCode {
    let url = format!("{}/api/v1/status", a.url.trim_end_matches('/'));
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into();
    let status: Value = match agent.get(&url).call().and_then(|mut r| r.body_mut().read_json()) {
        Ok(status) => status,
        Err(e) => {
            return fail(format!("{url}: {e}; is the gateway running, and is this its address (--url)?"));
        }
    };
    if a.json {
        println!("{}", shown::json(&status));
    } else {
        print!("{}", page(&status));
    }
    ExitCode::SUCCESS
}

fn text(v: &Value) -> String {
    match v {
        Value::String(s) => shown::line(s),
        Value::Null => "–".into(),
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            shown::json(other)
        }
    }
}

fn rows(title: &str, list: &Value, columns: &[&str]) -> String {
    let mut out = format!("\n{title}\n");
    for row in list.as_array().into_iter().flatten() {
        let cells: Vec<String> = columns.iter().map(|c| format!("{:<16}", text(&row[*c]))).collect();
        out.push_str(&format!("  {}\n", cells.join(" ").trim_end()));
    }
    out
}

fn page(s: &Value) -> String {
    let mut out = format!(
        "{}/{}  version {}  up {} s  epoch {}\nclock {} ({})  upstream {} {}\n",
        text(&s["site"]),
        text(&s["gateway"]),
        text(&s["version"]),
        text(&s["uptime_s"]),
        text(&s["epoch"]),
        text(&s["clock"]["wall"]),
        match s["clock"]["quality"].as_str() {
            Some("synced") => "synchronised",
            Some("floor") => "BEHIND a moment that is known to be past",
            _ => "NOT synchronised",
        },
        text(&s["upstream"]["state"]),
        text(&s["upstream"]["detail"]),
    );
    out.push_str(&uses(&s["uses"]));
    out.push_str(&rows("Lanes: id, profile, mode, step", &s["lanes"], &["id", "profile", "mode", "step"]));
    out.push_str(&hours(&s["hours"], s["utc_offset_minutes"].as_i64().unwrap_or(0)));
    let devices = s["devices"].as_array().map_or(&[][..], Vec::as_slice);
    let work = devices.iter().filter(|d| d["state"] == "ready").count();
    out.push_str(&rows(
        &format!("Devices ({work} of {} work): id, driver, state, errors, detail", devices.len()),
        &s["devices"],
        &["id", "driver", "state", "errors", "detail"],
    ));
    out.push_str(&rows(
        "Lists: name, version, entries, by code, age in s, too old, damaged, signed",
        &s["lists"],
        &["name", "version", "entries", "single", "age_s", "stale", "damaged", "signed"],
    ));
    out.push_str(&packs(&s["packs"], s["utc_offset_minutes"].as_i64().unwrap_or(0)));
    let list = |name: &str| s["lists"].as_array().into_iter().flatten().find(|list| list["name"] == name);
    if list("trust").is_some_and(|trust| trust["signed"] == false && trust["version"] != 0) {
        out.push_str(
            "  trust came with the enrolment: it is signed once central ops send it as a feed, and so are later ones\n",
        );
    }
    out.push_str(&rows(
        "Outbox: stream, unpublished, unreceipted, oldest in s",
        &s["outbox"],
        &["class", "unpublished", "unreceipted", "oldest_age_s"],
    ));
    out.push_str(&format!(
        "\nStore {}: {} events, {} photographs, {} bytes used, {} free\n",
        text(&s["store"]["state"]),
        text(&s["store"]["events"]),
        text(&s["store"]["photos"]),
        text(&s["store"]["used_bytes"]),
        text(&s["store"]["free_bytes"]),
    ));
    out
}

/// The pack in use, and the one that waits with what it changes here, by the clocks of the site.
fn packs(packs: &Value, offset_minutes: i64) -> String {
    let name = |pack: &Value| match pack["id"].as_str() {
        Some(id) => {
            let title = format!("{} · {}", text(&pack["title"]["zh"]), text(&pack["title"]["en"]));
            format!("{} {} ({title}), version {}", shown::line(id), text(&pack["pack"]), pack["version"])
        }
        None => format!("profiles without a pack, version {}", pack["version"]),
    };
    let mut out = String::new();
    if packs["in_use"].is_object() {
        out.push_str(&format!("\nPack in use: {}\n", name(&packs["in_use"])));
    }
    let waiting = &packs["waiting"];
    if !waiting.is_object() {
        return out;
    }
    let from = waiting["from"].as_str().and_then(parse_instant);
    let from = from.map_or_else(|| text(&waiting["from"]), |ms| local(ms, offset_minutes * 60_000));
    out.push_str(&format!(
        "\nPack that WAITS: {}, signed by {}\n  new visits use it from {from}; open ones finish on theirs\n",
        name(waiting),
        text(&waiting["signer"])
    ));
    let changes = waiting["changes"].as_array().map_or(&[][..], Vec::as_slice);
    if changes.is_empty() {
        out.push_str("  it changes nothing beside what is in use\n");
    }
    for change in changes {
        let lanes: Vec<String> = change["lanes"].as_array().into_iter().flatten().map(text).collect();
        let lanes = if lanes.is_empty() { "no lane here".to_owned() } else { lanes.join(", ") };
        let (what, profile, title) =
            (text(&change["what"]), text(&change["profile"]), text(&change["title"]["en"]));
        out.push_str(&format!("  {what:<8} {profile:<20} {title} ({lanes})\n"));
    }
    if waiting["more"].as_u64().is_some_and(|n| n > 0) {
        out.push_str(&format!("  and {} more\n", waiting["more"]));
    }
    out
}

/// Eighths of a column, from an hour with little to the fullest one.
const COLUMNS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One column for each hour: `·` where nobody came.
fn columns(counts: &[u64], fullest: u64) -> String {
    let column = |n: &u64| match n {
        0 => '·',
        n => {
            let eighth = (n * 8).div_ceil(fullest.max(1)).clamp(1, 8) - 1;
            usize::try_from(eighth).ok().and_then(|at| COLUMNS.get(at)).copied().unwrap_or('█')
        }
    };
    counts.iter().map(column).collect()
}

/// Minutes since midnight, UTC, of an RFC 3339 time.
fn minutes_of_day(at: &str) -> Option<i64> {
    let (hour, minute) = at.get(11..16)?.split_once(':')?;
    Some(hour.parse::<i64>().ok()? * 60 + minute.parse::<i64>().ok()?)
}

/// The last hours of each lane as columns of text, by the clocks of the site.
fn hours(hours: &Value, offset_minutes: i64) -> String {
    let minutes = hours["from"].as_str().and_then(minutes_of_day);
    let (Some(from), Some(lanes)) = (minutes, hours["lanes"].as_array()) else { return String::new() };
    let sums = |lane: &Value, outcomes: std::ops::Range<usize>| -> Vec<u64> {
        let hours = lane["counts"].as_array().into_iter().flatten();
        hours.map(|hour| outcomes.clone().filter_map(|at| hour[at].as_u64()).sum()).collect()
    };
    let shown = lanes.first().map_or(0, |lane| sums(lane, 0..4).len());
    // The clock of the site, so many hours behind the first.
    let hour = |n: usize| {
        let behind = i64::try_from(n).unwrap_or(0) * 60;
        let minutes = (from + offset_minutes + behind).rem_euclid(24 * 60);
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    let mut out = format!(
        "\nVerdicts per hour, {shown} hours from {} to that of {}: lane, columns, all, admitted, the fullest\n",
        hour(0),
        hour(shown.saturating_sub(1))
    );
    for lane in lanes {
        let (all, admitted) = (sums(lane, 0..4), sums(lane, 0..1));
        let others: Vec<u64> = all.iter().zip(&admitted).map(|(all, admitted)| all - admitted).collect();
        let fullest = all.iter().copied().max().unwrap_or(0);
        let at = all.iter().position(|n| *n == fullest).unwrap_or(0);
        let when = if fullest == 0 { String::new() } else { format!("{fullest} at {}", hour(at)) };
        let (all_sum, admitted_sum): (u64, u64) = (all.iter().sum(), admitted.iter().sum());
        let row = format!(
            "  {:<16} {} {all_sum:>6} {admitted_sum:>6}  {when}",
            text(&lane["lane"]),
            columns(&all, fullest)
        );
        out.push_str(&format!("{}\n", row.trim_end()));
        if others.iter().any(|n| *n > 0) {
            let not = others.iter().sum::<u64>();
            out.push_str(&format!("  {:<16} {} {not:>6}\n", "  not admitted", columns(&others, fullest)));
        }
    }
    out
}

fn who(name: &Value) -> String {
    if name == "central" { "the central side".into() } else { text(name) }
}

/// Whom single-use passes wait for, if they do.
fn uses(uses: &Value) -> String {
    let waits_for: Vec<String> = uses["waits_for"].as_array().into_iter().flatten().map(who).collect();
    if waits_for.is_empty() {
        return String::new();
    }
    let mut out = format!(
        "Uses: single-use passes are HELD until {} has told which were used; a supervisor releases at the desk\n",
        waits_for.join(", ")
    );
    if let Some(central) = uses.get("central") {
        out.push_str(&match central["since"].as_str() {
            Some(since) => format!(
                "      the central side knows this gateway only since {since}, and not all that the box before it has used\n"
            ),
            None => "      the central side has never heard this gateway, and does not know what the box before it has used\n".to_owned(),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_single_use_passes_wait_for_is_said_and_what_the_central_side_does_not_know() {
        let said = |value: serde_json::Value| uses(&value);
        assert_eq!(said(serde_json::json!({ "waits_for": [] })), "");
        let alone = said(serde_json::json!({ "waits_for": ["central"] }));
        assert!(
            alone.contains("HELD until the central side has told") && alone.lines().count() == 1,
            "{alone}"
        );
        let lacks = |since: serde_json::Value| {
            said(serde_json::json!({ "waits_for": ["central"], "central": { "since": since } }))
        };
        assert!(lacks("2026-11-30T09:00:00Z".into()).contains("only since 2026-11-30T09:00:00Z"));
        assert!(lacks(serde_json::Value::Null).contains("has never heard this gateway"));
    }
    use serde_json::json;

    #[test]
    fn an_entry_from_a_code_is_shown_beside_the_list_and_an_unsigned_trust_list_is_explained() {
        let lists = |signed: bool| {
            json!([{ "name": "trust", "version": 3, "entries": 2, "single": 0, "signed": signed },
                { "name": "hold", "version": 2, "entries": 0, "single": 1, "signed": true }])
        };
        let shown = page(&json!({ "lists": lists(false) }));
        let hold = shown.lines().find(|line| line.trim_start().starts_with("hold")).unwrap();
        assert_eq!(hold.split_whitespace().take(4).collect::<Vec<_>>(), ["hold", "2", "0", "1"], "{shown}");
        assert!(shown.contains("send it as a feed"), "{shown}");
        assert!(!page(&json!({ "lists": lists(true) })).contains("send it as a feed"));
    }

    #[test]
    fn the_hours_of_a_lane_are_columns_of_text() {
        let mut counts = vec![json!([0, 0, 0, 0]); 24];
        (counts[20], counts[21], counts[23]) =
            (json!([80, 0, 0, 0]), json!([30, 5, 4, 1]), json!([1, 0, 0, 0]));
        let lanes = json!([{ "lane": "school-1", "counts": counts }]);
        let shown = hours(&json!({ "from": "2026-11-30T03:00:00.000Z", "lanes": lanes }), 480);
        assert_eq!(
            shown,
            "\nVerdicts per hour, 24 hours from 11:00 to that of 10:00: lane, columns, all, admitted, the fullest\n  \
             school-1         ····················█▄·▁    121    111  80 at 07:00\n    \
             not admitted   ·····················▁··     10\n"
        );
        assert_eq!(hours(&json!(null), 0), "", "a gateway of before tells no hours");
    }

    #[test]
    fn a_pack_that_waits_is_told_by_the_clocks_of_the_site_with_what_it_changes() {
        let name = |version: u64| json!({ "version": version, "id": "yard", "title": { "zh": "货场", "en": "Yard" }, "pack": "b" });
        let mut waiting = name(4);
        for (key, value) in [
            ("from", json!("2026-12-01T22:00:00.000Z")),
            ("signer", json!("central")),
            ("more", json!(0)),
            (
                "changes",
                json!([{ "profile": "yard-gate", "what": "changed", "title": { "zh": "门", "en": "Gate" }, "lanes": ["gate-1"] }]),
            ),
        ] {
            waiting[key] = value;
        }
        let told = packs(&json!({ "in_use": name(3), "waiting": waiting }), 480);
        assert_eq!(
            told,
            "\nPack in use: yard b (货场 · Yard), version 3\n\nPack that WAITS: yard b (货场 · Yard), version 4, signed by central\n  \
             new visits use it from 2026-12-02 06:00:00 UTC+8; open ones finish on theirs\n  changed  yard-gate            Gate (gate-1)\n"
        );
        assert_eq!(packs(&Value::Null, 0), "", "a gateway of before tells no packs");
    }

    #[test]
    fn devices_are_counted_as_those_that_work() {
        let device = |state: &str| json!({ "id": "d", "driver": "x", "state": state });
        let text = page(&json!({ "devices": [device("ready"), device("fault"), device("ready")] }));
        assert!(text.contains("Devices (2 of 3 work)"), "{text}");
    }
}
