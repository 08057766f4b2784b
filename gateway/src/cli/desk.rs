//! `kakou desk`: what is printed comes from a program beside this one; which codes there are, a box can say by itself.

use super::{fail, subprogram};
use crate::config;
use kakou_core::lane::sheet::printed;
use kakou_core::profile;
use std::path::Path;
use std::process::ExitCode;

/// What is printed for the desks of a gateway.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Makes the command sheet of a lane: codes to print, by which its staff act with a scanner as the only input.
    #[command(disable_help_flag = true)]
    Sheet(subprogram::Handed),
    /// Lists the command codes of a lane as text, one a line: for a labeller, or a sheet of one's own.
    Codes {
        /// A shipped profile by its id, or a file.
        profile: String,
    },
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    match command {
        Command::Sheet(handed) => subprogram::central(&["desk", "sheet"], handed),
        Command::Codes { profile } => match codes(&profile) {
            Ok(lines) => {
                print!("{lines}");
                ExitCode::SUCCESS
            }
            Err(why) => fail(why),
        },
    }
}

fn codes(name: &str) -> Result<String, String> {
    let (file, text) = config::find_profile(Path::new("."), name, &|_| None)?;
    let profile = profile::read(&file, &text).map_err(|e| e.to_string())?;
    let line = |p: &printed::Printed| {
        let (text, of) = (&p.text, &p.of);
        format!("{}\t{}\t{}\t{} {}\n", p.code.text(), text.zh, text.en, of.zh, of.en)
    };
    Ok(printed::codes(&profile, &[])?.iter().map(line).collect())
}
