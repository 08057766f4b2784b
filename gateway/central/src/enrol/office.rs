//! The authority's office: gives a box its certificate and its configuration for a code, once.
//!
//! Codes are files in the authority's folder, named by the hash of their token. A code belongs to the
//! first request that comes with it; that request may be repeated, because an answer can be lost.

use super::subjects::{self, NoKey, Subjects};
use super::template;
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_authority::authority::{self, Authority, AuthorityError, hex};
use kakou_core::ids::{GatewayId, SiteId};
use kakou_gateway::config::{ConfigError, Settings, placeholder};
use kakou_gateway::enrol::readers::RATES;
use kakou_link::durable;
use kakou_provisioning::certificate::{fingerprint, pem_der};
use kakou_provisioning::code::{Code, Nonce, digits, token};
use kakou_provisioning::envelope::{self, Reader, Sealed};
use kakou_provisioning::identity;
use kakou_provisioning::subjects::SubjectsError;
use kakou_wire::enrol::{
    Bundle, FORM_NONCE, FORM_OTHERS, Others, Refusal, Renewal, Renewed, SITE_KEY, Wait, name_of,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Days of a gateway's certificate.
pub const DAYS: i64 = 90;

/// Where a code stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeStatus {
    /// Nobody has used it.
    Open,
    /// A box waits for an officer's yes.
    Waiting,
    /// The officer has said yes.
    Accepted,
    /// The officer has said no.
    Refused,
    /// The box has its certificate.
    Done,
    /// Whoever made it has taken it back.
    Cancelled,
}

/// A code, as the authority keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The site.
    pub site: SiteId,
    /// The gateway.
    pub gateway: GatewayId,
    /// The template of the configuration.
    pub template: String,
    /// What the template names and the fleet does not know by itself.
    #[serde(default)]
    pub values: Values,
    /// When it was made, UTC seconds; a code of an earlier version does not say.
    #[serde(default)]
    pub issued: Option<i64>,
    /// Until when it counts, UTC seconds.
    pub expires: i64,
    /// Whether an officer compares the digits.
    pub ask: bool,
    /// Where it stands.
    pub standing: CodeStatus,
    /// The digits of the box that came with it.
    #[serde(default)]
    pub digits: Option<String>,
    /// What was drawn for them when it came.
    #[serde(default)]
    pub nonce: Option<Nonce>,
    /// The hash of its request.
    #[serde(default)]
    pub request: Option<String>,
    /// What was issued for it, PEM.
    #[serde(default)]
    pub certificate: Option<String>,
    /// Whether the box takes the place of another one of the same name.
    #[serde(default)]
    pub replaces: bool,
}

impl Kept {
    /// Whether it has not run out.
    pub fn counts(&self) -> bool {
        now_s() <= self.expires
    }
}

/// What is filled into a template, by name.
pub type Values = BTreeMap<String, String>;

/// Which code is to be made.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The site.
    pub site: SiteId,
    /// The gateway.
    pub gateway: GatewayId,
    /// The template of the configuration.
    pub template: String,
    /// What is filled into it.
    pub values: Values,
    /// How long it counts.
    pub minutes: i64,
    /// Whether an officer compares the digits.
    pub ask: bool,
    /// Whether it takes the place of a box that this authority does not know of. One that it knows is replaced
    /// in any case.
    pub replaces: bool,
}

/// What a box hears.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is a gateway.
    Bundle(Box<Bundle>),
    /// An officer has to compare the digits first.
    Wait(Wait),
}

