//! Scenario files on the store of the daemon: its journal and its lists, in a folder of their own. The same files are
//! played on a store in memory by the core's tests, and both stores are held to the same suite.

use super::records::StoreRecords;
use crate::store::edition::{self, Order};
use crate::store::journal::{Journal, JournalFound as Journals};
use crate::store::lists::{Lists, Pointer};
use crate::store::told;
use kakou_core::core::{Core, Step};
use kakou_core::event::Author;
use kakou_core::hl7::word::{Standing, Word};
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::records::{Records, RecordsFault, Redemption, Write};
use kakou_core::register::{Asks, Seen, Slot};
use kakou_core::scenario::store::{Entries, PeerUse, RestartState, Store};
use kakou_core::scenario::{gateway, play, read, shipped};
use kakou_core::time::Now;
use kakou_wire::peers::Used;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use tempfile::TempDir;

#[macro_use]
#[path = "../../core/tests/suite/mod.rs"]
mod suite;

store_suite!(OnDisk::new());

#[path = "tests/remains.rs"]
mod remains;

use remains::Remains;

/// The daemon's store.
struct OnDisk {
    folder: TempDir,
    /// None while the box is off.
    journal: Option<Journal>,
    lists: Lists,
    version: u64,
}

fn author() -> Author {
    Author { site: SiteId::new("test").unwrap(), gateway: gateway(), boot: "boot".into() }
}

fn fault(e: impl std::fmt::Display) -> RecordsFault {
    RecordsFault::Store(e.to_string())
}

impl OnDisk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _, _) = Journal::open(folder.path(), author()).unwrap();
        let lists = Lists::open(folder.path()).unwrap();
        Self { folder, journal: Some(journal), lists, version: 0 }
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().expect("the box is on")
    }

    fn records(&self) -> StoreRecords<'_> {
        let journal = self.journal.as_ref().expect("the box is on");
        StoreRecords { journal, lists: &self.lists, uses_known: true }
    }
}

impl Records for OnDisk {
    fn entry(&self, list: &str, id: &str) -> Result<Option<Map<String, Value>>, RecordsFault> {
        self.records().entry(list, id)
    }
    fn listed(&self, list: &str, id: &str) -> Result<bool, RecordsFault> {
        self.records().listed(list, id)
    }
    fn issued_ms(&self, list: &str) -> Result<Option<i64>, RecordsFault> {
        self.records().issued_ms(list)
    }
    fn revoked(&self, kid: &str, id: &str) -> Result<bool, RecordsFault> {
        self.records().revoked(kid, id)
    }
    fn redeemed(&self, pass_id: &str) -> Result<Option<Redemption>, RecordsFault> {
        self.records().redeemed(pass_id)
    }
    fn uses_known(&self) -> Result<bool, RecordsFault> {
        self.records().uses_known()
    }
    fn seal_used(&self, number: &str) -> Result<bool, RecordsFault> {
        self.records().seal_used(number)
    }
    fn slots(&self, register: &str, keys: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        self.records().slots(register, keys)
    }
    fn slots_of(&self, register: &str, holders: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        self.records().slots_of(register, holders)
    }
    fn seen(
        &self,
        register: &str,
        keys: &[String],
        holders: &[String],
        asks: Asks,
        now_ms: Option<i64>,
    ) -> Result<Seen, RecordsFault> {
        self.records().seen(register, keys, holders, asks, now_ms)
    }
    fn alarms(&self, until_ms: i64, most: usize) -> Result<Vec<Slot>, RecordsFault> {
        self.records().alarms(until_ms, most)
    }
    fn next_alarm(&self, after_ms: i64) -> Result<Option<i64>, RecordsFault> {
        self.records().next_alarm(after_ms)
    }
}

impl Store for OnDisk {
    fn keep(&mut self, step: &Step, core: &Core, now: &Now) -> Result<(), RecordsFault> {
        let journal = self.journal();
        journal.begin().map_err(fault)?;
        for event in &step.events {
            journal.append(event, now).map_err(fault)?;
        }
        for write in &step.writes {
            journal.write(write, now).map_err(fault)?;
        }
        for lane in step.lanes.iter().filter_map(|id| core.lane(id)) {
            journal.keep_lane(&lane.setup.lane, &lane.state).map_err(fault)?;
        }
        journal.commit().map_err(fault)
    }

    fn write(&mut self, writes: &[Write], now: &Now) -> Result<(), RecordsFault> {
        let journal = self.journal();
        journal.begin().map_err(fault)?;
        writes.iter().try_for_each(|write| journal.write(write, now)).map_err(fault)?;
        journal.commit().map_err(fault)
    }

