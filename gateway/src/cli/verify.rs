//! `kakou verify`

use kakou_core::codes::Code;
use kakou_core::pass::trust::TrustList;
use kakou_core::pass::{self, Check};
use kakou_core::time::parse_instant;
use kakou_link::clock::Clock;
use kakou_link::shown;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Verifies one code. Exit codes: 0 verified, 3 not verified, 2 wrong usage.
#[derive(clap::Args)]
pub struct Arguments {
    /// The text of the code; `-` reads it from standard input.
    text: String,
    /// The trust list, JSON.
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
    /// Judges validity at this moment instead of now, e.g. 2021-06-01T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The region of the gateway, for keys that count in one region only.
    #[arg(long, default_value = "")]
    region: String,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

const NOT_VERIFIED: u8 = 3;
const USAGE: u8 = 2;

fn usage(why: String) -> ExitCode {
    eprintln!("kakou: {}", shown::lines(&why));
    ExitCode::from(USAGE)
}

/// Runs it.
pub fn run(a: &Arguments) -> ExitCode {
    let list = std::fs::read(&a.trust).map_err(|e| e.to_string());
    let trust = match list.and_then(|json| TrustList::from_json(&json).map_err(|e| e.to_string())) {
        Ok(trust) => trust,
        Err(e) => return usage(format!("{}: {e}", a.trust.display())),
    };
    let now_s = match a.at.as_deref().map(parse_instant) {
        Some(Some(ms)) => Some(ms.div_euclid(1000)),
        Some(None) => return usage("--at: not a date and time, e.g. 2021-06-01T12:00:00Z".into()),
        None => Clock::system().now().wall_s(),
    };
    let text = match a.text.as_str() {
        "-" => match std::io::read_to_string(std::io::stdin()) {
            Ok(text) => text.trim_end_matches(['\r', '\n']).to_owned(),
            Err(e) => return usage(e.to_string()),
        },
        text => text.to_owned(),
    };
    let checked = pass::check(text.as_bytes(), Check { trust: &trust, now_s, region: &a.region });
    // An opaque id carries no proof: only a gateway's lists can know it.
    let verified = checked.as_ref().is_ok_and(|p| p.format != pass::Format::Opaque);
    let report = match &checked {
        Ok(p) => json!({ "format": p.format.as_str(), "kid": p.kid, "verified": verified,
            "code": if verified { Code::OK } else { Code::C_UNKNOWN }, "kind": p.kind, "id": p.id, "subject": p.subject,
            "name": p.name, "exp": p.exp, "claims": p.facts }),
        Err(r) => {
            json!({ "format": r.format.as_str(), "kid": r.kid, "verified": false, "code": r.code, "why": r.why,
            "claims": null })
        }
    };
    if a.json {
        println!("{}", shown::json(&report));
    } else {
        match &checked {
            Ok(p) if verified => println!("{}", verified_as(p)),
            Ok(_) => println!(
                "not verified: an opaque id proves nothing by itself; a gateway looks it up in its lists"
            ),
            Err(r) => {
                let why = shown::line(&r.why);
                println!("not verified: {}: {} ({why})", r.code.as_str(), r.code.text().en);
            }
        }
    }
    if verified { ExitCode::SUCCESS } else { ExitCode::from(NOT_VERIFIED) }
}

/// Whoever signed it has chosen the words.
fn verified_as(p: &pass::Pass) -> String {
    format!("verified: {} {} ({})", p.format.as_str(), shown::line(&p.kind), shown::line(&p.subject))
}
