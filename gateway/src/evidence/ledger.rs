//! The ledger: what was decided and recorded at the lanes on one day of the site, for an office; what it does not
//! show is stated.

use crate::store::{has_table, outbox};
use kakou_core::event::Class;
use kakou_core::time::{local, parse_instant, rfc3339};
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// The columns of the table.
const COLUMNS: &str = "number,time,clock,lane,visit,event,outcome,codes,plate,receipted,data";

/// A day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// The day, as the site counts it: `2022-05-24`.
    pub day: String,
    /// When it begins, UTC.
    pub from: String,
    /// When it ends, UTC.
    pub to: String,
    /// Whether no gap is known.
    pub complete: bool,
    /// What is not here, and why.
    pub gaps: Vec<Gap>,
    /// How many of the entries the central side has receipted.
    pub receipted: usize,
    /// In the order of the journal.
    pub entries: Vec<Entry>,
}

/// Something that a ledger does not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// `purged`, `missing`, `shed`, `restart`, `clock`, `running`.
    pub kind: &'static str,
    /// What it is, in English.
    pub text: String,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number in the journal.
    pub number: u64,
    /// When, by the clock of the site.
    pub time: String,
    /// Whether the clock was confirmed: `synced`, `unsynced`, `floor`.
    pub clock: String,
    /// The lane.
    pub lane: String,
    /// The visit.
    pub visit: String,
    /// The kind of the event.
    pub event: String,
    /// What was decided; empty if nothing.
    pub outcome: String,
    /// Its reasons.
    pub codes: Vec<String>,
    /// The plate, where it has one.
    pub plate: String,
    /// Whether the central side has it for certain.
    pub receipted: bool,
    /// Everything that the event says.
    pub data: Value,
}

/// When a day of the site begins, UTC milliseconds: `2022-05-24`.
pub fn begin_ms(day: &str, utc_offset_ms: i64) -> Option<i64> {
    let form = day.len() == 10
        && day
            .bytes()
            .enumerate()
            .all(|(n, b)| if n == 4 || n == 7 { b == b'-' } else { b.is_ascii_digit() });
    parse_instant(day).filter(|_| form).map(|ms| ms - utc_offset_ms)
}

/// The day that begins at a moment.
pub fn read(
    connection: &Connection,
    begin_ms: i64,
    utc_offset_ms: i64,
    now_ms: i64,
) -> rusqlite::Result<Ledger> {
    let end_ms = begin_ms + DAY_MS;
    let mut out = Ledger {
        day: rfc3339(begin_ms + utc_offset_ms).chars().take(10).collect(),
        from: rfc3339(begin_ms),
        to: rfc3339(end_ms),
        complete: true,
        gaps: Vec::new(),
        receipted: 0,
        entries: Vec::new(),
    };
    let mut gap = |kind, text| out.gaps.push(Gap { kind, text });
    let mut through = [0; 4];
    for class in Class::ALL {
        through[usize::from(class.number())] = outbox::progress(connection, class)?.1;
    }
    let purged: Option<i64> = if has_table(connection, "purged")? {
        connection.query_row("SELECT seq FROM purged", [], |r| r.get(0)).optional()?
    } else {
        None
    };
    let sql = "SELECT seq, class, stream_seq, at_ms, shed, body FROM event ORDER BY seq";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([])?;
    let (mut last, mut boot, mut before) = (purged.unwrap_or(0), String::new(), 0);
    // Nothing of the day was seen yet: what is gone before may be of it.
    let mut first = true;
    let (mut shed, mut undated) = (0_u64, 0_u64);
    while let Some(r) = rows.next()? {
        let (seq, at_ms): (i64, i64) = (r.get(0)?, r.get(3)?);
        if at_ms == 0 && !first && before < end_ms {
            undated += 1;
        }
        let of_day = (begin_ms..end_ms).contains(&at_ms);
        if seq != last + 1 && (of_day || !first) && before < end_ms {
            gap("missing", format!("events {} to {} are not in the journal", last + 1, seq - 1));
        }
        if of_day && first {
            first = false;
            if purged.is_some_and(|purged| purged == last) {
                gap(
                    "purged",
                    format!("events up to {last} are no longer kept here; some may be of this day"),
                );
            }
        }
        last = seq;
        if at_ms != 0 {
            before = at_ms;
        }
        if !of_day {
            continue;
        }
        if r.get::<_, bool>(4)? {
            shed += 1;
            continue;
        }
        let event: Value = serde_json::from_slice(&r.get::<_, Vec<u8>>(5)?).unwrap_or_default();
        let of = event["boot"].as_str().unwrap_or_default();
        if !boot.is_empty() && boot != of {
            gap(
                "restart",
                format!("the box was started anew before event {seq} ({})", local(at_ms, utc_offset_ms)),
            );
        }
        of.clone_into(&mut boot);
        let class: u8 = r.get(1)?;
        if ![Class::Verdict.number(), Class::Scan.number()].contains(&class) {
            continue;
        }
        let known = through.get(usize::from(class)).copied().unwrap_or(0);
        out.entries.push(entry(
            seq,
            &event,
            (at_ms, utc_offset_ms),
            r.get::<_, i64>(2)?.cast_unsigned() <= known,
        ));
    }
    if shed > 0 {
        gap(
            "shed",
            format!(
                "the words of {shed} events were given up for want of space; their hashes are in the journal"
            ),
        );
    }
    if undated > 0 {
        gap(
            "clock",
            format!("{undated} events have no time: the clock was not set; some may be of this day"),
        );
    }
    if now_ms < end_ms {
        gap("running", "the day is not over".to_owned());
    }
    out.complete = out.gaps.is_empty();
    out.receipted = out.entries.iter().filter(|entry| entry.receipted).count();
    Ok(out)
}

