//! A store in memory and a sink: what is complete is counted here, the sink makes it durable.
//!
//! For a file, the demo and tests. A fleet uses [`super::postgres`].

use super::{About, Complete, From, Ingested, ReceivedEvent, StateMessage, Store};
use kakou_core::event::Class;
use kakou_core::ids::{GatewayId, SiteId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// Numbers of events end before this one, as they do in a database.
const MOST: u64 = i64::MAX.cast_unsigned();

/// Where events go.
pub trait Sink: Send + 'static {
    /// Makes new events durable.
    fn store(&mut self, events: &[ReceivedEvent]) -> io::Result<()>;
    /// Makes events durable that are quarantined.
    fn quarantine(&mut self, events: &[ReceivedEvent]) -> io::Result<()>;
    /// Makes durable that events were gone from their gateway before they came.
    fn gone(&mut self, gone: &Gone) -> io::Result<()>;
}

/// Events that were gone from their gateway before they came here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The site.
    pub site: SiteId,
    /// The gateway.
    pub gateway: GatewayId,
    /// Its epoch.
    pub epoch: u64,
    /// The stream.
    pub stream: Class,
    /// The first one.
    pub from_seq: u64,
    /// The last one.
    pub to_seq: u64,
}

impl Gone {
    /// For the log.
    pub fn tell(&self) {
        let Self { site, gateway, stream, from_seq, to_seq, .. } = self;
        log::error!("{site}/{gateway}: events {from_seq} to {to_seq} of {} are lost", stream.as_str());
    }
}

/// Writes events to a stream, one JSON a line.
pub struct Lines<W: Write>(pub W);

impl<W: Write + Send + 'static> Sink for Lines<W> {
    fn store(&mut self, events: &[ReceivedEvent]) -> io::Result<()> {
        for event in events {
            self.0.write_all(event.json.as_bytes())?;
            self.0.write_all(b"\n")?;
        }
        self.0.flush()
    }
    fn quarantine(&mut self, events: &[ReceivedEvent]) -> io::Result<()> {
        self.store(events)
    }
    fn gone(&mut self, _: &Gone) -> io::Result<()> {
        Ok(())
    }
}

/// How far a stream is complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Progress {
    through: u64,
    beyond: BTreeSet<u64>,
}

impl Progress {
    fn knows(&self, seq: u64) -> bool {
        seq <= self.through || self.beyond.contains(&seq)
    }
    fn take(&mut self, seq: u64) {
        if seq > self.through {
            self.beyond.insert(seq);
        }
        self.advance();
    }
    /// Nothing up to here will come any more.
    fn begin(&mut self, through: u64) {
        self.through = self.through.max(through);
        self.beyond = self.beyond.split_off(&self.through.saturating_add(1));
        self.advance();
    }
    /// What has not come, up to here.
    fn missing(&self, last: u64) -> Vec<(u64, u64)> {
        let (mut missing, mut next) = (Vec::new(), self.through + 1);
        let held = self.beyond.range(next..=last.max(next)).copied().filter(|seq| *seq <= last);
        for seq in held.chain([last.saturating_add(1)]) {
            if seq > next {
                missing.push((next, seq - 1));
            }
            next = seq.saturating_add(1);
        }
        missing
    }
    fn advance(&mut self) {
        while self.beyond.remove(&self.through.saturating_add(1)) {
            self.through += 1;
        }
    }
}

/// The state of the streams, and where their events go.
pub struct Ledger<S> {
    streams: BTreeMap<(From, u64, Class), Progress>,
    /// Where events go.
    pub sink: S,
    /// Events that were gone from their gateway before they came here.
    pub lost: u64,
}

impl<S: Sink> Ledger<S> {
    /// Empty.
    pub fn new(sink: S) -> Self {
        Self { streams: BTreeMap::new(), sink, lost: 0 }
    }

    /// Counts events that are durable already, from an earlier run.
    pub fn known(&mut self, events: &[ReceivedEvent]) {
        for e in events {
            self.streams.entry((e.from.clone(), e.epoch, e.stream)).or_default().take(e.stream_seq);
        }
    }

    /// Takes for lost what an earlier run has on record as lost.
    pub fn known_gone(&mut self, gone: &[Gone]) {
        for Gone { site, gateway, epoch, stream, to_seq, .. } in gone {
            let from = From { site: site.clone(), gateway: gateway.clone() };
            self.streams.entry((from, *epoch, *stream)).or_default().begin(*to_seq);
        }
    }

