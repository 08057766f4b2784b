//! The facts that expressions may ask: one table with their types, who makes them, and what they are while nothing
//! has made them. An expression then never fails at the gate for want of a fact.
//!
//! Each kind of step holds the rows of what it makes; here are those that are there from the start.

use crate::lane::step::{About, KINDS};
use crate::lists::{self, List};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The type of a fact or of a part of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number.
    Number,
    /// A number with a fraction.
    Decimal,
    /// Text.
    Text,
    /// A list of texts.
    Texts,
}

impl Type {
    /// As errors name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Number => "a whole number",
            Self::Decimal => "a number",
            Self::Text => "a text",
            Self::Texts => "a list of texts",
        }
    }
    /// The value while nothing has made the fact.
    pub fn empty(self) -> Value {
        match self {
            Self::Bool => json!(false),
            Self::Number => json!(0),
            Self::Decimal => json!(0.0),
            Self::Text => json!(""),
            Self::Texts => json!([]),
        }
    }
    /// Whether a value is of this type.
    pub(crate) fn holds(self, value: &Value) -> bool {
        match self {
            Self::Bool => value.is_boolean(),
            Self::Number => value.is_i64() || value.is_u64(),
            Self::Decimal => value.is_number(),
            Self::Text => value.is_string(),
            Self::Texts => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
        }
    }
}

/// The value of a fact that nothing has made. There is always one: whoever writes a rule need not ask whether a step
/// was left out.
#[derive(Debug, Clone, Copy, PartialEq)]
enum LeftOut {
    /// Nothing, as its type has it: false, 0, an empty text, no texts.
    Empty,
    /// A word.
    Word(&'static str),
    /// A number with a fraction.
    Decimal(f64),
    /// It is never left out.
    Never,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fact {
    /// The group and the name, as expressions have them.
    pub path: &'static str,
    /// Its type.
    pub of: Type,
    left_out: LeftOut,
}

impl Fact {
    /// One that is nothing while nobody has made it.
    pub const fn new(path: &'static str, of: Type) -> Self {
        Self { path, of, left_out: LeftOut::Empty }
    }
    /// A text that is a word of its own then.
    pub const fn word(path: &'static str, left_out: &'static str) -> Self {
        Self { path, of: Type::Text, left_out: LeftOut::Word(left_out) }
    }
    /// A number with a fraction that is another than 0 then.
    pub const fn decimal(path: &'static str, left_out: f64) -> Self {
        Self { path, of: Type::Decimal, left_out: LeftOut::Decimal(left_out) }
    }
    /// One that every visit has.
    const fn always(path: &'static str, of: Type) -> Self {
        Self { path, of, left_out: LeftOut::Never }
    }
    /// Its group.
    pub fn group(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(group, _)| group)
    }
    /// Its name in the group.
    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(_, name)| name)
    }
    /// The value while nothing has made it.
    pub fn left_out(&self) -> Value {
        match self.left_out {
            LeftOut::Empty | LeftOut::Never => self.of.empty(),
            LeftOut::Word(word) => json!(word),
            LeftOut::Decimal(number) => json!(number),
        }
    }
}

/// The group whose facts are the answers to the questions of a profile, each under the id of its step.
pub const ANSWERS: &str = "answers";

/// The group of what the entries of lists say, each under the name of its list.
pub const ENTRY: &str = "entry";

/// Whether the list has an entry.
pub const KNOWN: &str = "known";
/// Whether the list is too old, or not there.
pub const STALE: &str = "stale";
/// Whether it is open now, by the entry of [`SCHEDULE`].
pub const OPEN_NOW: &str = "open_now";
/// The list of opening hours.
pub const SCHEDULE: &str = "schedule";
/// The group of who has signed, each under the id of its `confirm` step, in the order of signing.
pub const SIGNERS: &str = "signers";

/// The group of what is known of the visit itself.
pub const VISIT: &str = "visit";

/// The group of what the code says.
pub const PASS: &str = "pass";

/// The group of what registers hold, each under its name.
pub const REGISTER: &str = "register";

/// What may be asked of each register.
const OF_REGISTER: [(&str, Type); 11] = [
    ("held", Type::Number),
    ("limit", Type::Number),
    ("free", Type::Number),
    ("mine", Type::Bool),
    ("was_held", Type::Bool),
    ("was_mine", Type::Bool),
    ("last_other", Type::Bool),
    ("since_h", Type::Decimal),
    ("until_h", Type::Decimal),
    ("amount", Type::Number),
    ("last_lane", Type::Text),
];
/// What a put has noted, each under its name.
const DATA: &str = "data";

