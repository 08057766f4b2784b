//! The routes under `/api/v1`.

use super::act::as_shown;
use super::auth::{COOKIE, Denied, SignInPlace};
use super::error::ApiError;
use super::sse::{self, Events};
use super::{App, Peer};
use crate::engine::Work;
use crate::{metrics, overview};
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kakou_core::codes::Code;
use kakou_core::core::Input;
use kakou_core::event::{Class, NewEvent};
use kakou_core::ids::{LaneId, OfficerId};
use kakou_core::lane::action::{Officer, Role};
use kakou_core::text::masked;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::oneshot;
use utoipa::ToSchema;

/// How long an act may wait for the disk.
pub(super) const ACT_LIMIT: Duration = Duration::from_secs(5);
/// A camera shows something within this time.
const PREVIEW_LIMIT: Duration = Duration::from_secs(2);
/// The longest reason, in bytes.
const REASON_MAX: usize = 500;
/// Names that a search shows at most; one more says that there are more.
const SEARCH_LIMIT: usize = 20;

pub(super) type Answer<T> = Result<T, ApiError>;

pub(super) fn lane_of(app: &App, lane: &str) -> Answer<LaneId> {
    LaneId::new(lane)
        .ok()
        .filter(|id| app.overview.views.lanes.contains_key(id))
        .ok_or_else(ApiError::not_found)
}

fn who(app: &App, headers: &HeaderMap) -> Answer<(Officer, String)> {
    let nobody = || match app.officers.entries().is_empty() {
        true => ApiError::no_officers(),
        false => ApiError::signed_out(),
    };
    app.officers.who(headers).ok_or_else(nobody)
}

pub(super) fn signed_in(app: &App, headers: &HeaderMap) -> Answer<Officer> {
    who(app, headers).map(|(officer, _)| officer)
}

pub(super) fn body<T>(json: Result<Json<T>, JsonRejection>) -> Answer<T> {
    json.map(|Json(body)| body).map_err(|e| ApiError::bad_body(e.body_text()))
}

/// The lanes of this gateway.
#[utoipa::path(get, path = "/api/v1/lanes", responses((status = 200, description = "Lanes with profile and title", body = ref("#/components/schemas/Lanes"))))]
pub async fn lanes(State(app): State<App>) -> Json<Value> {
    let all =
        app.lanes.iter().map(|(id, profile, title)| json!({ "id": id, "profile": profile, "title": title }));
    Json(all.collect())
}

/// What the public screen of a lane shows, as server-sent events.
#[utoipa::path(get, path = "/api/v1/lanes/{lane}/screen", params(("lane" = String, Path)),
    responses((status = 200, content_type = "text/event-stream", body = ref("#/components/schemas/Screen"), description = "Events `screen`, each with the whole screen as JSON, and `beat`"), (status = 404)))]
pub async fn screen(State(app): State<App>, Path(lane): Path<String>) -> Answer<Events> {
    let id = lane_of(&app, &lane)?;
    let watched = app.overview.views.lanes[&id].clone();
    Ok(sse::follow("screen", watched, |v| v.screen().to_string(), app.end.clone().cancelled_owned()))
}

/// Devices, lists, outbox, clock, store, counters.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, description = "The status of the gateway", body = ref("#/components/schemas/Status"))))]
pub async fn status(State(app): State<App>) -> Answer<Json<Value>> {
    let status = tokio::task::spawn_blocking(move || app.overview.status()).await;
    status.map(Json).map_err(|_| ApiError::busy())
}

/// The status every two seconds, as server-sent events.
#[utoipa::path(get, path = "/api/v1/status/events",
    responses((status = 200, content_type = "text/event-stream", body = ref("#/components/schemas/Status"), description = "Events `status`, each with the whole status as JSON")))]
pub async fn status_events(State(app): State<App>) -> Events {
    let end = app.end.clone().cancelled_owned();
    sse::repeat("status", overview::SHOWN_EVERY, move || app.overview.clone().shown(), end)
}

