//! Events of a fleet in PostgreSQL.
//!
//! Several consumers may write at once: an event's key makes it idempotent, and the row of its
//! stream is locked while its end is advanced. A receipt goes out for what is committed.

use super::refusal_log::{ThrottledByGateway, brief};
use super::{About, Complete, From, Ingested, ReceivedEvent, Refusal, StateMessage, Store, words};
use kakou_core::event::Class;
use kakou_core::ids::{GatewayId, SiteId};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, Row, Transaction};

/// The tables.
pub const SCHEMA: &str = include_str!("../../schema.sql");
/// Rows behind the end of a stream that are looked at in one go.
const AHEAD: i64 = 512;
/// A transaction that met another is tried so often.
const TRIES: u32 = 5;
/// Serialises the making of the tables.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7236012)";

/// What a gateway says of itself, and of its health.
const STATE: &str = "
INSERT INTO gateway (site, gateway, online, since, seen, state)
VALUES ($1, $2, coalesce(($3::text::jsonb->>'online')::boolean, false), now(), now(), $3::text::jsonb)
ON CONFLICT (site, gateway) DO UPDATE SET seen = now(), online = excluded.online,
  since = CASE WHEN gateway.online = excluded.online THEN gateway.since ELSE now() END,
  state = coalesce(gateway.state, '{}') || excluded.state";
const HEALTH: &str = "
INSERT INTO gateway (site, gateway, online, since, seen, health, health_at)
VALUES ($1, $2, true, now(), now(), $3::text::jsonb, now())
ON CONFLICT (site, gateway) DO UPDATE SET seen = now(), health = excluded.health, health_at = now()";

const INSERT: &str = "
INSERT INTO event (site, gateway, epoch, seq, stream, stream_seq, kind, at, lane, outcome, subject_key, subject, late,
  body)
SELECT site, gateway, epoch, seq, stream, stream_seq, kind, at::timestamptz, lane, outcome, subject_key, subject, late,
  body::json
FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int2[], $6::int8[], $7::text[], $8::text[],
  $9::text[], $10::text[], $11::int4[], $12::text[], $13::bool[], $14::text[])
  AS t (site, gateway, epoch, seq, stream, stream_seq, kind, at, lane, outcome, subject_key, subject, late, body)
ON CONFLICT DO NOTHING";
/// What is stored keeps its place; what came after it under its number is kept beside it.
const CONFLICTS: &str = "
INSERT INTO conflict (site, gateway, epoch, seq, stream, stream_seq, body)
SELECT t.site, t.gateway, t.epoch, t.seq, t.stream, t.stream_seq, t.body::json
FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int2[], $6::int8[], $7::text[])
  AS t (site, gateway, epoch, seq, stream, stream_seq, body)
JOIN event e USING (site, gateway, epoch, stream, stream_seq) WHERE e.body::text <> t.body
ON CONFLICT DO NOTHING RETURNING site, gateway, epoch, seq";

/// How far streams are complete, in the order in which they are asked for.
const THROUGH: &str = "
SELECT coalesce(s.through, 0) FROM unnest($1::text[], $2::text[], $3::int8[], $4::int2[])
  WITH ORDINALITY AS t (site, gateway, epoch, stream, n)
LEFT JOIN stream s USING (site, gateway, epoch, stream) ORDER BY t.n";

/// What is quarantined, with its bytes as they came: no table looks into it.
const ASIDE: &str = "
INSERT INTO refused (site, gateway, epoch, seq, stream, stream_seq, why, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int2[], $6::int8[], $7::text[], $8::bytea[])
ON CONFLICT DO NOTHING RETURNING site, gateway, epoch, stream, stream_seq";

/// The database.
pub struct Database {
    url: String,
    client: Option<Client>,
    /// Whether there was a connection before.
    known: bool,
    told: ThrottledByGateway,
}

type Key = (From, u64, Class);

/// What is said of an event that comes under the number of another.
const TWICE: &str =
    "another event has its number: do two boxes use this name? It is kept in the table conflict";

/// What a database says that went wrong.
pub(crate) fn other(e: impl std::error::Error) -> io::Error {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(e) = cause {
        text.push_str(&format!(": {e}"));
        cause = e.source();
    }
    io::Error::other(format!("the database: {text}"))
}

