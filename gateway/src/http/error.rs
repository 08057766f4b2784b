//! Errors of the API: a status, a code for programs, both languages for people.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kakou_core::ids::OfficerId;
use kakou_core::lane::action::Rejection;
use kakou_core::text::Text;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a route answers when it does not do what was asked.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    text: Text,
    detail: Box<str>,
    pin: Option<Box<RefusedPin>>,
    // What is wrong with each field of a form.
    fields: BTreeMap<String, Text>,
}

/// Why a PIN was not taken.
#[derive(Debug, Serialize)]
struct RefusedPin {
    // Whose it was: an act may need two.
    officer: OfficerId,
    // How many tries are left before a wait, and how long that is.
    tries_left: u32,
    retry_after_s: u64,
}

impl ApiError {
    /// With both texts.
    pub fn new(status: StatusCode, code: &'static str, zh: &str, en: &str) -> Self {
        Self {
            status,
            code,
            text: Text::new(zh, en),
            detail: Box::default(),
            pin: None,
            fields: BTreeMap::new(),
        }
    }
    /// With a detail for whoever looks into it.
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into().into_boxed_str();
        self
    }
    /// With whose PIN was refused, the tries that are left before a wait, and the seconds to wait.
    pub fn pin(mut self, officer: OfficerId, tries_left: u32, retry_after_s: u64) -> Self {
        self.pin = Some(Box::new(RefusedPin { officer, tries_left, retry_after_s }));
        self
    }
    /// Nobody can sign in.
    pub fn no_officers() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "no_officers",
            "此网关未配置任何人员，无人可以登录：请在配置文件中加入 [[officer]]（密码由 kakou officer pin 生成）",
            "This gateway has no officers, so nobody can sign in: add an [[officer]] to its configuration (`kakou officer pin` makes the PIN)",
        )
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
            "role" | "second_sign_needed" | "same_person" => StatusCode::FORBIDDEN,
            "no_lane" | "no_visit" => StatusCode::NOT_FOUND,
            "storage" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        Self { status, code: why.code, text: why.text, detail: Box::default(), pin: None, fields: why.fields }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error =
            json!({ "code": self.code, "zh": self.text.zh, "en": self.text.en, "detail": self.detail });
        if !self.fields.is_empty() {
            error["fields"] = json!(self.fields);
        }
        let mut headers = HeaderMap::new();
        if let Some(pin) = &self.pin {
            if let (Value::Object(error), Value::Object(pin)) = (&mut error, json!(pin)) {
                error.extend(pin);
            }
            if pin.retry_after_s > 0 {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(pin.retry_after_s));
            }
        }
        (self.status, headers, Json(json!({ "error": error }))).into_response()
    }
}
