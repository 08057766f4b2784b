//! The verdicts of a lane today, and its hours: what staff look back at, and hand over. It names nobody: no subject's
//! key, no name; whom a verdict was about stands in the visits that the desk keeps. Beside it, what whoever asks did in the
//! own shift, at all lanes of this gateway: nobody sees that of somebody else.

use super::App;
use super::api::{Answer, lane_of, signed_in};
use super::error::ApiError;
use crate::overview::Overview;
use crate::store::hours::{self, HOUR_MS, Hours, OUTCOMES};
use crate::store::journal;
use crate::store::shift;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use kakou_core::ids::{LaneId, OfficerId};
use kakou_core::time::rfc3339;
use serde_json::{Value, json};

/// What a lane did today.
#[utoipa::path(get, path = "/api/v1/lanes/{lane}/today", params(("lane" = String, Path)),
    responses((status = 200, description = "Verdicts since midnight at the site, the latest first, 500 at most, and how many in each hour", body = ref("#/components/schemas/Today")), (status = 401), (status = 404), (status = 409), (status = 503)), security(("session" = [])))]
pub async fn today(
    State(app): State<App>,
    Path(lane): Path<String>,
    headers: HeaderMap,
) -> Answer<Json<Value>> {
    let officer = signed_in(&app, &headers)?.id;
    let lane = lane_of(&app, &lane)?;
    let Some(now_ms) = app.overview.clock.now().wall_ms else {
        return Err(ApiError::new(
            axum::http::StatusCode::CONFLICT,
            "not_now",
            "时钟未校准，今天从何时开始不明",
            "The clock is not set: when today began is not known",
        ));
    };
    let overview = app.overview.clone();
    let seen = tokio::task::spawn_blocking(move || look(&overview, &lane, &officer, now_ms)).await;
    seen.map_err(|_| ApiError::busy())?.map(Json).map_err(|e| ApiError::busy().with(e))
}

fn look(overview: &Overview, lane: &LaneId, officer: &OfficerId, now_ms: i64) -> Result<Value, String> {
    let reader = journal::reader(&overview.data).map_err(|e| e.to_string())?;
    let offset_ms = overview.utc_offset_minutes * 60_000;
    let from_ms = hours::local_midnight(now_ms, offset_ms) - offset_ms;
    let hours = usize::try_from((now_ms - from_ms) / HOUR_MS).unwrap_or(0) + 1;
    let (rows, truncated) =
        hours::verdicts(&reader, lane.as_str(), from_ms, now_ms).map_err(|e| e.to_string())?;
    let counts = Hours::default().of(&reader, lane.as_str(), from_ms, hours).map_err(|e| e.to_string())?;
    let own = shift::of(&reader, officer, now_ms).map_err(|e| e.to_string())?;
    Ok(json!({ "from": rfc3339(from_ms), "outcomes": OUTCOMES, "counts": counts, "rows": rows,
        "truncated": truncated, "own": own }))
}
