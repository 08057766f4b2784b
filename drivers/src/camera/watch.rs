//! Codes in a stream of frames: each is reported once, and an empty lane costs almost nothing.
//!
//! A frame is compared with the one before by the mean brightness of [`CELLS`] by [`CELLS`] cells. While nothing
//! changes and every decoding step was tried, no step is tried again. A code that stays in view is reported again every
//! [`HELD_MS`]; one that was out of view for [`ABSENT_MS`] is reported again only after [`AGAIN_MS`]. A payload
//! whose unsure codewords were treated as erasures is accepted when two frames agree.

use crate::codec::Ms;
use crate::qr::{Effort, Grey, RARE_STEPS, Reader};
use crate::scan_text::of_camera;
use std::time::Duration;

/// Cells along each side of a comparison.
const CELLS: usize = 16;
/// A cell whose mean differs by so many grey levels has changed.
const CHANGED: i32 = 6;
/// The same code is reported again after this time.
pub const AGAIN_MS: Ms = 3_000;
/// If it was away for this time.
pub const ABSENT_MS: Ms = 700;
/// While it is held, a code is told again this often: a lane that was busy takes it then, one that had it knows that
/// it is the same.
pub const HELD_MS: Ms = 1_500;
/// Time for one frame.
const BUDGET: Duration = Duration::from_millis(30);

/// A code that was reported.
struct Reported {
    bytes: Vec<u8>,
    shown: Vec<u8>,
    at: Ms,
    seen: Ms,
}

impl Reported {
    /// Told again, if it is time to.
    fn held(&mut self, now: Ms) -> Option<FrameScan> {
        (now.saturating_sub(self.at) >= HELD_MS).then(|| {
            self.at = now;
            FrameScan::Code(self.shown.clone())
        })
    }
}

/// What was seen in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameScan {
    /// As before: nothing was tried.
    Still,
    /// No code.
    Nothing,
    /// A code that is reported already, or is not yet believed.
    Known,
    /// One of several symbols over which a code is spread: that is no code.
    Part,
    /// A new code: its text if it has one, its bytes if not.
    Code(Vec<u8>),
}

/// The watch over one camera.
#[derive(Default)]
pub struct CodeWatch {
    reader: Reader,
    cells: Vec<i32>,
    tried: usize,
    present: bool,
    reported: Option<Reported>,
    doubtful: Option<Vec<u8>>,
    /// Steps of the reader that failed hard.
    pub panics: u64,
}

fn cells(picture: &Grey) -> Vec<i32> {
    let (across, down) = ((picture.width / CELLS).max(1), (picture.height / CELLS).max(1));
    let mean = |n: usize| {
        let (x0, y0) = (n % CELLS * across, n / CELLS * down);
        // Every fourth row is enough to see that something moves.
        let rows = (y0..(y0 + down).min(picture.height)).step_by(4);
        let (mut sum, mut count) = (0, 0);
        for y in rows {
            let row = &picture.pixels[y * picture.width..(y + 1) * picture.width];
            let cell = row.get(x0..(x0 + across).min(row.len())).unwrap_or_default();
            sum += cell.iter().map(|p| i32::from(*p)).sum::<i32>();
            count += i32::try_from(cell.len()).unwrap_or(0);
        }
        sum / count.max(1)
    };
    (0..CELLS * CELLS).map(mean).collect()
}

