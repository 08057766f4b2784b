//! From temperature frames to one result.
//!
//! Frames outside the band of living skin, and those of a sensor in surroundings that no sensor for skin is made for,
//! are not averaged away: they end what came before. A result is the median of the last [`Screening::frames`] frames
//! once they lie close together, and the [`Correction`] of the profile, if it has one, added to it. The frames stay as
//! they were taken; nothing is clamped or replaced. The result is a screening result, never a diagnosis. Limits:
//! ISO/TR 13154 and IEC 80601-2-59.

use crate::reading::Temperature;
use serde::{Deserialize, Serialize};

/// Skin below this is not skin, or not measurable.
pub const SKIN_MIN_MDEG: i32 = 28_000;
/// Skin above this is not skin.
pub const SKIN_MAX_MDEG: i32 = 43_000;

/// Colder surroundings are no surroundings: thermometers for skin are specified from 10 to 40 °C, and one that reads
/// its own temperature wrong reads skin wrong.
pub const AMBIENT_MIN_MDEG: i32 = 0;
/// Nor are warmer ones.
pub const AMBIENT_MAX_MDEG: i32 = 50_000;

/// A correction of what a sensor reads, as it was found at its calibration. Off unless a profile has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correction {
    /// Which one: a date, a certificate. It stands beside each corrected value.
    pub version: String,
    /// Added to the median.
    pub offset_mdeg: i32,
}

/// A black body of known temperature in the view of the sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlackBody {
    /// Its temperature.
    pub mdeg: i32,
    /// The sensor may be off by this; beyond it nothing that it reads counts.
    pub max_drift_mdeg: i32,
}

/// What a black body says of a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// It reads what it should, or there is nothing to compare with.
    Good,
    /// It is off by so many thousandths of a degree.
    Drifted(i32),
    /// It does not see the body.
    Unseen,
}

/// The settings of a temperature step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screening {
    /// At and above: high.
    pub high_mdeg: i32,
    /// Below: low.
    pub low_mdeg: i32,
    /// How many frames make a result.
    pub frames: usize,
    /// How far apart they may lie.
    pub spread_mdeg: i32,
    /// What is added to the median.
    pub correction: Option<Correction>,
    /// What the sensor is compared with.
    pub black_body: Option<BlackBody>,
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
    pub const fn as_str(self) -> &'static str {
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
    /// What the black body says of the sensor.
    pub fn reference(&self, frame: &Temperature) -> Reference {
        let Some(body) = self.black_body else { return Reference::Good };
        match frame.reference_mdeg.map(|seen| seen - body.mdeg) {
            None => Reference::Unseen,
            Some(drift) if drift.abs() > body.max_drift_mdeg => Reference::Drifted(drift),
            Some(_) => Reference::Good,
        }
    }

    /// The steady median of the latest frames, corrected where there is a correction, if they allow one.
    pub fn settle(&self, frames: &[Temperature]) -> Option<(i32, State)> {
        // A gap means that somebody stepped away: frames before it are not this person's.
        let measured = |f: &&Temperature| {
            let possible = |ambient| (AMBIENT_MIN_MDEG..=AMBIENT_MAX_MDEG).contains(&ambient);
            (SKIN_MIN_MDEG..=SKIN_MAX_MDEG).contains(&f.object_mdeg) && f.ambient_mdeg.is_none_or(possible)
        };
        let valid: Vec<i32> = frames.iter().rev().take_while(measured).map(|f| f.object_mdeg).collect();
        let mut last = valid.get(..self.frames)?.to_vec();
        last.sort_unstable();
        let (first, middle, end) = (*last.first()?, last[last.len() / 2], *last.last()?);
        if end - first > self.spread_mdeg {
            return None;
        }
        let middle = middle + self.correction.as_ref().map_or(0, |c| c.offset_mdeg);
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

    const S: Screening = Screening {
        high_mdeg: 37_300,
        low_mdeg: 35_000,
        frames: 5,
        spread_mdeg: 300,
        correction: None,
        black_body: None,
    };

    fn frames(values: &[i32]) -> Vec<Temperature> {
        values
            .iter()
            .map(|&object_mdeg| Temperature {
                object_mdeg,
                ambient_mdeg: None,
                reference_mdeg: None,
                body_grade: true,
            })
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
    fn a_correction_moves_the_result_and_never_the_frames() {
        let offset = |offset_mdeg| Screening {
            correction: Some(Correction { version: "2022-05".into(), offset_mdeg }),
            ..S
        };
        let warm = frames(&[37_200; 5]);
        assert_eq!(offset(200).settle(&warm), Some((37_400, State::High)));
        assert_eq!(offset(-200).settle(&warm), Some((37_000, State::Normal)));
        assert_eq!(offset(200).settle(&frames(&[27_900; 5])), None, "what is no skin does not become skin");
    }

    #[test]
    fn a_sensor_that_drifts_or_has_lost_its_black_body_is_known() {
        let watched = Screening { black_body: Some(BlackBody { mdeg: 37_000, max_drift_mdeg: 300 }), ..S };
        let at = |reference_mdeg| Temperature { reference_mdeg, ..frames(&[36_500])[0].clone() };
        assert_eq!(watched.reference(&at(Some(37_300))), Reference::Good);
        assert_eq!(watched.reference(&at(Some(36_600))), Reference::Drifted(-400));
        assert_eq!(watched.reference(&at(None)), Reference::Unseen);
        assert_eq!(S.reference(&at(None)), Reference::Good);
    }

    #[test]
    fn a_reading_in_impossible_surroundings_is_no_reading() {
        let around = |ambient| -> Vec<Temperature> {
            let mut all = frames(&[36_500; 5]);
            all.iter_mut().for_each(|f| f.ambient_mdeg = Some(ambient));
            all
        };
        for ambient in [0, 21_500, 50_000] {
            assert_eq!(S.settle(&around(ambient)), Some((36_500, State::Normal)));
        }
        for ambient in [-40_000, -1, 50_001, 125_000] {
            assert_eq!(S.settle(&around(ambient)), None, "{ambient}");
        }
        // It ends what came before, as somebody does who steps away.
        let mut broken = around(21_500);
        broken[2].ambient_mdeg = Some(-40_000);
        assert_eq!(S.settle(&broken), None);
    }

    #[test]
    fn a_result_needs_enough_steady_frames_of_skin() {
        assert_eq!(S.settle(&frames(&[36_500; 4])), None);
        assert_eq!(S.settle(&frames(&[36_500, 36_500, 36_500, 36_500, 36_801])), None);
        let just_so_far_apart = S.settle(&frames(&[36_500, 36_500, 36_500, 36_500, 36_800]));
        assert_eq!(just_so_far_apart, Some((36_500, State::Normal)));
        assert_eq!(S.settle(&frames(&[20_000; 9])), None, "a wall is not a person");
        assert_eq!(
            S.settle(&frames(&[36_900, 36_500, 36_510, 36_520, 36_490, 36_530])),
            Some((36_510, State::Normal))
        );
    }
}
