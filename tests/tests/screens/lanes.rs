//! The lanes for wards, seals and sites, and who steps aside, each by its main path at the desk and on the public screen.

use super::*;
use std::time::Instant;

impl Browser {
    /// Waits until a new question takes taps.
    pub(super) async fn ready(&self, kind: &str) {
        self.find(&format!("ask[data-kind=\"{kind}\"]")).await;
        self.until("taps", "return document.querySelector('#ask').dataset.fresh === undefined").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_normal_steps_aside_for_the_next_one_and_is_measured_again_from_the_desk() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.demo("temperature", serde_json::json!({ "lane": "school-1", "mdeg": 38_100 })).await;
    let begun = Instant::now();
    b.present("school-1", "pupil-green").await;
    b.find("reading-1").await;
    b.demo("temperature", serde_json::json!({ "lane": "school-1", "mdeg": 36_600 })).await;
    let waits = Instant::now();
    b.present("school-1", "pupil-green-2").await;
    wait_for("who stands aside", async || b.words("open").await.contains("靠边")).await;
    let aside = Instant::now();
    assert!(b.words("open").await.contains("张*"));
    // The lane does not wait for a second reading of the first one.
    assert_eq!(
        b.js("return document.querySelector('[data-testid=reading-2]')").await,
        serde_json::Value::Null
    );
    b.find("last-visit[data-final=\"ADMIT\"]").await;
    let ms = |from: Instant, to: Instant| to.duration_since(from).as_millis();
    let figures = serde_json::json!({ "bar": "forehead", "ok": ms(waits, aside) <= 3_000, "blocked_ms": ms(waits, aside),
        "blocked_most_ms": 3_000, "with_its_own_reading_ms": ms(begun, aside), "next_admitted_ms": ms(waits, Instant::now()),
        "before_ms": 10_900 });
    println!("{figures}");
    b.sound("aside-desk").await;
    b.js("document.querySelector('[data-testid^=open-pick]').click()").await;
    b.find("chosen-back").await;
    assert!(b.words("visit-name").await.contains("张*"), "the desk shows whose visit it is");
    b.sound("aside-chosen").await;
    b.click("recheck").await;
    wait_for("both inside", async || b.words("counter-ADMIT").await.trim() == "2").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ward_door_shows_which_way_the_result_is_for_and_staff_free_the_place_of_a_companion() {
    let Some(b) = browser().await else { return };
    b.open("/lane/ward-1").await;
    b.find("prompt").await;
    b.present("ward-1", "companion-in").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.find("direction[data-direction=\"in\"]").await;
    b.sound("ward-in").await;
    b.find("screen[data-look=\"idle\"]").await;
    b.present("ward-1", "companion-second-in").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.sound("ward-second").await;
    b.sign_in("ward-1", "chen").await;
    b.click("registers-open").await;
    b.find("slot-1").await;
    assert!(b.text("slot-1").await.contains("张芳"), "the lists say who it is");
    b.sound("ward-register").await;
    b.click("slot-take-1").await;
    b.click("correct-ok").await;
    assert!(b.text("correct-error").await.contains("原因"), "nothing is corrected without a reason");
    b.click("correct-reason-left_unseen").await;
    b.sound("ward-correct").await;
    b.click("correct-ok").await;
    b.find("register-none").await;
    b.open("/lane/ward-1").await;
    b.present("ward-1", "nurse-in").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_is_read_from_the_seal_and_what_is_on_record_shows_only_then() {
    let Some(b) = browser().await else { return };
    b.sign_in("seal-1", "zhao").await;
    b.present("seal-1", "truck-sealed").await;
    b.find("ask[data-id=\"plate\"]").await;
    b.type_into("answer-input", "辽P12345").await;
    b.click("answer-ok").await;
    b.ready("seal-check").await;
    let page = b.words("ask").await;
    assert!(!page.contains("LN0045678"), "nobody copies the number: {page}");
    b.type_into("seal-1-number", "LN0045670").await;
    assert!(b.words("seal-1-match").await.contains("LN0045678"), "what differs stands beside it");
    b.sound("seal-differs").await;
    b.find("seal-1-number").await.clear().await.unwrap();
    b.type_into("seal-1-number", "LN0045678").await;
    b.find("seal-1-match[data-match=\"true\"]").await;
    b.click("seals-ok").await;
    assert!(b.text("error").await.contains("未填完整"));
    b.click("seal-1-door-rear").await;
    b.click("seal-1-condition-intact").await;
    b.sound("seal-same").await;
    b.click("seals-ok").await;
    wait_for("the purpose", async || {
        if let Ok(accept) = b.driver.find(By::Css("[data-testid=\"photo-accept\"]")).await {
            drop(accept.click().await);
        }
        b.driver.find(By::Css("[data-testid=\"ask\"][data-kind=\"form\"]")).await.is_ok()
    })
    .await;
    b.ready("form").await;
    b.click("purpose-onward").await;
    b.click("form-ok").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.sound("seal-admit").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_enrolled_by_a_form_and_one_without_a_test_is_not() {
    let Some(b) = browser().await else { return };
    b.sign_in("site-1", "li").await;
    for (card, outcome) in [("worker-tested", "ADMIT"), ("worker-untested", "DENY")] {
        b.present("site-1", card).await;
        b.ready("form").await;
        b.type_into("input-company", "中建").await;
        b.sound(&format!("site-{card}")).await;
        b.click("form-ok").await;
        b.find(&format!("verdict[data-outcome=\"{outcome}\"]")).await;
        b.gone("verdict").await;
    }
    b.click("registers-open").await;
    b.find("slot-1").await;
    assert!(b.text("register-count").await.contains('1'));
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lane_did_today_is_counted_by_hour_and_found_and_names_nobody() {
    let Some(b) = browser().await else { return };
    b.open("/lane/ward-1").await;
    b.find("prompt").await;
    b.present("ward-1", "companion-in").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.find("screen[data-look=\"idle\"]").await;
    b.present("ward-1", "companion-second-in").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.sign_in("ward-1", "chen").await;
    b.click("today-open").await;
    b.find("hours-today[data-total=\"2\"][data-admitted=\"1\"]").await;
    b.find("today-count[data-count=\"2\"]").await;
    b.sound("today").await;
    b.click("today-HOLD").await;
    b.find("today-count[data-count=\"1\"]").await;
    let row = b.text("today-row").await;
    assert!(row.contains("陪护人数已满") && !row.contains("张"), "{row}");
    b.click("today-HOLD").await;
    b.type_into("today-find", "no such thing").await;
    b.find("today-count[data-count=\"0\"]").await;
    b.open("/status").await;
    b.find("hours-ward-1[data-total=\"2\"]").await;
    b.sound("status-hours").await;
    b.end().await;
}
