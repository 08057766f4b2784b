//! What a box and the enrolment server say to each other: HTTPS, shaped like EST (RFC 7030).

use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::text::Text;
use kakou_provisioning::code::Nonce;
use kakou_provisioning::envelope::Sealed;
use serde::{Deserialize, Serialize};

/// A request for the first certificate: PKCS#10 in base64, with the token of the code as bearer.
pub const ENROL: &str = "/.well-known/est/simpleenroll";
/// A request for the next one: [`Renewal`].
pub const RENEW: &str = "/.well-known/est/simplereenroll";
/// The root certificate.
pub const ROOTS: &str = "/.well-known/est/cacerts";
/// A box asks again after so many seconds while an officer has not looked.
pub const AGAIN_S: u64 = 2;
/// The longest answer.
pub const LONGEST: usize = 1 << 20;

/// With its request a box says which form of this conversation it understands: the header, and the form of this version.
/// Boxes that do not say it know form 1.
pub const FORM: (&str, u32) = ("kakou-bundle", 3);
/// From this form on a [`Bundle`] has `others`.
pub const FORM_OTHERS: u32 = 2;
/// From this form on a box makes its digits of the nonce in a [`Wait`]. Those of a box before it are known before any
/// server was asked, and prove nothing.
pub const FORM_NONCE: u32 = 3;

/// With its request a box gives the public key for which its envelopes are sealed: the header.
pub const READER: &str = "kakou-reader";
/// What the envelope of the site's key is for; its context is the name in the certificate.
pub const SITE_KEY: &str = "site-key";

/// The name of a gateway in its certificate.
pub fn name_of(site: &SiteId, gateway: &GatewayId) -> String {
    format!("{site}.{gateway}")
}

/// The other gateways of the site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Others {
    /// Whether the box takes the place of another one of the same name: it holds single-use passes until the others
    /// have told it which were used.
    pub replaces: bool,
    /// Those that have a certificate that counts.
    pub gateways: Vec<GatewayId>,
}

/// Everything that makes a box a gateway. What a later version adds is passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The site.
    pub site: SiteId,
    /// The gateway.
    pub gateway: GatewayId,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The roots of the fleet, PEM.
    pub roots: String,
    /// Who may sign words to gateways, JSON.
    pub fleet_keys: String,
    /// The configuration, TOML.
    pub config: String,
    /// The keys that passes are verified with, JSON; empty if they come by a feed.
    #[serde(default)]
    pub trust: String,
    /// Whom to ask for what counts at the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<Others>,
    /// The key that turns ids of persons into subject keys at this site, for this box alone ([`SITE_KEY`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_key: Option<Sealed>,
    /// The number of that key; of an earlier server it is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_key_number: Option<u32>,
}

/// The answer while an officer has not looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What the digits of both screens are made of, beside the root and the request.
    pub nonce: Nonce,
}

/// A renewal: the new request, proved with the key before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The certificate in use, PEM; it may have ended.
    pub certificate: String,
    /// The request, PKCS#10 in base64.
    pub csr: String,
    /// Its signature with the key in use, ECDSA on P-256 with SHA-256, ASN.1 in base64.
    pub proof: String,
}

/// The answer to a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewed {
    /// The certificate, PEM.
    pub certificate: String,
}

/// Why the server refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It does not know the token.
    #[error("the enrolment server does not know this code")]
    Unknown,
    /// The token was used by another box.
    #[error("this code was used by another box")]
    Used,
    /// The code has run out.
    #[error("this code has run out")]
    Expired,
    /// The officer at the central side said no.
    #[error("the central side has refused this box")]
    Refused,
    /// The request makes no sense.
    #[error("the enrolment server does not understand the request")]
    Malformed,
    /// The certificate does not count.
    #[error("the certificate is not one of this fleet, or was revoked")]
    Certificate,
    /// It has a fault of its own.
    #[error("the enrolment server has a fault")]
    Fault,
}

impl Refusal {
    /// For the screen: what it is, and what to do.
    pub fn text(self) -> Text {
        match self {
            Self::Unknown => Text::new(
                "登记码无效：请向中心索取新码",
                "The server does not know this code. Ask central ops for a new one.",
            ),
            Self::Used => Text::new(
                "登记码已被其他设备使用：请向中心索取新码",
                "Another box has used this code. Ask central ops for a new one.",
            ),
            Self::Expired => Text::new(
                "登记码已过期：请向中心索取新码",
                "This code has run out. Ask central ops for a new one.",
            ),
            Self::Refused => {
                Text::new("中心拒绝登记：请联系中心", "Central ops have refused this box. Call them.")
            }
            Self::Malformed => Text::new(
                "登记请求不被识别：请更新设备软件",
                "The server does not understand this box. Update its software.",
            ),
            Self::Certificate => {
                Text::new("证书不属于本系统或已吊销", "The certificate is not of this fleet, or was revoked.")
            }
            Self::Fault => Text::new(
                "登记服务器故障：稍后自动重试",
                "The server has a fault. The box tries again by itself.",
            ),
        }
    }
}

/// An answer that is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub refused: Refusal,
}
