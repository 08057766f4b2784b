//! Reads a profile, and proves that it makes sense.

use super::facts::FactScope;
use super::form::{self, FailWhenFile, OF_EVERY_STEP, RawStep};
use super::source::{Source, StepContext};
use super::start::{By, Start};
use super::{Emit, FailWhen, Profile, ProfileError, Step, emit, personal, start};
use crate::lane::action::OVERRIDE_REASONS;
use crate::lane::step::{KINDS, StepKind};
use crate::lane::visit::Origin;
use crate::register;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// Ten years: for a list that never becomes too old.
const STALE_MOST_H: i64 = 87_600;

/// A day, in seconds: the longest time that a step may take, and that a result counts.
const DAY_S: u64 = 86_400;

/// Reads a profile; `file` stands in errors.
pub fn read(file: &str, text: &str) -> Result<Profile, ProfileError> {
    let source = Source::new(file, text);
    let (raw, steps) = form::read(&source, text)?;
    let by = start::direction(&source, &raw.direction, raw.by.as_ref())?;
    let mut start = start::read(&source, raw.start)?;
    if raw.console {
        start.on.clear();
    }
    let outcomes = |of: &BTreeMap<String, Spanned<String>>| {
        let one = |(word, outcome): (&String, &Spanned<String>)| {
            let at = outcome.span().start;
            Ok((source.code(at, word)?, source.outcome(at, outcome.get_ref())?))
        };
        of.iter().map(one).collect::<Result<BTreeMap<_, _>, ProfileError>>()
    };
    let (verdicts, verdicts_out) = (outcomes(&raw.verdicts)?, outcomes(&raw.verdicts_out)?);
    let mut instructions = BTreeMap::new();
    for (word, text) in &raw.instructions {
        instructions.insert(source.outcome(text.span().start, word)?, text.get_ref().clone());
    }
    if [raw.same_read_s, raw.same_result_s, raw.show_verdict_s].iter().any(|s| *s > DAY_S) {
        return Err(source.error(0, format!("times in seconds are at most {DAY_S}")));
    }
    let stale_after_h = *raw.stale_after_h.get_ref();
    if !(1..=STALE_MOST_H).contains(&stale_after_h) {
        let what = format!("`stale_after_h` is {stale_after_h}; allowed: 1 to {STALE_MOST_H}");
        return Err(source.error(raw.stale_after_h.span().start, what));
    }
    let registers = register::names(&source, &raw.register)?;
    if let (Some(By::Register(name)), Some(at)) = (&by, &raw.by)
        && !registers.contains(name)
    {
        let known: Vec<&str> = registers.iter().map(String::as_str).collect();
        let what = format!("no [[register]] is called `{name}`; there are: {}", known.join(", "));
        return Err(source.error(at.span().start, what));
    }
    let (steps, mut known) = read_steps(&source, steps, registers, (&start, raw.console))?;
    let fail_when = raw.fail_when.iter().map(|fail| {
        let (at, FailWhenFile { when, outcome }) = (fail.span().start, fail.get_ref());
        // A list can be too old before any step has made something.
        let when = source.expression(at, when, &FactScope::default())?;
        Ok(FailWhen { when, outcome: source.outcome(at, outcome)? })
    });
    let fail_when = fail_when.collect::<Result<_, _>>()?;
    let emits = raw.emit.iter().map(|emit| emit::read(&source, emit, &known));
    let emits = emits.collect::<Result<Vec<Emit>, _>>()?;
    // Who holds what in a register follows from the visit, not from another register.
    known.registers.clear();
    let registers = register::read(&source, raw.register, &known)?;
    Ok(Profile {
        id: raw.id,
        title: raw.title,
        direction: raw.direction.into_inner(),
        by,
        console: raw.console,
        start,
        file: (file.to_owned(), text.to_owned()),
        audience: raw.audience,
        fail_mode: source.outcome(raw.fail_mode.span().start, raw.fail_mode.get_ref())?,
        fail_when,
        one_signature: one_signature(&source, raw.one_signature)?,
        uses_pass: raw.uses_pass,
        stale_after_h,
        same_read_ms: raw.same_read_s * 1000,
        same_result_ms: raw.same_result_s * 1000,
        show_verdict_ms: raw.show_verdict_s * 1000,
        verdicts,
        verdicts_out,
        instructions,
        warnings: raw
            .renamed
            .iter()
            .map(|(earlier, name)| {
                format!("{file}: `{earlier}` is called `{name}` now: write that; the next version refuses the earlier name")
            })
            .collect(),
        personal: personal::answers(&steps, &registers, &emits),
        unmade: super::unmade(&steps, &registers, &source.asked()),
        emits,
        registers,
        steps,
    })
}

