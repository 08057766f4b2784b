use super::*;
use crate::config;
use crate::pack::told::PackName;
use crate::store::policy;
use kakou_authority::issuer::Issuer;
use kakou_core::ids::LaneId;
use kakou_core::pass::trust::{TrustFile, Usage};
use kakou_wire::feed::Canary;
use std::collections::BTreeSet;
use std::path::Path;

/// The thread of the feeds on a folder of its own, what it asks for, and what it tells the engine.
fn feeds(data: &Path) -> (Feeds, mpsc::Receiver<FeedRequest>, mpsc::Receiver<Work>) {
    let (engine, work) = mpsc::channel(8);
    let (wishes, wished) = mpsc::channel(8);
    let feeds = Feeds {
        data: data.to_path_buf(),
        folder: data.join("lists"),
        usb_drive: data.join("stick"),
        keys: None,
        region: String::new(),
        config: (data.join("kakou.toml"), String::new()),
        followers: Vec::new(),
        restart: None,
        clock: Clock::system(),
        metrics: Arc::default(),
        engine,
        trust: watch::channel(Arc::default()).0,
        wishes,
        loading: watch::channel(None).0,
        packs: watch::channel(Packs::default()).0,
        looked: watch::channel(false).0,
        end: CancellationToken::new(),
        waiting: Mutex::default(),
    };
    (feeds, wished, work)
}

#[test]
fn a_list_that_somebody_saved_with_a_byte_order_mark_is_taken_and_a_broken_one_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let (feeds, ..) = feeds(folder.path());
    let plain = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        feeds.plain_file(name, &path)
    };
    let list =
        r#"{ "name": "status", "version": 1, "issued": 1, "entries": { "r-1x": { "colour": "green" } } }"#;
    assert_eq!(plain("status", &format!("\u{feff}{list}")), Ok(()));
    assert_eq!(feeds.in_use("status"), Some(1));
    let trust = r#"{ "name": "trust", "version": 7, "issued": 1, "keys": [] }"#;
    assert_eq!(plain("trust", &format!("\u{feff}{trust}")), Ok(()));
    assert_eq!(feeds.trust.borrow().version, 7);
    let said = plain("status", "<html>").unwrap_err();
    assert_eq!(said, "line 1, column 1: found '<', expected a JSON value: {…}, […], \"text\" or a number");
}

#[test]
fn an_edition_that_could_not_be_keyed_is_keyed_later() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let (feeds, ..) = feeds(data);
    let path = data.join("hold");
    std::fs::write(&path, r#"{ "name": "hold", "version": 1, "issued": 1, "entries": { "P-1": {} } }"#)
        .unwrap();
    feeds.plain_file("hold", &path).unwrap();
    // As an earlier program has left it, while somebody keeps it from being changed.
    let edition = floors::folder(data).join("hold-1.db");
    let other = Connection::open(&edition).unwrap();
    other.execute_batch("UPDATE entry SET id = 'p-1'; PRAGMA user_version = 0; BEGIN IMMEDIATE").unwrap();
    let mut memory = Memory::default();
    feeds.look(&mut memory);
    let held = || {
        let lists = Lists::open(data).unwrap();
        lists.listed("hold", "P-1").ok()
    };
    assert_eq!(held(), None, "it answers nobody");
    other.execute_batch("ROLLBACK").unwrap();
    feeds.look(&mut memory);
    assert_eq!(held(), Some(true));
}

#[test]
fn a_canary_pass_that_does_not_say_what_it_must_give_refuses_the_keys() {
    let data = tempfile::tempdir().unwrap();
    let (feeds, ..) = feeds(data.path());
    let list = json!({ "name": "trust", "version": 3, "issued": 1, "keys": [] }).to_string();
    let canary = |facts: Value| [Canary { id: "KP1:ABC".into(), facts: facts.as_object().cloned() }];
    for bad in [Value::Null, json!({}), json!({ "code": 1 }), json!({ "code": "OK" })] {
        feeds.trust(list.as_bytes(), Some(3), &canary(bad.clone()), "central");
        assert_eq!(feeds.trust.borrow().version, 0, "{bad}");
    }
    feeds.trust(list.as_bytes(), Some(3), &canary(json!({ "code": "C_UNREADABLE" })), "central");
    assert_eq!(feeds.trust.borrow().version, 3);
}

