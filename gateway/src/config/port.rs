//! Settings of a port that its driver does not know are refused: one that nobody hears would be trusted.

use kakou_drivers::registry;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use toml::Spanned;

/// What each device's port says, whatever else is right or wrong.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    device: Vec<Device>,
}

#[derive(Deserialize)]
struct Device {
    #[serde(default)]
    id: String,
    driver: String,
    port: BTreeMap<Spanned<String>, IgnoredAny>,
}

/// The offset of the first setting that its driver does not know, and what it knows.
pub fn known_settings(text: &str) -> Result<(), (usize, String)> {
    // What cannot be read even so is named when all of it is read.
    let Ok(file) = toml::from_str::<File>(text) else { return Ok(()) };
    for Device { id, driver, port } in &file.device {
        let Some(driver) = registry::find(driver) else { continue };
        let settings = driver.settings();
        if let Some(key) = port.keys().find(|key| !settings.contains(&key.get_ref().as_str())) {
            let (what, name, allowed) = (key.get_ref(), driver.name, settings.join(", "));
            let why = format!("device `{id}`: `{what}` is no setting of a {name}; allowed: {allowed}");
            return Err((key.span().start, why));
        }
    }
    Ok(())
}
