//! The screen of a box that is not enrolled yet.

use super::Stage;
use crate::http::{self, pages};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Serves it until cancelled. It shows; nothing can be done there.
pub async fn serve(listen: SocketAddr, stage: watch::Receiver<Stage>, cancel: CancellationToken) {
    let listener = match TcpListener::bind(listen).await {
        Ok(listener) => listener,
        Err(e) => return log::error!("the screen cannot be served at {listen}: {e}"),
    };
    log::info!("the screen of enrolment is at http://{listen}");
    let router = Router::new()
        .route("/", get(pages::enrol))
        .route("/api/v1/enrolment", get(state))
        .route("/assets/{name}", get(pages::asset))
        .fallback(pages::enrol)
        .with_state(stage);
    if let Err(e) = http::serve_router(listener, None, router, cancel).await {
        log::error!("the screen of enrolment: {e}");
    }
}

async fn state(State(stage): State<watch::Receiver<Stage>>) -> Json<Stage> {
    Json(stage.borrow().clone())
}
