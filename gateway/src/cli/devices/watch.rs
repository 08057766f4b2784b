//! One device, live.

use super::super::{fail, runtime};
use crate::config::DeviceEntry;
use crate::devices::{self, Surroundings};
use kakou_core::ids::DeviceId;
use kakou_core::pass::{self, Check, trust::TrustList};
use kakou_core::profile::DeviceKind;
use kakou_core::reading::{Command, Report, Ticket};
use kakou_drivers::options::Options;
use kakou_drivers::scan_text::{self, Before};
use kakou_drivers::{DeviceCommand, Gateway, SavePhoto, registry};
use kakou_link::shown::lines;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The arguments.
#[derive(clap::Args)]
pub struct Arguments {
    /// The port, camera or chip.
    port: PathBuf,
    /// Its driver; `kakou devices drivers` lists them.
    #[arg(long, default_value = "line-scanner")]
    driver: String,
    /// Speed of a serial port.
    #[arg(long, default_value_t = 9600)]
    baud: u32,
    /// What the card says that you hold before it: whatever else comes is then the reader's own.
    #[arg(long, value_name = "TEXT")]
    card: Option<String>,
    /// Ends after this time; without it, with Ctrl-C.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
}

/// Prints what comes.
struct Printer {
    begun: Instant,
    card: Option<String>,
}

impl Gateway for Printer {
    fn report(&self, _: &DeviceId, report: Report, _: Instant) -> bool {
        let text = lines(&shown(&report, self.card.as_deref()));
        println!("{:8.3} s  {text}", self.begun.elapsed().as_secs_f64());
        true
    }
    fn pulsed(&self, _: Duration) {}
}

/// A report for people. Whoever holds a code before the scanner sees what is in it: this is their own screen.
pub fn shown(report: &Report, card: Option<&str>) -> String {
    match report {
        Report::Scan { bytes } => {
            let text = String::from_utf8_lossy(bytes);
            let hint = hint(bytes, card).map_or_else(String::new, |h| format!("\n            {h}"));
            format!(
                "code of {} bytes: {}\n            {}{hint}",
                bytes.len(),
                text.escape_debug(),
                code(bytes)
            )
        }
        Report::Temperature { frame, .. } => {
            let celsius = |mdeg: i32| f64::from(mdeg) / 1_000.0;
            let ambient =
                frame.ambient_mdeg.map_or_else(String::new, |a| format!(", around {:.2} °C", celsius(a)));
            let grade = if frame.body_grade { "" } else { ", not body-grade: it can only refer" };
            format!("{:.2} °C{ambient}{grade}", celsius(frame.object_mdeg))
        }
        Report::Photo { photo, .. } => format!(
            "picture {}x{}, {} bytes, sharpness {}, brightness {}",
            photo.width, photo.height, photo.bytes, photo.sharpness, photo.luma
        ),
        Report::Done { .. } => "done".into(),
        Report::NoData { why, .. } => format!("no data: {why:?}"),
        Report::Input { active } => format!("input {}", if *active { "active" } else { "at rest" }),
        Report::Plate { text } => format!("plate {}", text.escape_debug()),
        Report::Weight { grams, .. } => format!("{grams} g, steady"),
        Report::Link { ready: true } => "the device is there".into(),
        Report::Link { ready: false } => "the device is gone or does not answer".into(),
    }
}

/// What is to be set for the reader, as far as this code proves it.
fn hint(code: &[u8], card: Option<&str>) -> Option<String> {
    if let Some(before) = scan_text::before(code, card.map(str::as_bytes)) {
        let what = match &before {
            Before::Aim => "an AIM identifier".into(),
            Before::Letter(letter) => format!("`{letter}`, its letter for the kind of code,"),
            Before::Text(text) => format!("`{text}`"),
        };
        let setting = before.setting();
        return Some(format!(
            "the reader puts {what} before the code: set `{setting}` in its port, or switch that off in the reader"
        ));
    }
    let card = card?;
    if code == card.as_bytes() {
        return Some("that is the card, and nothing around it: nothing is to be set".into());
    }
    Some(if code.starts_with(card.as_bytes()) {
        "the reader puts something behind the code: switch that off in the reader".into()
    } else {
        "that is not the card of `--card`".into()
    })
}

/// What kind of pass a code is. No key is known here: only its form is told.
fn code(bytes: &[u8]) -> String {
    let trust = TrustList::default();
    match pass::check(bytes, Check { trust: &trust, now_s: None, region: "" }) {
        Ok(pass) => format!("a pass: {}", pass.kind),
        Err(refused) => match refused.pass {
            Some(pass) => format!("a pass: {}; without keys its signature is not checked here", pass.kind),
            None => format!("{}: {}", refused.code.as_str(), refused.why),
        },
    }
}

/// Runs it.
pub fn run(a: &Arguments) -> ExitCode {
    let Some(driver) = registry::find(&a.driver) else {
        return fail(format!("`{}` is no driver; `kakou devices drivers` lists them", a.driver));
    };
    let kind = driver.kinds[0];
    let options = Options { baud: a.baud, read_codes: kind == DeviceKind::Camera, ..Options::at(&a.port) };
    if let Err(why) = driver.check(&options) {
        return fail(why);
    }
    kakou_link::logging::start(log::LevelFilter::Warn);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(e) => return fail(e),
    };
    let id = DeviceId::new("watched").expect("a good id");
    let entry = DeviceEntry { id: id.clone(), driver, options };
    let (waiting, commands, known) = devices::prepare(vec![entry]);
    let save: SavePhoto = Arc::new(|bytes| Ok(kakou_core::evidence::Hash::of(bytes).hex()));
    let cancel = CancellationToken::new();
    let gateway: Arc<dyn Gateway> = Arc::new(Printer { begun: Instant::now(), card: a.card.clone() });
    runtime.block_on(async {
        let with = Surroundings { gateway, save, cancel: cancel.clone() };
        let mut tasks = devices::start(waiting, &with, runtime.handle());
        let first = match kind {
            DeviceKind::Thermometer => Some(Command::Measure),
            DeviceKind::Camera => Some(Command::Capture { role: "look".into() }),
            DeviceKind::Scanner => Some(Command::Read { on: true }),
            DeviceKind::Relay
            | DeviceKind::Printer
            | DeviceKind::Input
            | DeviceKind::Signal
            | DeviceKind::Scale => None,
        };
        if let Some(command) = first {
            // It is opened first.
            tokio::time::sleep(Duration::from_millis(800)).await;
            let now = Instant::now();
            let device_command =
                DeviceCommand { device: id.clone(), ticket: Ticket(1), command, since: now, sent: now };
            drop(commands[&id].send(device_command).await);
        }
        let end = async {
            match a.seconds {
                Some(n) => tokio::time::sleep(Duration::from_secs(n)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = end => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        cancel.cancel();
        while tasks.join_next().await.is_some() {}
    });
    let health = known[0].health.borrow().clone();
    eprintln!(
        "{} {}: {} errors{}",
        a.port.display(),
        format!("{:?}", health.state).to_lowercase(),
        health.errors,
        if health.detail.is_empty() { String::new() } else { format!(", the latest: {}", health.detail) }
    );
    if health.last_seen.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
