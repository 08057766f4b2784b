//! What the authority keeps for subject keys: those of each site or group of sites, and who can read them.
//!
//! In its folder lie `subjects/SITE.json` and `subjects/groups/GROUP.json` with the keys, `subjects/groups.json` with
//! the sites of each group, and `readers/SITE.GATEWAY` with the public key that a box gave with its enrolment: what
//! is for that box alone is sealed for it. Numbers only grow at a box, also where its site goes into another group.

use super::expected;
use super::office::{CodeStatus, Kept, codes_in};
use kakou_authority::authority::{Authority, AuthorityError};
use kakou_core::ids::{GatewayId, SiteId};
use kakou_gateway::keys::KeyError;
use kakou_gateway::subjects::{FIRST, make, read, read_keys, write};
use kakou_link::durable;
use kakou_provisioning::envelope::{Reader, Sealed};
use kakou_provisioning::subjects::{Key, Keys, SubjectsError};
use kakou_wire::enrol::name_of;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    /// A file of keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another file.
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// A key that cannot be sealed, or is none.
    #[error(transparent)]
    Subjects(#[from] SubjectsError),
    /// The register.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Neither a site nor a group.
    #[error(
        "no box of a site `{0}` was enrolled here, and there is no such group; `kakou ca subjects list` shows what there is"
    )]
    Nobody(SiteId),
    /// A site of a group has no key of its own.
    #[error("{0} is in the group {1}, whose key its boxes have: name the group")]
    Grouped(SiteId, SiteId),
    /// A group with the name of a site.
    #[error("{0} is the name of a site: give the group another")]
    Taken(SiteId),
}

/// For one box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForBox {
    /// Its site.
    pub site: SiteId,
    /// The gateway.
    pub gateway: GatewayId,
    /// The number of the key.
    pub number: u32,
    /// The key, for this box alone.
    pub sealed: Sealed,
}

/// What whoever sends keys is given: nobody but the boxes can open it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForBoxes {
    /// For each box.
    pub boxes: Vec<ForBox>,
    /// Boxes of these sites that gave no key to seal for: of an earlier version, or configured by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Those of them that never came with a code: they never give one.
    #[serde(skip)]
    pub by_hand: Vec<String>,
}

/// Which sites have one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// One of no group.
    Site(SiteId),
    /// All of a group.
    Group(SiteId),
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Site(site) => write!(f, "site {site}"),
            Self::Group(group) => write!(f, "group {group}"),
        }
    }
}

type Groups = BTreeMap<SiteId, BTreeSet<SiteId>>;

/// The keys of an authority.
pub struct Subjects<'a>(pub &'a Authority);

