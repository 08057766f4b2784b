//! The lists that offices send, one table: what each is looked up by, what its entries say, and when it is too old.
//!
//! Feeds, stores, profiles and facts take names, fields and types from here. What a field of each type must be says
//! [`crate::entry`].

use crate::entry::Is::{Days, End, Flag, Hours, Level, Moment, Number, Text, Texts, Uses, Word};
use crate::entry::{Fact, Is};

pub mod form;

/// What a list is looked up by where a profile does not say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUp {
    /// By this fact.
    Fact(&'static str),
    /// By key and id of a signed pass.
    Pass,
    /// By what the profile says.
    Said,
    /// No lane looks into it: it is for the gateway.
    Nobody,
}

/// What the keys of a list are, to a step that waits for the code of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Ids of people, and of the cards, passes and tickets that they carry.
    People,
    /// Codes of things: bags, racks, items.
    Things,
    /// Names of something else, or plates.
    Others,
}

/// A list.
#[derive(Debug, PartialEq)]
pub struct List {
    /// Its name.
    pub name: &'static str,
    /// What it is looked up by.
    pub by: LookUp,
    /// After so many hours it is too old.
    pub stale_h: i64,
    /// Whether it stops those who are on it. That somebody is on it says nothing of whether they are known.
    pub stops: bool,
    /// What its keys are.
    pub keys: Keys,
    /// The fields of its entries.
    pub fields: &'static [Fact],
}

/// A list is too old after a day, where nothing else is said.
pub const DAY_H: i64 = 24;
const WEEK_H: i64 = 168;
const MONTH_H: i64 = 720;

const SUBJECT: LookUp = LookUp::Fact("pass.subject");
const PLATE: LookUp = LookUp::Fact("answers.plate");

const COLOURS: Is = Word(&["green", "yellow", "red"]);
const RESULTS: Is = Word(&["negative", "positive", "pending"]);
const CATEGORIES: Is = Word(&["emergency-supplies", "emergency-bulk", "resident-car", "transit"]);
const ROLES: Is = Word(&["staff", "inpatient", "companion", "worker", "resident"]);

const fn list(name: &'static str, by: LookUp, fields: &'static [Fact]) -> List {
    List { name, by, stale_h: DAY_H, stops: false, keys: Keys::Others, fields }
}
const fn of_people(of: List) -> List {
    List { keys: Keys::People, ..of }
}
const fn of_things(of: List) -> List {
    List { keys: Keys::Things, ..of }
}
const fn old_after(stale_h: i64, of: List) -> List {
    List { stale_h, ..of }
}
const fn stops(of: List) -> List {
    List { stops: true, ..of }
}

macro_rules! fields {
    ($list:literal: $($name:literal $is:expr $(, $how:ident)?;)*) => {
        &[$(Fact::new($list, $name, $is)$(.$how())?,)*]
    };
}

