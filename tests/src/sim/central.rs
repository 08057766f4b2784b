//! The central side: the ledger that the product ships, in memory, and what it has taken.

use kakou_central::ingest::ledger::{Gone, Ledger, Sink};
use kakou_central::ingest::{From, ReceivedEvent, read};
use kakou_core::event::Class;
use kakou_core::evidence::Hash;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_wire::receipt::Receipt;
use std::collections::BTreeMap;
use std::io;

/// What was stored.
#[derive(Default)]
struct Stored {
    events: BTreeMap<(u64, Class, u64), Hash>,
    faults: Vec<String>,
}

impl Sink for Stored {
    fn store(&mut self, events: &[ReceivedEvent]) -> io::Result<()> {
        for event in events {
            let hash = Hash::of(event.json.as_bytes());
            if self.events.insert((event.epoch, event.stream, event.stream_seq), hash).is_some() {
                self.faults.push(format!("{} {} is stored twice", event.stream.as_str(), event.stream_seq));
            }
        }
        Ok(())
    }

    fn quarantine(&mut self, events: &[ReceivedEvent]) -> io::Result<()> {
        let why = |e: &ReceivedEvent| {
            format!("{} is refused: {}", e.kind, e.refused.as_deref().unwrap_or_default())
        };
        self.faults.extend(events.iter().map(why));
        Ok(())
    }

    fn gone(&mut self, gone: &Gone) -> io::Result<()> {
        self.faults.push(format!("lost: {gone:?}"));
        Ok(())
    }
}

/// The central side.
pub struct Central {
    from: From,
    ledger: Ledger<Stored>,
    /// Planted: so many more messages are receipted and not stored.
    loses: Option<u64>,
    /// Every message that came, where somebody looks at them.
    pub messages: Option<Vec<Vec<u8>>>,
    /// Events that came once more.
    pub duplicates: u64,
}

impl Central {
    /// One that has nothing.
    pub fn new(site: SiteId, gateway: GatewayId) -> Self {
        Self {
            from: From { site, gateway },
            ledger: Ledger::new(Stored::default()),
            loses: None,
            messages: None,
            duplicates: 0,
        }
    }

    /// One that receipts a message now and then which it has not stored.
    pub fn loses(&mut self) {
        self.loses = Some(0);
    }

    /// A message comes; what it says of it.
    pub fn take(&mut self, body: &[u8], late: bool) -> Result<Vec<Receipt>, String> {
        self.messages.iter_mut().for_each(|all| all.push(body.to_vec()));
        let found = read(&self.from, late, body).map_err(|e| e.to_string())?;
        if let Some(fault) = found.faults.first() {
            return Err(fault.to_string());
        }
        if let Some(n) = &mut self.loses {
            *n += 1;
            if *n % 20 == 0 {
                let receipt = |e: &ReceivedEvent| Receipt {
                    stream: e.stream,
                    epoch: e.epoch,
                    through_seq: e.stream_seq,
                    refused: Vec::new(),
                    all: false,
                };
                return Ok(found.events.last().map(receipt).into_iter().collect());
            }
        }
        let taken = self.ledger.keep(found.events).map_err(|e| e.to_string())?;
        self.duplicates += taken.duplicates;
        if let Some(fault) = self.ledger.sink.faults.first() {
            return Err(fault.clone());
        }
        let receipt = |c: kakou_central::ingest::Complete| Receipt {
            stream: c.stream,
            epoch: c.epoch,
            through_seq: c.through,
            refused: Vec::new(),
            all: false,
        };
        Ok(taken.complete.into_iter().map(receipt).collect())
    }

    /// Whether it has an event.
    pub fn has(&self, epoch: u64, class: Class, stream_seq: u64) -> bool {
        self.ledger.sink.events.contains_key(&(epoch, class, stream_seq))
    }

    /// Everything that it has, by epoch, stream and number.
    pub fn events(&self) -> impl Iterator<Item = (&(u64, Class, u64), &Hash)> {
        self.ledger.sink.events.iter()
    }
}
