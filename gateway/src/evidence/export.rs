//! Making a file of evidence from the data of a gateway, while the daemon runs or not.

use super::page::{self, Pictures};
use super::{Content, FORM, Key, Link, PAGE, Photo, Record, SIGNATURE, SIGNATURE_END, Segment, endorsed};
use crate::keys::{self, KeyError};
use crate::store::photos::Photos;
use crate::store::{StoreError, journal, outbox, retention};
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_core::event::Class;
use kakou_core::evidence::{Behind, Checkpoint, GatewayKey, Hash};
use kakou_provisioning::identity;
use rusqlite::{Connection, OptionalExtension, params};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What is exported.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The visit: its number, or `lane/number`.
    pub visit: String,
    /// The certificate of the box and its key, PEM; those of its enrolment otherwise.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Now, UTC milliseconds.
    pub now_ms: i64,
    /// Minutes of the site's clock from UTC.
    pub utc_offset_minutes: i32,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    /// The visits in it.
    pub visits: Vec<String>,
    /// Records.
    pub records: usize,
    /// Photographs in the file.
    pub photos: usize,
    /// Photographs that the gateway has no more.
    pub photos_gone: usize,
    /// Whether a certificate vouches for the key; without, a verifier needs the key itself.
    pub certified: bool,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum NotExported {
    /// The journal.
    #[error(transparent)]
    Store(#[from] Box<StoreError>),
    /// The journal, while it is read.
    #[error("the journal: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The key of the gateway.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No such visit.
    #[error(
        "no record of visit {0} in this journal: its time was over, it was at another gateway, or the number is wrong"
    )]
    Nothing(String),
    /// The number of a visit alone fits more than one.
    #[error("{0} are several visits: name the one as LANE/NUMBER")]
    Several(String),
    /// The certificate.
    #[error("{0}: {1}")]
    Identity(PathBuf, String),
    /// The chain does not fit.
    #[error(
        "event {0} is not in the journal, though a visit lies around it: `kakou journal verify` says more"
    )]
    Gap(u64),
}

/// Makes the file.
pub fn export(data: &Path, wanted: &Wanted) -> Result<(Vec<u8>, Exported), NotExported> {
    // The key is that of the daemon's first start; none is made here.
    let key = keys::existing_gateway_key(data)?;
    let connection = journal::reader(data).map_err(Box::new)?;
    let view = connection.unchecked_transaction()?;
    let own = find(&view, &wanted.visit)?;
    let (site, gateway, epoch) = author(&view, &own)?;
    let seals = Seals::read(&view)?;
    let (visits, links) = seals.around(&own);
    let mut records = Vec::new();
    for visit in &visits {
        records.extend(of_visit(&view, visit)?);
    }
    records.sort_by_key(|record| record.seq);
    let numbers: Vec<u64> = records.iter().map(|record| record.seq).collect();
    let segments = segments(&view, &key, epoch, &numbers)?;
    let folder = Photos::open(data).map_err(Box::new)?;
    let (photos, pictures) = photographs(&view, &folder, &records)?;
    let mut receipts = BTreeMap::new();
    for class in Class::ALL {
        let (_, receipted) = outbox::progress(&view, class)?;
        if receipted > 0 {
            receipts.insert(class.as_str().to_owned(), receipted);
        }
    }
    drop(view);
    let key_of = vouched(data, wanted, &key, &site, &gateway)?;
    let exported = Exported {
        visits: visits.clone(),
        records: records.len(),
        photos: pictures.len(),
        photos_gone: photos.len() - pictures.len(),
        certified: !key_of.certificates.is_empty(),
    };
    let content = Content {
        form: FORM,
        page: PAGE,
        site,
        gateway,
        epoch,
        made_ms: wanted.now_ms,
        utc_offset_minutes: wanted.utc_offset_minutes,
        key: key_of,
        visits,
        links,
        numbers,
        records,
        segments,
        photos,
        receipts,
    };
    Ok((signed(&content, &pictures, &key), exported))
}

