//! What the gateways of a site tell each other: which single-use passes were used.
//!
//! Each goes on alone while the site's broker is away, so a pass may be used at two gates. When they
//! hear of each other again, the earlier use counts (by time, then by name), and both put the conflict
//! on record as an alert. The broker keeps what it was told for a gateway that is away; one whose
//! session it does not have says hello, and hears everything again. Only passes with a signer are shared: their
//! ids are random, so that nobody can spoil one that it has not seen; others may be a person's, or can be guessed.
//!
//! A box that is new at its site asks the others for everything that they know of, not of themselves alone: what
//! the box before it has used is known to nobody else. They answer in small pages, each when it is asked for
//! ([`super::exchange`]).
//!
//! A use is forgotten when its pass has ended. When a pass ends that was used elsewhere is not told: such a use
//! is kept for [`PEER_KEEP_MS`], and of each gateway [`MOST`].

use super::budget;
use crate::store::asked;
use kakou_core::ids::{GatewayId, LaneId, SiteId};
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Uses that are told at once.
pub const AT_ONCE: usize = 100;
/// The longest name of a pass, signer and id, in bytes: a token's id is 16 bytes, a certificate's 80 letters.
pub const LONGEST_PASS: usize = 120;
/// Uses of one other gateway that are kept; beyond it those go that end first.
pub const MOST: i64 = 100_000;
/// A use is kept so long behind the end of its pass: the clock may have been set by mistake.
const SLACK_MS: i64 = 7 * DAY_MS;
/// How long a use is kept whose pass says no end.
const KEEP_MS: i64 = 400 * DAY_MS;
/// How long a use is kept that another gateway tells.
const PEER_KEEP_MS: i64 = 100 * DAY_MS;
/// Uses that are forgotten in one transaction, of all gateways together.
const ROUND: i64 = 2_000;
const DAY_MS: i64 = 86_400_000;

/// The use of a pass, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// The pass: signer and id.
    pub pass: String,
    /// The lane.
    #[schema(value_type = String)]
    pub lane: LaneId,
    /// The visit at that gateway.
    pub visit: u64,
    /// When, UTC milliseconds.
    pub at_ms: Option<i64>,
}

impl Used {
    /// Whether it is of the form that gateways tell: a signer, an id, both in plain characters.
    pub fn is_good(&self) -> bool {
        let parts = self.pass.split_once(':');
        self.pass.len() <= LONGEST_PASS
            && self.pass.bytes().all(|b| b.is_ascii_graphic())
            && parts.is_some_and(|(kid, id)| !kid.is_empty() && !id.is_empty())
    }
}

/// A question for what another gateway knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ask {
    /// Whom it asks; nobody is everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub to: Option<GatewayId>,
    /// Up to where it was answered: what a page has given as `next`. Empty for the beginning, [`ENTRIES`] for the
    /// entries alone.
    #[serde(default)]
    pub after: String,
}

/// A page of the answer: uses first, then entries from codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page {
    /// Who has asked.
    #[serde(rename = "for")]
    #[schema(value_type = String)]
    pub asker: GatewayId,
    /// Where it begins, as it was asked.
    pub after: String,
    /// Uses of passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<KnownUse>,
    /// Texts of signed entries, as codes hold them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<String>,
    /// Where the next page begins; without it, this is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Gateways whose uses the answering one does not know yet itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub waits_for: Vec<GatewayId>,
}

/// A use that a gateway knows of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownUse {
    /// The pass: signer and id.
    pub pass: String,
    /// Where it was used.
    #[schema(value_type = String)]
    pub gateway: GatewayId,
    /// The lane.
    #[schema(value_type = String)]
    pub lane: LaneId,
    /// The visit at that gateway.
    pub visit: u64,
    /// When, UTC milliseconds.
    pub at_ms: Option<i64>,
}

impl KnownUse {
    /// As the gateway itself would tell it.
    pub fn used(&self) -> Used {
        let Self { pass, lane, visit, at_ms, .. } = self;
        Used { pass: pass.clone(), lane: lane.clone(), visit: *visit, at_ms: *at_ms }
    }
}