/// Every list.
pub const LISTS: &[List] = &[
    list("trust", LookUp::Nobody, &[]),
    of_people(list(
        "status",
        SUBJECT,
        fields! { "status":
            "name" Text, of_a_person;
            "group" Text, shown;
            "colour" COLOURS;
            "test_result" RESULTS;
            "sampled_at_ms" Moment;
            "reported_at_ms" Moment;
            "risk_area" Flag;
            "out_of_city" Flag;
        },
    )),
    of_people(list(
        "pass",
        SUBJECT,
        fields! { "pass":
            "nbf_ms" Moment;
            "exp_ms" End;
            "plate" Text;
            "category" CATEGORIES;
            "from" Text;
            "to" Text;
            "patient" Text;
            "ward" Text;
            "role" Text;
            "company" Text;
            "crew" Number;
            "uses" Uses;
            "approvals" Texts;
            "class" Word(&["year", "day", "trip"]);
            "gates" Texts;
        },
    )),
    stops(list("revocation", LookUp::Pass, &[])),
    stops(of_people(list("hold", SUBJECT, fields! { "hold": "until_ms" End; }))),
    of_people(list(
        "roster",
        SUBJECT,
        fields! { "roster":
            "name" Text, of_a_person;
            "ward" Text;
            "patient" Text;
            "room" Text;
            "company" Text;
            "shift" Text;
            "role" ROLES;
            "beds" Number;
            "until_ms" End;
        },
    )),
    of_people(list(
        "release",
        SUBJECT,
        fields! { "release":
            "from_ms" Moment;
            "to" Text;
            "by" Text;
        },
    )),
    // A profile is its text; what else a pack holds is a file.
    list("policy", LookUp::Nobody, fields! { "policy": "toml" Text; "file" Text; }),
    list(
        "seals",
        PLATE,
        fields! { "seals":
            "seals" Texts;
            "exit" Text;
            "pass" Text;
            "category" Text;
            "from" Text;
            "to" Text;
            "crew" Number;
            "sealed_at_ms" Moment;
            "deadline_ms" End;
        },
    ),
    of_people(list(
        "bookings",
        SUBJECT,
        fields! { "bookings":
            "from_ms" Moment, required;
            "to_ms" End, required;
            "place" Text;
            "host" Text;
            "plate" Text;
            "carrier" Text;
            "container_in" Text;
            "container_out" Text;
            "seals_in" Texts;
            "seals_out" Texts;
            "reentry" Flag;
        },
    )),
    of_people(list(
        "reports",
        SUBJECT,
        fields! { "reports":
            "from" Text;
            "unit" Text;
            "risk" Word(&["low", "medium", "high"]);
            "arrive_ms" Moment;
        },
    )),
    of_people(list(
        "results",
        SUBJECT,
        fields! { "results":
            "test_result" RESULTS;
            "sampled_at_ms" Moment;
            "reported_at_ms" Moment;
            "lab" Text;
        },
    )),
    of_people(list(
        "patients",
        LookUp::Fact("pass.patient"),
        fields! { "patients":
            "name" Text, of_a_person;
            "ward" Text;
            "room" Text;
            "state" Word(&["admitted", "discharged", "cancelled"]);
            "restriction" Word(&["none", "isolation", "no-visitors", "do-not-disturb"]);
            "limit" Number;
        },
    )),
    old_after(
        MONTH_H,
        list(
            "schedule",
            LookUp::Said,
            fields! { "schedule":
                "open" Hours;
                "closed" Days;
                "limit" Number;
            },
        ),
    ),
    old_after(
        WEEK_H,
        list(
            "stages",
            PLATE,
            fields! { "stages":
                "stage" Level(6);
                "fuel" Word(&["diesel", "petrol", "gas", "electric"]);
            },
        ),
    ),
    old_after(
        WEEK_H,
        of_people(list(
            "children",
            SUBJECT,
            fields! { "children":
                "children" Texts;
                "names" Texts, of_a_person;
                "note" Text, of_a_person;
            },
        )),
    ),
    of_people(list(
        "certificates",
        SUBJECT,
        fields! { "certificates":
            "kind" Word(&["health", "training", "wash"]);
            "exp_ms" End;
            "plate" Text;
            "station" Text;
            "washed_at_ms" Moment;
        },
    )),
    of_things(list(
        "bags",
        SUBJECT,
        fields! { "bags":
            "source" Text;
            "type" Text;
            "grams" Number;
            "packed_at_ms" Moment;
        },
    )),
    of_things(list(
        "deliveries",
        SUBJECT,
        fields! { "deliveries":
            "tubes" Texts;
            "site" Text;
            "courier" Text;
        },
    )),
    old_after(
        MONTH_H,
        of_things(list(
            "items",
            LookUp::Fact("answers.item"),
            fields! { "items":
                "name" Text;
                "unit" Text;
                "min" Number;
            },
        )),
    ),
    // What idle public screens show, each from its beginning to its end.
    old_after(
        MONTH_H,
        list(
            "notices",
            LookUp::Nobody,
            fields! { "notices":
                "zh" Text, required;
                "en" Text, required;
                "from_ms" Moment, required;
                "to_ms" End, required;
                "lanes" Texts;
            },
        ),
    ),
];

/// A list by its name.
pub fn find(name: &str) -> Option<&'static List> {
    LISTS.iter().find(|list| list.name == name)
}

/// Those that a lane can look into.
pub fn looked_into() -> impl Iterator<Item = &'static List> {
    LISTS.iter().filter(|list| list.by != LookUp::Nobody)
}

impl List {
    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<&'static Fact> {
        self.fields.iter().find(|fact| fact.name == name)
    }

    /// Hours after which it is too old in a lane whose profile has this limit: the limit is for lists of the day. One
    /// that counts longer is never too old before its own time.
    pub fn stale_after(&self, of_profile_h: i64) -> i64 {
        if self.stale_h == DAY_H { of_profile_h } else { self.stale_h.max(of_profile_h) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::facts::{self, Type};
    use std::collections::BTreeSet;

    #[test]
    fn every_list_and_every_field_of_it_stands_once() {
        let names: BTreeSet<&str> = LISTS.iter().map(|list| list.name).collect();
        assert_eq!(names.len(), LISTS.len());
        for list in LISTS {
            let fields: BTreeSet<&str> = list.fields.iter().map(|fact| fact.name).collect();
            assert_eq!(fields.len(), list.fields.len(), "{}", list.name);
            assert!(list.fields.iter().all(|fact| fact.list == list.name), "{}", list.name);
            assert!(!fields.contains("known") && !fields.contains("stale"), "{}: these are facts", list.name);
        }
    }

    #[test]
    fn a_list_of_the_day_goes_by_the_profile_and_one_of_a_week_lives_at_least_a_week() {
        let after = |name: &str, hours| find(name).unwrap().stale_after(hours);
        assert_eq!((after("status", 24), after("status", 6), after("status", 48)), (24, 6, 48));
        assert_eq!((after("children", 24), after("stages", 200)), (168, 200));
        assert_eq!((after("schedule", 24), after("items", 6)), (720, 720));
    }

    #[test]
    fn what_a_list_is_looked_up_by_is_a_text() {
        for list in LISTS {
            match list.by {
                LookUp::Fact(path) if path.starts_with("answers.") => {}
                LookUp::Fact(path) => {
                    let (group, name) = path.split_once('.').unwrap();
                    assert_eq!(facts::find(group, name).unwrap().of, Type::Text, "{path}");
                }
                LookUp::Pass | LookUp::Said | LookUp::Nobody => {}
            }
        }
    }
}
