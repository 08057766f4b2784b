//! The thread that takes lists in, and its ends.

use super::StartError;
use super::common::Common;
use crate::config::Settings;
use crate::feeds::{self, FeedInput, FeedRequest, Feeds, Loading};
use crate::pack::told::Packs;
use kakou_core::pass::trust::TrustList;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// The thread before it runs.
pub struct Prepared {
    /// The way to it.
    pub news: SyncSender<FeedInput>,
    feeds: Feeds,
    heard: Receiver<FeedInput>,
    wishes: mpsc::Receiver<FeedRequest>,
    loading: watch::Receiver<Option<Loading>>,
    /// Which pack is in use, and which one waits.
    pub packs: watch::Receiver<Packs>,
    looked_at: watch::Receiver<bool>,
}

/// The thread that runs.
pub struct Lists {
    /// The way to it.
    pub news: SyncSender<FeedInput>,
    /// What it wants from the central side.
    pub wishes: mpsc::Receiver<FeedRequest>,
    /// What it is loading.
    pub loading: watch::Receiver<Option<Loading>>,
    /// Whether it has looked at what lay in the folder.
    pub looked_at: watch::Receiver<bool>,
    /// Itself.
    pub thread: JoinHandle<()>,
}

/// Makes it ready, with the keys of passes that were in use before.
pub fn prepare(
    common: &Common,
    settings: &Settings,
    restart: Option<mpsc::Sender<()>>,
    end: CancellationToken,
) -> (Prepared, watch::Receiver<Arc<TrustList>>) {
    let signed = settings.fleet_keys.is_some();
    let first = Arc::new(feeds::first_trust(&common.data, &settings.lists, signed));
    let (trust, trust_in_use) = watch::channel(first);
    let (wishing, wishes) = mpsc::channel(feeds::NEWS);
    let (news, heard) = std::sync::mpsc::sync_channel(feeds::NEWS);
    let (load, loading) = watch::channel(None);
    let (tell_packs, packs) = watch::channel(Packs::default());
    let (looked, looked_at) = watch::channel(false);
    let feeds = Feeds {
        data: common.data.clone(),
        folder: settings.lists.clone(),
        usb_drive: settings.usb_drive.clone(),
        keys: settings.fleet_keys.clone(),
        region: settings.region.clone(),
        config: (settings.file.clone(), settings.text.clone()),
        followers: settings.followers(),
        restart,
        clock: common.clock.clone(),
        metrics: common.metrics.clone(),
        engine: common.engine.clone(),
        trust,
        wishes: wishing,
        loading: load,
        packs: tell_packs,
        looked,
        end,
        waiting: Mutex::default(),
    };
    (Prepared { news, feeds, heard, wishes, loading, packs, looked_at }, trust_in_use)
}

impl Prepared {
    /// Runs it.
    pub fn start(self) -> Result<Lists, StartError> {
        let Self { news, feeds, heard, wishes, loading, looked_at, .. } = self;
        let thread = std::thread::Builder::new()
            .name("feeds".into())
            .spawn(move || feeds.run(&heard))
            .map_err(StartError::Thread)?;
        Ok(Lists { news, wishes, loading, looked_at, thread })
    }
}