/// The place between uses and entries.
pub const ENTRIES: &str = "e:";
/// The largest message of this exchange, in bytes.
pub const PAGE_MAX: usize = budget::LARGEST;
/// Of it, what surrounds the uses and entries: the places, and the names of who is waited for.
const AROUND: usize = 1_000;
/// Names in a page at most. Whoever waits for more is not complete in any case.
const NAMES: usize = 8;

impl Page {
    /// Where the asker goes on: none when it knows everything. Whoever waits for others, apart from the asker, does
    /// not know everything itself, and is asked again from the beginning.
    pub fn goes_on(&self, asker: &GatewayId) -> Option<&str> {
        let incomplete = self.waits_for.iter().any(|g| g != asker);
        self.next.as_deref().or(incomplete.then_some(""))
    }
}

/// A page of what this gateway knows. `entry` gives the name and text of the first entry behind a name.
pub fn page(
    connection: &Connection,
    own: &GatewayId,
    (asker, after): (GatewayId, String),
    entry: impl Fn(&str) -> Option<(String, String)>,
) -> rusqlite::Result<Page> {
    let mut page = Page { asker, after, uses: vec![], entries: vec![], next: None, waits_for: vec![] };
    let mut room = PAGE_MAX - AROUND;
    let mut fits = |bytes: usize| {
        let fits = bytes < room;
        room = room.saturating_sub(bytes + 1);
        fits
    };
    let mut behind = match page.after.strip_prefix(ENTRIES) {
        Some(name) => name.to_owned(),
        None => {
            let mut last = page.after.strip_prefix("u:").unwrap_or_default().to_owned();
            let sql = "SELECT pass_id, lane, visit, at_ms, gateway FROM redemption
                       WHERE pass_id > ?1 AND substr(pass_id, 1, 1) <> ':' AND length(pass_id) <= ?3
                       ORDER BY pass_id LIMIT ?2";
            let mut select = connection.prepare_cached(sql)?;
            let mut rows = select.query(params![last, bound(AT_ONCE), bound(LONGEST_PASS)])?;
            let mut more = 0;
            while let Some(r) = rows.next()? {
                more += 1;
                let pass: String = r.get(0)?;
                let gateway = r.get::<_, Option<String>>(4)?;
                let gateway = gateway.map_or(Ok(own.clone()), GatewayId::new);
                if let (Ok(lane), Ok(gateway)) = (LaneId::new(r.get::<_, String>(1)?), gateway) {
                    let visit = r.get::<_, i64>(2)?.cast_unsigned();
                    let known = KnownUse { pass: pass.clone(), gateway, lane, visit, at_ms: r.get(3)? };
                    if !fits(serde_json::to_string(&known).map_or(0, |t| t.len())) {
                        page.next = Some(format!("u:{last}"));
                        return Ok(page);
                    }
                    page.uses.push(known);
                }
                last = pass;
            }
            if more == AT_ONCE {
                page.next = Some(format!("u:{last}"));
                return Ok(page);
            }
            String::new()
        }
    };
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
    page.waits_for = asked::waits_for(connection)?;
    page.waits_for.truncate(NAMES);
    Ok(page)
}

/// Uses that are older are not told again.
const AGAIN_MS: i64 = 7 * DAY_MS;

/// Where a gateway tells of uses, and says that it is new, asks and answers: `redemption`, `hello`, `ask`,
/// `tell`.
pub fn topic(site: &SiteId, gateway: &str, kind: &str) -> String {
    format!("kakou/v1/{site}/peer/{gateway}/{kind}")
}

/// Until when a use of this gateway is kept; none if not even the time is known.
pub fn own_until(ends_ms: Option<i64>, at_ms: Option<i64>) -> Option<i64> {
    let ends = ends_ms.map(|ends| ends.saturating_add(SLACK_MS));
    ends.or_else(|| Some(at_ms?.saturating_add(KEEP_MS)))
}

/// Makes room for when uses are forgotten, in a journal that does not know of it.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    let there = "SELECT 1 FROM pragma_table_info('redemption') WHERE name = 'until_ms'";
    if connection.prepare(there)?.exists([])? {
        return Ok(());
    }
    connection.execute_batch(&format!(
        "BEGIN; ALTER TABLE redemption ADD COLUMN until_ms INTEGER;
         UPDATE redemption SET until_ms = at_ms + {KEEP_MS};
         CREATE INDEX redemption_until ON redemption (gateway, until_ms); COMMIT;"
    ))
}

