//! `kakou ca subjects`

use super::authority::office;
use crate::enrol::office::Office;
use crate::enrol::subjects::ForBoxes;
use crate::fleet::watch::now_ms;
use kakou_core::ids::SiteId;
use kakou_link::durable;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The keys that turn ids of persons into the subject keys of events: one for each site, or for each group of sites.
#[derive(clap::Subcommand)]
#[command(
    after_help = "A box gets the key of its site with its certificate. Later keys come in a file of envelopes, each for\none box alone; whoever sends them cannot read them:\n  kakou ca subjects rotate --dir ca school-3 --out keys.json\n  kakou fleet subject-keys … --sign-key ops.pk8 --from keys.json --by NAME --reason WHY\nSend the same file again to boxes that were away. A box keeps the keys before for as long as it keeps events, so\nthat a person is found whatever key a gate had."
)]
pub enum Command {
    /// Shows which sites have one key, and the number of the one in use.
    List {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
    },
    /// Makes the next key of a site or group, and writes it for each of its boxes.
    Rotate(Keys),
    /// Puts sites into a group, which gets a new key: a person has one key at all of them from then on. A site leaves a
    /// group by being put into another, which may be its own alone.
    Group {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// The name of the group; not that of a site.
        name: SiteId,
        /// The sites.
        #[arg(required = true, value_name = "SITE")]
        sites: Vec<SiteId>,
        /// Where the envelopes go.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Writes the key in use once more for each box: the file of the rotation was lost.
    Seal(Keys),
}

/// Whose keys, and where they go.
#[derive(clap::Args)]
pub struct Keys {
    /// The folder of the authority.
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
    /// The site, or the group.
    #[arg(value_name = "SITE|GROUP")]
    name: SiteId,
    /// Where the envelopes go.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Does it; gives what to print.
pub fn answer(command: Command) -> Result<String, String> {
    match command {
        Command::List { dir } => list(&office(&dir)?),
        Command::Rotate(Keys { dir, name, out }) => {
            written(&out, &office(&dir)?.subjects().rotate(&name, now_ms()).map_err(|e| e.to_string())?)
        }
        Command::Group { dir, name, sites, out } => {
            let made = office(&dir)?.subjects().group(&name, &sites, now_ms());
            written(&out, &made.map_err(|e| e.to_string())?)
        }
        Command::Seal(Keys { dir, name, out }) => {
            written(&out, &office(&dir)?.subjects().sealed(&name).map_err(|e| e.to_string())?)
        }
    }
}

fn list(office: &Office) -> Result<String, String> {
    let mut out = String::new();
    for (scope, (number, sites)) in office.subjects().list().map_err(|e| e.to_string())? {
        let sites: Vec<&str> = sites.iter().map(SiteId::as_str).collect();
        let key = if number == 0 { "no key yet".to_owned() } else { format!("key {number}") };
        writeln!(out, "{scope}: {key}; {}", sites.join(", ")).map_err(|e| e.to_string())?;
    }
    Ok(out.trim_end().to_owned())
}

fn written(out: &Path, all: &ForBoxes) -> Result<String, String> {
    let json = serde_json::to_vec_pretty(all).map_err(|e| e.to_string())?;
    durable::write(out, &json).map_err(|e| format!("{}: {e}", out.display()))?;
    let number = all.boxes.first().map_or(0, |b| b.number);
    let mut text = format!("{}: key {number} for {} boxes; ", out.display(), all.boxes.len());
    text.push_str("send it with `kakou fleet subject-keys`");
    let earlier: Vec<&str> =
        all.without.iter().filter(|name| !all.by_hand.contains(name)).map(String::as_str).collect();
    if !earlier.is_empty() {
        text.push_str(&format!(
            "\nnot for {}: they were enrolled by an earlier version and gave no key to seal for; they do with their next renewal, \
             or enrol them anew",
            earlier.join(", ")
        ));
    }
    if !all.by_hand.is_empty() {
        text.push_str(&format!(
            "\nnot for {}: they were configured by hand and keep the key that they have; until they are enrolled by a code, \
             a person has another key there, and a trace by --person does not find them",
            all.by_hand.join(", ")
        ));
    }
    Ok(text)
}
