//! What the counters count.

use crate::gate::*;
use kakou_core::codes::Outcome;
use kakou_core::core::Input;
use kakou_core::lane::action::{Action, Role};

#[test]
fn a_visit_is_counted_once_by_its_final_outcome() {
    let mut g = gate("school-gate");
    let step = g.scan("late");
    let step = g.warm(&step, 36_600);
    assert_eq!(
        step.outcomes,
        [(g.lane.clone(), Outcome::Hold)],
        "the metrics count verdicts as they are given"
    );
    assert_eq!(g.counters(), [0, 0, 1, 0]);
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    g.confirm(&step);
    assert_eq!(g.counters(), [1, 0, 0, 0], "an override moves the visit");
    g.wait(5_000);
    g.admit("green");
    assert_eq!(g.counters(), [2, 0, 0, 0]);
}

#[test]
fn a_recheck_moves_the_visit_to_its_new_outcome() {
    let mut g = gate("school-gate");
    let mut step = g.scan("green");
    for round in 0..3 {
        step = g.warm(&step, 38_200);
        if round < 2 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    assert_eq!(g.counters(), [0, 1, 0, 0]);
    let mut step = g.act_as("li", Role::Guard, Action::Recheck);
    for round in 0..2 {
        step = g.warm(&step, 36_600);
        if round < 1 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    assert_eq!(verdict(&step).0, "ADMIT");
    assert_eq!(g.counters(), [1, 0, 0, 0]);
}

#[test]
fn the_day_counters_begin_anew_at_midnight_without_a_scan() {
    let mut g = gate("school-gate");
    g.admit("green");
    g.wait(20_000);
    g.input(Input::Tick);
    assert_eq!(g.counters(), [1, 0, 0, 0]);
    // 08:00 at the site; 16 hours to its midnight.
    let midnight = g.now.wall_ms.unwrap() - 20_000 + 16 * HOUR;
    let mut woken = 0;
    while g.now.wall_ms.unwrap() < midnight {
        assert_eq!(g.counters(), [1, 0, 0, 0]);
        let (at, _) = g.core.next_deadline().expect("the lane is woken for the day");
        assert!(at > g.now.mono_ms, "a deadline lies ahead");
        g.wait(at - g.now.mono_ms);
        g.input(Input::Tick);
        woken += 1;
    }
    assert_eq!(g.now.wall_ms.unwrap(), midnight, "woken at the moment itself");
    assert_eq!(g.counters(), [0, 0, 0, 0]);
    assert!(woken < 200, "and not all the time: {woken}");
}

#[test]
fn an_override_of_yesterdays_visit_does_not_touch_todays_counters() {
    let mut g = gate("school-gate");
    let step = g.scan("late");
    g.warm(&step, 36_600);
    let visit = g.visit_id();
    g.wait(24 * 3_600_000);
    g.input(Input::Tick);
    assert_eq!(g.counters(), [0, 0, 0, 0]);
    assert_eq!(g.override_of(visit, Outcome::Admit).reply, Some(Ok(())));
    assert_eq!(g.counters(), [0, 0, 0, 0]);
}