/// Forgets uses of passes that have ended, and what one other gateway has told beyond [`MOST`]: a round of it;
/// says how many. Runs inside the caller's transaction.
pub fn forget(connection: &Connection, now_ms: i64) -> rusqlite::Result<u64> {
    let mut select =
        connection.prepare_cached("SELECT gateway, count(*) FROM redemption GROUP BY gateway")?;
    let all: Vec<(Option<String>, i64)> =
        select.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    let (mut forgotten, mut room) = (0, ROUND);
    for (gateway, count) in all {
        let ended = "SELECT pass_id FROM redemption WHERE gateway IS ?1 AND until_ms < ?2 LIMIT ?3";
        let mut gone = passes(connection, ended, params![gateway, now_ms, room])?;
        room -= bound(gone.len());
        let beyond = (count - bound(gone.len()) - MOST).min(room);
        if gateway.is_some() && beyond > 0 {
            let first = "SELECT pass_id FROM redemption WHERE gateway IS ?1 ORDER BY until_ms LIMIT ?2";
            gone.extend(passes(connection, first, params![gateway, beyond])?);
            room -= beyond;
        }
        for pass in &gone {
            forgotten += connection
                .prepare_cached("DELETE FROM redemption WHERE pass_id = ?1")?
                .execute([pass])? as u64;
            connection.prepare_cached("DELETE FROM conflict WHERE pass_id = ?1")?.execute([pass])?;
        }
    }
    Ok(forgotten)
}

