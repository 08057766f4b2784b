//! The scan that began the visit: the pass was checked when the code was read.

use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepKind};
use crate::codes::{Code, Outcome, Rank};
use crate::evidence::Hash;
use crate::lane::view::ask::Ask;
use crate::pass::{self, Check, FORM, Format, kp1};
use crate::profile::source::StepContext;
use crate::profile::{DeviceKind, ProfileError};
use crate::records::RecordsFault;
use crate::text::Text;
use serde::Deserialize;

/// Where a refused pass is judged: at the first `verify` that this visit comes to, else at the first `decide`.
fn judged_at(cx: &mut Cx<'_>) -> Option<usize> {
    let setup = cx.setup;
    let comes_to = |cx: &mut Cx<'_>, of: fn(&StepKind) -> bool| {
        let steps = setup.profile.steps.iter().enumerate().skip(cx.visit.step + 1);
        let mut found = steps.filter(|(_, step)| of(&step.kind));
        // A condition that cannot be evaluated stops the visit, there and not here.
        found
            .find(|(_, step)| step.when.as_ref().is_none_or(|when| cx.ask(when) != Ok(false)))
            .map(|(at, _)| at)
    };
    let verify = comes_to(cx, |kind| matches!(kind, StepKind::Verify(_)));
    verify.or_else(|| comes_to(cx, |kind| matches!(kind, StepKind::Decide(_))))
}

/// The code with which the pass was refused when it was read, where that does not admit. What `verify` finds of a pass
/// is a finding as any other.
pub(super) fn refused(cx: &Cx<'_>) -> Option<Code> {
    let accepts = cx.setup.profile.steps.iter().find_map(|step| {
        let StepKind::Scan(scan) = &step.kind else { return None };
        Some(&scan.accepts)
    });
    let (pass, refused) = (&cx.visit.pass, &cx.visit.refused);
    let read = refused.as_ref().map(|refused| refused.code).filter(|code| code.rank() == Rank::Credential);
    let kind = pass.as_ref().map(|pass| &pass.kind).filter(|kind| *kind != FORM);
    let other = kind.is_some_and(|kind| accepts.is_some_and(|accepts| !accepts.contains(kind)));
    let codes = [read, other.then_some(Code::C_WRONG_SITE)];
    let stops =
        |code: &Code| cx.visit.findings.iter().any(|f| f.code == *code && f.outcome != Outcome::Admit);
    codes.into_iter().flatten().find(stops)
}

const HCERT_KINDS: [&str; 3] = ["hcert-test", "hcert-vaccination", "hcert-recovery"];

/// Waits for a code.
#[derive(Debug)]
pub struct Scan {
    /// Kinds of passes that this lane takes.
    pub accepts: Vec<String>,
    /// The roles of its readers, where it has several.
    pub devices: Vec<String>,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    accepts: Vec<String>,
    #[serde(default)]
    devices: Vec<String>,
}

impl Scan {
    /// Whether it takes codes that somebody has signed.
    pub fn takes_signed(&self) -> bool {
        self.accepts.iter().any(|kind| kind != Format::Opaque.as_str())
    }
}

impl Kind for Scan {
    const ABOUT: About = About {
        device: Some(DeviceKind::Scanner),
        ..About::new("scan", ("扫码", "Scan"), ("请出示二维码", "Please show your code"))
    };
    type Form = Form;
    type Waits = ();

    fn read(Form { accepts, devices }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let known: Vec<&str> =
            kp1::kind_words().chain(HCERT_KINDS).chain([Format::Opaque.as_str()]).collect();
        let known_words = known.join(", ");
        if accepts.is_empty() {
            return Err(place.error(format!("`accepts` is missing; choose from: {known_words}")));
        }
        match accepts.iter().find(|a| !known.contains(&a.as_str())) {
            Some(bad) => Err(place.error(format!("`{bad}` is not a kind of pass; allowed: {known_words}"))),
            None => Ok(Self { accepts, devices }),
        }
    }

    /// Goes on; a pass that is refused outright goes straight to where it is judged, so that nobody
    /// is measured or photographed for a code that cannot admit.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        if let Some(pass) = &cx.visit.pass
            && !self.accepts.contains(&pass.kind)
        {
            cx.find(Code::C_WRONG_SITE);
        }
        match cx.visit.refused.as_ref().map(|refused| refused.code) {
            // Nobody knows who has signed it: that no list has a number says less, and may be forgiven elsewhere.
            Some(Code::C_UNKNOWN) => cx.visit.find(Code::C_UNKNOWN, Outcome::Hold),
            Some(code) => cx.find(code),
            None => {}
        }
        if cx.visit.findings.iter().all(|f| f.outcome == Outcome::Admit) {
            return Ok(Flow::Next);
        }
        Ok(match judged_at(cx) {
            Some(at) if at > cx.visit.step + 1 => {
                cx.visit.left_out_from = Some(cx.visit.step + 1);
                cx.visit.skipped.extend(cx.visit.step + 1..at);
                Flow::Jump(at)
            }
            Some(_) | None => Flow::Next,
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        Ask::Scan { prompt: look.step.prompt.clone() }
    }

    fn public(&self, look: Look<'_>) -> Text {
        look.step.prompt.clone()
    }
}

/// Whether a code is the one that began the visit.
pub(super) fn is_own_code(cx: &Cx<'_>, bytes: &[u8]) -> bool {
    let with = Check { trust: &cx.setup.trust, now_s: cx.now.wall_s(), region: &cx.setup.region };
    let key = match pass::check(bytes, with) {
        Ok(pass) => pass.identity(),
        Err(_) => format!("#{}", &Hash::of(bytes).hex()[..16]),
    };
    cx.setup.subjects.all(&key).contains(&cx.visit.key)
}
