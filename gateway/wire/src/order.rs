//! What the central side may ask of a gateway, as it is signed.

use kakou_core::ids::{GatewayId, LaneId, SiteId};
use kakou_core::pass::trust::Usage;
use kakou_provisioning::envelope::Sealed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The type of a signed command.
pub const COMMAND: &str = "kakou-command";
/// The type of a signed configuration.
pub const CONFIGURATION: &str = "kakou-config";
/// The type of a signed question.
pub const TRACE: &str = "kakou-trace";

/// What the envelope of a person's id is for.
pub const PERSON: &str = "person";

/// For how long a command may count, in seconds: a day.
pub const COUNTS_S: i64 = 86_400;
/// How far the clocks of who signs and of a gateway may differ, in seconds.
const SLACK_S: i64 = 300;

/// Whether a command may be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// Now.
    Now,
    /// Not before the time of this gateway is confirmed: it could be one of yesterday.
    Waits,
    /// Its time is over.
    TimedOut,
    /// Never.
    Rejected(String),
}

impl Command {
    /// Judges its dates, at a time that is confirmed, if there is one.
    pub fn judge(&self, now_s: Option<i64>) -> Judged {
        let counts = self.expires.checked_sub(self.issued);
        if !counts.is_some_and(|counts| (0..=COUNTS_S).contains(&counts)) {
            return Judged::Rejected(format!(
                "it may count for {} hours at most after it was issued: give it an earlier `expires`",
                COUNTS_S / 3600
            ));
        }
        match now_s {
            None => Judged::Waits,
            Some(now) if now > self.expires => Judged::TimedOut,
            Some(now) if self.issued > now.saturating_add(SLACK_S) => {
                Judged::Rejected("it was issued later than now: is the clock of who signed it right?".into())
            }
            Some(_) => Judged::Now,
        }
    }
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Its id: the last part of its topic.
    pub id: String,
    /// The site that it is for.
    #[schema(value_type = String)]
    pub site: SiteId,
    /// The gateway that it is for.
    #[schema(value_type = String)]
    pub gateway: GatewayId,
    /// What it asks for.
    pub what: What,
    /// Who sends it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it was issued, UTC seconds.
    pub issued: i64,
    /// Not to be begun after this, UTC seconds; a day after `issued` at most.
    pub expires: i64,
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum What {
    /// Opens the barrier of a lane once.
    Open {
        /// Which lane.
        #[schema(value_type = String)]
        lane: LaneId,
    },
    /// Shows a message on the screens of a lane.
    Message {
        /// Which lane.
        #[schema(value_type = String)]
        lane: LaneId,
        /// The words; none takes the message away.
        text: String,
        /// For how long.
        minutes: u32,
    },
    /// Takes a picture of what a lane's camera sees, and sends it as a photograph.
    Snapshot {
        /// Which lane.
        #[schema(value_type = String)]
        lane: LaneId,
    },
    /// Collects status and counters.
    Diagnostics,
    /// Makes a new key, and asks for a certificate for it.
    CertificateRequest,
    /// Takes the certificate that was asked for.
    Certificate {
        /// The chain, PEM.
        pem: String,
    },
    /// Takes the next key of the site, with which ids of persons become subject keys.
    SubjectKey {
        /// Its number: greater than that of the one in use.
        number: u32,
        /// The key, in an envelope for this box alone.
        #[schema(value_type = Object)]
        sealed: Sealed,
    },
    /// Reads configuration and profiles anew.
    Reload,
    /// Starts the box anew.
    Reboot,
}

impl What {
    /// The word for people and records.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Message { .. } => "message",
            Self::Snapshot { .. } => "snapshot",
            Self::Diagnostics => "diagnostics",
            Self::CertificateRequest => "certificate-request",
            Self::Certificate { .. } => "certificate",
            Self::SubjectKey { .. } => "subject-key",
            Self::Reload => "reload",
            Self::Reboot => "reboot",
        }
    }
    /// What a key must be allowed to sign for it.
    pub const fn usage(&self) -> Usage {
        match self {
            Self::Open { .. } | Self::Message { .. } | Self::Snapshot { .. } => Usage::Operate,
            Self::Diagnostics
            | Self::CertificateRequest
            | Self::Certificate { .. }
            | Self::SubjectKey { .. }
            | Self::Reload
            | Self::Reboot => Usage::Maintain,
        }
    }
}

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Stored, not begun.
    Queued,
    /// Begun.
    InProgress,
    /// Done.
    Succeeded,
    /// Begun and not done.
    Failed,
    /// Never begun: not signed for this, not for this gateway, not a command.
    Rejected,
    /// Its time was over before it began.
    TimedOut,
}

