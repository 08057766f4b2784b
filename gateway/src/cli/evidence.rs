//! `kakou evidence`

use super::fail;
use crate::evidence::export::{self, Wanted};
use crate::evidence::trust::Trust;
use crate::evidence::{LARGEST, verify};
use kakou_core::time::rfc3339;
use kakou_link::clock::Clock;
use kakou_link::{durable, shown};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes the evidence of a visit as one file, and verifies such a file.
#[derive(clap::Subcommand)]
#[command(
    after_help = "At the gate, as the user of the daemon (or root):\n  kakou evidence export 4711 --data /var/lib/kakou --out truck.html\nAt the office, on any machine with this command, with the root that the fleet's authority gave you:\n  kakou evidence verify truck.html --root root.pem\nThe file opens in every browser. Nothing inside it is trusted: whoever signs it anew has no certificate of the root.\nHow to read the result: docs/evidence.md"
)]
pub enum Command {
    /// Writes the evidence of a visit, and of the visits that a seal links it with, into one file.
    #[command(
        after_help = "In the file: every record of the visit, its photographs, the chain around it with the signed heads, what\nwas receipted. With it come the sealing, the resealing, the check at the destination and a breach, where this gateway\nhas them; those at other gateways are exported there. Records of others are in it as hashes alone.\nThe daemon may run meanwhile. Nothing is changed."
    )]
    Export {
        /// The visit: its number as screens and slips show it, or LANE/NUMBER.
        #[arg(value_name = "VISIT")]
        visit: String,
        /// The data folder of the gateway.
        #[arg(long, value_name = "DIR", default_value = "/var/lib/kakou")]
        data: PathBuf,
        /// The file; `evidence-VISIT.html` otherwise.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The certificate of the box, PEM, where it was not enrolled by a code.
        #[arg(long, value_name = "FILE", requires = "cert_key")]
        cert: Option<PathBuf>,
        /// Its key, PEM.
        #[arg(long, value_name = "FILE", requires = "cert")]
        cert_key: Option<PathBuf>,
        /// Minutes of the site's clock from UTC, for the times on the page.
        #[arg(long, value_name = "MINUTES", default_value_t = 480, allow_negative_numbers = true)]
        utc_offset: i32,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Verifies a file of evidence, without a gateway: says what was changed, if anything was.
    #[command(
        after_help = "Give the root from the authority of the fleet (`root.pem`), or the public key of the gateway (`gateway.pub`),\nfrom a hand that you trust and never together with the file.\nExit codes: 0 verified, 3 not verified, 1 could not be read, 2 wrong usage."
    )]
    Verify {
        /// The file.
        file: PathBuf,
        /// The root certificate of the fleet, PEM; it may hold several.
        #[arg(long, value_name = "FILE", required_unless_present = "key", conflicts_with = "key")]
        root: Option<PathBuf>,
        /// The public key of the gateway in hexadecimal.
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

const NOT_VERIFIED: u8 = 3;

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::Export { visit, data, out, cert, cert_key, utc_offset, json } => {
            let Some(now_ms) = Clock::system().now().wall_ms else {
                return fail("the clock of this machine is not set: the file would have no time");
            };
            let wanted =
                Wanted { visit, identity: cert.zip(cert_key), now_ms, utc_offset_minutes: utc_offset };
            export_to(&data, &wanted, out, json)
        }
        Command::Verify { file, root, key, json } => match trust(root.as_deref(), key) {
            Ok(trust) => verify_file(&file, &trust, json),
            Err(e) => fail(e),
        },
    }
}

fn export_to(data: &Path, wanted: &Wanted, out: Option<PathBuf>, json: bool) -> ExitCode {
    let (file, made) = match export::export(data, wanted) {
        Ok(made) => made,
        Err(e) => return fail(e),
    };
    let name = || {
        format!(
            "evidence-{}.html",
            wanted.visit.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "-")
        )
    };
    let out = out.unwrap_or_else(|| PathBuf::from(name()));
    // It names what a person did: for its owner alone.
    if let Err(e) = durable::write_secret(&out, &file) {
        return fail(format!("{}: {e}", out.display()));
    }
    if json {
        let whole = serde_json::json!({ "ok": true, "file": out, "bytes": file.len(), "exported": made });
        println!("{}", shown::json(&whole));
        return ExitCode::SUCCESS;
    }
    println!(
        "{}: {} bytes, {} records and {} photographs of {}",
        out.display(),
        file.len(),
        made.records,
        made.photos,
        shown::line(&made.visits.join(", "))
    );
    if made.photos_gone > 0 {
        println!(
            "{} photographs are not kept here any more; the file names them by their hashes",
            made.photos_gone
        );
    }
    if !made.certified {
        println!(
            "no certificate of the box was found: it is verified with --key and this gateway's gateway.pub"
        );
    }
    ExitCode::SUCCESS
}

fn trust(root: Option<&Path>, key: Option<String>) -> Result<Trust, String> {
    match (root, key) {
        (Some(root), _) => match std::fs::read_to_string(root) {
            Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Ok(Trust::Roots(pem)),
            Ok(_) => Err(format!("{}: no certificate in PEM", root.display())),
            Err(e) => Err(format!("{}: {e}", root.display())),
        },
        (None, Some(key)) => match kakou_core::pass::unhex(key.trim()) {
            Some(bytes) if bytes.len() == 32 => Ok(Trust::Key(key)),
            Some(_) | None => Err("--key: 64 hexadecimal digits, as gateway.pub holds them".into()),
        },
        (None, None) => Err("give --root or --key".into()),
    }
}

fn verify_file(path: &Path, trust: &Trust, json: bool) -> ExitCode {
    let file = match std::fs::metadata(path) {
        Ok(m) if m.len() > LARGEST => {
            return fail(format!("{}: larger than any file of evidence", path.display()));
        }
        Ok(_) => std::fs::read(path),
        Err(e) => Err(e),
    };
    let file = match file {
        Ok(file) => file,
        Err(e) => return fail(format!("{}: {e}", path.display())),
    };
    let v = verify::verify(&file, trust);
    let good = v.problems.is_empty();
    if json {
        println!("{}", shown::json(&serde_json::json!({ "ok": good, "verified": v })));
    } else {
        let (gateway, visits) = (shown::line(&v.gateway), shown::line(&v.visits.join(", ")));
        println!("{}: {gateway}, {visits}, made {}", path.display(), rfc3339(v.made_ms));
        println!(
            "{} records, {} photographs, {} links of the chain, {} signed heads fit",
            v.records, v.photos, v.links, v.heads
        );
        v.notes.iter().for_each(|note| println!("note: {}", shown::line(note)));
        v.problems.iter().for_each(|problem| println!("PROBLEM: {}", shown::line(problem)));
        println!("{}", if good { "VERIFIED: unchanged since the gateway made it" } else { "NOT VERIFIED" });
    }
    if good { ExitCode::SUCCESS } else { ExitCode::from(NOT_VERIFIED) }
}
