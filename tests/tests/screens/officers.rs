//! Who signs in, with what, and for how long: names and PINs, waits, locks, and a gateway that has no officers.

use super::staff::{browser_at, gateway_of};
use super::*;
use kakou_tests::desk::PIN;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_by_name_and_pin_leaves_the_guard_signed_in() {
    let Some(b) = browser().await else { return };
    b.sign_in("truck-1", "li").await;
    b.truck_to_approval().await;
    assert!(b.words("approve-other").await.contains("等运管或主管"));
    b.picture("approve-other").await;
    b.click("approve-officer-zhao").await;
    b.type_into("approve-pin", "1111").await;
    b.click("approve-ok").await;
    wait_for("whose PIN it was", async || b.words("error").await.contains("赵运管的密码不对")).await;
    assert_eq!(
        b.js("return document.querySelector('[data-testid=approve-pin]').value").await,
        "",
        "no PIN stays"
    );
    b.type_into("approve-pin", PIN).await;
    b.click("approve-ok").await;
    b.find("ask[data-kind=\"seal\"]").await;
    assert!(b.words("officer").await.contains("李敏"), "the guard is still signed in");
    assert!(b.words("answered-by").await.contains("赵运管"));
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_pin_of_two_says_whose_it_was_and_wipes_that_one_alone() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.present("school-1", "pupil-red").await;
    b.find("verdict[data-outcome=\"DENY\"]").await;
    b.click("override-open").await;
    b.click("override-outcome-ADMIT").await;
    b.click("override-reason-paper_seen").await;
    b.type_into("override-pin", PIN).await;
    b.click("override-second-wang").await;
    b.type_into("override-second-pin", "9999").await;
    b.click("override-ok").await;
    wait_for("whose PIN it was", async || b.words("override-error").await.contains("王主管的密码不对")).await;
    b.picture("override-wrong-pin").await;
    let left = "return [...document.querySelectorAll('[data-testid=override-pin], [data-testid=override-second-pin]')].map((f) => f.value.length)";
    let mut left = b.js(left).await.as_array().unwrap().clone();
    left.sort_by_key(Value::as_u64);
    assert_eq!(left, [0, 4], "only the one that was refused is typed again");
    b.type_into("override-second-pin", "1357").await;
    b.click("override-ok").await;
    b.find("verdict[data-final=\"ADMIT\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_too_many_wrong_pins_the_seconds_run_down_to_the_end() {
    let Some(b) = browser().await else { return };
    b.open("/desk/school-1").await;
    b.click("signin-officer-li").await;
    wait_for("the wait", async || {
        b.type_into("pin", "0000").await;
        b.click("pin-ok").await;
        wait_for("an answer", async || !b.words("signin-error").await.is_empty()).await;
        b.words("signin-error").await.contains("请等待")
    })
    .await;
    let left = "return Number(document.querySelector('.fault-left').textContent.replace(/\\D/g, ''))";
    let first = b.js(left).await.as_u64().unwrap();
    assert!((1..=10).contains(&first), "{first}");
    b.picture("signin-wait").await;
    b.until("fewer seconds", &format!("{left} < {first}")).await;
    b.until("the end", "return document.querySelector('[data-testid=signin-error]').hidden").await;
    // What was typed while it was waiting is in the field.
    b.find("pin").await.clear().await.unwrap();
    b.type_into("pin", PIN).await;
    b.click("pin-ok").await;
    b.find("ask[data-kind]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_typed_survives_a_reload_and_not_a_sign_out() {
    let Some(b) = browser().await else { return };
    b.sign_in("truck-1", "zhao").await;
    b.present("truck-1", "truck-ok").await;
    b.click("photo-accept").await;
    b.find("ask[data-id=\"plate\"]").await;
    b.type_into("answer-input", "辽P123").await;
    b.driver.refresh().await.unwrap();
    let typed = "return document.querySelector('[data-testid=answer-input]')?.value === '辽P123'";
    b.until("what was typed", typed).await;
    b.click("signout").await;
    b.find("signin-officer-zhao").await;
    assert_eq!(b.js("return sessionStorage.length").await, 0);
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_desk_locks_in_every_tab_and_a_sign_out_shows_in_every_tab() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    let first = b.driver.window().await.unwrap();
    let second = b.driver.new_tab().await.unwrap();
    b.driver.switch_to_window(second.clone()).await.unwrap();
    // 0.02 minutes.
    b.open("/desk/triage-1?lock=0.02").await;
    b.find("lock-open").await;
    b.picture("locked").await;
    b.present("triage-1", "patient-green").await;
    b.find("ask[data-id=\"mask\"]").await;
    assert_eq!(b.js("return getComputedStyle(document.querySelector('#visit')).visibility").await, "hidden");
    b.click("answer-yes").await;
    b.find("lock-pin").await;
    b.find("ask[data-id=\"mask\"]").await;
    b.driver.refresh().await.unwrap();
    b.find("lock-open").await;
    // The lock outlasts a setting that gives more time.
    b.open("/desk/triage-1?lock=15").await;
    b.click("lock-open").await;
    b.type_into("lock-pin", PIN).await;
    b.click("lock-ok").await;
    b.find("desk[data-locked=\"false\"]").await;
    b.click("answer-yes").await;
    b.find("ask[data-id=\"travel\"]").await;

    b.click("signout").await;
    b.find("desk[data-view=\"signin\"]").await;
    b.driver.switch_to_window(first).await.unwrap();
    b.find("desk[data-view=\"signin\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sign_in_holds_thirty_officers_with_long_names_on_every_screen() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["Aleksandra Konstantinopoulou-Papadopoulou", "李敏", "Wolfeschlegelsteinhausenbergerdorff"];
    let officers: Vec<_> = (0..30).map(|n| (format!("o{n}"), names[n % 3].to_owned())).collect();
    let gateway = gateway_of(folder.path(), &officers);
    let Some(b) = browser_at(&gateway).await else { return };
    for (width, height) in [(1024, 600), (1920, 1080), (390, 844), (844, 390)] {
        b.size(width, height).await;
        b.open("/desk/school-1").await;
        b.find("signin-officer-o29").await;
        b.picture(&format!("signin-30-{width}")).await;
        let over = "return [...document.querySelectorAll('.officer-choice')].filter((button) => {
            const box = button.getBoundingClientRect();
            return [...button.children].some((child) => {
                const range = document.createRange(); range.selectNodeContents(child);
                return [...range.getClientRects()].some((r) => r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1);
            });
        }).length";
        assert_eq!(b.js(over).await, 0, "{width}x{height}");
        let seen = "const box = document.querySelector('[data-testid=pin-ok]').getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight";
        assert_eq!(b.js(seen).await, true, "the keys are in view at {width}x{height}");
    }
    b.click("signin-officer-o29").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_without_officers_says_so_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway_of(folder.path(), &[]);
    let Some(b) = browser_at(&gateway).await else { return };
    b.open("/desk/school-1").await;
    let words = b.words("signin-nobody").await;
    assert!(words.contains("没有值守人员") && words.contains("kakou officer pin"), "{words}");
    b.picture("signin-nobody").await;
    b.end().await;
}
