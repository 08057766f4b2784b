//! A door that is interlocked opens when the other one is shut, within ten seconds or not at all.

use crate::gate::*;
use kakou_core::core::{Input, Step};
use kakou_core::ids::DeviceId;
use kakou_core::reading::{Command, Report};

const AIRLOCK: &str = r#"
id = "airlock"
title = { zh = "缓冲间", en = "Airlock" }
direction = "in"
fail_mode = "HOLD"
[[step]]
kind = "scan"
accepts = ["opaque"]
[[step]]
kind = "decide"
[[step]]
kind = "actuate"
device = "door"
interlock = "inner-door"
"#;

fn airlock(active: bool) -> (Gate, Step) {
    let mut g = gate_of("airlock.toml", AIRLOCK, &["scanner", "door", "inner-door"]);
    g.device("inner-door", Report::Input { active });
    let step = g.scan("P-0001");
    (g, step)
}

fn pulsed(step: &Step) -> bool {
    step.requests
        .iter()
        .any(|r| r.device == DeviceId::new("door").unwrap() && matches!(r.command, Command::Pulse { .. }))
}

#[test]
fn a_door_opens_at_once_while_the_other_one_is_shut() {
    assert!(pulsed(&airlock(false).1));
    let mut g = gate_of("airlock.toml", AIRLOCK, &["scanner", "door"]);
    assert!(pulsed(&g.scan("P-0001")), "a lane without such an input is not locked by it");
}

#[test]
fn a_door_opens_as_soon_as_the_other_one_is_shut() {
    let (mut g, step) = airlock(true);
    assert_eq!(verdict(&step).0, "ADMIT");
    assert!(!pulsed(&step));
    g.wait(9_000);
    assert!(!pulsed(&g.device("inner-door", Report::Input { active: true })));
    assert!(pulsed(&g.device("inner-door", Report::Input { active: false })));
}

#[test]
fn a_door_whose_other_one_stays_open_does_not_open_and_the_verdict_stays() {
    let (mut g, _) = airlock(true);
    g.wait(9_999);
    assert!(g.input(Input::Tick).events.is_empty());
    g.wait(1);
    let step = g.input(Input::Tick);
    assert_eq!(kinds(&step), ["device"]);
    assert_eq!(step.events[0].data["code"], "X_DEVICE");
    let visit = g.core.lane(&g.lane).unwrap().state.visit.clone().unwrap();
    assert!(visit.unopened() && visit.admitted);
    // Nor does it open when an officer asks for it: the other one is still open.
    let step = g.act(kakou_core::lane::action::Action::OpenAgain(visit.id));
    assert_eq!(step.reply.clone().unwrap().unwrap_err().code, "interlock");
    assert!(!pulsed(&step) && step.events.is_empty());
    g.device("inner-door", Report::Input { active: false });
    assert!(pulsed(&g.act(kakou_core::lane::action::Action::OpenAgain(visit.id))));
}
