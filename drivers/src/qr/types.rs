//! What the readers hand to each other: places in a picture, where a code may be, and what was read.

use crate::scan_text::to_utf8;
use rxing::common::cpp_essentials::DecoderResult;
use std::ops::{Add, Mul, Sub};
use std::time::{Duration, Instant};

/// A place: in pixels of the picture, or in modules of the code. The middle of the first one is 0.5.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
}

/// A point.
pub const fn at(x: f32, y: f32) -> Point {
    Point { x, y }
}

impl Add for Point {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        at(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Point {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        at(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for Point {
    type Output = Self;
    fn mul(self, by: f32) -> Self {
        at(self.x * by, self.y * by)
    }
}

impl Point {
    /// Its distance from the origin.
    pub fn length(self) -> f32 {
        self.x.hypot(self.y)
    }
    /// The sine of the angle to another direction, times both lengths.
    pub fn cross(self, other: Self) -> f32 {
        self.x * other.y - self.y * other.x
    }
}

/// The whole number below; 0 for what is below 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, as is meant"
)]
pub fn floor(v: f32) -> usize {
    v as usize
}

/// When work on a picture must end.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(budget: Duration) -> Self {
        Self(Instant::now() + budget)
    }
    /// Whether the time is over.
    pub fn over(&self) -> bool {
        Instant::now() >= self.0
    }
}

/// Three finder patterns that can belong to one code, in pixels of the grey picture.
#[derive(Debug, Clone)]
pub struct Triple {
    /// Top left, top right, bottom left.
    pub middles: [Point; 3],
    /// The size of a module.
    pub module: f32,
    /// About how many modules the code has along a side.
    pub modules: f32,
    /// What another detector says: modules along a side, and the corners, clockwise from the top left.
    pub hint: Option<(usize, [Point; 4])>,
}

/// What a code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The bytes, as they stand in the code.
    pub bytes: Vec<u8>,
    /// The text: by the encoding that the code names, else UTF-8, else GB18030; none if it is neither.
    pub text: Option<String>,
    /// So many bytes were taken for lost and filled up by error correction: one look is not enough.
    pub erasures: usize,
}

impl Payload {
    /// The bytes of a code, and their text by the encoding that it names. A label that is wrong is none: programs
    /// write GBK and say UTF-8.
    pub(super) fn of(bytes: Vec<u8>, named: Option<String>) -> Self {
        let all_there = |text: &String| {
            !text.is_empty() && !text.contains('\u{fffd}') && (bytes.is_ascii() || !text.is_ascii())
        };
        let text = named.filter(all_there).or_else(|| String::from_utf8(to_utf8(bytes.clone())).ok());
        Self { bytes, text, erasures: 0 }
    }
}

/// What was made of modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A code.
    Whole(Payload),
    /// One of several symbols over which a code is spread (structured append): it is no code.
    Part,
}

impl Read {
    /// What a decoder says.
    pub(super) fn of(decoded: &DecoderResult<bool>) -> Self {
        if decoded.structuredAppend().count > 1 {
            return Self::Part;
        }
        let content = decoded.content();
        let named = content.has_eci.then(|| content.to_string());
        Self::Whole(Payload::of(content.bytes().to_vec(), named))
    }
}
