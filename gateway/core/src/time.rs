//! Time comes in as a value; nothing in the core reads a clock.

use serde::{Deserialize, Serialize};

/// Milliseconds of the monotonic clock since boot.
pub type MonoMs = u64;
/// Milliseconds of UTC since 1970-01-01.
pub type WallMs = i64;

/// How much the wall time is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// A time source has confirmed it.
    Synced,
    /// What the box itself has kept.
    Unsynced,
    /// The box's own time lies before a moment that is known to be past: it is at least this late.
    Floor,
}

impl Quality {
    /// The word in events and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Unsynced => "unsynced",
            Self::Floor => "floor",
        }
    }
}

/// The moment of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Monotonic time; orders and measures within one boot.
    pub mono_ms: MonoMs,
    /// Wall time, if the box has any idea of it.
    pub wall_ms: Option<WallMs>,
    /// How much the wall time is worth.
    pub quality: Quality,
}

impl Now {
    /// Wall time in whole seconds, if known.
    pub fn wall_s(&self) -> Option<i64> {
        self.wall_ms.map(|ms| ms.div_euclid(1000))
    }

    /// Whether a time source has confirmed the wall time.
    pub fn synced(&self) -> bool {
        self.quality == Quality::Synced
    }
}

/// RFC 3339 in UTC with milliseconds, as events carry it.
pub fn rfc3339(wall_ms: WallMs) -> String {
    jiff::Timestamp::from_millisecond(wall_ms)
        .map_or_else(|_| format!("invalid:{wall_ms}"), |t| format!("{t:.3}"))
}

/// The time of day at a place so far from UTC, as people read it on paper: `2022-05-24 08:00:00 UTC+8`.
pub fn local(wall_ms: WallMs, utc_offset_ms: i64) -> String {
    let minutes = utc_offset_ms / 60_000;
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
    let rest = if rest == 0 { String::new() } else { format!(":{rest:02}") };
    jiff::Timestamp::from_millisecond(wall_ms.saturating_add(utc_offset_ms)).map_or_else(
        |_| format!("invalid:{wall_ms}"),
        |t| format!("{} UTC{sign}{hours}{rest}", t.strftime("%Y-%m-%d %H:%M:%S")),
    )
}

/// The civil day at a place so far from UTC: `2022-05-24`. A moment that no calendar has is none.
pub fn local_day(wall_ms: WallMs, utc_offset_ms: i64) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(wall_ms.saturating_add(utc_offset_ms)).ok()?;
    Some(at.strftime("%Y-%m-%d").to_string())
}

/// Reads RFC 3339 and the ISO 8601 variants that passes carry (date only, short offsets).
pub fn parse_instant(text: &str) -> Option<WallMs> {
    if let Ok(t) = text.parse::<jiff::Timestamp>() {
        return Some(t.as_millisecond());
    }
    if let Ok(dt) = text.parse::<jiff::civil::DateTime>() {
        return dt.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp().as_millisecond());
    }
    None
}

/// Units of a duration, in milliseconds.
const UNITS: [(&str, i64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Milliseconds of a duration such as `61s`, `15m`, `1h30m`, `0.5s` or `3d`.
pub fn duration(text: &str) -> Result<i64, String> {
    let bad = || {
        format!("`{text}` is no duration; write a number and one of ms, s, m, h, d, as in `61s` or `1h30m`")
    };
    let (mut rest, mut sum) = (text.trim(), 0_i64);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(letters);
        let (_, unit) = UNITS.iter().find(|(word, _)| *word == unit).ok_or_else(bad)?;
        sum = part(number, *unit).and_then(|ms| sum.checked_add(ms)).ok_or_else(bad)?;
        rest = behind;
    }
    Ok(sum)
}

/// A decimal number of a unit in milliseconds, exactly.
fn part(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = fraction.get(..fraction.len().min(6))?;
    let scale = 10_i64.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let whole: i64 = if whole.is_empty() { None } else { whole.parse().ok() }?;
    let fraction: i64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    whole.checked_mul(unit)?.checked_add(fraction.checked_mul(unit)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_of_passes_are_read_with_their_offset() {
        assert_eq!(parse_instant("2021-05-20T12:34:56Z"), Some(1_621_514_096_000));
        assert_eq!(parse_instant("2021-05-20T14:34:56+02:00"), Some(1_621_514_096_000));
        assert_eq!(parse_instant("2021-05-20T14:34:56+02"), Some(1_621_514_096_000));
        assert_eq!(parse_instant("2021-05-20"), Some(1_621_468_800_000));
        assert_eq!(parse_instant("gestern"), None);
        assert_eq!(rfc3339(1_621_514_096_000), "2021-05-20T12:34:56.000Z");
    }
    #[test]
    fn a_day_is_that_of_the_place() {
        let at = 1_653_350_400_000;
        assert_eq!(local_day(at, 8 * 3_600_000).as_deref(), Some("2022-05-24"));
        assert_eq!(local_day(at - 1, 0).as_deref(), Some("2022-05-23"));
        assert_eq!(local_day(i64::MAX, 1), None);
    }
    #[test]
    fn paper_tells_the_time_of_the_place() {
        let at = 1_653_350_400_000;
        assert_eq!(local(at, 8 * 3_600_000), "2022-05-24 08:00:00 UTC+8");
        assert_eq!(local(at, -(3 * 3_600_000 + 1_800_000)), "2022-05-23 20:30:00 UTC-3:30");
        assert_eq!(local(at, 0), "2022-05-24 00:00:00 UTC+0");
    }
}
