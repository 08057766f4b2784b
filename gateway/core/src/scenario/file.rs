//! Reads a scenario file: what stands before the first `do`, and the acts in their order.

use super::form::{FurtherForm, PassForm, ScenarioForm, SlotForm};
use super::passes;
use super::verb::{self, Act};
use super::when;
use super::words::{self, Term};
use crate::ids::LaneId;
use crate::lane::PLACE;
use crate::pass::trust::TrustFile;
use crate::text::line_at;
use crate::time::WallMs;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use toml::{Spanned, Value};

/// Why a file cannot be played.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{file}:{line}: {what}")]
pub struct Mistake {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what is allowed.
    pub what: String,
}

/// A lane of the file.
#[derive(Debug, Clone)]
pub(super) struct LaneOf {
    pub id: LaneId,
    /// The profile as the file names it.
    pub profile: String,
    pub place: String,
    pub line: usize,
}

/// What a file says of one list.
#[derive(Debug, Clone, Default)]
pub(super) struct ListOf {
    pub stale: bool,
    /// By line and id.
    pub entries: Vec<(usize, String, Map<String, Json>)>,
}

/// A pass to be signed.
#[derive(Debug, Clone)]
pub(super) struct PassOf {
    pub line: usize,
    pub kind: String,
    pub id: String,
    pub nbf_ms: WallMs,
    pub exp_ms: WallMs,
    pub sign: Sign,
    pub result: String,
    pub sampled_ms: WallMs,
    /// As the wire names them.
    pub fields: Map<String, Json>,
}

/// How a pass is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Good,
    /// By another key than the one that it names.
    Wrong,
    /// By a key that no list has.
    Unknown,
    /// By a key that may sign something else.
    OtherUsage,
    /// By a key of another region.
    OtherRegion,
}

/// A slot that was taken before the file begins.
#[derive(Debug, Clone)]
pub(super) struct SlotOf {
    pub line: usize,
    pub register: String,
    pub key: String,
    pub holder: String,
    pub since_ms: WallMs,
    pub until_ms: Option<WallMs>,
    pub given_back_ms: Option<WallMs>,
    pub amount: i64,
    pub data: Map<String, Json>,
    pub lane: Option<LaneId>,
}

/// Something that is known, and cannot be played yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotBuilt {
    pub line: usize,
    pub what: String,
}

/// A scenario, read.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub(super) file: String,
    /// What it shows.
    pub title: String,
    pub(super) clock_ms: WallMs,
    pub(super) utc_offset_ms: i64,
    pub(super) synced: bool,
    pub(super) region: String,
    /// The first one is that of the file itself.
    pub(super) lanes: Vec<LaneOf>,
    pub(super) lists: BTreeMap<String, ListOf>,
    pub(super) passes: BTreeMap<String, PassOf>,
    pub(super) slots: Vec<SlotOf>,
    pub(super) not_built: Option<NotBuilt>,
    pub(super) acts: Vec<Act>,
    /// Every text in it, for whoever must find out what a hash stands for.
    pub(super) texts: Vec<String>,
}

/// The text that is read, for the lines of errors; and the first thing in it that is not built.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
    not_built: Option<NotBuilt>,
}

impl Source<'_> {
    pub fn line(&self, offset: usize) -> usize {
        line_at(self.text.as_bytes(), offset)
    }

    pub fn mistake(&self, line: usize, what: impl Into<String>) -> Mistake {
        Mistake { file: self.file.to_owned(), line, what: what.into() }
    }

    /// Goes on with a known word, remembers one that is to come, and refuses any other.
    pub fn term(&mut self, line: usize, what: &str, name: &str, term: Term) -> Result<(), Mistake> {
        match term {
            Term::Known => Ok(()),
            Term::ToCome => {
                self.postpone(line, format!("{what} `{name}`"));
                Ok(())
            }
            Term::Mistake(allowed) => {
                Err(self.mistake(line, format!("there is no {what} `{name}`; allowed: {allowed}")))
            }
        }
    }

    /// Remembers what cannot be played yet.
    pub fn postpone(&mut self, line: usize, what: impl Into<String>) {
        self.not_built.get_or_insert(NotBuilt { line, what: what.into() });
    }
}

