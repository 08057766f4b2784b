//! `kakou feed`

mod source;

use super::fail;
use crate::feeds::{columns, schema};
use crate::fleet::send;
use crate::qr;
use jiff::tz::Offset;
use kakou_authority::issuer::Issuer;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::lists::{self, List, form};
use kakou_core::pass::hex;
use kakou_core::pass::trust::TrustList;
use kakou_core::records::LISTS;
use kakou_gateway::orders::usb_drive;
use kakou_gateway::println;
use kakou_link::files;
use kakou_link::https::Endpoint;
use kakou_wire::feed::{Canary, ENTRY, ENTRY_PREFIX, Entry, Head, Part};
use kakou_wire::order::Configuration;
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use source::Source;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes signed feeds for gateways: lists of residents, passes, revocations, holds.
#[derive(clap::Subcommand)]
#[command(
    after_help = "By hand, to gateways without a network: copy the folder onto a USB drive with FAT32 and the name\nKAKOU, put it into the box, and take it out when the status page shows the editions."
)]
pub enum Command {
    /// Signs an edition of a list: a snapshot, and what has changed since the edition that lies in the
    /// folder already. The folder is what `kakou fleet push` sends, and what a USB drive carries.
    #[command(
        after_help = "The source is lines, `{\"id\": …, \"facts\": {…}}` (.jsonl), one JSON object of facts by id (.json),\nor a table as a spreadsheet saves it (.csv, .tsv, .txt): names of columns in its first line, in English\nor Chinese (id, colour or 学号, 健康码); commas, semicolons or tabs; UTF-8, UTF-16 or GB18030. In JSON times\nare UTC milliseconds; in a table they are as people write them, in the zone that --zone names.\nFor `trust` it is the trust list itself."
    )]
    Make {
        /// The key of who signs, made by `kakou fleet key --usage feed`.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Which list.
        #[arg(long)]
        name: String,
        /// The entries.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The column of a table that is the id, where several could be.
        #[arg(long, value_name = "COLUMN")]
        id: Option<String>,
        /// The zone of times in a table that have none of their own, e.g. +08:00.
        #[arg(long, value_parser = columns::zone, allow_hyphen_values = true)]
        zone: Option<Offset>,
        /// Columns of a table that are not wanted, with commas between them.
        #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
        leave_out: Vec<String>,
        /// Where it goes.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// The edition; by default one more than the one in the folder.
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// An id that must be in it before a gateway takes it; several are allowed.
        #[arg(long, value_name = "ID")]
        canary: Vec<String>,
        /// Where the gateways find the folder's `parts` by HTTPS (`kakou central bulk`, or any web
        /// server); what they cannot fetch there comes by the broker.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
    /// Writes the published form of every list, LIST.json: a JSON Schema for the facts of an entry, made from the table
    /// that `kakou feed make` checks by.
    Forms {
        /// Where they go.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Signs one entry and prints the text of its QR code, which any scanner of a gateway takes.
    Entry {
        /// The key of who signs.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Which list.
        #[arg(long)]
        name: String,
        /// The id.
        #[arg(long)]
        id: String,
        /// The facts, JSON; without them the entry is taken away.
        #[arg(long, value_name = "JSON")]
        facts: Option<String>,
        /// Writes the QR code as a picture as well: PNG if it is called so, else SVG.
        #[arg(long, value_name = "FILE")]
        qr: Option<PathBuf>,
    },
    /// Signs the configuration of one gateway for a USB drive, as SITE.GATEWAY.config; the gateway is
    /// the one that it names. Where there is a network: `kakou fleet configure`.
    Configuration {
        /// The key of who signs, made by `kakou fleet key --usage configure`.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The whole configuration, TOML.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The edition: more than the last one of this gateway.
        #[arg(long, value_name = "N")]
        version: u64,
        /// Where it goes; files of several gateways may lie in one folder.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Make { key, name, from, id, zone, leave_out, out, version, canary, url } => {
            let (id, leave_out) = (id.as_deref(), &leave_out[..]);
            let source = Source { list: &name, from: &from, id, zone, leave_out };
            issuer(&key).and_then(|issuer| make(&issuer, &source, &out, version, &canary, (url, None)))
        }
        Command::Forms { out } => forms(&out),
        Command::Entry { key, name, id, facts, qr } => {
            issuer(&key).and_then(|issuer| entry(&issuer, name, id, facts.as_deref(), qr.as_deref()))
        }
        Command::Configuration { key, from, version, out } => {
            issuer(&key).and_then(|issuer| configuration(&issuer, &from, version, &out))
        }
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => fail(why),
    }
}

/// The key in a file.
pub fn issuer(path: &Path) -> Result<Issuer, String> {
    let der = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Issuer::from_pkcs8(&der).map_err(|e| format!("{}: {e}", path.display()))
}

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed())
}

