use super::*;
use crate::store::lists::Lists;
use kakou_core::evidence::Hash;

fn order<'a>(data: &'a Path, version: u64, base: Option<u64>) -> Order<'a> {
    Order {
        data,
        name: "status",
        version,
        issued_ms: version.cast_signed() * 1000,
        base,
        sha256: None,
        signer: "",
        canary: &[],
        check: None,
    }
}

fn take(order: &Order<'_>, text: &str) -> Result<InUse, String> {
    build(order, text.as_bytes(), &mut |_| true).map_err(|e| e.to_string())
}

fn fact(lists: &Lists, id: &str) -> Option<Value> {
    lists.enter(0).unwrap();
    let found = lists.entry("status", id).unwrap();
    lists.leave().unwrap();
    found.map(|mut f| f.remove("n").unwrap())
}

#[test]
fn an_edition_that_is_given_up_leaves_the_one_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let text = "{\"id\":\"a\",\"facts\":{\"n\":1}}\n";
    take(&order(data, 1, None), text).unwrap();
    for base in [None, Some(1)] {
        let given_up = build(&order(data, 2, base), text.as_bytes(), &mut |_| false);
        assert!(given_up.is_err_and(|e| e.to_string().contains("not finished")));
    }
    let lists = Lists::open(data).unwrap();
    assert_eq!(lists.in_use("status").unwrap().version, 1);
    assert!(!super::folder(data).join("status-2.db").exists());
}

#[test]
fn editions_follow_each_other_and_open_readers_see_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let lists = Lists::open(data).unwrap();
    assert_eq!(fact(&lists, "a"), None);
    let text = "{\"id\":\"a\",\"facts\":{\"n\":1,\"name\":\"张三\"}}\n{\"id\":\"b\",\"facts\":{\"n\":2}}\n";
    let done = take(&order(data, 1, None), text).unwrap();
    assert_eq!((done.version, done.entries), (1, 2));
    assert_eq!(fact(&lists, "a"), Some(1.into()));
    let done =
        take(&order(data, 2, Some(1)), "{\"id\":\"a\"}\n{\"id\":\"c\",\"facts\":{\"n\":3}}\n").unwrap();
    assert_eq!((done.version, done.entries), (2, 2));
    assert_eq!((fact(&lists, "a"), fact(&lists, "c")), (None, Some(3.into())));
    assert!(supplement(data, "status", "b", 5_000, None).unwrap());
    assert!(!supplement(data, "status", "b", 5_000, None).unwrap(), "played again");
    assert_eq!(fact(&lists, "b"), None);
    take(&order(data, 4, None), text).unwrap();
    assert_eq!(fact(&lists, "b"), None, "the edition is older than the supplement");
    take(&order(data, 6, None), text).unwrap();
    assert_eq!(fact(&lists, "b"), Some(2.into()), "the edition is newer than the supplement");
    assert_eq!(lists.search("张", 9).unwrap().len(), 1);
    assert_eq!(
        std::fs::read_dir(super::folder(data)).unwrap().count(),
        5,
        "db, wal, shm, the pointer and the floors"
    );
}

#[test]
fn a_plate_is_found_however_the_feed_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let hold = |version, base| Order { name: "hold", ..order(data, version, base) };
    take(&hold(1, None), "{\"id\":\"辽P·12345\",\"facts\":{}}\n").unwrap();
    let lists = Lists::open(data).unwrap();
    let held = |plate| {
        lists.enter(0).unwrap();
        let found = lists.entry("hold", plate).unwrap().is_some();
        lists.leave().unwrap();
        found
    };
    assert!(held("辽P12345"));
    assert!(supplement(data, "hold", "辽P-54321", 5_000, Some(&Map::new())).unwrap());
    assert!(held("辽P54321"));
    let respelt = "{\"id\":\"辽P12345\",\"facts\":{}}\n{\"id\":\"辽P·12345\"}\n";
    take(&hold(2, Some(1)), respelt).unwrap();
    assert!(held("辽P12345"), "written otherwise, held as before");
    take(&hold(6, Some(2)), "{\"id\":\"辽p12345\"}\n").unwrap();
    assert!(!held("辽P12345"));
    let twice = "{\"id\":\"辽P12345\",\"facts\":{}}\n{\"id\":\"辽P·12345\",\"facts\":{}}\n";
    assert!(take(&hold(7, None), twice).unwrap_err().contains("line 2: `辽P12345` is there twice"));
}

