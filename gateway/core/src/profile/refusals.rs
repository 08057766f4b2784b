//! What a profile is refused for when it is read: with the line, and with what is allowed.

use super::facts;
use super::read;
use crate::event;
use crate::lane::step::KINDS;

const HEAD: &str =
    "id = \"x\"\ntitle = { zh = \"a\", en = \"b\" }\ndirection = \"in\"\nfail_mode = \"REFER\"\n";
const SCAN: &str = "[[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n";
const DECIDE: &str = "[[step]]\nkind = \"decide\"\n";

/// A profile with these steps between the scan, which takes lines 5 to 7, and the verdict.
fn with(steps: &str) -> String {
    format!("{HEAD}{SCAN}{steps}{DECIDE}")
}

/// A profile with these steps and one rule, which stands on the last line.
fn rule(steps: &str, when: &str) -> String {
    format!("{}rules = [{{ code = \"H_SYMPTOM\", when = '''{when}''' }}]\n", with(steps))
}

fn last_line(profile: &str) -> usize {
    profile.lines().count()
}

/// The profile is refused at the line, and the error has every one of the words.
#[track_caller]
fn refused(profile: &str, line: usize, words: &[&str]) {
    let why = read("x.toml", profile).expect_err(profile).to_string();
    assert!(why.starts_with(&format!("x.toml:{line}: ")), "{why}, not at line {line}");
    for word in words {
        assert!(why.contains(word), "{why}: without {word}");
    }
}

/// The rule is refused at its line.
#[track_caller]
fn rule_refused(steps: &str, when: &str, words: &[&str]) {
    let profile = rule(steps, when);
    refused(&profile, last_line(&profile), words);
}

const VERIFY: &str = "[[step]]\nkind = \"verify\"\n";
const TEMPERATURE: &str = "[[step]]\nkind = \"temperature\"\n";
const MASK: &str = "[[step]]\nkind = \"question\"\nid = \"mask\"\ninput = \"text\"\n";
const CHOICE: &str = "{ value = \"a\", zh = \"a\", en = \"a\" }";

#[test]
fn a_path_that_is_no_fact_is_refused_with_those_that_are() {
    rule_refused(VERIFY, "health.typo == 'x'", &["`health.typo`", "health.known, health.colour"]);
    rule_refused(VERIFY, "helth.colour == 'red'", &["`helth` is not a fact", "pass, temp, health, seal"]);
    rule_refused(VERIFY, "visit.foo == 1", &["`visit.foo`", "visit.id"]);
    rule_refused(VERIFY, "health['typo'] == 'x'", &["`health.typo`", "health.colour"]);
    rule_refused(VERIFY, "health == 1", &["`health` alone is no value", "health.colour"]);
}

#[test]
fn only_a_select_and_an_index_by_a_literal_name_a_fact() {
    let literal = "must be the name of a fact, as in answers[\"crew\"]";
    rule_refused(MASK, "answers[lane.id] == 'a'", &[literal]);
    rule_refused(MASK, "answers['ma' + 'sk'] == 'a'", &[literal]);
    rule_refused(MASK, "answers[0] == 'a'", &[literal]);
    rule_refused(VERIFY, "pass.approvals[0] == 'a'", &[literal]);
    rule_refused(VERIFY, "pass.plate.x == 'a'", &["only groups of facts have fields"]);
    rule_refused(VERIFY, "{'a': 1}.a == 1", &["only facts, texts, numbers, lists and operators"]);
    rule_refused(VERIFY, "{'a': 1} == {'a': 1}", &["only facts, texts, numbers, lists and operators"]);
    rule_refused(VERIFY, "has(pass.plate)", &["`has()` is not available", "size, contains, startsWith"]);
    rule_refused(VERIFY, "pass.approvals.exists(x, x == 'a')", &["`x` is not a fact"]);
}

