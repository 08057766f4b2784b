//! Reading QR codes from grey pictures.
//!
//! A picture is tried in steps, the cheap ones first, and the first read ends it: at half size, at full
//! size, with a threshold for small windows, at quarter size. What is then still unread gets one of the rare
//! steps each time, in turn: inverted, more contrast, a still smaller window, twice the size, and another
//! reader. A deadline is looked at before each step. Every step runs guarded: the readers are other people's
//! code, and what a stranger holds before the camera must not end the lane.

mod decode;
mod grey;
mod threshold;

pub use decode::Payload;
pub use grey::Grey;

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The shorter side of a code with a quiet zone, in pixels: less cannot be one.
const MIN_SIDE: usize = 21;
/// Above this a picture is not doubled.
const MAX_DOUBLED: usize = 1_400;

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
    /// Light on dark.
    Inverted,
    /// A still smaller window.
    TinyWindow,
    /// Contrast made even.
    Contrast,
    /// Twice the size: tiny modules.
    Double,
    /// The other reader.
    Rqrr,
}

/// Taken for every picture.
const ALWAYS: [Step; 4] = [Step::Half, Step::Full, Step::SmallWindow, Step::Quarter];
/// Taken in turn.
const RARE: [Step; 5] = [Step::Inverted, Step::TinyWindow, Step::Contrast, Step::Double, Step::Rqrr];

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
        let begun = Instant::now();
        let rare: Vec<Step> = match effort {
            Effort::Still => RARE.to_vec(),
            Effort::Frame => {
                self.turn = (self.turn + 1) % RARE.len();
                vec![RARE[self.turn]]
            }
        };
        let mut out = Outcome::default();
        let half = OnceCell::new();
        for step in ALWAYS.into_iter().chain(rare) {
            if begun.elapsed() >= budget {
                out.late = true;
                break;
            }
            match catch_unwind(AssertUnwindSafe(|| attempt(picture, &half, step))) {
                Ok(Some(payload)) => {
                    (out.payload, out.step) = (Some(payload), Some(step));
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

/// `half` is made once for the steps that begin with it.
fn attempt(picture: &Grey, half: &OnceCell<Grey>, step: Step) -> Option<Payload> {
    let scaled;
    let picture = match step {
        Step::Half => half.get_or_init(|| picture.half()),
        Step::Quarter => {
            scaled = half.get_or_init(|| picture.half()).half();
            &scaled
        }
        Step::Inverted => {
            scaled = picture.inverted();
            &scaled
        }
        Step::Contrast => {
            scaled = picture.even_contrast();
            &scaled
        }
        Step::Double if picture.width.max(picture.height) <= MAX_DOUBLED => {
            scaled = picture.doubled();
            &scaled
        }
        Step::Double => return None,
        Step::Full | Step::SmallWindow | Step::TinyWindow | Step::Rqrr => picture,
    };
    if picture.width.min(picture.height) < MIN_SIDE {
        return None;
    }
    match step {
        Step::SmallWindow => decode::from_bits(&threshold::window(picture, radius(picture), 96)?),
        Step::TinyWindow => decode::from_bits(&threshold::window(picture, 7, 97)?),
        Step::Rqrr => decode::by_rqrr(picture),
        Step::Half | Step::Full | Step::Quarter | Step::Inverted | Step::Contrast | Step::Double => {
            decode::from_grey(picture)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qrcodegen::{QrCode, QrCodeEcc};

    /// A code of so many pixels a module, with its quiet zone.
    fn picture(text: &str, module: usize, inverted: bool) -> Grey {
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).unwrap();
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
