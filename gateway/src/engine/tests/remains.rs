//! What is left in the data folder behind a scenario: no name, no id and no code as it was read, but in editions of lists.
//! Plates and the numbers of seals are on record on purpose.

use super::OnDisk;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use toml::Value as Toml;

/// The profiles that are held to it.
const HELD: [&str; 11] = [
    "school-gate",
    "truck-supplies",
    "pre-triage",
    "ward-door",
    "site-onboarding",
    "site-daily",
    "site-exit",
    "seal-check",
    "emergency",
    "resident-car",
    "car-occupant",
];

/// Lists whose keys and names are those of persons.
const OF_PERSONS: [&str; 6] = ["status", "roster", "results", "reports", "patients", "hold"];

/// Fields of forms whose answers are a person's.
const PRIVATE: [&str; 6] = ["name", "patient_name", "id_number", "patient_id", "phone", "patient"];

/// Shorter texts stand in any random number.
const SHORTEST: usize = 5;

/// Room that was never written to comes in such pieces.
const PAGE: usize = 4096;

/// What was looked for and found.
#[derive(Default)]
pub struct Remains {
    /// Names, ids and codes, each in each file.
    pub searched: usize,
    /// Bytes of those files.
    pub bytes: usize,
    /// What stands where it must not.
    pub found: BTreeSet<String>,
}

impl Remains {
    /// Looks for the persons of a scenario in the folder that it was played in.
    pub fn look(&mut self, name: &str, scenario: &str, store: &OnDisk) {
        if !HELD.iter().any(|profile| Path::new(name).starts_with(profile)) {
            return;
        }
        let persons = persons(&toml::from_str(scenario).unwrap());
        for path in files(store.folder.path()) {
            let kept = fs::read(&path).unwrap();
            self.bytes += kept.len();
            let mut written = Vec::with_capacity(kept.len());
            let pages = kept.chunks(PAGE).filter(|page| **page != [0; PAGE][..page.len()]);
            pages.for_each(|page| written.extend_from_slice(page));
            let text = String::from_utf8_lossy(&written);
            let of = path.strip_prefix(store.folder.path()).unwrap().display().to_string();
            if let Some(code) = raw_code(&text) {
                self.found.insert(format!("{name}: a code as it was read in {of}: {code:?}"));
            }
            for person in &persons {
                self.searched += 1;
                if let Some((before, after)) = text.split_once(person.as_str()) {
                    let before: Vec<char> = before.chars().rev().take(100).collect();
                    let around: String = before.iter().rev().copied().chain(after.chars().take(60)).collect();
                    self.found.insert(format!("{name}: {person} in {of}, between {around:?}"));
                }
            }
        }
    }

    /// Takes over what was found elsewhere.
    pub fn add(&mut self, other: Self) {
        self.searched += other.searched;
        self.bytes += other.bytes;
        self.found.extend(other.found);
    }
}

/// The beginning of a signed pass or certificate as a reader gives it: what follows is base45 (RFC 9285).
fn raw_code(text: &str) -> Option<String> {
    let base45 = |c: &char| c.is_ascii_digit() || c.is_ascii_uppercase() || " $%*+-./:".contains(*c);
    let begins = |prefix: &str| {
        let all = text.match_indices(prefix).map(|(at, _)| text[at..].chars().take(20));
        all.map(|code| code.take_while(base45).collect::<String>()).find(|code| code.len() == 20)
    };
    ["KP1:", "HC1:"].iter().find_map(|prefix| begins(prefix))
}

/// The persons of a scenario: names and ids of lists and passes, codes that are read, private answers.
fn persons(file: &Toml) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let table =
        |value: &Toml, key: &str| value.get(key).and_then(Toml::as_table).cloned().unwrap_or_default();
    for (list, entries) in table(file, "lists") {
        for (id, entry) in entries.as_table().into_iter().flatten() {
            // Beside the entries stands what holds for the whole list.
            if OF_PERSONS.contains(&list.as_str()) && entry.is_table() {
                all.insert(id.clone());
                all.extend(entry.get("name").and_then(Toml::as_str).map(str::to_owned));
            }
        }
    }
    for (_, pass) in table(file, "passes") {
        if pass.get("kind").and_then(Toml::as_str) != Some("vehicle-pass") {
            let named = ["subject", "patient", "name"].iter().filter_map(|field| pass.get(field)?.as_str());
            all.extend(named.map(str::to_owned));
        }
    }
    for act in file.get("do").and_then(Toml::as_array).into_iter().flatten() {
        let read = ["scan", "enter"].iter().filter_map(|verb| act.get(verb)?.as_str());
        all.extend(read.map(str::to_owned));
        let answers = table(act, "answer");
        all.extend(PRIVATE.iter().filter_map(|id| Some(answers.get(*id)?.as_str()?.to_owned())));
    }
    let of_truck = |text: &str| text.starts_with("LN") || text.starts_with(['辽', '京', '津']);
    all.retain(|text| !of_truck(text) && text.len() >= SHORTEST);
    all
}

/// Every file below a folder but the editions of lists and what hospitals have told beside them.
fn files(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) = all.partition(|path| path.is_dir());
    let lists = ["editions", "lists", "told"];
    let others = folders.iter().filter(|path| !lists.iter().any(|list| path.ends_with(list)));
    files.extend(others.flat_map(|path| self::files(path)));
    files
}
