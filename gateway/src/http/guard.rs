//! What every request passes: same origin, a limit on the rate, headers that keep pages to themselves.

use super::error::ApiError;
use super::network::network;
use super::seats::Sitting;
use super::{App, MAX_BODY, Peer};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::time::Instant;

/// Requests a second from one address, on average.
const RATE: f64 = 200.0;
/// Requests at once from one address.
const BURST: f64 = 400.0;
/// Addresses that are remembered: the screens of one gateway are few.
const PEERS: usize = 256;

/// A token bucket for each address: whoever floods the gateway takes nobody else's share.
#[derive(Default)]
pub struct Rate(Mutex<HashMap<IpAddr, (f64, Instant)>>);

impl Rate {
    fn take(&self, peer: IpAddr, now: Instant) -> bool {
        let mut buckets = self.0.lock().expect("no panic inside");
        let filled = |(tokens, at): (f64, Instant)| {
            (tokens + now.saturating_duration_since(at).as_secs_f64() * RATE).min(BURST)
        };
        let peer = network(peer);
        let new = !buckets.contains_key(&peer);
        if new && buckets.len() >= PEERS {
            buckets.retain(|_, bucket| filled(*bucket) < BURST);
        }
        if new && buckets.len() >= PEERS {
            let oldest = buckets.iter().min_by_key(|(_, (_, at))| *at).map(|(peer, _)| *peer);
            oldest.and_then(|peer| buckets.remove(&peer));
        }
        let tokens = buckets.get(&peer).map_or(BURST, |bucket| filled(*bucket));
        let good = tokens >= 1.0;
        buckets.insert(peer, (if good { tokens - 1.0 } else { tokens }, now));
        good
    }
}

/// On every answer.
pub const HEADERS: [(HeaderName, &str); 5] = [
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
pub fn is_foreign(loopback: bool, method: &Method, headers: &HeaderMap) -> bool {
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

/// Whether a body may be longer than what is read of it.
fn is_long(headers: &HeaderMap) -> bool {
    let length = text(headers, header::CONTENT_LENGTH).and_then(|l| l.parse::<usize>().ok());
    length.map_or(headers.contains_key(header::TRANSFER_ENCODING), |l| l > MAX_BODY)
}

/// The middleware.
pub async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    let long = is_long(request.headers());
    let peer = request.extensions().get::<ConnectInfo<Peer>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |c| c.0.ip());
    let mut response = if is_foreign(app.loopback, request.method(), request.headers()) {
        app.overview.metrics.count("http_foreign_total");
        ApiError::new(StatusCode::FORBIDDEN, "foreign", "来源不符", "The request comes from another site")
            .into_response()
    } else if !app.rate.take(peer, Instant::now()) {
        app.overview.metrics.count("http_rate_limited_total");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_fast", "请求过多", "Too many requests")
            .into_response()
    } else {
        if let Some(sitting) = request.extensions().get::<Sitting>() {
            sitting.signed_in(app.officers.knows(request.headers()));
        }
        next.run(request).await
    };
    if response.status().is_client_error() {
        app.overview.metrics.count("http_refused_total");
        if long {
            // The rest of the body is still on its way: the client must not send its next request behind it.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // What a browser kept would be there when its officer has signed out.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if app.tls {
        let always = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, always);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_body_is_long_when_it_says_so_or_does_not_say() {
        let with = |name: HeaderName, value: &str| HeaderMap::from_iter([(name, value.parse().unwrap())]);
        assert!(!is_long(&HeaderMap::new()));
        assert!(!is_long(&with(header::CONTENT_LENGTH, &MAX_BODY.to_string())));
        assert!(is_long(&with(header::CONTENT_LENGTH, &(MAX_BODY + 1).to_string())));
        assert!(is_long(&with(header::TRANSFER_ENCODING, "chunked")));
    }

    #[test]
    fn a_flood_takes_its_own_share_alone() {
        let (rate, begun) = (Rate::default(), Instant::now());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let taken =
            |peer: &str, at: Instant| (0..1_000).filter(|_| rate.take(address(peer), at)).count() as f64;
        assert_eq!(taken("192.0.2.1", begun), BURST);
        assert!(rate.take(address("192.0.2.2"), begun));
        // One network of version 6 is one; a mapped address is the one that it maps.
        assert_eq!(taken("2001:db8::1", begun), BURST);
        assert!(!rate.take(address("2001:db8::2"), begun) && rate.take(address("2001:db8:0:1::2"), begun));
        assert!(!rate.take(address("::ffff:192.0.2.1"), begun));
        let later = begun + Duration::from_secs(1);
        assert_eq!(taken("192.0.2.1", later), RATE);
        // Many addresses do not make it large.
        for n in 0..2_000_u32 {
            assert!(rate.take(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)), later));
        }
        assert!(rate.0.lock().unwrap().len() <= PEERS);
    }
}
