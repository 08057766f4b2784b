//! At a desk: guesses at PINs, acts that are asked again, what stays in caches.

use super::*;

#[test]
fn guesses_stay_few_when_the_owner_signs_in_between_and_are_on_record() {
    let g = gate();
    let mut desk = DeskClient::new(&g.gateway.url(""));
    let wrong = |desk: &mut DeskClient| desk.sign_in("wang", "0000").unwrap();
    for left in [4, 3] {
        let (status, answer) = wrong(&mut desk);
        assert_eq!((status, &answer["error"]["tries_left"]), (401, &json!(left)), "{answer}");
        assert_eq!(desk.sign_in("wang", PIN).unwrap().0, 200);
    }
    // The second signature is a guess as well; it counts at the desk at which it is given.
    assert_eq!(desk.sign_in("li", PIN).unwrap().0, 200);
    let act = json!({ "action": "override", "visit": 1, "outcome": "ADMIT", "reason": "paper_seen", "pin": PIN,
        "second": { "officer": "wang", "pin": "0000" } });
    let (status, answer) = desk.act("lane-1", &act).unwrap();
    assert_eq!((status, &answer["error"]["tries_left"]), (401, &json!(4)), "{answer}");
    for left in [2, 1, 0] {
        assert_eq!(wrong(&mut desk).1["error"]["tries_left"], left);
    }
    let (status, answer) = desk.sign_in("wang", PIN).unwrap();
    assert_eq!((status, &answer["error"]["tries_left"]), (429, &json!(0)));
    let wait = answer["error"]["retry_after_s"].as_u64().unwrap();
    assert!((1..=10).contains(&wait), "{answer}");
    let records = g.gateway.await_events("audit", 9);
    let guesses: Vec<_> = records.iter().filter(|e| e["data"]["act"] == "wrong_pin").collect();
    assert_eq!(guesses.len(), 6);
    assert!(guesses.iter().all(|e| e["data"]["officer"] == "wang" && e["data"]["from"] == "127.0.0.1"));
    let of = |n: usize| (&guesses[n]["data"]["as"], &guesses[n]["data"]["signed_in"]);
    assert_eq!(of(0), (&json!("sign_in"), &json!(null)));
    assert_eq!(of(2), (&json!("second"), &json!("li")));
}

#[test]
fn a_stranger_who_guesses_keeps_nobody_from_unlocking_and_signing_who_is_at_work() {
    let g = gate();
    let mut desk = DeskClient::new(&g.gateway.url(""));
    desk.sign_in("li", PIN).unwrap();
    let mut stranger = DeskClient::new(&g.gateway.url(""));
    for officer in ["li", "wang"] {
        while stranger.sign_in(officer, "0000").unwrap().0 != 429 {}
    }
    let unlock = json!({ "officer": "li", "pin": PIN }).to_string();
    assert_eq!(desk.post("/api/v1/session", &unlock, "application/json").unwrap().0, 200);
    desk.act("lane-1", &json!({ "action": "enter", "text": "nobody-knows-1" })).unwrap();
    g.gateway.await_events("transaction", 1);
    let act = |pin: &str, id: &str| {
        let act = json!({ "action": "override", "visit": 1, "outcome": "ADMIT", "reason": "paper_seen",
            "pin": pin, "second": { "officer": "wang", "pin": pin }, "id": id });
        desk.act("lane-1", &act).unwrap()
    };
    let (status, answer) = act(PIN, "o-1");
    assert_eq!(status, 200, "{answer}");
    // What was signed once needs no PIN to be told again, also while its owner must wait.
    while act("0000", "o-2").0 != 429 {}
    assert_eq!(act(PIN, "o-1").0, 200);
}

