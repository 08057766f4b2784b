//! Simulated devices, for whoever wants to learn the commands before the devices arrive.

use super::super::{fail, runtime};
use kakou_drivers::sim::engine::AnswerSim;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scale::ScaleSim;
use kakou_drivers::sim::thermometer::ThermometerSim;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Between two codes of the scanner.
const EVERY: Duration = Duration::from_secs(1);

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder in which the ports appear.
    folder: PathBuf,
    /// What the scanner reads, again and again.
    #[arg(long, default_value = "KP1:HELLO")]
    code: String,
}

/// Runs it.
pub fn run(a: &Arguments) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(e) => return fail(e),
    };
    match runtime.block_on(simulate(&a.folder, &a.code)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(format!("{}: {e}", a.folder.display())),
    }
}

async fn simulate(folder: &Path, code: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut scanner = AnswerSim::gm65(&folder.join("scanner"), 9_600)?;
    let _thermometer = ThermometerSim::new(&folder.join("thermometer"), 36_500, Duration::from_millis(200))?;
    let _relay = RelaySim::new(&folder.join("relay"), |p| println!("the relay closes for {} ms", p.ms))?;
    let _printer =
        AnswerSim::printer(&folder.join("printer"), 9_600, |b| println!("{} bytes printed", b.len()))?;
    let _scale = ScaleSim::new(&folder.join("scale"), 2_300, Duration::from_millis(200))?;
    println!(
        "A GM65 scanner, a GY-MCU90614 thermometer, a Modbus relay, an ESC/POS printer and a scale are in {}. The \
         scanner reads a code each second. Ctrl-C ends it.",
        folder.display()
    );
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = tokio::time::sleep(EVERY) => scanner.say(format!("{code}\r").as_bytes())?,
        }
    }
}
