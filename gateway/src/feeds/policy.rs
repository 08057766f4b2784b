//! The feed `policy`: profiles for lanes, one by one or as a pack.
//!
//! An edition that counts from a later time is checked when it comes, and waits in the folder `staged` of the data
//! folder, in the form of a folder of lists. At its time it is taken from there as from any such folder: signature,
//! hash and checks count again, since keys may have gone and the configuration may have changed. Without a confirmed
//! time it goes on waiting. One edition waits at a time; a newer one takes its place, and an edition in use that is newer
//! ends its waiting: so a pack is called back before its time.

use super::plan::{self, Edition};
use super::{FeedRequest, Feeds, HEAD_MAX, Memory};
use crate::config;
use crate::pack::told::{self, PackName, WaitingPack};
use crate::pack::{MANIFEST, Pack, bundle};
use crate::store::{floors, policy};
use kakou_core::evidence::Hash;
use kakou_core::time::rfc3339;
use kakou_link::durable;
use kakou_wire::feed::{self, Head, Part};
use rusqlite::Connection;
use serde_json::json;
use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
        self.lanes_run_by(&|id| policy::profile_in(edition, "main", id).map_err(|e| e.to_string()))
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
        self.tell_pack_in_use();
        let Some(restart) = self.restart.as_ref().filter(|_| !self.followers.is_empty()) else { return };
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
        let put = || -> Result<Pack, String> {
            let mut body = Vec::new();
            source.take(STAGED_MAX + 1).read_to_end(&mut body).map_err(|e| e.to_string())?;
            if body.len() as u64 > STAGED_MAX {
                return Err(format!("more than {STAGED_MAX} bytes cannot wait for a time"));
            }
            if Hash::of(&body).hex() != part.sha256 {
                return Err("its hash is not what was signed".into());
            }
            let pack = bundle::read_pack(&body)?;
            self.lanes_run_by(&|id| Ok(pack.profiles.get(id).map(|(_, text)| text.clone())))?;
            let (folder, io) = (staged(&self.data), |e: std::io::Error| e.to_string());
            self.unstage();
            durable::make_folder(&folder.join("parts")).map_err(io)?;
            durable::write(&folder.join("parts").join(&part.sha256), &body).map_err(io)?;
            durable::write(&self.staged_head(), word).map_err(io)?;
            Ok(pack)
        };
        let pack = match put() {
            Ok(pack) => pack,
            Err(why) => return self.refuse(POLICY, &why),
        };
        self.tell_pack_waits(head, signer, &pack);
        let from = rfc3339(head.from.unwrap_or(head.issued).saturating_mul(1000));
        log::info!("policy version {} waits until {from}", head.version);
        self.record(json!({ "feed": POLICY, "version": head.version, "issued": rfc3339(head.issued * 1000),
            "signer": signer, "from": from }));
    }

    /// Takes what waits, when its time has come; until then it is shown. A body that is no more what was signed waits no
    /// longer, and is asked for again.
    pub(super) fn look_at_staged(&self, memory: &mut Memory) {
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
        let later = self.is_for_later(&head);
        if later && self.pack_is_told(&head) {
            return;
        }
        let (part, body) = match self.staged_body(&head) {
            Ok(there) => there,
            Err(why) => {
                self.refuse(what, &why);
                self.unstage();
                return self.ask_for_policy(memory);
            }
        };
        if later {
            return match bundle::read_pack(&body) {
                Ok(pack) => self.tell_pack_waits(&head, &signer, &pack),
                // A later version of this program may know more of what is wrong.
                Err(why) => {
                    self.refuse(what, &why);
                    self.unstage();
                }
            };
        }
        self.apply(&head, &signer, part, body.as_slice(), &mut |_| {});
        // What was given up for the end of the daemon is taken at its next start.
        if !self.end.is_cancelled() {
            self.unstage();
        }
    }

    /// The body that waits, if it is what was signed.
    fn staged_body<'a>(&self, head: &'a Head) -> Result<(&'a Part, Vec<u8>), String> {
        let part = head.part_from(None).ok_or("it has no snapshot")?;
        let place = staged(&self.data).join("parts").join(&part.sha256);
        let body = durable::read_small(&place, STAGED_MAX).map_err(|e| format!("its body: {e}"))?;
        if Hash::of(&body).hex() != part.sha256 {
            return Err("its body is damaged: its hash is not what was signed".into());
        }
        Ok((part, body))
    }

    /// It comes again from where it came from: the folder, the USB drive, or the broker, which sends the head that it
    /// keeps to whoever subscribes.
    fn ask_for_policy(&self, memory: &mut Memory) {
        for place in [&self.folder, &self.usb_drive] {
            memory.seen.forget(&place.join(format!("{POLICY}.feed")));
        }
        self.wish(FeedRequest::Subscribe(feed::head_topic(POLICY)));
    }

    /// Whether screens show already that it waits, beside what is in use now.
    fn pack_is_told(&self, head: &Head) -> bool {
        let told = self.packs.borrow().waiting.clone();
        told.is_some_and(|told| told.name.version == head.version && told.beside == self.in_use(POLICY))
    }

    /// Screens show that a pack waits, from when it counts and what it changes.
    fn tell_pack_waits(&self, head: &Head, signer: &str, pack: &Pack) {
        let before = policy::entries(&self.data).map_err(|e| e.to_string());
        let before = before.and_then(|entries| bundle::pack_of(&entries.unwrap_or_default()));
        let before = before.unwrap_or_else(|e| {
            log::warn!("what the new policy changes is told beside the shipped profiles: {e}");
            Pack::default()
        });
        let (changes, more) = told::changes(&before, pack, &self.followers);
        let waiting = WaitingPack {
            name: PackName::of(head.version, pack.manifest.as_ref()),
            issued: rfc3339(head.issued.saturating_mul(1000)),
            from: rfc3339(head.from.unwrap_or(head.issued).saturating_mul(1000)),
            signer: signer.to_owned(),
            changes,
            more,
            beside: self.in_use(POLICY),
        };
        self.packs.send_modify(|packs| packs.waiting = Some(Arc::new(waiting)));
    }

    /// Screens show which pack is in use.
    pub(super) fn tell_pack_in_use(&self) {
        let manifest = policy::file(&self.data, MANIFEST);
        let in_use = self.in_use(POLICY).map(|version| PackName::read(version, manifest.as_deref()));
        self.packs.send_modify(|packs| packs.in_use = in_use);
    }

    fn unstage(&self) {
        // The head first: without it, a body is nothing.
        let gone = |result: std::io::Result<()>| match result {
            Err(e) if e.kind() != ErrorKind::NotFound => log::warn!("{}: {e}", self.data.display()),
            Ok(()) | Err(_) => {}
        };
        gone(std::fs::remove_file(self.staged_head()));
        gone(std::fs::remove_dir_all(staged(&self.data)));
        self.packs.send_if_modified(|packs| packs.waiting.take().is_some());
    }
}
