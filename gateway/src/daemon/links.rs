//! The central side of the daemon: what it may ask, and the connections to it.

use super::common::Common;
use crate::config::Settings;
use crate::engine::EngineViews;
use crate::enrol::renew::{self, Renewal};
use crate::feeds::{FeedInput, FeedRequest};
use crate::orders::{self, Answer, Order, OrderSettings};
use crate::overview::{self, Overview};
use crate::store::kept::KeptReader;
use crate::upstream::down::{self, Down};
use crate::upstream::photos::{self, Carrier};
use crate::upstream::sparkplug::{self, View};
use crate::upstream::{self, Link, LinkState};
use kakou_core::evidence::SubjectKeys;
use kakou_link::broker::Upstream;
use kakou_link::outage::Outage;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Receipts of photographs that may wait; one that finds no room is asked for again.
const PHOTO_RECEIPTS: usize = 64;

/// What the connections say of themselves.
pub struct LinkWatches {
    /// For the status page.
    pub state: watch::Sender<LinkState>,
    /// For desks.
    pub word: watch::Sender<&'static str>,
}

impl LinkWatches {
    /// Before the first connection.
    pub fn new(configured: bool) -> Self {
        let (state, word) = (LinkState::default(), if configured { "offline" } else { "off" });
        Self { state: watch::Sender::new(state), word: watch::Sender::new(word) }
    }
}

/// What the connections need of the daemon.
pub struct Links<'a> {
    /// Who this gateway is.
    pub common: &'a Common,
    /// How it is configured.
    pub settings: &'a Settings,
    /// What there is to look at.
    pub overview: Arc<Overview>,
    /// What is durable.
    pub views: &'a EngineViews,
    /// Ends what brings work in.
    pub intake: &'a CancellationToken,
    /// Ends what carries it out.
    pub outlet: &'a CancellationToken,
    /// Raised when there is something of the hospital for the other gateways of the site.
    pub told: watch::Sender<u64>,
    /// The tasks that run.
    pub tasks: JoinSet<()>,
}

