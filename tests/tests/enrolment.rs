//! An empty box becomes a gateway: the daemon that ships, a scanner on a pty, the authority and its
//! server as they ship, a real Mosquitto with mutual TLS. And everything that goes wrong on the way,
//! with what the screen says.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::daemon::{free_port, programs};
use kakou_tests::{profiles, wait};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

/// A program that ends with the test.
struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Central ops with their authority, and an empty box.
struct Place {
    folder: tempfile::TempDir,
    enrol: u16,
    screen: u16,
    broker: u16,
    server: Option<ChildGuard>,
    daemon: Option<ChildGuard>,
    scanner: ScannerSim,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let scanner = ScannerSim::new(&at("port"), Faults::default(), 1).unwrap();
    let place = Place {
        enrol: free_port(),
        screen: free_port(),
        broker: free_port(),
        server: None,
        daemon: None,
        scanner,
        folder,
    };
    let broker = format!("mqtts://127.0.0.1:{}", place.broker);
    place.ca(&["init", "--dir", "ca", "--broker", &broker]).unwrap();
    place
        .kakou(&["fleet", "key", "--out", "ops.pk8", "--keys", "ca/fleet.json", "--usage", "operate"])
        .unwrap();
    std::fs::write(
        place.folder.path().join("gate.toml"),
        profiles::lane("gate", &["opaque"], &[], "", false),
    )
    .unwrap();
    let template = format!(
        "[gateway]\nsite = \"{{site}}\"\nid = \"{{gateway}}\"\ndata = \"..\"\nfleet_keys = \"fleet.json\"\n\
         [clock]\nsource = \"system\"\n[http]\nlisten = \"127.0.0.1:{}\"\n\
         [upstream]\nbroker = \"{broker}\"\nca = \"ca.pem\"\ncert = \"device.pem\"\nkey = \"device.key\"\npurge = \"puback\"\n\
         [[device]]\nid = \"scanner\"\ndriver = \"line-scanner\"\nport = {{ path = \"{{scanner}}\", baud = {{baud}} }}\n\
         [[lane]]\nid = \"lane-1\"\nprofile = \"{}\"\ndevices = {{ scanner = \"scanner\" }}\n",
        place.screen,
        place.folder.path().join("gate.toml").display()
    );
    std::fs::write(place.folder.path().join("ca/templates/gate.toml"), template).unwrap();
    let empty = format!(
        "[enrol]\ndata = \"data\"\nlisten = \"127.0.0.1:{}\"\nports = [\"{}\"]\n",
        place.screen,
        place.folder.path().join("port").display()
    );
    std::fs::write(place.folder.path().join("kakou.toml"), empty).unwrap();
    place
}

impl Place {
    fn kakou(&self, arguments: &[&str]) -> Result<String, String> {
        let out = Command::new(programs().join("kakou"))
            .current_dir(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    fn ca(&self, arguments: &[&str]) -> Result<String, String> {
        self.kakou(&[&["ca"], arguments].concat())
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.enrol)
    }

    fn code(&self, more: &[&str]) -> String {
        let url = self.url();
        let code = [
            "code",
            "--dir",
            "ca",
            "--url",
            &url,
            "--site",
            "school",
            "--gateway",
            "gw-1",
            "--template",
            "gate",
            "--text",
        ];
        self.ca(&[&code[..], more].concat()).unwrap().trim().to_owned()
    }

    fn begin(&self, program: &str, arguments: &[&str]) -> ChildGuard {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let command = Command::new(programs().join(program))
            .current_dir(self.folder.path())
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        ChildGuard(command.unwrap())
    }

    fn serve(&mut self) {
        let (url, listen) = (self.url(), format!("127.0.0.1:{}", self.enrol));
        self.server =
            Some(self.begin("kakou", &["ca", "serve", "--dir", "ca", "--url", &url, "--listen", &listen]));
        wait::until("the enrolment server", LIMIT, || std::net::TcpStream::connect(&listen).ok());
    }

    fn power_on(&mut self) {
        self.daemon = Some(self.begin("kakoud", &["--config", "kakou.toml"]));
    }

    fn get(&self, path: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.screen);
        serde_json::from_str(&ureq::get(url).call().ok()?.body_mut().read_to_string().ok()?).ok()
    }

