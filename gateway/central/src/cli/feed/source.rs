//! What a list is made from: lines of JSON, one JSON object, or the table of an office; and what was read out of it.

use crate::feeds::table::{self, ColumnNames, Table};
use crate::feeds::{columns, schema};
use jiff::tz::Offset;
use kakou_core::entry::{Is, facts};
use kakou_core::pass::id::key;
use kakou_core::pass::trust::TrustList;
use kakou_core::text::without_mark;
use kakou_gateway::store::edition::Line;
use kakou_link::files;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

/// Faults of a table that are told at once.
const TOLD: usize = 8;
/// Names of columns or facts that are told in one line.
const NAMED: usize = 12;

/// Where a list comes from, and how it is to be read.
pub struct Source<'a> {
    /// Which list.
    pub list: &'a str,
    /// The file.
    pub from: &'a Path,
    /// The column of a table that is the id.
    pub id: Option<&'a str>,
    /// The zone of its times.
    pub zone: Option<Offset>,
    /// Its columns that are not wanted.
    pub leave_out: &'a [String],
}

type Put<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), String>;

impl Source<'_> {
    /// Whether it is a table.
    fn is_table(&self) -> bool {
        self.ends_with(&["csv", "tsv", "txt"])
    }

    fn ends_with(&self, ends: &[&str]) -> bool {
        let end = self.from.extension().map(|e| e.to_ascii_lowercase());
        end.is_some_and(|e| ends.iter().any(|one| e == *one))
    }

    fn wrong(&self, why: impl std::fmt::Display) -> String {
        format!("{}: {why}", self.from.display())
    }

    /// Gives the lines of a body, in the order of ids; says what was made of what was there.
    pub fn copy(&self, to: Put) -> Result<Vec<String>, String> {
        if self.list == "trust" {
            return self.keys(to);
        }
        if self.is_table() {
            return self.table(to);
        }
        if self.ends_with(&["xlsx", "xls", "ods", "et"]) {
            return Err(self.wrong("it is a workbook: save its sheet as \"CSV UTF-8\", and give that file"));
        }
        if self.from.extension().is_some_and(|e| e == "json") {
            return self.object(to);
        }
        self.lines(to)
    }

    fn keys(&self, to: Put) -> Result<Vec<String>, String> {
        let list = std::fs::read(self.from).map_err(|e| self.wrong(e))?;
        let read = TrustList::from_json(&list).map_err(|e| self.wrong(e))?;
        // Gateways would leave them out.
        if read.left_out() > 0 {
            let allowed = "allowed: ES256, EdDSA, PS256";
            return Err(self.wrong(format!("{} keys have an unknown algorithm; {allowed}", read.left_out())));
        }
        to(without_mark(&list))?;
        Ok(Vec::new())
    }

    fn object(&self, to: Put) -> Result<Vec<String>, String> {
        let all: BTreeMap<String, Map<String, Value>> =
            files::read_json(self.from).map_err(|e| format!("{e}; expected is one object of facts by id"))?;
        let (mut once, mut own) = (Once::new(self.list), Own::new(self.list));
        for (id, facts) in all {
            once.take(&id, None).map_err(|why| self.wrong(why))?;
            schema::check(self.list, &facts).map_err(|why| self.wrong(format!("`{id}`: {why}")))?;
            own.see(&facts);
            to(format!("{}\n", json!({ "id": id, "facts": facts })).as_bytes())?;
        }
        Ok(own.told())
    }

    /// Lines go through as they are; those that are not in the order of ids are sorted.
    fn lines(&self, to: Put) -> Result<Vec<String>, String> {
        let (mut once, mut own) = (Once::new(self.list), Own::new(self.list));
        let mut last = String::new();
        let mut sorted = true;
        self.each_line(|n, line| {
            let wrong = |why: String| format!("{}:{n}: {why}", self.from.display());
            let Line { id, facts } = Line::read(line.as_bytes()).map_err(wrong)?;
            once.take(&id, Some(n)).map_err(wrong)?;
            let (_, facts) =
                facts.ok_or_else(|| wrong(format!("the entry `{id}` needs facts, `{{}}` at least")))?;
            schema::check(self.list, &facts).map_err(|why| wrong(format!("`{id}`: {why}")))?;
            own.see(&facts);
            sorted &= *id > *last;
            last = id.into_owned();
            Ok(())
        })?;
        let mut told = own.told();
        let mut put = |line: &str| to(line.as_bytes()).and_then(|()| to(b"\n"));
        if sorted {
            self.each_line(|_, line| put(line))?;
            return Ok(told);
        }
        let mut all = Vec::new();
        self.each_line(|_, line| {
            let Line { id, .. } = Line::read(line.as_bytes())?;
            all.push((id.into_owned(), line.to_owned()));
            Ok(())
        })?;
        all.sort_unstable();
        all.iter().try_for_each(|(_, line)| put(line))?;
        told.push("the lines were not in the order of ids: sorted".into());
        Ok(told)
    }

    fn each_line(&self, mut each: impl FnMut(usize, &str) -> Result<(), String>) -> Result<(), String> {
        let file = File::open(self.from).map_err(|e| self.wrong(e))?;
        for (n, line) in BufReader::new(file).lines().enumerate() {
            let line = line.map_err(|e| {
                if e.kind() == ErrorKind::InvalidData {
                    format!("{}:{}: not UTF-8: save it as UTF-8", self.from.display(), n + 1)
                } else {
                    self.wrong(e)
                }
            })?;
            let line = if n == 0 { line.trim_start_matches('\u{feff}') } else { &line };
            if !line.trim().is_empty() {
                each(n + 1, line)?;
            }
        }
        Ok(())
    }

    fn table(&self, to: Put) -> Result<Vec<String>, String> {
        if self.list == "policy" {
            return Err(self.wrong("profiles come as JSON, not as a table"));
        }
        let file = std::fs::read(self.from).map_err(|e| self.wrong(e))?;
        let names: Vec<&str> = facts(self.list).map(|fact| fact.name).collect();
        let all = [&["id"], &names[..]].concat().join(", ");
        let named = |title: &str| columns::of_list(self.list, self.id, title);
        let known = ColumnNames { named: &named, leave_out: self.leave_out, all: &all };
        let table = table::read(&file, &known).map_err(|why| {
            // A slip is told as what it is meant to be.
            let slip = why.split('`').nth(1).and_then(|title| columns::near(self.list, title).err());
            self.wrong(slip.map_or(why.clone(), |slip| format!("line 1: {slip}")))
        })?;
        let id = self.id_column(&table)?;
        let mut entries = Entries::new(self, &table, id);
        for (line, row) in &table.rows {
            entries.take(*line, row);
        }
        let (all, told) = entries.done()?;
        for (id, facts) in all {
            to(format!("{}\n", json!({ "id": id, "facts": facts })).as_bytes())?;
        }
        Ok(told)
    }

    /// Where the ids stand. Vehicles of the list of passes are known by their plates.
    fn id_column(&self, table: &Table) -> Result<usize, String> {
        let at = |name: &str| table.columns.iter().position(|c| c.name == name);
        let by_plate = || at("plate").filter(|_| self.list == "pass");
        let id = at("id").or_else(by_plate).ok_or_else(|| {
            let titles: Vec<&str> = table.columns.iter().map(|c| c.title.as_str()).collect();
            self.wrong(format!(
                "line 1: no column is the id: call it `id` (编号), or name it with --id COLUMN; there are: {}",
                titles.join(", ")
            ))
        })?;
        if self.list == "status" && table.columns.len() == 1 {
            return Err(self
                .wrong("line 1: no column says anything of these people: `colour` (健康码), for instance"));
        }
        Ok(id)
    }
}

