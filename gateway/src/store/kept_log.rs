//! The file `kept.log` beside the journal: what must outlive it ([`super::salvage`]), a second time.
//!
//! A line for each, with a checksum, added when the transaction that holds it is durable. A line that is damaged
//! costs that line alone; a file that cannot be read costs nothing while the journal is good.
//!
//! No verdict waits for the disk because of it: it is synced whenever the limits of the store are looked at, and
//! before the log of the journal is checkpointed. Until then the last seconds are in the journal alone: they are
//! lost where the power goes and the journal is damaged at once. A start brings both to the same state.
//!
//! It does not grow for ever: where its lines are many more than what the journal holds, it is written anew from the
//! journal, a piece at a time, while what comes meanwhile goes into both.

use super::journal::slots;
use super::salvage::{self, Fact, SEALS};
use super::{bound, time};
use crate::upstream::peers;
use kakou_core::evidence::Hash;
use kakou_core::register::SlotName;
use rusqlite::{Connection, Row, params};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Characters of a checksum.
const SUM: usize = 16;
/// Bytes of a line at most; what is longer is damaged.
const LINE: u64 = 64 << 10;
/// Lines beside twice those that counted when it was written last, at which the file is written anew.
const SLACK: usize = 4_096;
/// Lines that are written anew at once.
const ROUND: usize = 4_000;
/// Facts that wait for a disk that takes nothing; what is beyond it comes when the file is written anew.
const WAITING: usize = 4_096;

/// A line of it, and its checksum as a number.
fn line(fact: &Fact) -> (u64, String) {
    let json = serde_json::to_string(fact).expect("strings and numbers");
    let sum = sum(json.as_bytes());
    (sum, format!("{sum:016x} {json}\n"))
}

fn sum(json: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&Hash::of(json).0[..8]);
    u64::from_be_bytes(first)
}

/// The checksum and the JSON of a line that is as it was written.
fn whole(line: &[u8]) -> Option<(u64, &[u8])> {
    let said = std::str::from_utf8(line.get(..SUM)?).ok()?;
    let said = u64::from_str_radix(said, 16).ok()?;
    let json = line.get(SUM + 1..)?;
    (sum(json) == said).then_some((said, json))
}

fn parse(json: &[u8]) -> Option<Fact> {
    serde_json::from_slice(json).ok()
}

/// What stops the work with the file: the file itself, or the journal.
enum Fault {
    File(io::Error),
    Journal(rusqlite::Error),
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        Self::File(e)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Self::Journal(e)
    }
}

/// Hands over each line of a file; whether the last one is ended.
fn lines(file: File, take: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<bool, Fault> {
    let (mut reader, mut line, mut ended) = (BufReader::new(file), Vec::new(), true);
    loop {
        line.clear();
        if reader.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(ended);
        }
        ended = line.ends_with(b"\n");
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !text.is_empty() {
            take(text)?;
        }
    }
}

