//! Seals: a new one is applied, its number read twice, unused and of the issued stock; or those that a load has are
//! compared with those that it should have.

use super::super::visit::Seal as Applied;
use super::kind::{About, Kind, Look};
use super::seal_check;
use super::{Cx, Flow, StepInput, somebody};
use crate::codes::Code;
use crate::lane::action::{Action, Rejection};
use crate::lane::view::ask::{Ask, options};
use crate::pass::id;
use crate::profile::facts::{self, Fact, Type};
use crate::profile::source::StepContext;
use crate::profile::{Choice, ProfileError};
use crate::reading::Report;
use crate::records::RecordsFault;
use crate::rules::Expression;
use crate::text::Text;
use serde::Deserialize;
use serde_json::{Value, json};

/// The group of the facts of seals.
const SEAL: &str = "seal";

/// Applies a seal, or checks those that are there.
#[derive(Debug)]
pub struct Seal {
    /// What is done.
    pub act: Act,
    /// Positions.
    pub doors: Vec<Choice>,
    /// Kinds of seals.
    pub kinds: Vec<Choice>,
    /// The numbers of the issued stock: their beginning, or a whole number with `#` for each digit; any if empty.
    pub stock: Vec<String>,
}

/// What is done with seals.
#[derive(Debug)]
pub enum Act {
    /// A new one is applied.
    Apply {
        /// The number of the seal in whose place it comes.
        parent: Option<Expression>,
    },
    /// Those that are there are compared.
    Check {
        /// The numbers of those that should be there.
        expected: Expression,
    },
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    act: ActForm,
    parent: Option<String>,
    expected: Option<String>,
    #[serde(default)]
    doors: Vec<Choice>,
    #[serde(default)]
    kinds: Vec<Choice>,
    #[serde(default)]
    stock: Vec<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ActForm {
    #[default]
    Apply,
    Check,
}

/// A seal number that was scanned: of a new seal it is still to be typed.
type Scanned = String;

impl Kind for Seal {
    const ABOUT: About = About {
        by_staff: true,
        takes_codes: true,
        timeout_s: Some(900),
        facts: &[
            Fact::new("seal.count", Type::Number),
            Fact::new("seal.number", Type::Text),
            Fact::new("seal.expected", Type::Number),
            Fact::new("seal.intact", Type::Number),
            Fact::new("seal.wrong", Type::Number),
            Fact::new("seal.tampered", Type::Number),
            Fact::new("seal.missing", Type::Number),
            Fact::new("seal.read", Type::Texts),
        ],
        ..About::new(
            "seal",
            ("贴封条", "Seal"),
            ("请稍候，正在贴封条", "Please wait, the seal is being applied"),
        )
    };
    type Form = Form;
    type Waits = Scanned;

    fn read(form: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let Form { act, parent, expected, doors, kinds, stock } = form;
        place.choices("doors", &doors, 1, 9)?;
        let act = match (act, expected) {
            (ActForm::Apply, None) => {
                place.choices("kinds", &kinds, 1, 9)?;
                Act::Apply { parent: parent.map(|text| place.text(&text)).transpose()? }
            }
            (ActForm::Check, Some(_)) if parent.is_some() || !kinds.is_empty() || !stock.is_empty() => {
                return Err(place.error("`parent`, `kinds` and `stock` belong to a seal that is applied"));
            }
            (ActForm::Check, Some(expected)) => Act::Check { expected: place.texts(&expected)? },
            (ActForm::Check, None) => {
                return Err(
                    place.error("`expected` is missing: the numbers of the seals that should be there")
                );
            }
            (ActForm::Apply, Some(_)) => {
                return Err(place.error("`expected` belongs to `act = \"check\"`"));
            }
        };
        Ok(Self { act, doors, kinds, stock })
    }

    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        if let Act::Check { expected } = &self.act {
            seal_check::begin(cx, expected);
        }
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes the number; a scanned code counts as one of the two.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let parent = match &self.act {
            Act::Apply { parent } => parent.as_ref(),
            Act::Check { .. } => return seal_check::on(self, cx, what),
        };
        let (officer, first, second, kind, door) = match what {
            StepInput::Deadline => return Ok(cx.time_out()),
            StepInput::Report(Report::Scan { bytes }) => {
                let number = std::str::from_utf8(bytes).ok().and_then(normal);
                // Whatever else was held before the reader is no seal.
                let Some(number) = number.filter(|n| self.is_issued(n)) else { return Ok(Flow::Wait) };
                if somebody::is_somebodys(cx, &number)? {
                    return Ok(somebody::not_taken(cx));
                }
                cx.visit.waits.seal = Some(number);
                cx.out.keep_soon();
                return Ok(Flow::Wait);
            }
            StepInput::Report(_) => return Ok(Flow::Wait),
            StepInput::Action(officer, Action::Seal { first, second, kind, door }) => {
                (officer, first, second, kind, door)
            }
            StepInput::Action(..) => return Ok(Flow::Reject(Rejection::not_now())),
        };
        let reject = |code, zh: &str, en: &str| Ok(Flow::Reject(Rejection::new(code, zh, en)));
        let (Some(number), Some(again)) = (normal(first), normal(second)) else {
            return reject(
                "seal_form",
                "封条号应为4到20位字母和数字",
                "A seal number has 4 to 20 letters and digits",
            );
        };
        if somebody::is_somebodys(cx, &number)? {
            return Ok(Flow::Reject(Rejection::of("seal_form", somebody::why())));
        }
        let scanned = cx.visit.waits.seal.as_ref();
        if number != again || scanned.is_some_and(|s| *s != number) {
            return reject(
                "seal_differs",
                "两次封条号不一致，请重新核对",
                "The two numbers differ: look again",
            );
        }
        if !self.kinds.iter().any(|c| c.value == *kind) || !self.doors.iter().any(|c| c.value == *door) {
            return reject("seal_place", "请选择封条类型和位置", "Choose the kind of seal and its place");
        }
        if !self.is_issued(&number) {
            return reject(
                "seal_stock",
                "该封条号不在本站领用范围",
                "This number is not of the stock issued here",
            );
        }
        if cx.records.seal_used(&number)? || cx.visit.seals.iter().any(|s| s.number == number) {
            return reject("seal_used", "该封条号已用过", "This seal number was used before");
        }
        let parent = parent.map(|parent| parent_number(cx, parent)).filter(|number| !number.is_empty());
        // The next seal has a number of its own.
        let scanned = cx.visit.waits.seal.take();
        let read_method = if scanned.is_some() { "scanned-and-typed" } else { "typed-twice" };
        cx.visit.seals.push(Applied {
            number: number.clone(),
            kind: kind.clone(),
            door: door.clone(),
            read_method: read_method.into(),
            officer: officer.id.clone(),
            parent,
        });
        make(cx, json!({ "count": cx.visit.seals.len(), "number": number }));
        Ok(Flow::Next)
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        if let Act::Check { .. } = &self.act {
            return seal_check::ask(self, look);
        }
        Ask::Seal {
            prompt: look.step.prompt.clone(),
            doors: options(&self.doors),
            kinds: options(&self.kinds),
            scanned: look.visit.waits.seal.clone(),
        }
    }

