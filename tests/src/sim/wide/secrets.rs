//! Looks for what is said of people where it must not be: in messages, in the log, in every file of the data folder but
//! the lists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How many bytes of a secret lead to it.
const HEAD: usize = 4;
/// No secret begins in so many bytes that are 0.
const EMPTY: usize = 16;
/// What is compared with what was there before.
const PIECE: usize = 4_096;

/// What is looked for.
pub struct Secrets {
    all: Vec<(&'static str, Vec<u8>)>,
    /// Where two bytes begin a secret.
    begins: Vec<u64>,
    by_head: std::collections::HashMap<[u8; HEAD], Vec<usize>>,
    /// A secret may begin so far before what has changed, and end so far behind it.
    longest: usize,
    /// What was found to hold none, by file.
    clean: BTreeMap<PathBuf, Vec<u8>>,
}

impl Secrets {
    /// Looks for these.
    pub fn new(all: Vec<(&'static str, Vec<u8>)>) -> Self {
        let mut begins = vec![0_u64; 1 << 10];
        let mut by_head: std::collections::HashMap<_, Vec<usize>> = std::collections::HashMap::new();
        for (n, (_, secret)) in all.iter().enumerate() {
            let Some(head) = secret.first_chunk::<HEAD>() else { continue };
            let at = usize::from(u16::from_be_bytes([head[0], head[1]]));
            begins[at / 64] |= 1 << (at % 64);
            by_head.entry(*head).or_default().push(n);
        }
        let longest = all.iter().map(|(_, secret)| secret.len()).max().unwrap_or(0);
        Self { all, begins, by_head, longest, clean: BTreeMap::new() }
    }

    /// What of it lies in some bytes.
    fn find(&self, bytes: &[u8]) -> Option<(usize, &(&'static str, Vec<u8>))> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEAD) {
            // Most of a journal is empty.
            if rest.first_chunk() == Some(&[0; EMPTY]) {
                at += EMPTY;
                continue;
            }
            let n = usize::from(rest[0]) << 8 | usize::from(rest[1]);
            let begins = self.begins[n / 64] >> (n % 64) & 1 == 1;
            let found = rest.first_chunk::<HEAD>().filter(|_| begins).and_then(|head| self.by_head.get(head));
            if let Some(n) = found.and_then(|found| found.iter().find(|n| rest.starts_with(&self.all[**n].1)))
            {
                return Some((at, &self.all[*n]));
            }
            at += 1;
        }
        None
    }

    /// Nothing of it lies in some bytes.
    pub fn none_in(&self, what: &str, bytes: &[u8]) -> Result<(), String> {
        let found = self.find(bytes);
        found.map_or(Ok(()), |(at, (kind, secret))| Err(said(what, kind, bytes, at, secret)))
    }

    /// Nothing of it lies in some bytes, but codes.
    fn none_but_codes_in(&self, what: &str, bytes: &[u8]) -> Result<(), String> {
        let mut from = 0;
        while let Some((at, (kind, secret))) = self.find(&bytes[from..]) {
            if !kind.ends_with("code of a person") {
                return Err(said(what, kind, bytes, from + at, secret));
            }
            from += at + secret.len();
        }
        Ok(())
    }

    /// Nothing of it lies in a folder, but in its lists. Of a file that was looked through before, it is what has changed
    /// that is looked through.
    pub fn none_below(&mut self, folder: &Path) -> Result<u64, String> {
        let mut bytes = 0;
        let entries = std::fs::read_dir(folder).map_err(|e| e.to_string())?;
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            if path.file_name().is_some_and(|name| name == "editions") {
                continue;
            }
            if path.is_dir() {
                bytes += self.none_below(&path)?;
                continue;
            }
            let Ok(content) = std::fs::read(&path) else { continue };
            bytes += content.len() as u64;
            let before = self.clean.remove(&path).unwrap_or_default();
            for part in changed(&before, &content, self.longest) {
                self.none_in_file(&path, &content[part])?;
            }
            self.clean.insert(path, content);
        }
        Ok(bytes)
    }

    fn none_in_file(&self, path: &Path, bytes: &[u8]) -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The code of a visit that is under way is kept with it: it could not go on without.
        if name.starts_with("journal.db") {
            self.none_but_codes_in(&name, bytes)
        } else {
            self.none_in(&name, bytes)
        }
    }
}

/// Where a file has changed, and so far around it.
fn changed(before: &[u8], now: &[u8], around: usize) -> Vec<std::ops::Range<usize>> {
    let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
    for (n, piece) in now.chunks(PIECE).enumerate() {
        let from = n * PIECE;
        if before.get(from..from + piece.len()) == Some(piece) {
            continue;
        }
        let part = from.saturating_sub(around)..(from + piece.len() + around).min(now.len());
        match parts.last_mut().filter(|last| last.end >= part.start) {
            Some(last) => last.end = part.end,
            None => parts.push(part),
        }
    }
    parts
}

fn said(what: &str, kind: &str, bytes: &[u8], at: usize, secret: &[u8]) -> String {
    let around = &bytes[at.saturating_sub(80)..(at + secret.len() + 20).min(bytes.len())];
    format!("{kind} lies in {what}: …{}…", String::from_utf8_lossy(around))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_looked_through_with_what_touches_it() {
        let mut secrets = Secrets::new(vec![("a name", "欧阳山".into())]);
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![b'.'; 5 * PIECE];
        let mut none_in = |bytes: &[u8]| {
            std::fs::write(folder.path().join("file"), bytes).unwrap();
            secrets.none_below(folder.path()).is_ok()
        };
        // Its first half was there before; the other comes in the next piece.
        bytes[2 * PIECE - 4..2 * PIECE].copy_from_slice(&"欧阳山".as_bytes()[..4]);
        assert!(none_in(&bytes));
        bytes[2 * PIECE..2 * PIECE + 5].copy_from_slice(&"欧阳山".as_bytes()[4..]);
        assert!(!none_in(&bytes));
        assert!(changed(&bytes, &bytes, 9).is_empty());
        let longer = changed(&bytes[..PIECE], &bytes[..PIECE + 7], 9);
        assert_eq!((longer.len(), longer.first()), (1, Some(&(PIECE - 9..PIECE + 7))));
    }

    #[test]
    fn a_name_is_found_wherever_it_lies() {
        let secrets = Secrets::new(vec![("a name", "欧阳山".into()), ("an id", b"211402".to_vec())]);
        assert!(secrets.none_in("a", "欧阳欧阳 21140".as_bytes()).is_ok());
        assert!(secrets.none_in("a", "欧欧阳山".as_bytes()).is_err() && secrets.find(b"x211402").is_some());
    }
}
