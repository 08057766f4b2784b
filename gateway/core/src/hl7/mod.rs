//! What a hospital's system tells by HL7 v2: one ADT message becomes changes to the lists `patients` and `roster`.
//!
//! [`read`] takes one message as it came, [`word::changes`] says what follows from it, [`answer`] writes the
//! acknowledgement. Six events change something: A01 admitted, A02 transferred, A03 discharged, A08 changed, A11
//! admission cancelled, A13 discharge cancelled (HL7 v2.5, chapter 3). Every other message is refused with its reason.
//!
//! Messages are taken apart here: of `hl7-parser` 0.3 a segment that it cannot read drops all that follow without a
//! word, an escape beside Chinese letters panics, and the five separators of version 2.7 shift each field by one.

pub mod answer;
mod fields;
mod refusal;
mod text;
pub mod word;

pub use fields::{Sample, read, sample};
pub use refusal::{Ack, Condition, Refusal};
pub use text::Charset;

use crate::time::WallMs;

/// A longer message is none: bytes.
pub const LONGEST: usize = 64 << 10;
/// A message from further ahead of the clock of the gateway is refused: it would stand above all that come after it.
pub const AHEAD_MS: i64 = 10 * 60_000;

/// What has happened to a patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A01.
    Admitted,
    /// A02.
    Transferred,
    /// A03.
    Discharged,
    /// A08: something of what is known of them has changed.
    Changed,
    /// A11: the admission was a mistake.
    AdmissionCancelled,
    /// A13: the discharge was a mistake.
    DischargeCancelled,
}

impl Event {
    /// Every event that counts here.
    pub const ALL: [Self; 6] = [
        Self::Admitted,
        Self::Transferred,
        Self::Discharged,
        Self::Changed,
        Self::AdmissionCancelled,
        Self::DischargeCancelled,
    ];

    /// Its code in HL7, table 0003.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Admitted => "A01",
            Self::Transferred => "A02",
            Self::Discharged => "A03",
            Self::Changed => "A08",
            Self::AdmissionCancelled => "A11",
            Self::DischargeCancelled => "A13",
        }
    }

    /// The event of a code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.code() == code)
    }
}

/// The time of a message, as exactly as it says: HL7 times often have whole seconds or minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first moment, UTC milliseconds.
    pub at_ms: WallMs,
    /// Its last moment, UTC milliseconds.
    pub end_ms: WallMs,
}

/// What an answer repeats of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Who sent it: application and facility (MSH-3, MSH-4), as written.
    pub sender: (String, String),
    /// Whom it was for (MSH-5, MSH-6), as written.
    pub receiver: (String, String),
    /// The code of its event, as far as it has one.
    pub event: String,
    /// Its number (MSH-10).
    pub control: String,
    /// The version that it is written in (MSH-12).
    pub version: String,
    /// Production, or training (MSH-11).
    pub processing: String,
    /// How it is encoded.
    pub charset: Charset,
}

/// One message that changes something. A text that is left out says nothing; an empty one takes away what was known.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// For the answer.
    pub header: Header,
    /// What has happened.
    pub event: Event,
    /// The id of the patient, as on the wristband (PID-3).
    pub patient: String,
    /// When it was written (MSH-7, else EVN-2); none where it does not say.
    pub time: Option<Span>,
    /// The name (PID-5).
    pub name: Option<String>,
    /// The ward: point of care (PV1-3.1).
    pub ward: Option<String>,
    /// The room (PV1-3.2).
    pub room: Option<String>,
}

/// Nobody's name or number gets into a log by mistake.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("event", &self.event)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// How messages of a site are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading<'a> {
    /// How a message is encoded that does not say so (MSH-18).
    pub charset: Charset,
    /// The clock of the site, for times without an offset: milliseconds east of UTC.
    pub utc_offset_ms: i64,
    /// Which of several ids of a patient counts: its type (PID-3.5). Empty for the first one.
    pub id_type: &'a str,
    /// Now, where the clock can be trusted.
    pub now_ms: Option<WallMs>,
}

#[cfg(test)]
mod tests;
