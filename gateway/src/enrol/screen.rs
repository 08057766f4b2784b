//! The screen of a box that is not enrolled yet.

use super::Stage;
use crate::http::connections::{self, BodyTime};
use crate::http::pages;
use crate::http::seats::ConnectionLimits;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Serves it until cancelled. It shows; nothing can be done there.
pub async fn serve(address: SocketAddr, stage: watch::Receiver<Stage>, cancel: CancellationToken) {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(e) => return log::error!("the screen cannot be served at {address}: {e}"),
    };
    log::info!("the screen of enrolment is at http://{address}");
    let router = Router::new()
        .route("/", get(pages::enrol))
        .route("/api/v1/enrolment", get(state))
        .route("/assets/{name}", get(pages::asset))
        .fallback(pages::enrol)
        .with_state(stage);
    connections::serve(
        listener,
        None,
        router,
        (ConnectionLimits::BOX, BodyTime::SHORT),
        Arc::default(),
        cancel,
    )
    .await;
}

async fn state(State(stage): State<watch::Receiver<Stage>>) -> Json<Stage> {
    Json(stage.borrow().clone())
}
