//! What this gateway asks of the others of its site and of the central side, because their knowledge is older than its
//! journal: which single-use passes were used, and which entries from codes count.
//!
//! A row for each that is asked, with the place up to which it has answered. A box that has taken the place of another
//! waits for them: until it is known what each gateway has used, and the box before, or a supervisor has released it, it
//! cannot know whether a single-use pass was used. All of it is durable, so that a restart goes on where it was.
//!
//! What a gateway has used it tells itself; the central side tells it as well, of those of which it knows everything.
//! What the box before has used tells whoever has heard it: any gateway that was there before, or the central side.

use super::{has_column, number};
use kakou_core::ids::GatewayId;
use kakou_wire::peers::{NAMES, Page, WAITS};
use rusqlite::{Connection, OptionalExtension, params};

/// A journal of an earlier version gets it when it is opened.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS asked (gateway TEXT PRIMARY KEY, cursor TEXT NOT NULL,
  awaited INTEGER NOT NULL, done INTEGER NOT NULL) WITHOUT ROWID;";
/// Whether it knows nothing of the box before, having come itself; whether the central side knows everything of it;
/// from when on the central side has heard this gateway.
const LATER: [&str; 3] =
    ["fresh INTEGER NOT NULL DEFAULT 0", "central INTEGER NOT NULL DEFAULT 0", "since_ms INTEGER"];

/// For which enrolment the others were asked.
const FOR: &str = "asked_for";
/// The row of the central side: no gateway can have this name.
const CENTRAL: &str = "~central";

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Respondent {
    /// Another gateway of the site.
    Gateway(GatewayId),
    /// The central side.
    Central,
}

impl Respondent {
    fn key(&self) -> &str {
        match self {
            Self::Gateway(gateway) => gateway.as_str(),
            Self::Central => CENTRAL,
        }
    }

    fn of(key: &str) -> Option<Self> {
        if key == CENTRAL { Some(Self::Central) } else { GatewayId::new(key).ok().map(Self::Gateway) }
    }

    /// How it stands in lists of names.
    pub fn name(&self) -> GatewayId {
        match self {
            Self::Gateway(gateway) => gateway.clone(),
            Self::Central => GatewayId::new("central").expect("it keeps the rule of ids"),
        }
    }
}

/// What a page of an answer says of how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageProgress {
    /// Where the page begins.
    pub from: String,
    /// Where the answer goes on; none is the end of what is known.
    pub to: Option<String>,
    /// Whether it comes from a gateway that waits itself: it was not there to hear the box before.
    pub fresh: bool,
    /// From the central side: from when on it has heard this gateway, UTC milliseconds.
    pub since_ms: Option<i64>,
    /// From the central side, at the end of a page that is the last one: whom it knows everything of, of these.
    pub knows: Option<Vec<GatewayId>>,
}

impl PageProgress {
    /// Of a page for a gateway that has asked these. A gateway that waits for others, apart from the asker and from those
    /// that the asker has asked itself, does not know everything: it is asked whether it still waits, and from the
    /// beginning when it does no more. So is the central side, while it does not know everything of the asker.
    pub fn of(page: &Page, asker: &GatewayId, teller: &Respondent, asked: &[GatewayId]) -> Self {
        let (central, incomplete) = match teller {
            Respondent::Central => (true, page.waits_for.contains(asker)),
            Respondent::Gateway(_) => {
                (false, page.waits_for.iter().any(|g| g != asker && !asked.contains(g)))
            }
        };
        let end = match (incomplete, page.after == WAITS) {
            (true, _) => Some(WAITS.to_owned()),
            (false, true) => Some(String::new()),
            (false, false) => None,
        };
        // A list that is full may have left some out.
        let all = central && page.waits_for.len() < NAMES;
        let knows = || asked.iter().filter(|g| all && !page.waits_for.contains(g)).cloned().collect();
        Self {
            from: page.after.clone(),
            to: page.next.clone().or(end),
            fresh: !central && !page.waits_for.is_empty(),
            since_ms: page.since_ms,
            knows: (central && page.next.is_none()).then(knows),
        }
    }
}

/// What the central side has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacks {
    /// From when on it has heard this gateway, UTC milliseconds; none is never.
    pub since_ms: Option<i64>,
}

