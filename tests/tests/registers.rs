//! What lanes know of the world beyond one visit, over updates: a data folder of an earlier format.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::{passes, wait};
use serde_json::{Map, Value, json};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

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
