//! What a register of a profile is refused for, with the line and with what is allowed.

use crate::profile::read;

const HEAD: &str =
    "id = \"x\"\ntitle = { zh = \"a\", en = \"b\" }\ndirection = \"in\"\nfail_mode = \"REFER\"\n";
const SCAN: &str = "[[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n";
const DECIDE: &str = "[[step]]\nkind = \"decide\"\n";
const PUT: &str = "[[step]]\nkind = \"register\"\nregister = \"room\"\nact = \"put\"\n";

/// A profile with one register, whose other fields stand on the lines from 9 on, and these steps.
fn with(fields: &str, steps: &str) -> String {
    let room = "[[register]]\nname = \"room\"\nkey = \"lane.place\"\nholder = \"pass.subject\"\n";
    format!("{HEAD}{room}{fields}{SCAN}{steps}{DECIDE}")
}

#[track_caller]
fn refused(profile: &str, line: usize, words: &[&str]) {
    let why = read("x.toml", profile).expect_err(profile).to_string();
    assert!(why.starts_with(&format!("x.toml:{line}: ")), "{why}, not at line {line}");
    for word in words {
        assert!(why.contains(word), "{why}: without {word}");
    }
}

#[test]
fn what_a_register_says_is_proved_when_the_profile_is_read() {
    read("x.toml", &with("", PUT)).unwrap();
    read("x.toml", &with("limit = 3\nover = \"Q_FULL\"\nkeep = \"12h\"\nscope = \"lane\"\n", PUT)).unwrap();
    refused(&with("limit = 0\n", PUT), 9, &["`limit` is 0", "a number from 1"]);
    refused(&with("limit = \"pass.subject\"\n", PUT), 9, &["gives a text, not a whole number"]);
    refused(&with("limit = \"register.room.held\"\n", PUT), 9, &["register.room.held"]);
    refused(&with("limit = 1\nover = \"Q_FUL\"\n", PUT), 10, &["`Q_FUL` is not a reason code", "Q_FULL"]);
    refused(&with("over = \"Q_FULL\"\n", PUT), 6, &["no `limit`"]);
    refused(&with("scope = \"city\"\n", PUT), 9, &["`city` is no scope", "lane, gateway, site"]);
    refused(&with("keep = \"30\"\n", PUT), 9, &["`keep`", "no duration"]);
    refused(&with("keep = \"0s\"\n", PUT), 9, &["`keep`", "3660d"]);
    refused(&with("keep = \"9999d\"\n", PUT), 9, &["`keep`", "3660d"]);
    refused(&with("colour = 1\n", PUT), 9, &["colour"]);
    refused(&with("sum = true\nlimit = 1\n", PUT), 6, &["sums up", "limit"]);
    let two = format!(
        "{HEAD}{}{}",
        "[[register]]\nname = \"a\"\nkey = \"lane.id\"\nholder = \"lane.id\"\n".repeat(2),
        SCAN
    );
    refused(&two, 10, &["two registers are called `a`"]);
    for (name, words) in
        [("seal", "built in"), ("pass-used", "built in"), ("Room", "a-z 0-9 _"), ("1a", "letter")]
    {
        let named = with("", PUT).replace("name = \"room\"", &format!("name = \"{name}\""));
        refused(&named, 6, &[words]);
    }
    let typed = with("", PUT).replace("\"pass.subject\"", "\"visit.id\"");
    refused(&typed, 8, &["a whole number, not a text"]);
}

#[test]
fn an_alarm_has_one_time_and_an_event_of_the_profile() {
    read("x.toml", &with("alarm = { after = \"2d\", event = \"waste_alarm\" }\n", PUT)).unwrap();
    read("x.toml", &with("alarm = { until = true, event = \"overdue\" }\n", PUT)).unwrap();
    let alarm =
        |fields: &str, words: &[&str]| refused(&with(&format!("alarm = {{ {fields} }}\n"), PUT), 9, words);
    alarm("event = \"a\"", &["after a time or at the end of it"]);
    alarm("after = \"2d\", until = true, event = \"a\"", &["after a time or at the end of it"]);
    alarm("until = false, event = \"a\"", &["after a time or at the end of it"]);
    alarm("after = \"2\", event = \"a\"", &["`after`", "no duration"]);
    alarm("after = \"2d\", event = \"two words\"", &["no kind of event"]);
    alarm("after = \"2d\", event = \"transaction\"", &["the gateway itself makes"]);
    alarm("after = \"2d\"", &["event"]);
}

#[test]
fn a_step_names_a_register_an_act_and_one_end() {
    let step = |fields: &str, words: &[&str]| {
        let steps = format!("[[step]]\nkind = \"register\"\n{fields}\n");
        refused(&with("", &steps), 12, words);
    };
    step("register = \"room\"\nact = \"give\"", &["`give` is no act", "put, take, look, swap"]);
    step("register = \"rom\"\nact = \"put\"", &["no [[register]] declares `rom`", "room"]);
    step("register = \"seal\"\nact = \"put\"", &["no [[register]] declares `seal`"]);
    step("register = \"room\"\nact = \"put\"\nat = \"later\"", &["`at` is `later`", "admit, now"]);
    step("register = \"room\"\nact = \"put\"\nuntil = \"noon\"", &["`until` is `noon`", "end-of-day"]);
    step("register = \"room\"\nact = \"put\"\nuntil_h = \"2\"\nuntil_ms = \"3\"", &["one end"]);
    step("register = \"room\"\nact = \"put\"\nuntil_h = \"pass.subject\"", &["a whole number or a number"]);
    step("register = \"room\"\nact = \"take\"\nuntil_h = \"2\"", &["only `put` and `swap`"]);
    step("register = \"room\"\nact = \"put\"\ndata = { a = \"visit.none\" }", &["visit.none"]);
    step("register = \"room\"\nact = \"put\"\namount = \"pass.subject\"", &["a text, not a whole number"]);
}

#[test]
fn a_fact_of_a_register_is_one_that_registers_have() {
    let rule = |when: &str| {
        let decide = format!("rules = [{{ code = \"Q_FULL\", when = '''{when}''' }}]\n");
        format!("{}{decide}", with("", PUT))
    };
    for good in [
        "register.room.held > 3 && register.room.free == 0",
        "register.room.mine && !register.room.was_mine && register.room.last_other",
        "register.room.since_h < 16.0 && register.room.until_h < 0.0",
        "register.room.data.company == 'a' && register.room.last_lane == lane.id",
        "register['room']['held'] == 0",
    ] {
        read("x.toml", &rule(good)).expect(good);
    }
    for (bad, words) in [
        ("register.room.hold > 3", "register.room.held"),
        ("register.rom.held > 3", "register.room.held"),
        ("register.room == 3", "register.room.held"),
        ("register.room.data == ''", "register.room.data.X"),
        ("register.room.held.x == 3", "a value"),
        ("register.room.data.x.y == ''", "a value"),
        ("register.room.held == 'a'", "are compared"),
        ("register.room.data.x == 3", "are compared"),
    ] {
        let profile = rule(bad);
        refused(&profile, profile.lines().count(), &[words]);
    }
}
