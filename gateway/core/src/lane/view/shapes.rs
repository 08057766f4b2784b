//! What screens are told, as types: the JSON that they read is written from these where somebody listens, and the
//! document of the API describes it.
#![expect(missing_docs, reason = "the document of the API says what each field is")]

use super::ask::Ask;
use crate::codes::{Code, Outcome};
use crate::ids::{DeviceId, LaneId, OfficerId, ProfileId, VisitId};
use crate::lane::step::Progress;
use crate::lane::visit::{PhotoState, Seal};
use crate::text::Text;
use crate::time::MonoMs;
use serde::Serialize;
use std::collections::BTreeMap;

/// What a lane is at, for its screens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It waits for somebody.
    Idle,
    /// A visit is under way.
    Working,
    /// A verdict is shown.
    Verdict,
    /// A code that has admitted somebody was shown again.
    Repeat,
    /// It takes nobody.
    Closed,
}

/// Visits of the day by the outcome that stands.
pub type Counters = BTreeMap<&'static str, u64>;

/// The public screen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Screen {
    pub lane: LaneId,
    pub training: bool,
    pub title: Text,
    pub mode: Mode,
    pub step: Option<&'static str>,
    pub prompt: Text,
    pub ready: bool,
    pub person: Option<String>,
    pub verdict: Option<ShownVerdict>,
    pub repeat: Option<ShownRepeat>,
    pub other: Option<Turn>,
    pub notice: Option<String>,
    pub counters: Counters,
    pub seq: u64,
    pub direction: Option<String>,
}

/// A verdict as the public sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownVerdict {
    pub outcome: Outcome,
    pub instruction: Text,
    pub name: Option<String>,
    pub visit: VisitId,
    pub overridden: bool,
    pub repeated: bool,
    pub showing: Option<MonoMs>,
    pub shown_for_ms: u64,
}

/// A code that has admitted somebody, shown again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownRepeat {
    pub visit: VisitId,
    pub name: Option<String>,
    pub first: Option<String>,
    pub showing: Option<MonoMs>,
    pub shown_for_ms: u64,
}

/// Another code was shown: whose turn it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    pub since: MonoMs,
    pub text: Text,
    pub shown_for_ms: u64,
    /// Whether it calls somebody in.
    pub calls: bool,
}

/// One line of the status page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaneStatus {
    pub id: LaneId,
    pub training: bool,
    pub title: Text,
    pub profile: ProfileId,
    pub mode: Mode,
    pub step: Option<String>,
    pub counters: Counters,
}

/// The desk, but for its rows of the latest visits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Desk {
    pub lane: LaneId,
    pub training: bool,
    pub place: String,
    pub title: Text,
    pub profile: ProfileId,
    pub mode: Mode,
    pub steps: Vec<StepRow>,
    pub visit: Option<VisitView>,
    pub ask: Ask,
    pub actions: Vec<&'static str>,
    pub override_reasons: Vec<OverrideReason>,
    pub note_max: usize,
    pub counters: Counters,
    pub lists_stale: bool,
    pub barrier: Option<Barrier>,
    pub other: Option<Turn>,
    pub not_taken: Option<Turn>,
    pub ready: bool,
    pub lamps: Vec<Lamp>,
    pub notice: Option<NoticeView>,
    pub upstream: String,
    pub utc_offset_minutes: i64,
    pub open: Vec<OpenVisit>,
    pub readers: Vec<Reader>,
    pub registers: Vec<String>,
    pub sheet: Option<SheetView>,
}

/// What was gathered by command codes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SheetView {
    pub officer: Option<OfficerId>,
    pub visit: Option<VisitId>,
    pub by: Option<OfficerId>,
    pub gathered: Vec<GatheredView>,
    pub next: Option<Text>,
    pub typed: String,
    pub said: Option<SaidView>,
}

/// One thing that was gathered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GatheredView {
    pub label: Text,
    pub value: String,
    pub text: Option<Text>,
}

/// What became of the latest code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SaidView {
    pub text: Text,
    pub taken: bool,
    pub since: MonoMs,
}

/// A visit that is open beside the one in front.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpenVisit {
    pub id: VisitId,
    pub at: Option<String>,
    pub who: Option<String>,
    pub title: Text,
    pub direction: String,
    pub why: &'static str,
    pub ask: Option<Ask>,
    pub due: Option<String>,
    pub overdue: bool,
    pub actions: Vec<&'static str>,
    pub detail: VisitView,
}

/// One side of a door with two readers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reader {
    pub role: &'static str,
    pub direction: &'static str,
    pub title: Text,
}

