//! The section `[badge]`: which officers act at the reader of a lane by their staff badge alone, and for how long.

use super::{OfficerEntry, Wrong};
use crate::config::ConfigError;
use kakou_core::lane::action::{Officer, Role};
use kakou_core::lane::sheet::badges::Badges;
use serde::Deserialize;
use toml::Spanned;

/// Without a code somebody who has signed on by badge is gone after so many minutes, where nothing is said.
const MINUTES: u64 = 10;
/// The longest.
const MOST_MINUTES: u64 = 60;
/// Who acts by badge alone, where nothing is said: a code can be copied, so nobody whose word counts for more.
const USUAL: [Role; 3] = [Role::Guard, Role::Nurse, Role::Collector];

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BadgeFile {
    roles: Option<Spanned<Vec<Role>>>,
    minutes: Option<Spanned<u64>>,
}

/// Who signs on by badge. Without an officer who has a badge, nobody does.
pub(super) fn read_badges(
    file: Option<&BadgeFile>,
    officers: &[OfficerEntry],
    wrong: Wrong<'_>,
) -> Result<Badges, ConfigError> {
    let roles = file.and_then(|f| f.roles.as_ref());
    if let Some(roles) = roles.filter(|roles| roles.get_ref().contains(&Role::Admin)) {
        let what = "an admin decides nothing in a lane, by badge or otherwise".to_owned();
        return Err(wrong(roles.span().start, what));
    }
    let minutes = file.and_then(|f| f.minutes.as_ref());
    if let Some(minutes) = minutes.filter(|m| !(1..=MOST_MINUTES).contains(m.get_ref())) {
        let what = format!("`minutes` is {}; allowed: 1 to {MOST_MINUTES}", minutes.get_ref());
        return Err(wrong(minutes.span().start, what));
    }
    let with_badge = officers.iter().filter_map(|officer| {
        Some((officer.badge.clone()?, Officer { id: officer.id.clone(), role: officer.role }))
    });
    let roles = roles.map_or_else(|| USUAL.to_vec(), |roles| roles.get_ref().clone());
    let minutes = minutes.map_or(MINUTES, |minutes| *minutes.get_ref());
    Ok(Badges::new(with_badge, roles, minutes * 60_000))
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use kakou_core::lane::action::Role;
    use std::path::Path;

    const REST: &str = "[gateway]\nsite = \"s\"\nid = \"gw\"\ndata = \"data\"\n[clock]\nsource = \"system\"\n[[device]]\nid = \"scan\"\ndriver = \"line-scanner\"\nport = { path = \"p\" }\n[[lane]]\nid = \"gate\"\nprofile = \"pharmacy\"\ndevices = { scanner = \"scan\", thermometer = \"th\" }\n[[device]]\nid = \"th\"\ndriver = \"gy-mcu90614\"\nport = { path = \"t\" }\n";

    fn officer(id: &str, role: &str, more: &str) -> String {
        format!(
            "[[officer]]\nid = \"{id}\"\nname = \"{id}\"\nrole = \"{role}\"\npin = \"$argon2id$x\"\n{more}"
        )
    }

    #[test]
    fn a_badge_alone_gives_no_more_than_the_configuration_says() {
        let officers =
            officer("li", "guard", "badge = \"W-1\"\n") + &officer("zhao", "supervisor", "badge = \"W-2\"\n");
        let with = |section: &str| read(&format!("{REST}{officers}{section}"), Path::new("/x/kakou.toml"));
        let usual = with("").unwrap().badges;
        assert_eq!(usual.of("w-1").unwrap().id.as_str(), "li");
        assert_eq!(
            (usual.may(Role::Guard), usual.may(Role::Supervisor), usual.idle_ms()),
            (true, false, 600_000)
        );
        let wide = with("[badge]\nroles = [\"supervisor\"]\nminutes = 2\n").unwrap().badges;
        assert_eq!(
            (wide.may(Role::Guard), wide.may(Role::Supervisor), wide.idle_ms()),
            (false, true, 120_000)
        );
        for (bad, says) in [
            ("[badge]\nroles = [\"admin\"]\n", "decides nothing"),
            ("[badge]\nminutes = 0\n", "1 to 60"),
            ("[badge]\nrole = [\"guard\"]\n", "role"),
        ] {
            let why = with(bad).err().unwrap().to_string();
            assert!(why.contains(says), "{bad}: {why}");
        }
        let twice =
            officer("li", "guard", "badge = \"W-1\"\n") + &officer("chen", "guard", "badge = \"w-1\"\n");
        let why = read(&format!("{REST}{twice}"), Path::new("/x/kakou.toml")).err().unwrap().to_string();
        assert!(why.contains("W-1") || why.contains("w-1"), "{why}");
    }
}
