//! Photographs at the central side: put together from their chunks, kept under their hash.
//!
//! A chunk is taken only behind the one before it, so that a file always holds a beginning. The
//! answer that all is there goes out when the hash fits and the file is durable. No gateway pushes out what another
//! one has begun: each has [`HALVES`] at once, and so many bytes a day.

use super::From;
use super::bulk::Rights;
use kakou_gateway::store::photos::Photos;
use kakou_link::clock::Clock;
use kakou_link::durable;
use kakou_wire::photo::{CHUNK, MAX_BYTES};
use kakou_wire::receipt::PhotoReceipt;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Photographs of one gateway that are put together at once, as many as it has on their way; beyond it the one that
/// was touched longest ago is dropped, and begins anew.
const HALVES: usize = 8;
/// The same of all gateways. When all are taken a new one waits until another is old.
const ALL: usize = 65_536;
/// A half that nothing was added to for so long is dropped, and begins anew.
const OLD: Duration = Duration::from_secs(120);
/// What a gateway may bring counts for so long.
const DAY: Duration = Duration::from_secs(86_400);
/// What a gateway may bring a day, unless somebody says otherwise, in bytes: some 27,000 photographs of 300 KB.
pub const QUOTA: u64 = 8 << 30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Init {
    bytes: usize,
    chunks: u32,
    chunk_bytes: usize,
}

struct Half {
    /// What has come, in a file of its own.
    file: PathBuf,
    size: usize,
    have: u32,
    of: u32,
    touched: Instant,
    /// Whether an address was given for it.
    put: bool,
}

/// What a gateway has brought since a moment.
struct Brought {
    since: Instant,
    bytes: u64,
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
    /// The gateway has brought what it may.
    #[error(
        "{0}/{1} has brought {2} MiB within a day: its photographs wait; --photo-quota-mb says how much may come"
    )]
    Quota(String, String, u64),
    /// Too many at once.
    #[error("{ALL} photographs are half there: this one waits")]
    Full,
    /// It cannot be kept.
    #[error("the photograph cannot be kept: {0}")]
    Io(#[from] std::io::Error),
}

/// Takes photographs.
pub struct PhotoIntake {
    photos: Photos,
    halves: BTreeMap<(From, String), Half>,
    brought: BTreeMap<From, Brought>,
    /// Where halves lie.
    folder: PathBuf,
    /// The name of the next one.
    next: u64,
    looked: Instant,
    /// Where photographs may be put by HTTPS instead.
    pub rights: Option<Rights>,
    /// What each gateway may bring a day, in bytes.
    pub quota: u64,
}

