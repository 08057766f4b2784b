//! The store of the central side, with a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_central::ingest::postgres::Database;
use kakou_central::ingest::{self, About, From, Store};
use kakou_tests::brokers::skip_without;
use kakou_tests::central::panels;
use kakou_tests::postgres::{Postgres, installed};
use serde_json::json;

fn event(seq: u64, what: &str) -> Vec<u8> {
    let event = json!({ "id": format!("gw-1/5/{seq}"), "source": "/kakou/test/gw-1", "type": "kakou.transaction.v1", "stream": "verdict",
        "streamseq": seq, "time": "2022-05-24T00:00:00Z", "subject": "gate", "data": { "outcome": what } });
    event.to_string().into_bytes()
}

#[tokio::test]
async fn another_event_under_a_number_that_is_taken_is_no_repetition() {
    if skip_without("postgresql", installed().is_some()) {
        return;
    }
    let server = Postgres::start().unwrap();
    let mut store = Database::open(&server.url()).await.unwrap();
    let from = From { site: "test".parse().unwrap(), gateway: "gw-1".parse().unwrap() };
    let arrived = |payload: &[u8]| ingest::read(&from, false, payload).unwrap().events;
    let first = [arrived(&event(1, "ADMIT")), arrived(&event(2, "DENY"))].concat();
    let taken = store.take(first.clone()).await.unwrap();
    assert_eq!((taken.new, taken.duplicates, taken.conflicts), (2, 0, 0));
    let taken = store.take(first).await.unwrap();
    assert_eq!((taken.new, taken.duplicates, taken.conflicts), (0, 2, 0), "sent again");
    // A second box under the same name, and what it sends comes twice as well.
    for conflicts in [1, 0] {
        let other = [arrived(&event(2, "ADMIT")), arrived(&event(3, "ADMIT"))].concat();
        let taken = store.take(other).await.unwrap();
        assert_eq!(taken.conflicts, conflicts);
        assert_eq!(taken.complete[0].through, 3, "nobody waits for ever");
    }
    let look = server.look().await.unwrap();
    let outcome = |sql: &'static str| {
        let look = &look;
        async move { look.query_one(sql, &[]).await.unwrap().get::<_, String>(0) }
    };
    assert_eq!(outcome("SELECT outcome FROM event WHERE seq = 2").await, "DENY", "the first one stands");
    assert_eq!(outcome("SELECT body->'data'->>'outcome' FROM conflict").await, "ADMIT");
}

#[tokio::test]
async fn an_event_that_no_database_keeps_holds_up_nobody_and_is_kept_aside_as_it_came() {
    if skip_without("postgresql", installed().is_some()) {
        return;
    }
    let server = Postgres::start().unwrap();
    let mut store = Database::open(&server.url()).await.unwrap();
    let from = From { site: "test".parse().unwrap(), gateway: "gw-1".parse().unwrap() };
    let text = |seq: u64| String::from_utf8(event(seq, "ADMIT")).unwrap();
    let clock = |seq: u64| text(seq).replace("kakou.transaction.v1", "kakou.clock.v1");
    // A text that is half a character, a key that no index takes, a type that is no name.
    let half = clock(2).replace("\"data\"", "\"x\":\"\\ud800\",\"data\"");
    let noise: String = (0_u32..4_000).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761))).collect();
    let long = clock(4).replace("\"data\"", &format!("\"boot\":\"{noise}\",\"data\""));
    let name = text(5).replace("kakou.transaction.v1", "kakou.到访.v1");
    let batch = format!("[{},{half},{},{long},{name},{}]", text(1), text(3), text(6));
    let arrived = ingest::read(&from, false, batch.as_bytes()).unwrap().events;
    let taken = store.take(arrived.clone()).await.unwrap();
    let mut refused: Vec<u64> = taken.refused.iter().map(|(_, r)| r.stream_seq).collect();
    refused.sort_unstable();
    assert_eq!((taken.new, refused), (3, vec![2, 4, 5]), "{:?}", taken.refused);
    assert_eq!(taken.complete.iter().map(|c| c.through).max(), Some(6), "the stream goes on");
    let again = store.take(arrived).await.unwrap();
    assert_eq!((again.new, again.duplicates, again.refused.len()), (0, 6, 0), "told once");
    let look = server.look().await.unwrap();
    let row = look.query_one("SELECT body, why FROM refused WHERE stream_seq = 2", &[]).await.unwrap();
    assert_eq!(row.get::<_, Vec<u8>>(0), half.into_bytes());
    assert!(row.get::<_, String>(1).contains("surrogate"), "{}", row.get::<_, String>(1));
}