impl CodeWatch {
    /// Looks at the newest frame.
    pub fn look(&mut self, now: Ms, picture: &Grey) -> FrameScan {
        let cells = cells(picture);
        let same = self.cells.len() == cells.len()
            && self.cells.iter().zip(&cells).all(|(a, b)| (a - b).abs() < CHANGED);
        if same && (self.present || self.tried >= RARE_STEPS) {
            return match &mut self.reported {
                Some(reported) if self.present => {
                    reported.seen = now;
                    reported.held(now).unwrap_or(FrameScan::Still)
                }
                Some(_) | None => FrameScan::Still,
            };
        }
        if !same {
            // Compared with the frame that was tried last: what creeps is seen as well.
            self.cells = cells;
            self.tried = 0;
        }
        let outcome = self.reader.read(picture, Effort::Frame, BUDGET);
        self.panics += u64::from(outcome.panics);
        self.tried += 1;
        self.present = false;
        let Some(payload) = outcome.payload else {
            return if outcome.part { FrameScan::Part } else { FrameScan::Nothing };
        };
        let shown = of_camera(payload.text.as_ref().map_or(payload.bytes.as_slice(), String::as_bytes));
        if shown.is_empty() {
            return FrameScan::Nothing;
        }
        if payload.erasures > 0 && self.doubtful.as_ref() != Some(&payload.bytes) {
            self.doubtful = Some(payload.bytes);
            self.tried = 0;
            return FrameScan::Known;
        }
        self.doubtful = None;
        self.present = true;
        let before = self.reported.as_mut().filter(|r| r.bytes == payload.bytes);
        if let Some(reported) = before {
            let away = now.saturating_sub(reported.seen) >= ABSENT_MS;
            reported.seen = now;
            if !away {
                return reported.held(now).unwrap_or(FrameScan::Known);
            }
            if now.saturating_sub(reported.at) < AGAIN_MS {
                return FrameScan::Known;
            }
        }
        self.reported = Some(Reported { bytes: payload.bytes, shown: shown.clone(), at: now, seen: now });
        FrameScan::Code(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qrcodegen::{QrCode, QrCodeEcc};

    fn picture(text: Option<&str>) -> Grey {
        let code = text.map(|t| QrCode::encode_text(t, QrCodeEcc::Medium).unwrap());
        let dark = |x: usize, y: usize| {
            let at = |v: usize| i32::try_from(v / 5).unwrap() - 8;
            code.as_ref().is_some_and(|c| c.get_module(at(x), at(y)))
        };
        let pixels = (0..320 * 240).map(|n| if dark(n % 320, n / 320) { 20 } else { 220 }).collect();
        Grey::new(pixels, 320, 240).unwrap()
    }

    #[test]
    fn a_code_is_reported_once_until_it_is_held_or_was_away_for_a_while() {
        let (mut watch, empty) = (CodeWatch::default(), picture(None));
        let (a, b) = (picture(Some("KP1:A")), picture(Some("KP1:B")));
        let code = |text: &str| FrameScan::Code(text.as_bytes().to_vec());
        assert_eq!(watch.look(0, &empty), FrameScan::Nothing);
        assert_eq!(watch.look(100, &a), code("KP1:A"));
        assert_eq!(watch.look(200, &a), FrameScan::Still);
        assert_eq!(watch.look(300, &empty), FrameScan::Nothing);
        assert_eq!(watch.look(400, &a), FrameScan::Known, "a hand passed in front of it");
        assert_eq!(watch.look(500, &b), code("KP1:B"));
        let again: Vec<u64> =
            (600..5_000).step_by(100).filter(|now| watch.look(*now, &b) == code("KP1:B")).collect();
        assert_eq!(again, [2_000, 3_500], "while it is held");
        assert_eq!(watch.look(5_000, &empty), FrameScan::Nothing);
        assert_eq!(watch.look(5_800, &b), FrameScan::Known, "too soon after it was told");
        assert_eq!(watch.look(6_600, &empty), FrameScan::Nothing);
        assert_eq!(watch.look(7_400, &b), code("KP1:B"));
    }

    #[test]
    fn what_stands_at_the_ends_of_a_printed_code_is_no_part_of_it() {
        for text in ["P-0009\n", "P-0009\r\n", "\tP-0009", "\u{feff}P-0009"] {
            let seen = CodeWatch::default().look(0, &picture(Some(text)));
            assert_eq!(seen, FrameScan::Code(b"P-0009".to_vec()), "{text:?}");
        }
        assert_eq!(CodeWatch::default().look(0, &picture(Some("\r\n"))), FrameScan::Nothing);
    }

    #[test]
    fn an_empty_lane_is_tried_in_every_way_and_then_left_alone() {
        let (mut watch, empty) = (CodeWatch::default(), picture(None));
        let looks: Vec<FrameScan> = (0..RARE_STEPS as u64 + 20).map(|n| watch.look(n * 33, &empty)).collect();
        assert_eq!(looks.iter().filter(|s| **s == FrameScan::Nothing).count(), RARE_STEPS);
        assert_eq!(looks.last(), Some(&FrameScan::Still));
    }
}
