//! What was gathered, in words for the desk.

use super::entry::{DOOR, Entry, KIND};
use super::fields;
use crate::lane::view::ask::{Answer, Ask, FieldAsk, Opt};
use crate::lane::view::shapes::GatheredView;
use crate::lane::view::sheet::{row, ticked};
use crate::text::Text;
use serde_json::{Value, json};

fn word(options: &[Opt], value: &str) -> Option<Text> {
    fields::find(options, value).map(|option| option.text.clone())
}

/// The words of an option.
fn words(answer: &Answer, value: &Value) -> Option<Text> {
    let options = fields::options(answer)?;
    word(options, value.as_str()?)
}

impl Entry {
    /// Everything that was gathered for what a step asks.
    pub fn gathered(&self, ask: &Ask) -> Vec<GatheredView> {
        if let Ask::Form { fields, .. } = ask {
            let given = |f: &FieldAsk| Some(row(f.text.clone(), self.values.get(&f.id)?, self.words(f)));
            return fields.iter().filter_map(given).collect();
        }
        if let Ask::Question { id, prompt, .. } = ask {
            return self.values.get(id).map(|value| row(prompt.clone(), value, None)).into_iter().collect();
        }
        if let Ask::Confirm { checks, .. } = ask {
            return checks.iter().filter(|check| self.ticked.contains(&check.id)).map(ticked).collect();
        }
        if let Ask::SealCheck { doors, conditions, .. } = ask {
            let one = |(number, [door, condition]): (&String, &[String; 2])| {
                let parts = [(doors, door), (conditions, condition)]
                    .map(|(options, value)| word(options, value).unwrap_or_else(|| Text::new("…", "…")));
                let all = |of: fn(&Text) -> &str| parts.iter().map(of).collect::<Vec<_>>().join(" ");
                let words = Text::new(all(|text| &text.zh), all(|text| &text.en));
                row(Text::new(number, number), &json!(""), Some(words))
            };
            return self.seals.iter().map(one).collect();
        }
        if let Ask::Seal { doors, kinds, .. } = ask {
            let numbers =
                self.numbers.iter().map(|n| row(Text::new("封条号", "Seal number"), &json!(n), None));
            let labels = [(KIND, kinds, Text::new("种类", "Kind")), (DOOR, doors, Text::new("位置", "Door"))];
            let said = labels.into_iter().filter_map(|(name, options, label)| {
                let value = self.values.get(name)?;
                Some(row(label, value, word(options, value.as_str()?)))
            });
            return numbers.chain(said).collect();
        }
        Vec::new()
    }

    fn words(&self, field: &FieldAsk) -> Option<Text> {
        words(&field.answer, self.values.get(&field.id)?)
    }

    /// The field whose turn it is.
    pub fn next(&self, ask: &Ask) -> Option<Text> {
        let Ask::Form { fields, .. } = ask else { return None };
        self.current(fields).map(|field| field.text.clone())
    }
}
