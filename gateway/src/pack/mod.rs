//! Packs: the profiles of one kind of site, with what belongs to them, in one folder that is handed out as a whole.
//!
//! A folder holds `pack.toml`, a TOML file for each profile (texts of screens and templates of slips stand in it) and
//! `scenarios/`. Signed, it is an edition of the feed `policy`: profiles by their ids, other files by their paths, and a
//! JSON Schema for each list that the profiles look into. There is no second way of handing out.

pub mod bundle;
pub mod check;
pub mod diff;
pub mod told;

use kakou_core::profile::{self, shipped};
use kakou_core::text::Text;
use kakou_core::time::parse_instant;
use kakou_link::files;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What says what is in a pack.
pub const MANIFEST: &str = "pack.toml";
/// Where its scenarios are, in a pack that was signed.
pub const SCENARIOS: &str = "scenarios";
/// Files of a pack; more are a mistake of the path.
const FILES_MAX: usize = 4_000;
/// The longest file: it is one line of a feed, which has 64 KiB.
const FILE_MAX: usize = 48 << 10;
/// What screens say of a pack is not longer, in characters.
const NAME_MAX: usize = 80;

/// What `pack.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its id.
    pub id: String,
    /// For people.
    pub title: Text,
    /// What its office calls this state of it.
    pub version: String,
    /// From when new visits use it, a date and time; without it from when it comes.
    #[serde(default)]
    pub valid_from: Option<String>,
    /// The ids of its profiles.
    pub profiles: BTreeSet<String>,
    /// The lists that they look into.
    #[serde(default)]
    pub lists: BTreeSet<String>,
    /// Where its scenarios are.
    #[serde(default)]
    scenarios: Option<PathBuf>,
}

impl Manifest {
    fn read(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |s| kakou_core::text::line_at(text.as_bytes(), s.start));
            format!("{MANIFEST}:{line}: {}", e.message())
        })?;
        let named = !manifest.id.is_empty()
            && manifest.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !named {
            return Err(format!("{MANIFEST}: `id` is lower-case letters, digits and hyphens"));
        }
        if manifest.title.zh.is_empty() || manifest.title.en.is_empty() {
            return Err(format!("{MANIFEST}: `title` is there in both languages, `zh` and `en`"));
        }
        let texts = [&manifest.title.zh, &manifest.title.en, &manifest.version, &manifest.id];
        let fits = |text: &&String| text.chars().count() <= NAME_MAX && !text.chars().any(char::is_control);
        if !texts.iter().all(fits) {
            return Err(format!(
                "{MANIFEST}: `id`, `title` and `version` have at most {NAME_MAX} characters each"
            ));
        }
        manifest.from_s()?;
        Ok(manifest)
    }

    /// From when it counts, UTC seconds.
    pub fn from_s(&self) -> Result<Option<i64>, String> {
        let Some(text) = &self.valid_from else { return Ok(None) };
        let at = parse_instant(text).ok_or_else(|| {
            format!("{MANIFEST}: `valid_from` is not a date and time, e.g. 2026-12-01T06:00:00+08:00")
        })?;
        Ok(Some(at.div_euclid(1000)))
    }
}

/// A pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pack {
    /// What it says of itself; none for profiles that were handed out without a pack.
    pub manifest: Option<Manifest>,
    /// The text of that.
    pub manifest_text: String,
    /// File name and text of each profile, by id.
    pub profiles: BTreeMap<String, (String, String)>,
    /// The texts of scenario files, by their paths in the folder.
    pub scenarios: BTreeMap<String, String>,
}

impl Pack {
    /// A profile of it by its id, else a shipped one.
    pub fn find(&self, id: &str) -> Result<(String, String), String> {
        let own = self.profiles.get(id).cloned();
        let shipped = || shipped::find(id).map(|(file, text)| (file.to_owned(), text.to_owned()));
        own.or_else(shipped).ok_or_else(|| {
            let ids: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
            format!("profile `{id}` is neither in the pack ({}) nor shipped", ids.join(", "))
        })
    }

