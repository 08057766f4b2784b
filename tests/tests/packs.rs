//! A pack for later, with the real daemon: it waits over a restart, new visits use it from its time, open ones finish on
//! theirs, and the pack before comes back as a newer edition.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_authority::issuer::Issuer;
use kakou_core::evidence::Hash;
use kakou_core::pass::trust::{TrustFile, Usage};
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_gateway::store::edition::{Order, build};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::{passes, profiles, wait};
use kakou_wire::feed::{HEAD, Head, Part};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600;

/// The profile `gate`, which asks a question and then, without a list, gives its fail mode.
fn body(fail_mode: &str) -> String {
    let asks = "[[step]]\nkind = \"question\"\nid = \"mask\"\n\
                options = [{ value = \"yes\", zh = \"有\", en = \"Yes\" }, { value = \"no\", zh = \"无\", en = \"No\" }]";
    let text = profiles::lane("gate", &["opaque"], &["status"], asks, false);
    let toml = text.replace("fail_mode = \"HOLD\"", &format!("fail_mode = \"{fail_mode}\""));
    json!({ "id": "gate", "facts": { "toml": toml } }).to_string() + "\n"
}

fn hand_out(issuer: &Issuer, lists: &Path, version: u64, body: &str, from: Option<i64>) {
    let sha256 = Hash::of(body.as_bytes()).hex();
    std::fs::create_dir_all(lists.join("parts")).unwrap();
    std::fs::write(lists.join("parts").join(&sha256), body).unwrap();
    let parts = vec![Part { base: None, sha256, bytes: body.len() as u64 }];
    let issued = passes::now_s();
    let head = Head { feed: "policy".into(), version, issued, parts, at: None, from, canary: Vec::new() };
    let word = issuer.sign_message(&serde_json::to_vec(&head).unwrap(), HEAD).unwrap();
    // There whole or not at all.
    std::fs::write(lists.join("fresh"), word).unwrap();
    std::fs::rename(lists.join("fresh"), lists.join("policy.feed")).unwrap();
}

fn status(gateway: &Gateway) -> Option<Value> {
    let (code, body) = DeskClient::new(&gateway.url("")).get("/api/v1/status").ok()?;
    serde_json::from_str(&body).ok().filter(|_| code == 200)
}

/// Somebody scans and stands at the question.
fn begin(gateway: &Gateway, scanner: &mut ScannerSim, id: &str) {
    wait::until("the scanner", LIMIT, || {
        let status = status(gateway)?;
        let scanner = status["devices"].as_array()?.iter().find(|d| d["id"] == "lane-1-scanner")?;
        (scanner["state"] == "ready" && status["lanes"][0]["mode"] != "working").then_some(())
    });
    scanner.scan(id).unwrap();
    wait::until("the question", LIMIT, || (status(gateway)?["lanes"][0]["mode"] == "working").then_some(()));
}

/// The question is answered: the outcome of this visit, which is the nth.
fn answer(gateway: &Gateway, n: usize) -> Value {
    let mut desk = DeskClient::new(&gateway.url(""));
    desk.sign_in("li", PIN).unwrap();
    let answer = json!({ "action": "answer", "question": "mask", "value": "yes" });
    assert_eq!(desk.act("lane-1", &answer).unwrap().0, 200, "{}", gateway.log());
    gateway.await_events("transaction", n)[n - 1]["data"]["outcome"].clone()
}

#[test]
fn a_pack_of_later_counts_from_its_time_for_new_visits_and_the_one_before_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (fleet, central) = (folder.path().join("fleet.json"), passes::issuer());
    let keys = vec![central.entry("central", &[Usage::Feed])];
    let file = TrustFile { name: "fleet".into(), version: 1, issued: passes::now_s(), keys };
    std::fs::write(&fleet, serde_json::to_vec(&file).unwrap()).unwrap();
    let clock = "[clock]\nsource = \"system\"\nshift_file = \"shift\"".to_owned();
    let keys = format!("fleet_keys = \"{}\"", fleet.display());
    let plan = Plan { http: true, gateway: keys, clock, tables: officers(), ..Plan::default() };
    let mut gateway = Gateway::prepare(folder.path(), plan.lane("lane-1", "policy:gate", &["scanner"]));
    let (data, lists) = (gateway.data(), gateway.lists());
    std::fs::create_dir_all(&data).unwrap();
    let first = body("REFER");
    let order = Order {
        data: &data,
        name: "policy",
        version: 1,
        issued_ms: passes::now_s() * 1000,
        base: None,
        sha256: None,
        signer: "",
        canary: &[],
        check: None,
    };
    build(&order, first.as_bytes(), &mut |_| true).unwrap();
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    hand_out(&central, &lists, 2, &body("DENY"), Some(passes::now_s() + HOUR));
    let told = gateway.await_events("list", 1);
    assert!(told[0]["data"]["from"].is_string(), "{told:?}");
    begin(&gateway, &mut scanner, "ID-1");
    assert_eq!(answer(&gateway, 1), "REFER", "before its time");

    // It waits over a power cut, and so does a visit that is under way when its time comes.
    begin(&gateway, &mut scanner, "ID-2");
    gateway.kill();
    gateway.start();
    std::fs::write(folder.path().join("shift"), (HOUR * 1000 + 1000).to_string()).unwrap();
    gateway.await_events("list", 2);
    wait::until("the word that it waits", LIMIT, || {
        gateway.log().contains("no visit is under way").then_some(())
    });
    assert_eq!(answer(&gateway, 2), "REFER", "by the pack under which it began");
    gateway.await_events("started", 3);
    begin(&gateway, &mut scanner, "ID-3");
    assert_eq!(answer(&gateway, 3), "DENY", "a new visit");

    // Back to the pack before: the same profiles, a newer edition.
    hand_out(&central, &lists, 3, &first, None);
    gateway.await_events("started", 4);
    begin(&gateway, &mut scanner, "ID-4");
    assert_eq!(answer(&gateway, 4), "REFER");
    // What does not check changes nothing.
    hand_out(&central, &lists, 4, &json!({ "id": "gate", "facts": { "toml": "id = 7" } }).to_string(), None);
    let refused = || status(&gateway)?["counters"]["list_refused_total"].as_u64();
    wait::until("the refusal", LIMIT, || refused().filter(|n| *n > 0));
    begin(&gateway, &mut scanner, "ID-5");
    assert_eq!(answer(&gateway, 5), "REFER");
    assert_eq!(gateway.events("visit_abandoned").len(), 0);
}
