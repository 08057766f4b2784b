//! Configuration: one TOML file, read, checked and turned into [`Settings`]. An error shows file,
//! line and what is allowed; nothing has a silent default that matters at the gate.

use crate::store::lists;
use crate::store::retention::Retention;
use kakou_core::ids::{DeviceId, GatewayId, LaneId, OfficerId, SiteId};
use kakou_core::lane::LOOP;
use kakou_core::lane::PLACE;
use kakou_core::lane::action::Role;
use kakou_core::lane::step::actuate::SIGNAL;
use kakou_core::lane::visit::Origin;
use kakou_core::pass::trust::TrustList;
use kakou_core::profile::{self, DeviceKind, Profile, StepKind, shipped};
use kakou_core::text::line_at;
use kakou_core::time::parse_instant;
use kakou_drivers::options::Options;
use kakou_drivers::registry::{self, DRIVERS, Driver, Make};
use kakou_link::broker::Upstream;
use kakou_link::clock::{self, Clock};
use kakou_link::files;
use kakou_provisioning::envelope::Reader;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;

pub mod anchors;
mod lanes;
pub mod placeholder;
mod port;
pub mod remote;
mod retention;
mod upstream;

use anchors::Anchors;
use retention::RetentionFile;
use upstream::{UpstreamFile, read_upstream};

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{0}: cannot be read: {1}")]
    Read(PathBuf, std::io::Error),
    /// Something in it is wrong.
    #[error("{file}:{line}: {what}")]
    Wrong {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what is allowed.
        what: String,
    },
    /// A profile is wrong.
    #[error(transparent)]
    Profile(#[from] profile::ProfileError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gateway: GatewayFile,
    #[serde(default)]
    clock: ClockFile,
    http: Option<HttpFile>,
    #[serde(default)]
    officer: Vec<Spanned<OfficerFile>>,
    #[serde(default)]
    device: Vec<Spanned<DeviceFile>>,
    lane: Vec<Spanned<LaneFile>>,
    upstream: Option<Spanned<UpstreamFile>>,
    retention: Option<Spanned<RetentionFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GatewayFile {
    site: SiteId,
    id: GatewayId,
    #[serde(default)]
    region: String,
    /// The offset of the site's clock from UTC; counters begin anew at its midnight.
    #[serde(default)]
    utc_offset_minutes: i32,
    data: PathBuf,
    lists: Option<PathBuf>,
    #[serde(rename = "stick")]
    usb_drive: Option<PathBuf>,
    /// Who may sign messages of the central side: without it, lists come unsigned and nothing is commanded.
    fleet_keys: Option<Spanned<PathBuf>>,
    /// The public key of the central side: private answers are sealed for it. Without it they leave the gateway nowhere.
    central_key: Option<Reader>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ClockFile {
    #[serde(default)]
    source: clock::TimeSource,
    fixed_at: Option<Spanned<String>>,
    /// For tests of steps: milliseconds by which the time is off.
    shift_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpFile {
    listen: Spanned<SocketAddr>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfficerFile {
    id: OfficerId,
    name: String,
    role: Role,
    pin: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceFile {
    id: DeviceId,
    driver: String,
    port: Options,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaneFile {
    id: LaneId,
    profile: String,
    /// What it guards, alone or with other lanes.
    place: Option<String>,
    devices: BTreeMap<String, DeviceId>,
}

/// The profile of a lane is one of the feed `policy`.
const POLICY: &str = "policy:";

/// Where the packages mount a USB drive of the name KAKOU.
const USB_DRIVE: &str = "/run/usb/kakou";

/// Everything that the daemon needs to know.
pub struct Settings {
    /// The file that they were read from.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
    /// The site.
    pub site: SiteId,
    /// This gateway.
    pub gateway: GatewayId,
    /// Its region, as passes and keys name it.
    pub region: String,
    /// The offset of the site's civil day from UTC.
    pub utc_offset_ms: i64,
    /// The data folder.
    pub data: PathBuf,
    /// The folder of list files.
    pub lists: PathBuf,
    /// Where a USB drive with signed feeds and configuration appears.
    pub usb_drive: PathBuf,
    /// Who may sign messages of the central side.
    pub fleet_keys: Option<Arc<TrustList>>,
    /// Whom private answers are sealed for.
    pub central_key: Option<Reader>,
    /// The clock.
    pub clock: Clock,
    /// The screens and the API.
    pub http: Option<Http>,
    /// Who may sign in.
    pub officers: Vec<OfficerEntry>,
    /// Devices.
    pub devices: Vec<DeviceEntry>,
    /// Lanes.
    pub lanes: Vec<LaneEntry>,
    /// The broker.
    pub upstream: Option<Upstream>,
    /// Limits of the store.
    pub retention: Retention,
    /// What no version from afar changes.
    pub anchors: Anchors,
}

/// Where screens and API listen.
#[derive(Debug, Clone)]
pub struct Http {
    /// Address; without TLS, loopback only.
    pub listen: SocketAddr,
    /// Certificate and key, PEM.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// An officer with the hash of a PIN.
#[derive(Debug, Clone)]
pub struct OfficerEntry {
    /// Id.
    pub id: OfficerId,
    /// For the sign-in list.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Argon2id, PHC string.
    pub pin: String,
}

/// Whose configuration it is, and where its data folder is: all that matters before a policy is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// The site.
    pub site: SiteId,
    /// The gateway.
    pub id: GatewayId,
    /// The data folder.
    pub data: PathBuf,
}

#[derive(Deserialize)]
struct OfIdentity {
    gateway: Identity,
}

/// A device.
pub struct DeviceEntry {
    /// Id.
    pub id: DeviceId,
    /// Its driver.
    pub driver: &'static Driver,
    /// Its settings.
    pub options: Options,
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
    /// Devices by role.
    pub devices: BTreeMap<String, DeviceId>,
}

impl Settings {
    /// Whose they are.
    pub fn identity(&self) -> Identity {
        Identity { site: self.site.clone(), id: self.gateway.clone(), data: self.data.clone() }
    }

    /// Whether a lane takes its profile from the feed `policy`.
    pub fn follows_policy(&self) -> bool {
        self.lanes.iter().any(|lane| lane.profile.0.starts_with(POLICY))
    }
}

/// Reads and checks a file. Relative paths in it count from its folder.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    read(&text_of(path)?, path)
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    files::read_text(path).map_err(|e| ConfigError::Read(path.to_path_buf(), e))
}

/// Reads the identity alone: the rest of the text may be wrong.
fn identity(text: &str, path: &Path) -> Option<Identity> {
    let own = toml::from_str::<OfIdentity>(text).ok()?.gateway;
    let folder = path.parent().unwrap_or(Path::new("."));
    Some(Identity { data: folder.join(own.data), ..own })
}

/// Finds the text of a profile in a policy, by its id.
pub type Policy<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Checks a text that stands, or would stand, at a path.
pub fn read(text: &str, path: &Path) -> Result<Settings, ConfigError> {
    let own = identity(text, path);
    read_with(text, path, &|id| lists::policy(&own.as_ref()?.data, id))
}

/// The same, with another policy than the one in use.
pub fn read_with(text: &str, path: &Path, policy: Policy<'_>) -> Result<Settings, ConfigError> {
    let wrong = |offset: usize, what: String| ConfigError::Wrong {
        file: path.to_path_buf(),
        line: line_at(text.as_bytes(), offset),
        what,
    };
    port::known_settings(text).map_err(|(at, what)| wrong(at, what))?;
    let file: File =
        toml::from_str(text).map_err(|e| wrong(e.span().map_or(0, |s| s.start), e.message().to_owned()))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let full = |p: &PathBuf| folder.join(p);
    let fixed_ms = match (&file.clock.fixed_at, file.clock.source) {
        (Some(at), _) => parse_instant(at.get_ref()).ok_or_else(|| {
            wrong(at.span().start, "`fixed_at` is not a date and time, e.g. 2022-05-24T07:00:00Z".into())
        })?,
        (None, clock::TimeSource::Fixed) => {
            return Err(wrong(0, "`clock.source = \"fixed\"` needs `fixed_at`".into()));
        }
        (None, clock::TimeSource::Ntp | clock::TimeSource::System) => 0,
    };
    let anchors = Anchors::of(&file, folder);
    let clock = Clock::new(file.clock.source, fixed_ms, file.clock.shift_file.as_ref().map(full));
    let http = file.http.as_ref().map(|h| read_http(h, &full, &wrong)).transpose()?;
    let devices = read_devices(&file.device, &full, &wrong)?;
    let lanes = read_lanes(&file.lane, &devices, (folder, policy), &wrong)?;
    let officers = read_officers(&file.officer, &wrong)?;
    let upstream = file.upstream.as_ref().map(|u| read_upstream(u, &clock, &full, &wrong)).transpose()?;
    let puback = file.upstream.as_ref().is_some_and(|u| !u.get_ref().receipts());
    let data = full(&file.gateway.data);
    let fleet_keys = file.gateway.fleet_keys.as_ref().map(|f| read_keys(f, &full, &wrong)).transpose()?;
    let reserved = ["feed", "peer", "trace"];
    if reserved.contains(&file.gateway.site.as_str()) || reserved.contains(&file.gateway.id.as_str()) {
        return Err(wrong(0, "`feed`, `peer` and `trace` are words of topics, not names".into()));
    }
    let default = RetentionFile::default();
    let (begins, limits) = file.retention.as_ref().map_or((0, &default), |r| (r.span().start, r.get_ref()));
    let retention = limits.read(puback).map_err(|what| wrong(begins, what))?;
    Ok(Settings {
        file: path.to_path_buf(),
        text: text.to_owned(),
        site: file.gateway.site,
        gateway: file.gateway.id,
        region: file.gateway.region,
        utc_offset_ms: i64::from(file.gateway.utc_offset_minutes) * 60_000,
        fleet_keys,
        central_key: file.gateway.central_key,
        lists: file.gateway.lists.as_ref().map_or_else(|| data.join("lists"), full),
        usb_drive: file.gateway.usb_drive.as_ref().map_or_else(|| USB_DRIVE.into(), full),
        data,
        clock,
        http,
        officers,
        devices,
        lanes,
        upstream,
        retention,
        anchors,
    })
}

type Wrong<'a> = &'a dyn Fn(usize, String) -> ConfigError;
type Full<'a> = &'a dyn Fn(&PathBuf) -> PathBuf;

fn read_keys(
    file: &Spanned<PathBuf>,
    full: Full<'_>,
    wrong: Wrong<'_>,
) -> Result<Arc<TrustList>, ConfigError> {
    let path = full(file.get_ref());
    let json = std::fs::read(&path).map_err(|e| ConfigError::Read(path.clone(), e))?;
    let list = TrustList::fleet(&json);
    list.map(Arc::new).map_err(|e| wrong(file.span().start, format!("{}: {e}", path.display())))
}

fn read_http(h: &HttpFile, full: Full<'_>, wrong: Wrong<'_>) -> Result<Http, ConfigError> {
    let at = h.listen.span().start;
    let listen = *h.listen.get_ref();
    let tls = match (&h.cert, &h.key) {
        (Some(cert), Some(key)) => Some((full(cert), full(key))),
        (None, None) if listen.ip().is_loopback() => None,
        (None, None) => {
            return Err(wrong(
                at,
                format!("{listen} is not loopback: give `cert` and `key`, or listen on 127.0.0.1"),
            ));
        }
        (Some(_), None) | (None, Some(_)) => {
            return Err(wrong(at, "`cert` and `key` belong together".into()));
        }
    };
    Ok(Http { listen, tls })
}

fn read_officers(files: &[Spanned<OfficerFile>], wrong: Wrong<'_>) -> Result<Vec<OfficerEntry>, ConfigError> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for officer in files {
        let (at, o) = (officer.span().start, officer.get_ref());
        if !seen.insert(o.id.clone()) {
            return Err(wrong(at, format!("two officers have the id `{}`", o.id)));
        }
        if !o.pin.starts_with("$argon2id$") {
            return Err(wrong(
                at,
                format!("the pin of `{}` is not a hash; make one with `kakou officer pin`", o.id),
            ));
        }
        out.push(OfficerEntry { id: o.id.clone(), name: o.name.clone(), role: o.role, pin: o.pin.clone() });
    }
    Ok(out)
}

fn read_devices(
    files: &[Spanned<DeviceFile>],
    full: Full<'_>,
    wrong: Wrong<'_>,
) -> Result<Vec<DeviceEntry>, ConfigError> {
    let mut out: Vec<DeviceEntry> = Vec::new();
    for device in files {
        let (at, d) = (device.span().start, device.get_ref());
        if out.iter().any(|o| o.id == d.id) {
            return Err(wrong(at, format!("two devices have the id `{}`", d.id)));
        }
        let driver = registry::find(&d.driver).ok_or_else(|| {
            let names: Vec<&str> = DRIVERS.iter().map(|d| d.name).collect();
            wrong(at, format!("`{}` is not a driver; allowed: {}", d.driver, names.join(", ")))
        })?;
        let mut options = d.port.clone();
        options.path = full(&options.path);
        options.record = options.record.as_ref().map(full);
        driver.check(&options).map_err(|why| wrong(at, format!("device `{}`: {why}", d.id)))?;
        let line = |o: &Options| (o.baud, o.usb.clone(), o.record.clone());
        let shared = |d: &Driver| matches!(d.make, Make::Shared(_));
        let blocking = |d: &Driver| matches!(d.make, Make::Blocking(_));
        let there = out.iter().find(|o| o.options.path == options.path && !blocking(driver));
        match there {
            Some(other) if !shared(driver) || !shared(other.driver) => {
                return Err(wrong(at, format!("`{}` and `{}` are at the same port", other.id, d.id)));
            }
            Some(other) if line(&other.options) != line(&options) => {
                let both = "give both one `baud`, `usb` and `record`";
                return Err(wrong(at, format!("`{}` and `{}` share a line: {both}", other.id, d.id)));
            }
            Some(_) | None => {}
        }
        out.push(DeviceEntry { id: d.id.clone(), driver, options });
    }
    Ok(out)
}

fn read_lanes(
    files: &[Spanned<LaneFile>],
    devices: &[DeviceEntry],
    (folder, policy): (&Path, Policy<'_>),
    wrong: Wrong<'_>,
) -> Result<Vec<LaneEntry>, ConfigError> {
    let mut out: Vec<LaneEntry> = Vec::new();
    let mut profiles: Vec<profile::Profile> = Vec::new();
    for lane in files {
        let (at, l) = (lane.span().start, lane.get_ref());
        if out.iter().any(|o| o.id == l.id) {
            return Err(wrong(at, format!("two lanes have the id `{}`", l.id)));
        }
        let (name, text) = find_profile(folder, &l.profile, policy).map_err(|why| wrong(at, why))?;
        let profile = profile::read(&name, &text)?;
        profile.warnings.iter().for_each(|warning| log::warn!("{warning}"));
        if profile.start.only_in_party {
            let what = format!("lane `{}`: profile `{name}` is for those who come along with a party", l.id);
            return Err(wrong(at, what));
        }
        let members = members_of(&profile, folder, (&l.profile, policy))
            .map_err(|why| wrong(at, format!("lane `{}`: {why}", l.id)))?;
        let read = members.values().map(|(name, text)| profile::read(name, text));
        let theirs: Vec<Profile> = read.collect::<Result<_, _>>()?;
        lanes::agree(&profiles, &profile).map_err(|why| wrong(at, format!("lane `{}`: {why}", l.id)))?;
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
        if !lanes::is_place(&place) {
            let what = format!("`place` of lane `{}` is 1 to 64 characters without control characters", l.id);
            return Err(wrong(at, what));
        }
        let (id, devices) = (l.id.clone(), l.devices.clone());
        profiles.push(profile);
        out.push(LaneEntry { id, profile: (name, text), members, place, devices });
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

/// Every role of the profile has a device of its kind.
fn check_devices(
    profile: &Profile,
    members: &[Profile],
    roles: &BTreeMap<String, DeviceId>,
    devices: &[DeviceEntry],
) -> Result<(), String> {
    let all = || profile.devices().chain(members.iter().flat_map(Profile::devices));
    for (role, kind, optional) in all() {
        match roles.get(role) {
            None if optional => {}
            None => {
                return Err(format!(
                    "profile `{}` needs a {} as `{role}` in `devices`",
                    profile.id,
                    kind.as_str()
                ));
            }
            Some(id) => match devices.iter().find(|d| d.id == *id) {
                None => return Err(format!("`{role} = \"{id}\"`: there is no [[device]] with this id")),
                Some(d) if !d.driver.kinds.contains(&kind) => {
                    let is: Vec<&str> = d.driver.kinds.iter().map(|k| k.as_str()).collect();
                    return Err(format!(
                        "`{role}` must be a {}, but `{id}` is a {}",
                        kind.as_str(),
                        is.join(" or ")
                    ));
                }
                Some(d) if kind == DeviceKind::Scanner && is_camera(d) && !d.options.read_codes => {
                    return Err(format!(
                        "camera `{id}` reads codes only with `read_codes = true` in its port"
                    ));
                }
                Some(_) => {}
            },
        }
    }
    for step in profile.steps.iter().chain(members.iter().flat_map(|m| &m.steps)) {
        let watched = matches!(&step.kind, StepKind::Temperature(t) if t.screening.black_body.is_some());
        let id = step.device.as_ref().and_then(|role| roles.get(role));
        let sees = id
            .and_then(|id| devices.iter().find(|d| d.id == *id))
            .is_none_or(|d| d.options.black_body.is_some());
        if watched && !sees {
            return Err(format!(
                "step `{}` has a black body: its thermometer needs `black_body = [column, row]`",
                step.id
            ));
        }
    }
    let needed: BTreeSet<&str> = all().map(|(role, _, _)| role).collect();
    let plates = profile.start.takes(Origin::Plate);
    for (role, id) in roles.iter().filter(|(role, _)| !needed.contains(role.as_str())) {
        let device = devices.iter().find(|d| d.id == *id);
        let device =
            device.ok_or_else(|| format!("`{role} = \"{id}\"`: there is no [[device]] with this id"))?;
        let beside = device.driver.kinds.iter().any(|k| k.beside());
        let right = match role.as_str() {
            SIGNAL => device.driver.kinds.contains(&DeviceKind::Signal),
            LOOP => device.driver.kinds.contains(&DeviceKind::Input),
            _ => beside || plates && is_camera(device),
        };
        if !right {
            return Err(format!(
                "profile `{}` has no use for `{role}`; it needs: {needed:?}, and can have lamps as `{SIGNAL}` \
                 and inputs and scales under any name, a vehicle loop as `{LOOP}`",
                profile.id
            ));
        }
    }
    Ok(())
}

fn is_camera(device: &DeviceEntry) -> bool {
    device.driver.kinds.contains(&DeviceKind::Camera)
}