impl Links<'_> {
    /// Starts the desk for orders and the connections, as far as they are configured.
    pub fn start(
        &mut self,
        ends: LinkWatches,
        restart: Option<mpsc::Sender<()>>,
        plug: Option<watch::Receiver<bool>>,
        subjects: watch::Sender<Arc<SubjectKeys>>,
        (news, wishes): (SyncSender<FeedInput>, mpsc::Receiver<FeedRequest>),
    ) {
        let (renew, renewed) = watch::channel(0);
        let (ordering, ordered) = mpsc::channel(orders::WAITING);
        let (answering, answers) = mpsc::channel(orders::WAITING);
        self.desk(restart, subjects, renew.clone(), (ordered, answering));
        let Some(broker) = self.settings.upstream.clone() else { return };
        if let Some((cert, key)) = &broker.identity {
            orders::commands::finish_change(&self.common.data, (cert, key));
        }
        let plug = plug.unwrap_or_else(|| watch::channel(true).1);
        self.down(&broker, (news, wishes), (ordering, answers), plug.clone(), renewed.clone());
        self.renewal(&broker, renew);
        self.sparkplug(&broker, plug.clone());
        self.events_and_photographs(broker, ends, plug, renewed);
    }

    /// What the central side may ask, where somebody may sign it.
    fn desk(
        &mut self,
        restart: Option<mpsc::Sender<()>>,
        subjects: watch::Sender<Arc<SubjectKeys>>,
        renewed: watch::Sender<u64>,
        (orders, answers): (mpsc::Receiver<Order>, mpsc::Sender<Answer>),
    ) {
        let (common, settings) = (self.common, self.settings);
        let Some(keys) = settings.fleet_keys.clone() else { return };
        let desk = OrderSettings {
            site: common.site.clone(),
            gateway: common.gateway.clone(),
            data: common.data.clone(),
            config: settings.file.clone(),
            usb_drive: settings.usb_drive.clone(),
            anchors: settings.anchors.clone(),
            keys,
            clock: common.clock.clone(),
            engine: common.engine.clone(),
            metrics: common.metrics.clone(),
            overview: self.overview.clone(),
            photos: common.photos.clone(),
            identity: settings.upstream.as_ref().and_then(|u| u.identity.clone()),
            upstream: settings.upstream.clone(),
            renewed,
            restart,
            subjects,
            keep_days: settings.retention.keep_days,
            answers,
            refused: Mutex::default(),
        };
        self.tasks.spawn(desk.run(orders, self.intake.clone()));
    }

    /// What the central side and other gateways send, where somebody may sign it.
    fn down(
        &mut self,
        broker: &Upstream,
        (news, wishes): (SyncSender<FeedInput>, mpsc::Receiver<FeedRequest>),
        (orders, answers): (mpsc::Sender<Order>, mpsc::Receiver<Answer>),
        plug: watch::Receiver<bool>,
        renewed: watch::Receiver<u64>,
    ) {
        let common = self.common;
        let Some(keys) = self.settings.fleet_keys.clone() else { return };
        let down = Down {
            settings: broker.clone(),
            site: common.site.clone(),
            gateway: common.gateway.clone(),
            news,
            wishes,
            orders,
            answers,
            plug,
            renewed,
            metrics: common.metrics.clone(),
            data: common.data.clone(),
            engine: common.engine.clone(),
            uses: self.views.uses.clone(),
            words: self.told.clone(),
            reader: KeptReader::new(common.data.clone()),
            keys,
            clock: common.clock.clone(),
            begun: std::time::Instant::now(),
            getting: None,
        };
        self.tasks.spawn(down::run(down, self.outlet.clone()));
    }

    /// The next certificate, where there is one now.
    fn renewal(&mut self, broker: &Upstream, renewed: watch::Sender<u64>) {
        let Some(identity) = broker.identity.clone() else { return };
        let (data, settings) = (self.common.data.clone(), broker.clone());
        let renewal = Renewal { data, identity, settings, renewed };
        self.tasks.spawn(renew::run(renewal, self.intake.clone()));
    }

    /// The view for Sparkplug, where it is wanted.
    fn sparkplug(&mut self, broker: &Upstream, plug: watch::Receiver<bool>) {
        if broker.sparkplug {
            let (settings, overview) = (broker.clone(), self.overview.clone());
            let view = View { settings, overview, plug, metrics: self.common.metrics.clone() };
            self.tasks.spawn(sparkplug::run(view, self.outlet.clone()));
        }
    }

    /// Events, photographs and the word of health.
    fn events_and_photographs(
        &mut self,
        broker: Upstream,
        ends: LinkWatches,
        plug: watch::Receiver<bool>,
        renewed: watch::Receiver<u64>,
    ) {
        let common = self.common;
        let (health, healthy) = watch::channel(Arc::from(""));
        let (busy, is_busy) = watch::channel(false);
        let (photo_receipts, receipts) = mpsc::channel(PHOTO_RECEIPTS);
        let carrier = Carrier {
            settings: broker.clone(),
            site: common.site.clone(),
            gateway: common.gateway.clone(),
            reader: KeptReader::new(common.data.clone()),
            photos: common.photos.clone(),
            engine: common.engine.clone(),
            receipts,
            busy: is_busy,
            plug: plug.clone(),
            metrics: common.metrics.clone(),
        };
        let link = Link {
            outage: Outage::new("events", &broker.address()),
            settings: broker,
            site: common.site.clone(),
            gateway: common.gateway.clone(),
            epoch: self.views.epoch,
            data: common.data.clone(),
            engine: common.engine.clone(),
            stored: self.views.positions.subscribe(),
            metrics: common.metrics.clone(),
            positions: self.views.positions.clone(),
            state: ends.state,
            word: ends.word,
            health: healthy,
            lanes: self.overview.lanes.clone(),
            clock: common.clock.clone(),
            busy,
            photo_receipts,
            plug,
            renewed,
        };
        self.tasks.spawn(upstream::run(link, self.outlet.clone()));
        self.tasks.spawn(photos::run(carrier, self.outlet.clone()));
        self.tasks.spawn(overview::keep(self.overview.clone(), health, self.intake.clone()));
    }
}
