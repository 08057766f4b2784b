//! Puts the parts together, and takes them apart in order: intake first, then the engine, then the
//! link upstream.

mod common;
mod lanes;
mod links;
mod lists;

use crate::config::Settings;
use crate::engine::shell::{Shell, Wiring};
use crate::engine::{self, EngineViews, Parts, Work, WorkSender};
use crate::feeds::FeedInput;
use crate::hospital::{self, HospitalSettings};
use crate::http::{self, App, Shared};
use crate::keys::{self, KeyError};
use crate::metrics::Metrics;
use crate::overview::{Overview, Readers};
use crate::store::StoreError;
use crate::upstream::LinkState;
use crate::{devices, enrol, subjects};
use common::Common;
use kakou_core::ids::{DeviceId, LaneId};
use kakou_core::reading::Report;
use kakou_core::text::{Text, trimmed_bytes};
use kakou_drivers::Gateway;
use lanes::Lanes;
use links::{LinkWatches, Links};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made.
    #[error("{0}: {1}")]
    Data(PathBuf, std::io::Error),
    /// The keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address of the screens.
    #[error("cannot listen on {0}: {1}; is another program there?")]
    Listen(SocketAddr, std::io::Error),
    /// The engine's thread.
    #[error("the engine cannot be started: {0}")]
    Thread(std::io::Error),
}

/// What the caller adds.
#[derive(Clone, Default)]
pub struct Extras {
    /// Pages that are served beside the screens.
    pub pages: axum::Router,
    /// The plug of the network.
    pub plug: Option<watch::Receiver<bool>>,
    /// Starts the daemon anew inside its process.
    pub restart: Option<mpsc::Sender<()>>,
}

/// A daemon that runs.
pub struct Running {
    /// Where the screens are.
    pub address: Option<SocketAddr>,
    /// Where a hospital's system is heard.
    pub hospital: Option<SocketAddr>,
    /// The way to the core.
    pub engine: WorkSender,
    /// What to watch.
    pub views: EngineViews,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The link upstream.
    pub link: watch::Receiver<LinkState>,
    /// Whether what lay in the folder of lists at the start is in use: lanes do not wait for it.
    pub lists_looked_at: watch::Receiver<bool>,
    /// Cancelled when the engine ends by itself: the process must end as well.
    pub failed: CancellationToken,
    intake: CancellationToken,
    outlet: CancellationToken,
    device_tasks: JoinSet<()>,
    tasks: JoinSet<()>,
    lists: (SyncSender<FeedInput>, std::thread::JoinHandle<()>),
    thread: std::thread::JoinHandle<()>,
}

