//! What a gateway that is new at its site asks the others, and what it answers when one of them asks. The central side
//! asks and is asked in the same words, on topics that nobody else may write to (`ask` and `tell` of the gateway, `asked`
//! and `told` for it): it knows what a box has told that is gone.
//!
//! Each page is asked for: whoever asks takes one, makes it durable and asks for the next, so that no answer is ever
//! larger than a page in anybody's memory. Whoever has not answered is asked again, over restarts too.

use super::asking::{Asking, To};
use super::budget::{self, Budget, PeerMessageKind};
use super::down::{Down, DownlinkError, PORTION, PeerOutbox, PeerPublish};
use super::peers;
use crate::engine::{Onward, Work};
use crate::feeds::{ActiveEntries, FeedInput, is_signed, keep_heard};
use crate::store::catch_up::{self, Respondent};
use kakou_core::ids::GatewayId;
use kakou_link::mqtt::{Client, Mark, Message};
use kakou_wire::peers::{Ask, ENTRIES, Page, WAITS};
use kakou_wire::topic::topic;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Questions and answers are worth nothing after this: the broker keeps no more of them for a gateway that is away
/// for long, where they would take the room of what others tell it.
const KEEP_S: u32 = 30;
/// Pages that are being stored at once; what is beyond it is asked for again.
const PAGES: usize = 8;

/// What is under way.
#[derive(Default)]
pub(super) struct Exchange {
    /// Who asks what.
    pub asking: Asking,
    /// Pages that are being stored; then what is asked next.
    pub storing: JoinSet<Option<(To, String)>>,
}

impl Down {
    /// Asks whoever has not told everything yet, from where it is.
    pub(super) async fn ask_unanswered(&self, exchange: &mut Exchange) {
        let unanswered = self.reader.look(catch_up::unanswered).await;
        exchange.asking.unanswered(self.begun.elapsed(), unanswered);
    }

    /// Says what waits to be said: questions, and a page for each question of another gateway.
    pub(super) async fn speak(
        &self,
        client: &Client,
        told: &mut PeerOutbox,
        exchange: &mut Exchange,
    ) -> Result<(), DownlinkError> {
        let topic = |to_central, kind| {
            if to_central {
                topic(&self.site, &self.gateway, kind)
            } else {
                kakou_wire::peers::topic(&self.site, self.gateway.as_str(), kind)
            }
        };
        let said = |to_central| if to_central { PeerPublish::ToCentral } else { PeerPublish::Other };
        let soon = Mark { keep_s: Some(KEEP_S), ..Mark::default() };
        while told.queue.len() < PORTION
            && let Some((to, after)) = exchange.asking.next_ask()
        {
            let (to, central) = match to {
                To::All | To::One(Respondent::Central) => (None, matches!(to, To::One(_))),
                To::One(Respondent::Gateway(gateway)) => (Some(gateway), false),
            };
            let body = serde_json::to_vec(&Ask { to, after }).expect("a question is strings");
            client.publish(&topic(central, "ask"), body, soon)?;
            told.queue.push_back(said(central));
        }
        // One page, then whatever has come is looked at: an order waits for no more than that.
        if told.queue.len() < PORTION
            && let Some((who, after)) = exchange.asking.next_asked()
        {
            let (data, own) = (self.data.clone(), self.gateway.clone());
            let (question, central) = ((who.name(), after), who == Respondent::Central);
            let look = move |journal: &rusqlite::Connection| {
                let known = ActiveEntries::of(data);
                peers::page(journal, &own, question, |behind| known.next(behind))
            };
            // Who hears nothing asks again.
            let Some(page) = self.reader.look(look).await else { return Ok(()) };
            let body = serde_json::to_vec(&page).expect("a page is strings and numbers");
            client.publish(&topic(central, "tell"), body, soon)?;
            told.queue.push_back(said(central));
        }
        Ok(())
    }

    /// What another gateway asks, or answers. It needs no acknowledgement: it is asked again.
    pub(super) fn exchange(&self, message: &Message, budget: &mut Budget, exchange: &mut Exchange) {
        let rest = message.topic.strip_prefix("kakou/v1/").unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').collect();
        let (who, is_ask) = match parts.as_slice() {
            [_, "peer", from, kind @ ("ask" | "tell")] => {
                let Ok(from) = GatewayId::new(*from) else {
                    return self.metrics.count("peer_unreadable_total");
                };
                if from == self.gateway {
                    return;
                }
                (Respondent::Gateway(from), *kind == "ask")
            }
            [_, _, kind @ ("asked" | "told")] => (Respondent::Central, *kind == "asked"),
            _ => return,
        };
        let from = who.name();
        if message.payload.len() > budget::LARGEST {
            budget.junk(&from);
            return self.metrics.count("peer_large_total");
        }
        if !budget.allows(&from, PeerMessageKind::Exchange) {
            return self.metrics.count("peer_over_budget_total");
        }
        let unreadable = if is_ask {
            match serde_json::from_slice::<Ask>(&message.payload) {
                Ok(ask) if ask.to.as_ref().is_some_and(|to| *to != self.gateway) => false,
                Ok(ask) if !ask.is_good() => true,
                Ok(ask) if !exchange.asking.is_asked_by(who.clone(), ask.after.clone()) => {
                    return self.metrics.count("peer_ask_dropped_total");
                }
                Ok(_) => false,
                Err(_) => true,
            }
        } else {
            match serde_json::from_slice::<Page>(&message.payload) {
                Ok(page) if page.asker != self.gateway || exchange.storing.len() >= PAGES => false,
                // What it tells of others is its word as well. This page is asked for again.
                Ok(page)
                    if !budget.allows_many(
                        &from,
                        PeerMessageKind::Use,
                        page.uses.len() + page.slots.len(),
                    ) =>
                {
                    return self.metrics.count("peer_over_budget_total");
                }
                Ok(page) => match self.good(&who, page) {
                    Some(page) => {
                        self.take(who, page, exchange);
                        false
                    }
                    None => true,
                },
                Err(_) => true,
            }
        };
        if unreadable {
            budget.junk(&from);
            self.metrics.count("peer_unreadable_total");
        }
    }

