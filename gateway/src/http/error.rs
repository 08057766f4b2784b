//! Errors of the API: a status, a code for programs, both languages for people.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakou_core::lane::action::Rejection;
use kakou_core::text::Text;
use serde_json::json;

/// What a route answers when it does not do what was asked.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    text: Text,
    detail: String,
}

impl ApiError {
    /// With both texts.
    pub fn new(status: StatusCode, code: &'static str, zh: &str, en: &str) -> Self {
        Self { status, code, text: Text::new(zh, en), detail: String::new() }
    }
    /// With a detail for whoever looks into it.
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
    /// Nobody is signed in.
    pub fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "signed_out", "请先登录", "Please sign in")
    }
    /// There is no such thing.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "没有找到", "Not found")
    }
    /// The gateway has more to do than it can.
    pub fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "网关繁忙，请重试",
            "The gateway is busy, try again",
        )
    }
    /// The body is not what it should be.
    pub fn bad_body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_body", "请求内容有误", "The request is not of the right form")
            .with(detail)
    }
}

impl From<Rejection> for ApiError {
    fn from(why: Rejection) -> Self {
        let status = match why.code {
            "role" | "second_sign_needed" => StatusCode::FORBIDDEN,
            "no_lane" | "no_visit" => StatusCode::NOT_FOUND,
            "storage" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        Self { status, code: why.code, text: why.text, detail: String::new() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "zh": self.text.zh, "en": self.text.en, "detail": self.detail } });
        (self.status, Json(body)).into_response()
    }
}