    /// Takes events; nothing is counted that the sink did not take.
    pub fn keep(&mut self, events: Vec<ReceivedEvent>) -> io::Result<Ingested> {
        let before = events.len() as u64;
        let mut touched = BTreeSet::new();
        let mut coming = BTreeSet::new();
        let (mut fresh, mut aside) = (Vec::new(), Vec::new());
        for event in events {
            let key = (event.from.clone(), event.epoch, event.stream);
            let known = self.streams.get(&key).is_some_and(|p| p.knows(event.stream_seq));
            touched.insert(key.clone());
            if !known && coming.insert((key, event.stream_seq)) {
                if event.refused.is_some() { aside.push(event) } else { fresh.push(event) }
            }
        }
        if !fresh.is_empty() {
            self.sink.store(&fresh)?;
        }
        self.known(&fresh);
        if !aside.is_empty() {
            self.sink.quarantine(&aside)?;
        }
        self.known(&aside);
        let new = fresh.len() as u64;
        Ok(Ingested {
            new,
            duplicates: before - new - aside.len() as u64,
            refused: aside.iter().filter_map(ReceivedEvent::refusal).collect(),
            behind: self.behind(&touched),
            complete: self.complete(touched),
            gaps: self.gaps(),
            ..Ingested::default()
        })
    }

    fn behind(&self, touched: &BTreeSet<(From, u64, Class)>) -> Vec<Complete> {
        let waits = touched.iter().filter_map(|key| Some((key, self.streams.get(key)?)));
        let waits = waits.filter(|(_, p)| !p.beyond.is_empty()).map(|(key, p)| (key.clone(), p.through));
        waits.map(|((from, epoch, stream), through)| Complete { from, epoch, stream, through }).collect()
    }

    fn complete(&self, touched: BTreeSet<(From, u64, Class)>) -> Vec<Complete> {
        let through = |key: &(From, u64, Class)| self.streams.get(key).map_or(0, |p| p.through);
        let all = touched.into_iter().map(|key| (through(&key), key)).filter(|(through, _)| *through > 0);
        all.map(|(through, (from, epoch, stream))| Complete { from, epoch, stream, through }).collect()
    }

    fn gaps(&self) -> u64 {
        self.streams.values().map(|p| p.beyond.len() as u64).sum()
    }
}

impl<S: Sink> Store for Ledger<S> {
    async fn take(&mut self, events: Vec<ReceivedEvent>) -> io::Result<Ingested> {
        self.keep(events)
    }
    async fn keep_state(&mut self, from: &From, message: &StateMessage) -> io::Result<Ingested> {
        let mut touched = BTreeSet::new();
        for (stream, floor) in &message.floor {
            // No gateway counts so far, and a receipt for it would be one for everything.
            if *floor >= MOST {
                continue;
            }
            let key = (from.clone(), message.epoch, *stream);
            let progress = self.streams.entry(key.clone()).or_default();
            if *floor > progress.through {
                for (from_seq, to_seq) in progress.missing(*floor) {
                    let (site, gateway) = (from.site.clone(), from.gateway.clone());
                    let gone =
                        Gone { site, gateway, epoch: message.epoch, stream: *stream, from_seq, to_seq };
                    self.sink.gone(&gone)?;
                    gone.tell();
                    self.lost = self.lost.saturating_add(to_seq - from_seq + 1);
                }
                progress.begin(*floor);
                touched.insert(key);
            }
        }
        Ok(Ingested { complete: self.complete(touched), gaps: self.gaps(), ..Ingested::default() })
    }
    async fn through(&mut self, streams: &[(From, u64, Class)]) -> io::Result<Vec<u64>> {
        Ok(streams.iter().map(|key| self.streams.get(key).map_or(0, |p| p.through)).collect())
    }
    async fn about(&mut self, _: &From, _: About) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    struct Memory(Vec<ReceivedEvent>, Vec<ReceivedEvent>, Vec<(u64, u64)>);
    impl Sink for Memory {
        fn store(&mut self, events: &[ReceivedEvent]) -> io::Result<()> {
            self.0.extend_from_slice(events);
            Ok(())
        }
        fn quarantine(&mut self, events: &[ReceivedEvent]) -> io::Result<()> {
            self.1.extend_from_slice(events);
            Ok(())
        }
        fn gone(&mut self, gone: &Gone) -> io::Result<()> {
            self.2.push((gone.from_seq, gone.to_seq));
            Ok(())
        }
    }

