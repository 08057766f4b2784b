//! What every request passes: same origin, a limit on the rate, headers that keep pages to themselves.

use super::App;
use super::error::ApiError;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Mutex;
use std::time::Instant;

/// Requests a second, on average.
const RATE: f64 = 200.0;
/// Requests at once.
const BURST: f64 = 400.0;

/// A token bucket for all requests: the screens of one gateway are few.
pub struct Rate(Mutex<(f64, Instant)>);

impl Default for Rate {
    fn default() -> Self {
        Self(Mutex::new((BURST, Instant::now())))
    }
}

impl Rate {
    fn take(&self) -> bool {
        let mut bucket = self.0.lock().expect("no panic inside");
        let now = Instant::now();
        let filled = (bucket.0 + now.duration_since(bucket.1).as_secs_f64() * RATE).min(BURST);
        *bucket = (if filled >= 1.0 { filled - 1.0 } else { filled }, now);
        filled >= 1.0
    }
}

/// On every answer.
pub(crate) const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// The host of an authority or a URL, without its port.
fn host(authority: &str) -> &str {
    let rest = authority.split_once("://").map_or(authority, |(_, r)| r);
    match rest.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => rest.split(':').next().unwrap_or_default(),
    }
}

/// A page of another site must not reach a gateway through the browser of its staff: neither by a
/// foreign form nor by a name that was bound to this address.
pub(crate) fn is_foreign(loopback: bool, method: &Method, headers: &HeaderMap) -> bool {
    let Some(authority) = text(headers, header::HOST) else { return true };
    if loopback && !matches!(host(authority), "localhost" | "127.0.0.1" | "::1") {
        return true;
    }
    if method == Method::GET || method == Method::HEAD {
        return false;
    }
    let origin = text(headers, header::ORIGIN).is_some_and(|o| {
        let bare = o.split_once("://").map_or(o, |(_, r)| r);
        bare != authority
    });
    let site = text(headers, HeaderName::from_static("sec-fetch-site"));
    origin || site.is_some_and(|s| s != "same-origin" && s != "none")
}

/// The middleware.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = if is_foreign(app.loopback, request.method(), request.headers()) {
        app.overview.metrics.count("http_foreign_total");
        ApiError::new(StatusCode::FORBIDDEN, "foreign", "来源不符", "The request comes from another site")
            .into_response()
    } else if !app.rate.take() {
        app.overview.metrics.count("http_rate_limited_total");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_fast", "请求过多", "Too many requests")
            .into_response()
    } else {
        next.run(request).await
    };
    if response.status().is_client_error() {
        app.overview.metrics.count("http_refused_total");
    }
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
