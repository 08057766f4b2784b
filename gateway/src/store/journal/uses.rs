//! Passes and seals that were used up: here, and at the other gateways of the site.

use super::Journal;
use crate::store::catch_up::{self, PageProgress, Respondent};
use crate::store::salvage::{self, Fact};
use crate::upstream::peers;
use kakou_core::event::{Class, NewEvent};
use kakou_core::ids::{GatewayId, LaneId, VisitId};
use kakou_core::records::Redemption;
use kakou_core::time::Now;
use kakou_wire::peers::{Page, Used, seal};
use rusqlite::{OptionalExtension, params};

impl Journal {
    /// A pass, or a seal, is used up.
    pub(super) fn redeem(
        &mut self,
        pass_id: &str,
        by: &Redemption,
        ends_ms: Option<i64>,
    ) -> rusqlite::Result<()> {
        let sql = "INSERT INTO redemption (pass_id, lane, visit, at_ms, until_ms)
                   VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (pass_id) DO NOTHING";
        let (lane, visit) = (by.lane.as_str(), by.visit.0.cast_signed());
        let until_ms = peers::own_until(ends_ms, by.at_ms);
        self.connection.prepare_cached(sql)?.execute(params![pass_id, lane, visit, by.at_ms, until_ms])?;
        if let Some(used) = salvage::use_of(&self.connection, pass_id)? {
            self.kept.note(Fact::Pass(used));
        }
        Ok(())
    }

    /// Takes what another gateway tells of its own use; a conflict goes on record.
    pub fn peer(&mut self, from: &GatewayId, used: &Used, now: &Now) -> rusqlite::Result<bool> {
        self.peer_tells((from, from), used, now)
    }

    /// Takes what a gateway tells of the use at another one; a conflict goes on record.
    fn peer_tells(
        &mut self,
        whose: (&GatewayId, &GatewayId),
        used: &Used,
        now: &Now,
    ) -> rusqlite::Result<bool> {
        let before = salvage::use_of(&self.connection, &used.pass)?;
        let now_ms = now.wall_ms.unwrap_or(0);
        let conflict = peers::take(&self.connection, &self.author.gateway, whose, used, now_ms)?;
        if let Some(now) =
            salvage::use_of(&self.connection, &used.pass)?.filter(|now| before.as_ref() != Some(now))
        {
            self.kept.note(Fact::Pass(now));
        }
        let Some(data) = conflict else { return Ok(false) };
        let event = NewEvent {
            kind: "peer_conflict".into(),
            class: Class::Verdict,
            lane: None,
            visit: None,
            audience: vec!["ops".into(), "transport".into()],
            data,
        };
        self.append(&event, now)?;
        Ok(true)
    }

    /// Takes a page of what somebody tells because it was asked; says how many conflicts it brings, and where the answer
    /// goes on. A page that is not the next one of that answer changes nothing, and gives none.
    pub fn peer_page(
        &mut self,
        from: &Respondent,
        page: &Page,
        now: &Now,
    ) -> rusqlite::Result<Option<(u64, Option<String>)>> {
        let answer = PageProgress::of(page, &self.author.gateway, from, &catch_up::names(&self.connection)?);
        if !catch_up::answered(&self.connection, from, &answer)? {
            return Ok(None);
        }
        let (mut conflicts, name, told) = (0, from.name(), *from == Respondent::Central);
        for known in &page.uses {
            // A use stays the word of whoever has told the central side of it, and a gateway speaks in its own name.
            let teller = told.then_some(known.teller.as_ref()).flatten().unwrap_or(&name);
            conflicts += u64::from(self.peer_tells((teller, &known.gateway), &known.used(), now)?);
        }
        for slot in &page.slots {
            let teller = told.then_some(slot.teller.as_ref()).flatten().unwrap_or(&name);
            conflicts += u64::from(self.peer_slot(teller, &slot.slot, now)?);
        }
        Ok(Some((conflicts, answer.to)))
    }

    /// The first use of a pass.
    pub fn redeemed(&self, pass_id: &str) -> rusqlite::Result<Option<Redemption>> {
        let sql = "SELECT lane, visit, at_ms FROM redemption WHERE pass_id = ?1";
        let row = self.connection.prepare_cached(sql)?.query_row([pass_id], |r| {
            Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?, r.get::<_, Option<i64>>(2)?))
        });
        Ok(row.optional()?.and_then(|(lane, visit, at_ms)| {
            Some(Redemption { lane: LaneId::new(lane).ok()?, visit: VisitId(visit.cast_unsigned()), at_ms })
        }))
    }

    /// Whether a seal number was used, here or at another gateway of the site.
    pub fn seal_used(&self, number: &str) -> rusqlite::Result<bool> {
        let sql =
            "SELECT 1 FROM seal WHERE number = ?1 UNION ALL SELECT 1 FROM redemption WHERE pass_id = ?2";
        self.connection.prepare_cached(sql)?.exists([number, &seal(number)])
    }
}
