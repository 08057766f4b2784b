//! A visit begins without a code: at the desk, by the button of the lane, or by a contact.

use super::action::Rejection;
use super::visit::Origin;
use super::{Lane, Outbound};
use crate::ids::VisitId;
use crate::records::{Records, RecordsFault};
use crate::time::Now;

impl Lane {
    /// A visit begins without any code.
    pub fn start(
        &mut self,
        _now: &Now,
        _origin: Origin,
        _next_visit: VisitId,
        _records: &dyn Records,
        _out: &mut Outbound,
    ) -> Result<Result<(), Rejection>, RecordsFault> {
        Ok(Err(Rejection::not_now()))
    }
}
