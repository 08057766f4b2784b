//! The form of one answer: of a question, or of a field of a form. Each is read in one place, whoever asks for it.

use crate::lane::view::ask::{Answer, options};
use crate::lane::visit::Visit;
use crate::pass::{id, numbers, plate};
use crate::profile::facts::Type;
use crate::profile::source::StepContext;
use crate::profile::{Choice, ProfileError};
use crate::text::{Text, trimmed};
use serde::Deserialize;
use serde_json::{Number, Value, json};

/// The longest answer in words, in characters; the desk is told of it.
pub const MAX_TEXT: usize = 200;
/// The most places behind the point of a number.
const MOST_DECIMALS: u8 = 6;
/// The most that can be chosen from.
pub const MOST_OPTIONS: usize = 30;

/// The form of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// One of these.
    Choice(Vec<Choice>),
    /// Some of these.
    Choices(Vec<Choice>),
    /// A whole number.
    Number {
        /// At least.
        min: i64,
        /// At most.
        max: i64,
    },
    /// A number with places behind the point.
    Decimal {
        /// At least.
        min: f64,
        /// At most.
        max: f64,
        /// How many.
        decimals: u8,
    },
    /// A day.
    Date,
    /// A telephone number of eleven digits.
    Phone,
    /// The number of an identity card, GB 11643.
    Id,
    /// A number plate.
    Plate,
    /// The number of a container, ISO 6346.
    Container,
    /// A code, read or typed.
    Scan,
    /// A line of text.
    Text,
}

/// Its word in a profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputForm {
    /// One of the options.
    #[default]
    Choice,
    /// Some of the options.
    Choices,
    /// A number.
    Number,
    /// A day.
    Date,
    /// A telephone number.
    Phone,
    /// The number of an identity card.
    Id,
    /// A number plate.
    Plate,
    /// The number of a container.
    Container,
    /// A code.
    Scan,
    /// A line of text.
    Text,
}

/// What a profile says of an answer beside its word.
#[derive(Debug, Default)]
pub struct Limits {
    /// What can be chosen.
    pub options: Vec<Choice>,
    /// Whether that is known only when somebody stands there.
    pub later: bool,
    /// At least.
    pub min: Option<Bound>,
    /// At most.
    pub max: Option<Bound>,
    /// Places behind the point.
    pub decimals: u8,
}

/// A limit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Bound {
    /// Without a point.
    Whole(i64),
    /// With one.
    Decimal(f64),
}

impl Bound {
    #[expect(clippy::cast_precision_loss, reason = "a limit that a person has written")]
    const fn decimal(self) -> f64 {
        match self {
            Self::Whole(n) => n as f64,
            Self::Decimal(n) => n,
        }
    }
    fn whole(self) -> Option<i64> {
        match self {
            Self::Whole(n) => Some(n),
            Self::Decimal(n) => whole(n),
        }
    }
}

/// Numbers lie between these where a profile does not say.
const USUAL: (Bound, Bound) = (Bound::Whole(0), Bound::Whole(999));

/// Why an answer is not taken, in Chinese and in English.
pub type Why = Text;

fn why(zh: impl Into<String>, en: impl Into<String>) -> Why {
    Text::new(zh, en)
}

