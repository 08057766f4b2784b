//! `kakou pass`

use super::fail;
use crate::clock::Clock;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kakou_core::pass::cose::Sign1;
use kakou_core::pass::kp1::{self, Draft};
use kakou_core::pass::trust::TrustFile;
use kakou_core::pass::{Format, base45, hcert, hex};
use kakou_provisioning::issuer::Issuer;
use kakou_provisioning::sheet::{self, Card};
use serde_json::{Map, Value, json};
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What can be done with passes.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Makes an issuer's key, and adds its public half to a trust list.
    Key {
        /// Where the private key goes (PKCS#8); keep it off the gateway.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The trust list to add it to; made if it is not there.
        #[arg(long, value_name = "FILE")]
        trust: PathBuf,
        /// What it may sign, e.g. resident-card; several are allowed.
        #[arg(long, value_name = "KIND", required = true)]
        usage: Vec<String>,
        /// Who holds it, for people.
        #[arg(long, default_value = "")]
        issuer: String,
    },
    /// Issues a KP1 pass and prints the text of its QR code.
    #[command(
        after_help = "Example: kakou pass issue --key transport.pk8 --kind vehicle-pass --hours 24 \\\n    plate=辽P12345 category=emergency-supplies from=211400 to=210100 uses=1 crew=2 approvals=GX,JT"
    )]
    Issue {
        /// The issuer's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The kind of pass.
        #[arg(long)]
        kind: String,
        /// Valid from now for so many hours.
        #[arg(long, default_value_t = 24)]
        hours: i64,
        /// Writes the QR code as SVG as well.
        #[arg(long, value_name = "FILE")]
        qr: Option<PathBuf>,
        /// Fields as name=value.
        fields: Vec<String>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Issues a pass for each row of a list and puts them on sheets to print: residents' cards, badges of
    /// staff, passes of vehicles or companions.
    #[command(
        after_help = "The list is CSV with a first row of names: the fields of the kind, and whatever --title and --note\nname, e.g. `id,name,group`. Save it from a spreadsheet as CSV UTF-8."
    )]
    Sheet {
        /// The issuer's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The kind of pass.
        #[arg(long)]
        kind: String,
        /// Valid from now for so many days.
        #[arg(long, default_value_t = 365)]
        days: i64,
        /// The list.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The PDF.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The column in large letters.
        #[arg(long, default_value = "name")]
        title: String,
        /// The column below it.
        #[arg(long, default_value = "group")]
        note: String,
    },
    /// Shows what a code says, WITHOUT verifying it.
    Show {
        /// The text of the code.
        text: String,
    },
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Key { out, trust, usage, issuer } => key(&out, &trust, &usage, &issuer),
        Command::Issue { key, kind, hours, qr, fields, json } => {
            issue(&key, &kind, hours, qr.as_deref(), &fields, json)
        }
        Command::Sheet { key, kind, days, from, out, title, note } => {
            sheet((&key, &kind, days), &from, &out, (&title, &note))
        }
        Command::Show { text } => show(&text),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => fail(why),
    }
}

fn now_s() -> i64 {
    Clock::system().now().wall_s().unwrap_or(0)
}

fn kind_of(word: &str) -> Result<kakou_core::pass::trust::Usage, String> {
    kp1::kind_of(word).ok_or_else(|| {
        format!("`{word}` is not a kind; allowed: {}", kp1::kind_words().collect::<Vec<_>>().join(", "))
    })
}

fn key(out: &Path, trust: &Path, usage: &[String], issuer: &str) -> Result<String, String> {
    let usages = usage.iter().map(|u| kind_of(u)).collect::<Result<Vec<_>, _>>()?;
    let mut list = match fs::read(trust) {
        Ok(json) => {
            serde_json::from_slice::<TrustFile>(&json).map_err(|e| format!("{}: {e}", trust.display()))?
        }
        Err(_) => TrustFile { name: "trust".into(), version: 0, issued: 0, keys: Vec::new() },
    };
    let der = Issuer::generate().map_err(|e| e.to_string())?;
    let key = Issuer::from_pkcs8(&der).map_err(|e| e.to_string())?;
    list.keys.push(key.entry(issuer, &usages));
    list.version += 1;
    list.issued = now_s();
    let io = |p: &Path| {
        let p = p.display().to_string();
        move |e: std::io::Error| format!("{p}: {e}")
    };
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(io(out))?;
    std::io::Write::write_all(&mut file, &der).map_err(io(out))?;
    let json = serde_json::to_string_pretty(&list).map_err(|e| e.to_string())?;
    fs::write(trust, json).map_err(io(trust))?;
    Ok(format!(
        "{}: private key. {}: version {} with {} keys.",
        out.display(),
        trust.display(),
        list.version,
        list.keys.len()
    ))
}

fn field(kind: &str, text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not name=value"))?;
    let value = match name {
        "uses" | "crew" => json!(value.parse::<u64>().map_err(|_| format!("{kind}: `{name}` is a number"))?),
        "approvals" | "seals" => json!(value.split(',').filter(|v| !v.is_empty()).collect::<Vec<_>>()),
        _ => json!(value),
    };
    Ok((name.to_owned(), value))
}

