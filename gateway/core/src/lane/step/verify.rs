//! Checks the pass against what this gateway knows: lists, their age, revocation, holds, the
//! clock. Makes the facts `pass` and `health`.

use super::kind::{About, Kind};
use super::{Cx, Flow};
use crate::codes::{Code, Outcome};
use crate::entry;
use crate::lane::visit::Visit;
use crate::pass::{Format, Pass, id, plate};
use crate::profile::ProfileError;
use crate::profile::facts::{self, Fact, PASS, Type};
use crate::profile::source::StepContext;
use crate::records::RecordsFault;
use crate::text::masked;
use crate::time::{WallMs, local_day};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Milliseconds in an hour.
const HOUR_MS: i64 = 3_600_000;
/// The list of those who are held.
const HOLD: &str = "hold";
/// The lists that it can look into.
const LISTS: [&str; 4] = ["status", "pass", "revocation", HOLD];

/// What the pass says, and what lists say of its holder.
const FACTS: &[Fact] = &[
    Fact::new("pass.plate", Type::Text),
    Fact::new("pass.category", Type::Text),
    Fact::new("pass.from", Type::Text),
    Fact::new("pass.to", Type::Text),
    Fact::new("pass.crew", Type::Number),
    Fact::new("pass.uses", Type::Number),
    Fact::new("pass.approvals", Type::Texts),
    Fact::new("pass.driver", Type::Text),
    Fact::new("pass.patient", Type::Text),
    Fact::new("pass.ward", Type::Text),
    Fact::new("pass.role", Type::Text),
    Fact::new("pass.roster", Type::Text),
    Fact::new("pass.seals", Type::Texts),
    Fact::new("pass.class", Type::Text),
    Fact::new("pass.company", Type::Text),
    Fact::new("pass.gates", Type::Texts),
    Fact::new("pass.certificate", Type::Text),
    Fact::new("pass.country", Type::Text),
    Fact::new("pass.test_result", Type::Text),
    Fact::new("pass.sampled_at_ms", Type::Number),
    Fact::new("pass.dose", Type::Number),
    Fact::new("pass.doses", Type::Number),
    Fact::new("pass.vaccinated_at_ms", Type::Number),
    Fact::new("pass.from_ms", Type::Number),
    Fact::new("pass.until_ms", Type::Number),
    Fact::new("health.known", Type::Bool),
    Fact::word("health.colour", "unknown"),
    Fact::new("health.test_result", Type::Text),
    // Older than any limit.
    Fact::decimal("health.test_age_h", NEVER_H),
    Fact::new("health.sampled_day", Type::Text),
    Fact::new("health.risk_area", Type::Bool),
    Fact::new("health.out_of_city", Type::Bool),
];

/// The age of a test that was never made, in hours.
const NEVER_H: f64 = 1e9;

/// Checks the pass against trust, lists and holds.
#[derive(Debug)]
pub struct Verify {
    /// The lists to consult beside trust.
    pub lists: Vec<String>,
    /// From when the age of a test counts.
    pub test_age_from: AgeFrom,
}

/// From when the age of a test counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeFrom {
    /// From when the sample was taken.
    #[default]
    Sampling,
    /// From when the result was reported.
    Report,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    lists: Vec<String>,
    #[serde(default)]
    test_age_from: AgeFrom,
}

impl Kind for Verify {
    const ABOUT: About =
        About { facts: FACTS, ..About::new("verify", ("核验", "Verify"), ("正在核验", "Checking")) };
    type Form = Form;
    type Waits = ();

    fn read(Form { lists, test_age_from }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        match lists.iter().find(|l| !LISTS.contains(&l.as_str())) {
            Some(bad) => Err(place.error(format!("`{bad}` is not a list; allowed: {}", LISTS.join(", ")))),
            None => Ok(Self { lists, test_age_from }),
        }
    }

