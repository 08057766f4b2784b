//! Counts codes, one after another, beside those that should be there: tubes of a delivery, bags of a rack.

use super::form::text_values;
use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepInput, scan, somebody};
use crate::codes::Code;
use crate::lane::action::{Action, Rejection};
use crate::lane::view::ask::{Ask, TallyRead};
use crate::pass::id;
use crate::profile::ProfileError;
use crate::profile::facts::{Fact, Type};
use crate::profile::source::StepContext;
use crate::reading::Report;
use crate::records::RecordsFault;
use crate::rules::Expression;
use crate::text::Text;
use crate::time::MonoMs;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;

/// The most codes that a step may take.
const MOST: usize = 2_000;
/// The longest code, in characters.
const LONGEST: usize = 80;

/// Counts codes.
#[derive(Debug)]
pub struct Tally {
    /// What should be there.
    pub expected: Option<Expression>,
    /// It takes no more than so many.
    pub most: usize,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    expected: Option<String>,
    #[serde(default = "most")]
    most: usize,
}

const fn most() -> usize {
    500
}

/// What was counted so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Each once, in their order.
    pub codes: Vec<String>,
    /// How many came once more.
    #[serde(default)]
    pub again: u64,
    /// What should be there.
    #[serde(skip)]
    pub expected: BTreeSet<String>,
    /// The latest code, what became of it, and when it was read.
    #[serde(skip)]
    pub last: Option<(String, TallyRead, MonoMs)>,
}

impl Kind for Tally {
    const ABOUT: About = About {
        by_staff: true,
        takes_codes: true,
        timeout_s: Some(900),
        facts: &[
            Fact::new("tally.count", Type::Number),
            Fact::new("tally.missing", Type::Number),
            Fact::new("tally.unknown", Type::Number),
            Fact::new("tally.again", Type::Number),
            Fact::new("tally.codes", Type::Texts),
        ],
        ..About::new(
            "tally",
            ("清点", "Count"),
            ("请稍候，正在清点", "Please wait, everything is being counted"),
        )
    };
    type Form = Form;
    type Waits = Counted;

    fn read(Form { expected, most }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        if !(1..=MOST).contains(&most) {
            return Err(place.error(format!("`most` is {most}; allowed: 1 to {MOST}")));
        }
        Ok(Self { expected: expected.map(|text| place.texts(&text)).transpose()?, most })
    }

    /// What was counted before a restart stays counted.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        let expected = match &self.expected {
            Some(expected) => cx.value(expected).unwrap_or_else(|_| {
                cx.out.count("rule_failed_total");
                cx.out.notes.push(format!("`{}` could not be evaluated", expected.source()));
                cx.find(Code::X_RULE);
                json!([])
            }),
            None => json!([]),
        };
        let counted = cx.visit.waits.tally.get_or_insert_default();
        counted.expected = text_values(&expected).iter().map(|code| id::normal(code)).collect();
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes one code after another; Enter ends it, and so does the code that began the visit.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        Ok(match what {
            StepInput::Deadline => cx.time_out(),
            StepInput::Report(Report::Scan { bytes }) => self.read_code(cx, bytes)?,
            StepInput::Report(_) => Flow::Wait,
            StepInput::Action(_, Action::Tally(text)) => match code(text) {
                None => {
                    Flow::Reject(Rejection::new("bad_answer", "请扫码或输入编码", "Scan or type the code"))
                }
                Some(code) if is_refused(cx, &code)? => {
                    Flow::Reject(Rejection::of("bad_answer", somebody::why()))
                }
                Some(code) => match self.count(cx, code) {
                    TallyRead::Full => {
                        let (zh, en) =
                            (format!("最多{}个", self.most), format!("At most {} codes", self.most));
                        Flow::Reject(Rejection::new("bad_answer", &zh, &en))
                    }
                    TallyRead::Counted | TallyRead::Again | TallyRead::Unknown => Flow::Wait,
                },
            },
            StepInput::Action(_, Action::TallyDone) => self.done(cx),
            StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        let empty = Counted::default();
        let counted = look.visit.waits.tally.as_ref().unwrap_or(&empty);
        let known = |code: &&String| counted.expected.contains(*code);
        Ask::Tally {
            prompt: look.step.prompt.clone(),
            count: counted.codes.len(),
            again: counted.again,
            most: self.most,
            expected: self.expected.is_some().then_some(counted.expected.len()),
            missing: counted.expected.iter().filter(|code| !counted.codes.contains(code)).cloned().collect(),
            unknown: match &self.expected {
                Some(_) => counted.codes.iter().filter(|code| !known(code)).cloned().collect(),
                None => Vec::new(),
            },
            last: counted.last.as_ref().map(|(code, read, _)| (code.clone(), *read)),
        }
    }

    fn public(&self, _look: Look<'_>) -> Text {
        Self::ABOUT.prompt()
    }
}

