//! The words of a scenario file that are known, among them those that this version cannot play yet: such a
//! word is said by its name, while one that nobody knows is a mistake of the file.

use crate::codes::Code;
use crate::event::OWN;
use crate::lane::action::Role;
use crate::pass::kp1;
use crate::profile::Profile;
use crate::records::LISTS;

/// Words with which an act can be rejected.
pub const REFUSALS: [&str; 18] = [
    "bad_answer",
    "role",
    "same_person",
    "unchecked",
    "seal_form",
    "seal_differs",
    "seal_stock",
    "seal_used",
    "seal_place",
    "photo_not_good",
    "note",
    "reason",
    "second_sign_needed",
    "used_meanwhile",
    "busy",
    "not_now",
    "no_visit",
    "purpose",
];

const KINDS_TO_COME: [&str; 42] = [
    "visit",
    "return_arrival",
    "drug_purchase",
    "purchase_referred",
    "cover_record",
    "vehicle_passage",
    "transit_open",
    "transit_overdue",
    "transit_close",
    "seal_verified",
    "seal_breach",
    "emergency_admit",
    "ward_in",
    "ward_out",
    "companion_swap",
    "fire_release",
    "exit_button",
    "worker_enrolled",
    "site_in",
    "site_out",
    "sticker",
    "emergency_exit",
    "isolation_in",
    "isolation_out",
    "release_pushed",
    "sample",
    "waste_handover",
    "waste_alarm",
    "attendance",
    "specimen_received",
    "specimen_gap",
    "supply_in",
    "supply_out",
    "supply_count",
    "supply_low",
    "consult_in",
    "consult_out",
    "emergency_open",
    "duty_in",
    "duty_refused",
    "pickup",
    "wash_passage",
];

/// Kinds of passes that a file can sign beside those of our own.
pub const HCERT_TEST: &str = "hcert-test";

/// What a word is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// One that can be played.
    Known,
    /// One that cannot be played yet.
    ToCome,
    /// None; these are allowed.
    Mistake(String),
}

fn term(text: &str, known: &[&str], to_come: &[&str]) -> Term {
    if known.contains(&text) {
        Term::Known
    } else if to_come.contains(&text) {
        Term::ToCome
    } else {
        Term::Mistake(known.join(", "))
    }
}

/// A list.
pub fn list(name: &str) -> Term {
    term(name, &LISTS, &[])
}

/// Why a list has no entries in a play, where nothing would ask for one.
pub fn no_entries(list: &str) -> Option<&'static str> {
    match list {
        "trust" => Some(
            "`trust` has no entries here: who signs, and whether the lane trusts that key, is said with `sign` in [passes.NAME]",
        ),
        "policy" => {
            Some("`policy` has no entries here: `profile` names the profile, or the file of another edition")
        }
        _ => None,
    }
}

/// A role.
pub fn role(name: &str) -> Result<Role, Term> {
    let known = Role::ALL.map(Role::as_str);
    Role::parse(name).ok_or_else(|| term(name, &known, &[]))
}

/// A reason code.
pub fn code(name: &str) -> Result<Code, Term> {
    let all: Vec<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
    Code::parse(name).ok_or_else(|| term(name, &all, &[]))
}

/// A word of a rejection.
pub fn refusal(name: &str) -> Term {
    term(name, &REFUSALS, &[])
}

/// A kind of pass.
pub fn pass_kind(name: &str) -> Term {
    let ours = ["resident-card", "vehicle-pass", "staff-badge", "companion-card", "release-slip"];
    let known: Vec<&str> = kp1::kind_words().filter(|k| ours.contains(k)).chain([HCERT_TEST]).collect();
    term(name, &known, &[])
}

/// A kind of event, of the gateway, of one of these profiles, or of a shipped one.
pub fn event<'a>(name: &str, profiles: impl Iterator<Item = &'a Profile>) -> Term {
    let alarms = |p: &'a Profile| p.registers.iter().filter_map(|r| Some(r.alarm.as_ref()?.1.as_str()));
    let own = profiles.flat_map(|p| p.emits.iter().map(|e| e.kind.as_str()).chain(alarms(p)));
    let shipped = ["arrival", "fever", "triage", "fever_referral"];
    let known: Vec<&str> = OWN.into_iter().chain(own).chain(shipped).collect();
    term(name, &known, &KINDS_TO_COME)
}
