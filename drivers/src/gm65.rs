//! GROW GM65, GM805, GM81x, GM861 and their Waveshare boards: a UART or USB-CDC, 9600 8N1.
//!
//! A command is `7E 00`, type, length, address, data, CRC; the answer `02 00 00`, length, data, CRC.
//! The CRC is CRC-16/XMODEM over everything behind the first two bytes. Codes come as plain text.
//! Sources: maker's manual; zone 0003 bit 0 from public drivers.

use crate::engine_scanner::{Engine, Front, TOLD};
use serde::Deserialize;

/// Reads settings.
const READ: u8 = 0x07;
/// Writes settings, until the power goes.
const WRITE: u8 = 0x08;
/// Keeps settings.
const SAVE: u8 = 0x09;
/// Divisor of the line's speed.
const ZONE_SPEED: u16 = 0x002a;
const SPEED_CLOCK: u32 = 3_000_000;
/// The speeds that it has.
pub const SPEEDS: [u32; 6] = [9_600, 14_400, 19_200, 38_400, 57_600, 115_200];
/// An answer with one byte of data.
const ANSWER: usize = 7;
/// Bits 1-0: how reading begins.
const ZONE_MODE: u16 = 0x0000;
/// Bit 0: reads one code, in the mode that waits for a command.
const ZONE_TRIGGER: u16 = 0x0002;
/// Bit 0: whether a code can change the reader's settings.
const ZONE_SETUP_CODES: u16 = 0x0003;

/// How reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// Always.
    #[default]
    Continuous,
    /// When the picture changes.
    Sensing,
    /// When it is told to: by the vehicle loop of its lane.
    Command,
}

impl Trigger {
    const fn bits(self) -> u8 {
        match self {
            Self::Continuous => 2,
            Self::Sensing => 3,
            Self::Command => 1,
        }
    }
}

/// CRC-16/XMODEM: polynomial 0x1021, initial value 0, big-endian on the wire.
pub fn crc16(bytes: &[u8]) -> [u8; 2] {
    let crc = bytes.iter().fold(0_u16, |crc, &b| {
        (0..8)
            .fold(crc ^ (u16::from(b) << 8), |c, _| if c & 0x8000 != 0 { (c << 1) ^ 0x1021 } else { c << 1 })
    });
    crc.to_be_bytes()
}

/// A command for one byte, with its checksum.
pub fn command(kind: u8, zone: u16, data: u8) -> Vec<u8> {
    frame(kind, zone, &[data])
}

fn frame(kind: u8, zone: u16, data: &[u8]) -> Vec<u8> {
    let [hi, lo] = zone.to_be_bytes();
    let mut out = vec![0x7e, 0x00, kind, u8::try_from(data.len()).unwrap_or(0), hi, lo];
    out.extend_from_slice(data);
    out.extend(crc16(&out[2..]));
    out
}

/// Sets the speed of the line, until the power goes; nothing for a speed that the reader cannot divide to. What it
/// answers may come at either speed.
pub fn set_speed(baud: u32) -> Option<Vec<u8>> {
    let divisor = u16::try_from((SPEED_CLOCK + baud / 2) / baud.max(1)).ok().filter(|d| *d > 0)?;
    SPEEDS.contains(&baud).then(|| frame(WRITE, ZONE_SPEED, &divisor.to_le_bytes()))
}

/// Keeps the settings beyond the next power cut.
pub fn save() -> Vec<u8> {
    frame(SAVE, 0, &[0])
}

/// A question that changes nothing: how reading begins.
pub fn question() -> Vec<u8> {
    command(READ, ZONE_MODE, 1)
}

/// Whether this begins with an answer.
pub fn is_answer(bytes: &[u8]) -> bool {
    let Some(&[0x02, 0x00, 0x00, length]) = bytes.get(..4) else { return false };
    let whole = usize::from(length) + 6;
    bytes.get(..whole).is_some_and(|f| f[whole - 2..] == crc16(&f[2..whole - 2]))
}

/// The engine.
#[derive(Debug)]
pub struct Gm65 {
    trigger: Trigger,
    value: u8,
}

impl Gm65 {
    /// With this trigger.
    pub const fn new(trigger: Trigger) -> Self {
        Self { trigger, value: 0 }
    }
}