/// Counters and gauges as OpenMetrics.
pub async fn metrics(State(app): State<App>) -> Answer<Response> {
    let text = tokio::task::spawn_blocking(move || app.overview.metrics()).await;
    let text = text.map_err(|_| ApiError::busy())?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

/// Who may sign in.
#[utoipa::path(get, path = "/api/v1/officers", responses((status = 200, description = "Officers with name and role", body = ref("#/components/schemas/Officers"))))]
pub async fn officers(State(app): State<App>) -> Json<Value> {
    let all = app.officers.entries().iter().map(|o| json!({ "id": o.id, "name": o.name, "role": o.role }));
    Json(all.collect())
}

/// An officer and a PIN.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    #[schema(value_type = String)]
    officer: OfficerId,
    pin: String,
}

/// Where a PIN comes from.
pub(super) struct Hand<'a> {
    /// The other end of the connection.
    pub(super) peer: IpAddr,
    /// Who is signed in there.
    pub(super) signed_in: Option<&'a OfficerId>,
}

/// Checks a PIN that is given as a sign-in, as a signature, or as the second one.
pub(super) async fn check_pin(
    app: &App,
    hand: &Hand<'_>,
    given_as: &str,
    (id, pin): (OfficerId, String),
) -> Answer<Officer> {
    let (shared, peer) = (app.clone(), hand.peer);
    let (who, place) = (id.clone(), SignInPlace::of(peer, hand.signed_in));
    let checked = tokio::task::spawn_blocking(move || shared.officers.check(&who, &pin, &place)).await;
    let denied = match checked.map_err(|_| ApiError::busy())? {
        Ok(officer) => return Ok(officer),
        Err(denied) => denied,
    };
    app.overview.metrics.count("pin_wrong_total");
    Err(match denied {
        Denied::WrongPin { left, wait_s } => {
            // A try that is not even looked at, and one for a name that nobody has, are counted alone: whoever
            // reaches the screens must not be able to fill the journal.
            if app.officers.find(&id).is_some() {
                audit(
                    app,
                    json!({ "act": "wrong_pin", "officer": id, "as": given_as,
                        "from": peer.to_canonical(), "signed_in": hand.signed_in }),
                );
            }
            ApiError::new(StatusCode::UNAUTHORIZED, "wrong_pin", "密码不对", "Wrong PIN")
                .pin(id, left, wait_s)
        }
        Denied::Wait(s) => ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_tries",
            &format!("错误次数过多，请等待{s}秒"),
            &format!("Too many wrong PINs: wait {s} seconds"),
        )
        .pin(id, 0, s)
        .with(s.to_string()),
    })
}

pub(super) fn audit(app: &App, what: Value) {
    if app.engine.try_send(Work::Input(Input::Audit { what }, None)).is_err() {
        app.overview.metrics.count("audit_dropped_total");
    }
}

/// Signs an officer in.
#[utoipa::path(post, path = "/api/v1/session", request_body = SignIn,
    responses((status = 200, description = "Signed in, with a cookie", body = ref("#/components/schemas/SignedIn")), (status = 401), (status = 429)))]
pub async fn session_begin(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    json: Result<Json<SignIn>, JsonRejection>,
) -> Answer<Response> {
    let SignIn { officer, pin } = body(json)?;
    if app.officers.entries().is_empty() {
        return Err(ApiError::no_officers());
    }
    let before = app.officers.who(&headers).map(|(officer, _)| officer.id);
    let hand = Hand { peer: peer.ip(), signed_in: before.as_ref() };
    let officer = check_pin(&app, &hand, "sign_in", (officer, pin)).await?;
    let token = app.officers.begin(&officer.id, &headers).map_err(|_| ApiError::busy())?;
    audit(&app, json!({ "act": "sign_in", "officer": officer.id }));
    let secure = if app.loopback { "" } else { "; Secure" };
    let cookie = format!("{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/{secure}");
    let name = app.officers.find(&officer.id).map(|o| o.name.clone()).unwrap_or_default();
    let body = Json(json!({ "officer": officer.id, "name": name, "role": officer.role }));
    Ok(([(header::SET_COOKIE, cookie)], body).into_response())
}

/// Who is signed in.
#[utoipa::path(get, path = "/api/v1/session", responses((status = 200, description = "The officer", body = ref("#/components/schemas/SignedIn")), (status = 401)), security(("session" = [])))]
pub async fn session_get(State(app): State<App>, headers: HeaderMap) -> Answer<Json<Value>> {
    let (officer, name) = who(&app, &headers)?;
    Ok(Json(json!({ "officer": officer.id, "name": name, "role": officer.role })))
}

