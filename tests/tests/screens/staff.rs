//! What staff need beside the main path: who may sign what, words and times, the way home, screens of every size, keys.

use super::*;
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::desk::{DeskClient, PIN};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

impl Browser {
    /// The window as a device of this size would have it.
    pub(super) async fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.driver.cdp().send_raw("Emulation.setDeviceMetricsOverride", metrics).await.unwrap();
    }
    /// What a script returns.
    pub(super) async fn js(&self, script: &str) -> Value {
        self.driver.execute(script, vec![]).await.unwrap().json().clone()
    }
    /// Waits until a script returns true.
    pub(super) async fn until(&self, name: &str, script: &str) {
        wait_for(name, async || {
            self.driver.execute(script, vec![]).await.is_ok_and(|r| r.json() == &json!(true))
        })
        .await;
    }
    /// The words of an element, also of one that is drawn anew all the time.
    pub(super) async fn words(&self, selector: &str) -> String {
        let script = format!("return document.querySelector('{}')?.innerText ?? null", css(selector));
        let mut words = None;
        for _ in 0..2 {
            self.find(selector).await;
            words = self.js(&script).await.as_str().map(str::to_owned);
            if words.is_some() {
                break;
            }
        }
        words.unwrap_or_default()
    }
    pub(super) async fn key(&self, key: Key) {
        self.driver.action_chain().send_keys(key).perform().await.unwrap();
    }
    /// A truck lane as far as the question of the approval.
    pub(super) async fn truck_to_approval(&self) {
        self.present("truck-1", "truck-new").await;
        self.click("photo-accept").await;
        self.find("ask[data-id=\"plate\"]").await;
        self.type_into("answer-input", "辽P67890").await;
        self.click("answer-ok").await;
        self.click("answer-2").await;
        self.find("ask[data-kind=\"approve\"]").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_those_of_the_site_wherever_the_browser_thinks_it_is() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    for zone in ["America/New_York", "UTC"] {
        b.driver
            .cdp()
            .send_raw("Emulation.setTimezoneOverride", json!({ "timezoneId": zone }))
            .await
            .unwrap();
        b.open("/status").await;
        let clock = b.words("status-clock").await;
        assert!(clock.contains("UTC+8"), "{clock}");
        let told = "const row = document.querySelector('[data-testid=status-clock]').innerText.match(/(\\d{4})-(\\d\\d)-(\\d\\d) (\\d\\d):(\\d\\d):(\\d\\d)/).slice(1).map(Number);
            return Math.abs(Date.UTC(row[0], row[1] - 1, row[2], row[3], row[4], row[5]) - 8 * 3600000 - Date.now()) < 60000";
        assert_eq!(b.js(told).await, true, "{clock}");
    }
    b.open("/desk/school-1").await;
    b.present("school-1", "pupil-green").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    let told = "const [hours, minutes] = document.querySelector('#visit small').textContent.match(/(\\d\\d):(\\d\\d):\\d\\d/).slice(1).map(Number);
        const site = new Date(Date.now() + 8 * 3600000);
        const apart = Math.abs(hours * 60 + minutes - site.getUTCHours() * 60 - site.getUTCMinutes());
        return Math.min(apart, 1440 - apart) <= 2";
    assert_eq!(b.js(told).await, true);
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_that_comes_with_a_new_question_answers_nothing_and_the_desk_says_who_did() {
    let Some(b) = browser().await else { return };
    b.sign_in("triage-1", "chen").await;
    b.present("triage-1", "patient-green").await;
    b.find("ask[data-kind=\"question\"][data-id=\"mask\"]").await;
    // The tap comes at the very moment at which the next question does.
    let tap = "window.tapped = 0; new MutationObserver(() => {
        const ask = document.querySelector('#ask');
        if (ask.dataset.id === 'travel' && !window.tapped) {
            window.tapped = 1;
            document.querySelector('[data-testid=answer-yes]').dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, detail: 1 }));
        }
    }).observe(document.querySelector('#ask'), { attributes: true, childList: true, subtree: true })";
    b.js(tap).await;
    let base = b.base.clone();
    let act = tokio::task::spawn_blocking(move || {
        let mut other = DeskClient::new(&base);
        other.sign_in("zhao", PIN).unwrap();
        other.act("triage-1", &json!({ "action": "answer", "question": "mask", "value": "yes" })).unwrap().0
    });
    assert_eq!(act.await.unwrap(), 200);
    b.until(
        "the tap",
        "return window.tapped === 1 && document.querySelector('#ask').dataset.fresh === undefined",
    )
    .await;
    b.find("ask[data-id=\"travel\"]").await;
    assert!(b.words("answered-by").await.contains("赵运管"), "it was not this officer's answer");
    b.picture("answered-by").await;
    b.click("answer-no").await;
    b.find("ask[data-id=\"symptoms\"]").await;
    assert!(
        b.driver.find(By::Css("[data-testid=answered-by]")).await.is_err(),
        "the last answer was one's own"
    );
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tap_shows_at_once_and_a_gateway_that_does_not_answer_is_said() {
    let Some(b) = browser().await else { return };
    b.sign_in("triage-1", "chen").await;
    b.present("triage-1", "patient-green").await;
    b.find("ask[data-kind=\"question\"][data-id=\"mask\"]").await;
    b.until(
        "a question that takes taps",
        "return document.querySelector('#ask').dataset.fresh === undefined",
    )
    .await;
    let demo = Pid::from_child(&b.demo.0);
    kill_process(demo, Signal::STOP).unwrap();
    b.click("answer-yes").await;
    b.find("answer-yes[data-sent]").await;
    b.until("the word", "return document.querySelector('[data-testid=sending]').textContent !== ''").await;
    b.picture("sending").await;
    kill_process(demo, Signal::CONT).unwrap();
    b.find("ask[data-id=\"travel\"]").await;
    b.until(
        "the end of the word",
        "return document.querySelector('[data-testid=sending]').textContent === ''",
    )
    .await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_desk_names_its_lane_knows_the_way_home_and_says_when_there_is_no_such_lane() {
    let Some(b) = browser().await else { return };
    b.open("/desk/truck-1").await;
    b.find("signin-officer-li").await;
    b.until(
        "the title",
        "return document.title.includes('紧急物资车辆') && document.title.includes('truck-1')",
    )
    .await;
    b.click("home").await;
    b.find("link-desk-triage-1").await;
    b.open("/desk/truck-9").await;
    assert!(b.words("no-lane").await.contains("没有通道 truck-9"));
    b.picture("no-lane").await;
    b.open("/lane/truck-9").await;
    b.until("the words", "return document.querySelector('#big').textContent.includes('没有通道')").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passers_by_find_no_buttons_and_no_torn_words_on_the_public_screen() {
    let Some(b) = browser().await else { return };
    b.size(1024, 600).await;
    b.open("/lane/school-1?theme=dark").await;
    b.find("screen[data-look=\"idle\"]").await;
    assert_eq!(b.js("return document.querySelectorAll('button, a').length").await, 0);
    assert_eq!(b.js("return document.documentElement.dataset.theme").await, "dark");
    // 健康码 stands on one line.
    let torn = "const range = document.createRange(); const big = document.querySelector('#big');
        const node = [...big.childNodes].find((n) => n.textContent.includes('健康码'));
        const at = node.textContent.indexOf('健康码'); range.setStart(node, at); range.setEnd(node, at + 3);
        return range.getClientRects().length";
    assert_eq!(b.js(torn).await, 1);
    b.picture("public-dark").await;
    b.open("/lane/school-1?setup").await;
    let listen = "window.tones = 0; const real = AudioContext.prototype.createOscillator;
        AudioContext.prototype.createOscillator = function () { window.tones += 1; return real.call(this); }";
    b.js(listen).await;
    b.click("sound-test").await;
    b.until("a tone", "return window.tones > 0").await;
    b.find("lang").await;
    b.picture("public-setup").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_desk_says_what_to_do_and_f1_has_every_reason() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.present("school-1", "pupil-late").await;
    assert!(b.words("advice-H_TEST_EXPIRED").await.contains("纸质证明"));
    b.key(Key::F1).await;
    b.find("help-H_TEST_EXPIRED[data-here]").await;
    b.find("help-S_TAMPER").await;
    b.picture("help").await;
    b.click("dialog-close").await;
    b.click("help-open").await;
    b.find("help-X_STORAGE").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_finds_a_pupil_by_pinyin_and_reads_the_whole_name() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.click("search-open").await;
    b.type_into("search-name", "zhxm").await;
    b.click("search-ok").await;
    let found = b.words("search-result-P-0001").await;
    assert!(found.contains("张小明") && found.contains("0001"), "{found}");
    b.picture("search-pinyin").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_link_upstream_is_on_the_desk_although_nothing_else_happens() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.find("ask[data-kind]").await;
    b.gone("banner-offline").await;
    // Nothing else happens in the lane that would show it by the way.
    b.demo("network", json!({ "up": false })).await;
    b.find("banner-offline").await;
    b.end().await;
}

/// Each button's name holds the word that is seen; there is one main part; what scrolls can be scrolled by keys; no
/// radio group takes more than one Tab stop.
const RULES: &str = r#"
    const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest('[inert]');
    const faults = [];
    for (const e of document.querySelectorAll('button[aria-label], a[aria-label]')) {
        const word = e.innerText.trim().toLowerCase().replace(/\s+/g, ' ');
        if (seen(e) && word && !e.getAttribute('aria-label').toLowerCase().includes(word)) faults.push('name: ' + e.outerHTML.slice(0, 120));
    }
    const mains = [...document.querySelectorAll('main')].filter(seen).length;
    if (mains !== 1) faults.push('mains: ' + mains);
    for (const e of document.querySelectorAll('body *')) {
        const style = getComputedStyle(e);
        const scrolls = (/auto|scroll/.test(style.overflowY) && e.scrollHeight > e.clientHeight + 1)
            || (/auto|scroll/.test(style.overflowX) && e.scrollWidth > e.clientWidth + 1);
        const stops = 'a[href], button:not([disabled]):not([tabindex="-1"]), input, select, textarea, summary, [tabindex="0"]';
        if (scrolls && seen(e) && !e.matches(stops) && !e.querySelector(stops)) faults.push('scroll: ' + e.id + ' ' + e.className);
    }
    for (const group of document.querySelectorAll('[role=radiogroup]')) {
        const stops = [...group.querySelectorAll('[role=radio]')].filter((r) => r.tabIndex === 0).length;
        if (seen(group) && group.querySelector('[role=radio]') && stops !== 1) faults.push('radios: ' + stops);
    }
    for (const text of document.body.querySelectorAll('p, h1, h2, span, b, small')) {
        const region = text.closest('main, header, nav, footer, dialog, aside, [role=region], [role=status], [role=alert]');
        if (seen(text) && text.textContent.trim() && !region) faults.push('region: ' + text.outerHTML.slice(0, 120));
    }
    return faults;
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_keeps_names_landmarks_scrolling_and_tab_stops_in_order() {
    let Some(b) = browser().await else { return };
    let keeps = async |what: &str| {
        for (width, height) in [(1024, 600), (1920, 1080), (390, 844)] {
            b.size(width, height).await;
            assert_eq!(b.js(RULES).await, json!([]), "{what} at {width}x{height}");
            b.picture(&format!("rules-{what}-{width}")).await;
        }
    };
    for (path, there) in [
        ("/", "lane-school-1"),
        ("/status", "status-clock"),
        ("/demo", "card-pupil-green"),
        ("/lane/school-1", "prompt"),
    ] {
        b.open(path).await;
        b.find(there).await;
        keeps(path.trim_matches('/').split('/').next().unwrap()).await;
    }
    b.open("/desk/truck-1").await;
    b.find("signin-officer-li").await;
    keeps("signin").await;
    b.sign_in("truck-1", "li").await;
    keeps("desk").await;
    b.truck_to_approval().await;
    b.find("approve-officer-zhao").await;
    keeps("approve").await;
    b.click("help-open").await;
    b.find("help-H_RED").await;
    keeps("help").await;
    b.click("dialog-close").await;
    b.click("lang").await;
    keeps("approve-en").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_radio_group_is_one_tab_stop_and_the_arrows_choose() {
    let Some(b) = browser().await else { return };
    b.open("/desk/school-1").await;
    b.find("signin-officer-li").await;
    b.js("document.querySelector('[role=radio]').focus()").await;
    b.key(Key::Down).await;
    b.key(Key::Right).await;
    let chosen = "return [...document.querySelectorAll('[role=radio]')].findIndex((r) => r.getAttribute('aria-checked') === 'true')";
    assert_eq!(b.js(chosen).await, 2);
    b.key(Key::Up).await;
    assert_eq!(b.js(chosen).await, 1);
    b.key(Key::Tab).await;
    assert_eq!(
        b.js("return document.activeElement.dataset.testid").await,
        "pin",
        "one Tab leads out of the names"
    );
    b.end().await;
}

/// A truck whose plate is not that of its pass, and an officer who lets it in.
async fn override_a_wrong_plate(b: &Browser, card: &str) {
    b.present("truck-1", card).await;
    b.click("photo-accept").await;
    b.find("ask[data-id=\"plate\"]").await;
    b.type_into("answer-input", "辽P54321").await;
    b.click("answer-ok").await;
    b.click("answer-2").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.click("override-open").await;
    b.click("override-outcome-ADMIT").await;
    b.click("override-reason-paper_seen").await;
    b.type_into("override-pin", PIN).await;
    b.click("override-ok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seal_form_keeps_its_button_in_view_and_a_magnified_desk_can_be_read() {
    let Some(b) = browser().await else { return };
    b.size(1024, 600).await;
    b.sign_in("truck-1", "zhao").await;
    override_a_wrong_plate(&b, "truck-ok").await;
    // The verdict stands above the form.
    b.find("ask[data-kind=\"seal\"]").await;
    b.find("verdict").await;
    b.until("a form that takes taps", "return document.querySelector('#ask').dataset.fresh === undefined")
        .await;
    let hit = "const box = document.querySelector('[data-testid=seal-ok]').getBoundingClientRect();
        const at = document.elementFromPoint(box.left + box.width / 2, box.bottom - 3);
        return at?.closest('[data-testid=seal-ok]') !== null";
    assert_eq!(b.js(hit).await, true, "the button can be pressed without scrolling");
    b.picture("seal-1024").await;
    // 1024x600 at 200 %.
    b.size(512, 300).await;
    let read = "const words = document.querySelector('[data-testid=prompt] span'); words.scrollIntoView({ block: 'center' });
        const box = words.getBoundingClientRect();
        return [[box.left + 2, box.top + 2], [box.right - 2, box.bottom - 2]].every(([x, y]) => document.elementFromPoint(x, y)?.closest('[data-testid=prompt]'))";
    assert_eq!(b.js(read).await, true, "the whole prompt can be read");
    b.picture("seal-magnified").await;
    b.end().await;
}

/// Behind an override a verdict with its reasons, advice and both plates stands above each question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_an_override_the_main_button_of_every_step_is_in_view_on_a_small_screen() {
    let Some(b) = browser().await else { return };
    b.size(1024, 600).await;
    b.sign_in("truck-1", "zhao").await;
    b.click("lang").await;
    override_a_wrong_plate(&b, "truck-new").await;
    for step in ["approve", "seal", "photo", "confirm"] {
        let now = format!(
            "const ask = document.querySelector('#ask');
             return ask.dataset.kind === '{step}' && ask.dataset.fresh === undefined && ask.querySelector('[data-primary]') !== null"
        );
        b.until(step, &now).await;
        b.find("verdict").await;
        b.picture(&format!("override-{step}-1024")).await;
        let hit = "return [...document.querySelectorAll('#ask [data-primary]')].every((button) => {
            const box = button.getBoundingClientRect();
            const at = document.elementFromPoint(box.left + box.width / 2, box.bottom - 3);
            return at?.closest('[data-primary]') === button; })";
        assert_eq!(b.js(hit).await, true, "{step}: see target/screens/override-{step}-1024.png");
        match step {
            "approve" => b.click("approve-yes").await,
            "seal" => {
                b.type_into("seal-first", "LN0045678").await;
                b.type_into("seal-second", "LN0045678").await;
                b.click("seal-door-rear").await;
                b.click("seal-kind-bolt").await;
                b.click("seal-ok").await;
            }
            "photo" => {
                wait_for("the checks", async || {
                    if let Ok(accept) = b.driver.find(By::Css("[data-testid=\"photo-accept\"]")).await {
                        drop(accept.click().await);
                    }
                    b.driver.find(By::Css("[data-testid=\"ask\"][data-kind=\"confirm\"]")).await.is_ok()
                })
                .await;
            }
            _ => {}
        }
    }
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_screen_shows_the_desk_larger() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.find("search-open").await;
    let height = "return document.querySelector('[data-testid=search-open]').getBoundingClientRect().height";
    b.size(1024, 600).await;
    let small = b.js(height).await.as_f64().unwrap();
    b.size(1920, 1080).await;
    let large = b.js(height).await.as_f64().unwrap();
    assert!(large > small * 1.3, "{small} {large}");
    assert_eq!(b.js("return document.documentElement.scrollHeight <= innerHeight").await, true);
    b.end().await;
}

/// A gateway whose officers are these, with one lane.
pub(super) fn gateway_of(folder: &Path, officers: &[(String, String)]) -> Gateway {
    let hash = kakou_gateway::http::auth::hash_pin(PIN).unwrap();
    let tables = officers.iter().map(|(id, name)| {
        format!("[[officer]]\nid = \"{id}\"\nname = \"{name}\"\nrole = \"guard\"\npin = '{hash}'\n\n")
    });
    let plan = Plan { tables: tables.collect(), http: true, ..Plan::default() };
    let mut gateway = Gateway::prepare(
        folder,
        plan.lane("school-1", "school-gate", &["scanner", "thermometer", "barrier"]),
    );
    gateway.start();
    gateway
}

pub(super) async fn browser_at(gateway: &Gateway) -> Option<Browser> {
    if no_browser() {
        return None;
    }
    Some(browse(gateway.url(""), Process(Command::new("true").spawn().unwrap())).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_page_names_lists_classes_and_counters_in_both_languages() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway_of(folder.path(), &[("li".into(), "李敏".into())]);
    let Some(b) = browser_at(&gateway).await else { return };
    b.open("/desk/school-1").await;
    b.click("signin-officer-li").await;
    b.type_into("pin", "0000").await;
    b.click("pin-ok").await;
    b.open("/status").await;
    for (row, zh) in [
        ("status-list-revocation", "撤销"),
        ("status-outbox-verdict", "结论与证据"),
        ("status-counter-pin_wrong_total", "错误密码"),
    ] {
        assert!(b.words(row).await.contains(zh), "{row}");
    }
    b.picture("status-words").await;
    b.click("lang").await;
    wait_for("English", async || b.words("status-counter-pin_wrong_total").await.contains("Wrong PINs"))
        .await;
    b.end().await;
}
