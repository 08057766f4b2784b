//! How much the other gateways of the site may say in a minute.
//!
//! Whoever holds the certificate of one gateway can say to the others what it likes, as fast as it likes. What
//! goes beyond its share is not taken: it is counted, and told in one line a minute. An honest gateway stays
//! below all of these limits even when it tells everything again.

use crate::ids::GatewayId;
use std::collections::BTreeMap;

/// The longest message of another gateway; what is larger is not even parsed.
pub const LARGEST: usize = 4_096;
/// Uses of passes in a minute, of one gateway. One that tells everything again tells half as many.
pub const USES: u32 = 12_000;
/// Signed entries in a minute, of one gateway: a person scans each of them.
pub const ENTRIES: u32 = 600;
/// Calls to tell everything again in a minute, of one gateway.
pub const HELLOS: u32 = 4;
/// Questions and answers in a minute, of one gateway: a page of a long answer takes a commit at the other end.
pub const EXCHANGES: u32 = 3_000;
/// Gateways of a site that are listened to.
pub const GATEWAYS: usize = 64;

/// What another gateway says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerMessageKind {
    /// That a pass was used.
    Use,
    /// A signed entry.
    Entry,
    /// That it must be told everything again.
    Hello,
    /// A question, or a page of an answer.
    Exchange,
}

/// What one gateway has said in this minute.
#[derive(Debug, Default, Clone, Copy)]
struct MinuteShare {
    uses: u32,
    entries: u32,
    hellos: u32,
    exchanges: u32,
    /// Beyond its share: uses, entries, calls, questions and answers.
    beyond: [u32; 4],
    /// Too large, not of the form, not signed.
    junk: u32,
}

/// The shares of this minute.
#[derive(Debug, Default)]
pub struct Budget {
    gateways: BTreeMap<GatewayId, MinuteShare>,
    /// Messages of gateways beyond [`GATEWAYS`].
    strangers: u32,
}

/// What the last minute brought that was not taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// For the log: a line for each gateway that said too much.
    pub lines: Vec<String>,
    /// Whether uses were not taken that may have been good.
    pub uses_missed: bool,
    /// Whether a call to tell everything again was not heeded.
    pub hello_owed: bool,
}

impl Budget {
    fn of(&mut self, from: &GatewayId) -> Option<&mut MinuteShare> {
        if !self.gateways.contains_key(from) && self.gateways.len() >= GATEWAYS {
            self.strangers = self.strangers.saturating_add(1);
            return None;
        }
        Some(self.gateways.entry(from.clone()).or_default())
    }

    /// Whether a message is within the share of its sender.
    pub fn allows(&mut self, from: &GatewayId, message: PeerMessageKind) -> bool {
        self.allows_many(from, message, 1)
    }

    /// Whether all of so many are; as the uses in a page, whoever has used the passes.
    pub fn allows_many(&mut self, from: &GatewayId, message: PeerMessageKind, many: usize) -> bool {
        let Some(said) = self.of(from) else { return false };
        let (count, most, beyond) = match message {
            PeerMessageKind::Use => (&mut said.uses, USES, &mut said.beyond[0]),
            PeerMessageKind::Entry => (&mut said.entries, ENTRIES, &mut said.beyond[1]),
            PeerMessageKind::Hello => (&mut said.hellos, HELLOS, &mut said.beyond[2]),
            PeerMessageKind::Exchange => (&mut said.exchanges, EXCHANGES, &mut said.beyond[3]),
        };
        let raised = count.saturating_add(u32::try_from(many).unwrap_or(u32::MAX));
        let allowed = raised <= most;
        if allowed {
            *count = raised;
        } else {
            *beyond = beyond.saturating_add(1);
        }
        allowed
    }

    /// A message was nothing that could be taken.
    pub fn junk(&mut self, from: &GatewayId) {
        if let Some(said) = self.of(from) {
            said.junk = said.junk.saturating_add(1);
        }
    }

    /// A minute is over: what it brought, and all shares anew.
    pub fn turn(&mut self) -> Minute {
        let mut minute = Minute::default();
        for (gateway, said) in std::mem::take(&mut self.gateways) {
            let [uses, entries, hellos, exchanges] = said.beyond;
            if said.beyond != [0; 4] {
                minute.lines.push(format!(
                    "gateway {gateway} of this site has said more in a minute than any gateway has to say; not \
                     taken, beyond its budget: {uses} uses, {entries} entries, {hellos} calls, {exchanges} questions and answers. Look at that box"
                ));
            }
            if said.junk > 0 {
                minute.lines.push(format!(
                    "gateway {gateway} of this site has said {} things in a minute that are too large, or neither \
                     a use nor a signed entry: look at that box",
                    said.junk
                ));
            }
            minute.uses_missed |= uses > 0;
            minute.hello_owed |= hellos > 0;
        }
        if std::mem::take(&mut self.strangers) > 0 {
            minute.lines.push(format!(
                "more than {GATEWAYS} gateways of this site speak to this one; the others are not listened to"
            ));
            minute.uses_missed = true;
        }
        minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(n: usize) -> GatewayId {
        GatewayId::new(format!("gw-{n}")).unwrap()
    }

    #[test]
    fn one_gateway_uses_up_its_own_share_and_that_of_nobody_else() {
        let mut budget = Budget::default();
        let taken = (0..USES + 5).filter(|_| budget.allows(&gateway(1), PeerMessageKind::Use)).count();
        assert_eq!(taken, USES as usize);
        assert!(budget.allows(&gateway(1), PeerMessageKind::Entry), "another kind of word");
        assert!(budget.allows(&gateway(2), PeerMessageKind::Use), "another gateway");
        let minute = budget.turn();
        assert_eq!(minute.lines.len(), 1);
        assert!(minute.lines[0].contains("5 uses") && minute.uses_missed && !minute.hello_owed);
        assert!(budget.allows(&gateway(1), PeerMessageKind::Use), "another minute");
        assert_eq!(budget.turn(), Minute::default());
    }

    #[test]
    fn pages_of_a_peer_count_as_its_own_uses() {
        let mut budget = Budget::default();
        let pages =
            (0..EXCHANGES).filter(|_| budget.allows_many(&gateway(1), PeerMessageKind::Use, 50)).count();
        assert_eq!(pages, USES as usize / 50);
        assert!(
            budget.allows(&gateway(1), PeerMessageKind::Exchange)
                && budget.allows_many(&gateway(1), PeerMessageKind::Use, 0)
        );
        assert!(budget.allows_many(&gateway(2), PeerMessageKind::Use, 50), "another gateway");
        budget.turn();
        assert!(budget.allows_many(&gateway(1), PeerMessageKind::Use, 50), "another minute");
        assert!(!budget.allows_many(&gateway(1), PeerMessageKind::Use, usize::MAX));
    }

    #[test]
    fn junk_is_one_line_a_minute_however_much_of_it_comes() {
        let mut budget = Budget::default();
        (0..100_000).for_each(|_| budget.junk(&gateway(1)));
        let lines = budget.turn().lines;
        assert!(lines.len() == 1 && lines[0].contains("100000"), "{lines:?}");
    }

    #[test]
    fn names_that_nobody_has_make_no_memory_grow() {
        let mut budget = Budget::default();
        let heard = (0..10 * GATEWAYS).filter(|n| budget.allows(&gateway(*n), PeerMessageKind::Use)).count();
        assert_eq!((heard, budget.gateways.len()), (GATEWAYS, GATEWAYS));
        assert_eq!(budget.turn().lines.len(), 1);
    }
}
