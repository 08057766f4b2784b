//! Logs go to the journal of systemd where there is one, else to standard error.

use crate::shown;
use log::LevelFilter;
use std::io::Write;

/// Sets up logging; `KAKOU_LOG` takes a level or a filter.
pub fn start(default: LevelFilter) {
    if systemd_journal_logger::connected_to_journal()
        && let Ok(journal) = systemd_journal_logger::JournalLog::new()
        && journal.with_extra_fields(vec![("VERSION", env!("CARGO_PKG_VERSION"))]).install().is_ok()
    {
        log::set_max_level(default);
        return;
    }
    let env = env_logger::Env::new().filter_or("KAKOU_LOG", default.as_str());
    // The MQTT crates speak of each packet at lower levels.
    env_logger::Builder::from_env(env)
        // Much of a log is what others have said. The journal's own reader takes care of it.
        .format(|out, record| {
            let text = shown::lines(&record.args().to_string()).replace('\n', "\n    ");
            writeln!(out, "[{:<5} {}] {text}", record.level(), record.target())
        })
        .filter_module("rumqttc", LevelFilter::Warn)
        .filter_module("mqtt5", LevelFilter::Error)
        .init();
}
