//! The scan that began the visit: the pass was checked when the code was read.

use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepKind};
use crate::codes::{Code, Outcome};
use crate::lane::view::ask::Ask;
use crate::pass::{Format, kp1};
use crate::profile::source::StepContext;
use crate::profile::{DeviceKind, ProfileError};
use crate::records::RecordsFault;
use crate::text::Text;
use serde::Deserialize;

const HCERT_KINDS: [&str; 3] = ["hcert-test", "hcert-vaccination", "hcert-recovery"];

/// Waits for a code.
#[derive(Debug)]
pub struct Scan {
    /// Kinds of passes that this lane takes.
    pub accepts: Vec<String>,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    accepts: Vec<String>,
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

    fn read(Form { accepts }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let known: Vec<&str> =
            kp1::kind_words().chain(HCERT_KINDS).chain([Format::Opaque.as_str()]).collect();
        let known_words = known.join(", ");
        if accepts.is_empty() {
            return Err(place.error(format!("`accepts` is missing; choose from: {known_words}")));
        }
        match accepts.iter().find(|a| !known.contains(&a.as_str())) {
            Some(bad) => Err(place.error(format!("`{bad}` is not a kind of pass; allowed: {known_words}"))),
            None => Ok(Self { accepts }),
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
        if let Some(refused) = &cx.visit.refused {
            let code = refused.code;
            cx.find(code);
        }
        let hopeless = cx.visit.findings.iter().any(|f| f.outcome != Outcome::Admit);
        let verify = cx.setup.profile.steps.iter().position(|s| matches!(s.kind, StepKind::Verify(_)));
        Ok(match verify {
            Some(at) if hopeless && at > cx.visit.step + 1 => {
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
