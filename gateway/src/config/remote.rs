//! Configuration from the central side: tried first, kept when it works, given up when it does not.
//!
//! A new version is tried with the next start. It is kept when the lanes are open and the link is up
//! within [`TRIAL`], or without a link if it came by a USB drive to a gateway that had none; a trial that ends any other way is over, and the last good version, or the
//! local file, is in use again.

use super::anchors::Anchors;
use super::{ConfigError, Identity, Settings, identity, read, text_of};
use kakou_link::tls;
use kakou_wire::order::{Configuration, Fault, Report};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a trial may take to show that it works.
pub const TRIAL: Duration = Duration::from_secs(120);
/// Beside a version on trial that is good without a link.
const UNLINKED: &str = "unlinked";

/// Which version runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigVersion {
    /// The local file.
    Local,
    /// A version of the central side that has worked.
    Good(u64),
    /// One that has to show that it works.
    Trial(u64),
}

fn fault_of(e: &ConfigError) -> Fault {
    match e {
        ConfigError::Wrong { line, what, .. } => Fault { line: Some(*line), what: what.clone() },
        ConfigError::Read(..) | ConfigError::Profile(_) => Fault { line: None, what: e.to_string() },
    }
}

fn folder(data: &Path) -> PathBuf {
    data.join("config")
}

/// Reads what was told last.
pub fn report(data: &Path) -> Report {
    let json = std::fs::read(folder(data).join("report.json"));
    json.ok().and_then(|j| serde_json::from_slice(&j).ok()).unwrap_or_default()
}

/// Keeps what is to be told.
pub fn keep_report(data: &Path, report: &Report) -> std::io::Result<()> {
    put(data, "report.json", json!(report).to_string().as_bytes())
}

fn put(data: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder(data))?;
    kakou_link::durable::write_secret(&folder(data).join(name), bytes)
}

fn stored(data: &Path, name: &str) -> Option<Configuration> {
    std::fs::read(folder(data).join(name)).ok().and_then(|j| serde_json::from_slice(&j).ok())
}

/// Keeps a version for the next start; whether it needs a link to be good.
pub fn offer(data: &Path, configuration: &Configuration, linked: bool) -> std::io::Result<()> {
    drop(std::fs::remove_file(folder(data).join("begun")));
    if linked {
        drop(std::fs::remove_file(folder(data).join(UNLINKED)));
    } else {
        put(data, UNLINKED, b"")?;
    }
    put(data, "trial.json", json!(configuration).to_string().as_bytes())
}

/// Whether the version on trial is good without a link.
pub fn is_unlinked(data: &Path) -> bool {
    folder(data).join(UNLINKED).exists()
}