impl Input {
    /// From what a profile says.
    pub fn read(of: InputForm, limits: Limits, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let Limits { options, later, min, max, decimals } = limits;
        let chooses = matches!(of, InputForm::Choice | InputForm::Choices);
        if !chooses && (!options.is_empty() || later) {
            return Err(place.error("`options` belong to a choice"));
        }
        if of != InputForm::Number && (min.is_some() || max.is_some() || decimals != 0) {
            return Err(place.error("`min`, `max` and `decimals` belong to a number"));
        }
        if decimals > MOST_DECIMALS {
            return Err(place.error(format!("`decimals` is {decimals}; allowed: 0 to {MOST_DECIMALS}")));
        }
        let (min, max) = (min.unwrap_or(USUAL.0), max.unwrap_or(USUAL.1));
        let (least, most) = (min.decimal(), max.decimal());
        if of == InputForm::Number && least > most {
            let what = format!("no number is at least {least} (`min`) and at most {most} (`max`)");
            return Err(place.error(what));
        }
        Ok(match of {
            InputForm::Choice | InputForm::Choices => {
                let least = usize::from(of == InputForm::Choice) + 1;
                if later && !options.is_empty() {
                    return Err(place.error("a choice has either `options` or `options_from`"));
                }
                if !later {
                    place.choices("options", &options, least, 9)?;
                }
                if of == InputForm::Choice { Self::Choice(options) } else { Self::Choices(options) }
            }
            InputForm::Number if decimals > 0 => Self::Decimal { min: least, max: most, decimals },
            InputForm::Number => {
                let whole = |name: &str, n: Bound| {
                    let wrong = format!("`{name}` is {}: write a whole number, or `decimals`", n.decimal());
                    n.whole().ok_or_else(|| place.error(wrong))
                };
                Self::Number { min: whole("min", min)?, max: whole("max", max)? }
            }
            InputForm::Date => Self::Date,
            InputForm::Phone => Self::Phone,
            InputForm::Id => Self::Id,
            InputForm::Plate => Self::Plate,
            InputForm::Container => Self::Container,
            InputForm::Scan => Self::Scan,
            InputForm::Text => Self::Text,
        })
    }

    /// The type of the fact.
    pub const fn fact(&self) -> Type {
        match self {
            Self::Number { .. } => Type::Number,
            Self::Decimal { .. } => Type::Decimal,
            Self::Choices(_) => Type::Texts,
            Self::Choice(_)
            | Self::Date
            | Self::Phone
            | Self::Id
            | Self::Plate
            | Self::Container
            | Self::Scan
            | Self::Text => Type::Text,
        }
    }

    /// The form of it that the desk shows.
    pub fn answer(&self, visit: &Visit) -> Answer {
        match self {
            Self::Choice(choices) => Answer::Choice { options: options(choices) },
            Self::Choices(choices) => Answer::Choices { options: options(choices) },
            Self::Number { min, max } => {
                Answer::Number { min: (*min).into(), max: (*max).into(), decimals: 0 }
            }
            Self::Decimal { min, max, decimals } => {
                let number = |n: f64| Number::from_f64(n).unwrap_or_else(|| 0.into());
                Answer::Number { min: number(*min), max: number(*max), decimals: *decimals }
            }
            Self::Date => Answer::Date,
            Self::Phone => Answer::Phone,
            Self::Id => Answer::Id,
            Self::Plate => Answer::Plate { photo: super::photo::of_the_plate(visit) },
            Self::Container => Answer::Container,
            Self::Scan => Answer::Scan,
            Self::Text => Answer::Text { max: MAX_TEXT },
        }
    }

    /// The same with what can be chosen now.
    pub fn with_options(&self, values: &[String]) -> Self {
        let options = || {
            let own = |v: &String| Choice { value: v.clone(), zh: v.clone(), en: v.clone() };
            values.iter().take(MOST_OPTIONS).map(own).collect()
        };
        match self {
            Self::Choice(_) => Self::Choice(options()),
            Self::Choices(_) => Self::Choices(options()),
            Self::Number { .. }
            | Self::Decimal { .. }
            | Self::Date
            | Self::Phone
            | Self::Id
            | Self::Plate
            | Self::Container
            | Self::Scan
            | Self::Text => self.clone(),
        }
    }

