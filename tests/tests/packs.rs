//! A pack for later, with the real daemon: it waits over a restart and says so, new visits use it from its time, open ones
//! finish on theirs, the pack before comes back as a newer edition, and what is damaged is refused and nothing changes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::contract::Contract;
use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::packs::{Office, manifest, profile};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600;

/// The profile `gate`, which asks a question and then, without a list, gives its fail mode; as a pack of this version.
/// In the order of ids.
fn body(fail_mode: &str, version: &str) -> String {
    let asks = "[[step]]\nkind = \"question\"\nid = \"mask\"\n\
                options = [{ value = \"yes\", zh = \"有\", en = \"Yes\" }, { value = \"no\", zh = \"无\", en = \"No\" }]";
    let text = profiles::lane("gate", &["opaque"], &["status"], asks, false);
    let toml = text.replace("fail_mode = \"HOLD\"", &format!("fail_mode = \"{fail_mode}\""));
    profile("gate", &toml) + &manifest("test-gate", ["试验门", "Test gate"], version, &["gate"])
}

/// A gateway with one lane that follows the policy, whose first edition is in use; its clock is moved by a file.
struct Site {
    gateway: Gateway,
    office: Office,
    scanner: ScannerSim,
    folder: tempfile::TempDir,
}

fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path());
    let clock = "[clock]\nsource = \"system\"\nshift_file = \"shift\"".to_owned();
    let plan = Plan { http: true, gateway: office.line(), clock, tables: officers(), ..Plan::default() };
    let mut gateway = Gateway::prepare(folder.path(), plan.lane("lane-1", "policy:gate", &["scanner"]));
    let lines = body("REFER", "1");
    passes::put_into_use(&gateway.data(), "policy", (1, passes::now_s() * 1000), &lines).unwrap();
    let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    Site { gateway, office, scanner, folder }
}

impl Site {
    fn hand_out(&self, version: u64, body: &str, from: Option<i64>) {
        self.office.hand_out(&self.gateway.lists(), version, body, from);
    }

    fn status(&self) -> Option<Value> {
        let (code, body) = DeskClient::new(&self.gateway.url("")).get("/api/v1/status").ok()?;
        serde_json::from_str(&body).ok().filter(|_| code == 200)
    }

    /// Waits until the status says so of packs; gives it.
    fn packs(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, LIMIT, || {
            let status = self.status()?;
            Contract::api().hold("Status", &status);
            Some(status["packs"].clone()).filter(&is)
        })
    }

    fn passes_an_hour(&self) {
        std::fs::write(self.folder.path().join("shift"), (HOUR * 1000 + 1000).to_string()).unwrap();
    }

    /// Somebody scans and stands at the question.
    fn begin(&mut self, id: &str) {
        wait::until("the scanner", LIMIT, || {
            let status = self.status()?;
            let scanner = status["devices"].as_array()?.iter().find(|d| d["id"] == "lane-1-scanner")?;
            (scanner["state"] == "ready" && status["lanes"][0]["mode"] != "working").then_some(())
        });
        self.scanner.scan(id).unwrap();
        wait::until("the question", LIMIT, || {
            (self.status()?["lanes"][0]["mode"] == "working").then_some(())
        });
    }

    /// The question is answered: the outcome of this visit, which is the nth.
    fn answer(&self, n: usize) -> Value {
        let mut desk = DeskClient::new(&self.gateway.url(""));
        desk.sign_in("li", PIN).unwrap();
        let answer = json!({ "action": "answer", "question": "mask", "value": "yes" });
        assert_eq!(desk.act("lane-1", &answer).unwrap().0, 200, "{}", self.gateway.log());
        self.gateway.await_events("transaction", n)[n - 1]["data"]["outcome"].clone()
    }

    fn await_refused(&self) {
        let refused = || self.status()?["counters"]["list_refused_total"].as_u64();
        wait::until("the refusal", LIMIT, || refused().filter(|n| *n > 0));
    }
}

