//! `kakou feed`

use super::fail;
use crate::feeds::schema;
use crate::feeds::word::{ENTRY, ENTRY_PREFIX, Entry, Head, Part};
use crate::files;
use crate::fleet::send;
use crate::https::Place;
use crate::orders::stick;
use crate::orders::word::Configuration;
use crate::store::edition::{Canary, Line};
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::pass::hex;
use kakou_core::pass::id::key;
use kakou_core::pass::trust::TrustList;
use kakou_core::records::LISTS;
use kakou_core::text::without_mark;
use kakou_provisioning::issuer::Issuer;
use ring::digest::{Context, SHA256};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes signed feeds for gateways: lists of residents, passes, revocations, holds.
#[derive(clap::Subcommand)]
#[command(
    after_help = "By hand, to gateways without a network: copy the folder onto a USB stick with FAT32 and the name\nKAKOU, put it into the box, and take it out when the status page shows the editions."
)]
pub enum Command {
    /// Signs an edition of a list: a snapshot, and what has changed since the edition that lies in the
    /// folder already. The folder is what `kakou fleet push` sends, and what a USB stick carries.
    #[command(
        after_help = "The source is either lines, `{\"id\": …, \"facts\": {…}}`, in ascending order of ids (.jsonl),\nor one JSON object of facts by id (.json). For `trust` it is the trust list itself."
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
        /// Writes the QR code as SVG as well.
        #[arg(long, value_name = "FILE")]
        qr: Option<PathBuf>,
    },
    /// Signs the configuration of one gateway for a USB stick, as SITE.GATEWAY.config; the gateway is
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
        Command::Make { key, name, from, out, version, canary, url } => {
            issuer(&key).and_then(|issuer| make(&issuer, &name, &from, &out, version, &canary, url))
        }
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
pub fn make(
    issuer: &Issuer,
    name: &str,
    from: &Path,
    out: &Path,
    version: Option<u64>,
    canary: &[String],
    at: Option<String>,
) -> Result<String, String> {
    if let Some(url) = &at {
        Place::read(url).map_err(|e| e.to_string())?;
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
    let word = out.join(format!("{name}.feed"));
    let before = std::fs::read(&word).ok().and_then(|w| send::unverified(&w));
    let snapshot = write_part(&parts, |file| copy(name, from, file))?;
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
        canary: Vec::new(),
    };
    if name != "trust" {
        let old = before.as_ref().and_then(|b| {
            let part = b.parts.iter().find(|p| p.base.is_none())?;
            Some((b.version, parts.join(&part.sha256)))
        });
        if let Some((base, old)) = old.filter(|(_, old)| old.exists()) {
            let new = parts.join(&snapshot.sha256);
            let change = write_part(&parts, |file| differ(&old, &new, file))?;
            head.parts.push(Part { base: Some(base), ..change });
        }
        head.canary = canaries(&parts.join(&snapshot.sha256), canary)?;
    }
    std::fs::write(&word, send::head(issuer, &head)?).map_err(io(&word))?;
    let sizes: Vec<String> = head
        .parts
        .iter()
        .map(|p| match p.base {
            None => format!("snapshot of {} bytes", p.bytes),
            Some(base) => format!("change of edition {base}, {} bytes", p.bytes),
        })
        .collect();
    Ok(format!("{}: {name} edition {version}: {}", word.display(), sizes.join(", ")))
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

fn copy(name: &str, from: &Path, to: &mut Hashed) -> Result<(), String> {
    let io = |e: std::io::Error| format!("{}: {e}", from.display());
    if name == "trust" {
        let list = std::fs::read(from).map_err(io)?;
        let read = TrustList::from_json(&list).map_err(|e| format!("{}: {e}", from.display()))?;
        // Gateways would leave them out.
        if read.left_out() > 0 {
            let allowed = "allowed: ES256, EdDSA, PS256";
            return Err(format!(
                "{}: {} keys have an unknown algorithm; {allowed}",
                from.display(),
                read.left_out()
            ));
        }
        return to.put(without_mark(&list));
    }
    let mut keys = HashSet::new();
    let mut once = |id: &str| {
        let key = key(name, id);
        if keys.contains(&*key) {
            return Err(format!(
                "`{id}` is there twice, as `{key}`: ids differ in more than case, width and what stands around them"
            ));
        }
        keys.insert(key.into_owned());
        Ok(())
    };
    if from.extension().is_some_and(|e| e == "json") {
        let all: BTreeMap<String, Map<String, Value>> =
            files::read_json(from).map_err(|e| format!("{e}; expected is one object of facts by id"))?;
        for (id, facts) in all {
            once(&id).map_err(|why| format!("{}: {why}", from.display()))?;
            schema::check(name, &facts).map_err(|why| format!("{}: `{id}`: {why}", from.display()))?;
            to.put(format!("{}\n", json!({ "id": id, "facts": facts })).as_bytes())?;
        }
        return Ok(());
    }
    let mut last = String::new();
    for (n, line) in BufReader::new(File::open(from).map_err(io)?).lines().enumerate() {
        let wrong = |why: String| format!("{}:{}: {why}", from.display(), n + 1);
        let line = line.map_err(|e| {
            if e.kind() == ErrorKind::InvalidData {
                wrong("not UTF-8: save it as UTF-8".into())
            } else {
                io(e)
            }
        })?;
        let line = if n == 0 { line.trim_start_matches('\u{feff}') } else { &line };
        if line.trim().is_empty() {
            continue;
        }
        let Line { id, facts } = Line::read(line.as_bytes()).map_err(wrong)?;
        if *id <= *last {
            return Err(wrong(format!("`{id}` is not behind `{last}`: sort the lines by id")));
        }
        once(&id).map_err(wrong)?;
        let (_, facts) =
            facts.ok_or_else(|| wrong(format!("the entry `{id}` needs facts, `{{}}` at least")))?;
        schema::check(name, &facts).map_err(|why| wrong(format!("`{id}`: {why}")))?;
        last = id.into_owned();
        to.put(line.as_bytes())?;
        to.put(b"\n")?;
    }
    Ok(())
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
    qr: Option<&Path>,
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
    let entry = Entry { feed, issued_ms: crate::fleet::watch::now_ms(), id, facts };
    let payload = serde_json::to_vec(&entry).map_err(|e| e.to_string())?;
    let word = issuer.word(&payload, ENTRY).map_err(|e| e.to_string())?;
    let word: Value = serde_json::from_slice(&word).map_err(|e| e.to_string())?;
    let part = |name: &str| word[name].as_str().unwrap_or_default().to_owned();
    let prefix = String::from_utf8_lossy(ENTRY_PREFIX);
    let text = format!("{prefix}{}.{}.{}", part("protected"), part("payload"), part("signature"));
    if let Some(path) = qr {
        std::fs::write(path, crate::demo::qr_svg(&text)).map_err(|e| format!("{}: {e}", path.display()))?;
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
    let file = out.join(stick::file_name(&site, &gateway));
    let word = send::configuration(issuer, &Configuration { site, gateway, version, toml })?;
    let written = std::fs::create_dir_all(out).and_then(|()| std::fs::write(&file, word.body));
    written.map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(format!("{}: edition {version}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_with_a_byte_order_mark_is_signed_without_it_and_its_faults_have_lines() {
        let folder = tempfile::tempdir().unwrap();
        let key = Issuer::from_pkcs8(&Issuer::generate().unwrap()).unwrap();
        let made = |name: &str, file: &str, text: &[u8]| {
            let from = folder.path().join(file);
            std::fs::write(&from, text).unwrap();
            let out = tempfile::tempdir().unwrap();
            make(&key, name, &from, out.path(), None, &[], None)?;
            let part = std::fs::read_dir(out.path().join("parts")).unwrap().next().unwrap().unwrap();
            Ok::<_, String>(String::from_utf8(std::fs::read(part.path()).unwrap()).unwrap())
        };
        // In whichever order a build of serde_json writes it.
        let line = json!({ "id": "a", "facts": {} }).to_string() + "\n";
        let made_of = |file: &str, text: &str| made("hold", file, text.as_bytes());
        assert_eq!(made_of("a.jsonl", &format!("\u{feff}{line}\r\n")), Ok(line.clone()));
        assert_eq!(made_of("a.json", "\u{feff}{\"a\":{}}"), Ok(line));
        let trust = r#"{"name":"trust","version":1,"issued":1,"keys":[]}"#;
        assert_eq!(made("trust", "trust.json", format!("\u{feff}{trust}").as_bytes()).as_deref(), Ok(trust));
        for (file, text, words) in [
            (
                "b.jsonl",
                &b"{\"id\":\"a\",\"facts\":{}}\nid;name\n"[..],
                "b.jsonl:2: column 1: found 'i', expected a JSON value",
            ),
            ("b.jsonl", b"{\"id\":\"a\",\"facts\":{}}\n{\"id\":\"\xd5\xc5\"}\n", "b.jsonl:2: not UTF-8"),
            ("b.json", b"\xff\xfe{\0", "UTF-16"),
            ("b.json", b"{\"A-1\":{},\"a-1\":{}}", "`a-1` is there twice, as `A-1`"),
        ] {
            let said = made("hold", file, text).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }

    fn key() -> Issuer {
        Issuer::from_pkcs8(&Issuer::generate().unwrap()).unwrap()
    }

    #[test]
    fn what_a_gateway_cannot_read_or_no_lane_understands_is_not_signed() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let made = |name: &str, file: &str, text: &str| {
            let from = folder.path().join(file);
            std::fs::write(&from, text).unwrap();
            make(&key(), name, &from, &out, None, &[], None)
        };
        let deep = format!("{{\"id\":\"a\",\"facts\":{{\"note\":{}1{}}}}}", "[".repeat(200), "]".repeat(200));
        for (name, file, text, wanted) in [
            (
                "hold",
                "a.jsonl",
                "{\"id\":\"a\",\"facts\":{}}\n{\"id\":\"b\",\"facts\":{\"note\":\"\\ud83d\"}}\n",
                "a.jsonl:2: ",
            ),
            ("hold", "a.jsonl", "{\"id\":\"a\",\"facts\":{\"until_ms\":1e999}}\n", "a.jsonl:1: "),
            ("hold", "a.jsonl", deep.as_str(), "a.jsonl:1: "),
            ("hold", "a.jsonl", "{\"id\":\"a\"}\n", "needs facts"),
            ("hold", "a.jsonl", "{\"id\":\"a\",\"facts\":{},\"extra\":1}\n", "extra"),
            ("hold", "a.json", "{\"a\":{\"note\":\"\\ud83d\"}}", "a.json"),
            ("status", "a.jsonl", "{\"id\":\"a\",\"facts\":{\"colour\":\"grean\"}}\n", "green, yellow, red"),
            (
                "status",
                "a.json",
                "{\"a\":{\"colour\":\"green\",\"sampled_at\":1795271400000}}",
                "`sampled_at_ms`",
            ),
            ("trust", "a.json", "{\"version\":3}", "a.json"),
        ] {
            let why = made(name, file, text).unwrap_err();
            assert!(why.contains(wanted), "{text}: {why}");
            assert!(!out.join(format!("{name}.feed")).exists(), "{text}");
        }
        made("hold", "a.jsonl", "{\"id\":\"a\",\"facts\":{\"note\":\"😀\",\"until_ms\":1795271400000}}\n")
            .unwrap();
    }

    #[test]
    fn an_entry_of_no_list_or_with_facts_that_no_lane_understands_is_not_signed() {
        let made = |name: &str, facts: Option<&str>| entry(&key(), name.into(), "R-1".into(), facts, None);
        assert!(made("holdd", None).unwrap_err().contains("there are: status"));
        assert!(made("trust", None).is_err(), "keys do not come one by one");
        assert!(made("hold", Some("{\"until\":1795271400000}")).unwrap_err().contains("`until_ms`"));
        assert!(made("hold", Some("{\"note\":\"\\ud83d\"}")).unwrap_err().contains("--facts"));
        assert!(made("hold", Some("{}")).unwrap().starts_with("KE1:"));
        assert!(made("hold", None).unwrap().starts_with("KE1:"), "to take it away");
    }
}
