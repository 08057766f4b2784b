//! The real daemon on a folder of its own, with simulated devices at its ports.

use crate::contract::Contract;
use crate::wait;
use rusqlite::Connection;
use serde_json::Value;
use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// The profile in which this program was built.
fn release() -> bool {
    !cfg!(debug_assertions)
}

/// Builds the programs of the product, once, and gives the folder that they are in: the one that `KAKOU_BUILT` names, where
/// somebody has built them.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        if let Some(built) = std::env::var_os("KAKOU_BUILT") {
            return std::path::absolute(built).expect("a folder");
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above");
        let mut build = Command::new(env!("CARGO"));
        // The same selection as for the tests: the product is then built with what they were built with.
        let wanted = [
            "build",
            "--quiet",
            "-p",
            "kakou-gateway",
            "-p",
            "kakou-central",
            "-p",
            "kakou-demo",
            "-p",
            "kakou-tests",
            "--bin",
            "kakoud",
            "--bin",
            "kakou",
            "--bin",
            "kakou-central",
            "--bin",
            "kakou-demo",
        ];
        build.current_dir(root).args(wanted);
        // What cargo tells the program that it runs would look like a change to some build scripts,
        // and everything above them would be built again.
        for (name, _) in std::env::vars_os() {
            let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
            if name.to_str().is_some_and(|n| told.iter().any(|t| n.starts_with(t))) {
                build.env_remove(name);
            }
        }
        if release() {
            build.arg("--release");
        }
        let built = build.stdout(Stdio::null()).status().expect("cargo runs");
        assert!(built.success(), "the daemon does not build");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        target.join(if release() { "release" } else { "debug" })
    })
}

/// Ports of servers that tests start: below those that a kernel gives to whoever asks for any.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port that nobody uses, and that no other test gets before this process ends: a server may come to it late, and
/// come back to it after it was stopped.
pub fn free_port() -> u16 {
    let folder = std::env::temp_dir().join(format!("kakou-ports-{}", rustix::process::getuid().as_raw()));
    std::fs::create_dir_all(&folder).expect("a folder for the ports in use");
    // Each process begins elsewhere, so that few are tried in vain.
    let count = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(97) % count;
    let free = (0..count).find_map(|n| {
        let port = PORTS.start + u16::try_from((first + n) % count).ok()?;
        let file = std::fs::File::create(folder.join(port.to_string())).ok()?;
        file.try_lock().ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok()?;
        // The lock ends with the process.
        std::mem::forget(file);
        Some(port)
    });
    free.expect("a free port")
}

/// Role, driver and port table of a device.
pub type Device = (String, String, String);

/// The configuration of one daemon, in parts.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The id of the gateway; `gw-1` if empty.
    pub id: String,
    /// Lines of `[gateway]` beside site, id and data.
    pub gateway: String,
    /// The whole `[clock]` table; the system clock if empty.
    pub clock: String,
    /// Whole tables: officers, upstream, retention.
    pub tables: String,
    /// Lanes: id, profile, devices as (role, driver, port table).
    pub lanes: Vec<(String, String, Vec<Device>)>,
    /// Whether screens are served.
    pub http: bool,
    /// The files that the daemon may have open; as many as the test if none.
    pub files: Option<u64>,
    /// The control group that it begins in, by the file that takes its id.
    pub group: Option<PathBuf>,
}

impl Plan {
    /// A lane whose devices are at `ports/LANE-ROLE`.
    pub fn lane(mut self, id: &str, profile: &str, roles: &[&str]) -> Self {
        let devices = roles
            .iter()
            .map(|role| {
                let (driver, more) = match *role {
                    "scanner" => ("line-scanner", ""),
                    "thermometer" => ("gy-mcu90614", ", body_grade = true"),
                    "barrier" => ("modbus-relay", ""),
                    _ => ("still-camera", ""),
                };
                ((*role).to_owned(), driver.to_owned(), format!("{{ path = \"ports/{id}-{role}\"{more} }}"))
            })
            .collect();
        self.lanes.push((id.to_owned(), profile.to_owned(), devices));
        self
    }

