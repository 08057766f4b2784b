//! The task that owns one serial port: opens it, feeds its codec, opens it again when it is gone.
//!
//! A read of 0 bytes, EIO, ENXIO and ENODEV all mean that the device is gone. Re-opening backs off
//! from [`RETRY_MIN`] to [`RETRY_MAX`], and is cut short when the kernel says that something was plugged in. A port
//! behind which another device appears is not used; the device itself is looked for under another number.

use crate::bus::Bus;
use crate::codec::{Ms, Out};
use crate::health::{Monitor, State};
use crate::hotplug::HotplugSignal;
use crate::options::Options;
use crate::ports::{Kernel, Usb};
use crate::record::{Direction, Recorder};
use crate::retry::{RETRY_MAX, RETRY_MIN};
use crate::{DeviceCommand, Gateway, TOO_LATE};
use kakou_core::ids::DeviceId;
use kakou_core::reading::{Command, NoData, Report};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_serial::{ClearBuffer, SerialPort, SerialPortBuilderExt, SerialStream};
use tokio_util::sync::CancellationToken;

/// A write that takes longer means a port that is stuck.
const WRITE_LIMIT: Duration = Duration::from_secs(2);
/// Bytes per read.
const CHUNK: usize = 4096;

/// A device on a port.
pub struct Member {
    /// The device.
    pub device: DeviceId,
    /// Its health.
    pub monitor: Monitor,
}

/// What one port needs.
pub struct Port {
    /// The settings of the port.
    pub options: Options,
    /// The devices on it; their codecs in the same order are in `bus`.
    pub members: Vec<Member>,
    /// Their protocols.
    pub bus: Bus,
    /// Commands from the lanes, for any of them.
    pub commands: mpsc::Receiver<DeviceCommand>,
    /// Where reports go.
    pub gateway: Arc<dyn Gateway>,
    /// Rings when something was plugged in.
    pub bell: HotplugSignal,
}

enum End {
    Stop,
    Gone(String),
}

/// Runs until cancelled.
pub async fn run(mut port: Port, cancel: CancellationToken) {
    let begun = Instant::now();
    let mut identity: Option<Usb> = None;
    let mut retry = RETRY_MIN;
    loop {
        match open_elsewhere(&port.options, &mut identity).await {
            Ok(stream) => {
                let opened = Instant::now();
                let about = identity.as_ref().map(|u| u.product.clone()).unwrap_or_default();
                for member in &port.members {
                    member.monitor.firmware(&about);
                    member.monitor.state(State::Ready, "");
                }
                match serve(&mut port, stream, begun, &cancel).await {
                    End::Stop => return,
                    End::Gone(why) => gone(&mut port, &why),
                }
                // One that opens and is gone at once is given more and more time.
                if opened.elapsed() > RETRY_MAX {
                    retry = RETRY_MIN;
                }
            }
            Err((state, why)) => {
                for member in &port.members {
                    if member.monitor.state(state, why.as_str()) {
                        log::warn!(device = member.device.as_str(); "device does not work: {why}");
                    }
                }
            }
        }
        // Whoever asks while the device is away is told so at once.
        let until = Instant::now() + retry;
        retry = (retry * 2).min(RETRY_MAX);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep_until(until) => break,
                () = port.bell.next() => {
                    // The kernel's word comes before udev has set the owner: what fails now is tried again soon.
                    retry = RETRY_MIN;
                    break;
                }
                command = port.commands.recv() => match command {
                    None => return,
                    Some(DeviceCommand { command: Command::Stop, .. }) => {}
                    Some(DeviceCommand { device, ticket, since, .. }) => {
                        if let Some(member) = port.members.iter().find(|m| m.device == device) {
                            let why = NoData::NotPresent;
                            report(&port, member, Report::NoData { ticket, why }, since.into());
                        }
                    }
                },
            }
        }
    }
}

/// The port is lost: everybody on it is told.
fn gone(port: &mut Port, why: &str) {
    let left = port.bus.lost();
    let now = Instant::now();
    for (who, ticket) in left {
        report(port, &port.members[who], Report::NoData { ticket, why: NoData::NotPresent }, now);
    }
    for member in &port.members {
        log::warn!(device = member.device.as_str(); "device gone: {why}");
        member.monitor.error(why);
        member.monitor.state(State::Absent, why);
        report(port, member, Report::Link { ready: false }, now);
    }
}

