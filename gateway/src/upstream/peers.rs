//! What the gateways of a site tell each other: which single-use passes and which seal numbers were used, and what stands
//! in the registers that they share ([`crate::store::journal::slots`]).
//!
//! Each goes on alone while the site's broker is away, so a pass may be used at two gates. When they
//! hear of each other again, the earlier use counts (by time, then by name), and both put the conflict
//! on record as an alert. The broker keeps what it was told for a gateway that is away; one whose
//! session it does not have says hello, and hears everything again. A use that turns out to be the later one is told
//! as well, or the other gateway would not know of the conflict. A pass with a signer goes by its random id; one
//! of a list by a key that is made of its plate, or of the number of a person, with the key of the site, so that
//! the broker cannot tell whose it is (`~list:KEY`); a seal by its number (`~seal:NUMBER`).
//!
//! A box that is new at its site asks the others for everything that they know of, not of themselves alone: what
//! the box before it has used is known to nobody else. They answer in small pages, each when it is asked for
//! ([`super::exchange`]).
//!
//! A use is forgotten when its pass has ended. When a pass ends that was used elsewhere is not told: such a use
//! is kept for [`PEER_KEEP_MS`]. Of what one gateway tells, of itself or of others, [`MOST`] are kept, and
//! [`CONFLICTS`] are put on record: whatever it says, it displaces its own words alone.

use super::budget;
use crate::store::journal::slots;
use crate::store::{bound, catch_up, has_column};
use kakou_core::ids::{GatewayId, LaneId};
use kakou_core::records::use_order;
use kakou_core::register::SlotName;
use kakou_wire::peers::{ENTRIES, KnownUse, LONGEST_PASS, NAMES, Page, SEAL, SLOTS, ToldSlot, Used};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

/// Uses that are told at once.
pub const AT_ONCE: usize = 100;
/// Uses that one other gateway has told and that are kept; beyond it those go that end first.
pub const MOST: i64 = 100_000;
/// Conflicts that are put on record because of what one other gateway tells. Further ones are counted.
pub const CONFLICTS: i64 = 1_000;
/// A use is kept so long behind the end of its pass: the clock may have been set by mistake.
const SLACK_MS: i64 = 7 * DAY_MS;
/// How long a use is kept whose pass says no end.
const KEEP_MS: i64 = 400 * DAY_MS;
/// How long a use is kept that another gateway tells.
const PEER_KEEP_MS: i64 = 100 * DAY_MS;
/// Uses that are forgotten in one transaction, of all gateways together.
const ROUND: i64 = 2_000;
const DAY_MS: i64 = 86_400_000;

/// The largest message of this exchange, in bytes.
pub const PAGE_MAX: usize = budget::LARGEST;
/// Of it, what surrounds the uses and entries: the places, and the names of who is waited for.
const AROUND: usize = 1_000;

/// What is known behind a place: the pass of each row, and its use where it can be told.
pub type Rows = Vec<(String, Option<KnownUse>)>;