/// Makes the files of an edition; says what was made.
fn make(
    issuer: &Issuer,
    source: &Source,
    out: &Path,
    version: Option<u64>,
    canary: &[String],
    (at, from_s): (Option<String>, Option<i64>),
) -> Result<String, String> {
    let (name, from) = (source.list, source.from);
    if let Some(url) = &at {
        Endpoint::read(url).map_err(|e| e.to_string())?;
    }
    if !LISTS.contains(&name) {
        return Err(format!("`{name}` is not a list; there are: {}", LISTS.join(", ")));
    }
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    let parts = out.join("parts");
    std::fs::create_dir_all(&parts).map_err(io(&parts))?;
    let envelope = out.join(format!("{name}.feed"));
    let before = std::fs::read(&envelope).ok().and_then(|w| send::unverified(&w));
    let mut told = Vec::new();
    let snapshot = write_part(&parts, |file| {
        told = source.copy(&mut |bytes| file.put(bytes))?;
        Ok(())
    })?;
    let mut version = version.unwrap_or(before.as_ref().map_or(1, |b| b.version + 1));
    if name == "trust" {
        // The trust list carries its own edition.
        let list = std::fs::read(from).map_err(io(from))?;
        version = TrustList::from_json(&list).map_err(|e| format!("{}: {e}", from.display()))?.version;
    }
    if before.as_ref().is_some_and(|b| b.version >= version) {
        return Err(format!("edition {version} is not newer than the one in {}", out.display()));
    }
    let mut head = Head {
        feed: name.to_owned(),
        version,
        issued: now_s(),
        parts: vec![snapshot.clone()],
        at: at.map(|url| url.trim_end_matches('/').to_owned()),
        from: from_s,
        canary: Vec::new(),
    };
    if name != "trust" {
        let old = before.as_ref().and_then(|b| {
            let part = b.parts.iter().find(|p| p.base.is_none())?;
            Some((b.version, parts.join(&part.sha256)))
        });
        // What counts from a time may meet another edition by then.
        if let Some((base, old)) = old.filter(|(_, old)| old.exists() && from_s.is_none()) {
            let new = parts.join(&snapshot.sha256);
            let change = write_part(&parts, |file| differ(&old, &new, file))?;
            head.parts.push(Part { base: Some(base), ..change });
        }
        head.canary = canaries(&parts.join(&snapshot.sha256), canary)?;
    }
    std::fs::write(&envelope, send::head(issuer, &head)?).map_err(io(&envelope))?;
    let sizes: Vec<String> = head
        .parts
        .iter()
        .map(|p| match p.base {
            None => format!("snapshot of {} bytes", p.bytes),
            Some(base) => format!("change of edition {base}, {} bytes", p.bytes),
        })
        .collect();
    told.insert(0, format!("{}: {name} edition {version}: {}", envelope.display(), sizes.join(", ")));
    Ok(told.join("\n  "))
}

/// Makes an edition of `policy` from the lines of a pack; with a time it counts from then on.
pub fn make_policy(
    issuer: &Issuer,
    from: &Path,
    out: &Path,
    version: Option<u64>,
    url: Option<String>,
    from_s: Option<i64>,
) -> Result<String, String> {
    let source = Source { list: "policy", from, id: None, zone: None, leave_out: &[] };
    make(issuer, &source, out, version, &[], (url, from_s))
}

/// The form of each list, as it is published.
fn form_text(list: &List) -> String {
    format!("{:#}\n", form::of(list))
}

fn forms(out: &Path) -> Result<String, String> {
    std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    for list in known() {
        let path = out.join(format!("{}.json", list.name));
        std::fs::write(&path, form_text(list)).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(format!("{}: {} forms", out.display(), known().count()))
}

/// Lists whose entries have a form: keys have one of their own.
fn known() -> impl Iterator<Item = &'static List> {
    lists::LISTS.iter().filter(|list| list.name != "trust")
}

fn write_part(folder: &Path, fill: impl FnOnce(&mut Hashed) -> Result<(), String>) -> Result<Part, String> {
    let path = folder.join("part.new");
    let file = File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut hashed = Hashed { file: BufWriter::new(file), hash: Context::new(&SHA256), bytes: 0 };
    fill(&mut hashed)?;
    hashed.file.flush().map_err(|e| e.to_string())?;
    let sha256 = hex(hashed.hash.finish().as_ref());
    std::fs::rename(&path, folder.join(&sha256)).map_err(|e| e.to_string())?;
    Ok(Part { base: None, sha256, bytes: hashed.bytes })
}

/// A file that is hashed while it is written.
struct Hashed {
    file: BufWriter<File>,
    hash: Context,
    bytes: u64,
}

impl Hashed {
    fn put(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|e| e.to_string())
    }
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

