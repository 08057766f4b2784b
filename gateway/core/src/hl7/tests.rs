use super::answer::From;
use super::word::{Standing, Told, Word, changes};
use super::*;
use serde_json::{Map, Value, json};

const NOON: &str = "20220524120000+0800";
const NOON_MS: i64 = 1_653_364_800_000;
const WITH: Reading<'static> =
    Reading { charset: Charset::Utf8, utc_offset_ms: 8 * 3_600_000, id_type: "", now_ms: Some(NOON_MS) };

/// A message with this MSH-9 and these further segments.
fn text(kind: &str, rest: &str) -> String {
    format!("MSH|^~\\&|HIS|H1|KAKOU|W3|{NOON}||{kind}|4711|P|2.5.1\r{rest}")
}

fn admitted(rest: &str) -> String {
    text("ADT^A01^ADT_A01", rest)
}

const PATIENT: &str = "PID|1||B-12^^^H1^MR||李^四\rPV1|1|I|W3^12^2\r";

fn good(text: &str) -> Message {
    read(text.as_bytes(), &WITH).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn bad(bytes: impl AsRef<[u8]>) -> (u16, String) {
    let refusal = read(bytes.as_ref(), &WITH).unwrap_err();
    (refusal.condition.row().0, refusal.to_string())
}

#[test]
fn a_message_says_who_where_and_when() {
    let message = good(&admitted(PATIENT));
    assert_eq!((message.event, message.patient.as_str()), (Event::Admitted, "B-12"));
    assert_eq!(message.name.as_deref(), Some("李四"));
    assert_eq!((message.ward.as_deref(), message.room.as_deref()), (Some("W3"), Some("12")));
    assert_eq!(message.time, Some(Span { at_ms: NOON_MS, end_ms: NOON_MS + 999 }));
    assert_eq!(message.header.control, "4711");
    let western = good(&admitted("PID|||7||DOE^JOHN^Q\r"));
    assert_eq!((western.name.as_deref(), western.ward), (Some("DOE JOHN"), None));
}

#[test]
fn a_message_is_read_however_its_sender_ends_lines_and_separates() {
    let usual = good(&admitted(PATIENT));
    for other in [
        admitted(PATIENT).replace('\r', "\n"),
        admitted(PATIENT).replace('\r', "\r\n"),
        format!("\n  {}  \n", admitted(PATIENT)),
        admitted(PATIENT).replace("^~\\&|", "^~\\&#|"),
        admitted(PATIENT).replace('|', "$"),
    ] {
        assert_eq!(good(&other), usual, "{other}");
    }
}

#[test]
fn what_is_escaped_is_read_also_beside_chinese_letters() {
    let message =
        good(&admitted("PID|||B\\F\\12||张\\T\\三\\E\\\\H\\x\\N\\\\XE59B9B\\\\unended\rPV1|||W\\.br\\3"));
    assert_eq!(message.patient, "B|12");
    assert_eq!(message.name.as_deref(), Some("张&三\\x四\\unended"));
    assert_eq!(message.ward.as_deref(), Some("W 3"));
}

#[test]
fn an_empty_field_says_nothing_and_two_quotes_take_away() {
    let message = good(&admitted("PID|||B-12||\"\"\rPV1||I|\r"));
    assert_eq!((message.name.as_deref(), message.ward, message.room), (Some(""), None, None));
    let moved = good(&admitted("PID|||B-12\rPV1||I|W5"));
    assert_eq!(
        (moved.ward.as_deref(), moved.room.as_deref()),
        (Some("W5"), Some("")),
        "no longer in its room"
    );
}

#[test]
fn the_id_of_the_wristband_is_that_of_its_type_and_in_old_messages_the_second_field() {
    let several = admitted("PID|||210211^^^^NI~B-12^^^^MR");
    assert_eq!(good(&several).patient, "210211");
    let with = Reading { id_type: "MR", ..WITH };
    assert_eq!(read(several.as_bytes(), &with).unwrap().patient, "B-12");
    assert!(read(admitted("PID|||1^^^^NI").as_bytes(), &with).is_err());
    assert_eq!(good(&admitted("PID||B-7")).patient, "B-7");
}

#[test]
fn letters_are_utf_8_or_gb_18030_as_the_message_or_the_site_says() {
    let named =
        |charset: &str| format!("MSH|^~\\&|医院|H|K|W|{NOON}||ADT^A01|1|P|2.4||||||{charset}\r{PATIENT}");
    let gb = |text: &str| encoding_rs::GB18030.encode(text).0.into_owned();
    for charset in ["GB 18030-2000", "GB18030", "GBK", "gb2312"] {
        let message = read(&gb(&named(charset)), &WITH).unwrap();
        assert_eq!(message.name.as_deref(), Some("李四"), "{charset}");
    }
    assert_eq!(good(&named("UNICODE UTF-8")).name.as_deref(), Some("李四"));
    let (number, why) = bad(gb(&named("")));
    assert!(number == 102 && why.contains("MSH-18"), "{why}");
    let site = Reading { charset: Charset::Gb18030, ..WITH };
    assert_eq!(read(&gb(&named("")), &site).unwrap().name.as_deref(), Some("李四"));
    assert_eq!(bad(named("8859/1")).0, 103);
    assert!(read(named("8859/1").replace(['医', '院', '李', '四'], "x").as_bytes(), &WITH).is_ok());
}

#[test]
fn a_wrong_message_is_refused_with_its_reason() {
    let long = "x".repeat(65);
    for (message, number, word) in [
        (String::new(), 100, "MSH"),
        ("GET / HTTP/1.1".into(), 100, "MSH"),
        ("MSH|||||".into(), 100, "MSH"),
        ("x".repeat(LONGEST + 1), 100, "at most"),
        (text("ORU^R01", PATIENT), 200, "ADT"),
        (text("ADT^A04", PATIENT), 201, "A01, A02, A03, A08, A11, A13"),
        (text("ADT", PATIENT), 201, "A01"),
        (text("ADT^A01", &format!("EVN|A03\r{PATIENT}")), 103, "another event"),
        (admitted(PATIENT).replace("|P|", "|T|"), 202, "production"),
        (admitted(PATIENT).replace("|2.5.1", "|3.0"), 203, "version 2"),
        (admitted(PATIENT).replace("|4711|", "||"), 101, "number"),
        (admitted("PV1||I|W3"), 100, "PID"),
        (admitted(&format!("{PATIENT}{PATIENT}")), 100, "PID"),
        (admitted("PID|||B-12\rnonsense\r"), 100, "line 3"),
        (admitted("PID|||||李四"), 101, "id"),
        (admitted(&format!("PID|||{long}")), 102, "64"),
        (admitted(PATIENT).replace(NOON, "yesterday"), 102, "minute"),
        (admitted(PATIENT).replace(NOON, "20220524"), 102, "minute"),
        (admitted(PATIENT).replace(NOON, "20221324120000"), 102, "minute"),
        (admitted(PATIENT).replace(NOON, "20220524121001+0800"), 102, "ahead"),
    ] {
        let (found, why) = bad(&message);
        assert!(found == number && why.contains(word), "{message}: {why}");
        assert!(!why.contains("李四") && !why.contains("B-12"), "{why}");
    }
}

#[test]
fn times_have_the_length_and_the_offset_that_they_say() {
    for (said, at, length) in [
        (NOON, 0, 1_000),
        ("20220524120000", 0, 1_000),
        ("202205241200", 0, 60_000),
        ("20220524120000.25", 250, 10),
        ("20220524120000.2501", 250, 1),
        ("20220524040000.5+0000", 500, 100),
        ("20220523233000-0430", 0, 1_000),
    ] {
        let span = good(&admitted(PATIENT).replace(NOON, said)).time.unwrap();
        assert_eq!((span.at_ms - NOON_MS, span.end_ms + 1 - span.at_ms), (at, length), "{said}");
    }
    assert_eq!(good(&admitted(PATIENT).replace(NOON, "")).time, None);
    let recorded = admitted(&format!("EVN|A01|{NOON}\r{PATIENT}")).replacen(NOON, "", 1);
    assert_eq!(good(&recorded).time.unwrap().at_ms, NOON_MS);
}

#[test]
fn an_answer_names_the_message_and_what_is_wrong_with_it() {
    let from = From { gateway: "gw-1", number: "k-9", now_ms: NOON_MS, utc_offset_ms: 8 * 3_600_000 };
    let said = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(
        said(answer::accepted(&good(&admitted(PATIENT)).header, from)),
        "MSH|^~\\&|KAKOU|W3|HIS|H1|20220524120000+0800||ACK^A01|k-9|P|2.5.1||||||UNICODE UTF-8\rMSA|AA|4711\r"
    );
    let refusal = read(admitted("PID|||||李四").as_bytes(), &WITH).unwrap_err();
    assert_eq!(
        said(answer::refused(&refusal, from)).split_once('\r').unwrap().1,
        "MSA|AE|4711|the patient needs an id\r\
         ERR||PID^1^3|101^Required field missing^HL70357|E||||the patient needs an id\r"
    );
    let nothing = read(b"hello", &WITH).unwrap_err();
    let answer = said(answer::refused(&nothing, from));
    assert!(answer.contains("\rMSA|AE||") && answer.contains("MSH\\F\\\\S\\"), "{answer}");
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Two lists as they stand, and messages one after another.
struct Lists {
    edition: [Map<String, Value>; 2],
    listed: bool,
    words: [Option<Word>; 2],
}

impl Lists {
    fn new(patients: Value) -> Self {
        Self {
            listed: !patients.is_null(),
            edition: [map(if patients.is_null() { json!({}) } else { patients }), map(json!({}))],
            words: [None, None],
        }
    }

    fn told(&mut self, event: &str, at: i64, ward: &str) -> bool {
        let ward = Some(ward).filter(|w| !w.is_empty());
        let of = Sample {
            event,
            patient: "B-12",
            name: Some("李四"),
            ward,
            room: None,
            at_ms: NOON_MS + at,
            control: "1",
        };
        let message = read(sample(of).as_bytes(), &Reading { now_ms: None, ..WITH }).unwrap();
        let patients = self.listed.then_some(&self.edition[0]);
        let standing = [
            Standing::new(NOON_MS, patients, self.words[0].clone()),
            Standing::new(NOON_MS, None, self.words[1].clone()),
        ];
        match changes(&message, NOON_MS, Some(&standing[0]), Some(&standing[1])) {
            Told::Words(words) => {
                for (list, word) in words {
                    assert!(word.is_good(list), "{word:?}");
                    assert_eq!(Word::of(&word.above(None)).as_ref(), Some(&word));
                    self.words[usize::from(list == "roster")] = Some(word);
                }
                true
            }
            Told::Late => false,
            Told::NoList => panic!("there is one"),
        }
    }

    fn patient(&self, field: &str) -> String {
        let entry = self.words[0].as_ref().map(|w| w.above(Some(&self.edition[0])));
        entry
            .unwrap_or_else(|| self.edition[0].clone())
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .into()
    }
}

#[test]
fn each_event_changes_what_the_vocabulary_says_and_nothing_else() {
    let mut lists = Lists::new(json!({ "state": "discharged", "restriction": "isolation", "ward": "W1" }));
    assert!(lists.told("A01", 1, "W3"));
    let all =
        |l: &Lists| [l.patient("state"), l.patient("ward"), l.patient("name"), l.patient("restriction")];
    assert_eq!(all(&lists), ["admitted", "W3", "李四", "isolation"], "the rest of the edition stays");
    let roster = lists.words[1].clone().unwrap().said;
    assert_eq!(
        roster,
        map(json!({ "role": "inpatient", "patient": "B-12", "name": "李四", "ward": "W3", "room": "" }))
    );
    lists.told("A02", 2, "W5");
    assert_eq!(all(&lists), ["admitted", "W5", "李四", "isolation"]);
    let before = lists.words[1].clone();
    for (event, state) in [("A03", "discharged"), ("A13", "admitted"), ("A11", "cancelled")] {
        let at = lists.words[0].as_ref().unwrap().span.at_ms - NOON_MS + 1;
        lists.told(event, at, "W5");
        assert_eq!(all(&lists), [state, "W5", "李四", "isolation"], "{event}");
        if event != "A13" {
            assert_eq!(lists.words[1].as_ref().unwrap().said, before.as_ref().unwrap().said, "{event}");
        }
    }
    lists.told("A08", 90, "W7");
    assert_eq!(all(&lists), ["cancelled", "W7", "李四", "isolation"]);
}

#[test]
fn the_newest_message_of_a_patient_counts_and_of_one_time_the_later() {
    let mut lists = Lists::new(json!({}));
    assert!(lists.told("A01", 5_000, "W3"));
    assert!(lists.told("A03", 5_000, ""), "of the same moment, and it came later");
    assert_eq!((lists.patient("state").as_str(), lists.words[0].as_ref().unwrap().tie), ("discharged", 1));
    assert!(!lists.told("A01", 4_999, "W3"));
    assert_eq!(lists.patient("state"), "discharged");
    assert!(lists.told("A13", 5_001, "W3"));
    assert_eq!(lists.patient("state"), "admitted");
}

#[test]
fn what_is_older_than_the_edition_changes_nothing() {
    let mut lists = Lists::new(json!({ "state": "admitted" }));
    assert!(!lists.told("A03", -1, ""));
    assert!(lists.told("A03", 0, ""), "of one moment: the edition was there first");
}

#[test]
fn whoever_is_moved_is_admitted_and_whoever_is_only_changed_gets_no_right() {
    let mut lists = Lists::new(Value::Null);
    lists.told("A08", 1, "W3");
    assert_eq!((lists.patient("state").as_str(), &lists.words[1]), ("", &None));
    lists.told("A02", 2, "W3");
    assert_eq!((lists.patient("state").as_str(), lists.words[1].is_some()), ("admitted", true));
}

#[test]
fn a_word_of_another_form_is_none() {
    let word = |said: Value| Word { span: Span { at_ms: 1, end_ms: 1 }, tie: 0, said: map(said) };
    for (list, said) in [
        ("status", json!({})),
        ("patients", json!({ "restriction": "none" })),
        ("patients", json!({ "state": "well" })),
        ("patients", json!({ "ward": 3 })),
        ("roster", json!({ "role": "staff" })),
        ("roster", json!({ "name": "x".repeat(129) })),
    ] {
        assert!(!word(said.clone()).is_good(list), "{list} {said}");
    }
    let mut endless = word(json!({}));
    endless.span.end_ms = i64::MAX;
    assert!(!endless.is_good("patients"));
}