#[test]
fn a_pack_of_later_counts_from_its_time_for_new_visits_and_the_one_before_comes_back() {
    let mut s = site();
    let used = s.packs("the pack in use", |packs| !packs["in_use"].is_null());
    assert_eq!((&used["in_use"]["id"], &used["in_use"]["pack"]), (&json!("test-gate"), &json!("1")));
    assert_eq!(used["waiting"], Value::Null);
    s.hand_out(2, &body("DENY", "2"), Some(passes::now_s() + HOUR));
    let told = s.gateway.await_events("list", 1);
    assert!(told[0]["data"]["from"].is_string(), "{told:?}");
    let waits = s.packs("the pack that waits", |packs| !packs["waiting"].is_null())["waiting"].clone();
    assert_eq!(
        (&waits["version"], &waits["pack"], &waits["signer"]),
        (&json!(2), &json!("2"), &json!("central"))
    );
    let change = json!({ "profile": "gate", "title": { "zh": "试", "en": "Test" }, "what": "changed", "lanes": ["lane-1"] });
    assert_eq!(waits["changes"], json!([change]));
    let said = Command::new(programs().join("kakou"))
        .args(["status", "--url", &s.gateway.url("")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("Pack that WAITS: test-gate 2 (试验门 · Test gate), version 2"), "{said}");
    assert!(said.contains("changed  gate") && said.contains("(lane-1)"), "{said}");
    s.begin("ID-1");
    assert_eq!(s.answer(1), "REFER", "before its time");

    // It waits over a power cut, and so does a visit that is under way when its time comes.
    s.begin("ID-2");
    s.gateway.kill();
    s.gateway.start();
    s.packs("that it still waits", |packs| packs["waiting"]["version"] == 2);
    s.passes_an_hour();
    s.gateway.await_events("list", 2);
    wait::until("the word that it waits", LIMIT, || {
        s.gateway.log().contains("no visit is under way").then_some(())
    });
    assert_eq!(s.answer(2), "REFER", "by the pack under which it began");
    s.gateway.await_events("started", 3);
    s.begin("ID-3");
    assert_eq!(s.answer(3), "DENY", "a new visit");
    let now = s.packs("that it is in use", |packs| packs["in_use"]["version"] == 2);
    assert_eq!((&now["in_use"]["pack"], &now["waiting"]), (&json!("2"), &Value::Null));

    // Back to the pack before: the same profiles, a newer edition.
    s.hand_out(3, &body("REFER", "1"), None);
    s.gateway.await_events("started", 4);
    s.begin("ID-4");
    assert_eq!(s.answer(4), "REFER");
    // What does not check changes nothing.
    s.hand_out(4, &profile("gate", "id = 7"), None);
    s.await_refused();
    s.begin("ID-5");
    assert_eq!(s.answer(5), "REFER");
    assert_eq!(s.gateway.events("visit_abandoned").len(), 0);
}

#[test]
fn a_pack_that_is_damaged_while_it_waits_is_refused_said_and_counted_and_comes_again() {
    let mut s = site();
    s.hand_out(2, &body("DENY", "2"), Some(passes::now_s() + HOUR));
    s.gateway.await_events("list", 1);
    s.gateway.kill();
    // The disk loses a byte of what waits, and whoever handed it out is away.
    let parts = s.gateway.data().join("staged/parts");
    let part = std::fs::read_dir(&parts).unwrap().flatten().next().unwrap().path();
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let (head, away) = (s.gateway.lists().join("policy.feed"), s.folder.path().join("away"));
    std::fs::rename(&head, &away).unwrap();
    s.gateway.start();
    s.await_refused();
    assert!(s.gateway.log().contains("its body is damaged"), "{}", s.gateway.log());
    s.packs("that nothing waits", |packs| packs["waiting"].is_null() && packs["in_use"]["version"] == 1);
    s.passes_an_hour();
    s.begin("ID-1");
    assert_eq!(s.answer(1), "REFER", "the one in use stays");
    // It comes once more; its time is there.
    std::fs::rename(&away, &head).unwrap();
    s.gateway.await_events("started", 3);
    s.begin("ID-2");
    assert_eq!(s.answer(2), "DENY");
}

#[test]
fn pack_show_reads_the_folder_that_pack_sign_wrote_and_the_data_folder_of_a_gateway() {
    let s = site();
    s.hand_out(2, &body("DENY", "2"), Some(passes::now_s() + HOUR));
    s.gateway.await_events("list", 1);
    let show = |arguments: &[&str]| {
        let said =
            Command::new(programs().join("kakou")).args(["pack", "show"]).args(arguments).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    let (lists, keys) = (s.gateway.lists().display().to_string(), s.office.keys.display().to_string());
    let told = show(&[&lists, "--trust", &keys]);
    assert!(told.contains("test-gate 2") && told.contains("signed by central"), "{told}");
    assert!(show(&[&lists]).contains("NOT verified"), "nobody looked at the signature");
    let told = show(&[&s.gateway.data().display().to_string()]);
    assert!(told.starts_with("test-gate 1") && told.contains("waits for its time"), "{told}");
    assert!(told.contains("changes beside the one in use: changed gate"), "{told}");
}
