//! The duty console: who was where, approvals, passes that are taken back, the hand-over of a shift. Answers hold for this
//! gateway, with what is not sent yet. Who asked for what, and for which purpose, is durable before anything is told.

use super::App;
use super::act::as_shown;
use super::api::{ACT_LIMIT, Answer, body, lane_of, signed_in};
use super::error::ApiError;
use crate::engine::Work;
use crate::hospital::share::{self, ShareError, Teller};
use crate::overview::Overview;
use crate::store::{contacts, journal, revoke, trace};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use kakou_core::console::{self, Act, Asked, Query};
use kakou_core::core::Input;
use kakou_core::ids::{LaneId, VisitId};
use kakou_core::lane::action::{Officer, Rejection};
use kakou_core::pass::id;
use kakou_core::time::rfc3339;
use kakou_wire::trace::Row;
use serde::Deserialize;
use serde_json::{Value, json};
use std::cmp::Reverse;
use tokio::sync::oneshot;
use utoipa::ToSchema;

const DAY_MS: i64 = 86_400_000;
/// Characters of the id of a person, a plate or a pass.
const ID_MAX: usize = 128;

/// What is looked for at the console. Without a lane it is every lane, without a subject everybody.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Search {
    purpose: String,
    #[schema(value_type = Option<String>)]
    lane: Option<LaneId>,
    /// The id of a person, or a plate. It stands in no record: a subject key does.
    subject: Option<String>,
    /// UTC milliseconds; without it, a day before now.
    from_ms: Option<i64>,
    /// UTC milliseconds; without it, now.
    to_ms: Option<i64>,
    /// Who was near the subject in place of where it was: so many minutes before and after, 240 at most.
    near_minutes: Option<u32>,
}

/// One act at the console, with its purpose.
#[expect(missing_docs, reason = "the fields say what they are; staff read them in the OpenAPI document")]
#[derive(Deserialize, ToSchema)]
#[serde(tag = "act", rename_all = "lowercase", deny_unknown_fields)]
pub enum ConsoleAct {
    /// Who was where. Disease control and supervisors.
    Trace(Search),
    /// The same, to be taken away as a file.
    Export(Search),
    /// Approves or refuses what waits in a lane. Traffic officers and supervisors.
    Review {
        purpose: String,
        #[schema(value_type = String)]
        lane: LaneId,
        /// Without it, the one in front, else the newest that waits.
        visit: Option<u64>,
        approve: bool,
        #[serde(default)]
        note: String,
    },
    /// Takes a pass back (`kid:id`), or holds a person or a plate, at all gateways of the site, until the next edition of
    /// the list. Traffic officers and supervisors.
    Revoke {
        purpose: String,
        key: String,
        #[serde(default)]
        note: String,
    },
    /// Hands the shift over. Anybody but whoever looks after the box.
    Handover {
        purpose: String,
        #[serde(default)]
        to: String,
        #[serde(default)]
        note: String,
    },
}

impl ConsoleAct {
    const fn what(&self) -> (Act, &String) {
        match self {
            Self::Trace(search) => (Act::Trace, &search.purpose),
            Self::Export(search) => (Act::Export, &search.purpose),
            Self::Review { purpose, .. } => (Act::Review, purpose),
            Self::Revoke { purpose, .. } => (Act::Revoke, purpose),
            Self::Handover { purpose, .. } => (Act::Handover, purpose),
        }
    }
}

/// What the console shows: what the officer may do, and what waits for an approval in the lanes.
#[utoipa::path(get, path = "/api/v1/console",
    responses((status = 200, description = "What the officer may do, and what waits for an approval", body = ref("#/components/schemas/Console")), (status = 401)), security(("session" = [])))]
pub async fn console(State(app): State<App>, headers: HeaderMap) -> Answer<Json<Value>> {
    let officer = signed_in(&app, &headers)?;
    let may: Vec<Act> = Act::ALL.into_iter().filter(|act| act.roles().contains(&officer.role)).collect();
    let mut waits = Vec::new();
    if may.contains(&Act::Review) {
        for (lane, _, title) in &app.lanes {
            let Some(view) = app.overview.views.lanes.get(lane) else { continue };
            let desk: Value = serde_json::from_str(&view.borrow().clone().desk()).unwrap_or_default();
            let visit = &desk["visit"];
            let front = json!({ "id": visit["id"], "ask": desk["ask"], "who": visit["name"] });
            for one in [&front].into_iter().chain(desk["open"].as_array().into_iter().flatten()) {
                if one["ask"]["kind"] == "approve" && one["id"].is_u64() {
                    waits.push(json!({ "lane": lane, "title": title, "visit": one["id"], "who": one["who"],
                        "prompt": one["ask"]["prompt"], "roles": one["ask"]["roles"] }));
                }
            }
        }
    }
    let utc_offset_minutes = app.overview.utc_offset_minutes;
    Ok(Json(json!({ "may": may, "waits": waits, "utc_offset_minutes": utc_offset_minutes })))
}

