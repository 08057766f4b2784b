//! Reads a profile, and proves that it makes sense.

use super::facts::ANSWERS;
use super::form::{ProfileFile, StepFile, check_fields};
use super::{
    Choice, DeviceKind, Emit, Input, PULSE_STEP_MS, Profile, ProfileError, Rule, SLIP_STEP_MS, Step, StepKind,
};
use crate::codes::{Code, Outcome};
use crate::event::{self, Class};
use crate::lane::action::Role;
use crate::pass::kp1;
use crate::rules::Expression;
use crate::rules::types::Answers;
use crate::screening::Screening;
use crate::text::Text;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// Ten years: for a list that never becomes too old.
const STALE_MOST_H: i64 = 87_600;

/// What is filled in on a slip.
const PLACEHOLDERS: [&str; 4] = ["name", "outcome", "visit", "time"];

const HCERT_KINDS: [&str; 3] = ["hcert-test", "hcert-vaccination", "hcert-recovery"];

/// The text that is read, for the lines of errors.
pub(super) struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

/// What earlier steps have made.
struct Scope {
    groups: BTreeSet<&'static str>,
    answers: Answers,
    photos: BTreeSet<String>,
}

impl Source<'_> {
    pub(super) fn error(&self, offset: usize, what: impl Into<String>) -> ProfileError {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        ProfileError { file: self.file.to_owned(), line, what: what.into() }
    }

    fn outcome(&self, at: usize, word: &str) -> Result<Outcome, ProfileError> {
        Outcome::ALL.into_iter().find(|o| o.word() == word).ok_or_else(|| {
            self.error(at, format!("`{word}` is not a verdict; allowed: ADMIT, REFER, HOLD, DENY"))
        })
    }

    fn code(&self, at: usize, word: &str) -> Result<Code, ProfileError> {
        Code::from_word(word).ok_or_else(|| {
            let family = word.split('_').next().unwrap_or_default();
            let near: Vec<&str> =
                Code::ALL.iter().map(|c| c.word()).filter(|c| c.split('_').next() == Some(family)).collect();
            let all: Vec<&str> = Code::ALL.iter().map(|c| c.word()).collect();
            let allowed = if near.is_empty() { all } else { near };
            self.error(at, format!("`{word}` is not a reason code; allowed: {}", allowed.join(", ")))
        })
    }

    fn expression(&self, at: usize, text: &str, scope: &Scope) -> Result<Expression, ProfileError> {
        let e =
            Expression::new(text, &scope.answers).map_err(|e| self.error(at, format!("`{text}`: {e}")))?;
        match e.groups().iter().find(|group| !scope.groups.contains(group.as_str())) {
            Some(group) => {
                let what =
                    format!("`{text}` reads `{group}`, but no earlier step makes it; {}", maker(group));
                Err(self.error(at, what))
            }
            None => Ok(e),
        }
    }

    /// Two choices with one value could not be told apart.
    fn distinct(&self, at: usize, field: &str, choices: &[Choice]) -> Result<(), ProfileError> {
        let mut seen = BTreeSet::new();
        match choices.iter().find(|c| !seen.insert(c.value.as_str())) {
            Some(twice) => Err(self.error(at, format!("`{field}` has the value `{}` twice", twice.value))),
            None => Ok(()),
        }
    }
}

fn maker(fact: &str) -> &'static str {
    match fact {
        "pass" | "health" => "a `verify` step makes it",
        "temp" => "a `temperature` step makes it",
        "answers" => "a `question` step makes it",
        "seal" => "a `seal` step makes it",
        "photos" => "a `photo` step makes it",
        _ => "it is always there",
    }
}

