//! Notices to the public (list `notices`): what the idle screen of a lane shows now. Whoever stands before it reads them, so
//! nobody signs in for them.

use super::App;
use super::api::{Answer, lane_of};
use super::error::ApiError;
use crate::store::lists::Lists;
use axum::Json;
use axum::extract::{Path, State};
use kakou_core::ids::LaneId;
use kakou_core::text::Text;
use serde_json::{Map, Value, json};
use std::path::Path as File;

/// Notices of a lane at most; of more those that began last.
const MOST: usize = 12;
/// Characters of a notice at most, as many as a screen shows large.
const LONGEST: usize = 120;

/// What the idle public screen of a lane shows now.
#[utoipa::path(get, path = "/api/v1/lanes/{lane}/notices", params(("lane" = String, Path)),
    responses((status = 200, description = "Notices that have begun and not ended, the latest first, 12 at most; none as long as the time is not known", body = ref("#/components/schemas/Notices")), (status = 404), (status = 503)))]
pub async fn notices(State(app): State<App>, Path(lane): Path<String>) -> Answer<Json<Value>> {
    let lane = lane_of(&app, &lane)?;
    let Some(now_ms) = app.overview.clock.now().wall_ms else { return Ok(Json(json!([]))) };
    let data = app.overview.data.clone();
    let found = tokio::task::spawn_blocking(move || of(&data, &lane, now_ms));
    let found = found.await.map_err(|_| ApiError::busy())?.map_err(|e| ApiError::busy().with(e))?;
    Ok(Json(found.into_iter().map(|(_, text)| json!(text)).collect()))
}

/// When each began, and its words.
fn of(data: &File, lane: &LaneId, now_ms: i64) -> Result<Vec<(i64, Text)>, String> {
    let lists = Lists::open(data).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    let mut take = |_: &str, entry: &Map<String, Value>| {
        found.extend(notice(entry, lane, now_ms));
        false
    };
    lists.each("notices", &mut take).map_err(|e| e.to_string())?;
    found.sort_by_key(|(from_ms, _)| std::cmp::Reverse(*from_ms));
    found.truncate(MOST);
    Ok(found)
}

/// What an entry says at this lane at this moment.
fn notice(entry: &Map<String, Value>, lane: &LaneId, now_ms: i64) -> Option<(i64, Text)> {
    let (from_ms, to_ms) = (entry.get("from_ms")?.as_i64()?, entry.get("to_ms")?.as_i64()?);
    let lanes = entry.get("lanes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let here = lanes.is_empty() || lanes.iter().any(|one| one == lane.as_str());
    let words = |field: &str| {
        let text = entry.get(field)?.as_str()?.trim();
        let shown: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        (!shown.is_empty()).then_some(shown)
    };
    let text = Text::new(words("zh")?, words("en")?);
    (here && (from_ms..to_ms).contains(&now_ms)).then_some((from_ms, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_shown_from_its_beginning_to_its_end_where_it_belongs() {
        let lane = LaneId::new("gate-1").unwrap();
        let entry = |more: Value| {
            let mut entry = json!({ "zh": "明日免费检测", "en": "Free tests tomorrow", "from_ms": 1_000, "to_ms": 2_000 });
            entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            entry.as_object().unwrap().clone()
        };
        let shown = |more: Value, now_ms: i64| notice(&entry(more), &lane, now_ms).map(|(_, text)| text.zh);
        for (more, now_ms, there) in [
            (json!({}), 999, false),
            (json!({}), 1_000, true),
            (json!({}), 1_999, true),
            (json!({}), 2_000, false),
            (json!({ "lanes": ["gate-1", "gate-2"] }), 1_500, true),
            (json!({ "lanes": ["gate-2"] }), 1_500, false),
            (json!({ "zh": " " }), 1_500, false),
            (json!({ "en": 5 }), 1_500, false),
        ] {
            assert_eq!(shown(more.clone(), now_ms).is_some(), there, "{more} at {now_ms}");
        }
        let long = shown(json!({ "zh": "长\u{7}".repeat(300) }), 1_500).unwrap();
        assert_eq!(long, "长".repeat(LONGEST));
    }
}
