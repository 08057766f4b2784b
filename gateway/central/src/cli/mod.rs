//! The command `kakou-central`: `kakou` becomes this program for what belongs to the central side.

mod answers;
mod authority;
mod broker;
mod ca;
mod desk;
pub mod feed;
mod fleet;
mod ingest;
mod pack;
mod pages;
mod pass;
mod register;
mod subjects;

use clap::{Parser, Subcommand};
use kakou_gateway::eprintln;
use kakou_link::shown;
use std::path::PathBuf;
use std::process::ExitCode;

/// The central side of Kakou checkpoint gateways; `kakou` runs it for these commands.
#[derive(Parser)]
#[command(
    name = "kakou-central",
    bin_name = "kakou",
    version,
    after_help = "Exit codes: 0 good, 1 failed, 2 wrong usage."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The central side.
    #[command(subcommand)]
    Central(ingest::Command),
    #[command(subcommand)]
    Ca(ca::Command),
    #[command(subcommand)]
    Fleet(fleet::Command),
    #[command(subcommand)]
    Feed(feed::Command),
    #[command(subcommand)]
    Pack(pack::Command),
    /// Makes keys and issues passes.
    #[command(subcommand)]
    Pass(pass::Command),
    /// What is printed for the desks of a gateway.
    #[command(subcommand)]
    Desk(desk::Command),
    /// Writes manual pages and completions, for packages.
    #[command(hide = true)]
    Pages {
        /// Where to.
        folder: PathBuf,
    },
}

/// Runs the command line.
pub fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Central(c) => {
            kakou_link::logging::start(log::LevelFilter::Info);
            ingest::run(c)
        }
        Command::Ca(c) => {
            kakou_link::logging::start(log::LevelFilter::Info);
            ca::run(c)
        }
        Command::Fleet(c) => fleet::run(c),
        Command::Feed(c) => feed::run(c),
        Command::Pack(c) => pack::run(c),
        Command::Pass(c) => pass::run(c),
        Command::Desk(c) => desk::run(c),
        Command::Pages { folder } => pages::run(&folder),
    }
}

/// Says what went wrong and fails.
fn fail(why: impl std::fmt::Display) -> ExitCode {
    // It may be what a gateway has said.
    eprintln!("kakou: {}", shown::lines(&why.to_string()));
    ExitCode::FAILURE
}

/// A runtime for commands that need one.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