    fn text(&self, port: u16) -> String {
        let clock = if self.clock.is_empty() { "[clock]\nsource = \"system\"" } else { &self.clock };
        let id = if self.id.is_empty() { "gw-1" } else { &self.id };
        let mut out = format!(
            "[gateway]\nsite = \"test\"\nid = \"{id}\"\ndata = \"data\"\n{}\n\n{clock}\n\n{}\n",
            self.gateway, self.tables
        );
        if self.http {
            out.push_str(&format!("[http]\nlisten = \"127.0.0.1:{port}\"\n"));
        }
        for (lane, profile, devices) in &self.lanes {
            let mut roles = Vec::new();
            for (role, driver, port) in devices {
                out.push_str(&format!(
                    "\n[[device]]\nid = \"{lane}-{role}\"\ndriver = \"{driver}\"\nport = {port}\n"
                ));
                roles.push(format!("{role} = \"{lane}-{role}\""));
            }
            out.push_str(&format!(
                "\n[[lane]]\nid = \"{lane}\"\nprofile = \"{profile}\"\ndevices = {{ {} }}\n",
                roles.join(", ")
            ));
        }
        out
    }
}

/// A folder with a configuration, and perhaps a daemon that runs on it.
pub struct Gateway {
    folder: PathBuf,
    port: u16,
    plan: Plan,
    child: Option<Child>,
}

impl Gateway {
    /// Prepares a folder; nothing runs yet.
    pub fn prepare(folder: &Path, plan: Plan) -> Self {
        std::fs::create_dir_all(folder.join("ports")).expect("a folder for ports");
        std::fs::create_dir_all(folder.join("data/lists")).expect("a folder for lists");
        let gateway = Self { folder: folder.to_path_buf(), port: free_port(), plan, child: None };
        gateway.write();
        gateway
    }
    fn write(&self) {
        std::fs::write(self.folder.join("kakou.toml"), self.plan.text(self.port)).expect("a configuration");
    }
    /// Changes the plan of a daemon that does not run.
    pub fn replan(&mut self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan);
        self.write();
    }
    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
    /// The folder of lists.
    pub fn lists(&self) -> PathBuf {
        self.data().join("lists")
    }
    /// The port of a device.
    pub fn device(&self, lane: &str, role: &str) -> PathBuf {
        self.folder.join(format!("ports/{lane}-{role}"))
    }
    /// What the daemon wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("kakou.toml")
    }
    /// Where its screens are.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Starts the daemon and waits until its lanes are open and what lies in the folder of lists is in use.
    pub fn start(&mut self) {
        let looked = |log: String| log.matches("the folder of lists has been looked at").count();
        let before = looked(self.log());
        self.open();
        let taken = wait::try_until(Duration::from_secs(60), || (looked(self.log()) > before).then_some(()));
        assert!(taken.is_some(), "kakoud does not take its lists: {}", self.log());
    }

    /// Starts the daemon and waits until it says that its lanes are open and its scanners are heard:
    /// a port is emptied when it is opened, and a code that came before is for nobody.
    pub fn open(&mut self) {
        let last = self.last_seq();
        let before = self.log().matches("lanes are open").count();
        let log =
            File::options().create(true).append(true).open(self.folder.join("log")).expect("a log file");
        let mut command = self.command();
        let child = command
            .arg("--config")
            .arg(self.folder.join("kakou.toml"))
            .env_remove("JOURNAL_STREAM")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("kakoud starts");
        self.child = Some(child);
        let open = wait::try_until(Duration::from_secs(60), || {
            let ended = self.child.as_mut().and_then(|c| c.try_wait().ok().flatten());
            assert!(ended.is_none(), "kakoud has ended: {}", self.log());
            (self.log().matches("lanes are open").count() > before).then_some(())
        });
        assert!(open.is_some(), "kakoud did not open its lanes: {}", self.log());
        let scanners = self.plan.lanes.iter().filter(|(lane, _, devices)| {
            self.device(lane, "scanner").exists() && devices.iter().any(|(role, ..)| role == "scanner")
        });
        for (lane, ..) in scanners {
            let heard = wait::try_until(Duration::from_secs(60), || self.heard(lane, last).then_some(()));
            assert!(heard.is_some(), "the scanner of {lane} is not heard: {}", self.log());
        }
    }

    /// The daemon under its limits.
    fn command(&self) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(group) = &self.plan.group {
            let enter = "echo $$ >\"$0\" && exec \"$@\"";
            words.extend(["sh".into(), "-c".into(), enter.into(), group.into()]);
        }
        if let Some(files) = self.plan.files {
            words.extend(["prlimit".into(), format!("--nofile={files}:{files}").into()]);
        }
        words.push(programs().join("kakoud").into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// The epoch and last event of the journal; 0 where there is none.
    fn last_seq(&self) -> (i64, i64) {
        let sql = "SELECT coalesce(max(seq), 0), (SELECT value FROM meta WHERE key = 'epoch') FROM event";
        let journal = kakou_gateway::store::journal::reader(&self.data()).ok();
        journal.and_then(|j| j.query_row(sql, [], |r| Ok((r.get(1)?, r.get(0)?))).ok()).unwrap_or_default()
    }

    /// Whether the scanner of a lane was said to be ready after an event of the journal.
    fn heard(&self, lane: &str, (epoch, after): (i64, i64)) -> bool {
        let sql = "SELECT count(*) FROM (SELECT CAST(body AS TEXT) AS told FROM event
            WHERE shed = 0 AND (seq > ?1 OR ?3 <> (SELECT value FROM meta WHERE key = 'epoch')))
            WHERE told ->> '$.type' = 'kakou.device.v1' AND told ->> '$.data.ready'
            AND told ->> '$.data.device' = ?2 || '-scanner'";
        self.journal().query_row(sql, (after, lane, epoch), |r| r.get::<_, i64>(0)).expect("the schema") > 0
    }

    /// kill -9, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the daemon can be killed");
            child.wait().expect("the daemon has ended");
        }
    }

    /// SIGTERM, and waits for the end; gives the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .expect("the daemon can be told to end");
        wait::until("the end of kakoud", Duration::from_secs(15), || child.try_wait().ok().flatten()).code()
    }

    /// Whether the daemon still runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| c.try_wait().ok().flatten().is_none())
    }

    /// Resident memory in MiB.
    pub fn rss_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }

    /// A reading connection to the journal.
    pub fn journal(&self) -> Connection {
        wait::until("the journal", Duration::from_secs(5), || {
            kakou_gateway::store::journal::reader(&self.data()).ok()
        })
    }

    /// Events of a kind, in order.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let journal = self.journal();
        let mut select =
            journal.prepare("SELECT body FROM event WHERE shed = 0 ORDER BY seq").expect("the schema");
        let bodies = select.query_map([], |r| r.get::<_, Vec<u8>>(0)).expect("the schema");
        let all = bodies.flatten().filter_map(|b| serde_json::from_slice::<Value>(&b).ok());
        all.filter(|e| e["type"] == format!("kakou.{kind}.v1")).collect()
    }

    /// The verdict of this visit of a lane, for whom somebody shows a code until it is taken: while a barrier still
    /// moves, the next one is turned away.
    pub fn await_verdict(&self, visit: usize, show: impl FnMut()) -> Value {
        let verdicts = || Some(self.events("transaction")).filter(|e| e.len() >= visit);
        let found = wait::asking(Duration::from_secs(60), show, verdicts);
        let all = found.unwrap_or_else(|| panic!("visit {visit} had no verdict; log:\n{}", self.log()));
        all[visit - 1]["data"].clone()
    }

    /// Waits for so many events of a kind.
    pub fn await_events(&self, kind: &str, count: usize) -> Vec<Value> {
        let found =
            wait::try_until(Duration::from_secs(60), || Some(self.events(kind)).filter(|e| e.len() >= count));
        found.unwrap_or_else(|| panic!("{count} events `{kind}` did not come; log:\n{}", self.log()))
    }
}