/// Whose a row is that begins with the names of site and gateway.
pub(crate) fn whose(row: &Row) -> Option<From> {
    let (site, gateway): (&str, &str) = (row.get(0), row.get(1));
    Some(From { site: SiteId::new(site).ok()?, gateway: GatewayId::new(gateway).ok()? })
}

fn stream_number(class: Class) -> i16 {
    i16::from(class.number())
}

/// A connection of its own.
pub(crate) async fn connect(url: &str) -> io::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(other)?;
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            log::warn!("the database: {e}");
        }
    });
    Ok(client)
}

impl Database {
    /// Connects and makes the tables.
    pub async fn open(url: &str) -> io::Result<Self> {
        let mut database =
            Self { url: url.to_owned(), client: None, known: false, told: ThrottledByGateway::default() };
        database.client().await?;
        Ok(database)
    }

    /// The connection, made anew with the tables when it was lost. That is an error once: whoever stores asks the broker for
    /// everything again that gateways have said of themselves, and so each hears what is here.
    pub async fn client(&mut self) -> io::Result<&mut Client> {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            let mut client = connect(&self.url).await?;
            // It may be another database, or the same one of a day before.
            make_tables(&mut client).await.map_err(other)?;
            self.client = Some(client);
            if std::mem::replace(&mut self.known, true) {
                return Err(io::Error::other(
                    "the database was away; what it has is told to all gateways anew",
                ));
            }
        }
        self.client.as_mut().ok_or_else(|| io::Error::other("no connection"))
    }

    async fn try_take(&mut self, events: &[ReceivedEvent]) -> Result<Ingested, TransactionError> {
        let client = self.client().await?;
        let tx = client.transaction().await?;
        let (aside, good): (Vec<&ReceivedEvent>, Vec<&ReceivedEvent>) =
            events.iter().partition(|e| e.refused.is_some());
        let new = insert(&tx, &good).await?;
        let refused = if aside.is_empty() { Vec::new() } else { quarantine(&tx, &aside).await? };
        let duplicates = events.len() as u64 - new - refused.len() as u64;
        let conflicts = if duplicates > 0 { conflicts(&tx, &good).await? } else { Vec::new() };
        let mut touched: BTreeMap<Key, BTreeSet<u64>> = BTreeMap::new();
        for e in events {
            touched.entry((e.from.clone(), e.epoch, e.stream)).or_default().insert(e.stream_seq);
        }
        let (mut complete, mut behind) = (Vec::new(), Vec::new());
        // In the order of the keys, so that two consumers never wait for each other.
        for (key, seqs) in touched {
            let through = advance(&tx, &key, &seqs).await?;
            let (from, epoch, stream) = key;
            let place = Complete { from, epoch, stream, through };
            if seqs.last().is_some_and(|last| *last > through) {
                behind.push(place.clone());
            }
            complete.push(place);
        }
        tx.commit().await?;
        complete.retain(|c| c.through > 0);
        for (from, number) in &conflicts {
            self.told.note(Some(from), &format!("event {number}"), TWICE);
        }
        let conflicts = conflicts.len() as u64;
        Ok(Ingested { new, duplicates, refused, complete, behind, conflicts, gaps: 0 })
    }

    /// The same, tried again while it meets others.
    async fn try_often(&mut self, events: &[ReceivedEvent]) -> Result<Ingested, TransactionError> {
        for _ in 1..TRIES {
            match self.try_take(events).await {
                Err(TransactionError::Again(e)) => log::debug!("{e}: once more"),
                done => return done,
            }
        }
        self.try_take(events).await
    }

    /// Which events the database cannot keep, and why. It asks for those of each gateway together first, so that
    /// whoever sends good ones costs one question, and halves what it cannot keep until single events are left; nothing
    /// of it stays.
    async fn find_bad(&mut self, events: &[ReceivedEvent]) -> Result<Vec<(usize, String)>, TransactionError> {
        let client = self.client().await?;
        let mut tx = client.transaction().await?;
        let mut by_gateway: BTreeMap<&From, Vec<usize>> = BTreeMap::new();
        for (i, e) in events.iter().enumerate().filter(|(_, e)| e.refused.is_none()) {
            by_gateway.entry(&e.from).or_default().push(i);
        }
        let mut bad = Vec::new();
        let mut open: Vec<Vec<usize>> = by_gateway.into_values().collect();
        while let Some(mut part) = open.pop() {
            let all: Vec<&ReceivedEvent> = part.iter().map(|i| &events[*i]).collect();
            match why_not(&mut tx, &all).await? {
                None => {}
                Some(why) if part.len() == 1 => bad.push((part[0], brief(why))),
                Some(_) => {
                    open.push(part.split_off(part.len() / 2));
                    open.push(part);
                }
            }
        }
        tx.rollback().await?;
        Ok(bad)
    }

    async fn try_keep_state(
        &mut self,
        from: &From,
        message: &StateMessage,
    ) -> Result<Ingested, TransactionError> {
        let client = self.client().await?;
        let tx = client.transaction().await?;
        let mut complete = Vec::new();
        for (&stream, &floor) in &message.floor {
            let key = (from.clone(), message.epoch, stream);
            let through = lock(&tx, &key).await?;
            // No database counts so far, and no gateway.
            if floor <= through || floor >= i64::MAX.cast_unsigned() {
                continue;
            }
            let held = held(&tx, &key, through, floor).await?;
            let mut next = through + 1;
            for seq in held.iter().copied().chain([floor + 1]) {
                if seq > next {
                    let sql = "INSERT INTO gap (site, gateway, epoch, stream, from_seq, to_seq)
                               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
                    let (site, gateway) = (from.site.as_str(), from.gateway.as_str());
                    let (epoch, number) = (message.epoch.cast_signed(), stream_number(stream));
                    let (a, b) = (next.cast_signed(), (seq - 1).cast_signed());
                    tx.execute(sql, &[&site, &gateway, &epoch, &number, &a, &b]).await?;
                    log::error!(
                        "{}/{}: events {next} to {} of {} are lost",
                        from.site,
                        from.gateway,
                        seq - 1,
                        stream.as_str()
                    );
                }
                next = seq + 1;
            }
            set(&tx, &key, floor).await?;
            let through = advance(&tx, &key, &BTreeSet::new()).await?;
            complete.push(Complete { from: from.clone(), epoch: message.epoch, stream, through });
        }
        tx.commit().await?;
        Ok(Ingested { complete, ..Ingested::default() })
    }
}