#[test]
fn nobody_acts_under_a_name_that_the_page_does_not_show() {
    let g = gate();
    let mut desk = DeskClient::new(&g.gateway.url(""));
    desk.sign_in("wang", PIN).unwrap();
    let enter = json!({ "action": "enter", "text": "good-1" }).to_string();
    let act = |officer: &str| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let request = ureq::Agent::from(config).post(g.gateway.url("/api/v1/lanes/lane-1/actions"));
        let request = request.header("cookie", desk.cookie()).header("content-type", "application/json");
        request.header("kakou-officer", officer).send(&enter).unwrap().status().as_u16()
    };
    assert_eq!(act("li"), 409);
    assert_eq!(act("wang"), 200);
    assert_eq!(g.gateway.await_events("transaction", 1).len(), 1);
}

#[test]
fn an_act_that_is_asked_again_under_its_id_is_done_once() {
    let g = gate();
    let mut desk = DeskClient::new(&g.gateway.url(""));
    desk.sign_in("li", PIN).unwrap();
    let enter = |desk: &DeskClient, text: &str, id: &str| {
        desk.act("lane-1", &json!({ "action": "enter", "text": text, "id": id })).unwrap()
    };
    // As a desk does whose answer was lost, while the first is still on its way.
    let at_once: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| enter(&desk, "good-1", "a-1"))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(at_once.iter().all(|answer| *answer == (200, json!({ "ok": true }))), "{at_once:?}");
    g.gateway.await_events("transaction", 1);
    assert_eq!(enter(&desk, "good-1", "a-1").0, 200);
    let (status, answer) = enter(&desk, "good-2", "a-1");
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("other_act")), "{answer}");
    assert_eq!(enter(&desk, "good-2", "a 1").0, 400);
    assert_eq!(enter(&desk, "good-2", "a-2").0, 200);
    let done = g.gateway.await_events("transaction", 2);
    // A refusal is the same again, too.
    let cancel = json!({ "action": "cancel", "visit": 9_999, "id": "a-3" });
    let (first, again) = (desk.act("lane-1", &cancel).unwrap(), desk.act("lane-1", &cancel).unwrap());
    assert!(first.0 >= 400 && first == again, "{first:?} {again:?}");
    assert_eq!((done.len(), g.gateway.events("transaction").len()), (2, 2));
    // An unknown field is refused as before.
    let odd = json!({ "action": "enter", "text": "good-3", "id": "a-4", "force": true });
    assert_eq!(desk.act("lane-1", &odd).unwrap().0, 400);
}

#[test]
fn what_is_personal_stays_in_no_cache() {
    let g = gate();
    let mut desk = DeskClient::new(&g.gateway.url(""));
    let photo = format!("/api/v1/photos/{}", "ab".repeat(32));
    for path in [
        "/api/v1/session",
        "/api/v1/officers",
        "/api/v1/status",
        "/api/v1/lanes/lane-1/search?name=x",
        &photo,
    ] {
        for _ in 0..2 {
            let [cache, safe] = desk.head(path, ["cache-control", "strict-transport-security"]).unwrap();
            assert_eq!((cache.as_str(), safe.as_str()), ("no-store", ""), "{path}");
            desk.sign_in("li", PIN).unwrap();
        }
    }
    // What is the same for everybody is asked for anew, and need not come again.
    assert_eq!(desk.head("/assets/strings.js", ["cache-control"]).unwrap(), ["no-cache"]);
}

#[test]
fn a_gate_without_officers_says_so_where_somebody_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let gate = profiles::lane("gate", &["opaque"], &[], "", false);
    std::fs::write(folder.path().join("gate.toml"), gate).unwrap();
    let plan = Plan { http: true, ..Plan::default() }.lane("lane-1", "gate.toml", &["scanner"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let mut check = Command::new(programs().join("kakoud"));
    let check = check.arg("--check").arg("--config").arg(gateway.config()).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success() && said.contains("[[officer]]"), "{said}");
    gateway.start();
    let mut desk = DeskClient::new(&gateway.url(""));
    let (status, answer) = desk.sign_in("li", PIN).unwrap();
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("no_officers")), "{answer}");
    assert!(answer["error"]["en"].as_str().unwrap().contains("[[officer]]"));
    let (status, answer) = desk.get("/api/v1/session").unwrap();
    assert!(status == 401 && answer.contains("no_officers"), "{answer}");
}