#[test]
fn an_id_is_found_in_either_case_and_behind_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let of = |name: &'static str| Order { name, ..order(data, 1, None) };
    take(&of("status"), "\u{feff}{\"id\":\"32012319900101123x\",\"facts\":{\"n\":1}}\n").unwrap();
    let revoked = "{\"id\":\"0A1B:URN:UVCI:01:DE:X\",\"facts\":{}}\n";
    take(&of("revocation"), revoked).unwrap();
    let lists = Lists::open(data).unwrap();
    for id in ["32012319900101123X", "32012319900101123x", "３２０１２３１９９００１０１１２３Ｘ"]
    {
        assert_eq!(fact(&lists, id), Some(1.into()), "{id}");
    }
    lists.enter(0).unwrap();
    assert!(lists.entry("revocation", "0a1b:urn:uvci:01:de:x").unwrap().is_some());
    lists.leave().unwrap();
}

#[test]
fn an_edition_of_an_earlier_program_is_found_under_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    take(&order(data, 1, None), "{\"id\":\"x\",\"facts\":{\"n\":1}}\n").unwrap();
    {
        let file = super::folder(data).join("status-1.db");
        let earlier = Connection::open(file).unwrap();
        earlier.execute_batch("UPDATE entry SET id = 'r-1x'; PRAGMA user_version = 0").unwrap();
        earlier.execute("INSERT INTO supplement VALUES ('r-2x', 9000, ?1)", [br#"{"n":2}"#]).unwrap();
    }
    assert!(Lists::open(data).unwrap().in_use("status").is_none(), "its ids would not be found");
    give_keys(data).unwrap();
    let lists = Lists::open(data).unwrap();
    assert_eq!((fact(&lists, "R-1X"), fact(&lists, "r-2x")), (Some(1.into()), Some(2.into())));
}

#[test]
fn an_edition_that_is_not_what_was_signed_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let text = "{\"id\":\"a\",\"facts\":{\"n\":1}}\n";
    take(&order(data, 1, None), text).unwrap();
    let lists = Lists::open(data).unwrap();
    let hash = Hash::of(text.as_bytes()).hex();
    let canary = [Canary { id: "a".into(), facts: serde_json::from_str(r#"{"n":2}"#).unwrap() }];
    for (bad, order) in [
        ("{\"id\":\"a\",\"facts\":{\"n\":2}}\n", Order { sha256: Some(&hash), ..order(data, 2, None) }),
        ("{\"id\":\"a\",\"facts\":{\"n\":2}}\n", Order { sha256: Some(&hash), ..order(data, 2, Some(1)) }),
        (text, Order { canary: &canary, ..order(data, 2, None) }),
        (text, Order { canary: &canary, ..order(data, 2, Some(1)) }),
        (text, order(data, 3, Some(2))),
        ("{\"id\":\"b\",\"facts\":{}}\n{\"id\":\"a\",\"facts\":{}}\n", order(data, 2, None)),
        ("{\"id\":\"a\"}\n", order(data, 2, None)),
        ("{\"id\":\"a\",\"facts\":[]}\n", order(data, 2, None)),
        ("{\"id\":\"a\",\"facts\":{}", order(data, 2, None)),
        ("\u{0}\n", order(data, 2, Some(1))),
    ] {
        assert!(take(&order, bad).is_err(), "{bad}");
        assert_eq!(fact(&lists, "a"), Some(1.into()));
        assert_eq!(lists.in_use("status").unwrap().version, 1);
    }
    let good = |version| Order { sha256: Some(&hash), ..order(data, version, None) };
    assert_eq!(take(&good(3), text).unwrap().version, 3);
    assert!(take(&good(2), text).unwrap_err().contains("older"), "it came late");
    assert_eq!(lists.in_use("status").unwrap().version, 3);
}

#[test]
fn facts_that_cannot_be_read_are_refused_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let deep = format!("{{\"note\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let hold = |version, base| Order { name: "hold", ..order(data, version, base) };
    take(&hold(1, None), "{\"id\":\"a\",\"facts\":{}}\n").unwrap();
    for bad in ["{\"note\":\"\\ud83d\"}", "{\"until_ms\":1e999}", &deep] {
        let text = format!("{{\"id\":\"a\",\"facts\":{{}}}}\n{{\"id\":\"b\",\"facts\":{bad}}}\n");
        for base in [None, Some(1)] {
            let why = take(&hold(2, base), &text).unwrap_err();
            assert!(why.contains("line 2: "), "{why}");
        }
    }
}

/// A row as an earlier version of this program may have stored it.
fn unreadable(data: &Path, list: &str, id: &str) {
    let file = Connection::open(super::folder(data).join(format!("{list}-1.db"))).unwrap();
    let sql = "UPDATE entry SET facts = ?2 WHERE id = ?1";
    assert_eq!(file.execute(sql, params![key(list, id), b"{\"note\":\"\\ud83d\"}"]).unwrap(), 1);
}

#[test]
fn an_entry_that_cannot_be_read_is_a_fault_and_not_absent() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let hold = Order { name: "hold", ..order(data, 1, None) };
    take(&hold, "{\"id\":\"a\",\"facts\":{}}\n{\"id\":\"b\",\"facts\":{}}\n").unwrap();
    unreadable(data, "hold", "a");
    let lists = Lists::open(data).unwrap();
    lists.enter(0).unwrap();
    assert!(lists.entry("hold", "a").is_err());
    assert!(lists.entry("hold", "b").unwrap().is_some(), "the others can be read");
    assert!(lists.entry("hold", "c").unwrap().is_none());
}

#[test]
fn a_damaged_pointer_or_list_lets_no_older_edition_in() {
    for lost in ["current.json", "status-7.db"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let text = "{\"id\":\"a\",\"facts\":{\"n\":1}}\n";
        let hash = Hash::of(text.as_bytes()).hex();
        let signed = |version| Order { sha256: Some(&hash), ..order(data, version, None) };
        take(&signed(7), text).unwrap();
        std::fs::write(super::folder(data).join(lost), [0x55; 4096]).unwrap();
        let why = take(&signed(6), text).unwrap_err();
        assert!(why.contains("older"), "{lost}: {why}");
        assert_eq!(take(&signed(7), text).unwrap().version, 7, "{lost}: the same comes again");
        assert_eq!(take(&signed(8), text).unwrap().version, 8, "{lost}");
    }
}

#[test]
fn a_fault_that_passes_disables_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    take(&order(data, 1, None), "{\"id\":\"a\",\"facts\":{\"n\":1}}\n").unwrap();
    let file = super::folder(data).join("status-1.db");
    let aside = data.join("aside.db");
    // What cannot be opened now, as where no more files may be open.
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir(&file).unwrap();
    let lists = Lists::open(data).unwrap();
    lists.enter(2_000).unwrap();
    assert!(lists.entry("status", "a").is_err(), "not the same as not to be listed");
    assert!(lists.listed("status", "nobody").is_err());
    lists.leave().unwrap();
    assert!(!lists.damaged("status"));
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    let back = |now_ms| {
        lists.enter(now_ms).unwrap();
        let found = lists.entry("status", "a");
        lists.leave().unwrap();
        found.is_ok()
    };
    assert!(!back(2_999), "a look costs the lanes a little");
    assert!(back(3_000), "it is tried again");
    assert_eq!(fact(&lists, "a"), Some(1.into()));
}

#[test]
fn entries_that_came_by_themselves_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let hold = Order { name: "hold", ..order(data, 1, None) };
    take(&hold, "{\"id\":\"a\",\"facts\":{}}\n{\"id\":\"b\",\"facts\":{}}\n").unwrap();
    let lists = Lists::open(data).unwrap();
    let put = |id: &str, facts: Option<&Map<String, Value>>| {
        assert!(supplement(data, "hold", id, 5_000, facts).unwrap());
        let list = lists.in_use("hold").unwrap();
        (list.entries, list.single)
    };
    assert_eq!(put("R-1", Some(&Map::new())), (3, 1), "one more");
    assert_eq!(put("a", None), (2, 2), "one less");
    assert_eq!(put("b", Some(&Map::new())), (2, 3), "said anew");
    assert_eq!(put("nobody", None), (2, 4), "taken away before it came");
    let next = Order { name: "hold", ..order(data, 9, None) };
    assert_eq!(take(&next, "{\"id\":\"a\",\"facts\":{}}\n").unwrap().entries, 1);
    let list = lists.in_use("hold").unwrap();
    assert_eq!((list.entries, list.single), (1, 0), "the edition is newer");
}

