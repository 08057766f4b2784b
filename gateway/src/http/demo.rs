//! The controls of the demo: cards and what simulated devices see.

use super::App;
use super::api::{Answer, body};
use super::error::ApiError;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

fn demo_of(app: &App) -> Answer<&dyn super::Demo> {
    app.demo.as_deref().ok_or_else(ApiError::not_found)
}

fn done(result: Result<(), String>) -> Answer<Json<Value>> {
    result.map(|()| Json(json!({ "ok": true }))).map_err(ApiError::bad_body)
}

/// Cards and simulated devices of the demo.
#[utoipa::path(get, path = "/api/v1/demo", responses((status = 200, description = "Cards, lanes, network", body = Object), (status = 404)))]
pub async fn demo(State(app): State<App>) -> Answer<Json<Value>> {
    Ok(Json(demo_of(&app)?.describe()))
}

/// A card before a lane's scanner.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Present {
    lane: String,
    card: String,
}

/// Presents a card.
#[utoipa::path(post, path = "/api/v1/demo/present", request_body = Present, responses((status = 200, description = "Done", body = ref("#/components/schemas/Done")), (status = 400), (status = 404)))]
pub async fn demo_present(
    State(app): State<App>,
    json: Result<Json<Present>, JsonRejection>,
) -> Answer<Json<Value>> {
    let demo = demo_of(&app)?;
    let b = body(json)?;
    done(demo.present(&b.lane, &b.card))
}

/// What stands before a lane's thermometer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Warmth {
    lane: String,
    mdeg: i32,
}

/// Sets a temperature.
#[utoipa::path(post, path = "/api/v1/demo/temperature", request_body = Warmth, responses((status = 200, description = "Done", body = ref("#/components/schemas/Done")), (status = 400), (status = 404)))]
pub async fn demo_temperature(
    State(app): State<App>,
    json: Result<Json<Warmth>, JsonRejection>,
) -> Answer<Json<Value>> {
    let demo = demo_of(&app)?;
    let b = body(json)?;
    done(demo.temperature(&b.lane, b.mdeg))
}

/// The plug of the network.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Plug {
    up: bool,
}

/// Pulls or plugs the network.
#[utoipa::path(post, path = "/api/v1/demo/network", request_body = Plug, responses((status = 200, description = "Done", body = ref("#/components/schemas/Done")), (status = 400), (status = 404)))]
pub async fn demo_network(
    State(app): State<App>,
    json: Result<Json<Plug>, JsonRejection>,
) -> Answer<Json<Value>> {
    let demo = demo_of(&app)?;
    demo.network(body(json)?.up);
    done(Ok(()))
}

/// What a lane's camera sees.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Look {
    lane: String,
    look: String,
}

/// Sets what a camera sees.
#[utoipa::path(post, path = "/api/v1/demo/camera", request_body = Look, responses((status = 200, description = "Done", body = ref("#/components/schemas/Done")), (status = 400), (status = 404)))]
pub async fn demo_camera(
    State(app): State<App>,
    json: Result<Json<Look>, JsonRejection>,
) -> Answer<Json<Value>> {
    let demo = demo_of(&app)?;
    let b = body(json)?;
    done(demo.camera(&b.lane, &b.look))
}
