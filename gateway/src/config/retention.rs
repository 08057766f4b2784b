//! The `[retention]` table: how much is kept.

use crate::engine::Retention;
use crate::store::retention::Delivered;
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

impl RetentionFile {
    /// The limits; `puback` where the broker's word is the proof of delivery.
    pub(super) fn read(&self, puback: bool) -> Retention {
        Retention {
            max_bytes: self.max_mb << 20,
            keep_days: self.keep_days,
            delivered: if puback { Delivered::Acked } else { Delivered::Receipted },
            reserve_bytes: self.reserve_mb << 20,
            photo_bytes: self.photo_mb << 20,
            photo_days: self.photo_days,
        }
    }
}
