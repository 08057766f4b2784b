//! What a verdict must say of somebody, whatever else it says: from what is true of them and from what people are told of
//! the lanes, not from how the lanes find it out.

use super::folk::{Card, Guest};
use serde_json::Value;

/// Lanes that look at the health and the listings of everybody who shows a code, before anything can stop the visit.
const LOOKS_FIRST: [&str; 7] = [
    "school-gate",
    "venue-visit",
    "community-return",
    "pharmacy",
    "pre-triage",
    "enterprise-gate",
    "site-onboarding",
];

/// What was so all the while that a visit was under way.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The clock of the box was confirmed, and not stepped.
    pub clock: bool,
    /// A list that everybody is looked up in was too old.
    pub stale: bool,
    /// No list of the lane was.
    pub fresh: bool,
}

/// Whether a first verdict can be right.
pub fn judge(profile: &str, guest: &Guest, data: &Value, moment: Moment) -> Result<(), String> {
    let Moment { clock, stale, fresh } = moment;
    let codes: Vec<&str> = data["codes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let has = |code: &str| codes.contains(&code);
    let outcome = data["outcome"].as_str().unwrap_or_default();
    let wrong = |what: &str| {
        let Guest { number, card, entries, .. } = guest;
        Err(format!("{profile}: {number} ({card:?}, {entries:?}) is {outcome} {codes:?}: {what}"))
    };
    let signed = data["pass"]["format"] == "kp1";
    // What a pass says counts when its signature holds.
    if outcome == "ADMIT" && signed && guest.card == Card::Forged {
        return wrong("the card is forged");
    }
    for (code, cards) in [
        ("C_BADSIG", &[Card::Forged][..]),
        ("C_UNREADABLE", &[Card::Unreadable]),
        ("C_REVOKED", &[Card::Revoked]),
    ] {
        if has(code) && !cards.contains(&guest.card) {
            return wrong(&format!("{code} for such a card"));
        }
    }
    if !LOOKS_FIRST.contains(&profile) || !data["refused"].is_null() || data["pass"].is_null() {
        return Ok(());
    }
    // Of whoever fills in a form, the number on it is looked up, and not the code.
    if !signed && data["pass"]["kind"] != "opaque" {
        return Ok(());
    }
    let timed_out = has("X_TIMEOUT") || has("V_APPROVAL");
    if signed && guest.card == Card::Revoked && !has("C_REVOKED") && !timed_out {
        return wrong("the card was taken back");
    }
    if signed && guest.card == Card::Expired && clock && !has("C_EXPIRED") && !timed_out {
        return wrong("the time of the card is over");
    }
    if stale && clock && !has("X_STALE") && !timed_out {
        return wrong("a list is too old, and nothing says so");
    }
    if fresh && clock && has("X_STALE") {
        return wrong("all lists are fresh");
    }
    let status = guest.entries.get("status");
    let colour = status.and_then(|s| s["colour"].as_str()).unwrap_or_default();
    for (code, is) in [
        ("H_RED", colour == "red"),
        ("H_YELLOW", colour == "yellow"),
        ("L_HOLD", guest.entries.contains_key("hold")),
    ] {
        if has(code) && !is {
            return wrong(&format!("nothing says {code}"));
        }
        if is && !has(code) && !timed_out {
            return wrong(&format!("the lists say {code}"));
        }
    }
    Ok(())
}
