//! A pack that waits for its time on the screens, and the demo's switch between the packs.

use super::*;
use kakou_tests::packs::{Office, manifest, profile};
use kakou_tests::passes;

/// A pack with the shipped profile of schools, whose limit is another one, and a profile by which no lane runs.
fn winter() -> String {
    let (_, school) = kakou_core::profile::shipped::find("school-gate").unwrap();
    let gate = profiles::lane("side-gate", &["opaque"], &["status"], "", false);
    let manifest = manifest(
        "school-winter",
        ["学校冬季规则", "School gates in winter"],
        "2",
        &["school-gate", "side-gate"],
    );
    let school = profile("school-gate", &school.replace("high_mdeg = 37300", "high_mdeg = 37500"));
    [manifest, school, profile("side-gate", &gate)].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_waits_stands_on_the_status_page_and_at_the_desk_of_the_lane_that_it_changes() {
    if no_browser() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let office = Office::open(folder.path());
    let plan = Plan { tables: officers(), http: true, gateway: office.line(), ..Plan::default() };
    let roles = ["scanner", "thermometer", "barrier"];
    let plan = plan.lane("school-1", "policy:school-gate", &roles).lane("school-2", "school-gate", &roles);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    gateway.start();
    let b = browse(gateway.url(""), Process(Command::new("true").spawn().unwrap())).await;
    b.sign_in("school-1", "li").await;
    office.hand_out(&gateway.lists(), 1, &winter(), Some(passes::now_s() + 86_400));
    // It comes while the desk is open.
    wait_for("the banner", async || b.words("banner-pack").await.contains("学校冬季规则")).await;
    b.sound("pack-desk").await;
    b.size(390, 844).await;
    b.sound("pack-desk-phone").await;
    b.size(1024, 739).await;
    b.open("/desk/school-2").await;
    b.find("ask[data-kind]").await;
    b.gone("banner-pack").await;
    b.open("/status").await;
    b.find("status-change-school-gate[data-what=\"changed\"]").await;
    b.find("status-change-side-gate[data-what=\"new\"]").await;
    let told = b.words("status-change-school-gate").await;
    assert!(told.contains("school-1") && !told.contains("school-2"), "{told}");
    b.sound("pack-status").await;
    b.click("lang").await;
    wait_for("English", async || b.words("status-pack-waiting").await.contains("School gates in winter"))
        .await;
    for (width, height) in [(390, 844), (1280, 900)] {
        b.size(width, height).await;
        b.js(
            "document.querySelector('[data-testid=status-pack-waiting]').scrollIntoView({ block: 'center' })",
        )
        .await;
        b.sound(&format!("pack-status-{width}")).await;
        let wide = "return document.documentElement.scrollWidth > innerWidth + 1";
        assert_eq!(b.js(wide).await, false, "at {width}x{height}");
    }
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_switches_to_the_gates_of_every_day_and_one_lane_more_is_switched_on_where_somebody_wants_it()
 {
    let Some(b) = browser().await else { return };
    b.open("/demo").await;
    b.find("card-pupil-green").await;
    b.sound("demo-2022").await;
    // A lane that is not switched on has no card and no screen.
    assert!(b.driver.find(By::Css(css("lane-tab-sample-1").as_str())).await.is_err());
    let choose = "const more = document.querySelector('[data-testid=lane-more]'); more.value = 'sample-1';
        more.dispatchEvent(new Event('change', { bubbles: true }));";
    b.driver.execute(choose, vec![]).await.unwrap();
    b.find("card-sample-person").await;
    b.find("lane-tab-sample-1[aria-pressed=\"true\"]").await;
    b.sound("demo-one-more").await;
    b.click("pack-everyday").await;
    b.find("card-park-in").await;
    b.gone("lane-tab-school-1").await;
    b.click("lane-tab-custody-1").await;
    b.find("weight-1500[aria-pressed=\"true\"]").await;
    b.sound("demo-everyday").await;
    for (width, height) in [(390, 844), (1280, 800), (1920, 1080)] {
        b.size(width, height).await;
        b.sound(&format!("demo-everyday-{width}")).await;
        let wide = "return document.documentElement.scrollWidth > innerWidth + 1";
        assert_eq!(b.js(wide).await, false, "at {width}x{height}");
    }
    b.size(1024, 739).await;

    // Its lanes work: a bag is weighed and comes as far as the form; who goes to work is asked and let in.
    b.sign_in("custody-1", "chen").await;
    b.present("custody-1", "custody-bag").await;
    b.find("ask[data-kind=\"form\"][data-id=\"waste\"]").await;
    b.sound("custody-form").await;
    b.open("/desk/duty-1").await;
    b.find("ask[data-kind=\"scan\"]").await;
    b.present("duty-1", "duty-expired").await;
    b.find("verdict[data-outcome=\"DENY\"]").await;
    b.sound("duty-denied").await;
    b.present("duty-1", "duty-ok").await;
    b.find("ask[data-kind=\"form\"][data-id=\"duty\"]").await;
    b.sound("duty-form").await;
    b.open("/lane/event-1").await;
    b.present("event-1", "ticket-in").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.sound("event-admit").await;
    b.open("/demo").await;
    b.click("pack-2022").await;
    b.find("card-pupil-green").await;
    b.open("/lane/school-1").await;
    b.present("school-1", "pupil-green").await;
    b.find("verdict[data-outcome=\"ADMIT\"]").await;
    b.end().await;
}