/// What is there before any step: where, when, and what kind of code begins the visit. What it says comes with `verify`.
const START: &[Fact] = &[
    Fact::always("lane.id", Type::Text),
    Fact::always("lane.region", Type::Text),
    // What several lanes guard together: a ward, a zone, a works.
    Fact::always("lane.place", Type::Text),
    Fact::always("visit.id", Type::Number),
    // Of the moment at which it is asked.
    Fact::new("visit.now_ms", Type::Number),
    Fact::always("visit.direction", Type::Text),
    Fact::new("visit.day", Type::Text),
    Fact::always("visit.origin", Type::Text),
    Fact::new("visit.input", Type::Text),
    Fact::new("visit.parent", Type::Number),
    Fact::new("pass.format", Type::Text),
    Fact::new("pass.kind", Type::Text),
    Fact::new("pass.id", Type::Text),
    Fact::new("pass.subject", Type::Text),
];

/// The whole table: who makes each, and the fact; what is there from the start nobody makes.
pub fn table() -> impl Iterator<Item = (Option<&'static About>, &'static Fact)> {
    let made = KINDS.iter().flat_map(|about| about.facts.iter().map(|fact| (Some(*about), fact)));
    START.iter().map(|fact| (None, fact)).chain(made)
}

/// The groups of facts, in the order of the table.
pub fn groups() -> Vec<&'static str> {
    let mut all = Vec::new();
    for group in table().map(|(_, fact)| fact.group()).chain([ENTRY, ANSWERS, SIGNERS, REGISTER]) {
        if !all.contains(&group) {
            all.push(group);
        }
    }
    all
}

/// The facts of a group; of answers there are none here.
fn of_group(group: &str) -> impl Iterator<Item = (Option<&'static About>, &'static Fact)> {
    table().filter(move |(_, fact)| fact.group() == group)
}

/// A fact by its group and its name.
pub fn find(group: &str, name: &str) -> Option<&'static Fact> {
    of_group(group).map(|(_, fact)| fact).find(|fact| fact.name() == name)
}

/// A group while nothing has made it.
pub fn unmade(group: &str) -> Map<String, Value> {
    of_group(group).map(|(_, fact)| (fact.name().to_owned(), fact.left_out())).collect()
}

/// All groups but the answers, while nothing has made them.
pub fn all_unmade() -> Map<String, Value> {
    let mut all: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (_, fact) in table() {
        all.entry(fact.group()).or_default().insert(fact.name().to_owned(), fact.left_out());
    }
    all.into_iter().map(|(group, facts)| (group.to_owned(), Value::Object(facts))).collect()
}

/// The facts of the entries of a list: the name and the type of each, and its value while nothing has made it.
pub fn of_entry(list: &List) -> impl Iterator<Item = (&'static str, Type, Value)> + use<> {
    let open = (list.name == SCHEDULE).then_some((OPEN_NOW, Type::Bool, json!(true)));
    let of_all = [KNOWN, STALE].map(|name| (name, Type::Bool, json!(false)));
    of_all
        .into_iter()
        .chain(open)
        .chain(list.fields.iter().map(|fact| (fact.name, fact.of(), fact.value(None))))
}

/// The first fact of a group that is not there or not of its type.
pub(crate) fn misfit(group: &str, facts: &Map<String, Value>) -> Option<&'static str> {
    let misfits = |fact: &&Fact| !facts.get(fact.name()).is_some_and(|value| fact.of.holds(value));
    of_group(group).map(|(_, fact)| fact).find(misfits).map(|fact| fact.path)
}

/// What an expression at some place of a profile may ask.
#[derive(Debug, Clone, Default)]
pub struct FactScope {
    /// The kinds of the earlier steps, by their words.
    pub made_by: BTreeSet<&'static str>,
    /// The answers to earlier questions, each by its path below `answers`: `ID`, or `ID.given`.
    pub answers: BTreeMap<String, Type>,
    /// The earlier `confirm` steps.
    pub signers: BTreeSet<String>,
    /// The lists that an earlier `verify` names.
    pub lists: BTreeSet<String>,
    /// The registers of the profile.
    pub registers: BTreeSet<String>,
}

