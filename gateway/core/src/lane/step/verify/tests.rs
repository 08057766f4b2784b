//! Lanes that look into lists, played as files.

use crate::scenario::{gateway, play, read, store::Memory};

const HEAD: &str = r#"
id = "own"
title = { zh = "甲", en = "own" }
direction = "in"
fail_mode = "REFER"
"#;
const SCAN: &str = r#"
[[step]]
kind = "scan"
accepts = ["opaque", "resident-card", "vehicle-pass", "staff-badge", "companion-card", "hcert-test"]
"#;
const PLATE: &str = "[[step]]\nkind = \"question\"\nid = \"plate\"\ninput = \"plate\"\n";
/// 2022-05-24 is a Tuesday.
const CLOCK: &str = "profile = \"own\"\nclock = \"2022-05-24T07:00:00+08:00\"\n";

/// Plays a file in a lane with these steps; behind `---` stands what belongs above the steps.
#[track_caller]
fn plays(steps: &str, body: &str) {
    let (steps, top) = steps.split_once("---").unwrap_or((steps, ""));
    let profile = format!("{HEAD}{top}{SCAN}{steps}");
    crate::profile::read("own.toml", &profile).unwrap();
    let scenario = read("a.toml", &format!("{CLOCK}{body}")).unwrap();
    let own = |_: &str| Ok(("own.toml".to_owned(), profile.clone()));
    let failure = play(&scenario, &own, &mut Memory::new(gateway()), &mut |_| {}).unwrap();
    assert_eq!(failure, None, "{body}");
}

fn verify(lists: &str) -> String {
    format!("[[step]]\nkind = \"verify\"\nlists = [{lists}]\n")
}

fn decide(rules: &[(&str, &str)]) -> String {
    let rules = rules.iter().map(|(code, when)| format!("{{ code = \"{code}\", when = '{when}' }}, "));
    format!("[[step]]\nkind = \"decide\"\nrules = [{}]\n", rules.collect::<String>())
}

fn scan(code: &str) -> String {
    format!("[[do]]\nscan = \"{code}\"\n")
}

fn expect(outcome: &str, codes: &[&str]) -> String {
    format!("[[do]]\nexpect = {{ outcome = \"{outcome}\", codes = {codes:?} }}\n")
}

/// A scan, and what must come of it.
fn comes(code: &str, outcome: &str, codes: &[&str]) -> String {
    format!("{}{}", scan(code), expect(outcome, codes))
}