fn report(port: &Port, member: &Member, report: Report, arrived: Instant) {
    if !port.gateway.report(&member.device, report, arrived.into_std()) {
        member.monitor.error("the gateway is too busy: a report was dropped");
    }
}

/// A device that hangs can keep whoever opens it waiting: the engine shares its thread with nobody who waits.
async fn open_elsewhere(
    options: &Options,
    identity: &mut Option<Usb>,
) -> Result<SerialStream, (State, String)> {
    let (options, mut known) = (options.clone(), identity.clone());
    let task = tokio::task::spawn_blocking(move || (open(&options, &mut known), known));
    match task.await {
        Ok((opened, known)) => {
            *identity = known;
            opened
        }
        Err(e) => Err((State::Fault, format!("could not be opened: {e}"))),
    }
}

/// Opens the port, wherever its device is now.
fn open(options: &Options, identity: &mut Option<Usb>) -> Result<SerialStream, (State, String)> {
    let kernel = Kernel::default();
    let path = kernel.find(&options.path, options.usb.as_deref(), identity.as_ref()).map_err(|why| {
        let other = why.starts_with("another") || why.contains("ports have");
        (if other { State::Fault } else { State::Absent }, why)
    })?;
    let stream = tokio_serial::new(path.to_string_lossy(), options.baud)
        .open_native_async()
        .map_err(|e| (State::Absent, format!("{} cannot be opened: {e}", path.display())))?;
    // What is behind the port now that it is open: it may have been changed on the way.
    let found = kernel.behind(&path);
    if let (Some(wanted), Some(found)) = (&options.usb, &found)
        && !found.is(wanted)
    {
        return Err((State::Fault, format!("another device is at this port: {}", found.identity())));
    }
    *identity = found.or(identity.take());
    Ok(stream)
}

async fn serve(port: &mut Port, mut stream: SerialStream, begun: Instant, cancel: &CancellationToken) -> End {
    let now = || Ms::try_from(begun.elapsed().as_millis()).unwrap_or(Ms::MAX);
    let mut recorder = port.options.record.as_ref().and_then(|path| {
        Recorder::open(path).map_err(|e| log::error!("{}: cannot be recorded to: {e}", path.display())).ok()
    });
    let mut chunk = vec![0; CHUNK];
    let mut hand = Hand { out: Vec::new(), arrived: Instant::now(), pulse: false, asked: Vec::new() };
    hand.asked.resize(port.members.len(), None);
    port.bus.opened(now(), &mut hand.out);
    let end = loop {
        if let Err(why) = carry_out(port, &mut stream, &mut hand, &mut recorder, &now).await {
            break End::Gone(why);
        }
        hand.pulse = false;
        let deadline = port.bus.deadline().map(|ms| begun + Duration::from_millis(ms));
        tokio::select! {
            biased;
            () = cancel.cancelled() => break End::Stop,
            read = stream.read(&mut chunk) => match read {
                Ok(0) => break End::Gone("hung up".into()),
                Ok(n) => {
                    hand.arrived = Instant::now();
                    if let Some(r) = &mut recorder {
                        r.keep(now(), Direction::In, &chunk[..n]);
                    }
                    port.bus.bytes(now(), &chunk[..n], &mut hand.out);
                }
                Err(e) => break End::Gone(e.to_string()),
            },
            command = port.commands.recv() => match command {
                None => break End::Stop,
                Some(device_command) if device_command.is_late() => {
                    if let Some(member) = port.members.iter().find(|m| m.device == device_command.device) {
                        member.monitor.error(TOO_LATE);
                        let (ticket, why) = (device_command.ticket, NoData::Timeout);
                        report(port, member, Report::NoData { ticket, why }, device_command.since.into());
                    }
                }
                Some(DeviceCommand { device, ticket, command, since, .. }) => {
                    (hand.arrived, hand.pulse) = (since.into(), matches!(command, Command::Pulse { .. }));
                    if let Some(who) = port.members.iter().position(|m| m.device == device) {
                        port.bus.command(now(), who, ticket, &command, &mut hand.out);
                    }
                }
            },
            () = tokio::time::sleep_until(deadline.unwrap_or(begun)), if deadline.is_some() => {
                hand.arrived = Instant::now();
                port.bus.wake(now(), &mut hand.out);
            }
        }
    };
    // Closing waits for what was written and never went out; somebody else waits for it.
    drop(tokio::task::spawn_blocking(move || drop(stream)));
    end
}