/// Each id once, however it is written.
struct Once<'a> {
    list: &'a str,
    keys: HashMap<String, Option<usize>>,
}

impl<'a> Once<'a> {
    fn new(list: &'a str) -> Self {
        Self { list, keys: HashMap::new() }
    }

    fn take(&mut self, id: &str, line: Option<usize>) -> Result<(), String> {
        let key = key(self.list, id);
        if let Some(before) = self.keys.get(&*key) {
            let before = before.map_or_else(String::new, |n| format!(" (first in line {n})"));
            return Err(format!(
                "`{id}` is there twice, as `{key}`{before}: ids differ in more than case, width and what stands around them"
            ));
        }
        self.keys.insert(key.into_owned(), line);
        Ok(())
    }
}

/// Facts of a site's own, which no lane reads.
struct Own<'a> {
    list: &'a str,
    names: BTreeMap<String, usize>,
}

impl<'a> Own<'a> {
    fn new(list: &'a str) -> Self {
        Self { list, names: BTreeMap::new() }
    }

    fn see(&mut self, facts: &Map<String, Value>) {
        for name in facts.keys().filter(|name| schema::is_own(self.list, name)) {
            if let Some(count) = self.names.get_mut(name) {
                *count += 1;
            } else if self.names.len() < NAMED {
                self.names.insert(name.clone(), 1);
            }
        }
    }

    fn told(self) -> Vec<String> {
        let of_lists = facts(self.list).next().is_some();
        let names: Vec<String> =
            self.names.iter().filter(|_| of_lists).map(|(name, n)| format!("{name} ({n})")).collect();
        if names.is_empty() {
            Vec::new()
        } else {
            vec![format!("no lane reads these facts: {}", names.join(", "))]
        }
    }
}

