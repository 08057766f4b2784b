//! The enrolment server: the routes of the [`Office`].

use super::office::{Answer, Office};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_provisioning::code::is_port;
use kakou_provisioning::envelope::{EnvelopeError, Reader};
use kakou_wire::enrol::{AGAIN_S, ENROL, FORM, READER, RENEW, ROOTS, Refusal, Refused, Renewal};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The office behind its routes: one request at a time, they write files.
#[derive(Clone)]
struct Counter(Arc<Mutex<Office>>);

impl Counter {
    fn lock(&self) -> MutexGuard<'_, Office> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(refused: Refusal) -> Response {
    let status = match refused {
        Refusal::Unknown | Refusal::Used | Refusal::Certificate => StatusCode::UNAUTHORIZED,
        Refusal::Expired => StatusCode::GONE,
        Refusal::Refused => StatusCode::FORBIDDEN,
        Refusal::Malformed => StatusCode::BAD_REQUEST,
        Refusal::Fault => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(Refused { refused })).into_response()
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
        return refused(Refusal::Malformed);
    };
    let form = text(FORM.0).parse().unwrap_or(1);
    let Ok(reader) = reader(&headers) else { return refused(Refusal::Malformed) };
    let work = move || counter.lock().enrol(&token, &csr, (&scanner, baud), (form, reader));
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(Answer::Bundle(bundle))) => Json(bundle).into_response(),
        Ok(Ok(Answer::Wait(wait))) => {
            (StatusCode::ACCEPTED, [(header::RETRY_AFTER, AGAIN_S)], Json(wait)).into_response()
        }
        Ok(Err(refusal)) => refused(refusal),
        Err(_) => refused(Refusal::Fault),
    }
}

/// The key for which what is for the box is sealed, if it gives one.
fn reader(headers: &HeaderMap) -> Result<Option<Reader>, EnvelopeError> {
    let given = headers.get(READER).map(|text| text.to_str().map_err(|_| EnvelopeError::Key));
    given.transpose()?.map(|text| Reader::try_from(text.to_owned())).transpose()
}

async fn renew(State(counter): State<Counter>, headers: HeaderMap, Json(renewal): Json<Renewal>) -> Response {
    let Ok(reader) = reader(&headers) else { return refused(Refusal::Malformed) };
    match tokio::task::spawn_blocking(move || counter.lock().renew(&renewal, reader)).await {
        Ok(Ok(renewed)) => Json(renewed).into_response(),
        Ok(Err(refusal)) => refused(refusal),
        Err(_) => refused(Refusal::Fault),
    }
}

async fn roots(State(counter): State<Counter>) -> Response {
    let root = counter.lock().authority().root.clone();
    ([(header::CONTENT_TYPE, "application/x-pem-file")], root).into_response()
}
