//! How visits begin in a lane, and what gives them their direction.

use super::ProfileError;
use super::source::Source;
use crate::lane::visit::Origin;
use serde::Deserialize;
use toml::Spanned;

/// What a profile says of a visit in a lane with both directions.
pub const BOTH: &str = "both";

/// What stands before the name of a register that gives the direction.
const OF_REGISTER: &str = "register:";

/// How visits begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The ways.
    pub on: Vec<Origin>,
    /// The roles of the contacts that begin one.
    pub inputs: Vec<String>,
    /// Only as a member of a party.
    pub only_in_party: bool,
    /// What stands before the number that a visit without a code is given at the desk, for whoever has none.
    pub number: Option<String>,
}

impl Default for Start {
    fn default() -> Self {
        Self { on: vec![Origin::Scan], inputs: Vec::new(), only_in_party: false, number: None }
    }
}

impl Start {
    /// Whether a visit may begin so. Typing is another way to scan.
    pub fn takes(&self, origin: Origin) -> bool {
        let origin = if origin == Origin::Typed { Origin::Scan } else { origin };
        self.on.contains(&origin)
    }
    /// How the contact of a role begins a visit, if it does.
    pub fn input(&self, role: &str) -> Option<Origin> {
        let origin = if role == Origin::Button.as_str() { Origin::Button } else { Origin::Input };
        let named = self.inputs.iter().any(|input| input == role);
        let takes = self.on.contains(&origin) && (named || origin == Origin::Button);
        (takes || named && self.on.contains(&Origin::Input)).then_some(origin)
    }
}

/// What gives a visit its direction, where a lane has both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The reader: `reader-in` and `reader-out`.
    Reader,
    /// A register of this name: what is held by its key goes out.
    Register(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartFile {
    #[serde(default)]
    pub on: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub inputs: Vec<String>,
    #[serde(default)]
    pub only_in_party: bool,
    pub number: Option<Spanned<String>>,
}

/// Reads how visits begin.
pub(super) fn read(source: &Source<'_>, file: Option<StartFile>) -> Result<Start, ProfileError> {
    let Some(file) = file else { return Ok(Start::default()) };
    let number = file.number.map(|number| {
        let good = (1..=8).contains(&number.get_ref().len())
            && number.get_ref().bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        let what = || format!("`number` is `{}`; allowed: 1 to 8 of A-Z and 0-9", number.get_ref());
        if good { Ok(number.get_ref().clone()) } else { Err(source.error(number.span().start, what())) }
    });
    let number = number.transpose()?;
    let mut start =
        Start { inputs: file.inputs, only_in_party: file.only_in_party, number, ..Start::default() };
    if let Some(words) = file.on {
        start.on.clear();
        for word in words {
            let origin = Origin::parse(word.get_ref()).filter(|origin| *origin != Origin::Typed);
            let origin = origin.ok_or_else(|| {
                let allowed: Vec<&str> =
                    Origin::ALL.iter().filter(|o| **o != Origin::Typed).map(|o| o.as_str()).collect();
                let what = format!(
                    "a visit does not begin by `{}`; allowed: {}",
                    word.get_ref(),
                    allowed.join(", ")
                );
                source.error(word.span().start, what)
            })?;
            start.on.push(origin);
        }
        if start.on.is_empty() {
            return Err(source.error(0, "`on` of [start] names at least one way in which a visit begins"));
        }
    }
    let by_input = start.on.iter().any(|on| matches!(on, Origin::Input | Origin::Button));
    if !start.inputs.is_empty() && !by_input {
        return Err(source.error(0, "`inputs` of [start] needs \"input\" or \"button\" in `on`"));
    }
    if start.on.contains(&Origin::Input) && start.inputs.is_empty() {
        return Err(source.error(0, "\"input\" in `on` of [start] needs the roles of the contacts: `inputs`"));
    }
    Ok(start)
}

/// Reads the direction and what gives it.
pub(super) fn direction(
    source: &Source<'_>,
    direction: &Spanned<String>,
    by: Option<&Spanned<String>>,
) -> Result<Option<By>, ProfileError> {
    let directions = ["in", "out", "through", BOTH];
    let word = direction.get_ref().as_str();
    if !directions.contains(&word) {
        let what = format!("`{word}` is not a direction; allowed: {}", directions.join(", "));
        return Err(source.error(direction.span().start, what));
    }
    match (word == BOTH, by) {
        (false, None) => Ok(None),
        (false, Some(by)) => {
            Err(source.error(by.span().start, "`by` belongs to `direction = \"both\"`: this lane has one"))
        }
        (true, None) => Err(source.error(
            direction.span().start,
            "`direction = \"both\"` needs `by`: \"reader\", or \"register:NAME\" (held by its key: out)",
        )),
        (true, Some(by)) => match by.get_ref().as_str() {
            "reader" => Ok(Some(By::Reader)),
            text => match text.strip_prefix(OF_REGISTER).filter(|name| !name.is_empty()) {
                Some(name) => Ok(Some(By::Register(name.to_owned()))),
                None => Err(source.error(
                    by.span().start,
                    format!("`{text}` gives no direction; allowed: reader, register:NAME"),
                )),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str) -> Result<super::super::Profile, ProfileError> {
        let head = "id = \"x\"\ntitle = { zh = \"a\", en = \"b\" }\nfail_mode = \"HOLD\"\n";
        let steps = "[[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n[[step]]\nkind = \"decide\"\n";
        super::super::read("x.toml", &format!("{head}{text}\n{steps}"))
    }

    #[test]
    fn a_lane_begins_by_scan_where_its_profile_says_nothing_else() {
        let start = profile("direction = \"in\"").unwrap().start;
        assert!(start.takes(Origin::Scan) && start.takes(Origin::Typed) && !start.takes(Origin::Desk));
        let text = "direction = \"in\"\n[start]\non = [\"desk\", \"input\", \"button\"]\ninputs = [\"fire\", \"button\"]";
        let start = profile(text).unwrap().start;
        assert!(!start.takes(Origin::Scan) && start.takes(Origin::Desk));
        assert_eq!(start.input("fire"), Some(Origin::Input));
        assert_eq!(start.input("button"), Some(Origin::Button));
        assert_eq!(start.input("door"), None);
    }

    #[test]
    fn a_direction_of_both_ways_says_what_gives_it() {
        assert_eq!(profile("direction = \"both\"\nby = \"reader\"").unwrap().by, Some(By::Reader));
        let text = "direction = \"both\"\nby = \"register:bag\"";
        assert!(profile(text).unwrap_err().what.contains("no [[register]] is called `bag`"));
        let bag = "[[register]]\nname = \"bag\"\nkey = \"pass.subject\"\nholder = \"pass.subject\"";
        let by = profile(&format!("{text}\n{bag}")).unwrap().by;
        assert_eq!(by, Some(By::Register("bag".into())));
        for bad in [
            "direction = \"both\"",
            "direction = \"both\"\nby = \"bag\"",
            "direction = \"in\"\nby = \"reader\"",
            "direction = \"up\"",
            "direction = \"in\"\n[start]\non = [\"typed\"]",
            "direction = \"in\"\n[start]\non = []",
            "direction = \"in\"\n[start]\non = [\"input\"]",
            "direction = \"in\"\n[start]\ninputs = [\"fire\"]",
            "direction = \"in\"\n[start]\nnumber = \"a bag\"",
        ] {
            assert!(profile(bad).is_err(), "{bad}");
        }
    }
}
