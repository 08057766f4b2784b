//! The lanes of a gateway: shipped profiles as the seed draws them, their devices, and what the engine is given for them.

use super::folk::{BEGINS_MS, KID, REGION, key};
use crate::sim::draw::Draw;
use crate::sim::site::{OFFSET_MS, gateway_key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kakou_core::event::Author;
use kakou_core::evidence::{Hash, SubjectKeys};
use kakou_core::ids::{DeviceId, GatewayId, LaneId, SiteId};
use kakou_core::lane::Setup;
use kakou_core::lane::event::AnswerSealer;
use kakou_core::lane::visit::Origin;
use kakou_core::pass::cose::Alg;
use kakou_core::pass::trust::{KeyEntry, TrustFile, TrustList, Usage};
use kakou_core::profile::{self, DeviceKind, Profile, shipped};
use kakou_gateway::engine::{Parts, Setups};
use kakou_gateway::store::photos::Photos;
use kakou_gateway::store::retention::{Delivered, Retention};
use kakou_link::clock::TimeSource;
use ring::signature::KeyPair;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The site.
pub const SITE: &str = "simulated";

/// A device of a lane.
#[derive(Debug, Clone)]
pub struct Device {
    /// Which.
    pub id: DeviceId,
    /// At which lane.
    pub lane: usize,
    /// As what.
    pub role: String,
    /// Of which kind.
    pub kind: DeviceKind,
}

/// A lane.
pub struct Place {
    /// Its name.
    pub lane: LaneId,
    /// Its profile: name, file, text.
    pub profile: String,
    /// The profile that is in force.
    policy: Mutex<Arc<Profile>>,
    members: Vec<(String, Arc<Profile>)>,
    /// The kinds of codes that it takes, and those that its members show.
    pub accepts: Vec<String>,
    /// Those of whoever comes along.
    pub member_accepts: Vec<String>,
    /// Every list that it looks into.
    pub lists: BTreeSet<&'static str>,
    /// How visits begin.
    pub starts: Vec<Origin>,
    /// The contacts that begin one.
    pub inputs: Vec<String>,
    /// Its devices, by role.
    pub devices: BTreeMap<String, Device>,
}

/// Profiles that lanes have; the others are of people who come along, of a console that is no lane, and of a contact at a
/// door before which nobody stands.
pub fn profiles() -> Vec<&'static str> {
    let no_lane = ["car-occupant", "accompanied-child", "duty-console", "door-watch"];
    shipped::ids().filter(|id| !no_lane.contains(id)).collect()
}

fn accepts(text: &str) -> Vec<String> {
    let Ok(file) = text.parse::<toml::Table>() else { return Vec::new() };
    let steps = file.get("step").and_then(toml::Value::as_array).into_iter().flatten();
    let of = steps.filter_map(|step| step.get("accepts")?.as_array()).flatten();
    of.filter_map(|kind| Some(kind.as_str()?.to_owned())).collect()
}

impl Place {
    /// Draws so many lanes, of different profiles.
    pub fn draw(draw: &mut Draw, count: usize, only: Option<&str>) -> Result<Vec<Self>, String> {
        let mut left = profiles();
        (0..count)
            .map(|number| {
                let at = usize::try_from(draw.below(left.len() as u64)).unwrap_or(0);
                let drawn = left.swap_remove(at);
                Self::new(number, only.unwrap_or(drawn))
            })
            .collect()
    }

    fn new(number: usize, id: &str) -> Result<Self, String> {
        let source = shipped::find(id).ok_or_else(|| format!("no profile {id}"))?;
        let read = |(file, text)| profile::read(file, text).map_err(|e| e.to_string());
        let profile: Profile = read(source)?;
        let mut roles: BTreeMap<String, DeviceKind> =
            profile.devices().map(|(role, kind, _)| (role.to_owned(), kind)).collect();
        let (mut members, mut lists) = (Vec::new(), profile.lists().collect::<BTreeSet<_>>());
        let mut member_accepts = Vec::new();
        for member in profile.members() {
            let of = shipped::find(member).ok_or_else(|| format!("no profile {member}"))?;
            let read = read(of)?;
            roles.extend(read.devices().map(|(role, kind, _)| (role.to_owned(), kind)));
            lists.extend(read.lists());
            member_accepts.extend(accepts(of.1));
            members.push((member.to_owned(), Arc::new(read)));
        }
        if profile.start.takes(Origin::Plate) && !roles.values().any(|kind| *kind == DeviceKind::Camera) {
            roles.insert("plate-camera".into(), DeviceKind::Camera);
        }
        for input in profile.contacts() {
            let taken = roles.get(input).is_some_and(|kind| *kind != DeviceKind::Input);
            let role = if taken { format!("{input}-contact") } else { input.to_owned() };
            roles.insert(role, DeviceKind::Input);
        }
        let name = |e: kakou_core::ids::BadId| e.to_string();
        let device = |(role, kind): (String, DeviceKind)| {
            let id = DeviceId::new(format!("{role}-{}", number + 1)).map_err(name)?;
            Ok((role.clone(), Device { id, lane: number, role, kind }))
        };
        Ok(Self {
            lane: LaneId::new(format!("lane-{}", number + 1)).map_err(name)?,
            profile: id.to_owned(),
            starts: profile.start.on.clone(),
            inputs: profile.start.inputs.clone(),
            policy: Mutex::new(Arc::new(profile)),
            members,
            accepts: accepts(source.1),
            member_accepts,
            lists,
            devices: roles.into_iter().map(device).collect::<Result<_, String>>()?,
        })
    }

