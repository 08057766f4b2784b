//! The cards do what the page says: each is played on the core, with the lists of the demo, up to its verdict.

use crate::cards::{Deck, deal};
use crate::lanes::{LANES, first_of, packs};
use crate::rows::{Code, Row};
use crate::world::{ROLES, configuration, officers};
use crate::{everyday, year2022};
use kakou_core::lane::step::StepKind;
use kakou_core::profile::{read as read_profile, shipped as all};
use kakou_core::scenario::{gateway, play, read, shipped, store::Memory};
use kakou_gateway::config;
use std::collections::{BTreeMap, BTreeSet};

/// The clock of the plays, 10:00 at the site: UTC seconds.
const CLOCK_S: i64 = 1_764_554_400;

/// A card, what staff do then, and the outcome. The cards of a lane follow each other.
type Played = (&'static str, &'static [&'static str], &'static str);

const DUTY: &[&str] = &["answer = { symptoms = \"no\", hands = \"clean\", fit = \"yes\" }"];
const WASTE: &[&str] = &[
    "weigh = 1500",
    "answer = { source = \"ICU\", type = \"infectious\" }",
    "confirm = []\nas = \"nurse:chen\"",
    "confirm = []\nas = \"collector:he\"",
];
const MASKS: &[&str] = &["answer = { act = \"in\", item = \"IT-0001\", amount = 100 }"];
const TRUCK: &str = "answer = { plate = \"辽P99999\", carrier = \"东风物流\", load = \"empty\" }";

const PLAYS: [(&str, &[Played]); 21] = [
    (
        "shop-1",
        &[(
            "buyer-red",
            &["answer = { buyer = \"self\", symptoms = \"none\", drug = \"cough\", qty = 1 }"],
            "REFER",
        )],
    ),
    (
        "site-out-1",
        &[("worker-untested-out", &["answer = { reason = \"temporary\", to = \"市区\" }"], "HOLD")],
    ),
    ("seal-1", &[("truck-seal-lost", &["answer = { plate = \"辽P77777\" }", "seal_check = []"], "HOLD")]),
    ("venue-1", &[("venue-green", &[], "ADMIT"), ("venue-yellow", &[], "REFER")]),
    (
        "home-1",
        &[
            ("home-resident", &[], "ADMIT"),
            ("home-reported", &[], "ADMIT"),
            ("home-risk", &[], "HOLD"),
            (
                "home-unreported",
                &[
                    "answer = { from = \"沈阳\", unit = \"1-1-101\", contact = \"13800138000\", risk = \"no\" }",
                ],
                "ADMIT",
            ),
        ],
    ),
    (
        "bulk-1",
        &[
            (
                "bulk-ok",
                &[
                    "answer = { plate = \"辽P33333\" }",
                    "answer = { crew = 2 }",
                    "answer = { body = \"sealable\" }",
                    "answer = {}",
                    "seal = { number = \"LN0045680\", kind = \"cable\", door = \"rear\" }",
                    "confirm = [\"view\", \"verify\", \"tug\", \"twist\"]",
                ],
                "ADMIT",
            ),
            ("bulk-other", &["answer = { plate = \"辽P33334\" }", "answer = { crew = 2 }"], "HOLD"),
        ],
    ),
    (
        "transit-1",
        &[
            (
                "transit-ok",
                &[
                    "answer = { plate = \"辽A44444\" }",
                    "answer = { exit = \"北出口\", hours = 4, crew = 2 }",
                    "seal = { number = \"LN0045681\", kind = \"bolt\", door = \"rear\" }",
                ],
                "ADMIT",
            ),
            ("transit-other", &["answer = { plate = \"辽A44445\" }"], "HOLD"),
        ],
    ),
    (
        "iso-1",
        &[
            ("iso-guest-in", &[], "ADMIT"),
            ("iso-guest-out", &[], "HOLD"),
            ("iso-released-out", &[], "ADMIT"),
            ("iso-staff-in", &[], "ADMIT"),
        ],
    ),
    (
        "sample-1",
        &[
            ("sample-person", &["confirm = [\"same\"]", "answer = { tube = \"TB-0001\" }"], "ADMIT"),
            ("sample-second", &["confirm = [\"same\"]", "answer = { tube = \"TB-0001\" }"], "ADMIT"),
            ("sample-red", &[], "REFER"),
        ],
    ),
    ("waste-1", &[("bag-1", WASTE, "ADMIT"), ("bag-gap", WASTE, "HOLD")]),
    (
        "port-1",
        &[
            ("port-worker", &[], "ADMIT"),
            ("port-guest", &["approve = \"by phone\""], "ADMIT"),
            ("port-unbooked", &[], "HOLD"),
        ],
    ),
    (
        "lab-1",
        &[
            (
                "delivery",
                &[
                    "tally = [\"TB-1001\", \"TB-1002\"]",
                    "confirm = []\nas = \"collector:he\"",
                    "confirm = []\nas = \"nurse:chen\"",
                ],
                "ADMIT",
            ),
            (
                "delivery-short",
                &[
                    "tally = [\"TB-2001\"]",
                    "confirm = []\nas = \"collector:he\"",
                    "confirm = []\nas = \"nurse:chen\"",
                ],
                "HOLD",
            ),
        ],
    ),
    ("store-1", &[("store-badge", MASKS, "ADMIT"), ("store-stranger", MASKS, "HOLD")]),
    (
        "room-1",
        &[
            ("room-in", &[], "ADMIT"),
            ("room-second", &[], "HOLD"),
            ("room-out", &[], "ADMIT"),
            ("room-unbooked", &[], "REFER"),
        ],
    ),
    (
        "park-1",
        &[
            ("park-in", &["answer = { card = \"TC-0042\" }"], "ADMIT"),
            ("park-out", &["answer = { card_back = \"TC-0042\" }"], "ADMIT"),
            ("park-half", &["answer = { plate = \"辽P22222\", card = \"TC-0042\" }"], "HOLD"),
        ],
    ),
    (
        "yard-1",
        &[
            (
                "yard-booked",
                &[
                    "answer = { plate = \"辽P12345\", carrier = \"东风物流\", container = \"CSQU3054383\", load = \"loaded\" }",
                    "confirm = [\"door-name\", \"licence\", \"callback\"]",
                    "seal_check = [{ number = \"LN0045678\", door = \"rear\", condition = \"intact\" }]",
                    "answer = { spot = \"B-7\" }",
                ],
                "ADMIT",
            ),
            ("yard-unbooked", &[TRUCK], "HOLD"),
            (
                "yard-old",
                &["answer = { plate = \"辽P40404\", carrier = \"东风物流\", load = \"empty\" }"],
                "DENY",
            ),
            ("yard-out", &["answer = { plate = \"辽P12345\", load = \"empty\" }"], "ADMIT"),
        ],
    ),
    (
        "visit-1",
        &[
            ("visitor-in", &["answer = { patient = \"B-0012\", relation = \"family\" }"], "ADMIT"),
            ("visitor-isolation", &["answer = { patient = \"B-0013\", relation = \"family\" }"], "HOLD"),
            ("visitor-out", &[], "ADMIT"),
        ],
    ),
    ("custody-1", &[("custody-bag", WASTE, "ADMIT"), ("custody-gap", WASTE, "HOLD")]),
    ("duty-1", &[("duty-ok", DUTY, "ADMIT"), ("duty-expired", &[], "DENY"), ("duty-stranger", &[], "HOLD")]),
    (
        "pickup-1",
        &[
            ("pickup-parent", &["answer = { children = [\"小明\"] }", "confirm = [\"seen\"]"], "ADMIT"),
            ("pickup-note", &[], "HOLD"),
            ("pickup-stranger", &[], "HOLD"),
        ],
    ),
    (
        "wash-1",
        &[
            ("wash-fresh", &["answer = { plate = \"辽P12345\" }"], "ADMIT"),
            ("wash-old", &["answer = { plate = \"辽P24680\" }"], "DENY"),
        ],
    ),
];

/// The gates of events have no step of staff.
const EVENT: &[Played] = &[
    ("ticket-in", &[], "ADMIT"),
    ("ticket-out", &[], "ADMIT"),
    ("ticket-over", &[], "DENY"),
    ("ticket-none", &[], "HOLD"),
];

fn rows() -> BTreeMap<&'static str, &'static Row> {
    year2022::ROWS.iter().chain(&everyday::ROWS).map(|row| (row.id, row)).collect()
}

/// The lists of the demo, as scenario files have them.
fn lists(deck: &Deck) -> String {
    let mut out = String::new();
    for (_, list) in &deck.lists {
        let entries = list["entries"].as_object().into_iter().flatten();
        for (id, facts) in entries {
            let name = list["name"].as_str().unwrap();
            out += &format!("[lists.{name}.\"{id}\"]\n{}\n", toml::to_string(facts).unwrap());
        }
    }
    out
}

fn passes(lane: &str) -> String {
    let of_lane = rows().into_values().filter(|row| row.lane == lane);
    let pass = |row: &Row| match row.code {
        Code::Id(_) => String::new(),
        Code::Vehicle(plate, category) => {
            let fields = Code::vehicle([plate, category]);
            format!("[passes.{}]\nkind = \"vehicle-pass\"\n{}\n", row.id, toml::to_string(&fields).unwrap())
        }
    };
    of_lane.map(pass).collect()
}

fn file(lane: &str, played: &[Played], lists: &str) -> String {
    let profile = LANES.iter().find(|one| one.id == lane).unwrap().profile;
    let mut out = format!(
        "profile = \"{profile}\"\nclock = \"2025-12-01T10:00:00+08:00\"\ntitle = \"the cards of {lane}\"\n{lists}{}",
        passes(lane)
    );
    for (card, steps, outcome) in played {
        let row = rows()[card];
        assert_eq!(row.lane, lane, "{card}");
        let on = row.on.map_or(String::new(), |reader| format!("on = \"{reader}\"\n"));
        let scan = match row.code {
            Code::Id(id) => format!("scan = \"{id}\""),
            Code::Vehicle(..) => format!("scan_pass = \"{card}\""),
        };
        out += &format!("[[do]]\n{scan}\n{on}");
        for step in *steps {
            out += &format!("[[do]]\n{step}\n");
        }
        out += &format!("[[do]]\nexpect = {{ outcome = \"{outcome}\" }}\n[[do]]\nwait = \"61s\"\n");
    }
    out
}

#[test]
fn each_card_comes_out_as_its_hint_says() {
    let lists = lists(&deal(CLOCK_S).unwrap());
    let mut wrong = Vec::new();
    for (lane, played) in PLAYS.into_iter().chain([("event-1", EVENT)]) {
        let text = file(lane, played, &lists);
        let came = read(lane, &text)
            .and_then(|scenario| play(&scenario, &shipped, &mut Memory::new(gateway()), &mut |_| {}));
        match came {
            Ok(None) => {}
            Ok(Some(failure)) => {
                let line = text.lines().nth(failure.line.saturating_sub(1)).unwrap_or_default();
                wrong.push(format!("{lane}: {line}: {}", failure.why));
            }
            Err(mistake) => wrong.push(format!("{lane}: {mistake}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_profile_has_a_lane_with_somebody_who_is_admitted_and_somebody_who_is_not() {
    let deck = deal(CLOCK_S).unwrap();
    let ids: BTreeSet<&str> = deck.cards.iter().map(|card| card.id).collect();
    assert_eq!(ids.len(), deck.cards.len(), "each card has a name of its own");
    for (file, text) in all::PROFILES {
        let profile = read_profile(file, text).unwrap();
        let lane = LANES.iter().find(|lane| profile.id.as_str() == lane.profile);
        // A door is watched by a contact, which has no simulator.
        let contact = profile.id.as_str() == "door-watch";
        assert_eq!(lane.is_none(), profile.console || profile.start.only_in_party || contact, "{file}");
        let Some(lane) = lane else { continue };
        let cards = deck.cards.iter().filter(|card| card.lane == lane.id).count();
        // An emergency opens at the push of a button, and for everybody.
        assert!(cards >= 2 || lane.profile == "emergency", "{}: {cards}", lane.id);
    }
    // Those whose cards stand in tables; the others are played by browsers.
    for (lane, played) in PLAYS.into_iter().skip(3).chain([("event-1", EVENT)]) {
        let outcomes: BTreeSet<&str> = played.iter().map(|(.., outcome)| *outcome).collect();
        assert!(outcomes.contains("ADMIT") && outcomes.len() > 1, "{lane}");
    }
    let played: BTreeSet<&str> =
        PLAYS.iter().flat_map(|(_, played)| *played).chain(EVENT).map(|(card, ..)| *card).collect();
    let things =
        ["tube-1", "delivery-tube-1", "delivery-tube-2", "delivery-tube-3", "store-item", "park-card"];
    let rest: Vec<&str> =
        rows().into_keys().filter(|id| !played.contains(id) && !things.contains(id)).collect();
    assert_eq!(rest, [""; 0], "cards that nobody has played");
}

#[test]
fn a_gateway_can_run_all_lanes_of_a_pack() {
    let folder = tempfile::tempdir().unwrap();
    let officers = officers().unwrap();
    for pack in packs() {
        let lanes: Vec<_> = pack.lanes.iter().map(|(lane, _)| *lane).collect();
        let file = folder.path().join("kakou.toml");
        std::fs::write(&file, configuration(1_883, 0, &officers, &lanes)).unwrap();
        let settings = config::load(&file).unwrap();
        assert_eq!(settings.lanes.len(), lanes.len());
        assert!(!first_of(pack.id).unwrap().is_empty());
    }
    let lanes: usize = packs().iter().map(|pack| pack.lanes.len()).sum();
    assert_eq!(lanes, LANES.len(), "each lane is in one pack");
    assert_eq!(first_of("2020"), None);
    let titles: BTreeSet<&str> =
        packs().iter().flat_map(|pack| &pack.lanes).map(|(_, title)| &*title.zh).collect();
    assert_eq!(titles.len(), LANES.len(), "no two lanes are called alike: {titles:?}");
}

#[test]
fn the_camera_of_a_lane_sees_every_photograph_that_its_profile_wants() {
    for (file, text) in all::PROFILES {
        let profile = read_profile(file, text).unwrap();
        for step in &profile.steps {
            let StepKind::Photo(photo) = &step.kind else { continue };
            let unseen = photo.roles.iter().find(|role| !ROLES.iter().any(|(seen, _)| role.value == *seen));
            assert!(unseen.is_none(), "{file}: {unseen:?}");
        }
    }
}
