//! Delivery of the product over the simulated link.

use super::broker::{Broker, Heard, Later, Net};
use super::central::Central;
use kakou_core::delivery::{Delivery, Input, LinkError, Moment, Output, Positions, Receipt, Settings};
use kakou_gateway::engine::Job;
use kakou_gateway::store::journal;
use kakou_gateway::store::outbox::Reader;
use std::path::Path;
use std::time::Duration;

/// Events in one message at most, and messages under way.
const BATCH: usize = 20;
const WINDOW: u16 = 20;

/// What follows from something.
#[derive(Default)]
pub struct Follows {
    /// What the engine is told.
    pub jobs: Vec<Job>,
    /// What comes later.
    pub later: Later,
}

/// The link upstream: delivery while the box is on, and the broker.
pub struct Uplink {
    delivery: Option<Delivery<Reader>>,
    epoch: u64,
    /// Planted: an acknowledgement of the broker counts as a receipt.
    pub takes_acks: bool,
    /// The broker.
    pub broker: Broker,
}

impl Uplink {
    /// No delivery yet.
    pub fn new(seed: u64) -> Self {
        Self { delivery: None, epoch: 0, takes_acks: false, broker: Broker::new(seed) }
    }

    /// The box is on.
    pub fn begin(&mut self, data: &Path, epoch: u64, positions: Positions, seed: u64) -> Result<(), String> {
        let settings = Settings {
            batch: BATCH,
            inflight: WINDOW,
            receipts: true,
            backlog_per_s: 200,
            epoch,
            discovery: false,
        };
        let reader = Reader(journal::reader(data).map_err(|e| e.to_string())?);
        self.epoch = epoch;
        self.delivery = Some(Delivery::new(settings, positions, reader, seed));
        Ok(())
    }

    /// The box is off.
    pub fn dies(&mut self) {
        self.delivery = None;
        self.broker.drop_link();
    }

    /// When it must be woken, on its own clock.
    pub fn deadline(&self) -> Option<Duration> {
        self.delivery.as_ref().and_then(Delivery::deadline)
    }

    /// Up to where each stream is receipted, as delivery knows it.
    pub fn receipted(&self) -> Option<[u64; 4]> {
        self.delivery.as_ref().map(|delivery| delivery.positions().receipted())
    }

    /// Something comes over the link.
    pub fn comes(
        &mut self,
        at: u64,
        now: Moment,
        net: Net,
        central: &mut Central,
    ) -> Result<Follows, String> {
        let (heard, later) = self.broker.comes(at, net, central)?;
        let mut follows = Follows { jobs: Vec::new(), later };
        for heard in heard {
            let input = match heard {
                Heard::Connected => Input::Connected { max_packet: None, receive_max: WINDOW, retains: true },
                Heard::Lost(why) => Input::Lost(LinkError::Client(why.to_owned())),
                Heard::Subscribed => Input::Subscribed(Ok(())),
                Heard::Departed(packet) => Input::Departed(packet),
                Heard::Acknowledged(packet) => Input::Acknowledged(packet, Ok(())),
                Heard::Receipt(receipt) => Input::Receipt(Receipt {
                    class: receipt.stream,
                    epoch: receipt.epoch,
                    through: receipt.through_seq,
                    all: receipt.all,
                }),
            };
            self.tell(now, input, &mut follows);
        }
        Ok(follows)
    }

    /// The journal has this.
    pub fn stored(&mut self, now: Moment, streams: [u64; 4]) -> Follows {
        let mut follows = Follows::default();
        self.tell(now, Input::Stored(streams), &mut follows);
        follows
    }

    /// Its time has come.
    pub fn wake(&mut self, now: Moment) -> Follows {
        let mut follows = Follows::default();
        self.tell(now, Input::Tick, &mut follows);
        follows
    }

    fn tell(&mut self, now: Moment, input: Input, follows: &mut Follows) {
        let Some(delivery) = &mut self.delivery else { return };
        let mut out = Vec::new();
        delivery.handle(now, input, &mut out);
        let epoch = self.epoch;
        for output in out {
            match output {
                Output::Open { .. } => follows.later.extend(self.broker.open()),
                Output::Drop => self.broker.drop_link(),
                Output::Subscribe => follows.later.extend(self.broker.subscribe()),
                Output::Birth { .. } | Output::Discovery => follows.later.extend(self.broker.send(None)),
                Output::Event(batch) => {
                    follows.later.extend(self.broker.send(Some((batch.body, batch.late))));
                }
                Output::Acknowledged(class, through) => {
                    follows.jobs.push(Job::Acked(class, through));
                    if self.takes_acks {
                        follows.jobs.push(Job::Receipted(class, epoch, through));
                    }
                }
                Output::Receipted(class, through) => {
                    follows.jobs.push(Job::Receipted(class, epoch, through));
                }
                Output::WentBack(class, through) => follows.jobs.push(Job::WentBack(class, epoch, through)),
                // Nothing of the journal hangs on these.
                Output::Farewell
                | Output::Health(_)
                | Output::Busy(_)
                | Output::Up
                | Output::Lost(_)
                | Output::Status
                | Output::Count(_)
                | Output::Say(..) => {}
            }
        }
    }
}