/// Reads a profile; `file` stands in errors.
pub fn read(file: &str, text: &str) -> Result<Profile, ProfileError> {
    let source = Source { file, text };
    let raw: ProfileFile =
        toml::from_str(text).map_err(|e| source.error(e.span().map_or(0, |s| s.start), e.message()))?;
    let directions = ["in", "out", "through"];
    if !directions.contains(&raw.direction.get_ref().as_str()) {
        let what = format!("`{}` is not a direction; allowed: in, out, through", raw.direction.get_ref());
        return Err(source.error(raw.direction.span().start, what));
    }
    let mut verdicts = BTreeMap::new();
    for (word, outcome) in &raw.verdicts {
        let at = outcome.span().start;
        verdicts.insert(source.code(at, word)?, source.outcome(at, outcome.get_ref())?);
    }
    let mut instructions = BTreeMap::new();
    for (word, text) in &raw.instructions {
        instructions.insert(source.outcome(text.span().start, word)?, text.get_ref().clone());
    }
    let mut emits = Vec::new();
    for emit in &raw.emit {
        let at = emit.span().start;
        let e = emit.get_ref();
        if !event::is_kind(&e.kind) {
            let most = event::LONGEST_NAME - event::type_of("").len();
            return Err(source.error(
                at,
                format!("`{}` is no kind of event: 1 to {most} of a-z A-Z 0-9 . _ - : +", e.kind),
            ));
        }
        if event::OWN.contains(&e.kind.as_str()) {
            let what =
                format!("`{}` is a kind of event that the gateway itself makes: choose another name", e.kind);
            return Err(source.error(at, what));
        }
        emits.push(Emit {
            kind: e.kind.clone(),
            class: e.class.unwrap_or(Class::Scan),
            outcomes: e.outcomes.iter().map(|o| source.outcome(at, o)).collect::<Result<_, _>>()?,
            codes: e.codes.iter().map(|c| source.code(at, c)).collect::<Result<_, _>>()?,
        });
    }
    if [raw.same_read_s, raw.same_result_s, raw.show_verdict_s].iter().any(|s| *s > 86_400) {
        return Err(source.error(0, "times in seconds are at most 86400"));
    }
    let stale_after_h = *raw.stale_after_h.get_ref();
    if !(1..=STALE_MOST_H).contains(&stale_after_h) {
        let what = format!("`stale_after_h` is {stale_after_h}; allowed: 1 to {STALE_MOST_H}");
        return Err(source.error(raw.stale_after_h.span().start, what));
    }
    let steps = read_steps(&source, &raw.step)?;
    Ok(Profile {
        id: raw.id,
        title: raw.title,
        direction: raw.direction.into_inner(),
        audience: raw.audience,
        on_doubt: source.outcome(raw.on_doubt.span().start, raw.on_doubt.get_ref())?,
        stale_after_h,
        same_read_ms: raw.same_read_s * 1000,
        same_result_ms: raw.same_result_s * 1000,
        show_verdict_ms: raw.show_verdict_s * 1000,
        verdicts,
        instructions,
        emits,
        unmade: super::unmade(&steps),
        steps,
    })
}

fn read_steps(source: &Source<'_>, raw: &[Spanned<StepFile>]) -> Result<Vec<Step>, ProfileError> {
    let mut scope =
        Scope { groups: ["lane", "visit"].into(), answers: Answers::new(), photos: BTreeSet::new() };
    let mut ids = BTreeSet::new();
    let mut steps: Vec<Step> = Vec::new();
    let mut decided = false;
    for spanned in raw {
        let at = spanned.span().start;
        let file = spanned.get_ref();
        check_fields(source, at, file)?;
        let id = file.id.clone().unwrap_or_else(|| file.kind.clone());
        if !ids.insert(id.clone()) {
            return Err(source.error(at, format!("two steps are called `{id}`; give this one another `id`")));
        }
        if steps.is_empty() && file.kind != "scan" {
            return Err(source.error(at, "the first step must be of kind `scan`"));
        }
        let when = file.when.as_deref().map(|w| source.expression(at, w, &scope)).transpose()?;
        let kind = read_kind(source, at, file, &scope)?;
        let last = matches!(kind, StepKind::Decide { last: true, .. });
        if decided && last {
            let what =
                "a second last `decide`: give the earlier one `last = false`, so that one gives the verdict";
            return Err(source.error(at, what));
        }
        if decided && !matches!(kind, StepKind::Actuate { .. } | StepKind::Print { .. }) {
            let what = format!(
                "`{}` after the last `decide` would change nothing and be recorded nowhere; allowed there: actuate, print",
                file.kind
            );
            return Err(source.error(at, what));
        }
        if !decided && matches!(kind, StepKind::Actuate { .. } | StepKind::Print { .. }) {
            return Err(source.error(at, format!("`{}` must follow the last `decide`", file.kind)));
        }
        if last && when.is_some() {
            return Err(
                source.error(at, "the last `decide` has no `when`: a visit must not end without a verdict")
            );
        }
        decided |= last;
        match &kind {
            StepKind::Verify { .. } => scope.groups.extend(["pass", "health"]),
            StepKind::Temperature { .. } => scope.groups.extend(["temp"]),
            StepKind::Question { input } => {
                scope.groups.extend([ANSWERS]);
                scope.answers.insert(id.clone(), input.answer());
            }
            StepKind::Seal { .. } => scope.groups.extend(["seal"]),
            StepKind::Photo { roles, .. } => {
                scope.groups.extend(["photos"]);
                for role in roles {
                    if !scope.photos.insert(role.value.clone()) {
                        let what = format!("a photograph `{}` is taken twice in a visit", role.value);
                        return Err(source.error(at, what));
                    }
                }
            }
            StepKind::Scan { .. }
            | StepKind::Decide { .. }
            | StepKind::Actuate { .. }
            | StepKind::Confirm { .. }
            | StepKind::Print { .. } => {}
        }
        if file.timeout_s.is_some_and(|s| !(1..=86_400).contains(&s)) {
            return Err(source.error(at, "`timeout_s` is 1 to 86400"));
        }
        let (title, prompt) = words(&kind);
        steps.push(Step {
            id,
            title: file.title.clone().unwrap_or(title),
            prompt: file.prompt.clone().unwrap_or(prompt),
            when,
            timeout_ms: file.timeout_s.or(default_timeout_s(&kind)).map(|s| (s * 1000).max(least_ms(&kind))),
            optional: file.optional,
            device: file.device.clone().or_else(|| kind.needs().map(|k: DeviceKind| k.word().to_owned())),
            kind,
        });
    }
    if !decided {
        return Err(source.error(0, "no verdict can be reached: add a step of kind `decide`"));
    }
    Ok(steps)
}

