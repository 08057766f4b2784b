//! What a scenario puts into a gateway, as devices and desks can do it: the play on the core says what came in which order.

use kakou_core::codes::Outcome;
use kakou_core::ids::{LaneId, OfficerId, VisitId};
use kakou_core::lane::action::{Action, Role};
use kakou_core::pass::trust::TrustFile;
use kakou_core::reading::{NoData, Report};
use kakou_core::scenario::Scenario;
use kakou_core::scenario::shown::Shown;
use kakou_core::scenario::store::Entries;
use kakou_core::time::WallMs;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Pauses of a measurement that is repeated pass by themselves; nobody waits longer here.
const PAUSE_MOST: i64 = 12_000;
/// What a thermometer shows of somebody who needs no second look.
const NORMAL_MDEG: std::ops::Range<i32> = 35_000..37_300;

/// One thing, and the lane where it happens.
#[derive(Debug, Clone)]
pub enum Doing {
    /// The reader of a role reads a text.
    Scan(LaneId, String, String),
    /// An officer acts.
    Act(LaneId, OfficerId, Action),
    /// Somebody stands at the thermometer: thousandths of a degree.
    Warm(LaneId, i32),
    /// Something lies on the scale, in grams.
    Load(LaneId, i64),
    /// Time passes.
    Pause(Duration),
    /// A verdict comes of a visit of the play: its outcome and codes.
    Verdict(LaneId, VisitId, Outcome, Vec<String>),
}

impl Doing {
    /// Whether somebody does something new in a lane.
    pub fn begins_in(&self, of: &LaneId) -> bool {
        match self {
            Self::Scan(lane, ..) | Self::Act(lane, ..) => lane == of,
            Self::Warm(..) | Self::Load(..) | Self::Pause(_) | Self::Verdict(..) => false,
        }
    }
}

/// A lane.
#[derive(Debug, Clone)]
pub struct LaneOf {
    /// Its id.
    pub id: LaneId,
    /// Its profile.
    pub profile: String,
    /// What it guards.
    pub place: String,
}

/// A scenario up to a verdict.
#[derive(Debug, Clone)]
pub struct Script {
    /// The scenario.
    pub name: String,
    /// Its lanes.
    pub lanes: Vec<LaneOf>,
    /// The region of the gateway.
    pub region: String,
    /// The keys that it trusts.
    pub trust: TrustFile,
    /// Its lists: when each was issued, and its entries.
    pub lists: BTreeMap<String, (WallMs, Entries)>,
    /// Who acts, and as what.
    pub officers: BTreeMap<OfficerId, Role>,
    /// What is done.
    pub doings: Vec<Doing>,
    /// Milliseconds that pass at least.
    pub lasts_ms: i64,
    /// Whether the last verdict follows its last input at once, without a second measurement.
    pub prompt: bool,
}

impl Script {
    /// From a play, up to the first verdict of a profile with an outcome; none where no device and no desk can do this.
    pub fn of(scenario: &Scenario, shown: &[Shown], (profile, wanted): (&str, Outcome)) -> Option<Self> {
        let decides = |one: &Shown| matches!(one, Shown::Decided { profile: of, outcome, .. } if of == profile && *outcome == wanted);
        if !scenario.synced() || !shown.iter().any(decides) {
            return None;
        }
        let lanes = scenario.lanes().map(|(id, profile, place)| LaneOf {
            id: id.clone(),
            profile: profile.to_owned(),
            place: place.to_owned(),
        });
        let mut script = Self {
            name: scenario.file().to_owned(),
            lanes: lanes.collect(),
            region: scenario.region().to_owned(),
            trust: scenario.trust(),
            lists: BTreeMap::new(),
            officers: BTreeMap::new(),
            doings: Vec::new(),
            lasts_ms: 0,
            prompt: true,
        };
        // A profile beside a file is not one that ships.
        if script.lanes.iter().any(|lane| lane.profile.contains('.')) {
            return None;
        }
        for (at, one) in shown.iter().enumerate() {
            match one {
                Shown::Edition { list, issued_ms, entries } => {
                    if !script.doings.is_empty() {
                        return None;
                    }
                    script.lists.insert(list.clone(), (*issued_ms, entries.clone()));
                }
                Shown::Act { lane, officer, action, rejected: None, .. } => {
                    script.officers.insert(officer.id.clone(), officer.role);
                    if let Action::Override { second: Some(second), .. } = action {
                        script.officers.insert(second.id.clone(), second.role);
                    }
                    let (lane, officer, action) = (lane.clone(), officer.id.clone(), action.clone());
                    script.doings.push(Doing::Act(lane, officer, action));
                    script.prompt = true;
                }
                Shown::Act { .. } | Shown::Beyond(_) | Shown::Asked(_) => return None,
                Shown::Device { lane, role, report } => script.device(lane, role, report)?,
                Shown::Waited(ms) => script.waited(*ms, shown.get(at + 1..).unwrap_or_default())?,
                Shown::Event { .. } => {}
                Shown::Decided { lane, visit, profile: of, outcome, codes, .. } => {
                    script.doings.push(Doing::Verdict(lane.clone(), *visit, *outcome, codes.clone()));
                    if of == profile && *outcome == wanted {
                        return Some(script);
                    }
                }
            }
        }
        None
    }