/// The file: the page, and the signature of it as the last line.
pub fn signed(content: &Content, pictures: &Pictures, key: &GatewayKey) -> Vec<u8> {
    let mut file = page::render(content, pictures).into_bytes();
    let signature = key.sign(&file);
    file.extend_from_slice(format!("{SIGNATURE}{signature}{SIGNATURE_END}").as_bytes());
    file
}

const BODIES: &str =
    "SELECT seq, body FROM event WHERE shed = 0 AND instr(body, CAST(?1 AS BLOB)) > 0 ORDER BY seq";

fn bodies(connection: &Connection, part: &str) -> rusqlite::Result<Vec<(u64, String)>> {
    let mut select = connection.prepare_cached(BODIES)?;
    let rows =
        select.query_map([part], |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get::<_, Vec<u8>>(1)?)))?;
    let mut found = Vec::new();
    for row in rows {
        let (seq, body) = row?;
        if let Ok(text) = String::from_utf8(body) {
            found.push((seq, text));
        }
    }
    Ok(found)
}

/// What comes behind the subject in every record: no text inside a record can have it, for its quotes.
const BEHIND: &str = "\",\"datacontenttype\":";

fn event(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_default()
}

/// The visit as `lane/number`.
fn find(connection: &Connection, visit: &str) -> Result<String, NotExported> {
    let part = match visit.split_once('/') {
        Some(_) => format!("\"subject\":\"{visit}{BEHIND}"),
        None => format!("/{visit}{BEHIND}"),
    };
    let found = bodies(connection, &part)?;
    let mut all: Vec<String> =
        found.iter().filter_map(|(_, body)| event(body)["subject"].as_str().map(str::to_owned)).collect();
    all.sort_unstable();
    all.dedup();
    match all.as_slice() {
        [] => Err(NotExported::Nothing(visit.to_owned())),
        [one] => Ok(one.clone()),
        [..] => Err(NotExported::Several(all.join(", "))),
    }
}

fn of_visit(connection: &Connection, visit: &str) -> rusqlite::Result<Vec<Record>> {
    let found = bodies(connection, &format!("\"subject\":\"{visit}{BEHIND}"))?;
    let own = found.into_iter().filter(|(_, body)| event(body)["subject"] == visit);
    Ok(own.map(|(seq, body)| Record { seq, body }).collect())
}

/// Site, gateway and epoch, as the first record of the visit has them.
fn author(connection: &Connection, visit: &str) -> Result<(String, String, u64), NotExported> {
    let none = || NotExported::Nothing(visit.to_owned());
    let records = of_visit(connection, visit)?;
    let first = event(&records.first().ok_or_else(none)?.body);
    let source =
        first["source"].as_str().and_then(|s| s.strip_prefix("/kakou/")).and_then(|s| s.split_once('/'));
    let epoch = first["id"].as_str().and_then(|id| id.split('/').nth(1)).and_then(|n| n.parse().ok());
    let ((site, gateway), epoch) = source.zip(epoch).ok_or_else(none)?;
    Ok((site.to_owned(), gateway.to_owned(), epoch))
}

/// What was done to seals, in the order of the journal.
struct Seals(Vec<Link>);

