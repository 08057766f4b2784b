//! `kakou fleet`

mod serve;
mod show;
mod sources;
mod subject_keys;
mod trace;

use super::broker::Broker;
use super::fail;
use super::feed::issuer;
use crate::fleet::access::Door;
use crate::fleet::send::{self, OutgoingMessage, Post};
use crate::fleet::watch::{self, Watch, Watched, now_ms};
use crate::metrics::At;
use kakou_authority::issuer::Issuer;
use kakou_core::ids::{GatewayId, LaneId, SiteId};
use kakou_core::pass::trust::{TrustFile, Usage};
use kakou_gateway::{eprint, eprintln, print, println};
use kakou_link::mqtt::{self, MqttEvent};
use kakou_link::{files, shown};
use kakou_wire::order::{Command as Order, Configuration, Report, State, What};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::Value;
use sources::Sources;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Looks after many gateways over their broker.
#[derive(clap::Subcommand)]
#[command(
    after_help = "Gateways take words only from keys on their list of fleet keys. Make both first:\n  kakou fleet key --out ops.pk8 --keys fleet.json --usage operate --usage maintain --usage trace\nand give fleet.json to each gateway as `fleet_keys` in [gateway]."
)]
pub enum Command {
    /// Makes a key that signs messages to gateways, and adds its public half to a list of fleet keys.
    Key {
        /// Where the private key goes (PKCS#8); keep it where you sign.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The list of fleet keys; made if it is not there.
        #[arg(long, value_name = "FILE")]
        keys: PathBuf,
        /// What it may sign: feed, trust-update, operate, maintain, configure, trace.
        #[arg(long, value_name = "USE", required = true)]
        usage: Vec<String>,
        /// Who holds it, for people.
        #[arg(long, default_value = "")]
        holder: String,
    },
    /// Serves the fleet page: every gateway with what is wrong with it.
    Serve {
        #[command(flatten)]
        broker: Broker,
        /// Where the page is; loopback only.
        #[arg(long, default_value = "127.0.0.1:8090")]
        listen: SocketAddr,
        /// The folder of photographs of `kakou central`.
        #[arg(long, value_name = "FOLDER")]
        photos: Option<PathBuf>,
        /// A key that may ask questions (`trace`); without it the page asks none.
        #[arg(long = "sign-key", value_name = "FILE")]
        sign_key: Option<PathBuf>,
        /// The folder `readers` of the authority: with it the page asks for persons by id.
        #[arg(long, value_name = "FOLDER")]
        readers: Option<PathBuf>,
        /// The address of the page in the browsers of those who come by a reverse proxy with a sign-in, e.g.
        /// https://fleet.example.
        #[arg(long, value_name = "URL")]
        origin: Option<String>,
        /// The header in which that proxy names who has signed in, e.g. X-Remote-User: the name goes on record with each
        /// question. The proxy must set it anew in every request; whoever reaches the page without it can give any name.
        #[arg(long, value_name = "NAME", requires = "origin")]
        user_header: Option<String>,
        #[command(flatten)]
        sources: Sources,
        /// One site, or + for all.
        #[arg(long, default_value = "+")]
        site: String,
        #[command(flatten)]
        figures: At,
    },
    /// Shows the fleet in the terminal, the worst first.
    Watch {
        #[command(flatten)]
        broker: Broker,
        #[command(flatten)]
        sources: Sources,
        /// One site, or + for all.
        #[arg(long, default_value = "+")]
        site: String,
        /// Looks for so many seconds, prints once and ends.
        #[arg(long, value_name = "SECONDS")]
        once: Option<u64>,
        /// One JSON object a look.
        #[arg(long)]
        json: bool,
    },
    /// Sends the feeds of a folder, as `kakou feed make` made them, to all gateways.
    Push {
        #[command(flatten)]
        broker: Broker,
        /// The folder.
        folder: PathBuf,
        /// Only these lists.
        #[arg(long, value_name = "NAME")]
        name: Vec<String>,
    },
    /// Sends a command to one gateway and waits for what becomes of it.
    #[command(name = "command")]
    Send {
        #[command(flatten)]
        broker: Broker,
        /// The key of who sends it.
        #[arg(long = "sign-key", value_name = "FILE")]
        sign_key: PathBuf,
        /// SITE/GATEWAY.
        gateway: String,
        /// Your name: it stands in the gateway's records.
        #[arg(long)]
        by: String,
        /// Why: it stands in the gateway's records.
        #[arg(long)]
        reason: String,
        /// The command counts for so long; a gateway that comes back later does not carry it out.
        #[arg(long, default_value_t = 10, value_name = "MINUTES", value_parser = clap::value_parser!(i64).range(1..=1440))]
        expires: i64,
        /// Waits so long for its end.
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        wait: u64,
        #[command(subcommand)]
        what: FleetCommand,
    },
    /// Sends a configuration to one gateway and waits until it says whether it is good.
    Configure {
        #[command(flatten)]
        broker: Broker,
        /// The key of who sends it.
        #[arg(long = "sign-key", value_name = "FILE")]
        sign_key: PathBuf,
        /// SITE/GATEWAY.
        gateway: String,
        /// The whole configuration, TOML.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The edition: more than the last one.
        #[arg(long, value_name = "N")]
        version: u64,
        /// Waits so long for the answer.
        #[arg(long, default_value_t = 150, value_name = "SECONDS")]
        wait: u64,
    },
    /// Asks all gateways of a site who was where; merges what they answer, backlog included.
    Trace(trace::Arguments),
    /// Sends boxes the next key of their site, as `kakou ca subjects` has sealed it for each of them.
    SubjectKeys(subject_keys::Arguments),
}

