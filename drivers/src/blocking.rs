//! Devices behind blocking interfaces: cameras, I2C, GPIO, input devices, sysfs files. Each has a thread of its own.
//!
//! The thread opens its device, calls it in turns, and opens it again when it is gone, with pauses from
//! [`RETRY_MIN`] to [`RETRY_MAX`]. A panic in a call (in a library crate, say) is caught and counts as a fault of that
//! device alone.

use crate::health::{Monitor, State};
use crate::hotplug::HotplugSignal;
use crate::retry::{RETRY_MAX, RETRY_MIN};
use crate::{DeviceCommand, Gateway, TOO_LATE};
use kakou_core::ids::DeviceId;
use kakou_core::reading::{Command, NoData, Report, Ticket};
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Requests that wait for the device; more are refused at once.
const WAITING: usize = 8;
/// The niceness of a thread that computes much: on Linux a thread has one of its own.
const NICE: i32 = 10;
/// What is said of a panic.
const FAILED: &str = "its driver failed; it is started anew";
/// A device that hangs in the kernel does not keep the gateway from ending for longer than this.
const END: Duration = Duration::from_secs(3);
/// A device that is away is looked for at least this often between two plugs.
const LOOK: Duration = Duration::from_millis(100);

/// Why a device does not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceError {
    /// It is not there.
    Absent(String),
    /// It is there and does not work.
    Fault(String),
    /// It did not answer in time.
    Timeout,
}

/// A device that blocks.
pub trait Blocking: Send {
    /// Opens it and says what was found.
    fn open(&mut self) -> Result<String, DeviceError>;
    /// How long to wait for a request before the next turn.
    fn pace(&self) -> Duration;
    /// Whether it computes so much that it must stand back behind verdicts.
    fn heavy(&self) -> bool {
        false
    }
    /// Takes up a request, and goes on with what it does.
    fn turn(&mut self, device_command: Option<DeviceCommand>, hands: &DeviceLink) -> Result<(), DeviceError>;
    /// Lets go of it. The requests that are left without an answer.
    fn close(&mut self) -> Vec<Ticket>;
}

/// What a device reaches the gateway with.
pub struct DeviceLink {
    device: DeviceId,
    gateway: Arc<dyn Gateway>,
    /// Its health.
    pub monitor: Monitor,
}

impl DeviceLink {
    /// Of a device.
    pub fn new(device: DeviceId, gateway: Arc<dyn Gateway>, monitor: Monitor) -> Self {
        Self { device, gateway, monitor }
    }
    /// Tells the lane.
    pub fn report(&self, report: Report) {
        if !self.gateway.report(&self.device, report, Instant::now()) {
            self.monitor.error("the gateway is too busy: a report was dropped");
        }
    }
    /// A request has no answer.
    pub fn no_data(&self, ticket: Ticket, why: NoData) {
        self.report(Report::NoData { ticket, why });
    }
    /// Takes up a request to a thermometer: who measures, from now on.
    pub fn measuring(&self, device_command: Option<DeviceCommand>, who: &mut Option<Ticket>) {
        let Some(DeviceCommand { ticket, command, .. }) = device_command else { return };
        match command {
            Command::Measure => *who = Some(ticket),
            Command::Stop => *who = None,
            Command::Pulse { .. }
            | Command::Capture { .. }
            | Command::Print { .. }
            | Command::Read { .. }
            | Command::Signal { .. } => self.no_data(ticket, NoData::Fault),
        }
    }
    /// A pulse was given to its relay so long after what led to it.
    pub fn pulsed(&self, since: Instant) {
        self.gateway.pulsed(since.elapsed());
    }
    /// The device, for logs.
    pub fn device(&self) -> &str {
        self.device.as_str()
    }
    fn gone(&self, trouble: &DeviceError) {
        let (state, why) = match trouble {
            DeviceError::Absent(why) => (State::Absent, why.as_str()),
            DeviceError::Fault(why) => (State::Fault, why.as_str()),
            DeviceError::Timeout => (State::Fault, "no answer"),
        };
        if self.monitor.state(state, why) {
            log::warn!(device = self.device.as_str(); "device does not work: {why}");
            self.monitor.error(why);
        }
    }
}

/// Runs until cancelled: hands requests to the device's thread.
pub async fn run(
    work: Box<dyn Blocking>,
    hands: DeviceLink,
    mut commands: mpsc::Receiver<DeviceCommand>,
    bell: HotplugSignal,
    cancel: CancellationToken,
) {
    let (device_commands, inbox) = sync_channel::<DeviceCommand>(WAITING);
    let (device, gateway) = (hands.device.clone(), hands.gateway.clone());
    let name = format!("dev-{device}");
    let thread = std::thread::Builder::new().name(name).spawn(move || live(work, &hands, &inbox, &bell));
    let thread = match thread {
        Ok(thread) => thread,
        Err(e) => {
            log::error!(device = device.as_str(); "no thread for the device: {e}");
            return;
        }
    };
    loop {
        tokio::select! {
            () = cancel.cancelled() => break,
            device_command = commands.recv() => {
                let Some(device_command) = device_command else { break };
                let (ticket, since) = (device_command.ticket, device_command.since);
                if device_commands.try_send(device_command).is_err() {
                    gateway.report(&device, Report::NoData { ticket, why: NoData::Timeout }, since);
                }
            }
        }
    }
    drop(device_commands);
    let until = Instant::now() + END;
    while !thread.is_finished() {
        if Instant::now() >= until {
            log::warn!(device = device.as_str(); "the device hangs; its thread is left behind");
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
    drop(thread.join());
}

fn guarded<T>(call: impl FnOnce() -> Result<T, DeviceError>) -> Result<T, DeviceError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(DeviceError::Fault(FAILED.into())))
}

