//! The `[[device]]` tables, and whether each role of a profile has a device that can play it.

use super::{ConfigError, Full, Wrong};
use kakou_core::ids::DeviceId;
use kakou_core::lane::LOOP;
use kakou_core::lane::step::actuate::SIGNAL;
use kakou_core::lane::visit::Origin;
use kakou_core::profile::{DeviceKind, Profile, StepKind};
use kakou_drivers::options::Options;
use kakou_drivers::registry::{self, DRIVERS, Driver, Make};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceFile {
    id: DeviceId,
    driver: String,
    pub(super) port: Options,
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

pub(super) fn read_devices(
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

/// Every role of the profile has a device of its kind.
pub(super) fn check_devices(
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
