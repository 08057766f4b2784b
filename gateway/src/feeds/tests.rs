use super::*;

/// Feeds of a data folder, and what they wish for.
fn feeds(data: &Path) -> (Feeds, mpsc::Receiver<Wish>) {
    let (engine, _work) = mpsc::channel(1);
    let (wishes, wished) = mpsc::channel(8);
    let feeds = Feeds {
        data: data.to_path_buf(),
        folder: data.join("lists"),
        stick: data.join("stick"),
        keys: None,
        region: String::new(),
        config: (data.join("kakou.toml"), String::new()),
        restart: None,
        clock: Clock::system(),
        metrics: Arc::default(),
        engine,
        trust: watch::channel(Arc::default()).0,
        wishes,
        loading: watch::channel(None).0,
        end: CancellationToken::new(),
    };
    (feeds, wished)
}

#[test]
fn a_list_that_somebody_saved_with_a_byte_order_mark_is_taken_and_a_broken_one_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let (feeds, _wished) = feeds(folder.path());
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
fn a_body_that_does_not_come_lets_others_go_first_and_is_asked_for_again() {
    let data = tempfile::tempdir().unwrap();
    let (feeds, mut wished) = feeds(data.path());
    let mut memory = Memory::default();
    let mut asks_for = |feed: &str| {
        let wish = std::iter::from_fn(|| wished.try_recv().ok()).last();
        assert!(matches!(&wish, Some(Wish::Subscribe(filter)) if filter.contains(feed)), "{wish:?}");
    };
    for feed in ["status", "hold"] {
        let part = Part { base: None, sha256: feed[..1].repeat(64), bytes: 1 };
        let head =
            Head { feed: feed.into(), version: 1, issued: 1, parts: vec![part], at: None, canary: vec![] };
        memory.heads.push_back(Waiting { head, signer: String::new(), by_broker: false });
    }
    feeds.fetch_next(&mut memory);
    asks_for("status");
    for feed in ["hold", "status", "hold"] {
        memory.heard = None;
        feeds.ask_again(&mut memory);
        asks_for(feed);
    }
}
