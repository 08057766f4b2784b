//! What was gathered by command codes for the step that waits, until it is sent as one act.
//!
//! An entry belongs to one officer, one visit and one of its steps: nothing that somebody else has gathered, or that was
//! meant for another step, is ever sent. What is sent is an act as a button sends it, and is judged by the step alone.

use super::code::{CommandCode, VALUE_MAX};
use super::fields;
use crate::ids::{OfficerId, VisitId};
use crate::lane::action::{Action, Rejection};
use crate::lane::view::ask::{Answer, Ask, FieldAsk, Opt};
use crate::lane::visit::{PhotoState, Visit};
use crate::text::Text;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The words of a seal: where it sits, what it is, how it is found.
pub const SEAL_FIELDS: [&str; 3] = [DOOR, KIND, CONDITION];
pub(super) const DOOR: &str = "door";
pub(super) const KIND: &str = "kind";
pub(super) const CONDITION: &str = "condition";

/// What was gathered.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// By whom.
    pub by: OfficerId,
    /// For which visit; none where nobody stands there.
    pub visit: Option<VisitId>,
    /// At which of its steps.
    pub step: usize,
    /// Answers by field.
    pub values: BTreeMap<String, Value>,
    /// The fields in the order in which they were answered.
    pub(super) order: Vec<String>,
    /// Fields that are left empty.
    pub(super) skipped: BTreeSet<String>,
    /// Letters and digits that are not taken yet.
    pub typed: String,
    /// Checks.
    pub ticked: Vec<String>,
    /// Seals by number: door, then condition.
    pub(super) seals: BTreeMap<String, [String; 2]>,
    /// Numbers of a seal that were typed.
    pub(super) numbers: Vec<String>,
    /// The code that is only taken when it comes twice.
    armed: Option<CommandCode>,
}

/// Where a code is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// What the step asks.
    pub ask: &'a Ask,
    /// Its id; empty where nobody stands there.
    pub step: &'a str,
    /// The visit.
    pub visit: Option<&'a Visit>,
    /// The role of the reader, where one has read the code.
    pub on: Option<&'a str>,
}

/// What follows from a code.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// An act.
    Act(Action),
    /// Something was gathered; so say the screens.
    Gathered(Text),
}

pub(super) type Taken = Result<Told, Rejection>;

pub(super) fn refuse(zh: impl Into<String>, en: impl Into<String>) -> Rejection {
    Rejection::of("command", Text::new(zh, en))
}

pub(super) fn gathered(zh: impl Into<String>, en: impl Into<String>) -> Taken {
    Ok(Told::Gathered(Text::new(zh, en)))
}

impl Entry {
    /// Nothing yet.
    pub fn new(by: OfficerId, visit: Option<VisitId>, step: usize) -> Self {
        Self {
            by,
            visit,
            step,
            values: BTreeMap::new(),
            order: Vec::new(),
            skipped: BTreeSet::new(),
            typed: String::new(),
            ticked: Vec::new(),
            seals: BTreeMap::new(),
            numbers: Vec::new(),
            armed: None,
        }
    }

    /// Takes a code.
    pub(super) fn take(&mut self, code: &CommandCode, at: Place<'_>) -> Taken {
        let armed = self.armed.take().as_ref() == Some(code);
        match code {
            CommandCode::Cancel => self.twice(armed, code, "取消本次", "cancel the visit", || {
                Action::Cancel { reason: String::new(), visit: at.visit.map(|v| v.id) }
            }),
            CommandCode::Recheck => Ok(Told::Act(Action::Recheck)),
            CommandCode::Aside => Ok(Told::Act(Action::Aside)),
            CommandCode::Start => Ok(Told::Act(Action::Start { on: at.on.map(str::to_owned) })),
            CommandCode::Approve => Ok(Told::Act(approve(true))),
            CommandCode::Refuse => self.twice(armed, code, "不批准", "refuse", || approve(false)),
            CommandCode::Retake => {
                let Ask::Photo { role: Some(role), .. } = at.ask else { return Err(Rejection::not_now()) };
                Ok(Told::Act(Action::Retake(role.clone())))
            }
            CommandCode::Confirm => self.confirm(armed, at),
            CommandCode::Back => self.back(at),
            CommandCode::Skip => self.skip(at),
            CommandCode::Key(key) => self.key(*key, at),
            CommandCode::Set { field, value } => self.set(field, value, at),
            // Whoever signs on or off gathers nothing.
            CommandCode::SignOn | CommandCode::SignOff => Err(Rejection::not_now()),
        }
    }

