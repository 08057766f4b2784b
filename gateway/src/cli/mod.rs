//! The command `kakou`.

mod desk;
mod devices;
mod doctor;
mod evidence;
mod journal;
mod ledger;
mod pack;
mod pages;
mod pass;
mod profile;
mod reset;
mod scenario;
mod status;
mod subprogram;
mod verify;

use crate::http;
use clap::{CommandFactory, Parser, Subcommand};
use kakou_link::shown;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

/// Looks after a Kakou checkpoint gateway.
#[derive(Parser)]
#[command(
    version,
    after_help = "Begin with `kakou demo`. The daemon itself is `kakoud --config FILE`.\nExit codes: 0 good, 1 failed, 2 wrong usage, 3 not verified."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a whole gateway with simulated devices on this machine, for a look around.
    #[command(disable_help_flag = true)]
    Demo(subprogram::Handed),
    /// Looks over this box: ports, rights, clock, disk, certificates, broker, lists, and says what to do.
    Doctor(doctor::Arguments),
    Devices(devices::Arguments),
    /// Shows the status of a running gateway.
    Status(status::Arguments),
    /// Checks and lists lane profiles.
    #[command(subcommand)]
    Profile(profile::Command),
    #[command(subcommand)]
    Pack(pack::Command),
    /// Makes keys, issues passes and shows what is in one.
    #[command(subcommand)]
    Pass(pass::Command),
    #[command(subcommand)]
    Desk(desk::Command),
    /// Verifies the text of a code against a trust list, as a lane does.
    Verify(verify::Arguments),
    /// The central side.
    #[command(disable_help_flag = true)]
    Central(subprogram::Handed),
    /// A small certificate authority and enrolment server, for a fleet that has none.
    #[command(disable_help_flag = true)]
    Ca(subprogram::Handed),
    /// Looks after many gateways over their broker.
    #[command(disable_help_flag = true)]
    Fleet(subprogram::Handed),
    /// Makes signed feeds for gateways: lists of residents, passes, revocations, holds.
    #[command(disable_help_flag = true)]
    Feed(subprogram::Handed),
    /// Looks into a gateway's journal.
    #[command(subcommand)]
    Journal(journal::Command),
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Officers of the configuration.
    #[command(subcommand)]
    Officer(Officer),
    Reset(reset::Arguments),
    /// Writes manual pages and completions, for packages.
    #[command(hide = true)]
    Pages {
        /// Where to.
        folder: std::path::PathBuf,
    },
    /// Prints the OpenAPI document of the gateway's API.
    Openapi,
    /// Prints the AsyncAPI document of what a gateway says and hears over MQTT.
    Asyncapi,
}

/// Runs the lanes of one checkpoint gateway until SIGTERM or SIGINT.
#[derive(Parser)]
#[command(
    name = "kakoud",
    version,
    after_help = "Try `kakou demo` for a gateway with simulated devices, `kakou status` to look at this one.\nExit codes: 0 told to end, 70 the store or a thread failed, 74 the data cannot be used, 78 the configuration is wrong."
)]
pub struct Daemon {
    /// The configuration, TOML.
    #[arg(long, value_name = "FILE", default_value = "/etc/kakou/kakou.toml")]
    pub config: std::path::PathBuf,
    /// Reads the configuration, says what is wrong with it, and ends.
    #[arg(long)]
    pub check: bool,
}

#[derive(Subcommand)]
enum Officer {
    /// Reads a PIN from standard input and prints the hash for the configuration.
    Pin,
}

/// The command line of `kakou`.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let command = Arguments::parse().command;
    match command {
        Command::Demo(handed) => subprogram::demo(handed),
        Command::Doctor(a) => doctor::run(&a),
        Command::Devices(a) => devices::run(a),
        Command::Status(a) => status::run(&a),
        Command::Profile(c) => profile::run(&c),
        Command::Pack(c) => pack::run(c),
        Command::Pass(c) => pass::run(c),
        Command::Desk(c) => desk::run(c),
        Command::Verify(a) => verify::run(&a),
        Command::Central(handed) => subprogram::central(&["central"], handed),
        Command::Ca(handed) => subprogram::central(&["ca"], handed),
        Command::Fleet(handed) => subprogram::central(&["fleet"], handed),
        Command::Feed(handed) => subprogram::central(&["feed"], handed),
        Command::Journal(c) => journal::run(&c),
        Command::Evidence(c) => evidence::run(c),
        Command::Officer(Officer::Pin) => pin(),
        Command::Reset(a) => reset::run(&a),
        Command::Pages { folder } => pages::run(&folder),
        Command::Asyncapi => {
            print!("{}", kakou_wire::asyncapi::document());
            ExitCode::SUCCESS
        }
        Command::Openapi => {
            println!("{}", http::openapi());
            ExitCode::SUCCESS
        }
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

fn pin() -> ExitCode {
    if std::io::stdin().is_terminal() {
        eprint!("PIN (4 to 12 digits, shown as you type): ");
        drop(std::io::stderr().flush());
    }
    let mut line = String::new();
    if let Err(e) = std::io::stdin().lock().read_line(&mut line) {
        return fail(e);
    }
    let pin = line.trim();
    if !(4..=12).contains(&pin.len()) || !pin.bytes().all(|b| b.is_ascii_digit()) {
        return fail("a PIN has 4 to 12 digits");
    }
    match http::auth::hash_pin(pin) {
        Ok(hash) => {
            println!("{hash}");
            ExitCode::SUCCESS
        }
        Err(e) => fail(e),
    }
}
