//! Which boxes a fleet expects, and what the broker has to know of them before they come.

use super::office::{CodeStatus, Office, OfficeError};
use kakou_core::ids::{BadId, GatewayId, SiteId};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A box by its site and its gateway.
pub type Name = (SiteId, GatewayId);

/// In the authority's folder: boxes that it did not enrol, since they were configured by hand.
pub const BY_HAND: &str = "by-hand.txt";

/// The access list of Mosquitto that ships.
pub const MOSQUITTO: &str = include_str!("../../mosquitto.acl.tmpl");
/// The configuration of NATS that ships; its block is written for one gateway.
pub const NATS: &str = include_str!("../../nats.conf");
/// For which.
const NATS_FOR: (&str, &str) = ("school-3", "gw-1");

impl Office {
    /// Every box that has a certificate which was not revoked, or a code that it may come with, or stands in the file
    /// [`BY_HAND`]. A code that has run out counts while its name never had a certificate: such a box never came.
    pub fn expected(&self) -> Result<BTreeSet<Name>, OfficeError> {
        let issued = self.authority().issued()?;
        let wrong = |(path, why)| OfficeError::Template(path, why);
        let mut all = by_hand(self.authority().folder()).map_err(wrong)?;
        for one in issued.iter().filter(|one| one.revoked.is_none()) {
            all.extend(
                one.name.split_once('.').and_then(|(site, gateway)| {
                    Some((SiteId::new(site).ok()?, GatewayId::new(gateway).ok()?))
                }),
            );
        }
        for (_, code) in self.codes() {
            let may_come = match code.standing {
                CodeStatus::Waiting | CodeStatus::Accepted => true,
                CodeStatus::Open => code.counts() || !self.was_enrolled(&code.site, &code.gateway)?,
                CodeStatus::Refused | CodeStatus::Done | CodeStatus::Cancelled => false,
            };
            if may_come {
                all.insert((code.site, code.gateway));
            }
        }
        Ok(all)
    }
}

/// The gateway whose name a certificate has; those of servers and tools have none.
pub fn of_certificate(name: &str) -> Option<Name> {
    let (site, gateway) = name.split_once('.')?;
    Some((SiteId::new(site).ok()?, GatewayId::new(gateway).ok()?))
}

