//! Staff at a desk: they look at what the desk shows and act as such a step allows, mostly right, sometimes wrong or late.

use super::folk::Guest;
use crate::sim::draw::Draw;
use kakou_core::codes::Outcome;
use kakou_core::ids::{OfficerId, VisitId};
use kakou_core::lane::action::{Action, OVERRIDE_REASONS, Officer, Role, SealRead};
use kakou_core::lane::view::ask::{Answer, Ask, FieldAsk, Opt};
use kakou_core::lane::view::shapes::{Desk, VisitView};
use kakou_core::lane::visit::PhotoState;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What somebody does at a desk.
#[derive(Debug, Clone)]
pub struct Act {
    /// Who.
    pub officer: Officer,
    /// Of which visit.
    pub visit: Option<VisitId>,
    /// What.
    pub action: Action,
}

/// What a desk needs to know beside what it shows.
pub struct Around<'a> {
    /// Who a visit is of.
    pub of: &'a dyn Fn(VisitId) -> Option<&'a Guest>,
    /// Whether everybody finishes what is left.
    pub closes: bool,
    /// Whether nothing has happened at the lane for long.
    pub idle: bool,
    /// The last visits that an officer may decide otherwise.
    pub overridable: Option<(VisitId, bool)>,
    /// The latest visit.
    pub latest: Option<VisitId>,
}

/// An officer of a role; the second one of it, if so.
pub fn officer(role: Role, second: bool) -> Officer {
    let id = if second { format!("{}-2", role.as_str()) } else { role.as_str().to_owned() };
    Officer { id: OfficerId::new(id).expect("the word of a role is a name"), role }
}

fn by(role: Role, visit: Option<VisitId>, action: Action) -> Act {
    Act { officer: officer(role, false), visit, action }
}

/// What is done now, if anything.
pub fn looks(draw: &mut Draw, desk: &Desk, around: &Around<'_>) -> Option<Act> {
    if let Some(barrier) = desk.barrier.as_ref().filter(|b| b.state == "failed") {
        let again = barrier.tries < 3 && draw.per_mille(600);
        let action =
            if again { Action::OpenAgain(barrier.visit) } else { Action::OpenedByHand(barrier.visit) };
        return Some(by(Role::Guard, None, action));
    }
    let closes = around.closes;
    if let Some((visit, second)) = around.overridable.filter(|_| draw.per_mille(if closes { 0 } else { 120 }))
    {
        return Some(overrides(draw, visit, second));
    }
    if let Some(visit) = around.latest.filter(|_| !closes && draw.per_mille(10)) {
        let action = Action::Reprint { visit, step: None, reason: "torn".into() };
        return Some(by(Role::Guard, None, action));
    }
    // Those who wait beside the front, now and then before it.
    for visit in &desk.open {
        if !closes && !draw.per_mille(400) {
            continue;
        }
        let detail = &visit.detail;
        let act = match visit.why {
            "aside" if closes && draw.per_mille(200) => Some(cancel(visit.id)),
            "aside" => draw.per_mille(500).then(|| by(Role::Nurse, Some(visit.id), Action::Recheck)),
            "later" if visit.ask.is_none() => Some(by(Role::Nurse, None, Action::Complete(visit.id))),
            _ => None,
        };
        let act = act.or_else(|| answer(draw, visit.ask.as_ref()?, visit.id, detail, around, Some(visit.id)));
        if act.is_some() {
            return act;
        }
        if closes && draw.per_mille(100) && visit.actions.contains(&"cancel") {
            return Some(cancel(visit.id));
        }
    }
    let visit = desk.visit.as_ref()?;
    // A scale that says nothing is not waited for.
    if around.idle && matches!(desk.ask, Ask::Weigh { .. }) && draw.per_mille(400) {
        return Some(cancel(visit.id));
    }
    if draw.per_mille(if closes { 30 } else { 6 }) && desk.actions.contains(&"cancel") {
        return Some(cancel(visit.id));
    }
    if desk.actions.contains(&"aside") && draw.per_mille(250) {
        return Some(by(Role::Guard, None, Action::Aside));
    }
    if desk.actions.contains(&"recheck") && draw.per_mille(60) {
        return Some(by(Role::Nurse, None, Action::Recheck));
    }
    answer(draw, &desk.ask, visit.id, visit, around, None)
}

fn cancel(visit: VisitId) -> Act {
    by(Role::Guard, None, Action::Cancel { reason: "left".into(), visit: Some(visit) })
}