/// An id and its facts.
type Row = (String, Map<String, Value>);

/// What becomes of the rows of a table.
struct Entries<'a> {
    source: &'a Source<'a>,
    table: &'a Table,
    id: usize,
    once: Once<'a>,
    all: Vec<Row>,
    faults: Vec<String>,
    more_faults: usize,
    /// Words that became others: fact, before, after.
    changed: BTreeMap<(&'a str, String, String), usize>,
    /// Cells that say nothing, by column, and the line of the first.
    empty: BTreeMap<usize, (usize, u64)>,
    /// Whether the zone was needed.
    zoned: bool,
}

impl<'a> Entries<'a> {
    fn new(source: &'a Source<'a>, table: &'a Table, id: usize) -> Self {
        let once = Once::new(source.list);
        let (all, faults, changed, empty) = (Vec::new(), Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { source, table, id, once, all, faults, more_faults: 0, changed, empty, zoned: false }
    }

    fn fault(&mut self, why: String) {
        if self.faults.len() < TOLD {
            self.faults.push(why);
        } else {
            self.more_faults += 1;
        }
    }

    fn take(&mut self, line: u64, row: &[String]) {
        let from = self.source.from.display();
        let id = &row[self.id];
        if id.is_empty() {
            let title = &self.table.columns[self.id].title;
            return self.fault(format!("{from}, line {line}, {title}: the id is missing"));
        }
        if let Err(why) = self.once.take(id, usize::try_from(line).ok()) {
            return self.fault(format!("{from}, line {line}: {why}"));
        }
        let mut entry = Map::new();
        for (at, (column, cell)) in self.table.columns.iter().zip(row).enumerate() {
            let Some(fact) = facts(self.source.list).find(|fact| fact.name == column.name) else { continue };
            match columns::value(fact, cell, self.source.zone) {
                Err(why) => self.fault(format!("{from}, line {line}, {}: {why}", column.title)),
                Ok(None) => self.empty.entry(at).or_insert((0, line)).0 += 1,
                Ok(Some(value)) => {
                    match fact.is {
                        Is::Moment | Is::End => self.zoned = true,
                        Is::Flag | Is::Uses | Is::Word(_) => {
                            let after =
                                value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed);
                            if *cell != *after {
                                let change = (fact.name, cell.clone(), after.into_owned());
                                *self.changed.entry(change).or_insert(0) += 1;
                            }
                        }
                        Is::Text | Is::Texts | Is::Number | Is::Level(_) | Is::Days | Is::Hours => {}
                    }
                    entry.insert(fact.name.to_owned(), value);
                }
            }
        }
        if let Some(missing) = facts(self.source.list).find(|f| f.required && !entry.contains_key(f.name)) {
            self.fault(format!("{from}, line {line}: `{}` is missing", missing.name));
        }
        self.all.push((id.clone(), entry));
    }

    fn done(mut self) -> Result<(Vec<Row>, Vec<String>), String> {
        if !self.faults.is_empty() {
            if self.more_faults > 0 {
                self.faults.push(format!("and {} more", self.more_faults));
            }
            return Err(self.faults.join("\n"));
        }
        let table = self.table;
        let separator = match table.separator {
            ',' => "commas",
            ';' => "semicolons",
            _ => "tabs",
        };
        let mut told = vec![format!(
            "{}: {} entries ({}, {separator})",
            self.source.from.display(),
            self.all.len(),
            table.encoding
        )];
        let other = table.columns.iter().filter(|c| c.title != c.name);
        let columns: Vec<String> = other.map(|c| format!("{} → {}", c.title, c.name)).collect();
        let mut list = |what: &str, all: Vec<String>| {
            if !all.is_empty() {
                let more = all.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let shown: Vec<&str> = all.iter().take(NAMED).map(String::as_str).collect();
                told.push(format!("{what}: {}{more}", shown.join(", ")));
            }
        };
        list("columns", columns);
        list("left out", table.left_out.clone());
        let change = |((fact, before, after), n): (&(&str, String, String), &usize)| {
            format!("{fact} {before} → {after} ({n})")
        };
        list("words", self.changed.iter().map(change).collect());
        let empty = |(at, (n, line)): (&usize, &(usize, u64))| {
            format!("{} in {n} rows (first in line {line})", table.columns[*at].title)
        };
        list("empty", self.empty.iter().map(empty).collect());
        if let Some(zone) = self.source.zone.filter(|_| self.zoned) {
            told.push(format!(
                "times without a zone are those of {zone}; an end without a time of day is with that day"
            ));
        }
        if !self.all.is_sorted_by(|(a, _), (b, _)| a < b) {
            self.all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            told.push("sorted by id".into());
        }
        Ok((self.all, told))
    }
}
