//! Verifying a file of evidence on a machine that has nothing but it and a root: what was changed is named.

use super::page::{self, PICTURE, PICTURE_BYTES, Pictures};
use super::trust::{self, Trust};
use super::{CONTENT, CONTENT_END, Content, FORM, PAGE, Record, SIGNATURE, SIGNATURE_END, Segment};
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_core::evidence::{Hash, verify as signed_by};
use kakou_core::pass::unhex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// The gateway, as `site.gateway`.
    pub gateway: String,
    /// The visits in it.
    pub visits: Vec<String>,
    /// When it was made, UTC milliseconds.
    pub made_ms: i64,
    /// Records whose place in the chain and body are right.
    pub records: u64,
    /// Signed heads that verify.
    pub heads: u64,
    /// Links of the chain that fit, those of other visits among them.
    pub links: u64,
    /// Photographs with the right hash.
    pub photos: u64,
    /// What is good to know and no fault.
    pub notes: Vec<String>,
    /// What does not fit.
    pub problems: Vec<String>,
}

/// Verifies a file. It is verified where `problems` is empty.
pub fn verify(file: &[u8], trust: &Trust) -> Verified {
    let mut out = Verified::default();
    let (signed, signature) = split(file, &mut out);
    let pictures = pictures(signed, &mut out);
    let Some(content) = content(signed, &mut out) else {
        if out.problems.is_empty() {
            out.problems.push("this is no file of evidence".into());
        }
        return out;
    };
    out.gateway = format!("{}.{}", content.site, content.gateway);
    out.visits.clone_from(&content.visits);
    out.made_ms = content.made_ms;
    if let Err(why) = trust::check(trust, &content.key, &content.site, &content.gateway, content.made_ms) {
        out.problems.push(why.to_string());
    }
    let public = unhex(&content.key.public).unwrap_or_default();
    let hashes = segments(&content, &public, &mut out);
    records(&content, &hashes, &public, &mut out);
    photos(&content, &pictures, &mut out);
    let whole = signature.is_some_and(|s| signed_by(&public, signed, &s));
    if !whole {
        if page_differs(&content, &pictures, signed) {
            out.problems.push("the page for people was changed: it is not what the records say".into());
        }
        out.problems.push("the file is not as it was signed: something in it was changed".into());
    } else if content.page != PAGE {
        out.notes.push("the page is of another version and was not compared with the records".into());
    } else if page_differs(&content, &pictures, signed) {
        out.problems.push("the page for people does not say what the records say, and was signed so".into());
    }
    out
}

/// What is in a file, whether it fits or not.
pub fn read(file: &[u8]) -> Option<(Content, Pictures)> {
    let mut unsaid = Verified::default();
    let (signed, _) = split(file, &mut unsaid);
    let pictures = pictures(signed, &mut unsaid);
    content(signed, &mut unsaid).map(|content| (content, pictures))
}

fn page_differs(content: &Content, pictures: &Pictures, signed: &[u8]) -> bool {
    content.page == PAGE && page::render(content, pictures).as_bytes() != signed
}