/// The authority with its codes.
pub struct Office {
    authority: Authority,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// The authority.
    #[error(transparent)]
    Authority(#[from] kakou_authority::authority::AuthorityError),
    /// The subject keys.
    #[error(transparent)]
    Subjects(#[from] NoKey),
    /// A file.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// A template, or what comes of it; another file of people.
    #[error("{0}: {1}")]
    Template(PathBuf, String),
    /// A site without gateways.
    #[error("no gateway of `{0}` was ever enrolled here; `kakou ca list` shows what there is")]
    Empty(SiteId),
    /// No such code.
    #[error("no box of `{0}` waits")]
    Nobody(String),
    /// No code has this id.
    #[error("no code has the id `{0}`; `kakou ca list` shows those that can be cancelled")]
    NoCode(String),
    /// It has done its work.
    #[error("the code {0} made {1} a gateway: `kakou ca revoke {1}` takes its certificate back")]
    Done(String, String),
    /// More than one fits.
    #[error(
        "several boxes fit `{0}`: name the one by SITE/GATEWAY, or by the six digits that its screen shows"
    )]
    Several(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

fn now_s() -> i64 {
    kakou_link::clock::Clock::system().now().wall_s().unwrap_or(0)
}

impl Office {
    /// With an authority.
    pub fn new(authority: Authority) -> Self {
        Self { authority }
    }

    /// The authority.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    fn folder(&self) -> PathBuf {
        self.authority.folder().join("codes")
    }

    fn path(&self, token: &str) -> PathBuf {
        self.folder().join(format!("{}.json", hex(&fingerprint(token.as_bytes()))))
    }

    fn keep(&self, path: &Path, kept: &Kept) -> Result<(), OfficeError> {
        let json = serde_json::to_vec_pretty(kept).expect("strings and numbers");
        std::fs::create_dir_all(self.folder()).map_err(|e| OfficeError::Io(self.folder(), e))?;
        durable::write_secret(path, &json).map_err(|e| OfficeError::Io(path.to_path_buf(), e))
    }

    /// Every code that is kept, with its file.
    pub fn codes(&self) -> Vec<(PathBuf, Kept)> {
        codes_in(self.authority.folder())
    }

    /// Takes a code back, by its id: nobody enrols with it any more.
    pub fn cancel(&self, id: &str) -> Result<Kept, OfficeError> {
        let mut named = self.codes();
        named.retain(|(path, _)| id_of(path) == id);
        let (path, mut kept) = named.pop().ok_or_else(|| OfficeError::NoCode(id.to_owned()))?;
        match kept.standing {
            CodeStatus::Done => Err(OfficeError::Done(id.to_owned(), name_of(&kept.site, &kept.gateway))),
            CodeStatus::Open
            | CodeStatus::Waiting
            | CodeStatus::Accepted
            | CodeStatus::Refused
            | CodeStatus::Cancelled => {
                kept.standing = CodeStatus::Cancelled;
                self.keep(&path, &kept)?;
                Ok(kept)
            }
        }
    }

    /// Makes a code. The template must fit before anybody drives to the gate with it.
    pub fn code(&self, url: &str, wanted: Wanted) -> Result<Code, OfficeError> {
        self.fits(&wanted)?;
        self.make(url, wanted)
    }

    /// Its subject keys.
    pub fn subjects(&self) -> Subjects<'_> {
        Subjects(&self.authority)
    }

    /// The key that turns ids of persons into subject keys at a site, for one box of it, and its number. What is for
    /// that box later is sealed for the same reader.
    fn site_key(&self, site: &SiteId, name: &str, reader: Reader) -> Result<(Sealed, u32), NoKey> {
        let key = self.subjects().of_site(site)?;
        let sealed = envelope::seal(&reader, SITE_KEY, name.as_bytes(), key.secret());
        subjects::readers(self.authority.folder()).keep(name, reader)?;
        Ok((sealed.map_err(SubjectsError::from)?, key.number))
    }

    /// Whether a box had this name before.
    pub fn was_enrolled(&self, site: &SiteId, gateway: &GatewayId) -> Result<bool, OfficeError> {
        let name = name_of(site, gateway);
        Ok(self.authority.issued()?.iter().any(|i| i.name == name))
    }

    /// The other gateways of a site: those with a certificate that counts, neither revoked nor run out.
    pub fn others(&self, site: &SiteId, gateway: &GatewayId) -> Result<Vec<GatewayId>, OfficeError> {
        let issued = self.authority.issued()?;
        let now = now_s();
        let counts = issued.iter().filter(|i| i.revoked.is_none() && i.ends > now);
        // A server's certificate has a name of its own: no site, or no gateway of one.
        let named = counts.filter_map(|i| i.name.split_once('.')).filter(|(of, _)| *of == site.as_str());
        let names: BTreeSet<GatewayId> = named.filter_map(|(_, id)| GatewayId::new(id).ok()).collect();
        Ok(names.into_iter().filter(|other| other != gateway).collect())
    }

