//! The TOML form of a profile: which fields there are, and which belong to which kind of step.

use super::file::Source;
use super::{Choice, ProfileError};
use crate::event::Class;
use crate::ids::ProfileId;
use crate::screening::{BlackBody, Correction};
use crate::text::Text;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileFile {
    pub id: ProfileId,
    pub title: Text,
    pub direction: Spanned<String>,
    #[serde(default)]
    pub audience: Vec<String>,
    pub on_doubt: Spanned<String>,
    #[serde(default = "day_h")]
    pub stale_after_h: Spanned<i64>,
    #[serde(default = "same_read_s")]
    pub same_read_s: u64,
    #[serde(default = "same_result_s")]
    pub same_result_s: u64,
    #[serde(default = "show_verdict_s")]
    pub show_verdict_s: u64,
    #[serde(default)]
    pub verdicts: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub instructions: BTreeMap<String, Spanned<Text>>,
    #[serde(default)]
    pub emit: Vec<Spanned<EmitFile>>,
    pub step: Vec<Spanned<StepFile>>,
}

fn day_h() -> Spanned<i64> {
    Spanned::new(0..0, 24)
}
const fn same_read_s() -> u64 {
    3
}
const fn same_result_s() -> u64 {
    60
}
const fn show_verdict_s() -> u64 {
    8
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmitFile {
    pub kind: String,
    pub class: Option<Class>,
    #[serde(default)]
    pub outcomes: Vec<String>,
    #[serde(default)]
    pub codes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    pub code: String,
    pub when: String,
    pub outcome: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepFile {
    pub kind: String,
    pub id: Option<String>,
    pub title: Option<Text>,
    pub prompt: Option<Text>,
    pub when: Option<String>,
    /// Where a device must answer, at least as long as it may take to.
    pub timeout_s: Option<u64>,
    #[serde(default)]
    pub optional: bool,
    pub device: Option<String>,
    pub accepts: Option<Vec<String>>,
    pub high_mdeg: Option<i32>,
    pub low_mdeg: Option<i32>,
    pub frames: Option<usize>,
    pub spread_mdeg: Option<i32>,
    pub correction: Option<Correction>,
    pub black_body: Option<BlackBody>,
    pub tries: Option<usize>,
    pub wait_s: Option<f64>,
    pub lists: Option<Vec<String>>,
    pub test_age_from: Option<String>,
    pub rules: Option<Vec<Spanned<RuleFile>>>,
    pub last: Option<bool>,
    pub pulse_ms: Option<u32>,
    pub input: Option<String>,
    pub options: Option<Vec<Choice>>,
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub doors: Option<Vec<Choice>>,
    pub kinds: Option<Vec<Choice>>,
    pub stock: Option<Vec<String>>,
    pub photos: Option<Vec<Choice>>,
    pub min_sharpness: Option<u32>,
    pub min_luma: Option<u8>,
    pub max_luma: Option<u8>,
    pub checks: Option<Vec<Choice>>,
    pub approve: Option<bool>,
    pub roles: Option<Vec<String>>,
    pub lines: Option<Vec<String>>,
}

/// The fields that each kind takes beside the common ones.
const KIND_FIELDS: [(&str, &[&str]); 10] = [
    ("scan", &["device", "accepts"]),
    (
        "temperature",
        &[
            "device",
            "high_mdeg",
            "low_mdeg",
            "frames",
            "spread_mdeg",
            "correction",
            "black_body",
            "tries",
            "wait_s",
        ],
    ),
    ("verify", &["lists", "test_age_from"]),
    ("decide", &["rules", "last"]),
    ("actuate", &["device", "pulse_ms"]),
    ("question", &["input", "options", "min", "max"]),
    ("seal", &["doors", "kinds", "stock"]),
    ("photo", &["device", "photos", "min_sharpness", "min_luma", "max_luma"]),
    ("confirm", &["checks", "approve", "roles"]),
    ("print", &["device", "lines"]),
];

/// Refuses a field that the kind of step does not take.
pub(super) fn check_fields(source: &Source<'_>, at: usize, file: &StepFile) -> Result<(), ProfileError> {
    let Some((_, fields)) = KIND_FIELDS.iter().find(|(kind, _)| *kind == file.kind) else {
        let kinds: Vec<&str> = KIND_FIELDS.iter().map(|(k, _)| *k).collect();
        return Err(
            source.error(at, format!("`{}` is not a kind of step; allowed: {}", file.kind, kinds.join(", ")))
        );
    };
    let given = [
        ("device", file.device.is_some()),
        ("accepts", file.accepts.is_some()),
        ("high_mdeg", file.high_mdeg.is_some()),
        ("low_mdeg", file.low_mdeg.is_some()),
        ("frames", file.frames.is_some()),
        ("spread_mdeg", file.spread_mdeg.is_some()),
        ("correction", file.correction.is_some()),
        ("black_body", file.black_body.is_some()),
        ("tries", file.tries.is_some()),
        ("wait_s", file.wait_s.is_some()),
        ("lists", file.lists.is_some()),
        ("test_age_from", file.test_age_from.is_some()),
        ("rules", file.rules.is_some()),
        ("last", file.last.is_some()),
        ("pulse_ms", file.pulse_ms.is_some()),
        ("input", file.input.is_some()),
        ("options", file.options.is_some()),
        ("min", file.min.is_some()),
        ("max", file.max.is_some()),
        ("doors", file.doors.is_some()),
        ("kinds", file.kinds.is_some()),
        ("stock", file.stock.is_some()),
        ("photos", file.photos.is_some()),
        ("min_sharpness", file.min_sharpness.is_some()),
        ("min_luma", file.min_luma.is_some()),
        ("max_luma", file.max_luma.is_some()),
        ("checks", file.checks.is_some()),
        ("approve", file.approve.is_some()),
        ("roles", file.roles.is_some()),
        ("lines", file.lines.is_some()),
    ];
    match given.iter().find(|(name, is)| *is && !fields.contains(name)) {
        Some((name, _)) => Err(source.error(
            at,
            format!(
                "`{name}` does not belong to a step of kind `{}`; it takes: {}",
                file.kind,
                fields.join(", ")
            ),
        )),
        None => Ok(()),
    }
}
