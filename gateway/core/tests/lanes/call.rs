//! Whoever waits for a place is called in.

use crate::gate::*;
use kakou_core::lane::action::Action;
use serde_json::{Value, json};

const ROOM: &str = "id = \"room\"\ntitle = { zh = \"诊室\", en = \"Room\" }\ndirection = \"in\"\nfail_mode = \"HOLD\"\nsame_result_s = 0\n\
    [[register]]\nname = \"room\"\nkey = \"lane.place\"\nholder = \"pass.subject\"\nlimit = 1\nover = \"Q_FULL\"\n\
    [[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n\
    [[step]]\nkind = \"verify\"\nlists = [\"status\"]\n\
    [[step]]\nkind = \"register\"\nregister = \"room\"\nact = \"put\"\n\
    [[step]]\nkind = \"decide\"\n";

fn calls(g: &Gate) -> bool {
    g.desk()["actions"].as_array().unwrap().contains(&json!("call"))
}

#[test]
fn whoever_waits_for_a_place_is_called_by_name_in_turn_until_they_come() {
    let mut g = gate_of("room.toml", ROOM, &["scanner"]);
    g.scan("green");
    g.wait(9_000);
    assert!(!calls(&g), "nobody waits");
    assert!(g.act(Action::Call).events.is_empty());
    let first = g.scan("other");
    assert_eq!(verdict(&first), ("HOLD".into(), vec!["Q_FULL".into()]));
    let first = g.visit_id();
    g.wait(9_000);
    g.scan("late");
    let second = g.visit_id();
    g.wait(9_000);
    assert!(calls(&g));
    assert_eq!(g.screen()["other"], Value::Null);

    for (visit, told) in [(first, "first"), (second, "then the one after"), (first, "and from the beginning")]
    {
        let step = g.act(Action::Call);
        assert_eq!((kinds(&step), step.events[0].visit), (vec!["audit"], Some(visit)), "{told}");
        assert_eq!(step.events[0].data["act"], "call");
    }
    let screen = g.screen();
    assert_eq!((&screen["mode"], &screen["other"]["calls"]), (&json!("idle"), &json!(true)));
    assert!(screen["other"]["text"]["zh"].as_str().unwrap().contains("张*"), "the masked name: {screen}");
    g.wait(60_000);
    assert_eq!(g.screen()["other"], Value::Null, "not for ever");

    // They come, and are not called any more.
    g.act(Action::Call);
    g.scan("other");
    assert_eq!(g.screen()["other"], Value::Null, "somebody is there");
    g.wait(9_000);
    let step = g.act(Action::Call);
    assert_ne!(step.events[0].visit, Some(first), "the newest word counts");
}
