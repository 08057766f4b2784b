//! What is answered in private is read by the central side alone: it is in no state, no event and no log, and the desk
//! is told what to ask.

use crate::gate::*;
use crate::goes_on::stored;
use kakou_core::core::Step;
use kakou_core::lane::action::Action;
use kakou_core::lane::event::AnswerSealer;
use kakou_core::records::Write;
use kakou_core::register::Change;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PERSON: &str = include_str!("../profiles/person.toml");
const FORM: &str = include_str!("../profiles/form.toml");
const TALLY: &str = include_str!("../profiles/tally.toml");
const CLEAR: [&str; 3] = ["张三", "211402199003070019", "13800138000"];

/// An envelope that a test can open.
pub struct Hex;

impl AnswerSealer for Hex {
    fn seal(&self, answers: &Value, context: &str) -> Value {
        let ct = answers.to_string().bytes().map(|b| format!("{b:02x}")).collect::<String>();
        json!({ "kid": "test", "enc": context, "ct": ct })
    }
}

fn opened(envelope: &Value) -> Value {
    let hex = envelope["ct"].as_str().unwrap();
    let bytes: Vec<u8> =
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect();
    serde_json::from_slice(&bytes).unwrap()
}

fn person(g: &mut Gate) -> Step {
    let answers = ["name", "id_number", "phone"].into_iter().zip(CLEAR).map(|(f, a)| (f.into(), json!(a)));
    g.act(Action::Form(answers.collect()))
}

fn leaks(text: &str) -> Option<&'static str> {
    CLEAR.into_iter().find(|clear| text.contains(clear))
}

#[test]
fn private_answers_are_in_no_state_event_or_note_and_the_verdict_has_them_sealed() {
    let mut g = gate_of("person.toml", PERSON, &["scanner", "printer"]);
    g.scan("X-1");
    let step = person(&mut g);
    assert_eq!(step.reply, Some(Ok(())));
    let told = |step: &Step| format!("{:?} {:?} {:?}", step.events, step.notes, step.writes);
    assert_eq!(leaks(&told(&step)), None);
    assert_eq!(leaks(&serde_json::to_string(&stored(&g)).unwrap()), None, "at the next step");
    let visit = g.core.lane(&g.lane).unwrap().state.visit.clone().unwrap();
    assert_eq!(leaks(&format!("{:?}", visit.private)), None, "whoever logs a visit sees none of them");
    let step = g.answer("mask", "yes");
    assert_eq!(leaks(&told(&step)), None);
    assert_eq!(leaks(&serde_json::to_string(&stored(&g)).unwrap()), None, "behind the verdict");
    let data = &step.events.iter().find(|e| e.kind == "transaction").unwrap().data;
    assert_eq!(
        data["answers"],
        json!({ "id_number": "given", "mask": "yes", "name": "given", "phone": "given" })
    );
    let sealed = opened(&data["private"]);
    assert_eq!(sealed, json!({ "id_number": CLEAR[1], "name": CLEAR[0], "phone": CLEAR[2] }));
    assert_eq!(data["private"]["enc"], "lane-1/1", "for this visit alone");
    g.wait(60_000);
    g.input(kakou_core::core::Input::Tick);
    let desk = serde_json::to_string(&g.desk()).unwrap();
    assert_eq!(leaks(&desk), None, "the list of the latest visits shows none");
}

