//! `kakou pack sign`: a pack as an edition of the feed `policy`.

use super::{fail, feed};
use kakou_core::time::{parse_instant, rfc3339};
use kakou_gateway::pack::{Pack, bundle, check, read_folder};
use kakou_gateway::println;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Packs: the profiles of one kind of site with their scenarios, handed out as a whole.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Checks a pack, plays its scenarios, and signs it as an edition of the feed `policy`. What does not check is not
    /// signed.
    #[command(
        after_help = "The folder OUT is what `kakou fleet push` sends and what a USB drive carries, as with `kakou feed make`. Gateways\ncheck the pack when it comes; new visits use it from its time, open ones finish on theirs.\n\nBack to the pack before: sign its folder again, it becomes a newer edition. That also calls back one that still waits.\nKeep OUT: it knows the last edition."
    )]
    Sign {
        /// The folder with pack.toml.
        folder: PathBuf,
        /// The key of who signs, made by `kakou fleet key --usage feed`.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Where it goes.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// From when it counts, e.g. 2026-12-01T06:00:00+08:00; `now` for at once. By default what `valid_from` in
        /// pack.toml says.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// The edition; by default one more than the one in the folder.
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// Where the gateways find the folder's `parts` by HTTPS.
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    let Command::Sign { folder, key, out, from, version, url } = command;
    let done = sound(&folder).and_then(|pack| {
        let from_s = match from.as_deref() {
            None => pack.manifest.as_ref().map_or(Ok(None), |m| m.from_s())?,
            Some("now") => None,
            Some(text) => Some(
                parse_instant(text)
                    .ok_or("--from: not a date and time, e.g. 2026-12-01T06:00:00+08:00, nor `now`")?
                    .div_euclid(1000),
            ),
        };
        sign(&pack, &key, &out, (version, url), from_s)
    });
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => fail(why),
    }
}

/// A pack that nothing is wrong with.
fn sound(folder: &Path) -> Result<Pack, String> {
    let pack = read_folder(folder)?;
    let mut faults = check::check(&pack);
    if faults.is_empty() {
        faults = check::play(&pack, &mut |_, _| {});
    }
    if faults.is_empty() {
        return Ok(pack);
    }
    let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Err(format!("{}\nnothing was signed: mend it, `kakou pack check {}`", all.join("\n"), folder.display()))
}

fn sign(
    pack: &Pack,
    key: &Path,
    out: &Path,
    (version, url): (Option<u64>, Option<String>),
    from_s: Option<i64>,
) -> Result<String, String> {
    let issuer = feed::issuer(key)?;
    std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    let lines: Vec<String> = bundle::entries(pack)
        .into_iter()
        .map(|(id, facts)| json!({ "id": id, "facts": facts }).to_string() + "\n")
        .collect();
    let body = out.join("pack.new.jsonl");
    std::fs::write(&body, lines.concat()).map_err(|e| format!("{}: {e}", body.display()))?;
    let made = feed::make_policy(&issuer, &body, out, version, url, from_s);
    std::fs::remove_file(&body).map_err(|e| format!("{}: {e}", body.display()))?;
    let counts = match from_s {
        Some(s) => format!("new visits use it from {}", rfc3339(s.saturating_mul(1000))),
        None => "new visits use it from when it comes".into(),
    };
    Ok(format!("{}\n  {}: {counts}", made?, pack.name()))
}
