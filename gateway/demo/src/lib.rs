//! `kakou demo`, a program of its own: a whole gateway on one machine, with the lanes of both packs and simulated devices, a
//! broker and a central side that receipts, all on loopback, without root and without a network.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod cards;
mod everyday;
mod lanes;
mod page;
mod rows;
mod run;
mod script;
mod sims;
mod world;
mod year2022;

#[cfg(test)]
mod tests;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use kakou_gateway::eprintln;
use kakou_link::shown;
use run::Wishes;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs a whole gateway with simulated devices on this machine, for a look around.
#[derive(Parser)]
#[command(name = "kakou-demo", bin_name = "kakou demo", version)]
struct Arguments {
    /// Plays visits by itself and ends.
    #[arg(long)]
    headless: bool,
    /// How long to play, with --headless.
    #[arg(long, default_value_t = 20, value_name = "N")]
    seconds: u64,
    /// Prints one JSON object with the figures as its last line.
    #[arg(long)]
    json: bool,
    /// Port of the screens; 0 takes any that is free.
    #[arg(long, default_value_t = 8088)]
    port: u16,
    /// Writes the manual page and the completions, for packages.
    #[arg(long, hide = true, value_name = "FOLDER")]
    pages: Option<PathBuf>,
}

/// `cargo demo -- --headless` reaches us with the separator in between: it means nothing here.
fn arguments() -> Vec<OsString> {
    let mut all: Vec<_> = std::env::args_os().collect();
    if all.get(1).is_some_and(|a| a == "--") {
        all.remove(1);
    }
    all
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let Arguments { headless, seconds, json, port, pages } = Arguments::parse_from(arguments());
    if let Some(folder) = pages {
        return match write_pages(&folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(e) => fail(format!("{}: {e}", folder.display())),
        };
    }
    kakou_link::logging::start(if headless { log::LevelFilter::Warn } else { log::LevelFilter::Info });
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(e),
    };
    let wishes = Wishes { headless, seconds, json, port: if headless { 0 } else { port } };
    match runtime.block_on(run::run(wishes)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail("events were lost on their way to the central side"),
        Err(e) => fail(e),
    }
}

/// Says what went wrong and fails.
fn fail(why: impl std::fmt::Display) -> ExitCode {
    eprintln!("kakou: {}", shown::lines(&why.to_string()));
    ExitCode::FAILURE
}

fn write_pages(folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    let mut page = Vec::new();
    clap_mangen::Man::new(Arguments::command()).render(&mut page)?;
    std::fs::write(man.join("kakou-demo.1"), page)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "kakou-demo", &completions)?;
    }
    Ok(())
}
