//! How long a lane may take to decide after the last input, profile by profile: the 95th percentile that was asked for.

use std::time::Duration;

/// Milliseconds, by the ids of profiles. The console answers within three seconds; the lanes for every day and those who
/// come along have no figure of their own, and are held to the usual half second.
const TARGETS_MS: [(&str, u64); 34] = [
    ("accompanied-child", 500),
    ("car-occupant", 500),
    ("chemical-park", 500),
    ("community-return", 500),
    ("consulting-room", 500),
    ("door-watch", 500),
    ("duty-console", 3_000),
    ("emergency", 200),
    ("enterprise-gate", 300),
    ("event-gate", 500),
    ("fit-for-duty", 500),
    ("hospital-visitor", 500),
    ("isolation-point", 500),
    ("livestock-wash", 500),
    ("medical-waste", 500),
    ("pharmacy", 500),
    ("pre-triage", 500),
    ("resident-car", 500),
    ("sampling-desk", 500),
    ("school-gate", 300),
    ("school-pickup", 500),
    ("seal-check", 500),
    ("site-daily", 300),
    ("site-exit", 300),
    ("site-onboarding", 500),
    ("specimen-reception", 500),
    ("supplies-desk", 500),
    ("transit-truck", 500),
    ("truck-bulk", 500),
    ("truck-supplies", 500),
    ("venue-visit", 300),
    ("ward-door", 300),
    ("waste-custody", 500),
    ("yard-gate", 500),
];

/// That of a profile, if it has one.
pub fn of(profile: &str) -> Option<Duration> {
    TARGETS_MS.iter().find(|(id, _)| *id == profile).map(|(_, ms)| Duration::from_millis(*ms))
}
