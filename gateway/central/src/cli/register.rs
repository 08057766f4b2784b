//! `kakou ca list` and `kakou ca acl`: what the authority knows of its boxes, for people and for the broker.

use super::authority::looked_at;
use crate::enrol::expected::{self, Name};
use crate::enrol::office::{CodeStatus, id_of};
use kakou_core::time::rfc3339;
use kakou_link::{durable, files};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum For {
    /// The whole access list, for `acl_file`.
    Mosquitto,
    /// The users of the gateways, for the place between the marks in `nats.conf`.
    Nats,
}

/// What `kakou ca acl` is asked.
#[derive(clap::Args)]
pub struct Acl {
    /// The folder of the authority.
    #[arg(long, value_name = "FOLDER", required_unless_present = "fleet")]
    dir: Option<PathBuf>,
    /// Further gateways, SITE/GATEWAY (or SITE GATEWAY) a line. Those that were configured by hand stand best in
    /// the file by-hand.txt of the authority's folder.
    #[arg(long, value_name = "FILE")]
    fleet: Option<PathBuf>,
    /// For which broker.
    #[arg(long = "for", value_name = "BROKER", value_enum, default_value = "mosquitto")]
    broker: For,
    /// What is filled in, in the place of what ships with this version.
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Where it goes; by default it is printed.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes it.
pub fn acl(a: &Acl) -> Result<String, String> {
    let mut names: BTreeSet<Name> = BTreeSet::new();
    if let Some(dir) = &a.dir {
        names.extend(looked_at(dir)?.expected().map_err(|e| e.to_string())?);
    }
    if let Some(file) = &a.fleet {
        let text = files::read_text(file).map_err(|e| format!("{}: {e}", file.display()))?;
        names.extend(expected::read(&text).map_err(|e| format!("{}, {e}", file.display()))?);
    }
    let own = a
        .template
        .as_ref()
        .map(|file| files::read_text(file).map_err(|e| format!("{}: {e}", file.display())));
    let own = own.transpose()?;
    let text = match a.broker {
        For::Mosquitto => expected::mosquitto(own.as_deref().unwrap_or(expected::MOSQUITTO), &names)?,
        For::Nats => expected::nats(own.as_deref().unwrap_or(expected::NATS), &names)?,
    };
    let Some(out) = &a.out else { return Ok(text.trim_end().to_owned()) };
    durable::write(out, text.as_bytes()).map_err(|e| format!("{}: {e}", out.display()))?;
    let then = match a.broker {
        For::Mosquitto => "tell the broker: `systemctl reload mosquitto`",
        For::Nats => "put it into nats.conf, then `nats-server --signal reload`",
    };
    Ok(format!("{}: {} gateways; {then}", out.display(), names.len()))
}

/// `SITE/GATEWAY`, a line each, of every box that is expected.
pub fn plain(dir: &Path) -> Result<String, String> {
    let all = looked_at(dir)?.expected().map_err(|e| e.to_string())?;
    let lines: Vec<String> = all.iter().map(|(site, gateway)| format!("{site}/{gateway}")).collect();
    Ok(lines.join("\n"))
}

/// Codes and certificates.
pub fn list(dir: &Path) -> Result<String, String> {
    let office = looked_at(dir)?;
    let mut out = String::new();
    let day = |s: i64| rfc3339(s * 1000)[..10].to_owned();
    let now = kakou_link::clock::Clock::system().now().wall_s().unwrap_or(0);
    let mut codes = office.codes();
    codes.sort_by(|(a, x), (b, y)| {
        (&x.site, &x.gateway, x.issued, a).cmp(&(&y.site, &y.gateway, y.issued, b))
    });
    for (path, k) in codes {
        let standing = match k.standing {
            CodeStatus::Open if now > k.expires => "has run out".to_owned(),
            CodeStatus::Open => "open".to_owned(),
            CodeStatus::Waiting => format!("WAITS for `kakou ca accept {}`", k.gateway),
            CodeStatus::Accepted => "accepted".to_owned(),
            CodeStatus::Refused => "refused".to_owned(),
            CodeStatus::Done => "done".to_owned(),
            CodeStatus::Cancelled => "cancelled".to_owned(),
        };
        let made = k.issued.map_or_else(String::new, |at| format!(", made {} ago", age(now - at)));
        let until = rfc3339(k.expires * 1000);
        let id = id_of(&path);
        let shown = k.digits.unwrap_or_else(|| "-".into());
        writeln!(out, "code {id}  {}/{}: {standing}{made}, until {until}, digits {shown}", k.site, k.gateway)
            .map_err(|e| e.to_string())?;
    }
    for one in office.authority().issued().map_err(|e| e.to_string())? {
        let state = one
            .revoked
            .map_or_else(|| format!("until {}", day(one.ends)), |at| format!("REVOKED {}", day(at)));
        writeln!(out, "certificate    {}: {state}, serial {}", one.name, one.serial)
            .map_err(|e| e.to_string())?;
    }
    Ok(out.trim_end().to_owned())
}

/// A time that has passed, in the largest unit that says something.
fn age(s: i64) -> String {
    match s.max(0) {
        s if s < 2 * 3_600 => format!("{} min", s / 60),
        s if s < 2 * 86_400 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}