fn entry(seq: i64, event: &Value, (at_ms, utc_offset_ms): (i64, i64), receipted: bool) -> Entry {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let subject = text(&event["subject"]);
    let (lane, visit) = subject.split_once('/').unwrap_or((&subject, ""));
    let kind = text(&event["type"]);
    let kind = kind.strip_prefix("kakou.").unwrap_or(&kind);
    let data = &event["data"];
    let plate = [&data["plate"], &data["answers"]["plate"]].into_iter().find_map(Value::as_str);
    Entry {
        number: seq.cast_unsigned(),
        time: local(at_ms, utc_offset_ms),
        clock: text(&event["clockquality"]),
        lane: lane.to_owned(),
        visit: visit.to_owned(),
        event: kind.strip_suffix(".v1").unwrap_or(kind).to_owned(),
        outcome: text(&data["outcome"]),
        codes: data["codes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        plate: plate.unwrap_or_default().to_owned(),
        receipted,
        data: data.clone(),
    }
}

impl Ledger {
    /// A table as offices open it: UTF-8 with a mark, the gaps as rows of their own before the entries.
    pub fn csv(&self) -> String {
        let mut out = format!("\u{feff}{COLUMNS}\r\n");
        for gap in &self.gaps {
            row(&mut out, &["", "", "", "", "", &format!("GAP {}", gap.kind), "", "", "", "", &gap.text]);
        }
        for e in &self.entries {
            let (number, codes, data) = (e.number.to_string(), e.codes.join(" "), e.data.to_string());
            let receipted = if e.receipted { "yes" } else { "no" };
            row(
                &mut out,
                &[
                    &number, &e.time, &e.clock, &e.lane, &e.visit, &e.event, &e.outcome, &codes, &e.plate,
                    receipted, &data,
                ],
            );
        }
        out
    }
}

/// RFC 4180; a cell that a spreadsheet would compute begins with an apostrophe.
fn row(out: &mut String, cells: &[&str]) {
    for (n, cell) in cells.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        let guard = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        if cell.contains(['"', ',', '\n', '\r']) {
            let quoted = cell.replace('"', "\"\"");
            if let Err(e) = write!(out, "\"{guard}{quoted}\"") {
                log::error!("a text takes no more: {e}");
            }
        } else {
            out.push_str(guard);
            out.push_str(cell);
        }
    }
    out.push_str("\r\n");
}
