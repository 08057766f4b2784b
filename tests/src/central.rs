//! The central side as it ships, for bars: `kakou central ingest` as a process that can be killed,
//! and the comparison of a gateway's journal with the central table.

use crate::daemon::programs;
use crate::figures::Missing;
use crate::postgres::Postgres;
use kakou_core::event::Class;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A consumer.
pub struct Ingest {
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Ingest {
    /// On a broker's port, into a database.
    pub fn new(port: u16, database: &Postgres, name: &str, more: &[&str]) -> Self {
        let url = format!("mqtt://127.0.0.1:{port}");
        Self::of(&["--broker", &url], &database.url(), name, more)
    }

    /// The same at the broker that these arguments name, and with their certificate.
    pub fn of(broker: &[&str], database: &str, name: &str, more: &[&str]) -> Self {
        let head = ["central", "ingest", "--database", database, "--client-id", name];
        let arguments = head.iter().chain(broker).chain(more).map(|a| (*a).to_owned()).collect();
        Self { arguments, child: None }
    }

    /// The one that ships for a file.
    pub fn to_file(broker: &[&str], out: &Path) -> Self {
        let mut arguments = ["central", "listen", "--out"].map(str::to_owned).to_vec();
        arguments.push(out.display().to_string());
        arguments.extend(broker.iter().map(|a| (*a).to_owned()));
        Self { arguments, child: None }
    }

    /// Starts it.
    pub fn start(&mut self) -> Result<(), Missing> {
        let child = Command::new(programs().join("kakou"))
            .args(&self.arguments)
            .env("KAKOU_LOG", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a comparison found.
#[derive(Debug, Default, Clone, serde::Serialize)]
pub struct History {
    /// Events in the central table.
    pub central: u64,
    /// The last event of the journal.
    pub head: u64,
    /// Events that are in neither, or only in the journal.
    pub missing: u64,
    /// Events that were purged from the journal and are not in the central table.
    pub purged_unseen: u64,
    /// Events whose bytes differ.
    pub changed: u64,
    /// Gaps that the central side has on record.
    pub gaps: u64,
    /// Events of a lane that stand before an older one.
    pub disordered: u64,
}

impl History {
    /// What is wrong, in words.
    pub fn faults(&self) -> Vec<String> {
        let all = [
            ("events are missing", self.missing),
            ("events were purged before they were receipted", self.purged_unseen),
            ("events differ", self.changed),
            ("gaps are on record", self.gaps),
            ("events of a lane are out of order", self.disordered),
        ];
        all.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")).collect()
    }
}

/// Waits until every stream is complete at the central side.
pub async fn settle(database: &Postgres, journal: &Connection, limit: Duration) -> Result<Duration, Missing> {
    let begun = Instant::now();
    let client = database.look().await?;
    loop {
        let mut behind = 0;
        for class in Class::ALL {
            let sql = "SELECT max(coalesce((SELECT max(stream_seq) FROM event WHERE class = ?1), 0),
                              coalesce((SELECT max(receipted) FROM stream WHERE class = ?1), 0))";
            let head: i64 = journal.query_row(sql, [class.number()], |r| r.get(0))?;
            let sql = "SELECT coalesce(max(through), 0) FROM stream WHERE stream = $1";
            let through: i64 = client.query_one(sql, &[&i16::from(class.number())]).await?.get(0);
            behind += (head - through).max(0);
        }
        if behind == 0 {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > limit {
            return Err(Missing(format!("{behind} events did not arrive within {limit:?}")));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Compares a journal with the central table of its gateway.
pub async fn compare(database: &Postgres, journal: &Connection, gateway: &str) -> Result<History, Missing> {
    let client = database.look().await?;
    let mut found = History::default();
    let mut central: BTreeMap<i64, String> = BTreeMap::new();
    let sql = "SELECT seq, body::text FROM event WHERE gateway = $1";
    for row in client.query(sql, &[&gateway]).await? {
        central.insert(row.get(0), row.get(1));
    }
    found.central = central.len() as u64;
    let head: i64 = journal.query_row("SELECT coalesce(max(seq), 0) FROM event", [], |r| r.get(0))?;
    let purged: i64 = journal.query_row("SELECT coalesce(max(seq), 0) FROM purged", [], |r| r.get(0))?;
    found.head = head.max(purged).cast_unsigned();
    for seq in 1..=purged {
        found.purged_unseen += u64::from(!central.contains_key(&seq));
    }
    let mut select = journal.prepare("SELECT seq, body FROM event WHERE shed = 0 ORDER BY seq")?;
    let mut rows = select.query([])?;
    while let Some(r) = rows.next()? {
        let (seq, body): (i64, Vec<u8>) = (r.get(0)?, r.get(1)?);
        match central.get(&seq) {
            None => found.missing += 1,
            Some(text) => found.changed += u64::from(text.as_bytes() != body),
        }
    }
    let sql = "SELECT count(*) FROM gap WHERE gateway = $1";
    found.gaps = client.query_one(sql, &[&gateway]).await?.get::<_, i64>(0).cast_unsigned();
    let sql = "SELECT count(*) FROM (SELECT seq, lag(seq) OVER (PARTITION BY epoch, lane, stream ORDER BY stream_seq) AS before
               FROM event WHERE gateway = $1 AND lane IS NOT NULL) AS o WHERE seq <= before";
    found.disordered = client.query_one(sql, &[&gateway]).await?.get::<_, i64>(0).cast_unsigned();
    Ok(found)
}

/// Every question that a panel of the dashboard asks, for all gateways.
pub fn panels() -> Vec<String> {
    fn find(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(all) => {
                found.extend(all.get("rawSql").and_then(|sql| sql.as_str()).map(str::to_owned));
                all.values().for_each(|v| find(v, found));
            }
            serde_json::Value::Array(all) => all.iter().for_each(|v| find(v, found)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
    let dashboard = include_str!("../../gateway/central/grafana/dashboards/fleet.json");
    let mut found = Vec::new();
    find(&serde_json::from_str(dashboard).expect("the dashboard is JSON"), &mut found);
    let filled = found.iter().map(|sql| {
        let sql = sql.replace("site IN (${site:sqlstring})", "true");
        let sql = sql.replace("gateway IN (${gateway:sqlstring})", "true");
        let sql = sql.replace("g.true", "true").replace("$__timeFilter(at)", "true");
        let sql = sql.replace("$__timeFilter(received)", "true");
        let sql = sql.replace("$__timeGroupAlias(at,'1h')", "date_trunc('hour', at) AS time");
        sql.replace("$__timeGroupAlias(received,'1m')", "date_trunc('minute', received) AS time")
    });
    filled.collect()
}