#[test]
fn values_of_different_types_are_not_compared() {
    rule_refused(TEMPERATURE, "temp.mdeg == '38'", &["a whole number and a text are compared"]);
    rule_refused(VERIFY, "health.known == 'yes'", &["true or false and a text are compared"]);
    rule_refused(VERIFY, "pass.approvals == 'a'", &["a list of texts and a text are compared"]);
    rule_refused(
        VERIFY,
        "pass.crew in pass.approvals",
        &["does not take a whole number and a list of texts"],
    );
    rule_refused(VERIFY, "pass.crew", &["gives a whole number, not true or false"]);
    let when = "[[step]]\nkind = \"temperature\"\nwhen = \"lane.id == 3\"\n";
    refused(&with(when), 8, &["a text and a whole number are compared"]);
}

#[test]
fn a_fact_is_not_read_before_its_step_has_made_it() {
    rule_refused("", "temp.state == 'high'", &["no earlier step makes it; a `temperature` step makes it"]);
    // Every one of the table: where no step has made it, nobody can ask for it.
    for (maker, fact) in facts::table() {
        let text = format!("string(size(string({}))) == '0'", fact.path);
        let text = if fact.of == facts::Type::Texts { format!("size({}) == 0", fact.path) } else { text };
        let text = if fact.of == facts::Type::Decimal { format!("{} < 0.0", fact.path) } else { text };
        match maker {
            Some(about) => rule_refused("", &text, &[&format!("a `{}` step makes it", about.name)]),
            None => assert!(read("x.toml", &rule("", &text)).is_ok(), "{text}"),
        }
    }
    let later = format!(
        "[[step]]\nkind = \"question\"\ninput = \"text\"\nid = \"a\"\nwhen = \"temp.mdeg > 0\"\n{TEMPERATURE}"
    );
    refused(&with(&later), 8, &["a `temperature` step makes it"]);
}

/// There is no fact without a value: the table has one for each, so that nothing is refused for it.
#[test]
fn a_fact_of_a_step_that_may_be_left_out_has_a_value_then() {
    let maybe = "[[step]]\nkind = \"temperature\"\nwhen = \"lane.id == 'x'\"\n";
    let profile = read("x.toml", &rule(maybe, "temp.state == 'none' && temp.mdeg == 0")).unwrap();
    let unmade = profile.unmade_facts();
    for (_, fact) in facts::table().filter(|(maker, _)| maker.is_some()) {
        assert_eq!(unmade[fact.group()][fact.name()], fact.left_out(), "{}", fact.path);
    }
    let crew =
        "[[step]]\nkind = \"question\"\nid = \"crew\"\ninput = \"number\"\nwhen = \"lane.id == 'x'\"\n";
    let profile = read("x.toml", &rule(crew, "answers.crew == 0")).unwrap();
    assert_eq!(profile.unmade_facts()["answers"]["crew"], 0);
}

#[test]
fn an_answer_to_no_question_is_refused_however_it_is_written() {
    for text in ["answers.cough", "answers['cough']", "answers[\"cough\"]", "answers .cough"] {
        let words = ["there is no fact `answers.cough`; there are: answers.mask"];
        rule_refused(MASK, &format!("{text} == 'yes'"), &words);
    }
    assert!(read("x.toml", &rule(MASK, "answers['mask'] == answers.mask")).is_ok());
    rule_refused("", "answers.mask == 'yes'", &["`answers.mask`", "none here"]);
}

#[test]
fn an_event_that_the_central_side_would_refuse_is_refused_here_by_the_same_rule() {
    let emit = |kind: &str| format!("{HEAD}[[emit]]\nkind = \"{kind}\"\n{SCAN}{DECIDE}");
    for kind in ["arrival", "a.b-c_d", "到访", "two words", "", &"x".repeat(60), &"x".repeat(51)] {
        // The central side takes an event whose type is a name.
        let taken = !kind.is_empty() && event::is_name(&event::type_of(kind));
        assert_eq!(read("x.toml", &emit(kind)).is_ok(), taken, "{kind}");
        if !taken {
            refused(&emit(kind), 5, &["is no kind of event: 1 to 51 of", "a-z A-Z 0-9 . _ - : +"]);
        }
    }
    for own in event::OWN {
        refused(&emit(own), 5, &[&format!("`{own}` is a kind of event that the gateway itself makes")]);
    }
}