    fn make(&self, url: &str, wanted: Wanted) -> Result<Code, OfficeError> {
        let Wanted { site, gateway, template, values, minutes, ask, replaces } = wanted;
        let token = token().ok_or(OfficeError::Random)?;
        let issued = now_s();
        let kept = Kept {
            site: site.clone(),
            gateway: gateway.clone(),
            template,
            values,
            issued: Some(issued),
            expires: issued + minutes * 60,
            ask,
            standing: CodeStatus::Open,
            digits: None,
            nonce: None,
            request: None,
            certificate: None,
            replaces,
        };
        self.keep(&self.path(&token), &kept)?;
        let root = fingerprint(&self.authority.root_der);
        Ok(Code { url: url.to_owned(), token, root, site, gateway, issued, expires: kept.expires })
    }

    /// Codes for a site like another: one for each gateway that was enrolled there, with its template.
    /// `values` replace what was filled in there. All of them fit, or none is made.
    pub fn clone_site(
        &self,
        url: &str,
        (from, to): (&SiteId, &SiteId),
        values: &Values,
        (minutes, ask): (i64, bool),
    ) -> Result<Vec<Code>, OfficeError> {
        let mut codes: Vec<Kept> = self.codes().into_iter().map(|(_, kept)| kept).collect();
        codes.retain(|k| k.site == *from && k.standing == CodeStatus::Done);
        // A gateway that was enrolled again counts as it was enrolled last.
        codes.sort_by_key(|k| k.expires);
        let like: BTreeMap<GatewayId, Kept> = codes.into_iter().map(|k| (k.gateway.clone(), k)).collect();
        if like.is_empty() {
            return Err(OfficeError::Empty(from.clone()));
        }
        let wanted = like.into_values().map(|k| {
            let values = k.values.into_iter().chain(values.clone()).collect();
            let (site, replaces) = (to.clone(), false);
            Wanted { site, gateway: k.gateway, template: k.template, values, minutes, ask, replaces }
        });
        let wanted: Vec<Wanted> = wanted.collect();
        wanted.iter().try_for_each(|w| self.fits(w).map(drop))?;
        wanted.into_iter().map(|w| self.make(url, w)).collect()
    }