    fn public(&self, _look: Look<'_>) -> Text {
        Self::ABOUT.prompt()
    }
}

impl Seal {
    /// Whether a number is of the stock that was issued here.
    fn is_issued(&self, number: &str) -> bool {
        self.stock.is_empty() || self.stock.iter().any(|stock| is_of(stock, number))
    }
}

/// The number of the seal in whose place another comes.
fn parent_number(cx: &mut Cx<'_>, parent: &Expression) -> String {
    let number = cx.value(parent).unwrap_or_else(|_| {
        cx.out.count("rule_failed_total");
        cx.out.notes.push(format!("parent `{}` could not be evaluated", parent.source()));
        cx.find(Code::X_RULE);
        json!("")
    });
    id::normal(number.as_str().unwrap_or_default())
}

/// Makes some of the facts of seals; those of the other act stay.
pub(super) fn make(cx: &mut Cx<'_>, some: Value) {
    let mut all = cx.visit.facts.get(SEAL).and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, fact) in facts::unmade(SEAL) {
        all.entry(name).or_insert(fact);
    }
    if let Value::Object(some) = some {
        all.extend(some);
    }
    cx.make(SEAL, Value::Object(all));
}

/// Whether a number is one of those that a stock names.
fn is_of(stock: &str, number: &str) -> bool {
    let mut fits = stock.chars().zip(number.chars());
    let same = fits.all(|(of, c)| if of == '#' { c.is_ascii_digit() } else { of == c });
    let (wanted, has) = (stock.chars().count(), number.chars().count());
    same && if stock.contains('#') { wanted == has } else { wanted <= has }
}

/// A seal number in its normal form.
pub(super) fn normal(text: &str) -> Option<String> {
    let number = id::normal(text);
    let fits = (4..=20).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-');
    fits.then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{is_of, normal};

    #[test]
    fn a_stock_names_the_beginning_of_its_numbers_or_each_of_their_digits() {
        for (stock, number, fits) in [
            ("LN", "LN0045678", true),
            ("LN", "LN12", true),
            ("LN", "XX0045678", false),
            ("LN", "L", false),
            ("LN#######", "LN0045678", true),
            ("LN#######", "LN004567", false),
            ("LN#######", "LN00456789", false),
            ("LN#######", "LN004567A", false),
            ("LN##-A", "LN12-A", true),
        ] {
            assert_eq!(is_of(stock, number), fits, "{stock} {number}");
        }
    }

    #[test]
    fn a_seal_number_has_one_form_however_it_is_typed() {
        for text in ["LN123456", "ln123456 ", "ＬＮ１２３４５６", "\u{feff}LN123456\n"] {
            assert_eq!(normal(text).as_deref(), Some("LN123456"), "{text:?}");
        }
    }
}