impl State {
    /// Whether nothing more will come of it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Rejected | Self::TimedOut)
    }
    /// The word of the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Rejected => "REJECTED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}

/// A configuration for one gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The site that it is for.
    #[schema(value_type = String)]
    pub site: SiteId,
    /// The gateway that it is for.
    #[schema(value_type = String)]
    pub gateway: GatewayId,
    /// The edition; it only grows.
    pub version: u64,
    /// The whole file.
    pub toml: String,
}

/// What is told upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// The edition in use; 0 is the local file.
    pub version: u64,
    /// The latest edition that was asked for.
    pub desired: u64,
    /// What is wrong with that one: line and what is allowed.
    pub errors: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// The line, from 1; none if it is not about one.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// A question to the gateways of a site: who was where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Its id: the last part of the topic of the answers.
    pub id: String,
    /// The site that is asked.
    #[schema(value_type = String)]
    pub site: SiteId,
    /// Who asks.
    pub by: String,
    /// What for.
    pub purpose: String,
    /// Whose visits: a subject key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whose visits: the id of a person, for each gateway that is asked in an envelope for it alone ([`PERSON`]).
    /// It answers under every key that it has had.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub person: BTreeMap<GatewayId, Sealed>,
    /// The visits of this lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub lane: Option<LaneId>,
    /// From when, UTC milliseconds.
    pub from_ms: i64,
    /// Until when, UTC milliseconds.
    pub to_ms: i64,
    /// Not to be answered after this, UTC seconds.
    pub expires: i64,
}

impl Question {
    /// What the envelope for one gateway belongs to: an answer to another question it does not give.
    pub fn context(&self, gateway: &GatewayId) -> String {
        format!("{} {}.{gateway}", self.id, self.site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(issued: i64, expires: i64) -> Command {
        let (site, gateway) = (SiteId::new("s").unwrap(), GatewayId::new("g").unwrap());
        let lane = LaneId::new("l").unwrap();
        let (by, reason) = ("Wang".into(), "drill".into());
        Command { id: "c".into(), site, gateway, what: What::Open { lane }, by, reason, issued, expires }
    }

    #[test]
    fn no_command_is_carried_out_on_a_clock_that_nobody_confirmed_nor_behind_its_time() {
        let now = 1_793_000_000;
        assert_eq!(command(now, now + 600).judge(Some(now)), Judged::Now);
        assert_eq!(command(now, now + 600).judge(Some(now + 600)), Judged::Now);
        assert_eq!(command(now, now + 600).judge(Some(now + 601)), Judged::TimedOut);
        assert_eq!(command(now, now + 600).judge(None), Judged::Waits);
        assert_eq!(
            command(now + 200, now + 600).judge(Some(now)),
            Judged::Now,
            "a clock that is a little fast"
        );
        for (issued, expires) in [
            (now, now + COUNTS_S + 1),
            (now, i64::MAX),
            (i64::MIN, i64::MAX),
            (now, now - 1),
            (now + 301, now + 600),
        ] {
            let judged = command(issued, expires).judge(Some(now));
            assert!(matches!(judged, Judged::Rejected(_)), "{issued} to {expires}: {judged:?}");
        }
    }
}
