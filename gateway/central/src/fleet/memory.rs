//! What the database of the central side remembers of the fleet, for whoever has just begun to listen: the last word of
//! each gateway, since when it is online or offline, its last verdicts and pictures, and what was found lost.
//!
//! It reads alone, and asks again each minute: without the database the fleet is shown as far as it is heard.

use super::watch::{Watched, now_ms};
use super::{Aside, Fleet, GatewayStatus};
use crate::ingest::From;
use crate::ingest::postgres::{connect, other, whose};
use kakou_core::time::WallMs;
use kakou_link::shown;
use serde_json::Value;
use std::time::Duration;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(60);
/// Events at the end of a stream among which the last verdicts and pictures are looked for.
const LATEST: i64 = 60;

/// The last words; `health_at` is not there in a database that an earlier version keeps.
const WORDS: &str = "
SELECT g.site, g.gateway, g.online, g.state::text, g.health::text,
  (extract(epoch FROM g.since) * 1000)::int8, (extract(epoch FROM g.seen) * 1000)::int8,
  (extract(epoch FROM coalesce((to_jsonb(g)->>'health_at')::timestamptz, g.seen)) * 1000)::int8
FROM gateway g WHERE $1 = '+' OR g.site = $1";
/// The end of the stream of verdicts, and the pictures that somebody asked for, of the journal that a gateway has now.
const EVENTS: &str = "
SELECT g.site, g.gateway, e.late, e.body::text FROM gateway g
CROSS JOIN LATERAL (SELECT s.stream, max(s.epoch) AS epoch FROM stream s
  WHERE s.site = g.site AND s.gateway = g.gateway AND s.stream IN (0, 1) GROUP BY s.stream) j
CROSS JOIN LATERAL (SELECT late, kind, body FROM event
  WHERE site = g.site AND gateway = g.gateway AND epoch = j.epoch AND stream = j.stream
  ORDER BY stream_seq DESC LIMIT $2) e
WHERE ($1 = '+' OR g.site = $1)
  AND e.kind IN ('kakou.transaction.v1', 'kakou.seal_applied.v1', 'kakou.snapshot.v1')";
/// The conflicts of a day that gateways told: those that follow are heard.
const TOLD: &str = "
SELECT site, gateway, (extract(epoch FROM max(at)) * 1000)::int8, false FROM event
WHERE stream = 0 AND at > now() - interval '1 day' AND at <= now() AND kind = 'kakou.peer_conflict.v1'
  AND ($1 = '+' OR site = $1) GROUP BY site, gateway";
/// What contradicted itself within a day, and which verdicts were lost.
const MARKS: &str = "
SELECT site, gateway, (extract(epoch FROM max(at)) * 1000)::int8, lost FROM (
  SELECT site, gateway, received AS at, false AS lost FROM conflict WHERE received > now() - interval '1 day'
  UNION ALL SELECT site, gateway, found, true FROM gap WHERE stream = 0 AND found > now() - interval '1 day') m
WHERE $1 = '+' OR site = $1 GROUP BY site, gateway, lost";
/// What was quarantined within a day.
const ASIDE: &str = "
SELECT site, gateway, (extract(epoch FROM max(received)) * 1000)::int8, count(*),
  left((array_agg(why ORDER BY received DESC))[1], 200)
FROM refused WHERE received > now() - interval '1 day' AND ($1 = '+' OR site = $1) GROUP BY site, gateway";

/// Reads it until cancelled.
pub async fn run(url: String, site: String, fleet: Watched, cancel: CancellationToken) {
    let (mut client, mut told): (Option<Client>, Option<String>) = (None, None);
    let mut recalled = false;
    fleet.lock().remembers();
    loop {
        let read = async {
            let client = match client.take().filter(|c| !c.is_closed()) {
                Some(client) => client,
                None => connect(&url).await?,
            };
            if !recalled {
                recall(&client, &site, &fleet).await?;
                recalled = true;
            }
            marks(&client, MARKS, &site, &fleet).await?;
            aside(&client, &site, &fleet).await?;
            Ok::<_, std::io::Error>(client)
        };
        let done = tokio::select! { () = cancel.cancelled() => return, done = read => done };
        let fault = match done {
            Ok(open) => {
                client = Some(open);
                None
            }
            Err(e) => Some(e.to_string()),
        };
        if fault != told {
            match &fault {
                Some(why) => log::error!(
                    "fleet: {why}: what was before is not known; it is asked for again each minute"
                ),
                None if told.is_some() => log::info!("fleet: the database answers again"),
                None => {}
            }
            told.clone_from(&fault);
        }
        fleet.lock().forgets(fault);
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(EVERY) => {} }
    }
}