    /// Another edition of its profile is in force from the next start on: some number of it is another. What was changed,
    /// where there is such a number.
    pub fn change(&self, draw: &mut Draw) -> Option<String> {
        const CHANGES: [(&str, i64); 4] =
            [("show_verdict_s", 1), ("timeout_s", 5), ("wait_s", 1), ("high_mdeg", 100)];
        let mut policy = self.policy.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, text) = &policy.file;
        let change = |line: &str| {
            let (key, value) = line.split_once(" = ")?;
            let (_, by) = CHANGES.iter().find(|(name, _)| *name == key)?;
            Some(format!("{key} = {}", value.parse::<i64>().ok()? + by))
        };
        let may: Vec<(usize, String)> =
            text.lines().enumerate().filter_map(|(n, line)| Some((n, change(line)?))).collect();
        let (at, new) = (!may.is_empty()).then(|| draw.one_of(&may).clone())?;
        let lines = text.lines().enumerate().map(|(n, line)| if n == at { new.as_str() } else { line });
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        *policy = Arc::new(profile::read(file, &text).ok()?);
        Some(new)
    }

    fn setup(&self, gateway: &str, trust: &Arc<TrustList>, subjects: &Arc<SubjectKeys>) -> Setup {
        let profile = self.policy.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Setup {
            lane: self.lane.clone(),
            profile_hash: Hash::of(profile.file.1.as_bytes()).hex(),
            profile,
            devices: self.devices.iter().map(|(role, d)| (role.clone(), d.id.clone())).collect(),
            region: REGION.into(),
            place: kakou_core::lane::PLACE.into(),
            gateway: gateway.into(),
            members: self.members.iter().cloned().collect(),
            utc_offset_ms: OFFSET_MS,
            trust: trust.clone(),
            subjects: subjects.clone(),
            key: gateway_key(),
            training: false,
            badges: std::sync::Arc::default(),
            private: Some(Arc::new(Sealer)),
        }
    }
}

/// Seals what was answered in private: the same envelope for the same answers, which no key opens.
struct Sealer;

impl AnswerSealer for Sealer {
    fn seal(&self, answers: &Value, context: &str) -> Value {
        json!({ "sealed": Hash::of(format!("{context} {answers}").as_bytes()).hex() })
    }
}

/// The keys of passes.
pub fn trust() -> Arc<TrustList> {
    let usages = [
        Usage::ResidentCard,
        Usage::VehiclePass,
        Usage::StaffBadge,
        Usage::CompanionCard,
        Usage::ReleaseSlip,
    ];
    let entry = KeyEntry {
        kid: STANDARD.encode(KID),
        alg: Alg::EdDSA.into(),
        key: STANDARD.encode(key(KID).public_key()),
        usages: usages.into_iter().map(Into::into).collect(),
        issuer: "simulation".into(),
        region: None,
        nbf: None,
        exp: None,
    };
    let file = TrustFile { name: "trust".into(), version: 1, issued: BEGINS_MS / 1_000, keys: vec![entry] };
    Arc::new(TrustList::from_file(&file, "trust").expect("a list of keys that were made for it"))
}

/// What the engine of a gateway is given.
pub fn parts(places: &Arc<Vec<Place>>, gateway: &str, folder: &Path, boot: u64) -> Result<Parts, String> {
    let name = |e: kakou_core::ids::BadId| e.to_string();
    let (lanes, own) = (Arc::clone(places), gateway.to_owned());
    let setups: Setups = Box::new(move |trust, subjects| {
        lanes.iter().map(|place| place.setup(&own, trust, subjects)).collect()
    });
    let author = Author {
        site: SiteId::new(SITE).map_err(name)?,
        gateway: GatewayId::new(gateway).map_err(name)?,
        boot: format!("boot-{boot}"),
    };
    Ok(Parts {
        data: folder.to_path_buf(),
        author,
        setups,
        trust: trust(),
        subjects: Arc::new(SubjectKeys::new(1, b"simulation")),
        upstream: "offline",
        source: TimeSource::Ntp,
        key: gateway_key(),
        photos: Photos::open(folder).map_err(|e| e.to_string())?,
        retention: Retention {
            max_bytes: u64::MAX,
            keep_days: 0,
            delivered: Delivered::Receipted,
            photo_bytes: u64::MAX,
            photo_days: 30,
            reserve_bytes: 0,
        },
        others: None,
    })
}