    /// Waits for a step of the screen; gives what it says in English.
    fn shows(&self, step: &str) -> Value {
        let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let seen = wait::try_until(LIMIT, || self.get("/api/v1/enrolment").filter(|s| s["step"] == step));
        seen.unwrap_or_else(|| {
            panic!("the screen never shows `{step}`, but {:?}\n{}", self.get("/api/v1/enrolment"), log())
        })
    }

    fn scan(&mut self, line: &str, step: &str) -> Value {
        self.show_code(line);
        self.shows(step)
    }

    /// A port that was just opened is flushed: the code is held before the scanner until it is taken.
    fn show_code(&mut self, line: &str) {
        self.shows("scan");
        wait::until("the scanner", LIMIT, || {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            log.contains("listening for an enrolment code").then_some(())
        });
        std::thread::sleep(Duration::from_millis(200));
        self.scanner.scan(line).unwrap();
    }
}

#[test]
fn an_empty_box_is_a_gateway_after_one_code() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let mut p = place();
    p.ca(&["server", "--dir", "ca", "--name", "broker", "127.0.0.1"]).unwrap();
    let issued = |file: &str| p.folder.path().join("ca/issued").join(file).display().to_string();
    let lines = format!(
        "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\nallow_anonymous false\ntls_version tlsv1.3\nuser root",
        p.folder.path().join("ca/root.pem").display(),
        issued("broker.pem"),
        issued("broker.key")
    );
    let mut broker = Mosquitto::new(p.folder.path(), "fleet", &lines);
    broker.port = p.broker;
    broker.configure(&lines);
    broker.start();
    p.serve();
    p.power_on();
    // The office has made two codes, and this box has scanned both.
    let first = p.code(&["--ask"]);
    let first = p.scan(&first, "compare")["digits"].clone();
    let code = p.code(&["--ask"]);
    let begun = Instant::now();
    p.scanner.scan(&code).unwrap();
    let shown = wait::until("other digits", LIMIT, || {
        p.get("/api/v1/enrolment").filter(|s| s["step"] == "compare" && s["digits"] != first)
    });
    let digits = shown["digits"].as_str().unwrap().to_owned();
    assert_eq!(shown["name"], "school/gw-1");
    let listed = p.ca(&["list", "--dir", "ca"]).unwrap();
    assert!(listed.contains("WAITS") && listed.contains(&digits), "{listed}");
    let both = p.ca(&["accept", "--dir", "ca", "gw-1"]).unwrap_err();
    assert!(both.contains("six digits"), "{both}");
    assert!(p.ca(&["accept", "--dir", "ca", &digits]).unwrap().contains("school/gw-1"));
    // Now it is a gateway: its lane takes the next code at the same scanner.
    let status =
        wait::try_until(LIMIT, || p.get("/api/v1/status").filter(|s| s["upstream"]["state"] == "online"));
    let log = std::fs::read_to_string(p.folder.path().join("log")).unwrap();
    let status = status.unwrap_or_else(|| panic!("no gateway: {log}"));
    assert_eq!((status["site"].as_str(), status["gateway"].as_str()), (Some("school"), Some("gw-1")));
    wait::until("the scanner", LIMIT, || {
        p.get("/api/v1/status").filter(|s| s["devices"][0]["state"] == "ready")
    });
    p.scanner.scan("ID-1").unwrap();
    wait::until("the verdict", LIMIT, || {
        let status = p.get("/api/v1/status")?;
        status["lanes"][0]["counters"].as_object()?.values().any(|n| n.as_u64() > Some(0)).then_some(())
    });
    println!("from the code to the first verdict: {:.1} s", begun.elapsed().as_secs_f64());
    // The code was burned: another box gets nothing for it. A restart needs no code.
    assert!(!p.folder.path().join("data/enrolled/pending.json").exists());
    p.daemon = None;
    p.power_on();
    wait::until("the gateway", LIMIT, || p.get("/api/v1/status"));
    std::fs::rename(p.folder.path().join("data"), p.folder.path().join("first")).unwrap();
    p.daemon = None;
    p.power_on();
    let refused = p.scan(&code, "refused");
    assert_eq!(refused["text"]["en"], "Another box has used this code. Ask central ops for a new one.");
}

