//! What gateways have told, in PostgreSQL.

mod slots;

use crate::ingest::From;
use crate::ingest::postgres::{Database, other, whose};
use kakou_core::evidence::Hash;
use kakou_core::ids::{GatewayId, LaneId};
use kakou_core::records::use_order;
use kakou_core::register::Slot;
use kakou_gateway::upstream::peers::{AT_ONCE, MOST, Rows, fill, slot_at};
use kakou_wire::peers::{ENTRIES, KnownUse, NAMES, Page, SLOTS};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use tokio_postgres::Transaction;

/// Entries that are looked at for a page: more of them have no room in one.
const ENTRIES_AT_ONCE: usize = 40;
/// Entries that one gateway has told and that are kept; of the oldest beyond it some go.
const MOST_ENTRIES: i64 = 1_000;

/// A use that is told again changes nothing; of two uses of one pass the earlier one is kept, as at gateways.
const USES: &str = "
INSERT INTO known.used AS u (site, teller, pass, gateway, lane, visit, at_ms)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::int8[])
ON CONFLICT (site, pass, teller) DO UPDATE
  SET gateway = excluded.gateway, lane = excluded.lane, visit = excluded.visit, at_ms = excluded.at_ms
WHERE (coalesce(excluded.at_ms, 9223372036854775807), excluded.gateway, excluded.visit)
    < (coalesce(u.at_ms, 9223372036854775807), u.gateway, u.visit)";
const TEXTS: &str = "
INSERT INTO known.entry (site, teller, name, text) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
ON CONFLICT DO NOTHING";
const HEARD: &str = "
INSERT INTO known.gateway (site, gateway) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING";
const WHOLE: &str = "
UPDATE known.gateway g SET whole = $3 FROM unnest($1::text[], $2::text[]) AS t (site, gateway)
WHERE g.site = t.site AND g.gateway = t.gateway AND g.whole <> $3";
/// The first use of each pass, whoever has told it.
const BEHIND: &str = "
SELECT DISTINCT ON (pass) pass, gateway, lane, visit, at_ms, teller FROM known.used
WHERE site = $1 AND pass > $2 ORDER BY pass, at_ms NULLS LAST, gateway, visit LIMIT $3";

/// What some messages bring.
#[derive(Debug, Default)]
pub struct Brought {
    /// Uses: whose word each is.
    pub uses: Vec<(From, KnownUse)>,
    /// Slots of registers, likewise.
    pub slots: Vec<(From, Slot)>,
    /// Texts of signed entries, likewise.
    pub entries: Vec<(From, String)>,
    /// Who was heard at all.
    pub heard: BTreeSet<From>,
    /// Who has told more than is taken.
    pub missed: BTreeSet<From>,
    /// Who has told everything.
    pub whole: BTreeSet<From>,
}

/// The tables.
pub struct PeerStore(Database);

impl PeerStore {
    /// In a database whose tables are there.
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// The id of this database, and how much it has heard.
    pub async fn hearing(&mut self) -> io::Result<(String, u64)> {
        let client = self.0.client().await?;
        let row = client.query_one("SELECT id, mark FROM known.hearing", &[]).await.map_err(other)?;
        Ok((row.get(0), row.get::<_, i64>(1).cast_unsigned()))
    }

    /// Of whom everything is known.
    pub async fn whole(&mut self) -> io::Result<BTreeSet<From>> {
        let sql = "SELECT site, gateway FROM known.gateway WHERE whole";
        let rows = self.0.client().await?.query(sql, &[]).await.map_err(other)?;
        Ok(rows.iter().filter_map(whose).collect())
    }

    /// Nothing is known for sure any more, whatever was heard up to a number.
    pub async fn doubt(&mut self, mark: u64) -> io::Result<()> {
        let tx = self.0.client().await?.transaction().await.map_err(other)?;
        tx.execute("UPDATE known.gateway SET whole = false, since = now()", &[]).await.map_err(other)?;
        let sql = "UPDATE known.hearing SET mark = greatest(mark, $1) + 1";
        tx.execute(sql, &[&mark.min(i64::MAX.cast_unsigned() - 1).cast_signed()]).await.map_err(other)?;
        tx.commit().await.map_err(other)
    }