/// Reads a scenario file; `file` stands in errors.
pub fn read(file: &str, text: &str) -> Result<Scenario, Mistake> {
    let mut source = Source { file, text, not_built: None };
    let form: ScenarioForm = toml::from_str(text).map_err(|e| {
        let line = source.line(e.span().map_or(0, |s| s.start));
        source.mistake(line, e.message())
    })?;
    let clock_line = source.line(form.clock.span().start);
    let clock = form.clock.get_ref();
    let clock = clock.as_str().map_or_else(|| clock.to_string(), str::to_owned);
    let (clock_ms, utc_offset_ms) = when::clock(&clock).map_err(|e| source.mistake(clock_line, e))?;
    let (mut id, mut region) = ("lane-1".to_owned(), "211400".to_owned());
    let mut id_line = clock_line;
    let mut place = None;
    if let Some(lane) = form.lane {
        if let Some(named) = lane.id {
            id_line = source.line(named.span().start);
            id = named.into_inner();
        }
        region = lane.region.unwrap_or(region);
        place = lane.place;
    }
    let first = LaneOf {
        id: LaneId::new(id).map_err(|e| source.mistake(id_line, e.to_string()))?,
        line: source.line(form.profile.span().start),
        profile: form.profile.into_inner(),
        place: place.unwrap_or_else(|| PLACE.to_owned()),
    };
    let mut lanes = vec![first];
    for (name, further) in form.lanes {
        let lane = further_lane(&source, &name, &further)?;
        if lane.id == lanes[0].id {
            return Err(source.mistake(lane.line, format!("there are two lanes `{name}`")));
        }
        lanes.push(lane);
    }
    let mut lists = BTreeMap::new();
    for (name, entries) in &form.lists {
        lists.insert(name.clone(), list(&mut source, name, entries, clock_ms)?);
    }
    let mut passes = BTreeMap::new();
    for (name, pass) in form.passes {
        let line = source.line(pass.span().start);
        passes.insert(name.clone(), read_pass(&mut source, line, &name, pass.into_inner(), clock_ms)?);
    }
    let mut slots = Vec::new();
    for slot in form.slot {
        let line = source.line(slot.span().start);
        slots.push(read_slot(&source, line, slot.into_inner(), clock_ms)?);
    }
    let mut acts = Vec::new();
    // What an act cannot do yet is said when the play comes to it.
    let before = source.not_built.take();
    for act in form.acts {
        let line = source.line(act.span().start);
        let body = text.lines().skip(line).map(str::trim).take_while(|body| !body.starts_with("[["));
        let said: Vec<&str> = body.filter(|body| !body.is_empty() && !body.starts_with('#')).collect();
        let act = verb::read(&mut source, line, act.into_inner(), clock_ms)?;
        acts.push(Act { said: said.join("; "), ..act });
    }
    let scenario = Scenario {
        file: file.to_owned(),
        title: form.title,
        clock_ms,
        utc_offset_ms,
        synced: form.clock_synced,
        region,
        lanes,
        lists,
        passes,
        slots,
        not_built: before,
        acts,
        texts: toml::from_str::<Value>(text).map(|all| texts(&all)).unwrap_or_default(),
    };
    scenario.names_are_known(&source)?;
    Ok(scenario)
}

impl Source<'_> {
    /// What was found to come since this was asked last.
    pub fn postponed(&mut self) -> Option<NotBuilt> {
        self.not_built.take()
    }
}

impl Scenario {
    /// The name of the file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The profile as the file names it.
    pub fn profile(&self) -> &str {
        &self.lanes[0].profile
    }

    /// Its lanes, the one of acts that name none first: id, profile as the file names it, and what each guards.
    pub fn lanes(&self) -> impl Iterator<Item = (&LaneId, &str, &str)> {
        self.lanes.iter().map(|lane| (&lane.id, lane.profile.as_str(), lane.place.as_str()))
    }

