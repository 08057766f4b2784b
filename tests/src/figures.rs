//! How a bar ends: one JSON object as the last line; exit 0 when it holds, 1 when it falls short,
//! 2 when it could not run.

use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A run that could not begin says what is missing.
#[derive(Debug)]
pub struct Missing(pub String);

impl<E: std::error::Error> From<E> for Missing {
    fn from(e: E) -> Self {
        Self(e.to_string())
    }
}

/// The machine, for whoever compares figures.
pub fn machine() -> Value {
    let read = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|l| l.starts_with(key)).unwrap_or_default();
        line.split(':').nth(1).unwrap_or_default().trim().to_owned()
    };
    json!({
        "cpu": read("/proc/cpuinfo", "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": read("/proc/meminfo", "MemTotal"),
        "arch": std::env::consts::ARCH,
    })
}

/// Prints the object and chooses the exit code. `short` names each bar that falls short.
pub fn finish(result: Result<(Map<String, Value>, Vec<String>), Missing>) -> ExitCode {
    match result {
        Err(Missing(why)) => {
            println!("{}", json!({ "ok": false, "missing": why }));
            ExitCode::from(2)
        }
        Ok((figures, short)) => {
            let mut all = Map::new();
            all.insert("ok".into(), json!(short.is_empty()));
            all.extend(figures);
            all.insert("short".into(), json!(short));
            all.insert("machine".into(), machine());
            println!("{}", Value::Object(all));
            if short.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

/// Runs a bar that waits for many things at once, and finishes it.
pub fn drive(bar: impl Future<Output = Result<(Map<String, Value>, Vec<String>), Missing>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    finish(match runtime {
        Ok(runtime) => runtime.block_on(bar),
        Err(e) => Err(Missing(e.to_string())),
    })
}

/// Median, 99th percentile of durations in microseconds.
pub fn percentiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |p: usize| times.get((times.len() * p / 100).min(times.len().saturating_sub(1)));
    let us = |d: Option<&Duration>| d.map_or(0.0, |d| d.as_secs_f64() * 1e6);
    (us(at(50)), us(at(99)))
}

/// Two digits after the point.
pub fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// A line of progress on standard error.
pub fn say(begun: Instant, text: &str) {
    eprintln!("[{:7.1} s] {text}", begun.elapsed().as_secs_f64());
}

fn pulse_buckets(metrics: &str) -> Vec<(f64, f64)> {
    metrics
        .lines()
        .filter_map(|l| {
            l.strip_prefix("kakou_pulse_seconds_bucket{")?.split_once("le=\"")?.1.split_once("\"} ")
        })
        .filter_map(|(le, n)| Some((le.parse().ok()?, n.parse().ok()?)))
        .collect()
}

fn quantile(buckets: &[(f64, f64)], q: f64) -> Result<f64, Missing> {
    let all = buckets.last().map_or(0.0, |b| b.1);
    let (mut low, mut below) = (0.0, 0.0);
    for &(le, n) in buckets {
        if n >= all * q && n > below {
            return Ok(low + (le.min(1.0) - low) * (all * q - below) / (n - below));
        }
        (low, below) = (le, n);
    }
    Err(Missing("the gateway counted no pulses".into()))
}

/// A quantile of the gateway's histogram of pulses, linear within a bucket.
pub fn pulse_quantile(metrics: &str, q: f64) -> Result<f64, Missing> {
    quantile(&pulse_buckets(metrics), q)
}

/// The same of what was counted between two looks.
pub fn pulse_quantile_between(before: &str, after: &str, q: f64) -> Result<f64, Missing> {
    let before = pulse_buckets(before);
    let at = |le: f64| before.iter().find(|(l, _)| *l == le).map_or(0.0, |(_, n)| *n);
    let between: Vec<(f64, f64)> = pulse_buckets(after).into_iter().map(|(le, n)| (le, n - at(le))).collect();
    quantile(&between, q)
}
