//! One message, taken apart: HL7 v2 chapter 2 (segments, fields, escapes, times) and chapter 3 (ADT, PID, PV1).

use super::refusal::events;
use super::text::Separators;
use super::{AHEAD_MS, Charset, Condition, Event, Header, LONGEST, Message, Reading, Refusal, Span};
use crate::text::trimmed;
use crate::time::WallMs;
use std::borrow::Cow;

/// A patient's id, and a name of a ward or room, are no longer: letters.
const SHORT: usize = 64;
/// A name is no longer: letters.
const NAME: usize = 128;
/// How a field says that what was known is to be forgotten.
const NULL: &str = "\"\"";

type Place = Option<(&'static str, usize)>;

/// Reads a message as it came, without what frames it.
pub fn read(bytes: &[u8], with: &Reading<'_>) -> Result<Message, Refusal> {
    let nothing = |condition, why: String| Refusal { header: Box::default(), condition, place: None, why };
    if bytes.len() > LONGEST {
        let why = format!("a message has at most {LONGEST} bytes; this one has {}", bytes.len());
        return Err(nothing(Condition::Segments, why));
    }
    let bytes = crate::text::without_mark(bytes.trim_ascii());
    let seen = std::str::from_utf8(bytes).map_or_else(|_| GB.decode(bytes).0, Cow::Borrowed);
    let first = seen.split(['\r', '\n']).next().unwrap_or_default();
    let Some(separators) = Separators::of(first) else {
        let why = "a message begins with MSH and what separates its fields, as in MSH|^~\\&|".to_owned();
        return Err(nothing(Condition::Segments, why));
    };
    let head = Parts { separators, charset: Charset::Utf8, lines: vec![first] };
    let (mut header, charset) = (head.header(), head.charset(with, bytes.is_ascii()));
    let refused = |header: &Header, condition, place: Place, why: String| Refusal {
        header: Box::new(header.clone()),
        condition,
        place,
        why,
    };
    let charset = charset.map_err(|why| refused(&header, Condition::Value, Some(("MSH", 18)), why))?;
    header.charset = charset;
    let Some(text) = charset.decode(bytes) else {
        let name = charset.name();
        let why = format!("its letters are not {name}: name in MSH-18 how the message is encoded");
        return Err(refused(&header, Condition::Type, Some(("MSH", 18)), why));
    };
    let parts = Parts { separators, charset, lines: lines(&text) };
    header = Header { charset, ..parts.header() };
    let refuse = |condition, place: Place, why: String| Err(refused(&header, condition, place, why));
    let event = match parts.event() {
        Ok(event) => event,
        Err((condition, place, why)) => return refuse(condition, place, why),
    };
    if !header.version.is_empty() && !header.version.starts_with("2.") && header.version != "2" {
        return refuse(Condition::Version, Some(("MSH", 12)), "only version 2 is read here".into());
    }
    if !["", "P"].contains(&header.processing.as_str()) {
        let why = "only messages of production (P) change who may pass; this is one of training or debugging";
        return refuse(Condition::Processing, Some(("MSH", 11)), why.into());
    }
    if header.control.is_empty() {
        let why = "a message needs its number: the answer names it";
        return refuse(Condition::Missing, Some(("MSH", 10)), why.into());
    }
    if let Some(number) = parts.lines.iter().position(|line| !parts.is_segment(line)) {
        let why = format!("line {} is no segment: three letters, then fields", number + 1);
        return refuse(Condition::Segments, None, why);
    }
    for name in ["MSH", "PID", "PV1"] {
        let count = parts.lines.iter().filter(|line| line.starts_with(name)).count();
        if count > 1 || count == 0 && name != "PV1" {
            let why = format!("a message about one patient has one {name}; this one has {count}");
            return refuse(Condition::Segments, None, why);
        }
    }
    let fields = parts.patient(with).and_then(|patient| {
        let (ward, room) = parts.location()?;
        Ok((patient, parts.name()?, ward, room, parts.time(with)?))
    });
    match fields {
        Ok((patient, name, ward, room, time)) => {
            Ok(Message { header, event, patient, time, name, ward, room })
        }
        Err((condition, place, why)) => refuse(condition, place, why),
    }
}

const GB: &encoding_rs::Encoding = encoding_rs::GB18030;

/// The segments of a message: each ends with a carriage return; files and some senders have line ends of their own.
fn lines(text: &str) -> Vec<&str> {
    let end = if text.contains('\r') { '\r' } else { '\n' };
    text.split(end).map(|line| line.trim_matches(['\n', ' ', '\0'])).filter(|line| !line.is_empty()).collect()
}

type Wrong = (Condition, Place, String);

struct Parts<'a> {
    separators: Separators,
    charset: Charset,
    lines: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn is_segment(&self, line: &str) -> bool {
        let name = line.split(self.separators.field).next().unwrap_or_default();
        name.len() == 3 && name.bytes().all(|b| b.is_ascii_alphanumeric())
    }

    /// A field as it is written; the first separator is the first field of MSH.
    fn field(&self, segment: &str, number: usize) -> &'a str {
        let Some(line) = self.lines.iter().find(|line| line.starts_with(segment)) else { return "" };
        let number = if segment == "MSH" { number - 1 } else { number };
        line.split(self.separators.field).nth(number).unwrap_or_default()
    }

    /// The repetitions of a field.
    fn all(&self, segment: &str, number: usize) -> impl Iterator<Item = &'a str> {
        self.field(segment, number).split(self.separators.repetition)
    }

    /// A component of a repetition, of it the first part, for people; none where it says nothing.
    fn component(&self, of: &str, number: usize) -> Option<String> {
        let component = of.split(self.separators.component).nth(number - 1)?;
        let text = component.split(self.separators.subcomponent).next().filter(|text| !text.is_empty())?;
        if text == NULL {
            return Some(String::new());
        }
        let text = self.separators.unescape(text, self.charset);
        let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Some(trimmed(&plain).to_owned())
    }

    fn first(&self, segment: &str, number: usize) -> Option<String> {
        let repetition = self.all(segment, number).next()?;
        self.component(repetition, 1)
    }

    fn header(&self) -> Header {
        // What comes back in the answer is short: some letters, however long a sender makes it.
        let short = |number| -> String { self.field("MSH", number).chars().take(180).collect() };
        let code = |number| self.first("MSH", number).unwrap_or_default().chars().take(20).collect();
        Header {
            sender: (short(3), short(4)),
            receiver: (short(5), short(6)),
            event: self.event_code().chars().filter(char::is_ascii_alphanumeric).take(3).collect(),
            control: self.first("MSH", 10).unwrap_or_default().chars().take(200).collect(),
            version: code(12),
            processing: code(11),
            charset: self.charset,
        }
    }

    fn charset(&self, with: &Reading<'_>, ascii: bool) -> Result<Charset, String> {
        match self.first("MSH", 18) {
            None => Ok(with.charset),
            Some(name) if name.is_empty() => Ok(with.charset),
            // However letters beyond ASCII would be written, there are none.
            Some(_) if ascii => Ok(Charset::Utf8),
            Some(name) => Charset::named(&name).ok_or_else(|| {
                "messages are read in UNICODE UTF-8 and in GB 18030-2000 (GBK, GB2312)".into()
            }),
        }
    }

    /// The code of the event: MSH-9.2, in old messages EVN-1.
    fn event_code(&self) -> String {
        let of_type = self.all("MSH", 9).next().and_then(|kind| self.component(kind, 2));
        of_type.filter(|code| !code.is_empty()).or_else(|| self.first("EVN", 1)).unwrap_or_default()
    }

    fn event(&self) -> Result<Event, Wrong> {
        let kind = self.first("MSH", 9).unwrap_or_default();
        let place = Some(("MSH", 9));
        if kind != "ADT" {
            return Err((Condition::MessageType, place, "only ADT messages are taken here".into()));
        }
        let code = self.event_code();
        let Some(event) = Event::parse(&code) else {
            let why = format!("this event changes nothing here; taken are {}", events());
            return Err((Condition::EventCode, place, why));
        };
        match self.first("EVN", 1) {
            Some(other) if other != code => {
                Err((Condition::Value, Some(("EVN", 1)), "it names another event than MSH-9".into()))
            }
            Some(_) | None => Ok(event),
        }
    }

    /// The patient's id: that of the type which the site goes by, else the first one; in old messages PID-2.
    fn patient(&self, with: &Reading<'_>) -> Result<String, Wrong> {
        let place = Some(("PID", 3));
        let of_type = |id: &&str| {
            with.id_type.is_empty() || self.component(id, 5).is_some_and(|kind| kind == with.id_type)
        };
        let found = self.all("PID", 3).filter(of_type).find_map(|id| self.component(id, 1));
        let found = match found {
            None if with.id_type.is_empty() => self.first("PID", 2),
            found => found,
        };
        let Some(id) = found.filter(|id| !id.is_empty()) else {
            let kind = match with.id_type {
                "" => String::new(),
                kind => format!(" of the type {kind}"),
            };
            return Err((Condition::Missing, place, format!("the patient needs an id{kind}")));
        };
        short(id, SHORT, place)
    }

    /// Family and given name; in Chinese nothing stands between them.
    fn name(&self) -> Result<Option<String>, Wrong> {
        let place = Some(("PID", 5));
        let Some(name) = self.all("PID", 5).find(|name| !name.is_empty()) else { return Ok(None) };
        let both = (self.component(name, 1), self.component(name, 2));
        let joined = match both {
            (None, None) => return Ok(None),
            (Some(one), None) | (None, Some(one)) => one,
            (Some(family), Some(given)) if family.is_ascii() && !family.is_empty() && !given.is_empty() => {
                format!("{family} {given}")
            }
            (Some(family), Some(given)) => family + &given,
        };
        short(joined, NAME, place).map(Some)
    }

    /// Ward and room. Where there is a ward, a room that is left out is none: the patient is not in that of before.
    fn location(&self) -> Result<(Option<String>, Option<String>), Wrong> {
        let place = Some(("PV1", 3));
        let Some(at) = self.all("PV1", 3).next().filter(|at| !at.is_empty()) else { return Ok((None, None)) };
        let ward = self.component(at, 1).map(|ward| short(ward, SHORT, place)).transpose()?;
        let room = self.component(at, 2).or_else(|| ward.as_ref().map(|_| String::new()));
        Ok((ward, room.map(|room| short(room, SHORT, place)).transpose()?))
    }

    fn time(&self, with: &Reading<'_>) -> Result<Option<Span>, Wrong> {
        let of = |segment, number| {
            let text = self.first(segment, number).filter(|text| !text.is_empty())?;
            Some((Some((segment, number)), text))
        };
        let Some((place, text)) = of("MSH", 7).or_else(|| of("EVN", 2)) else { return Ok(None) };
        let Some(span) = span(&text, with.utc_offset_ms) else {
            let why = "a time goes at least to the minute: YYYYMMDDHHMM[SS[.SSS]][+ZZZZ]";
            return Err((Condition::Type, place, why.into()));
        };
        if with.now_ms.is_some_and(|now| span.at_ms > now.saturating_add(AHEAD_MS)) {
            let why = "it is more than ten minutes ahead of the clock here: look at the clock of the sender, \
                       and at its offset from UTC";
            return Err((Condition::Type, place, why.into()));
        }
        Ok(Some(span))
    }
}

