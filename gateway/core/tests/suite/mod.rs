//! What every store must do that lanes stand on: the one in memory and the one on disk are held to the same.

use kakou_core::core::{Core, Input, Step};
use kakou_core::evidence::{GatewayKey, SubjectKeys};
use kakou_core::ids::{DeviceId, GatewayId, LaneId, OfficerId, VisitId};
use kakou_core::lane::action::{Action, Officer, Role};
use kakou_core::lane::{RECENT, Setup};
use kakou_core::pass::trust::TrustList;
use kakou_core::profile::{read, shipped};
use kakou_core::reading::{Report, Temperature};
use kakou_core::records::{Redemption, Write, seal_use};
use kakou_core::scenario::store::{Entries, PeerUse, Store};
use kakou_core::time::{Now, Quality};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const WALL: i64 = 1_653_350_400_000;

/// Tests of a store, each with one of its own; `$make` makes it.
macro_rules! store_suite {
    ($make:expr) => {
        store_suite!($make;
            an_entry_is_found_under_every_spelling_of_its_id,
            a_new_edition_takes_the_place_of_the_one_before,
            a_list_without_an_edition_is_not_an_empty_list,
            a_revocation_names_the_key_and_the_pass,
            the_first_use_of_a_pass_counts_here_and_under_its_shared_name,
            a_seal_number_is_used_up_for_ever,
            an_earlier_use_at_another_gateway_takes_the_place_of_ours_and_is_one_conflict,
            a_later_use_at_another_gateway_changes_nothing_but_is_a_conflict,
            what_another_gateway_tells_again_is_no_conflict,
            a_restart_finds_the_lane_as_it_was_kept_and_nothing_of_what_was_not,
            a_restart_finds_the_latest_visits_in_their_order,
            a_visit_that_can_go_on_is_kept_whole_and_one_that_cannot_without_whose_it_was,
        );
    };
    ($make:expr; $($name:ident),* $(,)?) => { $(
        #[test]
        fn $name() {
            suite::$name(&mut $make);
        }
    )* };
}

pub fn now() -> Now {
    Now { mono_ms: 1_000_000, wall_ms: Some(WALL), quality: Quality::Synced }
}

fn entries(all: &[(&str, Value)]) -> Entries {
    all.iter().map(|(id, facts)| ((*id).to_owned(), facts.as_object().unwrap().clone())).collect()
}

fn used(visit: u64, at_ms: i64) -> Redemption {
    Redemption { lane: LaneId::new("lane-1").unwrap(), visit: VisitId(visit), at_ms: Some(at_ms) }
}

fn redeem(pass_id: &str, shared: Option<&str>, by: Redemption) -> Write {
    Write::Redeem { pass_id: pass_id.into(), shared: shared.map(str::to_owned), by, ends_ms: None }
}

fn told(gateway: &str, name: &str, visit: u64, at_ms: i64) -> PeerUse {
    PeerUse { gateway: GatewayId::new(gateway).unwrap(), name: name.into(), by: used(visit, at_ms) }
}

pub fn an_entry_is_found_under_every_spelling_of_its_id(store: &mut dyn Store) {
    let all = entries(&[("辽P·12345", json!({ "crew": 2 })), ("ｐ-0009", json!({ "crew": 3 }))]);
    store.edition("pass", WALL, &all).unwrap();
    for (id, crew) in [("辽P12345", 2), ("辽P·12345", 2), ("P-0009", 3), ("p-0009 ", 3)] {
        let entry = store.entry("pass", id).unwrap().unwrap();
        assert_eq!(entry["crew"], json!(crew), "{id}");
        assert!(store.listed("pass", id).unwrap(), "{id}");
    }
    assert!(store.entry("pass", "P-0010").unwrap().is_none());
    assert!(store.entry("status", "P-0009").unwrap().is_none(), "another list");
}

pub fn a_new_edition_takes_the_place_of_the_one_before(store: &mut dyn Store) {
    store.edition("hold", WALL, &entries(&[("A", json!({ "code": 1 })), ("B", json!({}))])).unwrap();
    store.edition("hold", WALL + 1_000, &entries(&[("A", json!({ "code": 2 }))])).unwrap();
    assert_eq!(store.issued_ms("hold").unwrap(), Some(WALL + 1_000));
    assert_eq!(store.entry("hold", "A").unwrap().unwrap()["code"], json!(2));
    assert!(!store.listed("hold", "B").unwrap());
    // One that was issued before it, for whoever wants to see an old list.
    store.edition("hold", WALL - 90_000_000, &entries(&[])).unwrap();
    assert_eq!(store.issued_ms("hold").unwrap(), Some(WALL - 90_000_000));
    assert!(!store.listed("hold", "A").unwrap());
    store.restart().unwrap();
    assert_eq!(store.issued_ms("hold").unwrap(), Some(WALL - 90_000_000));
}

