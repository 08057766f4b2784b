//! `kakou pass`

use super::fail;
use crate::feeds::columns;
use crate::feeds::table::{self, ColumnNames};
use crate::qr;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kakou_authority::issuer::Issuer;
use kakou_authority::sheet::{self, Card};
use kakou_core::pass::kp1::{self, Draft};
use kakou_core::pass::trust::{KeyEntry, TrustFile, TrustList, Usage};
use kakou_gateway::println;
use kakou_link::clock::Clock;
use kakou_link::tls;
use kakou_provisioning::certificate::{self, HEALTH};
use serde_json::{Map, Value, json};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What can be done with passes.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Makes an issuer's key, and adds its public half to a trust list; or adds the key of a certificate.
    #[command(
        after_help = "Examples:\n  kakou pass key --out school.pk8 --trust trust.json --usage resident-card\n  kakou pass key --cert dsc.pem --trust trust.json"
    )]
    Key {
        /// Where the private key goes (PKCS#8); keep it off the gateway.
        #[arg(long, value_name = "FILE", required_unless_present = "cert")]
        out: Option<PathBuf>,
        /// The certificate of somebody who issues health certificates, PEM or DER; its key is added.
        #[arg(long, value_name = "FILE", conflicts_with = "out")]
        cert: Option<PathBuf>,
        /// The trust list to add it to; made if it is not there.
        #[arg(long, value_name = "FILE")]
        trust: PathBuf,
        /// What it may sign, e.g. resident-card or hcert-test; several are allowed. Of a certificate: by
        /// default what it says itself, else all health certificates.
        #[arg(long, value_name = "KIND", required_unless_present = "cert")]
        usage: Vec<String>,
        /// Who holds it, for people; of a certificate by default its subject.
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
        /// Writes the QR code as a picture as well: PNG if it is called so, else SVG.
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
        after_help = "The list is CSV with a first row of names: the fields of the kind, and whatever --title and --note\nname, e.g. `id,name,group` or `学号,姓名,班级`. Commas, semicolons and tabs are\nunderstood, and GB18030 where it is clear; best save it from a spreadsheet as CSV UTF-8."
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
        /// Columns that are not wanted, with commas between them.
        #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
        leave_out: Vec<String>,
    },
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Key { out, cert, trust, usage, issuer } => {
            key((out.as_deref(), cert.as_deref()), &trust, &usage, &issuer)
        }
        Command::Issue { key, kind, hours, qr, fields, json } => {
            issue(&key, &kind, hours, qr.as_deref(), &fields, json)
        }
        Command::Sheet { key, kind, days, from, out, title, note, leave_out } => {
            sheet((&key, &kind, days), (&from, &leave_out), &out, (&title, &note))
        }
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

fn kind_of(word: &str) -> Result<Usage, String> {
    kp1::kind_of(word).ok_or_else(|| {
        format!("`{word}` is not a kind; allowed: {}", kp1::kind_words().collect::<Vec<_>>().join(", "))
    })
}

/// What a key may be allowed to sign by its word: passes of ours and health certificates.
fn usage_of(word: &str) -> Result<Usage, String> {
    let health = HEALTH.into_iter().find(|u| json!(u) == json!(word));
    health.or_else(|| kp1::kind_of(word)).ok_or_else(|| {
        let health = ["hcert-test", "hcert-vaccination", "hcert-recovery"];
        let all = kp1::kind_words().chain(health).collect::<Vec<_>>();
        format!("`{word}` is nothing that a key signs; allowed: {}", all.join(", "))
    })
}

