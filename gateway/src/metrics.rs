//! Counters and figures, as OpenMetrics.

use kakou_core::codes::Outcome;
use kakou_core::ids::LaneId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    lane: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

/// The content type of the exposition.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Before every name.
const PREFIX: &str = "kakou";

/// What every figure of a program says of itself.
type Labels = Vec<(&'static str, String)>;
type Series = Vec<(&'static str, String)>;

fn registry(labels: &Labels) -> Registry {
    let labels = labels.iter().map(|(name, value)| (Cow::from(*name), Cow::from(value.clone())));
    Registry::with_prefix_and_labels(PREFIX, labels)
}

/// Every counter of a program.
#[derive(Debug)]
pub struct Metrics {
    labels: Labels,
    registry: Registry,
    verdicts: Family<OutcomeLabel, Counter>,
    happenings: Family<KindLabel, Counter>,
    pulses: Histogram,
    // The same numbers for the status page, by name.
    plain: Mutex<BTreeMap<String, u64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::with(Vec::new())
    }
}

/// Figures that are read when somebody asks.
pub struct Figures {
    registry: Registry,
    gauges: BTreeMap<&'static str, Family<Series, Gauge<f64, AtomicU64>>>,
    counters: BTreeMap<&'static str, Family<Series, Counter>>,
}

impl Figures {
    fn new(labels: &Labels) -> Self {
        Self { registry: registry(labels), gauges: BTreeMap::new(), counters: BTreeMap::new() }
    }

    /// A value as it is now; one that is not known is left out.
    pub fn gauge<V: Into<f64>>(
        &mut self,
        (name, help): (&'static str, &str),
        labels: &[(&'static str, &str)],
        value: Option<V>,
    ) {
        let family = self.gauges.entry(name).or_insert_with(|| {
            let family = Family::default();
            self.registry.register(name, help, family.clone());
            family
        });
        if let Some(value) = value {
            family.get_or_create(&series(labels)).set(value.into());
        }
    }

    /// What has been counted since the program began.
    pub fn counter(
        &mut self,
        (name, help): (&'static str, &str),
        labels: &[(&'static str, &str)],
        value: u64,
    ) {
        let family = self.counters.entry(name).or_insert_with(|| {
            let family = Family::default();
            self.registry.register(name, help, family.clone());
            family
        });
        family.get_or_create(&series(labels)).inc_by(value);
    }
}

fn series(labels: &[(&'static str, &str)]) -> Series {
    labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

impl Metrics {
    /// Of a gateway.
    pub fn of(site: &str, gateway: &str) -> Self {
        Self::with(vec![("site", site.to_owned()), ("gateway", gateway.to_owned())])
    }
    fn with(labels: Labels) -> Self {
        let mut registry = registry(&labels);
        let verdicts = Family::default();
        registry.register("verdicts", "Verdicts given, by lane and outcome", verdicts.clone());
        let happenings = Family::default();
        registry.register("happenings", "Refusals, drops and faults, by kind", happenings.clone());
        // From 0.1 ms by fifths to 0.12 s.
        let pulses = Histogram::new(exponential_buckets(1e-4, 1.2, 40));
        let help = "From the last byte that led to it to the command at the barrier, commit included";
        registry.register_with_unit("pulse", help, Unit::Seconds, pulses.clone());
        Self { labels, registry, verdicts, happenings, pulses, plain: Mutex::new(BTreeMap::new()) }
    }
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
    pub fn outcome(&self, lane: &LaneId, outcome: Outcome) {
        let label = OutcomeLabel { lane: lane.to_string(), outcome: outcome.as_str() };
        self.verdicts.get_or_create(&label).inc();
    }
    /// A barrier was told to open so long after the last byte that led to it.
    pub fn pulsed(&self, after: Duration) {
        self.pulses.observe(after.as_secs_f64());
    }
    /// All counters by name.
    pub fn plain(&self) -> BTreeMap<String, u64> {
        self.plain.lock().expect("a counter does not panic").clone()
    }
    /// The exposition, with what is read now.
    pub fn text(&self, read: impl FnOnce(&mut Figures)) -> String {
        let mut figures = Figures::new(&self.labels);
        read(&mut figures);
        let mut out = String::new();
        let written = encode_registry(&mut out, &self.registry)
            .and_then(|()| encode_registry(&mut out, &figures.registry))
            .and_then(|()| encode_eof(&mut out));
        written.expect("writing to memory does not fail");
        out
    }
}

/// The exposition of a program that counts elsewhere.
pub fn figures(read: impl FnOnce(&mut Figures)) -> String {
    let mut figures = Figures::new(&Vec::new());
    read(&mut figures);
    let mut out = String::new();
    let written = encode_registry(&mut out, &figures.registry).and_then(|()| encode_eof(&mut out));
    written.expect("writing to memory does not fail");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_of_a_gateway_names_its_site_and_itself() {
        let metrics = Metrics::of("school-3", "gw-1");
        metrics.count("pin_wrong_total");
        metrics.outcome(&LaneId::new("lane-1").unwrap(), Outcome::Hold);
        let text = metrics.text(|f| {
            f.gauge(("list_age_seconds", "Since it was issued"), &[("list", "status")], Some(7));
            f.gauge(("list_age_seconds", "Since it was issued"), &[("list", "pass")], None::<f64>);
            f.gauge(("uptime_seconds", "Since start"), &[], Some(1.5));
        });
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            assert!(line.contains("site=\"school-3\",gateway=\"gw-1\""), "{line}");
        }
        let has = |name: &str, rest: &[&str]| {
            text.lines().any(|l| l.starts_with(name) && rest.iter().all(|r| l.contains(r)))
        };
        assert!(has("kakou_verdicts_", &["lane=\"lane-1\"", "outcome=\"HOLD\"", "} 1"]), "{text}");
        assert!(has("kakou_list_age_seconds{", &["list=\"status\"", "} 7"]), "{text}");
        assert!(!text.contains("list=\"pass\""), "what is not known has no figure");
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    }
}
