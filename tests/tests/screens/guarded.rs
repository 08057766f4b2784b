//! What a desk keeps from whoever has no business there, and what it does once: the lock, acts that are pressed again,
//! the barrier that did not open, on screens of every size.

use super::*;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::desk::PIN;
use kakou_tests::passes;
use serde_json::{Value, json};

/// Locks at once, as if nobody had touched the desk for long.
const IDLE: &str = "localStorage.setItem('kakou.touched', '1')";

/// From here on it is on record whether the page ever said that the gateway is lost.
const WATCH_LOSS: &str = "window.wasLost = false; new MutationObserver(() => {
    if (document.body.dataset.lost === 'true') window.wasLost = true;
}).observe(document.body, { attributes: true })";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_that_did_not_open_is_in_view_on_a_magnified_desk_and_a_phone_on_its_side() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("fast.toml"),
        profiles::lane("fast", &["resident-card"], &["status"], "", true),
    )
    .unwrap();
    // Nothing is at the port of the barrier.
    let plan = Plan { tables: officers(), http: true, ..Plan::default() };
    let plan = plan.lane("lane-1", "fast.toml", &["scanner", "barrier"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    passes::list(&gateway.lists(), "status", serde_json::Map::new());
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    let Some(b) = staff::browser_at(&gateway).await else { return };
    b.sign_in("lane-1", "li").await;
    scanner.scan(&passes::pass(&issuer, "resident-card", json!({ "id": "good-1" }))).unwrap();
    b.find("barrier-again").await;
    for (width, height) in [(1024, 600), (844, 390), (512, 300), (390, 844)] {
        b.size(width, height).await;
        b.picture(&format!("barrier-{width}")).await;
        let seen = b
            .js("const box = (id) => document.querySelector(`[data-testid=${id}]`).getBoundingClientRect();
                const part = (id) => document.getElementById(id).getBoundingClientRect().width >= innerWidth * 0.45;
                const inView = (b) => b.top >= 0 && b.bottom <= innerHeight && b.left >= 0 && b.right <= innerWidth;
                return [inView(box('barrier-again')), inView(box('barrier-by-hand')), part('barrier'), part('ask'), part('bar')]")
            .await;
        assert_eq!(seen, json!([true, true, true, true, true]), "{width}x{height}");
    }
    // However far the page is scrolled.
    b.size(512, 300).await;
    b.js("document.scrollingElement.scrollTop = 1000").await;
    let seen = "const box = document.querySelector('[data-testid=barrier-again]').getBoundingClientRect();
        return document.scrollingElement.scrollTop > 0 && box.top >= 0 && box.bottom <= innerHeight";
    assert_eq!(b.js(seen).await, true);
    b.picture("barrier-scrolled").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desk_that_locks_closes_what_is_open_and_finds_no_name() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.find("ask[data-kind=\"scan\"]").await;
    b.click("search-open").await;
    b.type_into("search-name", "zhxm").await;
    b.click("search-ok").await;
    b.find("search-result-P-0001").await;
    b.js(IDLE).await;
    b.find("desk[data-locked=\"true\"]").await;
    b.picture("locked-search").await;
    assert_eq!(b.js("return document.querySelectorAll('dialog').length").await, 0, "the names stay open");
    // The bar lies beneath the word of the lock; by keys it can be reached.
    b.js("document.querySelector('[data-testid=search-open]').click()").await;
    b.find("lock-pin").await;
    assert_eq!(b.js("return document.querySelectorAll('[data-testid=search-name]').length").await, 0);

    // A plate that is read from its photograph, and what was typed of it.
    b.open("/desk/truck-1").await;
    b.click("lock-open").await;
    b.type_into("lock-pin", PIN).await;
    b.click("lock-ok").await;
    b.find("desk[data-locked=\"false\"]").await;
    b.present("truck-1", "truck-ok").await;
    b.click("photo-accept").await;
    b.find("plate-photo").await;
    b.type_into("answer-input", "辽P5").await;
    b.js(IDLE).await;
    b.find("desk[data-locked=\"true\"]").await;
    b.picture("locked-plate").await;
    let seen = "return ['plate-photo', 'answer-input', 'visit'].filter((id) =>
        document.querySelector(`[data-testid=${id}]`)?.checkVisibility({ visibilityProperty: true }))";
    assert_eq!(b.js(seen).await, json!([]));
    // On a low screen as well one sees that it is locked, and has all keys.
    let in_view = |id: &str| {
        format!(
            "const box = document.querySelector('[data-testid={id}]').getBoundingClientRect();
            return box.top >= 0 && box.bottom <= innerHeight"
        )
    };
    let sizes = [(1024, 600), (844, 390), (512, 300), (390, 844)];
    for (width, height) in sizes {
        b.size(width, height).await;
        b.picture(&format!("locked-{width}")).await;
        assert_eq!(b.js(&in_view("lock-open")).await, true, "{width}x{height}");
    }
    b.size(844, 390).await;
    b.click("lock-open").await;
    b.find("lock-pin").await;
    for (width, height) in sizes {
        b.size(width, height).await;
        b.picture(&format!("unlock-{width}")).await;
        assert_eq!(b.js(&in_view("lock-ok")).await, true, "{width}x{height}");
    }
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlocking_one_tab_shows_no_lost_gateway_in_any() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.find("ask[data-kind]").await;
    b.js(WATCH_LOSS).await;
    let first = b.driver.window().await.unwrap();
    let second = b.driver.new_tab().await.unwrap();
    b.driver.switch_to_window(second.clone()).await.unwrap();
    b.open("/desk/triage-1").await;
    b.find("ask[data-kind=\"scan\"]").await;
    b.js(WATCH_LOSS).await;
    b.js(IDLE).await;
    b.click("lock-open").await;
    b.type_into("lock-pin", PIN).await;
    b.click("lock-ok").await;
    b.find("desk[data-locked=\"false\"]").await;
    // What comes now arrives by the streams that were there before.
    b.present("triage-1", "patient-green").await;
    b.find("ask[data-id=\"mask\"]").await;
    assert_eq!(b.js("return window.wasLost").await, false, "the tab that was unlocked");
    b.driver.switch_to_window(first).await.unwrap();
    b.find("desk[data-locked=\"false\"]").await;
    b.present("school-1", "pupil-green").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    assert_eq!(b.js("return window.wasLost").await, false, "the other tab");
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desk_that_was_unlocked_is_not_locked_by_a_tab_that_has_not_heard_of_it() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.find("ask[data-kind=\"scan\"]").await;
    b.js(IDLE).await;
    b.find("desk[data-locked=\"true\"]").await;
    let late = b.js("return localStorage.getItem('kakou.locked')").await;
    // What another tab could see between two of the writes: a desk that is open, and that nobody has touched for long.
    let watch = "window.openAndIdle = false; for (const name of ['setItem', 'removeItem']) {
        const real = Storage.prototype[name];
        Storage.prototype[name] = function (...of) {
            real.apply(this, of);
            const locked = localStorage.getItem('kakou.locked') === LATE && localStorage.getItem('kakou.unlocked') === BEFORE;
            if (!locked && localStorage.getItem('kakou.touched') === '1') window.openAndIdle = true;
        }; }";
    let before = b.js("return localStorage.getItem('kakou.unlocked')").await;
    b.js(&watch.replace("LATE", &late.to_string()).replace("BEFORE", &before.to_string())).await;
    b.click("lock-open").await;
    b.type_into("lock-pin", PIN).await;
    b.click("lock-ok").await;
    b.find("desk[data-locked=\"false\"]").await;
    assert_eq!(b.js("return window.openAndIdle").await, false);
    // Another tab locks as it had seen the desk before.
    b.js(&format!("localStorage.setItem('kakou.locked', {late})")).await;
    b.present("school-1", "pupil-green").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.find("desk[data-locked=\"false\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_keeps_no_desk_open() {
    let Some(b) = browser().await else { return };
    // An address that says nothing about it sets nothing.
    b.open("/desk/school-1?lock=").await;
    b.find("signin-officer-li").await;
    assert_eq!(b.js("return localStorage.getItem('kakou.lock_min')").await, Value::Null);
    b.sign_in("school-1", "li").await;
    b.find("desk[data-view=\"work\"]").await;
    b.open("/desk/school-1?lock=0.1").await;
    b.find("desk[data-view=\"work\"]").await;
    // Somebody was there a moment ago.
    b.js("dispatchEvent(new PointerEvent('pointerdown')); const now = Date.now.bind(Date); Date.now = () => now() - 3 * 3600000").await;
    b.find("lock-open").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pressed_again_after_no_answer_is_done_once() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.find("ask[data-kind=\"scan\"]").await;
    // The answer to the first act is lost on its way.
    let lose = "window.sent = []; const real = window.fetch; window.fetch = async (url, options) => {
        const answer = await real(url, options);
        if (!String(url).endsWith('/actions')) return answer;
        window.sent.push(JSON.parse(options.body).id ?? null);
        if (window.sent.length === 1) throw new TypeError('lost');
        return answer;
    }";
    b.js(lose).await;
    b.click("enter-open").await;
    b.type_into("enter-text", "P-0001").await;
    b.click("enter-ok").await;
    wait_for("the loss", async || b.words("enter-error").await.contains("网关没有应答")).await;
    b.click("enter-ok").await;
    b.gone("enter-dialog").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.click("enter-open").await;
    b.type_into("enter-text", "P-0001").await;
    b.click("enter-ok").await;
    b.until("the third", "return window.sent.length === 3").await;
    let same = "const [one, two, three] = window.sent; return [one === two, two === three, /^[0-9a-f]{32}$/.test(three)]";
    assert_eq!(b.js(same).await, json!([true, false, true]));
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_question_is_drawn_anew_for_whoever_signs_in() {
    let Some(b) = browser().await else { return };
    b.sign_in("truck-1", "zhao").await;
    b.truck_to_approval().await;
    b.find("approve-yes").await;
    // Another page of this browser signs a guard in, who may not approve.
    let other = "const done = arguments[0]; fetch('/api/v1/session', { method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ officer: 'li', pin: '2468' }) }).then((r) => {
            localStorage.setItem('kakou.session', `li ${Date.now()}`);
            dispatchEvent(new StorageEvent('storage', { key: 'kakou.session', newValue: 'li 1' }));
            done(r.status); })";
    assert_eq!(b.driver.execute_async(other, vec![]).await.unwrap().json(), &json!(200));
    b.find("approve-other").await;
    assert!(b.words("officer").await.contains("李敏"));
    b.picture("approve-other-officer").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_and_a_seal_number_are_typed_without_a_keyboard() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.find("ask[data-kind=\"scan\"]").await;
    let asked = b.js("return 'wakeLock' in navigator").await;
    assert_eq!(asked, true, "a page on this machine may keep its screen on");
    b.click("search-open").await;
    b.find("search-keys").await;
    // Open from the beginning where there is no mouse.
    b.js("document.querySelector('[data-testid=search-keys]').parentElement.open = true").await;
    for key in ["Z", "H", "X", "M", "M", "back"] {
        b.click(&format!("search-key-{key}")).await;
    }
    b.click("search-ok").await;
    b.find("search-result-P-0001").await;
    for (width, height) in [(1024, 600), (844, 390), (390, 844)] {
        b.size(width, height).await;
        b.picture(&format!("search-keys-{width}")).await;
    }
    b.size(1024, 600).await;
    b.click("dialog-close").await;

    b.open("/desk/truck-1").await;
    b.truck_to_approval().await;
    b.click("approve-officer-zhao").await;
    b.type_into("approve-pin", PIN).await;
    b.click("approve-ok").await;
    b.find("ask[data-kind=\"seal\"]").await;
    b.find("seal-keys").await;
    b.js("document.querySelector('[data-testid=seal-keys]').parentElement.open = true").await;
    b.picture("seal-keys-1024").await;
    // Into the first field, and then into the one that was chosen.
    for field in ["seal-first", "seal-second"] {
        b.click(field).await;
        for key in ["L", "N", "1", "2", "3", "4", "5", "6"] {
            b.click(&format!("seal-key-{key}")).await;
        }
    }
    b.find("seal-match[data-match=\"true\"]").await;
    let typed =
        "return ['first', 'second'].map((n) => document.querySelector(`[data-testid=seal-${n}]`).value)";
    assert_eq!(b.js(typed).await, json!(["LN123456", "LN123456"]));
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_waits_for_its_neighbours_says_so_on_the_status_page() {
    let Some(b) = browser().await else { return };
    // The demo has no neighbours: what the page reads says that it waits for two.
    let told = "const read = JSON.parse; JSON.parse = (text, ...more) => {
        const value = read(text, ...more);
        if (value?.uses) value.uses.waits_for = ['gw-2', 'gw-7'];
        return value; }";
    let at_load = json!({ "source": told });
    b.driver.cdp().send_raw("Page.addScriptToEvaluateOnNewDocument", at_load).await.unwrap();
    b.open("/status").await;
    let row = b.words("status-uses[data-state=\"waiting\"]").await;
    assert!(row.contains("gw-2, gw-7") && row.contains("单次通行证"), "{row}");
    for (width, height) in [(1024, 600), (844, 390), (390, 844)] {
        b.size(width, height).await;
        b.picture(&format!("status-waits-{width}")).await;
    }
    b.click("lang").await;
    b.until("English", "return document.querySelector('[data-testid=status-uses]').textContent.includes('Waits for its neighbours')").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_takes_a_second_tap_that_is_meant() {
    let Some(b) = browser().await else { return };
    b.sign_in("truck-1", "zhao").await;
    b.truck_to_approval().await;
    b.until(
        "a question that takes taps",
        "return document.querySelector('#ask').dataset.fresh === undefined",
    )
    .await;
    let acts = "window.acts = 0; const real = window.fetch; window.fetch = (url, options) => {
        if (String(url).endsWith('/actions')) window.acts += 1;
        return real(url, options); };
        const no = document.querySelector('[data-testid=approve-no]'); no.click(); no.click(); return window.acts";
    assert_eq!(b.js(acts).await, 0, "a double tap refuses nothing");
    assert!(b.words("approve-no[data-armed]").await.contains("确认"));
    b.picture("approve-armed").await;
    // Pressed until it counts, as somebody does who means it.
    wait_for("the refusal", async || {
        b.js("document.querySelector('[data-testid=approve-no]')?.click()").await;
        b.js("return window.acts").await == 1
    })
    .await;
    b.find("verdict").await;
    b.end().await;
}