#[test]
fn keys_that_were_lost_come_again_and_no_older_ones() {
    let data = tempfile::tempdir().unwrap();
    let list =
        |version: u64| json!({ "name": "trust", "version": version, "issued": 1, "keys": [] }).to_string();
    let (first, ..) = feeds(data.path());
    first.trust(list(7).as_bytes(), Some(7), &[], "central");
    assert_eq!(first.trust.borrow().version, 7);
    // As after a start with a file that cannot be read.
    let (again, ..) = feeds(data.path());
    again.trust(list(6).as_bytes(), Some(6), &[], "central");
    assert_eq!(again.trust.borrow().version, 0, "an older one");
    again.trust(list(7).as_bytes(), Some(7), &[], "central");
    assert_eq!(again.trust.borrow().version, 7);
}

#[test]
fn a_lane_follows_the_policy_however_its_profile_is_written() {
    let text = |profile: &str| {
        format!(
            "[gateway]\nsite = \"s\"\nid = \"g\"\ndata = \"data\"\n[[device]]\nid = \"sc\"\ndriver = \"line-scanner\"\n\
             port = {{ path = \"p\" }}\n[[device]]\nid = \"th\"\ndriver = \"gy-mcu90614\"\nport = {{ path = \"t\" }}\n\
             [[device]]\nid = \"re\"\ndriver = \"modbus-relay\"\nport = {{ path = \"r\" }}\n[[lane]]\nid = \"l\"\n\
             profile = {profile}\ndevices = {{ scanner = \"sc\", thermometer = \"th\", barrier = \"re\" }}\n# \"policy:none\"\n"
        )
    };
    let follows = |profile: &str| {
        !config::read(&text(profile), Path::new("/none/kakou.toml")).unwrap().followers().is_empty()
    };
    for profile in ["\"policy:school-gate\"", "'policy:school-gate'", "\"policy\\u003aschool-gate\""] {
        assert!(follows(profile), "{profile}");
    }
    assert!(!follows("\"school-gate\""));
}

#[test]
fn entries_that_wait_are_one_line_a_minute() {
    let data = tempfile::tempdir().unwrap();
    let (mut feeds, ..) = feeds(data.path());
    let issuer = Issuer::from_pkcs8(&Issuer::generate().unwrap()).unwrap();
    let keys = TrustFile {
        name: "trust".into(),
        version: 1,
        issued: 1,
        keys: vec![issuer.entry("x", &[Usage::Feed])],
    };
    feeds.keys = Some(Arc::new(TrustList::from_json(&serde_json::to_vec(&keys).unwrap()).unwrap()));
    let list = data.path().join("hold");
    std::fs::write(&list, r#"{ "name": "hold", "version": 1, "issued": 1, "entries": {} }"#).unwrap();
    assert_eq!(feeds.plain_file("hold", &list), Ok(()));
    for n in 0..3 {
        let entry =
            feed::Entry { feed: "hold".into(), issued_ms: 5_000 + n, id: format!("R-{n}"), facts: None };
        let signed = issuer.sign_message(&serde_json::to_vec(&entry).unwrap(), feed::ENTRY).unwrap();
        let signed: Value = serde_json::from_slice(&signed).unwrap();
        let part = |name: &str| signed[name].as_str().unwrap().to_owned();
        let text = format!("KE1:{}.{}.{}", part("protected"), part("payload"), part("signature"));
        assert!(keep_heard(data.path(), text.as_bytes()));
    }
    // Somebody else writes the list and does not end.
    let edition = std::fs::read_dir(data.path().join("editions")).unwrap().flatten().map(|f| f.path());
    let edition = edition.into_iter().find(|f| f.extension().is_some_and(|e| e == "db")).unwrap();
    let busy = Connection::open(edition).unwrap();
    busy.execute_batch("BEGIN EXCLUSIVE").unwrap();
    feeds.take_heard();
    assert_eq!(std::fs::read_dir(data.path().join("heard")).unwrap().count(), 3, "they wait");
    let now = Instant::now();
    feeds.waits("one more", "busy");
    assert_eq!(feeds.tell_waiting(now), None, "it was told just now");
    assert_eq!(feeds.tell_waiting(now + kakou_link::minutely::EVERY).unwrap()["count"], 1);
    drop(busy);
    feeds.take_heard();
    assert_eq!(std::fs::read_dir(data.path().join("heard")).unwrap().count(), 0, "and are taken");
}

#[test]
fn a_page_of_entries_looks_at_their_folder_once() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("known");
    std::fs::create_dir(&folder).unwrap();
    for name in ["c", "a", "b"] {
        std::fs::write(folder.join(name), format!("KE1:{name}")).unwrap();
    }
    std::fs::write(folder.join("bb"), "damaged").unwrap();
    let known = ActiveEntries::of(data.path().to_path_buf());
    let mut seen = Vec::new();
    let mut behind = String::new();
    while let Some((name, text)) = known.next(&behind) {
        // One that comes meanwhile waits for the next question: nobody lists the folder again for each entry.
        std::fs::write(folder.join(format!("{name}0")), "KE1:later").unwrap();
        seen.push(text);
        behind = name;
    }
    assert_eq!(seen, ["KE1:a", "KE1:b", "KE1:c"]);
    assert_eq!(ActiveEntries::of(data.path().to_path_buf()).next("a").unwrap().0, "a0");
    assert_eq!(known.next(&kakou_wire::peers::WAITS[2..]), None);
}

