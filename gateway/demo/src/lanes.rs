//! The lanes of the demo: one for each shipped profile that is a lane. Those that are not switched on have no devices and
//! no part of the configuration.

use kakou_core::profile::{self, shipped};
use kakou_core::text::Text;
use kakou_gateway::pack::shipped_pack;
use std::sync::OnceLock;

/// A lane.
pub struct DemoLane {
    /// Its id.
    pub id: &'static str,
    /// Its profile.
    pub profile: &'static str,
    /// Its devices, by their roles.
    pub devices: &'static [&'static str],
    /// Whether it is switched on with its pack, and not only when somebody wants it.
    pub first: bool,
}

const fn lane(id: &'static str, profile: &'static str, devices: &'static [&'static str]) -> DemoLane {
    DemoLane { id, profile, devices, first: true }
}

const fn more(id: &'static str, profile: &'static str, devices: &'static [&'static str]) -> DemoLane {
    DemoLane { id, profile, devices, first: false }
}

/// The pack with which the demo begins.
pub const FIRST_PACK: &str = "2022";
/// The lanes that play by themselves.
pub const PLAYED: [&str; 3] = ["school-1", "truck-1", "triage-1"];

/// All of them, as the page shows them.
pub const LANES: [DemoLane; 30] = [
    lane("school-1", "school-gate", &["scanner", "thermometer", "barrier"]),
    lane("truck-1", "truck-supplies", &["scanner", "thermometer", "barrier", "camera"]),
    lane("triage-1", "pre-triage", &["scanner", "thermometer"]),
    lane("ward-1", "ward-door", &["reader-in", "reader-out", "door"]),
    lane("shop-1", "pharmacy", &["scanner", "thermometer"]),
    lane("site-1", "site-onboarding", &["scanner", "barrier"]),
    lane("site-in-1", "site-daily", &["scanner", "thermometer", "printer", "barrier"]),
    lane("site-out-1", "site-exit", &["scanner", "barrier"]),
    lane("seal-1", "seal-check", &["scanner", "camera", "barrier"]),
    lane("er-1", "emergency", &["door"]),
    lane("car-1", "resident-car", &["scanner", "thermometer", "barrier"]),
    more("venue-1", "venue-visit", &["scanner", "thermometer"]),
    more("home-1", "community-return", &["scanner", "thermometer", "barrier"]),
    more("bulk-1", "truck-bulk", &["scanner", "thermometer", "barrier", "camera"]),
    more("transit-1", "transit-truck", &["scanner", "camera", "printer", "barrier"]),
    more("iso-1", "isolation-point", &["reader-in", "reader-out", "door"]),
    more("sample-1", "sampling-desk", &["scanner"]),
    more("waste-1", "medical-waste", &["scanner", "scale", "camera"]),
    more("port-1", "enterprise-gate", &["scanner", "thermometer", "barrier"]),
    more("lab-1", "specimen-reception", &["scanner"]),
    more("store-1", "supplies-desk", &["scanner"]),
    more("room-1", "consulting-room", &["reader-in", "reader-out", "door"]),
    lane("park-1", "chemical-park", &["reader-in", "reader-out", "barrier"]),
    lane("yard-1", "yard-gate", &["reader-in", "reader-out", "camera", "barrier"]),
    lane("visit-1", "hospital-visitor", &["reader-in", "reader-out", "barrier"]),
    lane("custody-1", "waste-custody", &["scanner", "scale", "camera"]),
    lane("duty-1", "fit-for-duty", &["scanner", "thermometer", "barrier"]),
    lane("pickup-1", "school-pickup", &["scanner"]),
    lane("wash-1", "livestock-wash", &["scanner", "camera", "barrier"]),
    lane("event-1", "event-gate", &["reader-in", "reader-out", "barrier"]),
];

/// A lane by its id.
pub fn find(id: &str) -> Option<&'static DemoLane> {
    LANES.iter().find(|lane| lane.id == id)
}

/// A pack, with its lanes.
pub struct DemoPack {
    /// Its id.
    pub id: &'static str,
    /// For people.
    pub title: Text,
    /// Its lanes, with the titles of their profiles.
    pub lanes: Vec<(&'static DemoLane, Text)>,
}

/// The shipped packs.
pub fn packs() -> &'static [DemoPack] {
    static PACKS: OnceLock<Vec<DemoPack>> = OnceLock::new();
    PACKS.get_or_init(|| {
        let one = |(id, _): (&'static str, &str)| {
            let pack = shipped_pack(id)?;
            let title_of = |lane: &DemoLane| {
                let (file, text) = pack.profiles.get(lane.profile)?;
                profile::read(file, text).ok().map(|profile| profile.title)
            };
            let lanes = LANES.iter().filter_map(|lane| Some((lane, title_of(lane)?)));
            Some(DemoPack { id, title: pack.manifest.as_ref()?.title.clone(), lanes: lanes.collect() })
        };
        shipped::PACKS.into_iter().filter_map(one).collect()
    })
}

/// The lanes that are switched on with a pack.
pub fn first_of(pack: &str) -> Option<Vec<&'static str>> {
    let pack = packs().iter().find(|one| one.id == pack)?;
    Some(pack.lanes.iter().filter(|(lane, _)| lane.first).map(|(lane, _)| lane.id).collect())
}
