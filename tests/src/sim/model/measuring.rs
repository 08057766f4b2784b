//! Measuring somebody: 37.3 °C and more is high, less than 35.0 °C is too low. One normal reading is enough if it is the
//! first; otherwise it takes two of at most three, or the gravest of them counts.

use serde_json::Value;

const HIGH_MDEG: i32 = 37_300;
const LOW_MDEG: i32 = 35_000;
const FRAMES: usize = 5;
const TRIES: usize = 3;

/// What one measurement says, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reading {
    High,
    Low,
    Broken,
    Nobody,
    Normal,
}

/// What was measured of a visit.
#[derive(Debug, Clone, Default)]
pub(super) struct Measuring {
    readings: Vec<Reading>,
    ticket: Option<u64>,
    frames: Vec<i32>,
    is_broken: bool,
}

impl Measuring {
    /// The thermometer is asked. What it sent to an earlier question counts no more.
    pub(super) fn ask(&mut self, ticket: u64) {
        self.ticket = Some(ticket);
        self.frames.clear();
        self.is_broken = false;
    }

    pub(super) fn frame(&mut self, ticket: u64, mdeg: i32) {
        if self.ticket == Some(ticket) {
            self.frames.push(mdeg);
        }
    }

    pub(super) fn broken(&mut self, ticket: u64) {
        self.is_broken |= self.ticket == Some(ticket);
    }

    /// A measurement is on record: as it was taken.
    pub(super) fn closes(&mut self, data: &Value) -> Result<(), String> {
        let mut last: Vec<i32> = self.frames.iter().rev().take(FRAMES).copied().collect();
        last.sort_unstable();
        let median = (last.len() == FRAMES).then(|| last[FRAMES / 2]);
        let (reading, word) = match median {
            _ if self.is_broken => (Reading::Broken, "fault"),
            Some(mdeg) if mdeg >= HIGH_MDEG => (Reading::High, "high"),
            Some(mdeg) if mdeg < LOW_MDEG => (Reading::Low, "low"),
            Some(_) => (Reading::Normal, "normal"),
            None if self.frames.is_empty() => (Reading::Nobody, "none"),
            None => return Err(format!("{} frames make no measurement", self.frames.len())),
        };
        let median = median.filter(|_| !self.is_broken);
        let raw: Vec<i64> =
            data["raw_mdeg"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
        let sent: Vec<i64> = self.frames.iter().map(|f| i64::from(*f)).collect();
        let said = (data["state"].as_str(), data["median_mdeg"].as_i64(), raw);
        let must = (Some(word), median.map(i64::from), sent);
        if said != must {
            return Err(format!("the temperature on record is {said:?}, taken was {must:?}"));
        }
        self.readings.push(reading);
        self.ticket = None;
        Ok(())
    }

    /// What counts, when there is nothing more to measure: a code, or none where all is well.
    pub(super) fn result(&self) -> Option<Option<&'static str>> {
        let normal = self.readings.iter().filter(|r| **r == Reading::Normal).count();
        if self.readings == [Reading::Normal] || normal >= 2 {
            return Some(None);
        }
        let broken = self.readings.last() == Some(&Reading::Broken);
        if !broken && self.readings.len() < TRIES {
            return None;
        }
        Some(match self.readings.iter().min()? {
            Reading::High => Some("T_HIGH"),
            Reading::Low => Some("T_LOW"),
            Reading::Broken => Some("T_FAULT"),
            Reading::Nobody => Some("T_NONE"),
            Reading::Normal => None,
        })
    }

    pub(super) fn has_begun(&self) -> bool {
        self.ticket.is_some() || !self.readings.is_empty()
    }
}
