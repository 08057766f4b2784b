//! `kakou journal ledger`

use super::fail;
use crate::evidence::ledger::{self, DAY_MS, Ledger};
use crate::store::journal;
use kakou_link::clock::Clock;
use kakou_link::durable;
use std::path::PathBuf;
use std::process::ExitCode;

/// The most days at once.
const DAYS: i64 = 3_700;

/// Which days, and how.
#[derive(clap::Args)]
pub struct Arguments {
    /// The data folder of the gateway.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The day, as the site counts it, e.g. 2022-05-24.
    #[arg(long, value_name = "DAY")]
    day: String,
    /// The last day, if there are more.
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// The form of the files.
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
    /// The folder for the files: `ledger-DAY.csv` or `.json`.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
    /// Minutes of the site's clock from UTC: where a day begins.
    #[arg(long, value_name = "MINUTES", default_value_t = 480, allow_negative_numbers = true)]
    utc_offset: i32,
}

/// The form of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table.
    Csv,
    /// One object.
    Json,
}

fn text(ledger: &Ledger, format: Format) -> String {
    match format {
        Format::Csv => ledger.csv(),
        Format::Json => {
            format!("{}\n", serde_json::to_string_pretty(ledger).expect("strings and numbers are JSON"))
        }
    }
}

/// Runs it.
pub fn run(a: &Arguments) -> ExitCode {
    match days(a) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(e),
    }
}

fn days(a: &Arguments) -> Result<(), String> {
    let offset_ms = i64::from(a.utc_offset) * 60_000;
    let begin = |day: &str| ledger::begin_ms(day, offset_ms).ok_or(format!("{day}: no day, e.g. 2022-05-24"));
    let first = begin(&a.day)?;
    let last = a.until.as_deref().map_or(Ok(first), begin)?;
    if last < first || (last - first) / DAY_MS > DAYS {
        return Err("--until: a day after --day, and no more than ten years".into());
    }
    let reader = journal::reader(&a.data).map_err(|e| e.to_string())?;
    let now_ms = Clock::system().now().wall_ms.unwrap_or(0);
    let extension = match a.format {
        Format::Csv => "csv",
        Format::Json => "json",
    };
    let mut at = first;
    while at <= last {
        let ledger = ledger::read(&reader, at, offset_ms, now_ms).map_err(|e| e.to_string())?;
        let folder = &a.out;
        durable::make_folder(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let file = folder.join(format!("ledger-{}.{extension}", ledger.day));
        durable::write_secret(&file, text(&ledger, a.format).as_bytes())
            .map_err(|e| format!("{}: {e}", file.display()))?;
        let gaps = ledger.gaps.len();
        eprintln!(
            "{}: {} entries, {gaps} gaps, {} receipted",
            file.display(),
            ledger.entries.len(),
            ledger.receipted
        );
        at += DAY_MS;
    }
    Ok(())
}
