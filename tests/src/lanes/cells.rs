//! What a shipped profile can do, read from the profile: each is a cell of the table.

use kakou_core::codes::{Code, Outcome};
use kakou_core::console::Act;
use kakou_core::lane::step::seal::Act as SealAct;
use kakou_core::lane::visit::Origin;
use kakou_core::profile::{DeviceKind, Profile, StepKind};
use kakou_core::rules::Expression;
use std::collections::BTreeSet;

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// A rule.
    Rule,
    /// An outcome.
    Outcome,
    /// An act of staff.
    Staff,
    /// What becomes of a visit where lists are too old or the clock is not trusted.
    Stale,
    /// Without a phone and a card.
    NoPhone,
    /// An extra event.
    Event,
}

impl Column {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Rule, Self::Outcome, Self::Staff, Self::Stale, Self::NoPhone, Self::Event];
    /// Its head.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Outcome => "outcome",
            Self::Staff => "staff",
            Self::Stale => "stale",
            Self::NoPhone => "no phone",
            Self::Event => "event",
        }
    }
}

/// What a scenario must do to show a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It fails where the profile lacks this.
    Fails(Lack),
    /// It shows a verdict with this outcome, and expects it.
    Decides(Outcome),
    /// It shows an act that was taken, at this step if one is named.
    Acts(&'static str, String),
    /// It shows that this was asked at the console.
    Asks(Act),
    /// It shows somebody admitted whose visit began so.
    Admits(Origin),
}

/// A profile without something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// A rule never holds: the place of its step, and its own there.
    Rule(usize, usize, Code),
    /// None of the rules of a step with a code ever holds.
    Rules(usize, Code),
    /// The fail mode is another one.
    FailMode,
    /// A fail mode of some visits never holds.
    FailWhen(usize),
    /// What a code leads to on the way out is what it leads to elsewhere.
    OnTheWayOut(Code),
    /// An extra event never comes.
    Event(usize, String),
}

/// A cell.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The profile.
    pub profile: String,
    /// Its column.
    pub column: Column,
    /// What it is.
    pub what: String,
    /// What shows it.
    pub proof: Proof,
}

struct Cells<'a> {
    profile: &'a Profile,
    all: Vec<Cell>,
}

/// All cells of a profile but its target, column by column.
pub fn of(profile: &Profile) -> Vec<Cell> {
    let mut cells = Cells { profile, all: Vec::new() };
    if profile.console {
        for act in Act::ALL {
            cells.add(Column::Staff, act.as_str(), Proof::Asks(act));
        }
        return cells.all;
    }
    cells.rules();
    for outcome in outcomes(profile) {
        cells.add(Column::Outcome, outcome.as_str(), Proof::Decides(outcome));
    }
    cells.staff();
    cells.stale();
    for origin in
        [Origin::Desk, Origin::Typed, Origin::Button].into_iter().filter(|o| profile.start.takes(*o))
    {
        cells.add(Column::NoPhone, origin.as_str(), Proof::Admits(origin));
    }
    for (place, emit) in profile.emits.iter().enumerate() {
        let lack = Lack::Event(place, emit.kind.clone());
        cells.add(Column::Event, &emit.kind.clone(), Proof::Fails(lack));
    }
    cells.all
}

