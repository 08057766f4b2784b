//! A code is read, typed, or seen as a plate: a new visit, the earlier result shown again, somebody who comes back from
//! the side, or a word that somebody else is at a device.

use super::action::Rejection;
use super::open::Answer;
use super::start::Way;
use super::visit::{Actuation, Origin, Visit};
use super::{Lane, Outbound, RECENT, Setup, step};
use crate::codes::{Code, Outcome};
use crate::event::Class;
use crate::evidence::Hash;
use crate::ids::VisitId;
use crate::pass::{self, Check, Pass, Refused};
use crate::profile::Profile;
use crate::profile::start::By;
use crate::reading::{Command, Request, Ticket};
use crate::records::{Records, RecordsFault};
use crate::text::masked;
use crate::time::{MonoMs, Now, WallMs, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// How long both screens say that another code was shown.
const OTHER_SHOWN_MS: u64 = 5_000;

/// A code that was read lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Read {
    /// As [`Visit::key`].
    pub key: String,
    /// Of its visit; of an earlier version none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub direction: String,
    /// When the reader last saw it, monotonic: before 0, if that was before the box began.
    pub seen: i64,
    /// When its visit began: its result counts from then.
    pub result: i64,
    /// The same in UTC milliseconds, for a run that begins with another clock.
    #[serde(default)]
    pub at_ms: Option<WallMs>,
    pub visit: VisitId,
}

/// A moment of the monotonic clock, among those before it began.
pub(super) fn moment(now: &Now) -> i64 {
    i64::try_from(now.mono_ms).unwrap_or(i64::MAX)
}

/// Milliseconds since a moment.
fn since(now: &Now, then: i64) -> u64 {
    u64::try_from(moment(now).saturating_sub(then)).unwrap_or(0)
}

/// A code that was shown while another visit stands at a device, and was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    key: String,
    seen: MonoMs,
    /// When it was first shown: one tone for each.
    pub since: MonoMs,
    /// How long the screens say so.
    pub until: MonoMs,
}

/// A code as it came.
pub(super) struct Scanned<'a> {
    pub bytes: &'a [u8],
    pub origin: Origin,
    /// The role of the reader, where one has read it or is named.
    pub on: Option<&'a str>,
}

/// Why a code is not taken.
fn busy() -> Rejection {
    Rejection::new("busy", "请先完成当前流程", "Finish the current visit first")
}

