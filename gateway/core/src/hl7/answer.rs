//! The acknowledgement of a message: MSH, MSA, and ERR where something is wrong (HL7 v2.5, chapter 2).

use super::text::Separators;
use super::{Ack, Header, Refusal};
use crate::time::WallMs;

/// Who answers, and when.
#[derive(Debug, Clone, Copy)]
pub struct From<'a> {
    /// The gateway.
    pub gateway: &'a str,
    /// The number of the answer: no other has it.
    pub number: &'a str,
    /// Now, UTC milliseconds.
    pub now_ms: WallMs,
    /// The clock of the site, milliseconds east of UTC.
    pub utc_offset_ms: i64,
}

/// The answer to a message that is stored, or that changes nothing because a newer one was.
pub fn accepted(header: &Header, from: From<'_>) -> Vec<u8> {
    let text = format!("{}MSA|AA|{}\r", msh(header, from), control(header));
    header.charset.encode(&text)
}

/// The answer to a message that is not taken: what is wrong, and where.
pub fn refused(refusal: &Refusal, from: From<'_>) -> Vec<u8> {
    let header = &*refusal.header;
    let (number, condition) = refusal.condition.row();
    let ack: Ack = refusal.condition.ack();
    let why = Separators::USUAL.escape(&refusal.why);
    let place = refusal.place.map(|(segment, field)| format!("{segment}^1^{field}")).unwrap_or_default();
    let text = format!(
        "{}MSA|{}|{}|{why}\rERR||{place}|{number}^{condition}^HL70357|E||||{why}\r",
        msh(header, from),
        ack.code(),
        control(header),
    );
    header.charset.encode(&text)
}

fn control(header: &Header) -> String {
    Separators::USUAL.escape(&header.control)
}

fn msh(header: &Header, from: From<'_>) -> String {
    // Sender and receiver come back as they were written, where their separators are the usual ones.
    let back = |text: &str| -> String { text.chars().filter(|c| !c.is_control() && *c != '|').collect() };
    let (application, facility) = (back(&header.sender.0), back(&header.sender.1));
    let own = match back(&header.receiver.0) {
        name if name.is_empty() => "KAKOU".to_owned(),
        name => name,
    };
    let place = match back(&header.receiver.1) {
        name if name.is_empty() => Separators::USUAL.escape(from.gateway),
        name => name,
    };
    let event = if header.event.is_empty() { String::new() } else { format!("^{}", header.event) };
    let plain = |text: &str, other: &'static str| {
        let good = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
        if good { text.to_owned() } else { other.to_owned() }
    };
    let (version, processing) = (plain(&header.version, "2.5.1"), plain(&header.processing, "P"));
    let time = time(from.now_ms, from.utc_offset_ms, false);
    let (number, charset) = (Separators::USUAL.escape(from.number), header.charset.name());
    format!(
        "MSH|^~\\&|{own}|{place}|{application}|{facility}|{time}||ACK{event}|{number}|{processing}|{version}||||||{charset}\r"
    )
}

/// A moment as HL7 writes it.
pub(super) fn time(wall_ms: WallMs, utc_offset_ms: i64, exactly: bool) -> String {
    let local = jiff::Timestamp::from_millisecond(wall_ms.saturating_add(utc_offset_ms)).unwrap_or_default();
    let minutes = utc_offset_ms / 60_000;
    let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
    let form = if exactly { "%Y%m%d%H%M%S.%3f" } else { "%Y%m%d%H%M%S" };
    format!("{}{sign}{:02}{:02}", local.strftime(form), minutes / 60, minutes % 60)
}
