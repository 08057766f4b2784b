//! An empty box becomes a gateway: it waits for an enrolment code at any scanner, asks the server that
//! the code names, and starts with the configuration that it gets.
//!
//! The code is kept until it has worked or was refused: without a network the box goes on by itself
//! when there is one. What comes is stored file by file, the configuration last: with it the box is
//! enrolled, without it nothing has happened.

pub mod client;
pub mod pin;
pub mod readers;
pub mod renew;
pub mod screen;

use crate::keys;
use client::NotEnrolled;
use kakou_core::ids::GatewayId;
use kakou_core::text::Text;
use kakou_drivers::scan_text::{self, Before};
use kakou_link::clock::{Clock, TimeSource};
use kakou_link::durable;
use kakou_provisioning::certificate::pem_der;
use kakou_provisioning::code::{BadCode, Code, digits};
use kakou_provisioning::identity;
use kakou_provisioning::subjects::Key;
use kakou_wire::enrol::{AGAIN_S, Bundle};
use readers::Read;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Between two attempts: somebody stands before the box.
const AGAIN: Duration = Duration::from_secs(4);

/// The file that names the other gateways.
const OTHERS: &str = "others.json";

/// The table of a configuration that makes a box wait for its code.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrol {
    /// The data folder.
    pub data: PathBuf,
    /// Where the screen is served.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Serial ports that the kernel does not list as USB.
    #[serde(default)]
    pub ports: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    enrol: Enrol,
}

/// What is known of the place that the box belongs to; renewal needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The enrolment server.
    pub url: String,
    /// When the code was made, UTC seconds: no clock is right before it.
    pub issued: i64,
}

/// The other gateways of the site, as the enrolment of this box has named them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// Which enrolment: when its code was made, UTC seconds.
    pub enrolled: i64,
    /// Whether this box takes the place of another one of the same name.
    pub replaces: bool,
    /// Who is asked.
    pub gateways: Vec<GatewayId>,
}

/// What enrolment has said of them; nothing, where the box was configured by hand or by an earlier version.
pub fn others(data: &Path) -> std::io::Result<Option<Others>> {
    match std::fs::read(folder(data).join(OTHERS)) {
        Ok(json) => serde_json::from_slice(&json).map(Some).map_err(std::io::Error::other),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads the table, if the configuration is one of an empty box.
pub fn wanted(file: &Path) -> Option<Enrol> {
    let text = kakou_link::files::read_text(file).ok()?;
    let table: Table = toml::from_str(&text).ok()?;
    let folder = file.parent().unwrap_or(Path::new("."));
    Some(Enrol { data: folder.join(&table.enrol.data), ..table.enrol })
}

/// Where everything lies that enrolment has brought.
pub fn folder(data: &Path) -> PathBuf {
    data.join("enrolled")
}

/// The configuration of an enrolled box.
pub fn configuration(data: &Path) -> PathBuf {
    folder(data).join("kakou.toml")
}

/// Where the box stands, as its screen shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct Stage {
    /// `scan`, `asking`, `compare`, `kept`, `refused`, `done`.
    pub step: &'static str,
    /// What to do, or what is wrong.
    pub text: Text,
    /// Six digits to compare, once the server has answered: nobody knows them before.
    pub digits: Option<String>,
    /// Which gateway it becomes.
    pub name: Option<String>,
    /// What went wrong, for whoever mends the network.
    pub detail: String,
    /// Why what was scanned last is not taken, while another code goes on.
    pub not_taken: Option<Text>,
}

impl Stage {
    fn scan() -> Self {
        let text = Text::new("请用扫码器扫登记码", "Scan the enrolment code at any scanner");
        Self { step: "scan", text, digits: None, name: None, detail: String::new(), not_taken: None }
    }
}

/// What waits for an answer, kept over a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pending {
    code: String,
    scanner: String,
    baud: u32,
}

