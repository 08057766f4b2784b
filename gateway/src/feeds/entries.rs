//! Entries that come by themselves, outside of any edition: from a code at a scanner of this gateway, and
//! from the other gateways of the site.

use super::{FeedRequest, Feeds, NEWS};
use crate::store::StoreError;
use crate::store::edition;
use crate::store::lists::InUse;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kakou_core::evidence::Hash;
use kakou_core::pass::trust::TrustList;
use kakou_core::records::LISTS;
use kakou_core::signed;
use kakou_core::text::trimmed;
use kakou_core::time::rfc3339;
use kakou_link::durable;
use kakou_wire::feed::{self, ENTRY, ENTRY_MAX, ENTRY_PREFIX, Entry};
use serde_json::{Value, json};
use std::cell::OnceCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Instant;

/// Entries that are kept for gateways that come later, at most.
const KNOWN: usize = 1_000;

/// What an entry is called in the log.
pub(super) const WHAT: &str = "an entry from a code";

impl Feeds {
    /// Entries that other gateways of the site have read. One that cannot be stored now waits for its next
    /// turn; whether there is none such.
    pub(super) fn take_heard(&self) -> bool {
        let mut all = true;
        for file in files_in(&heard_folder(&self.data)) {
            match durable::read_small(&file, ENTRY_MAX).map(|text| self.entry(&text, false)) {
                Ok(Ok(())) => {}
                Ok(Err(e)) => {
                    self.waits("entries of other gateways wait", &e.to_string());
                    all = false;
                    continue;
                }
                Err(e) => self.refuse(WHAT, &e.to_string()),
            }
            if let Err(e) = std::fs::remove_file(&file) {
                log::warn!("{}: {e}", file.display());
            }
        }
        self.tell_waiting(Instant::now());
        all
    }

    /// An entry cannot be stored now, and is tried again every few seconds.
    pub(super) fn waits(&self, what: &str, why: &str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.note(json!({ "what": what, "why": why }), 1);
    }

