//! Staff confirm every check of a list, or approve. Where several sign, they are different people.

use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepInput, StepKind};
use crate::codes::{Code, Outcome};
use crate::event::Class;
use crate::lane::action::{Action, Officer, Rejection, Role};
use crate::lane::view::ask::{Ask, Check, SignatureAsk};
use crate::profile::facts::SIGNERS;
use crate::profile::source::StepContext;
use crate::profile::{Choice, ProfileError};
use crate::records::RecordsFault;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The most signatures of a step.
const MOST_SIGNATURES: usize = 4;

/// Staff confirm checks, or approve.
#[derive(Debug)]
pub struct Confirm {
    /// What is ticked.
    pub checks: Vec<Choice>,
    /// An approval that can be refused, instead of checks.
    pub approve: bool,
    /// Who signs: for each signature the roles that may; any if empty. Without `signatures` there is one.
    pub signatures: Vec<Vec<String>>,
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
    #[serde(default)]
    signatures: Vec<SignatureForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureForm {
    #[serde(default)]
    roles: Vec<String>,
}

/// A signature that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Which of the step.
    pub place: usize,
    /// By whom.
    pub by: Officer,
}

impl Kind for Confirm {
    const ABOUT: About = About {
        by_staff: true,
        timeout_s: Some(900),
        ..About::new("confirm", ("确认", "Confirm"), ("请稍候", "Please wait"))
    };
    type Form = Form;
    /// What was signed already: it is not signed again after a restart.
    type Waits = Vec<Signature>;

    fn read(form: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let Form { checks, approve, roles, signatures } = form;
        if approve && (!checks.is_empty() || !signatures.is_empty()) {
            return Err(place.error("an approval has neither `checks` nor `signatures`"));
        }
        if checks.is_empty() && !approve && signatures.is_empty() {
            return Err(place.error("a confirm step has `checks`, `signatures` or `approve = true`"));
        }
        if !signatures.is_empty() && !roles.is_empty() {
            return Err(place.error("where there are `signatures`, each has its own `roles`"));
        }
        if signatures.len() > MOST_SIGNATURES {
            let n = signatures.len();
            return Err(place.error(format!("`signatures` is {n}; allowed: 1 to {MOST_SIGNATURES}")));
        }
        place.choices("checks", &checks, 0, usize::MAX)?;
        // An administrator decides nothing in a lane.
        let may: Vec<&str> = Role::ALL.into_iter().filter(|r| *r != Role::Admin).map(Role::as_str).collect();
        let named = signatures.iter().flat_map(|s| &s.roles).chain(&roles);
        if let Some(bad) = named.into_iter().find(|r| !may.contains(&r.as_str())) {
            let what = format!("nobody of the role `{bad}` works in a lane; allowed: {}", may.join(", "));
            return Err(place.error(what));
        }
        let signatures = if signatures.is_empty() {
            vec![roles]
        } else {
            signatures.into_iter().map(|s| s.roles).collect()
        };
        Ok(Self { checks, approve, signatures })
    }

    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes the confirmation of an officer who may give it.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        Ok(match what {
            StepInput::Deadline => cx.time_out(),
            StepInput::Report(_) => Flow::Wait,
            StepInput::Action(officer, Action::Approve { approve: yes, note, desk }) if self.approve => {
                if self.open_to(&[], officer).is_none() {
                    return Ok(Flow::Reject(role()));
                }
                let mut data = json!({ "step": cx.step.id, "approved": yes, "officer": officer.id,
                    "role": officer.role, "note": note.trim(), "subject": cx.visit.subject,
                    "subject_key": cx.visit.subject_key });
                if let Some(desk) = desk {
                    data["desk"] = json!(desk);
                }
                cx.out.event("approval", Class::Verdict, cx.setup, Some(cx.visit.id), data);
                if *yes { self.sign(cx, officer, 0) } else { refused(cx) }
            }
            StepInput::Action(officer, Action::Confirm(ticked)) if !self.approve => {
                let signed = cx.visit.waits.confirm.as_deref().unwrap_or_default();
                if signed.iter().any(|s| s.by.id == officer.id) {
                    let somebody =
                        Rejection::new("same_person", "须由另一人签署", "Somebody else must sign this");
                    return Ok(Flow::Reject(somebody));
                }
                let Some(place) = self.open_to(signed, officer) else { return Ok(Flow::Reject(role())) };
                if self.checks.iter().all(|c| ticked.contains(&c.value)) {
                    self.sign(cx, officer, place)
                } else {
                    Flow::Reject(Rejection::new("unchecked", "请逐项确认", "Tick every check first"))
                }
            }
            StepInput::Action(officer, Action::Approve { .. } | Action::Confirm(_))
                if self.open_to(&[], officer).is_none() =>
            {
                Flow::Reject(role())
            }
            StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        let prompt = look.step.prompt.clone();
        if self.approve {
            let roles = self.signatures.iter().flatten().cloned().collect();
            return Ask::Approve { prompt, roles };
        }
        let signed = look.visit.waits.confirm.as_deref().unwrap_or_default();
        let signature = |(place, roles): (usize, &Vec<String>)| SignatureAsk {
            roles: roles.clone(),
            by: signed.iter().find(|s| s.place == place).map(|s| s.by.id.clone()),
        };
        let check = |c: &Choice| Check { id: c.value.clone(), text: c.text() };
        Ask::Confirm {
            prompt,
            checks: self.checks.iter().map(check).collect(),
            signatures: self.signatures.iter().enumerate().map(signature).collect(),
        }
    }
}

fn role() -> Rejection {
    Rejection::new("role", "您的岗位不能审批", "Your role may not approve this")
}

impl Confirm {
    /// The first signature that is still to be given and that an officer may give.
    fn open_to(&self, signed: &[Signature], officer: &Officer) -> Option<usize> {
        let may = |roles: &[String]| roles.is_empty() || roles.iter().any(|r| r == officer.role.as_str());
        let open = |place: usize| signed.iter().all(|s| s.place != place);
        let mut all = self.signatures.iter().enumerate();
        all.find(|(place, roles)| open(*place) && may(roles)).map(|(place, _)| place)
    }