    /// Nothing else is worth a place in the store. The central side has no keys of the fleet: what one gateway has told it
    /// that nobody has signed is left out, and keeps the rest from nobody.
    fn good(&self, who: &Respondent, mut page: Page) -> Option<Page> {
        let now = self.clock.now();
        let now_s = now.wall_s().filter(|_| now.synced());
        let before = page.entries.len();
        page.entries.retain(|entry| is_signed(entry.as_bytes(), &self.keys, now_s));
        let junk = before - page.entries.len();
        if junk > 0 && *who == Respondent::Central {
            self.metrics.add("peer_unreadable_total", junk as u64);
        }
        (page.is_good() && (junk == 0 || *who == Respondent::Central)).then_some(page)
    }

    /// Stores a page; then the next one is asked for. What entries say counts before the page does: a gateway that
    /// knows everything must not let somebody in whom the last page holds.
    fn take(&self, from: Respondent, page: Page, exchange: &mut Exchange) {
        let (data, news, engine) = (self.data.clone(), self.news.clone(), self.engine.clone());
        exchange.storing.spawn(async move {
            let entries = page.entries.clone();
            let (tx, in_use) = oneshot::channel();
            let kept = tokio::task::spawn_blocking(move || {
                let kept = entries.iter().all(|entry| keep_heard(&data, entry.as_bytes()));
                // Where the feeds have much to do, the sender goes with the word: this page is asked for again.
                kept && (entries.is_empty() || news.try_send(FeedInput::Heard(Some(tx))).is_ok())
            });
            let kept = kept.await.unwrap_or(false);
            // The feeds have much to do, or the disk is full: this page is asked for again.
            if !kept || !page.entries.is_empty() && !in_use.await.unwrap_or(false) {
                return None;
            }
            let entries_alone = page.after.starts_with(ENTRIES) && page.after != WAITS;
            let alone = page.next.clone().filter(|_| entries_alone);
            let (tx, stored) = oneshot::channel();
            engine.send(Work::PeerPage(from.clone(), page, tx)).await.ok()?;
            let next = match stored.await.ok()? {
                Some(Onward(next)) => next.filter(|place| place != WAITS),
                None => alone,
            };
            next.map(|after| (To::One(from), after))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::{Connection, params};

    fn journal() -> Connection {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(
            "CREATE TABLE redemption (pass_id TEXT PRIMARY KEY, lane TEXT, visit INTEGER, at_ms INTEGER, gateway TEXT,
               told INTEGER NOT NULL DEFAULT 0, until_ms INTEGER, teller TEXT);
             CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER);",
        )
        .unwrap();
        catch_up::prepare(&c).unwrap();
        c.execute_batch(crate::store::journal::slots::SCHEMA).unwrap();
        c
    }

    #[test]
    fn two_boxes_that_wait_for_a_third_do_not_tell_each_other_everything_again_and_again() {
        let name = |text: &str| GatewayId::new(text).unwrap();
        let gateway = |text: &str| Respondent::Gateway(name(text));
        let (one, two) = (journal(), journal());
        catch_up::begin(&one, 1, &[gateway("gw-2")], true).unwrap();
        catch_up::begin(&two, 1, &[gateway("gw-1"), gateway("gw-3")], true).unwrap();
        let used = |pass: &str, gateway: Option<&str>| {
            let sql = "INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway) VALUES (?1, 'lane-1', 1, 1, ?2)";
            two.execute(sql, params![pass, gateway]).unwrap();
        };
        (0..300).for_each(|n| used(&format!("kid=:{n:032}"), None));
        // What gw-1 asks, and how many uses it hears; none when it asks no more.
        let ask = || {
            let (_, after) = catch_up::unanswered(&one).unwrap().first()?.clone();
            let page = peers::page(&two, &name("gw-2"), (name("gw-1"), after.clone()), |_| None).unwrap();
            let told = catch_up::PageProgress::of(&page, &name("gw-1"), &gateway("gw-2"), &[name("gw-2")]);
            assert!(catch_up::answered(&one, &gateway("gw-2"), &told).unwrap());
            Some((after, page.uses.len()))
        };
        let first: usize =
            std::iter::from_fn(ask).take_while(|(after, _)| after != WAITS).map(|(_, uses)| uses).sum();
        assert_eq!(first, 300);
        for _ in 0..100 {
            assert_eq!(ask(), Some((WAITS.to_owned(), 0)), "one small question, and no use again");
        }
        // gw-3 answers gw-2 at last. What it has told may stand before every place, so all is asked once more.
        used("kid=:!", Some("gw-3"));
        catch_up::answered(&two, &gateway("gw-3"), &catch_up::PageProgress::default()).unwrap();
        assert_eq!(ask(), Some((WAITS.to_owned(), 0)));
        let again: usize = std::iter::from_fn(ask).map(|(_, uses)| uses).sum();
        assert_eq!(again, 301);
        assert!(catch_up::waits_for(&one).unwrap().is_empty());
    }
}