fn default_timeout_s(kind: &StepKind) -> Option<u64> {
    match kind {
        StepKind::Temperature { .. } => Some(15),
        StepKind::Question { .. } => Some(180),
        StepKind::Seal { .. } | StepKind::Photo { .. } | StepKind::Confirm { .. } => Some(900),
        StepKind::Actuate { .. } => Some(PULSE_STEP_MS / 1_000),
        StepKind::Print { .. } => Some(SLIP_STEP_MS / 1_000),
        StepKind::Scan { .. } | StepKind::Verify { .. } | StepKind::Decide { .. } => None,
    }
}

/// A step never gives up before its device has answered.
fn least_ms(kind: &StepKind) -> u64 {
    match kind {
        StepKind::Actuate { .. } => PULSE_STEP_MS,
        StepKind::Print { .. } => SLIP_STEP_MS,
        StepKind::Scan { .. }
        | StepKind::Temperature { .. }
        | StepKind::Verify { .. }
        | StepKind::Decide { .. }
        | StepKind::Question { .. }
        | StepKind::Seal { .. }
        | StepKind::Photo { .. }
        | StepKind::Confirm { .. } => 0,
    }
}

fn words(kind: &StepKind) -> (Text, Text) {
    match kind {
        StepKind::Scan { .. } => {
            (Text::new("扫码", "Scan"), Text::new("请出示二维码", "Please show your code"))
        }
        StepKind::Temperature { .. } => (
            Text::new("测温", "Temperature"),
            Text::new("请靠近测温仪", "Please come close to the thermometer"),
        ),
        StepKind::Verify { .. } => (Text::new("核验", "Verify"), Text::new("正在核验", "Checking")),
        StepKind::Decide { .. } => (Text::new("判定", "Decide"), Text::new("正在判定", "Deciding")),
        StepKind::Actuate { .. } => (Text::new("放行", "Open"), Text::new("请通行", "Please go ahead")),
        StepKind::Question { .. } => {
            (Text::new("询问", "Question"), Text::new("请回答工作人员", "Please answer staff"))
        }
        StepKind::Seal { .. } => (
            Text::new("贴封条", "Seal"),
            Text::new("请稍候，正在贴封条", "Please wait, the seal is being applied"),
        ),
        StepKind::Photo { .. } => (
            Text::new("拍照", "Photos"),
            Text::new("请稍候，正在拍照", "Please wait, photographs are being taken"),
        ),
        StepKind::Confirm { .. } => (Text::new("确认", "Confirm"), Text::new("请稍候", "Please wait")),
        StepKind::Print { .. } => (Text::new("打印", "Print"), Text::new("请取单", "Please take your slip")),
    }
}

