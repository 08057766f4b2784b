//! What the gateways of a site tell each other.

use super::*;
use crate::store::catch_up::Respondent;
use kakou_wire::peers::WAITS;
use proptest::prelude::*;

/// What an earlier version has made of a journal, as far as it matters here.
fn before() -> Connection {
    let c = Connection::open_in_memory().unwrap();
    c.execute_batch(
        "CREATE TABLE redemption (pass_id TEXT PRIMARY KEY, lane TEXT, visit INTEGER, at_ms INTEGER, gateway TEXT, told INTEGER NOT NULL DEFAULT 0);
         CREATE TABLE conflict (pass_id TEXT, gateway TEXT, PRIMARY KEY (pass_id, gateway));
         CREATE TABLE seal (number TEXT PRIMARY KEY, visit INTEGER);
         CREATE TABLE recent (id INTEGER PRIMARY KEY, lane TEXT, at_ms INTEGER);",
    )
    .unwrap();
    c
}

fn store() -> Connection {
    let c = before();
    c.execute_batch("CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER);").unwrap();
    catch_up::prepare(&c).unwrap();
    prepare(&c).unwrap();
    c.execute_batch(slots::SCHEMA).unwrap();
    c
}

fn rows(c: &Connection) -> i64 {
    c.query_row("SELECT count(*) FROM redemption", [], |r| r.get(0)).unwrap()
}

#[test]
fn a_journal_of_before_keeps_its_uses_and_learns_when_to_forget_them() {
    let c = before();
    c.execute_batch(
        "INSERT INTO redemption (pass_id, lane, visit, at_ms) VALUES ('k:1', 'l', 1, 1000), ('k:2', 'l', 2, NULL);",
    )
    .unwrap();
    prepare(&c).unwrap();
    prepare(&c).unwrap();
    forget(&c, 1000 + KEEP_MS).unwrap();
    assert_eq!(rows(&c), 2);
    forget(&c, 1001 + KEEP_MS).unwrap();
    assert_eq!(rows(&c), 1, "a use whose time nobody knows is kept");
}

#[test]
fn a_use_is_forgotten_when_its_pass_has_ended_and_not_before() {
    let c = store();
    let until = own_until(Some(10_000), Some(1)).unwrap();
    assert_eq!(until, 10_000 + SLACK_MS);
    let put = "INSERT INTO redemption (pass_id, lane, visit, at_ms, until_ms) VALUES (?1, 'l', 1, 1, ?2)";
    c.execute(put, params!["k:1", until]).unwrap();
    let other = GatewayId::new("b").unwrap();
    let used = Used { pass: "k:2".into(), lane: LaneId::new("l").unwrap(), visit: 1, at_ms: Some(2) };
    take(&c, &GatewayId::new("a").unwrap(), (&other, &other), &used, 10_000).unwrap();
    assert_eq!(forget(&c, until).unwrap(), 0);
    assert_eq!(forget(&c, until + 1).unwrap(), 1);
    assert_eq!(forget(&c, 10_000 + PEER_KEEP_MS).unwrap(), 0);
    assert_eq!(forget(&c, 10_001 + PEER_KEEP_MS).unwrap(), 1);
    assert_eq!(own_until(Some(i64::MAX), None), Some(i64::MAX), "a date that no clock reaches");
}

#[test]
fn a_gateway_that_tells_too_much_loses_its_own_uses_and_nobody_elses() {
    let c = store();
    c.execute_batch(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MOST} + 10)
         INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway, teller, told, until_ms)
           SELECT 'k:' || i, 'l', i, 1, 'b', 'b', 1, i + 1000000 FROM n;
         INSERT INTO redemption (pass_id, lane, visit, at_ms, until_ms) VALUES ('o:1', 'l', 1, 1, 5);
         INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway, teller, told, until_ms) VALUES ('o:2', 'l', 1, 1, 'c', 'c', 1, 5);"
    ))
    .unwrap();
    assert_eq!(forget(&c, 1).unwrap(), 10);
    assert_eq!(rows(&c), MOST + 2);
    let oldest: i64 =
        c.query_row("SELECT min(visit) FROM redemption WHERE gateway = 'b'", [], |r| r.get(0)).unwrap();
    assert_eq!(oldest, 11, "those that end first go");
}

