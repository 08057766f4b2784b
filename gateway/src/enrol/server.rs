//! The enrolment server: the routes of the [`Office`].

use super::office::{Answer, Office};
use super::word::{ENROL, FORM, READER, RENEW, ROOTS, Refusal, Refused, Renewal};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_provisioning::code::is_port;
use kakou_provisioning::envelope::{EnvelopeError, Reader};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A box asks again after so many seconds while an officer has not looked.
pub const AGAIN_S: u64 = 2;

/// The office behind its routes: one request at a time, they write files.
#[derive(Clone)]
struct Counter(Arc<Mutex<Office>>);

impl Counter {
    fn lock(&self) -> MutexGuard<'_, Office> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unknown | Self::Used | Self::Certificate => StatusCode::UNAUTHORIZED,
            Self::Expired => StatusCode::GONE,
            Self::Refused => StatusCode::FORBIDDEN,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(Refused { refused: self })).into_response()
    }
}

/// The routes.
pub fn router(office: Office) -> Router {
    Router::new()
        .route(ENROL, post(enrol))
        .route(RENEW, post(renew))
        .route(ROOTS, get(roots))
        .with_state(Counter(Arc::new(Mutex::new(office))))
}

async fn enrol(State(counter): State<Counter>, headers: HeaderMap, body: String) -> Response {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let token = text("authorization").strip_prefix("Bearer ").unwrap_or_default().to_owned();
    let scanner = text("kakou-scanner").to_owned();
    // It becomes part of a configuration: a path, nothing that could be more.
    let csr = STANDARD.decode(body.trim()).ok().filter(|_| is_port(&scanner));
    let (Some(csr), Ok(baud)) = (csr, text("kakou-scanner-baud").parse()) else {
        return Refusal::Malformed.into_response();
    };
    let form = text(FORM.0).parse().unwrap_or(1);
    let Ok(reader) = reader(&headers) else { return Refusal::Malformed.into_response() };
    let work = move || counter.lock().enrol(&token, &csr, (&scanner, baud), (form, reader));
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(Answer::Bundle(bundle))) => Json(bundle).into_response(),
        Ok(Ok(Answer::Wait(wait))) => {
            (StatusCode::ACCEPTED, [(header::RETRY_AFTER, AGAIN_S)], Json(wait)).into_response()
        }
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => Refusal::Fault.into_response(),
    }
}

/// The key for which what is for the box is sealed, if it gives one.
fn reader(headers: &HeaderMap) -> Result<Option<Reader>, EnvelopeError> {
    let given = headers.get(READER).map(|text| text.to_str().map_err(|_| EnvelopeError::Key));
    given.transpose()?.map(|text| Reader::try_from(text.to_owned())).transpose()
}

async fn renew(State(counter): State<Counter>, headers: HeaderMap, Json(renewal): Json<Renewal>) -> Response {
    let Ok(reader) = reader(&headers) else { return Refusal::Malformed.into_response() };
    match tokio::task::spawn_blocking(move || counter.lock().renew(&renewal, reader)).await {
        Ok(Ok(renewed)) => Json(renewed).into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => Refusal::Fault.into_response(),
    }
}

async fn roots(State(counter): State<Counter>) -> Response {
    let root = counter.lock().authority().root.clone();
    ([(header::CONTENT_TYPE, "application/x-pem-file")], root).into_response()
}
