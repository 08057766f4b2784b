//! Photographs at the central side: put together from their chunks, kept under their hash.
//!
//! A chunk is taken only behind the one before it, so that a file always holds a beginning. The
//! answer that all is there goes out when the hash fits and the file is durable.

use super::From;
use super::bulk::Rights;
use crate::clock::Clock;
use crate::store::photos::Photos;
use crate::upstream::PhotoReceipt;
use crate::upstream::photos::{CHUNK, MAX_BYTES};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Photographs that are put together at once; beyond it the one that was touched longest ago is
/// dropped, and begins anew.
const OPEN: usize = 4_096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Init {
    bytes: usize,
    chunks: u32,
    chunk_bytes: usize,
}

struct Half {
    bytes: Vec<u8>,
    size: usize,
    have: u32,
    of: u32,
    touched: u64,
}

/// Why a message is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BadPhoto {
    /// Not what announces a photograph.
    #[error("not the beginning of a photograph: {0}")]
    Init(#[from] serde_json::Error),
    /// Sizes that do not fit together, or are too large.
    #[error("the sizes of a photograph do not fit: {0} bytes in {1} chunks of {2}")]
    Size(usize, u32, usize),
    /// Neither `init` nor a number.
    #[error("`{0}` is not a chunk")]
    Part(String),
    /// Not a hash.
    #[error("`{0}` is not a SHA-256")]
    Hash(String),
    /// It cannot be kept.
    #[error("the photograph cannot be kept: {0}")]
    Io(#[from] std::io::Error),
}

/// Takes photographs.
pub struct Desk {
    photos: Photos,
    halves: BTreeMap<(From, String), Half>,
    clock: u64,
    /// Where photographs may be put by HTTPS instead.
    pub rights: Option<Rights>,
}

impl Desk {
    /// Keeps them in a folder.
    pub fn open(folder: &Path) -> Result<Self, crate::store::StoreError> {
        std::fs::create_dir_all(folder).map_err(crate::store::io_at(folder))?;
        Ok(Self { photos: Photos::open(folder)?, halves: BTreeMap::new(), clock: 0, rights: None })
    }

    /// Takes a message; the answer, if it is due.
    pub async fn take(
        &mut self,
        from: &From,
        sha256: &str,
        part: &str,
        payload: &[u8],
    ) -> Result<Option<PhotoReceipt>, BadPhoto> {
        let path = self.photos.path(sha256).ok_or_else(|| BadPhoto::Hash(sha256.to_owned()))?;
        self.clock += 1;
        let key = (from.clone(), sha256.to_owned());
        let answer = |have, of| Some(PhotoReceipt { photo: sha256.to_owned(), have, of, put: None });
        if part == "init" {
            let init: Init = serde_json::from_slice(payload)?;
            let chunks = init.bytes.div_ceil(CHUNK);
            if init.chunk_bytes != CHUNK || init.bytes > MAX_BYTES || chunks != init.chunks as usize {
                return Err(BadPhoto::Size(init.bytes, init.chunks, init.chunk_bytes));
            }
            if path.exists() {
                return Ok(answer(init.chunks, init.chunks));
            }
            let clock = self.clock;
            let half = self.halves.entry(key).or_insert_with(|| Half {
                bytes: Vec::new(),
                size: init.bytes,
                have: 0,
                of: init.chunks,
                touched: clock,
            });
            half.touched = clock;
            let have = half.have;
            self.make_room();
            let now_s = Clock::system().now().wall_s().unwrap_or(0);
            let put = self.rights.as_ref().map(|r| r.photo(sha256, init.bytes, now_s));
            return Ok(Some(PhotoReceipt { photo: sha256.to_owned(), have, of: init.chunks, put }));
        }
        let n: u32 = part.parse().map_err(|_| BadPhoto::Part(part.to_owned()))?;
        // A chunk of a photograph that is not known any more is asked for by the next `init`.
        let Some(half) = self.halves.get_mut(&key).filter(|h| h.have == n) else { return Ok(None) };
        let wanted = CHUNK.min(half.size - half.bytes.len());
        if payload.len() != wanted {
            return Err(BadPhoto::Size(half.size, half.of, payload.len()));
        }
        half.bytes.extend_from_slice(payload);
        (half.have, half.touched) = (n + 1, self.clock);
        if half.have < half.of {
            return Ok(None);
        }
        let Some(half) = self.halves.remove(&key) else { return Ok(None) };
        let photos = self.photos.clone();
        let (bytes, of) = (half.bytes, half.of);
        let saved = tokio::task::spawn_blocking(move || photos.save_as(&key.1, &bytes)).await;
        match saved.map_err(std::io::Error::other)?? {
            true => Ok(answer(of, of)),
            // The bytes are not those of the hash: all of it once more.
            false => Ok(answer(0, of)),
        }
    }

    fn make_room(&mut self) {
        while self.halves.len() > OPEN {
            let oldest = self.halves.iter().min_by_key(|(_, h)| h.touched).map(|(k, _)| k.clone());
            if let Some(oldest) = oldest {
                self.halves.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::evidence::Hash;
    use kakou_core::ids::{GatewayId, SiteId};

    #[tokio::test]
    async fn a_photograph_is_complete_when_every_chunk_is_there_and_the_hash_fits() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = Desk::open(folder.path()).unwrap();
        let from = From { site: SiteId::new("s").unwrap(), gateway: GatewayId::new("g").unwrap() };
        let bytes: Vec<u8> = (0..40_000_u32).flat_map(|n| n.to_le_bytes()).take(CHUNK * 2 + 5).collect();
        let sha256 = Hash::of(&bytes).hex();
        let init = format!(r#"{{"bytes":{},"chunks":3,"chunk_bytes":{CHUNK}}}"#, bytes.len());
        let have = |r: Option<PhotoReceipt>| r.map(|r| r.have);
        assert_eq!(have(desk.take(&from, &sha256, "init", init.as_bytes()).await.unwrap()), Some(0));
        let chunk = |n: usize| bytes.chunks(CHUNK).nth(n).unwrap().to_vec();
        assert_eq!(desk.take(&from, &sha256, "1", &chunk(1)).await.unwrap(), None, "not behind chunk 0");
        for n in [0, 0, 1] {
            assert_eq!(desk.take(&from, &sha256, &n.to_string(), &chunk(n)).await.unwrap(), None);
        }
        assert_eq!(have(desk.take(&from, &sha256, "init", init.as_bytes()).await.unwrap()), Some(2));
        assert_eq!(have(desk.take(&from, &sha256, "2", &chunk(2)).await.unwrap()), Some(3));
        assert_eq!(have(desk.take(&from, &sha256, "init", init.as_bytes()).await.unwrap()), Some(3));

        let other = Hash::of(b"other").hex();
        desk.take(&from, &other, "init", init.as_bytes()).await.unwrap();
        desk.take(&from, &other, "0", &chunk(0)).await.unwrap();
        desk.take(&from, &other, "1", &chunk(1)).await.unwrap();
        assert_eq!(have(desk.take(&from, &other, "2", &chunk(2)).await.unwrap()), Some(0), "a wrong hash");
        for (sha256, part, body) in [
            ("../x", "init", init.as_str()),
            (&other, "init", "{}"),
            (&other, "x", ""),
            (&other, "init", r#"{"bytes":9,"chunks":3,"chunk_bytes":16384}"#),
        ] {
            assert!(desk.take(&from, sha256, part, body.as_bytes()).await.is_err());
        }
    }
}