/// Who comes along with a visit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartyView {
    pub asked: Option<u32>,
    pub members: Vec<Member>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    pub id: VisitId,
    pub who: Option<String>,
    pub outcome: Option<Outcome>,
    pub running: bool,
}

/// A step of the profile, and how far the visit at the front has come with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRow {
    pub id: String,
    pub kind: &'static str,
    pub title: Text,
    pub state: Progress,
}

/// Why an officer may decide otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverrideReason {
    pub id: &'static str,
    pub text: Text,
    pub needs_note: bool,
}

/// A barrier that did not open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Barrier {
    pub visit: VisitId,
    pub who: Option<String>,
    pub at: Option<String>,
    pub tries: u32,
    pub state: &'static str,
}

/// A message of central ops.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NoticeView {
    pub text: String,
    pub by: String,
}

/// A lamp of the desk: a device, the lists, or the clock.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lamp {
    pub id: String,
    pub kind: String,
    pub title: Text,
    pub state: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub lists: Option<ListAges>,
}

/// What the lamp of the lists says beside that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListAges {
    pub age_s: Option<i64>,
    pub missing: Vec<String>,
    pub stale: Vec<String>,
}

/// Everything that the desk shows of a visit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VisitView {
    pub id: VisitId,
    pub started: Option<String>,
    pub origin: &'static str,
    pub direction: String,
    pub parent: Option<VisitId>,
    pub party: Option<PartyView>,
    pub name: Option<String>,
    pub by: Option<OfficerId>,
    pub slip: Option<&'static str>,
    pub repeated: Option<Repeated>,
    pub pass: Option<PassView>,
    pub compared: Vec<Compared>,
    pub readings: Vec<ReadingView>,
    pub answers: Vec<AnswerView>,
    pub seals: Vec<SealView>,
    pub photos: Vec<PhotoView>,
    pub verdict: Option<VerdictView>,
    pub history: Vec<EarlierView>,
    pub second_sign: bool,
    pub overridable: bool,
}

/// That the code was shown before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repeated {
    pub first: Option<String>,
    pub outcome: Option<Outcome>,
    pub measured: bool,
    pub showing: Option<MonoMs>,
}

/// A pass.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassView {
    pub format: &'static str,
    pub kind: String,
    pub verified: bool,
    pub facts: Vec<PassFact>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassFact {
    pub label: Text,
    pub value: String,
    pub text: Option<Text>,
}

/// What the lane has found, beside what the pass says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    pub id: String,
    pub label: Text,
    pub pass: String,
    pub lane: String,
    pub same: bool,
}

/// A measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReadingView {
    pub mdeg: Option<i32>,
    pub state: &'static str,
    pub at: Option<String>,
    pub device: DeviceId,
    pub r#try: usize,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerView {
    pub question: String,
    pub label: Text,
    pub value: String,
    pub text: Option<Text>,
    pub private: bool,
}

/// A seal with the words for its place and kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SealView {
    #[serde(flatten)]
    pub seal: Seal,
    pub door_text: Option<Text>,
    pub kind_text: Option<Text>,
}

/// A photograph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhotoView {
    pub role: String,
    pub label: Text,
    pub state: PhotoState,
    pub sha256: Option<String>,
    pub sharpness: Option<u32>,
    pub exposure: Option<String>,
    pub reason: Option<Text>,
}

/// A reason code in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CodeView {
    pub code: Code,
    pub text: Text,
    pub advice: Text,
}

/// What an officer decided beside a verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverrideView {
    pub outcome: Outcome,
    pub officer: OfficerId,
    pub second: Option<OfficerId>,
    pub reason: String,
}

/// The verdict that counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerdictView {
    pub outcome: Outcome,
    pub codes: Vec<CodeView>,
    pub overridden: Option<OverrideView>,
    pub r#final: Option<Outcome>,
}

/// A verdict before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EarlierView {
    pub outcome: Outcome,
    pub codes: Vec<CodeView>,
    pub overridden: Option<OverrideView>,
}

/// A row of the latest visits, with everything that is shown of it when it is chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastVisit {
    pub id: VisitId,
    pub at: Option<String>,
    pub name: Option<String>,
    pub outcome: Option<Outcome>,
    pub r#final: Option<Outcome>,
    pub codes: Option<Vec<Code>>,
    pub notice: Option<Text>,
    pub slip: Option<&'static str>,
    pub why: Vec<Text>,
    pub who: Option<String>,
    pub overridden: Option<OverrideView>,
    pub history: Vec<EarlierView>,
    pub overridable: bool,
    pub detail: VisitView,
}
