//! What a public screen says while nobody is there, and a lane that nobody stands at: notices, a door that is watched.

use super::*;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::passes;
use serde_json::{Map, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_take_turns_on_the_idle_screen_in_both_languages_and_a_lost_gateway_shows_none() {
    if no_browser() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { http: true, tables: officers(), ..Plan::default() };
    let plan = plan.lane("gate-1", "gate.toml", &["scanner"]).lane("home-1", "door-watch", &[]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let profile = profiles::lane("gate", &["opaque"], &["status"], "", false);
    std::fs::write(folder.path().join("gate.toml"), profile).unwrap();
    let now_ms = passes::now_s() * 1_000;
    let notice = |zh: &str, en: &str| json!({ "zh": zh, "en": en, "from_ms": now_ms - 60_000, "to_ms": now_ms + 3_600_000 });
    let notices = [
        (
            "n1",
            notice(
                "今日采样点设在体育馆东门，8时至12时",
                "Today's sampling point is the east door of the gym, 8 to 12",
            ),
        ),
        ("n2", notice("请全程佩戴口罩，间隔一米排队", "Wear a mask and keep one metre apart")),
    ];
    let notices = notices.into_iter().map(|(id, entry)| (id.to_owned(), entry)).collect::<Map<_, _>>();
    passes::list(&gateway.lists(), "notices", notices);
    passes::list(&gateway.lists(), "status", Map::new());
    let _scanner = ScannerSim::new(&gateway.device("gate-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    let b = browse(gateway.url(""), Process(Command::new("true").spawn().unwrap())).await;
    b.open("/lane/gate-1").await;
    b.find("screen[data-look=\"idle\"]").await;
    let said = async |words: &str| {
        wait_for(words, async || b.words("instruction").await.contains(words)).await;
    };
    said("体育馆东门").await;
    b.sound("notice").await;
    b.size(390, 844).await;
    b.picture("notice-390").await;
    b.size(1920, 1080).await;
    b.picture("notice-1920").await;
    let cut = "const stage = document.querySelector('#stage'); return stage.scrollWidth > stage.clientWidth || stage.scrollHeight > stage.clientHeight";
    assert_eq!(b.js(cut).await, false);
    said("佩戴口罩").await;
    b.open("/lane/gate-1?lang=en").await;
    said("Today's sampling point").await;
    b.sound("notice-en").await;
    b.open("/lane/home-1?lang=zh").await;
    b.find("screen[data-look=\"idle\"]").await;
    assert!(
        b.words("prompt").await.contains("居家门磁"),
        "nobody is asked for a code at a door that is watched"
    );
    b.sound("door-watch").await;
    b.sign_in("home-1", "li").await;
    b.sound("door-watch-desk").await;
    b.open("/lane/gate-1?lang=zh").await;
    said("体育馆东门").await;
    gateway.stop();
    b.find("banner-lost").await;
    assert!(!b.words("screen").await.contains("体育馆"), "what nobody can vouch for any more");
    b.sound("notice-lost").await;
    b.end().await;
}
