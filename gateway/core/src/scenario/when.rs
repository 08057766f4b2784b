//! Times of a scenario file: durations, times beside the clock, and times of day.

pub use crate::time::duration;
use crate::time::{WallMs, parse_instant};

/// A moment: RFC 3339, or beside another one, as in `-12h` and `+90m`.
pub fn moment(text: &str, beside: WallMs) -> Result<WallMs, String> {
    let sign = match text.chars().next() {
        Some('-') => -1,
        Some('+') => 1,
        Some(_) | None => {
            let hint = || {
                format!(
                    "`{text}` is no time; write RFC 3339, as in `2022-05-24T07:00:00+08:00`, or a time beside \
                     the clock, as in `-12h` or `+90m`"
                )
            };
            return parse_instant(text).ok_or_else(hint);
        }
    };
    duration(&text[1..]).map(|ms| beside.saturating_add(sign * ms))
}

/// The clock with which a file begins: its moment, and how far the site is from UTC.
pub fn clock(text: &str) -> Result<(WallMs, i64), String> {
    let bad = || format!("`{text}` is no time with an offset; write it as in `2022-05-24T07:00:00+08:00`");
    let at = text.parse::<jiff::Timestamp>().map_err(|_| bad())?;
    let pieces = jiff::fmt::temporal::Pieces::parse(text).map_err(|_| bad())?;
    let offset = pieces.to_numeric_offset().ok_or_else(bad)?;
    Ok((at.as_millisecond(), i64::from(offset.seconds()) * 1_000))
}

/// Milliseconds from `now` to the next time of day, as in `06:30`, at a place so far from UTC.
pub fn until_time_of_day(text: &str, now: WallMs, utc_offset_ms: i64) -> Result<i64, String> {
    const DAY_MS: i64 = 86_400_000;
    let bad = || format!("`{text}` is no time of day; write it as in `06:30`");
    let time: jiff::civil::Time = text.parse().map_err(|_| bad())?;
    let wanted = i64::from(time.hour()) * 3_600_000
        + i64::from(time.minute()) * 60_000
        + i64::from(time.second()) * 1_000
        + i64::from(time.millisecond());
    let left = (wanted - (now + utc_offset_ms).rem_euclid(DAY_MS)).rem_euclid(DAY_MS);
    Ok(if left == 0 { DAY_MS } else { left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, ms) in [
            ("61s", 61_000),
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("0.5s", 500),
            ("2.95s", 2_950),
            ("3d", 259_200_000),
            ("7ms", 7),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(ms), "{text}");
        }
        for bad in ["", "5", "s", "5 s", "-5s", "5x", "1..5s", ".5s", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_are_absolute_or_beside_the_clock() {
        let clock = 1_653_346_800_000;
        assert_eq!(moment("-12h", clock), Ok(clock - 43_200_000));
        assert_eq!(moment("+90m", clock), Ok(clock + 5_400_000));
        assert_eq!(moment("2022-05-24T07:00:00+08:00", 0), Ok(clock));
        for bad in ["12h", "-1x", "yesterday", ""] {
            assert!(moment(bad, clock).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_clock_says_where_the_site_is() {
        assert_eq!(clock("2022-05-24T07:00:00+08:00"), Ok((1_653_346_800_000, 28_800_000)));
        assert_eq!(clock("2022-05-23T23:00:00Z"), Ok((1_653_346_800_000, 0)));
        for bad in ["2022-05-24T07:00:00", "2022-05-24", "07:00"] {
            assert!(clock(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_of_day_is_the_next_one_at_the_site() {
        let seven = 1_653_346_800_000;
        assert_eq!(until_time_of_day("07:01", seven, 28_800_000), Ok(60_000));
        assert_eq!(until_time_of_day("06:30", seven, 28_800_000), Ok(84_600_000));
        assert_eq!(until_time_of_day("07:00", seven, 28_800_000), Ok(86_400_000));
        assert_eq!(until_time_of_day("07:00:02.250", seven, 28_800_000), Ok(2_250));
        assert_eq!(until_time_of_day("08:01", seven - 1, 28_800_000), Ok(3_660_001));
        assert!(until_time_of_day("25:00", seven, 0).is_err());
    }
}