    /// The lists that its profiles look into; what cannot be read looks into none.
    pub fn lists(&self) -> BTreeSet<&'static str> {
        let read = self.profiles.values().filter_map(|(file, text)| profile::read(file, text).ok());
        read.flat_map(|profile| profile.lists().collect::<Vec<_>>()).collect()
    }

    /// What it is called, for people.
    pub fn name(&self) -> String {
        match &self.manifest {
            Some(m) => format!("{} {} ({} · {})", m.id, m.version, m.title.zh, m.title.en),
            None => format!("{} profiles without a pack", self.profiles.len()),
        }
    }
}

/// Reads the folder of a pack, and no more of it than belongs to one.
pub fn read_folder(folder: &Path) -> Result<Pack, String> {
    let manifest_text = text_of(&folder.join(MANIFEST))?;
    let manifest = Manifest::read(&manifest_text).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut profiles = BTreeMap::new();
    for path in files_in(folder, false)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(id) = name.strip_suffix(".toml").filter(|_| name != MANIFEST) {
            profiles.insert(id.to_owned(), (name.clone(), text_of(&path)?));
        }
    }
    let place = folder.join(manifest.scenarios.clone().unwrap_or_else(|| SCENARIOS.into()));
    let mut scenarios = BTreeMap::new();
    let found = if place.is_dir() { files_in(&place, true)? } else { Vec::new() };
    for path in found {
        let text = text_of(&path)?;
        // A folder that several packs share has scenarios of others, too.
        let shared = manifest.scenarios.is_some();
        if shared && !profile_in(&text).is_some_and(|id| manifest.profiles.contains(&id)) {
            continue;
        }
        let name = path.strip_prefix(&place).unwrap_or(&path).display().to_string();
        scenarios.insert(name, text);
    }
    Ok(Pack { manifest: Some(manifest), manifest_text, profiles, scenarios })
}

/// The profile that a scenario file names.
pub fn profile_in(text: &str) -> Option<String> {
    let table = toml::from_str::<toml::Table>(text).ok()?;
    Some(table.get("profile")?.as_str()?.to_owned())
}

/// A pack that ships with the product; its scenarios do not.
pub fn shipped_pack(id: &str) -> Option<Pack> {
    let (_, text) = shipped::PACKS.into_iter().find(|(of, _)| *of == id)?;
    let manifest = Manifest::read(text).ok()?;
    let profiles = manifest.profiles.iter().filter_map(|id| {
        let (file, text) = shipped::find(id)?;
        Some((id.clone(), (file.to_owned(), text.to_owned())))
    });
    let profiles = profiles.collect();
    Some(Pack {
        manifest: Some(manifest),
        manifest_text: text.to_owned(),
        profiles,
        scenarios: BTreeMap::new(),
    })
}

fn text_of(path: &Path) -> Result<String, String> {
    let text = files::read_text(path).map_err(|e| format!("{}: {e}", path.display()))?;
    if text.len() > FILE_MAX {
        let size = text.len();
        return Err(format!("{}: {size} bytes; a file of a pack has at most {FILE_MAX}", path.display()));
    }
    Ok(text)
}

/// The TOML files of a folder, in order of their names.
fn files_in(folder: &Path, deep: bool) -> Result<Vec<PathBuf>, String> {
    let (mut out, mut todo) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = todo.pop() {
        let wrong = |e: std::io::Error| format!("{}: {e}", folder.display());
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            let path = entry.path();
            // What a link leads to is not of the pack.
            let kind = entry.file_type().map_err(wrong)?;
            if kind.is_dir() && deep {
                todo.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|e| e == "toml") {
                out.push(path);
            }
            if out.len() > FILES_MAX {
                return Err(format!(
                    "{}: more than {FILES_MAX} files: is it the right folder?",
                    folder.display()
                ));
            }
        }
    }
    out.sort();
    Ok(out)
}

#[cfg(test)]
mod tests;
