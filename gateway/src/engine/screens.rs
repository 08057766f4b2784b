//! What screens show of the lanes, made anew after whatever may have changed it.

use super::Engine;
use kakou_core::ids::LaneId;
use kakou_core::lane::visit::Visit;
use kakou_core::lane::{Lane, view};
use kakou_core::time::Now;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::sync::Arc;
use tokio::sync::watch;

/// What screens show of a lane.
#[derive(Debug, Clone, Default)]
pub struct LaneView {
    /// For the public.
    pub screen: Arc<str>,
    /// For the desk.
    pub desk: Arc<str>,
    /// For the status page.
    pub status: Value,
    /// Whether a visit is under way.
    pub running: bool,
}

/// The screens of one lane.
pub(super) struct Screens {
    views: watch::Sender<LaneView>,
    rows: RefCell<Rows>,
}

/// The rows of the latest visits as they were written last: of twenty one changes, and to write all of them takes
/// longer than the rest of a visit. What a visit says never changes under the same pointer, because this holds it, and
/// its profile is the same for a run.
#[derive(Default)]
struct Rows(Vec<(Arc<Visit>, Arc<RawValue>)>);

/// The desk as it is sent.
#[derive(Serialize)]
struct Desk<'a> {
    #[serde(flatten)]
    desk: Value,
    last_visits: Vec<&'a RawValue>,
    uses_wait_for: &'a [kakou_core::ids::GatewayId],
}

impl Screens {
    pub(super) fn new(views: watch::Sender<LaneView>) -> Self {
        Self { views, rows: RefCell::default() }
    }
}

impl Rows {
    /// Those of a lane now.
    fn of(&mut self, lane: &Lane) -> serde_json::Result<Vec<&RawValue>> {
        let mut before = std::mem::take(&mut self.0);
        for visit in view::last_visits(lane) {
            let row = match before.iter().position(|(written, _)| Arc::ptr_eq(written, visit)) {
                Some(at) => before.swap_remove(at),
                None => {
                    let row = serde_json::value::to_raw_value(&view::last_visit(lane, visit))?;
                    (Arc::clone(visit), row.into())
                }
            };
            self.0.push(row);
        }
        Ok(self.0.iter().map(|(_, row)| &**row).collect())
    }
}

impl Engine {
    pub(super) fn show(&self, id: &LaneId, now: &Now) {
        let (Some(lane), Some(screens)) = (self.core.lane(id), self.screens.get(id)) else { return };
        let seq = self.journal.head().0;
        let around = view::Around {
            closed: self.closed,
            upstream: *self.parts.upstream.borrow(),
            waits: !self.waits_for.is_empty(),
            links: self.core.links(),
            issued: &|list| self.lists.issued_ms(list),
        };
        let mut rows = screens.rows.borrow_mut();
        let desk = rows.of(lane).and_then(|last_visits| {
            let desk = view::desk(lane, now, &around);
            serde_json::to_string(&Desk { desk, last_visits, uses_wait_for: &self.waits_for })
        });
        let desk = match desk {
            Ok(desk) => desk.into(),
            Err(e) => {
                log::error!("lane {id}: the desk cannot be written: {e}");
                return;
            }
        };
        screens.views.send_replace(LaneView {
            screen: view::screen(lane, now, &around, seq).to_string().into(),
            desk,
            status: view::status(lane, now, self.closed),
            running: lane.is_running(),
        });
    }

    pub(super) fn show_all(&self, now: &Now) {
        for id in self.screens.keys() {
            self.show(id, now);
        }
    }
}
