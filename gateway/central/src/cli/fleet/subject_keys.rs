//! `kakou fleet subject-keys`

use super::{Broker, is_final, issuer, listen, random_id};
use crate::enrol::subjects::ForBoxes;
use crate::fleet::send;
use crate::fleet::watch::now_ms;
use kakou_gateway::println;
use kakou_link::shown;
use kakou_wire::order::{Command, What};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What is sent, and by whom.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    broker: Broker,
    /// The key of who sends it; it may sign for `maintain`.
    #[arg(long = "sign-key", value_name = "FILE")]
    sign_key: PathBuf,
    /// The envelopes that `kakou ca subjects` wrote.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Your name: it stands in the gateways' records.
    #[arg(long)]
    by: String,
    /// Why: it stands in the gateways' records.
    #[arg(long)]
    reason: String,
    /// A box that is away takes it within so long; after that send the file again.
    #[arg(long, default_value_t = 1440, value_name = "MINUTES", value_parser = clap::value_parser!(i64).range(1..=1440))]
    expires: i64,
    /// Waits so long for the last box.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    wait: u64,
}

/// Sends each box its key, and says who has it and who does not.
pub(super) async fn send(a: Arguments) -> Result<(), String> {
    let json = std::fs::read(&a.from).map_err(|e| format!("{}: {e}", a.from.display()))?;
    let all: ForBoxes = serde_json::from_slice(&json)
        .map_err(|e| format!("{}: {e}; `kakou ca subjects` writes such a file", a.from.display()))?;
    let issuer = issuer(&a.sign_key)?;
    let issued = now_ms() / 1000;
    let (mut words, mut open) = (Vec::new(), BTreeMap::new());
    for one in all.boxes {
        let (id, name) = (random_id()?, format!("{}/{}", one.site, one.gateway));
        open.insert(id.clone(), name);
        let what = What::SubjectKey { number: one.number, sealed: one.sealed };
        let (by, reason, expires) = (a.by.clone(), a.reason.clone(), issued + a.expires * 60);
        let command = Command { id, site: one.site, gateway: one.gateway, what, by, reason, issued, expires };
        words.push(send::command(&issuer, &command)?);
    }
    let (count, mut failed) = (open.len(), 0);
    let heard = |body: &[u8]| {
        let result: Value = serde_json::from_slice(body).ok()?;
        let state = result["state"].as_str()?;
        if is_final(&result["state"])
            && let Some(name) = open.remove(result["id"].as_str()?)
        {
            let detail = if state == "SUCCEEDED" {
                String::new()
            } else {
                format!(": {}", shown::json(&result["detail"]))
            };
            failed += usize::from(state != "SUCCEEDED");
            println!("{name}: {state}{detail}");
        }
        open.is_empty().then_some(())
    };
    if count > 0 {
        listen(&a.broker, "kakou/v1/+/+/cmdres/+", words, Duration::from_secs(a.wait), heard).await?;
    }
    for name in open.values() {
        println!(
            "{name}: no answer; it takes the key within {} minutes, else send the file again",
            a.expires
        );
    }
    for name in &all.without {
        println!(
            "{name}: it gave no key to seal for: it does with its next renewal, and never if it was configured by hand; enrol it anew"
        );
    }
    let missing = failed + open.len() + all.without.len();
    if missing > 0 {
        return Err(format!("{missing} of {} boxes do not have it", count + all.without.len()));
    }
    Ok(())
}
