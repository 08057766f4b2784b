//! Every scenario file of the project, played on the core and a store in memory: `scenarios/PROFILE/*.toml`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_core::profile::shipped::PROFILES;
use kakou_core::scenario::{gateway, play, read, shipped, store::Memory};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn every_scenario_file_comes_out_as_it_says() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let (mut counts, mut wrong) = (BTreeMap::<String, usize>::new(), Vec::new());
    for folder in fs::read_dir(&all).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let id = folder.file_name().unwrap().to_string_lossy().into_owned();
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let name = file.strip_prefix(&all).unwrap().display().to_string();
            assert_eq!(file.extension().and_then(|e| e.to_str()), Some("toml"), "{name}");
            let text = fs::read_to_string(&file).unwrap();
            let played = read(&name, &text).and_then(|scenario| {
                assert!(
                    scenario.profile() == id || scenario.profile().ends_with(".toml"),
                    "{name}: it lies in the folder of its profile"
                );
                assert!(!scenario.title.is_empty(), "{name}: a title says what it shows");
                // A shipped one, or one beside the file.
                let find = |profile: &str| match profile.strip_suffix(".toml") {
                    None => shipped(profile),
                    Some(_) => fs::read_to_string(folder.join(profile))
                        .map(|text| (profile.to_owned(), text))
                        .map_err(|e| format!("{profile}: {e}")),
                };
                play(&scenario, &find, &mut Memory::new(gateway()), &mut |_| {})
            });
            match played {
                Ok(None) => *counts.entry(id.clone()).or_default() += 1,
                Ok(Some(failure)) => wrong.push(format!("{name}:{}: {}", failure.line, failure.why)),
                Err(mistake) => wrong.push(mistake.to_string()),
            }
        }
    }
    wrong.sort_unstable();
    assert!(wrong.is_empty(), "{} of {wrong:#?}", wrong.len());
    for (file, _) in PROFILES {
        let id = file.trim_end_matches(".toml");
        assert!(counts.get(id).is_some_and(|n| *n > 0), "no scenario shows what `{id}` does: {counts:?}");
    }
    println!("{counts:?}");
}
