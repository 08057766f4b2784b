//! A box that has taken the place of another, while its neighbours have not told it what they know.

use super::*;
use kakou_tests::desk::PIN;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_waits_for_its_neighbours_says_so_on_desk_and_public_screen_and_no_banner_is_cut() {
    if no_browser() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { tables: officers(), http: true, ..Plan::default() };
    let roles = ["scanner", "thermometer", "barrier"];
    let mut gateway = Gateway::prepare(folder.path(), plan.lane("school-1", "school-gate", &roles));
    let enrolled = gateway.data().join("enrolled");
    std::fs::create_dir_all(&enrolled).unwrap();
    let others = r#"{"enrolled": 1, "replaces": true, "gateways": ["gw-2"]}"#;
    std::fs::write(enrolled.join("others.json"), others).unwrap();
    gateway.start();
    let b = browse(gateway.url(""), Process(Command::new("true").spawn().unwrap())).await;
    b.open("/lane/school-1").await;
    wait_for("the public to be told", async || b.text("prompt").await.contains("其他闸口")).await;
    b.sound("waits-public").await;
    b.sign_in("school-1", "wang").await;
    let named = "return document.querySelector('[data-testid=banner-uses]').textContent.includes('gw-2')";
    b.until("the neighbour to be named", named).await;
    b.sound("waits-desk").await;
    // Three banners and more, on the narrowest desk: each is whole or counted, and all are there at a touch.
    b.size(1024, 600).await;
    let cut = "const line = document.getElementById('line').getBoundingClientRect();
        const all = [...document.querySelectorAll('#line .banner')];
        const beyond = all.filter((one) => one.getBoundingClientRect().top >= line.bottom - 4);
        const cut = all.filter((one) => !beyond.includes(one)).filter((one) => {
            const words = one.lastChild;
            return one.scrollWidth > one.clientWidth + 1 || words.getBoundingClientRect().bottom > line.bottom + 1
                || words.getBoundingClientRect().right > one.getBoundingClientRect().right + 1;
        });
        const more = document.querySelector('[data-testid=banner-more]');
        const said = more.hidden ? 0 : Number(more.textContent.replace(/\\D/g, ''));
        return all.length >= 3 && cut.length === 0 && beyond.length > 0 && said === beyond.length;";
    b.until("each banner to be whole or counted", cut).await;
    b.sound("banners-1024").await;
    b.click("banner-more").await;
    let all = "return [...document.querySelectorAll('#line .banner')].every((one) => {
        const at = one.getBoundingClientRect();
        const top = document.elementFromPoint(at.left + at.width / 2, at.top + at.height / 2);
        return one.contains(top) && at.bottom < innerHeight && one.scrollWidth <= one.clientWidth + 1;
    });";
    b.until("all banners to be read", all).await;
    b.sound("banners-1024-open").await;
    b.click("banner-more").await;
    b.click("uses-open").await;
    b.type_into("uses-reason", "gw-2 is broken").await;
    b.type_into("uses-pin", PIN).await;
    b.sound("waits-release").await;
    b.click("uses-ok").await;
    b.gone("banner-uses").await;
    b.open("/lane/school-1").await;
    wait_for("the public to be invited", async || !b.text("prompt").await.contains("其他闸口")).await;
    b.end().await;
}
