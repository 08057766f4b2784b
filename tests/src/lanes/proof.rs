//! Finds the scenario that shows a cell. That a rule is shown is no matter of words: a file shows it if it fails where
//! the profile lacks the rule.

use super::cells::{Cell, Lack, Proof};
use super::files::Played;
use kakou_core::codes::Code;
use kakou_core::profile::Profile;
use kakou_core::scenario::shown::Shown;
use kakou_core::scenario::table::table;
use toml::{Table, Value};

/// What holds at no moment.
const NEVER: &str = "visit.now_ms < 0";

/// The text of a profile that lacks something.
pub fn without(text: &str, lack: &Lack) -> Result<String, String> {
    let mut profile: Table = toml::from_str(text).map_err(|e| e.to_string())?;
    let gone = || format!("the profile has no such place: {lack:?}");
    let never = |of: Option<&mut Value>| {
        let of = of.and_then(Value::as_table_mut).ok_or_else(gone)?;
        of.insert("when".into(), NEVER.into());
        Ok::<(), String>(())
    };
    match lack {
        Lack::Rule(step, rule, _) => {
            let rules =
                profile.get_mut("step").and_then(|s| s.get_mut(step)).and_then(|s| s.get_mut("rules"));
            never(rules.and_then(|rules| rules.get_mut(rule)))?;
        }
        Lack::Rules(step, code) => {
            let rules =
                profile.get_mut("step").and_then(|s| s.get_mut(step)).and_then(|s| s.get_mut("rules"));
            for rule in rules.and_then(Value::as_array_mut).ok_or_else(gone)? {
                if rule.get("code").and_then(Value::as_str) == Some(code.as_str()) {
                    never(Some(rule))?;
                }
            }
        }
        Lack::FailMode => {
            let mode = profile.get_mut("fail_mode").ok_or_else(gone)?;
            let other = if mode.as_str() == Some("HOLD") { "ADMIT" } else { "HOLD" };
            *mode = other.into();
        }
        Lack::FailWhen(place) => never(profile.get_mut("fail_when").and_then(|all| all.get_mut(place)))?,
        Lack::OnTheWayOut(code) => {
            let out = profile.get_mut("verdicts_out").and_then(Value::as_table_mut).ok_or_else(gone)?;
            out.remove(code.as_str()).ok_or_else(gone)?;
        }
        Lack::Event(place, _) => never(profile.get_mut("emit").and_then(|all| all.get_mut(place)))?,
    }
    toml::to_string(&profile).map_err(|e| e.to_string())
}

/// Whether a play could come out otherwise without something: it has met it.
fn met(of: &Played, id: &str, lack: &Lack) -> bool {
    let found = |wanted: &[Code]| {
        of.shows(|shown| {
            let Shown::Decided { profile, codes, .. } = shown else { return false };
            profile == id && codes.iter().any(|code| wanted.iter().any(|w| w.as_str() == code))
        })
    };
    match lack {
        Lack::Rule(_, _, code) | Lack::Rules(_, code) | Lack::OnTheWayOut(code) => found(&[*code]),
        Lack::FailMode | Lack::FailWhen(_) => found(&[Code::X_STALE, Code::X_CLOCK]),
        Lack::Event(_, wanted) => of.shows(
            |shown| matches!(shown, Shown::Event { profile, kind } if profile == id && kind == wanted),
        ),
    }
}

/// The scenario that shows a cell; `text` is that of its profile.
pub fn find<'a>(cell: &Cell, text: &str, all: &'a [Played]) -> Result<Option<&'a Played>, String> {
    let id = cell.profile.as_str();
    let own = format!("{id}/");
    // Those of its own folder first.
    let (ours, others): (Vec<&Played>, Vec<&Played>) = all.iter().partition(|of| of.name.starts_with(&own));
    let mut in_order = ours.into_iter().chain(others);
    Ok(match &cell.proof {
        Proof::Fails(lack) => {
            let failing = |lack: &Lack| {
                let lacking = without(text, lack)?;
                // A profile that cannot be read would make every file fail.
                kakou_core::profile::read("without", &lacking)
                    .map_err(|e| format!("{id} without {lack:?}: {e}"))?;
                let mut all = in_order.clone();
                Ok::<_, String>(all.find(|of| met(of, id, lack) && !of.holds_with(id, &lacking)))
            };
            let found = failing(lack)?;
            match lack {
                // Where two rules with one code hold at once, neither is missed alone.
                Lack::Rule(step, _, code) if found.is_none() => failing(&Lack::Rules(*step, *code))?,
                Lack::Rule(..)
                | Lack::Rules(..)
                | Lack::FailMode
                | Lack::FailWhen(_)
                | Lack::OnTheWayOut(_)
                | Lack::Event(..) => found,
            }
        }
        Proof::Decides(wanted) => {
            let said = format!("outcome = \"{}\"", wanted.as_str());
            let decides = |shown: &Shown| matches!(shown, Shown::Decided { profile, outcome, .. } if profile == id && outcome == wanted);
            in_order.find(|of| of.text.contains(&said) && of.shows(decides))
        }
        Proof::Acts(wanted, at) => {
            let acts = |shown: &Shown| {
                let Shown::Act { profile, act, step, rejected: None, .. } = shown else { return false };
                profile == id && act == wanted && (at.is_empty() || step == at)
            };
            in_order.find(|of| of.shows(acts))
        }
        Proof::Asks(wanted) => {
            in_order.find(|of| of.shows(|shown| matches!(shown, Shown::Asked(act) if act == wanted)))
        }
        Proof::Admits(wanted) => {
            let admits = |shown: &Shown| {
                let Shown::Decided { profile, origin, codes, .. } = shown else { return false };
                profile == id
                    && origin == wanted
                    && codes.first().is_some_and(|code| code == Code::OK.as_str())
            };
            in_order.find(|of| of.shows(admits))
        }
    })
}

/// Rules that no visit meets, by profile, step and code: each stands behind a step that cannot be passed over. They are for
/// whoever changes the profile.
const UNMET: [(&str, &str, Code); 3] = [
    ("seal-check", "release", Code::S_MISSING),
    ("transit-truck", "release", Code::S_MISSING),
    ("truck-bulk", "release", Code::S_MISSING),
];

/// Whether a rule that no visit meets holds with facts that are made for it, and stops then.
pub fn by_facts(profile: &Profile, cell: &Cell) -> bool {
    let Proof::Fails(Lack::Rule(place, _, code)) = &cell.proof else { return false };
    let step = profile.steps.get(*place).map(|step| step.id.as_str()).unwrap_or_default();
    let unmet = UNMET.contains(&(cell.profile.as_str(), step, *code));
    unmet
        && table(profile).iter().any(|row| {
            let codes = row.verdict.as_ref().map(|(_, codes)| codes.as_slice()).unwrap_or_default();
            row.step == step && row.code == *code && codes.contains(code)
        })
}
