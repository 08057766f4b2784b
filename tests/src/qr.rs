//! QR readers beside each other: ours, bare rqrr and bare rxing, on the same picture in the same run.

use crate::figures::round;
use encoding_rs::{GB18030, SHIFT_JIS};
use kakou_drivers::qr::{Effort, Grey, Reader};
use rustix::time::{ClockId, clock_gettime};
use rxing::common::HybridBinarizer;
use rxing::qrcode::cpp_port::QrReader;
use rxing::{BinaryBitmap, DecodeHints, ImmutableReader, Luma8Source};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The payload in each form that a truth may have.
fn forms(bytes: Vec<u8>) -> Vec<Vec<u8>> {
    let decoded = [SHIFT_JIS, GB18030].map(|encoding| {
        let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes);
        text.map(|t| t.into_owned().into_bytes())
    });
    decoded.into_iter().flatten().chain([bytes]).collect()
}

/// What a reader made of a picture.
pub enum Found {
    /// No code.
    Nothing,
    /// A payload, in each form that a truth may have.
    Payload(Vec<Vec<u8>>),
    /// It failed hard.
    Panic,
}

impl Found {
    /// Whether both found the same.
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Payload(a), Self::Payload(b)) => a.iter().any(|a| b.contains(a)),
            _ => false,
        }
    }
}

fn ours(picture: &Grey, budget: Duration) -> Found {
    let outcome = Reader::default().read(picture, Effort::Still, budget);
    match outcome.payload {
        Some(p) => Found::Payload(forms(p.bytes).into_iter().chain(p.text.map(String::into_bytes)).collect()),
        None if outcome.panics > 0 => Found::Panic,
        None => Found::Nothing,
    }
}

fn bare_rqrr(picture: &Grey) -> Found {
    let at = |x: usize, y: usize| picture.pixels[y * picture.width + x];
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(picture.width, picture.height, at);
    let read = prepared.detect_grids().iter().find_map(|grid| {
        let mut bytes = Vec::new();
        grid.decode_to(&mut bytes).ok().map(|_| bytes)
    });
    read.map_or(Found::Nothing, |bytes| Found::Payload(forms(bytes)))
}

fn bare_rxing(picture: &Grey) -> Found {
    let size = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
    let source = Luma8Source::new_with_slice(&picture.pixels, size(picture.width), size(picture.height));
    let Ok(source) = source else { return Found::Nothing };
    let mut bitmap = BinaryBitmap::new(HybridBinarizer::new(source));
    match QrReader.immutable_decode_with_hints(&mut bitmap, &DecodeHints::default()) {
        Ok(result) => Found::Payload(vec![result.getText().as_bytes().to_vec()]),
        Err(_) => Found::Nothing,
    }
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The sums of one reader.
#[derive(Default)]
pub struct Tally {
    /// Read rightly.
    pub read: usize,
    /// Another reader found the same, the truth says otherwise.
    pub disputed: usize,
    /// The truth is known to be mistaken.
    pub excused: usize,
    /// Read wrongly.
    pub wrong: usize,
    /// Failed hard.
    pub panics: usize,
    times: Vec<f64>,
}

impl Tally {
    /// Counts a picture whose truth is mistaken.
    pub fn excuse(&mut self, took: Duration) {
        self.times.push(took.as_secs_f64() * 1e3);
        self.excused += 1;
    }

    /// Counts what was found, beside what others found.
    pub fn take(&mut self, found: &Found, truth: &[Vec<u8>], others: &[&Found], took: Duration) {
        self.times.push(took.as_secs_f64() * 1e3);
        match found {
            Found::Payload(p) if p.iter().any(|p| truth.contains(p)) => self.read += 1,
            Found::Payload(_) if others.iter().any(|o| found.agrees(o)) => self.disputed += 1,
            Found::Payload(_) => self.wrong += 1,
            Found::Panic => self.panics += 1,
            Found::Nothing => {}
        }
    }

    /// CPU milliseconds, by percent.
    pub fn quantile(&self, q: usize) -> f64 {
        let mut times = self.times.clone();
        times.sort_by(f64::total_cmp);
        let last = times.len().saturating_sub(1);
        times.get(last * q / 100).copied().unwrap_or(0.0)
    }

    /// As JSON.
    pub fn figures(&self) -> Value {
        json!({ "read": self.read, "disputed": self.disputed, "excused": self.excused, "wrong": self.wrong, "panics": self.panics,
            "median_ms": round(self.quantile(50)), "p95_ms": round(self.quantile(95)) })
    }
}

/// The readers, ours first.
pub const READERS: [&str; 3] = ["ours", "rqrr", "rxing"];

/// What each reader makes of a picture, and the CPU time that it took.
pub fn all(picture: &Grey, budget: Duration) -> [(Found, Duration); 3] {
    let readers: [&dyn Fn() -> Found; 3] =
        [&|| ours(picture, budget), &|| bare_rqrr(picture), &|| bare_rxing(picture)];
    readers.map(|reader| {
        let from = cpu();
        let found = catch_unwind(AssertUnwindSafe(reader)).unwrap_or(Found::Panic);
        (found, cpu() - from)
    })
}
