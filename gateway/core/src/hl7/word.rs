//! What follows from a message: words about entries of `patients` and `roster` that stand above the edition of the list.
//!
//! Of each patient the newest message counts: by its time, and of two with one time the one that came later. A word has
//! all that was said since the edition that it stands above. An edition that is newer takes its place.

use super::{Event, Message, Span};
use crate::time::WallMs;
use serde_json::{Map, Value, json};

/// The lists that messages write.
pub const LISTS: [&str; 2] = ["patients", "roster"];

/// Where an entry says what was told of it, for whoever looks after the list; no lane reads it.
pub const TOLD: &str = "~told";

/// What was told of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The time of the newest message.
    pub span: Span,
    /// How many messages of this very time came before it.
    pub tie: u32,
    /// Fields of the entry, as far as messages said them.
    pub said: Map<String, Value>,
}

impl Word {
    /// Where it stands in the order of all that is told of an entry. What is left of two words of one time and count, at
    /// two gateways, is decided by what they say, so that both come to the same.
    pub fn order(&self) -> (WallMs, u32, WallMs, String) {
        (self.span.at_ms, self.tie, self.span.end_ms, Value::Object(self.said.clone()).to_string())
    }

    /// The one that an entry has in it.
    pub fn of(entry: &Map<String, Value>) -> Option<Self> {
        let told = entry.get(TOLD)?;
        Some(Self {
            span: Span { at_ms: told.get("at")?.as_i64()?, end_ms: told.get("end")?.as_i64()? },
            tie: u32::try_from(told.get("tie")?.as_u64()?).ok()?,
            said: told.get("said")?.as_object()?.clone(),
        })
    }

    /// The entry as it is with what was told: the edition's own, and above it what messages said.
    pub fn above(&self, edition: Option<&Map<String, Value>>) -> Map<String, Value> {
        let mut entry = edition.cloned().unwrap_or_default();
        entry.extend(self.said.clone());
        let Self { span, tie, said } = self;
        entry.insert(TOLD.into(), json!({ "at": span.at_ms, "end": span.end_ms, "tie": tie, "said": said }));
        entry
    }

    /// Whether it is of the form that messages make, and officers who take something back at the duty console: whoever
    /// gets it from elsewhere asks.
    pub fn is_good(&self, list: &str) -> bool {
        let fields: &[&str] = match list {
            "patients" => &["name", "ward", "room", "state"],
            "roster" => &["name", "ward", "room", "role", "patient"],
            // That there is an entry is all that is said.
            "revocation" | "hold" => &[],
            _ => return false,
        };
        let said = |name: &str| self.said.get(name).and_then(Value::as_str);
        let texts = self.said.iter().all(|(name, value)| {
            fields.contains(&name.as_str()) && value.as_str().is_some_and(|t| t.chars().count() <= 128)
        });
        let state = said("state").is_none_or(|s| ["admitted", "discharged", "cancelled"].contains(&s));
        let role = said("role").is_none_or(|role| role == "inpatient");
        let length = self.span.end_ms.checked_sub(self.span.at_ms);
        texts && state && role && length.is_some_and(|ms| (0..60_000).contains(&ms))
    }
}

/// An entry without what was told of it: as lanes and screens read it.
pub fn plain(mut entry: Map<String, Value>) -> Map<String, Value> {
    entry.remove(TOLD);
    entry
}

/// What a store has of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// When the edition in use was issued.
    pub issued_ms: WallMs,
    /// Whether the edition has an entry.
    pub listed: bool,
    /// Whether it, or a word above it, says a state.
    pub stated: bool,
    /// What was told of it since the edition.
    pub word: Option<Word>,
}

impl Standing {
    /// Of an entry of an edition.
    pub fn new(issued_ms: WallMs, entry: Option<&Map<String, Value>>, word: Option<Word>) -> Self {
        let says = |entry: &Map<String, Value>| entry.get("state").is_some_and(|s| s.as_str() != Some(""));
        let stated = entry.is_some_and(says) || word.as_ref().is_some_and(|word| says(&word.said));
        Self { issued_ms, listed: entry.is_some(), stated, word }
    }

    /// Whether anybody has said anything of it.
    const fn known(&self) -> bool {
        self.listed || self.word.is_some()
    }
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Words about the patient's entry, each with its list.
    Words(Vec<(&'static str, Word)>),
    /// Nothing: a newer message, or a newer edition, has spoken.
    Late,
    /// There is no list of patients yet that it could stand above.
    NoList,
}

/// What follows from a message that was received at a moment, where the two lists have this of the patient.
pub fn changes(
    message: &Message,
    received_ms: WallMs,
    patients: Option<&Standing>,
    roster: Option<&Standing>,
) -> Told {
    let Some(patients) = patients else { return Told::NoList };
    let span = message.time.unwrap_or(Span { at_ms: received_ms, end_ms: received_ms });
    let person = || {
        let all = [("name", &message.name), ("ward", &message.ward), ("room", &message.room)];
        all.into_iter().filter_map(|(name, text)| Some((name.to_owned(), json!(text.as_ref()?))))
    };
    let state = match message.event {
        Event::Admitted | Event::DischargeCancelled => Some("admitted"),
        Event::Discharged => Some("discharged"),
        Event::AdmissionCancelled => Some("cancelled"),
        // Whoever is moved from bed to bed has one.
        Event::Transferred if !patients.stated => Some("admitted"),
        Event::Transferred | Event::Changed => None,
    };
    let ends = matches!(message.event, Event::Discharged | Event::AdmissionCancelled);
    let mut of_patient: Map<String, Value> = person()
        .filter(|(name, _)| match message.event {
            Event::Admitted | Event::DischargeCancelled | Event::Changed => true,
            Event::Transferred => name != "name",
            Event::Discharged | Event::AdmissionCancelled => false,
        })
        .collect();
    let mut of_person = of_patient.clone();
    of_patient.extend(state.map(|state| ("state".to_owned(), json!(state))));
    of_person.insert("role".into(), json!("inpatient"));
    of_person.insert("patient".into(), json!(message.patient));
    // What is changed of somebody who was never admitted gives no right to pass.
    let stranger =
        message.event == Event::Changed && !patients.known() && !roster.is_some_and(Standing::known);
    let of_roster = roster.filter(|_| !ends && !stranger).map(|standing| ("roster", standing, of_person));
    let mut words = Vec::new();
    for (list, standing, said) in [("patients", patients, of_patient)].into_iter().chain(of_roster) {
        words.extend(after(standing, span, said).map(|word| (list, word)));
    }
    if words.is_empty() { Told::Late } else { Told::Words(words) }
}

/// What is told of an entry after one more message; none if that is late.
fn after(standing: &Standing, span: Span, said: Map<String, Value>) -> Option<Word> {
    if span.end_ms < standing.issued_ms {
        return None;
    }
    let Some(before) = &standing.word else { return Some(Word { span, tie: 0, said }) };
    if span.at_ms < before.span.at_ms {
        return None;
    }
    let tie = if span.at_ms == before.span.at_ms { before.tie.saturating_add(1) } else { 0 };
    let mut all = before.said.clone();
    all.extend(said);
    Some(Word { span, tie, said: all })
}
