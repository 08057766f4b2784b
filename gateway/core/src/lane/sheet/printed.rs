//! The codes of the sheet for a lane, in the order in which they are printed: those of every lane that it can use, then
//! what each of its steps asks, by name.

use super::code::{CommandCode, WORDS};
use super::entry::{CONDITION, DOOR, KIND};
use crate::lane::step::input::Input;
use crate::lane::step::seal::Act;
use crate::lane::visit::{Origin, SealCondition};
use crate::profile::{Choice, Profile, StepKind};
use crate::text::Text;
use std::collections::BTreeSet;

/// One code, and what is printed beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// The code.
    pub code: CommandCode,
    /// What it says.
    pub text: Text,
    /// What it belongs to.
    pub of: Text,
}

/// What the lane must be told beside words.
#[derive(Default)]
struct Needs {
    digits: bool,
    letters: bool,
    plates: bool,
}

/// All codes for a profile. A value that staff would type is printed where it is named: (field, value).
pub fn codes(profile: &Profile, values: &[(String, String)]) -> Result<Vec<Printed>, String> {
    let (mut own, mut needs) = (Vec::new(), Needs::default());
    for step in &profile.steps {
        of_step(&step.kind, (&step.id, &step.title), values, (&mut own, &mut needs));
    }
    if let Some((field, value)) = values.iter().find(|(field, value)| {
        !own.iter()
            .any(|p| matches!(&p.code, CommandCode::Set { field: f, value: v } if f == field && v == value))
    }) {
        return Err(format!("`{field}={value}`: this profile has no field `{field}` that is typed"));
    }
    let mut all: Vec<Printed> = WORDS
        .iter()
        .filter(|(code, ..)| is_used(code, profile))
        .map(|(code, _, zh, en)| word(code, zh, en))
        .collect();
    let keys = |chars: &str, of: Text| {
        let key = |c: char| Printed {
            code: CommandCode::Key(c),
            text: Text::new(c.to_string(), c.to_string()),
            of: of.clone(),
        };
        chars.chars().map(key).collect::<Vec<_>>()
    };
    if needs.digits {
        all.extend(keys("0123456789.", Text::new("数字", "Digits")));
    }
    if needs.letters {
        all.extend(keys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", Text::new("字母", "Letters")));
    }
    if needs.plates {
        all.extend(keys(crate::pass::plate::PROVINCES, Text::new("省份", "Provinces")));
    }
    all.extend(own);
    // Two seals of one lane may sit at the same doors.
    let mut seen = BTreeSet::new();
    all.retain(|printed| seen.insert(printed.code.clone()));
    Ok(all)
}

fn word(code: &CommandCode, zh: &str, en: &str) -> Printed {
    Printed { code: code.clone(), text: Text::new(zh, en), of: Text::new("指令", "Command") }
}

/// Whether a lane has any use for a word.
fn is_used(code: &CommandCode, profile: &Profile) -> bool {
    let any = |of: fn(&StepKind) -> bool| profile.steps.iter().any(|step| of(&step.kind));
    match code {
        CommandCode::Retake => any(|kind| matches!(kind, StepKind::Photo(_))),
        CommandCode::Skip => any(|kind| matches!(kind, StepKind::Form(_))),
        CommandCode::Approve | CommandCode::Refuse => {
            any(|kind| matches!(kind, StepKind::Confirm(confirm) if confirm.approve))
        }
        CommandCode::Recheck | CommandCode::Aside => any(|kind| matches!(kind, StepKind::Temperature(_))),
        CommandCode::Start => profile.start.takes(Origin::Desk) || profile.start.takes(Origin::Button),
        CommandCode::SignOn => {
            any(|kind| matches!(kind, StepKind::Scan(scan) if scan.accepts.iter().any(|a| a == super::BADGE)))
        }
        CommandCode::Confirm | CommandCode::Cancel | CommandCode::Back | CommandCode::SignOff => true,
        CommandCode::Key(_) | CommandCode::Set { .. } => false,
    }
}

fn of_step(
    kind: &StepKind,
    (id, title): (&str, &Text),
    values: &[(String, String)],
    (out, needs): (&mut Vec<Printed>, &mut Needs),
) {
    let set = |field: &str, of: &Text, choice: &Choice| Printed {
        code: CommandCode::Set { field: field.to_owned(), value: choice.value.clone() },
        text: choice.text(),
        of: of.clone(),
    };
    let mut input = |field: &str, of: &Text, input: &Input, out: &mut Vec<Printed>| {
        let typed = match input {
            Input::Choice(all) | Input::Choices(all) => {
                out.extend(all.iter().map(|choice| set(field, of, choice)));
                // What can be chosen is known when somebody stands there: by its number.
                needs.digits |= all.is_empty();
                false
            }
            Input::Number { .. } | Input::Decimal { .. } | Input::Date | Input::Phone => {
                needs.digits = true;
                true
            }
            Input::Id | Input::Container | Input::Plate => {
                (needs.digits, needs.letters) = (true, true);
                needs.plates |= *input == Input::Plate;
                true
            }
            Input::Scan | Input::Text => true,
        };
        let named = values.iter().filter(|(name, _)| typed && name == field);
        out.extend(named.map(|(field, value)| Printed {
            code: CommandCode::Set { field: field.clone(), value: value.clone() },
            text: Text::new(value, value),
            of: of.clone(),
        }));
    };
    if let StepKind::Question(question) = kind {
        input(id, title, &question.input, out);
    }
    if let StepKind::Form(form) = kind {
        for field in &form.fields {
            input(&field.id, &field.text, &field.input, out);
        }
    }
    if let StepKind::Confirm(confirm) = kind {
        out.extend(confirm.checks.iter().map(|check| set(id, title, check)));
    }
    if let StepKind::Party(_) = kind {
        needs.digits = true;
    }
    if let StepKind::Seal(seal) = kind {
        (needs.digits, needs.letters) = (true, true);
        out.extend(seal.doors.iter().map(|door| set(DOOR, &Text::new("封条位置", "Door"), door)));
        out.extend(seal.kinds.iter().map(|kind| set(KIND, &Text::new("封条种类", "Kind of seal"), kind)));
        if matches!(seal.act, Act::Check { .. }) {
            out.extend(SealCondition::ALL.map(|condition| Printed {
                code: CommandCode::Set { field: CONDITION.into(), value: condition.as_str().into() },
                text: condition.text(),
                of: Text::new("封条状态", "Condition"),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{read, shipped};

    #[test]
    fn every_shipped_lane_has_a_sheet_whose_codes_are_read_and_stand_once() {
        for (name, text) in shipped::PROFILES {
            let profile = read(name, text).unwrap();
            let all = codes(&profile, &[]).unwrap();
            assert!(all.iter().any(|p| p.code == CommandCode::Confirm), "{name}");
            let mut seen = BTreeSet::new();
            for printed in &all {
                let text = printed.code.text();
                assert_eq!(
                    CommandCode::read(text.as_bytes()),
                    Some(Some(printed.code.clone())),
                    "{name} {text}"
                );
                assert!(!printed.text.zh.is_empty() && !printed.text.en.is_empty(), "{name} {text}");
                seen.insert(text);
            }
            assert_eq!(seen.len(), all.len(), "{name}");
        }
    }

    #[test]
    fn what_is_typed_is_printed_where_it_is_named() {
        let (name, text) = shipped::find("medical-waste").unwrap();
        let profile = read(name, text).unwrap();
        let own = |field: &str, value: &str| (field.to_owned(), value.to_owned());
        let all = codes(&profile, &[own("source", "骨科"), own("source", "手术室")]).unwrap();
        let sources =
            all.iter().filter(|p| matches!(&p.code, CommandCode::Set { field, .. } if field == "source"));
        assert_eq!(sources.map(|p| p.text.zh.as_str()).collect::<Vec<_>>(), ["骨科", "手术室"]);
        for (field, value) in [("sauce", "骨科"), ("type", "radioactive")] {
            assert!(codes(&profile, &[own(field, value)]).unwrap_err().contains(field));
        }
    }
}