#[tokio::test]
async fn the_number_of_a_subject_key_is_a_column_also_in_tables_of_an_earlier_version() {
    if skip_without("postgresql", installed().is_some()) {
        return;
    }
    let server = Postgres::start().unwrap();
    drop(Database::open(&server.url()).await.unwrap());
    let look = server.look().await.unwrap();
    look.execute("ALTER TABLE event DROP COLUMN IF EXISTS subject_key", &[]).await.unwrap();
    let mut store = Database::open(&server.url()).await.unwrap();
    let from = From { site: "test".parse().unwrap(), gateway: "gw-1".parse().unwrap() };
    let with = |seq: u64, data: &str| {
        let text = String::from_utf8(event(seq, "ADMIT")).unwrap();
        ingest::read(&from, false, text.replace("\"ADMIT\"", data).as_bytes()).unwrap().events
    };
    let all = [
        with(1, "\"ADMIT\",\"subject_key\":2"),
        with(2, "\"ADMIT\",\"subject_key\":null"),
        with(3, "\"ADMIT\""),
    ];
    assert_eq!(store.take(all.concat()).await.unwrap().new, 3);
    let rows = look.query("SELECT subject_key FROM event ORDER BY seq", &[]).await.unwrap();
    let numbers: Vec<Option<i32>> = rows.iter().map(|r| r.get(0)).collect();
    assert_eq!(numbers, [Some(2), None, None]);
}

/// As a gateway's journal makes it, with some fields of its own.
fn full(gateway: &str, seq: u64, kind: &str, more: &str, data: &str) -> String {
    format!(
        r#"{{"id":"{gateway}/5/{seq}","source":"/kakou/test/{gateway}","type":"{kind}","stream":"verdict","streamseq":{seq},"time":"2022-05-24T00:00:00Z","subject":"gate",{more},"data":{data}}}"#
    )
}

#[tokio::test]
async fn bad_events_of_one_gateway_cost_the_others_one_transaction() {
    if skip_without("postgresql", installed().is_some()) {
        return;
    }
    let server = Postgres::start().unwrap();
    let mut store = Database::open(&server.url()).await.unwrap();
    let look = server.look().await.unwrap();
    let own = "ALTER TABLE event ADD CONSTRAINT own CHECK (body::text NOT LIKE '%never%')";
    look.execute(own, &[]).await.unwrap();
    let mut all = Vec::new();
    for seq in 1..=12 {
        for gateway in ["gw-1", "gw-2", "gw-3", "gw-4", "gw-5"] {
            let from = From { site: "test".parse().unwrap(), gateway: gateway.parse().unwrap() };
            let text =
                full(gateway, seq, "kakou.transaction.v1", "\"boot\":\"b\"", "{\"outcome\":\"ADMIT\"}");
            let mut found = ingest::read(&from, false, text.as_bytes()).unwrap().events;
            if gateway == "gw-3" && seq % 3 > 0 {
                // What no check of ours knows: somebody's own rule in the database.
                found[0].json = text.replace("\"b\"", "\"never\"");
            }
            all.extend(found);
        }
    }
    let taken = store.take(all).await.unwrap();
    assert_eq!((taken.new, taken.refused.len(), taken.conflicts), (52, 8, 0), "{:?}", taken.refused);
    assert!(taken.complete.iter().all(|c| c.through == 12), "{:?}", taken.complete);
    let row = look.query_one("SELECT count(DISTINCT xmin::text) FROM event", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1, "whoever sends good events waits for one transaction");
}