impl PhotoIntake {
    /// Keeps them in a folder.
    pub fn open(folder: &Path) -> Result<Self, kakou_gateway::store::StoreError> {
        std::fs::create_dir_all(folder).map_err(kakou_gateway::store::io_at(folder))?;
        let photos = Photos::open(folder)?;
        let halves = folder.join("halves");
        // Nobody knows any more what those of an earlier run are.
        match std::fs::remove_dir_all(&halves) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(kakou_gateway::store::io_at(&halves)(e));
            }
            Ok(()) | Err(_) => {}
        }
        durable::make_folder(&halves).map_err(kakou_gateway::store::io_at(&halves))?;
        Ok(Self {
            photos,
            halves: BTreeMap::new(),
            brought: BTreeMap::new(),
            folder: halves,
            next: 0,
            looked: Instant::now(),
            rights: None,
            quota: QUOTA,
        })
    }

    /// Takes a message; the answer, if it is due.
    pub async fn take(
        &mut self,
        from: &From,
        sha256: &str,
        part: &str,
        payload: &[u8],
    ) -> Result<Option<PhotoReceipt>, BadPhoto> {
        self.take_at(Instant::now(), (from, sha256), part, payload).await
    }

    async fn take_at(
        &mut self,
        now: Instant,
        (from, sha256): (&From, &str),
        part: &str,
        payload: &[u8],
    ) -> Result<Option<PhotoReceipt>, BadPhoto> {
        let path = self.photos.path(sha256).ok_or_else(|| BadPhoto::Hash(sha256.to_owned()))?;
        let key = (from.clone(), sha256.to_owned());
        let answer = |have, of| Some(PhotoReceipt { photo: sha256.to_owned(), have, of, put: None });
        if part == "init" {
            let init: Init = serde_json::from_slice(payload)?;
            let chunks = init.bytes.div_ceil(CHUNK);
            if init.chunk_bytes != CHUNK
                || !(1..=MAX_BYTES).contains(&init.bytes)
                || chunks != init.chunks as usize
            {
                return Err(BadPhoto::Size(init.bytes, init.chunks, init.chunk_bytes));
            }
            if path.exists() {
                return Ok(answer(init.chunks, init.chunks));
            }
            return self.begin(now, key, &init).map(Some);
        }
        let n: u32 = part.parse().map_err(|_| BadPhoto::Part(part.to_owned()))?;
        // A chunk of a photograph that is not known any more is asked for by the next `init`.
        let Some(half) = self.halves.get_mut(&key).filter(|h| h.have == n && h.have < h.of) else {
            return Ok(None);
        };
        let wanted = CHUNK.min(half.size - half.have as usize * CHUNK);
        if payload.len() != wanted {
            return Err(BadPhoto::Size(half.size, half.of, payload.len()));
        }
        half.touched = now;
        let file = half.file.clone();
        self.charge(now, from, payload.len() as u64)?;
        let written = append(&file, payload).await;
        let Some(half) = self.halves.get_mut(&key).filter(|_| written.is_ok()) else {
            // Part of it may be in the file: it begins anew.
            self.drop_half(&key);
            return written.map(|()| None).map_err(BadPhoto::Io);
        };
        half.have = n + 1;
        if half.have < half.of {
            return Ok(None);
        }
        let of = half.of;
        let photos = self.photos.clone();
        let name = sha256.to_owned();
        let saved = tokio::task::spawn_blocking(move || photos.adopt(&name, &file)).await;
        self.drop_half(&key);
        match saved.map_err(std::io::Error::other)?? {
            true => Ok(answer(of, of)),
            // The bytes are not those of the hash: all of it once more.
            false => Ok(answer(0, of)),
        }
    }

    /// A photograph is offered.
    fn begin(&mut self, now: Instant, key: (From, String), init: &Init) -> Result<PhotoReceipt, BadPhoto> {
        self.tidy(now);
        let (from, photo) = key.clone();
        // One that would find no room is not begun.
        let brought = self.brought.get(&from).map_or(0, |b| b.bytes);
        if brought >= self.quota {
            return Err(self.over(&from));
        }
        let half = match self.halves.get_mut(&key) {
            // Of another size than was said before: it begins anew.
            Some(half) if half.size == init.bytes => half,
            Some(_) | None => {
                self.drop_half(&key);
                self.make_room(&from)?;
                self.next += 1;
                let file = self.folder.join(self.next.to_string());
                let half =
                    Half { file, size: init.bytes, have: 0, of: init.chunks, touched: now, put: false };
                self.halves.entry(key).or_insert(half)
            }
        };
        half.touched = now;
        let (have, of) = (half.have, half.of);
        let mut put = None;
        if let Some(rights) = &self.rights {
            let first = !std::mem::replace(&mut half.put, true);
            let now_s = Clock::system().now().wall_s().unwrap_or(0);
            put = Some(rights.photo(&photo, init.bytes, now_s));
            if first {
                self.charge(now, &from, init.bytes as u64)?;
            }
        }
        Ok(PhotoReceipt { photo, have, of, put })
    }

    fn over(&self, from: &From) -> BadPhoto {
        BadPhoto::Quota(from.site.to_string(), from.gateway.to_string(), self.quota >> 20)
    }

    /// A gateway brings so much.
    fn charge(&mut self, now: Instant, from: &From, bytes: u64) -> Result<(), BadPhoto> {
        let brought = self.brought.entry(from.clone()).or_insert(Brought { since: now, bytes: 0 });
        let sum = brought.bytes.saturating_add(bytes);
        if sum > self.quota {
            // From here on it waits, whatever the size of the next.
            brought.bytes = self.quota;
            return Err(self.over(from));
        }
        brought.bytes = sum;
        Ok(())
    }

    fn drop_half(&mut self, key: &(From, String)) {
        if let Some(half) = self.halves.remove(key) {
            // One without a chunk has no file, and one that is complete none any more.
            drop(std::fs::remove_file(half.file));
        }
    }

    /// Drops what is old; once in a while, as it looks at everything.
    fn tidy(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) < OLD / 4 {
            return;
        }
        self.looked = now;
        let old = |h: &Half| now.saturating_duration_since(h.touched) > OLD;
        let gone: Vec<_> = self.halves.iter().filter(|(_, h)| old(h)).map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| self.drop_half(key));
        self.brought.retain(|_, b| now.saturating_duration_since(b.since) < DAY);
    }

    /// Room for one more of a gateway, at its own cost.
    fn make_room(&mut self, from: &From) -> Result<(), BadPhoto> {
        let own = || {
            let first = (from.clone(), String::new());
            self.halves.range(first..).take_while(|((whose, _), _)| whose == from)
        };
        if own().count() >= HALVES {
            let oldest = own().min_by_key(|(_, h)| h.touched).map(|(key, _)| key.clone());
            oldest.iter().for_each(|key| self.drop_half(key));
        }
        if self.halves.len() >= ALL { Err(BadPhoto::Full) } else { Ok(()) }
    }
}