/// Starts everything; returns when the store is open and the lanes are taken up.
pub async fn start(mut settings: Settings, extras: Extras) -> Result<Running, StartError> {
    let begun = Instant::now();
    if let Some(why) = http::nobody_signs_in(&settings) {
        log::warn!("{why}");
    }
    let (inlet, work) = mpsc::channel(engine::QUEUE);
    let common = Common::make(&settings, inlet)?;
    let key = Arc::new(keys::gateway_key(&common.data)?);
    let (subjects, subject_keys) =
        watch::channel(Arc::new(subjects::for_lanes(&subjects::load(&common.data)?)));
    let (intake, outlet) = (CancellationToken::new(), CancellationToken::new());
    let lanes = Lanes::of(&settings.lanes);
    let (waiting, commands, known) = devices::prepare(std::mem::take(&mut settings.devices));
    let (lists, trust) = lists::prepare(&common, &settings, extras.restart.clone(), intake.clone());
    let told = watch::Sender::new(0);
    let ends = LinkWatches::new(settings.upstream.is_some());
    let wiring = Wiring {
        trust: trust.clone(),
        subjects: subject_keys.clone(),
        upstream: ends.word.subscribe(),
        packs: lists.packs.clone(),
        clock: common.clock.clone(),
        devices: commands,
        metrics: common.metrics.clone(),
    };
    let parts = Parts {
        data: common.data.clone(),
        author: common.author(),
        setups: lanes::setups(&mut settings, key.clone()),
        trust: wiring.trust.borrow().clone(),
        subjects: wiring.subjects.borrow().clone(),
        upstream: *wiring.upstream.borrow(),
        source: common.clock.source(),
        key,
        photos: common.photos.clone(),
        retention: settings.retention,
        others: enrol::others(&common.data).map_err(|e| StartError::Data(enrol::folder(&common.data), e))?,
    };
    let (shell, views) = Shell::open(parts, wiring)?;
    let failed = CancellationToken::new();
    let (thread, gate) = start_engine(shell, work, failed.clone().drop_guard())?;
    let (engine, metrics, news) = (common.engine.clone(), common.metrics.clone(), lists.news.clone());
    let photos = common.photos.clone();
    let surroundings = devices::Surroundings {
        gateway: Arc::new(Intake { engine, metrics, news }),
        save: Arc::new(move |bytes| photos.save(bytes)),
        cancel: intake.clone(),
    };
    let device_tasks = devices::start(waiting, &surroundings, &gate);
    let packs = lists.packs.clone();
    let lists = lists.start()?;
    let overview = Arc::new(Overview {
        site: common.site.clone(),
        gateway: common.gateway.clone(),
        utc_offset_minutes: settings.utc_offset_ms / 60_000,
        data: common.data.clone(),
        clock: common.clock.clone(),
        begun,
        views: views.clone(),
        lanes: lanes.profiles(),
        lane_devices: lanes.devices,
        devices: known,
        trust,
        subjects: subject_keys,
        stale_after_h: lanes.stale_after_h,
        loading: lists.loading,
        packs,
        broker: settings.upstream.clone(),
        link: ends.state.subscribe(),
        metrics: common.metrics.clone(),
        readers: Readers::default(),
        last: Mutex::default(),
    });
    let link = ends.state.subscribe();
    let mut links = Links {
        common: &common,
        settings: &settings,
        overview: overview.clone(),
        views: &views,
        intake: &intake,
        outlet: &outlet,
        told: told.clone(),
        tasks: JoinSet::new(),
    };
    links.start(ends, extras.restart, extras.plug, subjects, (lists.news.clone(), lists.wishes));
    let mut tasks = links.tasks;
    let hospital = hear(&common, &settings, told.clone(), (&intake, &mut tasks));
    let pages = ScreenParts { pages: extras.pages, overview, lanes: lanes.titles, told };
    let address = screens(&common, settings, pages, (&intake, &mut tasks))?;
    Ok(Running {
        address,
        hospital,
        engine: common.engine,
        views,
        metrics: common.metrics,
        link,
        lists_looked_at: lists.looked_at,
        failed,
        intake,
        outlet,
        device_tasks,
        tasks,
        lists: (lists.news, lists.thread),
        thread,
    })
}

/// Hears a hospital's system, where the configuration says so; gives the address. Lanes do not wait for it, and work
/// without it.
fn hear(
    common: &Common,
    settings: &Settings,
    told: watch::Sender<u64>,
    (intake, tasks): (&CancellationToken, &mut JoinSet<()>),
) -> Option<SocketAddr> {
    let hospital = settings.hospital.clone()?;
    let listening = match hospital::open(&hospital) {
        Ok(listening) => listening,
        Err(e) => {
            log::error!("{e}; the lanes work, and hear nothing of the hospital until this was mended");
            return None;
        }
    };
    let address = listening.address;
    let ear = HospitalSettings {
        hospital,
        gateway: common.gateway.clone(),
        // Where nobody signs for the site, its gateways do not speak with each other.
        shares: settings.upstream.as_ref().and(settings.fleet_keys.as_ref()).map(|_| common.site.clone()),
        utc_offset_ms: settings.utc_offset_ms,
        data: common.data.clone(),
        clock: common.clock.clone(),
        metrics: common.metrics.clone(),
        told,
    };
    tasks.spawn(hospital::run(listening, ear, intake.clone()));
    Some(address)
}

