//! A box that has taken the place of another, while its neighbours have not told it what they know.

use super::*;
use kakou_tests::desk::PIN;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_waits_for_its_neighbours_says_so_on_desk_and_public_screen_until_it_is_released() {
    if no_browser() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { tables: officers(), http: true, ..Plan::default() };
    let roles = ["scanner", "thermometer", "barrier"];
    let mut gateway = Gateway::prepare(folder.path(), plan.lane("school-1", "school-gate", &roles));
    let enrolled = gateway.data().join("enrolled");
    std::fs::create_dir_all(&enrolled).unwrap();
    let others = r#"{"enrolled": 1, "replaces": true, "gateways": ["gw-2"]}"#;
    std::fs::write(enrolled.join("others.json"), others).unwrap();
    gateway.start();
    let b = browse(gateway.url(""), Process(Command::new("true").spawn().unwrap())).await;
    b.open("/lane/school-1").await;
    wait_for("the public to be told", async || b.text("prompt").await.contains("其他闸口")).await;
    b.picture("waits-public").await;
    b.sign_in("school-1", "wang").await;
    assert!(b.text("banner-uses").await.contains("gw-2"));
    b.picture("waits-desk").await;
    b.click("uses-open").await;
    b.type_into("uses-reason", "gw-2 is broken").await;
    b.type_into("uses-pin", PIN).await;
    b.picture("waits-release").await;
    b.click("uses-ok").await;
    b.gone("banner-uses").await;
    b.open("/lane/school-1").await;
    wait_for("the public to be invited", async || !b.text("prompt").await.contains("其他闸口")).await;
    b.end().await;
}
