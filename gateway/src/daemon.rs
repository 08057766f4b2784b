//! Puts the parts together, and takes them apart in order: intake first, then the engine, then the
//! link upstream.

use crate::config::{LaneEntry, Settings};
use crate::engine::{self, Engine, Inlet, Outlook, Parts, Setups, Work};
use crate::enrol::{self, renew::Renewal};
use crate::feeds::{self, Feeds, News};
use crate::http::{self, App, Shared};
use crate::keys::{self, KeyError};
use crate::metrics::Metrics;
use crate::orders::{self, Desk};
use crate::overview::{self, Overview, Readers};
use crate::store::kept::KeptReader;
use crate::store::photos::Photos;
use crate::store::{StoreError, journal};
use crate::upstream::down::Down;
use crate::upstream::photos::Carrier;
use crate::upstream::sparkplug::View;
use crate::upstream::{self, Link, LinkState};
use crate::{devices, engine::photo_saver, subjects};
use kakou_core::event::Author;
use kakou_core::evidence::{GatewayKey, Hash, SubjectKeys};
use kakou_core::ids::DeviceId;
use kakou_core::lane::Setup;
use kakou_core::profile::{self, Profile};
use kakou_core::reading::Report;
use kakou_core::text::trimmed_bytes;
use kakou_drivers::Gateway;
use kakou_link::clock::boot_id;
use kakou_link::durable;
use kakou_link::outage::Outage;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Receipts of photographs that may wait; one that finds no room is asked for again.
const PHOTO_RECEIPTS: usize = 64;

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
    /// The way to the core.
    pub engine: Inlet,
    /// What to watch.
    pub outlook: Outlook,
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
    lists: (SyncSender<News>, std::thread::JoinHandle<()>),
    thread: std::thread::JoinHandle<()>,
}

/// Hours after which the first of the lanes takes a list for stale, by list.
fn stale_after<'a>(profiles: impl Iterator<Item = &'a Profile>) -> BTreeMap<String, i64> {
    let mut hours = BTreeMap::new();
    for profile in profiles {
        for list in profile.lists() {
            let least: &mut i64 = hours.entry(list.to_owned()).or_insert(profile.stale_after_h);
            *least = profile.stale_after_h.min(*least);
        }
    }
    hours
}

fn setups(
    lanes: Vec<LaneEntry>,
    region: String,
    gateway: String,
    utc_offset_ms: i64,
    subjects: watch::Receiver<Arc<SubjectKeys>>,
    key: Arc<GatewayKey>,
) -> Setups {
    Box::new(move |trust| {
        lanes
            .iter()
            .map(|lane| Setup {
                lane: lane.id.clone(),
                profile: profile::read(&lane.profile.0, &lane.profile.1)
                    .expect("the profile was read before"),
                devices: lane.devices.clone(),
                region: region.clone(),
                gateway: gateway.clone(),
                profile_hash: Hash::of(lane.profile.1.as_bytes()).hex(),
                utc_offset_ms,
                trust: trust.clone(),
                subjects: subjects.borrow().clone(),
                key: key.clone(),
            })
            .collect()
    })
}