/// What a gateway can be told to do.
#[derive(clap::Subcommand)]
pub enum FleetCommand {
    /// Opens the barrier of a lane once.
    Open {
        /// The lane.
        lane: LaneId,
    },
    /// Shows a message on the screens of a lane.
    Message {
        /// The lane.
        lane: LaneId,
        /// The words; "" takes the message away.
        text: String,
        /// For how long.
        #[arg(long, default_value_t = 10)]
        minutes: u32,
    },
    /// Takes a picture of what a lane's camera sees.
    Snapshot {
        /// The lane.
        lane: LaneId,
    },
    /// Collects status, health and counters.
    Diagnostics,
    /// Makes a new key on the gateway and prints the request for its certificate.
    CertificateRequest,
    /// Installs the certificate that was asked for; connections begin anew with it.
    Certificate {
        /// The chain, PEM.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// Reads configuration and profiles anew.
    Reload,
    /// Starts the box anew.
    Reboot,
}

fn what(asked: FleetCommand) -> Result<What, String> {
    Ok(match asked {
        FleetCommand::Open { lane } => What::Open { lane },
        FleetCommand::Message { lane, text, minutes } => What::Message { lane, text, minutes },
        FleetCommand::Snapshot { lane } => What::Snapshot { lane },
        FleetCommand::Diagnostics => What::Diagnostics,
        FleetCommand::CertificateRequest => What::CertificateRequest,
        FleetCommand::Certificate { from } => What::Certificate {
            pem: files::read_text(&from).map_err(|e| format!("{}: {e}", from.display()))?,
        },
        FleetCommand::Reload => What::Reload,
        FleetCommand::Reboot => What::Reboot,
    })
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(e) => return fail(e),
    };
    let done = runtime.block_on(async {
        match command {
            Command::Key { out, keys, usage, holder } => key(&out, &keys, &usage, &holder),
            Command::Serve {
                broker,
                listen,
                photos,
                sign_key,
                readers,
                origin,
                user_header,
                sources,
                site,
                figures,
            } => {
                let door = Door::new(origin.as_deref(), user_header.as_deref())?;
                let keys = (sign_key.as_deref(), readers.as_deref());
                serve::serve(&broker, (listen, figures), photos.as_deref(), keys, door, (&sources, site))
                    .await
            }
            Command::Watch { broker, sources, site, once, json } => {
                show::show(&broker, &sources, site, once, json).await
            }
            Command::Push { broker, folder, name } => push(&broker, &folder, &name).await,
            Command::Send { broker, sign_key, gateway, by, reason, expires, wait, what: asked } => {
                let (site, gateway) = whom(&gateway)?;
                let now = now_ms() / 1000;
                let expires = now + expires * 60;
                let order = Order {
                    id: random_id()?,
                    site,
                    gateway,
                    what: what(asked)?,
                    by,
                    reason,
                    issued: now,
                    expires,
                };
                command_one(&broker, &issuer(&sign_key)?, order, Duration::from_secs(wait)).await
            }
            Command::Configure { broker, sign_key, gateway, from, version, wait } => {
                let (site, gateway) = whom(&gateway)?;
                let toml = files::read_text(&from).map_err(|e| format!("{}: {e}", from.display()))?;
                let configuration = Configuration { site, gateway, version, toml };
                configure(&broker, &issuer(&sign_key)?, configuration, Duration::from_secs(wait)).await
            }
            Command::Trace(arguments) => trace::trace(arguments).await,
            Command::SubjectKeys(arguments) => subject_keys::send(arguments).await,
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => fail(why),
    }
}

fn random_id() -> Result<String, String> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random numbers")?;
    Ok(kakou_core::pass::hex(&bytes))
}

fn whom(text: &str) -> Result<(SiteId, GatewayId), String> {
    let (site, gateway) = text.split_once('/').ok_or(format!("`{text}`: write SITE/GATEWAY"))?;
    let bad = |e: kakou_core::ids::BadId| e.to_string();
    Ok((SiteId::new(site).map_err(bad)?, GatewayId::new(gateway).map_err(bad)?))
}

fn key(out: &Path, keys: &Path, usage: &[String], holder: &str) -> Result<(), String> {
    let usages = usage
        .iter()
        .map(|u| match u.as_str() {
            "feed" => Ok(Usage::Feed),
            "trust-update" => Ok(Usage::TrustUpdate),
            "operate" => Ok(Usage::Operate),
            "maintain" => Ok(Usage::Maintain),
            "configure" => Ok(Usage::Configure),
            "trace" => Ok(Usage::Trace),
            other => Err(format!(
                "`{other}` is not a use; allowed: feed, trust-update, operate, maintain, configure, trace"
            )),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut list = match std::fs::read(keys) {
        Ok(json) => TrustFile::read(&json).map_err(|e| format!("{}: {e}", keys.display()))?,
        Err(_) => TrustFile { name: "fleet".into(), version: 0, issued: 0, keys: Vec::new() },
    };
    let der = Issuer::generate().map_err(|e| e.to_string())?;
    let issuer = Issuer::from_pkcs8(&der).map_err(|e| e.to_string())?;
    if out.exists() {
        return Err(format!("{} is there already", out.display()));
    }
    kakou_link::durable::write_secret(out, &der).map_err(|e| format!("{}: {e}", out.display()))?;
    list.keys.push(issuer.entry(holder, &usages));
    list.version += 1;
    list.issued = now_ms() / 1000;
    let json = serde_json::to_string_pretty(&list).map_err(|e| e.to_string())?;
    std::fs::write(keys, json).map_err(|e| format!("{}: {e}", keys.display()))?;
    println!("{}: private key. {}: {} keys.", out.display(), keys.display(), list.keys.len());
    Ok(())
}

fn watched(
    broker: &Broker,
    site: &str,
    name: &str,
) -> Result<(Watched, mpsc::Sender<OutgoingMessage>, CancellationToken), String> {
    let watch = Watch {
        broker: broker.settings()?,
        client_id: format!("kakou-fleet-{name}-{}", random_id()?),
        site: site.to_owned(),
    };
    let (fleet, cancel) = (Watched::default(), CancellationToken::new());
    let (out, given) = mpsc::channel(64);
    tokio::spawn(watch::run(watch, fleet.clone(), given, cancel.clone()));
    Ok((fleet, out, cancel))
}

async fn post(broker: &Broker) -> Result<Post, String> {
    let settings = broker.settings()?;
    Post::open(mqtt::Options {
        broker: &settings,
        client_id: format!("kakou-fleet-post-{}", random_id()?),
        clean: true,
        will: None,
        inflight: 100,
        incoming: 100,
        capacity: 64,
        manual_acks: false,
    })
    .await
}

async fn push(broker: &Broker, folder: &Path, names: &[String]) -> Result<(), String> {
    let mut found = 0;
    for name in kakou_core::records::LISTS {
        let wanted = names.is_empty() || names.iter().any(|n| n == name);
        if !wanted || !folder.join(format!("{name}.feed")).exists() {
            continue;
        }
        found += 1;
        // The reader of files must not run ahead of the broker.
        let (tx, mut words) = mpsc::channel::<OutgoingMessage>(8);
        let (place, list) = (folder.to_path_buf(), name.to_owned());
        let mut told = Instant::now();
        let reading = tokio::task::spawn_blocking(move || {
            let give = |envelope| tx.blocking_send(envelope).map_err(|_| "the broker was lost".to_owned());
            send::feed(&place, &list, give, &mut |done, all| {
                if told.elapsed() > Duration::from_secs(1) {
                    told = Instant::now();
                    eprintln!("{list}: {done} of {all} chunks");
                }
            })
        });
        let mut post = post(broker).await?;
        while let Some(envelope) = words.recv().await {
            post.give(envelope).await?;
        }
        let head = reading.await.map_err(|e| e.to_string())??;
        post.finish().await?;
        println!("{name}: edition {} is with the broker", head.version);
    }
    if found == 0 { Err(format!("{} holds no feed", folder.display())) } else { Ok(()) }
}

/// Listens to a topic of a gateway until `with` has what it wants.
async fn listen<T>(
    broker: &Broker,
    filter: &str,
    words: Vec<OutgoingMessage>,
    limit: Duration,
    mut with: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Option<T>, String> {
    let settings = broker.settings()?;
    let (client, mut events) = mqtt::open(mqtt::Options {
        broker: &settings,
        client_id: format!("kakou-fleet-{}", random_id()?),
        clean: true,
        will: None,
        inflight: 100,
        incoming: 100,
        capacity: 64 + words.len(),
        manual_acks: false,
    })
    .map_err(|e| e.to_string())?;
    let mut words = words.into_iter();
    let work = async {
        loop {
            match events.poll().await.map_err(|e| e.to_string())? {
                MqttEvent::Connected { .. } => client.subscribe(filter).map_err(|e| e.to_string())?,
                MqttEvent::Subscribed(answer) => {
                    answer.map_err(|why| format!("the broker refuses to tell: {why}"))?;
                    for envelope in words.by_ref() {
                        let mark = mqtt::Mark { retain: envelope.retain, ..mqtt::Mark::default() };
                        client.publish(&envelope.topic, envelope.body, mark).map_err(|e| e.to_string())?;
                    }
                }
                MqttEvent::Acked(_, answer) => answer.map_err(|why| format!("the broker refuses: {why}"))?,
                MqttEvent::Message(message) => {
                    if let Some(done) = with(&message.payload) {
                        return Ok(done);
                    }
                }
                MqttEvent::Departed(_) | MqttEvent::Other => {}
            }
        }
    };
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map(Some),
        Err(_) => Ok(None),
    }
}

/// Whether nothing more will come of a command.
fn is_final(state: &Value) -> bool {
    State::deserialize(state).is_ok_and(State::is_final)
}

async fn command_one(broker: &Broker, issuer: &Issuer, order: Order, wait: Duration) -> Result<(), String> {
    let filter = format!("kakou/v1/{}/{}/cmdres/{}", order.site, order.gateway, order.id);
    let envelope = send::command(issuer, &order)?;
    let done = listen(broker, &filter, vec![envelope], wait, |body| {
        let result: Value = serde_json::from_slice(body).ok()?;
        let state = result["state"].as_str()?.to_owned();
        eprintln!("{}", shown::line(&state));
        is_final(&result["state"]).then(|| (state, result["detail"].clone()))
    })
    .await?;
    match done {
        Some((state, detail)) => {
            print!("{}", told(&detail));
            if let (What::Snapshot { .. }, Some(sha256)) = (&order.what, detail["sha256"].as_str()) {
                eprint!("{}", where_to_see(&order.site, &order.gateway, sha256));
            }
            if state == "SUCCEEDED" { Ok(()) } else { Err(format!("{}: {state}", order.what.as_str())) }
        }
        None => Err(format!(
            "the gateway has not answered; command {} counts until it expires, then no more",
            order.id
        )),
    }
}

async fn configure(
    broker: &Broker,
    issuer: &Issuer,
    configuration: Configuration,
    wait: Duration,
) -> Result<(), String> {
    let (site, gateway, version) = (&configuration.site, &configuration.gateway, configuration.version);
    let filter = format!("kakou/v1/{site}/{gateway}/cfg/reported");
    let envelope = send::configuration(issuer, &configuration)?;
    let report = listen(broker, &filter, vec![envelope], wait, |body| {
        let report: Report = serde_json::from_slice(body).ok()?;
        let mine = report.desired == version;
        if mine && report.errors.is_empty() && report.version != version {
            eprintln!("edition {version} is tried");
        }
        (mine && (!report.errors.is_empty() || report.version == version)).then_some(report)
    })
    .await?;
    match report {
        Some(report) if report.errors.is_empty() => {
            println!("edition {version} is in use");
            Ok(())
        }
        Some(report) => {
            for fault in &report.errors {
                let line = fault.line.map_or(String::new(), |l| format!("line {l}: "));
                eprintln!("{line}{}", shown::lines(&fault.what));
            }
            Err(format!("edition {version} is refused; edition {} is in use", report.version))
        }
        None => Err("the gateway has not answered; it takes the configuration when it comes back".into()),
    }
}

/// Where a picture is to be seen that a gateway was told to take.
fn where_to_see(site: &SiteId, gateway: &GatewayId, sha256: &str) -> String {
    let start: String = shown::line(sha256).chars().take(2).collect();
    format!(
        "The picture is sent like every photograph, behind what is more urgent. To see it: the fleet page \
         (kakou fleet serve --photos FOLDER), {site}/{gateway}, photographs; or the file \
         FOLDER/photos/{start}/{}.jpg, where FOLDER is the folder of photographs of kakou central.\n",
        shown::line(sha256)
    )
}

/// What a gateway tells about a command, as it is printed.
fn told(detail: &Value) -> String {
    match detail {
        Value::Object(map) if map.contains_key("csr") => {
            shown::lines(map["csr"].as_str().unwrap_or_default())
        }
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            format!("{}\n", shown::pretty(detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_gateway_says_moves_no_cursor() {
        let bad = "\u{1b}[2J\u{9b}1m\u{202e}\r";
        let row =
            json!({ "at": bad, "site": bad, "gateway": bad, "lane": bad, "outcome": bad, "codes": [bad] });
        let printed = [
            trace::visit(&row),
            told(&json!({ "csr": format!("-----BEGIN\nx{bad}") })),
            told(&json!(bad)),
            told(&json!({ "status": { bad: [bad] } })),
        ];
        for text in printed {
            let moved = text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}');
            assert!(!moved, "{text:?}");
        }
        assert_eq!(told(&Value::Null), "");
    }
}
