//! One connection of the link: events out, receipts in, birth and health beside them.

use super::flight::TooLarge;
use super::link::{Delivery, Input, LinkError, Output, Receipt, Severity};
use super::outbox::Outbox;
use super::{MAX_BODY, Moment, PROGRESS_LIMIT};
use crate::event::Class;
use std::time::Duration;

/// So many acknowledged events are noted at once.
const MARK_EVERY: u64 = 256;
/// Between two looks at what is missing.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at what is gone from the streams.
const FLOOR_EVERY: Duration = Duration::from_secs(10);
/// Of a packet for its topic and properties.
const HEADER: usize = 256;

/// What counts for one connection.
#[derive(Debug)]
pub(super) struct Session {
    /// The largest body that the broker takes.
    max: usize,
    /// When the last message was acknowledged, or the first handed over.
    progress: Duration,
    /// Since when each stream waits for a receipt.
    receipts: [Duration; 4],
    /// The status says that receipts stay away.
    unreceipted: bool,
    /// Whether the broker has taken anything, and what is said of a connection that is good.
    good: bool,
    said: String,
    pub(super) health_due: bool,
    /// Events acknowledged since the last mark.
    unmarked: u64,
    /// What was said of the streams, and when it was looked at last.
    floor: [u64; 4],
    floor_at: Duration,
    /// The central side lacks what it had before: it must hear at once what is gone from here.
    say_floor: bool,
    looked: Duration,
}

impl Session {
    pub(super) fn begin(max_packet: Option<u32>, floor: [u64; 4], now: Duration) -> Self {
        let max = max_packet.and_then(|max| usize::try_from(max).ok());
        Self {
            max: max.map_or(MAX_BODY, |max| max.saturating_sub(HEADER).min(MAX_BODY)),
            progress: now,
            receipts: [now; 4],
            unreceipted: false,
            good: false,
            said: String::new(),
            health_due: true,
            unmarked: 0,
            floor,
            floor_at: now,
            say_floor: false,
            looked: now,
        }
    }

    /// This stands in the status while all is well.
    pub(super) fn said(&mut self, what: String) {
        self.said = what;
    }

    /// Events acknowledged since this was asked last.
    pub(super) fn unmarked(&mut self) -> u64 {
        std::mem::take(&mut self.unmarked)
    }

    pub(super) fn next_look(&self) -> Duration {
        self.looked + LOOK_EVERY
    }

    /// Says that the gateway is there, and which events can still come from it.
    pub(super) fn birth<O: Outbox>(&self, link: &mut Delivery<O>, out: &mut Vec<Output>) {
        out.push(Output::Birth { stored: link.positions.stored(), floor: self.floor });
        link.flight.other();
        if link.settings.discovery {
            out.push(Output::Discovery);
            link.flight.other();
        }
    }

    pub(super) fn take<O: Outbox>(
        &mut self,
        link: &mut Delivery<O>,
        now: Moment,
        input: Input,
        out: &mut Vec<Output>,
    ) -> Result<(), LinkError> {
        match input {
            Input::Subscribed(answer) => answer.map_err(|why| LinkError::Refused("the receipts", why))?,
            Input::Departed(pkid) => link.flight.departed(pkid),
            Input::Acknowledged(pkid, answer) => self.acknowledged(link, now, pkid, answer, out)?,
            Input::Receipt(receipt) => self.receipt(link, now, receipt, out),
            Input::Tick
            | Input::Plug(_)
            | Input::Renewed
            | Input::Stored(_)
            | Input::Health(_)
            | Input::Connected { .. }
            | Input::Lost(_)
            | Input::Close => {}
        }
        Ok(())
    }

    fn acknowledged<O: Outbox>(
        &mut self,
        link: &mut Delivery<O>,
        now: Moment,
        pkid: u16,
        answer: Result<(), String>,
        out: &mut Vec<Output>,
    ) -> Result<(), LinkError> {
        self.progress = now.mono;
        if let Err(why) = answer {
            out.push(Output::Count("puback_refused_total"));
            return Err(LinkError::Refused("events", why));
        }
        // The broker takes what comes: whatever was wrong before is over.
        if !std::mem::replace(&mut self.good, true) {
            link.status.detail.clone_from(&self.said);
            out.push(Output::Status);
        }
        if let Some((_, count)) = link.flight.acked(pkid, now.mono) {
            self.unmarked += count;
            if self.unmarked >= MARK_EVERY || link.flight.idle() {
                let published = self.unmarked();
                link.mark(published, out);
            }
        }
        Ok(())
    }

