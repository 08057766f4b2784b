//! What is told of packs: which one is in use, which one waits for its time, and what that changes at this gateway.
//! Screens, the health that goes upstream and `kakou status` tell the same.

use super::{MANIFEST, Manifest, NAME_MAX, Pack};
use kakou_core::ids::LaneId;
use kakou_core::profile;
use kakou_core::text::Text;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// So many changes are told one by one; of more, how many.
const CHANGES_MAX: usize = 40;

/// A pack as people call it; profiles that were handed out without a pack have no name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PackName {
    /// The edition of the feed `policy`.
    pub version: u64,
    /// Its id.
    pub id: Option<String>,
    /// For people.
    pub title: Option<Text>,
    /// What its office calls this state of it.
    pub pack: Option<String>,
}

impl PackName {
    /// What the manifest says, if there is one that can be read.
    pub fn of(version: u64, manifest: Option<&Manifest>) -> Self {
        let one = manifest.map(|m| (m.id.clone(), m.title.clone(), m.version.clone()));
        let (id, title, pack) = one.map_or((None, None, None), |(i, t, p)| (Some(i), Some(t), Some(p)));
        Self { version, id, title, pack }
    }

    /// The same from the text of a manifest.
    pub fn read(version: u64, manifest: Option<&str>) -> Self {
        let read = |text: &str| Manifest::read(text).inspect_err(|e| log::debug!("{MANIFEST}: {e}")).ok();
        Self::of(version, manifest.and_then(read).as_ref())
    }
}

/// What happens to a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// There was none of this id.
    New,
    /// It says something else.
    Changed,
    /// There is none of this id any more.
    Gone,
}

impl What {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}

/// One profile that will be another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its id.
    pub profile: String,
    /// For people; none where it cannot be read.
    pub title: Option<Text>,
    /// What happens to it.
    pub what: What,
    /// The lanes of this gateway that run by it.
    pub lanes: Vec<LaneId>,
}

/// A pack that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingPack {
    /// What it is called.
    #[serde(flatten)]
    pub name: PackName,
    /// When it was signed, RFC 3339.
    pub issued: String,
    /// From when new visits use it, RFC 3339.
    pub from: String,
    /// Who signed it.
    pub signer: String,
    /// What it changes here, profile by profile.
    pub changes: Vec<Change>,
    /// Changes beyond those.
    pub more: usize,
    /// The edition in use that it was compared with.
    #[serde(skip)]
    pub beside: Option<u64>,
}

impl WaitingPack {
    /// Whether a lane will decide otherwise.
    pub fn concerns(&self, lane: &LaneId) -> bool {
        self.changes.iter().any(|change| change.lanes.contains(lane))
    }
}

/// What is told of packs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packs {
    /// The one in use.
    pub in_use: Option<PackName>,
    /// The one that waits.
    pub waiting: Option<Arc<WaitingPack>>,
}

impl Packs {
    /// For the status page and for the health that goes upstream.
    pub fn json(&self) -> Value {
        json!({ "in_use": self.in_use, "waiting": self.waiting.as_deref() })
    }
}

/// A lane that follows the feed `policy`, with the ids of the profiles that it runs by.
pub type Follower = (LaneId, BTreeSet<String>);

/// What one pack changes when it follows another, those first that a lane runs by; and how many there are beyond. Where
/// a pack has no profile of an id, the shipped one counts.
pub fn changes(before: &Pack, after: &Pack, followers: &[Follower]) -> (Vec<Change>, usize) {
    let ids: BTreeSet<&String> = before.profiles.keys().chain(after.profiles.keys()).collect();
    let one = |id: &String| {
        let (old, new) = (before.find(id).ok(), after.find(id).ok());
        let what = match (&old, &new) {
            (None, Some(_)) => What::New,
            (Some(_), None) => What::Gone,
            (Some((_, old)), Some((_, new))) if old != new => What::Changed,
            (Some(_), Some(_)) | (None, None) => return None,
        };
        let read = new.or(old).and_then(|(file, text)| profile::read(&file, &text).ok());
        let short = |text: &String| text.chars().count() <= NAME_MAX;
        let title = read.map(|p| p.title).filter(|title| short(&title.zh) && short(&title.en));
        let lanes = followers.iter().filter(|(_, ids)| ids.contains(id));
        let lanes = lanes.map(|(lane, _)| lane.clone()).collect();
        Some(Change { profile: id.clone(), title, what, lanes })
    };
    let mut all: Vec<Change> = ids.into_iter().filter_map(one).collect();
    all.sort_by_key(|change| change.lanes.is_empty());
    let more = all.len().saturating_sub(CHANGES_MAX);
    all.truncate(CHANGES_MAX);
    (all, more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn pack(profiles: &[(&str, &str)]) -> Pack {
        let text = |id: &str, en: &str| {
            format!(
                "id = \"{id}\"\ntitle = {{ zh = \"门\", en = \"{en}\" }}\ndirection = \"in\"\nfail_mode = \"HOLD\"\n\
                 [[step]]\nkind = \"scan\"\ndevice = \"scanner\"\naccepts = [\"opaque\"]\n[[step]]\nkind = \"decide\"\n"
            )
        };
        let one = |(id, en): &(&str, &str)| ((*id).to_owned(), (format!("{id}.toml"), text(id, en)));
        Pack { profiles: profiles.iter().map(one).collect::<BTreeMap<_, _>>(), ..Pack::default() }
    }

    #[test]
    fn what_a_pack_changes_is_told_with_the_lanes_that_run_by_it_first() {
        let lane = LaneId::new("lane-1").unwrap();
        let follower = [(lane.clone(), BTreeSet::from(["yard".to_owned()]))];
        let before = pack(&[("alike", "A"), ("old", "O"), ("yard", "Y")]);
        let after = pack(&[("alike", "A"), ("new", "N"), ("yard", "Yard, changed")]);
        let (told, more) = changes(&before, &after, &follower);
        let told: Vec<_> = told.iter().map(|c| (c.profile.as_str(), c.what, c.lanes.len())).collect();
        assert_eq!(told, [("yard", What::Changed, 1), ("new", What::New, 0), ("old", What::Gone, 0)]);
        assert_eq!(more, 0);
        // What ships is there without a pack as well, and comes back when a pack has it no more.
        let (file, text) = kakou_core::profile::shipped::find("school-gate").unwrap();
        let mut own = pack(&[]);
        own.profiles.insert("school-gate".into(), (file.into(), text.into()));
        assert_eq!(changes(&Pack::default(), &own, &follower), (vec![], 0));
    }

    #[test]
    fn a_pack_of_hundreds_of_profiles_does_not_fill_the_health_report() {
        let ids: Vec<String> = (0..90).map(|n| format!("p-{n:02}")).collect();
        let many: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "P")).collect();
        let (told, more) = changes(&Pack::default(), &pack(&many), &[]);
        assert_eq!((told.len(), more), (CHANGES_MAX, 50));
    }
}
