//! The box's side of enrolment and renewal: one attempt, and what it means.

use super::pin;
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Limited};
use hyper::{Method, StatusCode};
use kakou_core::text::Text;
use kakou_link::clock::Clock;
use kakou_link::https::{self, Endpoint, HttpsError};
use kakou_provisioning::certificate::pem_der;
use kakou_provisioning::code::{Code, Nonce};
use kakou_provisioning::envelope::Reader;
use kakou_provisioning::identity;
use kakou_wire::enrol::{
    Bundle, ENROL, FORM, LONGEST, READER, RENEW, Refusal, Refused, Renewal, Renewed, Wait,
};
use rustls::ClientConfig;
use serde::Serialize;
use std::sync::Arc;
use tokio_util::bytes::Bytes;

/// Why an attempt gave no certificate.
#[derive(Debug, thiserror::Error)]
pub enum NotEnrolled {
    /// The server says no, and will say so again.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// An officer must compare the digits first; they are made of this.
    #[error("central ops have not accepted the box yet")]
    Waiting(Nonce),
    /// An officer must compare digits, and the server is of an earlier version: it sends nothing to make them of.
    #[error(
        "the enrolment server is of an earlier version: its digits cannot be compared. Update `kakou ca serve`, \
         and accept this box then"
    )]
    NothingToCompare,
    /// The server is not the one of the code.
    #[error("the server is not the one that the code names: {0}")]
    WrongServer(String),
    /// The server's certificate has run out, or counts later: a clock is wrong.
    #[error("by this clock the server's certificate does not count: {0}")]
    Dates(String),
    /// It cannot be reached now.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// What came makes no sense.
    #[error("the server's answer makes no sense: {0}")]
    Answer(String),
}

impl NotEnrolled {
    /// Whether it is worth trying again with the same code.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Waiting(_)
            | Self::NothingToCompare
            | Self::Unreachable(_)
            | Self::Dates(_)
            | Self::Answer(_) => true,
            Self::Refused(refusal) => *refusal == Refusal::Fault,
            Self::WrongServer(_) => false,
        }
    }

    /// For the screen: what it is, and what to do.
    pub fn text(&self) -> Text {
        match self {
            Self::Refused(refusal) => refusal.text(),
            Self::Waiting(_) => Text::new("等待中心核对数字", "Central ops compare the digits."),
            Self::NothingToCompare => Text::new(
                "登记服务器版本过旧，无法核对数字：请中心更新后再同意，将自动重试",
                "The enrolment server is too old to compare digits. Have it updated before they accept. The box tries again.",
            ),
            Self::WrongServer(_) => Text::new(
                "服务器身份与登记码不符：停止使用，联系中心",
                "The server is not the one of the code. Stop, and call central ops.",
            ),
            Self::Dates(_) => Text::new(
                "证书日期与本机时间不符：检查时钟或服务器证书，将自动重试",
                "The server's certificate does not count at this time. Check the clock, or renew it there. The box tries again.",
            ),
            Self::Unreachable(_) => Text::new(
                "无网络：登记码已保存，联网后自动完成",
                "No network. The code is kept; the box goes on by itself when there is one.",
            ),
            Self::Answer(_) => Text::new(
                "服务器应答有误，将自动重试",
                "The server's answer makes no sense. The box tries again.",
            ),
        }
    }
}

fn trouble(e: HttpsError) -> NotEnrolled {
    let text = e.to_string();
    let HttpsError::Connect(_, io) = &e else { return NotEnrolled::Unreachable(text) };
    let tls = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(why)) => {
            use rustls::CertificateError as C;
            if matches!(
                why,
                C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. }
            ) {
                NotEnrolled::Dates(text)
            } else {
                NotEnrolled::WrongServer(text)
            }
        }
        Some(_) | None => NotEnrolled::Unreachable(text),
    }
}

/// Asks for the first certificate.
pub async fn enrol(
    code: &Code,
    csr_pem: &str,
    (scanner, baud): (&str, u32),
    reader: Reader,
    clock: &Clock,
) -> Result<Bundle, NotEnrolled> {
    let tls = pin::client(code.root, clock).map_err(|e| NotEnrolled::Answer(e.to_string()))?;
    let place = Endpoint::read(&code.url).map_err(|e| NotEnrolled::Answer(e.to_string()))?.at(ENROL);
    let csr = pem_der(csr_pem).ok_or_else(|| NotEnrolled::Answer("no request".into()))?;
    let headers = [
        ("authorization", format!("Bearer {}", code.token)),
        ("content-type", "application/pkcs10".to_owned()),
        ("kakou-scanner", scanner.to_owned()),
        ("kakou-scanner-baud", baud.to_string()),
        (FORM.0, FORM.1.to_string()),
        (READER, reader.into()),
    ];
    let body = ask(&tls, &place, &headers, STANDARD.encode(csr)).await?;
    let bundle: Bundle = serde_json::from_slice(&body).map_err(|e| NotEnrolled::Answer(e.to_string()))?;
    if (&bundle.site, &bundle.gateway) != (&code.site, &code.gateway) {
        return Err(NotEnrolled::Answer("it is for another gateway".into()));
    }
    Ok(bundle)
}

/// Asks for the next certificate; the one in use may have ended.
pub async fn renew(
    tls: &Arc<ClientConfig>,
    url: &str,
    (certificate, key_pem): (String, &str),
    csr_pem: &str,
    reader: Reader,
) -> Result<String, NotEnrolled> {
    let place = Endpoint::read(url).map_err(|e| NotEnrolled::Answer(e.to_string()))?.at(RENEW);
    let csr = pem_der(csr_pem).ok_or_else(|| NotEnrolled::Answer("no request".into()))?;
    let proof = identity::prove(key_pem, &csr).ok_or(NotEnrolled::Refused(Refusal::Certificate))?;
    let renewal = Renewal { certificate, csr: STANDARD.encode(csr), proof: STANDARD.encode(proof) };
    let headers = [("content-type", "application/json".to_owned()), (READER, reader.into())];
    let body = ask(tls, &place, &headers, json(&renewal)).await?;
    let renewed: Renewed = serde_json::from_slice(&body).map_err(|e| NotEnrolled::Answer(e.to_string()))?;
    Ok(renewed.certificate)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings are always JSON")
}

async fn ask(
    tls: &Arc<ClientConfig>,
    place: &Endpoint,
    headers: &[(&str, String)],
    body: String,
) -> Result<Bytes, NotEnrolled> {
    let answer = https::ask(tls, place, Method::POST, headers, body.into()).await.map_err(trouble)?;
    let status = answer.status();
    let read = Limited::new(answer.into_body(), LONGEST).collect();
    let bytes = tokio::time::timeout(https::ANSWER_LIMIT, read)
        .await
        .map_err(|_| NotEnrolled::Unreachable("no answer".into()))?
        .map_err(|e| NotEnrolled::Answer(e.to_string()))?
        .to_bytes();
    match status {
        StatusCode::OK => Ok(bytes),
        StatusCode::ACCEPTED => Err(match serde_json::from_slice::<Wait>(&bytes) {
            Ok(wait) => NotEnrolled::Waiting(wait.nonce),
            Err(_) => NotEnrolled::NothingToCompare,
        }),
        _ => match serde_json::from_slice::<Refused>(&bytes) {
            Ok(refused) => Err(refused.refused.into()),
            Err(_) => Err(NotEnrolled::Answer(status.to_string())),
        },
    }
}
