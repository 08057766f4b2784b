//! A lane that asks by a form: the main path, an override, the keyboard alone, the other language; what is wrong is said
//! beside its field, and nothing private stays in the browser.

use super::*;
use kakou_tests::passes;
use serde_json::json;

/// Whoever has no code is registered at the desk; what is bought is asked of everybody.
const PROFILE: &str = r#"
id = "counter"
title = { zh = "购药登记", en = "Counter" }
direction = "through"
fail_mode = "ADMIT"
same_read_s = 0
same_result_s = 0
show_verdict_s = 5

[start]
on = ["scan", "desk"]

[verdicts]
C_UNKNOWN = "ADMIT"

[[step]]
kind = "scan"
device = "scanner"
accepts = ["opaque"]
prompt = { zh = "请出示证件", en = "Show your card" }

[[step]]
kind = "form"
id = "person"
title = { zh = "人员登记", en = "Person" }
prompt = { zh = "请登记姓名、证件号和电话", en = "Enter name, id number and phone" }
when = 'visit.origin == "desk"'
fields = [
  { id = "name", type = "text", zh = "姓名", en = "Name", required = true, private = true },
  { id = "id_number", type = "id", zh = "证件号", en = "Id number", private = true, subject = true },
  { id = "phone", type = "phone", zh = "电话", en = "Phone", required = true, private = true },
]

[[step]]
kind = "form"
id = "purchase"
title = { zh = "购药", en = "Purchase" }
prompt = { zh = "请登记药品", en = "Enter what is bought" }
fields = [
  { id = "buyer", type = "choice", zh = "为谁购买", en = "For whom", required = true, options = [
    { value = "self", zh = "本人", en = "Self" }, { value = "proxy", zh = "代购", en = "Somebody else" } ] },
  { id = "patient", type = "text", zh = "用药人", en = "Patient", private = true, required = 'answers.buyer == "proxy"' },
  { id = "symptoms", type = "choice", zh = "症状", en = "Symptoms", required = true, options = [
    { value = "none", zh = "无", en = "None" }, { value = "fever", zh = "发热", en = "Fever" }, { value = "cough", zh = "咳嗽", en = "Cough" } ] },
  { id = "qty", type = "number", zh = "数量", en = "Packs", required = true, min = 1, max = 5 },
]

[[step]]
kind = "verify"
lists = ["hold"]

[[step]]
kind = "decide"
rules = [{ code = "H_SYMPTOM", when = 'answers.symptoms != "none"' }]
"#;

/// The lane with its desk; the scanner is not there.
fn counter(folder: &Path) -> Gateway {
    let plan = Plan { http: true, tables: officers(), ..Plan::default() };
    let gateway = Gateway::prepare(folder, plan.lane("counter-1", "counter.toml", &["scanner"]));
    std::fs::write(folder.join("counter.toml"), PROFILE).unwrap();
    passes::list(&gateway.lists(), "hold", serde_json::Map::new());
    gateway
}

async fn at_the_counter(folder: &Path) -> Option<(Gateway, Browser)> {
    if no_browser() {
        return None;
    }
    let mut gateway = tokio::task::block_in_place(|| counter(folder));
    tokio::task::block_in_place(|| gateway.start());
    let base = gateway.url("").trim_end_matches('/').to_owned();
    let b = browse(base, Process(Command::new("true").spawn().unwrap())).await;
    b.sign_in("counter-1", "li").await;
    Some((gateway, b))
}

/// The row of the visit that ended last.
async fn last(b: &Browser, outcome: &str) {
    b.find(&format!("last-visit[data-final=\"{outcome}\"]")).await;
}