impl Subjects<'_> {
    fn folder(&self) -> PathBuf {
        self.0.folder().join("subjects")
    }

    /// Held while something is changed: the enrolment server and a command may want to at once.
    fn lock(&self) -> Result<File, NoKey> {
        let folder = self.folder();
        let file = |e| NoKey::File(folder.clone(), e);
        durable::make_folder(&folder).map_err(file)?;
        let held = File::open(&folder).map_err(file)?;
        flock(&held, FlockOperation::LockExclusive).map_err(|e| file(e.into()))?;
        Ok(held)
    }

    fn path(&self, scope: &Scope) -> PathBuf {
        match scope {
            Scope::Site(site) => self.folder().join(format!("{site}.json")),
            Scope::Group(group) => self.folder().join("groups").join(format!("{group}.json")),
        }
    }

    /// A site may have a key of an earlier version, without a number.
    fn keys(&self, scope: &Scope) -> Result<Option<Keys>, NoKey> {
        let path = self.path(scope);
        Ok(read_keys(&path, &path.with_extension("key"))?)
    }

    fn groups(&self) -> Result<Groups, NoKey> {
        let path = self.folder().join("groups.json");
        let Some(json) = read(&path)? else { return Ok(Groups::new()) };
        serde_json::from_slice(&json).map_err(|e| NoKey::File(path, e.into()))
    }

    fn scope_of(groups: &Groups, site: &SiteId) -> Scope {
        let group = groups.iter().find(|(_, sites)| sites.contains(site));
        group.map_or(Scope::Site(site.clone()), |(group, _)| Scope::Group(group.clone()))
    }

    /// What a name stands for.
    fn named(groups: &Groups, name: &SiteId) -> Result<Scope, NoKey> {
        match Self::scope_of(groups, name) {
            _ if groups.contains_key(name) => Ok(Scope::Group(name.clone())),
            Scope::Group(group) => Err(NoKey::Grouped(name.clone(), group)),
            site @ Scope::Site(_) => Ok(site),
        }
    }

    /// The key in use at a site; its first box makes it.
    pub fn of_site(&self, site: &SiteId) -> Result<Key, NoKey> {
        let _held = self.lock()?;
        let scope = Self::scope_of(&self.groups()?, site);
        if let Some(keys) = self.keys(&scope)? {
            return Ok(keys.in_use().clone());
        }
        let key = make(FIRST)?;
        write(&self.path(&scope), &Keys::new(key.clone()))?;
        Ok(key)
    }

    /// Makes the next key of a site or of a group.
    pub fn rotate(&self, name: &SiteId, now_ms: i64) -> Result<ForBoxes, NoKey> {
        let held = self.lock()?;
        let groups = self.groups()?;
        let scope = Self::named(&groups, name)?;
        let mut keys = self.keys(&scope)?.ok_or_else(|| NoKey::Nobody(name.clone()))?;
        keys.put(make(keys.in_use().number + 1)?, now_ms);
        write(&self.path(&scope), &keys)?;
        drop(held);
        self.sealed(name)
    }

    /// Puts sites into a group, out of those in which they were. Its next key is newer than every key that one of
    /// their boxes may have.
    pub fn group(&self, name: &SiteId, sites: &[SiteId], now_ms: i64) -> Result<ForBoxes, NoKey> {
        let held = self.lock()?;
        let mut groups = self.groups()?;
        if self.keys(&Scope::Site(name.clone()))?.is_some() {
            return Err(NoKey::Taken(name.clone()));
        }
        let scope = Scope::Group(name.clone());
        let before = self.keys(&scope)?;
        let mut last = before.as_ref().map_or(0, |keys| keys.in_use().number);
        for site in sites {
            let keys = self.keys(&Self::scope_of(&groups, site))?;
            last = last.max(keys.map_or(0, |keys| keys.in_use().number));
        }
        let next = make(last + 1)?;
        let keys = match before {
            None => Keys::new(next),
            Some(mut keys) => {
                keys.put(next, now_ms);
                keys
            }
        };
        write(&self.path(&scope), &keys)?;
        groups.values_mut().for_each(|all| all.retain(|site| !sites.contains(site)));
        groups.entry(name.clone()).or_default().extend(sites.iter().cloned());
        groups.retain(|_, all| !all.is_empty());
        let path = self.folder().join("groups.json");
        let json = serde_json::to_vec_pretty(&groups).expect("names");
        durable::write(&path, &json).map_err(|e| NoKey::File(path, e))?;
        drop(held);
        self.sealed(name)
    }

    /// The key in use of a site or group, for each of its boxes that has a certificate which counts.
    pub fn sealed(&self, name: &SiteId) -> Result<ForBoxes, NoKey> {
        let _held = self.lock()?;
        let groups = self.groups()?;
        let scope = Self::named(&groups, name)?;
        let keys = self.keys(&scope)?.ok_or_else(|| NoKey::Nobody(name.clone()))?;
        let sites = match &scope {
            Scope::Site(site) => BTreeSet::from([site.clone()]),
            Scope::Group(group) => groups.get(group).cloned().unwrap_or_default(),
        };
        let mut all = ForBoxes::default();
        let mut boxes = self.boxes()?;
        boxes.extend(expected::by_hand(self.0.folder()).map_err(|(path, why)| {
            NoKey::File(path, std::io::Error::new(std::io::ErrorKind::InvalidData, why))
        })?);
        let codes = codes_in(self.0.folder());
        let enrolled = |site: &SiteId, gateway: &GatewayId| {
            let own = |code: &Kept| (&code.site, &code.gateway) == (site, gateway);
            codes.iter().any(|(_, code)| own(code) && code.standing == CodeStatus::Done)
        };
        for (site, gateway) in boxes.into_iter().filter(|(site, _)| sites.contains(site)) {
            let name = name_of(&site, &gateway);
            match readers(self.0.folder()).of(&name)? {
                None => {
                    let shown = format!("{site}/{gateway}");
                    if !enrolled(&site, &gateway) {
                        all.by_hand.push(shown.clone());
                    }
                    all.without.push(shown);
                }
                Some(reader) => {
                    let (number, sealed) = (keys.in_use().number, keys.in_use().seal(&reader, &name)?);
                    all.boxes.push(ForBox { site, gateway, number, sealed });
                }
            }
        }
        Ok(all)
    }

    /// Every gateway with a certificate that counts.
    fn boxes(&self) -> Result<BTreeSet<(SiteId, GatewayId)>, NoKey> {
        let counts = self.0.issued()?.into_iter().filter(|i| i.revoked.is_none());
        Ok(counts.filter_map(|i| expected::of_certificate(&i.name)).collect())
    }

    /// Every site with boxes, its scope, and the number of the key in use.
    pub fn list(&self) -> Result<BTreeMap<Scope, (u32, BTreeSet<SiteId>)>, NoKey> {
        let _held = self.lock()?;
        let groups = self.groups()?;
        let mut all = BTreeMap::new();
        let boxes = self.boxes()?.into_iter().map(|(site, _)| site);
        let sites: BTreeSet<SiteId> = boxes.chain(groups.values().flatten().cloned()).collect();
        for site in sites {
            let scope = Self::scope_of(&groups, &site);
            let number = self.keys(&scope)?.map_or(0, |keys| keys.in_use().number);
            all.entry(scope).or_insert((number, BTreeSet::new())).1.insert(site);
        }
        Ok(all)
    }
}

