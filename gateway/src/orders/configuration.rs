//! Configuration from the central side: checked here, tried with a new start.

use super::OrderSettings;
use crate::config::Identity;
use crate::config::remote;
use kakou_core::evidence::Hash;
use kakou_core::pass::trust::Usage;
use kakou_core::signed;
use kakou_wire::order::{CONFIGURATION, Configuration, Fault};
use serde_json::json;

impl OrderSettings {
    /// Takes a version, or says what is wrong with it. It is kept once the lanes are open and, if
    /// `linked`, the link is up.
    pub(super) async fn configure(&self, envelope: &[u8], linked: bool) {
        if envelope.is_empty() {
            return;
        }
        let opened = signed::open(envelope, CONFIGURATION, &self.keys, Usage::Configure, self.now_s());
        let configuration: Configuration = match opened
            .map_err(|e| e.to_string())
            .and_then(|o| serde_json::from_slice(&o.payload).map_err(|e| e.to_string()))
        {
            Ok(configuration) => configuration,
            Err(why) => {
                let what = json!({ "configuration": true, "why": why });
                return self.refuse("configuration_refused_total", what);
            }
        };
        if (&configuration.site, &configuration.gateway) != (&self.site, &self.gateway) {
            // It uses up none of this gateway's versions.
            let why = format!("it is for {}/{}", configuration.site, configuration.gateway);
            return self.refuse("configuration_refused_total", json!({ "configuration": true, "why": why }));
        }
        let mut report = remote::report(&self.data);
        if configuration.version <= report.desired {
            // The broker keeps it: it comes with each connection.
            return self.tell_configuration().await;
        }
        let version = configuration.version;
        report.desired = version;
        report.errors = match self.try_configuration(&configuration, linked) {
            Ok(()) => Vec::new(),
            Err(faults) => faults,
        };
        let good = report.errors.is_empty();
        if let Err(e) = remote::keep_report(&self.data, &report) {
            log::error!("the report of the configuration cannot be kept: {e}");
        }
        self.record(
            "configuration",
            json!({ "version": version, "errors": report.errors,
            "sha256": Hash::of(configuration.toml.as_bytes()).hex() }),
        )
        .await;
        self.tell_configuration().await;
        if good && self.restart.as_ref().is_none_or(|r| r.try_send(()).is_err()) {
            log::warn!("configuration version {version} counts from the next start");
        }
    }

    fn try_configuration(&self, configuration: &Configuration, linked: bool) -> Result<(), Vec<Fault>> {
        let alone = |what: String| vec![Fault { line: None, what }];
        // Not of the local file: a version is the way to reach a gateway whose file is wrong.
        let (site, id, data) = (self.site.clone(), self.gateway.clone(), self.data.clone());
        remote::check(&self.config, configuration, &Identity { site, id, data })
            .and_then(|settings| remote::keeps_anchors(settings, &self.anchors))
            .and_then(remote::can_serve)?;
        remote::offer(&self.data, configuration, linked).map_err(|e| alone(e.to_string()))
    }

    /// Tells which version is in use, and what was wrong with the last one.
    pub(super) async fn tell_configuration(&self) {
        let report = json!(remote::report(&self.data)).to_string();
        self.answer("cfg/reported", report.into_bytes(), true).await;
    }
}
