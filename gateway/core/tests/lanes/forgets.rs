//! What a lane does not keep of those who passed.

use crate::gate::*;
use kakou_core::evidence::SubjectKeys;
use kakou_core::pass::{Format, Pass};
use kakou_core::reading::{Command, Report};
use serde_json::json;

#[test]
fn a_quiet_lane_forgets_its_visits_in_time() {
    let mut g = gate("school-gate");
    for card in ["green", "other"] {
        let step = g.scan(card);
        let step = g.warm(&step, 36_600);
        let ticket = ticket(&step, &Command::Pulse { ms: 700 }).unwrap();
        g.device("barrier", Report::Done { ticket });
        g.wait(HOUR.unsigned_abs());
    }
    // The one before has made room for the next.
    let behind = |g: &Gate| g.core.lane(&g.lane).unwrap().state.recent.len();
    assert_eq!(behind(&g), 1);
    g.core.forget_before(WALL);
    assert_eq!(behind(&g), 1, "it is not older");
    g.core.forget_before(WALL + 1);
    assert_eq!(behind(&g), 0);
}

#[test]
fn a_code_that_would_be_taken_anew_is_not_written_with_every_step() {
    let mut g = gate("school-gate");
    let kept =
        |g: &Gate| serde_json::to_value(&g.core.lane(&g.lane).unwrap().state).unwrap()["reads"].clone();
    g.admit("green");
    g.wait(60_000);
    g.admit("other");
    assert_eq!(kept(&g).as_array().unwrap().len(), 2, "the first one would be shown its result");
    g.wait(60_000);
    g.scan("nobody");
    assert_eq!(kept(&g).as_array().unwrap().len(), 2, "a visit of its own, and the one of a minute before");
}

#[test]
fn a_full_name_is_masked_when_a_pass_is_taken_and_a_code_is_kept_as_a_key() {
    let mut g = gate("school-gate");
    g.scan("green");
    let mut visit = g.core.lane(&g.lane).unwrap().state.visit.clone().unwrap();
    assert!(!visit.key.contains("green") && !visit.key.contains("GREEN"), "{}", visit.key);
    let facts = json!({ "name": "欧阳震华", "role": "worker" }).as_object().cloned().unwrap();
    let pass = Pass {
        format: Format::Kp1,
        kind: "staff-badge".into(),
        kid: "k".into(),
        signer: "s".into(),
        id: "i".into(),
        subject: "P-1".into(),
        name: Some("欧阳震华".into()),
        exp: None,
        facts,
    };
    visit.take(pass, &SubjectKeys::new(1, b"site secret"));
    let kept = serde_json::to_string(&visit).unwrap();
    assert!(!kept.contains("震华"), "{kept}");
    assert_eq!(visit.name.as_deref(), Some("欧*"));
    assert_eq!(visit.pass.unwrap().facts["role"], "worker");
}