    /// Keeps what was heard. The number of all that was heard, if any of it is new.
    pub async fn hear(&mut self, brought: Brought) -> io::Result<Option<u64>> {
        let tx = self.0.client().await?.transaction().await.map_err(other)?;
        let mut new = gateways(&tx, HEARD, &brought.heard, None).await?;
        new += uses(&tx, &brought.uses).await?;
        new += slots::keep(&tx, brought.slots).await?;
        new += entries(&tx, &brought.entries).await?;
        new += gateways(&tx, WHOLE, &brought.missed, Some(false)).await?;
        new += gateways(&tx, WHOLE, &brought.whole, Some(true)).await?;
        if new == 0 {
            tx.commit().await.map_err(other)?;
            return Ok(None);
        }
        let sql = "UPDATE known.hearing SET mark = mark + 1 RETURNING mark";
        let mark: i64 = tx.query_one(sql, &[]).await.map_err(other)?.get(0);
        tx.commit().await.map_err(other)?;
        Ok(Some(mark.cast_unsigned()))
    }

    /// Of what one gateway has told so much is kept and no more: whatever it says, it displaces its own words alone.
    pub async fn limit(&mut self, from: &From) -> io::Result<()> {
        let client = self.0.client().await?;
        // Of slots what is held goes last.
        let tables = [
            ("used", "heard DESC", MOST),
            ("slot", "NOT held, heard DESC", MOST),
            ("entry", "heard DESC", MOST_ENTRIES),
        ];
        for (table, order, most) in tables {
            let sql = format!(
                "DELETE FROM known.{table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM known.{table}
                 WHERE site = $1 AND teller = $2 ORDER BY {order} OFFSET $3))"
            );
            let gone =
                client.execute(sql.as_str(), &[&from.site.as_str(), &from.gateway.as_str(), &most]).await;
            if gone.map_err(other)? > 0 {
                log::warn!(
                    "{}/{}: it tells of more than any gateway knows; the oldest of it is forgotten. Look at that box",
                    from.site,
                    from.gateway
                );
            }
        }
        Ok(())
    }

    /// A page of what is known of the site of a gateway, behind a place.
    pub async fn page(&mut self, asker: &From, after: String) -> io::Result<Page> {
        let (site, gateway) = (asker.site.as_str(), asker.gateway.as_str());
        let client = self.0.client().await?;
        let mut rows = Rows::new();
        let name = after.strip_prefix(ENTRIES).unwrap_or_default().to_owned();
        // What follows the place in the other tables, too: a page that has room goes on with it.
        let known = if after.starts_with(ENTRIES) {
            Vec::new()
        } else {
            slots::behind(client, site, &slot_at(&after), AT_ONCE).await?
        };
        if !after.starts_with(ENTRIES) && !after.starts_with(SLOTS) {
            let behind = after.strip_prefix("u:").unwrap_or_default();
            let found = client.query(BEHIND, &[&site, &behind, &bound(AT_ONCE)]).await.map_err(other)?;
            rows = found
                .iter()
                .map(|r| {
                    let pass: String = r.get(0);
                    let gateway = GatewayId::new(r.get::<_, String>(1)).ok();
                    let known =
                        gateway.zip(LaneId::new(r.get::<_, String>(2)).ok()).map(|(gateway, lane)| {
                            let (visit, at_ms) = (r.get::<_, i64>(3).cast_unsigned(), r.get(4));
                            let teller = GatewayId::new(r.get::<_, String>(5)).ok();
                            KnownUse { pass: pass.clone(), gateway, lane, visit, at_ms, teller }
                        });
                    (pass, known)
                })
                .collect();
        }
        let sql = "SELECT DISTINCT ON (name) name, text FROM known.entry
                   WHERE site = $1 AND name > $2 ORDER BY name LIMIT $3";
        let found = client.query(sql, &[&site, &name, &bound(ENTRIES_AT_ONCE)]).await.map_err(other)?;
        let texts: BTreeMap<String, String> = found.iter().map(|r| (r.get(0), r.get(1))).collect();
        let entry = |behind: &str| {
            let next = texts.iter().find(|(name, _)| name.as_str() > behind);
            next.map(|(name, text)| (name.clone(), text.clone()))
        };
        let Ok(mut page) = fill(
            Page::empty(asker.gateway.clone(), after),
            |_| Ok::<_, Infallible>(rows),
            |_| Ok(known),
            entry,
        );
        if page.next.is_none() && texts.len() == ENTRIES_AT_ONCE {
            page.next = texts.keys().next_back().map(|name| format!("{ENTRIES}{name}"));
        }
        if page.next.is_some() {
            return Ok(page);
        }
        let sql = "SELECT (extract(epoch FROM since) * 1000)::int8 FROM known.gateway WHERE site = $1 AND gateway = $2";
        let row = client.query_opt(sql, &[&site, &gateway]).await.map_err(other)?;
        page.since_ms = row.map(|r| r.get(0));
        // Whoever asks comes first: it must know whether it is among them.
        let sql = "SELECT gateway FROM known.gateway WHERE site = $1 AND NOT whole ORDER BY gateway <> $2, gateway LIMIT $3";
        let lacks = client.query(sql, &[&site, &gateway, &bound(NAMES)]).await.map_err(other)?;
        page.waits_for = lacks.iter().filter_map(|r| GatewayId::new(r.get::<_, String>(0)).ok()).collect();
        if page.since_ms.is_none() {
            page.waits_for.insert(0, asker.gateway.clone());
            page.waits_for.truncate(NAMES);
        }
        Ok(page)
    }
}

