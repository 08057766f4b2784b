//! The lanes of hospitals, sites and cars in a browser: the main path, an override, the keyboard alone, the other language.
//! [`super::lanes`] has further main paths of ward, seals and enrolment.

use super::*;
use kakou_tests::desk::PIN;

/// The PIN of the demo's supervisor.
const SUPERVISOR_PIN: &str = "1357";

impl Browser {
    /// Moves the focus by keys until it is on an element: Tab, and arrows within a group of choices.
    async fn key_to(&self, testid: &str) {
        self.find(testid).await;
        for _ in 0..80 {
            let script = format!(
                "const wanted = document.querySelector('[data-testid=\"{testid}\"]'), now = document.activeElement;
                 if (!wanted) return 'none';
                 if (now === wanted) return 'there';
                 const group = wanted.closest('[role=radiogroup]');
                 return group && group.contains(now) ? 'arrow' : 'tab';"
            );
            match self.js(&script).await.as_str() {
                Some("there") => return,
                Some("arrow") => self.key(Key::Down).await,
                _ => self.key(Key::Tab).await,
            }
        }
        self.failed(&format!("no key leads to {testid}")).await
    }

    /// Chooses by keys alone.
    async fn choose_by_keys(&self, testid: &str) {
        self.key_to(testid).await;
        self.driver.action_chain().send_keys(" ").perform().await.unwrap();
    }

    /// Presses a button by keys alone, once the question takes it.
    async fn press(&self, testid: &str) {
        self.key_to(testid).await;
        self.until("keys", "return document.querySelector('#ask').dataset.fresh === undefined").await;
        self.key(Key::Enter).await;
    }

