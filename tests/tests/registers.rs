//! What lanes know of the world beyond one visit, over restarts, updates and the network: registers that two gateways of a
//! site share over a real Mosquitto, a data folder of an earlier format, and a truck in whose middle something changes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::{fleet, passes, wait};
use serde_json::{Map, Value, json};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A lane that knows who is inside and lets one companion to each patient.
const WARD: &str = r#"
id = "ward"
title = { zh = "病区", en = "Ward" }
direction = "in"
fail_mode = "HOLD"
same_read_s = 0
same_result_s = 0

[[register]]
name = "companion"
key = "entry.status.group"
holder = "pass.subject"
limit = 1
over = "Q_COMPANION"
keep = "30d"

[[register]]
name = "inside"
key = '"ward"'
holder = "pass.subject"
keep = "2d"

[[step]]
kind = "scan"
accepts = ["opaque"]

[[step]]
kind = "verify"
lists = ["status", "hold"]

[[step]]
kind = "register"
register = "companion"
act = "put"

[[step]]
kind = "register"
register = "inside"
act = "put"

[[step]]
kind = "decide"
"#;

/// One of the two gateways, and its reader.
struct Door {
    gateway: Gateway,
    scanner: ScannerSim,
    verdicts: usize,
}

impl Door {
    fn new(central: &fleet::Central, id: &str) -> Self {
        let (place, plan) = central.plan(id, &[("ward", WARD.to_owned())]);
        let mut gateway = Gateway::prepare(&place, plan.lane("lane-1", "ward.toml", &["scanner"]));
        // One key for a person at both gateways of the site.
        let keys = gateway.data().join("keys");
        std::fs::create_dir_all(&keys).unwrap();
        std::fs::write(keys.join("site.key"), [7; 32]).unwrap();
        let lists = gateway.lists().display().to_string();
        for name in ["status", "hold"] {
            let from = format!("{name}.json");
            central
                .run("feed", &["make", "--key", "ops.pk8", "--name", name, "--from", &from, "--out", &lists]);
        }
        let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
        gateway.start();
        Self { gateway, scanner, verdicts: 0 }
    }

    fn verdict(&mut self, who: &str) -> (String, Value) {
        self.verdicts += 1;
        let (visit, scanner) = (self.verdicts, &mut self.scanner);
        let data = self.gateway.await_verdict(visit, || scanner.scan(who).unwrap());
        (data["outcome"].as_str().unwrap().to_owned(), data["codes"].clone())
    }

    fn held(&self, register: &str) -> i64 {
        let sql = "SELECT count(*) FROM slot WHERE register = ?1 AND held = 1";
        self.gateway.journal().query_row(sql, [register], |r| r.get(0)).unwrap()
    }

    fn await_held(&self, register: &str, count: i64) {
        let there = wait::try_until(LIMIT, || (self.held(register) == count).then_some(()));
        assert!(
            there.is_some(),
            "{register}: {} and not {count}\n{}",
            self.held(register),
            self.gateway.log()
        );
    }
}