impl Seals {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut all = Vec::new();
        for (_, body) in bodies(connection, "\"type\":\"kakou.seal_")? {
            let event = event(&body);
            let Some(visit) = event["subject"].as_str() else { continue };
            let data = &event["data"];
            let mut take = |seal: &str, what: &str| {
                all.push(Link { seal: seal.to_owned(), what: what.to_owned(), visit: visit.to_owned() });
            };
            let kind = event["type"].as_str().unwrap_or_default();
            let what = if kind.contains("seal_applied") {
                "applied"
            } else if kind.contains("seal_breach") {
                "breach"
            } else if kind.contains("seal_verified") {
                "verified"
            } else {
                "checked"
            };
            for list in ["seals", "expected", "read"] {
                for seal in data[list].as_array().into_iter().flatten() {
                    if let Some(number) = seal["number"].as_str().or(seal.as_str()).filter(|n| !n.is_empty())
                    {
                        take(number, what);
                    }
                    if let Some(parent) = seal["parent"].as_str() {
                        take(parent, "resealed");
                    }
                }
            }
        }
        Ok(Self(all))
    }

    /// A visit, those that are linked with it by a seal over any number of steps, and the seals of them all.
    fn around(&self, own: &str) -> (Vec<String>, Vec<Link>) {
        let (mut visits, mut numbers) = (vec![own.to_owned()], BTreeSet::new());
        loop {
            let before = (visits.len(), numbers.len());
            for link in &self.0 {
                if visits.contains(&link.visit) {
                    numbers.insert(link.seal.clone());
                } else if numbers.contains(&link.seal) {
                    visits.push(link.visit.clone());
                }
            }
            if (visits.len(), numbers.len()) == before {
                break;
            }
        }
        let mut links: Vec<Link> =
            self.0.iter().filter(|link| numbers.contains(&link.seal)).cloned().collect();
        links.dedup();
        (visits, links)
    }
}

fn head(connection: &Connection, sql: &str, seq: u64) -> rusqlite::Result<Option<Checkpoint>> {
    let read = |r: &rusqlite::Row<'_>| r.get::<_, Vec<u8>>(0);
    let body = connection.prepare_cached(sql)?.query_row([seq.cast_signed()], read).optional()?;
    Ok(body.and_then(|body| serde_json::from_slice(&body).ok()))
}

/// The parts of the chain from the signed head before each record to the one behind it. Where none is behind yet, the
/// last event is signed here.
fn segments(
    connection: &Connection,
    key: &GatewayKey,
    epoch: u64,
    numbers: &[u64],
) -> Result<Vec<Segment>, NotExported> {
    let sql = "SELECT seq, hash FROM purged";
    let purged =
        connection.query_row(sql, [], |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), Hash(r.get(1)?))));
    let (purged, purged_hash) = purged.optional()?.unwrap_or_default();
    let mut spans: Vec<(u64, u64, Vec<Checkpoint>)> = Vec::new();
    for seq in numbers {
        if spans.last().is_some_and(|(_, last, _)| seq <= last) {
            continue;
        }
        let sql = "SELECT body FROM checkpoint WHERE seq < ?1 ORDER BY seq DESC LIMIT 1";
        let before = head(connection, sql, *seq)?;
        let sql = "SELECT body FROM checkpoint WHERE seq >= ?1 ORDER BY seq LIMIT 1";
        let behind = match head(connection, sql, *seq)? {
            Some(head) => head,
            None => {
                let sql = "SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1";
                let (last, hash) = connection
                    .query_row(sql, [], |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), Hash(r.get(1)?))))?;
                let earlier = before.as_ref().map_or(0, |head| head.seq);
                key.checkpoint(epoch, last, &hash, Behind::new(earlier, purged, &purged_hash))
            }
        };
        let after = before.as_ref().map_or(purged, |head| head.seq);
        match spans.last_mut() {
            Some((_, last, heads)) if *last == after => {
                *last = behind.seq;
                heads.push(behind);
            }
            Some(_) | None => spans.push((after, behind.seq, before.into_iter().chain([behind]).collect())),
        }
    }
    let mut all = Vec::new();
    for (after, last, heads) in spans {
        let hash = heads.first().filter(|head| head.seq == after).map(|head| head.hash.clone());
        let hash = hash.unwrap_or_else(|| if after == purged { purged_hash } else { Hash::default() }.hex());
        all.push(Segment { after, hash, bodies: hashes(connection, after, last)?, heads });
    }
    Ok(all)
}

