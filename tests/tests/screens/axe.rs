//! What axe-core, an engine made by others for what everybody must be able to read and reach, finds on a screen.

use super::*;
use serde_json::json;
use std::fs::{self, File};
use std::sync::OnceLock;

const VERSION: &str = "4.14.1";

/// Serious findings of the rules of WCAG 2.2 A and AA and of good practice: the rule, and where.
const RUN: &str = r#"
    const done = arguments[0];
    const theme = document.documentElement.dataset.theme;
    const dark = async () => {
        document.documentElement.dataset.theme = theme === 'dark' ? 'light' : 'dark';
        try {
            return (await axe.run(document, { resultTypes: ['violations'], runOnly: ['color-contrast'] })).violations;
        } finally {
            if (theme) document.documentElement.dataset.theme = theme;
            else delete document.documentElement.dataset.theme;
        }
    };
    axe.run(document, { resultTypes: ['violations'] }).then(async (told) => done([...told.violations, ...await dark()]
        .filter((one) => one.impact === 'serious' || one.impact === 'critical')
        .map((one) => one.id + ': ' + one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' — '
            + [...node.any, ...node.all, ...node.none].map((check) => check.message).join('; ')).join(' | '))),
        (fault) => done([String(fault)]));
"#;

/// Its text. npm fetches it once into the build folder; where its registry cannot be reached, that is said.
fn text() -> Option<&'static str> {
    static TEXT: OnceLock<Option<String>> = OnceLock::new();
    TEXT.get_or_init(|| {
        let folder = programs().parent().unwrap().join("axe");
        fs::create_dir_all(&folder).unwrap();
        let one_at_once = File::create(folder.join("lock")).unwrap();
        one_at_once.lock().unwrap();
        let file = folder.join(VERSION).join("node_modules/axe-core/axe.min.js");
        if !file.exists() {
            let package = format!("axe-core@{VERSION}");
            let prefix = folder.join(VERSION);
            let mut npm = Command::new("timeout");
            npm.args(["60", "npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]);
            npm.args(["--ignore-scripts", "--no-save", "--prefix"]).arg(prefix).arg(package);
            let told = npm.stdin(Stdio::null()).output().unwrap();
            if !file.exists() {
                eprintln!("NOT RUN: axe-core cannot be fetched: {}", String::from_utf8_lossy(&told.stderr));
                return None;
            }
        }
        Some(fs::read_to_string(file).unwrap())
    })
    .as_deref()
}

impl Browser {
    /// Takes a picture of the screen, on which axe-core has no serious finding, in the light nor in the dark.
    pub(super) async fn sound(&self, name: &str) {
        self.picture(name).await;
        let Some(text) = tokio::task::block_in_place(text) else { return };
        self.driver.execute(&format!("if (!window.axe) {{ {text} }}"), vec![]).await.unwrap();
        let told = self.driver.execute_async(RUN, vec![]).await.unwrap();
        let faults = serde_json::to_string_pretty(told.json()).unwrap();
        assert_eq!(faults, "[]", "axe-core on {name}");
    }
}

impl Browser {
    /// Opens a page, waits for a part of it, and looks.
    async fn sound_page(&self, path: &str, there: &str, name: &str) {
        self.open(path).await;
        self.find(there).await;
        self.sound(name).await;
    }
    /// Opens a dialog of the desk, looks, and closes it.
    async fn sound_dialog(&self, button: &str, there: &str, name: &str) {
        self.click(button).await;
        self.find(there).await;
        self.sound(name).await;
        self.click("dialog-close").await;
        self.gone(there).await;
    }
    /// Switches a lane of the demo on: its gateway starts anew.
    pub(super) async fn switch_on(&self, lane: &str) {
        self.demo("lanes", json!({ "lane": lane })).await;
        wait_for(lane, async || {
            self.driver.goto(&self.base).await.is_ok()
                && self.driver.find(By::Css(css(&format!("lane-{lane}")).as_str())).await.is_ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axe_finds_nothing_serious_on_pages_dialogs_and_verdicts() {
    let Some(b) = browser().await else { return };
    for (path, there, name) in [
        ("/", "lane-school-1", "axe-home"),
        ("/demo", "card-pupil-green", "axe-demo"),
        ("/status", "status-clock", "axe-status"),
        ("/lane/school-1", "prompt", "axe-public"),
        ("/lane/er-1", "prompt", "axe-public-emergency"),
        ("/lane/nowhere", "banner-lost", "axe-public-unknown"),
        ("/desk/school-1", "signin-officer-li", "axe-signin"),
        ("/console", "signin-officer-li", "axe-console-signin"),
        ("/report", "signin-officer-li", "axe-report-signin"),
    ] {
        b.sound_page(path, there, name).await;
        if there == "signin-officer-li" {
            let pad = "return getComputedStyle(document.querySelector('.pad')).display === 'grid'";
            assert_eq!(b.js(pad).await, true, "the sign-in of {path} has the looks of all the others");
        }
    }
    b.open("/lane/school-1").await;
    b.find("prompt").await;
    for (card, outcome) in [("pupil-green", "ADMIT"), ("pupil-late", "HOLD"), ("pupil-red", "DENY")] {
        b.present("school-1", card).await;
        b.find(&format!("verdict[data-outcome=\"{outcome}\"]")).await;
        b.sound(&format!("axe-public-{outcome}")).await;
    }
    b.sign_in("school-1", "li").await;
    b.sound_page("/report", "report-sum", "axe-report").await;
    b.sound_page("/desk/school-1", "ask", "axe-desk").await;
    for (button, there, name) in [
        ("help-open", "help-H_RED", "axe-help"),
        ("enter-open", "enter-text", "axe-enter"),
        ("search-open", "search-name", "axe-search"),
        ("today-open", "today-find", "axe-today"),
        ("override-open", "override-pin", "axe-override"),
    ] {
        b.sound_dialog(button, there, name).await;
    }
    b.js("localStorage.setItem('kakou.touched', '1')").await;
    b.find("desk[data-locked=\"true\"]").await;
    b.sound("axe-locked").await;
    b.click("lock-open").await;
    b.find("lock-pin").await;
    b.sound("axe-unlock").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axe_finds_nothing_serious_at_the_console_with_rows_contacts_and_a_revocation() {
    let Some(b) = browser().await else { return };
    b.open("/lane/school-1").await;
    b.find("prompt").await;
    for card in ["pupil-green", "pupil-green-2"] {
        b.present("school-1", card).await;
        b.find("verdict").await;
        b.gone("verdict").await;
    }
    b.at_console("wang", "1357").await;
    b.sound("axe-console").await;
    b.type_into("purpose", "密接排查").await;
    b.click("form-ok").await;
    b.find("rows").await;
    b.sound("axe-console-rows").await;
    b.type_into("subject", "P-0001").await;
    b.js("const near = document.querySelector('[data-testid=near]'); near.value = '15';
        near.dispatchEvent(new Event('change', { bubbles: true }))")
        .await;
    b.click("form-ok").await;
    b.find("contacts").await;
    b.sound("axe-console-contacts").await;
    b.click("lang").await;
    b.sound("axe-console-contacts-en").await;
    b.size(390, 844).await;
    b.sound("axe-console-contacts-390").await;
    b.size(1024, 739).await;
    b.click("lang").await;
    for act in ["revoke", "review", "handover"] {
        b.click(&format!("act-{act}")).await;
        b.find(&format!("act-{act}[aria-pressed=\"true\"]")).await;
        b.sound(&format!("axe-console-{act}")).await;
    }
    b.click("act-revoke").await;
    b.type_into("purpose", "遗失").await;
    b.type_into("key", "P-0001").await;
    b.type_into("note", "家长报失").await;
    b.click("form-ok").await;
    b.find("console-done").await;
    b.sound("axe-console-revoked").await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn axe_finds_nothing_serious_at_pharmacy_sampling_desk_and_medical_waste() {
    let Some(b) = browser().await else { return };
    b.switch_on("sample-1").await;
    b.switch_on("waste-1").await;
    b.sign_in("shop-1", "li").await;
    b.present("shop-1", "buyer").await;
    b.settled("purchase").await;
    b.sound("axe-pharmacy").await;
    for field in ["buyer-self", "symptoms-none", "drug-cough", "qty-1"] {
        b.reach(field).await;
    }
    b.reach("form-ok").await;
    b.ready("confirm").await;
    b.sound("axe-pharmacy-confirm").await;

    b.open("/desk/sample-1").await;
    b.find("ask[data-kind=\"scan\"]").await;
    b.sound("axe-sampling").await;
    b.present("sample-1", "sample-person").await;
    b.ready("confirm").await;
    b.sound("axe-sampling-who").await;
    b.click("check-same").await;
    b.click("confirm-ok").await;
    b.settled("tube").await;
    b.sound("axe-sampling-tube").await;
    b.open("/lane/sample-1").await;
    b.find("screen[data-look=\"working\"]").await;
    b.sound("axe-sampling-public").await;

    b.open("/desk/waste-1").await;
    b.find("ask[data-kind=\"scan\"]").await;
    b.present("waste-1", "bag-1").await;
    b.find("ask[data-kind=\"form\"]").await;
    b.settled("waste").await;
    b.sound("axe-waste").await;
    b.type_into("input-source", "ICU").await;
    b.reach("type-infectious").await;
    b.reach("form-ok").await;
    b.ready("photo").await;
    b.find("photo-accept").await;
    b.sound("axe-waste-photo").await;
    b.click("photo-accept").await;
    b.ready("confirm").await;
    b.sound("axe-waste-signatures").await;
    b.end().await;
}