proptest! {
    /// Three gates that used one pass while they were apart: in whatever order, and how often
    /// ever, they hear of each other, they agree on who was first.
    #[test]
    fn all_gates_agree_on_the_first_use(
        times in prop::collection::vec(prop::option::of(0_i64..3), 3),
        heard in prop::collection::vec((0_usize..3, 0_usize..3), 0..20),
    ) {
        let names: Vec<GatewayId> = ["a", "b", "c"].iter().map(|n| GatewayId::new(*n).unwrap()).collect();
        let used = |n: usize| Used { pass: "k:1".into(), lane: LaneId::new("l").unwrap(), visit: n as u64, at_ms: times[n] };
        let stores: Vec<Connection> = (0..3).map(|n| {
            let c = store();
            c.execute("INSERT INTO redemption (pass_id, lane, visit, at_ms) VALUES ('k:1', 'l', ?1, ?2)", params![n as i64, times[n]]).unwrap();
            c
        }).collect();
        let everybody = (0..3).flat_map(|to| (0..3).map(move |from| (to, from)));
        let mut conflicts = [0; 3];
        for (to, from) in heard.into_iter().chain(everybody).filter(|(to, from)| to != from) {
            conflicts[to] += usize::from(take(&stores[to], &names[to], (&names[from], &names[from]), &used(from), 0).unwrap().is_some());
        }
        let first = (0..3).min_by_key(|n| (times[*n].unwrap_or(i64::MAX), *n)).unwrap();
        for (n, c) in stores.iter().enumerate() {
            let holder: Option<String> = c.query_row("SELECT gateway FROM redemption", [], |r| r.get(0)).unwrap();
            prop_assert_eq!(holder.unwrap_or_else(|| names[n].to_string()), names[first].to_string());
            prop_assert!((1..=2).contains(&conflicts[n]), "{} alerts", conflicts[n]);
        }
    }
}

fn name(text: &str) -> GatewayId {
    GatewayId::new(text).unwrap()
}

/// Everything that `from` knows, a page at a time, as `to` asks for it.
fn tell_all(from: &Connection, teller: &str, to: &Connection, asker: &str, entries: &[String]) -> Vec<Page> {
    let (mut after, mut pages) = (String::new(), Vec::new());
    let entry = |behind: &str| {
        let next = entries.iter().enumerate().map(|(n, text)| (format!("{n:05}"), text.clone()));
        next.into_iter().find(|(name, _)| name.as_str() > behind)
    };
    loop {
        let page = page(from, &name(teller), (name(asker), after), entry).unwrap();
        let bytes = serde_json::to_vec(&page).unwrap();
        assert!(bytes.len() <= PAGE_MAX, "{} bytes", bytes.len());
        let page: Page = serde_json::from_slice(&bytes).unwrap();
        for known in page.uses.clone() {
            assert_eq!(
                take(to, &name(asker), (&name(teller), &known.gateway), &known.used(), 0).unwrap(),
                None
            );
        }
        let next = page.next.clone();
        pages.push(page);
        match next {
            Some(next) => after = next,
            None => return pages,
        }
    }
}

fn used_at(c: &Connection, pass: &str, gateway: Option<&str>, visit: i64) {
    let sql =
        "INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway) VALUES (?1, 'lane-1', ?2, ?2, ?3)";
    c.execute(sql, params![pass, visit, gateway]).unwrap();
}

#[test]
fn a_gateway_tells_everything_that_it_knows_in_small_pages_and_no_persons_id() {
    let (two, one) = (store(), store());
    for n in 0..500 {
        used_at(&two, &format!("kid=:{n:032}"), (n % 2 == 0).then_some("gw-1"), n);
    }
    used_at(&two, ":R-0001", None, 1);
    let entries: Vec<String> = (0..40).map(|n| format!("KE1:{n}{}", "x".repeat(600))).collect();
    let pages = tell_all(&two, "gw-2", &one, "gw-1", &entries);
    let known: i64 = one.query_row("SELECT count(*) FROM redemption", [], |r| r.get(0)).unwrap();
    let own = "SELECT count(*) FROM redemption WHERE gateway = 'gw-1'";
    assert_eq!((known, one.query_row(own, [], |r| r.get::<_, i64>(0)).unwrap()), (500, 250));
    assert_eq!(pages.iter().flat_map(|p| &p.entries).collect::<Vec<_>>(), entries.iter().collect::<Vec<_>>());
    assert!(pages.len() > 10);
    // Once more, nothing is a conflict.
    tell_all(&two, "gw-2", &one, "gw-1", &[]);
    // The entries alone.
    let alone = page(&two, &name("gw-2"), (name("gw-1"), ENTRIES.into()), |_| None).unwrap();
    assert!(alone.uses.is_empty() && alone.next.is_none());
}