#[tokio::test]
async fn the_index_of_clocks_takes_whatever_an_event_says_also_in_tables_of_an_earlier_version() {
    if skip_without("postgresql", installed().is_some()) {
        return;
    }
    let server = Postgres::start().unwrap();
    drop(Database::open(&server.url()).await.unwrap());
    let look = server.look().await.unwrap();
    let before = "CREATE INDEX IF NOT EXISTS event_clock ON event (site, gateway, (body->>'boot')) WHERE kind = 'kakou.clock.v1'";
    look.execute(before, &[]).await.unwrap();
    let mut store = Database::open(&server.url()).await.unwrap();
    let from = From { site: "test".parse().unwrap(), gateway: "gw-1".parse().unwrap() };
    let noise: String = (0_u32..4_000).map(|n| format!("{:08x}", n.wrapping_mul(2_654_435_761))).collect();
    let known = "\"boot\":\"b\",\"clocksynced\":true";
    let mut all = Vec::new();
    for (seq, more) in (1..).zip([
        "\"boot\":\"\\ud800\"",
        "\"boot\":\"\\u0000\"",
        &format!("\"boot\":\"{noise}\""),
        "\"boot\":{}",
        known,
    ]) {
        let text = full("gw-1", seq, "kakou.clock.v1", more, "{\"offset_ms\":1653350400000}");
        let mut found = ingest::read(&from, false, text.as_bytes()).unwrap().events;
        // As if no check had found it.
        (found[0].refused, found[0].kind) = (None, "kakou.clock.v1".into());
        all.extend(found);
    }
    let dated = "\"boot\":\"b\",\"monoms\":5000,\"clocksynced\":false";
    let text = full("gw-1", 6, "kakou.transaction.v1", dated, "{}");
    all.extend(ingest::read(&from, false, text.as_bytes()).unwrap().events);
    let taken = store.take(all).await.unwrap();
    assert_eq!((taken.new, taken.refused.len()), (6, 0), "{:?}", taken.refused);
    let sql = "SELECT extract(epoch FROM corrected)::float8 FROM event_time WHERE seq = 6";
    assert_eq!(look.query_one(sql, &[]).await.unwrap().get::<_, f64>(0), 1_653_350_405.0);
}