fn short(text: String, most: usize, place: Place) -> Result<String, Wrong> {
    if text.chars().count() <= most {
        return Ok(text);
    }
    Err((Condition::Type, place, format!("it is longer than {most} letters")))
}

/// A time of HL7 v2 (chapter 2A, DTM): `YYYYMMDDHHMM[SS[.S[S[S[S]]]]][+/-ZZZZ]`.
fn span(text: &str, utc_offset_ms: i64) -> Option<Span> {
    let (time, offset) = match text.find(['+', '-']) {
        None => (text, utc_offset_ms),
        Some(at) => {
            let (time, zone) = text.split_at(at);
            let minutes = number(zone.get(1..3)?)? * 60 + number(zone.get(3..)?)?;
            if zone.len() != 5 || minutes > 14 * 60 {
                return None;
            }
            (time, minutes * 60_000 * if zone.starts_with('-') { -1 } else { 1 })
        }
    };
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    let part = |from: usize, to: usize| whole.get(from..to).and_then(number);
    let small = |n: i64| i8::try_from(n).ok();
    let second = match whole.len() {
        12 if fraction.is_empty() => 0,
        14 => part(12, 14)?,
        _ => return None,
    };
    let year = i16::try_from(part(0, 4)?).ok()?;
    let (month, day) = (small(part(4, 6)?)?, small(part(6, 8)?)?);
    let (hour, minute) = (small(part(8, 10)?)?, small(part(10, 12)?)?);
    let date = jiff::civil::DateTime::new(year, month, day, hour, minute, small(second)?, 0).ok()?;
    let seconds = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    let digits: String = fraction.chars().take(3).collect();
    let (ms, length_ms) = match (fraction.len(), digits.len()) {
        (0, _) => (0, if whole.len() == 12 { 60_000 } else { 1_000 }),
        (1..=6, 1) => (number(&digits)? * 100, 100),
        (2..=6, 2) => (number(&digits)? * 10, 10),
        (3..=6, 3) => (number(&digits)?, 1),
        _ => return None,
    };
    let at_ms = seconds.checked_mul(1_000)?.checked_add(ms)?.checked_sub(offset)?;
    Some(Span { at_ms, end_ms: at_ms + length_ms - 1 })
}

