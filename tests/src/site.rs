//! A site around a virtual gateway: its authority and enrolment server, a broker with mutual TLS, a
//! consumer, and what the devices at its serial lines do. All on this machine's loopback, which the
//! guest knows as 10.0.2.2.

use crate::brokers::Mosquitto;
use crate::daemon::{free_port, programs};
use crate::desk;
use crate::disk::Disk;
use crate::figures::Missing;
use crate::guest::{Arch, Guest, Plan};
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The serial lines of the guest: scanners, thermometers and barriers of the gate, the trucks' lane and the desk.
pub const LINES: [&str; 7] = ["SCAN01", "THERM1", "RELAY1", "THERM2", "RELAY2", "SCAN03", "THERM3"];

struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The site.
pub struct Site {
    /// Everything lies here.
    pub folder: PathBuf,
    /// The port of this machine that leads to the guest's screens.
    pub forward: u16,
    /// The scanner of the gate.
    pub scanner: ScannerSim,
    /// The scanner of the desk.
    pub desk: ScannerSim,
    /// How often each barrier was told to open.
    pub pulses: [Arc<AtomicU64>; 2],
    enrol: u16,
    broker: Mosquitto,
    _devices: (Vec<ThermometerSim>, Vec<RelaySim>),
    _beside: Vec<ChildGuard>,
}

fn template(broker: u16) -> String {
    let port = |serial: &str| format!("/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{serial}-if00-port0");
    let mut out = format!(
        "[gateway]\nsite = \"{{site}}\"\nid = \"{{gateway}}\"\ndata = \"..\"\nregion = \"211400\"\nfleet_keys = \"fleet.json\"\n\
         [clock]\nsource = \"system\"\n[http]\nlisten = \"127.0.0.1:8088\"\n\
         [upstream]\nbroker = \"mqtts://10.0.2.2:{broker}\"\nca = \"ca.pem\"\ncert = \"device.pem\"\nkey = \"device.key\"\n\n{}",
        desk::officers()
    );
    let mut device = |id: &str, driver: &str, port: String| {
        out.push_str(&format!("[[device]]\nid = \"{id}\"\ndriver = \"{driver}\"\nport = {{ {port} }}\n\n"));
    };
    device("scanner-1", "line-scanner", "path = \"{scanner}\"".into());
    device("scanner-3", "line-scanner", format!("path = \"{}\"", port("SCAN03")));
    for n in 1..=3 {
        let at = format!("path = \"{}\", body_grade = true", port(&format!("THERM{n}")));
        device(&format!("thermometer-{n}"), "gy-mcu90614", at);
    }
    for n in 1..=2 {
        device(&format!("barrier-{n}"), "modbus-relay", format!("path = \"{}\"", port(&format!("RELAY{n}"))));
    }
    device("camera-2", "v4l2-camera", "path = \"/dev/video0\", read_codes = true".into());
    out.push_str("[[lane]]\nid = \"gate\"\nprofile = \"school-gate\"\n");
    out.push_str(
        "devices = { scanner = \"scanner-1\", thermometer = \"thermometer-1\", barrier = \"barrier-1\" }\n\n",
    );
    out.push_str(
        "[[lane]]\nid = \"truck\"\nprofile = \"truck-supplies\"\ndevices = { scanner = \"camera-2\", ",
    );
    out.push_str("camera = \"camera-2\", thermometer = \"thermometer-2\", barrier = \"barrier-2\" }\n\n");
    out.push_str("[[lane]]\nid = \"desk\"\nprofile = \"pre-triage\"\n");
    out.push_str("devices = { scanner = \"scanner-3\", thermometer = \"thermometer-3\" }\n");
    out
}

