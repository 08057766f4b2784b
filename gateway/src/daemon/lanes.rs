//! What the configuration says of the lanes.

use crate::answers::ForCentral;
use crate::config::{LaneEntry, Settings};
use crate::engine::Setups;
use kakou_core::evidence::{GatewayKey, Hash};
use kakou_core::ids::{DeviceId, LaneId};
use kakou_core::lane::Setup;
use kakou_core::profile::{self, Profile};
use kakou_core::text::Text;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The lanes, for whoever shows them.
pub struct Lanes {
    /// With profile and title.
    pub titles: Vec<(LaneId, String, Text)>,
    /// Which device belongs to which.
    pub devices: Vec<(DeviceId, LaneId)>,
    /// Hours after which the first of them takes a list for stale.
    pub stale_after_h: BTreeMap<String, i64>,
}

impl Lanes {
    /// As they are configured.
    pub fn of(lanes: &[LaneEntry]) -> Self {
        let devices_of =
            |l: &LaneEntry| l.devices.values().map(|d| (d.clone(), l.id.clone())).collect::<Vec<_>>();
        let devices = lanes.iter().flat_map(devices_of).collect();
        let profiles: Vec<_> = lanes
            .iter()
            .filter_map(|l| Some((l.id.clone(), profile::read(&l.profile.0, &l.profile.1).ok()?)))
            .collect();
        let members = lanes.iter().flat_map(|l| l.members.values());
        let members: Vec<Profile> =
            members.filter_map(|(name, text)| profile::read(name, text).ok()).collect();
        let stale_after_h = stale_after(profiles.iter().map(|(_, profile)| profile).chain(&members));
        let titles = profiles.into_iter().map(|(id, p)| (id, p.id.to_string(), p.title)).collect();
        Self { titles, devices, stale_after_h }
    }

    /// With their profiles.
    pub fn profiles(&self) -> Vec<(LaneId, String)> {
        self.titles.iter().map(|(id, profile, _)| (id.clone(), profile.clone())).collect()
    }
}

/// Hours after which the first of the lanes takes a list for stale, by list.
fn stale_after<'a>(profiles: impl Iterator<Item = &'a Profile>) -> BTreeMap<String, i64> {
    let mut hours = BTreeMap::new();
    for profile in profiles {
        for list in profile.lists() {
            let after = profile.stale_after(list);
            let least: &mut i64 = hours.entry(list.to_owned()).or_insert(after);
            *least = after.min(*least);
        }
    }
    hours
}

/// Makes the surroundings of the lanes from the keys of passes, and from what makes subject keys. Takes the lanes out of the
/// settings: nobody else needs them.
pub fn setups(settings: &mut Settings, key: Arc<GatewayKey>) -> Setups {
    let lanes = std::mem::take(&mut settings.lanes);
    let (region, gateway) = (settings.region.clone(), settings.gateway.to_string());
    let utc_offset_ms = settings.utc_offset_ms;
    let badges = Arc::new(settings.badges.clone());
    let private = settings.central_key.map(|reader| ForCentral::new(reader, gateway.clone()).shared());
    Box::new(move |trust, subjects| {
        lanes
            .iter()
            .map(|lane| Setup {
                lane: lane.id.clone(),
                profile: profile::read(&lane.profile.0, &lane.profile.1)
                    .expect("the profile was read before")
                    .into(),
                devices: lane.devices.clone(),
                region: region.clone(),
                place: lane.place.clone(),
                gateway: gateway.clone(),
                members: lane
                    .members
                    .iter()
                    .map(|(named, (name, text))| {
                        let profile = profile::read(name, text).expect("the profile was read before");
                        (named.clone(), profile.into())
                    })
                    .collect(),
                profile_hash: Hash::of(lane.profile.1.as_bytes()).hex(),
                utc_offset_ms,
                trust: trust.clone(),
                subjects: subjects.clone(),
                key: key.clone(),
                training: lane.training,
                badges: badges.clone(),
                private: private.clone(),
            })
            .collect()
    })
}
