//! `kakou devices`: what is attached, what it says, and a configuration for it.

mod found;
mod fragment;
mod list;
mod probe;
mod replay;
mod simulate;
mod speed;
mod watch;

use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

/// Lists what is attached and recognises it; shows live readings; writes a configuration.
///
/// Begin with `kakou devices` and, if a port stays unknown, `kakou devices --ask`. Then hold a code before the
/// scanner while `kakou devices watch PORT` runs. At last `kakou devices --write devices.toml`.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Ports to look at beside those that the kernel lists.
    ports: Vec<PathBuf>,
    /// Asks at ports that USB does not name what is behind them, at each speed that such devices have: up to ten
    /// seconds a port. Questions are harmless to every device that
    /// Kakou knows; do not ask where something else is attached, or while the gateway runs.
    #[arg(long)]
    ask: bool,
    /// Writes the configuration fragment there instead of showing it; it does not overwrite.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Shows codes and readings of one device as they come, by its driver. The gateway must not use the port.
    Watch(watch::Arguments),
    /// Plays a recording (`record = "FILE"` in a device's port) to a driver and shows what it makes of it.
    Replay(replay::Arguments),
    /// Raises the speed of a GM65 reader, and keeps it if asked to.
    Speed(speed::Arguments),
    /// Attaches simulated devices to try these commands with, until Ctrl-C.
    Simulate(simulate::Arguments),
    /// Lists the drivers.
    Drivers,
}

/// Runs it.
pub fn run(a: Arguments) -> ExitCode {
    match a.command {
        None => list::run(&a.ports, a.ask, a.write.as_deref(), a.json),
        Some(Command::Watch(w)) => watch::run(&w),
        Some(Command::Replay(r)) => replay::run(&r),
        Some(Command::Speed(s)) => speed::run(&s),
        Some(Command::Simulate(s)) => simulate::run(&s),
        Some(Command::Drivers) => {
            println!("{:<16} for", "driver");
            for driver in &kakou_drivers::registry::DRIVERS {
                let kinds: Vec<&str> = driver.kinds.iter().map(|k| k.as_str()).collect();
                println!("{:<16} {}", driver.name, kinds.join(", "));
            }
            ExitCode::SUCCESS
        }
    }
}