#[test]
fn a_role_that_does_not_work_in_a_lane_is_refused() {
    for role in ["superviser", "admin", ""] {
        let step = format!("[[step]]\nkind = \"confirm\"\napprove = true\nroles = [\"{role}\"]\n");
        let named = format!("the role `{role}`");
        refused(&with(&step), 8, &[&named, "allowed: guard, nurse, transport, supervisor"]);
    }
}

#[test]
fn what_could_not_be_told_apart_is_refused() {
    let twice = format!("[{CHOICE}, {CHOICE}]");
    for (step, field) in [
        (format!("kind = \"question\"\noptions = {twice}\n"), "options"),
        (format!("kind = \"seal\"\ndoors = {twice}\nkinds = [{CHOICE}]\n"), "doors"),
        (format!("kind = \"seal\"\ndoors = [{CHOICE}]\nkinds = {twice}\n"), "kinds"),
        (format!("kind = \"confirm\"\nchecks = {twice}\n"), "checks"),
        (format!("kind = \"photo\"\nphotos = {twice}\n"), "photos"),
    ] {
        refused(&with(&format!("[[step]]\n{step}")), 8, &[&format!("`{field}` has the value `a` twice")]);
    }
    let photo = |id: &str| format!("[[step]]\nkind = \"photo\"\nid = \"{id}\"\nphotos = [{CHOICE}]\n");
    let both = format!("{}{}", photo("a"), photo("b"));
    refused(&with(&both), 12, &["a photograph `a` is taken twice in a visit"]);
    refused(&with(&format!("{MASK}{MASK}")), 12, &["two steps are called `mask`"]);
}

#[test]
fn limits_that_nothing_lies_between_are_refused() {
    for (step, words) in [
        (
            "kind = \"question\"\ninput = \"number\"\nmin = 9\nmax = 1\n",
            ["at least 9 (`min`)", "at most 1 (`max`)"],
        ),
        (
            "kind = \"temperature\"\nlow_mdeg = 36000\nhigh_mdeg = 36000\n",
            ["36000 (`low_mdeg`)", "36000 (`high_mdeg`)"],
        ),
    ] {
        refused(&with(&format!("[[step]]\n{step}")), 8, &words);
    }
    let photo = format!("[[step]]\nkind = \"photo\"\nphotos = [{CHOICE}]\nmin_luma = 200\nmax_luma = 100\n");
    refused(&with(&photo), 8, &["200 (`min_luma`)", "100 (`max_luma`)"]);
}

#[test]
fn a_placeholder_that_nothing_fills_in_is_refused() {
    for line in ["{nmae}", "No. {visit} {Name}", "{", "{}", "{time"] {
        let print = format!("{}[[step]]\nkind = \"print\"\nlines = [\"{line}\"]\n", with(""));
        refused(&print, 10, &["allowed: {name}, {outcome}, {visit}, {time}"]);
    }
}

#[test]
fn there_is_one_last_decide_and_what_follows_it_is_recorded() {
    let again = format!("{}[[step]]\nkind = \"decide\"\nid = \"b\"\n", with(""));
    refused(&again, 10, &["a second last `decide`", "last = false"]);
    let choices = format!("doors = [{CHOICE}]\nkinds = [{CHOICE}]\n");
    for (kind, fields) in [
        ("scan", "id = \"b\"\naccepts = [\"opaque\"]\n".to_owned()),
        ("temperature", String::new()),
        ("verify", String::new()),
        ("question", "input = \"text\"\n".into()),
        ("seal", choices),
        ("photo", format!("photos = [{CHOICE}]\n")),
        ("confirm", "approve = true\n".into()),
        ("decide", "id = \"b\"\nlast = false\n".into()),
    ] {
        let after = format!("{}[[step]]\nkind = \"{kind}\"\n{fields}", with(""));
        refused(&after, 10, &[&format!("`{kind}` after the last `decide`"), "allowed there: actuate, print"]);
    }
    for about in KINDS.iter().filter(|about| about.after_verdict && !about.before_verdict) {
        let fields = if about.name == "later" { "after = \"15m\"\n" } else { "" };
        let before = format!("[[step]]\nkind = \"{}\"\n{fields}", about.name);
        refused(&with(&before), 8, &["must follow the last `decide`"]);
        assert!(read("x.toml", &format!("{}{before}", with(""))).is_ok(), "{}", about.name);
    }
}