impl Engine for Gm65 {
    fn command(&mut self, step: usize) -> Option<Vec<u8>> {
        // The other bits of a zone are light, aim and sound: they stay as they are.
        Some(match step {
            0 => command(READ, ZONE_SETUP_CODES, 1),
            1 => command(WRITE, ZONE_SETUP_CODES, self.value & !1),
            2 => command(READ, ZONE_MODE, 1),
            3 => command(WRITE, ZONE_MODE, (self.value & !3) | self.trigger.bits()),
            _ => return None,
        })
    }

    fn read(&self, on: bool) -> Option<Vec<u8>> {
        // It ends by itself after a code, or after its time.
        (self.trigger == Trigger::Command && on).then(|| command(WRITE, ZONE_TRIGGER, 1))
    }

    fn front(&mut self, step: usize, bytes: &[u8]) -> Front {
        let head = [0x02, 0x00, 0x00];
        let known = bytes.len().min(head.len());
        if bytes[..known] != head[..known] {
            return Front::Text;
        }
        // Every answer to us has one byte of data: another length is what follows an answer that broke off.
        let Some(&length) = bytes.get(3) else { return Front::Short };
        if length != 1 {
            return Front::Broken(head.len());
        }
        let Some(frame) = bytes.get(..ANSWER) else { return Front::Short };
        if frame[ANSWER - 2..] != crc16(&frame[2..ANSWER - 2]) {
            return Front::Broken(head.len() + 1);
        }
        // A question is answered with the value, a setting with 0.
        let asked = step != TOLD && step.is_multiple_of(2);
        if asked {
            self.value = frame[4];
        }
        Front::Answer { length: ANSWER, good: asked || frame[4] == 0 }
    }
}

