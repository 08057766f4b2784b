//! A recording, played to a driver.

use super::super::fail;
use super::watch::shown;
use kakou_core::reading::{Command, Ticket};
use kakou_drivers::codec::Out;
use kakou_drivers::options::Options;
use kakou_drivers::record::{self, Direction};
use kakou_drivers::registry::{self, Make};
use kakou_link::shown::lines;
use std::path::PathBuf;
use std::process::ExitCode;

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The recording.
    file: PathBuf,
    /// The driver that hears it.
    #[arg(long)]
    driver: String,
    /// What the card said that was held before it.
    #[arg(long, value_name = "TEXT")]
    card: Option<String>,
}

/// Runs it.
pub fn run(a: &Arguments) -> ExitCode {
    let text = match kakou_link::files::read_text(&a.file) {
        Ok(text) => text,
        Err(e) => return fail(format!("{}: {e}", a.file.display())),
    };
    let entries = match record::read(&text) {
        Ok(entries) => entries,
        Err(why) => return fail(format!("{}: {why}", a.file.display())),
    };
    let make = match registry::find(&a.driver).map(|d| d.make) {
        Some(Make::Serial(make) | Make::Shared(make)) => make,
        Some(Make::Blocking(_)) => return fail(format!("`{}` has no serial port", a.driver)),
        None => return fail(format!("`{}` is no driver; `kakou devices drivers` lists them", a.driver)),
    };
    let mut codec = match make(&Options::at(&a.file)) {
        Ok(codec) => codec,
        Err(why) => return fail(why),
    };
    let mut out = Vec::new();
    codec.opened(0, &mut out);
    // A thermometer tells only who measures.
    codec.command(0, Ticket(1), &Command::Measure, &mut out);
    out.clear();
    for entry in entries.iter().filter(|e| e.way == Direction::In) {
        while let Some(due) = codec.deadline().filter(|d| *d < entry.at) {
            codec.wake(due, &mut out);
            if codec.deadline() == Some(due) {
                break;
            }
        }
        tell(entry.at, &mut out, a.card.as_deref());
        codec.bytes(entry.at, &entry.bytes, &mut out);
        tell(entry.at, &mut out, a.card.as_deref());
    }
    if let Some(due) = codec.deadline() {
        codec.wake(due, &mut out);
        tell(due, &mut out, a.card.as_deref());
    }
    ExitCode::SUCCESS
}

fn tell(at: u64, out: &mut Vec<Out>, card: Option<&str>) {
    for what in out.drain(..) {
        match what {
            Out::Report(report) => println!("{at:8} ms  {}", lines(&shown(&report, card))),
            Out::Error(why) => println!("{at:8} ms  error: {why}"),
            Out::Write(_) | Out::Flush | Out::Seen | Out::Firmware(_) => {}
        }
    }
}