pub fn a_list_without_an_edition_is_not_an_empty_list(store: &mut dyn Store) {
    assert_eq!(store.issued_ms("status").unwrap(), None);
    assert!(store.entry("status", "A").unwrap().is_none());
    store.edition("status", WALL, &entries(&[])).unwrap();
    assert_eq!(store.issued_ms("status").unwrap(), Some(WALL));
    assert!(store.entry("status", "A").unwrap().is_none());
}

pub fn a_revocation_names_the_key_and_the_pass(store: &mut dyn Store) {
    let all = entries(&[("6B31:urn:uvci:01:xx:a", json!({})), ("6b31:BwcHBwcHBwc", json!({}))]);
    store.edition("revocation", WALL, &all).unwrap();
    assert!(store.revoked("6b31", "URN:UVCI:01:XX:A").unwrap());
    assert!(store.revoked("6b31", "BwcHBwcHBwc").unwrap());
    assert!(!store.revoked("6b31", "BWCHBWCHBWC").unwrap(), "base64 is another one in another case");
    assert!(!store.revoked("6b32", "BwcHBwcHBwc").unwrap());
}

pub fn the_first_use_of_a_pass_counts_here_and_under_its_shared_name(store: &mut dyn Store) {
    assert_eq!(store.redeemed("k:p").unwrap(), None);
    store.write(&[redeem("k:p", Some("~list:key"), used(1, WALL))], &now()).unwrap();
    store.write(&[redeem("k:p", Some("~list:key"), used(2, WALL - 1))], &now()).unwrap();
    store.restart().unwrap();
    for name in ["k:p", "~list:key"] {
        assert_eq!(store.redeemed(name).unwrap(), Some(used(1, WALL)), "{name}");
    }
    assert_eq!(store.redeemed("k:q").unwrap(), None);
}

pub fn a_seal_number_is_used_up_for_ever(store: &mut dyn Store) {
    assert!(!store.seal_used("LN0000001").unwrap());
    store.write(&[Write::Seal { number: "LN0000001".into(), by: used(7, WALL) }], &now()).unwrap();
    store.restart().unwrap();
    assert!(store.seal_used("LN0000001").unwrap());
    assert_eq!(store.redeemed(&seal_use("LN0000001")).unwrap(), Some(used(7, WALL)));
    assert!(!store.seal_used("LN0000002").unwrap());
    store.peer(&told("gw-2", &seal_use("LN0000002"), 9, WALL), &now()).unwrap();
    assert!(store.seal_used("LN0000002").unwrap(), "at another gateway");
}

pub fn an_earlier_use_at_another_gateway_takes_the_place_of_ours_and_is_one_conflict(store: &mut dyn Store) {
    store.write(&[redeem("k:p", None, used(1, WALL))], &now()).unwrap();
    assert!(store.peer(&told("gw-2", "k:p", 9, WALL - 1), &now()).unwrap());
    assert_eq!(store.redeemed("k:p").unwrap(), Some(used(9, WALL - 1)));
    assert!(!store.peer(&told("gw-2", "k:p", 9, WALL - 1), &now()).unwrap(), "once");
    assert!(store.peer(&told("gw-3", "k:p", 4, WALL), &now()).unwrap(), "with a third one");
    assert_eq!(store.redeemed("k:p").unwrap(), Some(used(9, WALL - 1)));
}

pub fn a_later_use_at_another_gateway_changes_nothing_but_is_a_conflict(store: &mut dyn Store) {
    store.write(&[redeem("k:p", None, used(1, WALL))], &now()).unwrap();
    assert!(store.peer(&told("gw-2", "k:p", 9, WALL + 1), &now()).unwrap());
    assert_eq!(store.redeemed("k:p").unwrap(), Some(used(1, WALL)));
    assert!(!store.peer(&told("gw-2", "k:p", 9, WALL + 1), &now()).unwrap());
    // At the same moment the name of the gateway decides.
    store.write(&[redeem("k:q", None, used(1, WALL))], &now()).unwrap();
    assert!(store.peer(&told("gw-2", "k:q", 9, WALL), &now()).unwrap());
    assert_eq!(store.redeemed("k:q").unwrap(), Some(used(1, WALL)));
}

pub fn what_another_gateway_tells_again_is_no_conflict(store: &mut dyn Store) {
    for _ in 0..2 {
        assert!(!store.peer(&told("gw-2", "k:p", 9, WALL), &now()).unwrap());
        assert_eq!(store.redeemed("k:p").unwrap(), Some(used(9, WALL)));
    }
    // Ours comes behind it, and does not count.
    store.write(&[redeem("k:p", None, used(1, WALL + 5))], &now()).unwrap();
    assert_eq!(store.redeemed("k:p").unwrap(), Some(used(9, WALL)));
}

fn lane() -> LaneId {
    LaneId::new("lane-1").unwrap()
}

