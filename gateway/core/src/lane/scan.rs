//! A code is read: a new visit, the earlier result shown again, or a word that somebody else is in front.

use super::visit::{Actuation, Origin, Stage, Visit};
use super::{Lane, Outbound, RECENT, Setup, step};
use crate::codes::{Code, Outcome};
use crate::event::Class;
use crate::evidence::Hash;
use crate::ids::VisitId;
use crate::pass::{self, Check, Pass, Refused};
use crate::profile::facts::{PASS, VISIT};
use crate::reading::{Command, Request, Ticket};
use crate::records::{Records, RecordsFault};
use crate::text::masked;
use crate::time::{MonoMs, Now, WallMs, local_day, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How long both screens say that another code was shown.
const OTHER_SHOWN_MS: u64 = 5_000;

/// A code that was read lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Read {
    /// As [`Visit::key`].
    pub key: String,
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

/// A code that was shown while another visit runs, and was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    key: String,
    seen: MonoMs,
    /// When it was first shown: one tone for each.
    pub since: MonoMs,
    /// How long the screens say so.
    pub until: MonoMs,
}

impl Lane {
    /// A code was read, or typed in its place.
    pub(super) fn scan(
        &mut self,
        now: &Now,
        (bytes, origin): (&[u8], Origin),
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        let with = Check { trust: &self.setup.trust, now_s: now.wall_s(), region: &self.setup.region };
        let checked = pass::check(bytes, with);
        // Two codes are the same if their signer and pass id are: never by the text, since one
        // signature has several valid encodings.
        let key = match &checked {
            Ok(pass) => pass.identity(),
            Err(_) => format!("#{}", &Hash::of(bytes).hex()[..16]),
        };
        // Of a card without a signature that would be the number on it. It was read under the secret of then.
        let keys = self.setup.subjects.all(&key);
        if self.repeated(now, &keys, out) {
            return Ok(());
        }
        if self.is_running() {
            self.turn_away(now, &keys, out);
            return Ok(());
        }
        let key = keys[0].clone();
        self.archive(out);
        let mut visit = Visit::begin(next_visit, key.clone(), now);
        visit.origin = origin;
        visit.direction.clone_from(&self.setup.profile.direction);
        visit.profile.clone_from(&self.setup.profile_hash);
        visit.facts = self.setup.profile.unmade_facts().clone();
        match checked {
            Ok(pass) => {
                // Whose turn it is must be seen before anybody is measured, not only with the verdict.
                let name = self.listed_name(&pass, records)?;
                visit.take(pass, &self.setup.subjects);
                visit.name = name.or(visit.name.take());
            }
            Err(mut refused) => {
                let unreadable = refused.code == Code::C_UNREADABLE;
                out.count(if unreadable { "scan_unreadable_total" } else { "pass_refused_total" });
                if let Some(pass) = refused.pass.take() {
                    visit.take(*pass, &self.setup.subjects);
                }
                visit.refused = Some(Refused { why: String::new(), ..refused });
            }
        }
        self.begin_facts(now, &mut visit);
        self.state.last_visit = next_visit.0;
        // Codes that would be taken anew are not written with every step.
        let (same_read, same_result) = (self.setup.profile.same_read_ms, self.setup.profile.same_result_ms);
        self.state
            .reads
            .retain(|read| since(now, read.seen) < same_read || since(now, read.result) <= same_result);
        self.state.reads.push_front(Read {
            key,
            seen: moment(now),
            result: moment(now),
            at_ms: now.wall_ms,
            visit: next_visit,
        });
        self.state.reads.truncate(RECENT);
        self.state.visit = Some(visit);
        self.state.other = None;
        // Whoever is measured when the power fails goes on, or is told of.
        out.keep_soon();
        self.advance(now, records, out)
    }

