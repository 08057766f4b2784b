//! Tables of offices as lists that gateways take: what stands in a [`table`], what its [`columns`] mean, and what the
//! facts of a list look like.

pub mod columns;
pub mod schema;
pub mod table;