/// The answer of a reader, for simulators.
pub fn answer(value: u8) -> Vec<u8> {
    let mut out = vec![0x02, 0x00, 0x00, 0x01, value];
    out.extend(crc16(&out[2..]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Out};
    use crate::engine_scanner::EngineScanner;
    use crate::line_scanner::Terminator;
    use kakou_core::reading::Report;

    fn written(out: &[Out]) -> Vec<Vec<u8>> {
        out.iter().filter_map(|o| if let Out::Write(w) = o { Some(w.clone()) } else { None }).collect()
    }

    /// Sets a reader up that has `zone 0003 = setup` and `zone 0000 = mode`.
    fn set_up(setup: u8, mode: u8) -> (EngineScanner<Gm65>, Vec<Out>) {
        let mut s = EngineScanner::new(Gm65::new(Trigger::Continuous), Terminator::Auto);
        let (mut out, mut now) = (Vec::new(), 0);
        s.opened(now, &mut out);
        for value in [setup, 0, mode, 0] {
            for byte in answer(value) {
                s.bytes(now, &[byte], &mut out);
            }
            now += 50;
            s.wake(now, &mut out);
        }
        (s, out)
    }

    #[test]
    fn codes_cannot_change_the_reader_and_light_and_sound_stay_as_they_are() {
        let (_, out) = set_up(0x03, 0xd4);
        let expected = [
            command(READ, 0x0003, 1),
            command(WRITE, 0x0003, 0x02),
            command(READ, 0x0000, 1),
            command(WRITE, 0x0000, 0xd6),
        ];
        assert_eq!(written(&out), expected);
        assert!(out.contains(&Out::Report(Report::Link { ready: true })));
    }

    #[test]
    fn speed_and_save_are_the_published_frames() {
        let at_9600 = [0x7e, 0x00, 0x08, 0x02, 0x00, 0x2a, 0x39, 0x01, 0xa7, 0xea];
        assert_eq!(set_speed(9_600).unwrap(), at_9600);
        assert_eq!(set_speed(115_200).unwrap()[6..8], [0x1a, 0x00]);
        assert_eq!(set_speed(12_345), None);
        assert_eq!(save(), [0x7e, 0x00, 0x09, 0x01, 0x00, 0x00, 0x00, 0xde, 0xc8]);
    }

    #[test]
    fn the_loop_makes_it_read_and_its_answer_is_no_code() {
        let mut s = EngineScanner::new(Gm65::new(Trigger::Command), Terminator::Auto);
        let (mut out, mut now) = (Vec::new(), 0);
        s.opened(now, &mut out);
        for value in [0, 0, 0, 0] {
            s.bytes(now, &answer(value), &mut out);
            now += 50;
            s.wake(now, &mut out);
        }
        s.command(
            now,
            kakou_core::reading::Ticket::NOBODY,
            &kakou_core::reading::Command::Read { on: true },
            &mut out,
        );
        assert_eq!(written(&out).last().unwrap(), &[0x7e, 0x00, 0x08, 0x01, 0x00, 0x02, 0x01, 0x02, 0xda]);
        out.clear();
        s.bytes(now + 5, &[answer(0), b"KP1:AB\r".to_vec()].concat(), &mut out);
        let scans: Vec<_> = out.iter().filter(|o| matches!(o, Out::Report(Report::Scan { .. }))).collect();
        assert_eq!(scans, [&Out::Report(Report::Scan { bytes: b"KP1:AB".to_vec() })]);
        // The vehicle still stands there: it reads the next code as well, until the loop says otherwise.
        out.clear();
        s.wake(now + 60, &mut out);
        assert_eq!(written(&out).len(), 1);
        s.bytes(now + 70, &answer(0), &mut out);
        s.command(
            now + 80,
            kakou_core::reading::Ticket::NOBODY,
            &kakou_core::reading::Command::Read { on: false },
            &mut out,
        );
        out.clear();
        s.wake(now + 60_000, &mut out);
        assert_eq!(written(&out).len(), 0);
    }

    #[test]
    fn a_code_amid_the_set_up_is_read() {
        let mut s = EngineScanner::new(Gm65::new(Trigger::Continuous), Terminator::Auto);
        let mut out = Vec::new();
        s.opened(0, &mut out);
        let mut stream = b"KP1:AB\r".to_vec();
        stream.extend(answer(3));
        stream.extend(b"KP1:CD\r");
        s.bytes(0, &stream, &mut out);
        let scans: Vec<_> = out
            .iter()
            .filter_map(|o| {
                if let Out::Report(Report::Scan { bytes }) = o { Some(bytes.as_slice()) } else { None }
            })
            .collect();
        assert_eq!(scans, [b"KP1:AB", b"KP1:CD"]);
    }

    #[test]
    fn an_answer_that_breaks_off_makes_no_code_and_takes_none_with_it_but_the_next() {
        for cut in 1..7 {
            let mut s = EngineScanner::new(Gm65::new(Trigger::Continuous), Terminator::Auto);
            let mut out = Vec::new();
            s.opened(0, &mut out);
            let stream = [&answer(3)[..cut], b"P-0009\rP-0010\r"].concat();
            for byte in stream {
                s.bytes(1, &[byte], &mut out);
            }
            let scans: Vec<_> = out
                .iter()
                .filter_map(|o| {
                    if let Out::Report(Report::Scan { bytes }) = o { Some(bytes.as_slice()) } else { None }
                })
                .collect();
            assert!(
                scans.iter().all(|s| [&b"P-0009"[..], b"P-0010"].contains(s)),
                "cut behind {cut}: {scans:?}"
            );
            assert_eq!(scans.last(), Some(&&b"P-0010"[..]), "cut behind {cut}");
        }
        // And one behind which nothing comes.
        let mut s = EngineScanner::new(Gm65::new(Trigger::Continuous), Terminator::Auto);
        let mut out = Vec::new();
        s.opened(0, &mut out);
        s.bytes(1, &answer(3)[..5], &mut out);
        while let Some(at) = s.deadline().filter(|at| *at < 4_000) {
            s.wake(at, &mut out);
        }
        assert!(!out.iter().any(|o| matches!(o, Out::Report(Report::Scan { .. }))));
    }

    #[test]
    fn a_reader_that_does_not_answer_is_faulty_and_is_asked_again() {
        let mut s = EngineScanner::new(Gm65::new(Trigger::Continuous), Terminator::Auto);
        let mut out = Vec::new();
        s.opened(0, &mut out);
        for now in [500, 1_000, 1_500] {
            s.wake(now, &mut out);
        }
        assert!(out.contains(&Out::Report(Report::Link { ready: false })));
        s.bytes(2_000, b"KP1:AB\r", &mut out);
        assert!(out.iter().any(|o| matches!(o, Out::Report(Report::Scan { .. }))), "it still reads");
        s.wake(6_500, &mut out);
        assert_eq!(written(&out).len(), 4);
    }
}