#[test]
fn a_field_of_another_kind_of_step_is_refused_at_its_own_line_with_those_of_this_kind() {
    let pulse = format!("{HEAD}{SCAN}pulse_ms = 3\n{DECIDE}");
    refused(&pulse, 8, &["kind `scan`", "`pulse_ms`", "`accepts`"]);
    let colour = "[[step]]\nkind = \"seal\"\ncolour = 3\n";
    refused(&with(colour), 10, &["kind `seal`", "`colour`", "`doors`, `kinds`, `stock`"]);
    let device = "[[step]]\nkind = \"verify\"\ndevice = \"scanner\"\n";
    refused(&with(device), 8, &["kind `verify` has no device"]);
    let nothing = "[[step]]\nid = \"a\"\n";
    refused(&with(nothing), 8, &["missing field `kind`"]);
    let kinds = "allowed: scan, temperature, verify, decide, actuate, question, form, seal, photo, confirm, print, \
        weigh, register, tally";
    refused(&with("[[step]]\nkind = \"sacn\"\n"), 8, &["`sacn` is not a kind of step", kinds]);
}

#[test]
fn an_earlier_name_of_a_field_is_read_with_a_warning_and_never_beside_the_new_one() {
    let (today, earlier) = (with(""), with("").replacen("fail_mode", "on_doubt", 1));
    let read = |text: &str| read("x.toml", text);
    assert!(read(&today).unwrap().warnings.is_empty());
    let profile = read(&earlier).unwrap();
    assert_eq!(profile.fail_mode, read(&today).unwrap().fail_mode);
    assert!(profile.warnings[0].contains("`fail_mode`"), "{:?}", profile.warnings);
    assert!(read(&format!("fail_mode = \"HOLD\"\n{earlier}")).is_err());
}

#[test]
fn a_fact_of_a_list_is_asked_behind_a_verify_that_looks_into_it_and_by_its_name() {
    let roster = "[[step]]\nkind = \"verify\"\nlists = [\"roster\"]\n";
    rule_refused(
        roster,
        "entry.bookings.known",
        &["`entry.bookings.known`", "no earlier `verify` has `bookings`"],
    );
    rule_refused("", "entry.roster.known", &["no earlier `verify` has `roster`"]);
    rule_refused(roster, "entry.rooster.known", &["`entry.rooster.known`", "entry.roster, entry.release"]);
    rule_refused(
        roster,
        "entry.roster.wards == ''",
        &["`entry.roster.wards`", "entry.roster.known", "entry.roster.ward"],
    );
    rule_refused(roster, "entry.roster == ''", &["`entry.roster`", "entry.roster.known"]);
    rule_refused(
        roster,
        "entry.roster.ward.x == ''",
        &["`.x` is asked of `entry.roster.ward`, which is a value"],
    );
    rule_refused(roster, "entry.roster.ward > 3", &["a text and a whole number are compared"]);
    rule_refused(roster, "entry.policy.toml == ''", &["`entry.policy.toml`"]);
    assert!(read("x.toml", &rule(roster, "entry['roster'].beds > 0")).is_ok());
}