#[test]
fn whatever_goes_wrong_is_said_and_what_can_pass_is_waited_for() {
    let mut p = place();
    p.power_on();
    let said = |v: Value| v["text"]["en"].as_str().unwrap().to_owned();
    assert!(said(p.scan("6901234567892", "refused")).contains("no enrolment code"));
    let code = p.code(&[]);
    // Damaged: cut in the middle.
    p.scanner.scan(&code[..60]).unwrap();
    wait::until("the words", LIMIT, || {
        p.get("/api/v1/enrolment").filter(|s| said(s.clone()).contains("damaged"))
    });
    // Run out.
    let old = code.rsplit_once('|').map(|(head, _)| format!("{head}|1793000001")).unwrap();
    let old = old.replace(code.split('|').nth(6).unwrap(), "1793000000");
    p.scanner.scan(&old).unwrap();
    wait::until("the words", LIMIT, || {
        p.get("/api/v1/enrolment").filter(|s| said(s.clone()).contains("run out"))
    });
    // No network: the code is kept, over a restart too, and the box goes on by itself.
    p.scanner.scan(&code).unwrap();
    assert!(said(p.shows("kept")).contains("No network"));
    p.daemon = None;
    p.power_on();
    assert!(said(p.shows("kept")).contains("No network"));
    // What else is scanned meanwhile changes nothing, but is not passed over in silence.
    p.scanner.scan(&old).unwrap();
    let beside = wait::until("a word beside", LIMIT, || {
        p.get("/api/v1/enrolment").filter(|s| !s["not_taken"].is_null())
    });
    assert!(beside["not_taken"]["en"].as_str().unwrap().contains("run out"), "{beside}");
    assert!(said(beside).contains("No network"));
    // The code that goes on is the last scan now.
    p.scanner.scan(&code).unwrap();
    wait::until("no word beside", LIMIT, || p.get("/api/v1/enrolment").filter(|s| s["not_taken"].is_null()));
    p.serve();
    wait::until("the gateway", LIMIT, || p.get("/api/v1/status"));
}

#[test]
fn another_server_and_an_unknown_code_are_refused() {
    let mut p = place();
    p.serve();
    p.power_on();
    let code = p.code(&[]);
    let said = |v: Value| v["text"]["en"].as_str().unwrap().to_owned();
    // A code that names another root: somebody stands in between.
    let mut parts: Vec<String> = code.split('|').map(str::to_owned).collect();
    let root = std::mem::replace(&mut parts[3], "A".repeat(43));
    assert!(said(p.scan(&parts.join("|"), "refused")).contains("not the one of the code"));
    // A token that nobody gave out.
    (parts[2], parts[3]) = ("A".repeat(22), root);
    p.scanner.scan(&parts.join("|")).unwrap();
    wait::until("the words", LIMIT, || {
        p.get("/api/v1/enrolment").filter(|s| said(s.clone()).contains("does not know this code"))
    });
    // An officer says no.
    let asked = p.code(&["--ask"]);
    p.scanner.scan(&asked).unwrap();
    p.shows("compare");
    p.ca(&["refuse", "--dir", "ca", "gw-1"]).unwrap();
    assert!(said(p.shows("refused")).contains("refused this box"));
}

