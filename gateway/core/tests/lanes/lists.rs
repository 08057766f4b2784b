//! A list that cannot answer.

use crate::gate::*;
use kakou_core::core::Input;

#[test]
fn a_status_list_that_cannot_answer_holds_its_people_and_closes_no_lane() {
    for profile in ["school-gate", "pre-triage"] {
        let mut g = gate(profile);
        g.memory.faulty.insert("status");
        let step = g.scan("green");
        let mut step = g.warm(&step, 36_600);
        if profile == "pre-triage" {
            g.answer("mask", "yes");
            g.answer("travel", "no");
            step = g.answer("symptoms", "no");
        }
        let (outcome, codes) = verdict(&step);
        assert_eq!(outcome, "HOLD", "{profile}");
        assert!(codes.contains(&"X_STALE".into()), "{profile}: {codes:?}");
        assert!(!opened(&step));
        g.wait(60_000);
        g.input(Input::Tick);
        g.memory.faulty.clear();
        let step = g.scan("other");
        assert!(!step.requests.is_empty(), "{profile}: the lane goes on with the next");
    }
}