    /// Why nobody could sign in at the desks of the box that comes with a code.
    pub fn nobody_signs_in(&self, code: &Code) -> Option<&'static str> {
        let kept: Kept = serde_json::from_slice(&std::fs::read(self.path(&code.token)).ok()?).ok()?;
        let Kept { site, gateway, template, values, ask, replaces, .. } = kept;
        let wanted = Wanted { site, gateway, template, values, minutes: 0, ask, replaces };
        self.fits(&wanted).ok().and_then(|settings| kakou_gateway::http::nobody_signs_in(&settings))
    }

    /// The configuration that a template with its values is.
    fn fits(&self, w: &Wanted) -> Result<Settings, OfficeError> {
        let text = self.config(&w.template, (&w.site, &w.gateway), &w.values, ("/dev/ttyUSB0", RATES[0]))?;
        // Its paths begin at the authority's folder, where fleet keys lie; what is wrong stands in the template.
        let beside = self.authority.folder().join("kakou.toml");
        let in_template = |e| match e {
            ConfigError::Wrong { file, line, what } if file == beside => {
                ConfigError::Wrong { file: self.template(&w.template), line, what }
            }
            ConfigError::Wrong { .. } | ConfigError::Read(..) | ConfigError::Profile(_) => e,
        };
        kakou_gateway::config::read(&text, &beside)
            .and_then(|settings| placeholder::filled_in(&settings).map(|()| settings))
            .map_err(|e| OfficeError::Template(w.template.clone().into(), in_template(e).to_string()))
    }

    fn template(&self, name: &str) -> PathBuf {
        self.authority.folder().join("templates").join(format!("{name}.toml"))
    }

    /// The configuration of a gateway, from its template.
    fn config(
        &self,
        template: &str,
        (site, gateway): (&SiteId, &GatewayId),
        values: &Values,
        (scanner, baud): (&str, u32),
    ) -> Result<String, OfficeError> {
        let path = self.template(template);
        let bad = |why: String| OfficeError::Template(path.clone(), why);
        if template.contains(['/', '.']) {
            return Err(bad("a template is named without its folder and `.toml`".into()));
        }
        let text = kakou_link::files::read_text(&path).map_err(|e| OfficeError::Io(path.clone(), e))?;
        let baud = baud.to_string();
        let own = [
            ("site", site.as_str()),
            ("gateway", gateway.as_str()),
            ("scanner", scanner),
            ("baud", baud.as_str()),
        ];
        let given = values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        template::fill(&text, &given.chain(own).collect()).map_err(bad)
    }

    /// An officer has compared the digits of the box that waits: `GATEWAY` where that is plain, else
    /// `SITE/GATEWAY`, or the digits themselves.
    pub fn decide(&self, name: &str, yes: bool) -> Result<Kept, OfficeError> {
        let plain = |digits: &str| digits.replace(' ', "");
        let named = |k: &Kept| {
            let shown = k.digits.as_deref().map(plain);
            k.gateway.as_str() == name
                || format!("{}/{}", k.site, k.gateway) == name
                || shown.is_some_and(|shown| shown == plain(name))
        };
        let mut waiting = self.codes();
        waiting.retain(|(_, k)| named(k) && k.standing == CodeStatus::Waiting);
        if waiting.len() > 1 {
            return Err(OfficeError::Several(name.to_owned()));
        }
        let (path, mut kept) = waiting.pop().ok_or_else(|| OfficeError::Nobody(name.to_owned()))?;
        kept.standing = if yes { CodeStatus::Accepted } else { CodeStatus::Refused };
        self.keep(&path, &kept)?;
        Ok(kept)
    }

    /// Answers a request.
    pub(super) fn enrol(
        &self,
        token: &str,
        csr: &[u8],
        scanner: (&str, u32),
        (form, reader): (u32, Option<Reader>),
    ) -> Result<Answer, Refusal> {
        let path = self.path(token);
        let json = std::fs::read(&path).map_err(|_| Refusal::Unknown)?;
        let mut kept: Kept = serde_json::from_slice(&json).map_err(|_| Refusal::Fault)?;
        // A code belongs to the first request; one that is none must not have it.
        if let Err(why) = authority::request(csr) {
            return Err(not_made(&name_of(&kept.site, &kept.gateway), &why));
        }
        let request = hex(&fingerprint(csr));
        let own = kept.request.as_ref().is_none_or(|r| *r == request);
        if !own {
            return Err(Refusal::Used);
        }
        let name = name_of(&kept.site, &kept.gateway);
        let fault = fault_of(&name);
        // A code that belongs to a box already waits for it, however long an answer takes.
        if kept.request.is_none() && now_s() > kept.expires {
            return Err(Refusal::Expired);
        }
        let mut next = kept.clone();
        if next.certificate.is_none() {
            next.replaces |= self.was_enrolled(&kept.site, &kept.gateway).map_err(fault)?;
        }
        // One that cannot ask the others would take passes that were used at the box before it.
        if next.replaces && form < FORM_OTHERS {
            log::warn!(
                "{name}: a box of an earlier version cannot take the place of another; update its software"
            );
            return Err(Refusal::Malformed);
        }
        match kept.standing {
            CodeStatus::Refused | CodeStatus::Cancelled => return Err(Refusal::Refused),
            CodeStatus::Open | CodeStatus::Waiting | CodeStatus::Accepted if kept.ask => {
                if form < FORM_NONCE {
                    log::warn!(
                        "{name}: a box of an earlier version shows digits that others could know before it came: \
                         update its software, or make a code without --ask"
                    );
                    return Err(Refusal::Malformed);
                }
                let Some(nonce) = kept.nonce else {
                    // Also for a box that waits, or was accepted, since a version without one.
                    let nonce = Nonce::draw().ok_or(OfficeError::Random).map_err(fault)?;
                    let shown = digits(&fingerprint(&self.authority.root_der), csr, &nonce);
                    log::warn!(
                        "{name}: a box comes with its code; its screen must show {shown}. If it does: `kakou ca accept {}`",
                        kept.gateway
                    );
                    (next.request, next.nonce, next.digits) = (Some(request), Some(nonce), Some(shown));
                    next.standing = CodeStatus::Waiting;
                    self.keep(&path, &next).map_err(fault)?;
                    return Ok(Answer::Wait(Wait { nonce }));
                };
                if kept.standing == CodeStatus::Waiting {
                    return Ok(Answer::Wait(Wait { nonce }));
                }
            }
            CodeStatus::Open => {
                next.request = Some(request);
                log::info!("{name}: a box comes with its code");
            }
            CodeStatus::Waiting | CodeStatus::Accepted | CodeStatus::Done => {}
        }
        let own = (&kept.site, &kept.gateway);
        let config = self.config(&kept.template, own, &kept.values, scanner).map_err(fault)?;
        if next.certificate.is_none() {
            let pem = self.authority.client(csr, &name, DAYS).map_err(|e| not_made(&name, &e))?;
            next.certificate = Some(pem);
            next.standing = CodeStatus::Done;
            self.keep(&path, &next).map_err(fault)?;
            log::info!("{name}: its certificate was issued");
        }
        kept = next;
        let gateways = self.others(&kept.site, &kept.gateway).map_err(fault)?;
        let others = (form >= FORM_OTHERS).then_some(Others { replaces: kept.replaces, gateways });
        // A box of an earlier version has no key for envelopes, and makes a key of its own.
        let key = reader.map(|reader| self.site_key(&kept.site, &name, reader)).transpose();
        let (site_key, site_key_number) = key.map_err(|e| fault(e.into()))?.unzip();
        // One that is not there is none; one that cannot be read is a fault.
        let beside = |file: &str| {
            let path = self.authority.folder().join(file);
            match std::fs::read_to_string(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
                read => read.map_err(|e| fault(OfficeError::Io(path, e))),
            }
        };
        let (fleet_keys, trust) = (beside("fleet.json")?, beside("trust.json")?);
        Ok(Answer::Bundle(Box::new(Bundle {
            site: kept.site,
            gateway: kept.gateway,
            certificate: kept.certificate.unwrap_or_default(),
            roots: self.authority.root.clone(),
            fleet_keys,
            config,
            trust,
            others,
            site_key,
            site_key_number,
        })))
    }

    /// Answers a box whose certificate ends: another one for the same name.
    pub(super) fn renew(&self, renewal: &Renewal, reader: Option<Reader>) -> Result<Renewed, Refusal> {
        let old = pem_der(&renewal.certificate).ok_or(Refusal::Malformed)?;
        let csr = STANDARD.decode(&renewal.csr).map_err(|_| Refusal::Malformed)?;
        let proof = STANDARD.decode(&renewal.proof).map_err(|_| Refusal::Malformed)?;
        let known = self.authority.counts(&old).map_err(|e| {
            log::error!("a renewal: {e}");
            Refusal::Fault
        })?;
        let known = known.filter(|_| identity::is_proved(&old, &csr, &proof)).ok_or(Refusal::Certificate)?;
        let certificate =
            self.authority.client(&csr, &known.name, DAYS).map_err(|e| not_made(&known.name, &e))?;
        log::info!("{}: its certificate was renewed", known.name);
        if let Some(reader) = reader {
            self.take_reader(&known.name, reader).map_err(|e| fault_of(&known.name)(e.into()))?;
        }
        Ok(Renewed { certificate })
    }

    /// A box that an earlier version enrolled gives its reader later, and has a first key of its own: the next one of
    /// its site is for it as well. Nothing takes the place of a reader that came with a code.
    fn take_reader(&self, name: &str, reader: Reader) -> Result<(), NoKey> {
        let readers = subjects::readers(self.authority.folder());
        let site = name.split_once('.').and_then(|(site, _)| SiteId::new(site).ok());
        let Some(site) = site.filter(|_| readers.of(name).is_ok_and(|known| known.is_none())) else {
            return Ok(());
        };
        self.subjects().of_site(&site)?;
        readers.keep(name, reader)
    }
}

