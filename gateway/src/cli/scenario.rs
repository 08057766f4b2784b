//! `kakou profile try`

use super::fail;
use crate::config;
use crate::pack::Pack;
use kakou_core::profile::{self, Profile, shipped};
use kakou_core::scenario::store::Memory;
use kakou_core::scenario::table::{self, Row};
use kakou_core::scenario::{self, Failure, Mistake};
use kakou_link::{files, shown};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Plays scenario files: visits against a profile, with the real rules and a clock that the file sets, without a
/// device and without a daemon.
#[derive(clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Arguments {
    /// Scenario files; with --table profiles as well, by id or path, and all shipped ones if none is given.
    #[arg(required_unless_present = "table")]
    files: Vec<PathBuf>,
    /// A pack whose profiles count before shipped ones of the same ids: its folder, or signed.
    #[arg(long, value_name = "PACK")]
    pack: Option<PathBuf>,
    /// One JSON object a file: file, ok, failed_at (the line), found.
    #[arg(long)]
    json: bool,
    /// Prints each step, and what follows from it.
    #[arg(long, conflicts_with = "json")]
    trace: bool,
    /// Plays nothing, and prints the outcome of every rule of the profiles, with facts that make it true.
    #[arg(long, conflicts_with = "trace")]
    table: bool,
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
    if arguments.table {
        return tables(&arguments.files, arguments.json);
    }
    let pack = match arguments.pack.as_deref().map(super::pack::for_try).transpose() {
        Ok(pack) => pack,
        Err(why) => {
            eprintln!("kakou: {}", shown::lines(&why));
            return ExitCode::from(2);
        }
    };
    let mut worst = 0;
    for file in &arguments.files {
        let played = play(file, pack.as_ref(), arguments.trace);
        worst = worst.max(match &played {
            Ok(None) => 0,
            Ok(Some(_)) => 1,
            Err(_) => 2,
        });
        tell(file, &played, arguments.json);
    }
    ExitCode::from(worst)
}

/// The rules of profiles. A scenario file stands for its profile.
fn tables(files: &[PathBuf], as_json: bool) -> ExitCode {
    let shipped = || shipped::ids().map(PathBuf::from).collect();
    let names: Vec<PathBuf> = if files.is_empty() { shipped() } else { files.to_vec() };
    let mut worst = ExitCode::SUCCESS;
    for name in &names {
        match profile_of(name) {
            Ok(profile) => {
                for row in table::table(&profile) {
                    tell_rule(&profile, &row, as_json);
                }
            }
            Err(why) => {
                eprintln!("kakou: {}", shown::lines(&why));
                worst = ExitCode::from(2);
            }
        }
    }
    worst
}

fn profile_of(name: &Path) -> Result<Profile, String> {
    let (folder, named) = (name.parent().unwrap_or(Path::new(".")), name.display().to_string());
    let (file, text) = config::find_profile(Path::new("."), &named, &|_| None)?;
    let (file, text) = match toml::from_str::<toml::Table>(&text).ok().and_then(|t| t.get("profile").cloned())
    {
        Some(toml::Value::String(wanted)) => find(folder, &wanted)?,
        Some(_) | None => (file, text),
    };
    profile::read(&file, &text).map_err(|e| e.to_string())
}

fn tell_rule(profile: &Profile, row: &Row, as_json: bool) {
    if as_json {
        let mut all = json!(row);
        all["profile"] = json!(profile.id);
        println!("{}", shown::json(&all));
        return;
    }
    let facts = |all: &Option<BTreeMap<String, Value>>| match all {
        None => "no facts were found".into(),
        Some(all) if all.is_empty() => "nothing known".into(),
        Some(all) => {
            all.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
        }
    };
    let verdict = row.verdict.as_ref().map(|(outcome, codes)| {
        let codes = codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(" ");
        format!("{} {codes}", outcome.as_str())
    });
    println!(
        "{} {:<10} {:<15} {:<5}  {}",
        profile.id,
        row.step,
        row.code.as_str(),
        row.outcome.as_str(),
        shown::line(&row.when)
    );
    println!("    with {}: {}", shown::line(&facts(&row.facts)), verdict.as_deref().unwrap_or("no verdict"));
    println!("    not with {}", shown::line(&facts(&row.otherwise)));
}

