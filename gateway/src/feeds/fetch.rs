//! A body on its way from the broker: chunks of a group come in any order, the file grows in order.
//!
//! What is there of a body survives a restart and a lost connection: the file says how far it is.

use kakou_link::durable;
use kakou_wire::feed::{CHUNK, GROUP, Head, Part};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A body on its way.
pub struct Fetch {
    /// What it leads to.
    pub head: Head,
    /// Who signed it.
    pub signer: String,
    /// The body.
    pub part: Part,
    path: PathBuf,
    file: File,
    have: u32,
    early: BTreeMap<u32, Vec<u8>>,
}

impl Fetch {
    /// Takes up where an earlier attempt ended. What is there of another body of the feed is not needed
    /// again.
    pub fn begin(folder: &Path, head: Head, signer: String, part: Part) -> io::Result<Self> {
        durable::make_folder(folder)?;
        let path = folder.join(format!("{}-{}.part", head.feed, part.sha256));
        for file in std::fs::read_dir(folder)?.flatten() {
            let of_feed = file.file_name().to_string_lossy().starts_with(&format!("{}-", head.feed));
            if of_feed && file.path() != path {
                std::fs::remove_file(file.path())?;
            }
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let there = file.metadata()?.len().min(part.bytes);
        let whole = there / CHUNK as u64;
        let have = if there == part.bytes { Head::chunks(&part) } else { u32::try_from(whole).unwrap_or(0) };
        if there < part.bytes {
            file.set_len(whole * CHUNK as u64)?;
        }
        Ok(Self { head, signer, part, path, file, have, early: BTreeMap::new() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Chunks that are there, and all of them.
    pub fn progress(&self) -> (u32, u32) {
        (self.have, Head::chunks(&self.part))
    }
    /// Whether all is there.
    pub fn whole(&self) -> bool {
        self.have >= Head::chunks(&self.part)
    }

    /// Takes a chunk, if it is one of the group that is wanted.
    pub fn chunk(&mut self, sha256: &str, n: u32, bytes: &[u8]) -> io::Result<()> {
        let of = Head::chunks(&self.part);
        let left = self.part.bytes.saturating_sub(u64::from(n) * CHUNK as u64);
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
        let group = self.have / GROUP;
        if sha256 != self.part.sha256 || n >= of || n < self.have || n / GROUP != group || bytes.len() != size
        {
            return Ok(());
        }
        self.early.insert(n, bytes.to_vec());
        while let Some(bytes) = self.early.remove(&self.have) {
            self.file.write_all(&bytes)?;
            self.have += 1;
        }
        if self.whole() {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(bytes: u64) -> (Head, Part) {
        let part = Part { base: None, sha256: "a".repeat(64), bytes };
        (
            Head {
                feed: "status".into(),
                version: 1,
                issued: 0,
                parts: vec![part.clone()],
                at: None,
                from: None,
                canary: vec![],
            },
            part,
        )
    }

    #[test]
    fn what_is_there_of_an_older_body_goes_and_other_feeds_keep_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let begin = |feed: &str, sha256: &str| {
            let (mut head, mut part) = head(CHUNK as u64 * 2);
            head.feed = feed.into();
            part.sha256 = sha256.repeat(64);
            let mut fetch = Fetch::begin(folder.path(), head, String::new(), part.clone()).unwrap();
            fetch.chunk(&part.sha256, 0, &[0; CHUNK]).unwrap();
        };
        begin("status", "a");
        begin("hold", "b");
        begin("status", "c");
        let mut left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        left.sort();
        let name = |feed: &str, sha256: &str| format!("{feed}-{}.part", sha256.repeat(64));
        assert_eq!(left, [name("hold", "b").as_str(), name("status", "c").as_str()]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// Chunks in any order, twice, with a restart at any time: the file is the body.
        #[test]
        fn a_body_is_put_together_whatever_comes(
            size in 0_u64..3 * 1024 * 1024, seed in any::<u64>(), restarts in prop::collection::vec(0_usize..120, 0..3)
        ) {
            let folder = tempfile::tempdir().unwrap();
            let body: Vec<u8> = (0..size).map(|i| i.wrapping_mul(seed | 1).to_le_bytes()[1]).collect();
            let (head, part) = head(size);
            let begin = || Fetch::begin(folder.path(), head.clone(), String::new(), part.clone()).unwrap();
            let mut fetch = begin();
            let mut steps = 0;
            let mut random = seed | 1;
            while !fetch.whole() {
                steps += 1;
                prop_assert!(steps < 100_000);
                if restarts.contains(&steps) {
                    fetch = begin();
                }
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let group = fetch.progress().0 / GROUP;
                let n = group * GROUP + u32::try_from(random % u64::from(GROUP)).unwrap();
                let chunk = body.chunks(CHUNK).nth(n as usize).unwrap_or_default();
                fetch.chunk(&part.sha256, n, chunk).unwrap();
            }
            prop_assert_eq!(std::fs::read(fetch.path()).unwrap(), body);
            prop_assert!(begin().whole());
        }
    }
}
