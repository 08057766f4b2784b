//! `kakou ca`

use super::authority::office;
use super::{fail, register};
use crate::enrol::expected;
use crate::enrol::office::{Office, Wanted};
use crate::enrol::server;
use crate::enrol::subjects::readers;
use crate::metrics::At;
use crate::qr;
use kakou_authority::authority::{Authority, AuthorityError};
use kakou_authority::sheet::{self, Card};
use kakou_core::ids::{GatewayId, SiteId};
use kakou_gateway::http::connections::{self, BodyTime};
use kakou_gateway::http::seats::ConnectionLimits;
use kakou_gateway::{eprint, eprintln, println};
use kakou_link::https::Endpoint;
use kakou_link::{durable, tls};
use kakou_provisioning::code::Code;
use qrcodegen::{QrCode, QrCodeEcc};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A small certificate authority and enrolment server, for a fleet that has none.
#[derive(clap::Subcommand)]
#[command(
    after_help = "From nothing to an enrolled gateway:\n  kakou ca init --dir ca --broker mqtts://broker.example:8883\n  kakou ca server --dir ca --name broker broker.example     (certificate for the broker)\n  kakou ca serve --dir ca --url https://enrol.example:8443  (keep it running)\n  kakou ca code --dir ca --url https://enrol.example:8443 --site school --gateway gw-1\nand hold the code before any scanner of the new box. Put the list of fleet keys into the folder as\nfleet.json, and the trust list as trust.json: each box gets them with its certificate."
)]
pub enum Command {
    /// Makes the root and a first template of a configuration.
    Init {
        /// The folder of the authority. Whoever reads it can make gateways.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// The name of the fleet in the root certificate.
        #[arg(long, default_value = "Kakou fleet")]
        name: String,
        /// The broker of the fleet, for the template.
        #[arg(long, value_name = "URL", default_value = "mqtts://broker.example:8883")]
        broker: String,
    },
    /// Makes key and certificate of a server or tool: the broker, `central`, `ops`.
    Server {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// The name in the certificate; NAME.pem and NAME.key are written into the folder `issued`.
        #[arg(long)]
        name: String,
        /// Host names and addresses under which it is reached; none for a tool that only asks.
        hosts: Vec<String>,
    },
    /// Makes an enrolment code for one gateway and shows it as a QR code.
    Code {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// The address of `kakou ca serve`, as the box reaches it.
        #[arg(long, value_name = "URL")]
        url: String,
        /// The site.
        #[arg(long)]
        site: SiteId,
        /// The gateway that the box becomes.
        #[arg(long)]
        gateway: GatewayId,
        /// Which template: a file of the folder `templates`, without `.toml`.
        #[arg(long, default_value = "default")]
        template: String,
        /// What stands as {NAME} in the template; several are allowed.
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = value)]
        values: Vec<(String, String)>,
        /// How long the code counts.
        #[arg(long, default_value_t = 120)]
        minutes: i64,
        /// An officer compares the six digits before the box gets its certificate (`kakou ca accept`).
        #[arg(long)]
        ask: bool,
        /// The box takes the place of one that this authority did not enrol. It knows those that it did: a code for a
        /// name that had a box before replaces that box in any case.
        #[arg(long)]
        replaces: bool,
        /// Writes the code as SVG, to print: with the name of the box and the end of the code below it.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
        /// The same as PNG, to send to a telephone: FILE.png.
        #[arg(long, value_name = "FILE")]
        png: Option<PathBuf>,
        /// Prints the text of the code alone.
        #[arg(long)]
        text: bool,
    },
    /// Makes codes for a site like another: one for each gateway that was enrolled there, with the same
    /// template, on a sheet to print.
    Clone {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// The address of `kakou ca serve`, as the boxes reach it.
        #[arg(long, value_name = "URL")]
        url: String,
        /// The site that there is.
        #[arg(long, value_name = "SITE")]
        from: SiteId,
        /// The site that is to be like it.
        #[arg(long, value_name = "SITE")]
        to: SiteId,
        /// What is different from there: {NAME} in the templates; several are allowed.
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = value)]
        values: Vec<(String, String)>,
        /// How long the codes count.
        #[arg(long, default_value_t = 1440)]
        minutes: i64,
        /// An officer compares the six digits before a box gets its certificate (`kakou ca accept`).
        #[arg(long)]
        ask: bool,
        /// The sheet: a PDF with a card for each gateway.
        #[arg(long, value_name = "FILE")]
        sheet: PathBuf,
        /// Prints the texts of the codes, a line each.
        #[arg(long)]
        text: bool,
    },
    /// Answers boxes: first certificates for codes, and renewals.
    Serve {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// The address under which boxes reach it.
        #[arg(long, value_name = "URL")]
        url: String,
        /// Where it listens.
        #[arg(long, default_value = "0.0.0.0:8443")]
        listen: SocketAddr,
        #[command(flatten)]
        figures: At,
    },
    /// Shows codes and certificates.
    List {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// The boxes alone that are expected, SITE/GATEWAY a line: those with a certificate that counts, and those that
        /// have a code and have not come.
        #[arg(long)]
        plain: bool,
    },
    /// Writes the access list of the broker: each gateway's own topics, for every box that is expected. Before a
    /// box comes, and after a revocation.
    Acl(register::Acl),
    /// The digits are the same on both screens: the box gets its certificate.
    Accept {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// GATEWAY, SITE/GATEWAY, or the six digits of its screen.
        gateway: String,
    },
    /// The digits differ, or nobody expects this box.
    Refuse {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// GATEWAY, SITE/GATEWAY, or the six digits of its screen.
        gateway: String,
    },
    /// Takes back a code that no box has used, by its id.
    Cancel {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// The id of the code, as `kakou ca list` shows it.
        #[arg(value_name = "CODE-ID")]
        id: String,
    },
    /// Revokes every certificate of a name (SITE.GATEWAY) and writes the revocation list anew.
    Revoke {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// SITE.GATEWAY, or the name of a server.
        name: String,
    },
    /// Keys of persons: rotates them, and puts sites into groups.
    Subjects {
        #[command(subcommand)]
        what: super::subjects::Command,
    },
    /// Writes the revocation list, for the broker's `crlfile`. Again each week: it counts for 30 days, and
    /// then the broker refuses everybody.
    Crl {
        /// The folder of the authority.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
    },
}