/// Where a file cannot be played, and why.
enum Unplayed {
    File(String),
    Mistake(Mistake),
}

fn play(file: &Path, pack: Option<&Pack>, trace: bool) -> Result<Option<Failure>, Unplayed> {
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
    let own = |wanted: &str| pack.and_then(|pack| pack.profiles.get(wanted).cloned());
    let profiles = |wanted: &str| own(wanted).map_or_else(|| find(folder, wanted), Ok);
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
        println!("{}", shown::json(&row(&name, played)));
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

/// What became of a file, for programs.
fn row(name: &str, played: &Result<Option<Failure>, Unplayed>) -> Value {
    let (line, found) = match played {
        Ok(None) => (None, Value::Null),
        Ok(Some(failure)) => (Some(failure.line), scenario::found(failure)),
        Err(Unplayed::File(why)) => (None, json!({ "why": why })),
        Err(Unplayed::Mistake(mistake)) => (Some(mistake.line), json!({ "why": mistake.what })),
    };
    json!({ "file": name, "ok": matches!(played, Ok(None)), "failed_at": line, "found": found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// The file that the help shows.
    fn example() -> String {
        EXAMPLE.lines().filter_map(|line| line.strip_prefix("  ")).map(|line| format!("{line}\n")).collect()
    }

    fn of(folder: &Path, name: &str, text: &str) -> Value {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        row(name, &play(&file, None, false))
    }

    #[test]
    fn the_example_of_the_help_comes_out_as_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let row = of(folder.path(), "a.toml", &example());
        assert_eq!(row, json!({ "file": "a.toml", "ok": true, "failed_at": null, "found": null }));
    }

    #[test]
    fn a_program_hears_in_one_line_what_is_not_so_where_and_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let text = example().replacen("REFER", "DENY", 1);
        let at = 1 + text.lines().position(|line| line.contains("DENY")).unwrap();
        let row = of(folder.path(), "a.toml", &text);
        assert_eq!((&row["ok"], &row["found"]["outcome"]), (&json!(false), &json!("REFER")));
        assert_eq!(row["failed_at"], json!(at - 1), "the line of its [[do]]");
        assert!(row["found"]["why"].as_str().unwrap().contains("expected outcome DENY"));
        assert!(!row.to_string().contains('\n'));
        let row = of(folder.path(), "b.toml", &example().replace("scan =", "scann ="));
        assert!(row["found"]["why"].as_str().unwrap().contains("unknown field `scann`"), "{row}");
        let row = self::row("c.toml", &play(&folder.path().join("c.toml"), None, false));
        assert_eq!((&row["ok"], &row["failed_at"]), (&json!(false), &Value::Null));
    }

    #[test]
    fn a_profile_is_a_shipped_one_or_a_file_beside_the_scenario() {
        let folder = tempfile::tempdir().unwrap();
        let (_, text) = shipped::find("school-gate").unwrap();
        fs::write(folder.path().join("mine.toml"), text.replace("high_mdeg = 37300", "high_mdeg = 38200"))
            .unwrap();
        let own = example().replace("school-gate", "mine.toml");
        let row = of(folder.path(), "a.toml", &own);
        assert_eq!(row["found"]["outcome"], json!("ADMIT"), "by its own limit: {row}");
        let row = of(folder.path(), "a.toml", &example().replace("school-gate", "school-gates"));
        assert!(row["found"]["why"].as_str().unwrap().contains("pre-triage"), "{row}");
        assert_eq!(row["failed_at"], json!(1));
        assert!(
            profile_of(&folder.path().join("mine.toml")).is_ok()
                && profile_of(Path::new("pre-triage")).is_ok()
        );
    }
}