    /// Looks everything up; takes no time.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        let lists = &self.lists;
        if !cx.now.synced() || cx.now.wall_ms.is_none() {
            cx.find(Code::X_CLOCK);
        }
        check_age(cx, lists)?;
        let mut facts = facts::unmade(PASS);
        let mut status = None;
        if let Some(pass) = cx.visit.pass.clone() {
            // What a certificate does not say stays as if nothing had made it.
            facts.extend(pass.facts.clone().into_iter().filter(|(_, fact)| !fact.is_null()));
            let mut known = pass.format != Format::Opaque;
            if lists.iter().any(|l| l == "revocation") && known && revoked(cx, &pass)? {
                cx.find(Code::C_REVOKED);
            }
            if lists.iter().any(|l| l == "pass")
                && let Some(entry) = look_up(cx, "pass", &pass.subject)?
            {
                if pass.format == Format::Opaque {
                    if is_outside(&entry, cx.now.wall_ms) {
                        cx.find(Code::C_EXPIRED);
                    }
                    facts.extend(entry);
                }
                known = true;
            }
            if lists.iter().any(|l| l == "status") {
                status = look_up(cx, "status", &pass.subject)?;
                known |= status.is_some();
            }
            if lists.iter().any(|l| l == HOLD) {
                look_for_hold(cx, &pass, facts.get("plate"))?;
            }
            if !known {
                cx.find(Code::C_UNKNOWN);
            }
            let name = status.as_ref().and_then(|s| s.get("name")).and_then(Value::as_str).map(str::to_owned);
            if let Some(name) = name {
                cx.visit.name = Some(masked(&name));
            }
        }
        // An entry of a list may carry a full name as well: rules and screens need none.
        facts.remove("name");
        // What was known from the start stays, whatever a field of the pass or of an entry is called.
        facts.extend(of_code(cx.visit));
        if let Some(text) = facts.get("plate").and_then(Value::as_str).and_then(plate::normal) {
            facts.insert("plate".into(), json!(text));
        }
        let health = health(cx, &facts, status.as_ref(), self.test_age_from);
        cx.make("health", Value::Object(health));
        cx.visit.facts.insert(PASS.into(), Value::Object(facts));
        Ok(Flow::Next)
    }
}