    fn receipt<O: Outbox>(
        &mut self,
        link: &mut Delivery<O>,
        now: Moment,
        receipt: Receipt,
        out: &mut Vec<Output>,
    ) {
        let Receipt { class, epoch, through, all } = receipt;
        if epoch != link.settings.epoch || through > link.positions.stream(class).stored {
            out.push(Output::Count("receipt_refused_total"));
            return;
        }
        let since = &mut self.receipts[usize::from(class.number())];
        if all && let Some(before) = link.flight.went_back(class, through) {
            *since = now.mono;
            self.say_floor = true;
            link.positions.go_back(class, through);
            let why = format!(
                "the central side has {} up to {through} and had it up to {before}: its store is another or an older \
                 one. What is still here is sent again from there on",
                class.as_str()
            );
            out.extend([
                Output::Count("central_went_back_total"),
                Output::Say(Severity::Warn, why),
                Output::WentBack(class, through),
            ]);
            return;
        }
        // One that says the same again is none: what it waits for may be lost.
        if link.flight.receipted(class, through) {
            *since = now.mono;
        }
        if std::mem::take(&mut self.unreceipted) {
            link.status.detail.clear();
        }
        link.positions.receipt(class, through);
        out.push(Output::Receipted(class, through));
    }

    pub(super) fn go_on<O: Outbox>(
        &mut self,
        link: &mut Delivery<O>,
        now: Moment,
        out: &mut Vec<Output>,
    ) -> Result<(), LinkError> {
        if now.mono >= self.next_look() {
            self.look(link, now, out)?;
        }
        self.fill(link, now, out)
    }

    /// Hands events over while the window has room.
    fn fill<O: Outbox>(
        &mut self,
        link: &mut Delivery<O>,
        now: Moment,
        out: &mut Vec<Output>,
    ) -> Result<(), LinkError> {
        let heads = link.positions.stored();
        while let Some(batch) = link.flight.next(&heads, self.max, now)? {
            if batch.body.len() > self.max {
                return Err(LinkError::TooLarge(batch.body.len()));
            }
            if let Some(TooLarge { id, bytes }) = &batch.too_large {
                let why = format!(
                    "event {id} of {bytes} bytes is larger than the broker takes ({}): what went out says so in its \
                     place, and it stays in the journal. Raise max_packet_size of the broker",
                    self.max
                );
                self.said.clone_from(&why);
                link.status.detail.clone_from(&why);
                out.extend([
                    Output::Count("event_too_large_total"),
                    Output::Say(Severity::Error, why),
                    Output::Status,
                ]);
            }
            if link.flight.idle() {
                self.progress = now.mono;
            }
            link.flight.sent(&batch, now.mono);
            link.positions.send(batch.class, batch.last);
            out.push(Output::Event(batch));
        }
        if std::mem::take(&mut self.health_due) && !link.health.is_empty() {
            out.push(Output::Health(link.health.clone()));
        }
        Ok(())
    }

    /// Once a second: is there progress, are receipts missing, was anything shed?
    fn look<O: Outbox>(
        &mut self,
        link: &mut Delivery<O>,
        now: Moment,
        out: &mut Vec<Output>,
    ) -> Result<(), LinkError> {
        self.looked = now.mono;
        if !link.flight.idle() && now.mono.saturating_sub(self.progress) > PROGRESS_LIMIT {
            return Err(LinkError::Stuck);
        }
        for (since, waits) in self.receipts.iter_mut().zip(link.flight.unreceipted()) {
            if !link.settings.receipts || !waits {
                *since = now.mono;
            }
        }
        for class in Class::ALL {
            let (since, patience) =
                (&mut self.receipts[usize::from(class.number())], link.flight.patience(class));
            if now.mono.saturating_sub(*since) <= patience {
                continue;
            }
            *since = now.mono;
            link.flight.probe(class);
            let why = format!(
                "no receipts of {} for {} s: the oldest events are sent again; does the central side run?",
                class.as_str(),
                patience.as_secs()
            );
            link.status.detail.clone_from(&why);
            out.extend([Output::Count("receipt_gap_total"), Output::Say(Severity::Warn, why)]);
            self.unreceipted = true;
        }
        if self.say_floor || now.mono.saturating_sub(self.floor_at) > FLOOR_EVERY {
            let (floor, lost) = link.flight.floors(&link.positions.stored())?;
            let asked = std::mem::take(&mut self.say_floor);
            let news = lost && (asked || floor != self.floor);
            (self.floor, self.floor_at) = (floor, now.mono);
            if news {
                if link.flight.idle() {
                    // The time that its acknowledgement may take begins with it.
                    self.progress = now.mono;
                }
                self.birth(link, out);
            }
        }
        // Whoever watches the status is told at most once a second.
        out.push(Output::Status);
        Ok(())
    }
}