/// Runs it.
pub fn run(command: Command) -> ExitCode {
    match answer(command) {
        Ok(text) => {
            if !text.is_empty() {
                println!("{text}");
            }
            ExitCode::SUCCESS
        }
        Err(why) => fail(why),
    }
}

/// `NAME=VALUE`
fn value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn put(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let done = std::fs::create_dir_all(folder).and_then(|()| durable::write_secret(path, bytes.as_ref()));
    done.map_err(|e| format!("{}: {e}", path.display()))
}

fn answer(command: Command) -> Result<String, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    match command {
        Command::Init { dir, name, broker } => {
            let authority = Authority::make(&dir, &name).map_err(|e| text(&e))?;
            let template = dir.join("templates/default.toml");
            put(&template, TEMPLATE.replace("{broker}", &broker))?;
            let root = kakou_provisioning::certificate::fingerprint(&authority.root_der);
            let root = kakou_authority::authority::hex(&root);
            Ok(format!(
                "{}: the root of {name}, SHA-256 {root}\n{}: what each box gets; write your lanes and devices into it",
                dir.join("root.pem").display(),
                template.display()
            ))
        }
        Command::Server { dir, name, hosts } => {
            if !hosts.is_empty() && expected::of_certificate(&name).is_some() {
                return Err(format!(
                    "`{name}` is the name of a gateway, SITE.GATEWAY: give the server one without a point"
                ));
            }
            let made = office(&dir)?.authority().server(&name, &hosts).map_err(|e| text(&e))?;
            let file = |end: &str| dir.join("issued").join(format!("{name}.{end}"));
            put(&file("pem"), made.certificate)?;
            put(&file("key"), made.key.unwrap_or_default())?;
            Ok(format!("{} and {}", file("pem").display(), file("key").display()))
        }
        Command::Code {
            dir,
            url,
            site,
            gateway,
            template,
            values,
            minutes,
            ask,
            replaces,
            svg,
            png,
            text: plain,
        } => {
            Endpoint::read(&url).map_err(|e| text(&e))?;
            let values = values.into_iter().collect();
            let office = office(&dir)?;
            let replaces = replaces || office.was_enrolled(&site, &gateway).map_err(|e| text(&e))?;
            let others = office.others(&site, &gateway).map_err(|e| text(&e))?;
            let wanted = Wanted { site, gateway, template, values, minutes, ask, replaces };
            let code = office.code(&url, wanted).map_err(|e| text(&e))?;
            let line = code.text();
            let modules = QrCode::encode_text(&line, QrCodeEcc::Medium).map_err(|e| e.to_string())?;
            let words = [format!("{} / {}", code.site, code.gateway), qr::until(code.expires)];
            svg.map_or(Ok(()), |file| qr::write(&file, &line, &words))?;
            png.map_or(Ok(()), |file| qr::write_png(&file, &line, &words))?;
            let mut beware = if replaces { replacement(&others) } else { String::new() };
            if let Some(why) = office.nobody_signs_in(&code) {
                beware.push_str(&format!("With this template {why}.\n"));
            }
            if plain {
                eprint!("{beware}");
                return Ok(line);
            }
            Ok(format!(
                "{}\n{} at {}, good for {minutes} minutes, works once. Hold it before any scanner of the box.\n{FIRST}\n{beware}",
                blocks(&modules),
                code.gateway,
                code.site
            ))
        }
        Command::Clone { dir, url, from, to, values, minutes, ask, sheet, text: plain } => {
            Endpoint::read(&url).map_err(|e| text(&e))?;
            let values = values.into_iter().collect();
            let office = office(&dir)?;
            let made = office.clone_site(&url, (&from, &to), &values, (minutes, ask));
            let codes = made.map_err(|e| text(&e))?;
            let without = codes.iter().find_map(|code| Some((&code.gateway, office.nobody_signs_in(code)?)));
            let beware = without.map_or_else(String::new, |(gateway, why)| format!("\n{gateway}: {why}"));
            let card = |c: &Code| Card {
                code: c.text(),
                title: c.gateway.to_string(),
                note: format!("{to}, {}", qr::until(c.expires)),
            };
            let cards: Vec<Card> = codes.iter().map(card).collect();
            put(&sheet, &sheet::pdf(&cards).map_err(|e| text(&e))?)?;
            if plain {
                eprint!("{}", beware.trim_start());
                return Ok(cards.iter().map(|c| c.code.as_str()).collect::<Vec<_>>().join("\n"));
            }
            let names: Vec<&str> = codes.iter().map(|c| c.gateway.as_str()).collect();
            Ok(format!(
                "{}: codes for {} of {to}, good for {minutes} minutes, each works once. {FIRST}{beware}",
                sheet.display(),
                names.join(", ")
            ))
        }
        Command::Serve { dir, url, listen, figures } => {
            serve(&dir, &url, listen, figures).map(|()| String::new())
        }
        Command::List { dir, plain: true } => register::plain(&dir),
        Command::List { dir, plain: false } => register::list(&dir),
        Command::Acl(wanted) => register::acl(&wanted),
        Command::Accept { dir, gateway } => decided(&dir, &gateway, true),
        Command::Refuse { dir, gateway } => decided(&dir, &gateway, false),
        Command::Cancel { dir, id } => {
            let kept = office(&dir)?.cancel(&id).map_err(|e| text(&e))?;
            Ok(format!("the code {id} for {}/{} counts no more", kept.site, kept.gateway))
        }
        Command::Revoke { dir, name } => {
            let office = office(&dir)?;
            let authority = office.authority();
            let mut count = match authority.revoke(&name) {
                // Revoked before, and the list may have been left behind.
                Err(AuthorityError::Nobody(_))
                    if authority.was_revoked(&name).map_err(|e| e.to_string())? =>
                {
                    0
                }
                revoked => revoked.map_err(|e| e.to_string())?,
            };
            // One that was renewed meanwhile goes with them.
            while count > 0
                && let Ok(more) = authority.revoke(&name)
            {
                count += more;
            }
            // Nothing is sealed any more for a box that may be in other hands.
            readers(&dir).forget(&name).map_err(|e| e.to_string())?;
            Ok(format!("{count} certificates of {name} are revoked\n{}", crl(&office, &dir)?))
        }
        Command::Subjects { what } => super::subjects::answer(what),
        Command::Crl { dir } => crl(&office(&dir)?, &dir),
    }
}

