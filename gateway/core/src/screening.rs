//! From temperature frames to one result.
//!
//! Frames outside the band of living skin are not averaged away: they end what came before. A
//! result is the median of the last [`Screening::frames`] frames once they lie close together. Nothing is corrected, clamped or replaced. The result is a screening result, never a
//! diagnosis. Limits: `devices` notes on ISO/TR 13154 and IEC 80601-2-59.

use crate::reading::Temperature;
use serde::{Deserialize, Serialize};

/// Skin below this is not skin, or not measurable.
pub const SKIN_MIN_MDEG: i32 = 28_000;
/// Skin above this is not skin.
pub const SKIN_MAX_MDEG: i32 = 43_000;

/// The settings of a temperature step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screening {
    /// At and above: high.
    pub high_mdeg: i32,
    /// Below: low.
    pub low_mdeg: i32,
    /// How many frames make a result.
    pub frames: usize,
    /// How far apart they may lie.
    pub spread_mdeg: i32,
}

/// What one measurement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Between the limits.
    Normal,
    /// At or above the upper limit.
    High,
    /// Below the lower limit.
    Low,
    /// The sensor failed.
    Fault,
    /// No steady reading of skin.
    Env,
    /// Nothing was measured.
    None,
}

impl State {
    /// The word that rules compare with.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::High => "high",
            Self::Low => "low",
            Self::Fault => "fault",
            Self::Env => "env",
            Self::None => "none",
        }
    }
}

impl Screening {
    /// The steady median of the latest frames, if they allow one.
    pub fn settle(&self, frames: &[Temperature]) -> Option<(i32, State)> {
        // A gap means that somebody stepped away: frames before it are not this person's.
        let skin = |f: &&Temperature| (SKIN_MIN_MDEG..=SKIN_MAX_MDEG).contains(&f.object_mdeg);
        let valid: Vec<i32> = frames.iter().rev().take_while(skin).map(|f| f.object_mdeg).collect();
        let mut last = valid.get(..self.frames)?.to_vec();
        last.sort_unstable();
        let (first, middle, end) = (*last.first()?, last[last.len() / 2], *last.last()?);
        if end - first > self.spread_mdeg {
            return None;
        }
        let state = if middle >= self.high_mdeg {
            State::High
        } else if middle < self.low_mdeg {
            State::Low
        } else {
            State::Normal
        };
        Some((middle, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Screening = Screening { high_mdeg: 37_300, low_mdeg: 35_000, frames: 5, spread_mdeg: 300 };

    fn frames(values: &[i32]) -> Vec<Temperature> {
        values
            .iter()
            .map(|&object_mdeg| Temperature { object_mdeg, ambient_mdeg: None, body_grade: true })
            .collect()
    }

    #[test]
    fn the_limits_are_inclusive_above_and_exclusive_below() {
        assert_eq!(S.settle(&frames(&[37_300; 5])), Some((37_300, State::High)));
        assert_eq!(S.settle(&frames(&[37_299; 5])), Some((37_299, State::Normal)));
        assert_eq!(S.settle(&frames(&[35_000; 5])), Some((35_000, State::Normal)));
        assert_eq!(S.settle(&frames(&[34_999; 5])), Some((34_999, State::Low)));
    }

    #[test]
    fn a_result_needs_enough_steady_frames_of_skin() {
        assert_eq!(S.settle(&frames(&[36_500; 4])), None);
        assert_eq!(S.settle(&frames(&[36_500, 36_500, 36_500, 36_500, 36_801])), None);
        assert_eq!(S.settle(&frames(&[20_000; 9])), None, "a wall is not a person");
        assert_eq!(
            S.settle(&frames(&[36_900, 36_500, 36_510, 36_520, 36_490, 36_530])),
            Some((36_510, State::Normal))
        );
    }
}
