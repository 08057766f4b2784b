//! The table: each cell with the scenario that shows it, and the page of it.

use super::cells::{self, Cell, Column, Proof};
use super::files::{Played, profiles};
use super::{proof, targets};
use crate::figures::Missing;
use kakou_core::codes::Outcome;
use kakou_core::profile;
use kakou_core::profile::shipped;
use std::collections::BTreeMap;

/// What stands in place of a scenario where no visit comes to a rule.
pub const BY_FACTS: &str = "no visit comes here so: `kakou profile try --table`";

/// A cell, and the name of the scenario that shows it.
pub struct Row {
    /// The cell.
    pub cell: Cell,
    /// The scenario; none shows it if there is none.
    pub by: Option<String>,
    /// The scenario that has shown it at the real daemon, of an outcome.
    pub real: Option<String>,
}

/// All rows, profile by profile; those of one profile if it is named.
pub fn rows(all: &[Played], only: Option<&str>) -> Result<Vec<Row>, Missing> {
    let mut rows = Vec::new();
    for id in profiles().into_iter().filter(|id| only.is_none_or(|only| only == *id)) {
        let (file, text) = shipped::find(id).ok_or_else(|| Missing(format!("{id} is not shipped")))?;
        let profile = profile::read(file, text)?;
        for cell in cells::of(&profile) {
            let by = proof::find(&cell, text, all).map_err(Missing)?.map(|of| of.name.clone());
            let by = by.or_else(|| proof::by_facts(&profile, &cell).then(|| BY_FACTS.to_owned()));
            rows.push(Row { cell, by, real: None });
        }
    }
    Ok(rows)
}

/// Writes down which scenario has shown an outcome at the real daemon.
pub fn at_the_daemon(rows: &mut [Row], by: &BTreeMap<(String, Outcome), String>) {
    for row in rows {
        if let Proof::Decides(outcome) = row.cell.proof {
            row.real = by.get(&(row.cell.profile.clone(), outcome)).cloned();
        }
    }
}

/// The cells that nothing shows.
pub fn short(rows: &[Row]) -> Vec<String> {
    let open = rows.iter().filter(|row| row.by.is_none());
    open.map(|Row { cell, .. }| format!("{} · {} · {}", cell.profile, cell.column.as_str(), cell.what))
        .collect()
}

/// The page: `measured` are the 95th percentiles of decisions in milliseconds, by profile.
pub fn page(rows: &[Row], measured: &BTreeMap<String, f64>) -> String {
    let mut out = String::from(HEAD);
    for id in profiles() {
        let title =
            shipped::find(id).and_then(|(file, text)| profile::read(file, text).ok()).map(|p| p.title);
        let title = title.map(|title| format!("{} / {}", title.zh, title.en)).unwrap_or_default();
        out.push_str(&format!("\n## {id}: {title}\n\n| | what | scenario |\n| --- | --- | --- |\n"));
        let link = |name: &String| {
            if name == BY_FACTS {
                return BY_FACTS.to_owned();
            }
            let short = name.strip_prefix(&format!("{id}/")).unwrap_or(name);
            format!("[{short}](../core/scenarios/{name}.toml)")
        };
        for Row { cell, by, real } in rows.iter().filter(|row| row.cell.profile == id) {
            let mut by = by.as_ref().map_or_else(|| "**none**".to_owned(), link);
            if let Some(real) = real {
                by.push_str(&format!("; daemon: {}", link(real)));
            }
            // A bar ends a cell.
            let what = cell.what.replace('|', "\\|");
            out.push_str(&format!("| {} | {what} | {by} |\n", cell.column.as_str()));
        }
        let target = targets::of(id).map(|t| t.as_millis().to_string()).unwrap_or_default();
        let found = measured.get(id).map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms"));
        out.push_str(&format!("| target | decision within {target} ms (95th percentile) | {found} |\n"));
    }
    out
}

/// So many cells of each column are shown, of so many.
pub fn counts(rows: &[Row]) -> BTreeMap<&'static str, [usize; 2]> {
    let of = |column: Column| {
        let all = rows.iter().filter(|row| row.cell.column == column);
        let shown = all.clone().filter(|row| row.by.is_some()).count();
        (column.as_str(), [shown, all.count()])
    };
    Column::ALL.into_iter().map(of).collect()
}

const HEAD: &str = "# What each lane does, and the scenario that shows it

Written by the bar `lanes` (`cargo run --release -p kakou-tests --bin lanes -- --page`): do not edit. The rows are read from
the profiles that ship; a row that no scenario shows makes the bar fall short.

- **rule**: a rule of a `decide` step, by its code; in brackets the step where it is not the last. Its scenario fails
  where the profile lacks the rule. So it is with **event** (an extra event of the profile) and **stale** (what becomes of a
  visit where a list is too old or the clock is not trusted).
- **outcome**: a visit with this verdict; *daemon* names the scenario whose verdict also came at the real daemon, from
  simulated devices and desks. **staff**: an act that was taken, and at which step.
- **no phone**: somebody without phone and card is admitted: by what staff type, by a form at the desk, by a button.
- **target**: how long a decision may take after the last input, and what the real daemon took with simulated devices.
";