/// What is known of a code as soon as it is read. One whose signature was not verified gives its format alone.
pub(in crate::lane) fn of_code(visit: &Visit) -> Map<String, Value> {
    let (format, [kind, id, subject]) = match (&visit.pass, &visit.refused) {
        (Some(pass), _) => {
            let said = [&pass.kind, &pass.id, &pass.subject];
            (pass.format.as_str(), said.map(Clone::clone))
        }
        (None, Some(refused)) => (refused.format.as_str(), [const { String::new() }; 3]),
        // Nobody has shown anything.
        (None, None) => ("", [String::new(), String::new(), format!("visit:{}", visit.id)]),
    };
    let all =
        [("format", json!(format)), ("kind", json!(kind)), ("id", json!(id)), ("subject", json!(subject))];
    all.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

fn check_age(cx: &mut Cx<'_>, lists: &[String]) -> Result<(), RecordsFault> {
    let limit_ms = cx.setup.profile.stale_after_h * HOUR_MS;
    for list in lists {
        let issued = cx.records.issued_ms(list)?;
        let old = match (issued, cx.now.wall_ms) {
            (Some(issued), Some(now)) => now - issued > limit_ms,
            (None, _) | (_, None) => true,
        };
        if old {
            cx.find(Code::X_STALE);
        }
    }
    Ok(())
}

/// Whether it is not yet, or no longer, within the window that a list gives an opaque pass.
pub(super) fn is_outside(entry: &Map<String, Value>, now_ms: Option<WallMs>) -> bool {
    let at = |key: &str| entry.get(key).and_then(Value::as_i64);
    let Some(now) = now_ms else { return false };
    at("nbf_ms").is_some_and(|nbf| now < nbf) || at("exp_ms").is_some_and(|exp| now > exp)
}

/// What is asked of a list. One that cannot answer says neither yes nor no: whoever is looked up waits for
/// staff, also in a lane that lets people pass where lists are merely old. One that no step of the lane looks into
/// keeps nobody waiting.
fn ask<T: Default>(cx: &mut Cx<'_>, answer: Result<T, RecordsFault>) -> Result<T, RecordsFault> {
    match answer {
        Err(RecordsFault::List { list, why }) => {
            cx.out.count("list_unreadable_total");
            cx.out.notes.push(format!("list {list}: {why}"));
            if !cx.setup.profile.looks_into(&list) {
                return Ok(T::default());
            }
            let outcome = match cx.setup.profile.outcome(Code::X_STALE) {
                Outcome::Admit | Outcome::Refer => Outcome::Hold,
                other @ (Outcome::Hold | Outcome::Deny) => other,
            };
            cx.visit.findings.retain(|f| f.code != Code::X_STALE);
            cx.visit.find(Code::X_STALE, outcome);
            Ok(T::default())
        }
        answer => answer,
    }
}

fn look_up(cx: &mut Cx<'_>, list: &str, id: &str) -> Result<Option<Map<String, Value>>, RecordsFault> {
    let read =
        |facts| entry::read(list, facts).map_err(|why| RecordsFault::List { list: list.to_owned(), why });
    let answer = cx.records.entry(list, id).and_then(|found| found.map(read).transpose());
    ask(cx, answer)
}

/// Whether a signed pass was taken back, under whatever id of its key: the issuer names the one that it knows,
/// the pass may name another.
pub(super) fn revoked(cx: &mut Cx<'_>, pass: &Pass) -> Result<bool, RecordsFault> {
    for kid in pass.kids(&cx.setup.trust) {
        let answer = cx.records.revoked(&kid, &pass.id);
        if ask(cx, answer)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Finds out whether the bearer of a pass is held. A ticket names its plate in the list: both may be.
pub(super) fn look_for_hold(cx: &mut Cx<'_>, pass: &Pass, plate: Option<&Value>) -> Result<(), RecordsFault> {
    let plate = plate.and_then(Value::as_str).map(id::normal).filter(|p| !p.is_empty());
    if held(cx, &pass.subject)? || plate.map_or(Ok(false), |plate| held(cx, &plate))? {
        cx.find(Code::L_HOLD);
    }
    Ok(())
}

/// Whether this lane asks who is held.
pub(super) fn looks_for_holds(cx: &Cx<'_>) -> bool {
    cx.setup.profile.looks_into(HOLD)
}

fn held(cx: &mut Cx<'_>, subject: &str) -> Result<bool, RecordsFault> {
    let listed = cx.records.listed(HOLD, subject);
    if !ask(cx, listed)? {
        return Ok(false);
    }
    let until = match cx.records.entry(HOLD, subject) {
        Ok(hold) => hold.and_then(|hold| hold.get("until_ms").and_then(entry::whole)),
        // Facts that cannot be read name no end.
        Err(RecordsFault::List { .. }) => None,
        Err(fault @ RecordsFault::Store(_)) => return Err(fault),
    };
    Ok(match (until, cx.now.wall_ms) {
        (Some(until), Some(now)) => now <= until,
        (None, _) | (_, None) => true,
    })
}

/// The health facts: from the local list, or from a certificate that carries its own test.
fn health(
    cx: &Cx<'_>,
    pass: &Map<String, Value>,
    status: Option<&Map<String, Value>>,
    from: AgeFrom,
) -> Map<String, Value> {
    let text = |key: &str| status.and_then(|s| s.get(key)).and_then(Value::as_str).unwrap_or_default();
    let flag = |key: &str| status.and_then(|s| s.get(key)).and_then(Value::as_bool).unwrap_or(false);
    let own_test = pass.get("test_result").and_then(Value::as_str).filter(|result| !result.is_empty());
    let listed_ms = |key: &str| status.and_then(|s| s.get(key)).and_then(Value::as_i64);
    let (result, sampled_ms, at_ms) = match own_test {
        Some(result) => {
            let sampled_ms = pass.get("sampled_at_ms").and_then(Value::as_i64).filter(|at_ms| *at_ms != 0);
            (result, sampled_ms, sampled_ms)
        }
        None => {
            let sampled_ms = listed_ms("sampled_at_ms");
            let at_ms = match from {
                AgeFrom::Sampling => sampled_ms,
                AgeFrom::Report => listed_ms("reported_at_ms"),
            };
            (text("test_result"), sampled_ms, at_ms)
        }
    };
    let sampled_day = sampled_ms.and_then(|at_ms| local_day(at_ms, cx.setup.utc_offset_ms));
    let age_h = match (at_ms, cx.now.wall_ms) {
        // A sample from the future is no fresh test.
        (Some(at), Some(now)) if at <= now + 10 * 60_000 => (now - at) as f64 / HOUR_MS as f64,
        (Some(_), Some(_)) | (None, _) | (_, None) => NEVER_H,
    };
    let mut out = Map::new();
    out.insert("known".into(), json!(status.is_some() || own_test.is_some()));
    out.insert("colour".into(), json!(if status.is_some() { text("colour") } else { "unknown" }));
    out.insert("test_result".into(), json!(result));
    out.insert("test_age_h".into(), json!(age_h));
    out.insert("sampled_day".into(), json!(sampled_day.unwrap_or_default()));
    out.insert("risk_area".into(), json!(flag("risk_area")));
    out.insert("out_of_city".into(), json!(flag("out_of_city")));
    out
}
