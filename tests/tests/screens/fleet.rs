//! The fleet page as an operations room sees it: what was before it began, who is silent, photographs, and a sign-in
//! before it.

use super::*;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_gateway::store::photos::Photos;
use kakou_tests::brokers::{Mosquitto, installed};
use kakou_tests::central::Ingest;
use kakou_tests::fleet as ops;
use kakou_tests::postgres::{self, Postgres};
use serde_json::{Value, json};

/// The address under which people come to the page.
const NAME: &str = "fleet.example.org";

/// `kakou fleet serve` on a port of its own, with these arguments.
fn serve(folder: &Path, arguments: &[&str]) -> (String, Process) {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let child = Command::new(programs().join("kakou"))
        .current_dir(folder)
        .args(["fleet", "serve", "--listen", &listen])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait::until("the fleet page", LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok());
    (format!("http://{listen}"), Process(child))
}

/// A word of a gateway.
fn say(port: u16, topic: &str, body: &Value, kept: bool) {
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "-q", "1", "-t", &format!("kakou/v1/{topic}")]);
    command.args(["-m", &body.to_string()]);
    if kept {
        command.arg("-r");
    }
    assert!(command.status().unwrap().success());
}

fn health(down: usize) -> Value {
    let device = |n: usize| json!({ "id": format!("d{n}"), "driver": "line-scanner", "state": if n < down { "fault" } else { "ready" }, "errors": 0 });
    json!({ "at": "2026-11-30T00:00:00.000Z", "version": "0.1.0", "uptime_s": 100, "clock": { "synced": true, "quality": "synced" },
        "devices": (0..4).map(device).collect::<Vec<_>>(), "lists": [], "outbox": [], "certificate": { "days": 80 },
        "lanes": [{ "id": "seal-lane", "profile": "truck-supplies", "outcomes": { "ADMIT": 1, "REFER": 0, "HOLD": 0, "DENY": 0 } }],
        "packs": { "in_use": null, "waiting": { "version": 4, "id": "yard", "title": { "zh": "货场规则", "en": "Yard" }, "pack": "b",
            "issued": "2026-11-30T00:00:00.000Z", "from": "2026-12-24T06:00:00.000Z", "signer": "central", "more": 0,
            "changes": [{ "profile": "truck-supplies", "title": null, "what": "changed", "lanes": ["seal-lane"] }] } },
        "counters": {}, "store": { "state": "ok", "used_bytes": 1, "free_bytes": 1 }, "photos": { "waiting": 0 } })
}

fn event(seq: u64, kind: &str, data: &Value) -> Value {
    let time = kakou_core::time::rfc3339(kakou_central::fleet::watch::now_ms() - 600_000);
    json!({ "specversion": "1.0", "id": format!("gw-1/5/{seq}"), "source": "/kakou/truck-1/gw-1", "time": time,
        "type": format!("kakou.{kind}.v1"), "subject": "seal-lane/7", "datacontenttype": "application/json",
        "stream": "verdict", "streamseq": seq, "boot": "b", "monoms": 5, "clocksynced": true, "data": data })
}