/// Fills a page with what follows the place where it begins: `rows` are the uses behind a pass, at most [`AT_ONCE`] of
/// them, `slots` those behind a place among them, and `entry` gives the name and text of the first entry behind a name.
pub fn fill<E>(
    mut page: Page,
    rows: impl FnOnce(&str) -> Result<Rows, E>,
    slots: impl FnOnce(&str) -> Result<Vec<ToldSlot>, E>,
    entry: impl Fn(&str) -> Option<(String, String)>,
) -> Result<Page, E> {
    let mut room = PAGE_MAX - AROUND;
    let mut fits = |bytes: usize| {
        let fits = bytes < room;
        room = room.saturating_sub(bytes + 1);
        fits
    };
    let (in_slots, in_entries) = (page.after.starts_with(SLOTS), page.after.starts_with(ENTRIES));
    let mut behind = match page.after.strip_prefix(ENTRIES) {
        Some(name) => name.to_owned(),
        None if in_slots => String::new(),
        None => {
            let mut last = page.after.strip_prefix("u:").unwrap_or_default().to_owned();
            let rows = rows(&last)?;
            let more = rows.len() == AT_ONCE;
            for (pass, known) in rows {
                if let Some(known) = known {
                    if !fits(serde_json::to_string(&known).map_or(0, |t| t.len())) {
                        page.next = Some(format!("u:{last}"));
                        return Ok(page);
                    }
                    page.uses.push(known);
                }
                last = pass;
            }
            if more {
                page.next = Some(format!("u:{last}"));
                return Ok(page);
            }
            String::new()
        }
    };
    if !in_entries {
        let mut last = if in_slots { page.after.clone() } else { SLOTS.to_owned() };
        let told = slots(&last)?;
        let more = told.len() == AT_ONCE;
        for slot in told {
            let place = slot.place();
            let bytes = serde_json::to_string(&slot).map_or(0, |t| t.len());
            // None has room for so much that it would fit no page.
            if bytes < PAGE_MAX - AROUND {
                if !fits(bytes) {
                    page.next = Some(last);
                    return Ok(page);
                }
                page.slots.push(slot);
            }
            last = place;
        }
        if more {
            page.next = Some(last);
            return Ok(page);
        }
    }
    while let Some((name, text)) = entry(&behind) {
        let bytes = serde_json::to_string(&text).map_or(0, |t| t.len());
        // A code has no room for so much.
        if bytes >= PAGE_MAX - AROUND {
            behind = name;
            continue;
        }
        if !fits(bytes) {
            page.next = Some(format!("{ENTRIES}{behind}"));
            return Ok(page);
        }
        page.entries.push(text);
        behind = name;
    }
    Ok(page)
}

/// The slot that a place names; one before all others where it names none.
pub fn slot_at(place: &str) -> SlotName {
    let mut name = place.strip_prefix(SLOTS).unwrap_or_default().splitn(4, '/').map(str::to_owned);
    let mut part = || name.next().unwrap_or_default();
    (part(), part(), part(), part())
}

/// A page of what this gateway knows. `entry` gives the name and text of the first entry behind a name.
pub fn page(
    connection: &Connection,
    own: &GatewayId,
    (asker, after): (GatewayId, String),
    entry: impl Fn(&str) -> Option<(String, String)>,
) -> rusqlite::Result<Page> {
    let rows = |behind: &str| {
        let sql = "SELECT pass_id, lane, visit, at_ms, gateway FROM redemption
                   WHERE pass_id > ?1 AND substr(pass_id, 1, 1) <> ':' AND length(pass_id) <= ?3
                   ORDER BY pass_id LIMIT ?2";
        let mut select = connection.prepare_cached(sql)?;
        let mut found = select.query(params![behind, bound(AT_ONCE), bound(LONGEST_PASS)])?;
        let mut rows = Rows::new();
        while let Some(r) = found.next()? {
            let pass: String = r.get(0)?;
            let gateway = r.get::<_, Option<String>>(4)?;
            let gateway = gateway.map_or(Ok(own.clone()), GatewayId::new);
            let (visit, at_ms) = (r.get::<_, i64>(2)?.cast_unsigned(), r.get(3)?);
            let known = LaneId::new(r.get::<_, String>(1)?).ok().zip(gateway.ok()).map(|(lane, gateway)| {
                KnownUse { pass: pass.clone(), gateway, lane, visit, at_ms, teller: None }
            });
            rows.push((pass, known));
        }
        Ok::<_, rusqlite::Error>(rows)
    };
    let slots = |place: &str| {
        let known = slots::shared_behind(connection, &slot_at(place), AT_ONCE)?;
        Ok(known.into_iter().map(ToldSlot::from).collect())
    };
    let mut page = fill(Page::empty(asker, after), rows, slots, entry)?;
    if page.next.is_none() {
        page.waits_for = catch_up::waits_for(connection)?;
        page.waits_for.truncate(NAMES);
    }
    Ok(page)
}

/// Uses that are older are not told again.
const AGAIN_MS: i64 = 7 * DAY_MS;

/// Until when a use of this gateway is kept; none if not even the time is known.
pub fn own_until(ends_ms: Option<i64>, at_ms: Option<i64>) -> Option<i64> {
    let ends = ends_ms.map(|ends| ends.saturating_add(SLACK_MS));
    ends.or_else(|| Some(at_ms?.saturating_add(KEEP_MS)))
}

