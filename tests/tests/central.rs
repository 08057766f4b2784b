//! The store of the central side, with a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_gateway::central::postgres::Database;
use kakou_gateway::central::{self, From, Store};
use kakou_tests::brokers::skip_without;
use kakou_tests::postgres::{Postgres, installed};
use serde_json::json;

fn event(seq: u64, what: &str) -> Vec<u8> {
    let event = json!({ "id": format!("gw-1/5/{seq}"), "type": "kakou.transaction.v1", "stream": "verdict",
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
    let arrived = |payload: &[u8]| central::read(&from, false, payload).unwrap();
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
