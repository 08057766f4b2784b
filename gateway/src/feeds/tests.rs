use super::*;

#[test]
fn a_body_that_does_not_come_lets_others_go_first_and_is_asked_for_again() {
    let data = tempfile::tempdir().unwrap();
    let (engine, _work) = mpsc::channel(1);
    let (wishes, mut wished) = mpsc::channel(8);
    let feeds = Feeds {
        data: data.path().to_path_buf(),
        folder: data.path().join("lists"),
        stick: data.path().join("stick"),
        keys: None,
        region: String::new(),
        config: (data.path().join("kakou.toml"), String::new()),
        restart: None,
        clock: Clock::system(),
        metrics: Arc::default(),
        engine,
        trust: watch::channel(Arc::default()).0,
        wishes,
        loading: watch::channel(None).0,
        end: CancellationToken::new(),
    };
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
