//! Reading QR codes from grey pictures.
//!
//! A picture is tried in steps, the cheap ones first, and the first read ends it: at half size, at full
//! size, with a threshold for small windows, at quarter size. What is then still unread, though finder patterns
//! are to be seen, goes to the [grey stage](grid). After that it gets one of the rare steps each time, in
//! turn: inverted, other thresholds, more contrast, twice the size, another reader. The deadline is looked at
//! before each step and inside the long ones. Every step runs guarded: the readers are other people's code,
//! and what a stranger holds before the camera must not end the lane.

mod decode;
mod grey;
mod grid;
mod threshold;
mod types;

pub use grey::Grey;
pub use types::Payload;

use grid::{Bits, triples};
use rxing::common::BitMatrix;
use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use types::{Deadline, Read, Triple};

/// The shorter side of a code with a quiet zone, in pixels: less cannot be one.
const MIN_SIDE: usize = 21;
/// Above this a picture is not doubled.
const MAX_DOUBLED: usize = 1_400;
/// Below this, halves and quarters hold nothing that the whole does not.
const MIN_HALVED: usize = 160;
const MIN_QUARTERED: usize = 400;

/// One way to look at a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Half size.
    Half,
    /// As it is.
    Full,
    /// A threshold for a small window: uneven light.
    SmallWindow,
    /// Quarter size: a large or blurred code.
    Quarter,
    /// The grey stage, with its own search for finders.
    Grid,
    /// The same, searched at half size.
    GridHalf,
    /// The grey stage on what the detector for bits has found.
    GridDetected,
    /// Light on dark.
    Inverted,
    /// A still smaller window.
    TinyWindow,
    /// The grey stage, searched with a threshold for a small window.
    GridSmallWindow,
    /// The grey stage on what the detector finds with that threshold.
    GridSmallDetected,
    /// Contrast made even.
    Contrast,
    /// The grey stage at quarter size.
    GridQuarter,
    /// The grey stage at twice the size: tiny modules.
    GridDouble,
    /// The other reader.
    Rqrr,
}

/// Taken for every picture.
const ALWAYS: [Step; 7] = [
    Step::Half,
    Step::Full,
    Step::SmallWindow,
    Step::Quarter,
    Step::Grid,
    Step::GridHalf,
    Step::GridDetected,
];
/// Taken in turn.
const RARE: [Step; 8] = [
    Step::Inverted,
    Step::TinyWindow,
    Step::GridSmallWindow,
    Step::GridSmallDetected,
    Step::Contrast,
    Step::GridQuarter,
    Step::GridDouble,
    Step::Rqrr,
];

/// So many frames of a stream, and every way to look was tried.
pub const RARE_STEPS: usize = RARE.len();

/// How much a picture is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// One of a stream: one rare step, then the next picture.
    Frame,
    /// There is no other: every step.
    Still,
}

/// What came of a picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The code.
    pub payload: Option<Payload>,
    /// The step that read it.
    pub step: Option<Step>,
    /// Whether it is one of several symbols over which a code is spread: that is read and refused.
    pub part: bool,
    /// Steps that failed hard: counted, and otherwise like unread.
    pub panics: u32,
    /// Whether the time was over before all steps were taken.
    pub late: bool,
}

/// Reads one picture after another.
#[derive(Debug, Default)]
pub struct Reader {
    turn: usize,
}

impl Reader {
    /// Looks for a code.
    pub fn read(&mut self, picture: &Grey, effort: Effort, budget: Duration) -> Outcome {
        let rare: &[Step] = match effort {
            Effort::Still => &RARE,
            Effort::Frame => {
                self.turn = (self.turn + 1) % RARE.len();
                &RARE[self.turn..=self.turn]
            }
        };
        let mut out = Outcome::default();
        let views = Views::of(picture, Deadline::after(budget));
        for &step in ALWAYS.iter().chain(rare) {
            if views.deadline.over() {
                out.late = true;
                break;
            }
            match catch_unwind(AssertUnwindSafe(|| views.attempt(step))) {
                Ok(Some(read)) => {
                    out.step = Some(step);
                    match read {
                        Read::Whole(payload) => out.payload = Some(payload),
                        Read::Part => out.part = true,
                    }
                    break;
                }
                Ok(None) => {}
                Err(_) => out.panics += 1,
            }
        }
        out
    }
}

