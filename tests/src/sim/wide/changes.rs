//! What changes around the lanes while people are in front of them: the clock is stepped, the disk takes no more, lists
//! have another edition, a profile is another after a start, the journal lies there damaged.

use super::Fault;
use super::folk::{self, BEGINS_MS, Guest, HOUR_MS};
use super::steps::Cause;
use super::world::{What, World};
use crate::sim::disk::Full;
use crate::sim::draw::{Draw, Stream};
use crate::sim::site::write_list;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A clock that goes wrong is never before this, from when the run began: no pass begins or ends then.
const EARLIEST_MS: i64 = -HOUR_MS / 2;
/// Nor does it run ahead by more.
const AHEAD_MS: i64 = 3 * HOUR_MS;
/// The lists of a day are too old after this.
const DAY_MS: i64 = 24 * HOUR_MS;
/// A visit is under way no longer than this between the look at its lists and its verdict.
const UNDER_WAY_MS: i64 = HOUR_MS / 3;
/// Lists of which entries change; everybody is looked up in them.
const CHANGING: [&str; 3] = ["hold", "revocation", "status"];

/// A change that comes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The clock is stepped.
    Clock,
    /// The disk takes no more.
    Fills,
    /// It takes more again.
    HasRoom,
    /// Lists have another edition.
    Lists,
}

/// An edition of a list.
#[derive(Debug, Clone, Copy)]
struct Edition {
    version: u64,
    issued_ms: i64,
    /// When it came.
    at: u64,
}

/// What changes, as the seed draws it.
pub(super) struct Changes {
    clock: Draw,
    disk: Draw,
    lists: Draw,
    policies: Draw,
    journal: Draw,
    pub peers: Draw,
    /// The edition of each list that is in use.
    editions: BTreeMap<&'static str, Edition>,
    /// Since when the lists say of somebody what they say.
    since: BTreeMap<u32, u64>,
}

impl Changes {
    pub(super) fn new(seed: u64) -> Self {
        let of = |stream| Draw::new(seed, stream);
        Self {
            clock: of(Stream::Clock),
            disk: of(Stream::Full),
            lists: of(Stream::Lists),
            policies: of(Stream::Policies),
            journal: of(Stream::Damage),
            peers: of(Stream::Tell),
            editions: BTreeMap::new(),
            since: BTreeMap::new(),
        }
    }
}

impl World {
    /// From the beginning on.
    pub(super) fn begin_changes(&mut self) {
        for change in [Change::Clock, Change::Fills, Change::Lists] {
            self.change_later(change);
        }
    }

    fn change_later(&mut self, change: Change) {
        let (fault, draw) = match change {
            Change::Clock => (Fault::Clock, &mut self.changes.clock),
            Change::Fills | Change::HasRoom => (Fault::Disk, &mut self.changes.disk),
            Change::Lists => (Fault::Lists, &mut self.changes.lists),
        };
        let ms = draw.between(60_000, 900_000);
        if self.goes_wrong(fault) {
            self.course.later(ms, What::Change(change));
        }
    }

    /// Something changes.
    pub(super) fn changes(&mut self, change: Change) -> Result<(), String> {
        if self.course.ended_at().is_some() {
            return Ok(());
        }
        match change {
            Change::Clock => {
                self.change_later(change);
                self.steps_clock()
            }
            Change::Fills => {
                let draw = &mut self.changes.disk;
                let full = *draw.one_of(&[Full::Grows, Full::Writes, Full::Syncs]);
                let lasts = draw.between(300, 20_000);
                self.course.says(&format!("the disk takes no more: {full:?}"));
                self.disk.is_full(full);
                self.course.later(lasts, What::Change(Change::HasRoom));
                Ok(())
            }
            Change::HasRoom => {
                self.course.says("the disk has room");
                self.disk.is_full(Full::No);
                self.change_later(Change::Fills);
                Ok(())
            }
            Change::Lists => {
                self.change_later(change);
                self.changes_lists()
            }
        }
    }

    fn steps_clock(&mut self) -> Result<(), String> {
        let draw = &mut self.changes.clock;
        let most = *draw.one_of(&[5_000, 60_000, 1_800_000, AHEAD_MS]);
        let by = draw.between(0, 2 * most.unsigned_abs()).cast_signed() - most;
        let least = EARLIEST_MS - self.course.at().cast_signed();
        let off = if draw.per_mille(300) { 0 } else { by.max(least) };
        self.course.says(&format!("the clock is off by {off} ms"));
        self.clock.is_off(self.course.at(), off);
        self.step(Cause::Time, Vec::new())
    }

    /// Nothing goes wrong any more.
    pub(super) fn end_changes(&mut self) {
        self.disk.is_full(Full::No);
        self.clock.is_off(self.course.at(), 0);
    }

