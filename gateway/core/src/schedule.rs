//! Opening hours, as the list `schedule` has them.

use crate::time::WallMs;
use jiff::civil::{Date, DateTime};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde_json::{Map, Value};

const DAY_MIN: i32 = 24 * 60;

/// Days of the week and a time of day: `DAYS HH:MM-HH:MM`. DAYS is `*`, `1-5` or `6,7`, and 1 is Monday. The end is
/// excluded; one that is not after the beginning is on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Days of the week, from Monday.
    days: [bool; 7],
    /// Minutes of the day.
    from: i32,
    until: i32,
}

impl Open {
    /// Reads one.
    pub fn read(text: &str) -> Option<Self> {
        let (days, times) = text.trim().split_once(' ')?;
        let (from, until) = times.trim().split_once('-')?;
        let (from, until) = (minute(from)?, minute(until)?);
        if from == DAY_MIN {
            return None;
        }
        Some(Self { days: weekdays(days)?, from, until })
    }

    /// Whether it is open so many minutes after the beginning of a day.
    fn is(&self, day: Date, minute: i32) -> bool {
        let of_week = usize::try_from(day.weekday().to_monday_zero_offset()).unwrap_or_default();
        let until = if self.until > self.from { self.until } else { self.until + DAY_MIN };
        self.days[of_week] && (self.from..until).contains(&minute)
    }
}

fn minute(text: &str) -> Option<i32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<i32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let at = hours * 60 + minutes;
    (minutes < 60 && at <= DAY_MIN).then_some(at)
}

fn weekdays(text: &str) -> Option<[bool; 7]> {
    if text == "*" {
        return Some([true; 7]);
    }
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| (1..=7).contains(n));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        days[first - 1..last].fill(true);
    }
    Some(days)
}

/// Whether a text is a day.
pub fn is_day(text: &str) -> bool {
    text.len() == 10 && text.parse::<Date>().is_ok()
}

/// Whether an entry of the list says that it is open, at a place so far from UTC. Past midnight it is still the day on
/// which it has opened, also where the next one is closed. Without hours it is open on every day that is not closed.
pub fn open_at(entry: &Map<String, Value>, at_ms: WallMs, utc_offset_ms: i64) -> bool {
    let Some(now) = civil(at_ms.saturating_add(utc_offset_ms)) else { return false };
    let texts = |name: &str| entry.get(name).and_then(Value::as_array).into_iter().flatten();
    let closed = |day: Date| {
        texts("closed").filter_map(Value::as_str).any(|text| text.parse().is_ok_and(|d: Date| d == day))
    };
    let (today, minute) = (now.date(), i32::from(now.hour()) * 60 + i32::from(now.minute()));
    if !entry.contains_key("open") {
        return !closed(today);
    }
    let mut hours = texts("open").filter_map(Value::as_str).filter_map(Open::read);
    let yesterday = today.checked_sub(1.day()).unwrap_or(today);
    hours.any(|open| {
        open.is(today, minute) && !closed(today) || open.is(yesterday, minute + DAY_MIN) && !closed(yesterday)
    })
}

fn civil(at_ms: i64) -> Option<DateTime> {
    Some(Timestamp::from_millisecond(at_ms).ok()?.to_zoned(TimeZone::UTC).datetime())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_instant;
    use serde_json::json;

    const OFFSET: i64 = 8 * 3_600_000;

    fn open(entry: Value, at: &str) -> bool {
        open_at(entry.as_object().unwrap(), parse_instant(&format!("{at}+08:00")).unwrap(), OFFSET)
    }

    #[test]
    fn hours_are_days_and_times() {
        for good in ["* 00:00-24:00", "1-5 08:00-17:30", "6,7 22:00-06:00", "1,3-5 08:00-09:00"] {
            assert!(Open::read(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "08:00-17:30",
            "* 8:00-17:00",
            "0-5 08:00-17:00",
            "5-1 08:00-17:00",
            "8 08:00-17:00",
            "* 08:00",
            "* 24:00-24:00",
            "* 08:60-09:00",
            "* 08:00-25:00",
            "Mon 08:00-17:00",
        ] {
            assert!(Open::read(bad).is_none(), "{bad}");
        }
        assert!(is_day("2022-05-24") && !is_day("2022-5-24") && !is_day("2022-13-01") && !is_day("x"));
    }

    #[test]
    fn it_is_open_from_the_first_minute_until_before_the_last_one() {
        // 2022-05-24 is a Tuesday.
        let week = json!({ "open": ["1-5 08:00-17:30"] });
        for (at, is) in [
            ("2022-05-24T07:59:59", false),
            ("2022-05-24T08:00:00", true),
            ("2022-05-24T17:29:59", true),
            ("2022-05-24T17:30:00", false),
            ("2022-05-28T10:00:00", false),
        ] {
            assert_eq!(open(week.clone(), at), is, "{at}");
        }
    }

    #[test]
    fn past_midnight_is_the_day_on_which_it_opened() {
        let night = json!({ "open": ["2 22:00-06:00"], "closed": ["2022-05-25"] });
        for (at, is) in [
            ("2022-05-24T21:59:00", false),
            ("2022-05-24T22:00:00", true),
            ("2022-05-25T05:59:00", true),
            ("2022-05-25T06:00:00", false),
            ("2022-05-24T03:00:00", false),
        ] {
            assert_eq!(open(night.clone(), at), is, "{at}");
        }
        let closed = json!({ "open": ["2 22:00-06:00"], "closed": ["2022-05-24"] });
        assert!(!open(closed.clone(), "2022-05-24T23:00:00") && !open(closed, "2022-05-25T01:00:00"));
    }

    #[test]
    fn without_hours_every_day_is_open_but_those_that_are_closed() {
        assert!(open(json!({}), "2022-05-24T03:00:00"));
        let closed = json!({ "closed": ["2022-05-24"], "limit": 2 });
        assert!(!open(closed.clone(), "2022-05-24T12:00:00") && open(closed, "2022-05-25T00:00:00"));
        assert!(!open(json!({ "open": [] }), "2022-05-24T12:00:00"));
    }
}
