//! What devices did in a visit: measurements, weights, photographs, the barrier.

use crate::ids::DeviceId;
use crate::reading::{Photo, Ticket};
use crate::screening::State;
use crate::time::WallMs;
use serde::{Deserialize, Serialize};

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measurement {
    /// The steady median as measured, if there was one.
    pub mdeg: Option<i32>,
    /// What it means.
    pub state: State,
    /// When.
    pub at_ms: Option<WallMs>,
    /// By which device.
    pub device: DeviceId,
}

/// What was weighed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighed {
    /// Its weight.
    pub grams: i64,
    /// What it should weigh; 0 where nothing says so.
    pub reference: i64,
    /// Whether the two differ by more than they may.
    pub gap: bool,
}

/// Where one photograph stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhotoState {
    /// Not taken.
    Missing,
    /// Asked for.
    Taking,
    /// Taken, to be looked at.
    Review,
    /// Must be taken again.
    Retake,
    /// Part of the evidence.
    Accepted,
}

/// One photograph of a visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhotoSlot {
    /// Where it stands.
    pub state: PhotoState,
    /// The request under way.
    pub ticket: Option<Ticket>,
    /// The file.
    pub photo: Option<Photo>,
    /// Why it must be taken again: `dark`, `bright`, `blurred`, `camera`.
    pub reason: Option<String>,
    /// When it was taken.
    pub at_ms: Option<WallMs>,
}

/// Whether the barrier or the printer did what it was told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actuation {
    /// Not asked.
    #[default]
    None,
    /// Asked, not confirmed.
    Asked,
    /// Confirmed by the device.
    Done,
    /// The device did not confirm; of a barrier, nobody has said yet what became of it.
    Failed,
    /// The barrier did not confirm; an officer opened it by hand.
    ByHand,
}

impl Actuation {
    /// The word for screens; nothing where nothing was asked.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Asked => Some("asked"),
            Self::Done => Some("done"),
            Self::Failed => Some("failed"),
            Self::ByHand => Some("by-hand"),
        }
    }
}