async fn make_tables(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    let tx = client.transaction().await?;
    // That a table is there already is no news.
    tx.batch_execute("SET LOCAL client_min_messages = warning").await?;
    tx.batch_execute(LOCK).await?;
    tx.batch_execute(SCHEMA).await?;
    mend_words(&tx).await?;
    tx.commit().await
}

/// Why a transaction did not happen.
enum TransactionError {
    /// It met another one: once more.
    Again(io::Error),
    /// Something in it is nothing that the database can keep.
    Data(io::Error),
    /// It did not work.
    Final(io::Error),
}

impl TransactionError {
    fn cause(self) -> io::Error {
        let (Self::Again(e) | Self::Data(e) | Self::Final(e)) = self;
        e
    }
}

impl std::convert::From<tokio_postgres::Error> for TransactionError {
    fn from(e: tokio_postgres::Error) -> Self {
        let met = e.code().is_some_and(|c| {
            *c == SqlState::T_R_DEADLOCK_DETECTED || *c == SqlState::T_R_SERIALIZATION_FAILURE
        });
        if met {
            Self::Again(other(e))
        } else if is_data(&e) {
            Self::Data(other(e))
        } else {
            Self::Final(other(e))
        }
    }
}

impl std::convert::From<io::Error> for TransactionError {
    fn from(e: io::Error) -> Self {
        Self::Final(e)
    }
}

/// Whether it is about what was to be stored: a bad value, one that a constraint, a view or a trigger of this database
/// refuses, or too much of it.
fn is_data(e: &tokio_postgres::Error) -> bool {
    e.code()
        .is_some_and(|c| ["22", "23", "44", "54", "P0001"].iter().any(|class| c.code().starts_with(class)))
}