fn passes(connection: &Connection, sql: &str, of: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<Vec<String>> {
    connection.prepare_cached(sql)?.query_map(of, |r| r.get(0))?.collect()
}

/// A gateway is new, or the broker has forgotten it: it must be told again.
pub fn hello(connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    let sql = "UPDATE redemption SET told = 0 WHERE gateway IS NULL AND coalesce(at_ms, ?1) > ?1 - ?2";
    connection.prepare_cached(sql)?.execute([now_ms, AGAIN_MS]).map(drop)
}

/// Uses that the others have not been told of.
pub fn untold(connection: &Connection) -> rusqlite::Result<Vec<Used>> {
    let sql = "SELECT pass_id, lane, visit, at_ms FROM redemption
               WHERE told = 0 AND gateway IS NULL AND substr(pass_id, 1, 1) <> ':' AND length(pass_id) <= ?2
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

fn bound(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The others know of a use.
pub fn told(connection: &Connection, pass: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE redemption SET told = 1 WHERE pass_id = ?1")?.execute([pass]).map(drop)
}

/// Takes the use of a pass at another gateway, or at the box that was here before. A conflict is given back once, as
/// the data of an event.
pub fn take(
    connection: &Connection,
    own: &GatewayId,
    from: &GatewayId,
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
        "INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway, told, until_ms) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6)
               ON CONFLICT (pass_id) DO UPDATE SET lane = ?2, visit = ?3, at_ms = ?4, gateway = ?5, told = 1,
                 until_ms = max(coalesce(until_ms, 0), ?6)";
    let (lane, visit) = (used.lane.as_str(), used.visit.cast_signed());
    let until_ms = now_ms.saturating_add(PEER_KEEP_MS);
    let theirs = params![used.pass, lane, visit, used.at_ms, from.as_str(), until_ms];
    let Some((lane, visit, at_ms, gateway)) = known else {
        connection.prepare_cached(put)?.execute(theirs)?;
        return Ok(None);
    };
    let holder = gateway.unwrap_or_else(|| own.to_string());
    // A use that is known is told again. Another one at the same gateway is one of the box that was there before.
    if holder == from.as_str()
        && (lane.as_str(), visit, at_ms) == (used.lane.as_str(), used.visit.cast_signed(), used.at_ms)
    {
        return Ok(None);
    }
    // A use whose time nobody knew counts as later than any that has one.
    let rank = |at_ms: Option<i64>, gateway: &str, visit: i64| {
        (at_ms.unwrap_or(i64::MAX), gateway.to_owned(), visit)
    };
    let earlier = rank(used.at_ms, from.as_str(), used.visit.cast_signed()) < rank(at_ms, &holder, visit);
    if earlier {
        connection.prepare_cached(put)?.execute(theirs)?;
    }
    let once = "INSERT OR IGNORE INTO conflict (pass_id, gateway) VALUES (?1, ?2)";
    if connection.prepare_cached(once)?.execute(params![used.pass, from.as_str()])? == 0 {
        return Ok(None);
    }
    Ok(Some(json!({ "pass": used.pass, "first": if earlier { from.as_str() } else { holder.as_str() },
        "uses": [
            { "gateway": holder, "lane": lane, "visit": visit, "at_ms": at_ms },
            { "gateway": from, "lane": used.lane, "visit": used.visit, "at_ms": used.at_ms },
        ] })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn store() -> Connection {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(
            "CREATE TABLE redemption (pass_id TEXT PRIMARY KEY, lane TEXT, visit INTEGER, at_ms INTEGER, gateway TEXT, told INTEGER NOT NULL DEFAULT 0);
             CREATE TABLE conflict (pass_id TEXT, gateway TEXT, PRIMARY KEY (pass_id, gateway));
             CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER);",
        )
        .unwrap();
        c.execute_batch(asked::SCHEMA).unwrap();
        prepare(&c).unwrap();
        c
    }

    fn rows(c: &Connection) -> i64 {
        c.query_row("SELECT count(*) FROM redemption", [], |r| r.get(0)).unwrap()
    }

    #[test]
    fn a_journal_of_before_keeps_its_uses_and_learns_when_to_forget_them() {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(
            "CREATE TABLE redemption (pass_id TEXT PRIMARY KEY, lane TEXT, visit INTEGER, at_ms INTEGER, gateway TEXT, told INTEGER NOT NULL DEFAULT 0);
             CREATE TABLE conflict (pass_id TEXT, gateway TEXT, PRIMARY KEY (pass_id, gateway));
             INSERT INTO redemption (pass_id, lane, visit, at_ms) VALUES ('k:1', 'l', 1, 1000), ('k:2', 'l', 2, NULL);",
        )
        .unwrap();
        prepare(&c).unwrap();
        prepare(&c).unwrap();
        forget(&c, 1000 + KEEP_MS).unwrap();
        assert_eq!(rows(&c), 2);
        forget(&c, 1001 + KEEP_MS).unwrap();
        assert_eq!(rows(&c), 1, "a use whose time nobody knows is kept");
    }

    #[test]
    fn a_use_is_forgotten_when_its_pass_has_ended_and_not_before() {
        let c = store();
        let until = own_until(Some(10_000), Some(1)).unwrap();
        assert_eq!(until, 10_000 + SLACK_MS);
        let put = "INSERT INTO redemption (pass_id, lane, visit, at_ms, until_ms) VALUES (?1, 'l', 1, 1, ?2)";
        c.execute(put, params!["k:1", until]).unwrap();
        let other = GatewayId::new("b").unwrap();
        let used = Used { pass: "k:2".into(), lane: LaneId::new("l").unwrap(), visit: 1, at_ms: Some(2) };
        take(&c, &GatewayId::new("a").unwrap(), &other, &used, 10_000).unwrap();
        assert_eq!(forget(&c, until).unwrap(), 0);
        assert_eq!(forget(&c, until + 1).unwrap(), 1);
        assert_eq!(forget(&c, 10_000 + PEER_KEEP_MS).unwrap(), 0);
        assert_eq!(forget(&c, 10_001 + PEER_KEEP_MS).unwrap(), 1);
        assert_eq!(own_until(Some(i64::MAX), None), Some(i64::MAX), "a date that no clock reaches");
    }

    #[test]
    fn a_gateway_that_tells_too_much_loses_its_own_uses_and_nobody_elses() {
        let c = store();
        c.execute_batch(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MOST} + 10)
             INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway, told, until_ms)
               SELECT 'k:' || i, 'l', i, 1, 'b', 1, i + 1000000 FROM n;
             INSERT INTO redemption (pass_id, lane, visit, at_ms, until_ms) VALUES ('o:1', 'l', 1, 1, 5);
             INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway, told, until_ms) VALUES ('o:2', 'l', 1, 1, 'c', 1, 5);"
        ))
        .unwrap();
        assert_eq!(forget(&c, 1).unwrap(), 10);
        assert_eq!(rows(&c), MOST + 2);
        let oldest: i64 =
            c.query_row("SELECT min(visit) FROM redemption WHERE gateway = 'b'", [], |r| r.get(0)).unwrap();
        assert_eq!(oldest, 11, "those that end first go");
    }

    #[test]
    fn a_use_names_a_signer_and_an_id_and_is_short() {
        let used =
            |pass: &str| Used { pass: pass.into(), lane: LaneId::new("l").unwrap(), visit: 1, at_ms: None };
        assert!(used("8ed05c50cb24b41b:Zm9vYmFyYmF6cXV4MTIzNA").is_good());
        assert!(used(&format!("k:{}", "x".repeat(LONGEST_PASS - 2))).is_good());
        let long = format!("k:{}", "x".repeat(LONGEST_PASS - 1));
        for bad in ["", ":", ":辽P12345@1-2", ":P-1", "k:", "k", "k:a b", "k:a\nb", "k:辽", &long] {
            assert!(!used(bad).is_good(), "{bad}");
        }
    }

    proptest! {
        /// Three gates that used one pass while they were apart: in whatever order, and how often
        /// ever, they hear of each other, they agree on who was first.
        #[test]
        fn all_gates_agree_on_the_first_use(
            times in prop::collection::vec(prop::option::of(0_i64..3), 3),
            heard in prop::collection::vec((0_usize..3, 0_usize..3), 0..20),
        ) {
            let names: Vec<GatewayId> = ["a", "b", "c"].iter().map(|n| GatewayId::new(*n).unwrap()).collect();
            let used = |n: usize| Used { pass: "k:1".into(), lane: LaneId::new("l").unwrap(), visit: n as u64, at_ms: times[n] };
            let stores: Vec<Connection> = (0..3).map(|n| {
                let c = store();
                c.execute("INSERT INTO redemption (pass_id, lane, visit, at_ms) VALUES ('k:1', 'l', ?1, ?2)", params![n as i64, times[n]]).unwrap();
                c
            }).collect();
            let everybody = (0..3).flat_map(|to| (0..3).map(move |from| (to, from)));
            let mut conflicts = [0; 3];
            for (to, from) in heard.into_iter().chain(everybody).filter(|(to, from)| to != from) {
                conflicts[to] += usize::from(take(&stores[to], &names[to], &names[from], &used(from), 0).unwrap().is_some());
            }
            let first = (0..3).min_by_key(|n| (times[*n].unwrap_or(i64::MAX), *n)).unwrap();
            for (n, c) in stores.iter().enumerate() {
                let holder: Option<String> = c.query_row("SELECT gateway FROM redemption", [], |r| r.get(0)).unwrap();
                prop_assert_eq!(holder.unwrap_or_else(|| names[n].to_string()), names[first].to_string());
                prop_assert!((1..=2).contains(&conflicts[n]), "{} alerts", conflicts[n]);
            }
        }
    }

    fn name(text: &str) -> GatewayId {
        GatewayId::new(text).unwrap()
    }

    /// Everything that `from` knows, a page at a time, as `to` asks for it.
    fn tell_all(
        from: &Connection,
        teller: &str,
        to: &Connection,
        asker: &str,
        entries: &[String],
    ) -> Vec<Page> {
        let (mut after, mut pages) = (String::new(), Vec::new());
        let entry = |behind: &str| {
            let next = entries.iter().enumerate().map(|(n, text)| (format!("{n:05}"), text.clone()));
            next.into_iter().find(|(name, _)| name.as_str() > behind)
        };
        loop {
            let page = page(from, &name(teller), (name(asker), after), entry).unwrap();
            let bytes = serde_json::to_vec(&page).unwrap();
            assert!(bytes.len() <= PAGE_MAX, "{} bytes", bytes.len());
            let page: Page = serde_json::from_slice(&bytes).unwrap();
            for known in page.uses.clone() {
                assert_eq!(take(to, &name(asker), &known.gateway, &known.used(), 0).unwrap(), None);
            }
            let next = page.next.clone();
            pages.push(page);
            match next {
                Some(next) => after = next,
                None => return pages,
            }
        }
    }

    fn used_at(c: &Connection, pass: &str, gateway: Option<&str>, visit: i64) {
        let sql =
            "INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway) VALUES (?1, 'lane-1', ?2, ?2, ?3)";
        c.execute(sql, params![pass, visit, gateway]).unwrap();
    }

    #[test]
    fn a_gateway_tells_everything_that_it_knows_in_small_pages_and_no_persons_id() {
        let (two, one) = (store(), store());
        for n in 0..500 {
            used_at(&two, &format!("kid=:{n:032}"), (n % 2 == 0).then_some("gw-1"), n);
        }
        used_at(&two, ":R-0001", None, 1);
        let entries: Vec<String> = (0..40).map(|n| format!("KE1:{n}{}", "x".repeat(600))).collect();
        let pages = tell_all(&two, "gw-2", &one, "gw-1", &entries);
        let known: i64 = one.query_row("SELECT count(*) FROM redemption", [], |r| r.get(0)).unwrap();
        let own = "SELECT count(*) FROM redemption WHERE gateway = 'gw-1'";
        assert_eq!((known, one.query_row(own, [], |r| r.get::<_, i64>(0)).unwrap()), (500, 250));
        assert_eq!(
            pages.iter().flat_map(|p| &p.entries).collect::<Vec<_>>(),
            entries.iter().collect::<Vec<_>>()
        );
        assert!(pages.len() > 10);
        // Once more, nothing is a conflict.
        tell_all(&two, "gw-2", &one, "gw-1", &[]);
        // The entries alone.
        let alone = page(&two, &name("gw-2"), (name("gw-1"), ENTRIES.into()), |_| None).unwrap();
        assert!(alone.uses.is_empty() && alone.next.is_none());
    }

    #[test]
    fn an_entry_as_large_as_a_code_can_hold_fits_a_page() {
        let text = format!("KE1:{}", "x".repeat(2_953 - 4));
        let pages = tell_all(&store(), "gw-2", &store(), "gw-1", &[text.clone(), text]);
        assert_eq!(pages.iter().map(|p| p.entries.len()).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn whoever_waits_itself_is_not_complete_unless_it_waits_for_the_asker_alone() {
        let two = store();
        asked::begin(&two, 1, &[name("gw-1"), name("gw-3")], true).unwrap();
        let ask = |c: &Connection| page(c, &name("gw-2"), (name("gw-1"), String::new()), |_| None).unwrap();
        assert_eq!(ask(&two).goes_on(&name("gw-1")), Some(""), "it is asked again from the beginning");
        asked::answered(&two, &name("gw-3"), ("", None)).unwrap();
        assert_eq!(ask(&two).goes_on(&name("gw-1")), None, "two new boxes do not wait for each other");
    }

    #[test]
    fn a_second_use_at_the_box_that_took_the_place_of_another_is_a_conflict() {
        let (own, lane) = (name("gw-1"), LaneId::new("lane-1").unwrap());
        let used =
            |visit: u64, at: i64| Used { pass: "k:1".into(), lane: lane.clone(), visit, at_ms: Some(at) };
        // At the neighbour: the box before, then its successor.
        let two = store();
        assert_eq!(take(&two, &name("gw-2"), &own, &used(7, 100), 0).unwrap(), None);
        assert_eq!(take(&two, &name("gw-2"), &own, &used(7, 100), 0).unwrap(), None, "told again");
        let conflict = take(&two, &name("gw-2"), &own, &used(1, 900), 0).unwrap().expect("a second use");
        assert_eq!(conflict["uses"][0]["visit"], 7);
        assert_eq!(take(&two, &name("gw-2"), &own, &used(1, 900), 0).unwrap(), None, "once");
        // At the successor, which was released and then hears of the first use.
        let one = store();
        used_at(&one, "k:1", None, 900);
        assert!(take(&one, &own, &own, &used(7, 100), 0).unwrap().is_some());
        let first: i64 = one.query_row("SELECT at_ms FROM redemption", [], |r| r.get(0)).unwrap();
        assert_eq!(first, 100);
    }
}