/// Runs the engine on a thread of its own, which devices share; the guard says that it has ended.
fn start_engine(
    shell: Shell,
    work: mpsc::Receiver<Work>,
    guard: DropGuard,
) -> Result<(std::thread::JoinHandle<()>, Handle), StartError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let gate = runtime.handle().clone();
    let run = move || {
        runtime.block_on(shell.run(work));
        drop(guard);
    };
    let thread = std::thread::Builder::new().name("engine".into()).spawn(run).map_err(StartError::Thread)?;
    Ok((thread, gate))
}

/// What the screens are made of.
struct ScreenParts {
    pages: axum::Router,
    overview: Arc<Overview>,
    lanes: Vec<(LaneId, String, Text)>,
    told: watch::Sender<u64>,
}

/// Serves the screens, where the configuration has an address for them; gives the one that it is.
fn screens(
    common: &Common,
    settings: Settings,
    ScreenParts { pages, overview, lanes, told }: ScreenParts,
    (intake, tasks): (&CancellationToken, &mut JoinSet<()>),
) -> Result<Option<SocketAddr>, StartError> {
    // Where nobody signs for the site, its gateways do not speak with each other.
    let told = (settings.upstream.is_some() && settings.fleet_keys.is_some()).then_some(told);
    let Some(http) = settings.http else { return Ok(None) };
    let (listener, bound) = http::bind(&http).map_err(|e| StartError::Listen(http.listen, e))?;
    let app = App::new(Shared {
        overview,
        engine: common.engine.clone(),
        lanes,
        photos: common.photos.clone(),
        officers: http::auth::Officers::new(settings.officers),
        loopback: bound.ip().is_loopback(),
        tls: http.tls.is_some(),
        rate: http::Rate::default(),
        acts: http::acts::Acts::default(),
        told,
        end: intake.clone(),
    });
    let end = intake.clone();
    tasks.spawn(async move {
        if let Err(e) = http::serve(http, listener, app, pages, end).await {
            log::error!("the screens cannot be served: {e}");
        }
    });
    Ok(Some(bound))
}

/// The way from the devices to the engine.
struct Intake {
    engine: WorkSender,
    metrics: Arc<Metrics>,
    news: SyncSender<FeedInput>,
}

impl Gateway for Intake {
    /// Reports never wait: a full queue drops them, counted. A code with an entry of a feed is not for
    /// a lane.
    fn report(&self, device: &DeviceId, report: Report, arrived: Instant) -> bool {
        if let Report::Scan { bytes } = &report
            && trimmed_bytes(bytes).starts_with(kakou_wire::feed::ENTRY_PREFIX)
        {
            return self.news.try_send(FeedInput::Entry(bytes.clone())).is_ok();
        }
        let taken = self.engine.try_send(Work::Report(device.clone(), report, arrived)).is_ok();
        if !taken {
            self.metrics.count("input_dropped_total");
        }
        taken
    }
    fn pulsed(&self, after: Duration) {
        self.metrics.pulsed(after);
    }
}

impl Running {
    /// Comes back when no visit is under way in any lane.
    pub async fn lanes_rest(&self) {
        let mut lanes: Vec<_> = self.views.lanes.values().cloned().collect();
        // Each is looked at anew after a wait: another may have begun meanwhile.
        while let Some(at) = lanes.iter_mut().position(|lane| lane.borrow_and_update().running) {
            if lanes[at].changed().await.is_err() {
                return;
            }
        }
    }

    /// Stops in order: intake, lists, engine, link. What was put in use is on record, and nobody builds a list
    /// when the daemon begins anew.
    pub async fn stop(mut self) {
        self.intake.cancel();
        while self.device_tasks.join_next().await.is_some() {}
        let (news, lists) = self.lists;
        if news.try_send(FeedInput::End).is_err() {
            log::debug!("the lists have much to do; they end after the next piece of it");
        }
        drop(tokio::task::spawn_blocking(move || lists.join()).await);
        drop(self.engine.send(Work::Stop).await);
        let thread = self.thread;
        drop(tokio::task::spawn_blocking(move || thread.join()).await);
        // A bounded time for what is still to be sent.
        self.outlet.cancel();
        let rest = async { while self.tasks.join_next().await.is_some() {} };
        drop(tokio::time::timeout(Duration::from_secs(5), rest).await);
    }
}