#[tokio::test]
async fn no_event_and_no_health_report_blinds_the_views_of_the_fleet() {
    if skip_without("postgresql", installed().is_some()) {
        return;
    }
    let server = Postgres::start().unwrap();
    let mut store = Database::open(&server.url()).await.unwrap();
    let from = |gateway: &str| From { site: "test".parse().unwrap(), gateway: gateway.parse().unwrap() };
    let unconfirmed = "\"boot\":\"b\",\"monoms\":5000,\"clocksynced\":false,\"clockquality\":\"unsynced\"";
    let known = unconfirmed.replace("false", "true");
    let transaction = "kakou.transaction.v1";
    let good = [
        full("gw-1", 1, transaction, unconfirmed, "{\"outcome\":\"ADMIT\"}"),
        full("gw-1", 2, "kakou.clock.v1", &known, "{\"offset_ms\":1653350400000}"),
    ];
    for text in &good {
        let events = ingest::read(&from("gw-1"), false, text.as_bytes()).unwrap().events;
        assert!(events[0].refused.is_none(), "{events:?}");
        store.take(events).await.unwrap();
    }
    let mut seq = 0;
    for kind in [transaction, "kakou.clock.v1"] {
        for more in [
            "\"boot\":\"b\",\"clocksynced\":\"zonk\"",
            "\"boot\":\"b\",\"clocksynced\":false,\"monoms\":\"x\"",
            "\"boot\":\"b\",\"clocksynced\":false,\"monoms\":1.5",
            "\"boot\":\"b\",\"clocksynced\":false,\"monoms\":9223372036854775807",
            "\"boot\":\"b\",\"clocksynced\":false,\"monoms\":1e400",
            "\"boot\":{},\"clocksynced\":true",
            "\"boot\":\"b\",\"clocksynced\":true,\"x\":\"\\u0000\"",
            "\"boot\":\"b\",\"clocksynced\":false,\"x\":\"\\ud800\"",
        ] {
            for offset in ["\"zonk\"", "9223372036854775807", "-9223372036854775808", "1.5", "[]"] {
                seq += 1;
                let text = full("gw-2", seq, kind, more, &format!("{{\"offset_ms\":{offset}}}"));
                let mut events = ingest::read(&from("gw-2"), false, text.as_bytes()).unwrap().events;
                store.take(events.clone()).await.unwrap();
                // As the version before has stored them.
                (events[0].from, events[0].refused, events[0].kind) = (from("gw-3"), None, kind.into());
                store.take(events).await.unwrap();
            }
        }
    }
    let look = server.look().await.unwrap();
    let corrected =
        "SELECT extract(epoch FROM corrected)::float8 FROM event_time WHERE gateway = 'gw-1' AND seq = 1";
    let corrected: f64 = look.query_one(corrected, &[]).await.unwrap().get(0);
    assert_eq!(corrected, 1_653_350_405.0);
    let all = look.query("SELECT * FROM event_time", &[]).await;
    assert!(all.is_ok(), "{all:?}");

    let healthy = json!({ "version": "1", "certificate": { "days": 80 }, "clock": { "synced": true }, "box": { "temp_c": 41.5 },
        "photos": { "waiting": 3 }, "store": { "state": "ok", "free_bytes": 9 }, "counters": { "a_total": 1 },
        "outbox": [{ "class": "verdict", "unpublished": 1, "unreceipted": 2, "oldest_age_s": null }],
        "lists": [{ "name": "status", "version": 1, "entries": 2, "age_s": null, "stale": true, "signed": false }],
        "devices": [{ "id": "d", "driver": "x", "state": "fault", "errors": 1, "latency_ms": 0.5, "since_s": 4, "detail": "" }] });
    let state = json!({ "online": true, "epoch": 5, "version": "1", "heads": { "verdict": 2 }, "floor": {} });
    store.about(&from("gw-1"), About::State(state.to_string())).await.unwrap();
    store.about(&from("gw-1"), About::Health(healthy.to_string())).await.unwrap();
    let stored = "SELECT health FROM gateway WHERE gateway = 'gw-1'";
    let as_text = "SELECT (health = $1::text::jsonb) FROM gateway WHERE gateway = 'gw-1'";
    let same: bool = look.query_one(as_text, &[&healthy.to_string()]).await.unwrap().get(0);
    assert!(same, "what is as it should be stays as it is: {stored}");
    // Each field of both, in each form that it should not have.
    let mut n = 0;
    let mut odd = Vec::new();
    for (what, whole) in [("health", &healthy), ("state", &state)] {
        for pointer in fields(whole) {
            for value in [
                json!("zonk"),
                json!([]),
                json!({}),
                json!([7]),
                json!(1.5),
                json!(i64::MIN),
                json!(null),
                json!(true),
            ] {
                let mut bent = whole.clone();
                *bent.pointer_mut(&pointer).unwrap() = value;
                n += 1;
                odd.push((format!("odd-{n}"), what, bent.to_string()));
            }
        }
    }
    for (name, what, text) in &odd {
        let about = if *what == "health" { About::Health(text.clone()) } else { About::State(text.clone()) };
        store.about(&from(name), about).await.unwrap();
    }
    let panels = panels();
    assert!(panels.len() > 15);
    for sql in &panels {
        let rows = look.query(sql, &[]).await;
        assert!(rows.is_ok(), "{sql}: {rows:?}");
    }
    // What the version before has stored is mended when the consumer starts.
    for (name, what, text) in &odd {
        let sql = format!("UPDATE gateway SET {what} = $2::text::jsonb WHERE gateway = $1");
        look.execute(&sql, &[name, text]).await.unwrap();
    }
    for sql in &panels {
        let rows = look.query(sql, &[]).await;
        assert!(rows.is_ok(), "as it was stored: {sql}: {rows:?}");
    }
    drop(store);
    drop(Database::open(&server.url()).await.unwrap());
    for sql in &panels {
        let rows = look.query(sql, &[]).await;
        assert!(rows.is_ok(), "after a start: {sql}: {rows:?}");
    }
}

/// Where everything in a document stands.
fn fields(value: &serde_json::Value) -> Vec<String> {
    let inner: Vec<(String, &serde_json::Value)> = match value {
        serde_json::Value::Object(all) => all.iter().map(|(k, v)| (k.clone(), v)).collect(),
        serde_json::Value::Array(all) => all.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => Vec::new(),
    };
    let below = |(name, v): (String, &serde_json::Value)| {
        let own = format!("/{name}");
        let deeper: Vec<String> = fields(v).iter().map(|f| format!("{own}{f}")).collect();
        std::iter::once(own).chain(deeper).collect::<Vec<_>>()
    };
    inner.into_iter().flat_map(below).collect()
}
