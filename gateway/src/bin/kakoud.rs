//! The daemon of a Kakou gateway.

use clap::Parser;
use kakou_gateway::cli::Daemon;
use kakou_gateway::config::remote::{self, ConfigVersion};
use kakou_gateway::config::{self, ConfigError};
use kakou_gateway::daemon::{self, Running};
use kakou_gateway::enrol::{self, Enrol};
use kakou_gateway::upstream::LinkState;
use kakou_gateway::{give_memory_back, http, notify, printed, start_pages};
use kakou_link::logging;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a start anew waits for visits that are under way. Every step of staff ends within this time, so
/// what is still running then has begun meanwhile; what the new profile cannot go on with ends with an event.
const RESTART_WAITS: Duration = Duration::from_secs(15 * 60);
/// So long after the lanes are open, code that only the start needed is given back.
const START_IS_OVER: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    give_memory_back();
    let arguments = Daemon::parse();
    logging::start(log::LevelFilter::Info);
    // Where the kernel gives huge pages unasked, a small daemon takes up twice the memory.
    if let Err(e) = rustix::thread::disable_transparent_huge_pages(true) {
        log::debug!("huge pages stay as the kernel has them: {e}");
    }
    if let Some(empty) = enrol::wanted(&arguments.config) {
        return enrolled(&empty, arguments.check);
    }
    if arguments.check {
        let filled_in =
            |settings: config::Settings| config::placeholder::filled_in(&settings).map(|()| settings);
        return match config::load(&arguments.config).and_then(filled_in) {
            Ok(settings) => {
                printed::out(format_args!("{}: in order\n", arguments.config.display()));
                if let Some(why) = http::nobody_signs_in(&settings) {
                    printed::out(format_args!("{}: {why}\n", arguments.config.display()));
                }
                ExitCode::SUCCESS
            }
            Err(e) => unusable(&e),
        };
    }
    on_threads(run(&arguments.config))
}

/// What is wrong in a configuration stays wrong, and is said once; a disk that does not read is tried again.
fn unusable(e: &ConfigError) -> ExitCode {
    use ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    printed::err(format_args!("{e}\n"));
    let stays = match e {
        ConfigError::Read(_, e) => {
            matches!(e.kind(), NotFound | PermissionDenied | InvalidData | IsADirectory | NotADirectory)
        }
        ConfigError::Wrong { .. } | ConfigError::Profile(_) => true,
    };
    ExitCode::from(if stays { 78 } else { 74 })
}

/// A thread that looked something up and has had nothing to do for so long ends: each keeps memory of its own.
const THREAD_RESTS: Duration = Duration::from_secs(2);

fn on_threads(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_keep_alive(THREAD_RESTS)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(work),
        Err(e) => {
            printed::err(format_args!("no threads to run on: {e}\n"));
            ExitCode::from(71)
        }
    }
}