/// A folder with the public keys of boxes, a file for each. The authority vouches for them: what is sealed for one of
/// them opens at the box that came with its code. Whoever asks for a person has it, and nothing else of
/// the authority.
#[derive(Debug, Clone)]
pub struct Readers(PathBuf);

/// Those of an authority.
pub fn readers(authority: &Path) -> Readers {
    Readers(authority.join("readers"))
}

impl Readers {
    /// A copy of that folder.
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_path_buf())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The key of a box, by the name in its certificate.
    pub fn of(&self, name: &str) -> Result<Option<Reader>, NoKey> {
        let path = self.path(name);
        let Some(text) = read(&path)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        let reader = Reader::try_from(text).map_err(|e| NoKey::File(path, std::io::Error::other(e)))?;
        Ok(Some(reader))
    }

    /// Those of the gateways of a site.
    pub fn of_site(&self, site: &SiteId) -> Result<Vec<(GatewayId, Reader)>, NoKey> {
        let files = std::fs::read_dir(&self.0).map_err(|e| NoKey::File(self.0.clone(), e))?;
        let names = files.flatten().filter_map(|file| file.file_name().into_string().ok());
        let named = |name: String| {
            let (of, gateway) = name.split_once('.')?;
            let gateway = (of == site.as_str()).then(|| GatewayId::new(gateway).ok())??;
            self.of(&name).transpose().map(|reader| reader.map(|reader| (gateway, reader)))
        };
        names.filter_map(named).collect()
    }

    /// Keeps the one that a box gave with its enrolment, in place of the one of a box before it.
    pub fn keep(&self, name: &str, reader: Reader) -> Result<(), NoKey> {
        let text = format!("{}\n", String::from(reader));
        let done = durable::make_folder(&self.0);
        done.and_then(|()| durable::write(&self.path(name), text.as_bytes()))
            .map_err(|e| NoKey::File(self.path(name), e))
    }

    /// Of a box whose certificates no longer count.
    pub fn forget(&self, name: &str) -> Result<(), NoKey> {
        match std::fs::remove_file(self.path(name)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(NoKey::File(self.path(name), e)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_provisioning::certificate::pem_der;
    use kakou_provisioning::envelope::ReaderKey;
    use kakou_provisioning::identity;

    fn site(name: &str) -> SiteId {
        SiteId::new(name).unwrap()
    }

    fn reader(n: u8) -> ReaderKey {
        ReaderKey::from_bytes(&[n; 32]).unwrap()
    }

    /// A box with a certificate, and a key to seal for.
    fn enrol(authority: &Authority, name: &str, n: u8) {
        let csr = pem_der(&identity::request("new").unwrap().csr_pem).unwrap();
        authority.client(&csr, name, 90).unwrap();
        readers(authority.folder()).keep(name, reader(n).reader()).unwrap();
    }

    /// What a box has when it gets its key.
    fn opened(all: &ForBoxes, name: &str, n: u8) -> Key {
        let one = all.boxes.iter().find(|b| format!("{}.{}", b.site, b.gateway) == name).unwrap();
        Key::open(&reader(n), name, one.number, &one.sealed).unwrap()
    }

    #[test]
    fn the_boxes_of_a_site_get_its_next_key_and_one_that_was_revoked_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::make(folder.path(), "Fleet").unwrap();
        let subjects = Subjects(&authority);
        assert!(matches!(subjects.rotate(&site("school"), 1), Err(NoKey::Nobody(_))));
        let first = subjects.of_site(&site("school")).unwrap();
        for (name, n) in [("school.gw-1", 1), ("school.gw-2", 2), ("clinic.gw-1", 3)] {
            enrol(&authority, name, n);
        }
        assert!(subjects.of_site(&site("school")).unwrap() == first, "the same at every gate");
        let all = subjects.rotate(&site("school"), 1).unwrap();
        assert_eq!(all.boxes.len(), 2);
        let next = opened(&all, "school.gw-1", 1);
        assert!(
            next == opened(&all, "school.gw-2", 2) && next.number == 2 && next.secret() != first.secret()
        );
        assert!(subjects.of_site(&site("school")).unwrap() == next, "a box that comes now has it at once");
        assert!(opened(&subjects.sealed(&site("school")).unwrap(), "school.gw-1", 1) == next, "once more");
        // The box that was stolen gets no key any more.
        authority.revoke("school.gw-2").unwrap();
        let all = subjects.rotate(&site("school"), 1).unwrap();
        assert_eq!(all.boxes.iter().map(|b| b.gateway.as_str()).collect::<Vec<_>>(), ["gw-1"]);
        // One of an earlier version gave no key to seal for, and is named.
        readers(folder.path()).forget("school.gw-1").unwrap();
        assert_eq!(subjects.sealed(&site("school")).unwrap().without, ["school/gw-1"]);
    }

    #[test]
    fn the_sites_of_a_group_have_one_key_whose_number_is_new_at_each_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::make(folder.path(), "Fleet").unwrap();
        let subjects = Subjects(&authority);
        for (n, name) in [(1, "school-3"), (2, "school-4"), (3, "clinic")] {
            subjects.of_site(&site(name)).unwrap();
            enrol(&authority, &format!("{name}.gw-1"), n);
        }
        for _ in 0..3 {
            subjects.rotate(&site("school-4"), 1).unwrap();
        }
        let both = [site("school-3"), site("school-4")];
        assert!(matches!(subjects.group(&site("clinic"), &both, 1), Err(NoKey::Taken(_))));
        let all = subjects.group(&site("north"), &both, 1).unwrap();
        let key = opened(&all, "school-3.gw-1", 1);
        assert!(
            key == opened(&all, "school-4.gw-1", 2) && key.number == 5,
            "newer than number 4 of school-4"
        );
        assert_eq!(all.boxes.len(), 2);
        assert!(subjects.of_site(&site("school-3")).unwrap() == key);
        assert!(matches!(subjects.rotate(&site("school-3"), 1), Err(NoKey::Grouped(..))));
        assert_eq!(opened(&subjects.rotate(&site("north"), 1).unwrap(), "school-4.gw-1", 2).number, 6);
        // A site that goes into a group of its own, and one that is new in the one before.
        assert_eq!(subjects.group(&site("south"), &both[..1], 1).unwrap().boxes[0].number, 7);
        let all = subjects.group(&site("north"), &[site("clinic")], 1).unwrap();
        let who: Vec<&str> = all.boxes.iter().map(|b| b.site.as_str()).collect();
        assert_eq!((who, all.boxes[0].number), (vec!["clinic", "school-4"], 7));
        let list = subjects.list().unwrap();
        assert_eq!(list.keys().map(ToString::to_string).collect::<Vec<_>>(), ["group north", "group south"]);
    }

    #[test]
    fn the_key_of_an_earlier_version_is_number_one() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::make(folder.path(), "Fleet").unwrap();
        std::fs::create_dir(folder.path().join("subjects")).unwrap();
        std::fs::write(folder.path().join("subjects/school.key"), [5; 32]).unwrap();
        let key = Subjects(&authority).of_site(&site("school")).unwrap();
        assert_eq!((key.number, key.secret()), (1, &[5; 32][..]));
        assert!(!folder.path().join("subjects/school.key").exists());
    }
}
