//! GPIO lines of the board: a relay, lamps and a buzzer, contacts. Character device of the kernel, version 2.
//!
//! A pulse of such a relay is timed here, not by a board: when the process ends in the middle of one, the kernel
//! lets go of the line, and most controllers leave it as it was. A barrier that must close by itself wants a
//! Modbus board. A line is wired so that "inactive" is closed.

use crate::DeviceCommand;
use crate::blocking::{Blocking, DeviceError, DeviceLink};
use gpiocdev::Request;
use gpiocdev::line::{Bias, EdgeDetection, Value};
use kakou_core::codes::Outcome;
use kakou_core::reading::{Command, NoData, Report, Ticket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often a line is looked at when nothing happens.
const LOOK: Duration = Duration::from_millis(20);
/// A contact must stay for so long.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// The longest pulse.
const MAX_PULSE: Duration = Duration::from_secs(60);
/// The buzzer sounds for so long, unless the verdict is ADMIT.
const BUZZ: Duration = Duration::from_millis(600);

/// What the lines are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// One line that opens a barrier.
    Relay,
    /// Lines for red, yellow, green and a buzzer, in this order.
    Signal,
    /// One contact.
    Input,
}

/// Lines of one chip.
pub struct Gpio {
    chip: PathBuf,
    lines: Vec<u32>,
    active_low: bool,
    purpose: Use,
    request: Option<Request>,
    /// When lines go back.
    back: Vec<(u32, Instant)>,
    active: Option<bool>,
}

fn trouble(e: &gpiocdev::Error) -> DeviceError {
    let text = e.to_string();
    let gone =
        matches!(e, gpiocdev::Error::Os(_) | gpiocdev::Error::GpioChip(..) | gpiocdev::Error::NoGpioChips());
    if gone { DeviceError::Absent(text) } else { DeviceError::Fault(text) }
}

impl Gpio {
    /// Of a chip, `/dev/gpiochipN`.
    pub fn new(chip: &Path, lines: &[u32], active_low: bool, purpose: Use) -> Self {
        Self {
            chip: chip.to_path_buf(),
            lines: lines.to_vec(),
            active_low,
            purpose,
            request: None,
            back: Vec::new(),
            active: None,
        }
    }

    fn set(&self, line: u32, on: bool) -> Result<(), DeviceError> {
        let Some(request) = &self.request else { return Err(DeviceError::Absent("not open".into())) };
        let value = if on { Value::Active } else { Value::Inactive };
        request.set_value(line, value).map(drop).map_err(|e| trouble(&e))
    }

    fn signal(&mut self, outcome: Outcome, ms: u64) -> Result<(), DeviceError> {
        self.back.clear();
        for line in self.lines.clone() {
            self.set(line, false)?;
        }
        let lamp = match outcome {
            Outcome::Deny => 0,
            Outcome::Refer | Outcome::Hold => 1,
            Outcome::Admit => 2,
        };
        let (now, shown) = (Instant::now(), Duration::from_millis(ms).min(MAX_PULSE));
        let buzzer = (outcome != Outcome::Admit).then_some((3, BUZZ));
        for (place, time) in [Some((lamp, shown)), buzzer].into_iter().flatten() {
            if let Some(line) = self.lines.get(place).copied() {
                self.set(line, true)?;
                self.back.push((line, now + time));
            }
        }
        Ok(())
    }
}

impl Blocking for Gpio {
    fn open(&mut self) -> Result<String, DeviceError> {
        self.request = None;
        let mut builder = Request::builder();
        builder.on_chip(&self.chip).with_consumer("kakou").with_lines(&self.lines);
        match self.purpose {
            Use::Relay | Use::Signal => builder.as_output(Value::Inactive),
            Use::Input => {
                builder.as_input().with_bias(Bias::PullUp).with_edge_detection(EdgeDetection::BothEdges)
            }
        };
        if self.purpose == Use::Input {
            builder.with_debounce_period(DEBOUNCE);
        }
        if self.active_low {
            builder.as_active_low();
        }
        self.request = Some(builder.request().map_err(|e| trouble(&e))?);
        (self.back, self.active) = (Vec::new(), None);
        Ok(format!("lines {:?}", self.lines))
    }

    fn pace(&self) -> Duration {
        let next = self.back.iter().map(|(_, at)| at.saturating_duration_since(Instant::now())).min();
        next.unwrap_or(LOOK).min(LOOK)
    }

    fn turn(&mut self, device_command: Option<DeviceCommand>, hands: &DeviceLink) -> Result<(), DeviceError> {
        if let Some(DeviceCommand { ticket, command, since, .. }) = device_command {
            match (self.purpose, command) {
                (Use::Relay, Command::Pulse { ms }) => {
                    let Some(&line) = self.lines.first() else { return Ok(()) };
                    if let Err(trouble) = self.set(line, true) {
                        hands.no_data(ticket, NoData::Fault);
                        return Err(trouble);
                    }
                    hands.pulsed(since);
                    // Closed is done: what follows is the door's, as with a board that times itself.
                    hands.report(Report::Done { ticket });
                    let time = Duration::from_millis(ms.into()).min(MAX_PULSE);
                    self.back.push((line, Instant::now() + time));
                }
                (Use::Signal, Command::Signal { outcome, ms }) => self.signal(outcome, ms)?,
                (_, Command::Stop | Command::Read { .. }) => {}
                (Use::Relay | Use::Signal | Use::Input, _) => hands.no_data(ticket, NoData::Fault),
            }
        }
        let now = Instant::now();
        let due: Vec<_> = self.back.extract_if(.., |(_, at)| *at <= now).collect();
        for (line, _) in due {
            // A later pulse of the same line keeps it closed.
            if !self.back.iter().any(|(other, _)| *other == line) {
                self.set(line, false)?;
            }
        }
        let Some(request) = &self.request else { return Ok(()) };
        if self.purpose == Use::Input {
            while request.has_edge_event().map_err(|e| trouble(&e))? {
                request.read_edge_event().map_err(|e| trouble(&e))?;
            }
        }
        // The level itself is read: an edge that was lost is seen all the same, and a chip that is gone too.
        let line = self.lines.first().copied().unwrap_or_default();
        let active = request.value(line).map_err(|e| trouble(&e))? == Value::Active;
        hands.monitor.seen();
        if self.purpose == Use::Input && self.active.replace(active) != Some(active) {
            hands.report(Report::Input { active });
        }
        Ok(())
    }

    fn close(&mut self) -> Vec<Ticket> {
        for line in self.lines.clone() {
            if self.purpose != Use::Input && self.set(line, false).is_err() {
                break;
            }
        }
        self.request = None;
        self.back.clear();
        Vec::new()
    }
}