/// The radius of a window that holds some modules of a code which fills the picture.
fn radius(picture: &Grey) -> usize {
    ((picture.width.min(picture.height) / 16).clamp(6, 60) / 2).max(5)
}

/// A picture and what is made of it, each once.
struct Views<'a> {
    picture: &'a Grey,
    deadline: Deadline,
    half: OnceCell<Grey>,
    quarter: OnceCell<Grey>,
    bits: OnceCell<Option<BitMatrix>>,
    half_bits: OnceCell<Option<BitMatrix>>,
    small_window: OnceCell<Option<BitMatrix>>,
}

impl<'a> Views<'a> {
    fn of(picture: &'a Grey, deadline: Deadline) -> Self {
        Self {
            picture,
            deadline,
            half: OnceCell::new(),
            quarter: OnceCell::new(),
            bits: OnceCell::new(),
            half_bits: OnceCell::new(),
            small_window: OnceCell::new(),
        }
    }

    fn short_side(&self) -> usize {
        self.picture.width.min(self.picture.height)
    }
    fn half(&self) -> &Grey {
        self.half.get_or_init(|| self.picture.half())
    }
    fn quarter(&self) -> &Grey {
        self.quarter.get_or_init(|| self.half().half())
    }
    fn bits(&self) -> Option<&BitMatrix> {
        self.bits.get_or_init(|| decode::hybrid(self.picture)).as_ref()
    }
    fn half_bits(&self) -> Option<&BitMatrix> {
        self.half_bits.get_or_init(|| decode::hybrid(self.half())).as_ref()
    }
    fn small_window(&self) -> Option<&BitMatrix> {
        let window = || threshold::window(self.picture, radius(self.picture), 96);
        self.small_window.get_or_init(window).as_ref()
    }

    fn attempt(&self, step: Step) -> Option<Read> {
        let scale = match step {
            Step::Half => 2,
            Step::Quarter => 4,
            Step::Full
            | Step::SmallWindow
            | Step::Grid
            | Step::GridHalf
            | Step::GridDetected
            | Step::Inverted
            | Step::TinyWindow
            | Step::GridSmallWindow
            | Step::GridSmallDetected
            | Step::Contrast
            | Step::GridQuarter
            | Step::GridDouble
            | Step::Rqrr => 1,
        };
        if self.short_side() / scale < MIN_SIDE {
            return None;
        }
        match step {
            Step::Half => decode::from_bits(self.half_bits()?),
            Step::Full => decode::from_bits(self.bits()?),
            Step::SmallWindow => decode::from_bits(self.small_window()?),
            Step::Quarter => decode::from_bits(&decode::hybrid(self.quarter())?),
            Step::Grid => self.grid(self.picture, &self.searched(self.bits()?, 1.0)),
            Step::GridHalf if self.short_side() >= MIN_HALVED => {
                self.grid(self.picture, &self.searched(self.half_bits()?, 2.0))
            }
            Step::GridDetected => self.grid(self.picture, &decode::triples(self.bits()?)),
            Step::Inverted => decode::from_bits(&decode::hybrid(&self.picture.inverted())?),
            Step::TinyWindow => decode::from_bits(&threshold::window(self.picture, 7, 97)?),
            Step::GridSmallWindow => self.grid(self.picture, &self.searched(self.small_window()?, 1.0)),
            Step::GridSmallDetected => self.grid(self.picture, &decode::triples(self.small_window()?)),
            Step::Contrast => decode::from_bits(&decode::hybrid(&self.picture.even_contrast())?),
            Step::GridQuarter if self.short_side() >= MIN_QUARTERED => {
                self.grid(self.quarter(), &decode::triples(&decode::hybrid(self.quarter())?))
            }
            Step::GridDouble if self.picture.width.max(self.picture.height) <= MAX_DOUBLED => {
                let doubled = self.picture.doubled();
                self.grid(&doubled, &decode::triples(&decode::hybrid(&doubled)?))
            }
            // A sheet full of finder patterns would cost it seconds.
            Step::Rqrr if !decode::crowded(self.bits()?) => decode::by_rqrr(self.picture),
            Step::GridHalf | Step::GridQuarter | Step::GridDouble | Step::Rqrr => None,
        }
    }

    fn searched(&self, bits: &BitMatrix, scale: f32) -> Vec<Triple> {
        triples(self.picture, &Bits::of(bits), scale, &self.deadline)
    }

