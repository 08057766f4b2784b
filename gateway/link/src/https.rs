//! HTTPS client towards the central side: one request per connection.
//!
//! Only the fleet's root certificates are trusted. Validity is checked against the gateway's own clock, which may be at
//! its floor (see [`crate::clock`]). Request bodies are streams: the caller sets their rate.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::bytes::Bytes;

/// How long a connection may take to come up.
const CONNECT_LIMIT: Duration = Duration::from_secs(8);
/// How long an answer may take once the request is out.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// Not an address.
    #[error("`{0}` is not an https:// address")]
    Address(String),
    /// No connection.
    #[error("{0} cannot be reached: {1}")]
    Connect(String, std::io::Error),
    /// Nothing came in time.
    #[error("{0} does not answer")]
    Silent(String),
    /// The connection ended, or what came is no HTTP.
    #[error("{0}: {1}")]
    Http(String, hyper::Error),
    /// The answer is no success.
    #[error("{0} answers {1}: {2}")]
    Status(String, StatusCode, String),
    /// The answer is too long, or was cut.
    #[error("the answer of {0} cannot be read: {1}")]
    Body(String, String),
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address of the machine.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub path: String,
}

impl Endpoint {
    /// Reads `https://HOST[:PORT]/PATH`.
    pub fn read(url: &str) -> Result<Self, HttpsError> {
        let bad = || HttpsError::Address(url.to_owned());
        let uri: hyper::Uri = url.parse().map_err(|_| bad())?;
        if uri.scheme_str() != Some("https") {
            return Err(bad());
        }
        Ok(Self {
            host: uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(443),
            path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        })
    }

    /// Another path on the same machine.
    pub fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// For people: without the query, which may hold a right.
    pub fn shown(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("https://{}:{}{path}", self.host, self.port)
    }
}

/// Sends a request; gives the answer's head, its body still to be read.
pub async fn send<B>(
    tls: &Arc<ClientConfig>,
    place: &Endpoint,
    method: Method,
    headers: &[(&str, String)],
    body: B,
) -> Result<Response<Incoming>, HttpsError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let shown = place.shown();
    let lost = |e| HttpsError::Connect(shown.clone(), e);
    let connect = async {
        let stream = TcpStream::connect((place.host.as_str(), place.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(place.host.clone()).map_err(std::io::Error::other)?;
        TlsConnector::from(tls.clone()).connect(name, stream).await
    };
    let stream = tokio::time::timeout(CONNECT_LIMIT, connect)
        .await
        .map_err(|_| HttpsError::Silent(shown.clone()))?
        .map_err(lost)?;
    let bad = |e| HttpsError::Http(shown.clone(), e);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(bad)?;
    // It lives as long as the answer is read.
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            log::debug!("an HTTPS connection ended: {e}");
        }
    });
    let mut request = Request::builder()
        .method(method)
        .uri(&place.path)
        .header("host", format!("{}:{}", place.host, place.port));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(body).map_err(|_| HttpsError::Address(place.shown()))?;
    sender.send_request(request).await.map_err(bad)
}

/// Sends a request whose body is short or empty; the answer must begin within [`ANSWER_LIMIT`].
pub async fn ask(
    tls: &Arc<ClientConfig>,
    place: &Endpoint,
    method: Method,
    headers: &[(&str, String)],
    body: Bytes,
) -> Result<Response<Incoming>, HttpsError> {
    let sent = send(tls, place, method, headers, Full::new(body));
    tokio::time::timeout(ANSWER_LIMIT, sent).await.map_err(|_| HttpsError::Silent(place.shown()))?
}

/// The whole body of an answer that must be a success.
pub async fn whole(place: &Endpoint, answer: Response<Incoming>, most: usize) -> Result<Bytes, HttpsError> {
    let status = answer.status();
    let read = tokio::time::timeout(ANSWER_LIMIT, Limited::new(answer.into_body(), most).collect());
    let bytes = read
        .await
        .map_err(|_| HttpsError::Silent(place.shown()))?
        .map_err(|e| HttpsError::Body(place.shown(), e.to_string()))?
        .to_bytes();
    if !status.is_success() {
        let text: String = String::from_utf8_lossy(&bytes).chars().take(300).collect();
        return Err(HttpsError::Status(place.shown(), status, text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_their_rights() {
        let place = Endpoint::read("https://central.example:8443/photo/ab?sig=secret").unwrap();
        assert_eq!((place.host.as_str(), place.port), ("central.example", 8443));
        assert_eq!(place.path, "/photo/ab?sig=secret");
        assert_eq!(place.shown(), "https://central.example:8443/photo/ab");
        assert_eq!(Endpoint::read("https://[::1]/").unwrap().host, "::1");
        for bad in ["http://central.example/", "central.example", "https://", ""] {
            assert!(Endpoint::read(bad).is_err(), "{bad}");
        }
    }
}