/// Makes the table, also in a journal that does not have it.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(SCHEMA)?;
    for column in LATER {
        let name = column.split(' ').next().unwrap_or_default();
        if !has_column(connection, "asked", name)? {
            connection.execute_batch(&format!("ALTER TABLE asked ADD COLUMN {column}"))?;
        }
    }
    Ok(())
}

/// Begins to ask, once for each enrolment. `awaited` makes the lanes wait for the answers.
pub fn begin(
    connection: &Connection,
    enrolment: i64,
    asked: &[Respondent],
    awaited: bool,
) -> rusqlite::Result<()> {
    if number(connection, FOR)? == Some(enrolment) {
        return Ok(());
    }
    connection.prepare_cached("DELETE FROM asked")?.execute([])?;
    let sql =
        "INSERT INTO asked (gateway, cursor, awaited, done) VALUES (?1, '', ?2, 0) ON CONFLICT DO NOTHING";
    for one in asked {
        connection.prepare_cached(sql)?.execute(params![one.key(), awaited])?;
    }
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
    connection.prepare_cached(sql)?.execute(params![FOR, enrolment]).map(drop)
}

/// How far one of them is.
struct Row {
    who: Respondent,
    cursor: String,
    awaited: bool,
    done: bool,
    fresh: bool,
    central: bool,
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Row>> {
    let sql = "SELECT gateway, cursor, awaited, done, fresh, central FROM asked ORDER BY gateway";
    let mut select = connection.prepare_cached(sql)?;
    let mut found = select.query([])?;
    let mut all = Vec::new();
    while let Some(r) = found.next()? {
        if let Some(who) = Respondent::of(&r.get::<_, String>(0)?) {
            let (cursor, awaited, done) = (r.get(1)?, r.get(2)?, r.get(3)?);
            all.push(Row { who, cursor, awaited, done, fresh: r.get(4)?, central: r.get(5)? });
        }
    }
    Ok(all)
}

/// Whom the lanes wait for. The central side is among them where it alone can still tell what the box before has used.
pub fn waits_for(connection: &Connection) -> rusqlite::Result<Vec<GatewayId>> {
    let (central, gateways): (Vec<Row>, Vec<Row>) =
        rows(connection)?.into_iter().partition(|row| row.who == Respondent::Central);
    let told = central.iter().any(|row| row.done);
    let waits = |row: &&Row| row.awaited && !row.done && !(told && row.central);
    let names: Vec<GatewayId> = gateways.iter().filter(waits).map(|row| row.who.name()).collect();
    let heard_the_box_before = gateways.iter().any(|row| row.done && !row.fresh);
    if !names.is_empty() || heard_the_box_before {
        return Ok(names);
    }
    Ok(central.iter().filter(waits).map(|row| row.who.name()).collect())
}

/// What the central side has said, where the lanes wait and it does not know everything of the box before.
pub fn central_lacks(connection: &Connection) -> rusqlite::Result<Option<Lacks>> {
    let sql = "SELECT since_ms FROM asked WHERE gateway = ?1 AND awaited = 1 AND done = 0 AND cursor = ?2";
    let lacks = connection.prepare_cached(sql)?.query_row([CENTRAL, WAITS], |r| r.get(0));
    Ok(lacks.optional()?.map(|since_ms| Lacks { since_ms }))
}

/// Who has not told everything yet, and up to where it has.
pub fn unanswered(connection: &Connection) -> rusqlite::Result<Vec<(Respondent, String)>> {
    Ok(rows(connection)?.into_iter().filter(|row| !row.done).map(|row| (row.who, row.cursor)).collect())
}

/// Everybody who is asked.
pub fn names(connection: &Connection) -> rusqlite::Result<Vec<GatewayId>> {
    Ok(rows(connection)?.iter().map(|row| row.who.name()).collect())
}

/// Notes that somebody has answered from one place to the next. False if that is not the place at which its answer goes
/// on.
pub fn answered(connection: &Connection, who: &Respondent, told: &PageProgress) -> rusqlite::Result<bool> {
    let sql = "UPDATE asked SET cursor = ?3, done = ?4, fresh = ?5, since_ms = ?6
               WHERE gateway = ?1 AND cursor = ?2 AND done = 0";
    let place = told.to.as_deref().unwrap_or_default();
    let values = params![who.key(), told.from, place, told.to.is_none(), told.fresh, told.since_ms];
    if connection.prepare_cached(sql)?.execute(values)? == 0 {
        return Ok(false);
    }
    if let Some(knows) = &told.knows {
        connection.prepare_cached("UPDATE asked SET central = 0")?.execute([])?;
        let sql = "UPDATE asked SET central = 1 WHERE gateway = ?1";
        for gateway in knows {
            connection.prepare_cached(sql)?.execute([gateway.as_str()])?;
        }
    }
    Ok(true)
}

/// The lanes wait no longer; whoever has not answered is still asked.
pub fn release(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE asked SET awaited = 0")?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> GatewayId {
        GatewayId::new(name).unwrap()
    }