/// So many events of a journal are held against the contract when its gateway goes.
const JUDGED: u64 = 2_000;

impl Gateway {
    /// Where what it has put on record is not what the contract says.
    fn faults(&self) -> Vec<String> {
        // A test may have taken the journal away, or damaged it.
        let Ok(journal) = kakou_gateway::store::journal::reader(&self.data()) else { return Vec::new() };
        let sql = format!("SELECT body FROM event WHERE shed = 0 ORDER BY seq LIMIT {JUDGED}");
        let Ok(mut select) = journal.prepare(&sql) else { return Vec::new() };
        let bodies =
            select.query_map([], |r| r.get::<_, Vec<u8>>(0)).into_iter().flatten().map_while(Result::ok);
        let events = bodies.filter_map(|body| serde_json::from_slice::<Value>(&body).ok());
        let judged = |event: Value| {
            let faults = Contract::mqtt().event_faults(&event);
            (!faults.is_empty()).then(|| format!("{faults:#?}: {event:#}"))
        };
        events.filter_map(judged).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        // Bars, which are built for release, fill journals with events of their own making.
        if !release() && !std::thread::panicking() {
            let faults = self.faults();
            assert!(faults.is_empty(), "events that are not as the contract says: {}", faults.join("\n"));
        }
    }
}