    fn device(&mut self, lane: &LaneId, role: &str, report: &Report) -> Option<()> {
        let lane = lane.clone();
        match report {
            Report::Scan { bytes } => {
                let text = String::from_utf8(bytes.clone()).ok()?;
                // A reader ends a code at the end of a line.
                if text.is_empty() || text.contains(['\r', '\n']) {
                    return None;
                }
                self.doings.push(Doing::Scan(lane, role.to_owned(), text));
                self.prompt = true;
                Some(())
            }
            Report::Temperature { frame, .. } => {
                let mdeg = frame.object_mdeg;
                self.prompt &= NORMAL_MDEG.contains(&mdeg);
                // Frames of one measurement, and of one who is measured again: one value, which is there from the scan on.
                let before = self.doings.iter().rev().take_while(|doing| !doing.begins_in(&lane));
                let before = before.filter_map(|doing| match doing {
                    Doing::Warm(of, mdeg) if *of == lane => Some(*mdeg),
                    Doing::Warm(..)
                    | Doing::Scan(..)
                    | Doing::Act(..)
                    | Doing::Load(..)
                    | Doing::Pause(_)
                    | Doing::Verdict(..) => None,
                });
                match before.last() {
                    Some(same) if same == mdeg => Some(()),
                    Some(_) => None,
                    None => {
                        self.doings.push(Doing::Warm(lane, mdeg));
                        Some(())
                    }
                }
            }
            Report::Weight { grams, .. } => {
                self.doings.push(Doing::Load(lane, *grams));
                Some(())
            }
            // The cameras here see what is good; a scale that a lane goes without is not there.
            Report::Photo { .. } => Some(()),
            Report::NoData { why: NoData::Timeout, .. } if role == "scale" => Some(()),
            Report::NoData { .. }
            | Report::Plate { .. }
            | Report::Done { .. }
            | Report::Input { .. }
            | Report::Link { .. } => None,
        }
    }

    fn waited(&mut self, ms: i64, then: &[Shown]) -> Option<()> {
        self.lasts_ms += ms;
        let next = then.iter().find(|next| !matches!(next, Shown::Waited(0) | Shown::Event { .. }));
        let measured = matches!(next, Some(Shown::Device { report: Report::Temperature { .. }, .. }));
        if ms > PAUSE_MOST {
            return None;
        }
        if ms > 0 && !measured {
            self.doings.push(Doing::Pause(Duration::from_millis(ms.cast_unsigned())));
        }
        Some(())
    }

    /// What no other script in the same gateway may name: keys of lists, codes, what is typed.
    pub fn names(&self) -> BTreeSet<String> {
        let keys = self.lists.values().flat_map(|(_, entries)| entries.keys().cloned());
        let said = self.doings.iter().filter_map(|doing| match doing {
            Doing::Scan(.., text)
            | Doing::Act(.., Action::Enter { text, .. } | Action::Seal { first: text, .. }) => {
                Some(text.clone())
            }
            Doing::Act(..) | Doing::Warm(..) | Doing::Load(..) | Doing::Pause(_) | Doing::Verdict(..) => None,
        });
        keys.chain(said).collect()
    }

    /// Its lists that are too old, by name.
    pub fn stale(&self) -> BTreeMap<&str, WallMs> {
        let newest = self.lists.values().map(|(issued, _)| *issued).max().unwrap_or(0);
        self.lists
            .iter()
            .filter(|(_, (issued, _))| *issued < newest)
            .map(|(name, (issued, _))| (name.as_str(), *issued))
            .collect()
    }
}