fn bound(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn gateways(
    tx: &Transaction<'_>,
    sql: &str,
    all: &BTreeSet<From>,
    set: Option<bool>,
) -> io::Result<u64> {
    if all.is_empty() {
        return Ok(0);
    }
    let sites: Vec<&str> = all.iter().map(|f| f.site.as_str()).collect();
    let gateways: Vec<&str> = all.iter().map(|f| f.gateway.as_str()).collect();
    let done = match set {
        Some(set) => tx.execute(sql, &[&sites, &gateways, &set]).await,
        None => tx.execute(sql, &[&sites, &gateways]).await,
    };
    done.map_err(other)
}

/// In the order of the keys, so that two consumers never wait for each other; of two uses of one pass that one gateway
/// tells together the earlier one.
async fn uses(tx: &Transaction<'_>, all: &[(From, KnownUse)]) -> io::Result<u64> {
    let mut first: BTreeMap<(&From, &str), &KnownUse> = BTreeMap::new();
    for (from, used) in all {
        let kept = first.entry((from, &used.pass)).or_insert(used);
        let new = use_order(used.at_ms, used.gateway.as_str(), used.visit);
        if new < use_order(kept.at_ms, kept.gateway.as_str(), kept.visit) {
            *kept = used;
        }
    }
    if first.is_empty() {
        return Ok(0);
    }
    let column = |of: fn(&From, &KnownUse) -> String| -> Vec<String> {
        first.iter().map(|((from, _), used)| of(from, used)).collect()
    };
    let visits: Vec<i64> = first.values().map(|used| used.visit.cast_signed()).collect();
    let times: Vec<Option<i64>> = first.values().map(|used| used.at_ms).collect();
    tx.execute(
        USES,
        &[
            &column(|from, _| from.site.to_string()),
            &column(|from, _| from.gateway.to_string()),
            &column(|_, used| used.pass.clone()),
            &column(|_, used| used.gateway.to_string()),
            &column(|_, used| used.lane.to_string()),
            &visits,
            &times,
        ],
    )
    .await
    .map_err(other)
}

async fn entries(tx: &Transaction<'_>, all: &[(From, String)]) -> io::Result<u64> {
    let named: BTreeMap<(&From, String), &str> =
        all.iter().map(|(from, text)| ((from, Hash::of(text.as_bytes()).hex()), text.as_str())).collect();
    if named.is_empty() {
        return Ok(0);
    }
    let sites: Vec<&str> = named.keys().map(|(from, _)| from.site.as_str()).collect();
    let tellers: Vec<&str> = named.keys().map(|(from, _)| from.gateway.as_str()).collect();
    let names: Vec<&str> = named.keys().map(|(_, name)| name.as_str()).collect();
    let texts: Vec<&str> = named.values().copied().collect();
    tx.execute(TEXTS, &[&sites, &tellers, &names, &texts]).await.map_err(other)
}
