//! Issuer keys, trust lists and what becomes of certificates in them.

pub mod certificate;
pub mod identity;
pub mod issuer;