fn overrides(draw: &mut Draw, visit: VisitId, second: bool) -> Act {
    let (reason, _, _, note) = *draw.one_of(&OVERRIDE_REASONS);
    let outcome =
        *draw.one_of(&[Outcome::Admit, Outcome::Admit, Outcome::Admit, Outcome::Refer, Outcome::Deny]);
    // Some forget the second signature, or sign twice.
    let second = (second && draw.per_mille(900)).then(|| officer(Role::Supervisor, draw.per_mille(800)));
    let note = if note && draw.per_mille(900) { "said by hand".to_owned() } else { String::new() };
    let role = *draw.one_of(&[Role::Guard, Role::Nurse, Role::Supervisor, Role::Transport]);
    by(role, None, Action::Override { visit, outcome, reason: reason.into(), note, second })
}

fn allowed(roles: &[String], draw: &mut Draw) -> Role {
    let may: Vec<Role> = roles.iter().filter_map(|word| Role::parse(word)).collect();
    if draw.per_mille(30) {
        return *draw.one_of(&[Role::Guard, Role::Admin]);
    }
    if may.is_empty() {
        *draw.one_of(&[Role::Guard, Role::Nurse, Role::Supervisor])
    } else {
        *draw.one_of(&may)
    }
}

fn answer(
    draw: &mut Draw,
    ask: &Ask,
    id: VisitId,
    shown: &VisitView,
    around: &Around<'_>,
    visit: Option<VisitId>,
) -> Option<Act> {
    let guest = (around.of)(id);
    let any = |draw: &mut Draw, action| {
        let role = allowed(&[], draw);
        Some(by(role, visit, action))
    };
    match ask {
        Ask::Scan { .. } | Ask::Temperature { .. } | Ask::Weigh { .. } | Ask::Wait { .. } => None,
        Ask::Question { id, answer, .. } => {
            let value = value(draw, id, answer, guest);
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            any(draw, Action::Answer { question: id.clone(), value: text })
        }
        Ask::Form { fields, .. } => {
            let form = form(draw, fields, guest);
            any(draw, Action::Form(form))
        }
        Ask::Tally { count, most, missing, .. } => {
            if *count >= *most || (missing.is_empty() && *count > 0) || draw.per_mille(60) {
                return any(draw, Action::TallyDone);
            }
            let strange = || format!("T-X-{count}");
            let code =
                if draw.per_mille(50) { strange() } else { missing.first().cloned().unwrap_or_else(strange) };
            any(draw, Action::Tally(code))
        }
        Ask::SealCheck { expected, doors, conditions, .. } => {
            let door =
                |n: usize| doors.get(n % doors.len().max(1)).map(|d| d.value.clone()).unwrap_or_default();
            let mut read: Vec<SealRead> = Vec::new();
            for (n, number) in expected.iter().enumerate() {
                let good = draw.per_mille(880);
                let condition = if good { "intact".to_owned() } else { choose(draw, conditions) };
                let number = if draw.per_mille(40) { "LN0000009".to_owned() } else { number.clone() };
                read.push(SealRead { number, door: door(n), condition });
            }
            any(draw, Action::SealCheck(read))
        }
        Ask::Seal { doors, kinds, .. } => {
            // Seldom a number that was used before.
            let number = if draw.per_mille(40) { 1 } else { draw.below(9_000_000) + 1_000_000 };
            let first = format!("LN{number:07}");
            let second = if draw.per_mille(30) { format!("LN{:07}", number + 1) } else { first.clone() };
            let (kind, door) = (choose(draw, kinds), choose(draw, doors));
            any(draw, Action::Seal { first, second, kind, door })
        }
        Ask::Photo { role, .. } => {
            let review = shown.photos.iter().find(|p| p.state == PhotoState::Review);
            let retake = shown.photos.iter().find(|p| p.state == PhotoState::Retake);
            if let Some(photo) = review {
                let again = draw.per_mille(60);
                let role = photo.role.clone();
                return any(draw, if again { Action::Retake(role) } else { Action::Accept(role) });
            }
            if let Some(photo) = retake {
                return any(draw, Action::Retake(photo.role.clone()));
            }
            let taking = shown.photos.iter().any(|p| p.state == PhotoState::Taking);
            let role = role.clone().filter(|_| !taking)?;
            any(draw, Action::Capture(role))
        }
        Ask::Approve { roles, .. } => {
            let role = allowed(roles, draw);
            let approve = draw.per_mille(850);
            Some(by(role, visit, Action::Approve { approve, note: "papers seen".into(), desk: None }))
        }
        Ask::Confirm { checks, signatures, .. } => {
            let next = signatures.iter().find(|s| s.by.is_none());
            let role = allowed(next.map_or(&[], |s| s.roles.as_slice()), draw);
            let mut done: Vec<String> = checks.iter().map(|c| c.id.clone()).collect();
            if draw.per_mille(40) {
                done.pop();
            }
            let signed =
                signatures.iter().any(|s| s.by.as_ref().is_some_and(|by| by.to_string() == role.as_str()));
            let officer = officer(role, signed && draw.per_mille(900));
            Some(Act { officer, visit, action: Action::Confirm(done) })
        }
        Ask::Party { min, max, count, .. } => {
            let most = u64::from(*max).min(u64::from(*min) + 3).max(u64::from(*min));
            let number = u32::try_from(draw.between(u64::from(*min), most)).unwrap_or(*min);
            if count.is_some() { None } else { any(draw, Action::Party(number)) }
        }
    }
}

