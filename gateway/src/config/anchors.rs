//! What a configuration rests on: whose words count, what time it is, where lists and USB drives are. Whoever may change
//! these is everybody who may say anything to this gateway, so that no version changes them: a key for `configure`
//! is worth lanes, devices, officers, limits of what is kept, where the screens listen and another broker behind the same
//! roots, and nothing else.

use super::{File, Hospital};
use kakou_link::clock::TimeSource;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The settings that no version changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    fleet_keys: Option<PathBuf>,
    lists: Option<PathBuf>,
    usb_drive: Option<PathBuf>,
    clock: (TimeSource, Option<String>, Option<PathBuf>),
    /// Roots, certificate, key, password: none, where there is no link.
    upstream: Option<[Option<PathBuf>; 4]>,
    /// Where a hospital's system is heard, and who speaks there: their words change who may pass.
    hospital: Option<Hospital>,
    /// What the service manager has given to this unit: whoever looks after the box has put it there.
    credentials: Option<PathBuf>,
    /// What recordings of devices are written to.
    records: BTreeSet<PathBuf>,
    /// The folder of the file.
    folder: PathBuf,
}

impl Anchors {
    pub(super) fn of(file: &File, folder: &Path, hospital: Option<Hospital>) -> Self {
        let full = |p: &Option<PathBuf>| p.as_ref().map(|p| folder.join(p));
        let keys = file.gateway.fleet_keys.as_ref().map(|k| k.get_ref().clone());
        Self {
            fleet_keys: full(&keys),
            lists: full(&file.gateway.lists),
            usb_drive: full(&file.gateway.usb_drive),
            clock: (
                file.clock.source,
                file.clock.fixed_at.as_ref().map(|at| at.get_ref().clone()),
                full(&file.clock.shift_file),
            ),
            upstream: file.upstream.as_ref().map(|u| u.get_ref().trust().map(|p| full(&p))),
            hospital,
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            records: file.device.iter().filter_map(|d| full(&d.get_ref().port.record)).collect(),
            folder: folder.to_path_buf(),
        }
    }

    /// Which of these a version would change, as people know them.
    pub fn changed_by(&self, candidate: &Self) -> Vec<&'static str> {
        let mut changed = Vec::new();
        for (name, same) in [
            ("fleet_keys", self.fleet_keys == candidate.fleet_keys),
            ("lists", self.lists == candidate.lists),
            ("stick", self.usb_drive == candidate.usb_drive),
            ("[clock]", self.clock == candidate.clock),
            ("`ca`, `cert`, `key` and `password_file` of [upstream]", self.same_upstream(candidate)),
            ("[hl7]", self.hospital == candidate.hospital),
            ("`record` of a device", candidate.records.is_subset(&self.records)),
        ] {
            if !same {
                changed.push(name);
            }
        }
        changed
    }

    /// A link may be added, with files that lie beside the local file: somebody has put them there. A password may
    /// come from the credentials of the unit for the same reason.
    fn same_upstream(&self, candidate: &Self) -> bool {
        let within = |folder: &Path, path: &Path| {
            let inside = path.strip_prefix(folder).ok();
            inside.is_some_and(|rest| rest.components().all(|c| matches!(c, std::path::Component::Normal(_))))
        };
        let given = |path: &Path| self.credentials.as_ref().is_some_and(|folder| within(folder, path));
        match (&self.upstream, &candidate.upstream) {
            (_, None) => true,
            (Some([roots, certificate, key, password]), Some([theirs @ .., their_password])) => {
                *theirs == [roots, certificate, key].map(Clone::clone)
                    && (password == their_password || their_password.as_deref().is_some_and(given))
            }
            (None, Some(theirs)) => {
                theirs.iter().flatten().all(|path| within(&self.folder, path) || given(path))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors(upstream: Option<[&str; 4]>, credentials: Option<&str>) -> Anchors {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        Anchors {
            fleet_keys: None,
            lists: None,
            usb_drive: None,
            clock: (TimeSource::System, None, None),
            upstream: upstream.map(|files| files.map(path)),
            hospital: None,
            credentials: credentials.map(PathBuf::from),
            records: BTreeSet::new(),
            folder: "/var/lib/kakou/enrolled".into(),
        }
    }

    #[test]
    fn a_password_comes_from_the_credentials_of_the_unit_and_from_nowhere_else() {
        let given = "/run/credentials/kakoud.service";
        let files = ["/e/ca.pem", "/e/device.pem", "/e/device.key"];
        let with = |password| {
            let [roots, certificate, key] = files;
            anchors(Some([roots, certificate, key, password]), Some(given))
        };
        let own = with("");
        assert!(own.changed_by(&with("/run/credentials/kakoud.service/broker-password")).is_empty());
        for other in [
            "/var/lib/kakou/keys/gateway.pk8",
            "/run/credentials/kakoud.service/../../../var/lib/kakou/keys/site.key",
            "/run/credentials/other.service/secret",
        ] {
            assert_eq!(own.changed_by(&with(other)).len(), 1, "{other}");
        }
        let unit_without = anchors(Some([files[0], files[1], files[2], ""]), None);
        assert_eq!(unit_without.changed_by(&with("/run/credentials/kakoud.service/x")).len(), 1);
        let other_roots = anchors(Some(["/e/other.pem", files[1], files[2], ""]), Some(given));
        assert_eq!(own.changed_by(&other_roots).len(), 1);
        // Where there was no link, its files lie beside the local one.
        let none = anchors(None, Some(given));
        assert!(
            none.changed_by(&anchors(Some(["/var/lib/kakou/enrolled/ca.pem", "", "", ""]), None)).is_empty()
        );
        assert_eq!(none.changed_by(&anchors(Some(["/etc/passwd", "", "", ""]), None)).len(), 1);
    }
}