/// One field of all events, as an array.
macro_rules! column {
    ($events:expr, $e:ident, $value:expr) => {
        $events.iter().map(|$e| $value).collect::<Vec<_>>()
    };
}

async fn insert(tx: &Transaction<'_>, events: &[&ReceivedEvent]) -> Result<u64, TransactionError> {
    let mut sorted: Vec<&ReceivedEvent> = events.to_vec();
    sorted.sort_by(|a, b| {
        (&a.from, a.epoch, a.stream, a.stream_seq).cmp(&(&b.from, b.epoch, b.stream, b.stream_seq))
    });
    let statement = tx.prepare(INSERT).await?;
    let rows = tx
        .execute(
            &statement,
            &[
                &column!(sorted, e, e.from.site.as_str()),
                &column!(sorted, e, e.from.gateway.as_str()),
                &column!(sorted, e, e.epoch.cast_signed()),
                &column!(sorted, e, e.seq.cast_signed()),
                &column!(sorted, e, stream_number(e.stream)),
                &column!(sorted, e, e.stream_seq.cast_signed()),
                &column!(sorted, e, e.kind.as_str()),
                &column!(sorted, e, e.time.as_deref()),
                &column!(sorted, e, e.lane.as_deref()),
                &column!(sorted, e, e.outcome.as_deref()),
                &column!(sorted, e, e.subject_key),
                &column!(sorted, e, e.subject.as_deref()),
                &column!(sorted, e, e.late),
                &column!(sorted, e, e.json.as_str()),
            ],
        )
        .await?;
    Ok(rows)
}

/// Tries to keep events and takes it back; why it cannot be done, if it is for what they say.
async fn why_not(
    tx: &mut Transaction<'_>,
    events: &[&ReceivedEvent],
) -> Result<Option<String>, TransactionError> {
    let point = tx.savepoint("look").await?;
    let tried = match insert(&point, events).await {
        Ok(new) if new < events.len() as u64 => conflicts(&point, events).await.map(drop),
        done => done.map(drop),
    };
    point.rollback().await?;
    match tried {
        Ok(()) => Ok(None),
        Err(TransactionError::Data(why)) => Ok(Some(why.to_string())),
        Err(trouble @ (TransactionError::Again(_) | TransactionError::Final(_))) => Err(trouble),
    }
}

/// Words of gateways that a version before has kept with fields that blind a panel.
async fn mend_words(tx: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
    for row in tx.query("SELECT site, gateway, state::text, health::text FROM gateway", &[]).await? {
        let (site, gateway): (&str, &str) = (row.get(0), row.get(1));
        let bent = |read: &(String, Vec<String>)| !read.1.is_empty();
        let state = row.get::<_, Option<&str>>(2).and_then(words::state).filter(bent).map(|(json, _)| json);
        let health = row.get::<_, Option<&str>>(3).and_then(words::health).filter(bent).map(|(json, _)| json);
        if state.is_some() || health.is_some() {
            let sql = "UPDATE gateway SET state = coalesce($3::text::jsonb, state),
                         health = coalesce($4::text::jsonb, health) WHERE site = $1 AND gateway = $2";
            tx.execute(sql, &[&site, &gateway, &state, &health]).await?;
        }
    }
    Ok(())
}

/// Quarantines events; gives those that are new.
async fn quarantine(
    tx: &Transaction<'_>,
    events: &[&ReceivedEvent],
) -> Result<Vec<(From, Refusal)>, TransactionError> {
    let statement = tx.prepare(ASIDE).await?;
    let why = |e: &ReceivedEvent| e.refused.clone().unwrap_or_default();
    let rows = tx
        .query(
            &statement,
            &[
                &column!(events, e, e.from.site.as_str()),
                &column!(events, e, e.from.gateway.as_str()),
                &column!(events, e, e.epoch.cast_signed()),
                &column!(events, e, e.seq.cast_signed()),
                &column!(events, e, stream_number(e.stream)),
                &column!(events, e, e.stream_seq.cast_signed()),
                &column!(events, e, why(e)),
                &column!(events, e, e.json.as_bytes()),
            ],
        )
        .await?;
    let new: BTreeSet<(String, String, i64, i16, i64)> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3), r.get(4))).collect();
    let key = |e: &ReceivedEvent| {
        let (site, gateway) = (e.from.site.to_string(), e.from.gateway.to_string());
        (site, gateway, e.epoch.cast_signed(), stream_number(e.stream), e.stream_seq.cast_signed())
    };
    Ok(events.iter().filter(|e| new.contains(&key(e))).filter_map(|e| e.refusal()).collect())
}

