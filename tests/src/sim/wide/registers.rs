//! Registers as they lie in the journal: each slot that is held has somebody who was let in for it, and no key holds more
//! than it may, but by a named override.

use super::truth::Truth;
use rusqlite::Connection;
use serde_json::Value;
use std::collections::BTreeMap;

/// How many a key holds at most, as the page of the profiles says; a register that is not here has no limit, or one that
/// depends on who comes.
const LIMITS: [(&str, usize); 11] = [
    ("pass-used", 1),
    ("seal", 1),
    ("transit", 1),
    ("companion", 1),
    ("sticker", 1),
    ("sampled", 1),
    ("tube", 10),
    ("card", 1),
    ("collected", 1),
    ("delivery", 1),
    ("consult", 1),
];

/// Looks at all of them. `corrected` says whether staff have corrected anything: a correction may hold what nobody was let
/// in for.
pub fn look(connection: &Connection, gateway: &str, truth: &Truth, corrected: bool) -> Result<u64, String> {
    let sql = "SELECT register, key, holder, held, body FROM slot ORDER BY register, key, holder, part";
    let mut select = connection.prepare_cached(sql).map_err(|e| e.to_string())?;
    let rows =
        select.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(4)?, r.get::<_, bool>(3)?)));
    let rows = rows.map_err(|e| e.to_string())?;
    let mut held: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    let mut slots = 0;
    for row in rows {
        let (register, body, is_held) = row.map_err(|e| e.to_string())?;
        slots += 1;
        let slot: Value = serde_json::from_slice(&body).map_err(|e| format!("a slot of {register}: {e}"))?;
        let put = &slot["put"];
        let end = &slot["end"];
        let open = !put.is_null() && (end.is_null() || stamp(&put["at"]) > stamp(&end["at"]));
        if open != is_held {
            return Err(format!(
                "a slot of {register} is counted as held: {is_held}, what was done to it says {open}"
            ));
        }
        if !open || put["at"]["gateway"] != gateway {
            continue;
        }
        let visit = put["at"]["visit"].as_u64().unwrap_or(0);
        if visit == 0 {
            if corrected {
                continue;
            } else {
                return Err(format!("a slot of {register} is held, and nobody put it there"));
            }
        }
        if !truth.may_hold(visit) {
            return Err(format!("a slot of {register} is held by visit {visit}, which was not let in"));
        }
        let key = slot["key"].as_str().unwrap_or_default().to_owned();
        held.entry((register, key)).or_default().push(visit);
    }
    for ((register, _), visits) in &held {
        let Some((_, most)) = LIMITS.iter().find(|(name, _)| name == register) else { continue };
        if visits.len() <= *most {
            continue;
        }
        let counted = visits.iter().filter(|id| !truth.is_overridden(**id)).count();
        if counted > *most {
            return Err(format!("{counted} hold one key of {register}, {most} may: visits {visits:?}"));
        }
    }
    Ok(slots)
}

fn stamp(at: &Value) -> (i64, &str, u64) {
    (
        at["ms"].as_i64().unwrap_or(0),
        at["gateway"].as_str().unwrap_or_default(),
        at["visit"].as_u64().unwrap_or(0),
    )
}
