//! Command codes: what a printed sheet says to a lane through a scanner.
//!
//! They have a scheme of their own, `KC1:`, as passes (`KP1:`), entries of lists (`KE1:`) and enrolment codes (`KQ1|`)
//! have theirs: no pass, no id and no answer begins with it, however it is written.

use crate::pass::id;
use crate::text::trimmed;

/// What every command code begins with.
pub const SCHEME: &str = crate::pass::COMMAND_SCHEME;
/// The longest value of a field that a code holds, in characters.
pub const VALUE_MAX: usize = 200;

const KEY: &str = "KEY:";
const SET: &str = "SET:";

/// What one code of the sheet says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommandCode {
    /// The main button: takes what was gathered, accepts the photograph, ends the count.
    Confirm,
    /// Takes the photograph again.
    Retake,
    /// Ends the visit without a verdict.
    Cancel,
    /// Takes the last character or the last answer back.
    Back,
    /// Leaves a field empty, a seal out.
    Skip,
    /// Approves.
    Approve,
    /// Does not.
    Refuse,
    /// Measures the temperature again.
    Recheck,
    /// Lets whoever is measured wait at the desk.
    Aside,
    /// Begins a visit without a code.
    Start,
    /// The next staff badge signs on, also where badges are passes.
    SignOn,
    /// Whoever has signed on is gone.
    SignOff,
    /// One letter or digit.
    Key(char),
    /// The answer to a field, one of its options, a check, or a word of a seal.
    Set {
        /// The question, the field, the step with checks; or `door`, `kind`, `condition`.
        field: String,
        /// The answer.
        value: String,
    },
}

/// The codes that are a word, with what the sheet says beside them.
pub const WORDS: [(CommandCode, &str, &str, &str); 12] = [
    (CommandCode::Confirm, "CONFIRM", "确认", "Confirm"),
    (CommandCode::Retake, "RETAKE", "重拍", "Retake"),
    (CommandCode::Cancel, "CANCEL", "取消本次", "Cancel the visit"),
    (CommandCode::Back, "BACK", "退回", "Back"),
    (CommandCode::Skip, "SKIP", "不填", "Leave empty"),
    (CommandCode::Approve, "APPROVE", "批准", "Approve"),
    (CommandCode::Refuse, "REFUSE", "不批准", "Refuse"),
    (CommandCode::Recheck, "RECHECK", "复测体温", "Measure again"),
    (CommandCode::Aside, "ASIDE", "请靠边", "Step aside"),
    (CommandCode::Start, "START", "无码登记", "No code"),
    (CommandCode::SignOn, "SIGN-ON", "登录：接着扫工牌", "Sign on: then the badge"),
    (CommandCode::SignOff, "SIGN-OFF", "退出", "Sign off"),
];

/// Whether a text is of the scheme, in whatever letters: also one that says nothing.
pub fn is_command(text: &str) -> bool {
    // Every scan is asked: what begins with another letter, also one of full width, is none.
    let begins = trimmed(text).chars().next().is_some_and(|c| "KkＫｋ\u{212a}".contains(c));
    begins && id::normal(text).starts_with(SCHEME)
}

impl CommandCode {
    /// Reads what a scanner gave. Nothing where it is no command code; `Some(None)` where it is one that says nothing.
    pub fn read(bytes: &[u8]) -> Option<Option<Self>> {
        let text = trimmed(std::str::from_utf8(bytes).ok()?);
        if !is_command(text) {
            return None;
        }
        Some(text.strip_prefix(SCHEME).and_then(Self::of))
    }

    fn of(says: &str) -> Option<Self> {
        if let Some(key) = says.strip_prefix(KEY) {
            let mut all = key.chars();
            let key = all.next().filter(|c| c.is_alphanumeric() || ".-".contains(*c))?;
            return all.next().is_none().then_some(Self::Key(key));
        }
        if let Some(set) = says.strip_prefix(SET) {
            let (field, value) = set.split_once(':')?;
            let good = !field.is_empty() && !value.is_empty() && value.chars().count() <= VALUE_MAX;
            let shown = !value.chars().any(char::is_control) && !is_command(value);
            return (good && shown).then(|| Self::Set { field: field.into(), value: value.into() });
        }
        WORDS.iter().find(|(_, word, ..)| *word == says).map(|(code, ..)| code.clone())
    }

    /// What stands in the code.
    pub fn text(&self) -> String {
        match self {
            Self::Key(key) => format!("{SCHEME}{KEY}{key}"),
            Self::Set { field, value } => format!("{SCHEME}{SET}{field}:{value}"),
            Self::Confirm
            | Self::Retake
            | Self::Cancel
            | Self::Back
            | Self::Skip
            | Self::Approve
            | Self::Refuse
            | Self::Recheck
            | Self::Aside
            | Self::Start
            | Self::SignOn
            | Self::SignOff => {
                let word = WORDS.iter().find(|(code, ..)| code == self).map_or("", |(_, word, ..)| word);
                format!("{SCHEME}{word}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::trust::TrustList;
    use crate::pass::{Check, check};

    #[test]
    fn what_is_printed_is_read_and_is_no_pass() {
        let set = |field: &str, value: &str| CommandCode::Set { field: field.into(), value: value.into() };
        let mut all: Vec<_> = WORDS.iter().map(|(code, ..)| code.clone()).collect();
        all.extend(['0', '9', 'Z', '辽', '.'].map(CommandCode::Key));
        all.extend([set("symptoms", "fever"), set("source", "骨科 3 楼：A"), set("handover", "view")]);
        let trust = TrustList::default();
        for code in all {
            let text = code.text();
            assert_eq!(CommandCode::read(text.as_bytes()), Some(Some(code)), "{text}");
            assert!(CommandCode::read(format!("\u{feff}{text}\r\n").as_bytes()).is_some(), "{text}");
            let as_pass = check(text.as_bytes(), Check { trust: &trust, now_s: Some(0), region: "x" });
            assert!(as_pass.is_err(), "{text} is taken for an id");
        }
    }

    #[test]
    fn what_says_nothing_is_a_command_all_the_same_and_nothing_else_is_one() {
        for bad in [
            "KC1:",
            "KC1:NO",
            "KC1:KEY:",
            "KC1:KEY:12",
            "KC1:KEY:!",
            "KC1:SET:a",
            "KC1:SET::b",
            "KC1:SET:a:",
            "kc1:confirm",
            "ＫＣ1:CONFIRM",
            "KC1:SET:a:KC1:CANCEL",
        ] {
            assert_eq!(CommandCode::read(bad.as_bytes()), Some(None), "{bad}");
        }
        assert_eq!(
            CommandCode::read(format!("KC1:SET:a:{}", "x".repeat(VALUE_MAX + 1)).as_bytes()),
            Some(None)
        );
        for other in ["", "P-0001", "KP1:ABC", "KC1", "XKC1:CONFIRM", "KC2:CONFIRM"] {
            assert_eq!(CommandCode::read(other.as_bytes()), None, "{other}");
        }
        assert_eq!(CommandCode::read(&[0xff, 0xfe]), None);
    }
}
