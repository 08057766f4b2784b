//! A fleet as it is set up by the book: the authority and its enrolment server, a broker with mutual TLS and the
//! access list that ships, and boxes that become gateways by a code at their scanners.

use crate::brokers::Mosquitto;
use crate::daemon::{free_port, programs};
use crate::{desk, wait};
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_gateway::store::journal;
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Enough for a slow machine.
const LIMIT: Duration = Duration::from_secs(60);
/// A code that nobody has taken is shown again after this.
const AGAIN: Duration = Duration::from_millis(300);

struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Central ops.
pub struct Office {
    /// Everything lies here.
    pub folder: PathBuf,
    /// The broker of the fleet.
    pub broker: Mosquitto,
    url: String,
    _server: ChildGuard,
}

/// The configuration of a box, but for what its code fills in.
fn template(broker: u16, profile: &Path) -> String {
    format!(
        "[gateway]\nsite = \"{{site}}\"\nid = \"{{gateway}}\"\ndata = \"..\"\nfleet_keys = \"fleet.json\"\n\
         [clock]\nsource = \"system\"\n[http]\nlisten = \"127.0.0.1:{{screen}}\"\n\
         [upstream]\nbroker = \"mqtts://127.0.0.1:{broker}\"\nca = \"ca.pem\"\ncert = \"device.pem\"\nkey = \"device.key\"\npurge = \"puback\"\n\
         {}[[device]]\nid = \"scanner\"\ndriver = \"line-scanner\"\nport = {{ path = \"{{scanner}}\", baud = {{baud}} }}\n\
         [[lane]]\nid = \"lane-1\"\nprofile = \"{}\"\ndevices = {{ scanner = \"scanner\" }}\n",
        desk::officers(),
        profile.display()
    )
}

impl Office {
    /// For these gateways (site, gateway), all with a lane of this profile.
    pub fn open(folder: &Path, gateways: &[(&str, &str)], profile: &str) -> Self {
        let at = |name: &str| folder.join(name);
        let enrol = free_port();
        let url = format!("https://127.0.0.1:{enrol}");
        let run = |arguments: &[&str]| kakou(folder, arguments).expect("a command of central ops");
        run(&["ca", "init", "--dir", "ca"]);
        let usages =
            ["feed", "trust-update", "operate", "maintain", "trace"].map(|u| ["--usage", u]).concat();
        run(&[&["fleet", "key", "--out", "ops.pk8", "--keys", "ca/fleet.json"][..], &usages].concat());
        run(&["ca", "server", "--dir", "ca", "--name", "broker", "127.0.0.1"]);
        run(&["ca", "server", "--dir", "ca", "--name", "ops"]);
        // Without a line end behind the last one, as editors leave it.
        let names: Vec<String> = gateways.iter().map(|(site, gateway)| format!("{site} {gateway}")).collect();
        fs::write(at("fleet.txt"), names.join("\n")).expect("a file");
        run(&["ca", "acl", "--dir", "ca", "--fleet", "fleet.txt", "--out", "access"]);
        let mut broker = Mosquitto::plain(folder, "fleet");
        broker.configure(&format!(
            "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\n\
             allow_anonymous false\ntls_version tlsv1.3\nacl_file {}\nuser root\npersistence false\nmax_queued_messages 100000\n",
            at("ca/root.pem").display(),
            at("ca/issued/broker.pem").display(),
            at("ca/issued/broker.key").display(),
            at("access").display()
        ));
        broker.start();
        fs::write(at("gate.toml"), profile).expect("a file");
        fs::write(at("ca/templates/gate.toml"), template(broker.port, &at("gate.toml"))).expect("a file");
        let listen = format!("127.0.0.1:{enrol}");
        let serve = ["ca", "serve", "--dir", "ca", "--url", &url, "--listen", &listen];
        let server = beside(folder, "kakou", &serve, &at("office.log"));
        wait::until("the enrolment server", LIMIT, || std::net::TcpStream::connect(&listen).ok());
        Self { folder: folder.to_path_buf(), broker, url, _server: server }
    }

    /// Runs `kakou …` in the folder; the error is what it says.
    pub fn kakou(&self, arguments: &[&str]) -> Result<String, String> {
        kakou(&self.folder, arguments)
    }

