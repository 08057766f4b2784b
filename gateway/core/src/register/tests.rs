use super::*;
use crate::ids::VisitId;

fn lane() -> LaneId {
    LaneId::new("lane-1").unwrap()
}

fn write(visit: u64, at_ms: i64, change: Change) -> SlotWrite {
    SlotWrite {
        register: "room".into(),
        key: "k".into(),
        holder: format!("h{visit}"),
        part: String::new(),
        keep_ms: 1_000,
        shared: true,
        by: Redemption { lane: lane(), visit: VisitId(visit), at_ms: Some(at_ms) },
        change,
    }
}

fn put(alone: bool) -> Change {
    Change::Put(Box::new(Put {
        at: Stamp::default(),
        lane: lane(),
        since_ms: None,
        until_ms: None,
        expires: false,
        amount: 0,
        counted: false,
        from: None,
        data: Map::new(),
        alone,
        alarm: None,
    }))
}

fn back() -> Change {
    Change::End(Ended::GivenBack, None)
}

/// Every order of some accounts of one slot.
fn orders<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    if all.is_empty() {
        return vec![Vec::new()];
    }
    let mut out = Vec::new();
    for at in 0..all.len() {
        let mut rest = all.to_vec();
        let first = rest.remove(at);
        for mut order in orders(&rest) {
            order.insert(0, first.clone());
            out.push(order);
        }
    }
    out
}

#[test]
fn late_and_doubled_accounts_of_one_slot_come_to_the_same_in_every_order() {
    let of = |before: Option<Slot>, gateway: &str, at_ms, change| {
        Slot::after(before, &SlotWrite { holder: "h".into(), ..write(7, at_ms, change) }, gateway)
    };
    let first = of(None, "gw-1", 1_000, put(true));
    let taken = of(Some(first.clone()), "gw-2", 2_000, back());
    let again = of(Some(taken.clone()), "gw-3", 3_000, put(true));
    let blind = of(None, "gw-4", 3_500, back());
    let mut all = vec![first, taken, again, blind];
    all.push(all[1].clone());
    let ends: Vec<Slot> =
        orders(&all).into_iter().map(|order| order.into_iter().reduce(Slot::merge).unwrap()).collect();
    assert_eq!(ends.len(), 120);
    for end in &ends {
        assert_eq!(end, &ends[0]);
        assert!(!end.is_open() && end.is_past());
    }
}

#[test]
fn an_act_of_the_same_gateway_comes_after_the_one_before_whatever_its_clock_does() {
    let first = Slot::after(None, &write(1, 9_000, put(true)), "gw-1");
    let end = SlotWrite { holder: "h1".into(), ..write(2, 4_000, back()) };
    let over = Slot::after(Some(first), &end, "gw-1");
    assert!(!over.is_open() && over.is_past());
    let none = Redemption { lane: lane(), visit: VisitId(3), at_ms: None };
    let again = SlotWrite { by: none, ..write(3, 0, put(true)) };
    assert!(Slot::after(Some(over), &again, "gw-1").is_open());
}

#[test]
fn a_visit_puts_once_and_a_holder_who_puts_again_renews() {
    let first = Slot::after(None, &write(1, 1_000, put(true)), "gw-1");
    let twice = Slot::after(Some(first.clone()), &write(1, 5_000, put(true)), "gw-1");
    assert_eq!(twice, first);
    let later = SlotWrite { holder: "h1".into(), ..write(2, 5_000, put(true)) };
    let renewed = Slot::after(Some(first), &later, "gw-1");
    assert_eq!(renewed.put.as_ref().unwrap().since_ms, Some(5_000));
    assert!(renewed.is_open() && !renewed.is_past());
}

#[test]
fn of_two_gateways_that_give_one_key_away_the_first_counts_and_the_other_is_a_conflict() {
    let one = Slot::after(None, &write(1, 1_000, put(true)), "gw-2");
    let other = Slot::after(None, &write(2, 1_000, put(true)), "gw-1");
    let found = conflicts(&[one.clone(), other.clone()]);
    assert_eq!(found.len(), 1);
    let (lost, first) = &found[0];
    assert_eq!((lost.holder.as_str(), first.holder.as_str()), ("h1", "h2"), "by time, then by gateway");
    assert!(!lost.is_open() && !lost.is_past() && !lost.counts());
    assert!(conflicts(&[lost.clone(), other.clone()]).is_empty(), "once");
    // Told again it does not come back.
    assert!(!one.merge(lost.clone()).is_open());
    let beyond = Slot::after(None, &write(3, 2_000, put(false)), "gw-2");
    assert!(conflicts(&[beyond, other.clone()]).is_empty(), "staff put it beyond the limit");
    let over =
        Slot::after(Some(other), &SlotWrite { holder: "h2".into(), ..write(4, 1_500, back()) }, "gw-1");
    let next = Slot::after(None, &write(5, 1_600, put(true)), "gw-2");
    assert!(conflicts(&[over, next]).is_empty(), "one after the other");
}

#[test]
fn a_sum_is_the_latest_count_and_what_was_added_since() {
    let act = |part: &str, at_ms, amount, counted| {
        let Change::Put(what) = put(false) else { unreachable!() };
        let change = Change::Put(Box::new(Put { amount, counted, ..*what }));
        let write = SlotWrite { part: part.into(), holder: "h".into(), ..write(0, at_ms, change) };
        Slot::after(None, &write, "gw-1")
    };
    let acts =
        vec![act("a", 1, 10, false), act("b", 2, 40, true), act("c", 3, -45, false), act("d", 4, 2, false)];
    for order in orders(&acts) {
        let all = summed(order);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].put.as_ref().unwrap().amount, -3);
    }
}

#[test]
fn staff_take_away_that_a_slot_was_there() {
    let first = Slot::after(None, &write(1, 1_000, put(false)), "gw-1");
    let end = |slot, at_ms, how| {
        let change = Change::End(how, None);
        Slot::after(Some(slot), &SlotWrite { holder: "h1".into(), ..write(9, at_ms, change) }, "gw-1")
    };
    let corrected = end(first.clone(), 2_000, Ended::Corrected);
    assert!(!corrected.is_past() && !corrected.counts());
    let over = end(first, 2_000, Ended::GivenBack);
    assert!(over.is_past() && over.counts());
    assert!(!end(over, 3_000, Ended::Corrected).is_past(), "an amnesty for one that is over");
}
