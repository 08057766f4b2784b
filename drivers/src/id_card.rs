//! Readers of resident identity cards on a serial port, 115200 8N1: only the number is taken, never the picture.
//!
//! Packet: `AA AA AA 96 69`, 16-bit length behind it big-endian, then command and parameter (from us) or three
//! status bytes and data (from the reader), then the XOR of everything from the length on. `20 01` finds a card
//! (status `00 00 9F`), `20 02` selects it, `30 01` reads it (`00 00 90`): the lengths of text and picture, then
//! the text in UTF-16, little-endian; the number is 18 characters behind name, sex, nation, birth and address.
//! Source: public drivers. The number is a code like any other: it is never logged, and upstream sees what the
//! lane makes of it.

use crate::codec::{Codec, Ms, Out};
use kakou_core::reading::{Command, NoData, Report, Ticket};

const HEAD: [u8; 5] = [0xaa, 0xaa, 0xaa, 0x96, 0x69];
const FIND: [u8; 2] = [0x20, 0x01];
const SELECT: [u8; 2] = [0x20, 0x02];
const READ: [u8; 2] = [0x30, 0x01];
/// Between two looks for a card.
const LOOK_MS: Ms = 300;
/// A reader answers within this time.
const ANSWER_MS: Ms = 1_500;
/// An answer is over when nothing follows for this long.
const GAP_MS: Ms = 100;
/// So many unanswered looks, and the reader is gone.
const LOST: u32 = 3;
/// The longest packet: text and picture.
const MAX_PACKET: usize = 2_400;
/// Every status of a reader begins so: a length with something else behind it is none.
const STATUS: [u8; 2] = [0, 0];
/// Where the number stands in the text, in bytes: behind name 30, sex 2, nation 4, birth 16, address 70.
const NUMBER: std::ops::Range<usize> = 122..158;

/// A question.
pub fn question(what: [u8; 2]) -> Vec<u8> {
    packet(&[what[0], what[1]])
}

/// A packet with this behind the length.
pub fn packet(body: &[u8]) -> Vec<u8> {
    let [hi, lo] = u16::try_from(body.len() + 1).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = [&HEAD[..], &[hi, lo], body].concat();
    let check = out[HEAD.len()..].iter().fold(0, |x, b| x ^ b);
    out.push(check);
    out
}

/// An answer with the card of this number, for simulators.
pub fn card(number: &str) -> Vec<u8> {
    let mut text = vec![0x20; 256];
    for (at, unit) in number.encode_utf16().enumerate().take(18) {
        text[NUMBER.start + 2 * at..][..2].copy_from_slice(&unit.to_le_bytes());
    }
    packet(&[&[0, 0, 0x90, 1, 0, 0, 0], &text[..]].concat())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is asked; the next look is due then.
    Resting(Ms),
    Asked([u8; 2], Ms),
}

/// The codec.
#[derive(Debug)]
pub struct IdCard {
    stage: Stage,
    buffer: Vec<u8>,
    /// When an answer that has begun must have gone on.
    gap_at: Option<Ms>,
    unanswered: u32,
    ready: Option<bool>,
}

impl Default for IdCard {
    fn default() -> Self {
        Self { stage: Stage::Resting(0), buffer: Vec::new(), gap_at: None, unanswered: 0, ready: None }
    }
}

/// 17 digits and a digit or X, the last of which is right (GB 11643, ISO 7064 MOD 11-2).
fn is_number(text: &str) -> bool {
    let digit = |c: char| if c == 'X' { Some(10) } else { c.to_digit(10) };
    let shape = text.bytes().take(17).all(|b| b.is_ascii_digit());
    text.len() == 18
        && shape
        && text
            .chars()
            .map(digit)
            .try_fold(0, |sum, d| Some((sum * 2 + d?) % 11))
            .is_some_and(|rest| rest == 1)
}

fn number(data: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes([*data.first()?, *data.get(1)?]));
    let text = data.get(4..4 + length)?;
    let units: Vec<u16> =
        text.get(NUMBER)?.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    String::from_utf16(&units).ok().filter(|n| is_number(n))
}

impl IdCard {
    fn ask(&mut self, now: Ms, what: [u8; 2], out: &mut Vec<Out>) {
        self.buffer.clear();
        self.gap_at = None;
        out.push(Out::Flush);
        out.push(Out::Write(question(what)));
        self.stage = Stage::Asked(what, now + ANSWER_MS);
    }

    fn link(&mut self, ready: bool, out: &mut Vec<Out>) {
        if self.ready.replace(ready) != Some(ready) {
            out.push(Out::Report(Report::Link { ready }));
        }
    }

    /// The body of the first whole packet; what lies before it is no packet. Without one, only what can become one
    /// stays.
    fn front(&mut self, out: &mut Vec<Out>) -> Option<Vec<u8>> {
        while !self.buffer.is_empty() {
            let known = self.buffer.len().min(HEAD.len());
            let (head, rest) = self.buffer.split_at(known);
            let length = rest.first_chunk().map(|l| usize::from(u16::from_be_bytes(*l)));
            let whole = length.map(|length| HEAD.len() + 2 + length);
            let status = rest.get(2..).unwrap_or_default();
            let possible = head == &HEAD[..known]
                && whole.is_none_or(|whole| (HEAD.len() + 3..=MAX_PACKET).contains(&whole))
                && status.iter().zip(&STATUS).all(|(is, should)| is == should);
            if possible {
                let frame = self.buffer.get(..whole?)?;
                if frame[HEAD.len()..].iter().fold(0, |x, b| x ^ b) == 0 {
                    let body = frame[HEAD.len() + 2..frame.len() - 1].to_vec();
                    self.buffer.clear();
                    return Some(body);
                }
                out.push(Out::Error("bad checksum"));
            }
            self.buffer.remove(0);
        }
        None
    }