    /// Reads an answer: the fact that it makes. What is empty is no answer, and is not read here.
    pub fn take(&self, given: &Value) -> Result<Value, Why> {
        match self {
            Self::Number { min, max } => match whole_number(given) {
                Some(n) if (*min..=*max).contains(&n) => Ok(json!(n)),
                Some(_) | None => {
                    Err(why(format!("请输入{min}到{max}"), format!("Enter a number from {min} to {max}")))
                }
            },
            Self::Decimal { min, max, decimals } => {
                let exact = |n: &f64| {
                    let scaled = n * 10f64.powi(i32::from(*decimals));
                    (scaled - scaled.round()).abs() < 1e-6
                };
                match number(given).filter(exact).filter(|n| (*min..=*max).contains(n)) {
                    Some(n) => Ok(json!(n)),
                    None => Err(why(
                        format!("请输入{min}到{max}，最多{decimals}位小数"),
                        format!("Enter a number from {min} to {max} with at most {decimals} decimals"),
                    )),
                }
            }
            Self::Choices(options) => {
                let all: Option<Vec<&str>> = match given {
                    Value::Array(all) => all.iter().map(Value::as_str).collect(),
                    Value::String(one) => Some(vec![one]),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
                };
                let known = |all: &Vec<&str>| all.iter().all(|v| options.iter().any(|o| o.value == *v));
                let Some(all) = all.filter(known) else {
                    return Err(why("请从列出的选项中选择", "Choose from what is offered"));
                };
                let chosen = options.iter().filter(|o| all.contains(&o.value.as_str()));
                Ok(chosen.map(|o| json!(o.value)).collect())
            }
            Self::Choice(_)
            | Self::Date
            | Self::Phone
            | Self::Id
            | Self::Plate
            | Self::Container
            | Self::Scan
            | Self::Text => {
                let text = match given {
                    Value::String(text) => text.clone(),
                    Value::Number(n) => n.to_string(),
                    Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                        return Err(why("请填写文字", "Write a text"));
                    }
                };
                self.text(&text).map(|text| json!(text))
            }
        }
    }

    /// The same of what is a text.
    fn text(&self, text: &str) -> Result<String, Why> {
        let bad = |zh: &str, en: &str| why(zh, en);
        match self {
            Self::Choice(options) => match options.iter().find(|o| o.value == text) {
                Some(o) => Ok(o.value.clone()),
                None => Err(bad("请选择一项", "Choose one of the answers")),
            },
            Self::Date => match trimmed(text).parse::<jiff::civil::Date>() {
                Ok(day) => Ok(day.to_string()),
                Err(_) => Err(bad("请输入日期，例如 2022-05-24", "Enter a day, for example 2022-05-24")),
            },
            Self::Phone => {
                numbers::phone(text).ok_or_else(|| bad("电话为11位数字", "A telephone number has 11 digits"))
            }
            Self::Id => numbers::person(text).ok_or_else(|| {
                bad("证件号不对，请核对18位", "Not an id number: look at its 18 characters again")
            }),
            Self::Plate => plate::normal(text)
                .ok_or_else(|| bad("车牌格式不对，例如 辽P12345", "Not a plate; for example 辽P12345")),
            Self::Container => numbers::container(text).ok_or_else(|| {
                bad("箱号不对，例如 CSQU3054383", "Not a container number; for example CSQU3054383")
            }),
            Self::Scan => {
                let code = id::normal(text);
                let fits =
                    (1..=MAX_TEXT).contains(&code.chars().count()) && !code.chars().any(char::is_control);
                if fits { Ok(code) } else { Err(bad("请扫码或输入编码", "Scan or type the code")) }
            }
            Self::Text | Self::Number { .. } | Self::Decimal { .. } | Self::Choices(_) => match trimmed(text)
            {
                "" => Err(bad("请填写", "Write something")),
                text if text.chars().count() > MAX_TEXT => {
                    Err(why(format!("最多{MAX_TEXT}字"), format!("At most {MAX_TEXT} characters")))
                }
                text => Ok(text.to_owned()),
            },
        }
    }

    /// A fact of it as people read it, and as events have it.
    pub fn words(fact: &Value) -> String {
        match fact {
            Value::String(text) => text.clone(),
            Value::Array(all) => all.iter().map(Self::words).collect::<Vec<_>>().join(", "),
            Value::Null => String::new(),
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => fact.to_string(),
        }
    }
}