fn key(
    (out, cert): (Option<&Path>, Option<&Path>),
    trust: &Path,
    usage: &[String],
    issuer: &str,
) -> Result<String, String> {
    let usages = usage.iter().map(|u| usage_of(u)).collect::<Result<Vec<_>, _>>()?;
    let io = |p: &Path| {
        let p = p.display().to_string();
        move |e: std::io::Error| format!("{p}: {e}")
    };
    let mut list = match fs::read(trust) {
        Ok(json) => TrustFile::read(&json).map_err(|e| format!("{}: {e}", trust.display()))?,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            TrustFile { name: "trust".into(), version: 0, issued: 0, keys: Vec::new() }
        }
        Err(e) => return Err(io(trust)(e)),
    };
    let mut made = None;
    match (out, cert) {
        (_, Some(file)) => list.keys.extend(of_certificates(file, &usages, issuer)?),
        (Some(out), None) => {
            let der = Issuer::generate().map_err(|e| e.to_string())?;
            list.keys.push(Issuer::from_pkcs8(&der).map_err(|e| e.to_string())?.entry(issuer, &usages));
            made = Some((out, der));
        }
        (None, None) => return Err("give one of --out and --cert".into()),
    }
    list.version += 1;
    list.issued = now_s();
    // A list that no gateway would take is not written.
    TrustList::from_file(&list, "trust").map_err(|e| format!("{}: {e}", trust.display()))?;
    let mut told = String::new();
    if let Some((out, der)) = made {
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(out).map_err(io(out))?;
        std::io::Write::write_all(&mut file, &der).map_err(io(out))?;
        told = format!("{}: private key. ", out.display());
    }
    let json = serde_json::to_string_pretty(&list).map_err(|e| e.to_string())?;
    fs::write(trust, json).map_err(io(trust))?;
    Ok(format!("{told}{}: version {} with {} keys.", trust.display(), list.version, list.keys.len()))
}

