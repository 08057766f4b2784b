//! A scanner is the only input: the main path of the pharmacy and a seal check by the codes of the printed sheet, signed
//! on by a staff badge; and a scanner that types at the desk.

use super::*;
use kakou_core::pass::trust::Usage;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use kakou_tests::passes;
use serde_json::{Map, Value, json};

/// A gateway with the shipped lanes, and who shows codes there.
struct Hand {
    gateway: Gateway,
    pharmacy: ScannerSim,
    seals: ScannerSim,
    badge: String,
    _devices: (ThermometerSim, RelaySim),
}

impl Hand {
    fn new(folder: &Path) -> Self {
        let li = officers().replace("id = \"li\"\n", "id = \"li\"\nbadge = \"W-0007\"\n");
        let plan = Plan { http: true, tables: li, ..Plan::default() };
        let plan = plan.lane("shop-1", "pharmacy", &["scanner", "thermometer"]);
        let plan = plan.lane("seal-1", "seal-check", &["scanner", "camera", "barrier"]);
        let mut gateway = Gateway::prepare(folder, plan);
        let issuer = passes::issuer();
        let badge = passes::pass(&issuer, "staff-badge", json!({ "id": "W-0007", "role": "guard" }));
        passes::trust(&gateway.lists(), vec![issuer.entry("works", &[Usage::StaffBadge])]);
        let one = |id: &str, entry: Value| Map::from_iter([(id.to_owned(), entry)]);
        for name in ["revocation", "hold"] {
            passes::list(&gateway.lists(), name, Map::new());
        }
        passes::list(&gateway.lists(), "status", one("R-0001", passes::healthy()));
        let record = json!({ "seals": ["LN0045678"], "from": "211400", "to": "210100", "sealed_at_ms": 1 });
        passes::list(&gateway.lists(), "seals", one("辽P12345", record));
        let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/demo/photos");
        std::fs::create_dir_all(gateway.device("seal-1", "camera")).unwrap();
        for name in ["closeup.jpg", "overall.jpg", "scene.jpg"] {
            std::fs::copy(photos.join("closeup.jpg"), gateway.device("seal-1", "camera").join(name)).unwrap();
        }
        let warm = Duration::from_millis(100);
        let thermometer =
            ThermometerSim::new(&gateway.device("shop-1", "thermometer"), 36_500, warm).unwrap();
        let relay = RelaySim::new(&gateway.device("seal-1", "barrier"), |_| {}).unwrap();
        let scanner =
            |lane: &str| ScannerSim::new(&gateway.device(lane, "scanner"), Faults::default(), 1).unwrap();
        let (pharmacy, seals) = (scanner("shop-1"), scanner("seal-1"));
        gateway.start();
        Self { gateway, pharmacy, seals, badge, _devices: (thermometer, relay) }
    }
}

/// Before a desk that somebody has signed in at, to look: no key and no tap follows.
async fn watched(folder: &Path, lane: &str) -> Option<(Hand, Browser)> {
    if no_browser() {
        return None;
    }
    let hand = tokio::task::block_in_place(|| Hand::new(folder));
    let base = hand.gateway.url("").trim_end_matches('/').to_owned();
    let b = browse(base, Process(Command::new("true").spawn().unwrap())).await;
    b.sign_in(lane, "zhao").await;
    Some((hand, b))
}

