//! The enrolment code: the content of the QR code that turns an empty box into a gateway.
//!
//! One line, with bars between its parts: `KQ1|URL|TOKEN|ROOT|SITE|GATEWAY|ISSUED|EXPIRES`. ROOT is the
//! SHA-256 of the fleet's root certificate (base64url): the box speaks with nobody else. The times are
//! UTC seconds. The token works once.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kakou_core::ids::{GatewayId, SiteId};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

/// How it begins.
pub const PREFIX: &str = "KQ1|";
/// A line that is longer is none.
pub const LONGEST: usize = 512;

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// The enrolment server.
    pub url: String,
    /// The right to enrol once.
    pub token: String,
    /// SHA-256 of the root certificate.
    pub root: [u8; 32],
    /// The site.
    pub site: SiteId,
    /// The gateway that the box becomes.
    pub gateway: GatewayId,
    /// When it was made, UTC seconds.
    pub issued: i64,
    /// Until when it counts, UTC seconds.
    pub expires: i64,
}

/// Why a line is no enrolment code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// Something else was scanned.
    #[error("this is not an enrolment code")]
    Other,
    /// Parts are missing or wrong.
    #[error("the enrolment code is damaged: {0}")]
    Damaged(&'static str),
}

/// Whether the name of a port can stand in a configuration and in a header: what udev leaves in names, and
/// no other script than Latin.
pub fn is_port(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-:#+=@,".contains(c))
}

/// A fresh token: 128 random bits.
pub fn token() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// A number that the server draws for each request that an officer looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// A fresh one.
    pub fn draw() -> Option<Self> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl From<Nonce> for String {
    fn from(nonce: Nonce) -> Self {
        URL_SAFE_NO_PAD.encode(nonce.0)
    }
}

impl TryFrom<String> for Nonce {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|b| b.try_into().ok());
        bytes.map(Self).ok_or("a nonce is 16 bytes in base64url")
    }
}

/// Six digits that both screens show: whoever stood between them would make them differ. The nonce is the server's
/// answer to that very request. Nobody knows the digits before it, so nobody can look for a request of their own that
/// gives the same ones.
pub fn digits(root: &[u8; 32], csr_der: &[u8], nonce: &Nonce) -> String {
    let word = [b"kakou enrolment ".as_slice(), root, &nonce.0, csr_der].concat();
    let hash = digest(&SHA256, &word);
    let number = hash.as_ref()[..4].iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) % 1_000_000;
    format!("{:03} {:03}", number / 1000, number % 1000)
}

impl Code {
    /// The line.
    pub fn text(&self) -> String {
        let root = URL_SAFE_NO_PAD.encode(self.root);
        let Self { url, token, site, gateway, issued, expires, .. } = self;
        format!("{PREFIX}{url}|{token}|{root}|{site}|{gateway}|{issued}|{expires}")
    }

    /// Reads a line.
    pub fn read(line: &str) -> Result<Self, BadCode> {
        let rest = line.trim().strip_prefix(PREFIX).ok_or(BadCode::Other)?;
        let parts: Vec<&str> = rest.split('|').collect();
        let [url, token, root, site, gateway, issued, expires] = parts.as_slice() else {
            return Err(BadCode::Damaged("parts are missing"));
        };
        let bad = BadCode::Damaged;
        let root = URL_SAFE_NO_PAD.decode(root).ok().and_then(|r| r.try_into().ok());
        let good = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if !url.starts_with("https://") || token.len() < 16 || !token.bytes().all(good) {
            return Err(bad("address or token"));
        }
        let time = |text: &str| text.parse::<i64>().ok();
        let (issued, expires) = time(issued).zip(time(expires)).ok_or(bad("time"))?;
        if issued > expires {
            return Err(bad("time"));
        }
        Ok(Self {
            url: (*url).to_owned(),
            token: (*token).to_owned(),
            root: root.ok_or(bad("root certificate"))?,
            site: SiteId::new(*site).map_err(|_| bad("site"))?,
            gateway: GatewayId::new(*gateway).map_err(|_| bad("gateway"))?,
            issued,
            expires,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> Code {
        Code {
            url: "https://enrol.example:8443".into(),
            token: token().unwrap(),
            root: [7; 32],
            site: SiteId::new("school").unwrap(),
            gateway: GatewayId::new("gw-1").unwrap(),
            issued: 1_793_000_000,
            expires: 1_793_003_600,
        }
    }

    #[test]
    fn a_code_is_read_as_it_was_written() {
        let code = code();
        let text = code.text();
        assert_eq!(Code::read(&format!(" {text}\r\n")), Ok(code));
        assert!(text.len() < 200, "{} characters make a small QR", text.len());
        assert_eq!(Code::read("ID-1"), Err(BadCode::Other));
        for cut in 0..text.len() {
            // Every beginning of the line is damaged, but for digits that the last time may lack.
            let read = Code::read(&text[..cut]);
            assert!(read.is_err() || cut > text.len() - 10, "{}", &text[..cut]);
        }
        for (from, to) in [
            ("https", "http"),
            ("school", "Sch ool"),
            ("|1793000000|", "|now|"),
            ("|1793000000|", "|1793003601|"),
        ] {
            assert!(matches!(Code::read(&text.replace(from, to)), Err(BadCode::Damaged(_))), "{to}");
        }
    }

    #[test]
    fn both_sides_show_the_same_digits_and_another_request_or_answer_shows_others() {
        let nonce = Nonce::draw().unwrap();
        let shown = digits(&[7; 32], b"request", &nonce);
        assert_eq!((shown.len(), shown.as_bytes()[3]), (7, b' '));
        let told: Nonce = serde_json::from_str(&serde_json::to_string(&nonce).unwrap()).unwrap();
        assert_eq!(shown, digits(&[7; 32], b"request", &told));
        assert_ne!(shown, digits(&[7; 32], b"another", &nonce));
        assert_ne!(shown, digits(&[8; 32], b"request", &nonce));
        let others = (0..4).map(|_| digits(&[7; 32], b"request", &Nonce::draw().unwrap()));
        assert!(others.into_iter().any(|other| other != shown), "they are drawn with the answer");
        for bad in ["", "AAAA", "no base64!", &"A".repeat(4_000)] {
            assert!(Nonce::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