#[test]
fn two_gateways_share_who_is_inside_go_on_without_the_broker_and_are_right_again_when_it_is_back() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut broker, central): (Mosquitto, _) = fleet::open(folder.path(), &["gw-1", "gw-2"], &["feed"]);
    let person = |patient: &str| {
        let mut one = passes::healthy();
        one["group"] = patient.into();
        one
    };
    let people = json!({ "C-0001": person("B-1"), "C-0002": person("B-1"), "C-0003": person("B-2"),
        "C-0004": person("B-2"), "C-0005": person("B-3"), "C-0006": person("B-4") });
    for (name, entries) in [("status", people), ("hold", json!({}))] {
        std::fs::write(folder.path().join(format!("{name}.json")), entries.to_string()).unwrap();
    }
    let (mut one, mut two) = (Door::new(&central, "gw-1"), Door::new(&central, "gw-2"));
    let said = |outcome: &str, code: &str| (outcome.to_owned(), json!([code]));
    assert_eq!(one.verdict("C-0001"), said("ADMIT", "OK"));
    two.await_held("companion", 1);
    two.await_held("inside", 1);
    assert_eq!(
        two.verdict("C-0002"),
        said("HOLD", "Q_COMPANION"),
        "the other gateway has let the first one in"
    );
    // The broker is gone: both go on, each by what it knows.
    broker.kill();
    assert_eq!(two.verdict("C-0002"), said("HOLD", "Q_COMPANION"));
    assert_eq!(one.verdict("C-0003"), said("ADMIT", "OK"));
    assert_eq!(two.verdict("C-0004"), said("ADMIT", "OK"), "nobody can tell it of the one before");
    assert_eq!(one.verdict("C-0005"), said("ADMIT", "OK"));
    assert_eq!(two.verdict("C-0006"), said("ADMIT", "OK"));
    assert_eq!((one.held("inside"), two.held("inside")), (3, 3));
    broker.start();
    for door in [&one, &two] {
        door.await_held("inside", 5);
        // Of the two who were let in to one patient the first one counts.
        door.await_held("companion", 4);
        let conflicts = door.gateway.await_events("peer_conflict", 1);
        assert_eq!(conflicts.len(), 1);
        let data = &conflicts[0]["data"];
        assert_eq!((&data["register"], &data["first"]), (&json!("companion"), &json!("gw-1")), "{data}");
        let told = conflicts[0].to_string();
        assert!(!told.contains("C-000") && !told.contains("B-2"), "{told}");
    }
    let slots = |door: &Door| -> Vec<(String, String, String, bool)> {
        let journal = door.gateway.journal();
        let sql = "SELECT register, key, holder, held FROM slot ORDER BY 1, 2, 3";
        let mut select = journal.prepare(sql).unwrap();
        select
            .query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))
            .unwrap()
            .flatten()
            .collect()
    };
    assert_eq!(slots(&one), slots(&two));
    assert_eq!(one.verdict("C-0004"), said("HOLD", "Q_COMPANION"), "the one who came second");
}

/// A desk at which an officer types what others scan.
fn desk(gateway: &Gateway) -> DeskClient {
    let mut desk = DeskClient::new(&gateway.url(""));
    assert_eq!(desk.sign_in("zhao", PIN).unwrap().0, 200);
    desk
}

/// Does it as soon as the lane takes it; the status, where `refused` is the code of an answer that is taken as well.
fn act(desk: &DeskClient, act: &Value, refused: &str) -> u16 {
    let mut last = Value::Null;
    let done = wait::try_until(LIMIT, || {
        let (status, body) = desk.act("lane-1", act).unwrap();
        let taken = status == 200 || body["error"]["code"] == refused;
        last = body;
        taken.then_some(status)
    });
    done.unwrap_or_else(|| panic!("{act}: {last}"))
}

fn seal(desk: &DeskClient, number: &str) -> u16 {
    let seal = json!({ "action": "seal", "first": number, "second": number, "kind": "bolt", "door": "rear" });
    act(desk, &seal, "seal_used")
}

/// A lane for trucks: code, seal, and what follows.
fn truck_lane(more: &str) -> String {
    format!(
        r#"id = "gate"
title = {{ zh = "试", en = "Test" }}
direction = "in"
fail_mode = "HOLD"
same_read_s = 0
same_result_s = 0
[[step]]
kind = "scan"
accepts = ["vehicle-pass", "opaque"]
[[step]]
kind = "seal"
doors = [{{ value = "rear", zh = "后门", en = "Rear" }}]
kinds = [{{ value = "bolt", zh = "螺栓", en = "Bolt" }}]
{more}
[[step]]
kind = "verify"
lists = ["pass", "hold", "revocation"]
[[step]]
kind = "decide"
"#
    )
}

fn truck(plate: &str) -> Value {
    json!({ "plate": plate, "category": "emergency-supplies", "uses": 1, "crew": 2 })
}

/// A gateway on the data folder that version 15cea43 has left, and the codes of its day.
fn of_before(folder: &Path) -> (Gateway, Value) {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/data-of-format-2.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(folder).status().unwrap();
    assert!(unpacked.success());
    let codes = serde_json::from_slice(&std::fs::read(folder.join("codes.json")).unwrap()).unwrap();
    let plan =
        Plan { http: true, tables: officers(), gateway: "region = \"211400\"".into(), ..Plan::default() };
    let gateway = Gateway::prepare(folder, plan.lane("lane-1", "gate.toml", &["scanner"]));
    std::fs::write(folder.join("gate.toml"), truck_lane("")).unwrap();
    // The lists of that day are old by now.
    let plates = ["辽P54321", "辽P54322"].map(|plate| (plate.to_owned(), truck(plate)));
    for (name, entries) in
        [("pass", Map::from_iter(plates)), ("hold", Map::new()), ("revocation", Map::new())]
    {
        let list = json!({ "name": name, "version": 2, "issued": passes::now_s(), "entries": entries });
        std::fs::write(gateway.lists().join(format!("{name}.json")), list.to_string()).unwrap();
    }
    (gateway, codes)
}