/// Makes room for when uses are forgotten and for who has told them, in a journal that does not know of it.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS displaced (pass_id TEXT PRIMARY KEY, lane TEXT NOT NULL, visit INTEGER NOT NULL,
           at_ms INTEGER, told INTEGER NOT NULL, until_ms INTEGER) WITHOUT ROWID;",
    )?;
    if !has_column(connection, "redemption", "until_ms")? {
        connection.execute_batch(&format!(
            "BEGIN; ALTER TABLE redemption ADD COLUMN until_ms INTEGER;
             UPDATE redemption SET until_ms = at_ms + {KEEP_MS}; COMMIT;"
        ))?;
    }
    if !has_column(connection, "redemption", "teller")? {
        // Of the seals that an earlier version has used, those are told whose visit is still known.
        connection.execute_batch(&format!(
            "BEGIN; ALTER TABLE redemption ADD COLUMN teller TEXT;
             UPDATE redemption SET teller = gateway WHERE gateway IS NOT NULL;
             DROP INDEX IF EXISTS redemption_until;
             CREATE INDEX redemption_teller ON redemption (teller, until_ms);
             ALTER TABLE conflict ADD COLUMN teller TEXT;
             UPDATE conflict SET teller = gateway;
             CREATE INDEX conflict_teller ON conflict (teller);
             INSERT OR IGNORE INTO redemption (pass_id, lane, visit, at_ms, until_ms)
               SELECT '{SEAL}' || s.number, r.lane, s.visit, r.at_ms, r.at_ms + {KEEP_MS}
               FROM seal s JOIN recent r ON r.id = s.visit;
             COMMIT;"
        ))?;
    }
    Ok(())
}

/// Forgets uses of passes that have ended, and what one other gateway has told beyond [`MOST`]: a round of it;
/// says how many. Runs inside the caller's transaction.
pub fn forget(connection: &Connection, now_ms: i64) -> rusqlite::Result<u64> {
    let mut select = connection.prepare_cached("SELECT teller, count(*) FROM redemption GROUP BY teller")?;
    let all: Vec<(Option<String>, i64)> =
        select.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let (mut forgotten, mut room) = (0, ROUND);
    let mut forget = |pass: &str| -> rusqlite::Result<()> {
        let sql = "DELETE FROM redemption WHERE pass_id = ?1";
        forgotten += connection.prepare_cached(sql)?.execute([pass])? as u64;
        Ok(())
    };
    for (teller, count) in all {
        let ended = "SELECT pass_id FROM redemption WHERE teller IS ?1 AND until_ms < ?2 LIMIT ?3";
        let ended = passes(connection, ended, params![teller, now_ms, room])?;
        for pass in &ended {
            forget(pass)?;
            for sql in ["DELETE FROM conflict WHERE pass_id = ?1", "DELETE FROM displaced WHERE pass_id = ?1"]
            {
                connection.prepare_cached(sql)?.execute([pass])?;
            }
        }
        room -= bound(ended.len());
        let beyond = (count - bound(ended.len()) - MOST).min(room);
        if teller.is_some() && beyond > 0 {
            let first = "SELECT pass_id FROM redemption WHERE teller IS ?1 ORDER BY until_ms LIMIT ?2";
            // Their conflicts count on: whoever tells too much gets no room for more of them.
            passes(connection, first, params![teller, beyond])?.iter().try_for_each(|pass| forget(pass))?;
            room -= beyond;
        }
    }
    Ok(forgotten)
}

