//! `kakou status`

use super::fail;
use kakou_link::shown;
use serde_json::Value;
use std::process::ExitCode;
use std::time::Duration;

/// Shows lanes, devices, lists, outbox and store of a running gateway.
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
    fn devices_are_counted_as_those_that_work() {
        let device = |state: &str| json!({ "id": "d", "driver": "x", "state": state });
        let text = page(&json!({ "devices": [device("ready"), device("fault"), device("ready")] }));
        assert!(text.contains("Devices (2 of 3 work)"), "{text}");
    }
}
