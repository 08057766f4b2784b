//! The screens in a real browser: the main path of each lane by clicks and keys, an override, a
//! photograph taken again, the other language, the network lost and back. Pictures are kept under
//! `target/screens`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "screens/axe.rs"]
mod axe;
#[path = "screens/console.rs"]
mod console;
#[path = "screens/fleet.rs"]
mod fleet;
#[path = "screens/forms.rs"]
mod forms;
#[path = "screens/guarded.rs"]
mod guarded;
#[path = "screens/jobs.rs"]
mod jobs;
#[path = "screens/lanes.rs"]
mod lanes;
#[path = "screens/notices.rs"]
mod notices;
#[path = "screens/officers.rs"]
mod officers;
#[path = "screens/packs.rs"]
mod packs;
#[path = "screens/sheet.rs"]
mod sheet;
#[path = "screens/shift.rs"]
mod shift;
#[path = "screens/staff.rs"]
mod staff;
#[path = "screens/waits.rs"]
mod waits;

use kakou_tests::brokers::skip_without;
use kakou_tests::daemon::{Gateway, Plan, free_port, programs};
use kakou_tests::desk::officers;
use kakou_tests::profiles;
use kakou_tests::wait;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use thirtyfour::prelude::*;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Browser {
    driver: WebDriver,
    base: String,
    demo: Process,
    _chromedriver: Process,
    _profile: tempfile::TempDir,
}

const LIMIT: Duration = Duration::from_secs(60);

/// The demo, when it has said where it is: a card that is shown before is judged without lists.
fn start_demo(port: u16) -> Process {
    let mut child = Command::new(programs().join("kakou"))
        .args(["demo", "--port", &port.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let child = Process(child);
    let (greets, greeted) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok).filter(|line| line.contains("/demo")) {
            drop(greets.send(line));
        }
    });
    assert!(greeted.recv_timeout(LIMIT).is_ok(), "the demo does not begin");
    child
}

fn no_browser() -> bool {
    let there = Path::new("/usr/bin/chromedriver").exists() && Path::new("/usr/bin/chromium").exists();
    skip_without("chromium with chromium-driver", there)
}

/// A browser before the demo.
async fn browser() -> Option<Browser> {
    if no_browser() {
        return None;
    }
    let port = free_port();
    Some(browse(format!("http://127.0.0.1:{port}"), start_demo(port)).await)
}

/// A browser before something that runs already.
async fn browse(base: String, demo: Process) -> Browser {
    browse_with(base, demo, &[]).await
}