    fn restart(&mut self) -> Result<RestartState, RecordsFault> {
        self.journal = None;
        let (journal, found, lanes) = Journal::open(self.folder.path(), author()).map_err(fault)?;
        assert_eq!(found, Journals::Good);
        let given = journal.forgotten_visits().map_err(fault)?.unwrap_or(0);
        self.journal = Some(journal);
        self.lists = Lists::open(self.folder.path()).map_err(fault)?;
        Ok((lanes, given))
    }

    fn edition(&mut self, list: &str, issued_ms: i64, entries: &Entries) -> Result<(), RecordsFault> {
        self.version += 1;
        let line = |(id, facts)| format!("{}\n", json!({ "id": id, "facts": facts }));
        let lines: String = entries.iter().map(line).collect();
        let order = Order {
            data: self.folder.path(),
            name: list,
            version: self.version,
            issued_ms,
            base: None,
            sha256: None,
            signer: "",
            canary: &[],
            check: None,
        };
        edition::build(&order, lines.as_bytes(), &mut |_| true).map_err(fault)?;
        // As between two batches of inputs.
        self.lists.enter(0).and_then(|()| self.lists.leave()).map_err(fault)
    }

    fn standing(&self, list: &str, id: &str) -> Result<Option<Standing>, RecordsFault> {
        told::standing(self.folder.path(), list, id).map_err(fault)
    }

    fn tell(&mut self, list: &str, id: &str, word: &Word) -> Result<(), RecordsFault> {
        told::put(self.folder.path(), list, id, word).map_err(fault)?;
        let data = self.folder.path();
        Pointer::read(data).and_then(|pointer| pointer.write(data)).map_err(fault)?;
        self.lists.enter(0).and_then(|()| self.lists.leave()).map_err(fault)
    }

    fn peer(&mut self, told: &PeerUse, now: &Now) -> Result<bool, RecordsFault> {
        let Redemption { lane, visit, at_ms } = told.by.clone();
        let used = Used { pass: told.name.clone(), lane, visit: visit.0, at_ms };
        let journal = self.journal();
        journal.begin().map_err(fault)?;
        let conflict = journal.peer(&told.gateway, &used, now).map_err(fault)?;
        journal.commit().map_err(fault)?;
        Ok(conflict)
    }

    fn peer_slot(&mut self, from: &GatewayId, slot: &Slot, now: &Now) -> Result<bool, RecordsFault> {
        let journal = self.journal();
        journal.begin().map_err(fault)?;
        let conflict = journal.peer_slot(from, slot, now).map_err(fault)?;
        journal.commit().map_err(fault)?;
        Ok(conflict)
    }
}

#[test]
fn every_scenario_file_comes_out_the_same_on_the_store_of_the_daemon_and_leaves_no_person_in_it() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("core/scenarios");
    let inside = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let folders = inside(&all).into_iter().filter(|path| path.is_dir());
    let files: Vec<PathBuf> = folders.flat_map(|folder| inside(&folder)).collect();
    let (wrong, remains) = (Mutex::new(Vec::new()), Mutex::new(Remains::default()));
    // Most of the time is the disk's.
    let one = |file: &PathBuf| {
        let name = file.strip_prefix(&all).unwrap().display().to_string();
        let text = fs::read_to_string(file).unwrap();
        let scenario = read(&name, &text).unwrap();
        // A shipped one, or one beside the file.
        let find = |profile: &str| match profile.strip_suffix(".toml") {
            None => shipped(profile),
            Some(_) => fs::read_to_string(file.with_file_name(profile))
                .map(|text| (profile.to_owned(), text))
                .map_err(|e| format!("{profile}: {e}")),
        };
        let mut store = OnDisk::new();
        if let Some(failure) = play(&scenario, &find, &mut store, &mut |_| {}).unwrap() {
            wrong.lock().unwrap().push(format!("{name}:{}: {}", failure.line, failure.why));
        }
        let mut left = Remains::default();
        left.look(&name, &text, &store);
        remains.lock().unwrap().add(left);
    };
    std::thread::scope(|scope| {
        for part in files.chunks(files.len().div_ceil(4).max(1)) {
            scope.spawn(|| part.iter().for_each(&one));
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(!files.is_empty() && wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), files.len());
    let Remains { searched, bytes, found } = remains.into_inner().unwrap();
    println!("{searched} searches for names, ids and codes in {bytes} bytes");
    assert!(searched > 500 && found.is_empty(), "{} of {searched}: {found:#?}", found.len());
}