/// A code in its one form.
fn code(text: &str) -> Option<String> {
    let code = id::normal(text);
    ((1..=LONGEST).contains(&code.chars().count()) && !code.chars().any(char::is_control)).then_some(code)
}

/// Whether a code is somebody's card, and none of those that should be there.
fn is_refused(cx: &mut Cx<'_>, code: &str) -> Result<bool, RecordsFault> {
    let expected = cx.visit.waits.tally.as_ref().is_some_and(|counted| counted.expected.contains(code));
    if expected { Ok(false) } else { somebody::is_somebodys(cx, code) }
}

impl Tally {
    /// A reader sees what is held before it again and again: that is one read, until something else was read.
    fn read_code(&self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<Flow, RecordsFault> {
        let (now, same_read_ms) = (cx.now.mono_ms, cx.setup.profile.same_read_ms);
        let one = |at: MonoMs| now.saturating_sub(at) < same_read_ms;
        if scan::is_own_code(cx, bytes) {
            let counted = cx.visit.waits.tally.get_or_insert_default();
            // Nothing else was read since the visit began: it is still held there.
            let held = counted.last.is_none() && one(cx.visit.started_mono);
            return Ok(if held { Flow::Wait } else { self.done(cx) });
        }
        let Some(code) = std::str::from_utf8(bytes).ok().and_then(code) else {
            cx.out.count("scan_unreadable_total");
            return Ok(Flow::Wait);
        };
        if is_refused(cx, &code)? {
            return Ok(somebody::not_taken(cx));
        }
        let counted = cx.visit.waits.tally.get_or_insert_default();
        if let Some((last, _, at)) = &mut counted.last
            && *last == code
            && one(*at)
        {
            *at = now;
            return Ok(Flow::Wait);
        }
        self.count(cx, code);
        cx.out.keep_soon();
        Ok(Flow::Wait)
    }

    /// Counts a code; one that was counted already is said and not counted.
    fn count(&self, cx: &mut Cx<'_>, code: String) -> TallyRead {
        let now = cx.now.mono_ms;
        let counted = cx.visit.waits.tally.get_or_insert_default();
        let read = if counted.codes.contains(&code) {
            counted.again += 1;
            TallyRead::Again
        } else if counted.codes.len() >= self.most {
            TallyRead::Full
        } else {
            counted.codes.push(code.clone());
            let known = self.expected.is_none() || counted.expected.contains(&code);
            if known { TallyRead::Counted } else { TallyRead::Unknown }
        };
        counted.last = Some((code, read, now));
        read
    }

    fn done(&self, cx: &mut Cx<'_>) -> Flow {
        let counted = cx.visit.waits.tally.take().unwrap_or_default();
        let codes: BTreeSet<&String> = counted.codes.iter().collect();
        let missing = counted.expected.iter().filter(|code| !codes.contains(code)).count();
        let unknown = match &self.expected {
            Some(_) => codes.iter().filter(|code| !counted.expected.contains(**code)).count(),
            None => 0,
        };
        let facts = json!({ "count": codes.len(), "missing": missing, "unknown": unknown,
            "again": counted.again, "codes": counted.codes });
        cx.make("tally", facts);
        super::finished(cx)
    }
}
