//! A scanner as the only input of the staff: a printed sheet of command codes, and the badge of whoever scans them.
//!
//! A command code does what a button of the same officer at the same lane does, and nothing else: it becomes an
//! [`Action`], which the step judges as it judges that of the desk. Who acts is named: at the desk whoever is signed in
//! there; at the reader of the lane whoever has shown a staff badge that signs on ([`badges`]). Where nobody has, it is
//! refused, and counted. A command code is never a pass and never an answer, and is stored nowhere. A sign-on lives in
//! memory: it ends by time, by another badge, by the code for it, and with the power.

pub mod badges;
pub mod code;
mod entry;
mod fields;
pub mod printed;
mod seals;
mod shown;

use super::action::{Action, Officer, Rejection, Role};
use super::open::Answer;
use super::scan::moment;
use super::step::{Look, StepKind};
use super::view;
use super::view::ask::Ask;
use super::{Lane, Outbound};
use crate::event::Class;
use crate::ids::{OfficerId, VisitId};
use crate::pass::{self, Check, Pass};
use crate::records::{Records, RecordsFault};
use crate::text::Text;
use crate::time::{MonoMs, Now};
use code::CommandCode;
pub use entry::{Entry, SEAL_FIELDS};
use entry::{Place, Told, refuse};
use serde_json::json;

/// A code that a reader goes on seeing within this time is one read, in milliseconds.
const SAME_READ_MS: u64 = 700;
/// So long the next badge signs on, where badges are passes as well.
const SIGN_ON_MS: u64 = 20_000;
/// So long the screens say what became of a code.
const SAID_MS: u64 = 8_000;
/// The kind of pass that signs on.
const BADGE: &str = "staff-badge";

/// Whoever acts at the reader of a lane, and what was gathered there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sheet {
    /// Who has signed on by badge, until when.
    pub on: Option<(Officer, MonoMs)>,
    /// Until when the next badge signs on.
    awaits: Option<MonoMs>,
    /// What was gathered.
    pub entry: Option<Entry>,
    /// What became of the latest code.
    pub said: Option<Said>,
    /// The latest code, and when a reader last saw it.
    seen: Option<(Vec<u8>, i64)>,
}

/// What became of a code.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// In words.
    pub text: Text,
    /// Whether it was taken.
    pub taken: bool,
    /// Whether nobody had signed on: the public screen says so, too.
    pub nobody: bool,
    /// When.
    pub since: MonoMs,
    /// How long it is shown.
    pub until: MonoMs,
}

fn nobody() -> Rejection {
    refuse("请工作人员先扫工牌", "Staff: scan your badge first")
}

/// Whether an act would put a command code where an answer stands.
pub(super) fn holds_command(action: &Action) -> bool {
    match action {
        Action::Enter { text, .. } | Action::Tally(text) | Action::Answer { value: text, .. } => {
            code::is_command(text)
        }
        Action::Form(answers) => answers.values().any(|value| match value.as_array() {
            Some(all) => all.iter().filter_map(|one| one.as_str()).any(code::is_command),
            None => value.as_str().is_some_and(code::is_command),
        }),
        Action::Correct { key, holder, .. } => code::is_command(key) || code::is_command(holder),
        Action::Seal { .. }
        | Action::SealCheck(_)
        | Action::Start { .. }
        | Action::Recheck
        | Action::Aside
        | Action::Call
        | Action::Party(_)
        | Action::Complete(_)
        | Action::TallyDone
        | Action::Approve { .. }
        | Action::Capture(_)
        | Action::Retake(_)
        | Action::Accept(_)
        | Action::Confirm(_)
        | Action::Cancel { .. }
        | Action::Override { .. }
        | Action::Reprint { .. }
        | Action::OpenAgain(_)
        | Action::OpenedByHand(_)
        | Action::Code(_) => false,
    }
}

/// What is said of one.
pub(super) fn is_no_answer() -> Rejection {
    refuse("这是指令码，不是证件或答案", "This is a command code, no pass and no answer")
}

