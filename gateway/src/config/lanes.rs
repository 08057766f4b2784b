//! The `[[lane]]` tables: where each lane finds its profile and its devices, and what lanes of a gateway have in
//! common.

use super::devices::{DeviceEntry, check_devices};
use super::{ConfigError, Policy, Wrong};
use kakou_core::ids::{DeviceId, LaneId};
use kakou_core::lane::PLACE;
use kakou_core::profile::{self, Profile, shipped};
use kakou_link::files;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;

/// The profile of a lane is one of the feed `policy`.
pub(super) const POLICY: &str = "policy:";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LaneFile {
    id: LaneId,
    profile: String,
    /// What it guards, alone or with other lanes.
    place: Option<String>,
    /// It is practised on.
    #[serde(default)]
    training: bool,
    devices: BTreeMap<String, DeviceId>,
}

/// A lane.
pub struct LaneEntry {
    /// Id.
    pub id: LaneId,
    /// The file name and text of its profile, read again when the core is made anew.
    pub profile: (String, String),
    /// The same of those who come along, by the names that its profile gives them.
    pub members: BTreeMap<String, (String, String)>,
    /// What it guards: a ward, a zone, a works.
    pub place: String,
    /// Whether it is practised on: it opens nothing and counts nowhere.
    pub training: bool,
    /// Devices by role.
    pub devices: BTreeMap<String, DeviceId>,
}

pub(super) fn read_lanes(
    files: &[Spanned<LaneFile>],
    devices: &[DeviceEntry],
    (folder, policy): (&Path, Policy<'_>),
    wrong: Wrong<'_>,
) -> Result<Vec<LaneEntry>, ConfigError> {
    let mut out: Vec<LaneEntry> = Vec::new();
    let mut profiles: Vec<Profile> = Vec::new();
    for lane in files {
        let (at, l) = (lane.span().start, lane.get_ref());
        if out.iter().any(|o| o.id == l.id) {
            return Err(wrong(at, format!("two lanes have the id `{}`", l.id)));
        }
        let (name, text) = find_profile(folder, &l.profile, policy).map_err(|why| wrong(at, why))?;
        let profile = profile::read(&name, &text)?;
        profile.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        if profile.console {
            let what = format!(
                "lane `{}`: profile `{name}` is no lane but the duty console, which every gateway has at /console",
                l.id
            );
            return Err(wrong(at, what));
        }
        if profile.start.only_in_party {
            let what = format!("lane `{}`: profile `{name}` is for those who come along with a party", l.id);
            return Err(wrong(at, what));
        }
        let members = members_of(&profile, folder, (&l.profile, policy))
            .map_err(|why| wrong(at, format!("lane `{}`: {why}", l.id)))?;
        let read = members.values().map(|(name, text)| profile::read(name, text));
        let theirs: Vec<Profile> = read.collect::<Result<_, _>>()?;
        agree(&profiles, &profile).map_err(|why| wrong(at, format!("lane `{}`: {why}", l.id)))?;
        check_devices(&profile, &theirs, &l.devices, devices)
            .map_err(|why| wrong(at, format!("lane `{}`: {why}", l.id)))?;
        let shared =
            out.iter().flat_map(|o| o.devices.values()).find(|d| l.devices.values().any(|own| own == *d));
        if let Some(device) = shared {
            // A reading must belong to one visit.
            return Err(wrong(
                at,
                format!("lane `{}`: device `{device}` belongs to another lane already", l.id),
            ));
        }
        let place = l.place.clone().unwrap_or_else(|| PLACE.to_owned());
        if !is_place(&place) {
            let what = format!("`place` of lane `{}` is 1 to 64 characters without control characters", l.id);
            return Err(wrong(at, what));
        }
        let (id, devices) = (l.id.clone(), l.devices.clone());
        profiles.push(profile);
        out.push(LaneEntry { id, profile: (name, text), members, place, training: l.training, devices });
    }
    if out.is_empty() {
        return Err(wrong(0, "a gateway needs at least one [[lane]]".into()));
    }
    Ok(out)
}

/// The profiles of those who come along with a party: where the lane follows the feed `policy`, so do they.
fn members_of(
    profile: &Profile,
    folder: &Path,
    (lane, policy): (&str, Policy<'_>),
) -> Result<BTreeMap<String, (String, String)>, String> {
    let find = |name: &str| {
        let named = if lane.starts_with(POLICY) { format!("{POLICY}{name}") } else { name.to_owned() };
        Ok((name.to_owned(), find_profile(folder, &named, policy)?))
    };
    profile.members().map(find).collect()
}

/// A shipped profile by its id, a file by its path, or as `policy:ID` what the feed `policy` says;
/// until that comes, the shipped one of this id.
pub fn find_profile(folder: &Path, name: &str, policy: Policy<'_>) -> Result<(String, String), String> {
    if let Some(id) = name.strip_prefix(POLICY) {
        let shipped = || shipped::find(id).map(|(_, text)| text.to_owned());
        return policy(id).or_else(shipped).map(|text| (name.to_owned(), text)).ok_or_else(|| {
            format!("the feed `policy` has no profile `{id}`, and none of this name is shipped to go on with")
        });
    }
    if let Some((file, text)) = shipped::find(name) {
        return Ok((file.to_owned(), text.to_owned()));
    }
    let path = folder.join(name);
    files::read_text(&path).map(|text| (path.display().to_string(), text)).map_err(|e| {
        let ids: Vec<&str> = shipped::ids().collect();
        format!("profile `{name}` is neither shipped ({}) nor a readable file: {e}", ids.join(", "))
    })
}

/// Whether screens and events can name a place so.
fn is_place(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// The lanes of a gateway keep a register in one way; who holds what, and how many, each says for itself.
fn agree(before: &[Profile], profile: &Profile) -> Result<(), String> {
    for register in &profile.registers {
        let differs = |other: &Profile| {
            let field = register.differs(other.register(&register.name)?)?;
            Some((other.id.clone(), field))
        };
        if let Some((other, field)) = before.iter().find_map(differs) {
            return Err(format!(
                "register `{}` of profile `{}` has another `{field}` than in profile `{other}`: all lanes of a gateway \
                 keep it in one way",
                register.name, profile.id
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::profile::read;

    fn profile(id: &str, fields: &str) -> Profile {
        let text = format!(
            "id = \"{id}\"\ntitle = {{ zh = \"a\", en = \"a\" }}\ndirection = \"in\"\nfail_mode = \"HOLD\"\n\
             [[register]]\nname = \"inside\"\nkey = \"lane.place\"\nholder = \"pass.subject\"\n{fields}\n\
             [[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n[[step]]\nkind = \"decide\"\n"
        );
        read("x.toml", &text).unwrap()
    }

    #[test]
    fn lanes_of_a_gateway_keep_a_register_in_one_way_and_may_ask_it_in_several() {
        let first = [profile("a", "keep = \"2d\"")];
        let more = "keep = \"48h\"\nlimit = 500\nover = \"Q_FULL\"\nalarm = { after = \"6h\", event = \"stay_overdue\" }";
        assert_eq!(agree(&first, &profile("b", more)), Ok(()));
        for (fields, field) in [
            ("keep = \"3d\"", "keep"),
            ("keep = \"2d\"\nscope = \"lane\"", "scope"),
            ("keep = \"2d\"\nexpires = true", "expires"),
        ] {
            let why = agree(&first, &profile("b", fields)).unwrap_err();
            assert!(
                why.contains(&format!("register `inside` of profile `b` has another `{field}`")),
                "{why}"
            );
        }
    }
}
