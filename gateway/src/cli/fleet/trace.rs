//! `kakou fleet trace`

use super::{Broker, watched};
use crate::fleet::send;
use crate::fleet::watch::now_ms;
use crate::orders::word::Question;
use kakou_provisioning::issuer::Issuer;
use serde_json::json;
use std::time::{Duration, Instant};

/// Asks all gateways of a site and merges what they answer.
pub(super) async fn trace(
    broker: &Broker,
    issuer: &Issuer,
    question: Question,
    wait: Duration,
    as_json: bool,
) -> Result<(), String> {
    let (fleet, out, cancel) = watched(broker, question.site.as_str(), "trace")?;
    // Who is there to answer, the broker knows.
    let known = async {
        let (mut before, mut same) = (0, 0);
        while same < 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = fleet.lock().rows(now_ms())["gateways"].as_array().map_or(0, Vec::len);
            same = if now == before && now > 0 { same + 1 } else { 0 };
            before = now;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), known).await.is_err() {
        return Err(format!("the broker knows no gateway of site {}", question.site));
    }
    let began = now_ms();
    fleet.lock().ask(&question.id, [question.site.to_string()].into(), began);
    out.send(send::question(issuer, &question)?).await.map_err(|_| "the broker was lost")?;
    let until = Instant::now() + wait;
    let answers = loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let answers = fleet.lock().answers(&question.id, now_ms()).unwrap_or_default();
        if answers["done"] == true || Instant::now() > until {
            break answers;
        }
    };
    cancel.cancel();
    if as_json {
        println!("{answers}");
    } else {
        for row in answers["rows"].as_array().into_iter().flatten() {
            let text = |k: &str| row[k].as_str().unwrap_or("?").to_owned();
            let unsent = if row["unsent"] == true { "  (not sent yet)" } else { "" };
            println!(
                "{}  {}/{}/{}  {}  {}{unsent}",
                text("at"),
                text("site"),
                text("gateway"),
                text("lane"),
                text("outcome"),
                row["codes"]
            );
        }
        eprintln!(
            "{} of {} gateways answered in {} ms",
            answers["answered"], answers["asked"], answers["elapsed_ms"]
        );
    }
    let missing = answers["missing"].as_array().map_or(0, Vec::len);
    if missing > 0 && !as_json {
        eprintln!("no answer from: {}", json!(answers["missing"]));
    }
    if answers["done"] == true { Ok(()) } else { Err("the answer is not complete".into()) }
}
