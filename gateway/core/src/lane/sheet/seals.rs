//! Seals by command codes: the number is scanned or typed key by key, where it sits and how it is are codes.

use super::code::CommandCode;
use super::entry::{CONDITION, DOOR, Entry, KIND, Taken, Told, gathered, other_step, refuse};
use super::fields;
use crate::lane::action::{Action, SealRead};
use crate::lane::view::ask::{Ask, Opt};
use serde_json::{Value, json};

/// The only one there is need not be said.
fn only(options: &[Opt]) -> Option<String> {
    let [one] = options else { return None };
    Some(one.value.clone())
}

impl Entry {
    /// The number of the seal that is spoken of.
    fn number(&self, scanned: Option<&str>) -> Option<String> {
        self.numbers.last().cloned().or_else(|| scanned.map(str::to_owned))
    }

    pub(super) fn set_seal(&mut self, name: &str, value: &str, ask: &Ask) -> Taken {
        if let Ask::Seal { doors, kinds, .. } = ask {
            let options = match name {
                DOOR => doors,
                KIND => kinds,
                _ => return Err(other_step()),
            };
            let option = fields::find(options, value).ok_or_else(other_step)?;
            self.values.insert(name.to_owned(), json!(value));
            return gathered(option.text.zh.clone(), option.text.en.clone());
        }
        let Ask::SealCheck { doors, conditions, scanned, .. } = ask else { return Err(other_step()) };
        let (place, options) = match name {
            DOOR => (0, doors),
            CONDITION => (1, conditions),
            _ => return Err(other_step()),
        };
        let option = fields::find(options, value).ok_or_else(other_step)?;
        let number =
            self.number(scanned.as_deref()).ok_or_else(|| refuse("请先扫封条号", "Scan the seal first"))?;
        let row = self
            .seals
            .entry(number.clone())
            .or_insert_with(|| [only(doors).unwrap_or_default(), String::new()]);
        value.clone_into(&mut row[place]);
        let whole = row.iter().all(|part| !part.is_empty());
        if whole {
            self.numbers.clear();
        }
        let (zh, en) = if whole {
            ("下一个封条，或扫“确认”", "the next seal, or Confirm")
        } else {
            ("还有位置或状态", "door or condition to go")
        };
        gathered(format!("{number} {}。{zh}", option.text.zh), format!("{number} {}; {en}", option.text.en))
    }

    /// Sends the whole check: a seal of the record that was not found is asked for once more.
    pub(super) fn confirm_check(&mut self, armed: bool, expected: &[String], scanned: Option<&str>) -> Taken {
        if !self.typed.is_empty() {
            let number = std::mem::take(&mut self.typed);
            self.numbers = vec![number.clone()];
            return gathered(format!("{number}：请扫位置和状态"), format!("{number}: door and condition"));
        }
        let open = |number: &str| self.seals.get(number).is_none_or(|row| row.iter().any(String::is_empty));
        let begun = self.seals.keys().map(String::as_str).chain(self.numbers.last().map(String::as_str));
        if let Some(number) = begun.chain(scanned).find(|number| open(number)) {
            return Err(refuse(
                format!("{number}：还缺位置或状态"),
                format!("{number}: door or condition is missing"),
            ));
        }
        let missing: Vec<&str> =
            expected.iter().map(String::as_str).filter(|number| !self.seals.contains_key(*number)).collect();
        if !missing.is_empty() && !armed {
            let all = missing.join(" ");
            self.arm(CommandCode::Confirm);
            return gathered(
                format!("未找到：{all}。再扫一次“确认”按缺失记录"),
                format!("Not found: {all}. Scan Confirm once more to record them as missing"),
            );
        }
        let read = |(number, [door, condition]): (&String, &[String; 2])| SealRead {
            number: number.clone(),
            door: door.clone(),
            condition: condition.clone(),
        };
        Ok(Told::Act(Action::SealCheck(self.seals.iter().map(read).collect())))
    }

    /// Sends a new seal: its number twice, one of which may have been scanned.
    pub(super) fn confirm_seal(&mut self, doors: &[Opt], kinds: &[Opt], scanned: Option<&str>) -> Taken {
        let both = |entry: &Self| entry.numbers.len() + usize::from(scanned.is_some()) >= 2;
        if !self.typed.is_empty() && !both(self) {
            let number = std::mem::take(&mut self.typed);
            self.numbers.push(number.clone());
            return match both(self) {
                true => gathered(
                    format!("{number}。种类和位置后扫“确认”"),
                    format!("{number}; kind and door, then Confirm"),
                ),
                false => gathered(format!("{number}。请再读一遍"), format!("{number}; read it once more")),
            };
        }
        let first = scanned.map(str::to_owned).or_else(|| self.numbers.first().cloned());
        let (Some(first), true) = (first, both(self)) else {
            return Err(refuse(
                "封条号须读两遍：扫一遍、按键输一遍",
                "The number is read twice: scanned, and typed key by key",
            ));
        };
        let word = |name: &str, options: &[Opt]| {
            self.values.get(name).and_then(Value::as_str).map(str::to_owned).or_else(|| only(options))
        };
        let (Some(kind), Some(door)) = (word(KIND, kinds), word(DOOR, doors)) else {
            return Err(refuse("请扫封条种类和位置", "Scan the kind of the seal and its door"));
        };
        let second = self.numbers.last().cloned().unwrap_or_default();
        Ok(Told::Act(Action::Seal { first, second, kind, door }))
    }

    /// Takes the latest of a seal back.
    pub(super) fn seal_back(&mut self, ask: &Ask) -> bool {
        if let Ask::SealCheck { scanned, .. } = ask {
            let number = self.number(scanned.as_deref());
            return self.numbers.pop().is_some() || number.is_some_and(|n| self.seals.remove(&n).is_some());
        }
        if !matches!(ask, Ask::Seal { .. }) {
            return false;
        }
        self.numbers.pop().is_some() || [KIND, DOOR].iter().any(|name| self.values.remove(*name).is_some())
    }
}
