//! What a gateway that is new at its site asks the others, and what it answers when one of them asks.
//!
//! Each page is asked for: whoever asks takes one, makes it durable and asks for the next, so that no answer is ever
//! larger than a page in anybody's memory. Whoever has not answered is asked again, over restarts too.

use super::budget::{self, Budget, Word};
use super::down::{Down, Lost, PORTION, Said, Told};
use super::peers::{self, Ask, ENTRIES, Page};
use crate::engine::Work;
use crate::feeds::{News, is_signed, keep_heard, next_known};
use crate::mqtt::{Client, Mark, Message};
use crate::store::asked;
use kakou_core::ids::GatewayId;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Whoever has not answered is asked again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// Questions and answers are worth nothing after this: the broker keeps no more of them for a gateway that is away
/// for long, where they would take the room of what others tell it.
const KEEP_S: u32 = 30;
/// Questions that wait, ours and those of others; what finds no room is asked again.
const WAITING: usize = 64;
/// Pages that are being stored at once; what is beyond it is asked for again.
const PAGES: usize = 8;

/// What is under way.
#[derive(Default)]
pub(super) struct Exchange {
    /// What is to be asked.
    asks: VecDeque<Ask>,
    /// What others have asked: who, and behind what.
    asked: VecDeque<(GatewayId, String)>,
    /// Pages that are being stored; then what is asked next.
    pub storing: JoinSet<Option<Ask>>,
    /// When whoever has not answered is asked again.
    pub again: Option<Instant>,
}

impl Exchange {
    /// Asks, where there is room for it.
    pub fn ask(&mut self, ask: Ask) {
        if self.asks.len() < WAITING {
            self.asks.push_back(ask);
        }
    }

    /// The broker knew nothing of this gateway: entries may have been read meanwhile.
    pub fn ask_for_entries(&mut self) {
        self.ask(Ask { to: None, after: ENTRIES.to_owned() });
    }
}

impl Down {
    /// Asks whoever has not told everything yet, from where it is.
    pub(super) async fn ask_unanswered(&self, exchange: &mut Exchange) {
        let unanswered = self.reader.look(asked::unanswered).await;
        // What cannot be read now is looked at again.
        let again = unanswered.as_ref().is_none_or(|all| !all.is_empty());
        exchange.again = again.then(|| Instant::now() + AGAIN);
        for (gateway, after) in unanswered.unwrap_or_default() {
            exchange.ask(Ask { to: Some(gateway), after });
        }
    }

    /// Says what waits to be said: questions, and a page for each question of another gateway.
    pub(super) async fn speak(
        &self,
        client: &Client,
        told: &mut Told,
        exchange: &mut Exchange,
    ) -> Result<(), Lost> {
        let topic = |kind| peers::topic(&self.site, self.gateway.as_str(), kind);
        let soon = Mark { keep_s: Some(KEEP_S), ..Mark::default() };
        while told.queue.len() < PORTION
            && let Some(ask) = exchange.asks.pop_front()
        {
            let body = serde_json::to_vec(&ask).expect("a question is strings");
            client.publish(&topic("ask"), body, soon)?;
            told.queue.push_back(Said::Other);
        }
        while told.queue.len() < PORTION
            && let Some(question) = exchange.asked.pop_front()
        {
            let (data, own) = (self.data.clone(), self.gateway.clone());
            let look = move |journal: &rusqlite::Connection| {
                peers::page(journal, &own, question, |behind| next_known(&data, behind))
            };
            // Who hears nothing asks again.
            let Some(page) = self.reader.look(look).await else { continue };
            let body = serde_json::to_vec(&page).expect("a page is strings and numbers");
            client.publish(&topic("tell"), body, soon)?;
            told.queue.push_back(Said::Other);
        }
        Ok(())
    }

    /// What another gateway asks, or answers. It needs no acknowledgement: it is asked again.
    pub(super) fn exchange(&self, message: &Message, budget: &mut Budget, exchange: &mut Exchange) {
        let rest = message.topic.strip_prefix("kakou/v1/").unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').collect();
        let [_, "peer", from, kind @ ("ask" | "tell")] = parts.as_slice() else { return };
        let Ok(from) = GatewayId::new(*from) else { return self.metrics.count("peer_unreadable_total") };
        if from == self.gateway {
            return;
        }
        if message.payload.len() > budget::LARGEST {
            budget.junk(&from);
            return self.metrics.count("peer_large_total");
        }
        if !budget.allows(&from, Word::Exchange) {
            return self.metrics.count("peer_over_budget_total");
        }
        let unreadable = if *kind == "ask" {
            match serde_json::from_slice::<Ask>(&message.payload) {
                Ok(ask) if ask.to.as_ref().is_some_and(|to| *to != self.gateway) => false,
                Ok(ask) if !ask.is_good() => true,
                Ok(ask) if exchange.asked.len() < WAITING => {
                    exchange.asked.push_back((from.clone(), ask.after));
                    false
                }
                Ok(_) => return self.metrics.count("peer_ask_dropped_total"),
                Err(_) => true,
            }
        } else {
            match serde_json::from_slice::<Page>(&message.payload) {
                Ok(page) if page.asker != self.gateway || exchange.storing.len() >= PAGES => false,
                Ok(page) if self.is_good(&page) => {
                    self.take(from.clone(), page, exchange);
                    false
                }
                Ok(_) | Err(_) => true,
            }
        };
        if unreadable {
            budget.junk(&from);
            self.metrics.count("peer_unreadable_total");
        }
    }

    /// Nothing else is worth a place in the store.
    fn is_good(&self, page: &Page) -> bool {
        let now = self.clock.now();
        let now_s = now.wall_s().filter(|_| now.synced());
        let signed = |entry: &String| is_signed(entry.as_bytes(), &self.keys, now_s);
        page.is_good() && page.entries.iter().all(signed)
    }

    /// Stores a page; then the next one is asked for. What entries say counts before the page does: a gateway that
    /// knows everything must not let somebody in whom the last page holds.
    fn take(&self, from: GatewayId, page: Page, exchange: &mut Exchange) {
        let (data, news, engine) = (self.data.clone(), self.news.clone(), self.engine.clone());
        exchange.storing.spawn(async move {
            let entries = page.entries.clone();
            let (tx, in_use) = oneshot::channel();
            let kept = tokio::task::spawn_blocking(move || {
                let kept = entries.iter().all(|entry| keep_heard(&data, entry.as_bytes()));
                // Where the feeds have much to do, the sender goes with the word: this page is asked for again.
                kept && (entries.is_empty() || news.try_send(News::Heard(Some(tx))).is_ok())
            });
            let kept = kept.await.unwrap_or(false);
            // The feeds have much to do, or the disk is full: this page is asked for again.
            if !kept || !page.entries.is_empty() && !in_use.await.unwrap_or(false) {
                return None;
            }
            let (next, entries_alone) = (page.next.clone(), page.after.starts_with(ENTRIES));
            let (tx, stored) = oneshot::channel();
            let taken = engine.send(Work::PeerPage(from.clone(), page, tx)).await.is_ok()
                && stored.await.unwrap_or(false);
            next.filter(|_| taken || entries_alone).map(|after| Ask { to: Some(from), after })
        });
    }
}