/// A gateway with one lane that follows the policy, on a clock that a file shifts; the key of its central side.
fn follower(data: &Path) -> (Feeds, Issuer, mpsc::Receiver<()>) {
    let issuer = Issuer::from_pkcs8(&Issuer::generate().unwrap()).unwrap();
    let keys = vec![issuer.entry("central", &[Usage::Feed])];
    let file = TrustFile { name: "fleet".into(), version: 1, issued: 1, keys };
    let keys = TrustList::fleet(&serde_json::to_vec(&file).unwrap()).unwrap();
    let (restart, restarted) = mpsc::channel(4);
    let text = "[gateway]\nsite = \"s\"\nid = \"g\"\ndata = \".\"\n[clock]\nsource = \"system\"\n\
        [[device]]\nid = \"sc\"\ndriver = \"line-scanner\"\nport = { path = \"/dev/null\", baud = 9600 }\n\
        [[lane]]\nid = \"l\"\nprofile = \"policy:gate\"\ndevices = { scanner = \"sc\" }\n";
    let shift = data.join("shift");
    let clock = Clock::new(kakou_link::clock::TimeSource::System, 0, Some(shift));
    let (plain, ..) = feeds(data);
    let feeds = Feeds {
        keys: Some(Arc::new(keys)),
        config: (data.join("kakou.toml"), text.to_owned()),
        followers: vec![(LaneId::new("l").unwrap(), BTreeSet::from(["gate".to_owned()]))],
        restart: Some(restart),
        clock,
        ..plain
    };
    std::fs::create_dir_all(feeds.folder.join("parts")).unwrap();
    (feeds, issuer, restarted)
}

fn profile_text(fail_mode: &str) -> String {
    format!(
        "id = \"gate\"\ntitle = {{ zh = \"门\", en = \"Gate\" }}\ndirection = \"in\"\nfail_mode = \"{fail_mode}\"\n\
         [[step]]\nkind = \"scan\"\ndevice = \"scanner\"\naccepts = [\"opaque\"]\n[[step]]\nkind = \"decide\"\n"
    )
}

/// Puts a signed policy into the folder of lists.
fn hand_out(feeds: &Feeds, issuer: &Issuer, version: u64, toml: &str, from: Option<i64>) {
    let body = json!({ "id": "gate", "facts": { "toml": toml } }).to_string() + "\n";
    let sha256 = kakou_core::evidence::Hash::of(body.as_bytes()).hex();
    std::fs::write(feeds.folder.join("parts").join(&sha256), &body).unwrap();
    let parts = vec![Part { base: None, sha256, bytes: body.len() as u64 }];
    let issued = feeds.now_s().unwrap();
    let head = Head { feed: "policy".into(), version, issued, parts, at: None, from, canary: vec![] };
    let word = issuer.sign_message(&serde_json::to_vec(&head).unwrap(), HEAD).unwrap();
    std::fs::write(feeds.folder.join("policy.feed"), word).unwrap();
}

fn refused(feeds: &Feeds) -> u64 {
    feeds.metrics.plain().get("list_refused_total").copied().unwrap_or(0)
}

