//! What devices report and what they are asked to do.
//!
//! A reading is kept as it was taken. Missing data is a value with a reason, never a default.

use crate::codes::Outcome;
use crate::ids::DeviceId;
use serde::{Deserialize, Serialize};

/// Marks the answer to one request, so that a late reply never answers a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(pub u64);

impl Ticket {
    /// Nobody waits for the answer.
    pub const NOBODY: Self = Self(u64::MAX);
}

/// A printer answers for a slip within this time, in milliseconds, whether it was printed or not. Whoever waits for it
/// waits longer: a slip that is said to have failed must not come out all the same.
pub const SLIP_MS: u64 = 8_000;

/// A barrier's board answers for a pulse within this time, in milliseconds from when its driver had it, or the pulse is
/// not confirmed. What waited too long for its port or its line is not sent at all: nothing opens that nobody waits for
/// any more.
pub const PULSE_MS: u64 = 4_000;

/// Why there is no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoData {
    /// The device is not there.
    NotPresent,
    /// It did not answer in time.
    Timeout,
    /// It answered that it is broken.
    Fault,
    /// Its answer was garbled.
    Garbled,
}

/// One temperature frame as the sensor sent it. Nothing is corrected or clamped here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Temperature {
    /// Object temperature in thousandths of a degree Celsius.
    pub object_mdeg: i32,
    /// Temperature of the sensor's surroundings.
    pub ambient_mdeg: Option<i32>,
    /// What the sensor reads at a black body of known temperature in its view, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_mdeg: Option<i32>,
    /// Whether the sensor is specified to ±0.3 °C at the body; others can only refer.
    pub body_grade: bool,
}

/// A stored photograph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Photo {
    /// SHA-256 of the stored bytes, hexadecimal: also the name of the file.
    pub sha256: String,
    /// Size of the file.
    pub bytes: u64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Variance of the Laplacian of the luma at half size: the greater, the sharper.
    pub sharpness: u32,
    /// Mean luma, 0 to 255.
    pub luma: u8,
}

/// What a device reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// One complete code, as received.
    Scan {
        /// The payload.
        bytes: Vec<u8>,
    },
    /// A camera has read the plate of a vehicle that nobody asked it for.
    Plate {
        /// The plate.
        text: String,
    },
    /// One temperature frame for a request.
    Temperature {
        /// The request.
        ticket: Ticket,
        /// The frame.
        frame: Temperature,
    },
    /// A photograph that is already durable.
    Photo {
        /// The request.
        ticket: Ticket,
        /// The file.
        photo: Photo,
    },
    /// A request was carried out: the relay frame was acknowledged, the slip printed.
    Done {
        /// The request.
        ticket: Ticket,
    },
    /// A request has no answer.
    NoData {
        /// The request.
        ticket: Ticket,
        /// Why.
        why: NoData,
    },
    /// An input changed: a vehicle loop, a door contact, a fire release.
    Input {
        /// Whether it is active.
        active: bool,
    },
    /// A steady weight.
    Weight {
        /// The request that it answers; none if nobody has asked.
        ticket: Option<Ticket>,
        /// In grams.
        grams: i64,
    },
    /// The device came or went.
    Link {
        /// Whether it is there and answers.
        ready: bool,
    },
}

/// What a device can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Send temperature frames until [`Command::Stop`]; of a scale, the next steady weight.
    Measure,
    /// Stop sending frames.
    Stop,
    /// Close a relay for a time that the board itself keeps.
    Pulse {
        /// Duration; boards count in tenths of a second.
        ms: u32,
    },
    /// Take a photograph for a role.
    Capture {
        /// What the picture is of: `closeup`, `plate`, `overall` …
        role: String,
    },
    /// Print lines of text.
    Print {
        /// The lines.
        lines: Vec<String>,
    },
    /// Begin or end reading codes, for a scanner that waits to be told.
    Read {
        /// Whether to read.
        on: bool,
    },
    /// Show a verdict by lamp and buzzer.
    Signal {
        /// The verdict.
        outcome: Outcome,
        /// For how long; the driver ends it by itself.
        ms: u64,
    },
}

/// A command to one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// To whom.
    pub device: DeviceId,
    /// Marks the answer.
    pub ticket: Ticket,
    /// What to do.
    pub command: Command,
}
