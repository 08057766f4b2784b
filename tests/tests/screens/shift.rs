//! What staff look back at, and a lane to practise on: the own numbers, the report of the day, the screens that say that
//! nothing opens.

use super::*;
use kakou_tests::passes;
use serde_json::Map;

/// A lane that asks one question, and the same to practise on.
fn two_lanes(folder: &Path) -> Gateway {
    let question = "[[step]]\nkind = \"question\"\nid = \"mask\"\nprompt = { zh = \"戴口罩了吗？\", en = \"Mask?\" }\n\
                    options = [{ value = \"yes\", zh = \"是\", en = \"Yes\" }, { value = \"no\", zh = \"否\", en = \"No\" }]\n";
    let profile = profiles::lane("gate", &["opaque"], &["status"], question, false);
    let plan = Plan { http: true, tables: officers(), ..Plan::default() };
    let plan = plan.lane("gate-1", "gate.toml", &["scanner"]).lane("gate-2", "gate.toml", &["scanner"]);
    let gateway = Gateway::prepare(folder, plan);
    std::fs::write(folder.join("gate.toml"), profile).unwrap();
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let practised = config.replace("id = \"gate-2\"\n", "id = \"gate-2\"\ntraining = true\n");
    assert_ne!(practised, config);
    std::fs::write(gateway.config(), practised).unwrap();
    passes::list(&gateway.lists(), "status", Map::from_iter([("R-0001".to_owned(), passes::healthy())]));
    gateway
}

impl Browser {
    /// Somebody without a card is typed in, and the question is answered.
    async fn visit(&self) {
        self.click("enter-open").await;
        self.type_into("enter-text", "R-0001").await;
        self.click("enter-ok").await;
        self.find("ask[data-kind=\"question\"]").await;
        self.until("taps", "return document.querySelector('#ask').dataset.fresh === undefined").await;
        self.click("answer-yes").await;
        self.find("verdict[data-outcome=\"ADMIT\"]").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_officer_sees_the_own_shift_the_day_is_printed_and_what_was_practised_is_in_neither() {
    if no_browser() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = tokio::task::block_in_place(|| two_lanes(folder.path()));
    tokio::task::block_in_place(|| gateway.start());
    let base = gateway.url("").trim_end_matches('/').to_owned();
    let b = browse(base, Process(Command::new("true").spawn().unwrap())).await;
    // Practised: the screens say so, and nothing counts.
    b.sign_in("gate-2", "li").await;
    b.find("banner-training").await;
    b.visit().await;
    b.sound("training-desk").await;
    b.open("/lane/gate-2").await;
    b.find("screen[data-training=\"true\"]").await;
    assert!(b.words("training").await.contains("练习"));
    b.sound("training-lane").await;
    assert!(gateway.events("transaction").is_empty());
    assert!(gateway.events("training").iter().any(|event| event["data"]["kind"] == "transaction"));
    // At work.
    b.open("/desk/gate-1").await;
    b.find("ask[data-kind]").await;
    b.visit().await;
    b.click("today-open").await;
    b.find("own-visits[data-count=\"1\"]").await;
    b.sound("own-shift").await;
    b.open("/report").await;
    b.find("report-sum[data-sum=\"1\"]").await;
    b.find("lane-kinds-gate-2").await;
    b.sound("report").await;
    b.click("lang").await;
    assert!(b.text("report-sum").await.contains("All"));
    // Somebody else sees nothing of it.
    b.open("/desk/gate-1").await;
    b.click("signout").await;
    b.sign_in("gate-1", "zhao").await;
    b.click("today-open").await;
    b.find("own-visits[data-count=\"0\"]").await;
    b.end().await;
}
