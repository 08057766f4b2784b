//! What is right and what is wrong on this box, each with what to do. It reads and asks, and changes nothing; it
//! can run beside the gateway.

mod hospital;
mod machine;
mod ports;
mod upstream;

use crate::config::{self, Settings};
use serde::Serialize;
use std::path::Path;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is as it should be.
    Right,
    /// It works, and will cost somebody time one day.
    Warning,
    /// It does not work.
    Wrong,
}

/// One line of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What to do; empty if it is right.
    pub todo: String,
}

impl Finding {
    fn right(what: &str, found: impl Into<String>) -> Self {
        Self { severity: Severity::Right, what: what.into(), found: found.into(), todo: String::new() }
    }
    fn warning(what: &str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, what: what.into(), found: found.into(), todo: todo.into() }
    }
    fn wrong(what: &str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { severity: Severity::Wrong, what: what.into(), found: found.into(), todo: todo.into() }
    }
}

/// Looks at everything; without a configuration, at the machine alone.
pub fn examine(file: Option<&Path>) -> Vec<Finding> {
    let mut out = Vec::new();
    let settings = file.and_then(|file| match config::load(file) {
        Ok(settings) => {
            let lanes = settings.lanes.len();
            let devices = settings.devices.len();
            out.push(Finding::right(
                "configuration",
                format!("{}: {lanes} lanes, {devices} devices", file.display()),
            ));
            if let Err(e) = config::placeholder::filled_in(&settings) {
                out.push(Finding::wrong(
                    "configuration",
                    e.to_string(),
                    "fill this line in; until then its device is missing",
                ));
            }
            if let Some(why) = crate::http::nobody_signs_in(&settings) {
                out.push(Finding::warning("officers", why, "add an [[officer]] to the configuration"));
            }
            Some(settings)
        }
        Err(e) => {
            out.push(Finding::wrong("configuration", e.to_string(), "correct this line and try again"));
            None
        }
    });
    out.extend(machine::examine(settings.as_ref()));
    out.extend(ports::examine(settings.as_ref()));
    if let Some(settings) = &settings {
        out.extend(upstream::examine(settings));
        out.extend(hospital::examine(settings, &lists_of(settings)));
    }
    out
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Severity {
    findings.iter().map(|f| f.severity).max().unwrap_or(Severity::Right)
}

fn lists_of(settings: &Settings) -> Vec<(String, i64)> {
    // Opening them would make them.
    if !settings.data.join("editions").exists() {
        return Vec::new();
    }
    let Ok(lists) = crate::store::lists::Lists::open(&settings.data) else { return Vec::new() };
    kakou_core::records::LISTS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), lists.in_use(name)?.issued_ms)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_a_template_that_nobody_filled_in_is_wrong_and_says_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kakou.toml");
        let text = "[gateway]\nsite = \"s\"\nid = \"g\"\ndata = \"d\"\n[clock]\nsource = \"system\"\n\
                    [[device]]\nid = \"scanner\"\ndriver = \"line-scanner\"\nport = { path = \"/dev/WHERE-IT-IS\" }\n\
                    [[device]]\nid = \"thermometer\"\ndriver = \"gy-mcu90614\"\nport = { path = \"t\", body_grade = true }\n\
                    [[lane]]\nid = \"l\"\nprofile = \"pre-triage\"\ndevices = { scanner = \"scanner\", thermometer = \"thermometer\" }\n";
        std::fs::write(&file, text).unwrap();
        let findings = examine(Some(&file));
        let found = findings.iter().find(|f| f.found.contains("WHERE-IT-IS")).unwrap();
        assert_eq!(
            (found.severity, found.found.contains("kakou.toml:10")),
            (Severity::Wrong, true),
            "{}",
            found.found
        );
    }

    #[test]
    fn a_wrong_configuration_is_the_worst_and_says_its_line() {
        let file = std::env::temp_dir().join(format!("kakou-doctor-{}.toml", std::process::id()));
        std::fs::write(&file, "[gateway]\nsite = \"s\"\nid = \"g\"\ndata = \"d\"\nspeed = 9600\n").unwrap();
        let findings = examine(Some(&file));
        assert_eq!(worst(&findings), Severity::Wrong);
        assert_eq!(findings[0].what, "configuration");
        assert!(findings[0].found.contains(".toml:5"), "{}", findings[0].found);
        assert!(findings.iter().all(|f| f.todo.is_empty() == (f.severity == Severity::Right)));
        std::fs::remove_file(file).unwrap();
    }
}