fn number(digits: &str) -> Option<i64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// A message as a hospital's system would write it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample<'a> {
    /// The code of the event.
    pub event: &'a str,
    /// The patient.
    pub patient: &'a str,
    /// The name.
    pub name: Option<&'a str>,
    /// The ward.
    pub ward: Option<&'a str>,
    /// The room.
    pub room: Option<&'a str>,
    /// When, UTC milliseconds.
    pub at_ms: WallMs,
    /// Its number.
    pub control: &'a str,
}

/// Writes a message.
pub fn sample(of: Sample<'_>) -> String {
    let Sample { event, patient, name, ward, room, at_ms, control } = of;
    let text = |text: Option<&str>| match text {
        None => String::new(),
        Some("") => NULL.to_owned(),
        Some(text) => Separators::USUAL.escape(text),
    };
    let (name, ward, room) = (text(name), text(ward), text(room));
    let (time, event) = (super::answer::time(at_ms, 0, true), Separators::USUAL.escape(event));
    let (patient, control) = (Separators::USUAL.escape(patient), Separators::USUAL.escape(control));
    format!(
        "MSH|^~\\&|HIS|HOSPITAL|KAKOU|GATE|{time}||ADT^{event}|{control}|P|2.5.1|||||CHN|UNICODE UTF-8\r\
         EVN|{event}|{time}\rPID|1||{patient}||{name}\rPV1|1|I|{ward}^{room}\r"
    )
}