/// An edition of an earlier program: its ids are as the feed wrote them.
fn of_before(data: &Path, name: &str, version: u64, sql: &str) {
    let file = Connection::open(super::folder(data).join(format!("{name}-{version}.db"))).unwrap();
    file.execute_batch(&format!("{sql}; PRAGMA user_version = 0")).unwrap();
}

#[test]
fn of_two_spellings_of_a_single_entry_the_newer_counts() {
    for (held, gone) in [("p-1", "P-1"), ("P-1", "p-1"), ("ｐ-1", "p-1")] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let hold = Order { name: "hold", ..order(data, 1, None) };
        take(&hold, "{\"id\":\"a\",\"facts\":{}}\n").unwrap();
        let sql = format!(
            "INSERT INTO supplement (id, issued_ms, facts) VALUES ('{held}', 5000, CAST('{{}}' AS BLOB)), ('{gone}', 3000, NULL)"
        );
        of_before(data, "hold", 1, &sql);
        give_keys(data).unwrap();
        let lists = Lists::open(data).unwrap();
        assert!(lists.listed("hold", "P-1").unwrap(), "{held} is newer than {gone}");
    }
}

#[test]
fn an_unreadable_policy_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let policy = Order { name: "policy", ..order(data, 1, None) };
    take(&policy, "{\"id\":\"gate\",\"facts\":{\"toml\":\"x\"}}\n").unwrap();
    let file = Connection::open(super::folder(data).join("policy-1.db")).unwrap();
    let profile = || crate::store::policy::profile_in(&file, "main", "gate");
    assert_eq!(profile().unwrap().as_deref(), Some("x"));
    for unreadable in ["{\"toml\":\"\\ud83d\"}", "{\"toml\":7}", "{}"] {
        file.execute("UPDATE entry SET facts = CAST(?1 AS BLOB)", [unreadable]).unwrap();
        assert!(profile().is_err(), "{unreadable}: {:?}", profile());
    }
    file.execute("DELETE FROM entry", []).unwrap();
    assert_eq!(profile().unwrap(), None);
}