fn choose(draw: &mut Draw, of: &[Opt]) -> String {
    if of.is_empty() { String::new() } else { draw.one_of(of).value.clone() }
}

/// The word that says that all is well, where there is one.
fn calm(of: &[Opt]) -> Option<&Opt> {
    of.iter().find(|o| ["no", "none", "clean", "self", "sealable", "temporary"].contains(&o.value.as_str()))
}

fn form(draw: &mut Draw, fields: &[FieldAsk], guest: Option<&Guest>) -> BTreeMap<String, Value> {
    let mut out: BTreeMap<String, Value> = BTreeMap::new();
    for field in fields {
        if let Some(on) = &field.depends_on {
            let said = out.get(&on.field).and_then(Value::as_str);
            let asked = match (&on.value, &on.unless) {
                (Some(value), _) => said == Some(value.as_str()),
                (None, Some(unless)) => said != Some(unless.as_str()),
                (None, None) => field.required,
            };
            if !asked {
                continue;
            }
        }
        if !field.required && draw.per_mille(400) {
            continue;
        }
        // Seldom one is forgotten.
        if draw.per_mille(10) {
            continue;
        }
        let kept = field.value.clone().filter(|v| draw.per_mille(700) && v.as_str() != Some(""));
        out.insert(field.id.clone(), kept.unwrap_or_else(|| value(draw, &field.id, &field.answer, guest)));
    }
    out
}

fn value(draw: &mut Draw, field: &str, answer: &Answer, guest: Option<&Guest>) -> Value {
    match answer {
        Answer::Choice { options } => match calm(options).filter(|_| draw.per_mille(850)) {
            Some(option) => json!(option.value),
            None => json!(choose(draw, options)),
        },
        Answer::Choices { options } => {
            let some: Vec<&String> =
                options.iter().filter(|_| draw.per_mille(700)).map(|o| &o.value).collect();
            json!(some)
        }
        Answer::Number { min, max, decimals } => {
            if *decimals > 0 {
                let (least, most) = (min.as_f64().unwrap_or(0.0), max.as_f64().unwrap_or(0.0));
                return json!((least + draw.below(6) as f64).min(most));
            }
            let (least, most) = (min.as_i64().unwrap_or(0), max.as_i64().unwrap_or(0));
            json!(least.saturating_add(draw.below(6).cast_signed()).min(most))
        }
        Answer::Date => json!("2022-05-24"),
        Answer::Phone => json!(guest.map_or("13940000000", |g| g.phone.as_str())),
        Answer::Id => match guest.filter(|_| draw.per_mille(950)) {
            Some(guest) => json!(guest.id_number),
            None => json!("211402199003070018"),
        },
        Answer::Container => {
            json!(*draw.one_of(&["CSQU3054383", "CSQU3054383", "CSQU3054383", "CSQU3054384"]))
        }
        Answer::Scan => match field {
            "item" => json!(format!("ITEM-{}", draw.between(1, 6))),
            "tube" => json!(format!("TUBE-{}", draw.below(400))),
            _ => json!(format!("CARD-{}", draw.below(200))),
        },
        Answer::Plate { .. } => match guest.filter(|_| draw.per_mille(930)) {
            Some(guest) => json!(guest.plate),
            None => json!("辽P99999"),
        },
        Answer::Text { .. } => match field {
            "name" | "who_name" | "patient_name" => json!(guest.map_or("nobody", |g| g.name.as_str())),
            "patient" => json!(format!("B-{:04}", guest.map_or(0, |g| g.number / 2))),
            "exit" => json!("lane-2"),
            _ => json!("ward three"),
        },
    }
}