/// Why a profile cannot ask a fact.
#[derive(Debug, PartialEq, Eq)]
pub enum Unknown {
    /// There is no such group.
    Group,
    /// The group has no such fact; these it has.
    Name(String),
    /// It is asked of a fact, which has no parts.
    Value(String),
    /// No earlier step makes it; those of this kind do.
    NotMade(&'static str),
    /// No earlier `verify` looks into this list.
    NotLookedUp(String),
}

impl FactScope {
    /// The type of a fact that may be asked here.
    pub fn find(&self, path: &[&str]) -> Result<Type, Unknown> {
        let [group, names @ ..] = path else { return Err(Unknown::Group) };
        if *group == ANSWERS {
            let found = self.answers.get(&names.join(".")).copied();
            return found.ok_or_else(|| match names {
                [first, .., _] if self.answers.contains_key(*first) => {
                    Unknown::Value(format!("{ANSWERS}.{first}"))
                }
                _ => Unknown::Name(self.names(group)),
            });
        }
        if *group == REGISTER {
            return self.of_register(names);
        }
        if *group == ENTRY {
            return self.find_entry(names);
        }
        let [name, rest @ ..] = names else { return Err(Unknown::Name(self.names(group))) };
        if *group == SIGNERS {
            return match rest {
                [] if self.signers.contains(*name) => Ok(Type::Texts),
                [_, ..] if self.signers.contains(*name) => Err(Unknown::Value(format!("{SIGNERS}.{name}"))),
                _ => Err(Unknown::Name(self.names(group))),
            };
        }
        let found = of_group(group).find(|(_, fact)| fact.name() == *name);
        match found {
            Some((_, fact)) if !rest.is_empty() => Err(Unknown::Value(fact.path.to_owned())),
            Some((Some(maker), _)) if !self.made_by.contains(maker.name) => Err(Unknown::NotMade(maker.name)),
            Some((_, fact)) => Ok(fact.of),
            None if of_group(group).next().is_none() => Err(Unknown::Group),
            None => Err(Unknown::Name(self.names(group))),
        }
    }

    /// The type of a fact of a register, by its path below `register`.
    fn of_register(&self, names: &[&str]) -> Result<Type, Unknown> {
        let unknown = || Err(Unknown::Name(self.names(REGISTER)));
        let [name, field, rest @ ..] = names else { return unknown() };
        if !self.registers.contains(*name) {
            return unknown();
        }
        match (OF_REGISTER.iter().find(|(known, _)| known == field), rest) {
            (Some((_, of)), []) => Ok(*of),
            (Some(_), [_, ..]) => Err(Unknown::Value(format!("{REGISTER}.{name}.{field}"))),
            (None, [_]) if *field == DATA => Ok(Type::Text),
            (None, [data, _, ..]) if *field == DATA => {
                Err(Unknown::Value(format!("{REGISTER}.{name}.{DATA}.{data}")))
            }
            (None, _) => unknown(),
        }
    }

    /// The type of a fact of an entry, by its path below the group.
    fn find_entry(&self, names: &[&str]) -> Result<Type, Unknown> {
        let [name, names @ ..] = names else { return Err(Unknown::Name(self.names(ENTRY))) };
        let Some(list) = lists::looked_into().find(|list| list.name == *name) else {
            let all: Vec<String> =
                lists::looked_into().map(|list| format!("{ENTRY}.{}", list.name)).collect();
            return Err(Unknown::Name(all.join(", ")));
        };
        if !self.lists.contains(list.name) {
            return Err(Unknown::NotLookedUp(list.name.to_owned()));
        }
        let found = names.first().and_then(|name| of_entry(list).find(|(field, ..)| field == name));
        match (found, names) {
            (Some((_, of, _)), [_]) => Ok(of),
            (Some((field, ..)), _) => Err(Unknown::Value(format!("{ENTRY}.{}.{field}", list.name))),
            (None, _) => Err(Unknown::Name(paths(list).join(", "))),
        }
    }

