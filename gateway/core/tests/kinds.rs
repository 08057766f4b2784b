//! What each kind of step does, shown by scenario files on small profiles: `kinds/*.toml` on `profiles/*.toml`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_core::scenario::{gateway, play, read, store::Memory};
use std::fs;
use std::path::Path;

fn profile(name: &str) -> Result<(String, String), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/profiles").join(format!("{name}.toml"));
    fs::read_to_string(path).map(|text| (format!("{name}.toml"), text)).map_err(|e| format!("{name}: {e}"))
}

#[test]
fn every_file_of_a_kind_comes_out_as_it_says() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinds");
    let (mut played, mut wrong) = (0, Vec::new());
    for file in fs::read_dir(&all).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let scenario = read(&name, &fs::read_to_string(&path).unwrap());
        let outcome = scenario.and_then(|scenario| {
            assert!(!scenario.title.is_empty(), "{name}: a title says what it shows");
            play(&scenario, &profile, &mut Memory::new(gateway()), &mut |_| {})
        });
        played += 1;
        match outcome {
            Ok(None) => {}
            Ok(Some(failure)) => {
                wrong.push(format!("{name}:{}: {} {:?}", failure.line, failure.why, failure.found));
            }
            Err(mistake) => wrong.push(mistake.to_string()),
        }
    }
    wrong.sort_unstable();
    assert!(wrong.is_empty(), "{} of {played}: {wrong:#?}", wrong.len());
    assert!(played > 20, "{played} files");
}