    /// Says so once a minute, however many there are; what was said.
    pub(super) fn tell_waiting(&self, now: Instant) -> Option<Value> {
        let due = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).due(now)?;
        log::error!("entries wait until their list can be written: {due}");
        Some(due)
    }

    /// One entry from a QR code, read here or at another gateway. An error is one of the store.
    pub(super) fn entry(&self, text: &[u8], here: bool) -> Result<(), StoreError> {
        let what = WHAT;
        let (Some(keys), Some(envelope)) = (&self.keys, text.strip_prefix(ENTRY_PREFIX)) else {
            self.refuse(what, "this gateway has no fleet keys");
            return Ok(());
        };
        let opened = match signed::open(&unpack(envelope), ENTRY, keys, feed::usage(""), self.now_s()) {
            Ok(opened) => opened,
            Err(e) => {
                self.refuse(what, &e.to_string());
                return Ok(());
            }
        };
        let entry: Entry = match serde_json::from_slice(&opened.payload) {
            Ok(entry) => entry,
            Err(e) => {
                self.refuse(what, &e.to_string());
                return Ok(());
            }
        };
        self.clock.signed_at(entry.issued_ms);
        // What counts here is kept for the site before it counts: a power cut in between must not leave it to this
        // gateway alone.
        let kept = self.keep_known(text, &entry);
        if here && kept.is_some() {
            self.share(text);
        }
        let list = LISTS.contains(&entry.feed.as_str()) && entry.feed != "trust";
        if list && self.in_use(&entry.feed).is_none() {
            // It counts as soon as there is a list: that of a box that is new comes a little later.
            log::info!("an entry of list {} from a code waits for the list", entry.feed);
            return Ok(());
        }
        let taken = self.supplement(&entry, &opened.issuer)?;
        if let Some(file) = kept.filter(|_| !taken) {
            forget(&file);
        }
        Ok(())
    }

    /// Puts an entry beside the edition in use; false if it is not newer. An error is one of the store.
    fn supplement(&self, entry: &Entry, signer: &str) -> Result<bool, StoreError> {
        let issued = entry.issued_ms;
        match edition::supplement(&self.data, &entry.feed, &entry.id, issued, entry.facts.as_ref()) {
            Ok(true) => {
                log::info!("one entry of list {} was taken from a code", entry.feed);
                self.record(json!({ "feed": entry.feed, "supplement": true, "issued": rfc3339(issued),
                    "signer": signer }));
                return Ok(true);
            }
            Ok(false) => log::info!("an entry of list {} from a code is not newer than the list", entry.feed),
            Err(e @ StoreError::List { .. }) => self.refuse(WHAT, &e.to_string()),
            Err(e) => return Err(e),
        }
        Ok(false)
    }

    /// Keeps the text of an entry that counts, for gateways of the site that come later, in the place of an
    /// earlier one about the same id. Its file, unless it is no news.
    fn keep_known(&self, text: &[u8], entry: &Entry) -> Option<PathBuf> {
        let folder = known_folder(&self.data);
        let (mut count, mut replaced) = (0, Vec::new());
        for (file, known) in words_in(&folder) {
            match read(&known) {
                Some(known) if (&known.feed, &known.id) != (&entry.feed, &entry.id) => count += 1,
                Some(known) if known.issued_ms >= entry.issued_ms => return None,
                Some(_) | None => replaced.push(file),
            }
        }
        let full = || io::Error::new(io::ErrorKind::StorageFull, format!("{KNOWN} entries are kept already"));
        let kept = if count >= KNOWN { Err(full()) } else { keep(&folder, text) };
        match kept {
            Ok(()) => replaced.iter().for_each(|file| forget(file)),
            Err(e) => {
                self.metrics.count("entry_not_kept_total");
                let folder = folder.display();
                log::error!(
                    "{folder}: {e}; a gateway that comes to the site later does not hear of an entry"
                );
            }
        }
        Some(file_of(&folder, text))
    }

    /// A list has another edition: entries that are newer count beside it, what is older is part of it.
    pub(super) fn take_known(&self, list: &InUse) {
        for (file, text) in words_in(&known_folder(&self.data)) {
            let Some(entry) = read(&text).filter(|e| e.feed == list.name) else { continue };
            if entry.issued_ms <= list.issued_ms {
                forget(&file);
            } else if let Err(e) = self.supplement(&entry, &self.signer(&text)) {
                self.refuse(WHAT, &e.to_string());
            }
        }
    }

    /// Who has signed an entry that was verified when it came.
    fn signer(&self, text: &[u8]) -> String {
        let envelope = text.strip_prefix(ENTRY_PREFIX).map(unpack).unwrap_or_default();
        let opened =
            self.keys.as_ref().map(|keys| signed::open(&envelope, ENTRY, keys, feed::usage(""), None));
        opened.and_then(Result::ok).map(|o| o.issuer).unwrap_or_default()
    }

    /// What was read at one gate of a site counts at all: a hold, a release. The message is signed, so
    /// that each gateway judges it itself. It lies in the folder until the broker has it.
    fn share(&self, text: &[u8]) {
        if self.wishes.is_closed() {
            return;
        }
        match keep(&share_folder(&self.data), text) {
            Ok(()) => self.wish(FeedRequest::Share),
            Err(e) => self.refuse("an entry for the site", &e.to_string()),
        }
    }
}

/// Where entries wait that the other gateways of the site are to hear.
pub fn share_folder(data: &Path) -> PathBuf {
    data.join("share")
}

/// Where entries lie that count at this gateway, whoever has read them.
fn known_folder(data: &Path) -> PathBuf {
    data.join("known")
}

/// The entries that count at this gateway, in the order of their names, as its folder is when they are looked for first.
pub struct ActiveEntries {
    data: PathBuf,
    names: OnceCell<Vec<String>>,
}

