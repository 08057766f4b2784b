//! The duty console: who was where, an approval from afar, and the shift, with the keyboard alone.

use super::*;

impl Browser {
    pub(super) async fn at_console(&self, officer: &str, pin: &str) {
        self.open("/console").await;
        self.click(&format!("signin-officer-{officer}")).await;
        self.type_into("pin", pin).await;
        self.click("pin-ok").await;
        self.find("purpose").await;
    }

    /// Types where the focus is, as a keyboard does.
    async fn keys(&self, keys: impl Into<TypingData>) {
        self.driver.action_chain().send_keys(keys).perform().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_finds_who_was_where_by_keys_alone_and_nothing_is_told_without_a_purpose() {
    let Some(b) = browser().await else { return };
    b.open("/lane/school-1").await;
    b.find("prompt").await;
    b.present("school-1", "pupil-green").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.at_console("wang", "1357").await;
    b.sound("console").await;
    // The field of the purpose has the focus.
    b.keys("   " + Key::Enter).await;
    assert!(b.text("console-error").await.contains("用途"));
    b.gone("rows").await;
    b.find("purpose").await.clear().await.unwrap();
    b.type_into("purpose", "密接排查").await;
    b.keys(Key::Enter + "").await;
    b.find("row-1[data-outcome=\"ADMIT\"]").await;
    b.sound("console-rows").await;
    b.click("lang").await;
    assert!(b.text("rows").await.contains("Outcome"));
    let fourth = b.driver.action_chain().key_down(Key::Alt).send_keys("4").key_up(Key::Alt);
    fourth.perform().await.unwrap();
    b.find("act-handover[aria-pressed=\"true\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shift_is_handed_over_and_a_guard_may_do_no_more() {
    let Some(b) = browser().await else { return };
    b.at_console("li", "2468").await;
    b.find("act-handover").await;
    b.gone("act-trace").await;
    b.type_into("purpose", "交班").await;
    b.type_into("shift", "夜班").await;
    b.type_into("note", "两辆车在等").await;
    b.click("form-ok").await;
    b.find("console-done").await;
    b.sound("console-handover").await;
    b.end().await;
}