#[test]
fn every_list_can_be_filled_and_its_fields_are_facts_of_their_types() {
    let rules = [
        ("Q_NOT_LISTED", "!entry.bookings.known"),
        ("Q_HOURS", "entry.bookings.known && visit.now_ms < entry.bookings.from_ms"),
        ("V_UNIT", r#""S-1" in entry.bookings.seals_in && entry.bookings.container_in == "C-1""#),
        ("D_NO_EXIT", "entry.bookings.reentry"),
    ];
    let steps = verify("\"bookings\"") + &decide(&rules);
    let lists = r#"
[lists.trust]
stale = true
[lists.bookings."B-1"]
from_ms = "-1h"
to_ms = "+1h"
seals_in = ["S-1", "S-2"]
container_in = "C-1"
[lists.bookings."B-2"]
from_ms = "+1h"
to_ms = "+2h"
reentry = true
"#;
    let body = comes("B-1", "HOLD", &["V_UNIT"])
        + &comes("B-2", "HOLD", &["D_NO_EXIT", "Q_HOURS"])
        + &comes("B-3", "HOLD", &["C_UNKNOWN", "Q_NOT_LISTED"]);
    plays(&steps, &format!("{lists}{body}"));
}

#[test]
fn a_list_may_be_looked_up_by_what_an_earlier_one_of_the_same_step_says() {
    let steps = verify("\"roster\", \"schedule\"")
        + "keys = { schedule = \"entry.roster.shift\" }\n"
        + &decide(&[("Q_HOURS", "!entry.schedule.open_now"), ("Q_FULL", "entry.schedule.limit == 3")]);
    let lists = r#"
[lists.roster."N-1"]
shift = "early"
[lists.roster."N-2"]
shift = "late"
[lists.roster."N-3"]
shift = "nobody wrote it down"
[lists.schedule.early]
open = ["1-5 06:00-14:00"]
[lists.schedule.late]
open = ["* 22:00-06:00"]
limit = 3
"#;
    // At 07:00 the early shift is on; at 22:30 and at 05:00 of the next day the late one.
    let body = comes("N-1", "ADMIT", &["OK"])
        + &comes("N-2", "HOLD", &["Q_FULL", "Q_HOURS"])
        + &comes("N-3", "ADMIT", &["OK"])
        + "[[do]]\nwait_until = \"05:00\"\n"
        + &comes("N-1", "HOLD", &["Q_HOURS"])
        + &comes("N-2", "HOLD", &["Q_FULL"]);
    plays(&steps, &format!("{lists}{body}"));
}

#[test]
fn several_verifies_add_to_what_was_found() {
    let steps = verify("\"roster\", \"hold\"")
        + "[[step]]\nkind = \"verify\"\nid = \"tests\"\nlists = [\"status\", \"results\"]\n"
        + &decide(&[
            ("Q_NOT_LISTED", r#"pass.role != "worker""#),
            ("H_POSITIVE", r#"health.test_result == "positive""#),
            ("H_RED", r#"health.colour == "red""#),
        ]);
    let lists = r#"
[lists.roster."W-1"]
role = "worker"
[lists.roster."W-2"]
role = "staff"
[lists.hold."W-2"]
[lists.status."W-1"]
colour = "red"
[lists.results."W-2"]
test_result = "positive"
sampled_at_ms = "-1h"
[lists.status."W-4"]
colour = "green"
"#;
    let body = comes("W-1", "DENY", &["H_RED"])
        + &comes("W-2", "HOLD", &["L_HOLD", "H_POSITIVE", "Q_NOT_LISTED"])
        // What the first one has not found, the second does not take back; and what neither has is found once.
        + &comes("W-3", "HOLD", &["C_UNKNOWN", "Q_NOT_LISTED"])
        + &comes("W-4", "HOLD", &["C_UNKNOWN", "Q_NOT_LISTED"]);
    plays(&steps, &format!("{lists}{body}"));
}

#[test]
fn a_code_is_known_by_a_list_that_was_looked_up_by_it_or_by_a_plate_and_no_other() {
    let by = |lists: &str, keys: &str| PLATE.to_owned() + &verify(lists) + keys + &decide(&[]);
    let plate = "[[do]]\nanswer = { plate = \"辽P12345\" }\n";
    let lists = r#"
[lists.stages."辽P12345"]
stage = 5
[lists.items."X-1"]
name = "gloves"
[lists.hold."X-2"]
until_ms = "-1h"
"#;
    let at = |code: &str, outcome: &str, codes: &[&str]| {
        format!("{}{plate}{}", scan(code), expect(outcome, codes))
    };
    plays(&by("\"stages\"", ""), &format!("{lists}{}", at("X-1", "ADMIT", &["OK"])));
    plays(
        &by("\"items\"", "keys = { items = '\"X-1\"' }\n"),
        &format!("{lists}{}", at("X-1", "HOLD", &["C_UNKNOWN"])),
    );
    plays(
        &by("\"items\"", "keys = { items = \"pass.id\" }\n"),
        &format!("{lists}{}", at("X-1", "ADMIT", &["OK"])),
    );
    // Of one who was held it says nothing.
    plays(&by("\"hold\"", ""), &format!("{lists}{}", at("X-2", "HOLD", &["C_UNKNOWN"])));
    plays(&by("", ""), &format!("{lists}{}", at("X-1", "HOLD", &["C_UNKNOWN"])));
}

#[test]
fn each_list_is_too_old_in_its_own_time() {
    let lists = ["status", "roster", "children", "certificates"];
    for (list, of_a_day) in lists.iter().map(|list| (list, *list != "children")) {
        let steps = verify(&format!("\"{list}\""))
            + &decide(&[("Q_SHORT", &format!("entry.{list}.stale"))])
            + "---stale_after_h = 12\n";
        let entry = format!("[lists.{list}.\"P-1\"]\n");
        let later =
            if of_a_day { expect("REFER", &["X_STALE", "Q_SHORT"]) } else { expect("ADMIT", &["OK"]) };
        let body = format!(
            "{entry}{}[[do]]\nwait = \"13h\"\n{}{later}",
            comes("P-1", "ADMIT", &["OK"]),
            scan("P-1")
        );
        plays(&steps, &body);
        let body = format!(
            "{entry}[lists.{list}]\nstale = true\n{}",
            comes("P-1", "REFER", &["X_STALE", "Q_SHORT"])
        );
        plays(&steps, &body);
    }
}

#[test]
fn the_newest_test_of_all_lists_and_of_the_pass_counts() {
    let steps = verify("\"status\", \"results\"")
        + &decide(&[
            ("H_POSITIVE", r#"health.test_result == "positive""#),
            ("H_TEST_MISSING", r#"health.test_result == "pending""#),
            ("H_TEST_EXPIRED", "health.test_age_h > 48.0"),
        ]);
    let entry = |list: &str, id: &str, result: &str, sampled: &str| {
        format!("[lists.{list}.\"{id}\"]\ntest_result = \"{result}\"\nsampled_at_ms = \"{sampled}\"\n")
    };
    let lists = entry("status", "P-1", "positive", "-9d")
        + &entry("results", "P-1", "negative", "-2h")
        + &entry("status", "P-2", "pending", "-1h")
        + &entry("results", "P-2", "negative", "-10h")
        + &entry("results", "P-3", "negative", "-49h");
    let passes = "[passes.new]\nkind = \"hcert-test\"\nresult = \"negative\"\nsampled = \"-1h\"\n\
                  [passes.none]\nkind = \"hcert-test\"\nresult = \"pending\"\nsampled = \"-1h\"\n";
    let pass = |name: &str| format!("[[do]]\nscan_pass = \"{name}\"\n");
    let body = comes("P-1", "HOLD", &["C_UNKNOWN"]).replace("HOLD", "ADMIT").replace("C_UNKNOWN", "OK")
        + &comes("P-2", "HOLD", &["H_TEST_MISSING"])
        + &comes("P-3", "HOLD", &["H_TEST_EXPIRED"])
        + &pass("new")
        + &expect("ADMIT", &["OK"])
        + &pass("none")
        + &expect("HOLD", &["H_TEST_MISSING"]);
    plays(&steps, &format!("{lists}{passes}{body}"));
}

#[test]
fn a_pass_says_of_itself_what_it_is_for_and_lists_say_the_rest() {
    let steps = verify("\"pass\", \"roster\"")
        + &decide(&[
            ("V_ROUTE", r#"pass.company == "works""#),
            ("V_UNIT", r#"pass.class == "day" && "gate-2" in pass.gates"#),
            ("Q_FULL", r#"pass.ward == "W3""#),
            ("Q_COMPANION", r#"pass.role == "companion""#),
            ("Q_SHORT", r#"pass.role == "staff""#),
        ]);
    let lists = r#"
[lists.pass."T-1"]
class = "day"
gates = ["gate-1", "gate-2"]
[lists.pass."C-1"]
company = "works"
[lists.roster."T-1"]
company = "works"
role = "staff"
[lists.roster."C-1"]
ward = "W3"
role = "staff"
[passes.card]
kind = "companion-card"
subject = "C-1"
[passes.badge]
kind = "staff-badge"
subject = "C-1"
"#;
    let pass = |name: &str| format!("[[do]]\nscan_pass = \"{name}\"\n");
    let body = comes("T-1", "HOLD", &["V_ROUTE", "V_UNIT", "Q_SHORT"])
        // A signed card is for what it says, whatever list of passes has its number.
        + &pass("card")
        + &expect("HOLD", &["Q_COMPANION", "Q_FULL"])
        + &pass("badge")
        + &expect("HOLD", &["Q_FULL", "Q_SHORT"]);
    plays(&steps, &format!("{lists}{body}"));
}

#[test]
fn a_plate_that_staff_have_typed_is_held_where_the_profile_says_so() {
    let of = |keys: &str| PLATE.to_owned() + &verify("\"certificates\", \"hold\"") + keys + &decide(&[]);
    let lists = "[lists.certificates.\"Z-1\"]\nkind = \"wash\"\n[lists.hold.\"辽P12345\"]\n";
    let typed = "[[do]]\nanswer = { plate = \"辽P12345\" }\n";
    let body =
        |outcome: &str, codes: &[&str]| format!("{lists}{}{typed}{}", scan("Z-1"), expect(outcome, codes));
    plays(&of(""), &body("ADMIT", &["OK"]));
    plays(&of("keys = { hold = \"answers.plate\" }\n"), &body("HOLD", &["L_HOLD"]));
}

#[test]
fn the_way_out_and_the_fail_mode_may_differ() {
    let steps = verify("\"roster\"") + &decide(&[]);
    let stale = "[lists.roster]\nstale = true\n[passes.badge]\nkind = \"staff-badge\"\n";
    let badge = "[[do]]\nscan_pass = \"badge\"\n";
    let when = "fail_when = [{ when = 'pass.kind == \"staff-badge\"', outcome = \"ADMIT\" }]\n";
    plays(&steps, &format!("{stale}{badge}{}", expect("REFER", &["X_STALE"])));
    plays(&format!("{steps}---{when}"), &format!("{stale}{badge}{}", expect("ADMIT", &["OK", "X_STALE"])));
    plays(
        &format!("{steps}---{when}"),
        &format!("{stale}{}", comes("P-1", "REFER", &["X_STALE", "C_UNKNOWN"])),
    );
    // Outcomes of the way out are for visits that go out.
    let out = format!("{steps}---{when}[verdicts_out]\nX_STALE = \"ADMIT\"\nC_UNKNOWN = \"ADMIT\"\n");
    plays(&out, &format!("{stale}{}", comes("P-1", "REFER", &["X_STALE", "C_UNKNOWN"])));
    let profile = format!("{HEAD}[verdicts_out]\nC_EXPIRED = \"ADMIT\"\n{SCAN}{}", decide(&[]));
    let profile = crate::profile::read("own.toml", &profile.replace("\"in\"", "\"out\"")).unwrap();
    assert_eq!(profile.outcome(crate::codes::Code::C_EXPIRED), crate::codes::Outcome::Admit);
}

#[test]
fn a_refused_pass_goes_to_the_first_verify_that_it_comes_to_or_to_the_verdict() {
    let passes = "[passes.bad]\nkind = \"staff-badge\"\nsign = \"wrong\"\n";
    let bad = "[[do]]\nscan_pass = \"bad\"\n";
    let when = |condition: &str| {
        PLATE.to_owned()
            + &verify("\"status\"")
            + &format!("when = '{condition}'\n")
            + "[[step]]\nkind = \"question\"\nid = \"then\"\ninput = \"text\"\n"
            + &decide(&[("Q_FULL", "true")])
    };
    // It comes to the verify, and then to what stands behind it.
    plays(
        &when(r#"visit.direction == "in""#),
        &format!("{passes}{bad}[[do]]\nexpect = {{ at = \"then\" }}\n"),
    );
    // The verify is not for this visit: straight to the verdict, and no rule is asked.
    plays(&when(r#"visit.direction == "out""#), &format!("{passes}{bad}{}", expect("DENY", &["C_BADSIG"])));
    // Behind an override everything that was passed over is done, and the rules are asked.
    let body = "[[do]]\noverride = { outcome = \"ADMIT\", reason = \"paper_seen\" }\n\
                [[do]]\nexpect = { at = \"plate\" }\n[[do]]\nanswer = { plate = \"辽P12345\" }\n\
                [[do]]\nanswer = { then = \"x\" }\n";
    let all = format!("{passes}{bad}{body}{}", expect("HOLD", &["Q_FULL"]));
    plays(&when(r#"visit.direction == "out""#), &all);
}

#[test]
fn of_two_rules_with_one_code_the_first_that_is_true_gives_the_outcome() {
    let rules = "[[step]]\nkind = \"decide\"\nrules = [\n\
                 { code = \"V_PARTY\", when = 'pass.id == \"A\"', outcome = \"DENY\" },\n\
                 { code = \"V_PARTY\", when = 'pass.id in [\"A\", \"B\"]' },\n\
                 { code = \"V_PARTY\", when = 'pass.id != \"\"', outcome = \"HOLD\" },\n]\n";
    let body = comes("A", "DENY", &["V_PARTY"])
        + &comes("B", "REFER", &["V_PARTY"])
        + &comes("C", "HOLD", &["V_PARTY"]);
    plays(rules, &body);
}

#[test]
fn a_vehicle_pass_without_plate_or_category_says_nothing_of_them() {
    let steps = verify("\"revocation\"")
        + &decide(&[
            ("V_PLATE", r#"pass.plate == """#),
            ("V_CATEGORY", r#"pass.category == """#),
            ("V_ROUTE", r#"pass.from == """#),
        ]);
    let passes = "[passes.bare]\nkind = \"vehicle-pass\"\n[passes.plate]\nkind = \"vehicle-pass\"\nplate = \"辽P12345\"\nfrom = \"a\"\n";
    let body = "[[do]]\nscan_pass = \"bare\"\n".to_owned()
        + &expect("HOLD", &["V_PLATE", "V_ROUTE", "V_CATEGORY"])
        + "[[do]]\nscan_pass = \"plate\"\n"
        + &expect("HOLD", &["V_CATEGORY"]);
    plays(&steps, &format!("{passes}{body}"));
}

#[test]
fn an_extra_event_comes_when_its_condition_holds() {
    let steps = verify("\"roster\"")
        + &decide(&[("Q_FULL", r#"pass.id == "N-3""#)])
        + "---[[emit]]\nkind = \"duty\"\noutcomes = [\"ADMIT\"]\nwhen = 'entry.roster.role == \"staff\"'\n\
           data = { role = \"entry.roster.role\", who = { key = \"pass.subject\" } }\n";
    let lists = "[lists.roster.\"N-1\"]\nrole = \"staff\"\n[lists.roster.\"N-2\"]\n[lists.roster.\"N-3\"]\nrole = \"staff\"\n";
    let event = |code: &str, come: bool| {
        format!(
            "{}[[do]]\nexpect = {{ {} = [\"duty\"] }}\n",
            scan(code),
            if come { "events" } else { "no_events" }
        )
    };
    // An override brings what had not come, once.
    let body = event("N-1", true)
        + &event("N-2", false)
        + &event("N-3", false)
        + "[[do]]\noverride = { outcome = \"ADMIT\", reason = \"paper_seen\" }\n[[do]]\nexpect = { events = [\"duty\"] }\n\
           [[do]]\noverride = { outcome = \"HOLD\", reason = \"paper_seen\" }\n\
           [[do]]\noverride = { outcome = \"ADMIT\", reason = \"paper_seen\" }\n[[do]]\nexpect = { no_events = [\"duty\"] }\n";
    plays(&steps, &format!("{lists}{body}"));
}

#[test]
fn behind_a_check_that_stops_the_slip_is_printed_and_nothing_else_is_done() {
    let steps = verify("\"roster\"")
        + "[[step]]\nkind = \"decide\"\nid = \"check\"\nlast = false\nrules = [{ code = \"Q_FULL\", when = 'pass.id == \"N-1\"' }]\n\
           [[step]]\nkind = \"question\"\nid = \"then\"\ninput = \"text\"\n"
        + &decide(&[])
        + "[[step]]\nkind = \"print\"\nid = \"slip\"\nlines = [\"No. {visit}\"]\n";
    let lists = "[lists.roster.\"N-1\"]\n[lists.roster.\"N-2\"]\n";
    let body = scan("N-1")
        + "[[do]]\nexpect = { outcome = \"HOLD\", codes = [\"Q_FULL\"], printed = \"No. 1\" }\n\
           [[do]]\noverride = { outcome = \"ADMIT\", reason = \"known_person\" }\n\
           [[do]]\nexpect = { at = \"then\" }\n[[do]]\nanswer = { then = \"x\" }\n\
           [[do]]\nexpect = { outcome = \"ADMIT\", codes = [\"OK\"] }\n"
        + &scan("N-2")
        + "[[do]]\nexpect = { at = \"then\", printed = \"\" }\n";
    plays(&steps, &format!("{lists}{body}"));
}

#[test]
fn the_newest_seals_of_a_plate_count_whether_a_list_or_a_lane_of_the_site_has_them() {
    let truck = crate::profile::shipped::find("truck-supplies").unwrap().1;
    let check = format!(
        "{}{}{PLATE}{}{}",
        HEAD.replace("\"own\"", "\"check\""),
        SCAN.replace("\"opaque\"", "\"opaque\", \"release-slip\""),
        verify("\"seals\""),
        decide(&[
            ("S_MISSING", "size(entry.seals.seals) == 0"),
            ("S_NUMBER", r#""LN0000001" in entry.seals.seals"#),
            ("S_TAMPER", r#""LN0045678" in entry.seals.seals"#),
        ])
    );
    let text = r#"
profile = "truck-supplies"
clock = "2022-05-24T07:00:00+08:00"
[lanes.exit]
profile = "check"
[lists.pass."辽P12345"]
plate = "辽P12345"
category = "emergency-supplies"
from = "211400"
to = "210100"
approvals = ["industry"]
[lists.seals."辽P12345"]
seals = ["LN0000001"]
sealed_at_ms = "-1h"
[lists.seals."辽P54321"]
seals = ["LN0000001"]
sealed_at_ms = "-1h"
[[do]]
scan = "辽P12345"
lane = "exit"
[[do]]
answer = { plate = "辽P12345" }
lane = "exit"
[[do]]
expect = { codes = ["S_NUMBER"] }
lane = "exit"
[[do]]
scan = "辽P12345"
[[do]]
answer = { plate = "辽P12345" }
[[do]]
answer = { crew = 2 }
[[do]]
seal = { number = "LN0045678", kind = "bolt", door = "rear" }
[[do]]
confirm = ["view", "verify", "tug", "twist"]
[[do]]
expect = { outcome = "ADMIT", opened = true }
[[do]]
wait = "61s"
[[do]]
scan = "辽P12345"
lane = "exit"
[[do]]
answer = { plate = "辽P12345" }
lane = "exit"
[[do]]
expect = { codes = ["S_TAMPER"] }
lane = "exit"
[[do]]
list = { name = "seals", key = "辽P12345", entry = { seals = ["LN0000001"], sealed_at_ms = "+0s" } }
[[do]]
wait = "61s"
[[do]]
scan = "辽P12345"
lane = "exit"
[[do]]
answer = { plate = "辽P12345" }
lane = "exit"
[[do]]
expect = { codes = ["S_NUMBER"] }
lane = "exit"
[[do]]
scan = "辽P99999"
lane = "exit"
[[do]]
answer = { plate = "辽P99999" }
lane = "exit"
[[do]]
expect = { codes = ["C_UNKNOWN", "S_MISSING"] }
lane = "exit"
"#;
    let profiles = |name: &str| {
        let text = if name == "check" { check.clone() } else { truck.to_owned() };
        Ok((format!("{name}.toml"), text))
    };
    let scenario = read("a.toml", text).unwrap();
    let failure = play(&scenario, &profiles, &mut Memory::new(gateway()), &mut |_| {}).unwrap();
    assert_eq!(failure, None);
}
