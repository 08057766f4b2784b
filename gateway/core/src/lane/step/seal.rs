//! The seal number, twice, unused and of the issued stock.

use super::super::visit::Seal as Applied;
use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepInput};
use crate::lane::action::{Action, Rejection};
use crate::lane::view::ask::{Ask, options};
use crate::pass::id;
use crate::profile::facts::{Fact, Type};
use crate::profile::source::StepContext;
use crate::profile::{Choice, ProfileError};
use crate::reading::Report;
use crate::records::RecordsFault;
use crate::text::Text;
use serde::Deserialize;
use serde_json::json;

/// Takes the seal number twice.
#[derive(Debug)]
pub struct Seal {
    /// Positions.
    pub doors: Vec<Choice>,
    /// Kinds of seals.
    pub kinds: Vec<Choice>,
    /// The numbers of the issued stock: their beginning, or a whole number with `#` for each digit; any if empty.
    pub stock: Vec<String>,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    doors: Vec<Choice>,
    #[serde(default)]
    kinds: Vec<Choice>,
    #[serde(default)]
    stock: Vec<String>,
}

/// A seal number that was scanned and is still to be typed.
type Scanned = String;

impl Kind for Seal {
    const ABOUT: About = About {
        by_staff: true,
        takes_codes: true,
        timeout_s: Some(900),
        facts: &[Fact::new("seal.count", Type::Number), Fact::new("seal.number", Type::Text)],
        ..About::new(
            "seal",
            ("贴封条", "Seal"),
            ("请稍候，正在贴封条", "Please wait, the seal is being applied"),
        )
    };
    type Form = Form;
    type Waits = Scanned;

    fn read(Form { doors, kinds, stock }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        place.choices("doors", &doors, 1, 9)?;
        place.choices("kinds", &kinds, 1, 9)?;
        Ok(Self { doors, kinds, stock })
    }

    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes the number; a scanned code counts as one of the two.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let (officer, first, second, kind, door) = match what {
            StepInput::Deadline => return Ok(cx.time_out()),
            StepInput::Report(Report::Scan { bytes }) => {
                let number = std::str::from_utf8(bytes).ok().and_then(normal);
                // Whatever else was held before the reader is no seal.
                if let Some(number) = number.filter(|n| self.is_issued(n)) {
                    cx.visit.waits.seal = Some(number);
                    cx.out.keep_soon();
                }
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
        // The next seal has a number of its own.
        let scanned = cx.visit.waits.seal.take();
        let read_method = if scanned.is_some() { "scanned-and-typed" } else { "typed-twice" };
        cx.visit.seals.push(Applied {
            number: number.clone(),
            kind: kind.clone(),
            door: door.clone(),
            read_method: read_method.into(),
            officer: officer.id.clone(),
        });
        cx.make("seal", json!({ "count": cx.visit.seals.len(), "number": number }));
        Ok(Flow::Next)
    }

    fn ask(&self, look: Look<'_>) -> Ask {
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

/// Whether a number is one of those that a stock names.
fn is_of(stock: &str, number: &str) -> bool {
    let mut fits = stock.chars().zip(number.chars());
    let same = fits.all(|(of, c)| if of == '#' { c.is_ascii_digit() } else { of == c });
    let (wanted, has) = (stock.chars().count(), number.chars().count());
    same && if stock.contains('#') { wanted == has } else { wanted <= has }
}

/// A seal number in its normal form.
fn normal(text: &str) -> Option<String> {
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
