//! The daemon of a Kakou gateway.

use clap::Parser;
use kakou_gateway::{config, daemon, logging};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the lanes of one checkpoint gateway until SIGTERM or SIGINT.
#[derive(Parser)]
#[command(
    version,
    after_help = "Try `kakou demo` for a gateway with simulated devices, `kakou status` to look at this one."
)]
struct Arguments {
    /// The configuration, TOML.
    #[arg(long, value_name = "FILE", default_value = "/etc/kakou/kakou.toml")]
    config: PathBuf,
    /// Reads the configuration, says what is wrong with it, and ends.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(log::LevelFilter::Info);
    let settings = match config::load(&arguments.config) {
        Ok(settings) => settings,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(78);
        }
    };
    if arguments.check {
        println!("{}: in order", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(8)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(settings)),
        Err(e) => {
            eprintln!("no threads to run on: {e}");
            ExitCode::from(71)
        }
    }
}

async fn run(settings: config::Settings) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut term), Ok(mut int)) = signals else { return ExitCode::from(71) };
    let running = match daemon::start(settings, daemon::Extras::default()).await {
        Ok(running) => running,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::from(74);
        }
    };
    match running.address {
        Some(address) => log::info!("lanes are open; screens at {address}"),
        None => log::info!("lanes are open; no screens are configured"),
    }
    let failed = running.failed.clone();
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        () = failed.cancelled() => {
            log::error!("the engine has ended; the daemon ends with it");
            return ExitCode::from(70);
        }
    }
    running.stop().await;
    ExitCode::SUCCESS
}
