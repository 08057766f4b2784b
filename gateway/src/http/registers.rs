//! The registers of a lane as staff see them: what is held and since when. Slots name nobody: whose they are is found by
//! hashing what the lists of this gateway name, and is kept nowhere.

use super::App;
use super::api::{Answer, audit, lane_of, signed_in};
use super::error::ApiError;
use crate::overview::Overview;
use crate::store::StoreError;
use crate::store::journal::{self, slots};
use crate::store::lists::Lists;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use kakou_core::evidence::SubjectKeys;
use kakou_core::ids::LaneId;
use kakou_core::register::{Slot, hashed};
use kakou_core::time::{WallMs, local_day, rfc3339};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Slots that are shown at most.
const MOST: u32 = 500;
/// Lists that name what stands in registers, those with names first.
const NAMING: [&str; 11] = [
    "roster",
    "status",
    "patients",
    "bookings",
    "children",
    "pass",
    "bags",
    "deliveries",
    "items",
    "certificates",
    "seals",
];
/// Fields of entries that registers have as keys.
const PLACES: [&str; 3] = ["room", "ward", "plate"];

/// What is held in a register of a lane.
#[utoipa::path(get, path = "/api/v1/lanes/{lane}/registers/{register}", params(("lane" = String, Path), ("register" = String, Path)),
    responses((status = 200, description = "Held slots, the latest first, 500 at most; a key or a holder that no list names is `#` and its hash", body = ref("#/components/schemas/Slots")), (status = 401), (status = 404)), security(("session" = [])))]
pub async fn register(
    State(app): State<App>,
    Path((lane, register)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer<Json<Value>> {
    let officer = signed_in(&app, &headers)?;
    let lane = lane_of(&app, &lane)?;
    // Whoever works at a lane sees its registers and no other ones.
    let desk = |lane: &LaneId| {
        let text = app.overview.views.lanes[lane].borrow().clone().desk();
        serde_json::from_str::<Value>(&text).map_err(|_| ApiError::busy())
    };
    if !desk(&lane)?["registers"].as_array().is_some_and(|all| all.iter().any(|name| *name == register)) {
        return Err(ApiError::not_found());
    }
    audit(&app, json!({ "act": "register", "officer": officer.id, "lane": lane, "register": register }));
    let mut places = Vec::new();
    for lane in app.overview.views.lanes.keys() {
        places.extend(desk(lane)?["place"].as_str().map(str::to_owned));
    }
    let overview = app.overview.clone();
    let rows = tokio::task::spawn_blocking(move || rows(&overview, &lane, &register, &places)).await;
    rows.map_err(|_| ApiError::busy())?.map(Json).map_err(|e| ApiError::busy().with(e))
}

fn rows(overview: &Overview, lane: &LaneId, register: &str, places: &[String]) -> Result<Value, String> {
    let data = &overview.data;
    let told = |e: StoreError| e.to_string();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    let now_ms = now_ms.and_then(|since| WallMs::try_from(since.as_millis()).ok());
    let mut held =
        slots::held(&journal::reader(data).map_err(told)?, register, MOST).map_err(|e| e.to_string())?;
    held.retain(|slot| slot.is_held(now_ms));
    let names = names(overview, (lane, register, places), &held, now_ms)?;
    Ok(held.iter().map(|slot| row(slot, &names, now_ms)).collect())
}

/// A text that a hash stands for, and whose name it is.
type Named = BTreeMap<String, (String, Option<String>)>;

fn names(
    overview: &Overview,
    (lane, register, places): (&LaneId, &str, &[String]),
    held: &[Slot],
    now_ms: Option<WallMs>,
) -> Result<Named, String> {
    let keys = overview.subjects.borrow().clone();
    let open = held.iter().flat_map(|slot| [slot.key.clone(), slot.holder.clone()]);
    let mut wanted = Wanted { keys, lane, register, open: open.collect(), named: Named::new() };
    let day = now_ms.and_then(|now| local_day(now, overview.utc_offset_minutes * 60_000)).unwrap_or_default();
    for place in places {
        wanted.look(place, None);
        wanted.look(&format!("{place}@{day}"), None);
    }
    // Whoever has neither code nor id goes by the visit.
    for visit in held.iter().filter_map(|slot| slot.put.as_ref()).map(|put| put.at.visit) {
        wanted.look(&format!("visit:{visit}"), None);
        wanted.look(&visit.to_string(), None);
    }
    let lists = Lists::open(&overview.data).map_err(|e| e.to_string())?;
    for list in NAMING {
        let read = lists.each(list, |id, facts| {
            let name = text(facts, "name");
            wanted.look(id, name);
            wanted.look(&format!("{id}@{day}"), name);
            for place in PLACES.into_iter().filter_map(|field| text(facts, field)) {
                wanted.look(place, None);
            }
            wanted.open.is_empty()
        });
        // A list that cannot be read names nobody; the slots are seen all the same.
        if let Err(e) = read {
            log::warn!("list {list}: {e}");
        }
    }
    Ok(wanted.named)
}

/// The hashes that are still to be named.
struct Wanted<'a> {
    keys: Arc<SubjectKeys>,
    lane: &'a LaneId,
    register: &'a str,
    open: BTreeSet<String>,
    named: Named,
}

impl Wanted<'_> {
    fn look(&mut self, text: &str, name: Option<&str>) {
        for lane in [None, Some(self.lane)] {
            for hash in hashed(&self.keys, self.register, lane, text) {
                if self.open.remove(&hash) {
                    self.named.insert(hash, (text.to_owned(), name.map(str::to_owned)));
                }
            }
        }
    }
}

fn text<'a>(facts: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    facts.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn row(slot: &Slot, names: &Named, now_ms: Option<WallMs>) -> Value {
    let of = |hash: &String| match names.get(hash) {
        Some((text, name)) => (text.clone(), name.clone()),
        None => (format!("#{hash}"), None),
    };
    let ((key, key_name), (holder, holder_name)) = (of(&slot.key), of(&slot.holder));
    let put = slot.put.as_ref();
    let late = |at: Option<WallMs>| at.zip(now_ms).is_some_and(|(at, now)| at <= now);
    let told = put.and_then(|put| put.alarm.as_ref());
    json!({
        "key": key, "key_name": key_name, "holder": holder, "holder_name": holder_name,
        "since": put.and_then(|put| put.since_ms).map(rfc3339), "until": put.and_then(|put| put.until_ms).map(rfc3339),
        "amount": put.map_or(0, |put| put.amount), "lane": put.map(|put| &put.lane),
        "overdue": late(put.and_then(|put| put.until_ms)) || told.is_some_and(|alarm| alarm.done || late(Some(alarm.at_ms))),
    })
}