/// What comes before the box does.
const FIRST: &str = "Before it comes, the broker must know it: `kakou ca acl`.";

/// What whoever makes a code for the place of another box should know.
fn replacement(others: &[GatewayId]) -> String {
    if others.is_empty() {
        return "It takes the place of a box that had this name, and the site has no other gateway: it holds single-use \
                passes until the central side (`kakou central ingest`) has told which were used, or until a supervisor \
                releases it at its desk.\n"
            .into();
    }
    let names: Vec<&str> = others.iter().map(GatewayId::as_str).collect();
    format!(
        "It takes the place of a box that had this name: it holds single-use passes until it has heard from {}, or from \
         the central side, which were used, or until a supervisor releases it at its desk.\n",
        names.join(", ")
    )
}

fn decided(dir: &Path, gateway: &str, yes: bool) -> Result<String, String> {
    let kept = office(dir)?.decide(gateway, yes).map_err(|e| e.to_string())?;
    let word = if yes { "accepted" } else { "refused" };
    Ok(format!("{}/{} with {} is {word}", kept.site, kept.gateway, kept.digits.unwrap_or_default()))
}

fn crl(office: &Office, dir: &Path) -> Result<String, String> {
    let file = dir.join("issued/fleet.crl");
    put(&file, office.authority().crl().map_err(|e| e.to_string())?)?;
    Ok(format!("{}: give it to the broker as `crlfile`", file.display()))
}