impl Lane {
    /// A code was read, or typed in its place.
    pub(super) fn scan(
        &mut self,
        now: &Now,
        read: Scanned<'_>,
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let awaited = self.awaited();
        let setup = self.setup_for(awaited.as_ref());
        if !setup.profile.start.takes(read.origin) || (setup.profile.start.only_in_party && awaited.is_none())
        {
            out.count("start_not_taken_total");
            return Ok(Err(Rejection::new("not_now", "此处不扫码", "Nothing begins by a code here")));
        }
        let with = Check { trust: &setup.trust, now_s: now.wall_s(), region: &setup.region };
        let checked = pass::check(read.bytes, with);
        // Two codes are the same if their signer and pass id are: never by the text, since one
        // signature has several valid encodings.
        let key = match &checked {
            Ok(pass) => pass.identity(),
            Err(_) => format!("#{}", &Hash::of(read.bytes).hex()[..16]),
        };
        // Of a card without a signature that would be the number on it. It was read under the secret of then.
        let keys = setup.subjects.all(&key);
        let mut visit = Visit::begin(next_visit, keys[0].clone(), now);
        visit.origin = read.origin;
        if read.origin == Origin::Plate {
            visit.plate = Some(String::from_utf8_lossy(read.bytes).into_owned());
        }
        let mut counted = None;
        match checked {
            Ok(pass) => {
                // Whose turn it is must be seen before anybody is measured, not only with the verdict.
                let name = listed_name(&setup.profile, &pass, records)?;
                visit.take(pass, &setup.subjects);
                visit.name = name.or(visit.name.take());
            }
            Err(mut refused) => {
                let unreadable = refused.code == Code::C_UNREADABLE;
                counted = Some(if unreadable { "scan_unreadable_total" } else { "pass_refused_total" });
                if let Some(pass) = refused.pass.take() {
                    visit.take(*pass, &setup.subjects);
                }
                visit.refused = Some(Refused { why: String::new(), ..refused });
            }
        }
        let way = Way { setup: &setup, on: read.on, parent: awaited.as_ref().map(|a| a.parent) };
        self.begin_facts(now, &way, &mut visit, records, out)?;
        if let Some(answer) = self.repeated(now, &keys, &visit.direction, &setup, records, out)? {
            return Ok(answer);
        }
        out.counters.extend(counted);
        if !self.may_take_front() {
            if !self.steps_aside() {
                self.turn_away(now, &keys, out);
                return Ok(Err(busy()));
            }
            self.put_aside(now, None, out);
        }
        self.clear_front(out);
        // Codes that would be taken anew are not written with every step.
        let (same_read, same_result) = (setup.profile.same_read_ms, setup.profile.same_result_ms);
        let running: Vec<VisitId> = self.state.open.iter().map(|v| v.id).collect();
        self.state.reads.retain(|read| {
            let counts = since(now, read.seen) < same_read || since(now, read.result) <= same_result;
            counts || running.contains(&read.visit)
        });
        self.state.reads.push_front(Read {
            key: visit.key.clone(),
            direction: visit.direction.clone(),
            seen: moment(now),
            result: moment(now),
            at_ms: now.wall_ms,
            visit: next_visit,
        });
        self.state.reads.truncate(RECENT + super::open::OPEN_MOST);
        self.begin(now, visit, records, out)?;
        Ok(Ok(()))
    }

