//! Slots of registers, as gateways have told them: each account beside whose word it is, and merged when somebody asks.

use super::bound;
use crate::ingest::From;
use crate::ingest::postgres::{other, whose};
use kakou_core::ids::GatewayId;
use kakou_core::register::{Slot, SlotName};
use kakou_wire::peers::ToldSlot;
use std::collections::BTreeMap;
use std::io;
use tokio_postgres::{Client, Transaction};

/// Accounts that are known already, locked in the order of the keys.
const KNOWN: &str = "
SELECT site, teller, register, key, holder, part, body FROM known.slot
JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
  AS t (site, teller, register, key, holder, part) USING (site, teller, register, key, holder, part)
ORDER BY site, register, key, holder, part, teller FOR UPDATE OF slot";
const KEEP: &str = "
INSERT INTO known.slot (site, teller, register, key, holder, part, body, held)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[])
ON CONFLICT (site, register, key, holder, part, teller) DO UPDATE
  SET body = excluded.body, held = excluded.held, heard = now()";
/// All accounts of what one holder has done under one key.
const OF_SUM: &str = "
SELECT part, teller, body FROM known.slot WHERE site = $1 AND register = $2 AND key = $3 AND holder = $4
ORDER BY part, teller FOR UPDATE";
const DROP: &str = "
DELETE FROM known.slot WHERE site = $1 AND register = $2 AND key = $3 AND holder = $4
AND (part, teller) IN (SELECT * FROM unnest($5::text[], $6::text[]))";
/// All accounts of so many slots behind one, in the order of their names; the oldest account of each first.
const BEHIND: &str = "
SELECT teller, body FROM known.slot JOIN (
  SELECT DISTINCT register, key, holder, part FROM known.slot
  WHERE site = $1 AND (register, key, holder, part) > ($2, $3, $4, $5)
  ORDER BY register, key, holder, part LIMIT $6) AS next USING (register, key, holder, part)
WHERE site = $1 ORDER BY register, key, holder, part, heard, teller";

/// Whose account, and of what.
type Account = (From, SlotName);

/// Keeps what was told; says how many accounts are new or changed.
pub async fn keep(tx: &Transaction<'_>, told: Vec<(From, Slot)>) -> io::Result<u64> {
    let mut all: BTreeMap<Account, Slot> = BTreeMap::new();
    for (from, slot) in told {
        let account = (from, slot.name());
        let merged = match all.remove(&account) {
            Some(before) => before.merge(slot),
            None => slot,
        };
        all.insert(account, merged);
    }
    if all.is_empty() {
        return Ok(0);
    }
    let [sites, tellers, registers, keys, holders, parts] = &columns_of(&all);
    let found = tx.query(KNOWN, &[sites, tellers, registers, keys, holders, parts]).await.map_err(other)?;
    for row in found {
        let text = |at: usize| row.get::<_, String>(at);
        let Some(account) = whose(&row).map(|from| (from, (text(2), text(3), text(4), text(5)))) else {
            continue;
        };
        let Ok(before) = serde_json::from_str::<Slot>(&text(6)) else { continue };
        let Some(slot) = all.remove(&account) else { continue };
        let merged = before.clone().merge(slot);
        if merged != before {
            all.insert(account, merged);
        }
    }
    let [sites, tellers, registers, keys, holders, parts] = &columns_of(&all);
    let bodies: Vec<String> =
        all.values().map(|slot| serde_json::to_string(slot).expect("a slot has only string keys")).collect();
    let held: Vec<bool> = all.values().map(Slot::is_open).collect();
    let kept = tx
        .execute(KEEP, &[sites, tellers, registers, keys, holders, parts, &bodies, &held])
        .await
        .map_err(other)?;
    for ((from, _), fold) in all.iter().filter(|(_, slot)| slot.is_fold()) {
        drop_covered(tx, from.site.as_str(), fold).await?;
    }
    Ok(kept)
}

/// Drops the acts that a fold stands for, whoever has told them.
async fn drop_covered(tx: &Transaction<'_>, site: &str, fold: &Slot) -> io::Result<()> {
    let Slot { register, key, holder, .. } = fold;
    let rows = tx.query(OF_SUM, &[&site, register, key, holder]).await.map_err(other)?;
    let covered = rows.iter().filter(|row| {
        serde_json::from_str::<Slot>(&row.get::<_, String>(2)).is_ok_and(|act| act.is_covered_by(fold))
    });
    let (parts, tellers): (Vec<String>, Vec<String>) =
        covered.map(|row| (row.get::<_, String>(0), row.get::<_, String>(1))).unzip();
    if !parts.is_empty() {
        tx.execute(DROP, &[&site, register, key, holder, &parts, &tellers]).await.map_err(other)?;
    }
    Ok(())
}

/// So many slots of a site behind one, each as all accounts of it say together.
pub async fn behind(client: &Client, site: &str, name: &SlotName, most: usize) -> io::Result<Vec<ToldSlot>> {
    let (register, key, holder, part) = name;
    let rows =
        client.query(BEHIND, &[&site, register, key, holder, part, &bound(most)]).await.map_err(other)?;
    let mut all: BTreeMap<SlotName, ToldSlot> = BTreeMap::new();
    for row in rows {
        let Ok(slot) = serde_json::from_str::<Slot>(&row.get::<_, String>(1)) else { continue };
        let name = slot.name();
        let told = match all.remove(&name) {
            Some(before) => ToldSlot { slot: before.slot.merge(slot), ..before },
            None => ToldSlot { slot, teller: GatewayId::new(row.get::<_, String>(0)).ok() },
        };
        all.insert(name, told);
    }
    Ok(all.into_values().collect())
}

fn columns_of(all: &BTreeMap<Account, Slot>) -> [Vec<String>; 6] {
    let column = |of: fn(&Account) -> String| all.keys().map(of).collect();
    [
        column(|(from, _)| from.site.to_string()),
        column(|(from, _)| from.gateway.to_string()),
        column(|(_, name)| name.0.clone()),
        column(|(_, name)| name.1.clone()),
        column(|(_, name)| name.2.clone()),
        column(|(_, name)| name.3.clone()),
    ]
}
