//! The task that owns one serial port: opens it, feeds its codec, opens it again when it is gone.
//!
//! A read of 0 bytes, EIO, ENXIO and ENODEV all mean that the device is gone. Re-opening backs off
//! from [`RETRY_MIN`] to [`RETRY_MAX`]. A port behind which another device appears is not used.

use crate::codec::{Codec, Ms, Out};
use crate::health::{Monitor, State};
use crate::registry::Options;
use crate::{Errand, Gateway};
use kakou_core::ids::DeviceId;
use kakou_core::reading::{Command, NoData, Report};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_serial::{ClearBuffer, SerialPort, SerialPortBuilderExt, SerialStream};
use tokio_util::sync::CancellationToken;

/// The first pause before a port is opened again.
pub const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest.
pub const RETRY_MAX: Duration = Duration::from_secs(3);
/// A write that takes longer means a port that is stuck.
const WRITE_LIMIT: Duration = Duration::from_secs(2);
/// Bytes per read.
const CHUNK: usize = 4096;

/// What one port needs.
pub struct Port {
    /// The device.
    pub device: DeviceId,
    /// Its settings.
    pub options: Options,
    /// Its protocol.
    pub codec: Box<dyn Codec>,
    /// Commands from the lanes.
    pub commands: mpsc::Receiver<Errand>,
    /// Where reports go.
    pub gateway: Arc<dyn Gateway>,
    /// Its health.
    pub monitor: Monitor,
}

enum End {
    Stop,
    Gone(String),
}

/// Runs until cancelled.
pub async fn run(mut port: Port, cancel: CancellationToken) {
    let begun = Instant::now();
    let mut identity: Option<String> = None;
    let mut retry = RETRY_MIN;
    loop {
        match open(&port.options, &mut identity) {
            Ok(stream) => {
                retry = RETRY_MIN;
                port.monitor.state(State::Ready, "");
                match serve(&mut port, stream, begun, &cancel).await {
                    End::Stop => return,
                    End::Gone(why) => {
                        log::warn!(device = port.device.as_str(); "device gone: {why}");
                        port.monitor.error(&why);
                        port.monitor.state(State::Absent, why);
                        if let Some(ticket) = port.codec.lost() {
                            report(&port, Report::NoData { ticket, why: NoData::NotPresent }, Instant::now());
                        }
                        report(&port, Report::Link { ready: false }, Instant::now());
                    }
                }
            }
            Err((state, why)) => port.monitor.state(state, why),
        }
        // Whoever asks while the device is away is told so at once.
        let until = Instant::now() + retry;
        retry = (retry * 2).min(RETRY_MAX);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep_until(until) => break,
                command = port.commands.recv() => match command {
                    None => return,
                    Some(Errand { command: Command::Stop, .. }) => {}
                    Some(Errand { ticket, since, .. }) => {
                        report(&port, Report::NoData { ticket, why: NoData::NotPresent }, since.into());
                    }
                },
            }
        }
    }
}

fn report(port: &Port, report: Report, arrived: Instant) {
    if !port.gateway.report(&port.device, report, arrived.into_std()) {
        port.monitor.error("the gateway is too busy: a report was dropped");
    }
}

fn open(options: &Options, identity: &mut Option<String>) -> Result<SerialStream, (State, String)> {
    let path = options.path.to_string_lossy();
    let stream = tokio_serial::new(path, options.baud)
        .open_native_async()
        .map_err(|e| (State::Absent, format!("cannot be opened: {e}")))?;
    let found = usb_identity(&options.path);
    if let (Some(wanted), Some(found)) = (&options.usb, &found)
        && !found.starts_with(wanted.as_str())
    {
        return Err((State::Fault, format!("another device is at this port: {found}, expected {wanted}")));
    }
    match (&*identity, found) {
        (Some(before), Some(now)) if *before != now => {
            Err((State::Fault, format!("another device is at this port: {now}, before {before}")))
        }
        (_, found) => {
            *identity = found.or(identity.take());
            Ok(stream)
        }
    }
}

/// `vid:pid:serial` of the USB device behind a tty, from sysfs; nothing for other ports.
fn usb_identity(path: &Path) -> Option<String> {
    let real = std::fs::canonicalize(path).ok()?;
    let name = real.file_name()?.to_str()?;
    let mut dir = std::fs::canonicalize(format!("/sys/class/tty/{name}/device")).ok()?;
    for _ in 0..4 {
        let read = |file: &str| std::fs::read_to_string(dir.join(file)).ok().map(|s| s.trim().to_owned());
        if let (Some(vid), Some(pid)) = (read("idVendor"), read("idProduct")) {
            return Some(format!("{vid}:{pid}:{}", read("serial").unwrap_or_default()));
        }
        dir = dir.parent()?.to_path_buf();
    }
    None
}

async fn serve(port: &mut Port, mut stream: SerialStream, begun: Instant, cancel: &CancellationToken) -> End {
    let now = || Ms::try_from(begun.elapsed().as_millis()).unwrap_or(Ms::MAX);
    let mut chunk = vec![0; CHUNK];
    let mut out = Vec::new();
    port.codec.opened(now(), &mut out);
    // When that arrived which `out` follows from, and whether it is to open the barrier.
    let (mut arrived, mut pulse) = (Instant::now(), false);
    loop {
        if let Err(why) = carry_out(port, &mut stream, &mut out, arrived, pulse).await {
            return End::Gone(why);
        }
        pulse = false;
        let deadline = port.codec.deadline().map(|ms| begun + Duration::from_millis(ms));
        tokio::select! {
            biased;
            () = cancel.cancelled() => return End::Stop,
            read = stream.read(&mut chunk) => match read {
                Ok(0) => return End::Gone("hung up".into()),
                Ok(n) => {
                    arrived = Instant::now();
                    port.codec.bytes(now(), &chunk[..n], &mut out);
                }
                Err(e) => return End::Gone(e.to_string()),
            },
            command = port.commands.recv() => match command {
                None => return End::Stop,
                Some(Errand { ticket, command, since }) => {
                    (arrived, pulse) = (since.into(), matches!(command, Command::Pulse { .. }));
                    port.codec.command(now(), ticket, &command, &mut out);
                }
            },
            () = tokio::time::sleep_until(deadline.unwrap_or(begun)), if deadline.is_some() => {
                arrived = Instant::now();
                port.codec.wake(now(), &mut out);
            }
        }
    }
}

async fn carry_out(
    port: &Port,
    stream: &mut SerialStream,
    out: &mut Vec<Out>,
    arrived: Instant,
    pulse: bool,
) -> Result<(), String> {
    for what in out.drain(..) {
        match what {
            Out::Report(Report::Link { ready }) => {
                port.monitor.state(
                    if ready { State::Ready } else { State::Fault },
                    if ready { "" } else { "no answer" },
                );
                report(port, Report::Link { ready }, arrived);
            }
            Out::Report(r) => report(port, r, arrived),
            Out::Flush => stream.clear(ClearBuffer::Input).map_err(|e| e.to_string())?,
            Out::Write(bytes) => match tokio::time::timeout(WRITE_LIMIT, stream.write_all(&bytes)).await {
                Ok(done) => {
                    done.map_err(|e| e.to_string())?;
                    if pulse {
                        port.gateway.pulsed(arrived.elapsed());
                    }
                }
                Err(_) => return Err("a write did not end".into()),
            },
            Out::Error(what) => port.monitor.error(what),
            Out::Seen => port.monitor.seen(),
        }
    }
    Ok(())
}
