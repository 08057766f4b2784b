//! The fleet page and its API: on this machine's loopback, for the operators' own gateway to the
//! world (a reverse proxy with their sign-in) to serve further.

use super::access::{self, Door, Name};
use super::archive::{self, Of};
use super::files;
use super::send::{self, OutgoingMessage};
use super::watch::{Watched, now_ms};
use crate::enrol::subjects::Readers;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use kakou_authority::issuer::Issuer;
use kakou_core::ids::{LaneId, SiteId};
use kakou_core::time::{WallMs, parse_instant};
use kakou_gateway::store::photos::Photos;
use kakou_wire::order::Question;
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A question is not answered after this.
const QUESTION_S: i64 = 60;
/// Whoever has not told the keys of a person by then is not waited for; the database is asked with those that are known.
const KEYS_WAIT: Duration = Duration::from_secs(5);
/// Between two looks whether they are there.
const KEYS_LOOK: Duration = Duration::from_millis(20);

/// What the page works with.
#[derive(Clone)]
pub struct Page {
    /// The fleet.
    pub fleet: Watched,
    /// Photographs of the central side, if they are kept here.
    pub photos: Option<Photos>,
    /// Signs questions, if this page may ask them.
    pub issuer: Option<Arc<Issuer>>,
    /// The public keys of the boxes, if this page may ask for persons.
    pub readers: Option<Readers>,
    /// Who may come, and by which name.
    pub door: Arc<Door>,
    /// The database of the central side: questions are put to it as well.
    pub database: Option<String>,
    /// To the broker.
    pub out: mpsc::Sender<OutgoingMessage>,
}

type Answer = Result<Json<Value>, Response>;

fn refuse(status: StatusCode, code: &str, zh: &str, en: &str) -> Response {
    (status, Json(json!({ "code": code, "zh": zh, "en": en }))).into_response()
}

fn not_found() -> Response {
    refuse(StatusCode::NOT_FOUND, "not_found", "没有找到", "Not found")
}

/// The routes.
pub fn router(page: Page) -> Router {
    Router::new()
        .route("/", get(files::index))
        .route("/assets/{name}", get(files::asset))
        .route("/api/v1/fleet", get(fleet))
        .route("/api/v1/fleet/{site}/{gateway}", get(gateway))
        .route("/api/v1/photo/{sha256}", get(photo))
        .route("/api/v1/codes", get(kakou_gateway::http::api::codes))
        .route("/api/v1/trace", post(ask))
        .route("/api/v1/trace/{id}", get(answers))
        .fallback(|| async { not_found() })
        .layer(axum::middleware::from_fn_with_state(page.door.clone(), guard))
        .layer(DefaultBodyLimit::max(16 * 1024))
        .with_state(page)
}

/// Another site must not reach the page through the operator's browser.
async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let mut response = if door.is_foreign(request.method(), request.headers()) {
        refuse(StatusCode::FORBIDDEN, "foreign", "来源不符", "The request comes from another site")
    } else {
        next.run(request).await
    };
    for (name, value) in kakou_gateway::http::HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn fleet(State(page): State<Page>, headers: HeaderMap) -> Response {
    let you = match page.door.name(&headers) {
        Name::Proven(name) => json!({ "name": name, "asked": false }),
        Name::Missing => json!({ "name": null, "asked": false }),
        Name::Asked => json!({ "name": null, "asked": true }),
    };
    let fleet = page.fleet.lock();
    let mut lines = fleet.lines(now_ms());
    lines.you = Some(you);
    Json(lines).into_response()
}

async fn gateway(State(page): State<Page>, Path((site, gateway)): Path<(String, String)>) -> Answer {
    page.fleet.lock().detail(&site, &gateway, now_ms()).map(Json).ok_or_else(not_found)
}