/// The same with more arguments for the browser.
async fn browse_with(base: String, demo: Process, more: &[&str]) -> Browser {
    let driver_port = free_port();
    let chromedriver = Command::new("/usr/bin/chromedriver")
        .arg(format!("--port={driver_port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let chromedriver = Process(chromedriver);
    wait::until("chromedriver", LIMIT, || TcpStream::connect(("127.0.0.1", driver_port)).ok());
    let profile = tempfile::tempdir().unwrap();
    let mut wishes = DesiredCapabilities::chrome();
    wishes.set_binary("/usr/bin/chromium").unwrap();
    let profile_argument = format!("--user-data-dir={}", profile.path().display());
    for argument in [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // The window of a kiosk has no bars; here they take 139 of 739 pixels.
        "--window-size=1024,739",
        profile_argument.as_str(),
    ]
    .iter()
    .chain(more)
    {
        wishes.add_arg(argument).unwrap();
    }
    let driver = WebDriver::new(format!("http://127.0.0.1:{driver_port}"), wishes).await.unwrap();
    Browser { driver, base, demo, _chromedriver: chromedriver, _profile: profile }
}

fn pictures() -> PathBuf {
    let folder = programs().parent().unwrap().join("screens");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A test id, perhaps with further attributes, as a CSS selector.
fn css(selector: &str) -> String {
    let (id, rest) = selector.split_at(selector.find('[').unwrap_or(selector.len()));
    format!("[data-testid=\"{id}\"]{rest}")
}

impl Browser {
    async fn open(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.base)).await.unwrap();
    }
    async fn picture(&self, name: &str) {
        self.driver.screenshot(&pictures().join(format!("{name}.png"))).await.unwrap();
    }
    /// Ends the test with a picture that bears its name.
    async fn failed(&self, what: &str) -> ! {
        let test = std::thread::current().name().unwrap_or("failed").replace("::", "-");
        self.picture(&format!("failed-{test}")).await;
        panic!("{what}; see target/screens/failed-{test}.png")
    }
    /// Waits for an element, by its test id and further attributes.
    async fn find(&self, selector: &str) -> WebElement {
        let css = css(selector);
        let found =
            self.driver.query(By::Css(css.as_str())).wait(LIMIT, Duration::from_millis(30)).first().await;
        match found {
            Ok(element) => element,
            Err(e) => self.failed(&format!("{css} did not appear ({e})")).await,
        }
    }
    /// Clicks as soon as the element takes a click: a screen may be drawn anew at any moment.
    async fn click(&self, selector: &str) {
        self.find(selector).await;
        wait_for(selector, async || match self.driver.find(By::Css(css(selector).as_str())).await {
            Ok(element) => element.click().await.is_ok(),
            Err(_) => false,
        })
        .await;
    }
    async fn type_into(&self, selector: &str, text: &str) {
        self.find(selector).await.send_keys(text).await.unwrap();
    }
    /// A control of the demo, as its page sends it.
    async fn demo(&self, path: &str, body: serde_json::Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
        let url = format!("{}/api/v1/demo/{path}", self.base);
        let sent =
            tokio::task::spawn_blocking(move || agent.post(&url).send_json(body).map(drop)).await.unwrap();
        sent.unwrap();
    }
    async fn present(&self, lane: &str, card: &str) {
        self.demo("present", serde_json::json!({ "lane": lane, "card": card })).await;
    }
    async fn sign_in(&self, lane: &str, officer: &str) {
        self.open(&format!("/desk/{lane}")).await;
        self.click(&format!("signin-officer-{officer}")).await;
        self.type_into("pin", "2468").await;
        self.click("pin-ok").await;
        // The part is there before anybody has signed in: only its question says that the session has begun.
        self.find("desk[data-view=\"work\"]").await;
        self.find("ask[data-kind]").await;
    }
    async fn text(&self, selector: &str) -> String {
        self.words(selector).await
    }
    async fn gone(&self, selector: &str) {
        let css = css(selector);
        wait_for(&format!("{selector} away"), async || {
            self.driver.find(By::Css(css.as_str())).await.is_err()
        })
        .await;
    }
    async fn end(self) {
        let Self { driver, demo, .. } = self;
        driver.quit().await.unwrap();
        drop(demo);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn school_gate_with_override_language_and_network() {
    let Some(mut b) = browser().await else { return };
    b.open("/lane/school-1").await;
    b.find("prompt").await;
    b.picture("school-idle").await;
    b.present("school-1", "pupil-green").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    assert!(b.text("name").await.contains("张*"));
    b.picture("school-admit").await;
    b.find("prompt").await;

    b.sign_in("school-1", "li").await;
    b.present("school-1", "pupil-late").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.picture("school-hold-desk").await;
    b.click("override-open").await;
    b.click("override-outcome-ADMIT").await;
    b.click("override-reason-paper_seen").await;
    b.type_into("override-pin", "2468").await;
    b.picture("school-override").await;
    b.click("override-ok").await;
    b.find("verdict[data-final=\"ADMIT\"]").await;
    wait_for("the officer's name beside the override", async || b.text("overridden").await.contains("李敏"))
        .await;
    b.picture("school-overridden").await;

    let before = b.text("lang").await;
    b.click("lang").await;
    wait_for("the other language", async || b.text("lang").await != before).await;
    b.picture("school-other-language").await;

    b.demo("network", serde_json::json!({ "up": false })).await;
    b.find("banner-offline").await;
    b.present("school-1", "pupil-green-2").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.picture("school-offline").await;
    b.demo("network", serde_json::json!({ "up": true })).await;
    b.open("/status").await;
    b.find("status-upstream[data-state=\"online\"]").await;
    let work = b.text("st_devices-words").await;
    let counts: Vec<&str> = work.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).collect();
    assert!(counts.len() == 2 && counts[0] == counts[1], "devices are counted as those that work: {work}");
    b.picture("status").await;
    b.open("/demo").await;
    b.find("card-pupil-green").await;
    b.picture("demo").await;

    // The gateway itself goes away: no verdict stays, the page says so.
    b.open("/lane/school-1").await;
    b.present("school-1", "pupil-yellow").await;
    b.find("verdict[data-outcome=\"REFER\"]").await;
    b.picture("school-refer").await;
    let port = b.base.rsplit(':').next().unwrap().parse().unwrap();
    drop(b.demo);
    b.demo = Process(Command::new("true").spawn().unwrap());
    b.find("banner-lost").await;
    assert!(b.driver.find(By::Css(css("verdict").as_str())).await.is_err(), "no verdict stays");
    b.picture("school-lost").await;
    b.demo = start_demo(port);
    wait_for("the gateway back on the screen", async || {
        b.driver.find(By::Css(css("banner-lost").as_str())).await.is_err()
    })
    .await;
    b.find("prompt").await;
    b.picture("school-back").await;
    b.end().await;
}

/// Looks until it is so.
async fn wait_for(name: &str, mut what: impl AsyncFnMut() -> bool) {
    let looked = async {
        while !what().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, looked).await.is_ok(), "{name} did not happen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truck_with_a_photograph_taken_again() {
    let Some(b) = browser().await else { return };
    b.sign_in("truck-1", "zhao").await;
    b.present("truck-1", "truck-ok").await;
    b.click("photo-accept").await;
    b.find("ask[data-kind=\"question\"][data-id=\"plate\"]").await;
    // The plate is read from the photograph: it stays in sight, and what the pass says does not.
    let photo = b.find("plate-photo").await;
    wait_for("the photograph of the plate", async || {
        photo.prop("naturalWidth").await.unwrap().is_some_and(|w| w != "0")
    })
    .await;
    assert!(photo.rect().await.unwrap().width > 400.0, "large enough to read");
    let page = b.driver.find(By::Css("body")).await.unwrap().text().await.unwrap();
    assert!(!page.contains("P12345"), "the plate of the pass: {page}");
    b.picture("truck-plate-region").await;
    b.type_into("answer-input", "辽P12345").await;
    b.picture("truck-plate").await;
    b.click("answer-ok").await;
    b.click("answer-2").await;
    b.find("ask[data-kind=\"seal\"]").await;
    b.type_into("seal-first", "LN0045678").await;
    b.type_into("seal-second", "LN0045678").await;
    // Nothing is chosen for the officer.
    b.find("seal-door-rear[aria-checked=\"false\"]").await;
    b.click("seal-ok").await;
    assert!(b.text("error").await.contains("请选择位置和类型"));
    b.click("seal-door-rear").await;
    b.click("seal-kind-bolt").await;
    b.find("seal-kind-bolt[aria-checked=\"true\"]").await;
    b.picture("truck-seal").await;
    b.demo("camera", serde_json::json!({ "lane": "truck-1", "look": "dark" })).await;
    b.click("seal-ok").await;
    b.find("photo-reason").await;
    // The picture that was refused is what the officer sees, and no broken one.
    let refused = b.find("photo-closeup").await;
    wait_for("the refused photograph", async || {
        refused.prop("naturalWidth").await.unwrap().is_some_and(|w| w != "0")
    })
    .await;
    b.picture("truck-photo-dark").await;
    b.demo("camera", serde_json::json!({ "lane": "truck-1", "look": "good" })).await;
    b.click("photo-retake").await;
    b.click("photo-accept").await;
    b.find("ask[data-kind=\"photo\"]").await;
    b.picture("truck-photo").await;
    wait_for("the checks", async || {
        if let Ok(accept) = b.driver.find(By::Css("[data-testid=\"photo-accept\"]")).await {
            drop(accept.click().await);
        }
        b.driver.find(By::Css("[data-testid=\"ask\"][data-kind=\"confirm\"]")).await.is_ok()
    })
    .await;
    assert!(b.text("confirm-number").await.contains("LN0045678"));
    let photo = b.find("confirm-photo").await;
    wait_for("the close-up of the seal", async || {
        photo.prop("naturalWidth").await.unwrap().is_some_and(|w| w != "0")
    })
    .await;
    for check in ["view", "verify", "tug", "twist"] {
        b.click(&format!("check-{check}")).await;
    }
    b.picture("truck-confirm").await;
    b.click("confirm-ok").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.picture("truck-admit-desk").await;
    b.open("/lane/truck-1").await;
    b.picture("truck-lane").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn triage_by_keys() {
    let Some(b) = browser().await else { return };
    b.sign_in("triage-1", "chen").await;
    b.present("triage-1", "patient-green").await;
    for (question, key) in [("mask", "1"), ("travel", "1"), ("symptoms", "2")] {
        b.find(&format!("ask[data-kind=\"question\"][data-id=\"{question}\"]")).await;
        b.picture(&format!("triage-{question}")).await;
        // A key that comes while the screen is drawn anew is pressed again.
        wait_for("the next question", async || {
            b.driver.action_chain().send_keys(key).perform().await.unwrap();
            let css = format!("[data-testid=\"ask\"][data-id=\"{question}\"]");
            let gone = b
                .driver
                .query(By::Css(css.as_str()))
                .wait(Duration::from_millis(600), Duration::from_millis(50));
            gone.not_exists().await.unwrap_or(false)
        })
        .await;
    }
    b.find("verdict[data-outcome=\"REFER\"]").await;
    b.picture("triage-refer").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_double_tap_answers_once_and_nobody_acts_under_another_name() {
    let Some(b) = browser().await else { return };
    b.sign_in("triage-1", "chen").await;
    b.present("triage-1", "patient-green").await;
    b.find("ask[data-kind=\"question\"][data-id=\"mask\"]").await;
    b.click("answer-yes").await;
    b.find("ask[data-id=\"travel\"]").await;
    // As a browser tells of the second of two quick taps.
    let again = "document.querySelector('[data-testid=\"answer-yes\"]')
        .dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, detail: 2 }))";
    let count = "window.acts = 0; const real = window.fetch; window.fetch = (url, options) => {
        if (String(url).endsWith('/actions')) window.acts += 1;
        return real(url, options); }";
    b.driver.execute(count, vec![]).await.unwrap();
    b.driver.execute(again, vec![]).await.unwrap();
    // What a tap does, it does before the next line of a script.
    let acts = b.driver.execute("return window.acts", vec![]).await.unwrap();
    assert_eq!(acts.json(), &serde_json::json!(0));
    b.find("ask[data-id=\"travel\"]").await;

    // Another page of this browser signs somebody else in.
    let other = "const done = arguments[0]; fetch('/api/v1/session', { method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ officer: 'wang', pin: '1357' }) }).then((r) => done(r.status))";
    let status = b.driver.execute_async(other, vec![]).await.unwrap();
    assert_eq!(status.json(), &serde_json::json!(200));
    wait_for("the page names who is signed in", async || b.text("officer").await.contains("王")).await;
    b.picture("triage-other-officer").await;
    b.find("ask[data-id=\"travel\"]").await;
    b.click("answer-no").await;
    b.find("ask[data-id=\"symptoms\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_shown_again_is_never_green_and_the_desk_says_when_it_was_first_shown() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.picture("idle-desk").await;
    b.present("school-1", "pupil-green").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.gone("verdict").await;
    b.present("school-1", "pupil-green").await;
    let first = b.find("repeat").await;
    assert!(
        first.text().await.unwrap().contains("重复扫码")
            && first.text().await.unwrap().contains("本次未测温")
    );
    assert!(b.driver.find(By::Css(css("verdict").as_str())).await.is_err(), "no green on the desk");
    b.picture("repeat-desk").await;
    b.open("/lane/school-1").await;
    b.find("screen[data-look=\"repeat\"]").await;
    assert!(b.text("prompt").await.contains("已经登记过"));
    b.picture("repeat-public").await;
    b.find("screen[data-look=\"idle\"]").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_names_the_visit_it_falls_on_and_a_row_can_be_chosen() {
    let Some(b) = browser().await else { return };
    b.sign_in("school-1", "li").await;
    b.present("school-1", "pupil-late").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    b.present("school-1", "pupil-green").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.present("school-1", "pupil-green-2").await;
    b.find("last-visit[data-final=\"ADMIT\"]").await;
    // Two were admitted since; F4 takes the one that was not.
    b.click("override-open").await;
    let title = b.text("override-dialog").await;
    assert!(title.contains("王*") && title.contains("等候") && title.contains("检测结果超时"), "{title}");
    b.picture("override-title").await;
    b.click("dialog-close").await;
    b.gone("override-dialog").await;
    let mut id = String::new();
    wait_for("the row of the one who waits", async || {
        let row = b.find("last-visit[data-final=\"HOLD\"]").await;
        id = row.attr("data-visit").await.ok().flatten().unwrap_or_default();
        !id.is_empty()
    })
    .await;
    b.click(&format!("pick-{id}")).await;
    assert!(b.text("detail").await.contains("检测结果超时"));
    b.picture("override-detail").await;
    b.click("detail-override").await;
    b.click("override-outcome-DENY").await;
    b.click("override-reason-paper_seen").await;
    b.type_into("override-pin", "2468").await;
    b.click("override-ok").await;
    b.find("verdict[data-final=\"DENY\"]").await;
    b.gone("verdict").await;
    wait_for("the officer in the row", async || {
        b.text(&format!("pick-{id}")).await.contains("改判 李敏: 检测结果超时")
    })
    .await;
    b.picture("override-row").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_shown_while_another_person_is_measured_is_told_to_wait() {
    let Some(b) = browser().await else { return };
    b.sign_in("triage-1", "chen").await;
    b.demo("temperature", serde_json::json!({ "lane": "triage-1", "mdeg": 38_100 })).await;
    b.present("triage-1", "patient-green").await;
    b.find("reading-1").await;
    assert!(b.text("visit-name").await.contains("孙*"), "whose visit it is");
    b.present("triage-1", "patient-away").await;
    b.find("banner-other").await;
    b.picture("other-desk").await;
    b.open("/lane/triage-1").await;
    b.find("screen[data-look=\"working\"]").await;
    assert!(b.text("name").await.contains("孙*"));
    b.picture("measured-public").await;
    b.present("triage-1", "patient-away").await;
    b.find("screen[data-look=\"other\"]").await;
    // A word joiner keeps the star beside the character.
    assert!(b.text("prompt").await.replace('\u{2060}', "").contains("请稍候，正在为 孙* 测温"));
    b.picture("other-public").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_plates_that_differ_stand_side_by_side_and_an_override_stays_in_the_row() {
    let Some(b) = browser().await else { return };
    b.sign_in("truck-1", "zhao").await;
    b.present("truck-1", "truck-ok").await;
    b.click("photo-accept").await;
    b.find("plate-photo").await;
    b.type_into("answer-input", "辽P67890").await;
    b.click("answer-ok").await;
    b.click("answer-2").await;
    b.find("verdict[data-outcome=\"HOLD\"]").await;
    let compared = b.text("compare-plate").await;
    assert!(compared.contains("辽P12345") && compared.contains("辽P67890"), "{compared}");
    b.picture("truck-compare").await;
    b.click("override-open").await;
    b.click("override-outcome-ADMIT").await;
    b.click("override-reason-paper_seen").await;
    b.type_into("override-pin", "2468").await;
    b.click("override-ok").await;
    // While the visit goes on, the band says what it was changed to.
    b.find("verdict[data-outcome=\"HOLD\"][data-pending=\"ADMIT\"]").await;
    b.find("ask[data-kind=\"seal\"]").await;
    b.picture("truck-pending").await;
    b.end().await;
}

/// A gateway whose barrier and scanner are not there.
fn unplugged(folder: &Path) -> Gateway {
    let profile = profiles::lane("gate", &["opaque"], &[], "", true)
        .replace("same_read_s = 0\nsame_result_s = 0\n", "show_verdict_s = 5\n")
        .replace("kind = \"scan\"\n", "kind = \"scan\"\ndevice = \"scanner\"\n")
        // Nobody is known without a list; here whoever is typed goes in.
        .replace("[[step]]\nkind = \"scan\"", "[verdicts]\nC_UNKNOWN = \"ADMIT\"\n[[step]]\nkind = \"scan\"");
    let plan = Plan { http: true, tables: officers(), ..Plan::default() };
    let mut gateway = Gateway::prepare(folder, plan.lane("gate", "gate.toml", &["scanner", "barrier"]));
    std::fs::write(folder.join("gate.toml"), profile).unwrap();
    gateway.open();
    gateway
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_without_its_barrier_invites_nobody_and_says_at_once_that_it_did_not_open() {
    if no_browser() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = tokio::task::block_in_place(|| unplugged(folder.path()));
    let base = gateway.url("").trim_end_matches('/').to_owned();
    let b = browse(base, Process(Command::new("true").spawn().unwrap())).await;
    b.open("/lane/gate").await;
    b.find("screen[data-look=\"idle\"][data-ready=\"false\"]").await;
    assert!(b.text("prompt").await.contains("请找工作人员"));
    b.picture("unready-public").await;
    b.sign_in("gate", "li").await;
    b.find("lamp-barrier[data-state=\"bad\"]").await;
    assert!(b.text("banner-devices").await.contains("道闸"));
    b.picture("unready-desk").await;
    b.click("enter-open").await;
    b.type_into("enter-text", "P-1").await;
    b.click("enter-ok").await;
    b.find("barrier[data-state=\"failed\"]").await;
    b.find("step-actuate[data-state=\"failed\"]").await;
    b.picture("barrier-failed-desk").await;
    // It stays until somebody says what became of it.
    b.click("barrier-again").await;
    wait_for("the second failure", async || gateway.events("barrier_again").len() == 1).await;
    b.find("barrier[data-state=\"failed\"]").await;
    b.open("/lane/gate").await;
    b.find("screen[data-look=\"working\"]").await;
    assert!(b.driver.find(By::Css(css("verdict").as_str())).await.is_err(), "no green where nothing opened");
    b.picture("barrier-failed-public").await;
    b.open("/desk/gate").await;
    b.click("barrier-by-hand").await;
    b.gone("barrier").await;
    let by_hand = gateway.events("barrier_by_hand");
    assert_eq!(by_hand[0]["data"]["officer"], "li");
    b.find("last-visit").await;
    b.picture("barrier-by-hand-desk").await;
    b.end().await;
    gateway.stop();
}