impl Site {
    /// Makes it, and starts what belongs to it.
    pub fn make(folder: &Path, trust: &Value) -> Result<Self, Missing> {
        let (enrol, forward) = (free_port(), free_port());
        let line = |name: &str| folder.join(name);
        let scanner = ScannerSim::new(&line("SCAN01"), Faults::default(), 1)?;
        let desk = ScannerSim::new(&line("SCAN03"), Faults::default(), 1)?;
        let pulses = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
        let (mut thermometers, mut relays) = (Vec::new(), Vec::new());
        for n in 1..=3 {
            let at = line(&format!("THERM{n}"));
            thermometers.push(ThermometerSim::new(&at, 36_500, Duration::from_millis(100))?);
        }
        for (n, count) in (1..).zip(&pulses) {
            let count = count.clone();
            let tell = move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            };
            relays.push(RelaySim::new(&line(&format!("RELAY{n}")), tell)?);
        }
        let mut site = Self {
            folder: folder.to_path_buf(),
            forward,
            scanner,
            desk,
            pulses,
            enrol,
            broker: Mosquitto::plain(folder, "site"),
            _devices: (thermometers, relays),
            _beside: Vec::new(),
        };
        site.kakou(&["ca", "init", "--dir", "ca"])?;
        let keys = [
            "fleet",
            "key",
            "--out",
            "ops.pk8",
            "--keys",
            "ca/fleet.json",
            "--usage",
            "feed",
            "--usage",
            "operate",
            "--usage",
            "configure",
        ];
        site.kakou(&keys)?;
        std::fs::write(folder.join("ca/trust.json"), trust.to_string())?;
        for (name, host) in [("broker", &["10.0.2.2", "127.0.0.1"][..]), ("central", &[]), ("ops", &[])] {
            site.kakou(&[&["ca", "server", "--dir", "ca", "--name", name][..], host].concat())?;
        }
        let issued = |file: &str| folder.join("ca/issued").join(file).display().to_string();
        let lines = format!(
            "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\n\
             allow_anonymous false\ntls_version tlsv1.3\nuser root\npersistence false\nmax_queued_messages 0\n",
            folder.join("ca/root.pem").display(),
            issued("broker.pem"),
            issued("broker.key")
        );
        site.broker.configure(&lines);
        site.broker.start();
        std::fs::write(folder.join("ca/templates/vm.toml"), template(site.broker.port))?;
        let (url, at) = (format!("https://10.0.2.2:{enrol}"), format!("127.0.0.1:{enrol}"));
        site.beside(&["ca", "serve", "--dir", "ca", "--url", &url, "--listen", &at])?;
        let listen = ["central", "listen", "--out", "events", "--photos", "central"];
        let as_central = site.as_("central");
        let as_central: Vec<&str> = as_central.iter().map(String::as_str).collect();
        site.beside(&[&listen[..], &as_central].concat())?;
        Ok(site)
    }

    /// The options with which a tool finds the broker under a name.
    pub fn as_(&self, name: &str) -> Vec<String> {
        let url = format!("mqtts://127.0.0.1:{}", self.broker.port);
        let file = |end: &str| format!("ca/issued/{name}.{end}");
        ["--broker", &url, "--ca", "ca/root.pem", "--cert", &file("pem"), "--key", &file("key")]
            .map(str::to_owned)
            .to_vec()
    }

    fn beside(&mut self, arguments: &[&str]) -> Result<(), Missing> {
        let log = std::fs::File::create(self.folder.join(format!("{}.log", arguments[1])))?;
        let mut command = Command::new(programs().join("kakou"));
        let child =
            command.current_dir(&self.folder).args(arguments).stdout(Stdio::null()).stderr(log).spawn()?;
        self._beside.push(ChildGuard(child));
        Ok(())
    }

    /// Runs `kakou …` in the folder of the site.
    pub fn kakou(&self, arguments: &[&str]) -> Result<String, Missing> {
        let out =
            Command::new(programs().join("kakou")).current_dir(&self.folder).args(arguments).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if out.status.success() {
            Ok(text(&out.stdout))
        } else {
            Err(Missing(format!("kakou {arguments:?}: {}", text(&out.stderr))))
        }
    }

    /// Runs a command of central ops at the broker.
    pub fn ops(&self, command: &[&str], more: &[&str]) -> Result<String, Missing> {
        let options = self.as_("ops");
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        self.kakou(&[command, &options, more].concat())
    }

    /// Sends the list of residents as a feed, and empty ones beside it: a list that never came is stale.
    /// Waits until the gateway has them.
    pub fn feeds(&self, residents: &Value) -> Result<(), Missing> {
        let empty = Value::Object(serde_json::Map::new());
        let lists = [("status", residents), ("revocation", &empty), ("hold", &empty), ("pass", &empty)];
        for (name, entries) in lists {
            let file = format!("{name}.json");
            std::fs::write(self.folder.join(&file), entries.to_string())?;
            let make =
                ["feed", "make", "--key", "ops.pk8", "--name", name, "--from", &file, "--out", "feeds"];
            self.kakou(&make)?;
        }
        self.ops(&["fleet", "push"], &["feeds"])?;
        let come = || (self.events("list").len() >= lists.len()).then_some(());
        crate::wait::try_until(Duration::from_secs(120), come)
            .ok_or_else(|| Missing("the feeds do not arrive".into()))
    }

    /// An enrolment code for the guest.
    pub fn code(&self) -> Result<String, Missing> {
        let url = format!("https://10.0.2.2:{}", self.enrol);
        let code = ["ca", "code", "--dir", "ca", "--url", &url, "--site", "vm", "--gateway", "gw-1"];
        self.kakou(&[&code[..], &["--template", "vm", "--text"]].concat())
    }

    /// How the guest is wired.
    pub fn lines(&self) -> Vec<(String, PathBuf)> {
        LINES.iter().map(|l| ((*l).to_owned(), self.folder.join(l))).collect()
    }

    /// What this machine sees of the guest's screens goes through a proxy in the guest.
    pub fn open_screens(guest: &mut Guest) -> Result<(), Missing> {
        let proxy = "systemd-run -q --unit=screens --socket-property=ListenStream=0.0.0.0:8081 /lib/systemd/systemd-socket-proxyd 127.0.0.1:8088";
        guest.ask(proxy).map(drop)
    }

    /// A page of the guest as JSON.
    pub fn get(&self, path: &str) -> Option<Value> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
        let url = format!("http://127.0.0.1:{}{path}", self.forward);
        serde_json::from_str(&agent.get(url).call().ok()?.body_mut().read_to_string().ok()?).ok()
    }

    /// The events of a kind that have arrived at the consumer.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("events")).unwrap_or_default();
        let kind = format!("kakou.{kind}.v1");
        text.lines()
            .filter_map(|l| serde_json::from_str::<Value>(l).ok().map(|mut l| l["event"].take()))
            .filter(|e| e["type"] == kind.as_str())
            .collect()
    }

    /// The guest, with everything that is wired to it.
    pub fn plan<'a>(&self, arch: Arch, image: &'a Path, disk: &'a Disk) -> Plan<'a> {
        Plan { arch, image, disk, lines: self.lines(), forward: self.forward }
    }

    /// Switches the guest on, and waits until it answers.
    pub fn boot(&self, arch: Arch, image: &Path, disk: &Disk) -> Result<Guest, Missing> {
        Guest::boot(&self.plan(arch, image, disk))
    }

    /// Enrols the guest by a code at its scanner; waits until its lanes are open.
    pub fn enrol(&mut self, guest: &mut Guest) -> Result<(), Missing> {
        let limit = Duration::from_secs(120);
        let listening = "for at in /dev/serial/by-id/*SCAN0*; do journalctl -u kakoud | grep -q \"enrolment code at $(readlink -f $at)\" || exit 1; done";
        guest.until("the scanners", listening, limit)?;
        let code = self.code()?;
        std::thread::sleep(Duration::from_secs(1));
        self.scanner.scan(&code)?;
        let enrolled =
            "test -f /var/lib/kakou/enrolled/kakou.toml && journalctl -u kakoud | grep -q 'lanes are open'";
        let done = guest.until("enrolment", enrolled, limit);
        done.map(drop).map_err(|e| {
            Missing(format!("{}\n{}", e.0, guest.ask("journalctl -u kakoud | tail -30").unwrap_or_default()))
        })
    }

    /// Waits until every device of the guest is ready.
    pub fn ready(&self) -> Result<(), Missing> {
        let all = |status: &Value| {
            let devices = status["devices"].as_array().cloned().unwrap_or_default();
            devices.len() == LINES.len() + 1 && devices.iter().all(|d| d["state"] == "ready")
        };
        let seen =
            crate::wait::try_until(Duration::from_secs(120), || self.get("/api/v1/status").filter(all));
        seen.map(drop).ok_or_else(|| {
            Missing(format!(
                "not every device is ready: {}",
                self.get("/api/v1/status").unwrap_or_default()["devices"]
            ))
        })
    }
}