#[test]
fn an_entry_as_large_as_a_code_can_hold_fits_a_page() {
    let text = format!("KE1:{}", "x".repeat(2_953 - 4));
    let pages = tell_all(&store(), "gw-2", &store(), "gw-1", &[text.clone(), text]);
    assert_eq!(pages.iter().map(|p| p.entries.len()).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn whoever_waits_itself_is_not_complete_unless_it_waits_for_the_asker_alone() {
    let two = store();
    let gateway = |text: &str| Respondent::Gateway(name(text));
    catch_up::begin(&two, 1, &[gateway("gw-1"), gateway("gw-3")], true).unwrap();
    let ask = |c: &Connection| page(c, &name("gw-2"), (name("gw-1"), String::new()), |_| None).unwrap();
    let goes_on = |page: &Page, asked: &[GatewayId]| {
        catch_up::PageProgress::of(page, &name("gw-1"), &gateway("gw-2"), asked).to
    };
    assert_eq!(
        goes_on(&ask(&two), &[name("gw-2")]).as_deref(),
        Some(WAITS),
        "it is asked whether it still waits"
    );
    let both = [name("gw-2"), name("gw-3")];
    assert_eq!(goes_on(&ask(&two), &both), None, "whom the asker asks itself it waits for itself");
    catch_up::answered(&two, &gateway("gw-3"), &catch_up::PageProgress::default()).unwrap();
    assert_eq!(goes_on(&ask(&two), &[name("gw-2")]), None, "two new boxes do not wait for each other");
}

#[test]
fn a_second_use_at_the_box_that_took_the_place_of_another_is_a_conflict() {
    let (own, lane) = (name("gw-1"), LaneId::new("lane-1").unwrap());
    let used = |visit: u64, at: i64| Used { pass: "k:1".into(), lane: lane.clone(), visit, at_ms: Some(at) };
    // At the neighbour: the box before, then its successor.
    let two = store();
    assert_eq!(take(&two, &name("gw-2"), (&own, &own), &used(7, 100), 0).unwrap(), None);
    assert_eq!(take(&two, &name("gw-2"), (&own, &own), &used(7, 100), 0).unwrap(), None, "told again");
    let conflict = take(&two, &name("gw-2"), (&own, &own), &used(1, 900), 0).unwrap().expect("a second use");
    assert_eq!(conflict["uses"][0]["visit"], 7);
    assert_eq!(take(&two, &name("gw-2"), (&own, &own), &used(1, 900), 0).unwrap(), None, "once");
    // At the successor, which was released and then hears of the first use.
    let one = store();
    used_at(&one, "k:1", None, 900);
    assert!(take(&one, &own, (&name("gw-2"), &own), &used(7, 100), 0).unwrap().is_some());
    let first: i64 = one.query_row("SELECT at_ms FROM redemption", [], |r| r.get(0)).unwrap();
    assert_eq!(first, 100);
}

#[test]
fn a_seal_and_a_pass_of_a_list_that_were_used_at_two_gates_apart_are_one_conflict_each() {
    let (one, two) = (name("gw-1"), name("gw-2"));
    let used = |pass: &str, visit: u64, at_ms: i64| Used {
        pass: pass.into(),
        lane: LaneId::new("lane-1").unwrap(),
        visit,
        at_ms: Some(at_ms),
    };
    for (pass, key, value) in [
        ("~list:0123456789abcdef", "pass", "~list:0123456789abcdef"),
        ("~seal:LN0045678", "seal", "LN0045678"),
    ] {
        let c = store();
        used_at(&c, pass, None, 900);
        assert!(used(pass, 7, 100).is_good(), "it is of the form that gateways tell");
        let conflict = take(&c, &one, (&two, &two), &used(pass, 7, 100), 0).unwrap().expect("a conflict");
        assert_eq!((&conflict[key], &conflict["first"]), (&json!(value), &json!("gw-2")), "{conflict}");
        for again in [used(pass, 7, 100), used(pass, 8, 50), used(pass, 900, 900)] {
            assert_eq!(take(&c, &one, (&two, &two), &again, 0).unwrap(), None, "once");
        }
    }
}

#[test]
fn a_use_that_turns_out_to_be_the_later_one_is_told_all_the_same_and_again_when_somebody_calls() {
    let (one, two) = (name("gw-1"), name("gw-2"));
    let (early, late) = (store(), store());
    used_at(&early, "k:1", None, 100);
    used_at(&late, "k:1", None, 900);
    // The later one hears first, before it has told anything, as after a call that came with the other's use.
    let first = untold(&early).unwrap().remove(0);
    assert!(take(&late, &two, (&one, &one), &first, 0).unwrap().is_some());
    for _ in 0..2 {
        let second = untold(&late).unwrap();
        assert_eq!(second.iter().map(|u| u.at_ms).collect::<Vec<_>>(), [Some(900)]);
        take(&early, &one, (&two, &two), &second[0], 0).unwrap();
        told(&late, "k:1").unwrap();
        assert_eq!(untold(&late).unwrap(), []);
        hello(&late, 0).unwrap();
    }
    let known: i64 = early.query_row("SELECT count(*) FROM conflict", [], |r| r.get(0)).unwrap();
    assert_eq!(known, 1, "whoever has the earlier use knows of the conflict as well");
    forget(&late, i64::MAX).unwrap();
    assert_eq!(untold(&late).unwrap(), [], "it is forgotten with its pass");
}

#[test]
fn a_gateway_that_tells_of_others_displaces_its_own_words_alone() {
    let (c, own, bad) = (store(), name("gw-1"), name("gw-9"));
    let used = |pass: String, at_ms: i64| Used {
        pass,
        lane: LaneId::new("l").unwrap(),
        visit: 1,
        at_ms: Some(at_ms),
    };
    let honest = name("gw-2");
    take(&c, &own, (&honest, &honest), &used("k:theirs".into(), 5), 0).unwrap();
    used_at(&c, "k:own", None, 5);
    // It claims an earlier use of what others have used, and then it tells as much as fits, of anybody.
    for pass in ["k:own", "k:theirs"] {
        assert!(take(&c, &own, (&bad, &bad), &used(pass.into(), 1), 0).unwrap().is_some());
    }
    c.execute_batch("BEGIN").unwrap();
    for n in 0..MOST + 10 {
        let whose = name(&format!("gw-{}", n % 500));
        take(&c, &own, (&bad, &whose), &used(format!("k:{n}"), 5), 1).unwrap();
    }
    c.execute_batch("COMMIT").unwrap();
    assert_eq!(forget(&c, 1).unwrap(), 10);
    assert_eq!(rows(&c), MOST + 2);
    for pass in ["k:own", "k:theirs"] {
        assert!(
            c.prepare("SELECT 1 FROM redemption WHERE pass_id = ?1").unwrap().exists([pass]).unwrap(),
            "{pass}"
        );
    }
}

#[test]
fn what_one_gateway_tells_brings_so_many_conflicts_and_no_more() {
    let (c, own, bad, other) = (store(), name("gw-1"), name("gw-9"), name("gw-2"));
    let used = |n: i64, visit: u64| Used {
        pass: format!("k:{n}"),
        lane: LaneId::new("l").unwrap(),
        visit,
        at_ms: Some(5),
    };
    let mut conflicts = 0;
    c.execute_batch("BEGIN").unwrap();
    for n in 0..CONFLICTS + 50 {
        for (whose, visit) in [(&bad, 1), (&bad, 2), (&name(&format!("gw-{n}x")), 3)] {
            conflicts += i64::from(take(&c, &own, (&bad, whose), &used(n, visit), 0).unwrap().is_some());
        }
    }
    c.execute_batch("COMMIT").unwrap();
    assert_eq!(conflicts, CONFLICTS);
    assert!(take(&c, &own, (&other, &other), &used(1, 9), 0).unwrap().is_some(), "another gateway's count");
}

#[test]
fn seals_that_an_earlier_version_has_used_are_told_where_it_is_known_who_did() {
    let c = before();
    c.execute_batch(
        "INSERT INTO seal VALUES ('LN1', 1), ('LN2', 2);
         INSERT INTO recent VALUES (2, 'lane-1', 1000);",
    )
    .unwrap();
    prepare(&c).unwrap();
    prepare(&c).unwrap();
    let lane = LaneId::new("lane-1").unwrap();
    assert_eq!(untold(&c).unwrap(), [Used { pass: "~seal:LN2".into(), lane, visit: 2, at_ms: Some(1000) }]);
}
