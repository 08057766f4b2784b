//! The feed `policy`: profiles for lanes, one by one or as a pack.
//!
//! An edition that counts from a later time is checked when it comes, and waits in the folder `staged` of the data
//! folder, in the form of a folder of lists. At its time it is taken from there as from any such folder: signature,
//! hash and checks count again, since keys may have gone and the configuration may have changed. Without a confirmed
//! time it goes on waiting. One edition waits at a time; a newer one takes its place, and an edition in use that is newer
//! ends its waiting: so a pack is called back before its time.

use super::plan::{self, Edition};
use super::{Feeds, HEAD_MAX};
use crate::config;
use crate::store::{floors, lists};
use kakou_core::evidence::Hash;
use kakou_core::time::rfc3339;
use kakou_link::durable;
use kakou_wire::feed::{Head, Part};
use rusqlite::Connection;
use serde_json::json;
use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The feed.
pub const POLICY: &str = "policy";
/// A body that is larger waits for no time.
const STAGED_MAX: u64 = 32 << 20;

/// Finds the text of a profile in an edition that is not in use.
type Find<'a> = &'a dyn Fn(&str) -> Result<Option<String>, String>;

/// Where an edition waits for its time.
pub fn staged(data: &Path) -> PathBuf {
    data.join("staged")
}

impl Feeds {
    /// The lanes of this gateway must be able to run by a new policy: with the configuration in use, and with
    /// that which follows when this one is given up.
    pub(super) fn policy_fits(&self, edition: &Connection) -> Result<(), String> {
        self.lanes_run_by(&|id| lists::profile(edition, "main", id).map_err(|e| e.to_string()))
    }

    fn lanes_run_by(&self, find: Find<'_>) -> Result<(), String> {
        let (file, text) = &self.config;
        let unreadable = RefCell::new(None);
        let policy = |id: &str| {
            let found = find(id).inspect_err(|e| *unreadable.borrow_mut() = Some(e.clone()));
            found.ok().flatten()
        };
        let fits = |text: &str| {
            let read = config::read_with(text, file, &policy).map(drop).map_err(|e| e.to_string());
            unreadable.take().map_or(read, Err)
        };
        fits(text)?;
        match config::remote::behind(file, &self.data) {
            Some(behind) if behind != *text => fits(&behind),
            Some(_) | None => Ok(()),
        }
    }

    /// Lanes whose profile comes from the feed take it up: the daemon starts anew in its place.
    pub(super) fn follow_policy(&self) {
        let Some(restart) = self.restart.as_ref().filter(|_| self.follows_policy) else { return };
        log::info!("a new policy: the lanes take it up");
        if restart.try_send(()).is_err() {
            log::debug!("the daemon starts anew already");
        }
    }

    /// Whether an edition counts later. Without a confirmed time that is not known, and it waits.
    pub(super) fn is_for_later(&self, head: &Head) -> bool {
        head.from.is_some_and(|from| self.now_s().is_none_or(|now| now < from))
    }

    /// Whether this edition waits here already.
    pub(super) fn is_staged(&self, head: &Head) -> bool {
        let of = |word: Vec<u8>| self.open(POLICY, &word).map(|(head, _)| head.version);
        head.feed == POLICY
            && durable::read_small(&self.staged_head(), HEAD_MAX).ok().and_then(of) == Some(head.version)
    }

    fn staged_head(&self) -> PathBuf {
        staged(&self.data).join(format!("{POLICY}.feed"))
    }

    /// Puts an edition aside until its time, if the lanes can run by it; the body first, so that a head never lies there
    /// without.
    pub(super) fn stage(&self, (head, signer): (&Head, &str), word: &[u8], part: &Part, source: impl Read) {
        let put = || -> Result<(), String> {
            let mut body = Vec::new();
            source.take(STAGED_MAX + 1).read_to_end(&mut body).map_err(|e| e.to_string())?;
            if body.len() as u64 > STAGED_MAX {
                return Err(format!("more than {STAGED_MAX} bytes cannot wait for a time"));
            }
            if Hash::of(&body).hex() != part.sha256 {
                return Err("its hash is not what was signed".into());
            }
            let entries = crate::pack::bundle::profiles(&body)?;
            self.lanes_run_by(&|id| Ok(entries.get(id).cloned()))?;
            let (folder, io) = (staged(&self.data), |e: std::io::Error| e.to_string());
            self.unstage();
            durable::make_folder(&folder.join("parts")).map_err(io)?;
            durable::write(&folder.join("parts").join(&part.sha256), &body).map_err(io)?;
            durable::write(&self.staged_head(), word).map_err(io)
        };
        if let Err(why) = put() {
            return self.refuse(POLICY, &why);
        }
        let from = rfc3339(head.from.unwrap_or(head.issued).saturating_mul(1000));
        log::info!("policy version {} waits until {from}", head.version);
        self.record(json!({ "feed": POLICY, "version": head.version, "issued": rfc3339(head.issued * 1000),
            "signer": signer, "from": from }));
    }

    /// Takes what waits, when its time has come.
    pub(super) fn look_at_staged(&self) {
        let what = "the policy that waited";
        let word = match durable::read_small(&self.staged_head(), HEAD_MAX) {
            Ok(word) => word,
            Err(e) if e.kind() == ErrorKind::NotFound => return,
            Err(e) => {
                self.refuse(what, &e.to_string());
                return self.unstage();
            }
        };
        let Some((head, signer)) = self.open(what, &word) else { return self.unstage() };
        let newest = match floors::version(&self.data, POLICY) {
            Ok(newest) => newest,
            Err(e) => return self.refuse(what, &e.to_string()),
        };
        if plan::judge(head.version, self.in_use(POLICY), newest) != Edition::News {
            log::info!("policy version {} waits no longer: that or a newer one is in use", head.version);
            return self.unstage();
        }
        if self.is_for_later(&head) {
            return;
        }
        let Some(part) = head.part_from(None) else {
            self.refuse(what, "it has no snapshot");
            return self.unstage();
        };
        match File::open(staged(&self.data).join("parts").join(&part.sha256)) {
            Ok(body) => self.apply(&head, &signer, part, BufReader::new(body.take(part.bytes)), &mut |_| {}),
            Err(e) => self.refuse(what, &e.to_string()),
        }
        // What was given up for the end of the daemon is taken at its next start.
        if !self.end.is_cancelled() {
            self.unstage();
        }
    }

    fn unstage(&self) {
        // The head first: without it, a body is nothing.
        let gone = |result: std::io::Result<()>| match result {
            Err(e) if e.kind() != ErrorKind::NotFound => log::warn!("{}: {e}", self.data.display()),
            Ok(()) | Err(_) => {}
        };
        gone(std::fs::remove_file(self.staged_head()));
        gone(std::fs::remove_dir_all(staged(&self.data)));
    }
}