/// Adds to a file that nobody else reads.
async fn append(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = tokio::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(file).await?;
    file.write_all(bytes).await?;
    file.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::evidence::Hash;
    use kakou_core::ids::{GatewayId, SiteId};

    #[tokio::test]
    async fn a_photograph_is_complete_when_every_chunk_is_there_and_the_hash_fits() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = PhotoIntake::open(folder.path()).unwrap();
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

    #[tokio::test]
    async fn a_gateway_brings_no_more_than_its_quota_and_keeps_nothing_half_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let mut desk = PhotoIntake::open(folder.path()).unwrap();
        desk.quota = 4 * CHUNK as u64;
        let from = |gateway: &str| From {
            site: SiteId::new("s").unwrap(),
            gateway: GatewayId::new(gateway).unwrap(),
        };
        let (bad, good, begun) = (from("bad"), from("good"), Instant::now());
        let init = format!(r#"{{"bytes":{},"chunks":3,"chunk_bytes":{CHUNK}}}"#, CHUNK * 3);
        let hash = |n: u8| Hash::of(&[n]).hex();
        let chunk = vec![7; CHUNK];
        let files = || std::fs::read_dir(folder.path().join("halves")).unwrap().count();
        for n in 0..20 {
            desk.take_at(begun, (&good, &hash(n)), "init", init.as_bytes()).await.unwrap();
        }
        assert_eq!(desk.halves.len(), HALVES);
        for n in 0..4 {
            desk.take_at(begun, (&bad, &hash(n)), "init", init.as_bytes()).await.unwrap();
            desk.take_at(begun, (&bad, &hash(n)), "0", &chunk).await.unwrap();
        }
        assert_eq!(files(), 4);
        let more = desk.take_at(begun, (&bad, &hash(0)), "1", &chunk).await;
        assert!(matches!(more, Err(BadPhoto::Quota(..))), "{more:?}");
        let more = desk.take_at(begun, (&bad, &hash(9)), "init", init.as_bytes()).await;
        assert!(matches!(more, Err(BadPhoto::Quota(..))), "{more:?}");
        assert!(desk.take_at(begun, (&good, &hash(19)), "0", &chunk).await.is_ok(), "its own is its own");
        let later = begun + OLD + Duration::from_secs(1);
        let answer = desk.take_at(later, (&good, &hash(19)), "init", init.as_bytes()).await.unwrap();
        assert_eq!((answer.map(|a| a.have), desk.halves.len(), files()), (Some(0), 1, 0), "all were old");
        let tomorrow = begun + DAY;
        assert!(desk.take_at(tomorrow, (&bad, &hash(9)), "init", init.as_bytes()).await.is_ok());
        // An address for the whole counts as the whole.
        desk.rights = Some(Rights::new(&[7; 32], "https://bulk.example"));
        assert!(desk.take_at(tomorrow, (&bad, &hash(1)), "init", init.as_bytes()).await.unwrap().is_some());
        let again = desk.take_at(tomorrow, (&bad, &hash(1)), "init", init.as_bytes()).await.unwrap();
        assert!(again.unwrap().put.is_some(), "the same once more costs nothing");
        let more = desk.take_at(tomorrow, (&bad, &hash(2)), "init", init.as_bytes()).await;
        assert!(matches!(more, Err(BadPhoto::Quota(..))), "{more:?}");
    }

    /// What this program holds in memory, in bytes.
    fn memory() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    #[tokio::test]
    async fn half_photographs_of_one_gateway_cost_no_memory_and_push_out_nobody_elses() {
        // Alone in a process: what it holds is compared, and other tests hold something as well.
        if std::env::var_os("KAKOU_TEST_ALONE").is_none() {
            let own = "half_photographs_of_one_gateway_cost_no_memory_and_push_out_nobody_elses";
            let name = format!("{}::{own}", module_path!().split_once("::").unwrap().1);
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let done = alone.args(["--exact", &name]).env("KAKOU_TEST_ALONE", "1").output().unwrap();
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(done.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut desk = PhotoIntake::open(folder.path()).unwrap();
        let from = |gateway: &str| From {
            site: SiteId::new("s").unwrap(),
            gateway: GatewayId::new(gateway).unwrap(),
        };
        let init = format!(r#"{{"bytes":{},"chunks":2,"chunk_bytes":{CHUNK}}}"#, CHUNK + 5);
        let chunk = vec![7; CHUNK];
        let honest = Hash::of(b"honest").hex();
        desk.take(&from("good"), &honest, "init", init.as_bytes()).await.unwrap();
        desk.take(&from("good"), &honest, "0", &chunk).await.unwrap();
        let before = memory();
        for n in 0..5_000_u32 {
            let sha256 = Hash::of(&n.to_le_bytes()).hex();
            desk.take(&from("bad"), &sha256, "init", init.as_bytes()).await.unwrap();
            desk.take(&from("bad"), &sha256, "0", &chunk).await.unwrap();
        }
        let grown = memory().saturating_sub(before);
        assert!(grown < 16 << 20, "{grown} bytes");
        let answer = desk.take(&from("good"), &honest, "init", init.as_bytes()).await.unwrap();
        assert_eq!(answer.map(|a| a.have), Some(1), "the half of another gateway is still there");
    }
}