/// Every code that an authority keeps, with its file.
pub(super) fn codes_in(authority: &Path) -> Vec<(PathBuf, Kept)> {
    let files = std::fs::read_dir(authority.join("codes")).into_iter().flatten().flatten().map(|f| f.path());
    let read = |path: PathBuf| {
        let kept = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        Some((path, kept))
    };
    files.filter(|f| f.extension().is_some_and(|e| e == "json")).filter_map(read).collect()
}

/// By what people name a code: the beginning of the hash of its token, which tells nothing of the token.
pub fn id_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().chars().take(8).collect()
}

fn fault_of(name: &str) -> impl Fn(OfficeError) -> Refusal + Copy + '_ {
    move |e| {
        log::error!("enrolment of {name}: {e}");
        Refusal::Fault
    }
}

/// Whose fault it is that a certificate was not made: the box tries again after one of this server.
fn not_made(name: &str, why: &AuthorityError) -> Refusal {
    log::error!("{name}: {why}");
    match why {
        AuthorityError::Certificate(_) | AuthorityError::Request(_) => Refusal::Malformed,
        AuthorityError::Io(..)
        | AuthorityError::There(_)
        | AuthorityError::Register(..)
        | AuthorityError::Nobody(_)
        | AuthorityError::Random => Refusal::Fault,
    }
}

#[cfg(test)]
mod tests;
