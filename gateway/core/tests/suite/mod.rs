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
use kakou_core::register::{Alarm, Asks, Change, Ended, Put, Slot, SlotWrite, Stamp, conflicts, see};
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
            a_slot_is_found_by_its_key_and_by_its_holder_also_behind_a_restart,
            what_is_seen_of_a_key_is_what_its_slots_say,
            what_another_gateway_tells_of_slots_comes_to_the_same_in_whatever_order,
            what_another_gateway_has_ended_as_a_conflict_is_one_here_once,
            a_slot_is_due_once_where_it_was_put,
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
        training: false,
        badges: std::sync::Arc::default(),
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

fn slot_write(key: &str, holder: &str, visit: u64, at_ms: i64, change: Change) -> Write {
    Write::Slot(Box::new(SlotWrite {
        register: "room".into(),
        key: key.into(),
        holder: holder.into(),
        part: String::new(),
        keep_ms: 60_000,
        shared: true,
        by: used(visit, at_ms),
        change,
    }))
}

fn slot_put(alone: bool, alarm_ms: Option<i64>) -> Change {
    Change::Put(Box::new(Put {
        at: Stamp::default(),
        lane: lane(),
        since_ms: None,
        until_ms: None,
        expires: false,
        amount: 0,
        counted: false,
        from: None,
        data: json!({ "a": "b" }).as_object().unwrap().clone(),
        alone,
        alarm: alarm_ms.map(|at_ms| Alarm { at_ms, event: "overdue".into(), done: false }),
    }))
}

