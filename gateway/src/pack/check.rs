//! What is wrong with a pack, before anybody signs it.

use super::{Pack, profile_in};
use kakou_core::profile;
use kakou_core::scenario;
use kakou_core::scenario::store::Memory;
use std::collections::BTreeSet;
use std::fmt;

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The file in the pack.
    pub file: String,
    /// What is wrong and what is allowed.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.what.starts_with(&self.file) {
            return f.write_str(&self.what);
        }
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// Everything that is wrong with a pack, but for what its scenarios say.
pub fn check(pack: &Pack) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut fault = |file: &str, what: String| faults.push(Fault { file: file.to_owned(), what });
    for (id, (file, text)) in &pack.profiles {
        match profile::read(file, text) {
            Err(e) => fault(file, e.to_string()),
            Ok(read) => {
                if read.id.to_string() != *id {
                    fault(file, format!("its profile has the id `{}`: the file is called {0}.toml", read.id));
                }
                for member in read.members() {
                    if let Err(why) = pack.find(member) {
                        fault(file, why);
                    }
                }
            }
        }
    }
    if let Some(manifest) = &pack.manifest {
        let there: BTreeSet<String> = pack.profiles.keys().cloned().collect();
        for id in manifest.profiles.difference(&there) {
            fault(super::MANIFEST, format!("`profiles` names `{id}`, and there is no {id}.toml"));
        }
        for id in there.difference(&manifest.profiles) {
            fault(super::MANIFEST, format!("`profiles` does not name `{id}`, and {id}.toml is there"));
        }
        let asked: BTreeSet<String> = pack.lists().into_iter().map(str::to_owned).collect();
        if asked != manifest.lists {
            let asked: Vec<String> = asked.iter().map(|list| format!("\"{list}\"")).collect();
            let what = format!("`lists` names what the profiles look into: lists = [{}]", asked.join(", "));
            fault(super::MANIFEST, what);
        }
    }
    for (name, text) in &pack.scenarios {
        let file = format!("{}/{name}", super::SCENARIOS);
        match scenario::read(&file, text) {
            Err(mistake) => fault(&file, mistake.to_string()),
            Ok(_) => {
                if let Some(Err(why)) = profile_in(text).map(|id| pack.find(&id)) {
                    fault(&file, why);
                }
            }
        }
    }
    faults
}

/// Plays every scenario of a pack with its profiles; `progress` hears of each. What does not come out is told.
pub fn play(pack: &Pack, progress: &mut dyn FnMut(usize, usize)) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (n, (name, text)) in pack.scenarios.iter().enumerate() {
        progress(n, pack.scenarios.len());
        let file = format!("{}/{name}", super::SCENARIOS);
        // What cannot be read was told by the check.
        let Ok(scenario) = scenario::read(&file, text) else { continue };
        let mut store = Memory::new(scenario::gateway());
        let found = scenario::play(&scenario, &|id| pack.find(id), &mut store, &mut |_| {});
        let what = match found {
            Ok(None) => continue,
            Ok(Some(failure)) => format!("{file}:{}: {}", failure.line, failure.why),
            Err(mistake) => mistake.to_string(),
        };
        faults.push(Fault { file, what });
    }
    faults
}