async fn recall(client: &Client, site: &str, fleet: &Watched) -> std::io::Result<()> {
    let json = |text: Option<&str>| text.and_then(|t| serde_json::from_str::<Value>(t).ok());
    let words = client.query(WORDS, &[&site]).await.map_err(other)?;
    {
        let mut fleet = fleet.lock();
        for row in &words {
            let Some(from) = whose(row) else { continue };
            let message = LastState {
                online: row.get(2),
                state: json(row.get(3)),
                health: json(row.get(4)),
                since: row.get(5),
                seen: row.get(6),
                health_at: row.get(7),
            };
            fleet.recall(from, message);
        }
    }
    marks(client, TOLD, site, fleet).await?;
    let events = client.query(EVENTS, &[&site, &LATEST]).await.map_err(other)?;
    let mut fleet = fleet.lock();
    for row in &events {
        let (Some(from), Some(event)) = (whose(row), json(row.get(3))) else { continue };
        fleet.recall_event(from, &event, row.get(2));
    }
    fleet.recalled();
    Ok(())
}

async fn aside(client: &Client, site: &str, fleet: &Watched) -> std::io::Result<()> {
    let rows = client.query(ASIDE, &[&site]).await.map_err(other)?;
    let mut fleet = fleet.lock();
    for row in &rows {
        let Some(from) = whose(row) else { continue };
        let why: Option<&str> = row.get(4);
        let why = shown::line(why.unwrap_or_default());
        fleet.gateways.entry(from).or_default().aside =
            Some(Aside { at: row.get(2), count: row.get(3), why });
    }
    Ok(())
}

async fn marks(client: &Client, sql: &str, site: &str, fleet: &Watched) -> std::io::Result<()> {
    let rows = client.query(sql, &[&site]).await.map_err(other)?;
    let mut fleet = fleet.lock();
    for row in &rows {
        let Some(from) = whose(row) else { continue };
        fleet.mark(from, row.get(2), row.get(3));
    }
    Ok(())
}

/// The last word of a gateway in the database.
#[derive(Debug)]
struct LastState {
    online: bool,
    state: Option<Value>,
    health: Option<Value>,
    since: WallMs,
    seen: WallMs,
    health_at: WallMs,
}

impl Fleet {
    /// A database remembers, and is about to be asked.
    fn remembers(&mut self) {
        self.listening.remembers = true;
    }

    /// It was asked: what it does not know did not happen.
    fn recalled(&mut self) {
        self.listening.recalled = true;
    }

    fn forgets(&mut self, why: Option<String>) {
        self.listening.forgets = why;
    }

    /// What was heard by ourselves meanwhile is newer.
    fn recall(&mut self, from: From, message: LastState) {
        // Nobody has heard anything later than now, whatever a clock said.
        let now = now_ms();
        let (seen, health_at) = (message.seen.min(now), message.health_at.min(now));
        self.listening.recorded = self.listening.recorded.max(Some(seen));
        let known = self.gateways.entry(from).or_default();
        if known.state.is_null() {
            known.state = message.state.unwrap_or_default();
            if let Some(state) = known.state.as_object_mut() {
                state.insert("online".into(), message.online.into());
            }
        }
        let same = known.state["online"] == message.online;
        if same && known.since.is_none_or(|(_, exact)| !exact) {
            known.since = Some((message.since.min(now), true));
        }
        if known.health.is_null()
            && let Some(health) = message.health
        {
            (known.health, known.health_at) = (health, Some(health_at));
        }
        known.seen = known.seen.max(Some(seen));
        known.first = Some(known.first.map_or(seen, |first| first.min(seen)));
    }