    /// Runs `kakou fleet …` as `ops`, however it ends.
    pub fn output(&self, command: &str, more: &[&str]) -> Output {
        let url = format!("mqtts://127.0.0.1:{}", self.broker.port);
        let who = ["--ca", "ca/root.pem", "--cert", "ca/issued/ops.pem", "--key", "ca/issued/ops.key"];
        let mut program = Command::new(programs().join("kakou"));
        program.current_dir(&self.folder).args(["fleet", command, "--broker", &url]).args(who).args(more);
        program.output().expect("kakou runs")
    }

    /// Runs `kakou fleet …` as `ops`; the error is what it says.
    pub fn fleet(&self, command: &str, more: &[&str]) -> Result<String, String> {
        let out = self.output(command, more);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    /// Serves the fleet page as `ops`, until what it gives is dropped; its address.
    pub fn page(&self, more: &[&str]) -> (String, impl Drop + use<>) {
        let (url, listen) =
            (format!("mqtts://127.0.0.1:{}", self.broker.port), format!("127.0.0.1:{}", free_port()));
        let who = ["--ca", "ca/root.pem", "--cert", "ca/issued/ops.pem", "--key", "ca/issued/ops.key"];
        let serve = ["fleet", "serve", "--broker", &url, "--listen", &listen];
        let page =
            beside(&self.folder, "kakou", &[&serve[..], &who, more].concat(), &self.folder.join("page.log"));
        wait::until("the fleet page", LIMIT, || std::net::TcpStream::connect(&listen).ok());
        (format!("http://{listen}"), page)
    }

    /// A code for a box.
    pub fn code(&self, (site, gateway): (&str, &str), of: &EmptyBox) -> String {
        let screen = format!("screen={}", of.screen);
        let code = ["ca", "code", "--dir", "ca", "--url", &self.url, "--site", site, "--gateway", gateway];
        let more = ["--template", "gate", "--set", &screen, "--text"];
        self.kakou(&[&code[..], &more].concat()).expect("a code").trim().to_owned()
    }

    /// Signs lists and hands them to the broker, which keeps them for whoever comes.
    pub fn feeds(&self, lists: &[(&str, Value)]) {
        for (name, entries) in lists {
            let file = format!("{name}.json");
            fs::write(self.folder.join(&file), entries.to_string()).expect("a file");
            let make =
                ["feed", "make", "--key", "ops.pk8", "--name", name, "--from", &file, "--out", "feeds"];
            self.kakou(&make).expect("a feed");
        }
        self.fleet("push", &["feeds"]).expect("feeds are sent");
    }

    /// The text of a code that puts somebody on hold.
    pub fn hold(&self, id: &str) -> String {
        let entry = [
            "feed",
            "entry",
            "--key",
            "ops.pk8",
            "--name",
            "hold",
            "--id",
            id,
            "--facts",
            "{\"code\":\"x\"}",
        ];
        self.kakou(&entry).expect("an entry").trim().to_owned()
    }
}

fn kakou(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let out = Command::new(programs().join("kakou"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

fn beside(folder: &Path, program: &str, arguments: &[&str], log: &Path) -> ChildGuard {
    let log = fs::File::options().create(true).append(true).open(log).expect("a log");
    let mut command = Command::new(programs().join(program));
    command.current_dir(folder).args(arguments).env_remove("JOURNAL_STREAM");
    ChildGuard(command.stdout(Stdio::null()).stderr(log).spawn().expect("the program starts"))
}

/// A box as it comes out of the carton, later a gateway.
pub struct EmptyBox {
    folder: PathBuf,
    screen: u16,
    scanner: ScannerSim,
    daemon: Option<ChildGuard>,
    scanned: usize,
}

impl EmptyBox {
    /// Unpacked and switched on, in a folder of its own.
    pub fn unpack(office: &Office, name: &str) -> Self {
        let folder = office.folder.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let scanner = ScannerSim::new(&folder.join("port"), Faults::default(), 1).expect("a pty");
        let mut one = Self { folder, screen: free_port(), scanner, daemon: None, scanned: 0 };
        let text = format!(
            "[enrol]\ndata = \"data\"\nlisten = \"127.0.0.1:{}\"\nports = [\"{}\"]\n",
            one.screen,
            one.folder.join("port").display()
        );
        fs::write(one.folder.join("kakou.toml"), text).expect("a file");
        one.power_on();
        one
    }

    /// Holds a code before its scanner until it is a gateway and its lanes hear the scanner.
    pub fn enrol(&mut self, code: &str) {
        let mut shown: Option<Instant> = None;
        let done = wait::try_until(LIMIT, || {
            // What came before the port was opened is for nobody; the same code again disturbs nothing.
            if shown.is_none_or(|at| at.elapsed() > AGAIN)
                && self.log().contains("listening for an enrolment code")
            {
                self.scanner.scan(code).expect("a pty");
                shown = Some(Instant::now());
            }
            self.data().join("enrolled/kakou.toml").exists().then_some(())
        });
        assert!(done.is_some(), "the box is not enrolled: {}", self.log());
        self.await_scanner();
    }

    fn await_scanner(&self) {
        let ready = wait::try_until(LIMIT, || {
            self.get("/api/v1/status").filter(|s| s["devices"][0]["state"] == "ready")
        });
        assert!(ready.is_some(), "no gateway: {}", self.log());
    }

    /// Switches it on.
    pub fn power_on(&mut self) {
        let log = self.folder.join("log");
        self.daemon = Some(beside(&self.folder, "kakoud", &["--config", "kakou.toml"], &log));
        if self.folder.join("data/enrolled/kakou.toml").exists() {
            self.await_scanner();
        }
    }

    /// Pulls the plug: kill -9.
    pub fn power_off(&mut self) {
        self.daemon = None;
    }

    /// What the daemon wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Where its screens are.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.screen)
    }

    /// A page as JSON.
    pub fn get(&self, path: &str) -> Option<Value> {
        let url = format!("{}{path}", self.url());
        serde_json::from_str(&ureq::get(url).call().ok()?.body_mut().read_to_string().ok()?).ok()
    }

    /// Events of a kind, in order.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let Ok(journal) = journal::reader(&self.data()) else { return Vec::new() };
        let Ok(mut select) = journal.prepare("SELECT body FROM event WHERE shed = 0 ORDER BY seq") else {
            return Vec::new();
        };
        let bodies = select.query_map([], |r| r.get::<_, Vec<u8>>(0)).expect("the schema");
        let all = bodies.flatten().filter_map(|b| serde_json::from_slice::<Value>(&b).ok());
        all.filter(|e| e["type"] == format!("kakou.{kind}.v1")).collect()
    }

    /// Waits for so many events of a kind.
    pub fn await_events(&self, kind: &str, count: usize) -> Vec<Value> {
        let found = wait::try_until(LIMIT, || Some(self.events(kind)).filter(|e| e.len() >= count));
        found.unwrap_or_else(|| panic!("{count} events `{kind}` did not come; log:\n{}", self.log()))
    }

    /// Reads a code, for which no verdict comes.
    pub fn show(&mut self, code: &str) {
        self.scanner.scan(code).expect("a pty");
    }

    /// Reads a code; outcome and codes of its verdict.
    pub fn verdict(&mut self, code: &str) -> (String, Vec<String>) {
        self.scanned += 1;
        let end = Instant::now() + LIMIT;
        // Until it is taken: while a barrier still moves, the next one is turned away.
        let data = loop {
            self.show(code);
            let again = Duration::from_secs(10);
            let verdicts = || Some(self.events("transaction")).filter(|e| e.len() >= self.scanned);
            if let Some(all) = wait::try_until(again, verdicts) {
                break all[self.scanned - 1]["data"].clone();
            }
            assert!(Instant::now() < end, "{code} had no verdict; log:\n{}", self.log());
        };
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        (text(&data["outcome"]), data["codes"].as_array().into_iter().flatten().map(text).collect())
    }

    /// Asks the journal for a number.
    pub fn count(&self, sql: &str) -> i64 {
        let journal = journal::reader(&self.data()).expect("a journal");
        journal.query_row(sql, [], |r| r.get(0)).expect("the schema")
    }
}

/// A list with nobody in it.
pub fn nobody() -> Value {
    Value::Object(Map::new())
}