    fn gateways(names: &[&str]) -> Vec<Respondent> {
        names.iter().map(|n| Respondent::Gateway(id(n))).collect()
    }

    /// What is asked by a box whose site has these others, and the central side.
    fn all(names: &[&str]) -> Vec<Respondent> {
        [gateways(names), vec![Respondent::Central]].concat()
    }

    fn waits(c: &Connection) -> Vec<String> {
        waits_for(c).unwrap().iter().map(ToString::to_string).collect()
    }

    /// A page for gw-1.
    fn page(after: &str, next: Option<&str>, waits_for: &[&str]) -> Page {
        let waits_for = waits_for.iter().map(|n| id(n)).collect();
        Page {
            after: after.into(),
            next: next.map(str::to_owned),
            waits_for,
            ..Page::empty(id("gw-1"), String::new())
        }
    }

    /// Where the answer goes on; nothing, if it is not the next page.
    fn tells(c: &Connection, who: &Respondent, page: &Page) -> Option<Option<String>> {
        let told = PageProgress::of(page, &id("gw-1"), who, &names(c).unwrap());
        answered(c, who, &told).unwrap().then_some(told.to)
    }

    fn journal() -> Connection {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch("CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL);").unwrap();
        prepare(&c).unwrap();
        c
    }

    #[test]
    fn the_uses_are_known_when_every_gateway_has_told_everything() {
        let c = journal();
        let others = gateways(&["gw-2", "gw-3"]);
        begin(&c, 7, &others, true).unwrap();
        assert_eq!(waits(&c), ["gw-2", "gw-3"]);
        let first = page("", Some("u:k:1"), &[]);
        assert_eq!(tells(&c, &others[0], &first), Some(Some("u:k:1".into())));
        assert_eq!(tells(&c, &others[0], &page("", Some("u:k:9"), &[])), None, "a page that comes again");
        // A restart begins nothing anew.
        begin(&c, 7, &others, true).unwrap();
        assert_eq!(unanswered(&c).unwrap()[0], (others[0].clone(), "u:k:1".to_owned()));
        assert_eq!(tells(&c, &others[0], &page("u:k:1", None, &[])), Some(None));
        assert_eq!(waits(&c), ["gw-3"]);
        assert_eq!(tells(&c, &others[1], &page("", None, &[])), Some(None));
        assert!(waits(&c).is_empty() && unanswered(&c).unwrap().is_empty());
        assert_eq!(tells(&c, &gateways(&["gw-9"])[0], &page("", None, &[])), None, "nobody has asked it");
        // Another enrolment asks anew.
        begin(&c, 8, &others, true).unwrap();
        assert_eq!(waits(&c).len(), 2);
    }

    #[test]
    fn who_was_released_or_replaces_nobody_asks_and_does_not_wait() {
        for awaited in [true, false] {
            let c = journal();
            begin(&c, 7, &gateways(&["gw-2"]), awaited).unwrap();
            assert_eq!(waits(&c).is_empty(), !awaited);
            release(&c).unwrap();
            assert!(waits(&c).is_empty() && unanswered(&c).unwrap().len() == 1);
        }
        let c = journal();
        begin(&c, 7, &[], true).unwrap();
        assert!(waits(&c).is_empty(), "one that can ask nobody");
    }