/// Signs out.
#[utoipa::path(delete, path = "/api/v1/session", responses((status = 204, description = "Signed out")))]
pub async fn session_end(State(app): State<App>, headers: HeaderMap) -> StatusCode {
    if let Some(officer) = app.officers.end(&headers) {
        audit(&app, json!({ "act": "sign_out", "officer": officer }));
    }
    StatusCode::NO_CONTENT
}

/// What the desk of a lane shows, as server-sent events.
#[utoipa::path(get, path = "/api/v1/lanes/{lane}/desk", params(("lane" = String, Path)),
    responses((status = 200, content_type = "text/event-stream", body = ref("#/components/schemas/Desk"), description = "Events `desk`, each with the whole desk as JSON, and `beat`"), (status = 401), (status = 404)), security(("session" = [])))]
pub async fn desk(State(app): State<App>, Path(lane): Path<String>, headers: HeaderMap) -> Answer<Events> {
    signed_in(&app, &headers)?;
    let id = lane_of(&app, &lane)?;
    let watched = app.overview.views.lanes[&id].clone();
    let end = async move {
        tokio::select! { () = app.end.cancelled() => {}, () = app.officers.ended(&headers) => {} }
    };
    Ok(sse::follow("desk", watched, |v| v.desk().to_string(), end))
}

/// Every reason code with what it means and what staff do about it.
#[utoipa::path(get, path = "/api/v1/codes", responses((status = 200, description = "Codes in the order of their table", body = ref("#/components/schemas/CodeTable"))))]
pub async fn codes() -> Json<Value> {
    let row = |c: &Code| json!({ "code": c, "text": c.text(), "advice": c.advice(), "second_sign": c.needs_second_sign() });
    Json(Code::ALL.iter().map(row).collect())
}

/// Why a supervisor does not wait for other gateways.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    reason: String,
    pin: String,
}

/// Waits no longer for what other gateways know of single-use passes: a supervisor takes the risk that one was used.
#[utoipa::path(post, path = "/api/v1/uses/release", request_body = Release,
    params(("Kakou-Officer" = Option<String>, Header, description = "Who is meant to act; if another one is signed in, nothing is done")),
    responses((status = 200, description = "Done and durable", body = ref("#/components/schemas/Done")), (status = 400), (status = 401), (status = 403), (status = 409), (status = 503)), security(("session" = [])))]
pub async fn release_uses(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    json: Result<Json<Release>, JsonRejection>,
) -> Answer<Json<Value>> {
    let officer = signed_in(&app, &headers)?;
    as_shown(&app, &headers, &officer)?;
    let Release { reason, pin } = body(json)?;
    let refuse = |status, code, zh: &str, en: &str| Err(ApiError::new(status, code, zh, en));
    if officer.role != Role::Supervisor {
        return refuse(StatusCode::FORBIDDEN, "role", "仅限主管", "Only a supervisor may do this");
    }
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > REASON_MAX {
        return refuse(
            StatusCode::BAD_REQUEST,
            "reason",
            "请填写理由（500字节以内）",
            "Write a reason, at most 500 bytes",
        );
    }
    let hand = Hand { peer: peer.ip(), signed_in: Some(&officer.id) };
    check_pin(&app, &hand, "release_uses", (officer.id.clone(), pin)).await?;
    let overview = app.overview.clone();
    let waits_for =
        tokio::task::spawn_blocking(move || overview.uses_wait_for()).await.map_err(|_| ApiError::busy())?;
    let Some(waits_for) = waits_for else { return Err(ApiError::busy()) };
    if waits_for.is_empty() {
        return refuse(
            StatusCode::CONFLICT,
            "not_now",
            "无需放行：同站用证记录已齐",
            "Nothing waits: the uses of this site are known",
        );
    }
    let event = NewEvent {
        kind: "audit".into(),
        class: Class::Scan,
        lane: None,
        visit: None,
        audience: vec!["ops".into()],
        data: json!({ "act": "release_uses", "officer": officer.id, "reason": reason, "waits_for": waits_for }),
    };
    let (tx, stored) = oneshot::channel();
    app.engine.try_send(Work::ReleaseUses(event, tx)).map_err(|_| ApiError::busy())?;
    match tokio::time::timeout(ACT_LIMIT, stored).await {
        Ok(Ok(_)) => Ok(Json(json!({ "ok": true }))),
        Ok(Err(_)) | Err(_) => Err(ApiError::busy()),
    }
}

