//! The `[retention]` table: how much is kept.

use crate::store::retention::{Delivered, Retention};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionFile {
    #[serde(default = "max_mb")]
    max_mb: u64,
    #[serde(default = "keep_days")]
    keep_days: i64,
    #[serde(default = "reserve_mb")]
    reserve_mb: u64,
    #[serde(default = "photo_mb")]
    photo_mb: u64,
    #[serde(default = "photo_days")]
    photo_days: i64,
}

const fn max_mb() -> u64 {
    2048
}
const fn keep_days() -> i64 {
    14
}
const fn reserve_mb() -> u64 {
    8
}

const fn photo_mb() -> u64 {
    4096
}
const fn photo_days() -> i64 {
    30
}

impl Default for RetentionFile {
    fn default() -> Self {
        Self {
            max_mb: max_mb(),
            keep_days: keep_days(),
            reserve_mb: reserve_mb(),
            photo_mb: photo_mb(),
            photo_days: photo_days(),
        }
    }
}

/// No disk of a gateway is larger.
const MB_MOST: u64 = 1 << 30;
/// A hundred years.
const DAYS_MOST: i64 = 36_500;

impl RetentionFile {
    /// The limits; `puback` where the broker's word is the proof of delivery. What is wrong names its setting.
    pub(super) fn read(&self, puback: bool) -> Result<Retention, String> {
        for (name, mb, least) in
            [("max_mb", self.max_mb, 1), ("reserve_mb", self.reserve_mb, 0), ("photo_mb", self.photo_mb, 0)]
        {
            if !(least..=MB_MOST).contains(&mb) {
                return Err(format!("`{name}` = {mb}: write megabytes from {least} to {MB_MOST}"));
            }
        }
        for (name, days) in [("keep_days", self.keep_days), ("photo_days", self.photo_days)] {
            if !(0..=DAYS_MOST).contains(&days) {
                return Err(format!("`{name}` = {days}: write days from 0 to {DAYS_MOST}"));
            }
        }
        Ok(Retention {
            max_bytes: self.max_mb << 20,
            keep_days: self.keep_days,
            delivered: if puback { Delivered::Acked } else { Delivered::Receipted },
            reserve_bytes: self.reserve_mb << 20,
            photo_bytes: self.photo_mb << 20,
            photo_days: self.photo_days,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config;
    use std::path::Path;

    #[test]
    fn limits_of_retention_are_checked() {
        let read = |line: &str| {
            let text = format!(
                "[gateway]\nsite = \"s\"\nid = \"g\"\ndata = \"data\"\n[[device]]\nid = \"sc\"\ndriver = \"line-scanner\"\n\
                 port = {{ path = \"p\" }}\n[[device]]\nid = \"th\"\ndriver = \"gy-mcu90614\"\nport = {{ path = \"t\" }}\n\
                 [[device]]\nid = \"re\"\ndriver = \"modbus-relay\"\nport = {{ path = \"r\" }}\n[[lane]]\nid = \"l\"\n\
                 profile = \"school-gate\"\ndevices = {{ scanner = \"sc\", thermometer = \"th\", barrier = \"re\" }}\n\
                 [retention]\n{line}\n"
            );
            let settings = config::read(&text, Path::new("/none/kakou.toml"));
            settings.map(|settings| settings.retention).map_err(|e| e.to_string())
        };
        let kept =
            read("max_mb = 1\nkeep_days = 0\nphoto_mb = 0\nphoto_days = 36500\nreserve_mb = 0").unwrap();
        assert_eq!((kept.max_bytes, kept.photo_bytes, kept.photo_days), (1 << 20, 0, 36_500));
        assert_eq!(read("max_mb = 1048576").unwrap().max_bytes, 1 << 40);
        for (name, bad) in [
            // What was shifted out of a number left nothing, and everything that was delivered went.
            ("max_mb", &["0", "17592186044416", "1073741825"][..]),
            ("reserve_mb", &["17592186044416", "1073741825"]),
            ("photo_mb", &["17592186044416", "1073741825"]),
            ("keep_days", &["-1", "36501", "9223372036854775807"]),
            ("photo_days", &["-1", "36501", "9223372036854775807"]),
        ] {
            for value in bad {
                let why = read(&format!("{name} = {value}")).unwrap_err();
                assert!(why.contains(&format!("`{name}`")) && why.contains("kakou.toml:21"), "{why}");
            }
        }
    }
}
