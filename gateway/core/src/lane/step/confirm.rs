//! Staff confirm every check of a list, or approve.

use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepInput};
use crate::codes::Code;
use crate::event::Class;
use crate::lane::action::{Action, Rejection, Role};
use crate::lane::view::ask::{Ask, Check};
use crate::profile::source::StepContext;
use crate::profile::{Choice, ProfileError};
use crate::records::RecordsFault;
use serde::Deserialize;
use serde_json::json;

/// Staff confirm checks, or approve.
#[derive(Debug)]
pub struct Confirm {
    /// What is ticked.
    pub checks: Vec<Choice>,
    /// An approval that can be refused, instead of checks.
    pub approve: bool,
    /// Roles that may; any if empty.
    pub roles: Vec<String>,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    checks: Vec<Choice>,
    #[serde(default)]
    approve: bool,
    #[serde(default)]
    roles: Vec<String>,
}

impl Kind for Confirm {
    const ABOUT: About = About {
        by_staff: true,
        timeout_s: Some(900),
        ..About::new("confirm", ("确认", "Confirm"), ("请稍候", "Please wait"))
    };
    type Form = Form;
    type Waits = ();

    fn read(Form { checks, approve, roles }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        if checks.is_empty() != approve {
            return Err(place.error("a confirm step has either `checks` or `approve = true`"));
        }
        place.choices("checks", &checks, 0, usize::MAX)?;
        // An administrator decides nothing in a lane.
        let may: Vec<&str> = Role::ALL.into_iter().filter(|r| *r != Role::Admin).map(Role::as_str).collect();
        if let Some(bad) = roles.iter().find(|r| !may.contains(&r.as_str())) {
            let what = format!("nobody of the role `{bad}` works in a lane; allowed: {}", may.join(", "));
            return Err(place.error(what));
        }
        Ok(Self { checks, approve, roles })
    }

    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes the confirmation of an officer who may give it.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let (officer, action) = match what {
            StepInput::Deadline => return Ok(cx.time_out()),
            StepInput::Report(_) => return Ok(Flow::Wait),
            StepInput::Action(officer, action) => (officer, action),
        };
        let may = self.roles.is_empty() || self.roles.iter().any(|r| r == officer.role.as_str());
        Ok(match action {
            Action::Approve { .. } | Action::Confirm(_) if !may => {
                Flow::Reject(Rejection::new("role", "您的岗位不能审批", "Your role may not approve this"))
            }
            Action::Approve { approve: yes, note, desk } if self.approve => {
                let mut data = json!({ "step": cx.step.id, "approved": yes, "officer": officer.id,
                    "role": officer.role, "note": note.trim(), "subject": cx.visit.subject,
                    "subject_key": cx.visit.subject_key });
                if let Some(desk) = desk {
                    data["desk"] = json!(desk);
                }
                cx.out.event("approval", Class::Verdict, cx.setup, Some(cx.visit.id), data);
                if *yes {
                    cx.visit.approvals.insert(cx.step.id.clone(), officer.id.clone());
                    Flow::Next
                } else {
                    let step = cx.visit.step;
                    cx.stop(Code::V_APPROVAL, step + 1)
                }
            }
            Action::Confirm(ticked) if !self.approve => {
                if self.checks.iter().all(|c| ticked.contains(&c.value)) {
                    cx.visit.approvals.insert(cx.step.id.clone(), officer.id.clone());
                    Flow::Next
                } else {
                    Flow::Reject(Rejection::new("unchecked", "请逐项确认", "Tick every check first"))
                }
            }
            Action::Enter { .. }
            | Action::Start { .. }
            | Action::Aside
            | Action::Party(_)
            | Action::Complete(_)
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
            | Action::Correct { .. }
            | Action::Reprint(_) => Flow::Reject(Rejection::not_now()),
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        let prompt = look.step.prompt.clone();
        if self.approve {
            return Ask::Approve { prompt, roles: self.roles.clone() };
        }
        let check = |c: &Choice| Check { id: c.value.clone(), text: c.text() };
        Ask::Confirm { prompt, checks: self.checks.iter().map(check).collect() }
    }
}
