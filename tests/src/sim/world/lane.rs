//! People before the lane, its thermometer and its barrier.

use super::{What, World};
use crate::sim::draw::{Draw, Stream};
use crate::sim::model::{Recorded, Said};
use crate::sim::people::Forehead;
use crate::sim::site::Site;
use kakou_core::reading::{NoData, Report, Temperature, Ticket};
use std::collections::BTreeMap;

/// Whoever has no verdict by now goes away.
const PATIENCE_MS: u64 = 120_000;

/// Whoever stands in front.
struct Front {
    person: u32,
    visitor: u64,
    /// What the thermometer sees, one after another.
    foreheads: Vec<Forehead>,
    came: u64,
}

/// The lane.
pub(super) struct Lane {
    people: Draw,
    devices: Draw,
    codes: BTreeMap<u32, Vec<u8>>,
    front: Option<Front>,
    visitors: u64,
}

impl Lane {
    pub(super) fn new(seed: u64, site: &Site) -> Result<Self, String> {
        let code = |p: &crate::sim::people::Person| Ok((p.number, site.code(p)?));
        let codes = site.people.iter().map(code).collect::<Result<_, String>>()?;
        // The site has drawn from the first stream.
        let people = Draw::new(seed ^ u64::MAX, Stream::People);
        Ok(Self { people, devices: Draw::new(seed, Stream::Devices), codes, front: None, visitors: 0 })
    }
}

impl World {
    /// The next one comes, and shows a card.
    pub(super) fn comes(&mut self) {
        if self.course.ended_at().is_some() {
            return;
        }
        let lane = &mut self.lane;
        lane.visitors += 1;
        let visitor = lane.visitors;
        let numbers: Vec<u32> = lane.codes.keys().copied().collect();
        let person = *lane.people.one_of(&numbers);
        let foreheads = (0..3).map(|_| forehead(&mut lane.people)).collect();
        lane.front = Some(Front { person, visitor, foreheads, came: self.course.at() });
        let shows = lane.people.between(300, 2_000);
        // Another card is held before the scanner meanwhile, now and then; or the same one, twice.
        let other = lane.people.per_mille(60).then(|| *lane.people.one_of(&numbers));
        let again = lane.people.per_mille(80).then(|| lane.people.between(200, 4_000));
        let after = lane.people.between(500, 9_000);
        self.course.later(shows, What::Scan(person, visitor));
        if let Some(other) = other {
            self.course.later(shows + after, What::Scan(other, 0));
        }
        if let Some(again) = again {
            self.course.later(shows + again, What::Scan(person, 0));
        }
    }

    /// A card is held before the scanner.
    pub(super) fn scan(&mut self, person: u32, visitor: u64) -> Result<(), String> {
        if self.course.ended_at().is_some() {
            return Ok(());
        }
        if visitor > 0 {
            let Some(front) = self.lane.front.as_ref().filter(|front| front.visitor == visitor) else {
                return Ok(());
            };
            if self.course.at() - front.came > PATIENCE_MS {
                self.course.says(&format!("{person} goes away"));
                self.leaves();
                return Ok(());
            }
            // Whoever sees nothing happen shows the card again.
            let again = self.lane.people.between(5_000, 12_000);
            self.course.later(again, What::Scan(person, visitor));
        }
        if self.gateway.engine().is_none() {
            return Ok(());
        }
        self.course.says(&format!("{person} shows a card"));
        let bytes = self.lane.codes.get(&person).cloned().ok_or("everybody has a code")?;
        self.report("scanner", Report::Scan { bytes }, Said::Scan(person))
    }

    /// Whoever is in front has seen what the lane says.
    pub(super) fn seen(&mut self, came: &[Recorded]) {
        let verdict = came.iter().any(|e| e.kind == "transaction" || e.kind == "repeat");
        if verdict && self.lane.front.is_some() {
            self.leaves();
        }
    }

    fn leaves(&mut self) {
        let Some(front) = self.lane.front.take() else { return };
        let next = self.lane.people.between(800, 15_000);
        self.course.later(next, What::Come);
        // Somebody else tries the same card: behind it, or a little later.
        if self.lane.people.per_mille(120) {
            let passed_back = self.lane.people.between(500, 90_000);
            self.course.later(passed_back, What::Scan(front.person, 0));
        }
    }

    /// The thermometer is asked.
    pub(super) fn measure(&mut self, ticket: Ticket) {
        let foreheads = self.lane.front.as_mut().map(|front| &mut front.foreheads);
        let sees = foreheads.and_then(Vec::pop).unwrap_or(Forehead::Nobody);
        let begins = self.lane.devices.between(100, 1_500);
        match sees {
            Forehead::Nobody => {}
            Forehead::Broken => {
                let (report, said) = (Report::NoData { ticket, why: NoData::Fault }, Said::Broken(ticket.0));
                self.course.later(begins, What::Device(self.life, "thermometer", report, said));
            }
            Forehead::Reads(mdeg) => {
                for n in 0..5 {
                    let noise = i32::try_from(self.lane.devices.below(100)).unwrap_or(0);
                    let object_mdeg = mdeg + noise - 50;
                    let frame = Temperature {
                        object_mdeg,
                        ambient_mdeg: Some(22_000),
                        reference_mdeg: None,
                        body_grade: true,
                    };
                    let (report, said) =
                        (Report::Temperature { ticket, frame }, Said::Frame(ticket.0, object_mdeg));
                    self.course.later(begins + 120 * n, What::Device(self.life, "thermometer", report, said));
                }
            }
        }
    }

    /// The barrier is asked: it opens, and says so; or does not, and says that; or says nothing.
    pub(super) fn pulse(&mut self, ticket: Ticket) {
        let answers = self.lane.devices.between(30, 300);
        let (report, said) = match self.lane.devices.below(100) {
            0..3 => return,
            3..6 => (Report::NoData { ticket, why: NoData::Timeout }, Said::Stuck(ticket.0)),
            _ => (Report::Done { ticket }, Said::Moved(ticket.0)),
        };
        self.course.later(answers, What::Device(self.life, "barrier", report, said));
    }
}

fn forehead(draw: &mut Draw) -> Forehead {
    let reads = |mdeg: u64| Forehead::Reads(i32::try_from(mdeg).unwrap_or(i32::MAX));
    match draw.below(100) {
        0..5 => reads(draw.between(37_350, 39_500)),
        5..9 => reads(draw.between(33_000, 34_900)),
        9..13 => Forehead::Nobody,
        13..15 => Forehead::Broken,
        // At the limits themselves.
        15..20 => reads(draw.between(37_200, 37_400)),
        20..23 => reads(draw.between(34_900, 35_100)),
        _ => reads(draw.between(35_900, 37_000)),
    }
}
