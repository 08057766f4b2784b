//! The acts of a sum that are old, as one: a register that sums up would else keep a row for each for ever.
//!
//! A gateway folds its own acts, and no others. The fold is a slot as any other, told and merged as such: of two
//! accounts the later one counts, and each says up to which act ([`Put::at`]). What it covers is dropped wherever the
//! fold is known, and not taken again. So the sum is the same in whatever order the acts and the fold are told, and
//! however often.
//!
//! What was done before the latest count is no part of it. That is right as long as a count is told before what was done
//! around it is old; one that is told later does not know which part of the fold was before it, and all gateways are
//! wrong in the same way until somebody counts again.

use super::{FOLD, Put, Slot, Stamp};

impl Slot {
    /// The part of the fold of which it may be, if it is an act of a sum.
    pub fn folded_as(&self) -> Option<String> {
        let act = !self.part.is_empty() && !self.is_fold();
        self.gateway().filter(|_| act).map(part_of)
    }

    /// Whether a fold stands for it.
    pub fn is_covered_by(&self, fold: &Self) -> bool {
        fold.is_fold() && self.folded_as().as_ref() == Some(&fold.part) && self.put_at() <= fold.put_at()
    }
}

fn part_of(gateway: &str) -> String {
    format!("{gateway}/{FOLD}")
}

/// Leaves out the acts that a fold among the slots of one sum covers.
pub(super) fn leave_out_covered(slots: &mut Vec<Slot>) {
    let folds: Vec<Slot> = slots.iter().filter(|slot| slot.is_fold()).cloned().collect();
    slots.retain(|slot| !folds.iter().any(|fold| slot.is_covered_by(fold)));
}

/// The acts of one gateway on a sum until a moment as one slot: none where there is nothing to fold. `slots` are all of
/// one key and holder.
pub fn fold(mut slots: Vec<Slot>, gateway: &str, before_ms: i64) -> Option<Slot> {
    leave_out_covered(&mut slots);
    let part = part_of(gateway);
    let is_old = |slot: &&Slot| slot.place().is_some_and(|at| at.ms < before_ms);
    let own = |slot: &&Slot| !slot.part.is_empty() && slot.gateway() == Some(gateway);
    let old: Vec<&Slot> = slots.iter().filter(own).filter(is_old).collect();
    let before = old.iter().find(|slot| slot.part == part);
    // Staff have ended the sum of before: what follows begins anew, when that is old as well.
    let ended = before
        .and_then(|fold| fold.end.as_ref().filter(|_| !fold.is_open()))
        .map(|end| end.at.ms.saturating_add(1));
    if old.len() < 2 || ended.is_some_and(|ended| ended >= before_ms) {
        return None;
    }
    let count = slots.iter().filter(|slot| slot.is_open() && is_counted(slot)).filter(is_old);
    let count = count.max_by(|a, b| a.place().cmp(&b.place()));
    let counts = |slot: &&&Slot| slot.is_open() && count.is_none_or(|count| slot.place() >= count.place());
    let amount = old.iter().filter(counts).filter_map(|slot| Some(slot.put.as_ref()?.amount));
    let amount = amount.fold(0, i64::saturating_add);
    let from = count.filter(|count| count.gateway() == Some(gateway)).and_then(|count| count.place());
    let latest = old.iter().max_by(|a, b| a.put_at().cmp(&b.put_at()))?;
    let put = latest.put.as_ref()?;
    let at = Stamp { ms: put.at.ms.max(ended.unwrap_or(i64::MIN)), ..put.at.clone() };
    let put = Put { at, amount, counted: from.is_some(), from: from.cloned(), ..put.clone() };
    let fold = Slot { part, put: Some(put), end: None, was: None, amnesty: None, ..(*latest).clone() };
    Some(match before {
        Some(before) => (*before).clone().merge(fold),
        None => fold,
    })
}

fn is_counted(slot: &Slot) -> bool {
    slot.put.as_ref().is_some_and(|put| put.counted)
}
