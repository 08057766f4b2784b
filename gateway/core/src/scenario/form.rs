//! The TOML form of a scenario file. Every field that the form names stands here, also those that this version cannot
//! play yet: what stands nowhere here is a mistake, and the reader says so with its line.

use serde::Deserialize;
use std::collections::BTreeMap;
use toml::{Spanned, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioForm {
    pub profile: Spanned<String>,
    pub clock: Spanned<Value>,
    #[serde(default = "yes")]
    pub clock_synced: bool,
    #[serde(default)]
    pub title: String,
    pub lane: Option<LaneForm>,
    #[serde(default)]
    pub lanes: BTreeMap<String, Spanned<FurtherForm>>,
    #[serde(default)]
    pub lists: BTreeMap<String, BTreeMap<String, Spanned<Value>>>,
    #[serde(default)]
    pub passes: BTreeMap<String, Spanned<PassForm>>,
    #[serde(default)]
    pub slot: Vec<Spanned<SlotForm>>,
    #[serde(default, rename = "do")]
    pub acts: Vec<Spanned<ActForm>>,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LaneForm {
    pub id: Option<Spanned<String>>,
    pub region: Option<String>,
    pub place: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FurtherForm {
    pub profile: String,
    pub place: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PassForm {
    pub kind: String,
    pub id: Option<String>,
    pub nbf: Option<Value>,
    pub exp: Option<Value>,
    pub sign: Option<String>,
    pub subject: Option<String>,
    pub plate: Option<String>,
    pub category: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub crew: Option<u64>,
    pub uses: Option<u64>,
    pub approvals: Option<Vec<String>>,
    pub seals: Option<Vec<String>>,
    pub patient: Option<String>,
    pub ward: Option<String>,
    pub role: Option<String>,
    pub result: Option<String>,
    pub sampled: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlotForm {
    pub register: String,
    pub key: String,
    pub holder: Option<String>,
    pub since: Option<Value>,
    pub until: Option<Value>,
    #[serde(default)]
    pub amount: i64,
    #[serde(default)]
    pub data: toml::map::Map<String, Value>,
    pub given_back: Option<Value>,
    pub lane: Option<String>,
}

/// One reading or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Readings {
    One(f64),
    Several(Vec<f64>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActForm {
    pub on: Option<String>,
    #[serde(rename = "as")]
    pub by: Option<String>,
    pub lane: Option<String>,
    pub scan: Option<String>,
    pub scan_pass: Option<String>,
    pub enter: Option<String>,
    pub plate: Option<String>,
    pub start: Option<String>,
    pub input: Option<InputForm>,
    pub temperature: Option<f64>,
    pub readings: Option<Vec<f64>>,
    pub no_reading: Option<String>,
    pub aside: Option<bool>,
    pub recheck: Option<Readings>,
    pub answer: Option<toml::map::Map<String, Value>>,
    pub confirm: Option<Vec<String>>,
    pub approve: Option<String>,
    pub refuse: Option<String>,
    pub seal: Option<SealForm>,
    pub seal_check: Option<Vec<SealCheckForm>>,
    pub photo: Option<PhotoForm>,
    pub tally: Option<Vec<String>>,
    pub weigh: Option<i64>,
    pub party: Option<u32>,
    pub complete: Option<usize>,
    #[serde(rename = "override")]
    pub otherwise: Option<OverrideForm>,
    pub cancel: Option<String>,
    pub correct: Option<CorrectForm>,
    pub reprint: Option<ReprintForm>,
    pub list: Option<ListForm>,
    pub hl7: Option<Hl7Form>,
    pub hl7_text: Option<String>,
    pub peer: Option<PeerForm>,
    pub wait: Option<String>,
    pub wait_until: Option<String>,
    pub restart: Option<String>,
    pub device_lost: Option<String>,
    pub device_back: Option<String>,
    pub print_fails: Option<String>,
    pub console: Option<ConsoleForm>,
    pub expect: Option<ExpectForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputForm {
    pub role: String,
    pub active: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealForm {
    pub number: String,
    pub again: Option<String>,
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub door: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealCheckForm {
    pub number: String,
    #[serde(default)]
    pub door: String,
    pub condition: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PhotoForm {
    pub role: String,
    pub quality: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideForm {
    pub outcome: String,
    pub reason: String,
    #[serde(default)]
    pub note: String,
    pub second: Option<String>,
    pub visit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CorrectForm {
    pub register: String,
    pub key: String,
    pub holder: String,
    pub act: String,
    #[serde(default)]
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReprintForm {
    pub step: String,
    #[serde(default)]
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListForm {
    pub name: String,
    pub key: Option<String>,
    pub entry: Option<Value>,
    #[serde(default)]
    pub remove: bool,
    #[serde(default)]
    pub stale: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hl7Form {
    pub event: String,
    pub patient: String,
    pub name: Option<String>,
    pub ward: Option<String>,
    pub room: Option<String>,
    pub at: Option<Value>,
}

/// `to` is a moment, or who takes the shift over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsoleForm {
    pub act: String,
    pub purpose: Option<String>,
    pub lane: Option<String>,
    pub from: Option<Value>,
    #[serde(alias = "shift")]
    pub to: Option<Value>,
    pub subject: Option<String>,
    pub key: Option<String>,
    pub note: Option<String>,
    #[serde(default)]
    pub refuse: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerForm {
    pub register: String,
    pub key: String,
    pub holder: Option<String>,
    pub at: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectForm {
    pub outcome: Option<String>,
    pub codes: Option<Vec<String>>,
    pub opened: Option<bool>,
    pub events: Option<Vec<String>>,
    pub no_events: Option<Vec<String>>,
    pub printed: Option<String>,
    pub register: Option<BTreeMap<String, BTreeMap<String, Vec<String>>>>,
    pub at: Option<String>,
    pub direction: Option<String>,
    pub party: Option<BTreeMap<String, i64>>,
    pub visit: Option<usize>,
    pub refused: Option<String>,
    pub rows: Option<Value>,
}
