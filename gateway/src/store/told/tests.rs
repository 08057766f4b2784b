use super::*;
use crate::store::edition::{Order, build};
use crate::store::lists::Lists;
use kakou_core::hl7::{Charset, Reading, Sample, read, sample};
use serde_json::{Value, json};

const NOON: i64 = 1_653_364_800_000;

fn edition(
    data: &Path,
    name: &str,
    version: u64,
    base: Option<u64>,
    issued_ms: i64,
    entries: &[(&str, Value)],
) {
    let lines: String =
        entries.iter().map(|(id, facts)| format!("{}\n", json!({ "id": id, "facts": facts }))).collect();
    let order =
        Order { data, name, version, issued_ms, base, sha256: None, signer: "", canary: &[], check: None };
    build(&order, lines.as_bytes(), &mut |_| true).unwrap();
}

fn told(data: &Path, event: &str, at_ms: i64, ward: &str) -> Taken {
    let of = Sample {
        event,
        patient: "B-12",
        name: Some("李四"),
        ward: Some(ward),
        room: Some("1"),
        at_ms,
        control: "1",
    };
    let with = Reading { charset: Charset::Utf8, utc_offset_ms: 0, id_type: "", now_ms: None };
    take(data, &read(sample(of).as_bytes(), &with).unwrap(), at_ms).unwrap()
}

fn found(lists: &Lists, list: &str) -> Value {
    lists.enter(0).unwrap();
    let found = lists.entry(list, "B-12").unwrap();
    lists.leave().unwrap();
    json!(found)
}

#[test]
fn a_message_stands_above_both_lists_until_a_newer_edition_and_keeps_the_rest_of_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    assert_eq!(told(data, "A01", NOON, "W3"), Taken::NoList);
    edition(data, "patients", 1, None, NOON, &[]);
    edition(data, "roster", 1, None, NOON, &[]);
    let lists = Lists::open(data).unwrap();
    assert!(matches!(told(data, "A01", NOON + 10, "W3"), Taken::Words(words) if words.len() == 2));
    let patient = json!({ "name": "李四", "room": "1", "state": "admitted", "ward": "W3" });
    assert_eq!(found(&lists, "patients"), patient);
    assert_eq!(found(&lists, "roster")["role"], "inpatient");
    assert_eq!(lists.search("李四", 9).unwrap().len(), 1, "found by name at the desk");
    // An edition that was made before the message and comes after it.
    let isolated = json!({ "ward": "W1", "restriction": "isolation" });
    edition(data, "patients", 2, None, NOON + 5, &[("B-12", isolated.clone())]);
    let both =
        json!({ "name": "李四", "restriction": "isolation", "room": "1", "state": "admitted", "ward": "W3" });
    assert_eq!(found(&lists, "patients"), both);
    edition(
        data,
        "patients",
        3,
        Some(2),
        NOON + 6,
        &[("B-12", json!({ "restriction": "none", "limit": 1 }))],
    );
    assert_eq!(found(&lists, "patients")["restriction"], "none", "a change below it counts as well");
    assert_eq!(found(&lists, "patients")["state"], "admitted");
    assert_eq!(told(data, "A03", NOON + 9, "W3"), Taken::Late);
    assert!(matches!(told(data, "A03", NOON + 10, "W3"), Taken::Words(_)), "of one moment the later");
    // Behind a restart.
    let lists = Lists::open(data).unwrap();
    assert_eq!(found(&lists, "patients")["state"], "discharged");
    edition(data, "patients", 4, None, NOON + 20, &[("B-12", isolated.clone())]);
    assert_eq!(found(&lists, "patients"), isolated);
    assert_eq!(found(&lists, "roster")["role"], "inpatient", "its own list has no newer edition");
    assert_eq!(told(data, "A03", NOON + 19, "W3"), Taken::Late);
}

#[test]
fn two_gateways_that_hear_words_in_any_order_come_to_the_same() {
    let word = |at: i64, tie, state: &str| Word {
        span: kakou_core::hl7::Span { at_ms: NOON + at, end_ms: NOON + at },
        tie,
        said: json!({ "state": state }).as_object().unwrap().clone(),
    };
    let words =
        [word(1, 0, "admitted"), word(2, 0, "discharged"), word(2, 1, "admitted"), word(2, 1, "cancelled")];
    let after = |order: [usize; 4]| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        edition(data, "patients", 1, None, NOON, &[]);
        for n in order {
            hear(data, "patients", "b-12", &words[n]).unwrap();
            assert!(!hear(data, "patients", "b-12", &words[n]).unwrap(), "told again");
        }
        all(data, "patients").unwrap()
    };
    let first = after([0, 1, 2, 3]);
    assert_eq!(first, [("B-12".to_owned(), words[3].clone())]);
    for order in [[3, 2, 1, 0], [2, 3, 0, 1], [1, 0, 3, 2]] {
        assert_eq!(after(order), first);
    }
}

#[test]
fn a_message_that_comes_while_an_edition_is_put_in_place_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    edition(data, "patients", 1, None, NOON, &[]);
    edition(data, "roster", 1, None, NOON, &[]);
    let many: Vec<(String, Value)> =
        (0..3_000).map(|n| (format!("C-{n:05}"), json!({ "ward": "W1" }))).collect();
    let many: Vec<(&str, Value)> = many.iter().map(|(id, facts)| (id.as_str(), facts.clone())).collect();
    let (done, mut version) = (std::sync::atomic::AtomicBool::new(false), 1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                version += 1;
                edition(data, "patients", version, None, NOON, &many);
            }
        });
        for n in 0..40 {
            let event = if n % 2 == 0 { "A01" } else { "A03" };
            assert!(matches!(told(data, event, NOON + 1 + n, "W3"), Taken::Words(_)));
            let (_, word) = all(data, "patients").unwrap().pop().unwrap();
            assert_eq!(word.span.at_ms, NOON + 1 + n);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(all(data, "patients").unwrap()[0].1.span.at_ms, NOON + 40);
}
