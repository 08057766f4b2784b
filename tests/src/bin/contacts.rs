//! Who was here, who was near whom, where was this card, and how many in each hour: what a gateway answers from a
//! journal of many visits, against a straight search in what was played.
//!
//! The visits go through the real store as the engine writes them. The straight search knows nothing of the store: it
//! goes through its own list from the first to the last.

use clap::Parser;
use kakou_core::event::{Author, Class, NewEvent};
use kakou_core::ids::{GatewayId, LaneId, SiteId, VisitId};
use kakou_core::time::{Now, Quality, rfc3339};
use kakou_gateway::store::contacts::{self, Sought};
use kakou_gateway::store::hours::{Counts, HOUR_MS, Hours, OUTCOMES, SHOWN};
use kakou_gateway::store::journal::{self, Journal};
use kakou_gateway::store::trace::{self, Of};
use kakou_tests::figures::{Missing, finish, round, say};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Asks a large journal who was near whom, and compares.
#[derive(Parser)]
struct Arguments {
    /// Visits in the journal.
    #[arg(long, default_value_t = 1_000_000)]
    visits: u64,
    /// Questions of each kind.
    #[arg(long, default_value_t = 100)]
    questions: u64,
    /// Who comes when, and who is asked for, follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// 95 of 100 local answers take at most this; those about contacts at most the second.
const ANSWER_MS: f64 = 50.0;
const CONTACTS_MS: f64 = 300.0;
/// Before and after a visit.
const NEAR_MS: i64 = 15 * 60_000;
const DAY_MS: i64 = 86_400_000;
const LANES: u64 = 8;
/// The last ones stay behind the indexes, as on a busy day.
const BEHIND: u64 = 500;
const START_MS: i64 = 1_650_000_000_000;

/// A visit as it was played.
#[derive(Debug, Clone, Copy)]
struct Played {
    at_ms: i64,
    lane: u64,
    /// Nobody where it is 0.
    who: u64,
    outcome: usize,
}

/// Draws that follow from a seed alone (SplitMix64).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

fn key(who: u64) -> String {
    if who == 0 { String::new() } else { format!("{who:032x}") }
}

/// People come again about ten times, at any of the lanes, a visit every four seconds over all of them.
fn draw(a: &Arguments) -> Vec<Played> {
    let mut draws = Draws(a.seed);
    let people = (a.visits / 10).max(10);
    let mut at_ms = START_MS;
    let mut visits = Vec::new();
    for _ in 0..a.visits {
        at_ms += i64::try_from(draws.below(8_000)).unwrap_or(0);
        let who = if draws.below(50) == 0 { 0 } else { 1 + draws.below(people) };
        let outcome = match draws.below(20) {
            0 => 1,
            1 => 2,
            2 => 3,
            _ => 0,
        };
        visits.push(Played { at_ms, lane: draws.below(LANES), who, outcome });
    }
    visits
}

fn play(folder: &Path, visits: &[Played], begun: Instant) -> Result<(), Missing> {
    let author = Author { site: SiteId::new("test")?, gateway: GatewayId::new("gw-1")?, boot: "b".into() };
    let (mut journal, ..) = Journal::open(folder, author)?;
    // The disk's patience is not what is measured here.
    journal.connection().pragma_update(None, "synchronous", "OFF")?;
    journal.connection().pragma_update(None, "cache_size", -262_144)?;
    journal.begin()?;
    let all = u64::try_from(visits.len())?;
    for (n, visit) in (1_u64..).zip(visits) {
        let data = json!({ "outcome": OUTCOMES[visit.outcome], "codes": ["OK"], "subject": key(visit.who), "subject_key": 1 });
        let event = NewEvent {
            kind: "transaction".into(),
            class: Class::Verdict,
            lane: Some(LaneId::new(format!("lane-{}", visit.lane))?),
            visit: Some(VisitId(n)),
            audience: vec![],
            data,
        };
        journal.append(&event, &Now { mono_ms: n, wall_ms: Some(visit.at_ms), quality: Quality::Synced })?;
        if n % 50_000 == 0 || n + BEHIND == all {
            journal.commit()?;
            journal.wal_checkpoint()?;
            journal.begin()?;
            if n % 1_000_000 == 0 {
                say(begun, &format!("{n} visits"));
            }
        }
    }
    journal.commit()?;
    journal.wal_checkpoint()?;
    Ok(())
}

/// The straight search: who was within the time of one of somebody's visits, at the same lane.
fn near(visits: &[Played], who: u64, from_ms: i64, to_ms: i64) -> BTreeMap<String, (usize, i64)> {
    let own: Vec<Played> =
        visits.iter().filter(|v| v.who == who && (from_ms..=to_ms).contains(&v.at_ms)).copied().collect();
    let mut found: BTreeMap<String, (usize, i64)> = BTreeMap::new();
    for v in visits {
        let closest = own.iter().filter(|o| o.lane == v.lane).map(|o| (o.at_ms - v.at_ms).abs()).min();
        if let Some(ms) = closest.filter(|ms| *ms <= NEAR_MS && v.who != who && v.who != 0) {
            let (times, nearest) = found.entry(key(v.who)).or_insert((0, ms));
            (*times, *nearest) = (*times + 1, ms.min(*nearest));
        }
    }
    found
}

/// Times of one kind of question.
#[derive(Default)]
struct Kind {
    times: Vec<Duration>,
    wrong: u64,
    rows: usize,
}

impl Kind {
    fn tell(mut self, name: &str, most_ms: f64, figures: &mut Map<String, Value>, short: &mut Vec<String>) {
        self.times.sort_unstable();
        let at = |p: usize| {
            let last = self.times.len().saturating_sub(1);
            self.times.get((self.times.len() * p / 100).min(last)).map_or(0.0, |d| d.as_secs_f64() * 1e3)
        };
        for (p, word) in [(50, "p50"), (95, "p95"), (100, "slowest")] {
            figures.insert(format!("{name}_{word}_ms"), json!(round(at(p))));
        }
        figures.insert(format!("{name}_rows"), json!(self.rows));
        figures.insert(format!("{name}_wrong"), json!(self.wrong));
        if at(95) > most_ms {
            short.push(format!("95 of 100 answers about {name} take {:.1} ms, at most {most_ms}", at(95)));
        }
        if self.wrong > 0 {
            short.push(format!("{} answers about {name} are not what was played", self.wrong));
        }
    }
}

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let visits = draw(a);
    play(folder.path(), &visits, begun)?;
    let file = std::fs::metadata(journal::path(folder.path()))?.len();
    let end_ms = visits.last().map_or(START_MS, |v| v.at_ms);
    let mut draws = Draws(a.seed ^ 0x5eed);
    let [mut card, mut here, mut contact, mut hours] = [(); 4].map(|()| Kind::default());
    let mut counted = Hours::default();
    for _ in 0..a.questions {
        let one = visits[usize::try_from(draws.below(a.visits))?];
        let who = one.who.max(1);
        let keys = [key(who)];
        // Where was this card, whenever.
        let clock = Instant::now();
        let reader = journal::reader(folder.path())?;
        let (rows, _) = trace::find(&reader, Of::Subjects(&keys), START_MS, end_ms)?;
        card.times.push(clock.elapsed());
        let told: BTreeSet<_> = rows.iter().map(|row| (row.at.clone(), row.lane.clone())).collect();
        let straight = visits.iter().filter(|v| v.who == who);
        let straight: BTreeSet<_> =
            straight.map(|v| (Some(rfc3339(v.at_ms)), format!("lane-{}", v.lane))).collect();
        card.rows += rows.len();
        card.wrong += u64::from(told != straight);
        // Who was here, in half an hour.
        let (lane, from, to) = (format!("lane-{}", one.lane), one.at_ms - NEAR_MS, one.at_ms + NEAR_MS);
        let clock = Instant::now();
        let reader = journal::reader(folder.path())?;
        let (rows, more) = trace::find(&reader, Of::Lane(&lane), from, to)?;
        here.times.push(clock.elapsed());
        let straight = visits.iter().filter(|v| v.lane == one.lane && (from..=to).contains(&v.at_ms));
        let mut straight: Vec<_> = straight.map(|v| (rfc3339(v.at_ms), key(v.who))).collect();
        let mut told: Vec<_> =
            rows.iter().map(|row| (row.at.clone().unwrap_or_default(), row.subject.clone())).collect();
        straight.sort();
        told.sort();
        here.rows += rows.len();
        here.wrong += u64::from(more || told != straight);
        // Who was near, over all of it.
        let clock = Instant::now();
        let reader = journal::reader(folder.path())?;
        let sought = Sought { keys: &keys, from_ms: START_MS, to_ms: end_ms, near_ms: NEAR_MS };
        let found = contacts::find(&reader, sought)?;
        contact.times.push(clock.elapsed());
        let straight = near(&visits, who, START_MS, end_ms);
        let told: BTreeMap<_, _> =
            found.contacts.iter().map(|c| (c.subject.clone(), (c.visits, c.closest_ms))).collect();
        let same = if found.truncated {
            // The nearest of them, then.
            told.len() == contacts::MOST && told.iter().all(|(who, what)| straight.get(who) == Some(what))
        } else {
            told == straight
        };
        contact.rows += found.contacts.len();
        contact.wrong += u64::from(!same);
        // The hours of a day of the last weeks, as screens show them.
        let back = i64::try_from(draws.below(14))?;
        let day = (end_ms / DAY_MS - back).max(START_MS / DAY_MS) * DAY_MS;
        let clock = Instant::now();
        let reader = journal::reader(folder.path())?;
        let told = counted.of(&reader, &lane, day, SHOWN)?;
        hours.times.push(clock.elapsed());
        let mut straight = vec![Counts::default(); SHOWN];
        for v in visits.iter().filter(|v| v.lane == one.lane) {
            let at = usize::try_from((v.at_ms - day).div_euclid(HOUR_MS)).ok();
            if let Some(counts) = at.and_then(|n| straight.get_mut(n)) {
                counts[v.outcome] += 1;
            }
        }
        hours.rows += told.iter().flatten().filter_map(|n| usize::try_from(*n).ok()).sum::<usize>();
        hours.wrong += u64::from(told != straight);
    }
    let mut figures = Map::new();
    let mut short = Vec::new();
    figures.insert("seed".into(), json!(a.seed));
    figures.insert("visits".into(), json!(a.visits));
    figures.insert("days".into(), json!((end_ms - START_MS) / DAY_MS));
    figures.insert("journal_mb".into(), json!(file >> 20));
    let baseline =
        json!({ "local_p95_ms": ANSWER_MS, "contacts_p95_ms": CONTACTS_MS, "near_min": NEAR_MS / 60_000 });
    figures.insert("baseline".into(), baseline);
    card.tell("card", ANSWER_MS, &mut figures, &mut short);
    here.tell("here", ANSWER_MS, &mut figures, &mut short);
    contact.tell("contacts", CONTACTS_MS, &mut figures, &mut short);
    hours.tell("hours", ANSWER_MS, &mut figures, &mut short);
    say(begun, "done");
    Ok((figures, short))
}
