//! What central operations are given beside the programs: the files of SQL that ship, with a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_central::ingest::postgres::Database;
use kakou_tests::daemon::free_port;
use kakou_tests::postgres::Postgres;
use tokio_postgres::{Client, NoTls};

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test]
async fn the_readers_of_the_database_sign_in_with_their_passwords_and_read_what_the_ingest_makes() {
    let port = free_port();
    let server = Postgres::by_tcp(port).unwrap();
    let superuser = server.url();
    let said = server.psql(&superuser, "roles.sql", &[("GRAFANA", "")]).unwrap_err();
    assert!(said.contains("set GRAFANA and TELEGRAF"), "{said}");
    let passwords = [("GRAFANA", "one's own"), ("TELEGRAF", "two")];
    server.psql(&superuser, "roles.sql", &passwords).unwrap();
    // The ingest, by the role that is called as its user, makes its tables afterwards.
    drop(Database::open(&server.url_of("kakou-central", "kakou")).await.unwrap());
    let by_tcp = |role: &str, password: &str| {
        format!(
            "host=127.0.0.1 port={port} user={role} dbname=kakou password='{}'",
            password.replace('\'', "\\'")
        )
    };
    let grafana = connect(&by_tcp("grafana", "one's own")).await.unwrap();
    for table in ["gateway", "event", "stream", "gap", "conflict", "refused", "event_time"] {
        grafana.query(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap();
    }
    assert!(grafana.execute("DELETE FROM event", &[]).await.is_err(), "it reads alone");
    let telegraf = connect(&by_tcp("telegraf", "two")).await.unwrap();
    telegraf.execute("CREATE TABLE metrics.kakou_gateway (time timestamptz)", &[]).await.unwrap();
    assert!(telegraf.query("SELECT count(*) FROM event", &[]).await.is_err(), "it writes its own alone");
    for (role, password) in [("grafana", "two"), ("telegraf", ""), ("kakou-central", "")] {
        assert!(connect(&by_tcp(role, password)).await.is_err(), "{role} without its password");
    }
}

#[tokio::test]
async fn what_is_older_than_the_days_that_are_kept_is_forgotten_and_receipts_go_on() {
    let server = Postgres::by_tcp(free_port()).unwrap();
    server.psql(&server.url(), "roles.sql", &[("GRAFANA", "g"), ("TELEGRAF", "t")]).unwrap();
    let url = server.url_of("kakou-central", "kakou");
    drop(Database::open(&url).await.unwrap());
    let client = connect(&url).await.unwrap();
    // 30,000 of long ago: more than one piece. The last stands behind a gap.
    client
        .batch_execute(
            "INSERT INTO event (site, gateway, epoch, seq, stream, stream_seq, kind, late, body, received)
             SELECT 's', 'g', 1, n, 0, n, 'kakou.verdict.v1', false, '{}', now() - interval '500 days'
             FROM generate_series(1, 30000) n;
             INSERT INTO event (site, gateway, epoch, seq, stream, stream_seq, kind, late, body, received)
             VALUES ('s', 'g', 1, 30001, 0, 30001, 'kakou.verdict.v1', false, '{}', now() - interval '399 days'),
                    ('s', 'g', 1, 30003, 0, 30003, 'kakou.verdict.v1', false, '{}', now() - interval '500 days');
             INSERT INTO event (site, gateway, epoch, seq, stream, stream_seq, kind, late, body, received)
             SELECT 's', 'gone', 1, n, 0, n, 'kakou.verdict.v1', false, '{}', now() - interval '500 days'
             FROM generate_series(1, 3) n;
             INSERT INTO stream VALUES ('s', 'g', 1, 0, 30001), ('s', 'gone', 1, 0, 3)",
        )
        .await
        .unwrap();
    let said = server.psql(&url, "retention.sql", &[]).unwrap_err();
    assert!(said.contains("say how many days"), "{said}");
    assert!(server.psql(&url, "retention.sql", &[("days", "0")]).is_err(), "not everything");
    server.psql(&url, "retention.sql", &[("days", "400")]).unwrap();
    let rows = client.query("SELECT gateway, stream_seq FROM event ORDER BY 1, 2", &[]).await.unwrap();
    let left: Vec<(&str, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(
        left,
        [("g", 30_001), ("g", 30_003), ("gone", 3)],
        "the last one of a journal says that there was one"
    );
    let through = "SELECT through FROM stream WHERE gateway = 'g'";
    let through: i64 = client.query_one(through, &[]).await.unwrap().get(0);
    assert_eq!(through, 30_001, "nobody takes the stream for new");
}