/// What is to be done, and what it follows from.
struct Hand {
    out: Vec<(usize, Out)>,
    /// When that arrived which `out` follows from.
    arrived: Instant,
    /// Whether it is to open the barrier.
    pulse: bool,
    /// When each device was asked last, until it answers.
    asked: Vec<Option<Instant>>,
}

async fn carry_out(
    port: &Port,
    stream: &mut SerialStream,
    hand: &mut Hand,
    recorder: &mut Option<Recorder>,
    now: &impl Fn() -> Ms,
) -> Result<(), String> {
    for (who, what) in hand.out.drain(..) {
        let member = &port.members[who];
        match what {
            Out::Report(Report::Link { ready }) => {
                member.monitor.state(
                    if ready { State::Ready } else { State::Fault },
                    if ready { "" } else { "no answer" },
                );
                report(port, member, Report::Link { ready }, hand.arrived);
            }
            Out::Report(r) => report(port, member, r, hand.arrived),
            Out::Flush => stream.clear(ClearBuffer::Input).map_err(|e| e.to_string())?,
            Out::Write(bytes) => {
                if let Some(r) = recorder {
                    r.keep(now(), Direction::Out, &bytes);
                }
                match tokio::time::timeout(WRITE_LIMIT, stream.write_all(&bytes)).await {
                    Ok(done) => done.map_err(|e| e.to_string())?,
                    Err(_) => return Err("a write did not end".into()),
                }
                hand.asked[who] = Some(Instant::now());
                if hand.pulse {
                    port.gateway.pulsed(hand.arrived.elapsed());
                }
            }
            Out::Error(what) => member.monitor.error(what),
            Out::Firmware(what) => member.monitor.firmware(&what),
            Out::Seen => {
                member.monitor.seen();
                if let Some(asked) = hand.asked[who].take() {
                    member.monitor.answered(asked.elapsed());
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus_relay::{Dialect, ModbusRelay};
    use crate::sim::relay::RelaySim;
    use kakou_core::reading::Ticket;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Hands reports to whoever waits for them.
    struct Reports(mpsc::UnboundedSender<Report>);

    impl Gateway for Reports {
        fn report(&self, _: &DeviceId, report: Report, _: std::time::Instant) -> bool {
            self.0.send(report).is_ok()
        }
        fn pulsed(&self, _: Duration) {}
    }

    #[test]
    fn a_pulse_that_waited_while_its_port_was_opened_is_not_sent() {
        let folder = std::env::temp_dir().join(format!("kakou-late-pulse-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let pulses = Arc::new(AtomicUsize::new(0));
        let count = pulses.clone();
        let board = RelaySim::new(&folder.join("relay"), move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .unwrap();
        let device = DeviceId::new("barrier").unwrap();
        let (commands, inbox) = mpsc::channel(8);
        let (told, mut reports) = mpsc::unbounded_channel();
        let (_ringer, bell) = crate::hotplug::Ringer::new();
        let options = serde_json::json!({ "path": board.path() });
        let port = Port {
            options: serde_json::from_value(options).unwrap(),
            members: vec![Member { device: device.clone(), monitor: Monitor::new().0 }],
            bus: Bus::new(vec![Box::new(ModbusRelay::new(Dialect::Waveshare, 1, 0))]),
            commands: inbox,
            gateway: Arc::new(Reports(told)),
            bell,
        };
        let asked = |ticket, ago_ms| {
            let now = std::time::Instant::now();
            let sent = now.checked_sub(Duration::from_millis(ago_ms)).unwrap();
            let (device, command) = (device.clone(), Command::Pulse { ms: 700 });
            DeviceCommand { device, ticket: Ticket(ticket), command, since: sent, sent }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cancel = CancellationToken::new();
            commands.send(asked(1, crate::HELD_MS + 1)).await.unwrap();
            let running = tokio::spawn(run(port, cancel.clone()));
            let mut answered = async |ticket| loop {
                let next = tokio::time::timeout(Duration::from_secs(20), reports.recv()).await;
                let report = next.expect("an answer in time").unwrap();
                if report == (Report::Done { ticket: Ticket(ticket) }) {
                    return Ok(());
                }
                if let Report::NoData { ticket: asked, why } = report
                    && asked == Ticket(ticket)
                {
                    return Err(why);
                }
            };
            assert_eq!(answered(1).await, Err(NoData::Timeout));
            commands.send(asked(2, 0)).await.unwrap();
            assert_eq!(answered(2).await, Ok(()), "the next one is carried out");
            assert_eq!(pulses.load(Ordering::SeqCst), 1);
            cancel.cancel();
            running.await.unwrap();
        });
        drop(board);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
