//! The screens in a real browser: the main path of each lane by clicks and keys, an override, a
//! photograph taken again, the other language, the network lost and back. Pictures are kept under
//! `target/screens`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_tests::brokers::skip_without;
use kakou_tests::daemon::{free_port, programs};
use kakou_tests::wait;
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

fn start_demo(port: u16) -> Process {
    let child = Command::new(programs().join("kakou"))
        .args(["demo", "--port", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait::until("the demo", LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok());
    Process(child)
}

async fn browser() -> Option<Browser> {
    let there = Path::new("/usr/bin/chromedriver").exists() && Path::new("/usr/bin/chromium").exists();
    if skip_without("chromium with chromium-driver", there) {
        return None;
    }
    let (port, driver_port) = (free_port(), free_port());
    let demo = start_demo(port);
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
    ] {
        wishes.add_arg(argument).unwrap();
    }
    let driver = WebDriver::new(format!("http://127.0.0.1:{driver_port}"), wishes).await.unwrap();
    let base = format!("http://127.0.0.1:{port}");
    Some(Browser { driver, base, demo, _chromedriver: chromedriver, _profile: profile })
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
    /// Waits for an element, by its test id and further attributes.
    async fn find(&self, selector: &str) -> WebElement {
        let css = css(selector);
        let found =
            self.driver.query(By::Css(css.as_str())).wait(LIMIT, Duration::from_millis(30)).first().await;
        match found {
            Ok(element) => element,
            Err(e) => {
                self.picture("failed").await;
                panic!("{css} did not appear ({e}); see target/screens/failed.png")
            }
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
        self.find("ask").await;
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
    assert!(b.find("name").await.text().await.unwrap().contains("张*"));
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
    wait_for("the officer's name beside the override", async || {
        b.find("overridden").await.text().await.unwrap_or_default().contains("李敏")
    })
    .await;
    b.picture("school-overridden").await;

    let before = b.find("lang").await.text().await.unwrap();
    b.click("lang").await;
    wait_for("the other language", async || b.find("lang").await.text().await.unwrap() != before).await;
    b.picture("school-other-language").await;

    b.demo("network", serde_json::json!({ "up": false })).await;
    b.find("banner-offline").await;
    b.present("school-1", "pupil-green-2").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.picture("school-offline").await;
    b.demo("network", serde_json::json!({ "up": true })).await;
    b.open("/status").await;
    b.find("status-upstream[data-state=\"online\"]").await;
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
    b.type_into("answer-input", "辽P12345").await;
    b.picture("truck-plate").await;
    b.click("answer-ok").await;
    b.click("answer-2").await;
    b.find("ask[data-kind=\"seal\"]").await;
    b.type_into("seal-first", "LN0045678").await;
    b.type_into("seal-second", "LN0045678").await;
    b.picture("truck-seal").await;
    b.demo("camera", serde_json::json!({ "lane": "truck-1", "look": "dark" })).await;
    b.click("seal-ok").await;
    b.find("photo-reason").await;
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
    b.driver.execute(again, vec![]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    b.find("ask[data-id=\"travel\"]").await;

    // Another page of this browser signs somebody else in.
    let other = "const done = arguments[0]; fetch('/api/v1/session', { method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ officer: 'wang', pin: '1357' }) }).then((r) => done(r.status))";
    let status = b.driver.execute_async(other, vec![]).await.unwrap();
    assert_eq!(status.json(), &serde_json::json!(200));
    b.click("answer-no").await;
    wait_for("the page names who is signed in", async || {
        b.find("error").await.text().await.unwrap_or_default().contains("王")
            && b.find("officer").await.text().await.unwrap_or_default().contains("王")
    })
    .await;
    b.picture("triage-other-officer").await;
    b.find("ask[data-id=\"travel\"]").await;
    b.click("answer-no").await;
    b.find("ask[data-id=\"symptoms\"]").await;
    b.end().await;
}
