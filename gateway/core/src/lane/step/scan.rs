//! The scan that began the visit: the pass was checked when the code was read.

use super::{Cx, Flow};
use crate::codes::{Code, Outcome};
use crate::profile::StepKind;

/// Goes on; a pass that is refused outright goes straight to where it is judged, so that nobody
/// is measured or photographed for a code that cannot admit.
pub fn enter(cx: &mut Cx<'_>, accepts: &[String]) -> Flow {
    if let Some(pass) = &cx.visit.pass
        && !accepts.contains(&pass.kind)
    {
        cx.find(Code::C_WRONG_SITE);
    }
    if let Some(refused) = &cx.visit.refused {
        let code = refused.code;
        cx.find(code);
    }
    let hopeless = cx.visit.findings.iter().any(|f| f.outcome != Outcome::Admit);
    let verify = cx.setup.profile.steps.iter().position(|s| matches!(s.kind, StepKind::Verify { .. }));
    match verify {
        Some(at) if hopeless && at > cx.visit.step + 1 => {
            cx.visit.left_out_from = Some(cx.visit.step + 1);
            cx.visit.skipped.extend(cx.visit.step + 1..at);
            Flow::Jump(at)
        }
        _ => Flow::Next,
    }
}
