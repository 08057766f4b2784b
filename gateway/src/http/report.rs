//! The report of a day, for whoever is signed in: of all lanes of this gateway, to look at, to print, or to take away.

use super::App;
use super::api::{Answer, signed_in};
use super::error::ApiError;
use crate::store::{hours, journal, report};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use kakou_core::time::{parse_instant, rfc3339};
use serde::Deserialize;
use serde_json::{Value, json};

/// Which day.
#[derive(Deserialize)]
pub struct Asked {
    /// `YYYY-MM-DD` at the site; today without it.
    day: Option<String>,
}

/// What the lanes of this gateway did on a day.
#[utoipa::path(get, path = "/api/v1/report", params(("day" = Option<String>, Query, description = "YYYY-MM-DD at the site; without it, today")),
    responses((status = 200, description = "Verdicts of each lane by hour and outcome, and what else happened by kind; nobody is named", body = ref("#/components/schemas/Report")), (status = 400), (status = 401), (status = 409), (status = 503)), security(("session" = [])))]
pub async fn report(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer<Json<Value>> {
    signed_in(&app, &headers)?;
    let Query(Asked { day }) = query.map_err(|e| ApiError::bad_body(e.body_text()))?;
    let offset_ms = app.overview.utc_offset_minutes * 60_000;
    let begins = match &day {
        Some(day) => parse_instant(&format!("{day}T00:00:00Z"))
            .ok_or_else(|| ApiError::bad_body("`day` is a date, as in 2022-05-24"))?,
        None => {
            let now_ms = app.overview.clock.now().wall_ms.ok_or_else(|| {
                ApiError::new(
                    StatusCode::CONFLICT,
                    "not_now",
                    "时钟未校准：请写明日期",
                    "The clock is not set: say which day",
                )
            })?;
            hours::local_midnight(now_ms, offset_ms)
        }
    };
    let from_ms = begins - offset_ms;
    let overview = app.overview.clone();
    let titles: Vec<Value> = app
        .lanes
        .iter()
        .map(|(id, profile, title)| json!({ "id": id, "profile": profile, "title": title }))
        .collect();
    let made = tokio::task::spawn_blocking(move || {
        let reader = journal::reader(&overview.data).map_err(|e| e.to_string())?;
        let lanes = overview.lanes.iter().map(|(id, _)| id.as_str());
        let report = report::of(&reader, lanes, from_ms).map_err(|e| e.to_string())?;
        let made = overview.clock.now().wall_ms.map(rfc3339);
        let mut all = json!({ "site": overview.site, "gateway": overview.gateway, "made": made, "titles": titles,
            "day": &rfc3339(begins)[..10], "utc_offset_minutes": overview.utc_offset_minutes });
        if let (Some(all), Value::Object(report)) = (all.as_object_mut(), json!(report)) {
            all.extend(report);
        }
        Ok::<_, String>(all)
    });
    made.await.map_err(|_| ApiError::busy())?.map(Json).map_err(|e| ApiError::busy().with(e))
}
