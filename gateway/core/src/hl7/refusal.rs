//! Why a message is not taken, as its sender hears it.

use super::{Event, Header};

/// What an answer says of a message (HL7 table 0008).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// It is stored.
    Accepted,
    /// Its content is wrong, or it could not be stored: correct it, or send it again.
    Error,
    /// It is nothing for this receiver.
    Rejected,
}

impl Ack {
    /// Its code in MSA-1.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Accepted => "AA",
            Self::Error => "AE",
            Self::Rejected => "AR",
        }
    }
}

/// What is wrong, by HL7 table 0357.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Segments are missing, or are none.
    Segments,
    /// A field is missing.
    Missing,
    /// A field is not of its type.
    Type,
    /// A word that the table of the field does not have.
    Value,
    /// Not ADT.
    MessageType,
    /// Another event.
    EventCode,
    /// Training or tests.
    Processing,
    /// Not version 2.
    Version,
    /// It could not be stored now.
    Internal,
}

impl Condition {
    /// Its code and text.
    pub const fn row(self) -> (u16, &'static str) {
        match self {
            Self::Segments => (100, "Segment sequence error"),
            Self::Missing => (101, "Required field missing"),
            Self::Type => (102, "Data type error"),
            Self::Value => (103, "Table value not found"),
            Self::MessageType => (200, "Unsupported message type"),
            Self::EventCode => (201, "Unsupported event code"),
            Self::Processing => (202, "Unsupported processing id"),
            Self::Version => (203, "Unsupported version id"),
            Self::Internal => (207, "Application internal error"),
        }
    }

    /// What becomes of the message.
    pub const fn ack(self) -> Ack {
        match self {
            Self::MessageType | Self::EventCode | Self::Processing | Self::Version => Ack::Rejected,
            Self::Segments | Self::Missing | Self::Type | Self::Value | Self::Internal => Ack::Error,
        }
    }

    /// The counter of the gateway for it.
    pub const fn counter(self) -> &'static str {
        match self {
            Self::MessageType | Self::EventCode => "hospital_other_total",
            Self::Segments | Self::Missing | Self::Type | Self::Value | Self::Processing | Self::Version => {
                "hospital_refused_total"
            }
            Self::Internal => "hospital_not_stored_total",
        }
    }
}

/// A message that is not taken. What it says quotes nothing of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For the answer, as far as it could be read.
    pub header: Box<Header>,
    /// What is wrong.
    pub condition: Condition,
    /// Where: segment and field.
    pub place: Option<(&'static str, usize)>,
    /// What is wrong and what to do, for whoever runs the interface.
    pub why: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (number, _) = self.condition.row();
        write!(f, "{} {number}", self.condition.ack().code())?;
        if let Some((segment, field)) = self.place {
            write!(f, " {segment}-{field}")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl std::error::Error for Refusal {}

/// The events that count, for people.
pub(super) fn events() -> String {
    Event::ALL.map(Event::code).join(", ")
}
