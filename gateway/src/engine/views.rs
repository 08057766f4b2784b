//! What screens show of the lanes. The loop hands out the state after whatever may have changed it; the JSON is made
//! from it where somebody listens, once for all who do.

use super::Engine;
use crate::pack::told::WaitingPack;
use kakou_core::ids::{DeviceId, GatewayId, LaneId};
use kakou_core::lane::Lane;
use kakou_core::lane::view::shapes::LaneStatus;
use kakou_core::lane::view::{self, Around, Closed};
use kakou_core::lane::visit::Visit;
use kakou_core::text::Text;
use kakou_core::time::{Now, WallMs};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What screens show of a lane. Before the lane has shown anything it is empty.
#[derive(Clone, Default)]
pub struct LaneView {
    /// Whether a visit is under way.
    pub running: bool,
    shown: Option<Arc<Shown>>,
}

/// The state that is shown, and what of it has been written.
struct Shown {
    lane: Lane,
    now: Now,
    seq: u64,
    closed: Closed,
    upstream: &'static str,
    uses_wait_for: Vec<GatewayId>,
    pack: Option<Arc<WaitingPack>>,
    links: BTreeMap<DeviceId, bool>,
    issued: BTreeMap<String, WallMs>,
    rows: Rows,
    screen: OnceLock<Arc<str>>,
    desk: OnceLock<Arc<str>>,
}

/// The rows of the latest visits as they were written last: of twenty one changes, and to write all of them takes
/// longer than the rest of a visit. What a visit says never changes under the same pointer, because this holds it, and
/// its profile is the same for a run.
#[derive(Clone, Default)]
pub(super) struct Rows(Arc<Mutex<Vec<Row>>>);

type Row = (Arc<Visit>, Arc<RawValue>);

/// The desk as it is sent.
#[derive(Serialize)]
struct DeskUpdate<'a> {
    #[serde(flatten)]
    desk: view::shapes::Desk,
    last_visits: Vec<&'a RawValue>,
    uses_wait_for: &'a [GatewayId],
    pack: Option<PackAtDesk<'a>>,
}

/// A pack that waits and by which this lane will decide otherwise.
#[derive(Serialize)]
struct PackAtDesk<'a> {
    title: Option<&'a Text>,
    from: &'a str,
}

impl<'a> PackAtDesk<'a> {
    fn of(pack: &'a WaitingPack) -> Self {
        Self { title: pack.name.title.as_ref(), from: &pack.from }
    }
}

impl LaneView {
    /// For the public.
    pub fn screen(&self) -> Arc<str> {
        self.shown
            .as_ref()
            .map(|shown| shown.screen.get_or_init(|| shown.write_screen()).clone())
            .unwrap_or_default()
    }

    /// For the desk.
    pub fn desk(&self) -> Arc<str> {
        self.shown
            .as_ref()
            .map(|shown| shown.desk.get_or_init(|| shown.write_desk()).clone())
            .unwrap_or_default()
    }

    /// For the status page.
    pub fn status(&self) -> Option<LaneStatus> {
        self.shown.as_ref().map(|shown| view::status(&shown.lane, &shown.now, shown.closed))
    }
}

impl Shown {
    fn with_around<T>(&self, with: impl FnOnce(&Around<'_>) -> T) -> T {
        with(&Around {
            closed: self.closed,
            upstream: self.upstream,
            waits: !self.uses_wait_for.is_empty(),
            links: &self.links,
            issued: &|list| self.issued.get(list).copied(),
        })
    }

    fn write_screen(&self) -> Arc<str> {
        let screen = self.with_around(|around| view::screen(&self.lane, &self.now, around, self.seq));
        self.written(serde_json::to_string(&screen))
    }

    fn write_desk(&self) -> Arc<str> {
        let desk = self.with_around(|around| view::desk(&self.lane, &self.now, around));
        let (uses_wait_for, pack) = (&self.uses_wait_for, self.pack.as_deref().map(PackAtDesk::of));
        let desk = self.rows.of(&self.lane, |last_visits| {
            serde_json::to_string(&DeskUpdate { desk, last_visits, uses_wait_for, pack })
        });
        self.written(desk)
    }

    fn written(&self, text: serde_json::Result<String>) -> Arc<str> {
        text.map(Arc::from).unwrap_or_else(|e| {
            log::error!("lane {}: what its screens show cannot be written: {e}", self.lane.setup.lane);
            Arc::default()
        })
    }
}

impl Rows {
    /// Those of a lane now.
    fn of<T>(
        &self,
        lane: &Lane,
        take: impl FnOnce(Vec<&RawValue>) -> serde_json::Result<T>,
    ) -> serde_json::Result<T> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *rows);
        for visit in view::last_visits(lane) {
            let row = match before.iter().position(|(written, _)| Arc::ptr_eq(written, visit)) {
                Some(at) => before.swap_remove(at),
                None => {
                    let row = serde_json::value::to_raw_value(&view::last_visit(lane, visit))?;
                    (Arc::clone(visit), row.into())
                }
            };
            rows.push(row);
        }
        take(rows.iter().map(|(_, row)| &**row).collect())
    }
}

impl Engine {
    /// What screens show of a lane, if there is such a lane; with the pack that waits and concerns it.
    pub fn view(&self, id: &LaneId, now: &Now, pack: Option<Arc<WaitingPack>>) -> Option<LaneView> {
        let (lane, rows) = (self.core.lane(id)?, self.rows.get(id)?);
        let lists = lane.setup.profile.lists();
        let issued = lists.filter_map(|list| Some((list.to_owned(), self.lists.issued_ms(list)?))).collect();
        let shown = Shown {
            lane: lane.clone(),
            now: *now,
            seq: self.journal.head().0,
            closed: self.closed,
            upstream: self.parts.upstream,
            uses_wait_for: self.waits_for.clone(),
            pack,
            links: self.core.links().clone(),
            issued,
            rows: rows.clone(),
            screen: OnceLock::new(),
            desk: OnceLock::new(),
        };
        Some(LaneView { running: lane.is_running(), shown: Some(Arc::new(shown)) })
    }

    /// All lanes are to be shown anew.
    pub(super) fn show_all(&mut self) {
        self.out.screens.extend(self.rows.keys().cloned());
    }
}
