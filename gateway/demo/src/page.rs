//! The page of the demo and its controls: cards, and what simulated devices see.

use crate::world::World;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use kakou_gateway::http::error::ApiError;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

type Answer<T> = Result<T, ApiError>;

/// What is served beside the screens of the gateway.
pub fn routes(world: Arc<World>) -> Router {
    let html = || async { text("text/html; charset=utf-8", include_str!("../web/demo.html")) };
    let css = || async { text("text/css; charset=utf-8", include_str!("../web/demo.css")) };
    let js = || async { text("text/javascript; charset=utf-8", include_str!("../web/demo.js")) };
    Router::new()
        .route("/demo", get(html))
        .route("/assets/demo.css", get(css))
        .route("/assets/demo.js", get(js))
        .route("/api/v1/demo", get(demo))
        .route("/api/v1/demo/present", post(present))
        .route("/api/v1/demo/temperature", post(temperature))
        .route("/api/v1/demo/network", post(network))
        .route("/api/v1/demo/camera", post(camera))
        .route("/api/v1/demo/weight", post(weight))
        .route("/api/v1/demo/lanes", post(lanes))
        .with_state(world)
}

/// A file of the page; it changes with the program alone, and is asked for again after each start.
fn text(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

fn body<T>(json: Result<Json<T>, JsonRejection>) -> Answer<T> {
    json.map(|Json(body)| body).map_err(|e| ApiError::bad_body(e.body_text()))
}

fn done(result: Result<(), String>) -> Answer<Json<Value>> {
    result.map(|()| Json(json!({ "ok": true }))).map_err(ApiError::bad_body)
}

/// Cards, lanes, network.
async fn demo(State(world): State<Arc<World>>) -> Json<Value> {
    Json(world.describe())
}

/// A card before a lane's scanner.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Present {
    lane: String,
    card: String,
}

/// Presents a card.
async fn present(
    State(world): State<Arc<World>>,
    json: Result<Json<Present>, JsonRejection>,
) -> Answer<Json<Value>> {
    let b = body(json)?;
    done(world.present(&b.lane, &b.card))
}

/// What stands before a lane's thermometer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Warmth {
    lane: String,
    mdeg: i32,
}

/// Sets a temperature.
async fn temperature(
    State(world): State<Arc<World>>,
    json: Result<Json<Warmth>, JsonRejection>,
) -> Answer<Json<Value>> {
    let b = body(json)?;
    done(world.temperature(&b.lane, b.mdeg))
}

/// The plug of the network.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plug {
    up: bool,
}

/// Pulls or plugs the network.
async fn network(
    State(world): State<Arc<World>>,
    json: Result<Json<Plug>, JsonRejection>,
) -> Answer<Json<Value>> {
    world.network(body(json)?.up);
    done(Ok(()))
}

/// What a lane's camera sees.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    lane: String,
    look: String,
}

/// Sets what a camera sees.
async fn camera(
    State(world): State<Arc<World>>,
    json: Result<Json<Look>, JsonRejection>,
) -> Answer<Json<Value>> {
    let b = body(json)?;
    done(world.camera(&b.lane, &b.look))
}

/// What lies on a lane's scale.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    lane: String,
    grams: i64,
}

/// Sets a weight.
async fn weight(
    State(world): State<Arc<World>>,
    json: Result<Json<Weight>, JsonRejection>,
) -> Answer<Json<Value>> {
    let b = body(json)?;
    done(world.weight(&b.lane, b.grams))
}

/// What is to be switched on: a pack with its lanes, or one lane more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Wanted {
    Pack(String),
    Lane(String),
}

/// Switches lanes on; the gateway starts anew with them when this was answered.
async fn lanes(
    State(world): State<Arc<World>>,
    json: Result<Json<Wanted>, JsonRejection>,
) -> Answer<Json<Value>> {
    done(match body(json)? {
        Wanted::Pack(pack) => world.use_pack(&pack),
        Wanted::Lane(lane) => world.use_lane(&lane),
    })
}