impl Cells<'_> {
    fn add(&mut self, column: Column, what: &str, proof: Proof) {
        let profile = self.profile.id.to_string();
        self.all.push(Cell { profile, column, what: what.to_owned(), proof });
    }

    fn rules(&mut self) {
        let profile = self.profile;
        for (place, step) in profile.steps.iter().enumerate() {
            let StepKind::Decide(decide) = &step.kind else { continue };
            for (at, rule) in decide.rules.iter().enumerate() {
                let same = decide.rules.iter().take(at + 1).filter(|other| other.code == rule.code).count();
                let times = decide.rules.iter().filter(|other| other.code == rule.code).count();
                let number = if times > 1 { format!(" {same}") } else { String::new() };
                let step = if step.id == "decide" { String::new() } else { format!("[{}] ", step.id) };
                let what = format!("{step}{}{number}", rule.code.as_str());
                self.add(Column::Rule, &what, Proof::Fails(Lack::Rule(place, at, rule.code)));
            }
        }
    }

    fn act(&mut self, act: &'static str, step: &str) {
        let what = if step.is_empty() { act.to_owned() } else { format!("{act}: {step}") };
        self.add(Column::Staff, &what, Proof::Acts(act, step.to_owned()));
    }

    fn staff(&mut self) {
        let profile = self.profile;
        let has = |kind: fn(&StepKind) -> bool| profile.steps.iter().any(|step| kind(&step.kind));
        for step in &profile.steps {
            let id = &step.id;
            match &step.kind {
                StepKind::Question(_) | StepKind::Form(_) => self.act("answer", id),
                StepKind::Confirm(confirm) if confirm.approve => {
                    self.act("approve", id);
                    self.act("refuse", id);
                }
                StepKind::Confirm(_) => self.act("confirm", id),
                StepKind::Seal(seal) => {
                    let checks = matches!(seal.act, SealAct::Check { .. });
                    self.act(if checks { "check seals" } else { "seal" }, id);
                }
                StepKind::Tally(_) => self.act("counted", id),
                StepKind::Party(_) => self.act("party", ""),
                StepKind::Later(_) => self.act("complete", ""),
                StepKind::Print(_) => self.act("reprint", id),
                StepKind::Scan(_)
                | StepKind::Temperature(_)
                | StepKind::Photo(_)
                | StepKind::Verify(_)
                | StepKind::Decide(_)
                | StepKind::Register(_)
                | StepKind::Weigh(_)
                | StepKind::Actuate(_) => {}
            }
        }
        if has(|kind| matches!(kind, StepKind::Photo(_))) {
            self.act("retake", "");
        }
        if has(|kind| matches!(kind, StepKind::Temperature(_))) {
            self.act("recheck", "");
            self.act("aside", "");
        }
        if !profile.registers.is_empty() {
            self.act("correct", "");
        }
        let stops = stops(profile);
        if !stops.is_empty() {
            self.act("override", "");
        }
        if stops.iter().any(|code| code.needs_second_sign()) {
            self.act("override by two", "");
        }
        let waits = |kind: &StepKind| {
            let about = kind.about();
            about.by_staff || about.measures || about.device == Some(DeviceKind::Camera)
        };
        if profile.steps.iter().any(|step| waits(&step.kind)) {
            self.act("cancel", "");
        }
    }

    /// What no visit can meet is no cell: a lane that looks into no list for some visits, nor checks when they came, has
    /// nothing that could be too old for them.
    fn stale(&mut self) {
        let profile = self.profile;
        let looks = |kind: &StepKind| matches!(kind, StepKind::Verify(_));
        let looks: Vec<Option<&str>> = profile
            .steps
            .iter()
            .filter(|step| looks(&step.kind))
            .map(|step| step.when.as_ref().map(Expression::source))
            .collect();
        let never_for = |visits: &[&str]| {
            let out = |when: &Option<&str>| when.is_some_and(|when| visits.iter().any(|v| when.contains(v)));
            looks.iter().all(out)
        };
        let mode = profile.fail_mode;
        if !looks.is_empty() {
            self.add(Column::Stale, mode.as_str(), Proof::Fails(Lack::FailMode));
        }
        for (place, fail) in profile.fail_when.iter().enumerate() {
            let when = fail.when.source();
            if when != BY_INPUT || !never_for(&[NO_INPUT, WAY_IN]) {
                let what = format!("{} when {when}", fail.outcome.as_str());
                self.add(Column::Stale, &what, Proof::Fails(Lack::FailWhen(place)));
            }
        }
        for (code, outcome) in profile.verdicts_out.iter().filter(|(code, _)| Profile::is_doubt(**code)) {
            if *outcome != mode && !never_for(&[WAY_IN]) {
                let what = format!("{} out: {}", code.as_str(), outcome.as_str());
                self.add(Column::Stale, &what, Proof::Fails(Lack::OnTheWayOut(*code)));
            }
        }
    }
}