/// Whether nothing was answered.
pub fn is_empty(given: &Value) -> bool {
    match given {
        Value::Null => true,
        Value::String(text) => trimmed(text).is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

fn whole_number(given: &Value) -> Option<i64> {
    let exact = match given {
        Value::Number(n) => n.as_i64(),
        Value::String(text) => trimmed(text).parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    exact.or_else(|| number(given).and_then(whole))
}

fn number(given: &Value) -> Option<f64> {
    match given {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => trimmed(text).parse().ok().filter(|n: &f64| n.is_finite()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Exactly representable numbers alone.
#[expect(clippy::cast_possible_truncation, reason = "its range is checked before")]
fn whole(n: f64) -> Option<i64> {
    (n.fract() == 0.0 && n.abs() <= 9e15).then_some(n as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(value: &str) -> Choice {
        Choice { value: value.into(), zh: value.into(), en: value.into() }
    }

    #[test]
    fn every_type_takes_its_own_answers_in_one_form_and_no_others() {
        let options = vec![choice("a"), choice("b"), choice("c")];
        let decimal = Input::Decimal { min: 30.0, max: 43.0, decimals: 1 };
        for (input, given, fact) in [
            (Input::Choice(options.clone()), json!("b"), Some(json!("b"))),
            (Input::Choice(options.clone()), json!("d"), None),
            (Input::Choice(options.clone()), json!(["a"]), None),
            (Input::Choices(options.clone()), json!(["c", "a", "a"]), Some(json!(["a", "c"]))),
            (Input::Choices(options.clone()), json!("b"), Some(json!(["b"]))),
            (Input::Choices(options.clone()), json!(["a", "d"]), None),
            (Input::Choices(options), json!([1]), None),
            (Input::Number { min: 1, max: 5 }, json!(5), Some(json!(5))),
            (Input::Number { min: 1, max: 5 }, json!(" 5 "), Some(json!(5))),
            (Input::Number { min: 1, max: 5 }, json!(5.0), Some(json!(5))),
            (Input::Number { min: 1, max: 5 }, json!(4.5), None),
            (Input::Number { min: 1, max: 5 }, json!(6), None),
            (Input::Number { min: 1, max: 5 }, json!("five"), None),
            (Input::Number { min: 1, max: 5 }, json!("NaN"), None),
            (decimal.clone(), json!(36.8), Some(json!(36.8))),
            (decimal.clone(), json!("36.8"), Some(json!(36.8))),
            (decimal.clone(), json!(37), Some(json!(37.0))),
            (decimal.clone(), json!(36.85), None),
            (decimal, json!(44.0), None),
            (Input::Date, json!("2022-05-24"), Some(json!("2022-05-24"))),
            (Input::Date, json!("2022-02-30"), None),
            (Input::Date, json!("24.05.2022"), None),
            (Input::Phone, json!("138 0013 8000"), Some(json!("13800138000"))),
            (Input::Phone, json!(13_800_138_000_u64), Some(json!("13800138000"))),
            (Input::Phone, json!("1380013800"), None),
            (Input::Id, json!("11010519491231002x"), Some(json!("11010519491231002X"))),
            (Input::Id, json!("110105194912310020"), None),
            (Input::Plate, json!("辽P·12345"), Some(json!("辽P12345"))),
            (Input::Plate, json!("MP12345"), None),
            (Input::Container, json!("csqu 305438 3"), Some(json!("CSQU3054383"))),
            (Input::Container, json!("CSQU3054384"), None),
            (Input::Scan, json!(" t-0001\n"), Some(json!("T-0001"))),
            (Input::Scan, json!("\u{1}"), None),
            (Input::Text, json!("  楼 3 "), Some(json!("楼 3"))),
            (Input::Text, json!(3), Some(json!("3"))),
            (Input::Text, json!("x".repeat(201)), None),
            (Input::Text, json!(true), None),
            (Input::Text, json!({}), None),
        ] {
            let taken = input.take(&given);
            assert_eq!(taken.as_ref().ok(), fact.as_ref(), "{input:?} {given}");
            if let Ok(fact) = &taken {
                assert!(input.fact().holds(fact), "{input:?} {fact}");
            }
        }
    }

    #[test]
    fn what_is_empty_is_no_answer() {
        for empty in [json!(null), json!(""), json!(" \u{feff}"), json!([])] {
            assert!(is_empty(&empty), "{empty}");
        }
        for given in [json!(0), json!(false), json!("0"), json!(["a"])] {
            assert!(!is_empty(&given), "{given}");
        }
    }

    #[test]
    fn facts_are_read_as_words() {
        for (fact, words) in
            [(json!("a"), "a"), (json!(["a", "b"]), "a, b"), (json!(3), "3"), (json!(36.8), "36.8")]
        {
            assert_eq!(Input::words(&fact), words);
        }
    }
}