/// What was used that day is refused, and what was not is taken.
fn goes_on(gateway: &Gateway, codes: &Value, seals: [&str; 4]) {
    let desk = desk(gateway);
    let before = gateway.events("transaction").len();
    let mut count = before;
    let mut verdict = |code: &Value, number: &str| {
        assert_eq!(act(&desk, &json!({ "action": "enter", "text": code }), ""), 200);
        assert_eq!(seal(&desk, number), 200, "{number}");
        count += 1;
        let data = gateway.await_events("transaction", count)[count - 1]["data"].clone();
        (data["outcome"].as_str().unwrap().to_owned(), data["codes"][0].as_str().unwrap().to_owned())
    };
    let said = |outcome: &str, code: &str| (outcome.to_owned(), code.to_owned());
    for (code, number) in codes["used"].as_array().unwrap().iter().zip(seals) {
        assert_eq!(verdict(code, number), said("DENY", "D_USED"), "{code}\n{}", gateway.log());
    }
    assert_eq!(act(&desk, &json!({ "action": "enter", "text": codes["unused"] }), ""), 200);
    for number in codes["seals"].as_array().unwrap() {
        assert_eq!(seal(&desk, number.as_str().unwrap()), 409, "{number} is of that day");
    }
    assert_eq!(seal(&desk, seals[3]), 200);
    let last = gateway.await_events("transaction", before + 4);
    assert_eq!(last[before + 3]["data"]["outcome"], "ADMIT", "{}", last[before + 3]);
}

fn verified(gateway: &Gateway) -> String {
    let verify = Command::new(programs().join("kakou"))
        .args(["journal", "verify", "--data"])
        .arg(gateway.data())
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&verify.stdout).into_owned() + &String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success(), "{said}");
    said
}

#[test]
fn a_data_folder_of_the_format_before_opens_and_its_chain_verifies_and_used_passes_and_seals_stay_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut gateway, codes) = of_before(folder.path());
    gateway.open();
    let format: i64 = gateway.journal().query_row("PRAGMA user_version", [], |r| r.get(0)).unwrap();
    assert_eq!(format, 3);
    assert!(gateway.events("transaction").len() == 3, "what was on record is");
    goes_on(&gateway, &codes, ["LN0000011", "LN0000012", "LN0000013", "LN0000014"]);
    gateway.stop();
    verified(&gateway);
}

#[test]
fn a_data_folder_of_the_format_before_whose_journal_is_damaged_goes_on_and_forgets_no_use_and_no_seal() {
    let folder = tempfile::tempdir().unwrap();
    let (mut gateway, codes) = of_before(folder.path());
    // Every page but the first, which says where the tables stand, and those of passes and seals.
    let journal = gateway.data().join("journal.db");
    let spared: Vec<u64> = {
        let connection = rusqlite::Connection::open(&journal).unwrap();
        let sql = "SELECT rootpage FROM sqlite_schema WHERE tbl_name IN ('redemption', 'seal', 'meta') AND rootpage > 0";
        let mut select = connection.prepare(sql).unwrap();
        select.query_map([], |r| r.get::<_, i64>(0)).unwrap().flatten().map(i64::cast_unsigned).collect()
    };
    let file = std::fs::File::options().write(true).open(&journal).unwrap();
    let pages = file.metadata().unwrap().len() / 4096;
    let damaged = (2..=pages).filter(|page| !spared.contains(page));
    damaged.for_each(|page| file.write_all_at(&[0x5a; 4096], (page - 1) * 4096).unwrap());
    gateway.open();
    let salvaged = gateway
        .data()
        .read_dir()
        .unwrap()
        .flatten()
        .any(|f| f.file_name().to_string_lossy().contains("journal"));
    assert!(salvaged);
    goes_on(&gateway, &codes, ["LN0000021", "LN0000022", "LN0000023", "LN0000024"]);
    gateway.stop();
    verified(&gateway);
}

