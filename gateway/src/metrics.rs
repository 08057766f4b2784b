//! Counters, as OpenMetrics.

use kakou_core::codes::Outcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

/// The content type of the exposition.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every counter of the gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    verdicts: Family<OutcomeLabel, Counter>,
    happenings: Family<KindLabel, Counter>,
    pulses: Histogram,
    // The same numbers for the status page, by name.
    plain: Mutex<BTreeMap<String, u64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("kakou");
        let verdicts = Family::default();
        registry.register("verdicts", "Verdicts given, by outcome", verdicts.clone());
        let happenings = Family::default();
        registry.register("happenings", "Refusals, drops and faults, by kind", happenings.clone());
        // From 0.1 ms by fifths to 0.12 s.
        let pulses = Histogram::new(exponential_buckets(1e-4, 1.2, 40));
        let help = "From the last byte that led to it to the command at the barrier, commit included";
        registry.register_with_unit("pulse", help, Unit::Seconds, pulses.clone());
        Self { registry, verdicts, happenings, pulses, plain: Mutex::new(BTreeMap::new()) }
    }
}

impl Metrics {
    /// Raises a counter by one; names end in `_total`.
    pub fn count(&self, name: &str) {
        self.add(name, 1);
    }
    /// Raises a counter.
    pub fn add(&self, name: &str, by: u64) {
        if by == 0 {
            return;
        }
        let kind = name.strip_suffix("_total").unwrap_or(name).to_owned();
        self.happenings.get_or_create(&KindLabel { kind }).inc_by(by);
        *self.plain.lock().expect("a counter does not panic").entry(name.to_owned()).or_default() += by;
    }
    /// Counts a verdict.
    pub fn outcome(&self, outcome: Outcome) {
        self.verdicts.get_or_create(&OutcomeLabel { outcome: outcome.word() }).inc();
    }
    /// A barrier was told to open so long after the last byte that led to it.
    pub fn pulsed(&self, after: Duration) {
        self.pulses.observe(after.as_secs_f64());
    }
    /// All counters by name.
    pub fn plain(&self) -> BTreeMap<String, u64> {
        self.plain.lock().expect("a counter does not panic").clone()
    }
    /// The exposition, with gauges that are read now.
    pub fn text(&self, gauges: &[(&str, &str, f64)]) -> String {
        let mut out = String::new();
        encode(&mut out, &self.registry).expect("writing to memory does not fail");
        let end = out.rfind("# EOF").unwrap_or(out.len());
        out.truncate(end);
        for (name, help, value) in gauges {
            out.push_str(&format!(
                "# HELP kakou_{name} {help}\n# TYPE kakou_{name} gauge\nkakou_{name} {value}\n"
            ));
        }
        out.push_str("# EOF\n");
        out
    }
}
