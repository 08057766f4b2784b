//! What a box needs to be enrolled and to stay enrolled as a gateway: its key and certificate request, enrolment codes,
//! encrypted envelopes, the secrets behind subject keys, and document signer certificates as entries of trust lists.
//! What issues certificates and passes is in `kakou-authority`.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod certificate;
pub mod code;
pub mod envelope;
pub mod identity;
pub mod subjects;
