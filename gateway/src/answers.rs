//! Private answers, sealed for the central side: whoever holds the data of this gateway cannot read them, nor can the
//! gateway itself any more.

use kakou_core::lane::event::AnswerSealer;
use kakou_provisioning::envelope::{Reader, seal};
use serde_json::{Value, json};
use std::sync::Arc;

/// What such an envelope is for.
pub const PURPOSE: &str = "answers";

/// Seals for the central side.
pub struct ForCentral {
    reader: Reader,
    gateway: String,
}

impl ForCentral {
    /// With the public key of the central side and the name of this gateway.
    pub fn new(reader: Reader, gateway: String) -> Self {
        Self { reader, gateway }
    }
    /// For all lanes.
    pub fn shared(self) -> Arc<dyn AnswerSealer> {
        Arc::new(self)
    }
}

impl AnswerSealer for ForCentral {
    fn seal(&self, answers: &Value, context: &str) -> Value {
        let context = format!("{}/{context}", self.gateway);
        match seal(&self.reader, PURPOSE, context.as_bytes(), answers.to_string().as_bytes()) {
            Ok(sealed) => json!(sealed),
            Err(e) => {
                log::error!("private answers were not sealed, and are not sent: {e}");
                Value::Null
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_provisioning::envelope::{KEY, ReaderKey, Sealed};

    #[test]
    fn only_the_central_side_opens_what_was_answered_in_private_and_for_this_visit_alone() {
        let key = ReaderKey::from_bytes(&[7; KEY]).unwrap();
        let answers = json!({ "name": "\u{5f20}\u{4e09}" });
        let envelope = ForCentral::new(key.reader(), "gw-1".into()).seal(&answers, "lane-1/7");
        let sealed: Sealed = serde_json::from_value(envelope).unwrap();
        let opened = key.open(&sealed, PURPOSE, b"gw-1/lane-1/7").unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&opened).unwrap(), answers);
        assert!(key.open(&sealed, PURPOSE, b"gw-1/lane-1/8").is_err());
        assert!(ReaderKey::from_bytes(&[8; KEY]).unwrap().open(&sealed, PURPOSE, b"gw-1/lane-1/7").is_err());
    }
}