/// Keeps events whose number another event has; gives those that are new, as EPOCH/SEQUENCE.
async fn conflicts(
    tx: &Transaction<'_>,
    events: &[&ReceivedEvent],
) -> Result<Vec<(From, String)>, TransactionError> {
    let statement = tx.prepare(CONFLICTS).await?;
    let rows = tx
        .query(
            &statement,
            &[
                &column!(events, e, e.from.site.as_str()),
                &column!(events, e, e.from.gateway.as_str()),
                &column!(events, e, e.epoch.cast_signed()),
                &column!(events, e, e.seq.cast_signed()),
                &column!(events, e, stream_number(e.stream)),
                &column!(events, e, e.stream_seq.cast_signed()),
                &column!(events, e, e.json.as_str()),
            ],
        )
        .await?;
    let new: BTreeSet<(String, String, i64, i64)> =
        rows.iter().map(|r| (r.get(0), r.get(1), r.get(2), r.get(3))).collect();
    let key = |e: &ReceivedEvent| {
        (e.from.site.to_string(), e.from.gateway.to_string(), e.epoch.cast_signed(), e.seq.cast_signed())
    };
    let twice = events.iter().filter(|e| new.contains(&key(e)));
    Ok(twice.map(|e| (e.from.clone(), format!("{}/{}", e.epoch, e.seq))).collect())
}

/// The end of a stream, locked for this transaction.
async fn lock(tx: &Transaction<'_>, (from, epoch, stream): &Key) -> Result<u64, TransactionError> {
    let (site, gateway) = (from.site.as_str(), from.gateway.as_str());
    let (epoch, number) = (epoch.cast_signed(), stream_number(*stream));
    let sql = "SELECT through FROM stream WHERE site = $1 AND gateway = $2 AND epoch = $3 AND stream = $4 FOR UPDATE";
    if let Some(row) = tx.query_opt(sql, &[&site, &gateway, &epoch, &number]).await? {
        return Ok(row.get::<_, i64>(0).cast_unsigned());
    }
    let make = "INSERT INTO stream VALUES ($1, $2, $3, $4, 0) ON CONFLICT DO NOTHING";
    tx.execute(make, &[&site, &gateway, &epoch, &number]).await?;
    let row = tx.query_one(sql, &[&site, &gateway, &epoch, &number]).await?;
    Ok(row.get::<_, i64>(0).cast_unsigned())
}

async fn set(
    tx: &Transaction<'_>,
    (from, epoch, stream): &Key,
    through: u64,
) -> Result<(), TransactionError> {
    let (site, gateway) = (from.site.as_str(), from.gateway.as_str());
    let (epoch, number, through) = (epoch.cast_signed(), stream_number(*stream), through.cast_signed());
    let sql =
        "UPDATE stream SET through = $5 WHERE site = $1 AND gateway = $2 AND epoch = $3 AND stream = $4";
    tx.execute(sql, &[&site, &gateway, &epoch, &number, &through]).await?;
    Ok(())
}

/// Events of a stream that are stored, behind one and up to another, in order.
async fn held(
    tx: &Transaction<'_>,
    (from, epoch, stream): &Key,
    after: u64,
    last: u64,
) -> Result<Vec<u64>, TransactionError> {
    let (site, gateway) = (from.site.as_str(), from.gateway.as_str());
    let (epoch, number) = (epoch.cast_signed(), stream_number(*stream));
    let (after, last) = (after.cast_signed(), last.cast_signed());
    let sql = "SELECT stream_seq FROM event WHERE site = $1 AND gateway = $2 AND epoch = $3 AND stream = $4
                 AND stream_seq > $5 AND stream_seq <= $6
               UNION SELECT stream_seq FROM refused WHERE site = $1 AND gateway = $2 AND epoch = $3 AND stream = $4
                 AND stream_seq > $5 AND stream_seq <= $6 ORDER BY stream_seq";
    let rows = tx.query(sql, &[&site, &gateway, &epoch, &number, &after, &last]).await?;
    Ok(rows.iter().map(|r| r.get::<_, i64>(0).cast_unsigned()).collect())
}