    fn from() -> From {
        From { site: SiteId::new("s").unwrap(), gateway: GatewayId::new("gw-1").unwrap() }
    }

    fn events(seqs: &[(u64, u64)]) -> Vec<ReceivedEvent> {
        let one = |(seq, stream_seq): &(u64, u64)| {
            format!(
                r#"{{"specversion":"1.0","id":"gw-1/1/{seq}","source":"/kakou/s/gw-1","type":"kakou.t.v1","stream":"verdict","streamseq":{stream_seq},"data":{{}}}}"#
            )
        };
        let batch = format!("[{}]", seqs.iter().map(one).collect::<Vec<_>>().join(","));
        read(&from(), false, batch.as_bytes()).unwrap().events
    }

    #[test]
    fn a_stream_with_an_event_that_is_refused_goes_on_behind_it_and_the_event_is_kept_aside_once() {
        let mut ledger = Ledger::new(Memory(Vec::new(), Vec::new(), Vec::new()));
        let mut all = events(&[(1, 1), (2, 2), (3, 3)]);
        all[1].refused = Some("a name".into());
        let taken = ledger.keep(all.clone()).unwrap();
        assert_eq!((taken.new, taken.duplicates, taken.complete[0].through), (2, 0, 3));
        assert_eq!((taken.refused.len(), taken.refused[0].1.stream_seq), (1, 2));
        let taken = ledger.keep(all).unwrap();
        assert_eq!((taken.new, taken.duplicates, taken.refused.len()), (0, 3, 0), "told once");
        assert_eq!((ledger.sink.0.len(), ledger.sink.1.len()), (2, 1));
    }

    #[test]
    fn duplicates_are_removed_and_receipts_stop_at_a_gap() {
        let mut ledger = Ledger::new(Memory(Vec::new(), Vec::new(), Vec::new()));
        let taken = ledger.keep(events(&[(5, 1), (9, 3), (5, 1)])).unwrap();
        assert_eq!((taken.new, taken.duplicates, taken.gaps), (2, 1, 1));
        assert_eq!(taken.complete[0].through, 1);
        let taken = ledger.keep(events(&[(7, 2)])).unwrap();
        assert_eq!((taken.complete[0].through, taken.gaps), (3, 0));
        assert_eq!(ledger.sink.0.len(), 3);
    }

    #[tokio::test]
    async fn no_number_that_a_gateway_says_ends_the_count_of_its_stream() {
        let mut ledger = Ledger::new(Memory(Vec::new(), Vec::new(), Vec::new()));
        ledger.keep(events(&[(1, 1), (2, MOST)])).unwrap();
        for floor in [u64::MAX, u64::MAX - 1, MOST] {
            let message = StateMessage { online: true, epoch: 1, floor: [(Class::Verdict, floor)].into() };
            assert!(ledger.keep_state(&from(), &message).await.unwrap().complete.is_empty(), "{floor}");
        }
        for epoch in 1..4 {
            let message = StateMessage { online: true, epoch, floor: [(Class::Verdict, MOST - 1)].into() };
            ledger.keep_state(&from(), &message).await.unwrap();
        }
        assert_eq!(ledger.lost, u64::MAX, "more than can be counted");
        assert_eq!(ledger.keep(events(&[(2, MOST), (3, 3)])).unwrap().new, 0);
    }

    #[tokio::test]
    async fn what_is_gone_from_the_gateway_is_counted_as_lost_and_holds_up_nothing() {
        let mut ledger = Ledger::new(Memory(Vec::new(), Vec::new(), Vec::new()));
        ledger.keep(events(&[(1, 1), (5, 5), (9, 9)])).unwrap();
        let message = StateMessage { online: true, epoch: 1, floor: [(Class::Verdict, 6)].into() };
        let taken = ledger.keep_state(&from(), &message).await.unwrap();
        assert_eq!((taken.complete[0].through, ledger.lost), (6, 4), "2, 3, 4 and 6");
        assert_eq!(ledger.sink.2, [(2, 4), (6, 6)], "on record");
        assert_eq!(ledger.keep(events(&[(7, 7), (8, 8)])).unwrap().complete[0].through, 9);
    }
}