/// The thread.
fn live(
    mut work: Box<dyn Blocking>,
    hands: &DeviceLink,
    inbox: &Receiver<DeviceCommand>,
    bell: &HotplugSignal,
) {
    let mut retry = RETRY_MIN;
    if work.heavy()
        && let Err(e) = setpriority_process(Some(gettid()), NICE)
    {
        log::warn!(device = hands.device(); "its thread keeps its priority: {e}");
    }
    loop {
        match guarded(|| work.open()) {
            Ok(about) => {
                hands.monitor.firmware(&about);
                hands.monitor.state(State::Ready, "");
                hands.report(Report::Link { ready: true });
                let begun = Instant::now();
                let ended = serve(work.as_mut(), hands, inbox);
                let left = guarded(|| Ok(work.close())).unwrap_or_default();
                let Err(trouble) = ended else { return };
                let why = match trouble {
                    DeviceError::Absent(_) => NoData::NotPresent,
                    DeviceError::Fault(_) => NoData::Fault,
                    DeviceError::Timeout => NoData::Timeout,
                };
                left.into_iter().for_each(|ticket| hands.no_data(ticket, why));
                hands.gone(&trouble);
                hands.report(Report::Link { ready: false });
                if begun.elapsed() > RETRY_MAX {
                    retry = RETRY_MIN;
                }
            }
            Err(trouble) => hands.gone(&trouble),
        }
        // Whoever asks while it is away is told so at once.
        let (until, rung) = (Instant::now() + retry, bell.rung());
        retry = (retry * 2).min(RETRY_MAX);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match inbox.recv_timeout(left.min(LOOK)) {
                Ok(DeviceCommand { command: Command::Stop, .. }) => {}
                Ok(device_command) => hands.no_data(device_command.ticket, NoData::NotPresent),
                Err(RecvTimeoutError::Timeout) if bell.rung() != rung => {
                    // The kernel's word comes before udev has set the owner: what fails now is tried again soon.
                    retry = RETRY_MIN;
                    break;
                }
                Err(RecvTimeoutError::Timeout) if left.is_zero() => break,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Gives turns until the device is gone (an error) or nobody wants it any more.
fn serve(
    work: &mut dyn Blocking,
    hands: &DeviceLink,
    inbox: &Receiver<DeviceCommand>,
) -> Result<(), DeviceError> {
    loop {
        let device_command = match inbox.recv_timeout(work.pace()) {
            Ok(device_command) if device_command.is_late() => {
                hands.monitor.error(TOO_LATE);
                hands.no_data(device_command.ticket, NoData::Timeout);
                None
            }
            Ok(device_command) => Some(device_command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let ticket = device_command.as_ref().map(|e| e.ticket);
        let done = catch_unwind(AssertUnwindSafe(|| work.turn(device_command, hands)));
        match done {
            Ok(done) => done?,
            Err(_) => {
                ticket.into_iter().for_each(|ticket| hands.no_data(ticket, NoData::Fault));
                return Err(DeviceError::Fault(FAILED.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::codes::Outcome;
    use std::sync::Mutex;

    /// Keeps what it is given.
    struct Collector(Arc<Mutex<Vec<Ticket>>>);

    impl Blocking for Collector {
        fn open(&mut self) -> Result<String, DeviceError> {
            Ok(String::new())
        }
        fn pace(&self) -> Duration {
            Duration::ZERO
        }
        fn turn(&mut self, device_command: Option<DeviceCommand>, _: &DeviceLink) -> Result<(), DeviceError> {
            self.0.lock().unwrap().extend(device_command.map(|e| e.ticket));
            Ok(())
        }
        fn close(&mut self) -> Vec<Ticket> {
            Vec::new()
        }
    }

    impl Gateway for Mutex<Vec<Report>> {
        fn report(&self, _: &DeviceId, report: Report, _: Instant) -> bool {
            self.lock().unwrap().push(report);
            true
        }
        fn pulsed(&self, _: Duration) {}
    }

    #[test]
    fn what_opens_prints_or_shows_green_is_not_done_when_its_device_took_long_to_open() {
        let (device_commands, inbox) = sync_channel(WAITING);
        let device = DeviceId::new("barrier").unwrap();
        let late = Instant::now().checked_sub(Duration::from_millis(crate::HELD_MS + 1)).unwrap();
        let green = Command::Signal { outcome: Outcome::Admit, ms: 8_000 };
        let red = Command::Signal { outcome: Outcome::Deny, ms: 8_000 };
        let asked = [
            (Command::Pulse { ms: 700 }, late),
            (Command::Print { lines: Vec::new() }, late),
            (green.clone(), late),
            (red, late),
            (Command::Read { on: false }, late),
            (Command::Pulse { ms: 700 }, Instant::now()),
            (green, Instant::now()),
        ];
        for (ticket, (command, sent)) in (1..).map(Ticket).zip(asked) {
            device_commands
                .send(DeviceCommand { device: device.clone(), ticket, command, since: sent, sent })
                .unwrap();
        }
        drop(device_commands);
        let (told, kept) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let hands = DeviceLink::new(device, told.clone(), Monitor::new().0);
        serve(&mut Collector(kept.clone()), &hands, &inbox).unwrap();
        assert_eq!(*kept.lock().unwrap(), [4, 5, 6, 7].map(Ticket));
        let not_done = [1, 2, 3].map(|n| Report::NoData { ticket: Ticket(n), why: NoData::Timeout });
        assert_eq!(*told.lock().unwrap(), not_done);
    }
}
