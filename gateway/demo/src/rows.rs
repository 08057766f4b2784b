//! Cards as rows of tables: for the lanes that are more than a few. What goes onto lists with them stands beside them.

use crate::cards::Card;
use kakou_core::text::Text;
use serde_json::{Map, Value, json};

/// What a code holds.
#[derive(Debug, Clone, Copy)]
pub enum Code {
    /// A number that nobody has signed.
    Id(&'static str),
    /// A vehicle pass for one journey of two people, of a plate and a category.
    Vehicle(&'static str, &'static str),
}

impl Code {
    /// The fields of a vehicle pass.
    pub fn vehicle([plate, category]: [&str; 2]) -> Value {
        json!({ "plate": plate, "category": category, "from": "211400", "to": "210100", "uses": 1, "crew": 2,
            "approvals": ["GX", "JT"] })
    }
}

/// A card.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its lane.
    pub lane: &'static str,
    /// The reader that it is held to, where the lane has several.
    pub on: Option<&'static str>,
    /// Its name.
    pub id: &'static str,
    /// What it is, in Chinese and English.
    pub title: [&'static str; 2],
    /// What will happen.
    pub hint: [&'static str; 2],
    /// What its code holds.
    pub code: Code,
}

/// The reader on the way in.
pub const IN: Option<&str> = Some("reader-in");
/// The reader on the way out.
pub const OUT: Option<&str> = Some("reader-out");

/// A row of a table.
pub const fn row(
    lane: &'static str,
    on: Option<&'static str>,
    id: &'static str,
    title: [&'static str; 2],
    hint: [&'static str; 2],
    code: Code,
) -> Row {
    Row { lane, on, id, title, hint, code }
}

impl Row {
    /// As a card, whose vehicle pass somebody signs.
    pub fn card(&self, sign: impl Fn(Value) -> Result<String, String>) -> Result<Card, String> {
        let text = match self.code {
            Code::Id(id) => id.to_owned(),
            Code::Vehicle(plate, category) => sign(Code::vehicle([plate, category]))?,
        };
        let ([zh, en], [hint_zh, hint_en]) = (self.title, self.hint);
        let (title, hint) = (Text::new(zh, en), Text::new(hint_zh, hint_en));
        Ok(Card { id: self.id, lane: self.lane, on: self.on, title, hint, text })
    }
}

/// Adds entries to lists, by the name of each list.
pub fn add(lists: &mut [(&'static str, Value)], entries: Value) {
    let Value::Object(entries) = entries else { return };
    for (name, more) in entries {
        let file = format!("{name}.json");
        let list = lists.iter_mut().find(|(of, _)| *of == file);
        let into = list.and_then(|(_, list)| list.get_mut("entries")?.as_object_mut());
        let more = if let Value::Object(more) = more { more } else { Map::new() };
        match into {
            Some(into) => into.extend(more),
            None => log::error!("the demo has no list {name}"),
        }
    }
}