    /// An answer broke off. A whole one may lie behind its beginning; else the card is looked for anew.
    fn broken_off(&mut self, now: Ms, out: &mut Vec<Out>) {
        out.push(Out::Error("an answer without its end"));
        self.gap_at = None;
        while !self.buffer.is_empty() {
            self.buffer.remove(0);
            if let Some(body) = self.front(out) {
                return self.answer(now, &body, out);
            }
        }
        self.stage = Stage::Resting(now + LOOK_MS);
    }

    fn answer(&mut self, now: Ms, body: &[u8], out: &mut Vec<Out>) {
        let Stage::Asked(asked, _) = self.stage else { return };
        out.push(Out::Seen);
        self.unanswered = 0;
        self.link(true, out);
        let (status, data) = body.split_at(body.len().min(3));
        match (asked, status) {
            (FIND, [0, 0, 0x9f]) => return self.ask(now, SELECT, out),
            (SELECT, [0, 0, 0x90]) => return self.ask(now, READ, out),
            (READ, [0, 0, 0x90]) => match number(data) {
                Some(number) => out.push(Out::Report(Report::Scan { bytes: number.into_bytes() })),
                None => out.push(Out::Error("a card whose number is not right")),
            },
            // No card, or it was taken away too soon.
            _ => {}
        }
        self.stage = Stage::Resting(now + LOOK_MS);
    }
}

impl Codec for IdCard {
    fn opened(&mut self, now: Ms, out: &mut Vec<Out>) {
        *self = Self::default();
        self.ask(now, FIND, out);
    }

    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        if !matches!(self.stage, Stage::Asked(..)) {
            out.push(Out::Error("late or unasked answer"));
            return;
        }
        self.buffer.extend_from_slice(bytes);
        self.gap_at = match self.front(out) {
            Some(body) => {
                self.answer(now, &body, out);
                None
            }
            None => (!self.buffer.is_empty()).then_some(now + GAP_MS),
        };
    }

    fn command(&mut self, _: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        if !matches!(command, Command::Read { .. } | Command::Stop) {
            out.push(Out::Report(Report::NoData { ticket, why: NoData::Fault }));
        }
    }

    fn deadline(&self) -> Option<Ms> {
        Some(match self.stage {
            Stage::Resting(until) => until,
            Stage::Asked(_, until) => self.gap_at.map_or(until, |gap| gap.min(until)),
        })
    }

    fn wake(&mut self, now: Ms, out: &mut Vec<Out>) {
        match self.stage {
            Stage::Resting(until) if until <= now => self.ask(now, FIND, out),
            Stage::Asked(..) if self.gap_at.is_some_and(|gap| gap <= now) => self.broken_off(now, out),
            Stage::Asked(_, until) if until <= now => {
                self.unanswered += 1;
                out.push(Out::Error("no answer"));
                if self.unanswered >= LOST {
                    self.link(false, out);
                }
                self.stage = Stage::Resting(now + LOOK_MS);
            }
            Stage::Resting(_) | Stage::Asked(..) => {}
        }
    }

    fn lost(&mut self) -> Option<Ticket> {
        *self = Self::default();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up number with a right last digit.
    const NUMBER: &str = "11010519491231002X";

    fn found() -> (IdCard, Vec<Out>) {
        let (mut r, mut out) = (IdCard::default(), Vec::new());
        r.opened(0, &mut out);
        r.bytes(10, &packet(&[0, 0, 0x9f, 0, 0, 0, 0]), &mut out);
        r.bytes(20, &packet(&[0, 0, 0x90, 0, 0, 0, 0, 0, 0, 0, 0]), &mut out);
        (r, out)
    }

    #[test]
    fn a_card_is_found_selected_and_read() {
        let (mut r, mut out) = found();
        let asked: Vec<_> =
            out.iter().filter_map(|o| if let Out::Write(w) = o { Some(w.clone()) } else { None }).collect();
        assert_eq!(asked, [question(FIND), question(SELECT), question(READ)]);
        for byte in card(NUMBER) {
            r.bytes(30, &[byte], &mut out);
        }
        assert_eq!(out.last(), Some(&Out::Report(Report::Scan { bytes: NUMBER.as_bytes().to_vec() })));
    }

    #[test]
    fn an_answer_that_breaks_off_is_given_up_at_the_pause_and_the_card_is_looked_for_anew() {
        for cut in [3, 6, 20, 200] {
            let (mut r, mut out) = found();
            r.bytes(30, &card(NUMBER)[..cut], &mut out);
            out.clear();
            let pause = r.deadline().unwrap();
            assert!(pause < 30 + ANSWER_MS / 2, "cut behind {cut}");
            r.wake(pause, &mut out);
            assert_eq!(out, [Out::Error("an answer without its end")], "cut behind {cut}");
            r.wake(pause + LOOK_MS, &mut out);
            assert!(out.contains(&Out::Write(question(FIND))), "cut behind {cut}");
        }
    }

    #[test]
    fn a_number_with_a_wrong_digit_is_no_number() {
        let (mut r, mut out) = found();
        r.bytes(30, &card("11010519491231003X"), &mut out);
        assert!(!out.iter().any(|o| matches!(o, Out::Report(Report::Scan { .. }))));
        assert!(is_number(NUMBER) && !is_number("1101051949123100X2") && !is_number("辽辽辽辽辽辽"));
    }
}