/// Reads the text of a version as if it stood in the place of the local file, for the gateway that is here.
pub fn check(file: &Path, configuration: &Configuration, own: &Identity) -> Result<Settings, Vec<Fault>> {
    let settings = read(&configuration.toml, file).map_err(|e| vec![fault_of(&e)])?;
    let same = settings.identity() == *own;
    let keys = settings.fleet_keys.is_some() && (settings.upstream.is_some() || !has_link(file));
    let mut faults = Vec::new();
    if !same {
        let what = "`site`, `id` and `data` cannot be changed from afar".to_owned();
        faults.push(Fault { line: None, what });
    }
    if !keys {
        let what =
            "without `fleet_keys`, and [upstream] where there is one, the gateway could not be reached again"
                .to_owned();
        faults.push(Fault { line: None, what });
    }
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

#[derive(Deserialize)]
struct OfLink {
    upstream: Option<serde::de::IgnoredAny>,
}

/// Whether the local file has a link; a file that cannot be read may have had one.
fn has_link(file: &Path) -> bool {
    let text = text_of(file).ok();
    text.and_then(|text| toml::from_str::<OfLink>(&text).ok()).is_none_or(|own| own.upstream.is_some())
}

/// Whether it leaves alone whose words count here: a key that may sign a configuration must not become every key.
pub fn keeps_anchors(settings: Settings, own: &Anchors) -> Result<Settings, Vec<Fault>> {
    let changed = own.changed_by(&settings.anchors);
    if changed.is_empty() {
        return Ok(settings);
    }
    let fault = |name: &str| {
        let what = format!("{name} cannot be changed from afar: change the file on the box");
        Fault { line: None, what }
    };
    Err(changed.into_iter().map(fault).collect())
}

/// Whether its screens could be served: a trial must not end with lanes that nobody sees.
pub fn can_serve(settings: Settings) -> Result<Settings, Vec<Fault>> {
    if let Some((cert, key)) = settings.http.as_ref().and_then(|http| http.tls.as_ref()) {
        tls::server(cert, key).map_err(|e| vec![Fault { line: None, what: format!("[http]: {e}") }])?;
    }
    Ok(settings)
}

/// The version that is on trial, and whether its trial has begun.
fn on_trial(own: &Identity) -> Option<(Configuration, bool)> {
    Some((stored(&own.data, "trial.json")?, folder(&own.data).join("begun").exists()))
}

/// Chooses what runs now: a version on trial, else what is [`settled`].
pub fn choose(file: &Path) -> Result<(Settings, ConfigVersion), ConfigError> {
    let Some(own) = identity(&text_of(file)?, file) else { return settled(file) };
    match on_trial(&own) {
        None => {}
        Some((trial, true)) => {
            let what = "it did not come up; the last good one is in use".into();
            give_up(&own.data, trial.version, vec![Fault { line: None, what }]);
        }
        Some((trial, false)) => match check(file, &trial, &own).and_then(can_serve) {
            Ok(settings) => match put(&own.data, "begun", b"") {
                Ok(()) => {
                    log::warn!("configuration version {} is tried", trial.version);
                    return Ok((settings, ConfigVersion::Trial(trial.version)));
                }
                // Not now: a trial that leaves no trace would be tried for ever.
                Err(e) => log::error!("configuration version {} cannot be tried: {e}", trial.version),
            },
            Err(faults) => give_up(&own.data, trial.version, faults),
        },
    }
    settled(file)
}

/// Whether anything could start now: the version that waits for its trial, or what is [`settled`].
pub fn could_start(file: &Path) -> Result<(), ConfigError> {
    let waits = identity(&text_of(file)?, file).is_some_and(|own| {
        let trial = on_trial(&own).filter(|(_, begun)| !begun);
        trial.is_some_and(|(trial, _)| check(file, &trial, &own).and_then(can_serve).is_ok())
    });
    if waits { Ok(()) } else { settled(file).map(drop) }
}

/// The text that follows when the one in use is given up: that of the last good version, else of the local file
/// if it is in order.
pub fn behind(file: &Path, data: &Path) -> Option<String> {
    let local = || text_of(file).ok().filter(|text| read(text, file).is_ok());
    stored(data, "good.json").map(|good| good.toml).or_else(local)
}

/// The last good version, whatever has become of the local file; else that one.
fn settled(file: &Path) -> Result<(Settings, ConfigVersion), ConfigError> {
    let text = text_of(file)?;
    if let Some(own) = identity(&text, file)
        && let Some(good) = stored(&own.data, "good.json")
    {
        match check(file, &good, &own) {
            Ok(settings) => return Ok((settings, ConfigVersion::Good(good.version))),
            Err(faults) => {
                log::error!("configuration version {} is no longer good: {faults:?}", good.version)
            }
        }
    }
    read(&text, file).map(|local| (local, ConfigVersion::Local))
}

/// A trial is over.
fn give_up(data: &Path, version: u64, errors: Vec<Fault>) {
    log::error!("configuration version {version} is given up: {errors:?}");
    let report =
        Report { version: stored(data, "good.json").map_or(0, |g| g.version), desired: version, errors };
    let folder = folder(data);
    drop(std::fs::rename(folder.join("trial.json"), folder.join("failed.json")));
    drop(std::fs::remove_file(folder.join("begun")));
    if let Err(e) = keep_report(data, &report) {
        log::error!("{}: {e}", folder.display());
    }
}

/// A trial has worked.
pub fn confirm(data: &Path, version: u64) -> std::io::Result<()> {
    // Another one may have come since this one was begun: it is tried at the next start.
    if stored(data, "trial.json").is_some_and(|trial| trial.version != version) {
        log::warn!("configuration version {version} works; a newer one is to be tried before it is kept");
        return Ok(());
    }
    let folder = folder(data);
    std::fs::rename(folder.join("trial.json"), folder.join("good.json"))?;
    std::fs::remove_file(folder.join("begun"))?;
    log::warn!("configuration version {version} works and is kept");
    keep_report(data, &Report { version, desired: version, errors: Vec::new() })
}
