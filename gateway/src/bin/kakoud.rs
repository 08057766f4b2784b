//! The daemon of a Kakou gateway.

use clap::Parser;
use kakou_gateway::config::remote::{self, Edition};
use kakou_gateway::upstream::LinkState;
use kakou_gateway::{config, daemon, logging};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

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
    if let Err(e) = config::load(&arguments.config) {
        eprintln!("{e}");
        return ExitCode::from(78);
    }
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
        Ok(runtime) => runtime.block_on(run(&arguments.config)),
        Err(e) => {
            eprintln!("no threads to run on: {e}");
            ExitCode::from(71)
        }
    }
}

/// Runs until told to end; starts anew, in the same process, when the central side wants it so.
async fn run(file: &Path) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut term), Ok(mut int)) = signals else { return ExitCode::from(71) };
    loop {
        let (settings, edition) = match remote::choose(file) {
            Ok(chosen) => chosen,
            Err(e) => {
                eprintln!("{e}");
                return ExitCode::from(78);
            }
        };
        let (data, linked) = (settings.data.clone(), settings.upstream.is_some());
        let (restart, mut restarted) = mpsc::channel(1);
        let extras = daemon::Extras { restart: Some(restart), ..daemon::Extras::default() };
        let running = match daemon::start(settings, extras).await {
            Ok(running) => running,
            Err(e) if matches!(edition, Edition::Trial(_)) => {
                log::error!("{e}");
                continue;
            }
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
        let link = running.link.clone();
        let trial = prove(edition, data, link, linked);
        let again = tokio::select! {
            _ = term.recv() => false,
            _ = int.recv() => false,
            Some(()) = restarted.recv() => true,
            () = trial => true,
            () = failed.cancelled() => {
                log::error!("the engine has ended; the daemon ends with it");
                return ExitCode::from(70);
            }
        };
        running.stop().await;
        if !again {
            return ExitCode::SUCCESS;
        }
        log::warn!("the daemon starts anew");
    }
}

/// Keeps an edition on trial when its link comes up; ends if it does not, and never otherwise.
async fn prove(edition: Edition, data: PathBuf, mut link: watch::Receiver<LinkState>, linked: bool) {
    if let Edition::Trial(version) = edition {
        let up = async { !linked || link.wait_for(|l| l.online).await.is_ok() };
        if !tokio::time::timeout(remote::TRIAL, up).await.unwrap_or(false) {
            return log::error!("the link did not come up with configuration version {version}");
        }
        if let Err(e) = remote::confirm(&data, version) {
            log::error!("configuration version {version} cannot be kept: {e}");
        }
    }
    std::future::pending().await
}
