//! What the gateways of a site tell each other: which single-use passes were used.
//!
//! Each goes on alone while the site's broker is away, so a pass may be used at two gates. When they
//! hear of each other again, the earlier use counts (by time, then by name), and both put the conflict
//! on record as an alert. The broker keeps what it was told for a gateway that is away; one whose
//! session it does not have says hello, and hears everything again. Only passes with a signer are shared: their ids are random, others may be a
//! person's.

use kakou_core::ids::{GatewayId, LaneId, SiteId};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Uses that are told at once.
pub const AT_ONCE: usize = 100;

/// The use of a pass, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// The pass: signer and id.
    pub pass: String,
    /// The lane.
    pub lane: LaneId,
    /// The visit at that gateway.
    pub visit: u64,
    /// When, UTC milliseconds.
    pub at_ms: Option<i64>,
}

/// Uses that are older are not told again.
const AGAIN_MS: i64 = 7 * 86_400_000;

/// Where a gateway tells of uses, and says that it is new: `redemption`, `hello`.
pub fn topic(site: &SiteId, gateway: &str, kind: &str) -> String {
    format!("kakou/v1/{site}/peer/{gateway}/{kind}")
}

/// A gateway is new, or the broker has forgotten it: it must be told again.
pub fn hello(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE redemption SET told = 0 WHERE gateway IS NULL AND coalesce(at_ms, ?1) > ?1 - ?2";
    connection.prepare_cached(sql)?.execute([now_ms, AGAIN_MS]).map(drop)
}

/// Uses that the others have not been told of.
pub fn untold(connection: &Connection) -> rusqlite::Result<Vec<Used>> {
    let sql = "SELECT pass_id, lane, visit, at_ms FROM redemption
               WHERE told = 0 AND gateway IS NULL AND substr(pass_id, 1, 1) <> ':' LIMIT ?1";
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map([i64::try_from(AT_ONCE).unwrap_or(i64::MAX)], |r| {
        Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?, r.get::<_, i64>(2)?, r.get::<_, Option<i64>>(3)?))
    })?;
    let mut out = Vec::new();
    for row in rows {
        let (pass, lane, visit, at_ms) = row?;
        if let Ok(lane) = LaneId::new(lane) {
            out.push(Used { pass, lane, visit: visit.cast_unsigned(), at_ms });
        }
    }
    Ok(out)
}

/// The others know of a use.
pub fn told(connection: &Connection, pass: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE redemption SET told = 1 WHERE pass_id = ?1")?.execute([pass]).map(drop)
}

/// Takes what another gateway tells. A conflict is given back once, as the data of an event.
pub fn take(
    connection: &Connection,
    own: &GatewayId,
    from: &GatewayId,
    used: &Used,
) -> rusqlite::Result<Option<Value>> {
    let sql = "SELECT lane, visit, at_ms, gateway FROM redemption WHERE pass_id = ?1";
    let known = connection
        .prepare_cached(sql)?
        .query_row([&used.pass], |r| {
            Ok((
                r.get::<_, String>(0)?,
                r.get::<_, i64>(1)?,
                r.get::<_, Option<i64>>(2)?,
                r.get::<_, Option<String>>(3)?,
            ))
        })
        .optional()?;
    let put =
        "INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway, told) VALUES (?1, ?2, ?3, ?4, ?5, 1)
               ON CONFLICT (pass_id) DO UPDATE SET lane = ?2, visit = ?3, at_ms = ?4, gateway = ?5, told = 1";
    let (lane, visit) = (used.lane.as_str(), used.visit.cast_signed());
    let theirs = params![used.pass, lane, visit, used.at_ms, from.as_str()];
    let Some((lane, visit, at_ms, gateway)) = known else {
        connection.prepare_cached(put)?.execute(theirs)?;
        return Ok(None);
    };
    let holder = gateway.unwrap_or_else(|| own.to_string());
    if holder == from.as_str() {
        return Ok(None);
    }
    // A use whose time nobody knew counts as later than any that has one.
    let rank = |at_ms: Option<i64>, gateway: &str| (at_ms.unwrap_or(i64::MAX), gateway.to_owned());
    let earlier = rank(used.at_ms, from.as_str()) < rank(at_ms, &holder);
    if earlier {
        connection.prepare_cached(put)?.execute(theirs)?;
    }
    let once = "INSERT OR IGNORE INTO conflict (pass_id, gateway) VALUES (?1, ?2)";
    if connection.prepare_cached(once)?.execute(params![used.pass, from.as_str()])? == 0 {
        return Ok(None);
    }
    Ok(Some(json!({ "pass": used.pass, "first": if earlier { from.as_str() } else { holder.as_str() },
        "uses": [
            { "gateway": holder, "lane": lane, "visit": visit, "at_ms": at_ms },
            { "gateway": from, "lane": used.lane, "visit": used.visit, "at_ms": used.at_ms },
        ] })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn store() -> Connection {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(
            "CREATE TABLE redemption (pass_id TEXT PRIMARY KEY, lane TEXT, visit INTEGER, at_ms INTEGER, gateway TEXT, told INTEGER NOT NULL DEFAULT 0);
             CREATE TABLE conflict (pass_id TEXT, gateway TEXT, PRIMARY KEY (pass_id, gateway));",
        )
        .unwrap();
        c
    }

    proptest! {
        /// Three gates that used one pass while they were apart: in whatever order, and how often
        /// ever, they hear of each other, they agree on who was first.
        #[test]
        fn all_gates_agree_on_the_first_use(
            times in prop::collection::vec(prop::option::of(0_i64..3), 3),
            heard in prop::collection::vec((0_usize..3, 0_usize..3), 0..20),
        ) {
            let names: Vec<GatewayId> = ["a", "b", "c"].iter().map(|n| GatewayId::new(*n).unwrap()).collect();
            let used = |n: usize| Used { pass: "k:1".into(), lane: LaneId::new("l").unwrap(), visit: n as u64, at_ms: times[n] };
            let stores: Vec<Connection> = (0..3).map(|n| {
                let c = store();
                c.execute("INSERT INTO redemption (pass_id, lane, visit, at_ms) VALUES ('k:1', 'l', ?1, ?2)", params![n as i64, times[n]]).unwrap();
                c
            }).collect();
            let everybody = (0..3).flat_map(|to| (0..3).map(move |from| (to, from)));
            let mut conflicts = [0; 3];
            for (to, from) in heard.into_iter().chain(everybody).filter(|(to, from)| to != from) {
                conflicts[to] += usize::from(take(&stores[to], &names[to], &names[from], &used(from)).unwrap().is_some());
            }
            let first = (0..3).min_by_key(|n| (times[*n].unwrap_or(i64::MAX), *n)).unwrap();
            for (n, c) in stores.iter().enumerate() {
                let holder: Option<String> = c.query_row("SELECT gateway FROM redemption", [], |r| r.get(0)).unwrap();
                prop_assert_eq!(holder.unwrap_or_else(|| names[n].to_string()), names[first].to_string());
                prop_assert!((1..=2).contains(&conflicts[n]), "{} alerts", conflicts[n]);
            }
        }
    }
}