fn serve(dir: &Path, url: &str, listen: SocketAddr, figures: At) -> Result<(), String> {
    let place = Endpoint::read(url).map_err(|e| e.to_string())?;
    let office = office(dir)?;
    // Its own certificate is made anew with each start, and the root goes along: boxes know its hash.
    let made = office
        .authority()
        .server("enrolment", std::slice::from_ref(&place.host))
        .map_err(|e| e.to_string())?;
    let (cert, key) = (dir.join("issued/enrolment.pem"), dir.join("issued/enrolment.key"));
    put(&cert, format!("{}{}", made.certificate, office.authority().root))?;
    put(&key, made.key.unwrap_or_default())?;
    let config = tls::server(&cert, &key).map_err(|e| e.to_string())?;
    let runtime = super::runtime().map_err(|e| e.to_string())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.map_err(|e| format!("{listen}: {e}"))?;
        eprintln!("boxes are answered at https://{listen} (for them {url}); Ctrl-C ends");
        let cancel = CancellationToken::new();
        let end = cancel.clone();
        tokio::spawn(async move {
            drop(tokio::signal::ctrl_c().await);
            end.cancel();
        });
        let (routes, happened) = figures.around(server::router(office), |_| {}, cancel.clone()).await?;
        let rules = (ConnectionLimits::FLEET, BodyTime::SHORT);
        connections::serve(listener, Some(config), routes, rules, happened, cancel).await;
        Ok(())
    })
}

/// For a terminal: two rows of modules in one line of half blocks, with the quiet zone.
fn blocks(qr: &QrCode) -> String {
    let (size, quiet) = (qr.size(), 2);
    let dark = |x: i32, y: i32| qr.get_module(x, y);
    let mut out = String::new();
    let mut y = -quiet;
    while y < size + quiet {
        for x in -quiet..size + quiet {
            out.push(match (dark(x, y), dark(x, y + 1)) {
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        }
        out.push('\n');
        y += 2;
    }
    out
}

/// The first template.
const TEMPLATE: &str = r#"# What a box gets when it is enrolled. {site}, {gateway}, {scanner} and {baud} (the port at which its code
# was read, and the rate) are filled in, and what --set gives a value. Write the
# lanes and devices of your kind of gate here.
[gateway]
site = "{site}"
id = "{gateway}"
data = ".."
fleet_keys = "fleet.json"
# Of the site's clock from UTC: counters begin anew at its midnight.
utc_offset_minutes = 480
# For whom private answers are sealed: the line that `kakou central answers key` prints.
#central_key = "…"
# For keys and routes that count in one region: lanes of trucks need it.
#region = "211400"

[http]
# The screens of the box itself. For a tablet: another address, with cert and key.
listen = "127.0.0.1:8088"

[upstream]
broker = "{broker}"
ca = "ca.pem"
cert = "device.pem"
key = "device.key"

# Who signs in at a desk, and decides by hand what the lane does not: at least one. Take the # away.
#[[officer]]
#id = "li"
#name = "李敏"
#role = "supervisor"    # guard, nurse, transport, supervisor or admin
#pin = "$argon2id$…"    # the whole line that `kakou officer pin` prints

[[device]]
id = "scanner"
driver = "line-scanner"
port = { path = "{scanner}", baud = {baud} }

[[device]]
id = "thermometer"
driver = "gy-mcu90614"
port = { path = "/dev/serial/by-path/WHERE-IT-IS-PLUGGED-IN", body_grade = true }

[[device]]
id = "barrier"
driver = "modbus-relay"
port = { path = "/dev/serial/by-path/WHERE-THE-RELAY-IS" }

[[lane]]
id = "lane-1"
profile = "policy:school-gate"
devices = { scanner = "scanner", thermometer = "thermometer", barrier = "barrier" }
"#;

#[cfg(test)]
mod tests;