#[test]
fn what_a_list_is_looked_up_by_is_a_text_that_is_there() {
    let verify = |lists: &str, keys: &str| format!("[[step]]\nkind = \"verify\"\nlists = [{lists}]\n{keys}");
    refused(&with(&verify("\"statsu\"", "")), 8, &["`statsu` is not a list; allowed: status, pass", "items"]);
    refused(&with(&verify("\"trust\"", "")), 8, &["`trust` is not a list"]);
    refused(&with(&verify("\"pass\", \"pass\"", "")), 8, &["`pass` stands twice"]);
    refused(
        &with(&verify("\"seals\"", "")),
        8,
        &["looked up by `answers.plate`, which no earlier step makes"],
    );
    refused(&with(&verify("\"schedule\"", "")), 8, &["is for the profile to say", "keys = { schedule ="]);
    let keys = |text: &str| format!("keys = {{ {text} }}\n");
    let schedule =
        |by: &str| with(&verify("\"roster\", \"schedule\"", &keys(&format!("schedule = \"{by}\""))));
    refused(&schedule("entry.roster.beds"), 11, &["gives a whole number, not a text"]);
    refused(&schedule("entry.items.name"), 11, &["no earlier `verify` has `items`"]);
    assert!(read("x.toml", &schedule("entry.roster.shift")).is_ok());
    // Not of the list itself, and not of one that stands behind it.
    let behind = with(&verify("\"schedule\", \"roster\"", &keys("schedule = \"entry.roster.shift\"")));
    refused(&behind, 11, &["no earlier `verify` has `roster`"]);
    let other = with(&verify("\"roster\"", &keys("items = \"pass.id\"")));
    refused(&other, 11, &["`keys` names `items`, which is not among `lists`: roster"]);
    let revocation = with(&verify("\"revocation\"", &keys("revocation = \"pass.id\"")));
    refused(&revocation, 11, &["`revocation` is looked up by the pass"]);
}

#[test]
fn what_an_extra_event_says_is_named_and_typed() {
    let emit = |what: &str| format!("{HEAD}[[emit]]\nkind = \"own\"\n{what}\n{SCAN}{VERIFY}{DECIDE}");
    refused(&emit("when = \"pass.crew\""), 7, &["gives a whole number, not true or false"]);
    refused(&emit("when = \"answers.x == ''\""), 7, &["`answers.x`", "none here"]);
    refused(
        &emit("data = { outcome = \"pass.role\" }"),
        7,
        &["`outcome` is no name in `data`", "every extra event has"],
    );
    refused(&emit("data = { \"Two Words\" = \"pass.role\" }"), 7, &["`Two Words` is no name in `data`"]);
    refused(&emit("data = { role = \"pass.rool\" }"), 7, &["`pass.rool`", "pass.role"]);
    refused(
        &emit("data = { who = { key = \"pass.crew\" } }"),
        7,
        &["gives a whole number, not a text or a list of texts"],
    );
    assert!(
        read(
            "x.toml",
            &emit("data = { role = \"pass.role\", all = \"pass.seals\", crew = \"pass.crew + 1\" }")
        )
        .is_ok()
    );
}

#[test]
fn a_fail_mode_for_some_visits_asks_what_is_there_from_the_start() {
    let fail = |when: &str, outcome: &str| {
        format!("{HEAD}fail_when = [{{ when = '{when}', outcome = \"{outcome}\" }}]\n{SCAN}{VERIFY}{DECIDE}")
    };
    assert!(read("x.toml", &fail("pass.kind == \"staff-badge\"", "ADMIT")).is_ok());
    refused(&fail("pass.role == \"staff\"", "ADMIT"), 5, &["a `verify` step makes it"]);
    refused(&fail("pass.kind == \"x\"", "OPEN"), 5, &["`OPEN` is not a verdict; allowed: ADMIT"]);
    let out = format!("{HEAD}[verdicts_out]\nX_STALL = \"ADMIT\"\n{SCAN}{DECIDE}");
    refused(&out, 6, &["`X_STALL` is not a reason code", "X_STALE"]);
}