type Read1 = fn(&Row<'_>) -> rusqlite::Result<Fact>;

/// Hands over the uses, seals and slots of a journal, one after another.
fn each<E: From<rusqlite::Error>>(
    journal: &Connection,
    take: &mut dyn FnMut(Fact) -> Result<(), E>,
) -> Result<(), E> {
    let uses = salvage::uses(journal);
    let tables: [(&str, Read1); 3] =
        [(&uses, salvage::use_in), (SEALS, salvage::seal_in), (slots::SLOTS, salvage::slot_in)];
    for (sql, read) in tables {
        let mut select = journal.prepare(sql)?;
        let mut rows = select.query([])?;
        while let Some(r) = rows.next()? {
            take(read(r)?)?;
        }
    }
    Ok(())
}

/// The lines of some facts.
fn text(facts: &[Fact]) -> String {
    facts.iter().map(|fact| line(fact).1).collect()
}

/// Checksums of the lines for all uses, seals and slots of a journal.
fn sums(journal: &Connection) -> rusqlite::Result<HashSet<u64>> {
    let mut sums = HashSet::new();
    each(journal, &mut |fact| -> rusqlite::Result<()> {
        sums.insert(line(&fact).0);
        Ok(())
    })
    .map(|()| sums)
}

/// What the file says of time and numbers, and what it does not say of the rest.
#[derive(Default)]
struct KeptState {
    time_ms: Option<i64>,
    visits: Option<u64>,
    missing: HashSet<u64>,
    /// What came out of it into the journal.
    new: u64,
    /// Its last line is whole.
    ended: bool,
}

/// What is behind the last line that was written anew.
enum Behind {
    Uses(String),
    Seals(String),
    Slots(SlotName),
}

/// The file that takes the place of this one when all is in it.
struct Anew {
    file: File,
    behind: Behind,
    /// Lines in it, and those of them that came from the journal.
    lines: usize,
    rows: usize,
}

/// The file.
pub struct KeptLog {
    path: PathBuf,
    waiting: Vec<Fact>,
    /// Lines in it.
    lines: usize,
    /// Lines at which it is written anew.
    most: usize,
    /// It must be written anew: something in it is damaged, or is missing.
    bad: bool,
    /// Something was written and not synced.
    unsynced: bool,
    anew: Option<Anew>,
    /// It was said that nothing can be written.
    told: bool,
    faults: u64,
}

impl KeptLog {
    /// Brings the file of a data folder and a journal to the same state. Runs in the caller's transaction. Nothing
    /// that is wrong with the file keeps a journal from being opened.
    pub fn open(data: &Path, journal: &Connection) -> rusqlite::Result<Self> {
        let mut log = Self {
            path: data.join("kept.log"),
            waiting: Vec::new(),
            lines: 0,
            most: SLACK,
            bad: false,
            unsynced: false,
            anew: None,
            told: false,
            faults: 0,
        };
        let said = match log.read(journal) {
            Ok(said) => said,
            Err(Fault::Journal(e)) => return Err(e),
            Err(Fault::File(e)) => {
                log.put_aside(&e);
                let missing = sums(journal)?;
                KeptState { missing, ended: true, ..KeptState::default() }
            }
        };
        if said.new > 0 {
            log::warn!("{} uses of passes, seals and slots come from beside the journal", said.new);
            let now_ms = time::floor(journal)?.unwrap_or(i64::MIN);
            while peers::forget(journal, now_ms)? > 0 {}
            while slots::forget(journal, now_ms)? > 0 {}
        }
        match log.complete(journal, &said) {
            Ok(()) => {}
            Err(Fault::Journal(e)) => return Err(e),
            Err(Fault::File(e)) => {
                log.bad = true;
                log.complain(&e);
            }
        }
        log.sync();
        Ok(log)
    }

    /// Reads it into a journal, but for uses that were kept for long enough.
    fn read(&mut self, journal: &Connection) -> Result<KeptState, Fault> {
        let mut said = KeptState { missing: sums(journal)?, ended: true, ..KeptState::default() };
        self.most = 2 * said.missing.len() + SLACK;
        let open = || match File::open(&self.path) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        };
        if time::floor(journal)?.is_none()
            && let Some(file) = open()?
        {
            // The last one: one that was too high is taken back.
            let mut last = None;
            lines(file, &mut |line| {
                let json = whole(line).map(|(_, json)| json).filter(|json| json.starts_with(b"{\"time\""));
                last = json.and_then(parse).or(last.take());
                Ok(())
            })?;
            if let Some(last) = last {
                salvage::put(journal, &last)?;
            }
        }
        let Some(file) = open()? else { return Ok(said) };
        let floor_ms = time::floor(journal)?;
        let (mut count, mut bad) = (0, false);
        let ended = lines(file, &mut |line| {
            count += 1;
            let Some((sum, json)) = whole(line) else {
                bad = true;
                return Ok(());
            };
            if said.missing.remove(&sum) {
                return Ok(());
            }
            match parse(json) {
                None => bad = true,
                Some(Fact::Time(at_ms)) => said.time_ms = Some(at_ms),
                Some(Fact::Pass(used))
                    if used.until_ms.zip(floor_ms).is_some_and(|(until, now)| until < now) => {}
                Some(Fact::Slot(slot))
                    if slot.gone_ms().zip(floor_ms).is_some_and(|(gone, now)| gone < now) => {}
                Some(fact @ (Fact::Pass(_) | Fact::Seal(..) | Fact::Slot(_))) => {
                    said.new += u64::from(salvage::put(journal, &fact)?);
                }
                Some(fact @ Fact::Visits(visits)) => {
                    salvage::put(journal, &fact)?;
                    said.visits = said.visits.max(Some(visits));
                }
            }
            Ok(())
        })?;
        said.ended = ended;
        self.most += 2 * usize::try_from(said.new).unwrap_or(0);
        self.lines = count;
        self.bad = bad;
        Ok(said)
    }

    /// Adds what it does not say.
    fn complete(&mut self, journal: &Connection, said: &KeptState) -> Result<(), Fault> {
        let (time, visits) = (time::floor(journal)?, salvage::visits(journal)?);
        let time = time.filter(|_| time != said.time_ms).map(Fact::Time);
        let visits = visits.filter(|_| visits != said.visits).map(Fact::Visits);
        if said.missing.is_empty() && time.is_none() && visits.is_none() && said.ended {
            return Ok(());
        }
        let mut file = BufWriter::new(self.append()?);
        self.unsynced = true;
        if !said.ended {
            // Half a line would spoil the next.
            file.write_all(b"\n")?;
        }
        let mut count = 0;
        for fact in [time, visits].into_iter().flatten() {
            count += 1;
            file.write_all(line(&fact).1.as_bytes())?;
        }
        if !said.missing.is_empty() {
            each(journal, &mut |fact| -> Result<(), Fault> {
                let (sum, text) = line(&fact);
                if said.missing.contains(&sum) {
                    count += 1;
                    file.write_all(text.as_bytes())?;
                }
                Ok(())
            })?;
        }
        file.flush()?;
        self.lines += count;
        Ok(())
    }

    /// The journal goes on without it.
    fn put_aside(&mut self, why: &io::Error) {
        self.faults += 1;
        let aside = self.beside("unreadable");
        // The one before is of no more use than this one.
        drop(std::fs::remove_file(&aside));
        match std::fs::rename(&self.path, &aside) {
            Ok(()) => log::error!(
                "{}: {why}; it is now {}, and written anew from the journal",
                self.path.display(),
                aside.display()
            ),
            Err(e) => log::error!(
                "{}: {why}, and it cannot be put aside: {e}; take it away, until then the journal has no copy",
                self.path.display()
            ),
        }
    }

    fn beside(&self, end: &str) -> PathBuf {
        self.path.with_extension(format!("log.{end}"))
    }

    fn append(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }

    fn complain(&mut self, why: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            self.faults += 1;
            log::error!(
                "{}: {why}; what it should hold stays in the journal, and it is tried again",
                self.path.display()
            );
        }
    }

    /// Something is written in the transaction that is open.
    pub fn note(&mut self, fact: Fact) {
        if self.waiting.len() < WAITING {
            self.waiting.push(fact);
        } else {
            self.bad = true;
        }
    }

    /// The transaction is durable. What cannot be written here stays in the journal, and comes with the next
    /// transaction.
    pub fn commit(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let text = text(&self.waiting);
        let written = self.append().and_then(|mut file| {
            let before = file.metadata()?.len();
            file.write_all(text.as_bytes()).inspect_err(|_| cut(&file, before))
        });
        if let Err(e) = written {
            return self.complain(&e);
        }
        let count = self.waiting.len();
        self.waiting.clear();
        (self.unsynced, self.told) = (true, false);
        self.lines += count;
        if let Some(anew) = &mut self.anew {
            anew.lines += count;
            if let Err(e) = anew.file.write_all(text.as_bytes()) {
                self.stop_anew(&e);
            }
        }
    }

    /// Makes durable what was written.
    pub fn sync(&mut self) {
        if !self.unsynced {
            return;
        }
        let folder = || File::open(self.path.parent().unwrap_or(Path::new(".")));
        let synced = self.append().and_then(|file| file.sync_data()).and_then(|()| folder()?.sync_all());
        match synced {
            Ok(()) => self.unsynced = false,
            Err(e) => self.complain(&e),
        }
    }

    /// Syncs it, and where it has grown too long, or is damaged, writes a piece of it anew. Runs between two
    /// transactions. Gives how often something was wrong with the file since it was asked last.
    pub fn tend(&mut self, journal: &Connection) -> rusqlite::Result<u64> {
        self.commit();
        self.sync();
        if self.anew.is_none() && (self.bad || self.lines > self.most) {
            match self.begin_anew(journal) {
                Ok(anew) => (self.anew, self.bad) = (Some(anew), false),
                Err(Fault::Journal(e)) => return Err(e),
                Err(Fault::File(e)) => self.complain(&e),
            }
        }
        if let Some(anew) = self.anew.take() {
            match self.go_on_anew(anew, journal) {
                Ok(anew) => self.anew = anew,
                Err(Fault::Journal(e)) => return Err(e),
                Err(Fault::File(e)) => self.stop_anew(&e),
            }
        }
        Ok(std::mem::take(&mut self.faults))
    }

    fn begin_anew(&self, journal: &Connection) -> Result<Anew, Fault> {
        let path = self.beside("new");
        // What an earlier run has left of it.
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        let (time, visits) =
            (time::floor(journal)?.map(Fact::Time), salvage::visits(journal)?.map(Fact::Visits));
        let first: Vec<Fact> = [time, visits].into_iter().flatten().collect();
        let text = text(&first);
        file.write_all(text.as_bytes())?;
        Ok(Anew { file, behind: Behind::Uses(String::new()), lines: first.len(), rows: 0 })
    }

    /// Writes a piece; with the last one it takes the place of the file.
    fn go_on_anew(&mut self, mut anew: Anew, journal: &Connection) -> Result<Option<Anew>, Fault> {
        let some = |sql: &str, behind: &str, read: Read1| -> rusqlite::Result<Vec<Fact>> {
            journal.prepare(sql)?.query_map(params![behind, bound(ROUND)], read)?.collect()
        };
        let facts = match &anew.behind {
            Behind::Uses(last) => {
                let sql = format!("{} WHERE pass_id > ?1 ORDER BY pass_id LIMIT ?2", salvage::uses(journal));
                some(&sql, last, salvage::use_in)?
            }
            Behind::Seals(last) => {
                let sql = format!("{SEALS} WHERE number > ?1 ORDER BY number LIMIT ?2");
                some(&sql, last, salvage::seal_in)?
            }
            Behind::Slots(last) => slots::behind(journal, last, ROUND)?
                .into_iter()
                .map(|slot| Fact::Slot(Box::new(slot)))
                .collect(),
        };
        let text = text(&facts);
        anew.file.write_all(text.as_bytes())?;
        anew.file.sync_data()?;
        anew.lines += facts.len();
        anew.rows += facts.len();
        let more = facts.len() == ROUND;
        anew.behind = match (facts.into_iter().last(), anew.behind) {
            (Some(Fact::Pass(used)), Behind::Uses(_)) if more => Behind::Uses(used.pass),
            (Some(Fact::Seal(number, _)), Behind::Seals(_)) if more => Behind::Seals(number),
            (Some(Fact::Slot(slot)), Behind::Slots(_)) if more => Behind::Slots(slot.name()),
            (_, Behind::Uses(_)) => Behind::Seals(String::new()),
            (_, Behind::Seals(_)) => Behind::Slots(SlotName::default()),
            (_, Behind::Slots(_)) => {
                anew.file.sync_all()?;
                std::fs::rename(self.beside("new"), &self.path)?;
                self.lines = anew.lines;
                self.most = 2 * anew.rows + SLACK;
                self.unsynced = true;
                self.sync();
                return Ok(None);
            }
        };
        Ok(Some(anew))
    }

    fn stop_anew(&mut self, why: &io::Error) {
        (self.anew, self.bad) = (None, true);
        self.complain(why);
    }

    /// The transaction did not happen.
    pub fn roll_back(&mut self, kept: usize) {
        self.waiting.truncate(kept);
    }

    /// How much waits.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// Half a line would spoil the next.
fn cut(file: &File, size: u64) {
    if let Err(e) = file.set_len(size) {
        log::warn!("half a line stays: {e}");
    }
}

#[cfg(test)]
mod tests;