/// The boxes of an authority's folder that were configured by hand; an error has the file.
pub fn by_hand(authority: &Path) -> Result<BTreeSet<Name>, (PathBuf, String)> {
    let path = authority.join(BY_HAND);
    match std::fs::read_to_string(&path) {
        Ok(text) => read(&text).map_err(|why| (path, why)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(e) => Err((path, e.to_string())),
    }
}

/// Boxes from a file: `SITE/GATEWAY`, or `SITE GATEWAY`, a line. The last line counts with a line end and without.
pub fn read(text: &str) -> Result<BTreeSet<Name>, String> {
    let mut all = BTreeSet::new();
    for (n, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> =
            line.split(|c: char| c == '/' || c.is_whitespace()).filter(|w| !w.is_empty()).collect();
        let wrong = |why: String| format!("line {}: {why}", n + 1);
        match words.as_slice() {
            [] => {}
            [site, gateway] => {
                let id = |e: BadId| wrong(e.to_string());
                all.insert((SiteId::new(*site).map_err(id)?, GatewayId::new(*gateway).map_err(id)?));
            }
            _ => return Err(wrong(format!("`{}` is not SITE/GATEWAY", line.trim()))),
        }
    }
    Ok(all)
}

/// Names that would meet another branch of the topics.
fn allowed((site, gateway): &Name) -> Result<(), String> {
    if site.as_str() == "feed" || matches!(gateway.as_str(), "peer" | "trace") {
        return Err(format!(
            "{site}/{gateway}: `feed` cannot be a site, `peer` and `trace` cannot be gateways: their topics would be those of others"
        ));
    }
    Ok(())
}

/// A template with its block for one gateway repeated for each.
fn repeated(
    template: &str,
    names: &BTreeSet<Name>,
    fill: impl Fn(&str, &Name) -> String,
) -> Result<(String, String, String), String> {
    const MARKS: (&str, &str) = ("# BEGIN GATEWAY", "# END GATEWAY");
    let parts = template.split_once(MARKS.0).and_then(|(head, rest)| {
        let (block, tail) = rest.split_once(MARKS.1)?;
        // The rest of the line of a mark belongs to the mark.
        let behind = |text: &str| text.split_once('\n').map_or(String::new(), |(_, text)| text.to_owned());
        let head = head.trim_end_matches([' ', '\t']).to_owned();
        let block = behind(block);
        let block = block.trim_end_matches([' ', '\t']).to_owned();
        Some((head, block, behind(tail)))
    });
    let (head, block, tail) =
        parts.ok_or_else(|| format!("the template has no block from `{}` to `{}`", MARKS.0, MARKS.1))?;
    names.iter().try_for_each(allowed)?;
    let blocks = names.iter().map(|name| fill(&block, name)).collect::<Vec<_>>().join("\n");
    Ok((head, blocks, tail))
}

/// The access list of Mosquitto for these gateways.
pub fn mosquitto(template: &str, names: &BTreeSet<Name>) -> Result<String, String> {
    let fill = |block: &str, (site, gateway): &Name| {
        block.replace("{site}", site.as_str()).replace("{gw}", gateway.as_str())
    };
    let (head, blocks, tail) = repeated(template, names, fill)?;
    // Whoever edits it by hand should know that it is written anew.
    let mut out = format!(
        "# Written by `kakou ca acl` for {} gateways; it is written anew when one is added.\n",
        names.len()
    );
    for part in [head.trim_end(), "", blocks.trim_end(), tail.trim_end()] {
        out.push_str(part);
        out.push('\n');
    }
    Ok(out)
}

/// The users of NATS for these gateways: what stands between the two marks of `nats.conf`.
pub fn nats(template: &str, names: &BTreeSet<Name>) -> Result<String, String> {
    let fill = |block: &str, (site, gateway): &Name| {
        // In one pass over the text: a site may be called as the other's gateway.
        let parts = block.split(NATS_FOR.0).map(|part| part.replace(NATS_FOR.1, gateway.as_str()));
        parts.collect::<Vec<_>>().join(site.as_str())
    };
    repeated(template, names, fill).map(|(_, blocks, _)| blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[(&str, &str)]) -> BTreeSet<Name> {
        let name =
            |(site, gateway): &(&str, &str)| (SiteId::new(*site).unwrap(), GatewayId::new(*gateway).unwrap());
        all.iter().map(name).collect()
    }

    #[test]
    fn the_last_line_of_a_list_of_gateways_counts_with_a_line_end_and_without() {
        let all = names(&[("school-3", "gw-1"), ("school-3", "gw-2")]);
        for text in [
            "school-3 gw-1\nschool-3 gw-2",
            "school-3 gw-1\nschool-3 gw-2\n",
            "\u{feff}school-3/gw-1\r\n\r\n# the back gate\r\nschool-3/gw-2 # north",
        ] {
            assert_eq!(read(text), Ok(all.clone()), "{text:?}");
        }
        assert!(read("school-3 gw-1\nschool-3").unwrap_err().contains("line 2"));
        assert!(read("School-3 gw-1").unwrap_err().contains("line 1"));
    }

    #[test]
    fn each_gateway_gets_a_block_of_its_own_and_nobody_the_rights_of_the_example() {
        let all = names(&[("school-3", "gw-1"), ("gw-1", "school-3")]);
        let list = mosquitto(MOSQUITTO, &all).unwrap();
        let users: Vec<&str> = list.lines().filter_map(|l| l.strip_prefix("user ")).collect();
        assert_eq!(users[..2], ["gw-1.school-3", "school-3.gw-1"]);
        assert!(users[2..].contains(&"central"), "{list}");
        let open = list.lines().find(|line| !line.starts_with('#') && line.contains(['{', '}']));
        assert_eq!(open, None, "a place that nobody filled in");
        assert!(!list.contains("BEGIN GATEWAY\n"), "{list}");
        let users = nats(NATS, &names(&[("gw-1", "school-3")])).unwrap();
        assert!(
            users.contains("\"CN=gw-1.school-3\"") && users.contains("kakou.v1.gw-1.school-3.evt.*"),
            "{users}"
        );
        assert!(!users.contains("school-3.gw-1"), "{users}");
        for taken in [("feed", "gw-1"), ("s", "peer"), ("s", "trace")] {
            assert!(mosquitto(MOSQUITTO, &names(&[taken])).unwrap_err().contains("cannot"), "{taken:?}");
        }
        assert!(mosquitto("user x\n", &all).is_err());
    }
}