/// Reasons that need no second signature: words of an override.
fn one_signature(source: &Source<'_>, raw: Spanned<Vec<String>>) -> Result<Vec<String>, ProfileError> {
    let known = || OVERRIDE_REASONS.iter().map(|reason| reason.0);
    match raw.get_ref().iter().find(|word| !known().any(|reason| reason == *word)) {
        None => Ok(raw.into_inner()),
        Some(word) => {
            let allowed = known().collect::<Vec<_>>().join(", ");
            let what = format!("`{word}` in `one_signature` is no reason of an override; allowed: {allowed}");
            Err(source.error(raw.span().start, what))
        }
    }
}

/// Reads the steps; gives what all of them make as well.
fn read_steps(
    source: &Source<'_>,
    raw: Vec<RawStep<'_>>,
    registers: BTreeSet<String>,
    (start, console): (&Start, bool),
) -> Result<(Vec<Step>, FactScope), ProfileError> {
    let mut known = FactScope { registers, ..FactScope::default() };
    let mut photos = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut steps: Vec<Step> = Vec::new();
    let mut decided = false;
    for RawStep { at, file, own } in raw {
        let kind = StepKind::read(&file.kind, own, &StepContext { source, at, known: &known })?;
        let about = kind.about();
        let of_register =
            if let StepKind::Register(step) = &kind { Some(step.register.clone()) } else { None };
        let id = file.id.or(of_register).unwrap_or(file.kind);
        if !ids.insert(id.clone()) {
            return Err(source.error(at, format!("two steps are called `{id}`; give this one another `id`")));
        }
        if file.device.is_some() && about.device.is_none() {
            let others: Vec<&str> = OF_EVERY_STEP.into_iter().filter(|name| *name != "device").collect();
            let what = format!(
                "a step of kind `{}` has no device; beside its own fields it takes: {}",
                about.name,
                others.join(", ")
            );
            return Err(source.error(at, what));
        }
        let by_code = start.takes(Origin::Scan) || start.takes(Origin::Plate);
        if steps.is_empty() && by_code && !matches!(kind, StepKind::Scan(_)) {
            return Err(
                source.error(at, "the first step must be of kind `scan`, where visits begin by a code")
            );
        }
        let when = file.when.as_deref().map(|w| source.expression(at, w, &known)).transpose()?;
        let last = matches!(&kind, StepKind::Decide(decide) if decide.last);
        if decided && last {
            let what =
                "a second last `decide`: give the earlier one `last = false`, so that one gives the verdict";
            return Err(source.error(at, what));
        }
        let recorded = about.by_staff && steps.iter().any(|s| s.kind.goes_on_later());
        let after_verdict = kind.after_verdict();
        if decided && !after_verdict && !recorded {
            let after: Vec<&str> = KINDS.iter().filter(|k| k.after_verdict).map(|k| k.name).collect();
            let what = format!(
                "`{}` after the last `decide` would change nothing and be recorded nowhere; allowed there: {}",
                about.name,
                after.join(", ")
            );
            return Err(source.error(at, what));
        }
        if !decided && after_verdict && !about.before_verdict {
            return Err(source.error(at, format!("`{}` must follow the last `decide`", about.name)));
        }
        if last && when.is_some() {
            return Err(
                source.error(at, "the last `decide` has no `when`: a visit must not end without a verdict")
            );
        }
        decided |= last;
        known.made_by.insert(about.name);
        for (path, of) in kind.answers(&id) {
            let asked = path.split('.').next().unwrap_or_default();
            if known.answers.insert(path.clone(), of).is_some() {
                return Err(source.error(at, format!("`{asked}` is asked twice in a visit")));
            }
        }
        if let StepKind::Confirm(_) = &kind {
            known.signers.insert(id.clone());
        }
        if let StepKind::Verify(verify) = &kind {
            known.lists.extend(verify.lists.iter().map(|look| look.list.name.to_owned()));
        }
        if let StepKind::Photo(photo) = &kind {
            for role in &photo.roles {
                if !photos.insert(role.value.clone()) {
                    let what = format!("a photograph `{}` is taken twice in a visit", role.value);
                    return Err(source.error(at, what));
                }
            }
        }
        if file.timeout_s.is_some_and(|s| !(1..=DAY_S).contains(&s)) {
            return Err(source.error(at, format!("`timeout_s` is 1 to {DAY_S}")));
        }
        let timeout_s = file.timeout_s.or(about.timeout_s);
        steps.push(Step {
            id,
            title: file.title.unwrap_or_else(|| about.title()),
            prompt: file.prompt.unwrap_or_else(|| about.prompt()),
            when,
            timeout_ms: timeout_s.map(|s| (s * 1000).max(about.least_ms)),
            optional: file.optional,
            device: file.device.or_else(|| about.device.map(|kind| kind.as_str().to_owned())),
            kind,
        });
    }
    if !decided && !console {
        return Err(source.error(0, "no verdict can be reached: add a step of kind `decide`"));
    }
    Ok((steps, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "id = \"x\"\ntitle = { zh = \"a\", en = \"b\" }\ndirection = \"in\"\nfail_mode = \"REFER\"\n";

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
