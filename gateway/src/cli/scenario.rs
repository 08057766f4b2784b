//! `kakou profile try`

use super::fail;
use crate::config;
use crate::files;
use crate::shown;
use kakou_core::scenario::{self, Failure, Mistake, store::Memory};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Plays scenario files: visits against a profile, with the real rules and a clock that the file sets, without a
/// device and without a daemon.
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Arguments {
    /// Scenario files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// One JSON object a file: file, ok, failed_at (the line), found.
    #[arg(long)]
    json: bool,
    /// Prints each step, and what follows from it.
    #[arg(long, conflicts_with = "json")]
    trace: bool,
}

const EXAMPLE: &str = r#"A scenario file says who comes, what devices see and staff do, and what must be so:

  profile = "school-gate"                   # a shipped id, or a path beside this file
  clock   = "2022-05-24T07:00:00+08:00"     # where the clock stands, and how far the site is from UTC
  title   = "a fever is measured three times"

  [lists.status."P-0001"]                   # entries of lists; what is not given is empty, and fresh
  name = "张小明"
  colour = "green"
  test_result = "negative"
  sampled_at_ms = "-20h"                    # beside the clock

  [[do]]
  scan = "P-0001"
  [[do]]
  temperature = 38.1                        # or readings = [38.1, 36.7, 36.6]
  [[do]]
  expect = { outcome = "REFER", codes = ["T_HIGH"], opened = false, events = ["fever"] }
  [[do]]
  recheck = [36.6, 36.5]
  [[do]]
  expect = { outcome = "ADMIT", opened = true }

Thermometer (36.6), camera, barrier and printer do by themselves what the file does not say; staff do not: the visit
waits for answer, confirm, approve, refuse, seal, override, cancel. The clock moves by wait, wait_until and restart
alone. The first expect that fails ends the file.

Exit codes: 0 all as expected, 1 something is not, 2 a file cannot be read."#;

/// Runs it.
pub fn run(arguments: &Arguments) -> ExitCode {
    let mut worst = 0;
    for file in &arguments.files {
        let played = play(file, arguments.trace);
        worst = worst.max(match &played {
            Ok(None) => 0,
            Ok(Some(_)) => 1,
            Err(_) => 2,
        });
        tell(file, &played, arguments.json);
    }
    ExitCode::from(worst)
}

/// Where a file cannot be played, and why.
enum Unplayed {
    File(String),
    Mistake(Mistake),
}

fn play(file: &Path, trace: bool) -> Result<Option<Failure>, Unplayed> {
    let name = file.display().to_string();
    let text = files::read_text(file).map_err(|e| Unplayed::File(format!("{name}: {e}")))?;
    let scenario = scenario::read(&name, &text).map_err(Unplayed::Mistake)?;
    let mut told = |line: &str| {
        if trace {
            println!("{}", shown::line(line));
        }
    };
    if trace {
        println!("{name}: {}", shown::line(&scenario.title));
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let profiles = |wanted: &str| find(folder, wanted);
    let mut store = Memory::new(scenario::gateway());
    scenario::play(&scenario, &profiles, &mut store, &mut told).map_err(Unplayed::Mistake)
}

/// A shipped profile, or a file: beside the scenario, else where the command was given.
fn find(folder: &Path, wanted: &str) -> Result<(String, String), String> {
    let here = if folder.join(wanted).exists() { folder } else { Path::new(".") };
    config::find_profile(here, wanted, &|_| None)
}

fn tell(file: &Path, played: &Result<Option<Failure>, Unplayed>, as_json: bool) {
    let name = file.display().to_string();
    if as_json {
        let row = |ok, line: Option<usize>, found: Value| {
            let row = json!({ "file": name, "ok": ok, "failed_at": line, "found": found });
            println!("{}", shown::json(&row));
        };
        match played {
            Ok(None) => row(true, None, Value::Null),
            Ok(Some(failure)) => row(false, Some(failure.line), scenario::found(failure)),
            Err(Unplayed::File(why)) => row(false, None, json!({ "why": why })),
            Err(Unplayed::Mistake(mistake)) => row(false, Some(mistake.line), json!({ "why": mistake.what })),
        }
        return;
    }
    match played {
        Ok(None) => println!("{name}: as expected"),
        Ok(Some(failure)) => {
            println!("{name}:{}: {}", failure.line, shown::line(&failure.why));
            println!("    found {}", shown::json(&json!(failure.found)));
        }
        Err(Unplayed::File(why)) => drop(fail(why)),
        Err(Unplayed::Mistake(mistake)) => drop(fail(mistake)),
    }
}