    fn recall_event(&mut self, from: From, event: &Value, late: bool) {
        self.gateways.entry(from).or_default().visits.take(event, late);
    }

    fn mark(&mut self, from: From, at: WallMs, lost: bool) {
        let known: &mut GatewayStatus = self.gateways.entry(from).or_default();
        let place = if lost { &mut known.gap } else { &mut known.conflict };
        *place = (*place).max(Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::ids::{GatewayId, SiteId};
    use serde_json::json;

    fn from() -> From {
        From { site: SiteId::new("s").unwrap(), gateway: GatewayId::new("g1").unwrap() }
    }

    fn message(online: bool, at: WallMs) -> LastState {
        let (state, health) = (Some(json!({ "online": online })), Some(json!({ "devices": [] })));
        LastState { online, state, health, since: at, seen: at, health_at: at }
    }

    #[test]
    fn what_the_database_says_of_a_gateway_holds_until_it_is_heard() {
        let mut fleet = Fleet::default();
        let now = now_ms();
        fleet.begins(now);
        fleet.connected(now);
        fleet.recall(from(), message(false, now - 86_400_000));
        let row = |fleet: &Fleet| fleet.rows(now)["gateways"][0].clone();
        assert_eq!(
            (row(&fleet)["since_s"].clone(), row(&fleet)["alarms"].clone()),
            (json!(86_400), json!(["OFFLINE"]))
        );
        // The broker has kept the same: it is offline for as long as the database knows.
        fleet.take_kept("kakou/v1/s/g1/state", br#"{"online":false}"#, now);
        assert_eq!(
            (row(&fleet)["since_s"].clone(), row(&fleet)["since_exact"].clone()),
            (json!(86_400), json!(true))
        );
        fleet.take("kakou/v1/s/g1/state", br#"{"online":true}"#, now);
        fleet.take("kakou/v1/s/g1/health", br#"{"devices":[{"state":"fault"}]}"#, now);
        fleet.recall(from(), message(false, now - 1_000));
        assert_eq!(row(&fleet)["alarms"], json!(["DEVICES"]));
        assert_eq!(row(&fleet)["since_s"], 0);
    }

    #[test]
    fn a_database_that_was_not_read_is_no_proof_that_nothing_happened() {
        let mut fleet = Fleet::default();
        fleet.remembers();
        fleet.take("kakou/v1/s/g1/state", br#"{"online":true}"#, 0);
        let proof = |fleet: &Fleet| fleet.detail("s", "g1", 0).unwrap()["listening"]["database"].clone();
        assert_eq!(proof(&fleet), json!(false));
        fleet.forgets(Some("refused".into()));
        assert_eq!(fleet.rows(0)["listening"]["forgets"], "refused");
        fleet.recalled();
        assert_eq!(proof(&fleet), json!(true));
    }

    #[test]
    fn a_gateway_that_was_silent_before_the_page_began_is_silent_at_once() {
        let mut fleet = Fleet::default();
        let now = now_ms();
        fleet.begins(now);
        fleet.connected(now);
        fleet.recall(from(), message(true, now - 3_600_000));
        assert_eq!(
            fleet.rows(now)["gateways"][0]["alarms"],
            json!([]),
            "nobody else was heard after it either"
        );
        assert_eq!(fleet.rows(now)["gateways"][0]["waiting"], true);
        let other = From { site: SiteId::new("s").unwrap(), gateway: GatewayId::new("g2").unwrap() };
        fleet.recall(other, message(true, now - 60_000));
        assert_eq!(fleet.rows(now)["gateways"][0]["alarms"], json!(["SILENT"]));
        assert_eq!(fleet.rows(now)["gateways"][1]["alarms"], json!([]));
        fleet.mark(from(), now - 1_000, true);
        fleet.mark(from(), now - 100_000_000, false);
        assert_eq!(fleet.rows(now)["gateways"][0]["alarms"], json!(["GAP", "SILENT"]));
    }
}
