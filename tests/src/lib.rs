//! What whole-product tests share: the real daemon, real brokers, simulated devices, figures.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod brokers;
pub mod central;
pub mod certs;
pub mod contract;
pub mod crowd;
pub mod daemon;
pub mod desk;
pub mod disk;
pub mod enrolled;
pub mod figures;
pub mod fleet;
pub mod guest;
pub mod hcert_case;
pub mod hcert_make;
pub mod lanes;
pub mod limit;
pub mod load;
pub mod mqtt;
pub mod nats;
pub mod packs;
pub mod passes;
pub mod plot;
pub mod postgres;
pub mod profiles;
pub mod proxy;
pub mod qr;
pub mod qr_scene;
pub mod recorded;
pub mod remains;
pub mod screen;
pub mod sim;
pub mod sim_gateway;
pub mod site;
pub mod visitors;
pub mod wait;
