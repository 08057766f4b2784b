//! `kakou journal`

use super::fail;
use crate::store::{chain, journal, photos::Photos};
use kakou_core::pass::unhex;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What can be done with a journal.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Verifies the chain, the signed heads and every photograph that an event names.
    Verify {
        /// The data folder of the gateway.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// The gateway's public key in hexadecimal; else the one beside the journal.
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Writes the ledger: what was recorded at the lanes, one file for each day of the site, with its gaps stated.
    #[command(
        after_help = "  kakou journal ledger --data /var/lib/kakou --day 2022-05-24\n  kakou journal ledger --data /var/lib/kakou --day 2022-05-01 --until 2022-05-31 --format json --out may\nCSV opens in a spreadsheet; its first rows name the gaps (GAP purged, missing, shed, restart, clock, running), and\n`receipted` says whether the central side has confirmed a record."
    )]
    Ledger(super::ledger::Arguments),
}

fn verify(data: &Path, key: Option<&str>) -> Result<chain::Verified, String> {
    let public = match key {
        Some(key) => key.to_owned(),
        None => std::fs::read_to_string(data.join("gateway.pub"))
            .map_err(|e| format!("{}: {e}", data.display()))?,
    };
    let public = unhex(public.trim()).ok_or("the public key is not hexadecimal")?;
    let reader = journal::reader(data).map_err(|e| e.to_string())?;
    let photos = Photos::open(data).map_err(|e| e.to_string())?;
    chain::verify(&reader, &photos, &public).map_err(|e| e.to_string())
}

/// Runs it.
pub fn run(command: &Command) -> ExitCode {
    let (data, key, json) = match command {
        Command::Verify { data, key, json } => (data, key, json),
        Command::Ledger(a) => return super::ledger::run(a),
    };
    match verify(data, key.as_deref()) {
        Err(e) => fail(e),
        Ok(v) => {
            if *json {
                let whole = serde_json::json!({ "ok": v.problems.is_empty(), "verified": v });
                println!("{}", kakou_link::shown::json(&whole));
            } else {
                println!(
                    "{} events, {} shed, {} signed heads, {} photographs verified",
                    v.events, v.shed, v.checkpoints, v.photos
                );
                if v.unsigned > 0 {
                    println!("{} events are newer than the last signed head", v.unsigned);
                }
                v.problems.iter().for_each(|p| println!("PROBLEM: {}", kakou_link::shown::line(p)));
            }
            if v.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
