//! Staff confirm every check of a list, or approve.

use super::super::event::Weight;
use super::{Cx, Flow, Stimulus};
use crate::codes::Code;
use crate::lane::action::{Action, Rejection};
use crate::profile::Choice;
use serde_json::json;

/// Waits for staff.
pub fn enter(cx: &mut Cx<'_>) -> Flow {
    cx.allow(cx.step.timeout_ms);
    Flow::Wait
}

/// Takes the confirmation of an officer who may give it.
pub fn on(cx: &mut Cx<'_>, what: &Stimulus<'_>, checks: &[Choice], approve: bool, roles: &[String]) -> Flow {
    let (officer, action) = match what {
        Stimulus::Deadline => return cx.time_out(),
        Stimulus::Report(_) => return Flow::Wait,
        Stimulus::Action(officer, action) => (officer, action),
    };
    let may = roles.is_empty() || roles.iter().any(|r| r == officer.role.word());
    match action {
        Action::Approve { .. } | Action::Confirm(_) if !may => {
            Flow::Reject(Rejection::new("role", "您的岗位不能审批", "Your role may not approve this"))
        }
        Action::Approve { approve: yes, note, desk } if approve => {
            let mut data = json!({ "step": cx.step.id, "approved": yes, "officer": officer.id,
                "role": officer.role, "note": note.trim(), "subject": cx.visit.subject,
                "subject_key": cx.visit.subject_key });
            if let Some(desk) = desk {
                data["desk"] = json!(desk);
            }
            cx.out.event("approval", Weight::Verdict, cx.setup, Some(cx.visit.id), data);
            if *yes {
                cx.visit.approvals.insert(cx.step.id.clone(), officer.id.clone());
                Flow::Next
            } else {
                let step = cx.visit.step;
                cx.stop(Code::V_APPROVAL, step + 1)
            }
        }
        Action::Confirm(ticked) if !approve => {
            if checks.iter().all(|c| ticked.contains(&c.value)) {
                cx.visit.approvals.insert(cx.step.id.clone(), officer.id.clone());
                Flow::Next
            } else {
                Flow::Reject(Rejection::new("unchecked", "请逐项确认", "Tick every check first"))
            }
        }
        Action::Enter(_)
        | Action::Recheck
        | Action::Answer { .. }
        | Action::Approve { .. }
        | Action::Seal { .. }
        | Action::Capture(_)
        | Action::Retake(_)
        | Action::Accept(_)
        | Action::Confirm(_)
        | Action::Cancel { .. }
        | Action::Override { .. }
        | Action::OpenAgain(_)
        | Action::OpenedByHand(_)
        | Action::Reprint(_) => Flow::Reject(Rejection::not_now()),
    }
}