/// Starts everything; returns when the store is open and the lanes are taken up.
pub async fn start(settings: Settings, extras: Extras) -> Result<Running, StartError> {
    let begun = Instant::now();
    if let Some(why) = http::nobody_signs_in(&settings) {
        log::warn!("{why}");
    }
    let data = settings.data.clone();
    durable::own_folder(&data).map_err(|e| StartError::Data(data.clone(), e))?;
    let metrics = Arc::new(Metrics::of(settings.site.as_str(), settings.gateway.as_str()));
    let key = Arc::new(keys::gateway_key(&data)?);
    let (subjects, subjects_rx) = watch::channel(Arc::new(subjects::for_lanes(&subjects::load(&data)?)));
    let photos = Photos::open(&data)?;
    photos.tidy()?;
    if let Some(enrolled) = enrol::renew::enrolled_ms(&data) {
        settings.clock.signed_at(enrolled);
    }
    let signed = settings.fleet_keys.is_some();
    let follows_policy = settings.follows_policy();
    let trust = Arc::new(feeds::first_trust(&data, &settings.lists, signed));

    let lane_devices = settings
        .lanes
        .iter()
        .flat_map(|l| l.devices.values().map(|d| (d.clone(), l.id.clone())).collect::<Vec<_>>())
        .collect();
    let profiles: Vec<_> = settings
        .lanes
        .iter()
        .filter_map(|l| Some((l.id.clone(), profile::read(&l.profile.0, &l.profile.1).ok()?)))
        .collect();
    let stale_after_h = stale_after(profiles.iter().map(|(_, profile)| profile));
    let titles: Vec<_> = profiles.into_iter().map(|(id, p)| (id, p.id.to_string(), p.title)).collect();
    let (waiting, commands, known) = devices::prepare(settings.devices);
    let (word, word_rx) = watch::channel(if settings.upstream.is_some() { "offline" } else { "off" });
    let (link_state, link_rx) = watch::channel(LinkState::default());
    let (trust_tx, trust_rx) = watch::channel(trust);
    let (inlet, work) = mpsc::channel(engine::QUEUE);
    let (wishes, wished) = mpsc::channel(feeds::NEWS);
    let (news, heard) = std::sync::mpsc::sync_channel(feeds::NEWS);
    let (loading, loaded) = watch::channel(None);
    let (looked, lists_looked_at) = watch::channel(false);
    let (intake, outlet) = (CancellationToken::new(), CancellationToken::new());
    let feeds = Feeds {
        data: data.clone(),
        folder: settings.lists,
        stick: settings.stick.clone(),
        keys: settings.fleet_keys.clone(),
        region: settings.region.clone(),
        config: (settings.file.clone(), settings.text.clone()),
        follows_policy,
        restart: extras.restart.clone(),
        clock: settings.clock.clone(),
        metrics: metrics.clone(),
        engine: inlet.clone(),
        trust: trust_tx,
        wishes,
        loading,
        looked,
        end: intake.clone(),
        waiting: Mutex::default(),
    };
    let author = Author { site: settings.site.clone(), gateway: settings.gateway.clone(), boot: boot_id() };
    let parts = Parts {
        data: data.clone(),
        author,
        setups: setups(
            settings.lanes,
            settings.region,
            settings.gateway.to_string(),
            settings.utc_offset_ms,
            subjects_rx.clone(),
            key.clone(),
        ),
        trust: trust_rx.clone(),
        subjects: subjects_rx.clone(),
        clock: settings.clock.clone(),
        key,
        devices: commands,
        metrics: metrics.clone(),
        upstream: word_rx,
        photos: photos.clone(),
        retention: settings.retention,
        others: enrol::others(&data).map_err(|e| StartError::Data(enrol::folder(&data), e))?,
    };
    let (core, outlook) = Engine::open(parts)?;
    match journal::reader(&data).map(|journal| LinkState::stored(&journal)) {
        Ok(Ok(stored)) => drop(link_state.send_replace(stored)),
        Ok(Err(e)) => log::warn!("what the broker has is not known before the link is up: {e}"),
        Err(e) => log::warn!("what the broker has is not known before the link is up: {e}"),
    }
    let failed = CancellationToken::new();
    let guard = failed.clone().drop_guard();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    let gate = runtime.handle().clone();
    let thread = std::thread::Builder::new()
        .name("engine".into())
        .spawn(move || {
            runtime.block_on(core.run(work));
            drop(guard);
        })
        .map_err(StartError::Thread)?;

    let gateway: Arc<dyn Gateway> =
        Arc::new(Intake { engine: inlet.clone(), metrics: metrics.clone(), news: news.clone() });
    let surroundings =
        devices::Surroundings { gateway, save: photo_saver(photos.clone()), cancel: intake.clone() };
    let device_tasks = devices::start(waiting, &surroundings, &gate);
    let mut tasks = JoinSet::new();
    let lists = std::thread::Builder::new()
        .name("feeds".into())
        .spawn(move || feeds.run(&heard))
        .map_err(StartError::Thread)?;
    let end_of_lists = news.clone();
    let lanes: Vec<_> = titles.iter().map(|(id, profile, _)| (id.clone(), profile.clone())).collect();
    let overview = Arc::new(Overview {
        site: settings.site.clone(),
        gateway: settings.gateway.clone(),
        utc_offset_minutes: settings.utc_offset_ms / 60_000,
        data: data.clone(),
        clock: settings.clock.clone(),
        begun,
        outlook: outlook.clone(),
        lanes: lanes.clone(),
        lane_devices,
        devices: known,
        trust: trust_rx,
        subjects: subjects_rx,
        stale_after_h,
        loading: loaded,
        broker: settings.upstream.clone(),
        link: link_rx.clone(),
        metrics: metrics.clone(),
        readers: Readers::default(),
        last: Mutex::default(),
    });
    let (renew, renewed) = watch::channel(0);
    let (orders, ordered) = mpsc::channel(orders::WAITING);
    let (answers, answered) = mpsc::channel(orders::WAITING);
    if let Some(keys) = settings.fleet_keys.clone() {
        let identity = settings.upstream.as_ref().and_then(|u| u.identity.clone());
        let desk = Desk {
            site: settings.site.clone(),
            gateway: settings.gateway.clone(),
            data: data.clone(),
            config: settings.file.clone(),
            stick: settings.stick,
            anchors: settings.anchors,
            keys,
            clock: settings.clock.clone(),
            engine: inlet.clone(),
            metrics: metrics.clone(),
            overview: overview.clone(),
            photos: photos.clone(),
            identity,
            upstream: settings.upstream.clone(),
            renewed: renew.clone(),
            restart: extras.restart,
            subjects,
            keep_days: settings.retention.keep_days,
            answers,
            refused: Mutex::default(),
        };
        tasks.spawn(desk.run(ordered, intake.clone()));
    }
    if let Some(upstream) = settings.upstream.clone() {
        if let Some((cert, key)) = &upstream.identity {
            orders::commands::finish_change(&data, (cert, key));
        }
        if let Some(keys) = settings.fleet_keys.clone() {
            let down = Down {
                settings: upstream.clone(),
                site: settings.site.clone(),
                gateway: settings.gateway.clone(),
                news,
                wishes: wished,
                orders,
                answers: answered,
                plug: extras.plug.clone().unwrap_or_else(|| watch::channel(true).1),
                renewed: renewed.clone(),
                metrics: metrics.clone(),
                data: data.clone(),
                engine: inlet.clone(),
                uses: outlook.uses.clone(),
                reader: KeptReader::new(data.clone()),
                keys,
                clock: settings.clock.clone(),
                getting: None,
            };
            tasks.spawn(upstream::down::run(down, outlet.clone()));
        }
        let plug = extras.plug.unwrap_or_else(|| watch::channel(true).1);
        let (health, healthy) = watch::channel(Arc::from(""));
        let (busy, is_busy) = watch::channel(false);
        let (photo_receipts, receipts) = mpsc::channel(PHOTO_RECEIPTS);
        let carrier = Carrier {
            settings: upstream.clone(),
            site: settings.site.clone(),
            gateway: settings.gateway.clone(),
            reader: KeptReader::new(data.clone()),
            photos: photos.clone(),
            engine: inlet.clone(),
            receipts,
            busy: is_busy,
            plug: plug.clone(),
            metrics: metrics.clone(),
        };
        if let Some(identity) = upstream.identity.clone() {
            let (data, settings) = (data.clone(), upstream.clone());
            let renewal = Renewal { data, identity, settings, renewed: renew };
            tasks.spawn(enrol::renew::run(renewal, intake.clone()));
        }
        if upstream.sparkplug {
            let view = View {
                settings: upstream.clone(),
                overview: overview.clone(),
                plug: plug.clone(),
                metrics: metrics.clone(),
            };
            tasks.spawn(upstream::sparkplug::run(view, outlet.clone()));
        }
        let link = Link {
            outage: Outage::new("events", &upstream.address()),
            settings: upstream,
            site: settings.site.clone(),
            gateway: settings.gateway.clone(),
            epoch: outlook.epoch,
            data,
            engine: inlet.clone(),
            streams: outlook.streams.clone(),
            metrics: metrics.clone(),
            state: link_state,
            word,
            health: healthy,
            lanes,
            clock: settings.clock.clone(),
            busy,
            photo_receipts,
            plug,
            renewed,
        };
        tasks.spawn(upstream::run(link, outlet.clone()));
        tasks.spawn(upstream::photos::run(carrier, outlet.clone()));
        tasks.spawn(overview::keep(overview.clone(), health, intake.clone()));
    }
    let mut address = None;
    if let Some(http) = settings.http {
        let (listener, bound) = http::bind(&http).map_err(|e| StartError::Listen(http.listen, e))?;
        address = Some(bound);
        let app = App::new(Shared {
            overview,
            engine: inlet.clone(),
            lanes: titles,
            photos,
            officers: http::auth::Officers::new(settings.officers),
            loopback: bound.ip().is_loopback(),
            tls: http.tls.is_some(),
            rate: http::Rate::default(),
            acts: http::acts::Acts::default(),
            end: intake.clone(),
        });
        let end = intake.clone();
        tasks.spawn(async move {
            if let Err(e) = http::serve(http, listener, app, extras.pages, end).await {
                log::error!("the screens cannot be served: {e}");
            }
        });
    }
    Ok(Running {
        address,
        engine: inlet,
        outlook,
        metrics,
        link: link_rx,
        lists_looked_at,
        failed,
        intake,
        outlet,
        device_tasks,
        tasks,
        lists: (end_of_lists, lists),
        thread,
    })
}

/// The way from the devices to the engine.
struct Intake {
    engine: Inlet,
    metrics: Arc<Metrics>,
    news: SyncSender<News>,
}

impl Gateway for Intake {
    /// Reports never wait: a full queue drops them, counted. A code with an entry of a feed is not for
    /// a lane.
    fn report(&self, device: &DeviceId, report: Report, arrived: Instant) -> bool {
        if let Report::Scan { bytes } = &report
            && trimmed_bytes(bytes).starts_with(kakou_wire::feed::ENTRY_PREFIX)
        {
            return self.news.try_send(News::Entry(bytes.clone())).is_ok();
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
        let mut lanes: Vec<_> = self.outlook.lanes.values().cloned().collect();
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
        if news.try_send(News::End).is_err() {
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
