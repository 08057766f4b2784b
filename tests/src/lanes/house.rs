//! No profile is named in code: what a lane does stands in its profile alone.

use crate::figures::Missing;
use std::fs;
use std::path::{Path, PathBuf};

/// Places that name profiles, each with the reason.
const NAMED: [(&str, &str); 2] = [
    ("gateway/core/src/profile/shipped.rs", "it says which files are built in"),
    ("gateway/src/cli/scenario.rs", "the example of its help is a file"),
];

/// Ids that are words of passes as well: the category of a vehicle pass.
const WORDS: [&str; 1] = ["resident-car"];

/// Where code names a profile: file and line, as far as it is no test, and neither the tests' nor the demo's.
pub fn named(ids: &[&str]) -> Result<Vec<String>, Missing> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above");
    let mut found = Vec::new();
    for top in ["gateway", "drivers", "provisioning"] {
        let mut folders = vec![root.join(top)];
        while let Some(folder) = folders.pop() {
            for at in fs::read_dir(&folder)? {
                let at = at?.path();
                let name = at.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if at.is_dir() {
                    if !["demo", "tests", "target", "web", "scenarios"].contains(&name.as_str()) {
                        folders.push(at);
                    }
                } else if name.ends_with(".rs") && !["tests.rs", "refusals.rs"].contains(&name.as_str()) {
                    look(root, &at, ids, &mut found)?;
                }
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn look(root: &Path, at: &PathBuf, ids: &[&str], found: &mut Vec<String>) -> Result<(), Missing> {
    let file = at.strip_prefix(root).unwrap_or(at).display().to_string();
    if NAMED.iter().any(|(named, _)| *named == file) {
        return Ok(());
    }
    let text = fs::read_to_string(at)?;
    // Tests stand at the end of a file.
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    for (line, said) in (1..).zip(code.lines()) {
        let said = said.trim_start();
        if said.starts_with("//") {
            continue;
        }
        for id in ids.iter().filter(|id| !WORDS.contains(id)) {
            if [format!("\"{id}\""), format!("\"{id}.toml\"")].iter().any(|quoted| said.contains(quoted)) {
                found.push(format!("{file}:{line}: {id}"));
            }
        }
    }
    Ok(())
}