    /// The signature that is to be given next.
    pub fn next(&self, signed: &[Signature]) -> Option<&[String]> {
        let open = |place: usize| signed.iter().all(|s| s.place != place);
        let mut all = self.signatures.iter().enumerate();
        all.find(|(place, _)| open(*place)).map(|(_, roles)| roles.as_slice())
    }

    fn sign(&self, cx: &mut Cx<'_>, officer: &Officer, place: usize) -> Flow {
        let signed = cx.visit.waits.confirm.get_or_insert_default();
        signed.push(Signature { place, by: officer.clone() });
        if signed.len() < self.signatures.len() {
            return Flow::Wait;
        }
        let all: Vec<_> = signed.iter().map(|s| s.by.id.clone()).collect();
        let id = &cx.step.id;
        for (place, by) in all.iter().enumerate() {
            let name = if place == 0 { id.clone() } else { format!("{id}-{}", place + 1) };
            cx.visit.approvals.insert(name, by.clone());
        }
        let facts = cx.visit.facts.entry(SIGNERS).or_insert_with(|| json!({}));
        facts[id.as_str()] = json!(all);
        Flow::Next
    }
}

/// Somebody who may has refused: nothing more is done for the visit, and the last `decide` judges it.
fn refused(cx: &mut Cx<'_>) -> Flow {
    let step = cx.visit.step;
    let outcome = match cx.setup.profile.outcome(Code::V_APPROVAL) {
        Outcome::Admit => Outcome::Hold,
        other @ (Outcome::Refer | Outcome::Hold | Outcome::Deny) => other,
    };
    cx.visit.overridden_codes.retain(|c| *c != Code::V_APPROVAL);
    cx.visit.findings.retain(|f| f.code != Code::V_APPROVAL);
    cx.visit.find(Code::V_APPROVAL, outcome);
    let last = |s: &crate::profile::Step| matches!(&s.kind, StepKind::Decide(decide) if decide.last);
    let Some(decide) = cx.setup.profile.steps.iter().position(last).filter(|at| *at > step) else {
        return cx.stop(Code::V_APPROVAL, step + 1);
    };
    // Steps that this visit would not do are not passed over: behind an override nothing is left of them.
    let setup = cx.setup;
    let between = &setup.profile.steps[step + 1..decide];
    if between.iter().any(|step| step.when.as_ref().is_none_or(|when| cx.ask(when).unwrap_or(true))) {
        cx.visit.left_out_from.get_or_insert(step + 1);
    }
    cx.visit.skipped.extend(step + 1..decide);
    Flow::Jump(decide)
}