fn slot_end(how: Ended) -> Change {
    Change::End(how, None)
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

pub fn a_slot_is_found_by_its_key_and_by_its_holder_also_behind_a_restart(store: &mut dyn Store) {
    let put = |key, holder, visit, at| slot_write(key, holder, visit, at, slot_put(false, None));
    let writes = [put("k1", "h1", 1, WALL), put("k1", "h2", 2, WALL + 1), put("k2", "h1", 3, WALL + 2)];
    store.write(&writes, &now()).unwrap();
    store.restart().unwrap();
    let of = |slots: Vec<Slot>| slots.into_iter().map(|slot| (slot.key, slot.holder)).collect::<Vec<_>>();
    let pair = |key: &str, holder: &str| (key.to_owned(), holder.to_owned());
    assert_eq!(of(store.slots("room", &names(&["k1"])).unwrap()), [pair("k1", "h1"), pair("k1", "h2")]);
    assert_eq!(
        of(store.slots_of("room", &names(&["h1", "h9"])).unwrap()),
        [pair("k1", "h1"), pair("k2", "h1")]
    );
    assert!(store.slots("rooms", &names(&["k1"])).unwrap().is_empty(), "of another register");
    let slot = &store.slots("room", &names(&["k2"])).unwrap()[0];
    assert_eq!((slot.gateway(), slot.put.as_ref().unwrap().data["a"].as_str()), (Some("gw-1"), Some("b")));
    // A holder who puts again has one slot.
    store.write(&[put("k2", "h1", 4, WALL + 9)], &now()).unwrap();
    let again = store.slots("room", &names(&["k2"])).unwrap();
    assert_eq!((again.len(), again[0].put.as_ref().unwrap().since_ms), (1, Some(WALL + 9)));
}

pub fn what_is_seen_of_a_key_is_what_its_slots_say(store: &mut dyn Store) {
    let mut seed = 7_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for visit in 1..200 {
        let (key, holder) = (format!("k{}", random(3)), format!("h{}", random(6)));
        let change = match random(8) {
            0..4 => slot_put(false, None),
            4..6 => slot_end(Ended::GivenBack),
            6 => slot_end(Ended::Corrected),
            _ => slot_end(Ended::Withdrawn),
        };
        let at_ms = WALL + i64::try_from(visit).unwrap();
        store.write(&[slot_write(&key, &holder, visit, at_ms, change)], &now()).unwrap();
        let (keys, holders) = (vec![key], vec![format!("h{}", random(6))]);
        let said = see(store.slots("room", &keys).unwrap(), &holders, Some(at_ms));
        assert_eq!(store.seen("room", &keys, &holders, Asks::ALL, Some(at_ms)).unwrap(), said, "{visit}");
    }
}

pub fn what_another_gateway_tells_of_slots_comes_to_the_same_in_whatever_order(store: &mut dyn Store) {
    let from = GatewayId::new("gw-2").unwrap();
    let theirs = |holder: &str, at_ms, change| {
        let Write::Slot(write) = slot_write("k", holder, 5, at_ms, change) else { unreachable!() };
        Slot::after(None, &write, "gw-2")
    };
    store.write(&[slot_write("k", "h1", 1, WALL, slot_put(true, None))], &now()).unwrap();
    let late = theirs("h2", WALL + 5, slot_put(true, None));
    assert!(store.peer_slot(&from, &late, &now()).unwrap(), "a conflict");
    assert!(!store.peer_slot(&from, &late, &now()).unwrap(), "once");
    let seen = |store: &dyn Store| {
        store.seen("room", &names(&["k"]), &names(&["h1"]), Asks::ALL, Some(WALL)).unwrap()
    };
    assert_eq!((seen(store).held, seen(store).oldest.unwrap().holder.as_str()), (1, "h1"));
    let early = theirs("h3", WALL - 5, slot_put(true, None));
    assert!(store.peer_slot(&from, &early, &now()).unwrap(), "the earlier one counts");
    store.restart().unwrap();
    assert_eq!((seen(store).held, seen(store).oldest.unwrap().holder.as_str()), (1, "h3"));
    // That somebody has left there is heard before that they came.
    let gone = theirs("h4", WALL + 50, slot_end(Ended::GivenBack));
    let came = theirs("h4", WALL + 40, slot_put(false, None));
    for told in [&gone, &came, &gone] {
        assert!(!store.peer_slot(&from, told, &now()).unwrap());
    }
    let slots = store.slots("room", &names(&["k"])).unwrap();
    let slot = slots.iter().find(|slot| slot.holder == "h4").unwrap();
    assert!(!slot.is_open() && slot.is_past());
}

pub fn what_another_gateway_has_ended_as_a_conflict_is_one_here_once(store: &mut dyn Store) {
    let from = GatewayId::new("gw-2").unwrap();
    let put_at = |gateway: &str, holder: &str, at_ms| {
        let Write::Slot(write) = slot_write("k", holder, 5, at_ms, slot_put(true, None)) else {
            unreachable!()
        };
        Slot::after(None, &write, gateway)
    };
    // It has heard of ours before it told of its own.
    store.write(&[slot_write("k", "h1", 1, WALL, slot_put(true, None))], &now()).unwrap();
    let ours = store.slots("room", &names(&["k"])).unwrap();
    let ended = |late: &Slot, first: &Slot| conflicts(&[first.clone(), late.clone()]).remove(0).0;
    let late = ended(&put_at("gw-2", "h2", WALL + 5), &ours[0]);
    assert!(store.peer_slot(&from, &late, &now()).unwrap(), "neither knows of it by itself");
    assert!(!store.peer_slot(&from, &late, &now()).unwrap(), "once");
    // Ours is the later one, as it says before it tells of the earlier one.
    let first = put_at("gw-2", "h3", WALL - 5);
    let mut lost = ended(&ours[0], &first);
    lost.shared = true;
    assert!(!store.peer_slot(&from, &lost, &now()).unwrap(), "it is not known behind which");
    assert!(store.peer_slot(&from, &first, &now()).unwrap());
    assert!(
        !store.peer_slot(&from, &lost, &now()).unwrap() && !store.peer_slot(&from, &first, &now()).unwrap()
    );
    // Of two others it is theirs.
    let [early, later] = [("gw-3", "h4", WALL - 50), ("gw-2", "h5", WALL - 40)]
        .map(|(gateway, holder, at_ms)| Slot { key: "k2".into(), ..put_at(gateway, holder, at_ms) });
    let theirs = ended(&later, &early);
    for told in [&early, &theirs] {
        assert!(!store.peer_slot(&from, told, &now()).unwrap());
    }
}

pub fn a_slot_is_due_once_where_it_was_put(store: &mut dyn Store) {
    let writes = [
        slot_write("k1", "h", 1, WALL, slot_put(false, Some(WALL + 20))),
        slot_write("k2", "h", 2, WALL, slot_put(false, Some(WALL + 10))),
        slot_write("k3", "h", 3, WALL, slot_put(false, Some(WALL + 15))),
        slot_write("k3", "h", 4, WALL + 1, slot_end(Ended::GivenBack)),
    ];
    store.write(&writes, &now()).unwrap();
    let Write::Slot(theirs) = slot_write("k4", "h", 1, WALL, slot_put(false, Some(WALL + 1))) else {
        unreachable!()
    };
    let theirs = Slot::after(None, &theirs, "gw-2");
    store.peer_slot(&GatewayId::new("gw-2").unwrap(), &theirs, &now()).unwrap();
    store.restart().unwrap();
    let due = |store: &dyn Store, until| -> Vec<String> {
        store.alarms(until, 9).unwrap().into_iter().map(|slot| slot.key).collect()
    };
    assert_eq!(due(store, WALL + 9), names(&[]));
    assert_eq!(due(store, WALL + 30), names(&["k2", "k1"]));
    assert_eq!(store.alarms(WALL + 30, 1).unwrap().len(), 1);
    assert_eq!(store.next_alarm(WALL).unwrap(), Some(WALL + 10));
    assert_eq!(store.next_alarm(WALL + 10).unwrap(), Some(WALL + 20));
    store.write(&[slot_write("k2", "h", 0, WALL + 30, Change::Told)], &now()).unwrap();
    assert_eq!(due(store, WALL + 30), names(&["k1"]));
    assert_eq!(store.slots("room", &names(&["k2"])).unwrap().iter().filter(|slot| slot.is_open()).count(), 1);
}