/// Does something at the console. The answer comes when it is on record.
#[utoipa::path(post, path = "/api/v1/console", operation_id = "console_act", request_body = ConsoleAct,
    params(("Kakou-Officer" = Option<String>, Header, description = "Who is meant to act; if another one is signed in, nothing is done")),
    responses((status = 200, description = "Done and on record; the rows of a search, the latest first, 500 at most", body = ref("#/components/schemas/ConsoleAnswer")), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 503)), security(("session" = [])))]
pub async fn act(
    State(app): State<App>,
    headers: HeaderMap,
    json: Result<Json<ConsoleAct>, JsonRejection>,
) -> Answer<Json<Value>> {
    let officer = signed_in(&app, &headers)?;
    as_shown(&app, &headers, &officer)?;
    let asked = body(json)?;
    let (act, purpose) = asked.what();
    let purpose = purpose.trim().to_owned();
    if let Err(why) = console::may(&officer, act, &purpose) {
        app.overview.metrics.count("console_refused_total");
        return Err(why.into());
    }
    let (asked, answer) = match asked {
        ConsoleAct::Trace(search) => {
            let (query, rows, answer) = look(&app, search).await?;
            (Asked::Trace { query, rows }, answer)
        }
        ConsoleAct::Export(search) => {
            let (query, rows, answer) = look(&app, search).await?;
            (Asked::Export { query, rows }, answer)
        }
        ConsoleAct::Review { lane, visit, approve, note, .. } => {
            lane_of(&app, lane.as_str())?;
            (Asked::Review { lane, visit: visit.map(VisitId), approve, note }, json!({ "ok": true }))
        }
        ConsoleAct::Revoke { key, note, .. } => return take_back(&app, officer, purpose, &key, note).await,
        ConsoleAct::Handover { to, note, .. } => (Asked::Handover { to, note }, json!({ "ok": true })),
    };
    record(&app, officer, purpose, asked).await?;
    Ok(Json(answer))
}

/// What was asked is on record when this returns.
async fn record(app: &App, officer: Officer, purpose: String, asked: Asked) -> Answer<()> {
    let (tx, rx) = oneshot::channel();
    let input = Input::Console { officer, purpose, asked };
    app.engine.try_send(Work::Input(input, Some(tx))).map_err(|_| ApiError::busy())?;
    let answered = tokio::time::timeout(ACT_LIMIT, rx).await;
    let answered: Result<(), Rejection> =
        answered.map_err(|_| ApiError::busy())?.map_err(|_| ApiError::busy())?;
    answered.map_err(ApiError::from)
}

fn named(text: &str) -> Answer<String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > ID_MAX || text.chars().any(char::is_control) {
        return Err(ApiError::bad_body("the id of a person, a plate or a pass has 1 to 128 characters"));
    }
    Ok(text.to_owned())
}

async fn look(app: &App, search: Search) -> Answer<(Query, usize, Value)> {
    if let Some(lane) = &search.lane {
        lane_of(app, lane.as_str())?;
    }
    let subject = search.subject.as_deref().map(named).transpose()?;
    let now_ms = app.overview.clock.now().wall_ms.unwrap_or(0);
    let to_ms = search.to_ms.unwrap_or(now_ms);
    let from_ms = search.from_ms.unwrap_or(to_ms.saturating_sub(DAY_MS));
    if from_ms > to_ms {
        return Err(ApiError::bad_body("`from_ms` is after `to_ms`"));
    }
    let near_ms = search.near_minutes.map(|minutes| i64::from(minutes) * 60_000);
    if near_ms.is_some_and(|ms| ms > contacts::NEAR_MOST_MS) || (near_ms.is_some() && subject.is_none()) {
        return Err(ApiError::bad_body("`near_minutes` is 240 at most, and goes with a `subject`"));
    }
    let overview = app.overview.clone();
    let lane = search.lane;
    if let (Some(near_ms), Some(subject)) = (near_ms, subject.clone()) {
        let window = (from_ms, to_ms, near_ms);
        let found = tokio::task::spawn_blocking(move || near(&overview, lane, &subject, window)).await;
        return found.map_err(|_| ApiError::busy())?.map_err(|e| ApiError::busy().with(e));
    }
    let found = tokio::task::spawn_blocking(move || rows(&overview, lane, subject, (from_ms, to_ms))).await;
    found.map_err(|_| ApiError::busy())?.map_err(|e| ApiError::busy().with(e))
}