    /// The region of its gateway.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether its clock can be trusted.
    pub const fn synced(&self) -> bool {
        self.synced
    }

    /// The keys that its lanes trust.
    pub fn trust(&self) -> TrustFile {
        passes::trust_file(self.clock_ms, &self.region)
    }

    /// Every lane and pass that is named is there.
    fn names_are_known(&self, source: &Source<'_>) -> Result<(), Mistake> {
        let lanes = || self.lanes.iter().map(|l| l.id.as_str()).collect::<Vec<_>>().join(", ");
        let named = self.slots.iter().filter_map(|s| Some((s.line, s.lane.as_ref()?)));
        let named = named.chain(self.acts.iter().filter_map(|a| Some((a.line, a.lane.as_ref()?))));
        for (line, id) in named {
            if !self.lanes.iter().any(|l| l.id == *id) {
                return Err(source.mistake(line, format!("there is no lane `{id}`; there are: {}", lanes())));
            }
        }
        let mut keys: Vec<(usize, &str)> = self.slots.iter().map(|s| (s.line, s.key.as_str())).collect();
        let revoked = self.lists.get("revocation").into_iter().flat_map(|list| &list.entries);
        keys.extend(revoked.map(|(line, key, _)| (*line, key.as_str())));
        keys.extend(self.acts.iter().flat_map(|a| a.passes().into_iter().map(|key| (a.line, key))));
        for (line, key) in keys {
            let Some(name) = key.strip_prefix('@') else { continue };
            if !self.passes.contains_key(name) {
                let known: Vec<&str> = self.passes.keys().map(String::as_str).collect();
                let what = format!("there is no [passes.{name}]; there are: {}", known.join(", "));
                return Err(source.mistake(line, what));
            }
        }
        Ok(())
    }
}

/// The texts of a value, and the names in it.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Table(all) => {
            all.iter().flat_map(|(name, value)| std::iter::once(name.clone()).chain(texts(value))).collect()
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => Vec::new(),
    }
}

fn further_lane(source: &Source<'_>, name: &str, form: &Spanned<FurtherForm>) -> Result<LaneOf, Mistake> {
    let line = source.line(form.span().start);
    let id = LaneId::new(name).map_err(|e| source.mistake(line, e.to_string()))?;
    let place = form.get_ref().place.clone().unwrap_or_else(|| PLACE.to_owned());
    Ok(LaneOf { id, profile: form.get_ref().profile.clone(), place, line })
}

fn list(
    source: &mut Source<'_>,
    name: &str,
    entries: &BTreeMap<String, Spanned<Value>>,
    clock_ms: WallMs,
) -> Result<ListOf, Mistake> {
    let mut out = ListOf::default();
    let first = entries.values().map(|v| source.line(v.span().start)).min().unwrap_or(1);
    source.term(first, "list", name, words::list(name))?;
    for (id, value) in entries {
        let line = source.line(value.span().start);
        match (id.as_str(), value.get_ref()) {
            ("stale", Value::Boolean(stale)) => out.stale = *stale,
            (_, Value::Table(facts)) => {
                if let Some(why) = words::no_entries(name) {
                    return Err(source.mistake(line, why));
                }
                let facts = entry(facts);
                resolved(&facts, clock_ms).map_err(|e| source.mistake(line, e))?;
                out.entries.push((line, id.clone(), facts));
            }
            (_, other) => {
                let what = format!(
                    "`{id} = {other}`: a list has entries, as in [lists.{name}.\"KEY\"], and `stale`"
                );
                return Err(source.mistake(line, what));
            }
        }
    }
    Ok(out)
}