    fn grid(&self, picture: &Grey, triples: &[Triple]) -> Option<Read> {
        grid::read(picture, triples, &self.deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qrcodegen::{QrCode, QrCodeEcc, QrSegment, Version};

    /// A code of so many pixels a module, with its quiet zone.
    fn picture(text: &str, module: usize, inverted: bool) -> Grey {
        drawn(&QrCode::encode_text(text, QrCodeEcc::Medium).unwrap(), module, inverted)
    }

    fn drawn(code: &QrCode, module: usize, inverted: bool) -> Grey {
        let modules = usize::try_from(code.size()).unwrap() + 8;
        let side = modules * module;
        let dark = |x: usize, y: usize| {
            let at = |v: usize| i32::try_from(v / module).unwrap() - 4;
            code.get_module(at(x), at(y)) != inverted
        };
        let pixels = (0..side * side).map(|n| if dark(n % side, n / side) { 20 } else { 230 }).collect();
        Grey::new(pixels, side, side).unwrap()
    }

    fn read(picture: &Grey) -> Outcome {
        Reader::default().read(picture, Effort::Still, Duration::from_secs(10))
    }

    #[test]
    fn a_clean_code_is_read_at_any_size_and_inverted() {
        for module in [2, 3, 4, 7, 12] {
            let outcome = read(&picture("KP1:HELLO", module, false));
            assert_eq!(outcome.payload.unwrap().text.as_deref(), Some("KP1:HELLO"), "{module}");
        }
        assert_eq!(read(&picture("KP1:HELLO", 4, true)).payload.unwrap().bytes, b"KP1:HELLO");
    }

    #[test]
    fn chinese_text_is_read_as_it_was_written() {
        let outcome = read(&picture("辽P12345", 5, false));
        assert_eq!(outcome.payload.unwrap().text.as_deref(), Some("辽P12345"));
    }

    #[test]
    fn bytes_that_are_not_what_their_label_says_are_read_as_what_they_are() {
        let gbk = b"\xc1\xc9P12345";
        let segments = [QrSegment::make_eci(26), QrSegment::make_bytes(gbk)];
        let code = QrCode::encode_segments(&segments, QrCodeEcc::Medium).unwrap();
        let payload = read(&drawn(&code, 5, false)).payload.unwrap();
        assert_eq!(payload.text.as_deref(), Some("辽P12345"));
        // A label that is right counts: the same bytes would pass for Chinese.
        let segments = [QrSegment::make_eci(3), QrSegment::make_bytes(b"M\xfcller-1")];
        let code = QrCode::encode_segments(&segments, QrCodeEcc::Medium).unwrap();
        assert_eq!(read(&drawn(&code, 5, false)).payload.unwrap().text.as_deref(), Some("Müller-1"));
    }

    #[test]
    fn one_of_several_symbols_over_which_a_code_is_spread_is_no_code() {
        // Structured append, part 1 of 2, parity 0; six bytes; the end; padding up to the 16 bytes of a 1-M.
        let mut bits = String::from("0011_0000_0001_00000000_0100_00000110");
        b"P-0009".iter().for_each(|b| bits.push_str(&format!("{b:08b}")));
        bits.push_str("0000");
        let bits: Vec<u8> = bits.bytes().filter(|b| *b != b'_').map(|b| b - b'0').collect();
        let mut data: Vec<u8> =
            bits.chunks(8).map(|c| (0..8).fold(0, |v, n| v << 1 | c.get(n).copied().unwrap_or(0))).collect();
        data.extend([0xec, 0x11].into_iter().cycle().take(16 - data.len()));
        let code = QrCode::encode_codewords(Version::new(1), QrCodeEcc::Medium, &data, None);
        for module in [3, 5, 8] {
            let outcome = read(&drawn(&code, module, false));
            assert!(outcome.payload.is_none() && outcome.part, "{outcome:?}");
        }
    }

    #[test]
    fn a_picture_without_a_code_gives_nothing_however_small() {
        for side in [1, 20, 21, 64] {
            assert_eq!(read(&Grey::new(vec![128; side * side], side, side).unwrap()).payload, None);
        }
        assert!(Grey::new(vec![0; 10], 4, 4).is_none(), "too few pixels");
    }

    #[test]
    fn no_time_means_no_step() {
        let outcome = Reader::default().read(&picture("KP1:HELLO", 4, false), Effort::Frame, Duration::ZERO);
        assert!(outcome.late && outcome.payload.is_none());
    }
}