/// A database in which three gateways have left their words, one of them with a sealed truck; the page begins later.
async fn before(folder: &Path, broker: &Mosquitto, database: &Postgres) {
    let photos = Photos::open(folder).unwrap();
    let picture = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/demo/photos").join(name);
        photos.save(&std::fs::read(file).unwrap()).unwrap()
    };
    let shown = json!([{ "role": "closeup", "sha256": picture("closeup.jpg"), "taken_at": "2026-11-30T00:00:01.000Z" },
        { "role": "overall", "sha256": picture("overall.jpg"), "taken_at": "2026-11-30T00:00:02.000Z" }]);
    let seals = json!([{ "number": "LN0045678", "kind": "bolt", "door": "rear", "officer": "wang" }]);
    let verdict =
        json!({ "outcome": "ADMIT", "codes": ["OK"], "photos": shown, "answers": { "plate": "辽P12345" } });
    let seal = json!({ "plate": "辽P12345", "seals": seals, "photos": shown, "checks": { "check": "zhao" } });
    let mut ingest = Ingest::new(broker.port, database, "screens", &[]);
    ingest.start().unwrap();
    let client = database.look().await.unwrap();
    let all = ["truck-1/gw-1", "school-3/gw-1", "hospital-1/gw-1"];
    let count = async |sql: &str| match client.query_one(sql, &[]).await {
        Ok(row) => row.get::<_, i64>(0),
        Err(_) => 0,
    };
    for gateway in all {
        let online = gateway != "hospital-1/gw-1";
        let lanes = json!([{ "id": "seal-lane", "profile": "truck-supplies" }]);
        say(
            broker.port,
            &format!("{gateway}/state"),
            &json!({ "online": online, "version": "0.1.0", "epoch": 5, "lanes": lanes }),
            true,
        );
    }
    wait_for("the words of all", async || count("SELECT count(*) FROM gateway").await == 3).await;
    for gateway in all {
        say(
            broker.port,
            &format!("{gateway}/health"),
            &health(usize::from(gateway == "truck-1/gw-1")),
            false,
        );
    }
    say(
        broker.port,
        "truck-1/gw-1/evt/verdict",
        &json!([event(1, "transaction", &verdict), event(2, "seal_applied", &seal)]),
        false,
    );
    let there =
        "SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM gateway WHERE health_at IS NOT NULL)";
    wait_for("health and events", async || count(there).await == 5).await;
    // One of hospital-1 that cannot be taken for what it says.
    let mut odd = event(1, "transaction", &json!({ "outcome": 7 }));
    odd["source"] = json!("/kakou/hospital-1/gw-1");
    say(broker.port, "hospital-1/gw-1/evt/verdict", &odd, false);
    wait_for("it aside", async || count("SELECT count(*) FROM refused").await == 1).await;
    // As if it had been so for long.
    client
        .batch_execute(
            "UPDATE gateway SET since = now() - interval '50 hours';
             UPDATE gateway SET seen = now() - interval '50 hours', health_at = now() - interval '50 hours' WHERE NOT online;
             UPDATE gateway SET health_at = now() - interval '2 hours' WHERE site = 'school-3'",
        )
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fleet_page_knows_what_was_before_it_who_is_silent_and_who_never_came() {
    let there = installed().is_some() && postgres::installed().is_some();
    if no_browser() || skip_without("mosquitto with its clients, and postgresql", there) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::plain(folder.path(), "page");
    broker.start();
    let database = Postgres::start().unwrap();
    before(folder.path(), &broker, &database).await;
    std::fs::write(folder.path().join("fleet.txt"), "truck-1 gw-1\nschool-3/gw-1\nhospital-1 gw-9").unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let known = ["--broker", &url, "--database", &database.url(), "--expected", "fleet.txt"];
    let (base, page) = serve(folder.path(), &[&known[..], &["--photos", "."]].concat());
    let b = browse(base, page).await;
    b.size(1920, 1080).await;
    b.open("/").await;
    for alarm in ["REFUSED", "SILENT", "OFFLINE", "NEVER", "DEVICES"] {
        b.find(&format!("alarm-{alarm}[data-some=\"true\"]")).await;
    }
    let rows = "return [...document.querySelectorAll('tr.one')].map((r) => r.dataset.key + ' ' + r.innerText).join('|')";
    let rows = b.js(rows).await.as_str().unwrap().to_owned();
    let lines: Vec<&str> = rows.split('|').collect();
    assert!(
        lines[0].starts_with("hospital-1/gw-1") && lines[0].contains("事件未收"),
        "the worst first: {rows}"
    );
    assert!(lines[0].contains("离线 2 天"), "{rows}");
    assert!(lines[1].starts_with("school-3/gw-1") && lines[1].contains("无上报"), "{rows}");
    assert!(rows.contains("3/4 正常") && rows.contains("从未上线") && !rows.contains('≥'), "{rows}");
    assert!(b.words("ear").await.contains("来自数据库"));
    b.sound("fleet").await;

    // What happened before the page began, with its pictures.
    b.js("document.querySelector('button.tile[data-key=\"truck-1/gw-1\"]').click()").await;
    assert!(b.words("detail-verdicts").await.contains("放行"), "{}", b.words("detail-verdicts").await);
    let state = b.words("detail-state").await;
    assert!(
        state.contains("货场规则") && state.contains("2026-12-24") && state.contains("seal-lane"),
        "{state}"
    );
    let words = b.words("detail-pictures").await;
    for told in ["辽P12345", "LN0045678", "wang", "zhao", "封条特写", "整车"] {
        assert!(words.contains(told), "{told}: {words}");
    }
    let loaded = "const all = [...document.querySelectorAll('.thumb-image')]; return all.length === 2 && all.every((i) => i.naturalWidth > 0)";
    b.until("both photographs", loaded).await;
    b.js("document.querySelector('[data-testid=pictures-visit]').scrollIntoView()").await;
    b.sound("fleet-detail").await;
    b.click("picture-closeup").await;
    b.until(
        "a large one",
        "return document.querySelector('[data-testid=photo-large-image]')?.naturalWidth > 0",
    )
    .await;
    assert!(b.find("photo-large-image").await.rect().await.unwrap().width > 900.0);
    assert!(b.words("photo-large-words").await.contains("LN0045678"));
    b.sound("fleet-photo").await;
    let hash = "return document.querySelector('[data-testid=photo-large]').dataset.sha256";
    let first = b.js(hash).await;
    b.click("photo-next").await;
    assert_ne!(b.js(hash).await, first);
    b.key(Key::Escape).await;
    b.gone("photo-large").await;

    b.js("document.querySelector('button.tile[data-key=\"hospital-1/gw-1\"]').click()").await;
    b.until(
        "why it was refused",
        "return document.querySelector('[data-testid=detail-state]').innerText.includes('一天内 1 条')",
    )
    .await;
    // On a telephone nothing lies outside.
    b.size(390, 844).await;
    for open in ["detail-close", "alarm-SILENT"] {
        let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(b.js(fits).await, json!(true), "before {open}");
        let panel = "const p = document.querySelector('[data-testid=detail]'); return p.hidden || p.scrollWidth <= p.clientWidth";
        assert_eq!(b.js(panel).await, json!(true), "the panel, before {open}");
        b.sound(&format!("fleet-phone-{open}")).await;
        b.click(open).await;
    }

    // The terminal has the same order and the same count.
    let watch = Command::new(programs().join("kakou"))
        .current_dir(folder.path())
        .args(["fleet", "watch", "--once", "2"])
        .args(known)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&watch.stdout).into_owned();
    assert!(text.contains("(a pack waits until 2026-12-24T06:00:00.000Z)"), "{text}");
    let first = text.lines().nth(1).unwrap_or_default();
    assert!(first.starts_with("hospital-1/gw-1") && first.contains("REFUSED OFFLINE"), "{text}");
    assert!(
        text.lines().nth(2).is_some_and(|l| l.starts_with("school-3/gw-1") && l.contains("SILENT")),
        "{text}"
    );
    assert!(text.contains("3/4 work") && text.contains("NEVER"), "{text}");
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_has_just_begun_waits_and_says_since_when_it_listens() {
    if no_browser() || skip_without("mosquitto with its clients", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::plain(folder.path(), "page");
    broker.start();
    say(broker.port, "school-3/gw-1/state", &json!({ "online": true, "lanes": [] }), true);
    let (base, page) = serve(folder.path(), &["--broker", &format!("mqtt://127.0.0.1:{}", broker.port)]);
    let b = browse(base, page).await;
    b.size(1920, 1080).await;
    b.open("/").await;
    b.until(
        "the gateway",
        "return document.querySelector('tr.one')?.innerText.includes('等待首次上报') === true",
    )
    .await;
    let row = b.js("return document.querySelector('tr.one').innerText").await.as_str().unwrap().to_owned();
    assert!(row.contains('≥') && !row.contains('?'), "{row}");
    assert!(
        b.js("return document.querySelector('button.tile').dataset.level").await == "off",
        "not green yet"
    );
    assert!(b.words("ear").await.contains("起监听，此前不详"));
    b.sound("fleet-begins").await;
    b.js("document.querySelector('button.tile').click()").await;
    assert!(b.words("detail-verdicts").await.contains("起监听，此后没有"));
    say(broker.port, "school-3/gw-1/health", &health(0), false);
    b.until("its report", "return document.querySelector('tr.one').innerText.includes('4/4 正常')").await;
    // The page's own connection is lost, and comes back.
    broker.kill();
    b.find("banner-deaf").await;
    b.until(
        "the words",
        "return document.querySelector('[data-testid=banner-deaf]').innerText.includes('断开')",
    )
    .await;
    assert_eq!(b.js("return document.body.dataset.stale").await, "true");
    b.sound("fleet-lost").await;
    broker.start();
    b.until("the connection", "return document.querySelector('[data-testid=banner-deaf]').hidden").await;
    b.end().await;
}

/// nginx with the recipe that ships, or with that of somebody who leaves lines of it out.
fn nginx(folder: &Path, port: u16, page: &str, without: &str) -> Process {
    let at = |name: &str| folder.join(name).display().to_string();
    let recipe = include_str!("../../../gateway/central/nginx-fleet.conf");
    let mut recipe: String = recipe
        .lines()
        .filter(|l| without.is_empty() || !l.contains(without))
        .fold(String::new(), |all, l| all + l + "\n");
    let changes = [
        ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
        ("/etc/nginx/kakou-fleet.pem", at("proxy.pem")),
        ("/etc/nginx/kakou-fleet.key", at("proxy.key")),
        ("/etc/nginx/kakou-fleet.users", at("users")),
        ("http://127.0.0.1:8090", page.to_owned()),
    ];
    for (here, there) in changes {
        assert!(recipe.contains(here), "{here}: {recipe}");
        recipe = recipe.replace(here, &there);
    }
    std::fs::write(folder.join("users"), "wang:{PLAIN}secret\n").unwrap();
    let user = if rustix::process::geteuid().is_root() { "user root;\n" } else { "" };
    let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};\n", at(&format!("nginx-{kind}"))))
        .concat();
    let whole = format!(
        "daemon off;\n{user}pid {};\nerror_log {};\nevents {{}}\nhttp {{\naccess_log off;\n{temp}{recipe}}}\n",
        at("nginx.pid"),
        at("nginx.log")
    );
    std::fs::write(folder.join("nginx.conf"), whole).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    // One process: when it is killed, nobody stays behind.
    command.args(["-c", &at("nginx.conf"), "-e", &at("nginx.log"), "-g", "master_process off;"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let process = Process(child);
    wait::until("nginx", LIMIT, || TcpStream::connect(("127.0.0.1", port)).ok());
    process
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_sign_in_the_page_works_and_who_asked_is_on_record() {
    let there = installed().is_some() && Path::new("/usr/sbin/nginx").exists();
    if no_browser() || skip_without("nginx and mosquitto", there) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (broker, central) = ops::open(folder.path(), &["gw-1"], &["trace"]);
    kakou_tests::certs::Authority::again(folder.path()).issue("proxy", true);
    let gate = profiles::lane("gate", &["opaque"], &["status"], "", false);
    let (place, plan) = central.plan("gw-1", &[("gate", gate)]);
    let mut gateway = Gateway::prepare(&place, plan.lane("lane-1", "gate.toml", &["scanner"]));
    let _scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    let url = format!("mqtts://127.0.0.1:{}", broker.port);
    let (address, port) = (format!("https://{NAME}"), free_port());
    let (page, serving) = serve(
        folder.path(),
        &[
            "--broker",
            &url,
            "--ca",
            "ca.pem",
            "--cert",
            "ops.pem",
            "--key",
            "ops.key",
            "--sign-key",
            "ops.pk8",
            "--origin",
            &address,
            "--user-header",
            "X-Remote-User",
        ],
    );
    let mut proxy = nginx(folder.path(), port, &page, "");
    let resolve = format!("--host-resolver-rules=MAP {NAME}:443 127.0.0.1:{port}");
    let b = browse_with(address, serving, &["--ignore-certificate-errors", &resolve]).await;
    b.size(1920, 1080).await;
    // nginx passes on the name by which it was asked, or, by itself, its own.
    for (asked, without) in [(1, ""), (2, "proxy_set_header Host")] {
        if asked == 2 {
            drop(proxy);
            proxy = nginx(folder.path(), port, &page, without);
        }
        b.driver.goto(format!("https://wang:secret@{NAME}/")).await.unwrap();
        b.open("/").await;
        b.until(
            "the gateway",
            "return document.querySelector('tr.one')?.innerText.includes('在线') === true",
        )
        .await;
        // What a browser says of itself is not what the sign-in says.
        let you =
            "const done = arguments[0]; fetch('/api/v1/fleet', { headers: { 'X-Remote-User': 'boss' } })
            .then((r) => r.json()).then((f) => done(f.you.name), (e) => done(String(e)))";
        assert_eq!(b.driver.execute_async(you, vec![]).await.unwrap().json(), &json!("wang"));
        b.click("trace-open").await;
        assert!(b.words("trace-you").await.contains("wang"));
        b.click("trace-by-lane").await;
        b.type_into("trace-key", "lane-1").await;
        b.type_into("trace-purpose", "drill").await;
        b.sound("fleet-trace-signed-in").await;
        b.click("trace-start").await;
        let told = gateway.await_events("trace_query", asked);
        assert_eq!(told.last().unwrap()["data"]["by"], "wang", "{told:?}");
        // The box has answered; what was before its journal begins nobody has told, and this is said.
        b.find("trace-state[data-state=\"partial\"]").await;
        assert!(b.words("trace-unknown").await.contains("记录从"));
        assert!(b.words("trace-database").await.contains("未查询数据库"));
    }
    drop(proxy);
    b.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sign_in_the_form_asks_who_asks() {
    if no_browser() || skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (broker, central) = ops::open(folder.path(), &["gw-1"], &["trace"]);
    let gate = profiles::lane("gate", &["opaque"], &["status"], "", false);
    let (place, plan) = central.plan("gw-1", &[("gate", gate)]);
    let mut gateway = Gateway::prepare(&place, plan.lane("lane-1", "gate.toml", &["scanner"]));
    let _scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    let url = format!("mqtts://127.0.0.1:{}", broker.port);
    let keys = ["--ca", "ca.pem", "--cert", "ops.pem", "--key", "ops.key", "--sign-key", "ops.pk8"];
    let away = ["--database", "host=/nowhere dbname=kakou"];
    let (page, serving) = serve(folder.path(), &[&["--broker", &url][..], &keys, &away].concat());
    let b = browse(page, serving).await;
    b.open("/").await;
    b.until("the gateway", "return document.querySelector('tr.one')?.innerText.includes('在线') === true")
        .await;
    wait_for("word of the database", async || b.words("ear").await.contains("数据库读不到")).await;
    b.click("trace-open").await;
    b.click("trace-by-lane").await;
    b.type_into("trace-key", "lane-1").await;
    b.type_into("trace-purpose", "drill").await;
    b.click("trace-start").await;
    wait_for("the question for a name", async || b.words("trace-error").await.contains("请填写您的姓名"))
        .await;
    b.type_into("trace-by", "李敏").await;
    b.click("trace-start").await;
    let told = gateway.await_events("trace_query", 1);
    assert_eq!(told[0]["data"]["by"], "李敏 (typed at the fleet page)");
    // Whoever leaves the form aside is asked as well.
    let direct = "const done = arguments[0]; fetch('/api/v1/trace', { method: 'POST', headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ lane: 'lane-1', from: '2020-01-01T00:00:00Z', to: '2030-01-01T00:00:00Z', purpose: 'x' }) })
        .then((r) => r.json()).then((e) => done(e.code), (e) => done(String(e)))";
    assert_eq!(b.driver.execute_async(direct, vec![]).await.unwrap().json(), &json!("no_name"));
    b.end().await;
}