#[test]
fn a_list_that_was_empty_has_what_comes_whether_by_a_change_or_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    take(&order(data, 1, None), "").unwrap();
    let lists = Lists::open(data).unwrap();
    assert_eq!(fact(&lists, "a"), None);
    assert!(supplement(data, "status", "a", 1_500, Some(&facts(b"{\"n\":1}").unwrap())).unwrap());
    assert_eq!(fact(&lists, "a"), Some(1.into()));
    take(&order(data, 2, Some(1)), "{\"id\":\"b\",\"facts\":{\"n\":2}}\n").unwrap();
    assert_eq!((fact(&lists, "a"), fact(&lists, "b")), (None, Some(2.into())), "the edition is newer");
    take(&order(data, 3, Some(2)), "{\"id\":\"b\"}\n").unwrap();
    assert_eq!(fact(&lists, "b"), None);
    // It was stored, and the power went before the pointer was put in place: whoever tells it again is heard.
    let pointer = super::folder(data).join("current.json");
    let before = std::fs::read(&pointer).unwrap();
    let file = super::folder(data).join("status-1.db");
    let edition = Connection::open(file).unwrap();
    let sql = "INSERT INTO supplement (id, issued_ms, facts) VALUES (?1, 4000, CAST('{\"n\":3}' AS BLOB))";
    edition.execute(sql, [key("status", "c")]).unwrap();
    assert!(!supplement(data, "status", "c", 4_000, Some(&facts(b"{\"n\":3}").unwrap())).unwrap());
    assert_eq!(fact(&lists, "c"), Some(3.into()));
    assert_eq!(std::fs::read(&pointer).unwrap(), before);
}