    /// What cannot be undone is asked for twice.
    fn twice(
        &mut self,
        armed: bool,
        code: &CommandCode,
        zh: &str,
        en: &str,
        act: impl FnOnce() -> Action,
    ) -> Taken {
        if armed {
            return Ok(Told::Act(act()));
        }
        self.armed = Some(code.clone());
        gathered(format!("再扫一次：{zh}"), format!("Scan it once more to {en}"))
    }

    fn confirm(&mut self, armed: bool, at: Place<'_>) -> Taken {
        match at.ask {
            Ask::Temperature { .. } => Ok(Told::Act(Action::Recheck)),
            Ask::Question { id, answer, .. } => {
                if matches!(answer, Answer::Choices { .. }) {
                    let value = self.values.get(id).cloned().unwrap_or_else(|| json!([]));
                    return Ok(Told::Act(Action::Form(BTreeMap::from([(id.clone(), value)]))));
                }
                let value = fields::typed(answer, &self.typed).ok_or_else(nothing)?;
                self.typed.clear();
                Ok(Told::Act(Action::Answer { question: id.clone(), value }))
            }
            Ask::Form { fields, .. } => self.confirm_form(fields),
            Ask::Tally { .. } if !self.typed.is_empty() => {
                Ok(Told::Act(Action::Tally(std::mem::take(&mut self.typed))))
            }
            Ask::Tally { missing, .. } => {
                if missing.is_empty() || armed {
                    return Ok(Told::Act(Action::TallyDone));
                }
                self.armed = Some(CommandCode::Confirm);
                let n = missing.len();
                gathered(
                    format!("还缺{n}个：再扫一次“确认”结束"),
                    format!("{n} are missing: scan Confirm once more to end"),
                )
            }
            Ask::SealCheck { expected, scanned, .. } => {
                self.confirm_check(armed, expected, scanned.as_deref())
            }
            Ask::Seal { doors, kinds, scanned, .. } => self.confirm_seal(doors, kinds, scanned.as_deref()),
            Ask::Photo { role: Some(role), .. } => {
                let state = at.visit.and_then(|v| v.photos.get(role)).map(|slot| slot.state);
                Ok(Told::Act(match state {
                    Some(PhotoState::Review) => Action::Accept(role.clone()),
                    Some(PhotoState::Retake) => Action::Retake(role.clone()),
                    Some(PhotoState::Missing | PhotoState::Taking | PhotoState::Accepted) | None => {
                        Action::Capture(role.clone())
                    }
                }))
            }
            Ask::Confirm { .. } => Ok(Told::Act(Action::Confirm(self.ticked.clone()))),
            Ask::Party { count: None, .. } => {
                let count = self.typed.parse().map_err(|_| nothing())?;
                self.typed.clear();
                Ok(Told::Act(Action::Party(count)))
            }
            Ask::Approve { .. } => Err(refuse("请扫“批准”或“不批准”", "Scan Approve or Refuse")),
            Ask::Party { .. }
            | Ask::Photo { role: None, .. }
            | Ask::Scan { .. }
            | Ask::Weigh { .. }
            | Ask::Wait { .. } => Err(Rejection::not_now()),
        }
    }

    pub(super) fn arm(&mut self, code: CommandCode) {
        self.armed = Some(code);
    }

    fn confirm_form(&mut self, fields: &[FieldAsk]) -> Taken {
        if self.typed.is_empty() {
            return Ok(Told::Act(Action::Form(self.values.clone())));
        }
        let current = self.current(fields).ok_or_else(Rejection::not_now)?;
        let value = fields::typed(&current.answer, &self.typed).ok_or_else(nothing)?;
        self.typed.clear();
        self.put(&current.id, json!(value));
        self.told(current, &value, None, fields)
    }

