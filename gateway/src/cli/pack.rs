//! `kakou pack`: what is in a pack, whether it is in order, and what it changes. Signing is the central side's.

use super::{fail, subprogram};
use crate::feeds::{POLICY, staged};
use crate::pack::bundle::{self, Found};
use crate::pack::diff::{self, Diff};
use crate::pack::told::{self, Change};
use crate::pack::{Pack, check};
use crate::{config, pack};
use kakou_core::pass::trust::TrustList;
use kakou_core::scenario::outcomes::Outcomes;
use kakou_core::time::rfc3339;
use kakou_link::clock::Clock;
use kakou_link::{files, shown};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Packs: the profiles of one kind of site with their scenarios, checked, compared, signed and handed out as a whole.
#[derive(clap::Subcommand)]
#[command(
    after_help = "A PACK is one of these:\n  yard                 a folder with pack.toml\n  lists                the folder that `kakou pack sign --out lists` wrote, or the policy.feed in it\n  /var/lib/kakou       the data folder of a gateway: the pack that it uses\n  2022, everyday       one that ships with the product\n\nFrom a folder to the gates:\n  kakou pack check yard                                  profiles, lists and scenarios are in order\n  kakou pack diff /var/lib/kakou yard                    what changes for the scenarios of both\n  kakou pack sign yard --key feed.pk8 --out lists        needs the package kakou-central\n  kakou pack show lists --trust fleet.json               what was signed, by whom, from when\n  kakou fleet push … lists                               gateways check it, and use it from its time\nLanes follow it that say profile = \"policy:ID\". What waits for its time stands on the status page, in `kakou status`,\nat the desks that it concerns and on the fleet page. How to write one: gateway/docs/packs.md"
)]
pub enum Command {
    /// Reads a pack, plays its scenarios, and says everything that is wrong with it.
    #[command(
        after_help = "Each fault is one line with its file and place; exit code 1 if there is any.\n\n  kakou pack check yard\n  kakou pack check yard --config /etc/kakou/kakou.toml   can the lanes of that gateway run by it?"
    )]
    Check {
        /// The pack.
        pack: PathBuf,
        /// Checks as well that the lanes of this configuration can run by it.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Plays no scenario.
        #[arg(long)]
        no_scenarios: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Shows what is in a pack, from when it counts and who signed it; of a gateway's data folder also what waits, and
    /// what that changes.
    #[command(
        after_help = "  kakou pack show everyday                          one that ships\n  kakou pack show lists --trust fleet.json          what `pack sign --out lists` wrote; is the signature good?\n  kakou pack show /var/lib/kakou                    what a gateway uses, and what waits for its time there\nWithout --trust a signed pack is shown all the same, and that nobody has verified it."
    )]
    Show {
        /// The pack.
        pack: PathBuf,
        /// The fleet's keys: the signature is verified against them. Without them nobody looks at it.
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Compares two packs: which profiles differ, and which scenarios are decided otherwise. Exit code 1 if any is.
    #[command(
        after_help = "  kakou pack diff /var/lib/kakou yard                   against what this gateway uses\n  kakou pack diff /var/lib/kakou lists                  the same with a pack that was signed\n  kakou pack diff yard-before yard visits/*.toml        by scenarios of the site"
    )]
    Diff {
        /// The pack before: that in use.
        before: PathBuf,
        /// The new one.
        after: PathBuf,
        /// Scenario files of the site; without them those of both packs.
        scenarios: Vec<PathBuf>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Checks a pack, plays its scenarios, and signs it as an edition of the feed `policy`. What does not check is not
    /// signed.
    #[command(disable_help_flag = true)]
    Sign(subprogram::Handed),
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Sign(handed) => return subprogram::central(&["pack", "sign"], handed),
        Command::Check { pack, config, no_scenarios, json } => {
            find(&pack).and_then(|found| checked(&pack, &found.pack, config.as_deref(), no_scenarios, json))
        }
        Command::Show { pack, trust, json } => show(&pack, trust.as_deref(), json),
        Command::Diff { before, after, scenarios, json } => differ(&before, &after, &scenarios, json),
    };
    done.unwrap_or_else(fail)
}

fn now_s() -> i64 {
    Clock::system().now().wall_s().unwrap_or(0)
}