/// What is signed, and the signature.
fn split<'a>(file: &'a [u8], out: &mut Verified) -> (&'a [u8], Option<String>) {
    let Some(at) = find_last(file, SIGNATURE.as_bytes()) else {
        out.problems
            .push("the last line with the signature is missing: the end of the file was cut off".into());
        return (file, None);
    };
    let line = file[at + SIGNATURE.len()..].strip_suffix(SIGNATURE_END.as_bytes());
    let text = line.and_then(|l| std::str::from_utf8(l).ok());
    let whole = text.filter(|t| STANDARD.decode(t).is_ok_and(|raw| raw.len() == 64));
    if whole.is_none() {
        out.problems.push(
            "the last line with the signature is not whole: the end of the file was cut off, changed or added to".into(),
        );
    }
    (&file[..at], whole.map(str::to_owned))
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let (first, last) = (*text.first()?, bytes.len().checked_sub(text.len())?);
    let mut at = 0;
    while at <= last {
        at += bytes[at..=last].iter().position(|b| *b == first)?;
        if bytes[at..].starts_with(text) {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn find_last(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(text.len())?;
    (0..=last).rev().find(|at| bytes[*at..].starts_with(text))
}

/// The photographs in the page, by the hash that they are under.
fn pictures(signed: &[u8], out: &mut Verified) -> Pictures {
    let mut pictures = Pictures::new();
    let mut rest = signed;
    while let Some(at) = find(rest, PICTURE.as_bytes()) {
        rest = &rest[at + PICTURE.len()..];
        let Some(sha256) = rest.get(..64).and_then(|s| std::str::from_utf8(s).ok()) else { continue };
        let Some(bytes) = rest[64..].strip_prefix(PICTURE_BYTES.as_bytes()) else { continue };
        let Some(end) = find(bytes, b"\"") else { continue };
        match STANDARD.decode(&bytes[..end]) {
            Ok(jpeg) => drop(pictures.insert(sha256.to_owned(), jpeg)),
            Err(_) => out.problems.push(format!("photograph {} was changed: not readable", shown(sha256))),
        }
        rest = &bytes[end..];
    }
    pictures
}

fn shown(text: &str) -> String {
    kakou_link::shown::line(text)
}

fn content(signed: &[u8], out: &mut Verified) -> Option<Content> {
    let begin = find(signed, CONTENT.as_bytes());
    let json = begin.and_then(|at| {
        let rest = &signed[at + CONTENT.len()..];
        find(rest, CONTENT_END.as_bytes()).map(|end| &rest[..end])
    });
    let Some(json) = json else {
        out.problems.push("the records are missing: the file was cut, or is no file of evidence".into());
        return None;
    };
    match serde_json::from_slice::<Content>(json) {
        Ok(content) if content.form == FORM => Some(content),
        Ok(content) => {
            out.problems.push(format!(
                "the file has form {}, this version knows {FORM}: verify it with a newer `kakou`",
                content.form
            ));
            None
        }
        Err(e) => {
            out.problems
                .push(format!("the records were changed: they are not readable ({})", shown(&e.to_string())));
            None
        }
    }
}

/// The hashes of the bodies of all events in the segments, by number, where the chain is whole.
fn segments(content: &Content, public: &[u8], out: &mut Verified) -> BTreeMap<u64, Hash> {
    let mut hashes = BTreeMap::new();
    let mut behind = 0;
    for segment in &content.segments {
        if segment.after < behind {
            out.problems.push(format!("the chain is out of order at event {}", segment.after + 1));
        }
        behind = segment.last();
        chain(content, segment, public, &mut hashes, out);
    }
    hashes
}

fn hash(hex: &str) -> Option<Hash> {
    unhex(hex).and_then(|b| <[u8; 32]>::try_from(b).ok()).map(Hash)
}

fn chain(
    content: &Content,
    segment: &Segment,
    public: &[u8],
    hashes: &mut BTreeMap<u64, Hash>,
    out: &mut Verified,
) {
    let (first, last) = (segment.after.saturating_add(1), segment.last());
    let good: Vec<_> = segment
        .heads
        .iter()
        .filter(|head| {
            let good = head.epoch == content.epoch && head.verifies(public);
            if !good {
                out.problems.push(format!("the signed head at {} does not verify", head.seq));
            }
            good
        })
        .collect();
    let mut signed: BTreeMap<u64, &str> = good.iter().map(|head| (head.seq, head.hash.as_str())).collect();
    for pair in good.windows(2) {
        let named = pair[1].behind.as_ref().map(|b| b.before);
        if named.is_some_and(|named| named != pair[0].seq) {
            out.problems
                .push(format!("a signed head between {} and {} is missing", pair[0].seq, pair[1].seq));
        }
    }
    // What a segment begins with is signed: as a head, as what was purged, or as the beginning.
    let purged = good.iter().filter_map(|head| head.behind.as_ref()).find(|b| b.purged == segment.after);
    if let Some(behind) = purged {
        signed.entry(segment.after).or_insert(&behind.purged_hash);
    }
    let zero = Hash::default().hex();
    if segment.after == 0 {
        signed.entry(0).or_insert(&zero);
    }
    if signed.get(&segment.after).is_none_or(|hash| *hash != segment.hash) {
        out.problems
            .push(format!("no signed head says what was before event {first}: the beginning was cut off"));
    }
    let Some(mut head) = hash(&segment.hash) else { return };
    let mut unsigned = Vec::new();
    for (seq, body) in (first..).zip(&segment.bodies) {
        let Some(body) = hash(body) else {
            out.problems.push(format!("the hash of event {seq} was changed: not readable"));
            return;
        };
        head = head.link(seq, &body);
        unsigned.push((seq, body));
        let Some(signed) = signed.get(&seq) else { continue };
        if head.hex() == *signed {
            out.links += unsigned.len() as u64;
            hashes.extend(unsigned.drain(..));
        } else {
            let from = unsigned.first().map_or(seq, |(seq, _)| *seq);
            out.problems.push(format!(
                "events {from} to {seq} are not those of the signed head at {seq}: one is missing, changed or in another order"
            ));
            unsigned.clear();
            let Some(next) = hash(signed) else { return };
            head = next;
        }
    }
    if let Some((from, _)) = unsigned.first() {
        out.problems.push(format!("no signed head covers events {from} to {last}: the tail was cut off"));
    }
    out.heads += good.iter().filter(|head| (segment.after..=last).contains(&head.seq)).count() as u64;
    if let Some(beyond) = good.iter().find(|head| head.seq > last) {
        out.problems.push(format!(
            "events {} to {} are missing: a signed head names them",
            last + 1,
            beyond.seq
        ));
    }
}

fn records(content: &Content, hashes: &BTreeMap<u64, Hash>, public: &[u8], out: &mut Verified) {
    let there: BTreeSet<u64> = content.records.iter().map(|r| r.seq).collect();
    for seq in content.numbers.iter().filter(|seq| !there.contains(seq)) {
        out.problems.push(format!("record {seq} is missing"));
    }
    for pair in content.records.windows(2) {
        if pair[0].seq >= pair[1].seq {
            out.problems.push(format!(
                "record {} is in another order: it stands behind {}",
                pair[1].seq, pair[0].seq
            ));
        }
    }
    for record in &content.records {
        if !content.numbers.contains(&record.seq) {
            out.problems.push(format!("record {} does not belong into this file", record.seq));
        } else if let Some(why) = wrong(content, record, hashes, public) {
            out.problems.push(format!("record {}: {why}", record.seq));
        } else {
            out.records += 1;
        }
    }
}

/// What is wrong with a record.
fn wrong(content: &Content, record: &Record, hashes: &BTreeMap<u64, Hash>, public: &[u8]) -> Option<String> {
    match hashes.get(&record.seq) {
        None => return Some("no signed head proves its place in the chain".into()),
        Some(hash) if *hash != Hash::of(record.body.as_bytes()) => {
            return Some(
                "it was changed, or its number or time was: its hash is not that of the chain".into(),
            );
        }
        Some(_) => {}
    }
    let Ok(event) = serde_json::from_str::<Value>(&record.body) else {
        return Some("it is not readable".into());
    };
    let id = format!("{}/{}/{}", content.gateway, content.epoch, record.seq);
    if event["id"] != id || event["source"] != format!("/kakou/{}/{}", content.site, content.gateway) {
        return Some(format!(
            "it is of another gateway, journal or number: {}",
            shown(&event["id"].to_string())
        ));
    }
    if !content.visits.iter().any(|visit| event["subject"] == **visit) {
        return Some("it is of another visit".into());
    }
    if let (Some(manifest), Some(signature)) =
        (event["data"]["manifest"].as_str(), event["data"]["signature"].as_str())
        && !signed_by(public, manifest.as_bytes(), signature)
    {
        return Some("its manifest is not signed by the gateway".into());
    }
    None
}

fn photos(content: &Content, pictures: &Pictures, out: &mut Verified) {
    let mut named = BTreeSet::new();
    for record in &content.records {
        let Ok(event) = serde_json::from_str::<Value>(&record.body) else { continue };
        named.extend(crate::store::photos::named(&event["data"]).into_iter().map(str::to_owned));
    }
    let listed: BTreeSet<&str> = content.photos.iter().map(|p| p.sha256.as_str()).collect();
    for sha256 in named.iter().filter(|sha256| !listed.contains(sha256.as_str())) {
        out.problems.push(format!("photograph {sha256} is missing: a record names it"));
    }
    for photo in &content.photos {
        let name = format!("photograph {} ({})", shown(&photo.sha256), shown(&photo.role));
        if !named.contains(&photo.sha256) {
            out.problems.push(format!("{name} is named by no record"));
            continue;
        }
        match pictures.get(&photo.sha256) {
            Some(bytes) if Hash::of(bytes).hex() != photo.sha256 => {
                out.problems.push(format!("{name} was changed"))
            }
            Some(_) => out.photos += 1,
            None if photo.state == "here" => out.problems.push(format!("{name} is missing")),
            None => {
                out.notes.push(format!("{name} was not at the gateway any more: {}", shown(&photo.state)))
            }
        }
    }
    for sha256 in pictures.keys().filter(|sha256| !listed.contains(sha256.as_str())) {
        out.problems.push(format!("photograph {} does not belong into this file", shown(sha256)));
    }
}
