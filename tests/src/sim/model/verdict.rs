//! The verdict on somebody: everything that speaks against them, in the order of precedence; the first decides.

use super::measuring::Measuring;
use crate::sim::people::{Card, Colour, Gate, Person, Test};

/// Everything that can be found at these gates, the first that decides first: faults, the pass, lists, health,
/// temperature, repetition. What a fault leads to is the profile's: a pupil is referred, a vehicle waits.
const PRECEDENCE: [(&str, &str); 21] = [
    ("X_CLOCK", ""),
    ("X_STALE", ""),
    ("C_UNREADABLE", "HOLD"),
    ("C_UNKNOWN", "HOLD"),
    ("C_BADSIG", "DENY"),
    ("C_EXPIRED", "DENY"),
    ("C_REVOKED", "DENY"),
    ("C_WRONG_SITE", "DENY"),
    ("L_HOLD", "HOLD"),
    ("H_POSITIVE", "DENY"),
    ("H_RED", "DENY"),
    ("H_YELLOW", "REFER"),
    ("H_RISK_AREA", "HOLD"),
    ("H_TEST_MISSING", "HOLD"),
    ("H_TEST_EXPIRED", "HOLD"),
    ("T_HIGH", "REFER"),
    ("T_LOW", "REFER"),
    ("T_FAULT", "REFER"),
    ("T_ENV", "REFER"),
    ("T_NONE", "REFER"),
    ("D_USED", "DENY"),
];

/// A test counts for 48 hours from when the sample was taken.
const TEST_MS: i64 = 48 * 3_600_000;

/// The outcome and the codes, now and with a clock that is known or not.
pub(super) fn verdict(
    gate: Gate,
    person: &Person,
    measuring: &Measuring,
    (wall_ms, clock_known): (i64, bool),
    stale: bool,
    used: bool,
) -> Result<(&'static str, Vec<&'static str>), String> {
    let mut found = Vec::new();
    // Nobody is measured for a code that cannot admit.
    let hopeless = matches!(person.card, Card::Forged | Card::Unreadable | Card::Expired | Card::OtherKind);
    match (hopeless, measuring.result()) {
        (true, _) if measuring.has_begun() => {
            return Err(format!("{} is measured for a code that cannot admit", person.number));
        }
        (true, _) => {}
        (false, Some(code)) => found.extend(code),
        (false, None) => return Err(format!("{} is judged and was not measured", person.number)),
    }
    if !clock_known {
        found.push("X_CLOCK");
    }
    if stale {
        found.push("X_STALE");
    }
    found.extend(match person.card {
        Card::Signed | Card::Number => None,
        Card::Forged => Some("C_BADSIG"),
        Card::Unreadable => Some("C_UNREADABLE"),
        Card::Expired => Some("C_EXPIRED"),
        Card::Revoked => Some("C_REVOKED"),
        Card::OtherKind => Some("C_WRONG_SITE"),
    });
    let good = matches!(person.card, Card::Signed | Card::Number);
    match (gate, &person.status) {
        (Gate::School, None) if good => found.push("C_UNKNOWN"),
        (Gate::School, Some(status)) if good => {
            found.extend(match status.colour {
                Some(Colour::Green) => None,
                Some(Colour::Yellow) => Some("H_YELLOW"),
                Some(Colour::Red) => Some("H_RED"),
                None => Some("C_UNKNOWN"),
            });
            found.extend(match status.test {
                None => Some("H_TEST_MISSING"),
                Some(Test::Positive) => Some("H_POSITIVE"),
                Some(Test::Negative(sampled_ms)) => {
                    (wall_ms - sampled_ms > TEST_MS).then_some("H_TEST_EXPIRED")
                }
            });
            found.extend(status.risk_area.then_some("H_RISK_AREA"));
        }
        (Gate::School | Gate::Goods, _) => {}
    }
    // Whose card cannot be read, was forged or names something else, nobody knows.
    let known = !matches!(person.card, Card::Forged | Card::Unreadable | Card::OtherKind);
    found.extend((person.held && known).then_some("L_HOLD"));
    found.extend(used.then_some("D_USED"));
    let in_order = PRECEDENCE.iter().filter(|(code, _)| found.contains(code));
    let codes: Vec<&'static str> = in_order.clone().map(|(code, _)| *code).collect();
    let fault = match gate {
        Gate::School => "REFER",
        Gate::Goods => "HOLD",
    };
    let first = in_order.map(|(_, outcome)| if outcome.is_empty() { fault } else { *outcome }).next();
    Ok(first.map_or(("ADMIT", vec!["OK"]), |outcome| (outcome, codes)))
}