fn read_kind(
    source: &Source<'_>,
    at: usize,
    file: &StepFile,
    scope: &Scope,
) -> Result<StepKind, ProfileError> {
    let between = |name: &str, value: i64, low: i64, high: i64| {
        if (low..=high).contains(&value) {
            Ok(())
        } else {
            Err(source.error(at, format!("`{name}` is {value}; allowed: {low} to {high}")))
        }
    };
    Ok(match file.kind.as_str() {
        "scan" => {
            let accepts = file.accepts.clone().unwrap_or_default();
            let known: Vec<&str> = kp1::kind_words().chain(HCERT_KINDS).chain(["opaque"]).collect();
            if accepts.is_empty() {
                return Err(
                    source.error(at, format!("`accepts` is missing; choose from: {}", known.join(", ")))
                );
            }
            if let Some(bad) = accepts.iter().find(|a| !known.contains(&a.as_str())) {
                return Err(
                    source.error(at, format!("`{bad}` is not a kind of pass; allowed: {}", known.join(", ")))
                );
            }
            StepKind::Scan { accepts }
        }
        "temperature" => {
            let screening = Screening {
                high_mdeg: file.high_mdeg.unwrap_or(37_300),
                low_mdeg: file.low_mdeg.unwrap_or(35_000),
                frames: file.frames.unwrap_or(5),
                spread_mdeg: file.spread_mdeg.unwrap_or(300),
                correction: file.correction.clone(),
                black_body: file.black_body,
            };
            if let Some(c) = &screening.correction {
                between("offset_mdeg", c.offset_mdeg.into(), -1_000, 1_000)?;
            }
            if let Some(b) = &screening.black_body {
                between("black_body.mdeg", b.mdeg.into(), 30_000, 45_000)?;
                between("max_drift_mdeg", b.max_drift_mdeg.into(), 50, 2_000)?;
            }
            between("high_mdeg", screening.high_mdeg.into(), 36_000, 40_000)?;
            between("low_mdeg", screening.low_mdeg.into(), 30_000, 36_000)?;
            if screening.low_mdeg >= screening.high_mdeg {
                let (low, high) = (screening.low_mdeg, screening.high_mdeg);
                let what = format!("nobody is normal from {low} (`low_mdeg`) to below {high} (`high_mdeg`)");
                return Err(source.error(at, what));
            }
            between("spread_mdeg", screening.spread_mdeg.into(), 0, 2_000)?;
            between("frames", screening.frames as i64, 1, 50)?;
            let tries = file.tries.unwrap_or(3);
            between("tries", tries as i64, 1, 5)?;
            let wait_s = file.wait_s.unwrap_or(5.0);
            if !(0.0..=60.0).contains(&wait_s) {
                return Err(source.error(at, format!("`wait_s` is {wait_s}; allowed: 0 to 60")));
            }
            let wait_ms = std::time::Duration::from_secs_f64(wait_s).as_millis();
            StepKind::Temperature { screening, tries, wait_ms: u64::try_from(wait_ms).unwrap_or(60_000) }
        }
        "verify" => {
            let lists = file.lists.clone().unwrap_or_default();
            let known = ["status", "pass", "revocation", "hold"];
            if let Some(bad) = lists.iter().find(|l| !known.contains(&l.as_str())) {
                return Err(source.error(at, format!("`{bad}` is not a list; allowed: {}", known.join(", "))));
            }
            let from = file.test_age_from.as_deref().unwrap_or("sampling");
            if !["sampling", "report"].contains(&from) {
                return Err(
                    source.error(at, format!("`test_age_from` is `{from}`; allowed: sampling, report"))
                );
            }
            StepKind::Verify { lists, test_age_from_report: from == "report" }
        }
        "decide" => {
            let mut rules = Vec::new();
            for rule in file.rules.iter().flatten() {
                let at = rule.span().start;
                let r = rule.get_ref();
                rules.push(Rule {
                    code: source.code(at, &r.code)?,
                    when: source.expression(at, &r.when, scope)?,
                    outcome: r.outcome.as_deref().map(|o| source.outcome(at, o)).transpose()?,
                });
            }
            StepKind::Decide { rules, last: file.last.unwrap_or(true) }
        }
        "actuate" => {
            let pulse_ms = file.pulse_ms.unwrap_or(700);
            between("pulse_ms", pulse_ms.into(), 100, 25_000)?;
            StepKind::Actuate { pulse_ms }
        }
        "question" => {
            let input = match file.input.as_deref().unwrap_or("choice") {
                "choice" => {
                    let options = file.options.clone().unwrap_or_default();
                    between("options", options.len() as i64, 2, 9)?;
                    source.distinct(at, "options", &options)?;
                    Input::Choice(options)
                }
                "number" => {
                    let (min, max) = (file.min.unwrap_or(0), file.max.unwrap_or(999));
                    if min > max {
                        let what = format!("no number is at least {min} (`min`) and at most {max} (`max`)");
                        return Err(source.error(at, what));
                    }
                    Input::Number { min, max }
                }
                "plate" => Input::Plate,
                "text" => Input::Text,
                other => {
                    return Err(source
                        .error(at, format!("`input` is `{other}`; allowed: choice, number, plate, text")));
                }
            };
            StepKind::Question { input }
        }
        "seal" => {
            let (doors, kinds) =
                (file.doors.clone().unwrap_or_default(), file.kinds.clone().unwrap_or_default());
            between("doors", doors.len() as i64, 1, 9)?;
            between("kinds", kinds.len() as i64, 1, 9)?;
            source.distinct(at, "doors", &doors)?;
            source.distinct(at, "kinds", &kinds)?;
            StepKind::Seal { doors, kinds, stock: file.stock.clone().unwrap_or_default() }
        }
        "photo" => {
            let roles = file.photos.clone().unwrap_or_default();
            between("photos", roles.len() as i64, 1, 9)?;
            let (min_luma, max_luma) = (file.min_luma.unwrap_or(35), file.max_luma.unwrap_or(225));
            if min_luma > max_luma {
                let what = format!(
                    "no picture is at least {min_luma} (`min_luma`) and at most {max_luma} (`max_luma`) bright"
                );
                return Err(source.error(at, what));
            }
            StepKind::Photo { roles, min_sharpness: file.min_sharpness.unwrap_or(60), min_luma, max_luma }
        }
        "confirm" => {
            let (checks, approve) = (file.checks.clone().unwrap_or_default(), file.approve.unwrap_or(false));
            if checks.is_empty() != approve {
                return Err(source.error(at, "a confirm step has either `checks` or `approve = true`"));
            }
            source.distinct(at, "checks", &checks)?;
            let roles = file.roles.clone().unwrap_or_default();
            // An administrator decides nothing in a lane.
            let may = Role::ALL.map(Role::word).into_iter().filter(|r| *r != Role::Admin.word());
            if let Some(bad) = roles.iter().find(|r| !may.clone().any(|m| m == r.as_str())) {
                let may: Vec<&str> = may.collect();
                let what = format!("nobody of the role `{bad}` works in a lane; allowed: {}", may.join(", "));
                return Err(source.error(at, what));
            }
            StepKind::Confirm { checks, approve, roles }
        }
        "print" => {
            let lines = file.lines.clone().unwrap_or_default();
            for line in &lines {
                check_placeholders(source, at, line)?;
            }
            StepKind::Print { lines }
        }
        other => return Err(source.error(at, format!("`{other}` is not a kind of step"))),
    })
}