/// Moves the end of a stream over what has come: first over these events, then over what was stored
/// beyond a gap that has closed.
async fn advance(tx: &Transaction<'_>, key: &Key, seqs: &BTreeSet<u64>) -> Result<u64, TransactionError> {
    let before = lock(tx, key).await?;
    let mut through = before;
    for seq in seqs.range(before + 1..) {
        if *seq != through + 1 {
            break;
        }
        through = *seq;
    }
    // Only when the end has moved, or stands where it was asked about, can more be behind it.
    while through > before || seqs.is_empty() {
        let ahead = held(tx, key, through, through + AHEAD.cast_unsigned()).await?;
        let start = through;
        for seq in &ahead {
            if *seq != through + 1 {
                break;
            }
            through = *seq;
        }
        if through < start + AHEAD.cast_unsigned() {
            break;
        }
    }
    if through > before {
        set(tx, key, through).await?;
    }
    Ok(through)
}

impl Store for Database {
    async fn take(&mut self, mut events: Vec<ReceivedEvent>) -> io::Result<Ingested> {
        let first = match self.try_often(&events).await {
            Err(TransactionError::Data(e)) => e,
            done => return done.map_err(TransactionError::cause),
        };
        // Something in it cannot be kept: what it is goes aside, and all the rest is stored together, whoever sent it.
        let mut bad = self.find_bad(&events).await;
        for _ in 1..TRIES {
            if !matches!(bad, Err(TransactionError::Again(_))) {
                break;
            }
            bad = self.find_bad(&events).await;
        }
        let bad = bad.map_err(TransactionError::cause)?;
        if bad.is_empty() {
            return Err(first);
        }
        for (i, why) in bad {
            events[i].refused = Some(why);
        }
        self.try_often(&events).await.map_err(TransactionError::cause)
    }

    async fn about(&mut self, from: &From, about: About) -> io::Result<()> {
        let (site, gateway) = (from.site.as_str(), from.gateway.as_str());
        let (read, sql) = match &about {
            About::State(json) => (words::state(json), STATE),
            About::Health(json) => (words::health(json), HEALTH),
        };
        let what = match &about {
            About::State(_) => "state",
            About::Health(_) => "health",
        };
        self.told.rest();
        let Some((json, gone)) = read else {
            self.told.note(Some(from), what, "it is no JSON");
            return Ok(());
        };
        if !gone.is_empty() {
            let why = format!("these have another form, and are left out: {}", gone.join(", "));
            self.told.note(Some(from), &format!("a part of {what}"), why);
        }
        let client = self.client().await?;
        let done = client.execute(sql, &[&site, &gateway, &json]).await;
        // A word that the database cannot keep (a character that JSON allows and jsonb does not) is lost
        // without harm: the next one comes in a minute.
        match done {
            Err(e) if is_data(&e) => {
                self.told.note(Some(from), what, other(e));
                Ok(())
            }
            done => done.map(drop).map_err(other),
        }
    }

    async fn through(&mut self, streams: &[Key]) -> io::Result<Vec<u64>> {
        let rows = self
            .client()
            .await?
            .query(
                THROUGH,
                &[
                    &column!(streams, s, s.0.site.as_str()),
                    &column!(streams, s, s.0.gateway.as_str()),
                    &column!(streams, s, s.1.cast_signed()),
                    &column!(streams, s, stream_number(s.2)),
                ],
            )
            .await
            .map_err(other)?;
        Ok(rows.iter().map(|r| r.get::<_, i64>(0).cast_unsigned()).collect())
    }

    async fn keep_state(&mut self, from: &From, message: &StateMessage) -> io::Result<Ingested> {
        self.try_keep_state(from, message).await.map_err(TransactionError::cause)
    }
}