#[test]
fn the_desk_is_told_everything_that_a_form_asks() {
    let mut g = gate_of("form.toml", FORM, &["scanner"]);
    g.scan("P-0009");
    let ask = g.desk()["ask"].clone();
    assert_eq!((&ask["kind"], &ask["id"]), (&json!("form"), &json!("purchase")));
    let fields: BTreeMap<String, Value> = ask["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["id"].as_str().unwrap().to_owned(), f.clone()))
        .collect();
    let of =
        |id: &str, names: &[&str]| names.iter().map(|name| fields[id][*name].clone()).collect::<Vec<_>>();
    assert_eq!(of("buyer", &["input", "required"]), [json!("choice"), json!(true)]);
    assert_eq!(
        fields["buyer"]["options"][1],
        json!({ "value": "proxy", "text": { "zh": "他人", "en": "Proxy" } })
    );
    assert_eq!(of("patient", &["private", "required"]), [json!(true), json!(true)]);
    assert_eq!(
        fields["patient"]["depends_on"],
        json!({ "field": "buyer", "value": "proxy", "unless": null })
    );
    assert_eq!(
        of("qty", &["input", "min", "max", "decimals"]),
        [json!("number"), json!(1), json!(5), json!(0)]
    );
    assert_eq!(of("temp_c", &["min", "max", "decimals"]), [json!(30.0), json!(43.0), json!(1)]);
    assert_eq!(of("drugs", &["input", "required"]), [json!("choices"), json!(false)]);
    assert_eq!(of("whose", &["input", "value"]), [json!("text"), json!("P-0009")]);
    let words = ["day", "phone", "container", "plate"].map(|id| fields[id]["input"].clone());
    assert_eq!(words, ["date", "phone", "container", "plate"].map(|w| json!(w)));
}

#[test]
fn what_is_wrong_is_said_of_each_field() {
    let mut g = gate_of("form.toml", FORM, &["scanner"]);
    g.scan("P-0001");
    let answers = BTreeMap::from([("qty".to_owned(), json!(9)), ("day".to_owned(), json!("x"))]);
    let why = g.act(Action::Form(answers)).reply.unwrap().unwrap_err();
    assert_eq!(why.code, "bad_answer");
    assert_eq!(why.fields.keys().collect::<Vec<_>>(), ["buyer", "day", "qty"]);
    assert!(why.text.en.contains("Packs: Enter a number from 1 to 5"), "{}", why.text.en);
    assert!(why.text.zh.contains("为谁购买: 请填写"), "{}", why.text.zh);
}

#[test]
fn the_desk_sees_what_was_counted_and_what_is_missing() {
    let mut g = gate_of("tally.toml", TALLY, &["scanner", "printer"]);
    put(&mut g.memory, "pass", "BAG-1", json!({ "approvals": ["T-1", "T-2"] }));
    g.scan("BAG-1");
    g.scan("T-1");
    g.scan("T-9");
    g.wait(5_000);
    g.scan("T-1");
    let ask = g.desk()["ask"].clone();
    let shown =
        ["kind", "count", "again", "most", "expected", "missing", "unknown", "last"].map(|n| ask[n].clone());
    let wanted = [
        json!("tally"),
        json!(2),
        json!(1),
        json!(4),
        json!(2),
        json!(["T-2"]),
        json!(["T-9"]),
        json!(["T-1", "again"]),
    ];
    assert_eq!(shown, wanted);
}

#[test]
fn somebodys_card_at_a_step_for_things_is_said_and_counted_and_the_visit_goes_on_waiting() {
    let mut g = gate_of("tally.toml", TALLY, &["scanner", "printer"]);
    put(&mut g.memory, "pass", "BAG-1", json!({ "approvals": ["T-1", "T-2"] }));
    put(&mut g.memory, "status", "P-0002", json!({ "colour": "green" }));
    put(&mut g.memory, "roster", "T-2", json!({ "role": "staff" }));
    g.scan("BAG-1");
    let step = g.scan("P-0002");
    assert!(step.events.is_empty() && step.writes.is_empty(), "{:?}", step.events);
    assert_eq!(step.counters, ["card_as_answer_total"]);
    let desk = g.desk();
    let why = &desk["not_taken"]["text"]["en"];
    assert!(why.as_str().unwrap().contains("waits for another code"), "{why}");
    assert_eq!((&desk["ask"]["count"], &desk["other"]), (&json!(0), &Value::Null));
    let turn = &g.screen()["other"]["text"]["en"];
    assert!(turn.as_str().unwrap().starts_with("Please wait"), "{turn}");
    g.wait(1_000);
    assert!(g.scan("P-0002").counters.is_empty(), "what is held before the reader is one card");
    g.wait(5_000);
    g.input(kakou_core::core::Input::Tick);
    assert_eq!(g.desk()["not_taken"], Value::Null);
    // What was announced is a tube, whoever has the same number.
    g.scan("T-2");
    assert_eq!(g.desk()["ask"]["count"], json!(1));
    // A list that cannot be read keeps nobody from counting.
    g.memory.faulty.insert("status");
    let step = g.scan("T-9");
    assert!(step.counters.contains(&"list_unreadable_total"), "{:?}", step.counters);
    assert_eq!(g.desk()["ask"]["count"], json!(2));
}

const PICKUP: &str = "
id = \"pickup\"
title = { zh = \"接\", en = \"Pick-up\" }
direction = \"out\"
fail_mode = \"HOLD\"
[[register]]
name = \"gone\"
key = \"lane.place\"
holder = \"pass.subject\"
[[emit]]
kind = \"collected\"
outcomes = [\"ADMIT\"]
data = { children = { key = \"answers.children\" }, whom = \"answers.patient\" }
[[step]]
kind = \"scan\"
accepts = [\"opaque\"]
[[step]]
kind = \"verify\"
lists = [\"children\"]
[[step]]
kind = \"form\"
id = \"collect\"
fields = [
  { id = \"children\", type = \"choices\", zh = \"孩子\", en = \"Children\", options_from = \"entry.children.children\" },
  { id = \"other\", type = \"text\", zh = \"其他\", en = \"Other\", personal = true },
  { id = \"patient\", type = \"text\", zh = \"患者\", en = \"Patient\" },
  { id = \"lane\", type = \"text\", zh = \"门\", en = \"Gate\" },
]
[[step]]
kind = \"verify\"
id = \"whom\"
lists = [\"patients\"]
keys = { patients = \"answers.patient\" }
[[step]]
kind = \"register\"
register = \"gone\"
act = \"put\"
at = \"now\"
data = { whom = \"answers.patient\", many = \"size(answers.children)\" }
[[step]]
kind = \"decide\"
rules = [{ code = \"Q_NOT_LISTED\", when = 'answers.other == \"王小二\" || size(answers.children) != 2' }]
[[step]]
kind = \"print\"
id = \"slip\"
lines = [\"{answers.patient}\"]
";

#[test]
fn an_answer_that_names_somebody_stands_as_a_key_and_for_the_central_side_alone_in_clear() {
    let mut g = gate_of("pickup.toml", PICKUP, &["scanner", "printer"]);
    put(&mut g.memory, "children", "P-0009", json!({ "children": ["S-0001", "S-0002", "S-0003"] }));
    put(&mut g.memory, "patients", "B-0012", json!({ "state": "admitted" }));
    g.scan("P-0009");
    let given =
        json!({ "children": ["S-0001", "S-0002"], "other": "王小二", "patient": "b-0012", "lane": "east" });
    let step = g.act(Action::Form(serde_json::from_value(given).unwrap()));
    let of = |kind: &str| step.events.iter().find(|e| e.kind == kind).map(|e| e.data.clone());
    let data = of("transaction").unwrap();
    let codes = data["codes"].as_array().unwrap();
    assert!(codes.contains(&json!("Q_NOT_LISTED")), "rules read what was answered: {codes:?}");
    let keys = ["S-0001", "S-0002", "王小二", "B-0012"]
        .map(|id| g.core.lane(&g.lane).unwrap().setup.subjects.of(id));
    let [one, two, other, patient] = keys.clone();
    let answers =
        json!({ "children": format!("{one}, {two}"), "other": other, "patient": patient, "lane": "east" });
    assert_eq!(data["answers"], answers);
    let sealed = opened(&data["private"]);
    let clear = json!({ "children": ["S-0001", "S-0002"], "other": "王小二", "patient": "b-0012" });
    assert_eq!(sealed, clear);
    let leak = |text: &str| {
        ["S-0001", "S-0002", "王小二", "B-0012", "b-0012"].into_iter().find(|id| text.contains(id))
    };
    assert_eq!(leak(&format!("{:?} {:?}", step.events, step.notes)), None);
    let slot = step.writes.iter().find_map(|write| match write {
        Write::Slot(write) => Some(write.change.clone()),
        Write::Redeem { .. } | Write::Archive { .. } | Write::Seal { .. } => None,
    });
    let Some(Change::Put(put)) = slot else { panic!("{:?}", step.writes) };
    assert_eq!(json!(put.data), json!({ "whom": patient, "many": "2" }), "a slot keeps words");
    // The desk has them while the visit can go on; a visit that is over keeps the keys.
    let shown = |desk: Value| desk["visit"]["answers"].to_string();
    assert!(shown(g.desk()).contains("S-0002") && shown(g.desk()).contains("b-0012"), "{}", g.desk());
    let visit = g.core.lane(&g.lane).unwrap().state.visit.clone().unwrap();
    let kept = serde_json::to_string(&visit.closed()).unwrap();
    assert_eq!(leak(&kept), None, "{kept}");
    assert!(kept.contains(&patient));
}