fn find(path: &Path) -> Result<Found, String> {
    bundle::find(path, None, now_s())
}

fn checked(
    path: &Path,
    pack: &Pack,
    config: Option<&Path>,
    no_scenarios: bool,
    as_json: bool,
) -> Result<ExitCode, String> {
    let mut faults = check::check(pack);
    if faults.is_empty() && !no_scenarios {
        faults = check::play(pack, &mut progress);
        progress(0, 0);
    }
    if let Some(file) = config {
        let text = files::read_text(file).map_err(|e| format!("{}: {e}", file.display()))?;
        let policy = |id: &str| pack.profiles.get(id).map(|(_, text)| text.clone());
        if let Err(e) = config::read_with(&text, file, &policy) {
            faults.push(check::Fault { file: file.display().to_string(), what: e.to_string() });
        }
    }
    let played = if no_scenarios { 0 } else { pack.scenarios.len() };
    if as_json {
        let all = json!({ "ok": faults.is_empty(), "profiles": pack.profiles.len(), "scenarios": played, "faults": faults });
        println!("{}", shown::json(&all));
    } else {
        for fault in &faults {
            println!("{}", shown::lines(&fault.to_string()));
        }
        if faults.is_empty() {
            let (profiles, name) = (pack.profiles.len(), shown::line(&pack.name()));
            println!(
                "{}: {name}: in order, {profiles} profiles, {played} scenarios as expected",
                path.display()
            );
        }
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How far it is, for whoever looks at a terminal; 0 of 0 clears the line.
fn progress(done: usize, of: usize) {
    if std::io::stderr().is_terminal() {
        match of {
            0 => eprint!("\r\x1b[K"),
            _ => eprint!("\rscenario {} of {of} ", done + 1),
        }
        drop(std::io::stderr().flush());
    }
}

fn show(path: &Path, trust: Option<&Path>, as_json: bool) -> Result<ExitCode, String> {
    let keys = trust
        .map(|file| {
            let json = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
            TrustList::fleet(&json).map_err(|e| format!("{}: {e}", file.display()))
        })
        .transpose()?;
    // What waits in a data folder was verified when it came, and is again at its time.
    let waiting = staged(path).join(format!("{POLICY}.feed"));
    let found = match bundle::find(path, keys.as_ref(), now_s()) {
        Ok(found) => found,
        // A gateway that uses no pack may have one that waits.
        Err(_) if waiting.exists() => Found { pack: Pack::default(), head: None, signer: None },
        Err(why) => return Err(why),
    };
    let waiting = waiting.exists().then(|| bundle::find(&waiting, keys.as_ref(), now_s())).transpose()?;
    if as_json {
        let mut all = of(&found);
        all["waiting"] = waiting.as_ref().map_or(Value::Null, |waiting| {
            let mut one = of(waiting);
            one["changes"] = json!(told::changes(&found.pack, &waiting.pack, &[]).0);
            one
        });
        println!("{}", shown::json(&all));
        return Ok(ExitCode::SUCCESS);
    }
    if found.pack == Pack::default() {
        println!("no pack is in use: lanes that follow one run by the shipped profiles");
    } else {
        tell(&found);
    }
    if let Some(waiting) = &waiting {
        println!("\nwaits for its time:");
        tell(waiting);
        let (changes, more) = told::changes(&found.pack, &waiting.pack, &[]);
        let one = |c: &Change| format!("{} {}", c.what.as_str(), c.profile);
        let mut all: Vec<String> = changes.iter().map(one).collect();
        if more > 0 {
            all.push(format!("{more} more"));
        }
        let all = if all.is_empty() { "nothing".into() } else { all.join(", ") };
        println!("  changes beside the one in use: {}", shown::line(&all));
    }
    Ok(ExitCode::SUCCESS)
}

/// From when it counts, UTC seconds: what was signed is above what the folder says.
fn from_s(found: &Found) -> Option<i64> {
    let own = || found.pack.manifest.as_ref().and_then(|m| m.from_s().ok().flatten());
    match &found.head {
        Some(head) => head.from,
        None => own(),
    }
}

fn of(found: &Found) -> Value {
    let (pack, head) = (&found.pack, found.head.as_ref());
    let manifest = pack.manifest.as_ref();
    json!({
        "id": manifest.map(|m| &m.id), "title": manifest.map(|m| &m.title), "pack": manifest.map(|m| &m.version),
        "version": head.map(|h| h.version), "issued": head.map(|h| rfc3339(h.issued * 1000)),
        "signer": found.signer, "from": from_s(found).map(|s| rfc3339(s * 1000)),
        "profiles": pack.profiles.keys().collect::<Vec<_>>(), "lists": pack.lists(),
        "scenarios": pack.scenarios.keys().collect::<Vec<_>>(),
    })
}

fn tell(found: &Found) {
    let pack = &found.pack;
    println!("{}", shown::line(&pack.name()));
    if let Some(head) = &found.head {
        let by = match &found.signer {
            Some(signer) => format!("signed by {signer}"),
            None => "its signature was NOT verified: give --trust".into(),
        };
        println!("  edition {} of {}, {}", head.version, rfc3339(head.issued * 1000), shown::line(&by));
    }
    match from_s(found) {
        Some(s) => println!("  new visits use it from {}", rfc3339(s * 1000)),
        None => println!("  new visits use it from when it comes"),
    }
    for (id, (file, text)) in &pack.profiles {
        let title = kakou_core::profile::read(file, text).map(|p| format!("{}  {}", p.title.zh, p.title.en));
        println!("  {:<20} {}", shown::line(id), shown::lines(&title.unwrap_or_else(|e| e.to_string())));
    }
    println!("  lists: {}", pack.lists().into_iter().collect::<Vec<_>>().join(", "));
    println!("  scenarios: {}", pack.scenarios.len());
}

fn differ(before: &Path, after: &Path, files: &[PathBuf], as_json: bool) -> Result<ExitCode, String> {
    let (before, after) = (find(before)?.pack, find(after)?.pack);
    let scenarios = if files.is_empty() {
        diff::scenarios(&before, &after)
    } else {
        let read = |file: &PathBuf| {
            let name = file.display().to_string();
            let text = files::read_text(file).map_err(|e| format!("{name}: {e}"))?;
            Ok((name, text))
        };
        files.iter().map(read).collect::<Result<BTreeMap<_, _>, String>>()?
    };
    let diff = diff::diff(&before, &after, &scenarios);
    let alike = diff.outcomes.is_empty() && diff.unplayed.is_empty();
    if as_json {
        let mut all = json!(diff);
        all["ok"] = json!(alike);
        println!("{}", shown::json(&all));
    } else {
        tell_diff(&before, &after, &diff);
    }
    Ok(if alike { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell_diff(before: &Pack, after: &Pack, diff: &Diff) {
    println!("{} → {}", shown::line(&before.name()), shown::line(&after.name()));
    for (what, ids) in [("new", &diff.added), ("gone", &diff.removed), ("changed", &diff.changed)] {
        if !ids.is_empty() {
            println!("  {what}: {}", shown::line(&ids.join(", ")));
        }
    }
    for change in &diff.outcomes {
        println!("{}: {}", shown::line(&change.file), shown::line(&change.title));
        println!("    before  {}", shown::line(&in_words(&change.before)));
        println!("    after   {}", shown::line(&in_words(&change.after)));
    }
    for (file, why) in &diff.unplayed {
        println!("{}: not played: {}", shown::line(file), shown::lines(why));
    }
    println!("{} scenarios are decided otherwise, {} alike", diff.outcomes.len(), diff.alike);
}

fn in_words(outcomes: &Outcomes) -> String {
    let one = |d: &kakou_core::scenario::outcomes::Decided| {
        format!("visit {}: {} {}", d.visit, d.outcome, d.codes.join(" ")).trim_end().to_owned()
    };
    let mut all: Vec<String> = outcomes.decided.iter().map(one).collect();
    if let Some(why) = &outcomes.stopped {
        all.push(format!("stops ({why})"));
    }
    if all.is_empty() { "no decision".into() } else { all.join(", ") }
}

/// A pack for `kakou profile try --pack`.
pub(super) fn for_try(path: &Path) -> Result<pack::Pack, String> {
    find(path).map(|found| found.pack)
}