/// What stands in braces in a line of a slip is filled in.
fn check_placeholders(source: &Source<'_>, at: usize, line: &str) -> Result<(), ProfileError> {
    let mut rest = line;
    while let Some((_, after)) = rest.split_once('{') {
        let name = after.split_once('}').map(|(name, _)| name);
        if !name.is_some_and(|n| PLACEHOLDERS.contains(&n)) {
            let allowed: Vec<String> = PLACEHOLDERS.iter().map(|p| format!("{{{p}}}")).collect();
            let what = format!(
                "`{{{}` in `{line}` is filled in by nothing; allowed: {}",
                name.map_or(after.to_owned(), |n| format!("{n}}}")),
                allowed.join(", ")
            );
            return Err(source.error(at, what));
        }
        rest = after;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "id = \"x\"\ntitle = { zh = \"a\", en = \"b\" }\ndirection = \"in\"\non_doubt = \"REFER\"\n";

    fn errors(steps: &str) -> String {
        read("x.toml", &format!("{HEAD}{steps}")).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_profiles_are_good() {
        for (name, text) in crate::profile::shipped::PROFILES {
            read(name, text).unwrap();
        }
    }

    #[test]
    fn an_event_whose_kind_the_central_side_would_not_take_is_refused_with_its_line() {
        let emit = |kind: &str| {
            format!(
                "[[emit]]\nkind = \"{kind}\"\n[[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n[[step]]\nkind = \"decide\"\n"
            )
        };
        assert!(read("x.toml", &format!("{HEAD}{}", emit("arrival"))).is_ok());
        for bad in ["到访", "two words", "", &"x".repeat(60)] {
            let why = errors(&emit(bad));
            assert!(why.contains("x.toml:5") && why.contains("is no kind of event"), "{why}");
        }
        for own in event::OWN {
            let why = errors(&emit(own));
            assert!(why.contains("x.toml:5") && why.contains("the gateway itself makes"), "{why}");
        }
    }

    #[test]
    fn errors_name_the_line_and_the_allowed_values() {
        let scan = "[[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n";
        let choice = "{ value = \"a\", zh = \"a\", en = \"a\" }";
        let decide = |when: &str, step: &str| {
            format!(
                "{scan}[[step]]\n{step}\n[[step]]\nkind = \"decide\"\nrules = [{{ code = \"H_SYMPTOM\", when = '''{when}''' }}]\n"
            )
        };
        let cases = [
            String::new(),
            "[[step]]\nkind = \"sacn\"\n".into(),
            "[[step]]\nkind = \"scan\"\naccepts = [\"card\"]\n".into(),
            format!("{scan}[[step]]\nkind = \"temperature\"\nhigh_mdeg = 38\n"),
            format!("{scan}[[step]]\nkind = \"temperature\"\nhigh_mdeg = 36000\nlow_mdeg = 36000\n"),
            format!("{scan}[[step]]\nkind = \"temperature\"\nspread_mdeg = -1\n"),
            format!(
                "{scan}[[step]]\nkind = \"photo\"\nphotos = [{choice}]\nmin_luma = 200\nmax_luma = 100\n"
            ),
            format!("stale_after_h = 0\n{scan}"),
            format!("stale_after_h = 3000000000000\n{scan}"),
            format!("{scan}[[step]]\nkind = \"decide\"\nrules = [{{ code = \"T_HOT\", when = \"true\" }}]\n"),
            format!(
                "{scan}[[step]]\nkind = \"decide\"\nrules = [{{ code = \"T_HIGH\", when = \"temp.state == 'high'\" }}]\n"
            ),
            format!(
                "{scan}[[step]]\nkind = \"question\"\nid = \"mask\"\ninput = \"text\"\n[[step]]\nkind = \"decide\"\nrules = [{{ code = \"H_SYMPTOM\", when = \"answers.cough == 'yes'\" }}]\n"
            ),
            format!("{scan}[[step]]\nkind = \"actuate\"\n"),
            scan.to_owned(),
            format!("{scan}pulse_ms = 3\n"),
            format!("{scan}colour = 3\n"),
            decide("health.typo == 'x'", "kind = \"verify\""),
            decide("temp.mdeg == '38'", "kind = \"temperature\""),
            decide("answers[\"cough\"] == 'yes'", "kind = \"question\"\nid = \"mask\"\ninput = \"text\""),
            format!(
                "{scan}[[step]]\nkind = \"question\"\nid = \"a\"\ninput = \"number\"\nmin = 9\nmax = 1\n"
            ),
            format!("{scan}[[step]]\nkind = \"question\"\nid = \"a\"\noptions = [{choice}, {choice}]\n"),
            format!("{scan}[[step]]\nkind = \"confirm\"\napprove = true\nroles = [\"superviser\"]\n"),
            format!("{scan}[[step]]\nkind = \"confirm\"\napprove = true\nroles = [\"admin\"]\n"),
            format!(
                "{scan}[[step]]\nkind = \"photo\"\nphotos = [{choice}]\n[[step]]\nkind = \"photo\"\nid = \"b\"\nphotos = [{choice}]\n"
            ),
            format!("{scan}[[step]]\nkind = \"decide\"\n[[step]]\nkind = \"decide\"\nid = \"b\"\n"),
            format!(
                "{scan}[[step]]\nkind = \"decide\"\n[[step]]\nkind = \"question\"\nid = \"a\"\ninput = \"text\"\n"
            ),
            format!(
                "{scan}[[step]]\nkind = \"decide\"\n[[step]]\nkind = \"print\"\nlines = [\"{{nmae}}\"]\n"
            ),
        ];
        let all: Vec<String> = cases.iter().map(|c| errors(c)).collect();
        insta::assert_snapshot!(all.join("\n---\n"));
    }
}