/// Who was near a subject: at the same lane shortly before or after. Of one lane, or of all of them.
fn near(
    overview: &Overview,
    lane: Option<LaneId>,
    subject: &str,
    (from_ms, to_ms, near_ms): (i64, i64, i64),
) -> Result<(Query, usize, Value), String> {
    let reader = journal::reader(&overview.data).map_err(|e| e.to_string())?;
    let keys = overview.subjects.borrow().all(&id::normal(subject));
    let sought = contacts::Sought { keys: &keys, from_ms, to_ms, near_ms };
    let mut found = contacts::find(&reader, sought).map_err(|e| e.to_string())?;
    if let Some(lane) = &lane {
        found.contacts.retain(|contact| contact.lanes.contains(lane.as_str()));
    }
    let since = trace::reach(&reader).map_err(|e| e.to_string())?.since_ms.map(rfc3339);
    let rows = found.contacts.len();
    let answer = json!({ "ok": true, "contacts": found.contacts, "own": found.own, "unknown": found.unknown,
        "more": found.truncated, "since": since, "gateway": overview.gateway });
    let subject = keys.into_iter().next();
    Ok((Query { lane, subject, from_ms, to_ms, near_ms: Some(near_ms) }, rows, answer))
}

/// The verdicts of a lane, or of all of them, about a subject, or about everybody.
fn rows(
    overview: &Overview,
    lane: Option<LaneId>,
    subject: Option<String>,
    (from_ms, to_ms): (i64, i64),
) -> Result<(Query, usize, Value), String> {
    let reader = journal::reader(&overview.data).map_err(|e| e.to_string())?;
    let keys = subject.map(|subject| overview.subjects.borrow().all(&id::normal(&subject)));
    let find = |of| trace::find(&reader, of, from_ms, to_ms).map_err(|e| e.to_string());
    let (mut rows, mut more): (Vec<Row>, bool) = match (&keys, &lane) {
        (Some(keys), _) => find(trace::Of::Subjects(keys))?,
        (None, Some(lane)) => find(trace::Of::Lane(lane.as_str()))?,
        (None, None) => {
            let (mut rows, mut more) = (Vec::new(), false);
            for (lane, _) in &overview.lanes {
                let (of_lane, others) = find(trace::Of::Lane(lane.as_str()))?;
                rows.extend(of_lane);
                more |= others;
            }
            rows.sort_by_key(|row| Reverse(row.seq));
            (rows, more)
        }
    };
    if let (Some(_), Some(lane)) = (&keys, &lane) {
        rows.retain(|row| row.lane == lane.as_str());
    }
    more |= rows.len() > trace::MOST;
    rows.truncate(trace::MOST);
    // Looked at last: what was purged meanwhile is told as gone.
    let reach = trace::reach(&reader).map_err(|e| e.to_string())?;
    let subject = keys.and_then(|keys| keys.into_iter().next());
    let query = Query { lane, subject, from_ms, to_ms, near_ms: None };
    let since = reach.since_ms.map(rfc3339);
    let answer =
        json!({ "ok": true, "rows": rows, "more": more, "since": since, "gateway": overview.gateway });
    Ok((query, rows.len(), answer))
}

/// On record first; then the entry stands above its list, and the lanes look at it with the next code.
async fn take_back(
    app: &App,
    officer: Officer,
    purpose: String,
    key: &str,
    note: String,
) -> Answer<Json<Value>> {
    let key = named(key)?;
    let list = if key.contains(':') { "revocation" } else { "hold" };
    let busy = |e: crate::store::StoreError| ApiError::busy().with(e.to_string());
    let data = app.overview.data.clone();
    let there = tokio::task::spawn_blocking(move || revoke::is_there(&data, list)).await;
    if !there.map_err(|_| ApiError::busy())?.map_err(busy)? {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "no_list",
            "本网关还没有该名单：请先装入名单",
            "This gateway has no such list yet: load an edition of it first",
        )
        .with(list));
    }
    let named =
        if list == "hold" { app.overview.subjects.borrow().of(&id::normal(&key)) } else { key.clone() };
    record(app, officer, purpose, Asked::Revoke { list: list.into(), key: named, note }).await?;
    let shared = app.clone();
    let put = tokio::task::spawn_blocking(move || put_for_the_site(&shared, list, &key)).await;
    put.map_err(|_| ApiError::busy())?.map_err(|e| ApiError::busy().with(e.to_string()))?;
    Ok(Json(json!({ "ok": true, "list": list, "site": app.told.is_some() })))
}

/// The entry stands above the list here, and is kept for the other gateways of the site until the broker has it: both
/// are durable when this returns. Where one is not, the officer hears it, and does it again.
fn put_for_the_site(app: &App, list: &'static str, key: &str) -> Result<(), ShareError> {
    let Overview { data, clock, site, gateway, .. } = &*app.overview;
    let Some(word) = revoke::put(data, list, key, clock.now().wall_ms.unwrap_or(0))? else { return Ok(()) };
    if let Some(told) = &app.told {
        let teller = Teller { site: site.as_str(), gateway: gateway.as_str() };
        share::keep(data, teller, key, &[(list, word)])?;
        told.send_modify(|n| *n += 1);
    }
    Ok(())
}
