//! What the central side may ask of a gateway, as it is signed.

use kakou_core::ids::{GatewayId, LaneId, SiteId};
use kakou_core::pass::trust::Usage;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The type of a signed command.
pub const COMMAND: &str = "kakou-command";
/// The type of a signed configuration.
pub const CONFIGURATION: &str = "kakou-config";
/// The type of a signed question.
pub const TRACE: &str = "kakou-trace";

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
    /// Not to be begun after this, UTC seconds.
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
    /// Reads configuration and profiles anew.
    Reload,
    /// Starts the box anew.
    Reboot,
}

impl What {
    /// The word for people and records.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Message { .. } => "message",
            Self::Snapshot { .. } => "snapshot",
            Self::Diagnostics => "diagnostics",
            Self::CertificateRequest => "certificate-request",
            Self::Certificate { .. } => "certificate",
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
            | Self::Reload
            | Self::Reboot => Usage::Maintain,
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
