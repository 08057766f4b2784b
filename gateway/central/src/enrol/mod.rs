//! The server's half of enrolment: [`office`] gives a box its certificate and its configuration for a code, [`server`]
//! are its routes. What a box does for its own is in the gateway.

pub mod expected;
pub mod office;
pub mod server;
pub mod subjects;
pub mod template;
