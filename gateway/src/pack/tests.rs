use super::*;
use crate::pack::bundle::{entries, read_pack};
use crate::pack::check::{check, play};
use crate::pack::diff::{diff, scenarios};
use kakou_core::profile::shipped::find;
use serde_json::json;
use std::fs;

const SCENARIO: &str = r#"
profile = "school-gate"
clock = "2022-05-24T07:00:00+08:00"
title = "a pupil at 37.5 °C"
[lists.status."P-0001"]
name = "张小明"
colour = "green"
test_result = "negative"
sampled_at_ms = "-20h"
[[do]]
scan = "P-0001"
[[do]]
readings = [37.5, 37.5, 37.5]
[[do]]
expect = { outcome = "REFER" }
"#;

/// A folder with the school gate, its limit changed, and one scenario.
fn folder(limit: &str, outcome: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (_, text) = find("school-gate").unwrap();
    fs::write(at("school-gate.toml"), text.replace("high_mdeg = 37300", &format!("high_mdeg = {limit}")))
        .unwrap();
    let read = profile::read("x.toml", text).unwrap();
    let lists: Vec<&str> = read.lists().collect();
    let manifest = format!(
        "id = \"school\"\ntitle = {{ zh = \"学校\", en = \"School\" }}\nversion = \"1\"\nprofiles = [\"school-gate\"]\n\
         lists = {lists:?}\nvalid_from = \"2022-05-24T07:00:00+08:00\"\n"
    );
    fs::write(at(MANIFEST), manifest).unwrap();
    fs::create_dir(at(SCENARIOS)).unwrap();
    let scenario = SCENARIO.replace("REFER", outcome);
    fs::write(at(SCENARIOS).join("a-pupil-at-37-5.toml"), scenario).unwrap();
    folder
}

fn read(limit: &str, outcome: &str) -> Pack {
    read_folder(folder(limit, outcome).path()).unwrap()
}

#[test]
fn a_pack_in_order_is_the_same_behind_its_bundle_and_has_the_forms_of_its_lists() {
    let pack = read("37300", "REFER");
    assert_eq!(check(&pack), []);
    assert_eq!(play(&pack, &mut |_, _| {}), []);
    assert_eq!(pack.manifest.as_ref().unwrap().from_s(), Ok(Some(1_653_346_800)));
    let all = entries(&pack);
    assert!(all.contains_key("forms/status.json") && all.contains_key("scenarios/a-pupil-at-37-5.toml"));
    let body: String = all.iter().map(|(id, f)| json!({ "id": id, "facts": f }).to_string() + "\n").collect();
    let again = read_pack(body.as_bytes()).unwrap();
    assert_eq!(again, pack);
}

#[test]
fn what_is_wrong_with_a_pack_is_told_with_its_file() {
    let wrong = |change: &dyn Fn(&Path)| -> String {
        let folder = folder("37300", "REFER");
        change(folder.path());
        let pack = match read_folder(folder.path()) {
            Ok(pack) => pack,
            Err(why) => return why,
        };
        let mut faults = check(&pack);
        faults.extend(play(&pack, &mut |_, _| {}));
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let edit = |file: &'static str, from: &'static str, to: &'static str| {
        move |folder: &Path| {
            let path = folder.join(file);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(path, text.replace(from, to)).unwrap();
        }
    };
    let scenario = "scenarios/a-pupil-at-37-5.toml";
    for (change, wanted) in [
        (edit(MANIFEST, "[\"school-gate\"]", "[]"), "`profiles` does not name `school-gate`"),
        (edit(MANIFEST, "[\"school-gate\"]", "[\"school-gate\", \"gym\"]"), "there is no gym.toml"),
        (edit(MANIFEST, "\"status\"", "\"stages\""), "\"status\""),
        (edit(MANIFEST, "version", "verzion"), "unknown field `verzion`"),
        (edit(MANIFEST, "2022-05-24T", "tomorrow "), "`valid_from` is not a date and time"),
        (edit(MANIFEST, "zh = \"学校\"", "zh = \"\""), "both languages"),
        (
            edit("school-gate.toml", "id = \"school-gate\"", "id = \"gate\""),
            "school-gate.toml: its profile has the id `gate`",
        ),
        (edit("school-gate.toml", "kind = \"temperature\"", "kind = \"thermometer\""), "school-gate.toml:"),
        (edit(scenario, "\"school-gate\"", "\"gym\""), "profile `gym` is neither in the pack"),
        (edit(scenario, "scan =", "scann ="), "unknown field `scann`"),
        (edit(scenario, "REFER", "ADMIT"), "expected outcome ADMIT"),
    ] {
        let told = wrong(&change);
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}

#[test]
fn what_changes_for_the_scenarios_of_a_site_is_told() {
    let (before, after) = (read("37300", "REFER"), read("38000", "ADMIT"));
    let told = diff(&before, &after, &scenarios(&before, &after));
    assert_eq!((told.changed.as_slice(), told.alike), (&["school-gate".to_owned()][..], 0));
    let [change] = &told.outcomes[..] else { panic!("{told:?}") };
    assert_eq!(change.title, "a pupil at 37.5 °C");
    let last = |of: &kakou_core::scenario::outcomes::Outcomes| of.decided.last().unwrap().clone();
    assert_eq!(
        (last(&change.before).outcome.as_str(), last(&change.after).outcome.as_str()),
        ("REFER", "ADMIT")
    );
    assert_eq!(last(&change.before).codes, ["T_HIGH"]);
    let same = diff(&before, &before, &scenarios(&before, &before));
    assert_eq!((same.outcomes.len(), same.alike, same.changed.len()), (0, 1, 0));
}

#[test]
fn the_shipped_packs_are_in_order_and_name_every_shipped_profile() {
    let mut named = BTreeSet::new();
    for (id, _) in shipped::PACKS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles").join(id);
        let pack = read_folder(&folder).unwrap();
        assert_eq!(check(&pack), [], "{id}");
        assert!(pack.scenarios.len() > 20, "{id}: {}", pack.scenarios.len());
        assert_eq!(shipped_pack(id).unwrap().profiles, pack.profiles, "{id}");
        named.extend(pack.profiles.into_keys());
    }
    assert_eq!(named, shipped::ids().map(str::to_owned).collect());
}

#[test]
fn the_pack_of_the_page_is_in_order() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/packs.md");
    let page = fs::read_to_string(page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut files = 0;
    for block in page.split("```toml\n# workshop/").skip(1) {
        let (name, text) = block.split_once('\n').unwrap();
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.split_once("```").unwrap().0).unwrap();
        files += 1;
    }
    let pack = read_folder(folder.path()).unwrap();
    assert_eq!((files, check(&pack)), (3, vec![]));
    assert_eq!(play(&pack, &mut |_, _| {}), []);
}
