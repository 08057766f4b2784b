//! `kakou desk`

use super::fail;
use kakou_authority::sheet::{self, Card};
use kakou_core::lane::sheet::printed;
use kakou_core::profile;
use kakou_gateway::config;
use kakou_gateway::println;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is made for the desks of a gateway.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Makes the command sheet of a lane: codes to print, by which its staff act with a scanner as the only input.
    #[command(
        after_help = "The PDF has ten cards on each page, in Chinese and English: the commands, digits and letters that the lane\nneeds, and the names of all options of its forms, checks and seals. Hang it up where visitors do not reach it.\nWho scans a code must be signed in: at the desk, or at the reader of the lane by a staff badge (`[badge]` in the\nconfiguration). A code does what a button does, and nothing without that.\n\nExamples:\n  kakou desk sheet pharmacy --out pharmacy.pdf\n  kakou desk sheet medical-waste --set source=骨科 --set source=手术室 --out waste.pdf"
    )]
    Sheet {
        /// A shipped profile by its id, or a file.
        profile: String,
        /// The PDF.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A text that staff would type, as field=text: it gets a code of its own. As often as there are texts.
        #[arg(long, value_name = "FIELD=TEXT")]
        set: Vec<String>,
    },
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    let Command::Sheet { profile, out, set } = command;
    match sheet(&profile, &out, &set) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => fail(why),
    }
}

fn sheet(name: &str, out: &Path, set: &[String]) -> Result<String, String> {
    let (file, text) = config::find_profile(Path::new("."), name, &|_| None)?;
    let profile = profile::read(&file, &text).map_err(|e| e.to_string())?;
    let values = set.iter().map(|set| {
        let (field, value) = set.split_once('=').ok_or_else(|| format!("`{set}` is not FIELD=TEXT"))?;
        Ok((field.to_owned(), value.to_owned()))
    });
    let values = values.collect::<Result<Vec<_>, String>>()?;
    let codes = printed::codes(&profile, &values)?;
    let card = |p: &printed::Printed| Card {
        code: p.code.text(),
        title: p.text.zh.clone(),
        note: format!("{} · {} {}", p.text.en, p.of.zh, p.of.en),
    };
    let cards: Vec<Card> = codes.iter().map(card).collect();
    let pdf = sheet::pdf(&cards).map_err(|e| e.to_string())?;
    fs::write(out, pdf).map_err(|e| format!("{}: {e}", out.display()))?;
    let pages = cards.len().div_ceil(10);
    Ok(format!("{}: {} codes for {}, {pages} pages", out.display(), cards.len(), profile.title.en))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_made_for_a_shipped_lane_and_says_what_it_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("sheet.pdf");
        let said = sheet("pharmacy", &out, &["patient=本人".into()]).unwrap();
        assert!(said.contains("pages"), "{said}");
        assert!(fs::read(&out).unwrap().starts_with(b"%PDF"));
        for (name, set, says) in [
            ("pharmacie", "", "shipped"),
            ("pharmacy", "source=x", "source"),
            ("pharmacy", "x", "FIELD=TEXT"),
        ] {
            let set: Vec<String> = [set].iter().filter(|s| !s.is_empty()).map(|s| (*s).to_owned()).collect();
            let why = sheet(name, &out, &set).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
    }
}
