//! `kakou profile`

use super::fail;
use crate::config;
use kakou_core::profile::{self, facts, shipped};
use kakou_link::shown;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What can be done with profiles.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Reads profiles and says what is wrong with them: file, line and the allowed values.
    Check {
        /// Profile files, or ids of shipped ones; all shipped ones if none is given.
        files: Vec<PathBuf>,
        /// Checks as well that each step's device exists in this configuration.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    Try(super::scenario::Arguments),
    /// Lists the shipped profiles.
    List,
    /// Prints every fact that expressions may ask: its type, who makes it, and what it is when that step was left out.
    Facts,
    /// Prints a shipped profile, to be changed and used.
    Show {
        /// Its id.
        id: String,
    },
}

/// Runs it.
pub fn run(command: &Command) -> ExitCode {
    match command {
        Command::List => {
            for (name, text) in shipped::PROFILES {
                if let Ok(p) = profile::read(name, text) {
                    println!("{:<20} {}  {}", p.id, p.title.zh, p.title.en);
                }
            }
            ExitCode::SUCCESS
        }
        Command::Facts => {
            print!("{}", facts::page());
            ExitCode::SUCCESS
        }
        Command::Show { id } => match shipped::find(id) {
            Some((_, text)) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            None => fail(format!("no shipped profile is called `{id}`; `kakou profile list` lists them")),
        },
        Command::Try(arguments) => super::scenario::run(arguments),
        Command::Check { files, config, json } => check(files, config.as_deref(), *json),
    }
}

fn check(files: &[PathBuf], config: Option<&Path>, as_json: bool) -> ExitCode {
    let names: Vec<String> = if files.is_empty() && config.is_none() {
        shipped::ids().map(str::to_owned).collect()
    } else {
        files.iter().map(|f| f.display().to_string()).collect()
    };
    let mut results = Vec::new();
    for name in &names {
        let read = config::find_profile(Path::new("."), name, &|_| None)
            .and_then(|(file, text)| profile::read(&file, &text).map_err(|e| e.to_string()));
        for warning in read.iter().flat_map(|p| &p.warnings) {
            eprintln!("{}", shown::lines(warning));
        }
        let error = read.as_ref().err().cloned();
        results.push((name.clone(), error, read.ok().map(|p| p.steps.len())));
    }
    if let Some(path) = config {
        results.push((path.display().to_string(), config::load(path).err().map(|e| e.to_string()), None));
    }
    let good = results.iter().all(|(_, e, _)| e.is_none());
    if as_json {
        let rows: Vec<_> = results
            .iter()
            .map(|(n, e, s)| json!({ "file": n, "ok": e.is_none(), "error": e, "steps": s }))
            .collect();
        println!("{}", shown::json(&json!({ "ok": good, "profiles": rows })));
    } else {
        for (name, error, steps) in &results {
            match (error, steps) {
                (Some(e), _) => println!("{}", shown::lines(e)),
                (None, Some(n)) => println!("{name}: in order, {n} steps"),
                (None, None) => println!("{name}: in order"),
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