    /// The same code again: one read, or the earlier result shown again. Nothing opens, and nothing turns
    /// green: whoever shows it now may be somebody else. Says nothing where it begins a visit.
    fn repeated(
        &mut self,
        now: &Now,
        keys: &[String],
        direction: &str,
        setup: &Arc<Setup>,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<Option<Result<(), Rejection>>, RecordsFault> {
        let by_register = matches!(setup.profile.by, Some(By::Register(_)));
        let same = |r: &Read| r.direction == direction || r.direction.is_empty();
        let of_key = |r: &Read| keys.contains(&r.key);
        // Where a register gives the direction, what was just put there is not at once taken out.
        let just_read = |r: &Read| by_register && since(now, r.seen) < setup.profile.same_read_ms;
        let found = self.state.reads.iter().position(|r| of_key(r) && (same(r) || just_read(r)));
        let Some(at) = found else { return Ok(None) };
        let read = self.state.reads[at].clone();
        let (unseen, age) = (since(now, read.seen), since(now, read.result));
        self.state.reads[at].seen = moment(now);
        let current = self.state.visit.as_ref().is_some_and(|v| v.id == read.visit);
        // Behind another one it was not left before the reader: whoever has stepped aside is back.
        let back = at > 0 && self.state.open.iter().any(|v| v.id == read.visit && v.aside);
        if back {
            return self.is_back(now, keys, read.visit, records, out).map(Some);
        }
        if unseen < setup.profile.same_read_ms || (current && self.is_running()) {
            out.count("scan_same_read_total");
            return Ok(Some(Ok(())));
        }
        if let Some(place) = self.open_place(read.visit) {
            if self.state.open[place].aside {
                return self.is_back(now, keys, read.visit, records, out).map(Some);
            }
            // It is under way at the desk: nothing begins, and nothing else is shown.
            out.count("scan_same_read_total");
            return Ok(Some(Ok(())));
        }
        if age > setup.profile.same_result_ms {
            self.state.reads.remove(at);
            return Ok(None);
        }
        if self.is_at_device() {
            self.turn_away(now, keys, out);
            return Ok(Some(Err(busy())));
        }
        // Whoever waits for the other gateways of the site shows the card again: they may have answered.
        let waits =
            |v: &Visit| !v.admitted && v.verdict.as_ref().is_some_and(|v| v.codes.contains(&Code::X_USES));
        let counts = |v: &Visit| v.id == read.visit && v.verdict.is_some() && !waits(v);
        let Some(earlier) = self.state.visits().find(|v| counts(v)) else {
            self.state.reads.remove(at);
            return Ok(None);
        };
        let data = json!({ "code": Code::D_REPEAT, "subject": earlier.subject,
            "subject_key": earlier.subject_key, "outcome": earlier.outcome(),
            "first": earlier.started_ms.map(rfc3339) });
        let (id, shown) = (earlier.id, earlier.outcome());
        if !self.is_running() {
            self.show_again(now, id, shown, out);
        }
        out.event("repeat", Class::Scan, &self.setup, Some(id), data);
        out.count("scan_repeat_total");
        Ok(Some(Ok(())))
    }

    /// Whoever has stepped aside shows the code again.
    fn is_back(
        &mut self,
        now: &Now,
        keys: &[String],
        id: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let Some(place) = self.open_place(id) else { return Ok(Ok(())) };
        let back = self.comes_back(now, place, records, out)?;
        if back.is_err() {
            self.turn_away(now, keys, out);
        }
        Ok(back)
    }

    /// The earlier result comes back to the screens.
    fn show_again(&mut self, now: &Now, id: VisitId, shown: Option<Outcome>, out: &mut Outbound) {
        if let Some(place) = self.state.recent.iter().position(|v| v.id == id) {
            self.archive_around(place, out);
        }
        let Some(visit) = &mut self.state.visit else { return };
        visit.repeated = true;
        if visit.actuation != Actuation::Failed {
            visit.shown_until = Some(now.mono_ms + self.setup.profile.show_verdict_ms);
        }
        // The lamps show what the screen shows; a green one of the first time goes out.
        if let (Some(device), Some(outcome)) = (self.setup.devices.get(step::actuate::SIGNAL), shown) {
            let outcome = if outcome == Outcome::Admit { Outcome::Hold } else { outcome };
            let command = Command::Signal { outcome, ms: self.setup.profile.show_verdict_ms };
            out.requests.push(Request { device: device.clone(), ticket: Ticket::NOBODY, command });
        }
    }

    /// Somebody else is at a device: the code is not taken, and the screens say so.
    fn turn_away(&mut self, now: &Now, keys: &[String], out: &mut Outbound) {
        out.count("scan_while_busy_total");
        let held = self.state.other.as_ref().filter(|o| {
            keys.contains(&o.key) && now.mono_ms.saturating_sub(o.seen) < self.setup.profile.same_read_ms
        });
        let since = held.map_or(now.mono_ms, |o| o.since);
        let key = keys[0].clone();
        self.state.other = Some(Other { key, seen: now.mono_ms, since, until: now.mono_ms + OTHER_SHOWN_MS });
    }

    /// Ends the reading of a visit: its code begins another one.
    pub(super) fn forget_read(&mut self, id: VisitId) {
        self.state.reads.retain(|r| r.visit != id);
    }
}

/// The masked name of a person, where this lane looks people up.
fn listed_name(
    profile: &Profile,
    pass: &Pass,
    records: &dyn Records,
) -> Result<Option<String>, RecordsFault> {
    for list in ["status", "roster"].into_iter().filter(|list| profile.looks_into(list)) {
        let entry = match records.entry(list, &pass.subject) {
            Ok(entry) => entry,
            // The `verify` step asks again, and holds whoever is not answered for.
            Err(RecordsFault::List { .. }) => None,
            Err(fault @ RecordsFault::Store(_)) => return Err(fault),
        };
        if let Some(name) = entry.as_ref().and_then(|e| e.get("name")).and_then(Value::as_str) {
            return Ok(Some(masked(name)));
        }
    }
    Ok(None)
}
