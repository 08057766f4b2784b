//! Logs go to the journal of systemd where there is one, else to standard error.
//!
//! Log messages contain text from devices, brokers and networks. Control characters and line breaks in it are made
//! harmless here for both destinations, so that it cannot act on a terminal or forge a log line.

use crate::shown;
use log::{LevelFilter, Log, Metadata, Record};
use std::io::Write;

/// Passes records on with their text made safe.
struct Shown<L>(L);

impl<L: Log> Log for Shown<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }
    fn log(&self, record: &Record<'_>) {
        let text = text(record);
        self.0.log(&record.to_builder().args(format_args!("{text}")).build());
    }
    fn flush(&self) {
        self.0.flush();
    }
}

/// The text of a record; further lines are indented below the first.
fn text(record: &Record<'_>) -> String {
    shown::lines(&record.args().to_string()).replace('\n', "\n    ")
}

/// Sets up logging; `KAKOU_LOG` takes a level or a filter.
pub fn start(default: LevelFilter) {
    if systemd_journal_logger::connected_to_journal()
        && let Ok(journal) = systemd_journal_logger::JournalLog::new()
    {
        let journal = journal.with_extra_fields(vec![("VERSION", env!("CARGO_PKG_VERSION"))]);
        if log::set_boxed_logger(Box::new(Shown(journal))).is_ok() {
            log::set_max_level(default);
            return;
        }
    }
    let env = env_logger::Env::new().filter_or("KAKOU_LOG", default.as_str());
    // The MQTT crates speak of each packet at lower levels.
    let logger = env_logger::Builder::from_env(env)
        .format(|out, record| writeln!(out, "[{:<5} {}] {}", record.level(), record.target(), record.args()))
        .filter_module("rumqttc", LevelFilter::Warn)
        .filter_module("mqtt5", LevelFilter::Error)
        .build();
    let level = logger.filter();
    if log::set_boxed_logger(Box::new(Shown(logger))).is_ok() {
        log::set_max_level(level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;
    use std::sync::Mutex;

    /// Keeps what a journal would get.
    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Log for Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &Record<'_>) {
            self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
        fn flush(&self) {}
    }

    #[test]
    fn what_a_stranger_says_reaches_no_log_as_a_command_or_as_a_line() {
        let log = Shown(Kept::default());
        let bad = "school/gw-1: \u{1b}[2J\u{9b}31m\r\u{202e}x\nERROR all is lost";
        log.log(&Record::builder().level(Level::Warn).args(format_args!("{bad}")).build());
        let kept = log.0.0.lock().unwrap().join("|");
        assert_eq!(kept, "WARN school/gw-1: \u{fffd}[2J\u{fffd}31m\u{fffd}\u{fffd}x\n    ERROR all is lost");
    }
}