    #[test]
    fn a_box_that_is_alone_at_its_site_waits_for_the_central_side_until_that_knows_everything_of_the_box_before()
     {
        let c = journal();
        begin(&c, 7, &all(&[]), true).unwrap();
        assert_eq!(
            (waits(&c), central_lacks(&c).unwrap()),
            (vec!["central".to_owned()], None),
            "it is silent"
        );
        let lacks = Page { since_ms: Some(5), ..page("", None, &["gw-1"]) };
        assert_eq!(tells(&c, &Respondent::Central, &lacks), Some(Some(WAITS.into())), "it is asked again");
        assert_eq!(waits(&c), ["central"]);
        assert_eq!(central_lacks(&c).unwrap(), Some(Lacks { since_ms: Some(5) }));
        // It knows more now, and tells it from the beginning.
        assert_eq!(tells(&c, &Respondent::Central, &page(WAITS, None, &[])), Some(Some(String::new())));
        assert_eq!(waits(&c), ["central"]);
        assert_eq!(tells(&c, &Respondent::Central, &page("", None, &["gw-7"])), Some(None));
        assert!(waits(&c).is_empty() && central_lacks(&c).unwrap().is_none());
    }

    #[test]
    fn gateways_that_were_there_before_are_enough_and_the_central_side_speaks_for_those_that_are_silent() {
        let others = gateways(&["gw-2", "gw-3"]);
        let begun = || {
            let c = journal();
            begin(&c, 7, &all(&["gw-2", "gw-3"]), true).unwrap();
            c
        };
        // Only the gateways answer.
        let c = begun();
        others.iter().for_each(|one| drop(tells(&c, one, &page("", None, &[]))));
        assert!(waits(&c).is_empty());
        // Only the central side answers, which knows everything of all.
        let c = begun();
        tells(&c, &Respondent::Central, &page("", None, &[]));
        assert!(waits(&c).is_empty());
        // It does not know everything of one: that one is waited for.
        let c = begun();
        tells(&c, &Respondent::Central, &page("", None, &["gw-3"]));
        assert_eq!(waits(&c), ["gw-3"]);
        tells(&c, &others[1], &page("", None, &[]));
        assert!(waits(&c).is_empty());
        // It knows nothing of the box before, and speaks for nobody.
        let c = begun();
        tells(&c, &Respondent::Central, &page("", None, &["gw-1"]));
        tells(&c, &others[0], &page("", None, &[]));
        assert_eq!(waits(&c), ["gw-3"]);
        // Its list is full: it may lack more.
        let c = begun();
        let many: Vec<String> = (0..NAMES).map(|n| format!("gw-{}", 10 + n)).collect();
        tells(
            &c,
            &Respondent::Central,
            &page("", None, &many.iter().map(String::as_str).collect::<Vec<_>>()),
        );
        assert_eq!(waits(&c), ["gw-2", "gw-3"]);
    }

    #[test]
    fn boxes_that_were_all_swapped_at_once_wait_for_the_central_side_and_not_for_each_other() {
        let c = journal();
        begin(&c, 7, &all(&["gw-2", "gw-3"]), true).unwrap();
        let others = gateways(&["gw-2", "gw-3"]);
        assert_eq!(
            tells(&c, &others[0], &page("", None, &["gw-1", "gw-3"])),
            Some(None),
            "it has just come itself"
        );
        assert_eq!(waits(&c), ["gw-3"]);
        assert_eq!(tells(&c, &others[1], &page("", None, &["central"])), Some(None));
        assert_eq!(waits(&c), ["central"], "nobody else was there to hear the box before");
        tells(&c, &Respondent::Central, &page("", None, &[]));
        assert!(waits(&c).is_empty());
        // One of them was there before: it has heard them all.
        let c = journal();
        begin(&c, 7, &all(&["gw-2", "gw-3"]), true).unwrap();
        tells(&c, &others[0], &page("", None, &["gw-1"]));
        tells(&c, &others[1], &page("", None, &[]));
        assert!(waits(&c).is_empty());
    }

    #[test]
    fn a_journal_of_before_goes_on_waiting_for_whom_it_has_asked() {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(&format!(
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL); {SCHEMA}
             INSERT INTO asked VALUES ('gw-2', 'u:k:1', 1, 0), ('gw-3', '', 1, 1);"
        ))
        .unwrap();
        prepare(&c).unwrap();
        prepare(&c).unwrap();
        assert_eq!(waits(&c), ["gw-2"]);
        assert_eq!(
            tells(&c, &gateways(&["gw-2"])[0], &page("u:k:1", None, &["central"])),
            Some(Some(WAITS.into()))
        );
        assert_eq!(tells(&c, &gateways(&["gw-2"])[0], &page(WAITS, None, &[])), Some(Some(String::new())));
    }
}
