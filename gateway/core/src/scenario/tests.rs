use super::store::Memory;
use super::*;

fn played(text: &str) -> Result<Option<Failure>, Mistake> {
    let scenario = read("a.toml", text)?;
    play(&scenario, &shipped, &mut Memory::new(gateway()), &mut |_| {})
}

const HEAD: &str = r#"
profile = "school-gate"
clock = "2022-05-24T07:00:00+08:00"
[lists.status.green]
name = "张小明"
colour = "green"
test_result = "negative"
sampled_at_ms = "-20h"
[lists.status.red]
colour = "red"
test_result = "negative"
sampled_at_ms = "-20h"
"#;

fn line(text: &str, part: &str) -> usize {
    1 + text.lines().position(|l| l.contains(part)).unwrap()
}

/// What a failing file says, and at which line.
fn fails(body: &str) -> (usize, String) {
    let failure = played(&format!("{HEAD}{body}")).unwrap().expect("it fails");
    (failure.line, failure.why)
}

fn passes(body: &str) {
    assert_eq!(played(&format!("{HEAD}{body}")).unwrap(), None, "{body}");
}

#[test]
fn the_first_expect_that_fails_ends_the_file_with_its_line_and_what_was_found() {
    let text = format!(
        "{HEAD}[[do]]\nscan = \"red\"\n[[do]]\nexpect = {{ outcome = \"ADMIT\" }}\n[[do]]\nexpect = {{ outcome = \"HOLD\" }}\n"
    );
    let failure = played(&text).unwrap().unwrap();
    assert_eq!(failure.line, line(&text, "ADMIT") - 1);
    assert_eq!(
        (failure.found.outcome.as_str(), failure.found.codes.as_slice()),
        ("DENY", &["H_RED".to_owned()][..])
    );
    assert!(failure.why.contains("expected outcome ADMIT"), "{}", failure.why);
}

#[test]
fn an_unknown_key_is_a_mistake_with_its_line_and_what_is_allowed() {
    for (body, said) in [
        ("[[do]]\nscann = \"x\"\n", "scann"),
        ("[[do]]\nscan = \"x\"\nonn = \"y\"\n", "onn"),
        ("[[do]]\nexpect = { outcom = \"ADMIT\" }\n", "outcom"),
        ("[[do]]\nexpect = { outcome = \"ADMITT\" }\n", "ADMIT, REFER, HOLD, DENY, none"),
        ("[[do]]\nexpect = { codes = [\"H_READ\"] }\n", "H_RED"),
        ("[[do]]\nexpect = { refused = \"bussy\" }\n", "busy"),
        ("[[do]]\nexpect = { events = [\"transactions\"] }\n", "transaction"),
        ("[[do]]\nexpect = { at = \"nowhere\" }\n", "temperature"),
        ("[[do]]\nscan = \"x\"\non = \"reader-out\"\n", "scanner"),
        ("[[do]]\nscan_pass = \"t1\"\n", "[passes.t1]"),
        ("[lists.revocation.\"@t1\"]\n", "[passes.t1]"),
        ("[[do]]\nwait = \"5\"\n", "61s"),
        ("[[do]]\nas = \"nurze\"\ncancel = \"left\"\n", "nurse"),
        ("[[do]]\nlist = { name = \"holds\", key = \"x\", entry = {} }\n", "hold"),
        ("[lists.policy.own]\ntoml = \"x\"\n", "`profile` names the profile"),
        ("[[do]]\nlist = { name = \"trust\", key = \"x\", entry = {} }\n", "`sign` in [passes.NAME]"),
        ("[[do]]\ndevice_lost = \"camera\"\n", "thermometer"),
        ("[[do]]\nscan = \"x\"\ncancel = \"y\"\n", "one verb"),
        ("[[do]]\n", "one verb"),
        ("[[do]]\nscan = \"x\"\nlane = \"lane-9\"\n", "lane-1"),
        ("[[do]]\nconsole = { act = \"tracce\" }\n", "trace, review, revoke, handover, export"),
        ("[[do]]\nconsole = { act = \"trace\", lane = \"lane-9\" }\n", "lane-1"),
        ("[[do]]\nconsole = { act = \"trace\", from = \"5\" }\n", "from"),
        ("[[do]]\nconsole = { act = \"revoke\", purpose = \"lost\" }\n", "key"),
        ("[[do]]\nexpect = { rows = \"two\" }\n", "how many"),
    ] {
        let mistake = played(&format!("{HEAD}{body}")).expect_err(body);
        assert!(mistake.what.contains(said), "{body}: {mistake}");
        let at = HEAD.lines().count();
        assert!((at + 1..=at + 3).contains(&mistake.line), "{body}: {mistake}");
    }
}