impl Browser {
    /// Waits until a new question takes taps and keys.
    pub(super) async fn settled(&self, form: &str) {
        self.find(&format!("ask[data-kind=\"form\"][data-id=\"{form}\"]")).await;
        self.until("taps", "return document.querySelector('#ask').dataset.fresh === undefined").await;
    }
    /// Taps what may lie below what is seen of a form: a thumb moves it up first.
    pub(super) async fn reach(&self, testid: &str) {
        self.find(testid).await;
        let up =
            format!("document.querySelector('[data-testid={testid}]').scrollIntoView({{ block: 'center' }})");
        self.js(&up).await;
        self.click(testid).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_no_code_is_registered_and_what_is_wrong_stands_beside_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut gateway, b)) = at_the_counter(folder.path()).await else { return };
    b.click("start-open").await;
    b.settled("person").await;
    b.picture("form-person").await;
    b.type_into("input-name", "张三丰").await;
    // The check digit is looked at as soon as the number is whole.
    b.type_into("input-id_number", "211402199003070018").await;
    assert!(b.text("field-fault-id_number").await.contains("证件号"));
    b.click("form-ok").await;
    assert!(b.text("field-fault-phone").await.contains("请填写"), "what is missing is said where it is");
    b.picture("form-person-wrong").await;
    b.find("input-id_number").await.clear().await.unwrap();
    b.type_into("input-id_number", "211402199003070019").await;
    b.type_into("input-phone", "13912345678").await;
    let kept = b.js("return JSON.stringify(sessionStorage) + JSON.stringify(localStorage)").await.to_string();
    assert!(!kept.contains("张三丰") && !kept.contains("2114021990") && !kept.contains("139123"), "{kept}");
    b.click("form-ok").await;
    b.settled("purchase").await;
    // A field that an answer calls for comes with that answer.
    assert_eq!(
        b.js("return document.querySelector('[data-testid=field-patient]').checkVisibility()").await,
        false
    );
    b.click("buyer-proxy").await;
    b.until("the patient", "return document.querySelector('[data-testid=field-patient]').checkVisibility()")
        .await;
    b.type_into("input-patient", "李四").await;
    b.reach("symptoms-none").await;
    b.reach("qty-2").await;
    b.picture("form-purchase").await;
    b.click("form-ok").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    assert!(b.text("visit-name").await.contains("张*"));
    b.picture("form-admit").await;
    last(&b, "ADMIT").await;
    let sold = gateway.events("transaction");
    assert_eq!(sold[0]["data"]["outcome"], "ADMIT");
    let told = serde_json::to_string(&sold).unwrap();
    assert!(!told.contains("张三丰") && !told.contains("李四") && !told.contains("13912345678"), "{told}");
    b.end().await;
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_filled_in_by_the_keyboard_alone() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut gateway, b)) = at_the_counter(folder.path()).await else { return };
    b.find("ask[data-kind=\"scan\"]").await;
    b.key(Key::F8).await;
    b.settled("person").await;
    let script = "document.querySelector('[data-testid=input-name]').focus()";
    b.js(script).await;
    let typed = |text: &str| b.driver.action_chain().send_keys(text).send_keys(Key::Enter);
    typed("Zhang San").perform().await.unwrap();
    b.until("the next field", "return document.activeElement.id === 'input-id_number'").await;
    typed("211402199003070019").perform().await.unwrap();
    b.until("the last field", "return document.activeElement.id === 'input-phone'").await;
    typed("13912345678").perform().await.unwrap();
    b.settled("purchase").await;
    // Number keys choose in the first group that waits, one after another.
    for (key, done) in [("1", "buyer-self"), ("1", "symptoms-none"), ("3", "qty-3")] {
        wait_for(done, async || {
            b.driver.action_chain().send_keys(key).perform().await.unwrap();
            let css = css(&format!("{done}[aria-checked=\"true\"]"));
            let chosen = b
                .driver
                .query(By::Css(css.as_str()))
                .wait(Duration::from_millis(600), Duration::from_millis(50));
            chosen.exists().await.unwrap_or(false)
                || b.driver.find(By::Css("[data-testid=verdict]")).await.is_ok()
        })
        .await;
    }
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    assert_eq!(gateway.events("transaction").len(), 1);
    b.end().await;
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_speaks_the_other_language_and_what_was_typed_stays() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut gateway, b)) = at_the_counter(folder.path()).await else { return };
    b.click("start-open").await;
    b.settled("person").await;
    b.type_into("input-name", "张三丰").await;
    assert!(b.text("field-name").await.starts_with("姓名"));
    b.click("lang").await;
    wait_for("English", async || b.text("field-name").await.starts_with("Name")).await;
    assert_eq!(b.find("input-name").await.prop("value").await.unwrap().as_deref(), Some("张三丰"));
    b.picture("form-english").await;
    for (width, height) in [(1024, 768), (1280, 800), (390, 844)] {
        b.size(width, height).await;
        b.picture(&format!("form-{width}")).await;
        let wide = "return document.documentElement.scrollWidth > innerWidth || [...document.querySelectorAll('#ask *')].some((one) => one.getBoundingClientRect().right > innerWidth + 1)";
        assert_eq!(b.js(wide).await, false, "{width}x{height}");
    }
    b.end().await;
    gateway.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_form_has_stopped_is_overridden_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut gateway, b)) = at_the_counter(folder.path()).await else { return };
    b.click("enter-open").await;
    b.type_into("enter-text", "R-0101").await;
    b.click("enter-ok").await;
    b.settled("purchase").await;
    b.click("buyer-self").await;
    b.reach("symptoms-fever").await;
    b.reach("qty-1").await;
    b.click("form-ok").await;
    b.find("verdict[data-outcome=\"REFER\"]").await;
    b.picture("form-refer").await;
    b.click("override-open").await;
    b.click("override-outcome-ADMIT").await;
    b.click("override-reason-clinical_thermometer").await;
    b.type_into("override-pin", "2468").await;
    b.click("override-ok").await;
    b.find("verdict[data-final=\"ADMIT\"]").await;
    let signed = gateway.events("override");
    assert_eq!(signed[0]["data"]["officer"], json!("li"));
    b.end().await;
    gateway.stop();
}