#[test]
fn a_box_is_empty_again_after_a_reset_and_becomes_a_gateway_of_a_site_that_was_cloned() {
    let mut p = place();
    let template = p.folder.path().join("ca/templates/gate.toml");
    let text = std::fs::read_to_string(&template).unwrap();
    std::fs::write(&template, text.replace("data =", "region = \"{region}\"\ndata =")).unwrap();
    p.serve();
    p.power_on();
    let unset = p.ca(&[
        "code",
        "--dir",
        "ca",
        "--url",
        &p.url(),
        "--site",
        "s",
        "--gateway",
        "g",
        "--template",
        "gate",
    ]);
    assert!(unset.unwrap_err().contains("--set region=VALUE"));
    let code = p.code(&["--set", "region=浙江 杭州"]);
    p.show_code(&code);
    let gateway = |p: &Place, site: &str| {
        wait::until("the gateway", LIMIT, || p.get("/api/v1/status").filter(|s| s["site"] == site));
        std::fs::read_to_string(p.folder.path().join("data/enrolled/kakou.toml")).unwrap()
    };
    let config = gateway(&p, "school");
    assert!(config.contains("region = \"浙江 杭州\"") && config.contains("baud = 9600"), "{config}");
    let data = p.folder.path().join("data");
    let key = std::fs::read(data.join("enrolled/device.key")).unwrap();
    std::fs::hard_link(data.join("enrolled/device.key"), p.folder.path().join("block")).unwrap();
    // Not by mistake: not without a word, not below a daemon, not what is something else.
    let reset = ["reset", "--data", "data", "--yes"];
    assert!(p.kakou(&reset[..3]).unwrap_err().contains("--yes"));
    assert!(p.kakou(&reset).unwrap_err().contains("systemctl stop kakoud"));
    assert!(p.kakou(&["reset", "--data", "ca", "--yes"]).unwrap_err().contains("not the data folder"));
    assert!(data.join("journal.db").exists() && p.folder.path().join("ca/root.key").exists());
    p.daemon = None;
    assert!(p.kakou(&reset).unwrap().contains("waits for an enrolment code"));
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
    let left = std::fs::read(p.folder.path().join("block")).unwrap();
    assert!(left.len() == key.len() && left.iter().all(|b| *b == 0), "the key was not overwritten");
    // The same gate elsewhere.
    let url = p.url();
    let clone = [
        "clone",
        "--dir",
        "ca",
        "--url",
        &url,
        "--from",
        "school",
        "--to",
        "school-4",
        "--sheet",
        "codes.pdf",
    ];
    assert!(p.ca(&[&clone[..], &["--set", "region=a\"b"]].concat()).unwrap_err().contains("quotation mark"));
    let codes = p.ca(&[&clone[..], &["--set", "region=宁波", "--text"]].concat()).unwrap();
    assert!(std::fs::read(p.folder.path().join("codes.pdf")).unwrap().starts_with(b"%PDF"));
    let from_nowhere = clone.map(|w| if w == "school" { "nowhere" } else { w });
    assert!(p.ca(&from_nowhere).unwrap_err().contains("no gateway of `nowhere`"));
    p.power_on();
    p.shows("scan");
    assert!(p.kakou(&reset).unwrap_err().contains("systemctl stop kakoud"));
    std::fs::write(p.folder.path().join("log"), "").unwrap();
    p.daemon = None;
    p.power_on();
    p.show_code(codes.trim());
    assert!(gateway(&p, "school-4").contains("region = \"宁波\""));
}

#[test]
fn the_authority_says_what_is_missing() {
    let p = place();
    assert!(p.ca(&["init", "--dir", "ca"]).unwrap_err().contains("authority already"));
    assert!(p.ca(&["list", "--dir", "nowhere"]).unwrap_err().contains("kakou ca init"));
    let code = ["code", "--dir", "ca", "--url", "https://x.example", "--site", "s", "--gateway", "g"];
    assert!(p.ca(&[&code[..], &["--template", "none"]].concat()).unwrap_err().contains("none.toml"));
    std::fs::write(p.folder.path().join("ca/templates/bad.toml"), "[gateway]\nsite = 7\n").unwrap();
    let bad = p.ca(&[&code[..], &["--template", "bad"]].concat()).unwrap_err();
    assert!(bad.contains("ca/templates/bad.toml:2: "), "{bad}");
    let for_paper = [&code[..], &["--svg", "code.svg"]].concat();
    let unfilled = p.ca(&for_paper).unwrap_err();
    assert!(
        unfilled.contains("ca/templates/default.toml:") && unfilled.contains("a place to fill in"),
        "{unfilled}"
    );
    let template = p.folder.path().join("ca/templates/default.toml");
    let filled = std::fs::read_to_string(&template).unwrap();
    let filled = filled.replace("WHERE-IT-IS-PLUGGED-IN", "one").replace("WHERE-THE-RELAY-IS", "two");
    std::fs::write(&template, filled).unwrap();
    assert!(p.ca(&for_paper).unwrap().contains("works once"));
    assert!(std::fs::read_to_string(p.folder.path().join("code.svg")).unwrap().starts_with("<svg"));
    assert!(p.ca(&["revoke", "--dir", "ca", "s.g"]).unwrap_err().contains("no certificate"));
    p.ca(&["server", "--dir", "ca", "--name", "tool"]).unwrap();
    assert!(p.ca(&["revoke", "--dir", "ca", "tool"]).unwrap().contains("fleet.crl"));
    let crl = std::fs::read_to_string(p.folder.path().join("ca/issued/fleet.crl")).unwrap();
    assert!(crl.contains("BEGIN X509 CRL"), "{crl}");
    assert!(Path::new(&p.folder.path().join("ca/root.key")).exists());
}
