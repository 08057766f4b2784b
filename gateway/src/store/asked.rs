//! What this gateway asks of the others of its site, because their knowledge is older than its journal: which
//! single-use passes were used, and which entries from codes count.
//!
//! A row for each gateway that is asked, with the place up to which it has answered. A box that has taken the
//! place of another waits for them: until every one has answered, or a supervisor has released it, it cannot know
//! whether a single-use pass was used. All of it is durable, so that a restart goes on where it was.

use super::number;
use kakou_core::ids::GatewayId;
use rusqlite::{Connection, params};

/// A journal of an earlier version gets it when it is opened.
pub const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS asked (gateway TEXT PRIMARY KEY, cursor TEXT NOT NULL,
  awaited INTEGER NOT NULL, done INTEGER NOT NULL) WITHOUT ROWID;";

/// For which enrolment the others were asked.
const FOR: &str = "asked_for";

/// Begins to ask, once for each enrolment. `awaited` makes the lanes wait for the answers.
pub fn begin(
    connection: &Connection,
    enrolment: i64,
    gateways: &[GatewayId],
    awaited: bool,
) -> rusqlite::Result<()> {
    if number(connection, FOR)? == Some(enrolment) {
        return Ok(());
    }
    connection.prepare_cached("DELETE FROM asked")?.execute([])?;
    let sql =
        "INSERT INTO asked (gateway, cursor, awaited, done) VALUES (?1, '', ?2, 0) ON CONFLICT DO NOTHING";
    for gateway in gateways {
        connection.prepare_cached(sql)?.execute(params![gateway.as_str(), awaited])?;
    }
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
    connection.prepare_cached(sql)?.execute(params![FOR, enrolment]).map(drop)
}

fn names(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<(GatewayId, String)>> {
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))?;
    let named = |row: rusqlite::Result<(String, String)>| {
        row.map(|(name, cursor)| GatewayId::new(name).ok().map(|name| (name, cursor))).transpose()
    };
    rows.filter_map(named).collect()
}

/// Whom the lanes wait for.
pub fn waits_for(connection: &Connection) -> rusqlite::Result<Vec<GatewayId>> {
    let rows = names(connection, "SELECT gateway, cursor FROM asked WHERE awaited = 1 AND done = 0")?;
    Ok(rows.into_iter().map(|(name, _)| name).collect())
}

/// Who has not told everything yet, and up to where it has.
pub fn unanswered(connection: &Connection) -> rusqlite::Result<Vec<(GatewayId, String)>> {
    names(connection, "SELECT gateway, cursor FROM asked WHERE done = 0")
}

/// Notes that a gateway has answered from one place to the next; none is the end of what it knows. False if that
/// is not the place at which its answer goes on.
pub fn answered(
    connection: &Connection,
    gateway: &GatewayId,
    (from, to): (&str, Option<&str>),
) -> rusqlite::Result<bool> {
    let sql = "UPDATE asked SET cursor = ?3, done = ?4 WHERE gateway = ?1 AND cursor = ?2 AND done = 0";
    let values = params![gateway.as_str(), from, to.unwrap_or_default(), to.is_none()];
    Ok(connection.prepare_cached(sql)?.execute(values)? > 0)
}

/// The lanes wait no longer; whoever has not answered is still asked.
pub fn release(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE asked SET awaited = 0")?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateways(names: &[&str]) -> Vec<GatewayId> {
        names.iter().map(|n| GatewayId::new(*n).unwrap()).collect()
    }

    fn known(c: &Connection) -> rusqlite::Result<bool> {
        waits_for(c).map(|names| names.is_empty())
    }

    fn journal() -> Connection {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(&format!(
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL); {SCHEMA}"
        ))
        .unwrap();
        c
    }

    #[test]
    fn the_uses_are_known_when_every_gateway_has_told_everything() {
        let c = journal();
        let others = gateways(&["gw-2", "gw-3"]);
        begin(&c, 7, &others, true).unwrap();
        assert_eq!((known(&c).unwrap(), waits_for(&c).unwrap()), (false, others.clone()));
        assert!(answered(&c, &others[0], ("", Some("u:k:1"))).unwrap());
        assert!(!answered(&c, &others[0], ("", Some("u:k:9"))).unwrap(), "a page that comes again");
        // A restart begins nothing anew.
        begin(&c, 7, &others, true).unwrap();
        assert_eq!(unanswered(&c).unwrap()[0], (others[0].clone(), "u:k:1".to_owned()));
        assert!(answered(&c, &others[0], ("u:k:1", None)).unwrap());
        assert!(!known(&c).unwrap());
        assert!(answered(&c, &others[1], ("", None)).unwrap());
        assert!(known(&c).unwrap() && unanswered(&c).unwrap().is_empty());
        assert!(!answered(&c, &gateways(&["gw-9"])[0], ("", None)).unwrap(), "nobody has asked it");
        // Another enrolment asks anew.
        begin(&c, 8, &others, true).unwrap();
        assert!(!known(&c).unwrap());
    }

    #[test]
    fn who_was_released_or_replaces_nobody_asks_and_does_not_wait() {
        for awaited in [true, false] {
            let c = journal();
            begin(&c, 7, &gateways(&["gw-2"]), awaited).unwrap();
            assert_eq!(known(&c).unwrap(), !awaited);
            release(&c).unwrap();
            assert!(known(&c).unwrap() && unanswered(&c).unwrap().len() == 1);
        }
        let c = journal();
        begin(&c, 7, &[], true).unwrap();
        assert!(known(&c).unwrap(), "a site of one has nobody to ask");
    }
}