/// A name to look for.
#[derive(Deserialize)]
pub struct Name {
    name: String,
}

/// Looks for a person without a card, by name: any part of it, any spelling, or pinyin.
#[utoipa::path(get, path = "/api/v1/lanes/{lane}/search", params(("lane" = String, Path), ("name" = String, Query)),
    responses((status = 200, description = "Ids with names and what tells one from another; the 21st says that there are more", body = ref("#/components/schemas/FoundNames")), (status = 401), (status = 404)), security(("session" = [])))]
pub async fn search(
    State(app): State<App>,
    Path(lane): Path<String>,
    headers: HeaderMap,
    query: Result<Query<Name>, QueryRejection>,
) -> Answer<Json<Value>> {
    let officer = signed_in(&app, &headers)?;
    lane_of(&app, &lane)?;
    let Query(Name { name }) = query.map_err(|e| ApiError::bad_body(e.body_text()))?;
    let name = name.trim().to_owned();
    if name.is_empty() {
        return Ok(Json(json!([])));
    }
    audit(&app, json!({ "act": "search", "officer": officer.id, "lane": lane }));
    let data = app.overview.data.clone();
    let found = tokio::task::spawn_blocking(move || {
        let lists = crate::store::lists::Lists::open(&data).map_err(|e| e.to_string())?;
        lists.search(&name, SEARCH_LIMIT + 1).map_err(|e| e.to_string())
    })
    .await
    .map_err(|_| ApiError::busy())?
    .map_err(|e| ApiError::busy().with(e))?;
    let text = |facts: &serde_json::Map<String, Value>, key: &str| {
        facts.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    // What tells one from another: a class, a ward with its room, a firm.
    let place = |facts: &serde_json::Map<String, Value>| {
        let all = ["group", "ward", "room", "company"].map(|field| text(facts, field));
        all.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let rows = found.iter().map(|(id, facts)| {
        let name = text(facts, "name");
        json!({ "id": id, "name": masked(&name), "full_name": name, "detail": place(facts) })
    });
    Ok(Json(rows.collect()))
}

/// A photograph.
#[utoipa::path(get, path = "/api/v1/photos/{sha256}", params(("sha256" = String, Path)),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>, description = "The picture"), (status = 401), (status = 404)), security(("session" = [])))]
pub async fn photo(
    State(app): State<App>,
    Path(sha256): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    signed_in(&app, &headers)?;
    let photos = app.photos.clone();
    let bytes =
        tokio::task::spawn_blocking(move || photos.read(&sha256)).await.map_err(|_| ApiError::busy())?;
    let bytes = bytes.ok_or_else(ApiError::not_found)?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response())
}

/// What a lane's camera sees now: one JPEG. Ask again for the next.
#[utoipa::path(get, path = "/api/v1/lanes/{lane}/preview", params(("lane" = String, Path)),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>, description = "The picture"), (status = 401), (status = 404, description = "No camera, or it shows nothing")), security(("session" = [])))]
pub async fn preview(
    State(app): State<App>,
    Path(lane): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    signed_in(&app, &headers)?;
    let lane = lane_of(&app, &lane)?;
    // Of several, the one that only takes photographs.
    let of_lane = |d: &&crate::devices::DeviceInfo| {
        d.camera && app.overview.lane_devices.contains(&(d.id.clone(), lane.clone()))
    };
    let seen = app.overview.devices.iter().filter(of_lane).min_by_key(|d| d.reads_codes);
    // The camera makes a picture because somebody looks.
    let mut look = seen.ok_or_else(ApiError::not_found)?.preview.subscribe();
    let fresh = tokio::time::timeout(PREVIEW_LIMIT, look.changed()).await;
    if !matches!(fresh, Ok(Ok(()))) {
        return Err(ApiError::not_found());
    }
    let jpeg = look.borrow().clone().ok_or_else(ApiError::not_found)?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg")], jpeg.to_vec()).into_response())
}