    /// What the lists say of some is another from now on.
    fn changes_lists(&mut self) -> Result<(), String> {
        let known: BTreeSet<&'static str> =
            self.places.iter().flat_map(|p| p.lists.iter().copied()).collect();
        let may: Vec<&'static str> = CHANGING.into_iter().filter(|name| known.contains(name)).collect();
        if may.is_empty() {
            return Ok(());
        }
        let numbers: Vec<u32> = self.guests.keys().copied().collect();
        let draw = &mut self.changes.lists;
        let name = *draw.one_of(&may);
        let mut whose = Vec::new();
        for _ in 0..draw.between(1, 12) {
            let number = *draw.one_of(&numbers);
            let Some(guest) = self.guests.get_mut(&number) else { continue };
            if changes(draw, name, guest) {
                self.changes.since.insert(number, self.course.at());
                whose.push(number);
            }
        }
        self.course.says(&format!("list {name} has another edition: {whose:?}"));
        let version = self.changes.editions.get(name).map_or(0, |edition| edition.version);
        let data = self.disk.folder().to_path_buf();
        self.write_edition(&data, name, version + 1, BEGINS_MS + self.course.at().cast_signed())
    }

    /// Puts the first editions of all lists in their place. Some are too old, or become so while people come.
    pub(super) fn write_lists(&mut self, data: &Path, ages: &mut Draw) -> Result<(), String> {
        let names: BTreeSet<&'static str> =
            self.places.iter().flat_map(|p| p.lists.iter().copied()).collect();
        for name in names {
            let age_min = match ages.below(100) {
                0..6 => 25 * 60,
                6..14 => ages.between(23 * 60, 24 * 60),
                _ => ages.between(0, 12 * 60),
            };
            self.write_edition(data, name, 1, BEGINS_MS - HOUR_MS / 60 * age_min.cast_signed())?;
        }
        Ok(())
    }

    fn write_edition(
        &mut self,
        data: &Path,
        name: &'static str,
        version: u64,
        issued_ms: i64,
    ) -> Result<(), String> {
        let mut entries: BTreeMap<String, Value> = folk::common(name);
        for guest in self.guests.values() {
            if let Some(entry) = guest.entries.get(name) {
                let key = folk::entry_key(name, guest);
                entries.insert(kakou_core::pass::id::key(name, &key).into_owned(), entry.clone());
            }
        }
        self.changes.editions.insert(name, Edition { version, issued_ms, at: self.course.at() });
        write_list(data, name, (version, issued_ms), entries)
    }

    /// The daemon starts anew: some lane by another edition of its profile.
    pub(super) fn changes_policy(&mut self) {
        if !self.goes_wrong(Fault::Policies) || !self.changes.policies.per_mille(500) {
            return;
        }
        let places = self.places.clone();
        let place = self.changes.policies.one_of(&places);
        if let Some(new) = place.change(&mut self.changes.policies) {
            self.course.says(&format!("{} of {} says {new}", place.profile, place.lane));
        }
    }

    /// The box has no power, and somebody has written into its journal. Whether that was so.
    pub(super) fn harms_journal(&mut self) -> Result<bool, String> {
        if !self.goes_wrong(Fault::Journal) || self.life == 0 || !self.changes.journal.per_mille(60) {
            return Ok(false);
        }
        let harmed = self.disk.harm(&mut self.changes.journal).map_err(|e| e.to_string())?;
        if harmed {
            self.course.says("the journal lies there damaged");
        }
        Ok(harmed)
    }

    /// What is known of the lists of a lane since a moment: whether one that everybody is looked up in first was too old
    /// all the while, and whether none was.
    pub(super) fn ages(&self, lane: usize, since: u64) -> (bool, bool) {
        let Some(now_ms) = self.now().wall_ms.filter(|_| self.clock.settled_at <= since) else {
            return (false, false);
        };
        let editions: Vec<(&str, Edition)> = self.places[lane]
            .lists
            .iter()
            .filter_map(|name| Some((*name, *self.changes.editions.get(name)?)))
            .collect();
        let age_ms = |edition: &Edition| now_ms - edition.issued_ms;
        let old = |(name, edition): &(&str, Edition)| {
            CHANGING.contains(name) && age_ms(edition) > DAY_MS + UNDER_WAY_MS
        };
        let young = |(_, edition): &(&str, Edition)| edition.at <= since && age_ms(edition) < DAY_MS;
        (editions.iter().any(old), editions.iter().all(young))
    }

    /// Since when what the lists say of somebody is what they say now.
    pub(super) fn said_since(&self, number: u32) -> u64 {
        self.changes.since.get(&number).copied().unwrap_or(0)
    }
}

/// What a list says of somebody changes; whether it does.
fn changes(draw: &mut Draw, list: &'static str, guest: &mut Guest) -> bool {
    match list {
        "hold" => match guest.entries.remove(list) {
            Some(_) => true,
            None => guest.entries.insert(list, json!({})).is_none(),
        },
        // What was taken back stays so.
        "revocation" => {
            let takes_back = guest.card == folk::Card::Signed;
            if takes_back {
                guest.card = folk::Card::Revoked;
                guest.entries.insert(list, json!({}));
            }
            takes_back
        }
        _ => {
            let Some(status) = guest.entries.get_mut(list) else { return false };
            let colour = *draw.one_of(&["green", "yellow", "red"]);
            let before = std::mem::replace(&mut status["colour"], json!(colour));
            before != status["colour"]
        }
    }
}