    /// The field whose turn it is: the first that is asked, has no answer, and was not left empty.
    pub(super) fn current<'f>(&self, fields: &'f [FieldAsk]) -> Option<&'f FieldAsk> {
        fields.iter().find(|field| {
            self.is_asked(field, fields) && self.value(field).is_none() && !self.skipped.contains(&field.id)
        })
    }

    fn value<'v>(&'v self, field: &'v FieldAsk) -> Option<&'v Value> {
        self.values.get(&field.id).or(field.value.as_ref()).filter(|value| !value.is_null())
    }

    /// Whether a field is asked with what is answered so far. Where the lane alone knows, it does not ask by itself.
    fn is_asked(&self, field: &FieldAsk, fields: &[FieldAsk]) -> bool {
        let Some(on) = &field.depends_on else { return true };
        let other = fields.iter().find(|f| f.id == on.field).and_then(|f| self.value(f));
        let is = |word: &str| match other {
            Some(Value::Array(all)) => all.iter().any(|one| one == word),
            Some(one) => one == word,
            None => false,
        };
        match (&on.value, &on.unless) {
            (Some(value), _) => is(value),
            (None, Some(unless)) => other.is_some() && !is(unless),
            (None, None) => false,
        }
    }

    fn put(&mut self, field: &str, value: Value) {
        self.order.retain(|one| one != field);
        self.order.push(field.to_owned());
        self.skipped.remove(field);
        self.values.insert(field.to_owned(), value);
    }

    /// Says what was taken, and what comes next.
    fn told(&self, field: &FieldAsk, value: &str, option: Option<&Opt>, fields: &[FieldAsk]) -> Taken {
        let words = option.map_or_else(|| Text::new(value, value), |option| option.text.clone());
        let next = self.current(fields);
        let (zh, en) = next.map_or_else(
            || ("扫“确认”提交".to_owned(), "scan Confirm to send".to_owned()),
            |next| (format!("下一项：{}", next.text.zh), format!("next: {}", next.text.en)),
        );
        gathered(
            format!("{}：{}。{zh}", field.text.zh, words.zh),
            format!("{}: {}; {en}", field.text.en, words.en),
        )
    }

    fn set(&mut self, name: &str, value: &str, at: Place<'_>) -> Taken {
        match at.ask {
            Ask::Question { id, answer, .. } if id == name => match (answer, option(answer, value)?) {
                (Answer::Choices { .. }, Some(option)) => {
                    let chosen = toggled(self.values.get(id), value);
                    let n = chosen.len();
                    self.put(name, json!(chosen));
                    gathered(
                        format!("{}（已选{n}项），扫“确认”提交", option.text.zh),
                        format!("{} ({n} chosen): scan Confirm to send", option.text.en),
                    )
                }
                (_, Some(_) | None) => {
                    Ok(Told::Act(Action::Answer { question: name.into(), value: value.into() }))
                }
            },
            Ask::Form { fields, .. } => {
                let field = fields.iter().find(|field| field.id == name).ok_or_else(other_step)?;
                let option = option(&field.answer, value)?;
                let many = matches!(field.answer, Answer::Choices { .. });
                let taken = if many { json!(toggled(self.value(field), value)) } else { json!(value) };
                self.typed.clear();
                self.put(name, taken);
                self.told(field, value, option, fields)
            }
            Ask::Confirm { checks, .. } if at.step == name => {
                let check = checks.iter().find(|check| check.id == value).ok_or_else(other_step)?;
                if !self.ticked.iter().any(|one| one == value) {
                    self.ticked.push(value.to_owned());
                }
                let left = checks.iter().filter(|check| !self.ticked.contains(&check.id)).count();
                let (zh, en) = match left {
                    0 => ("扫“确认”签署".to_owned(), "scan Confirm to sign".to_owned()),
                    _ => (format!("还有{left}项"), format!("{left} to go")),
                };
                gathered(format!("{}。{zh}", check.text.zh), format!("{}; {en}", check.text.en))
            }
            Ask::SealCheck { .. } | Ask::Seal { .. } => self.set_seal(name, value, at.ask),
            Ask::Question { .. }
            | Ask::Confirm { .. }
            | Ask::Scan { .. }
            | Ask::Temperature { .. }
            | Ask::Tally { .. }
            | Ask::Weigh { .. }
            | Ask::Photo { .. }
            | Ask::Approve { .. }
            | Ask::Party { .. }
            | Ask::Wait { .. } => Err(other_step()),
        }
    }

    fn key(&mut self, key: char, at: Place<'_>) -> Taken {
        // A number chooses where there are buttons with numbers, as it does on the keyboard of the desk.
        let nth = key.to_digit(10).and_then(|n| usize::try_from(n).ok()?.checked_sub(1));
        let chosen = match at.ask {
            Ask::Question { id, answer, .. } => {
                fields::options(answer).map(|all| (id.clone(), nth_of(all, nth)))
            }
            Ask::Form { fields, .. } => {
                let current = self.current(fields).ok_or_else(full)?;
                fields::options(&current.answer).map(|all| (current.id.clone(), nth_of(all, nth)))
            }
            Ask::Confirm { checks, .. } => {
                let check = nth.and_then(|n| checks.get(n)).map(|check| check.id.clone());
                Some((at.step.to_owned(), check))
            }
            Ask::Tally { .. } | Ask::SealCheck { .. } | Ask::Seal { .. } | Ask::Party { count: None, .. } => {
                None
            }
            Ask::Scan { .. }
            | Ask::Temperature { .. }
            | Ask::Weigh { .. }
            | Ask::Photo { .. }
            | Ask::Approve { .. }
            | Ask::Party { .. }
            | Ask::Wait { .. } => return Err(Rejection::not_now()),
        };
        if let Some((field, value)) = chosen {
            let value = value.ok_or_else(no_option)?;
            return self.set(&field, &value, at);
        }
        if self.typed.chars().count() >= VALUE_MAX {
            return Err(full());
        }
        self.typed.push(key);
        let typed = &self.typed;
        gathered(format!("{typed}，扫“确认”"), format!("{typed}: then Confirm"))
    }

    fn skip(&mut self, at: Place<'_>) -> Taken {
        let Ask::Form { fields, .. } = at.ask else { return Err(Rejection::not_now()) };
        let current = self.current(fields).ok_or_else(full)?;
        if current.required {
            let (zh, en) = (&current.text.zh, &current.text.en);
            return Err(refuse(format!("必须填写：{zh}"), format!("This must be answered: {en}")));
        }
        self.typed.clear();
        self.skipped.insert(current.id.clone());
        self.told(current, "-", None, fields)
    }

    fn back(&mut self, at: Place<'_>) -> Taken {
        if self.typed.pop().is_some() {
            let typed = &self.typed;
            return gathered(format!("{typed}_"), format!("{typed}_"));
        }
        if self.seal_back(at.ask) || self.ticked.pop().is_some() {
            return gathered("已退回一项", "Taken back");
        }
        let last = self.order.pop().ok_or_else(|| refuse("没有可退回的", "There is nothing to take back"))?;
        self.values.remove(&last);
        self.skipped.clear();
        gathered("已退回一项", "Taken back")
    }
}