impl ActiveEntries {
    /// Of a data folder.
    pub fn of(data: PathBuf) -> Self {
        Self { data, names: OnceCell::new() }
    }

    /// The first entry behind a name: its name and its text.
    pub fn next(&self, behind: &str) -> Option<(String, String)> {
        let folder = known_folder(&self.data);
        let names = self.names.get_or_init(|| {
            let name = |file: PathBuf| Some(file.file_name()?.to_str()?.to_owned());
            let mut names: Vec<String> = files_in(&folder).filter_map(name).collect();
            names.sort_unstable();
            names
        });
        let later = &names[names.partition_point(|name| name.as_str() <= behind)..];
        // One that is damaged is of no use to anybody.
        later.iter().find_map(|name| {
            let text = std::fs::read_to_string(folder.join(name)).ok()?;
            text.as_bytes().starts_with(ENTRY_PREFIX).then(|| (name.clone(), text))
        })
    }
}

fn forget(file: &Path) {
    if let Err(e) = std::fs::remove_file(file) {
        log::warn!("{}: {e}", file.display());
    }
}

/// What an entry says that was verified when it came.
fn read(text: &[u8]) -> Option<Entry> {
    let envelope: Value = serde_json::from_slice(&unpack(text.strip_prefix(ENTRY_PREFIX)?)).ok()?;
    let payload = URL_SAFE_NO_PAD.decode(envelope["payload"].as_str()?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// Where entries wait that other gateways of the site have read.
fn heard_folder(data: &Path) -> PathBuf {
    data.join("heard")
}

/// Keeps an entry that another gateway has read, until the feeds have taken it. Whether it is durable.
pub fn keep_heard(data: &Path, text: &[u8]) -> bool {
    let folder = heard_folder(data);
    let kept = if file_of(&folder, text).exists() {
        Ok(())
    } else if files_in(&folder).count() >= NEWS {
        Err(io::ErrorKind::StorageFull.into())
    } else {
        keep(&folder, text)
    };
    // Whoever asks says that something could not be stored, once for all of it.
    kept.inspect_err(|e| log::debug!("{}: {e}; the broker is to send it again", folder.display())).is_ok()
}

/// Whether it is an entry that somebody on the list of keys has signed: nothing else is worth a place on the disk.
pub fn is_signed(text: &[u8], keys: &TrustList, now_s: Option<i64>) -> bool {
    let envelope = text.strip_prefix(ENTRY_PREFIX).map(unpack);
    envelope.is_some_and(|envelope| signed::open(&envelope, ENTRY, keys, feed::usage(""), now_s).is_ok())
}

fn file_of(folder: &Path, text: &[u8]) -> PathBuf {
    folder.join(Hash::of(text).hex())
}

fn keep(folder: &Path, text: &[u8]) -> io::Result<()> {
    durable::make_folder(folder)?;
    durable::write(&file_of(folder, text), text)
}

/// Signed messages that wait in a folder: a file each, without an extension when it is whole.
fn files_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|f| f.path());
    files.filter(|f| f.extension().is_none())
}

/// The same with their texts.
pub fn words_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files_in(folder).filter_map(|f| std::fs::read(&f).ok().map(|text| (f, text))).collect()
}

/// A signed message as a QR code holds it: the three texts with points between them.
fn unpack(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut parts = trimmed(&text).splitn(3, '.');
    let mut next = || parts.next().unwrap_or_default();
    json!({ "protected": next(), "payload": next(), "signature": next() }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_gateway_has_read_is_kept_until_there_are_too_many() {
        let data = tempfile::tempdir().unwrap();
        for n in 0..NEWS {
            assert!(keep_heard(data.path(), format!("entry {n}").as_bytes()));
        }
        assert!(!keep_heard(data.path(), b"one more"));
        assert_eq!(words_in(&heard_folder(data.path())).len(), NEWS);
    }
}