/// The hashes of bodies behind one event, up to another.
fn hashes(connection: &Connection, after: u64, last: u64) -> Result<Vec<String>, NotExported> {
    let sql = "SELECT seq, body, shed FROM event WHERE seq > ?1 AND seq <= ?2 ORDER BY seq";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params![after.cast_signed(), last.cast_signed()])?;
    let mut hashes = Vec::new();
    let mut next = after;
    while let Some(r) = rows.next()? {
        next += 1;
        if r.get::<_, i64>(0)?.cast_unsigned() != next {
            return Err(NotExported::Gap(next));
        }
        let body: Vec<u8> = r.get(1)?;
        let shed = <[u8; 32]>::try_from(body.as_slice()).ok().filter(|_| r.get(2).unwrap_or(false));
        hashes.push(shed.map_or_else(|| Hash::of(&body), Hash).hex());
    }
    if next == last { Ok(hashes) } else { Err(NotExported::Gap(next + 1)) }
}

fn photographs(
    connection: &Connection,
    folder: &Photos,
    records: &[Record],
) -> rusqlite::Result<(Vec<Photo>, Pictures)> {
    let (mut photos, mut pictures) = (Vec::<Photo>::new(), Pictures::new());
    for record in records {
        let event = event(&record.body);
        for (role, sha256) in roles(&event["data"]["photos"]) {
            if photos.iter().any(|photo| photo.sha256 == sha256) {
                continue;
            }
            let there = folder.read(&sha256);
            let state = if there.is_some() { "here" } else { gone(connection, &sha256)? };
            pictures.extend(there.map(|bytes| (sha256.clone(), bytes)));
            photos.push(Photo { sha256, role, state: state.to_owned() });
        }
    }
    Ok((photos, pictures))
}

fn roles(photos: &Value) -> Vec<(String, String)> {
    match photos {
        Value::Object(by_role) => {
            by_role.iter().filter_map(|(role, sha)| Some((role.clone(), sha.as_str()?.to_owned()))).collect()
        }
        Value::Array(list) => {
            let role = |p: &Value| p["role"].as_str().unwrap_or_default().to_owned();
            list.iter().filter_map(|p| Some((role(p), p["sha256"].as_str()?.to_owned()))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn gone(connection: &Connection, sha256: &str) -> rusqlite::Result<&'static str> {
    let sql = "SELECT state FROM photo WHERE sha256 = ?1";
    let state: Option<i64> = connection.prepare_cached(sql)?.query_row([sha256], |r| r.get(0)).optional()?;
    Ok(match state {
        Some(retention::REMOVED) => "removed",
        Some(retention::SHED) => "shed",
        Some(_) | None => "missing",
    })
}

/// The key, with the certificate of the box and its word for it, if there is one.
fn vouched(
    data: &Path,
    wanted: &Wanted,
    key: &GatewayKey,
    site: &str,
    gateway: &str,
) -> Result<Key, NotExported> {
    let public = kakou_core::pass::hex(key.public());
    let enrolled = crate::enrol::folder(data);
    let own = (enrolled.join("device.pem"), enrolled.join("device.key"));
    let (cert, file) = match &wanted.identity {
        Some(identity) => identity.clone(),
        None if own.0.exists() => own,
        None => return Ok(Key { public, certificates: Vec::new(), endorsement: String::new() }),
    };
    let wrong = |path: &Path, why: String| NotExported::Identity(path.to_path_buf(), why);
    let text = |path: &Path| std::fs::read_to_string(path).map_err(|e| wrong(path, e.to_string()));
    let mut certificates = Vec::new();
    for der in CertificateDer::pem_slice_iter(text(&cert)?.as_bytes()) {
        certificates.push(STANDARD.encode(der.map_err(|e| wrong(&cert, e.to_string()))?));
    }
    let said = endorsed(site, gateway, &public);
    let word = identity::prove(&text(&file)?, said.as_bytes());
    let word =
        word.ok_or_else(|| wrong(&file, "not an ECDSA P-256 key in PKCS#8, as enrolment makes it".into()))?;
    Ok(Key { public, certificates, endorsement: STANDARD.encode(word) })
}
