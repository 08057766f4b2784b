//! Scales that send a line for each weighing, `ST,GS,+  4.876kg`, 9600 8N1: only a steady weight is reported.
//!
//! Whoever asks gets the first steady weight above 0 that is told after the question: not what lay there before, and
//! not an empty scale.
//!
//! `ST` steady, `US` not yet, `OL` overload; `GS` gross, `NT` net; sign, number, unit `kg` or `g`. Source:
//! public drivers.

use crate::codec::{Codec, Ms, Out};
use kakou_core::reading::{Command, NoData, Report, Ticket};

/// The longest line.
const MAX_LINE: usize = 64;

/// The codec.
#[derive(Debug, Default)]
pub struct Scale {
    line: Vec<u8>,
    too_long: bool,
    last: Option<i64>,
    asked: Option<Ticket>,
}

/// A line for simulators.
pub fn line(steady: bool, grams: i64) -> Vec<u8> {
    let sign = if grams < 0 { '-' } else { '+' };
    let (kilos, rest) = (grams.abs() / 1_000, grams.abs() % 1_000);
    format!("{},GS,{sign}{kilos:>3}.{rest:03}kg\r\n", if steady { "ST" } else { "US" }).into_bytes()
}

/// The grams of a decimal number in kilograms or grams, without floating point.
fn grams(number: &str, unit: &str) -> Option<i64> {
    let number: String = number.chars().filter(|c| *c != ' ').collect();
    let (sign, digits) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(&number)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || whole.len() > 7 || part.len() > 6 || !all_digits(whole) || !all_digits(part) {
        return None;
    }
    let thousandths: i64 = format!("{whole}{:0<3}", &part[..part.len().min(3)]).parse().ok()?;
    match unit {
        "kg" => Some(sign * thousandths),
        "g" => Some(sign * thousandths / 1_000),
        _ => None,
    }
}

enum ScaleReading {
    Steady(i64),
    NotYet,
}

fn read(line: &[u8]) -> Option<ScaleReading> {
    let text = std::str::from_utf8(line).ok()?;
    let (state, rest) = text.split_once(',')?;
    let (_, value) = rest.split_once(',').filter(|(kind, _)| matches!(*kind, "GS" | "NT"))?;
    let end = value.find(|c: char| c.is_ascii_alphabetic())?;
    let grams = grams(&value[..end], value[end..].trim_end());
    match state {
        "ST" => grams.map(ScaleReading::Steady),
        "US" | "OL" => Some(ScaleReading::NotYet),
        _ => None,
    }
}

impl Scale {
    /// A steady weight: the answer to whoever asks, or told when it is another one than before.
    fn steady(&mut self, grams: i64, out: &mut Vec<Out>) {
        if self.asked.is_some() && grams <= 0 {
            return;
        }
        let ticket = self.asked.take();
        if self.last.replace(grams) != Some(grams) || ticket.is_some() {
            out.push(Out::Report(Report::Weight { ticket, grams }));
        }
    }
}

impl Codec for Scale {
    fn opened(&mut self, _: Ms, out: &mut Vec<Out>) {
        *self = Self::default();
        out.push(Out::Flush);
        out.push(Out::Report(Report::Link { ready: true }));
    }

    fn bytes(&mut self, _: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        for &byte in bytes {
            if byte != b'\n' {
                self.too_long |= self.line.len() >= MAX_LINE;
                if !self.too_long {
                    self.line.push(byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if std::mem::take(&mut self.too_long) {
                out.push(Out::Error("a line without end"));
                continue;
            }
            match read(line.strip_suffix(b"\r").unwrap_or(&line)) {
                Some(ScaleReading::Steady(grams)) => {
                    out.push(Out::Seen);
                    self.steady(grams, out);
                }
                Some(ScaleReading::NotYet) => {
                    out.push(Out::Seen);
                    self.last = None;
                }
                None => out.push(Out::Error("a line that is no weighing")),
            }
        }
    }

    fn command(&mut self, _: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        match command {
            Command::Measure => self.asked = Some(ticket),
            Command::Stop => self.asked = None,
            Command::Pulse { .. }
            | Command::Capture { .. }
            | Command::Print { .. }
            | Command::Read { .. }
            | Command::Signal { .. } => {
                out.push(Out::Report(Report::NoData { ticket, why: NoData::Fault }));
            }
        }
    }

    fn deadline(&self) -> Option<Ms> {
        None
    }

    fn wake(&mut self, _: Ms, _: &mut Vec<Out>) {}

    fn lost(&mut self) -> Option<Ticket> {
        std::mem::take(self).asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_steady_weight_is_reported_once() {
        let (mut s, mut out) = (Scale::default(), Vec::new());
        for line in [line(false, 4_870), line(true, 4_876), line(true, 4_876), b"ST,GS,-  0.5g\r\n".to_vec()]
        {
            s.bytes(0, &line, &mut out);
        }
        let weights: Vec<_> = out.iter().filter(|o| matches!(o, Out::Report(_))).collect();
        let grams = |grams| Out::Report(Report::Weight { ticket: None, grams });
        assert_eq!(weights, [&grams(4_876), &grams(0)]);
    }

    #[test]
    fn whoever_asks_gets_the_next_steady_load_and_nobody_else_gets_it_again() {
        let (mut s, mut out) = (Scale::default(), Vec::new());
        s.bytes(0, &line(true, 2_300), &mut out);
        s.command(1, Ticket(7), &Command::Measure, &mut out);
        for (steady, grams) in [(false, 900), (true, 0), (true, -20), (true, 2_300), (true, 2_300)] {
            s.bytes(2, &line(steady, grams), &mut out);
        }
        let weights: Vec<_> = out.drain(..).filter(|o| matches!(o, Out::Report(_))).collect();
        let told = |ticket, grams| Out::Report(Report::Weight { ticket, grams });
        assert_eq!(weights, [told(None, 2_300), told(Some(Ticket(7)), 2_300)]);
        s.command(3, Ticket(8), &Command::Measure, &mut out);
        assert_eq!(s.lost(), Some(Ticket(8)), "its question has no answer");
        s.command(4, Ticket(9), &Command::Measure, &mut out);
        s.command(4, Ticket(9), &Command::Stop, &mut out);
        s.bytes(5, &line(true, 4_000), &mut out);
        assert_eq!(out.last(), Some(&told(None, 4_000)), "nobody waits for it any more");
    }

    #[test]
    fn what_is_no_weighing_is_an_error_and_nothing_else() {
        for line in
            ["ST,GS,+  4.8", "ST,GS,+ x.876kg", "ST,,4.876kg", "GS,ST,+4.876kg", "ST,GS,+4.876lb", ",,"]
        {
            let (mut s, mut out) = (Scale::default(), Vec::new());
            s.bytes(0, format!("{line}\r\n").as_bytes(), &mut out);
            assert_eq!(out, [Out::Error("a line that is no weighing")], "{line}");
        }
    }
}