/// The box while it is empty.
struct Empty<'a> {
    enrol: &'a Enrol,
    stage: watch::Sender<Stage>,
}

/// Holds the folder, so that nobody else waits in it or empties it.
pub fn hold(data: &Path) -> std::io::Result<File> {
    let held = File::open(folder(data))?;
    flock(&held, FlockOperation::NonBlockingLockExclusive)?;
    Ok(held)
}

/// Waits until the box is enrolled; false if it was told to end.
pub async fn wait(enrol: &Enrol, cancel: &CancellationToken) -> std::io::Result<bool> {
    std::fs::create_dir_all(folder(&enrol.data))?;
    let _held = hold(&enrol.data)?;
    let (stage, shown) = watch::channel(Stage::scan());
    let (found, mut read) = mpsc::channel(4);
    let listening = cancel.child_token();
    tokio::spawn(readers::listen(enrol.ports.clone(), found, listening.clone()));
    let _guard = listening.clone().drop_guard();
    let mut serving = None;
    if let Some(listen) = enrol.listen {
        serving = Some(tokio::spawn(screen::serve(listen, shown, listening.clone())));
    }
    log::info!("this box is not enrolled: scan an enrolment code at any scanner");
    let own = Empty { enrol, stage };
    let mut pending = own.pending();
    let mut work = Box::pin(own.attempt(pending.clone()));
    let done = loop {
        tokio::select! {
            () = cancel.cancelled() => break false,
            Some(line) = read.recv() => {
                // A code that is held before the scanner again disturbs no attempt.
                if let Some(kept) = own.take(&line, pending.as_ref())? {
                    pending = Some(kept);
                    work.set(own.attempt(pending.clone()));
                }
            }
            enrolled = &mut work => match enrolled {
                Ok(()) => break true,
                Err(why) => {
                    log::error!("enrolment: {why}");
                    own.forget()?;
                    pending = None;
                    work.set(own.attempt(None));
                    own.show(|s| Stage { step: "refused", text: why.text(), digits: None, not_taken: None, ..s });
                }
            },
        }
    };
    if done {
        // Long enough for the screen to be read.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    listening.cancel();
    if let Some(serving) = serving {
        drop(serving.await);
    }
    Ok(done)
}

/// A code is younger than the clock of a box that was never set. Nobody has signed it: its time counts for
/// itself alone.
fn clock_for(code: &Code) -> Clock {
    let clock = Clock::new(TimeSource::Ntp, 0, None);
    clock.not_before(code.issued.saturating_mul(1000));
    clock
}

impl Empty<'_> {
    fn path(&self, name: &str) -> PathBuf {
        folder(&self.enrol.data).join(name)
    }

    fn show(&self, change: impl FnOnce(Stage) -> Stage) {
        self.stage.send_modify(|s| *s = change(s.clone()));
    }

    fn pending(&self) -> Option<Pending> {
        serde_json::from_slice(&std::fs::read(self.path("pending.json")).ok()?).ok()
    }

    fn forget(&self) -> std::io::Result<()> {
        match std::fs::remove_file(self.path("pending.json")) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A line of a scanner: an enrolment code is kept before anything is done with it.
    fn take(&self, read: &Read, under_way: Option<&Pending>) -> std::io::Result<Option<Pending>> {
        let say = |text: Text| {
            self.show(|s| match under_way {
                // It disturbs no attempt, and whoever scanned it hears of it.
                Some(_) => Stage { not_taken: Some(text), ..s },
                None => Stage { step: "refused", text, digits: None, name: None, not_taken: None, ..s },
            });
            Ok(None)
        };
        let refuse = |zh: &str, en: &str| say(Text::new(zh, en));
        let code = match Code::read(&read.line) {
            Ok(code) => code,
            Err(BadCode::Other) => {
                // Such a reader would make other ids of all codes at the gate: it is put right now.
                if let Some(before) = scan_text::before(read.line.as_bytes(), None) {
                    let mark: String = match before {
                        Before::Aim => read.line.chars().take(3).collect(),
                        Before::Letter(letter) => letter.into(),
                        Before::Text(text) => text,
                    };
                    return say(Text::new(
                        format!(
                            "扫码器在码前加了 {mark}：请按其说明书关闭“条码标识”（Code ID、AIM ID），再扫一次"
                        ),
                        format!(
                            "The reader puts {mark} before the code. Switch that off (code ID, AIM ID, by its sheet) and scan again."
                        ),
                    ));
                }
                return refuse(
                    "这不是登记码：请扫中心发放的登记码",
                    "This is no enrolment code. Scan the one that central ops gave you.",
                );
            }
            Err(BadCode::Damaged(what)) => {
                log::warn!("a damaged enrolment code: {what}");
                return refuse(
                    "登记码损坏：请重新扫码或重新打印",
                    "The code is damaged. Scan it again, or print it anew.",
                );
            }
        };
        if under_way.is_some_and(|p| p.code == code.text()) {
            self.show(|s| Stage { not_taken: None, ..s });
            return Ok(None);
        }
        if clock_for(&code).now().wall_s().is_some_and(|now| now > code.expires) {
            return refuse(
                "登记码已过期，或本机时钟过快：请索取新码或检查时钟",
                "This code has run out, or the clock of the box is fast. Get a new code, or check the clock.",
            );
        }
        let scanner = read.port.display().to_string();
        let pending = Pending { code: code.text(), scanner, baud: read.baud };
        let json = serde_json::to_vec(&pending).expect("strings");
        durable::write_secret(&self.path("pending.json"), &json)?;
        // A code of its own means a key of its own. The same code again is the same request: the server may
        // know it already, and takes no other one for it.
        let of = self.path("device.code");
        if std::fs::read_to_string(&of).ok().as_ref() != Some(&pending.code) {
            drop(std::fs::remove_file(self.path("device.csr")));
            durable::write_secret(&of, pending.code.as_bytes())?;
        }
        Ok(Some(pending))
    }

    /// The key of the box and its request: made once for a code, so that an answer that was lost can
    /// be asked for again.
    fn request(&self) -> std::io::Result<String> {
        let (key, csr) = (self.path("device.key"), self.path("device.csr"));
        if let (Ok(text), true) = (std::fs::read_to_string(&csr), key.exists()) {
            return Ok(text);
        }
        let request = identity::request("new").map_err(std::io::Error::other)?;
        durable::write_secret(&key, request.key_pem.as_bytes())?;
        durable::write_secret(&csr, request.csr_pem.as_bytes())?;
        Ok(request.csr_pem)
    }

    /// Tries until it is enrolled, or was refused for good.
    async fn attempt(&self, pending: Option<Pending>) -> Result<(), NotEnrolled> {
        let Some(pending) = pending else { return std::future::pending().await };
        let odd = |e: std::io::Error| NotEnrolled::Answer(e.to_string());
        let code = Code::read(&pending.code).map_err(|e| NotEnrolled::Answer(e.to_string()))?;
        let clock = clock_for(&code);
        let csr = self.request().map_err(odd)?;
        let reader = keys::reader_key(&self.enrol.data).map_err(|e| NotEnrolled::Answer(e.to_string()))?;
        let name = format!("{}/{}", code.site, code.gateway);
        let asking = Text::new("正在联系登记服务器", "Asking the enrolment server");
        self.show(|_| Stage {
            step: "asking",
            text: asking,
            digits: None,
            name: Some(name.clone()),
            detail: String::new(),
            not_taken: None,
        });
        log::info!("enrolment as {name} at {}", code.url);
        let mut reached = false;
        loop {
            match client::enrol(&code, &csr, (&pending.scanner, pending.baud), reader.reader(), &clock).await
            {
                Ok(bundle) => {
                    if let Err(e) = self.store(&code, &bundle) {
                        log::error!("enrolment: what came cannot be kept: {e}");
                        let text = Text::new(
                            "无法保存配置：检查存储，或请中心检查模板",
                            "What came cannot be kept. Check the disk, or have the template checked.",
                        );
                        self.show(|s| Stage { step: "kept", text, detail: e.to_string(), ..s });
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                    let text = Text::new("登记完成，正在启动", "Enrolled. The lanes start now.");
                    self.show(|s| Stage { step: "done", text, ..s });
                    log::info!("enrolled as {name}");
                    return Ok(());
                }
                Err(why @ NotEnrolled::Waiting(nonce)) => {
                    reached = true;
                    let digits = digits(&code.root, &pem_der(&csr).unwrap_or_default(), &nonce);
                    if self.stage.borrow().digits.as_ref() != Some(&digits) {
                        log::info!("enrolment as {name}: central ops must see {digits}");
                    }
                    self.show(|s| Stage {
                        step: "compare",
                        text: why.text(),
                        digits: Some(digits),
                        detail: String::new(),
                        ..s
                    });
                    tokio::time::sleep(Duration::from_secs(AGAIN_S)).await;
                }
                // Another server in the place of one that was there, as a hotel's network puts it, has been told
                // nothing: the right one may come back.
                Err(why) if why.may_pass() || (reached && matches!(why, NotEnrolled::WrongServer(_))) => {
                    log::warn!("enrolment: {why}");
                    let detail = why.to_string();
                    self.show(|s| Stage { step: "kept", text: why.text(), detail, ..s });
                    tokio::time::sleep(AGAIN).await;
                }
                Err(why) => return Err(why),
            }
        }
    }

    /// Keeps what came; the configuration last.
    fn store(&self, code: &Code, bundle: &Bundle) -> std::io::Result<()> {
        let origin = Origin { url: code.url.clone(), issued: code.issued };
        let origin = serde_json::to_vec(&origin).expect("a string and a number");
        durable::write(&self.path("device.pem"), bundle.certificate.as_bytes())?;
        durable::write(&self.path("ca.pem"), bundle.roots.as_bytes())?;
        durable::write(&self.path("fleet.json"), bundle.fleet_keys.as_bytes())?;
        durable::write(&self.path("origin.json"), &origin)?;
        if let Some(others) = &bundle.others {
            let kakou_wire::enrol::Others { replaces, gateways } = others.clone();
            let others = Others { enrolled: code.issued, replaces, gateways };
            let json = serde_json::to_vec(&others).expect("names and numbers");
            durable::write(&self.path(OTHERS), &json)?;
        }
        if !bundle.trust.is_empty() {
            // A gateway with fleet keys takes unsigned lists from nobody: this one came with them.
            durable::write(&self.enrol.data.join("trust.json"), bundle.trust.as_bytes())?;
        }
        if let Some(sealed) = &bundle.site_key {
            let name = kakou_wire::enrol::name_of(&bundle.site, &bundle.gateway);
            let opened = keys::reader_key(&self.enrol.data)
                .map_err(std::io::Error::other)?
                .open(sealed, kakou_wire::enrol::SITE_KEY, name.as_bytes())
                .map_err(std::io::Error::other)?;
            let number = bundle.site_key_number.unwrap_or(crate::subjects::FIRST);
            let key = Key::new(number, opened).map_err(std::io::Error::other)?;
            crate::subjects::enrolled(&self.enrol.data, key, code.issued.saturating_mul(1000))
                .map_err(std::io::Error::other)?;
        }
        // The central side knows the journals of whoever had this name before: this box's are later.
        let epoch = self.enrol.data.join("epoch");
        if !epoch.exists() {
            durable::write(&epoch, format!("{}\n", code.issued).as_bytes())?;
        }
        let file = configuration(&self.enrol.data);
        crate::config::read(&bundle.config, &file).map_err(std::io::Error::other)?;
        durable::write(&file, bundle.config.as_bytes())?;
        drop(std::fs::remove_file(self.path("device.csr")));
        drop(std::fs::remove_file(self.path("device.code")));
        self.forget()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::ids::{GatewayId, SiteId};

    #[tokio::test]
    async fn digits_cannot_be_known_before_the_server_was_asked() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder(data.path())).unwrap();
        let enrol = Enrol { data: data.path().to_path_buf(), listen: None, ports: Vec::new() };
        let issued = Clock::system().now().wall_s().unwrap();
        let (stage, mut shown) = watch::channel(Stage::scan());
        let own = Empty { enrol: &enrol, stage };
        // A port that nobody listens at.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let code = Code {
            url: format!("https://{silent}"),
            token: "AAAAAAAAAAAAAAAA".into(),
            root: [7; 32],
            site: SiteId::new("school").unwrap(),
            gateway: GatewayId::new("gw-1").unwrap(),
            issued,
            expires: issued + 600,
        };
        let pending = Pending { code: code.text(), scanner: "/dev/ttyUSB0".into(), baud: 9_600 };
        let seen = async {
            let mut known = Vec::new();
            while shown.changed().await.is_ok() {
                let now = shown.borrow_and_update().clone();
                known.extend(now.digits);
                if now.step == "kept" {
                    break;
                }
            }
            known
        };
        let known = tokio::select! {
            end = own.attempt(Some(pending)) => panic!("{end:?}"),
            known = seen => known,
        };
        assert_eq!(
            known,
            Vec::<String>::new(),
            "whoever reads the screen has time to look for the same ones"
        );
    }

    #[test]
    fn the_same_code_again_is_the_same_request() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder(data.path())).unwrap();
        let enrol = Enrol { data: data.path().to_path_buf(), listen: None, ports: Vec::new() };
        let issued = Clock::system().now().wall_s().unwrap();
        let (stage, _shown) = watch::channel(Stage::scan());
        let own = Empty { enrol: &enrol, stage };
        let scan_at = |token: &str, issued: i64| {
            let code = Code {
                url: "https://enrol.example.org".into(),
                token: token.into(),
                root: [7; 32],
                site: SiteId::new("school").unwrap(),
                gateway: GatewayId::new("gw-1").unwrap(),
                issued,
                expires: issued + 600,
            };
            let read = Read { port: "/dev/ttyUSB0".into(), baud: 9_600, line: code.text() };
            own.take(&read, None).unwrap().expect("a code");
            own.request().unwrap()
        };
        let scan = |token: &str| scan_at(token, issued);
        // Whoever shows a code of the next century has not set the clock.
        scan_at("CCCCCCCCCCCCCCCC", issued + 3_000_000_000);
        own.forget().unwrap();
        let first = scan("AAAAAAAAAAAAAAAA");
        // It was refused, by a server that was not the one of the code.
        own.forget().unwrap();
        assert_eq!(scan("AAAAAAAAAAAAAAAA"), first);
        assert_ne!(scan("BBBBBBBBBBBBBBBB"), first, "a code of its own, a key of its own");
    }

    #[test]
    fn a_reader_that_puts_something_before_the_code_is_named_for_it() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder(data.path())).unwrap();
        let enrol = Enrol { data: data.path().to_path_buf(), listen: None, ports: Vec::new() };
        let (stage, shown) = watch::channel(Stage::scan());
        let own = Empty { enrol: &enrol, stage };
        for (before, named) in [("Q", true), ("]Q1", true), ("P01", true), ("", false)] {
            let code = if named { "KQ1|https://enrol.example.org|A" } else { "P-0009" };
            let read = Read { port: "/dev/ttyUSB0".into(), baud: 9_600, line: format!("{before}{code}") };
            assert!(own.take(&read, None).unwrap().is_none());
            let Text { zh, en } = shown.borrow().text.clone();
            assert_eq!(en.contains("reader puts"), named, "{en}");
            assert!(!named || zh.contains(before) && en.contains(before), "{zh} {en}");
        }
    }
}
