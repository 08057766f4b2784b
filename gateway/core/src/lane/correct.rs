//! Staff correct a register by name and reason: somebody left by the lift, a tube is void.

use super::action::{Officer, Rejection, is_long, too_long};
use super::{Lane, Outbound};
use crate::event::{Class, NewEvent};
use crate::records::{Records, RecordsFault};
use crate::register::{self, Act, Scope, meant};
use crate::time::Now;
use serde_json::json;

/// What staff correct.
pub(super) struct Correction<'a> {
    pub register: &'a str,
    pub key: &'a str,
    /// `*` is all of the key.
    pub holder: &'a str,
    pub act: &'a str,
    pub reason: &'a str,
}

impl Lane {
    pub(super) fn correct(
        &self,
        now: &Now,
        officer: &Officer,
        what: &Correction<'_>,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<Result<(), Rejection>, RecordsFault> {
        if is_long(what.reason) {
            return Ok(Err(too_long()));
        }
        if what.reason.trim().is_empty() {
            return Ok(Err(Rejection::new("reason", "请说明理由", "Say why")));
        }
        let act = Act::parse(what.act).filter(|act| *act != Act::Look);
        let Some((register, act)) = self.setup.profile.register(what.register).zip(act) else {
            let text = "This lane has no such register, or it cannot be corrected so";
            return Ok(Err(Rejection::new("not_now", "本通道没有该登记簿，或不能这样更正", text)));
        };
        let all = what.holder == "*";
        if all && act != Act::Take || what.key.trim().is_empty() || what.holder.trim().is_empty() {
            let text = "Say whose slot of which key it is; `*` is for taking alone";
            return Ok(Err(Rejection::new("not_now", "请指明登记项与持有人", text)));
        }
        let holder = (!all).then_some(what.holder);
        let with = (&*self.setup, records, now);
        let writes = register::correct(with, register, (what.key, holder), act, &officer.id)?;
        out.writes.extend(writes);
        let lane = (register.scope == Scope::Lane).then_some(&self.setup.lane);
        let key = meant(&self.setup.subjects, &register.name, lane, what.key).swap_remove(0);
        let data = json!({ "register": register.name, "key": key, "act": act, "officer": officer.id,
            "role": officer.role, "reason": what.reason });
        out.events.push(NewEvent {
            kind: "register_corrected".into(),
            class: Class::Verdict,
            lane: None,
            visit: None,
            audience: self.setup.profile.audience.clone(),
            data,
        });
        Ok(Ok(()))
    }
}