fn passes(connection: &Connection, sql: &str, of: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<Vec<String>> {
    connection.prepare_cached(sql)?.query_map(of, |r| r.get(0))?.collect()
}

/// A gateway is new, or the broker has forgotten it: it must be told again.
pub fn hello(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    let own = "UPDATE redemption SET told = 0
               WHERE teller IS NULL AND gateway IS NULL AND coalesce(at_ms, ?1) > ?1 - ?2";
    let displaced = "UPDATE displaced SET told = 0 WHERE coalesce(at_ms, ?1) > ?1 - ?2";
    [own, displaced]
        .iter()
        .try_for_each(|sql| connection.prepare_cached(sql)?.execute([now_ms, AGAIN_MS]).map(drop))
}

/// Uses that the others have not been told of.
pub fn untold(connection: &Connection) -> rusqlite::Result<Vec<Used>> {
    let sql = "SELECT pass_id, lane, visit, at_ms FROM redemption
               WHERE told = 0 AND gateway IS NULL AND substr(pass_id, 1, 1) <> ':' AND length(pass_id) <= ?2
               UNION ALL
               SELECT pass_id, lane, visit, at_ms FROM displaced
               WHERE told = 0 AND substr(pass_id, 1, 1) <> ':' AND length(pass_id) <= ?2
               LIMIT ?1";
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map([AT_ONCE, LONGEST_PASS].map(bound), |r| {
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
    ["UPDATE redemption SET told = 1 WHERE pass_id = ?1", "UPDATE displaced SET told = 1 WHERE pass_id = ?1"]
        .iter()
        .try_for_each(|sql| connection.prepare_cached(sql)?.execute([pass]).map(drop))
}

/// Takes the use of a pass at another gateway, or at the box that was here before, as a gateway tells it. A conflict is
/// given back once, as the data of an event.
pub fn take(
    connection: &Connection,
    own: &GatewayId,
    (teller, from): (&GatewayId, &GatewayId),
    used: &Used,
    now_ms: i64,
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
        "INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway, teller, told, until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7)
               ON CONFLICT (pass_id) DO UPDATE SET lane = ?2, visit = ?3, at_ms = ?4, gateway = ?5, told = 1,
                 until_ms = max(coalesce(until_ms, 0), ?7)";
    // It stays the word of whoever has told of it first, or this gateway's own: nobody can make it go by telling more.
    let (lane, visit) = (used.lane.as_str(), used.visit.cast_signed());
    // A seal number says no end, and its stock lasts long.
    let keep_ms = if used.pass.starts_with(SEAL) { KEEP_MS } else { PEER_KEEP_MS };
    let until_ms = now_ms.saturating_add(keep_ms);
    let theirs = params![used.pass, lane, visit, used.at_ms, from.as_str(), teller.as_str(), until_ms];
    let Some((lane, visit, at_ms, gateway)) = known else {
        connection.prepare_cached(put)?.execute(theirs)?;
        return Ok(None);
    };
    let is_own = gateway.is_none();
    let holder = gateway.unwrap_or_else(|| own.to_string());
    // A use that is known is told again. Another one at the same gateway is one of the box that was there before.
    if holder == from.as_str()
        && (lane.as_str(), visit, at_ms) == (used.lane.as_str(), used.visit.cast_signed(), used.at_ms)
    {
        return Ok(None);
    }
    let earlier =
        use_order(used.at_ms, from.as_str(), used.visit) < use_order(at_ms, &holder, visit.cast_unsigned());
    if earlier {
        if is_own {
            // The others hear of it all the same: whoever has the earlier use is to know of this one.
            let keep = "INSERT OR IGNORE INTO displaced (pass_id, lane, visit, at_ms, told, until_ms)
                        SELECT pass_id, lane, visit, at_ms, told, until_ms FROM redemption WHERE pass_id = ?1";
            connection.prepare_cached(keep)?.execute([&used.pass])?;
        }
        connection.prepare_cached(put)?.execute(theirs)?;
    }
    let once = "INSERT OR IGNORE INTO conflict (pass_id, gateway, teller)
                SELECT ?1, ?2, ?3 WHERE (SELECT count(*) FROM conflict WHERE teller = ?3) < ?4";
    let once_params = params![used.pass, from.as_str(), teller.as_str(), CONFLICTS];
    if connection.prepare_cached(once)?.execute(once_params)? == 0 {
        return Ok(None);
    }
    let mut data = json!({ "first": if earlier { from.as_str() } else { holder.as_str() },
        "uses": [
            { "gateway": holder, "lane": lane, "visit": visit, "at_ms": at_ms },
            { "gateway": from, "lane": used.lane, "visit": used.visit, "at_ms": used.at_ms },
        ] });
    match used.pass.strip_prefix(SEAL) {
        Some(number) => data["seal"] = json!(number),
        None => data["pass"] = json!(used.pass),
    }
    Ok(Some(data))
}

#[cfg(test)]
mod tests;