    /// The paths of a group.
    pub fn names(&self, group: &str) -> String {
        let all: Vec<String> = if group == ANSWERS {
            self.answers.keys().map(|id| format!("{ANSWERS}.{id}")).collect()
        } else if group == REGISTER {
            let fields = || OF_REGISTER.iter().map(|(field, _)| *field).chain(["data.X"]);
            let of = |name: &String| {
                fields().map(move |field| format!("{REGISTER}.{name}.{field}")).collect::<Vec<_>>()
            };
            self.registers.iter().flat_map(of).collect()
        } else if group == ENTRY {
            self.lists.iter().filter_map(|name| lists::find(name)).flat_map(paths).collect()
        } else if group == SIGNERS {
            self.signers.iter().map(|id| format!("{SIGNERS}.{id}")).collect()
        } else {
            of_group(group).map(|(_, fact)| fact.path.to_owned()).collect()
        };
        if all.is_empty() { "none here".into() } else { all.join(", ") }
    }
}

/// The paths of the facts of the entries of a list.
fn paths(list: &List) -> Vec<String> {
    of_entry(list).map(|(field, ..)| format!("{ENTRY}.{}.{field}", list.name)).collect()
}

/// The facts of entries that the expressions of a profile ask, while nothing has made them, by list.
pub(super) fn unmade_entries(asked: &BTreeSet<Vec<String>>) -> Map<String, Value> {
    let mut all = Map::new();
    for list in lists::looked_into() {
        let asks = |field: &str| asked.contains(&[ENTRY, list.name, field].map(str::to_owned)[..]);
        let fields: Map<String, Value> = of_entry(list)
            .filter(|(field, ..)| asks(field))
            .map(|(field, _, left_out)| (field.to_owned(), left_out))
            .collect();
        if !fields.is_empty() {
            all.insert(list.name.to_owned(), Value::Object(fields));
        }
    }
    all
}

/// The page of all facts, for whoever writes a profile.
pub fn page() -> String {
    let row = |path: &str, of: &str, by: &str, left_out: &str| {
        format!("| `{path}` | {of} | {by} | `{left_out}` |\n")
    };
    let mut page = String::from(PAGE_HEAD);
    for (maker, fact) in table() {
        let by = maker.map_or("the start of the visit".to_owned(), |about| format!("`{}`", about.name));
        let never = fact.left_out == LeftOut::Never;
        let left_out = if never { "–".to_owned() } else { fact.left_out().to_string() };
        page.push_str(&row(fact.path, fact.of.as_str(), &by, &left_out));
    }
    for list in lists::looked_into() {
        let by = format!("a `verify` with the list `{}`", list.name);
        for (field, of, left_out) in of_entry(list) {
            let path = format!("{ENTRY}.{}.{field}", list.name);
            page.push_str(&row(&path, of.as_str(), &by, &left_out.to_string()));
        }
    }
    let number = Type::Number.as_str();
    let of = format!(
        "{}; {number} of a number, {} of one with `decimals`, {} of choices",
        Type::Text.as_str(),
        Type::Decimal.as_str(),
        Type::Texts.as_str()
    );
    let left_out = [Type::Text, Type::Number, Type::Texts].map(|of| of.empty().to_string()).join("` or `");
    page.push_str(&row(
        &format!("{ANSWERS}.ID"),
        &of,
        "the `question`, or the field of a `form`, of this id",
        &left_out,
    ));
    let (given, private) =
        (format!("{ANSWERS}.ID.given"), "a private field of a `form`: of the answer there is no more");
    page.push_str(&row(&given, Type::Bool.as_str(), private, &Type::Bool.empty().to_string()));
    let (signers, by) = (format!("{SIGNERS}.ID"), "the `confirm` of this id: who has signed, in that order");
    page.push_str(&row(&signers, Type::Texts.as_str(), by, &Type::Texts.empty().to_string()));
    let unmade = crate::register::unmade();
    for (field, of) in OF_REGISTER {
        let path = format!("{REGISTER}.NAME.{field}");
        page.push_str(&row(&path, of.as_str(), REGISTERS, &unmade[field].to_string()));
    }
    let path = format!("{REGISTER}.NAME.{DATA}.X");
    page.push_str(&row(&path, Type::Text.as_str(), REGISTERS, &Type::Text.empty().to_string()));
    page
}

const REGISTERS: &str = "the `[[register]]` of that name, when its key and its holder are there";

const PAGE_HEAD: &str = "\
# What expressions may ask

`when` of a step and of a rule is CEL over these facts; `kakou profile facts` prints this page. A fact is written
`health.colour` or `health[\"colour\"]`, and only behind a step that makes it. Where that step was left out, or its
device said nothing, the fact has the value of the last column. `kakou profile check FILE` says, with the line, what
no lane would understand: another name, a comparison of different types, a fact that no earlier step makes.

| fact | type | made by | when left out |
| --- | --- | --- | --- |
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::kp1;

    #[test]
    fn every_field_of_a_pass_of_ours_is_a_fact() {
        for kind in kp1::kind_words().filter_map(kp1::kind_of) {
            // Names and pictures of persons are for screens, keys and addresses for the gateway itself.
            let own = ["name", "photo", "key", "url"];
            for field in kp1::field_help(kind).split(", ").map(|f| f.trim_end_matches('?')) {
                let is_fact = of_group("pass").any(|(_, fact)| fact.name() == field);
                assert!(own.contains(&field) || is_fact, "{field}");
            }
        }
    }

    #[test]
    fn the_page_of_facts_is_the_table() {
        let kept = include_str!("../../../profiles/facts.md");
        assert_eq!(kept, page(), "`kakou profile facts > gateway/profiles/facts.md` brings it up to date");
    }

    #[test]
    fn every_fact_stands_once_and_has_a_value_of_its_type_when_its_step_was_left_out() {
        let mut seen = BTreeSet::new();
        for (_, fact) in table() {
            assert!(seen.insert(fact.path), "{} stands twice", fact.path);
            assert!(!fact.name().is_empty() && !fact.name().contains('.'), "{}", fact.path);
            assert!(fact.of.holds(&fact.left_out()), "{} is {}", fact.path, fact.left_out());
            assert_ne!(fact.group(), ANSWERS, "answers are the questions' own");
            assert_ne!(fact.group(), ENTRY, "entries are the lists' own");
        }
        for group in groups().into_iter().filter(|group| ![ANSWERS, SIGNERS, ENTRY, REGISTER].contains(group))
        {
            assert_eq!(misfit(group, &unmade(group)), None);
        }
    }
}