fn core(store: &mut dyn Store) -> Core {
    let der = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let (name, text) = shipped::find("school-gate").unwrap();
    let devices = ["scanner", "thermometer"].map(|role| (role.to_owned(), DeviceId::new(role).unwrap()));
    let setup = Setup {
        lane: lane(),
        profile: read(name, text).unwrap().into(),
        devices: devices.into(),
        region: "211400".into(),
        place: kakou_core::lane::PLACE.into(),
        gateway: "gw-1".into(),
        members: BTreeMap::new(),
        profile_hash: "one".into(),
        utc_offset_ms: 0,
        trust: Arc::new(TrustList::default()),
        subjects: Arc::new(SubjectKeys::new(1, b"secret")),
        key: Arc::new(GatewayKey::from_pkcs8(der.as_ref()).unwrap()),
        private: None,
    };
    for list in ["status", "revocation", "hold"] {
        store.edition(list, WALL, &entries(&[])).unwrap();
    }
    Core::new(vec![setup], BTreeMap::new())
}

fn at(seconds: u64) -> Now {
    let start = now();
    let wall_ms = start.wall_ms.map(|ms| ms.saturating_add_unsigned(seconds * 1_000));
    Now { mono_ms: start.mono_ms + seconds * 1_000, wall_ms, ..start }
}

fn handle(core: &mut Core, now: &Now, input: Input, store: &mut dyn Store) -> Step {
    let step = core.handle(now, input, &*store).unwrap();
    if step.must_be_kept(false) {
        store.keep(&step, core, now).unwrap();
    }
    step
}

fn device(core: &mut Core, now: &Now, device: &str, report: Report, store: &mut dyn Store) -> Step {
    handle(core, now, Input::Device { device: DeviceId::new(device).unwrap(), report }, store)
}

/// Somebody whom no list knows is measured, and held.
fn held(core: &mut Core, now: &Now, id: &str, store: &mut dyn Store) {
    let step = device(core, now, "scanner", Report::Scan { bytes: id.as_bytes().to_vec() }, store);
    let ticket = step.requests.first().expect("the thermometer is asked").ticket;
    let frame =
        Temperature { object_mdeg: 36_600, ambient_mdeg: None, reference_mdeg: None, body_grade: true };
    for _ in 0..5 {
        let report = Report::Temperature { ticket, frame: frame.clone() };
        device(core, now, "thermometer", report, store);
    }
    assert!(core.lane(&lane()).unwrap().state.visit.as_ref().unwrap().verdict.is_some(), "{id}");
}

pub fn a_restart_finds_the_lane_as_it_was_kept_and_nothing_of_what_was_not(store: &mut dyn Store) {
    let mut core = core(store);
    held(&mut core, &at(0), "P-1", store);
    // The verdict has been shown for long enough.
    handle(&mut core, &at(20), Input::Tick, store);
    let kept = core.lane(&lane()).unwrap().state.clone();
    assert!(kept.visit.is_none() && kept.recent.len() == 1);
    // Whoever has just been read is kept a moment later.
    device(&mut core, &at(30), "scanner", Report::Scan { bytes: b"P-2".to_vec() }, store);
    assert!(core.lane(&lane()).unwrap().state.visit.is_some());
    let (lanes, given) = store.restart().unwrap();
    let found = &lanes[&lane()];
    assert!(found.visit.is_none());
    assert_eq!(found.recent, kept.recent);
    assert_eq!((found.last_visit, found.day, &found.counters), (kept.last_visit, kept.day, &kept.counters));
    assert!(given <= kept.last_visit);
    assert_eq!(store.restart().unwrap().0, lanes, "and finds it again");
}

pub fn a_restart_finds_the_latest_visits_in_their_order(store: &mut dyn Store) {
    let mut core = core(store);
    let most = u64::try_from(RECENT).unwrap() + 3;
    for n in 0..most {
        held(&mut core, &at(n * 100), &format!("P-{n}"), store);
    }
    let (lanes, _) = store.restart().unwrap();
    let found = &lanes[&lane()];
    let ids: Vec<u64> = found.visits().map(|visit| visit.id.0).collect();
    let wanted: Vec<u64> = (1..=most).rev().take(RECENT + 1).collect();
    assert_eq!(ids, wanted);
    let before: Vec<_> = core.lane(&lane()).unwrap().state.visits().cloned().collect();
    assert_eq!(found.visits().cloned().collect::<Vec<_>>(), before);
}

pub fn a_visit_that_can_go_on_is_kept_whole_and_one_that_cannot_without_whose_it_was(store: &mut dyn Store) {
    let mut core = core(store);
    held(&mut core, &at(0), "ID-4711", store);
    device(&mut core, &at(100), "scanner", Report::Scan { bytes: b"ID-4712".to_vec() }, store);
    let action = Action::Cancel { reason: "left".into(), visit: None };
    let officer = Officer { id: OfficerId::new("li").unwrap(), role: Role::Guard };
    handle(&mut core, &at(101), Input::Desk { lane: lane(), officer, visit: None, action }, store);
    let (lanes, _) = store.restart().unwrap();
    let subject = |number: usize| {
        let visit = lanes[&lane()].recent.get(number).unwrap();
        visit.pass.as_ref().map(|pass| pass.subject.clone()).unwrap()
    };
    assert_eq!((subject(1), subject(0)), ("ID-4711".into(), String::new()));
}