/// An entry as JSON; its times are still as they were written.
pub(super) fn entry(facts: &toml::map::Map<String, Value>) -> Map<String, Json> {
    facts.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

fn json(value: &Value) -> Json {
    match value {
        Value::String(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Boolean(flag) => Json::from(*flag),
        Value::Datetime(at) => Json::from(at.to_string()),
        Value::Array(all) => all.iter().map(json).collect(),
        Value::Table(all) => Json::Object(entry(all)),
    }
}

/// An entry whose times are numbers.
pub(super) fn resolved(facts: &Map<String, Json>, beside: WallMs) -> Result<Map<String, Json>, String> {
    let one = |(name, value): (&String, &Json)| {
        let value = match value.as_str().filter(|_| name.ends_with("_ms")) {
            Some(text) => Json::from(when::moment(text, beside).map_err(|e| format!("`{name}`: {e}"))?),
            None => value.clone(),
        };
        Ok((name.clone(), value))
    };
    facts.iter().map(one).collect()
}

/// A time of a pass or a slot: a number, or a text.
pub(super) fn moment(value: Option<&Value>, absent: &str, beside: WallMs) -> Result<WallMs, String> {
    match value {
        None => when::moment(absent, beside),
        Some(Value::Integer(ms)) => Ok(*ms),
        Some(value) => match value.as_str() {
            Some(text) => when::moment(text, beside),
            None => when::moment(&value.to_string(), beside),
        },
    }
}

fn read_pass(
    source: &mut Source<'_>,
    line: usize,
    name: &str,
    form: PassForm,
    clock_ms: WallMs,
) -> Result<PassOf, Mistake> {
    source.term(line, "kind of pass", &form.kind, words::pass_kind(&form.kind))?;
    let at = |value: &Option<Value>, absent: &str| moment(value.as_ref(), absent, clock_ms);
    let wrong = |e: String| source.mistake(line, e);
    let sign = match form.sign.as_deref().unwrap_or("good") {
        "good" => Sign::Good,
        "wrong" => Sign::Wrong,
        "unknown" => Sign::Unknown,
        "other-usage" => Sign::OtherUsage,
        "other-region" => Sign::OtherRegion,
        other => {
            let allowed = "good, wrong, unknown, other-usage, other-region";
            return Err(wrong(format!("there is no signature `{other}`; allowed: {allowed}")));
        }
    };
    let (nbf_ms, exp_ms) = (at(&form.nbf, "-1h").map_err(wrong)?, at(&form.exp, "+24h").map_err(wrong)?);
    let sampled_ms = at(&form.sampled, "-10h").map_err(wrong)?;
    let fields = super::passes::fields(name, &form).map_err(wrong)?;
    let result = form.result.unwrap_or_else(|| "negative".into());
    if !["negative", "positive", "pending"].contains(&result.as_str()) {
        let what = format!("`{result}` is no result of a test; allowed: negative, positive, pending");
        return Err(source.mistake(line, what));
    }
    Ok(PassOf {
        line,
        id: form.id.unwrap_or_else(|| name.to_owned()),
        kind: form.kind,
        nbf_ms,
        exp_ms,
        sign,
        result,
        sampled_ms,
        fields,
    })
}

fn read_slot(source: &Source<'_>, line: usize, form: SlotForm, clock_ms: WallMs) -> Result<SlotOf, Mistake> {
    let at = |name: &str, value: Option<&Value>| {
        moment(value, "-1h", clock_ms).map_err(|e| source.mistake(line, format!("`{name}`: {e}")))
    };
    let since_ms = at("since", form.since.as_ref())?;
    let until_ms = form.until.as_ref().map(|until| at("until", Some(until))).transpose()?;
    let given_back_ms = form.given_back.as_ref().map(|back| at("given_back", Some(back))).transpose()?;
    if given_back_ms.is_some_and(|back| back < since_ms) {
        return Err(source
            .mistake(line, "`given_back` lies before `since`, which is an hour ago where nothing is said"));
    }
    let lane = form.lane.map(LaneId::new).transpose().map_err(|e| source.mistake(line, e.to_string()))?;
    let holder = form.holder.unwrap_or_default();
    Ok(SlotOf {
        line,
        register: form.register,
        key: form.key,
        holder,
        since_ms,
        until_ms,
        given_back_ms,
        amount: form.amount,
        data: entry(&form.data),
        lane,
    })
}