/// A code of the sheet; the page says that it was taken before the next one comes.
async fn code(b: &Browser, scanner: &mut ScannerSim, says: &str, shows: &str) {
    tokio::task::block_in_place(|| scanner.scan(&format!("KC1:{says}")).unwrap());
    wait_for(&format!("{says}: {shows}"), async || b.words("sheet").await.contains(shows)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_is_made_with_a_scanner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut hand, b)) = watched(folder.path(), "shop-1").await else { return };
    let scanner = &mut hand.pharmacy;
    let scan =
        |scanner: &mut ScannerSim, text: &str| tokio::task::block_in_place(|| scanner.scan(text).unwrap());
    scan(scanner, "R-0001");
    b.find("ask[data-kind=\"form\"][data-id=\"purchase\"]").await;
    code(&b, scanner, "SET:buyer:self", "请工作人员先扫工牌").await;
    b.sound("sheet-nobody").await;
    scan(scanner, &hand.badge);
    b.find("sheet[data-officer=\"li\"]").await;
    code(&b, scanner, "SET:buyer:self", "下一项：症状").await;
    code(&b, scanner, "SET:symptoms:none", "下一项：药品").await;
    code(&b, scanner, "SET:drug:cough", "下一项：数量").await;
    b.until(
        "the form",
        "return document.querySelector('[data-testid=drug-cough]').getAttribute('aria-checked') === 'true'",
    )
    .await;
    code(&b, scanner, "KEY:2", "2_").await;
    b.sound("sheet-form").await;
    code(&b, scanner, "CONFIRM", "扫“确认”提交").await;
    scan(scanner, "KC1:SIGN-OFF-NOT");
    code(&b, scanner, "BACK", "已退回一项").await;
    code(&b, scanner, "KEY:3", "3_").await;
    code(&b, scanner, "CONFIRM", "扫“确认”提交").await;
    scan(scanner, "KC1:SKIP");
    wait_for("a refusal", async || b.words("sheet").await.contains("没有待填的项")).await;
    scan(scanner, "KC1:CONFIRM");
    b.find("ask[data-kind=\"confirm\"]").await;
    code(&b, scanner, "SET:sale:identity", "还有1项").await;
    code(&b, scanner, "SET:sale:advice", "扫“确认”签署").await;
    b.sound("sheet-confirm").await;
    scan(scanner, "KC1:CONFIRM");
    b.find("last-visit[data-final=\"ADMIT\"]").await;
    let sold = hand.gateway.await_events("drug_purchase", 1);
    assert_eq!((sold[0]["data"]["drug"].as_str(), sold[0]["data"]["qty"].as_i64()), (Some("cough"), Some(3)));
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_is_checked_with_a_scanner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut hand, b)) = watched(folder.path(), "seal-1").await else { return };
    let scanner = &mut hand.seals;
    let scan =
        |scanner: &mut ScannerSim, text: &str| tokio::task::block_in_place(|| scanner.scan(text).unwrap());
    scan(scanner, &hand.badge);
    b.find("sheet[data-officer=\"li\"]").await;
    scan(scanner, "辽P12345");
    b.find("ask[data-kind=\"question\"][data-id=\"plate\"]").await;
    let mut typed = String::new();
    for key in "辽P12345".chars() {
        typed.push(key);
        code(&b, scanner, &format!("KEY:{key}"), &format!("{typed}_")).await;
    }
    b.sound("sheet-plate").await;
    scan(scanner, "KC1:CONFIRM");
    b.find("ask[data-kind=\"seal-check\"]").await;
    scan(scanner, "LN0045678");
    code(&b, scanner, "SET:door:rear", "还有位置或状态").await;
    code(&b, scanner, "SET:condition:intact", "下一个封条").await;
    b.sound("sheet-seals").await;
    scan(scanner, "KC1:CONFIRM");
    for _ in 0..2 {
        b.find("ask[data-kind=\"photo\"]").await;
        b.find("photo-accept").await;
        // Both photographs belong to one step: what is to be photographed tells which one it is.
        let before = b.words("ask").await;
        // The same code at once is one reading: another one lies between.
        scan(scanner, "KC1:NOTHING");
        scan(scanner, "KC1:CONFIRM");
        wait_for("what comes after the photograph", async || {
            b.words("ask").await.lines().next() != before.lines().next()
        })
        .await;
    }
    code(&b, scanner, "SET:purpose:onward", "扫“确认”提交").await;
    b.sound("sheet-purpose").await;
    scan(scanner, "KC1:CONFIRM");
    b.find("last-visit[data-final=\"ADMIT\"]").await;
    assert_eq!(hand.gateway.await_events("seal_verified", 1)[0]["data"]["seals"], json!(["LN0045678"]));
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scanner_that_types_at_the_desk_acts_for_whoever_is_signed_in_there_and_fills_in_no_field() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut hand, b)) = watched(folder.path(), "shop-1").await else { return };
    tokio::task::block_in_place(|| hand.pharmacy.scan("R-0001").unwrap());
    b.find("ask[data-kind=\"form\"][data-id=\"purchase\"]").await;
    b.until("taps", "return document.querySelector('#ask').dataset.fresh === undefined").await;
    b.click("buyer-proxy").await;
    b.find("input-patient").await.click().await.unwrap();
    // As quick as a scanner: keys in one task of the page.
    let burst = |text: &str| {
        format!(
            "for (const key of [...{text:?}, 'Enter']) {{ const at = document.activeElement; at.dispatchEvent(new KeyboardEvent('keydown', {{ key, bubbles: true, cancelable: true }})); if (at.matches('input') && key.length === 1) at.value += key; }}"
        )
    };
    b.js(&burst("KC1:SET:symptoms:none")).await;
    wait_for("what was scanned", async || b.words("sheet").await.contains("症状")).await;
    assert_eq!(b.js("return document.querySelector('[data-testid=input-patient]').value").await, "");
    b.sound("sheet-wedge").await;
    assert!(hand.gateway.events("audit").iter().all(|event| event["data"]["with"] != "badge"));
    b.end().await;
}
