//! Central ops for tests: a broker with the access list that ships, and the command `kakou`.

use crate::brokers::Mosquitto;
use crate::certs::Authority;
use crate::daemon::{Plan, programs};
use kakou_central::enrol::expected;
use kakou_link::broker::{MqttVersion, Upstream};
use kakou_link::mqtt::{self, Mark, MqttEvent};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The access list for these gateways, as `kakou ca acl` writes it.
pub fn access(gateways: &[(&str, &str)]) -> String {
    let lines: Vec<String> = gateways.iter().map(|(site, gw)| format!("{site} {gw}")).collect();
    let names = expected::read(&lines.join("\n")).expect("names");
    expected::mosquitto(expected::MOSQUITTO, &names).expect("an access list")
}

/// A broker with mutual TLS and that list; certificates for each gateway, `central` and `ops`.
pub fn access_list(folder: &Path, gateways: &[(&str, &str)]) -> Mosquitto {
    let authority = Authority::new(folder);
    let (cert, key) = authority.issue("broker", true);
    for (site, gw) in gateways {
        authority.issue(&format!("{site}.{gw}"), false);
    }
    authority.issue("central", false);
    authority.issue("ops", false);
    authority.keep();
    let list = folder.join("access");
    std::fs::write(&list, access(gateways)).expect("a file");
    let lines = format!(
        "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\n\
         allow_anonymous false\ntls_version tlsv1.3\nacl_file {}\nuser root\npersistence false\n\
         max_queued_messages 100000\nmax_packet_size 1048576",
        authority.ca.display(),
        cert.display(),
        key.display(),
        list.display()
    );
    Mosquitto::new(folder, "fleet", &lines)
}

/// Central ops with a broker of its own, for these gateways of the site `test`; the key `ops.pk8` may be used for
/// all of these usages.
pub fn open(folder: &Path, gateways: &[&str], usages: &[&str]) -> (Mosquitto, Central) {
    let names: Vec<_> = gateways.iter().map(|gateway| ("test", *gateway)).collect();
    let mut broker = access_list(folder, &names);
    broker.start();
    let central = Central::new(folder, broker.port);
    let usages: Vec<&str> = usages.iter().flat_map(|usage| ["--usage", usage]).collect();
    let key = ["key", "--out", "ops.pk8", "--keys", "fleet.json", "--holder", "central ops"];
    central.run("fleet", &[&key[..], &usages].concat());
    (broker, central)
}

/// Central ops: a folder with keys and certificates, and the command.
pub struct Central {
    /// The folder that commands run in.
    pub folder: PathBuf,
    port: u16,
}

impl Central {
    /// For a broker of [`access_list`].
    pub fn new(folder: &Path, port: u16) -> Self {
        Self { folder: folder.to_path_buf(), port }
    }

    /// The `[upstream]` table of a gateway with this certificate.
    pub fn upstream(&self, name: &str) -> String {
        let at = |file: &str| self.folder.join(file).display().to_string();
        // The gateway renews its own copies.
        for end in ["pem", "key"] {
            let copy = self.folder.join(format!("own-{name}.{end}"));
            std::fs::copy(self.folder.join(format!("{name}.{end}")), copy).expect("a file");
        }
        format!(
            "[upstream]\nbroker = \"mqtts://127.0.0.1:{}\"\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\npurge = \"puback\"\n",
            self.port,
            at("ca.pem"),
            at(&format!("own-{name}.pem")),
            at(&format!("own-{name}.key"))
        )
    }

    /// The plan of a gateway of the site `test` that knows the fleet's keys, and its folder with these profiles.
    pub fn plan(&self, gateway: &str, profiles: &[(&str, String)]) -> (PathBuf, Plan) {
        let place = self.folder.join(gateway);
        std::fs::create_dir_all(&place).expect("a folder");
        for (name, text) in profiles {
            std::fs::write(place.join(format!("{name}.toml")), text).expect("a file");
        }
        let tables = self.upstream(&format!("test.{gateway}"));
        let keys = format!("fleet_keys = \"{}\"", self.folder.join("fleet.json").display());
        (place, Plan { tables, gateway: keys, id: gateway.to_owned(), ..Plan::default() })
    }

    /// What `kakou` needs to speak with the broker under a certificate.
    pub fn arguments(&self, who: &str) -> Vec<String> {
        let at = |file: &str| self.folder.join(file).display().to_string();
        let url = format!("mqtts://127.0.0.1:{}", self.port);
        let (cert, key) = (at(&format!("{who}.pem")), at(&format!("{who}.key")));
        ["--broker", &url, "--ca", &at("ca.pem"), "--cert", &cert, "--key", &key].map(str::to_owned).to_vec()
    }