    /// What rules may ask before any step has made something.
    fn begin_facts(&self, now: &Now, visit: &mut Visit) {
        let Setup { lane, region, place, utc_offset_ms, .. } = &*self.setup;
        let day = now.wall_ms.and_then(|at_ms| local_day(at_ms, *utc_offset_ms)).unwrap_or_default();
        let of_code = step::verify::of_code(visit);
        if let Some(pass) = visit.facts.get_mut(PASS).and_then(Value::as_object_mut) {
            pass.extend(of_code);
        }
        visit.facts.insert("lane".into(), json!({ "id": lane, "region": region, "place": place }));
        let of_visit = json!({ "id": visit.id, "now_ms": now.wall_ms.unwrap_or_default(),
            "direction": visit.direction, "day": day, "origin": visit.origin });
        visit.facts.insert(VISIT.into(), of_visit);
    }

    /// The masked name of a person, where this lane looks people up.
    fn listed_name(&self, pass: &Pass, records: &dyn Records) -> Result<Option<String>, RecordsFault> {
        for list in ["status", "roster"].into_iter().filter(|list| self.setup.profile.looks_into(list)) {
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

    /// The same code again: one read, or the earlier result shown again. Nothing opens, and nothing turns
    /// green: whoever shows it now may be somebody else.
    fn repeated(&mut self, now: &Now, keys: &[String], out: &mut Outbound) -> bool {
        let Some(at) = self.state.reads.iter().position(|r| keys.contains(&r.key)) else { return false };
        let read = self.state.reads[at].clone();
        let (unseen, age) = (since(now, read.seen), since(now, read.result));
        self.state.reads[at].seen = moment(now);
        let current = self.state.visit.as_ref().is_some_and(|v| v.id == read.visit);
        if unseen < self.setup.profile.same_read_ms || (current && self.is_running()) {
            out.count("scan_same_read_total");
            return true;
        }
        if age > self.setup.profile.same_result_ms {
            self.state.reads.remove(at);
            return false;
        }
        if self.is_running() {
            self.turn_away(now, keys, out);
            return true;
        }
        if !current {
            let Some(place) = self.state.recent.iter().position(|v| v.id == read.visit) else {
                self.state.reads.remove(at);
                return false;
            };
            self.archive_around(place, out);
        }
        // Whoever waits for the other gateways of the site shows the card again: they may have answered.
        let waits =
            |v: &Visit| !v.admitted && v.verdict.as_ref().is_some_and(|v| v.codes.contains(&Code::X_USES));
        let counts = |v: &&mut Visit| v.verdict.is_some() && !waits(v);
        let Some(visit) = self.state.visit.as_mut().filter(counts) else {
            self.state.reads.remove(at);
            return false;
        };
        visit.repeated = true;
        if visit.actuation != Actuation::Failed {
            visit.shown_until = Some(now.mono_ms + self.setup.profile.show_verdict_ms);
        }
        let data = json!({ "code": Code::D_REPEAT, "subject": visit.subject, "subject_key": visit.subject_key,
            "outcome": visit.outcome(), "first": visit.started_ms.map(rfc3339) });
        let (id, shown) = (visit.id, visit.outcome());
        out.event("repeat", Class::Scan, &self.setup, Some(id), data);
        // The lamps show what the screen shows; a green one of the first time goes out.
        if let (Some(device), Some(outcome)) = (self.setup.devices.get(step::actuate::SIGNAL), shown) {
            let outcome = if outcome == Outcome::Admit { Outcome::Hold } else { outcome };
            let command = Command::Signal { outcome, ms: self.setup.profile.show_verdict_ms };
            out.requests.push(Request { device: device.clone(), ticket: Ticket::NOBODY, command });
        }
        out.count("scan_repeat_total");
        true
    }

    /// Somebody else is in front: the code is not taken, and the screens say so.
    fn turn_away(&mut self, now: &Now, keys: &[String], out: &mut Outbound) {
        out.count("scan_while_busy_total");
        let held = self.state.other.as_ref().filter(|o| {
            keys.contains(&o.key) && now.mono_ms.saturating_sub(o.seen) < self.setup.profile.same_read_ms
        });
        let since = held.map_or(now.mono_ms, |o| o.since);
        let key = keys[0].clone();
        self.state.other = Some(Other { key, seen: now.mono_ms, since, until: now.mono_ms + OTHER_SHOWN_MS });
    }

    /// Whether a visit is under way.
    pub fn is_running(&self) -> bool {
        self.state.visit.as_ref().is_some_and(|v| v.stage == Stage::Running)
    }
}
