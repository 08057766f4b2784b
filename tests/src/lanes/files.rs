//! The scenario files of the project, and what each has shown in a play on the core.

use super::script::Script;
use crate::figures::Missing;
use kakou_core::codes::Outcome;
use kakou_core::profile::shipped;
use kakou_core::scenario::shown::{Shown, shown};
use kakou_core::scenario::store::Memory;
use kakou_core::scenario::{self, Scenario, gateway};
use std::fs;
use std::path::{Path, PathBuf};

/// A scenario file that was played.
pub struct Played {
    /// Its name: `PROFILE/what-holds`.
    pub name: String,
    /// Its text.
    pub text: String,
    /// As it was read.
    pub scenario: Scenario,
    /// What it has shown.
    pub shown: Vec<Shown>,
    folder: PathBuf,
}

/// Where they lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace is above")
        .join("gateway/core/scenarios")
}

/// Finds a profile: a shipped one, or one beside the file; `instead` takes the place of one of them.
fn find(folder: &Path, instead: Option<(&str, &str)>, profile: &str) -> Result<(String, String), String> {
    if let Some((_, text)) = instead.filter(|(id, _)| *id == profile) {
        return Ok((format!("{profile}.toml"), text.to_owned()));
    }
    match profile.strip_suffix(".toml") {
        None => scenario::shipped(profile),
        Some(_) => fs::read_to_string(folder.join(profile))
            .map(|text| (profile.to_owned(), text))
            .map_err(|e| format!("{profile}: {e}")),
    }
}

impl Played {
    /// Whether it comes out as it says where a profile has another text.
    pub fn holds_with(&self, profile: &str, text: &str) -> bool {
        let profiles = |name: &str| find(&self.folder, Some((profile, text)), name);
        let mut store = Memory::new(gateway());
        let played = scenario::play(&self.scenario, &profiles, &mut store, &mut |_| {});
        matches!(played, Ok(None))
    }
    /// Its script where its text is another one, up to a verdict: what devices and desks do then.
    pub fn as_of(&self, text: &str, wanted: (&str, Outcome)) -> Result<Script, String> {
        let scenario = scenario::read(&self.name, text).map_err(|e| e.to_string())?;
        let profiles = |name: &str| find(&self.folder, None, name);
        let played = shown(&scenario, &profiles, &mut Memory::new(gateway()));
        let (failed, shown) = played.map_err(|e| e.to_string())?;
        // What stands behind the verdict may be of a moment that is another one now.
        let script = Script::of(&scenario, &shown, wanted);
        script.ok_or_else(|| failed.map_or_else(|| "it cannot be done at any time".into(), |f| f.why))
    }
    /// Whether it shows such a thing.
    pub fn shows(&self, what: impl Fn(&Shown) -> bool) -> bool {
        self.shown.iter().any(what)
    }
}

/// Plays all files; those that do not hold are named with the reason.
pub fn play_all() -> Result<(Vec<Played>, Vec<String>), Missing> {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for folder in fs::read_dir(folder())? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in fs::read_dir(&folder)? {
            let file = file?.path();
            let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = format!("{}/{}", name(&folder), name(&file));
            let text = fs::read_to_string(&file)?;
            // A profile beside the files is no scenario.
            if !text.contains("[[do]]") {
                continue;
            }
            let scenario = match scenario::read(&name, &text) {
                Ok(scenario) => scenario,
                Err(mistake) => {
                    wrong.push(mistake.to_string());
                    continue;
                }
            };
            let profiles = |name: &str| find(&folder, None, name);
            match shown(&scenario, &profiles, &mut Memory::new(gateway())) {
                Ok((None, shown)) => {
                    good.push(Played { name, text, scenario, shown, folder: folder.clone() });
                }
                Ok((Some(failure), _)) => wrong.push(format!("{name}:{}: {}", failure.line, failure.why)),
                Err(mistake) => wrong.push(mistake.to_string()),
            }
        }
    }
    // The shortest one shows a thing best; those of its own folder come before, see `proof`.
    good.sort_by(|a, b| (a.text.len(), &a.name).cmp(&(b.text.len(), &b.name)));
    wrong.sort_unstable();
    Ok((good, wrong))
}

/// The ids of the shipped profiles, by name.
pub fn profiles() -> Vec<&'static str> {
    let mut all: Vec<&str> = shipped::ids().collect();
    all.sort_unstable();
    all
}