impl Lane {
    /// A reader has read something for staff: a command code, or a badge that signs on. Says whether it was that.
    pub(super) fn staff_code(
        &mut self,
        now: &Now,
        (bytes, on): (&[u8], Option<&str>),
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<bool, RecordsFault> {
        let read = CommandCode::read(bytes);
        if read.is_none() {
            return self.badge(now, bytes, records, out);
        }
        let seen = self.state.sheet.seen.replace((bytes.to_vec(), moment(now)));
        let goes_on = |at: i64| moment(now).saturating_sub(at) < SAME_READ_MS.cast_signed();
        if seen.is_some_and(|(before, at)| before == bytes && goes_on(at)) {
            out.count("scan_same_read_total");
            return Ok(true);
        }
        self.end_overdue(now, out);
        let officer = self.state.sheet.on.as_ref().map(|(officer, _)| officer.clone());
        let done = match (read.flatten(), officer) {
            (Some(CommandCode::SignOn), _) => self.await_badge(now),
            (_, None) => Err(nobody()),
            (None, Some(_)) => Err(unknown()),
            (Some(CommandCode::SignOff), Some(_)) => {
                self.sign_off("code", out);
                Ok(Text::new("已退出", "Signed off"))
            }
            (Some(code), Some(officer)) => {
                self.state.sheet.on = Some((officer.clone(), now.mono_ms + self.setup.badges.idle_ms()));
                self.command(now, &officer, (&code, on), next_visit, records, out)?
            }
        };
        self.say(now, &done, out);
        Ok(true)
    }

    /// A command code that was read at a desk: whoever is signed in there acts.
    pub(super) fn code_at_desk(
        &mut self,
        now: &Now,
        officer: &Officer,
        text: &str,
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let done = match CommandCode::read(text.as_bytes()).flatten() {
            None => Err(unknown()),
            Some(CommandCode::SignOn | CommandCode::SignOff) => {
                Err(refuse("在工作台请用按键登录或退出", "At a desk, sign in and out on its page"))
            }
            Some(code) => self.command(now, officer, (&code, None), next_visit, records, out)?,
        };
        self.say(now, &done, out);
        Ok(done.map(drop))
    }

    /// What a code does: something is gathered, or an act follows.
    fn command(
        &mut self,
        now: &Now,
        officer: &Officer,
        (code, on): (&CommandCode, Option<&str>),
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<Result<Text, Rejection>, RecordsFault> {
        let visit = self.at_hand().and_then(|id| self.state.visits().find(|v| v.id == id)).cloned();
        let step = visit.as_ref().and_then(|v| Some((v.step, self.profile_of(v).steps.get(v.step)?)));
        let ask = match (&visit, &step) {
            (Some(visit), Some((place, step))) => {
                view::ask_of(self, Look { now, step, place: *place, visit })
            }
            (Some(_) | None, _) => Ask::Scan { prompt: self.prompt() },
        };
        let id = step.map(|(_, step)| step.id.clone()).unwrap_or_default();
        let of = visit.as_ref().map(|v| v.id);
        let at = visit.as_ref().map_or(0, |v| v.step);
        // Of somebody else, of another visit or another step nothing is taken over.
        let before = self.state.sheet.entry.take();
        let mut entry = before
            .filter(|e| e.by == officer.id && e.visit == of && e.step == at)
            .unwrap_or_else(|| Entry::new(officer.id.clone(), of, at));
        let done = match entry.take(code, Place { ask: &ask, step: &id, visit: visit.as_ref(), on }) {
            Err(why) => Err(why),
            Ok(Told::Gathered(text)) => Ok(text),
            Ok(Told::Act(action)) => {
                let names_none = matches!(action, Action::Start { .. } | Action::Recheck | Action::Aside);
                let of = of.filter(|_| !names_none);
                let done = self.act_now(now, officer, (of, &action), next_visit, records, out)?;
                if done.is_ok() {
                    entry = Entry::new(officer.id.clone(), None, 0);
                } else {
                    out.count("action_rejected_total");
                }
                done.map(|()| Text::new("已执行", "Done"))
            }
        };
        let still = self.at_hand() == of && entry.visit == of && of.is_some();
        self.state.sheet.entry = still.then_some(entry);
        Ok(done)
    }

    /// The visit that a code is for: the one in front, else what waits for staff.
    fn at_hand(&self) -> Option<VisitId> {
        let front = self.state.visit.as_ref().filter(|_| self.is_running()).map(|v| v.id);
        front.or_else(|| self.at_desk().first().copied())
    }

    fn say(&mut self, now: &Now, done: &Result<Text, Rejection>, out: &mut Outbound) {
        out.count(if done.is_ok() { "command_total" } else { "command_refused_total" });
        let (text, taken) = match done {
            Ok(text) => (text.clone(), true),
            Err(why) => (why.text.clone(), false),
        };
        let nobody = !taken && self.state.sheet.on.is_none();
        let until = now.mono_ms + SAID_MS;
        self.state.sheet.said = Some(Said { text, taken, nobody, since: now.mono_ms, until });
    }

    fn await_badge(&mut self, now: &Now) -> Result<Text, Rejection> {
        if self.setup.badges.none() {
            return Err(refuse("本机未启用工牌登录", "Nobody signs on by badge at this gateway"));
        }
        self.state.sheet.awaits = Some(now.mono_ms + SIGN_ON_MS);
        Ok(Text::new("请扫工牌", "Now scan the badge"))
    }

    /// A badge signs on: where badges are passes, only behind the code for it.
    fn badge(
        &mut self,
        now: &Now,
        bytes: &[u8],
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<bool, RecordsFault> {
        if self.setup.badges.none() || pass::unverified_kind(bytes) != Some(BADGE) {
            return Ok(false);
        }
        let is_pass = self.setup.profile.steps.iter().any(|step| {
            matches!(&step.kind, StepKind::Scan(scan) if scan.accepts.iter().any(|kind| kind == BADGE))
        });
        let awaited = self.state.sheet.awaits.is_some_and(|until| until > now.mono_ms);
        if is_pass && !awaited {
            return Ok(false);
        }
        let with = Check { trust: &self.setup.trust, now_s: now.wall_s(), region: &self.setup.region };
        let Ok(pass) = pass::check(bytes, with) else { return Ok(false) };
        let officer = self.setup.badges.of(&pass.subject).filter(|_| pass.kind == BADGE).cloned();
        let Some(officer) = officer else { return Ok(false) };
        self.end_overdue(now, out);
        // What was refused before is scanned again at once.
        (self.state.sheet.awaits, self.state.sheet.seen) = (None, None);
        let done = match self.may_sign_on(&pass, &officer, records)? {
            Err(why) => {
                out.count("badge_refused_total");
                Err(why)
            }
            Ok(()) => Ok(self.sign_on(now, officer, out)),
        };
        self.say(now, &done, out);
        Ok(true)
    }

    fn may_sign_on(
        &self,
        pass: &Pass,
        officer: &Officer,
        records: &dyn Records,
    ) -> Result<Result<(), Rejection>, RecordsFault> {
        if !self.setup.badges.may(officer.role) || officer.role == Role::Admin {
            return Ok(Err(refuse(
                "此岗位不能只凭工牌：请在工作台用密码登录",
                "Not by badge alone in this role: sign in at the desk with your PIN",
            )));
        }
        let mut taken_back = false;
        for kid in pass.kids(&self.setup.trust) {
            taken_back |= listed(records.revoked(&kid, &pass.id))?;
        }
        if taken_back || listed(records.listed("hold", &pass.subject))? {
            return Ok(Err(refuse("此工牌已停用", "This badge was taken back")));
        }
        Ok(Ok(()))
    }

    fn sign_on(&mut self, now: &Now, officer: Officer, out: &mut Outbound) -> Text {
        let same = self.state.sheet.on.as_ref().is_some_and(|(before, _)| before.id == officer.id);
        if !same {
            self.sign_off("badge", out);
            let data = json!({ "act": "sign_in", "officer": officer.id, "with": "badge" });
            out.event("audit", Class::Scan, &self.setup, None, data);
        }
        let who = officer.id.to_string();
        self.state.sheet.on = Some((officer, now.mono_ms + self.setup.badges.idle_ms()));
        Text::new(format!("已登录：{who}"), format!("Signed on: {who}"))
    }

    /// Whoever has signed on is gone, and what they gathered with them.
    pub(super) fn sign_off(&mut self, by: &str, out: &mut Outbound) {
        let Some((officer, _)) = self.state.sheet.on.take() else { return };
        if self.state.sheet.entry.as_ref().is_some_and(|entry| entry.by == officer.id) {
            self.state.sheet.entry = None;
        }
        let data = json!({ "act": "sign_out", "officer": officer.id, "with": by });
        out.event("audit", Class::Scan, &self.setup, None, data);
    }

    fn end_overdue(&mut self, now: &Now, out: &mut Outbound) {
        if self.state.sheet.on.as_ref().is_some_and(|(_, until)| *until <= now.mono_ms) {
            self.sign_off("time", out);
        }
    }

    /// When a sign-on ends, and what is said of a code.
    pub(super) fn sheet_due(&self) -> Option<MonoMs> {
        let sheet = &self.state.sheet;
        let said = sheet.said.as_ref().map(|said| said.until);
        [sheet.on.as_ref().map(|(_, until)| *until), said].into_iter().flatten().min()
    }

    /// Does what is due of it.
    pub(super) fn sheet_overdue(&mut self, now: &Now, out: &mut Outbound) {
        self.end_overdue(now, out);
        if self.state.sheet.said.as_ref().is_some_and(|said| said.until <= now.mono_ms) {
            self.state.sheet.said = None;
        }
    }
}

fn unknown() -> Rejection {
    refuse("不认识这个指令码：请重印指令单", "This command code is not known: print the sheet anew")
}

/// A list that cannot be read lets nobody sign on.
fn listed(answer: Result<bool, RecordsFault>) -> Result<bool, RecordsFault> {
    match answer {
        Err(RecordsFault::List { .. }) => Ok(true),
        Ok(_) | Err(RecordsFault::Store(_)) => answer,
    }
}

/// Who signed on by badge.
pub(super) fn signed_on(sheet: &Sheet) -> Option<&OfficerId> {
    sheet.on.as_ref().map(|(officer, _)| &officer.id)
}
