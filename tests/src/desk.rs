//! An officer at a desk: signs in and acts over the HTTP API.

use serde_json::{Value, json};
use std::time::Duration;

/// The PIN of every officer in tests.
pub const PIN: &str = "2468";

/// The `[[officer]]` tables of tests: li (guard), zhao (transport), wang (supervisor).
pub fn officers() -> String {
    let hash = kakou_gateway::http::auth::hash_pin(PIN).expect("a hash");
    let one = |id: &str, role: &str| {
        format!("[[officer]]\nid = \"{id}\"\nname = \"{id}\"\nrole = \"{role}\"\npin = '{hash}'\n\n")
    };
    one("li", "guard") + &one("zhao", "transport") + &one("wang", "supervisor")
}

/// A client that keeps its cookie.
pub struct DeskClient {
    agent: ureq::Agent,
    base: String,
    cookie: String,
}

/// Status and body of an answer.
pub type Answer = (u16, Value);

impl DeskClient {
    /// Nobody is signed in yet.
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build();
        Self { agent: config.into(), base: base.trim_end_matches('/').to_owned(), cookie: String::new() }
    }

    /// Signs in.
    pub fn sign_in(&mut self, officer: &str, pin: &str) -> Result<Answer, ureq::Error> {
        let url = format!("{}/api/v1/session", self.base);
        let mut response = self.agent.post(&url).send_json(json!({ "officer": officer, "pin": pin }))?;
        if let Some(cookie) = response.headers().get("set-cookie").and_then(|c| c.to_str().ok()) {
            cookie.split(';').next().unwrap_or_default().clone_into(&mut self.cookie);
        }
        Ok((response.status().as_u16(), response.body_mut().read_json().unwrap_or(Value::Null)))
    }

    /// Signs out; gives the status.
    pub fn sign_out(&self) -> Result<u16, ureq::Error> {
        let request = self.agent.delete(format!("{}/api/v1/session", self.base));
        Ok(request.header("cookie", &self.cookie).call()?.status().as_u16())
    }

    /// The cookie that it has.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// What the head of an answer says under these names, in order; empty where it says nothing.
    pub fn head<const N: usize>(&self, path: &str, names: [&str; N]) -> Result<[String; N], ureq::Error> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let response = request.header("cookie", &self.cookie).call()?;
        let value = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
        Ok(names.map(|name| value(name).unwrap_or_default().to_owned()))
    }

    /// Acts at a lane.
    pub fn act(&self, lane: &str, action: &Value) -> Result<Answer, ureq::Error> {
        self.post(&format!("/api/v1/lanes/{lane}/actions"), &action.to_string(), "application/json")
    }

    /// Posts any text.
    pub fn post(&self, path: &str, body: &str, kind: &str) -> Result<Answer, ureq::Error> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("content-type", kind);
        let mut response = request.header("cookie", &self.cookie).send(body)?;
        Ok((response.status().as_u16(), response.body_mut().read_json().unwrap_or(Value::Null)))
    }

    /// Gets the bytes of a picture.
    pub fn picture(&self, path: &str) -> Result<(u16, Vec<u8>), ureq::Error> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let mut response = request.header("cookie", &self.cookie).call()?;
        Ok((response.status().as_u16(), response.body_mut().read_to_vec().unwrap_or_default()))
    }

    /// Gets any path.
    pub fn get(&self, path: &str) -> Result<(u16, String), ureq::Error> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let mut response = request.header("cookie", &self.cookie).call()?;
        Ok((response.status().as_u16(), response.body_mut().read_to_string().unwrap_or_default()))
    }
}