fn issue(
    key: &Path,
    kind: &str,
    hours: i64,
    qr: Option<&Path>,
    fields: &[String],
    as_json: bool,
) -> Result<String, String> {
    let der = fs::read(key).map_err(|e| format!("{}: {e}", key.display()))?;
    let issuer = Issuer::from_pkcs8(&der).map_err(|e| format!("{}: {e}", key.display()))?;
    let facts = fields.iter().map(|f| field(kind, f)).collect::<Result<Map<_, _>, _>>()?;
    let (nbf, cti) = (now_s(), Issuer::pass_id().map_err(|e| e.to_string())?);
    let draft = Draft { kind: kind_of(kind)?, cti: cti.clone(), nbf, exp: nbf + hours * 3600, facts };
    let text = issuer.issue(&draft).map_err(|e| e.to_string())?;
    if let Some(path) = qr {
        fs::write(path, crate::demo::qr_svg(&text)).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let exp = draft.exp;
    Ok(if as_json {
        json!({ "text": text, "id": URL_SAFE_NO_PAD.encode(&cti), "nbf": nbf, "exp": exp }).to_string()
    } else {
        text
    })
}

fn sheet(
    (key, kind, days): (&Path, &str, i64),
    from: &Path,
    out: &Path,
    (title, note): (&str, &str),
) -> Result<String, String> {
    let der = fs::read(key).map_err(|e| format!("{}: {e}", key.display()))?;
    let issuer = Issuer::from_pkcs8(&der).map_err(|e| format!("{}: {e}", key.display()))?;
    let usage = kind_of(kind)?;
    let known = kp1::field_help(usage);
    let known: Vec<&str> = known.split(", ").map(|n| n.trim_end_matches('?')).collect();
    let mut rows = csv::Reader::from_path(from).map_err(|e| format!("{}: {e}", from.display()))?;
    let names = rows.headers().map_err(|e| format!("{}: {e}", from.display()))?.clone();
    let nbf = now_s();
    let mut cards = Vec::new();
    for (n, row) in rows.records().enumerate() {
        let at = |e: &dyn std::fmt::Display| format!("{}, row {}: {e}", from.display(), n + 2);
        let row = row.map_err(|e| at(&e))?;
        let (mut facts, mut words) = (Map::new(), (String::new(), String::new()));
        // A spreadsheet may put a mark before the first name.
        let name_of = |name: &str| name.trim_start_matches('\u{feff}').trim().to_owned();
        for (name, value) in names.iter().map(name_of).zip(row.iter().map(str::trim)) {
            if name == title {
                value.clone_into(&mut words.0);
            }
            if name == note {
                value.clone_into(&mut words.1);
            }
            if known.contains(&name.as_str()) && !value.is_empty() {
                let (name, value) = field(kind, &format!("{name}={value}")).map_err(|e| at(&e))?;
                facts.insert(name, value);
            } else if name != title && name != note && !known.contains(&name.as_str()) {
                return Err(at(&format!("`{name}` is no field of {kind}; there are: {}", known.join(", "))));
            }
        }
        let cti = Issuer::pass_id().map_err(|e| e.to_string())?;
        let draft = Draft { kind: usage, cti, nbf, exp: nbf + days * 86_400, facts };
        let code = issuer.issue(&draft).map_err(|e| at(&e))?;
        cards.push(Card { code, title: words.0, note: words.1 });
    }
    let pdf = sheet::pdf(&cards).map_err(|e| e.to_string())?;
    fs::write(out, pdf).map_err(|e| format!("{}: {e}", out.display()))?;
    Ok(format!("{}: {} cards, {} pages", out.display(), cards.len(), cards.len().div_ceil(10)))
}

fn show(text: &str) -> Result<String, String> {
    let format = Format::of(text.as_bytes());
    let body = match format {
        Format::Opaque => return Ok(json!({ "format": "opaque", "id": text, "verified": null }).to_string()),
        Format::Kp1 => &text.as_bytes()[kp1::PREFIX.len()..],
        Format::Hcert => &text.as_bytes()[hcert::PREFIX.len()..],
    };
    let mut bytes = base45::decode(body).map_err(|e| e.to_string())?;
    if format == Format::Hcert && hcert::is_zlib(&bytes) {
        bytes = hcert::inflate(&bytes).map_err(|e| e.to_string())?;
    }
    let message = Sign1::read(&bytes).map_err(|e| e.to_string())?;
    let (cwt, kind, facts) = match format {
        Format::Kp1 => {
            let p = kp1::claims(message.payload).map_err(|e| e.to_string())?;
            (p.cwt, kp1::kind_word(p.kind).unwrap_or_default(), p.facts)
        }
        Format::Hcert | Format::Opaque => {
            let h = hcert::claims(message.payload).map_err(|e| e.to_string())?;
            (h.cwt, "health certificate", h.facts)
        }
    };
    let shown = json!({ "format": format.word(), "kid": hex(&message.kid), "alg": message.alg, "kind": kind,
        "nbf": cwt.nbf, "iat": cwt.iat, "exp": cwt.exp, "id": URL_SAFE_NO_PAD.encode(&cwt.cti), "facts": facts, "verified": null });
    serde_json::to_string_pretty(&shown).map_err(|e| e.to_string())
}