#[test]
fn a_policy_of_tomorrow_waits_survives_a_restart_and_is_taken_at_its_time_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let (feeds, issuer, mut restarted) = follower(data);
    let now = feeds.now_s().unwrap();
    let mut memory = Memory::default();
    hand_out(&feeds, &issuer, 1, &profile_text("REFER"), None);
    feeds.look(&mut memory);
    assert_eq!((feeds.in_use("policy"), restarted.try_recv()), (Some(1), Ok(())));
    hand_out(&feeds, &issuer, 2, &profile_text("DENY"), Some(now + 3_600));
    for _ in 0..3 {
        feeds.look(&mut memory);
    }
    assert_eq!((feeds.in_use("policy"), refused(&feeds)), (Some(1), 0));
    assert!(restarted.try_recv().is_err(), "nothing changes before its time");
    let told = feeds.packs.borrow().waiting.clone().unwrap();
    assert_eq!((told.name.version, told.changes.len(), told.signer.as_str()), (2, 1, "central"));
    assert!(told.concerns(&LaneId::new("l").unwrap()));
    assert!(policy::profile(data, "gate").unwrap().contains("REFER"));
    // The folder is emptied, the program starts anew, and the time comes.
    std::fs::remove_dir_all(&feeds.folder).unwrap();
    feeds.look(&mut Memory::default());
    assert_eq!(feeds.in_use("policy"), Some(1));
    std::fs::write(data.join("shift"), "3601000").unwrap();
    feeds.look(&mut Memory::default());
    assert_eq!((feeds.in_use("policy"), restarted.try_recv()), (Some(2), Ok(())));
    assert!(policy::profile(data, "gate").unwrap().contains("DENY"));
    feeds.look(&mut memory);
    assert!(!staged(data).exists() && restarted.try_recv().is_err());
    assert_eq!(refused(&feeds), 0);
    assert_eq!(*feeds.packs.borrow(), Packs { in_use: Some(PackName::read(2, None)), waiting: None });
}

#[test]
fn a_policy_that_does_not_check_is_refused_when_it_comes_and_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let (feeds, issuer, _restarted) = follower(data);
    let later = Some(feeds.now_s().unwrap() + 3_600);
    let stranger = Issuer::from_pkcs8(&Issuer::generate().unwrap()).unwrap();
    hand_out(&feeds, &issuer, 1, &profile_text("REFER"), None);
    feeds.look(&mut Memory::default());
    for (n, (signer, toml)) in
        [(&issuer, "id = 7".to_owned()), (&stranger, profile_text("DENY"))].into_iter().enumerate()
    {
        hand_out(&feeds, signer, 2, &toml, later);
        feeds.look(&mut Memory::default());
        assert_eq!((feeds.in_use("policy"), refused(&feeds)), (Some(1), n as u64 + 1));
        assert!(!staged(data).exists());
    }
    // A body that is not what was signed.
    hand_out(&feeds, &issuer, 2, &profile_text("DENY"), later);
    for part in std::fs::read_dir(feeds.folder.join("parts")).unwrap().flatten() {
        let text = std::fs::read_to_string(part.path()).unwrap();
        std::fs::write(part.path(), text.replace("DENY", "HOLD")).unwrap();
    }
    feeds.look(&mut Memory::default());
    assert_eq!((feeds.in_use("policy"), refused(&feeds)), (Some(1), 3));
    assert!(!staged(data).exists());
}

#[test]
fn a_newer_policy_calls_back_the_one_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let (feeds, issuer, _restarted) = follower(data);
    let now = feeds.now_s().unwrap();
    hand_out(&feeds, &issuer, 1, &profile_text("REFER"), None);
    feeds.look(&mut Memory::default());
    hand_out(&feeds, &issuer, 2, &profile_text("DENY"), Some(now + 3_600));
    feeds.look(&mut Memory::default());
    assert!(staged(data).exists() && feeds.packs.borrow().waiting.is_some());
    // Back to the profiles before: the same text, a newer edition.
    hand_out(&feeds, &issuer, 3, &profile_text("REFER"), None);
    feeds.look(&mut Memory::default());
    std::fs::write(data.join("shift"), "3601000").unwrap();
    feeds.look(&mut Memory::default());
    assert_eq!((feeds.in_use("policy"), refused(&feeds)), (Some(3), 0));
    assert!(!staged(data).exists());
    assert!(policy::profile(data, "gate").unwrap().contains("REFER"));
}