/// The entries of the certificates in a file.
fn of_certificates(file: &Path, usages: &[Usage], issuer: &str) -> Result<Vec<KeyEntry>, String> {
    let name = file.display();
    let bytes = fs::read(file).map_err(|e| format!("{name}: {e}"))?;
    let all = if bytes.windows(10).any(|w| w == b"-----BEGIN") {
        tls::certificates(file).map_err(|e| e.to_string())?.iter().map(|der| der.to_vec()).collect()
    } else {
        vec![bytes]
    };
    let of = |der: &Vec<u8>| {
        let mut entry = certificate::entry(der).map_err(|e| format!("{name}: {e}"))?;
        if !usages.is_empty() {
            entry.usages = usages.iter().copied().map(Into::into).collect();
        }
        if !issuer.is_empty() {
            issuer.clone_into(&mut entry.issuer);
        }
        Ok(entry)
    };
    all.iter().map(of).collect()
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
    picture: Option<&Path>,
    fields: &[String],
    as_json: bool,
) -> Result<String, String> {
    let der = fs::read(key).map_err(|e| format!("{}: {e}", key.display()))?;
    let issuer = Issuer::from_pkcs8(&der).map_err(|e| format!("{}: {e}", key.display()))?;
    let facts = fields.iter().map(|f| field(kind, f)).collect::<Result<Map<_, _>, _>>()?;
    let (nbf, cti) = (now_s(), Issuer::pass_id().map_err(|e| e.to_string())?);
    let draft = Draft { kind: kind_of(kind)?, cti: cti.clone(), nbf, exp: nbf + hours * 3600, facts };
    let text = issuer.issue(&draft).map_err(|e| e.to_string())?;
    if let Some(path) = picture {
        qr::write(path, &text, &[kind.to_owned(), qr::until(nbf + hours * 3600)])?;
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
    (from, leave_out): (&Path, &[String]),
    out: &Path,
    (title, note): (&str, &str),
) -> Result<String, String> {
    let der = fs::read(key).map_err(|e| format!("{}: {e}", key.display()))?;
    let issuer = Issuer::from_pkcs8(&der).map_err(|e| format!("{}: {e}", key.display()))?;
    let usage = kind_of(kind)?;
    let known = kp1::field_help(usage);
    let known: Vec<&str> = known.split(", ").map(|n| n.trim_end_matches('?')).collect();
    let wanted: Vec<&str> = known.iter().copied().chain([title, note]).collect();
    let named = |column: &str| {
        let exactly = wanted.iter().find(|name| **name == column);
        let meant = || wanted.iter().find(|name| columns::stands_for(column, name));
        exactly.or_else(meant).map(|name| (*name).to_owned())
    };
    let file = fs::read(from).map_err(|e| format!("{}: {e}", from.display()))?;
    let readable = ColumnNames { named: &named, leave_out, all: &wanted.join(", ") };
    let table = table::read(&file, &readable).map_err(|e| format!("{}: {e}", from.display()))?;
    let nbf = now_s();
    let mut cards = Vec::new();
    for (line, row) in &table.rows {
        let at = |e: &dyn std::fmt::Display| format!("{}, line {line}: {e}", from.display());
        let (mut facts, mut words) = (Map::new(), (String::new(), String::new()));
        for (name, value) in table.columns.iter().map(|c| &c.name).zip(row) {
            if name == title {
                value.clone_into(&mut words.0);
            }
            if name == note {
                value.clone_into(&mut words.1);
            }
            if known.contains(&name.as_str()) && !value.is_empty() {
                let (name, value) = field(kind, &format!("{name}={value}")).map_err(|e| at(&e))?;
                facts.insert(name, value);
            }
        }
        let cti = Issuer::pass_id().map_err(|e| e.to_string())?;
        let draft = Draft { kind: usage, cti, nbf, exp: nbf + days * 86_400, facts };
        let code = issuer.issue(&draft).map_err(|e| at(&e))?;
        cards.push(Card { code, title: words.0, note: words.1 });
    }
    if cards.is_empty() {
        return Err(format!("{}: no row below the names", from.display()));
    }
    let pdf = sheet::pdf(&cards).map_err(|e| e.to_string())?;
    fs::write(out, pdf).map_err(|e| format!("{}: {e}", out.display()))?;
    Ok(format!("{}: {} cards, {} pages", out.display(), cards.len(), cards.len().div_ceil(10)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_authority::authority::Authority;

    #[test]
    fn a_certificate_becomes_an_entry_of_a_trust_list_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        Authority::make(folder.path(), "Health Office").unwrap();
        let add = |usage: &[&str]| {
            let usage: Vec<String> = usage.iter().map(|u| (*u).to_owned()).collect();
            key((None, Some(&at("root.pem"))), &at("trust.json"), &usage, "")
        };
        add(&["hcert-test"]).unwrap();
        let list = TrustFile::read(&fs::read(at("trust.json")).unwrap()).unwrap();
        assert_eq!(list.keys[0].usages, [Usage::HcertTest.into()]);
        assert!(list.keys[0].issuer.contains("Health Office"));
        assert!(add(&["moon-pass"]).unwrap_err().contains("hcert-vaccination"));
        // For another use, under the same key id.
        add(&["hcert-recovery"]).unwrap();
        assert_eq!(TrustList::from_json(&fs::read(at("trust.json")).unwrap()).unwrap().len(), 2);
        fs::write(at("broken.json"), "\u{feff}{").unwrap();
        let said =
            key((Some(&at("new.pk8")), None), &at("broken.json"), &["resident-card".into()], "").unwrap_err();
        assert!(said.contains("broken.json") && said.contains("line 1"), "{said}");
        assert!(!at("new.pk8").exists(), "no key is made that stands on no list");
    }

    #[test]
    fn a_sheet_is_made_of_what_a_spreadsheet_saves_and_a_bad_row_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("k.pk8"), Issuer::generate().unwrap()).unwrap();
        let made = |kind: &str, text: &str| {
            fs::write(at("list.csv"), text).unwrap();
            sheet((&at("k.pk8"), kind, 1), (&at("list.csv"), &[]), &at("out.pdf"), ("name", "group"))
        };
        assert!(
            made("resident-card", "sep=;\nid;name;group\nＲ－１;张三;\n;;\n").unwrap().contains("1 cards")
        );
        assert!(made("resident-card", "学号,姓名,班级\nR-1,张三,一班\n").unwrap().contains("1 cards"));
        let vehicles =
            "plate,category,from,to,uses,name\n辽P12345,transit,a,b,1,x\n港AB1234,transit,a,b,1,y\n";
        let said = made("vehicle-pass", vehicles).unwrap_err();
        assert!(said.contains("list.csv, line 3") && said.contains("港AB1234"), "{said}");
        assert!(made("resident-card", "id,name\n").unwrap_err().contains("no row"));
    }
}