const QUESTION: &str = "[[step]]\nkind = \"question\"\nid = \"crew\"\ninput = \"number\"\nmin = 1\nmax = 9\n\
    title = { zh = \"人数\", en = \"Crew\" }\nprompt = { zh = \"几人？\", en = \"How many?\" }\n";

/// What comes while a truck with its seal is under way: its name, whether the power is cut (else the box stops in order, as
/// it does for a new policy), and what it is.
type Change = (&'static str, bool, fn(&mut Gateway));

fn lane_of(gateway: &Gateway, more: &str) {
    std::fs::write(gateway.config().with_file_name("gate.toml"), truck_lane(more)).unwrap();
}

const CHANGES: [Change; 5] = [
    ("the power goes", true, |_| {}),
    ("another configuration", false, |gateway| {
        gateway.replan(|plan| plan.gateway.push_str("\nutc_offset_minutes = 480"));
    }),
    ("another policy", false, |gateway| lane_of(gateway, &QUESTION.replace("max = 9", "max = 7"))),
    ("a policy without its step", false, |gateway| lane_of(gateway, "")),
    ("the power goes, and another policy is there when it is back", true, |gateway| {
        lane_of(gateway, QUESTION);
    }),
];

#[test]
fn a_truck_in_whose_middle_the_box_restarts_or_is_changed_goes_on_or_is_on_record_with_its_seal() {
    let folder = tempfile::tempdir().unwrap();
    let plan =
        Plan { http: true, tables: officers(), gateway: "region = \"211400\"".into(), ..Plan::default() };
    let mut gateway = Gateway::prepare(folder.path(), plan.lane("lane-1", "gate.toml", &["scanner"]));
    let plates: Vec<String> = (1..=CHANGES.len()).map(|n| format!("辽P1000{n}")).collect();
    let listed = plates.iter().map(|plate| (plate.clone(), truck(plate)));
    passes::list(&gateway.lists(), "pass", listed.collect());
    passes::list(&gateway.lists(), "hold", Map::new());
    passes::list(&gateway.lists(), "revocation", Map::new());
    let enter = |desk: &DeskClient, plate: &str| {
        assert_eq!(act(desk, &json!({ "action": "enter", "text": plate }), ""), 200, "{plate}");
    };
    let answer = json!({ "action": "answer", "question": "crew", "value": "2" });
    for ((change, cut, make), (n, plate)) in CHANGES.iter().zip(plates.iter().enumerate()) {
        let number = format!("LN000010{n}");
        let of_seal = |gateway: &Gateway, kind: &str| {
            let all = gateway.events(kind).into_iter();
            all.filter(|e| e["data"]["seals"][0]["number"] == number.as_str()).count()
        };
        // The lane asks for the crew behind the seal, whatever the truck before it has met.
        lane_of(&gateway, &QUESTION.replace("max = 9", "max = 8"));
        gateway.start();
        {
            let desk = desk(&gateway);
            enter(&desk, plate);
            assert_eq!(seal(&desk, &number), 200, "{change}");
        }
        if *cut {
            gateway.kill();
        } else {
            gateway.stop();
        }
        make(&mut gateway);
        gateway.start();
        let desk = desk(&gateway);
        if of_seal(&gateway, "visit_abandoned") == 0 {
            assert_eq!(act(&desk, &answer, ""), 200, "{change}");
        } else {
            // It is still on the truck, which begins again.
            assert!(n == CHANGES.len() - 1, "{change}: it had to begin again");
            enter(&desk, plate);
            assert_eq!(seal(&desk, &number), 200, "{change}");
            assert_eq!(act(&desk, &answer, ""), 200, "{change}");
        }
        wait::until(change, LIMIT, || (of_seal(&gateway, "seal_applied") == 1).then_some(()));
        // That seal is on no other truck.
        enter(&desk, "辽P99999");
        assert_eq!(seal(&desk, &number), 409, "{change}");
        assert_eq!(act(&desk, &json!({ "action": "cancel", "reason": "test" }), ""), 200, "{change}");
        gateway.stop();
    }
    verified(&gateway);
}
