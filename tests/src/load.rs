//! What a process costs, from `/proc`.

use std::time::{Duration, Instant};

/// CPU time of a process so far.
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name in brackets: user time is the 12th field, system time the 13th, in ticks of 10 ms.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// How much of one core a process takes while this runs, in percent.
pub fn cpu_percent(pid: u32, during: impl FnOnce()) -> f64 {
    let (before, begun) = (cpu(pid), Instant::now());
    during();
    (cpu(pid).saturating_sub(before)).as_secs_f64() * 100.0 / begun.elapsed().as_secs_f64()
}
