//! The store of the central side, with a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_gateway::central::postgres::Database;
use kakou_gateway::central::{self, From, Store};
use kakou_tests::brokers::skip_without;
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
    let arrived = |payload: &[u8]| central::read(&from, false, payload).unwrap().events;
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
    let arrived = central::read(&from, false, batch.as_bytes()).unwrap().events;
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
        central::read(&from, false, text.replace("\"ADMIT\"", data).as_bytes()).unwrap().events
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