/// Conditions by which a step is left out for some visits, or which name them.
const BY_INPUT: &str = r#"visit.origin == "input""#;
const NO_INPUT: &str = r#"visit.origin != "input""#;
const WAY_IN: &str = r#"visit.direction == "in""#;

/// The codes that a visit of a profile can find, each with the outcomes that they lead to.
fn findings(profile: &Profile) -> Vec<(Code, Outcome)> {
    let mut all: Vec<(Code, Outcome)> = Vec::new();
    let ways: &[bool] = match profile.direction.as_str() {
        "out" => &[true],
        "both" => &[false, true],
        _ => &[false],
    };
    let mut find = |code: Code| {
        all.extend(ways.iter().map(|out| (code, profile.outcome_for(code, *out, profile.fail_mode))));
    };
    let lists: BTreeSet<&str> = profile.lists().collect();
    let accepts: Vec<&String> = profile
        .steps
        .iter()
        .filter_map(|s| if let StepKind::Scan(scan) = &s.kind { Some(&scan.accepts) } else { None })
        .flatten()
        .collect();
    if accepts.iter().any(|kind| *kind != "opaque") {
        [Code::C_BADSIG, Code::C_EXPIRED, Code::C_WRONG_SITE, Code::C_UNKNOWN]
            .into_iter()
            .for_each(&mut find);
    }
    if !accepts.is_empty() {
        find(Code::C_UNREADABLE);
    }
    if !lists.is_empty() {
        [Code::X_STALE, Code::C_UNKNOWN].into_iter().for_each(&mut find);
    }
    for (list, code) in [("revocation", Code::C_REVOKED), ("hold", Code::L_HOLD)] {
        if lists.contains(list) {
            find(code);
        }
    }
    for step in &profile.steps {
        match &step.kind {
            StepKind::Temperature(_) => {
                [Code::T_HIGH, Code::T_LOW, Code::T_FAULT, Code::T_ENV, Code::T_NONE]
                    .into_iter()
                    .for_each(&mut find);
            }
            StepKind::Confirm(confirm) if confirm.approve => find(Code::V_APPROVAL),
            StepKind::Scan(_)
            | StepKind::Photo(_)
            | StepKind::Verify(_)
            | StepKind::Decide(_)
            | StepKind::Register(_)
            | StepKind::Weigh(_)
            | StepKind::Actuate(_)
            | StepKind::Question(_)
            | StepKind::Form(_)
            | StepKind::Confirm(_)
            | StepKind::Seal(_)
            | StepKind::Tally(_)
            | StepKind::Party(_)
            | StepKind::Later(_)
            | StepKind::Print(_) => {}
        }
    }
    profile.registers.iter().filter_map(|register| register.over).for_each(&mut find);
    for step in &profile.steps {
        let StepKind::Decide(decide) = &step.kind else { continue };
        for rule in &decide.rules {
            match rule.outcome {
                Some(outcome) => all.push((rule.code, outcome)),
                None => all.extend(
                    ways.iter()
                        .map(|out| (rule.code, profile.outcome_for(rule.code, *out, profile.fail_mode))),
                ),
            }
        }
    }
    all
}

/// The outcomes that a profile has.
fn outcomes(profile: &Profile) -> BTreeSet<Outcome> {
    let found = findings(profile).into_iter().map(|(_, outcome)| outcome);
    found.chain([Outcome::Admit]).collect()
}

/// The codes that stop a visit.
fn stops(profile: &Profile) -> BTreeSet<Code> {
    let all = findings(profile).into_iter();
    all.filter(|(_, outcome)| *outcome != Outcome::Admit).map(|(code, _)| code).collect()
}