fn approve(approve: bool) -> Action {
    Action::Approve { approve, note: String::new(), desk: None }
}

/// The option of an answer that is chosen; none where it is typed.
fn option<'o>(answer: &'o Answer, value: &str) -> Result<Option<&'o Opt>, Rejection> {
    let Some(options) = fields::options(answer) else { return Ok(None) };
    fields::find(options, value).map(Some).ok_or_else(no_option)
}

fn nth_of(options: &[Opt], nth: Option<usize>) -> Option<String> {
    options.get(nth?).map(|option| option.value.clone())
}

/// The options that are chosen when one of them is touched.
fn toggled(before: Option<&Value>, value: &str) -> Vec<String> {
    let all = before.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut all: Vec<String> = all.map(str::to_owned).collect();
    match all.iter().position(|one| one == value) {
        Some(at) => drop(all.remove(at)),
        None => all.push(value.to_owned()),
    }
    all
}

fn nothing() -> Rejection {
    refuse("还没有输入", "Nothing was entered yet")
}

fn full() -> Rejection {
    refuse("没有待填的项：扫“确认”提交", "Nothing is left to fill in: scan Confirm to send")
}

fn no_option() -> Rejection {
    refuse("没有这个选项", "There is no such option")
}

pub(super) fn other_step() -> Rejection {
    refuse("此码属于另一步骤", "This code belongs to another step")
}