/// A box that gets its configuration by enrolment: waits for it, then runs with it.
fn enrolled(empty: &Enrol, check: bool) -> ExitCode {
    let file = enrol::configuration(&empty.data);
    if check {
        printed::out(format_args!(
            "{}\n",
            if file.exists() { "enrolled" } else { "not enrolled: it waits for a code" }
        ));
        return ExitCode::SUCCESS;
    }
    on_threads(async {
        if !file.exists() {
            let cancel = CancellationToken::new();
            let end = cancel.clone();
            tokio::spawn(async move {
                if let (Ok(mut term), Ok(mut int)) =
                    (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
                {
                    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
                    end.cancel();
                }
            });
            notify::tell(&[notify::READY, "STATUS=waits for its enrolment code"]);
            let alive = tokio::spawn(async {
                loop {
                    notify::tell(&[notify::WATCHDOG]);
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
            });
            let done = enrol::wait(empty, &cancel).await;
            alive.abort();
            match done {
                Ok(true) => {}
                Ok(false) => return ExitCode::SUCCESS,
                Err(e) => {
                    log::error!("{}: {e}", empty.data.display());
                    return ExitCode::from(74);
                }
            }
        }
        run(&file).await
    })
}

/// Runs until told to end; starts anew, in the same process, when the central side wants it so.
async fn run(file: &Path) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut term), Ok(mut int)) = signals else { return ExitCode::from(71) };
    loop {
        let (settings, version) = match remote::choose(file) {
            Ok(chosen) => chosen,
            Err(e) => return unusable(&e),
        };
        let data = settings.data.clone();
        let screens = settings.http.as_ref().map(|http| http.listen.ip());
        let linked = settings.upstream.is_some() && !remote::is_unlinked(&data);
        let (restart, mut restarted) = mpsc::channel(1);
        let extras = daemon::Extras { restart: Some(restart), ..daemon::Extras::default() };
        let running = match daemon::start(settings, extras).await {
            Ok(running) => running,
            Err(e) if matches!(version, ConfigVersion::Trial(_)) => {
                log::error!("{e}");
                continue;
            }
            Err(e) => {
                printed::err(format_args!("{e}\n"));
                return ExitCode::from(74);
            }
        };
        match running.address {
            Some(address) => log::info!("lanes are open; screens at {address}"),
            None => log::info!("lanes are open; no screens are configured"),
        }
        notify::tell(&[notify::READY, "STATUS=lanes are open"]);
        tokio::spawn(async {
            tokio::time::sleep(START_IS_OVER).await;
            match start_pages::give_back() {
                Ok(bytes) => log::debug!("{bytes} bytes of code are mapped when they are run"),
                Err(e) => log::warn!("the code that only a start needs stays mapped: {e}"),
            }
        });
        let failed = running.failed.clone();
        let mut trial = pin!(prove(version, data, running.link.clone(), (linked, screens)));
        let mut tried = false;
        let mut wanted: Option<Instant> = None;
        let again = loop {
            let until = wanted.map(|since| since + RESTART_WAITS);
            let mut rested = false;
            tokio::select! {
                _ = term.recv() => break false,
                _ = int.recv() => break false,
                () = rest(&running, until), if until.is_some() => rested = true,
                Some(()) = restarted.recv() => {}
                () = &mut trial, if !tried => tried = true,
                () = failed.cancelled() => {
                    log::error!("the engine has ended; the daemon ends with it");
                    return ExitCode::from(70);
                }
            }
            // It is chosen when nobody offers another version any more.
            match remote::could_start(file) {
                Ok(()) if rested => break true,
                Ok(()) => {
                    wanted.get_or_insert_with(Instant::now);
                    log::info!("the daemon starts anew when no visit is under way");
                    notify::tell(&["STATUS=starts anew when no visit is under way"]);
                }
                Err(e) => {
                    wanted = None;
                    log::error!("{e}; the lanes go on with what they have");
                }
            }
        };
        notify::tell(&[if again { "STATUS=starts anew" } else { notify::STOPPING }]);
        running.stop().await;
        if !again {
            return ExitCode::SUCCESS;
        }
        log::warn!("the daemon starts anew");
    }
}

/// Waits until no visit is under way, and no longer than allowed.
async fn rest(running: &Running, until: Option<Instant>) {
    let until = until.unwrap_or_else(Instant::now);
    if tokio::time::timeout_at(until, running.lanes_rest()).await.is_err() {
        log::warn!("visits are still under way; the daemon starts anew all the same");
    }
}

/// Keeps a version on trial when its link comes up; ends if it does not, and never otherwise.
async fn prove(
    version: ConfigVersion,
    data: PathBuf,
    mut link: watch::Receiver<LinkState>,
    (linked, screens): (bool, Option<IpAddr>),
) {
    if let ConfigVersion::Trial(version) = version {
        let up = async { !linked || link.wait_for(|l| l.online).await.is_ok() };
        if !tokio::time::timeout(remote::TRIAL, up).await.unwrap_or(false) {
            return log::error!("the link did not come up with configuration version {version}");
        }
        // An address that the machine does not have yet would do for a start, not for a version to be kept.
        if let Some(Err(e)) = screens.map(|ip| TcpListener::bind((ip, 0))) {
            return log::error!("the screens of configuration version {version} cannot be reached: {e}");
        }
        if let Err(e) = remote::confirm(&data, version) {
            log::error!("configuration version {version} cannot be kept: {e}");
        }
    }
    std::future::pending().await
}