    /// Runs `kakou GROUP …`; what speaks with the broker does so as `ops`.
    pub fn output(&self, group: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(programs().join("kakou"));
        command.current_dir(&self.folder).arg(group);
        let speaks = group == "fleet" && arguments.first() != Some(&"key");
        let (first, rest) = arguments.split_at(1);
        command.args(first);
        if speaks {
            let url = format!("mqtts://127.0.0.1:{}", self.port);
            command.args(["--broker", &url, "--ca", "ca.pem", "--cert", "ops.pem", "--key", "ops.key"]);
        }
        command.args(rest).output().expect("kakou runs")
    }

    /// The same, which must succeed; gives what it printed.
    pub fn run(&self, group: &str, arguments: &[&str]) -> String {
        let out = self.output(group, arguments);
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "kakou {group} {arguments:?}: {error}");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// `kakou fleet …` with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let out = self.output("fleet", arguments);
        serde_json::from_slice(&out.stdout).unwrap_or_default()
    }

    /// Signs a certificate request.
    pub fn sign(&self, csr: &str, file: &str) {
        Authority::again(&self.folder).sign(csr, &self.folder.join(file));
    }

    fn as_(&self, name: &str) -> Upstream {
        let file = |end: &str| self.folder.join(format!("{name}.{end}"));
        let url = format!("mqtts://127.0.0.1:{}", self.port);
        let identity = Some((file("pem"), file("key")));
        Upstream::tool(&url, Some(self.folder.join("ca.pem")), identity, MqttVersion::V5).expect("an address")
    }

    fn options<'a>(broker: &'a Upstream, name: &str) -> mqtt::Options<'a> {
        mqtt::Options {
            broker,
            client_id: format!("try-{name}"),
            clean: true,
            will: None,
            inflight: 10,
            incoming: 10,
            capacity: 10,
            manual_acks: false,
        }
    }

    /// Publishes under a certificate; the error is the broker's refusal.
    pub fn publish(&self, who: &str, topic: &str, body: &[u8]) -> Result<(), String> {
        block_on(async {
            let broker = self.as_(who);
            let (client, mut events) = mqtt::open(Self::options(&broker, who)).map_err(|e| e.to_string())?;
            loop {
                match events.poll().await.map_err(|e| e.to_string())? {
                    MqttEvent::Connected { .. } => {
                        client.publish(topic, body.to_vec(), Mark::default()).map_err(|e| e.to_string())?;
                    }
                    MqttEvent::Acked(_, answer) => return answer,
                    MqttEvent::Subscribed(_)
                    | MqttEvent::Departed(_)
                    | MqttEvent::Message(_)
                    | MqttEvent::Other => {}
                }
            }
        })
    }

    /// Publishes many messages on one topic, as fast as the broker takes them.
    pub fn flood(
        &self,
        who: &str,
        topic: &str,
        bodies: impl IntoIterator<Item = Vec<u8>>,
    ) -> Result<(), String> {
        self.flood_all(who, bodies.into_iter().map(|body| (topic.to_owned(), body)))
    }

    /// The same on any topics.
    pub fn flood_all(
        &self,
        who: &str,
        words: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<(), String> {
        block_on(async {
            let broker = self.as_(who);
            let options = mqtt::Options { capacity: 100, inflight: 100, ..Self::options(&broker, who) };
            let (client, mut events) = mqtt::open(options).map_err(|e| e.to_string())?;
            while !matches!(events.poll().await.map_err(|e| e.to_string())?, MqttEvent::Connected { .. }) {}
            let mut words = words.into_iter();
            let (mut under_way, mut more) = (0, true);
            while more || under_way > 0 {
                while more && under_way < 50 {
                    let Some((topic, body)) = words.next() else {
                        more = false;
                        break;
                    };
                    client.publish(&topic, body, Mark::default()).map_err(|e| e.to_string())?;
                    under_way += 1;
                }
                if let MqttEvent::Acked(_, answer) = events.poll().await.map_err(|e| e.to_string())? {
                    answer?;
                    under_way -= 1;
                }
            }
            Ok(())
        })
    }

    /// Publishes the same words again and again without waiting for an acknowledgement, until told to end; says how many
    /// went out.
    pub fn drown(&self, who: &str, words: &[(String, Vec<u8>)], end: &AtomicBool) -> Result<u64, String> {
        block_on(async {
            let broker = self.as_(who);
            let options = mqtt::Options { capacity: 1_000, ..Self::options(&broker, who) };
            let (client, mut events) = mqtt::open(options).map_err(|e| e.to_string())?;
            while !matches!(events.poll().await.map_err(|e| e.to_string())?, MqttEvent::Connected { .. }) {}
            let (mut said, unsure) = (0, Mark { unsure: true, ..Mark::default() });
            while !end.load(Ordering::Relaxed) {
                for (topic, body) in words {
                    match client.publish(topic, body.clone(), unsure) {
                        Ok(()) => said += 1,
                        // Room comes while the connection is listened to.
                        Err(_) => {
                            let soon = Duration::from_millis(5);
                            if let Ok(heard) = tokio::time::timeout(soon, events.poll()).await {
                                heard.map_err(|e| e.to_string())?;
                            }
                        }
                    }
                }
                tokio::task::yield_now().await;
            }
            Ok(said)
        })
    }

    /// Publishes words, and gives what was heard on a filter up to the first that is wanted; none if that does not come in
    /// time.
    pub fn converse(
        &self,
        who: &str,
        filter: &str,
        words: &[(String, Vec<u8>)],
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Option<Vec<Value>> {
        block_on(async {
            let broker = self.as_(who);
            let options = mqtt::Options {
                capacity: words.len() + 10,
                ..Self::options(&broker, &format!("{who}-talk"))
            };
            let (client, mut events) = mqtt::open(options).expect("a connection");
            let mut heard = Vec::new();
            let listen = async {
                loop {
                    match events.poll().await.expect("a connection") {
                        MqttEvent::Connected { .. } => client.subscribe(filter).expect("room"),
                        MqttEvent::Subscribed(_) => {
                            for (topic, body) in words {
                                client.publish(topic, body.clone(), Mark::default()).expect("room");
                            }
                        }
                        MqttEvent::Message(m) => {
                            heard.push(serde_json::from_slice(&m.payload).unwrap_or_default());
                            if heard.last().is_some_and(&wanted) {
                                return;
                            }
                        }
                        MqttEvent::Departed(_) | MqttEvent::Acked(..) | MqttEvent::Other => {}
                    }
                }
            };
            tokio::time::timeout(limit, listen).await.ok()?;
            Some(heard)
        })
    }

    /// Publishes to be kept by the broker, and gives what comes first on a filter after that.
    pub fn answer(&self, who: &str, filter: &str, topic: &str, body: &[u8]) -> Option<Vec<u8>> {
        block_on(async {
            let broker = self.as_(who);
            let (client, mut events) = mqtt::open(Self::options(&broker, who)).expect("a connection");
            let kept = Mark { retain: true, ..Mark::default() };
            let listen = async {
                loop {
                    match events.poll().await.expect("a connection") {
                        MqttEvent::Connected { .. } => client.subscribe(filter).expect("room"),
                        MqttEvent::Subscribed(_) => client.publish(topic, body.to_vec(), kept).expect("room"),
                        MqttEvent::Message(m) => return m.payload.to_vec(),
                        MqttEvent::Departed(_) | MqttEvent::Acked(..) | MqttEvent::Other => {}
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(30), listen).await.ok()
        })
    }

    /// Whether somebody with this certificate, who subscribes to a filter, hears what `central` or
    /// `ops` or the owner publishes on a topic.
    pub fn hears(&self, who: &str, filter: &str, topic: &str) -> bool {
        block_on(async {
            let broker = self.as_(who);
            let Ok((client, mut events)) = mqtt::open(Self::options(&broker, &format!("{who}-ear"))) else {
                return false;
            };
            let owner = if topic.ends_with("rcpt") {
                "central"
            } else if topic.contains("/evt/") {
                "test.gw-1"
            } else {
                "ops"
            };
            let listen = async {
                loop {
                    match events.poll().await {
                        Ok(MqttEvent::Connected { .. }) => client.subscribe(filter).expect("room"),
                        Ok(MqttEvent::Subscribed(_)) => {
                            let broker = self.as_(owner);
                            let options = mqtt::Options { clean: true, ..Self::options(&broker, "mouth") };
                            let (mouth, mut said) = mqtt::open(options).expect("a connection");
                            loop {
                                match said.poll().await.expect("a connection") {
                                    MqttEvent::Connected { .. } => {
                                        mouth.publish(topic, b"{}".to_vec(), Mark::default()).expect("room");
                                    }
                                    MqttEvent::Acked(_, answer) => {
                                        answer.expect("the owner may speak");
                                        break;
                                    }
                                    MqttEvent::Subscribed(_)
                                    | MqttEvent::Departed(_)
                                    | MqttEvent::Message(_)
                                    | MqttEvent::Other => {}
                                }
                            }
                        }
                        Ok(MqttEvent::Message(m)) if m.topic == topic => return true,
                        Ok(_) => {}
                        Err(_) => return false,
                    }
                }
            };
            tokio::time::timeout(Duration::from_secs(2), listen).await.unwrap_or(false)
        })
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}