/// Lines of a body with their ids.
fn ids(path: &Path) -> Result<impl Iterator<Item = Result<(String, String), String>>, String> {
    let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(BufReader::new(file).lines().map(|line| {
        let line = line.map_err(|e| e.to_string())?;
        let Id { id } = serde_json::from_str(&line).map_err(|e| e.to_string())?;
        Ok((id, line))
    }))
}

/// What turns one body into another.
fn differ(old: &Path, new: &Path, to: &mut Hashed) -> Result<(), String> {
    let (mut old, mut new) = (ids(old)?, ids(new)?);
    let (mut a, mut b) = (old.next().transpose()?, new.next().transpose()?);
    loop {
        match (&a, &b) {
            (None, None) => return Ok(()),
            (Some((x, _)), other) if other.as_ref().is_none_or(|(y, _)| x < y) => {
                to.put(format!("{}\n", json!({ "id": x })).as_bytes())?;
                a = old.next().transpose()?;
            }
            (other, Some((y, line))) if other.as_ref().is_none_or(|(x, _)| y < x) => {
                to.put(format!("{line}\n").as_bytes())?;
                b = new.next().transpose()?;
            }
            (Some((_, before)), Some((_, line))) => {
                if before != line {
                    to.put(format!("{line}\n").as_bytes())?;
                }
                (a, b) = (old.next().transpose()?, new.next().transpose()?);
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
    }
}

fn canaries(body: &Path, wanted: &[String]) -> Result<Vec<Canary>, String> {
    let mut out = Vec::new();
    if wanted.is_empty() {
        return Ok(out);
    }
    for line in ids(body)? {
        let (id, line) = line?;
        if wanted.contains(&id) {
            let line: Value = serde_json::from_str(&line).map_err(|e| e.to_string())?;
            out.push(Canary { id, facts: line["facts"].as_object().cloned() });
        }
    }
    match wanted.iter().find(|w| out.iter().all(|c| c.id != **w)) {
        Some(missing) => Err(format!("the canary `{missing}` is not in the list")),
        None => Ok(out),
    }
}

fn entry(
    issuer: &Issuer,
    feed: String,
    id: String,
    facts: Option<&str>,
    picture: Option<&Path>,
) -> Result<String, String> {
    // Keys and profiles come as whole editions.
    let lists = || LISTS.iter().filter(|name| !matches!(**name, "trust" | "policy")).copied();
    if !lists().any(|name| name == feed) {
        let all = lists().collect::<Vec<_>>().join(", ");
        return Err(format!("`{feed}` is not a list that takes single entries; there are: {all}"));
    }
    let facts: Option<Map<String, Value>> =
        facts.map(serde_json::from_str).transpose().map_err(|e| format!("--facts: {e}"))?;
    if let Some(facts) = &facts {
        schema::check(&feed, facts).map_err(|why| format!("--facts: {why}"))?;
    }
    let does = if facts.is_some() { "put on" } else { "taken off" };
    let words = [format!("{feed}: {id} is {does}"), "KAKOU".to_owned()];
    let entry = Entry { feed, issued_ms: crate::fleet::watch::now_ms(), id, facts };
    let payload = serde_json::to_vec(&entry).map_err(|e| e.to_string())?;
    let envelope = issuer.sign_message(&payload, ENTRY).map_err(|e| e.to_string())?;
    let envelope: Value = serde_json::from_slice(&envelope).map_err(|e| e.to_string())?;
    let part = |name: &str| envelope[name].as_str().unwrap_or_default().to_owned();
    let prefix = String::from_utf8_lossy(ENTRY_PREFIX);
    let text = format!("{prefix}{}.{}.{}", part("protected"), part("payload"), part("signature"));
    if let Some(path) = picture {
        qr::write(path, &text, &words)?;
    }
    Ok(text)
}

/// The words of a configuration that say whose it is.
#[derive(Deserialize)]
struct Named {
    gateway: Name,
}

#[derive(Deserialize)]
struct Name {
    site: SiteId,
    id: GatewayId,
}

fn configuration(issuer: &Issuer, from: &Path, version: u64, out: &Path) -> Result<String, String> {
    let toml = files::read_text(from).map_err(|e| format!("{}: {e}", from.display()))?;
    let named: Named = toml::from_str(&toml).map_err(|e| format!("{}: {e}", from.display()))?;
    let Name { site, id: gateway } = named.gateway;
    let file = out.join(usb_drive::file_name(&site, &gateway));
    let envelope = send::configuration(issuer, &Configuration { site, gateway, version, toml })?;
    let written = std::fs::create_dir_all(out).and_then(|()| std::fs::write(&file, envelope.body));
    written.map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(format!("{}: edition {version}", file.display()))
}

#[cfg(test)]
mod tests;
