//! How Kakou's programs reach each other and keep what they have: MQTT, TLS and HTTPS under one clock, pauses and words
//! for links that are away, files that are there whole or not at all, logs, and texts of strangers.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod backoff;
pub mod broker;
pub mod clock;
pub mod durable;
pub mod files;
pub mod https;
pub mod logging;
pub mod minutely;
pub mod mqtt;
pub mod outage;
pub mod shown;
pub mod tls;