    /// The first of the elements whose test ids begin alike.
    async fn first(&self, prefix: &str) -> String {
        let script = format!(
            "return document.querySelector('button[data-testid^=\"{prefix}\"]')?.dataset.testid ?? null"
        );
        let mut found = None;
        wait_for(prefix, async || {
            found = self.js(&script).await.as_str().map(str::to_owned);
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Types into the field that has the focus.
    async fn typed(&self, text: &str) {
        self.driver.active_element().await.unwrap().send_keys(text).await.unwrap();
    }

    /// Signs an override by the keyboard alone.
    async fn override_by_keys(&self, outcome: &str) {
        self.key(Key::F4).await;
        self.sign_by_keys(outcome).await;
        self.key(Key::Enter).await;
        self.gone("override-dialog").await;
    }

    async fn sign_by_keys(&self, outcome: &str) {
        self.choose_by_keys(&format!("override-outcome-{outcome}")).await;
        self.choose_by_keys("override-reason-paper_seen").await;
        self.key_to("override-pin").await;
        self.typed(PIN).await;
    }

    /// The other language: a part of the page says it, and nothing is cut at any size.
    async fn in_english(&self, part: &str, words: &str, picture: &str) {
        self.click("lang").await;
        self.until("English", "return document.documentElement.lang === 'en'").await;
        wait_for(words, async || self.words(part).await.contains(words)).await;
        for (width, height) in [(390, 844), (1280, 800)] {
            self.size(width, height).await;
            self.picture(&format!("{picture}-{width}")).await;
            let wide = "return document.documentElement.scrollWidth > innerWidth + 1";
            assert_eq!(self.js(wide).await, false, "{picture} at {width}x{height}");
        }
        self.size(1024, 739).await;
        self.sound(&format!("{picture}-1024")).await;
        self.click("lang").await;
        self.until("Chinese", "return document.documentElement.lang !== 'en'").await;
    }

    /// Who is at the desk, and what became of the visit.
    async fn ends(&self, who: &str, outcome: &str) {
        self.find(&format!("verdict[data-final=\"{outcome}\"]")).await;
        wait_for(who, async || self.words("visit-name").await.contains(who)).await;
    }

    /// No record waits at the desk.
    async fn nothing_open(&self) {
        self.until("nothing to wait at the desk", "return document.querySelector('#open').hidden").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_opens_at_once_and_the_record_is_written_when_there_is_time() {
    let Some(b) = browser().await else { return };
    b.open("/lane/er-1").await;
    assert!(
        b.words("prompt").await.contains("急诊绿色通道"),
        "nobody is asked for a code, and nothing is being decided"
    );
    b.sound("er-idle").await;
    b.sign_in("er-1", "chen").await;
    b.sound("er-desk").await;
    b.click("start-open").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.sound("er-admit").await;
    let record = b.first("open-pick-").await;
    b.click(&record).await;
    b.settled("patient").await;
    b.sound("er-record").await;
    b.in_english("ask", "Enter what is known of the patient", "er-english").await;
    b.click("arrival-ambulance").await;
    b.type_into("input-temp_c", "38.4").await;
    b.click("form-ok").await;
    b.settled("history").await;
    for field in ["travel-no", "contact-no", "symptoms-yes"] {
        b.reach(field).await;
    }
    b.sound("er-history").await;
    b.click("form-ok").await;
    b.nothing_open().await;
    b.sound("er-done").await;
    // Another one, by the keyboard alone.
    b.key(Key::F8).await;
    let record = b.first("open-pick-").await;
    b.press(&record).await;
    b.settled("patient").await;
    b.choose_by_keys("arrival-walk_in").await;
    b.press("form-ok").await;
    b.settled("history").await;
    for field in ["travel-no", "contact-no", "symptoms-no"] {
        b.choose_by_keys(field).await;
    }
    b.press("form-ok").await;
    b.nothing_open().await;
    // What was an admission is decided otherwise: it is chosen first, since nothing was held.
    b.key(Key::F4).await;
    let latest = b.first("choose-").await;
    b.press(&latest).await;
    b.sign_by_keys("HOLD").await;
    b.sound("er-override").await;
    b.key(Key::Enter).await;
    b.find("last-visit[data-outcome=\"ADMIT\"][data-final=\"HOLD\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resident_car_goes_on_when_everybody_in_it_may_and_staff_decide_otherwise() {
    let Some(b) = browser().await else { return };
    b.sign_in("car-1", "li").await;
    b.present("car-1", "car-ok").await;
    b.find("ask[data-id=\"plate\"]").await;
    b.sound("car-plate").await;
    b.type_into("answer-input", "辽P55555").await;
    b.click("answer-ok").await;
    b.ready("party").await;
    b.sound("car-party").await;
    b.in_english("ask", "How many people", "car-english").await;
    b.click("party-2").await;
    // Before the first of them comes, the desk says for whom the lane waits.
    b.find("party[data-count=\"2\"]").await;
    assert!(b.words("party").await.contains("辽P55555"));
    b.sound("car-first").await;
    b.present("car-1", "occupant-green").await;
    wait_for("the first occupant", async || b.words("party").await.contains("放行")).await;
    b.sound("car-second").await;
    // The last one waits, and so does the car.
    b.present("car-1", "occupant-away").await;
    b.ends("辽P55555", "HOLD").await;
    b.sound("car-hold").await;
    b.click("override-open").await;
    b.click("override-outcome-ADMIT").await;
    b.click("override-reason-paper_seen").await;
    b.type_into("override-pin", PIN).await;
    b.click("override-ok").await;
    b.ends("辽P55555", "ADMIT").await;
    b.sound("car-overridden").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resident_car_is_taken_by_the_keyboard_alone_and_whoever_is_overridden_in_time_does_not_stop_it() {
    let Some(b) = browser().await else { return };
    b.sign_in("car-1", "li").await;
    b.present("car-1", "car-ok").await;
    b.ready("question").await;
    b.key_to("answer-input").await;
    b.typed("辽P55555").await;
    b.key(Key::Enter).await;
    b.ready("party").await;
    b.driver.action_chain().send_keys("2").perform().await.unwrap();
    b.find("party[data-count=\"2\"]").await;
    b.present("car-1", "occupant-away").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.override_by_keys("ADMIT").await;
    b.present("car-1", "occupant-green").await;
    b.ends("辽P55555", "ADMIT").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_goes_in_each_day_with_a_sticker_and_out_again_with_a_reason() {
    let Some(b) = browser().await else { return };
    b.sign_in("site-in-1", "li").await;
    b.present("site-in-1", "worker-today").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.find("slip[data-state=\"done\"]").await;
    b.ready("scan").await;
    b.sound("site-in-admit").await;
    // Not sampled today: staff have seen a paper, and the sticker comes.
    b.present("site-in-1", "worker-yesterday").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.sound("site-in-hold").await;
    b.in_english("ask", "test", "site-in-english").await;
    b.override_by_keys("ADMIT").await;
    b.find("verdict[data-final=\"ADMIT\"]").await;
    b.find("slip[data-state=\"done\"]").await;
    // Out again.
    b.open("/desk/site-out-1").await;
    b.find("ask[data-kind]").await;
    b.present("site-out-1", "worker-leaves").await;
    b.settled("leave").await;
    b.sound("site-out-form").await;
    b.in_english("ask", "Why do they leave", "site-out-english").await;
    b.click("reason-temporary").await;
    b.type_into("input-to", "工地对面食堂").await;
    b.click("form-ok").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.ready("scan").await;
    b.sound("site-out-admit").await;
    // Without a code and without a test, by the keyboard alone.
    b.key(Key::F8).await;
    b.settled("person").await;
    for (field, text) in [("name", "Zhang San"), ("phone", "13912345678")] {
        b.key_to(&format!("input-{field}")).await;
        b.typed(text).await;
    }
    b.press("form-ok").await;
    b.settled("leave").await;
    b.choose_by_keys("reason-done").await;
    b.key_to("input-to").await;
    b.typed("home").await;
    b.key(Key::Enter).await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.sound("site-out-hold").await;
    b.override_by_keys("ADMIT").await;
    b.find("verdict[data-final=\"ADMIT\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_who_was_denied_at_the_onboarding_is_taken_by_an_override_by_keys() {
    let Some(b) = browser().await else { return };
    b.sign_in("site-1", "li").await;
    b.present("site-1", "worker-untested").await;
    b.settled("worker").await;
    b.in_english("ask", "Enter company and trade", "site-english").await;
    b.key_to("input-company").await;
    b.typed("CSCEC").await;
    b.press("form-ok").await;
    b.find("verdict[data-outcome=\"DENY\"]").await;
    b.sound("site-denied").await;
    b.override_by_keys("ADMIT").await;
    b.find("verdict[data-final=\"ADMIT\"]").await;
    b.sound("site-overridden").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_companion_is_let_in_by_a_nurse_with_the_keyboard_alone() {
    let Some(b) = browser().await else { return };
    b.sign_in("ward-1", "chen").await;
    b.present("ward-1", "companion-in").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.ready("scan").await;
    b.present("ward-1", "companion-second-in").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.in_english("ask", "the companion place is taken", "ward-english").await;
    b.override_by_keys("ADMIT").await;
    b.find("verdict[data-final=\"ADMIT\"]").await;
    b.sound("ward-overridden").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_seal_waits_for_a_supervisor_and_is_sealed_anew_by_keys() {
    let Some(b) = browser().await else { return };
    b.sign_in("seal-1", "zhao").await;
    b.present("seal-1", "truck-sealed").await;
    b.ready("question").await;
    b.key_to("answer-input").await;
    b.typed("辽P12345").await;
    b.key(Key::Enter).await;
    b.ready("seal-check").await;
    b.in_english("ask", "Read the number of each seal", "seal-english").await;
    b.key_to("seal-1-number").await;
    b.typed("LN0045678").await;
    for choice in ["seal-1-door-rear", "seal-1-condition-broken"] {
        b.choose_by_keys(choice).await;
    }
    b.sound("seal-broken").await;
    b.press("seals-ok").await;
    for role in ["closeup", "overall"] {
        b.find(&format!("ask[data-kind=\"photo\"][data-id=\"{role}\"]")).await;
        b.press("photo-accept").await;
    }
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.sound("seal-hold").await;
    b.key(Key::F4).await;
    b.sign_by_keys("ADMIT").await;
    b.choose_by_keys("override-second-wang").await;
    b.key_to("override-second-pin").await;
    b.typed(SUPERVISOR_PIN).await;
    b.sound("seal-override").await;
    b.key(Key::Enter).await;
    b.settled("purpose").await;
    b.choose_by_keys("purpose-reseal").await;
    b.press("form-ok").await;
    b.ready("seal").await;
    for field in ["seal-first", "seal-second"] {
        b.key_to(field).await;
        b.typed("LN0099001").await;
    }
    for choice in ["seal-door-rear", "seal-kind-bolt"] {
        b.choose_by_keys(choice).await;
    }
    b.sound("seal-anew").await;
    b.press("seal-ok").await;
    b.find("ask[data-kind=\"photo\"][data-id=\"new-closeup\"]").await;
    b.press("photo-accept").await;
    b.find("verdict[data-final=\"ADMIT\"]").await;
    b.sound("seal-resealed").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_patient_is_called_on_the_screen_at_the_door_with_one_key() {
    let Some(b) = browser().await else { return };
    b.switch_on("room-1").await;
    b.sign_in("room-1", "chen").await;
    b.present("room-1", "room-in").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.gone("verdict").await;
    b.gone("call-next").await;
    b.present("room-1", "room-second").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.gone("verdict").await;
    b.find("call-next").await;
    b.key(Key::F6).await;
    wait_for("the call at the desk", async || b.words("banner-other").await.contains("进")).await;
    b.sound("call-desk").await;
    b.open("/lane/room-1").await;
    wait_for("the call at the door", async || b.words("prompt").await.contains("请下一位进")).await;
    b.sound("call-public").await;
    // Somebody is at the door: the call is over.
    b.present("room-1", "room-out").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.find("screen[data-look=\"idle\"]").await;
    assert!(!b.words("prompt").await.contains("请下一位进"));
    b.end().await;
}
