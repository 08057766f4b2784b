//! What Kakou's programs share to reach each other and to keep files: MQTT, TLS and HTTPS under one clock, back-off
//! and log messages for links that are down, files replaced atomically, logging, and display of untrusted text.
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