async fn photo(State(page): State<Page>, Path(sha256): Path<String>) -> Response {
    let Some(photos) = page.photos else { return not_found() };
    match tokio::task::spawn_blocking(move || photos.read(&sha256)).await {
        Ok(Some(bytes)) => ([(header::CONTENT_TYPE, "image/jpeg")], bytes).into_response(),
        Ok(None) | Err(_) => not_found(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    subject: Option<String>,
    #[serde(default)]
    person: Option<String>,
    lane: Option<String>,
    from: String,
    to: String,
    purpose: String,
    /// Who asks, where nobody else says it.
    #[serde(default)]
    by: Option<String>,
}

/// By which name a question goes on record: who signed in, or who says so.
fn asker(door: &Door, headers: &HeaderMap, said: Option<&str>) -> Result<String, Box<Response>> {
    match door.name(headers) {
        Name::Proven(name) => Ok(name),
        Name::Missing => Err(Box::new(refuse(
            StatusCode::FORBIDDEN,
            "no_name",
            "登录服务没有给出您的姓名，不能查询",
            "The sign-in in front of this page does not say who you are: nothing is asked",
        ))),
        // A name that nobody has proven is told as such.
        Name::Asked => match said.and_then(access::clean) {
            Some(name) => Ok(format!("{name} (typed at the fleet page)")),
            None => Err(Box::new(refuse(
                StatusCode::BAD_REQUEST,
                "no_name",
                "请填写您的姓名（不超过 100 字）",
                "Give your name, 100 characters at most",
            ))),
        },
    }
}

async fn ask(
    State(page): State<Page>,
    headers: HeaderMap,
    body: Result<Json<Ask>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let bad = |zh: &str, en: &str| refuse(StatusCode::BAD_REQUEST, "bad_question", zh, en);
    let Some(issuer) = page.issuer.clone() else {
        return Err(refuse(
            StatusCode::FORBIDDEN,
            "no_key",
            "此页面没有查询密钥",
            "This page has no key to ask with: start it with --sign-key",
        ));
    };
    let Json(ask) = body.map_err(|_| bad("请求格式不对", "The request is not of its form"))?;
    let (Some(from_ms), Some(to_ms)) = (parse_instant(&ask.from), parse_instant(&ask.to)) else {
        return Err(bad("时间格式不对", "The times are not dates"));
    };
    let lane = ask.lane.clone().filter(|l| !l.is_empty()).map(LaneId::new).transpose();
    let lane = lane.map_err(|_| bad("通道名称不对", "This is not the name of a lane"))?;
    let subject = ask.subject.clone().filter(|s| !s.is_empty());
    let person = ask.person.as_deref().filter(|p| !p.is_empty());
    if [subject.is_some(), person.is_some(), lane.is_some()].iter().filter(|given| **given).count() != 1 {
        return Err(bad(
            "请填写人员编号、人员键值或通道之一",
            "Give one of: the id of a person, a subject key, a lane",
        ));
    }
    let person = match (person, page.readers.clone()) {
        (None, _) => None,
        (Some(person), Some(readers)) => Some((person, readers)),
        (Some(_), None) => {
            return Err(bad(
                "此页面没有各网关的公钥，不能按人员编号查询",
                "This page has no public keys of boxes to ask for a person with: start it with --readers",
            ));
        }
    };
    let by = asker(&page.door, &headers, ask.by.as_deref()).map_err(|refused| *refused)?;
    if ask.purpose.trim().is_empty() {
        return Err(bad("请填写查询目的", "Say what for"));
    }
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| bad("系统错误", "No random numbers"))?;
    let id = kakou_core::pass::hex(&bytes);
    let sites = page.fleet.lock().sites();
    let mut words = Vec::new();
    for site in sites.iter().filter_map(|s| SiteId::new(s.clone()).ok()) {
        let mut question = Question {
            id: id.clone(),
            site,
            by: by.clone(),
            purpose: ask.purpose.trim().to_owned(),
            subject: subject.clone(),
            person: BTreeMap::new(),
            lane: lane.clone(),
            from_ms,
            to_ms,
            expires: now_ms() / 1000 + QUESTION_S,
        };
        // Boxes without a key there refuse, and are named as such.
        if let Some((person, readers)) = &person {
            send::ask_for(&mut question, person, readers).map_err(|e| bad("不能加密人员编号", &e))?;
        }
        words.push(send::question(&issuer, &question).map_err(|e| bad("不能签名", &e))?);
    }
    let window = (from_ms, to_ms);
    page.fleet.lock().ask(&id, sites.clone(), window, page.database.is_some(), now_ms());
    if let Some(url) = page.database.clone() {
        let of = match (subject, lane) {
            (Some(key), _) => Of::Subject(key),
            (None, Some(lane)) => Of::Lane(lane),
            (None, None) => Of::Person(Vec::new()),
        };
        tokio::spawn(ask_database(url, page.fleet.clone(), id.clone(), sites, of, window));
    }
    for message in words {
        if page.out.send(message).await.is_err() {
            return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, "busy", "暂时不可用", "Not available now"));
        }
    }
    Ok(Json(json!({ "id": id })))
}

/// Asks the database when the gateways have told the keys of a person, or are late.
async fn ask_database(
    url: String,
    fleet: Watched,
    id: String,
    sites: BTreeSet<String>,
    of: Of,
    window: (WallMs, WallMs),
) {
    let of = match of {
        Of::Person(_) => {
            let until = Instant::now() + KEYS_WAIT;
            let keys = loop {
                tokio::time::sleep(KEYS_LOOK).await;
                if let Some(keys) = fleet.lock().keys(&id) {
                    break keys;
                }
                if Instant::now() > until {
                    break fleet.lock().keys_so_far(&id);
                }
            };
            Of::Person(keys)
        }
        of @ (Of::Subject(_) | Of::Lane(_)) => of,
    };
    let found = archive::find(&url, &sites, &of, window).await;
    fleet.lock().found(&id, found, now_ms());
}

async fn answers(State(page): State<Page>, Path(id): Path<String>) -> Answer {
    page.fleet.lock().answers(&id, now_ms()).map(Json).ok_or_else(not_found)
}
