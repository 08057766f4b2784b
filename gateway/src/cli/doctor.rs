//! `kakou doctor`

use crate::doctor::{Finding, Severity, examine, worst};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// The arguments.
#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 everything is right, 1 something is wrong, 4 there are only warnings.")]
pub struct Arguments {
    /// The gateway's configuration; without it, only the machine is looked at.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Only warnings.
const WARNINGS: u8 = 4;

/// Runs it.
pub fn run(a: &Arguments) -> ExitCode {
    let findings = examine(a.config.as_deref());
    let worst = worst(&findings);
    if a.json {
        println!("{}", kakou_link::shown::json(&json!({ "severity": worst, "findings": findings })));
    } else {
        print!("{}", kakou_link::shown::lines(&page(&findings)));
    }
    match worst {
        Severity::Right => ExitCode::SUCCESS,
        Severity::Warning => ExitCode::from(WARNINGS),
        Severity::Wrong => ExitCode::FAILURE,
    }
}

fn page(findings: &[Finding]) -> String {
    let mut out = String::new();
    for f in findings {
        let sign = match f.severity {
            Severity::Right => "ok     ",
            Severity::Warning => "warning",
            Severity::Wrong => "WRONG  ",
        };
        out.push_str(&format!("{sign}  {:<28} {}\n", f.what, f.found));
        if !f.todo.is_empty() {
            out.push_str(&format!("         {:<28} → {}\n", "", f.todo));
        }
    }
    let count = |s| findings.iter().filter(|f| f.severity == s).count();
    let (wrong, warnings) = (count(Severity::Wrong), count(Severity::Warning));
    let words = if warnings == 1 { "warning" } else { "warnings" };
    out.push_str(&match (wrong, warnings) {
        (0, 0) => "\nEverything is right.\n".into(),
        (0, n) => format!("\nIt works. {n} {words}.\n"),
        (n, m) => format!("\n{n} wrong, {m} {words}. Begin with the first that is wrong.\n"),
    });
    out
}
