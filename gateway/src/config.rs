//! Configuration: one TOML file, read, checked and turned into [`Settings`]. An error shows file,
//! line and what is allowed; nothing has a silent default that matters at the gate.

use crate::pack::told::Follower;
use crate::store::policy;
use crate::store::retention::Retention;
use kakou_core::ids::{GatewayId, OfficerId, SiteId};
use kakou_core::lane::action::Role;
use kakou_core::lane::sheet::badges::Badges;
use kakou_core::pass::id;
use kakou_core::pass::trust::TrustList;
use kakou_core::profile;
use kakou_core::text::line_at;
use kakou_core::time::parse_instant;
use kakou_link::broker::Upstream;
use kakou_link::clock::{self, Clock};
use kakou_link::files;
use kakou_provisioning::envelope::Reader;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::Spanned;

pub mod anchors;
mod badge;
mod devices;
mod hospital;
mod lanes;
pub mod placeholder;
mod port;
pub mod remote;
mod retention;
mod upstream;

use anchors::Anchors;
use badge::read_badges;
pub use devices::DeviceEntry;
use devices::{DeviceFile, read_devices};
pub use hospital::{Hospital, Host};
use hospital::{HospitalFile, read_hospital};
pub use lanes::{LaneEntry, find_profile};
use lanes::{LaneFile, POLICY, read_lanes};
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
    badge: Option<badge::BadgeFile>,
    #[serde(default)]
    device: Vec<Spanned<DeviceFile>>,
    lane: Vec<Spanned<LaneFile>>,
    upstream: Option<Spanned<UpstreamFile>>,
    hl7: Option<Spanned<HospitalFile>>,
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
    badge: Option<String>,
}

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
    /// Who signs on by badge at the reader of a lane.
    pub badges: Badges,
    /// Devices.
    pub devices: Vec<DeviceEntry>,
    /// Lanes.
    pub lanes: Vec<LaneEntry>,
    /// The broker.
    pub upstream: Option<Upstream>,
    /// Where a hospital's system is heard.
    pub hospital: Option<Hospital>,
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
    /// The id on the staff badge that signs on, where there is one.
    pub badge: Option<String>,
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

impl Settings {
    /// Whose they are.
    pub fn identity(&self) -> Identity {
        Identity { site: self.site.clone(), id: self.gateway.clone(), data: self.data.clone() }
    }

    /// The lanes that take their profiles from the feed `policy`, with the ids of these.
    pub fn followers(&self) -> Vec<Follower> {
        let lanes = self.lanes.iter().filter_map(|lane| {
            let own = lane.profile.0.strip_prefix(POLICY)?.to_owned();
            let ids = lane.members.keys().cloned().chain([own]).collect();
            Some((lane.id.clone(), ids))
        });
        lanes.collect()
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
    read_with(text, path, &|id| policy::profile(&own.as_ref()?.data, id))
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
    let clock = Clock::new(file.clock.source, fixed_ms, file.clock.shift_file.as_ref().map(full));
    let http = file.http.as_ref().map(|h| read_http(h, &full, &wrong)).transpose()?;
    let devices = read_devices(&file.device, &full, &wrong)?;
    let lanes = read_lanes(&file.lane, &devices, (folder, policy), &wrong)?;
    let officers = read_officers(&file.officer, &wrong)?;
    let badges = read_badges(file.badge.as_ref(), &officers, &wrong)?;
    let upstream = file.upstream.as_ref().map(|u| read_upstream(u, &clock, &full, &wrong)).transpose()?;
    let hospital = file.hl7.as_ref().map(|h| read_hospital(h, &full, &wrong)).transpose()?;
    let anchors = Anchors::of(&file, folder, hospital.clone());
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
        badges,
        devices,
        lanes,
        upstream,
        hospital,
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
    let (mut seen, mut badges) = (BTreeSet::new(), BTreeSet::new());
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
        if let Some(badge) = o.badge.as_ref().filter(|badge| !badges.insert(id::normal(badge))) {
            return Err(wrong(at, format!("two officers have the badge `{badge}`")));
        }
        let (name, pin, badge) = (o.name.clone(), o.pin.clone(), o.badge.clone());
        out.push(OfficerEntry { id: o.id.clone(), name, role: o.role, pin, badge });
    }
    Ok(out)
}