#[test]
fn an_act_of_the_console_that_is_refused_ends_the_file_where_no_expect_names_it() {
    let (_, why) = fails("[[do]]\nconsole = { act = \"trace\" }\n");
    assert!(why.contains("`purpose`"), "{why}");
    let (_, why) = fails(
        "[[do]]\nconsole = { act = \"trace\", purpose = \"contact\" }\n[[do]]\nexpect = { rows = 1 }\n",
    );
    assert!(why.contains("rows"), "{why}");
}

#[test]
fn a_register_that_no_lane_of_the_file_has_is_a_mistake() {
    for body in [
        "[[do]]\nexpect = { register = { companion = { \"B-12\" = [] } } }\n",
        "[[do]]\npeer = { register = \"companion\", key = \"B-12\", holder = \"P-1\" }\n",
        "[[do]]\ncorrect = { register = \"companion\", key = \"B-12\", holder = \"*\", act = \"take\" }\n",
    ] {
        let mistake = played(&format!("{HEAD}{body}")).unwrap_err();
        let said = mistake.to_string();
        assert!(said.ends_with("there is no register `companion`; there are: pass-used, seal"), "{said}");
    }
}

#[test]
fn a_rejection_that_no_expect_names_ends_the_file() {
    let (_, why) = fails("[[do]]\ncancel = \"nobody is here\"\n");
    assert!(why.contains("not_now"), "{why}");
    let (at, why) = fails("[[do]]\ncancel = \"nobody is here\"\n[[do]]\nscan = \"green\"\n");
    assert!(why.contains("not_now"), "{why}");
    assert_eq!(at, HEAD.lines().count() + 1);
    passes("[[do]]\ncancel = \"nobody is here\"\n[[do]]\nexpect = { refused = \"not_now\" }\n");
    passes("[[do]]\nweigh = 2300\n[[do]]\nexpect = { refused = \"not_now\" }\n");
    let (_, why) = fails("[[do]]\nscan = \"green\"\n[[do]]\nexpect = { refused = \"busy\" }\n");
    assert!(why.contains("found none"), "{why}");
}

#[test]
fn what_an_expect_looks_at_is_what_came_since_the_one_before() {
    passes(
        "[[do]]\nscan = \"green\"\n[[do]]\nexpect = { opened = true, events = [\"transaction\", \"arrival\"] }\n\
         [[do]]\nexpect = { outcome = \"ADMIT\", opened = false, no_events = [\"transaction\"], printed = \"\" }\n",
    );
}

