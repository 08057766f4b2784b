//! How far each stream is: the one place that the engine, delivery, metrics and the status page read.

use crate::event::Class;

/// How far one stream is. All four are numbers of events in the stream, counted from 1; 0 is none yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// The last event that is durable.
    pub stored: u64,
    /// The last event that was handed to a connection.
    pub sent: u64,
    /// Everything up to here was acknowledged by the broker, by this run or by one before.
    pub acknowledged: u64,
    /// Everything up to here is durable at the central side.
    pub receipted: u64,
}

impl Position {
    /// Events that the broker has not acknowledged.
    pub fn unpublished(&self) -> u64 {
        self.stored.saturating_sub(self.acknowledged)
    }

    /// Events that the central side has not receipted.
    pub fn unreceipted(&self) -> u64 {
        self.stored.saturating_sub(self.receipted)
    }
}

/// How far all streams are. Each number only grows, but for [`Positions::go_back`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Positions([Position; 4]);

impl Positions {
    /// As somebody has it of each stream.
    pub fn read<E>(mut read: impl FnMut(Class) -> Result<Position, E>) -> Result<Self, E> {
        let mut all = [Position::default(); 4];
        for class in Class::ALL {
            all[usize::from(class.number())] = read(class)?;
        }
        Ok(Self(all))
    }

    /// Takes up what a journal says, where it says more.
    pub fn take_up(&mut self, journal: &Self) {
        for (stream, told) in self.0.iter_mut().zip(journal.0) {
            stream.stored = stream.stored.max(told.stored);
            stream.sent = stream.sent.max(told.sent);
            stream.acknowledged = stream.acknowledged.max(told.acknowledged);
            stream.receipted = stream.receipted.max(told.receipted);
        }
    }

    /// How far a stream is.
    pub fn stream(&self, class: Class) -> Position {
        self.0[usize::from(class.number())]
    }

    /// The last durable event of each stream.
    pub fn stored(&self) -> [u64; 4] {
        self.0.map(|stream| stream.stored)
    }

    /// Up to where each stream is acknowledged.
    pub fn acknowledged(&self) -> [u64; 4] {
        self.0.map(|stream| stream.acknowledged)
    }

    /// Up to where each stream is receipted.
    pub fn receipted(&self) -> [u64; 4] {
        self.0.map(|stream| stream.receipted)
    }

    /// Takes over what delivery says: everything but what is stored.
    pub fn deliver(&mut self, told: &Self) {
        for (stream, told) in self.0.iter_mut().zip(told.0) {
            *stream = Position { stored: stream.stored, ..told };
        }
    }

    /// Events are durable up to here.
    pub fn store(&mut self, heads: [u64; 4]) {
        for (stream, head) in self.0.iter_mut().zip(heads) {
            stream.stored = stream.stored.max(head);
        }
    }

    /// An event was handed to a connection.
    pub fn send(&mut self, class: Class, last: u64) {
        let stream = self.stream_mut(class);
        stream.sent = stream.sent.max(last);
    }

    /// The broker has acknowledged everything up to here; says whether that is news.
    pub fn acknowledge(&mut self, class: Class, through: u64) -> bool {
        let stream = self.stream_mut(class);
        let news = through > stream.acknowledged;
        stream.acknowledged = stream.acknowledged.max(through);
        stream.sent = stream.sent.max(through);
        news
    }

    /// The central side has everything up to here; says whether that is news. It may be before the broker has
    /// acknowledged as much.
    pub fn receipt(&mut self, class: Class, through: u64) -> bool {
        let stream = self.stream_mut(class);
        let news = through > stream.receipted;
        stream.receipted = stream.receipted.max(through);
        news
    }

    /// The central side has a stream up to here alone: what follows is to be sent and receipted once more.
    pub fn go_back(&mut self, class: Class, through: u64) {
        let stream = self.stream_mut(class);
        for place in [&mut stream.sent, &mut stream.acknowledged, &mut stream.receipted] {
            *place = (*place).min(through);
        }
    }

    fn stream_mut(&mut self, class: Class) -> &mut Position {
        &mut self.0[usize::from(class.number())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_goes_on_and_back_alone_and_the_others_stay_where_they_are() {
        let mut positions = Positions::default();
        positions.store([10, 5, 0, 0]);
        positions.send(Class::Verdict, 8);
        assert!(positions.acknowledge(Class::Verdict, 6) && !positions.acknowledge(Class::Verdict, 6));
        assert!(positions.receipt(Class::Verdict, 4) && !positions.receipt(Class::Verdict, 3));
        let verdict = positions.stream(Class::Verdict);
        assert_eq!(verdict, Position { stored: 10, sent: 8, acknowledged: 6, receipted: 4 });
        assert_eq!((verdict.unpublished(), verdict.unreceipted()), (4, 6));
        positions.go_back(Class::Verdict, 2);
        let verdict = positions.stream(Class::Verdict);
        assert_eq!(verdict, Position { stored: 10, sent: 2, acknowledged: 2, receipted: 2 });
        assert_eq!(positions.stream(Class::Scan), Position { stored: 5, ..Position::default() });
    }

    #[test]
    fn what_a_journal_says_counts_where_it_says_more() {
        let told = Position { stored: 3, sent: 2, acknowledged: 2, receipted: 1 };
        let journal = Positions::read(|_| Ok::<_, ()>(told)).unwrap();
        let mut positions = Positions::default();
        positions.store([5, 0, 0, 0]);
        assert!(positions.receipt(Class::Verdict, 2));
        positions.take_up(&journal);
        assert_eq!(positions.stream(Class::Verdict), Position { stored: 5, receipted: 2, ..told });
        assert_eq!((positions.stored(), positions.acknowledged()), ([5, 3, 3, 3], [2; 4]));
        assert_eq!(positions.receipted(), [2, 1, 1, 1]);
        positions.deliver(&Positions::default());
        assert_eq!((positions.stored(), positions.receipted()), ([5, 3, 3, 3], [0; 4]));
    }
}