#[test]
fn each_key_of_an_expect_can_fail() {
    let slot = "[[slot]]\nregister = \"seal\"\nkey = \"LN0000001\"\nholder = \"visit:7\"\n";
    for (good, bad) in [
        ("outcome = \"ADMIT\"", "outcome = \"none\""),
        ("codes = []", "codes = [\"OK\", \"X_STALE\"]"),
        ("codes = [\"OK\"]", "codes = [\"X_STALE\"]"),
        ("opened = true", "opened = false"),
        ("events = [\"temperature\", \"arrival\"]", "events = [\"arrival\", \"temperature\"]"),
        ("events = [\"transaction\"]", "events = [\"transaction\", \"transaction\"]"),
        ("no_events = [\"fever\"]", "no_events = [\"arrival\"]"),
        ("printed = \"\"", "printed = \"slip\""),
        ("direction = \"in\"", "direction = \"out\""),
        ("visit = 1", "visit = 2"),
        ("outcome = \"ADMIT\"", "at = \"temperature\""),
        ("outcome = \"ADMIT\"", "refused = \"busy\""),
        (
            "register = { seal = { LN0000001 = [\"v7\"], LN0000002 = [] } }",
            "register = { seal = { LN0000001 = [] } }",
        ),
        (
            "register = { seal = { LN0000001 = [\"visit:7\"] } }",
            "register = { seal = { LN0000001 = [\"visit:8\"] } }",
        ),
        ("register = { seal = { LN0000002 = [] } }", "register = { seal = { LN0000002 = [\"visit:7\"] } }"),
    ] {
        let body = |key: &str| format!("{slot}[[do]]\nscan = \"green\"\n[[do]]\nexpect = {{ {key} }}\n");
        passes(&body(good));
        let (line, why) = fails(&body(bad));
        assert_eq!(line, HEAD.lines().count() + 7, "{bad}: {why}");
    }
}

#[test]
fn a_device_step_is_served_by_itself_unless_the_next_act_is_for_it_or_for_whoever_stands_there() {
    // Whoever waits is measured, and so is whoever the next one comes behind.
    for next in ["wait = \"1s\"", "scan = \"red\"", "expect = {}"] {
        passes(&format!(
            "[[do]]\nscan = \"green\"\n[[do]]\n{next}\n[[do]]\nexpect = {{ visit = 1, outcome = \"ADMIT\" }}\n"
        ));
    }
    // Whoever leaves, or is there when the power fails, is not measured before.
    passes(
        "[[do]]\nscan = \"green\"\n[[do]]\ncancel = \"left\"\n\
         [[do]]\nexpect = { outcome = \"none\", events = [\"visit_abandoned\"], no_events = [\"temperature\"] }\n",
    );
    passes(
        "[[do]]\nenter = \"green\"\n[[do]]\nrestart = \"90s\"\n\
         [[do]]\nexpect = { outcome = \"none\", events = [\"visit_abandoned\"] }\n",
    );
    passes(
        "[[do]]\nscan = \"green\"\n[[do]]\ndevice_lost = \"thermometer\"\n\
         [[do]]\nexpect = { outcome = \"REFER\", codes = [\"T_FAULT\"], events = [\"device\"] }\n",
    );
}

#[test]
fn the_clock_moves_by_waiting_and_by_the_pauses_of_a_measurement_alone() {
    let clock = |wait: &str, repeated: bool| {
        let event = if repeated { "events" } else { "no_events" };
        passes(&format!(
            "[[do]]\nscan = \"green\"\n[[do]]\nreadings = [38.0, 36.6, 36.6]\n[[do]]\nexpect = {{ outcome = \"ADMIT\" }}\n\
             [[do]]\nwait = \"{wait}\"\n[[do]]\nscan = \"green\"\n[[do]]\nexpect = {{ {event} = [\"repeat\"] }}\n"
        ));
    };
    // Two pauses of five seconds have passed already: a result counts for a minute from the first reading of the code.
    clock("50s", true);
    clock("50001ms", false);
}

#[test]
fn a_trace_tells_each_act_as_the_file_says_it_and_what_follows() {
    let text =
        format!("{HEAD}[[do]]\nscan = \"green\"   \n\n# whoever stands there\n[[do]]\ntemperature = 36.6\n");
    let scenario = read("a.toml", &text).unwrap();
    let mut told = Vec::new();
    let played =
        play(&scenario, &shipped, &mut Memory::new(gateway()), &mut |line| told.push(line.trim().to_owned()));
    assert_eq!(played, Ok(None));
    let at = HEAD.lines().count();
    assert_eq!(
        told,
        [
            format!("{}: scan = \"green\"", at + 1),
            "visit 1 waits at temperature".into(),
            format!("{}: temperature = 36.6", at + 5),
            "event temperature lane-1".into(),
            "event transaction lane-1 ADMIT [\"OK\"]".into(),
            "event arrival lane-1 ADMIT [\"OK\"]".into(),
            "barrier is asked to open".into(),
        ]
    );
}
