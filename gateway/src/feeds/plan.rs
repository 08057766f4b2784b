//! Which body of which feed is fetched when, and by which way: no clock, no file, no connection.
//!
//! One body is on its way at a time. What stalls goes to the end of the queue and is asked for again from where it is;
//! what does not come by HTTPS comes by the broker.

use super::{FeedRequest, Get};
use kakou_wire::feed::{GROUP, Head, Part, chunk_topic};
use std::collections::VecDeque;
use std::time::Duration;

/// Without a chunk for this long, the group is asked for again.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The same for HTTPS, whose attempts and pauses take longer and which says itself when it gives up.
pub const PATIENCE_HTTPS: Duration = Duration::from_secs(600);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A head that is signed and news, and who signed it.
    Head(Head, String),
    /// The body of [`Output::Begin`] is taken up: which part it is, and how many chunks of it are there. None where it
    /// cannot be.
    Begun(Option<(Part, u32)>),
    /// A chunk of this body has come; so many of it are there now.
    Chunk(String, u32),
    /// A body cannot be had by HTTPS.
    Unfetched(String),
    /// The broker can be asked.
    Connected,
    /// The body of [`Output::Apply`] was built, or refused.
    Applied,
    /// The moment of the deadline is there, or something looks.
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Take up a body that leads to this head; [`Input::Begun`] is the answer.
    Begin(Head, String),
    /// Ask the connection.
    Wish(FeedRequest),
    /// So many chunks are there of the body that is on its way: show it.
    Progress(u32),
    /// The body is whole: build it; [`Input::Applied`] is the answer.
    Apply,
    /// The body that is on its way is not wanted now. What is there of it stays.
    Leave,
    /// Nothing is on its way.
    Rest,
    /// Count this.
    Count(&'static str),
}

/// A head whose body waits to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    head: Head,
    signer: String,
    /// By HTTPS it did not come: the broker may have it.
    by_broker: bool,
}

/// The way that a body takes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum BodySource {
    /// In groups of chunks, by the broker.
    Broker(String),
    /// By HTTPS.
    Https,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Rest,
    /// Until its file is open.
    Begins(Waiting),
    /// On its way.
    Comes { waiting: Waiting, part: Part, have: u32, way: BodySource, heard: Duration },
    /// Until it is built.
    Applies,
}

/// The schedule.
#[derive(Debug, Default)]
pub struct Plan {
    /// One of each feed.
    waiting: VecDeque<Waiting>,
    state: State,
}

impl Plan {
    /// When it wants to be asked next: [`Input::Tick`].
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Comes { way: BodySource::Broker(_), heard, .. } => Some(*heard + PATIENCE),
            State::Comes { way: BodySource::Https, heard, .. } => Some(*heard + PATIENCE_HTTPS),
            State::Rest | State::Begins(_) | State::Applies => None,
        }
    }

    /// Something happened: adds what is to be done.
    pub fn handle(&mut self, now: Duration, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Head(head, signer) => self.head(head, signer, out),
            Input::Begun(begun) => self.begun(now, begun, out),
            Input::Chunk(sha256, there) => self.chunk(now, &sha256, there, out),
            Input::Unfetched(sha256) => {
                if let State::Comes { waiting, part, have, way: way @ BodySource::Https, heard } =
                    &mut self.state
                    && part.sha256 == sha256
                {
                    out.push(Output::Count("feed_unfetched_total"));
                    (*way, *heard) = (subscribe(&waiting.head, part, *have, out), now);
                }
            }
            Input::Connected => {
                if let State::Comes { waiting, part, have, way: way @ BodySource::Broker(_), heard } =
                    &mut self.state
                {
                    (*way, *heard) = (subscribe(&waiting.head, part, *have, out), now);
                }
            }
            Input::Applied => {
                if matches!(self.state, State::Applies) {
                    self.state = State::Rest;
                    self.next(out);
                }
            }
            Input::Tick => {
                if self.deadline().is_some_and(|at| now >= at) {
                    self.stalled(out);
                }
            }
        }
    }

    /// The newest edition of each feed waits; one that is on its way gives way to a newer one of its feed, and does not
    /// come twice because its head does: a broker gives what it retains with each subscription.
    fn head(&mut self, head: Head, signer: String, out: &mut Vec<Output>) {
        if let State::Comes { waiting, .. } = &self.state
            && waiting.head.feed == head.feed
            && waiting.head.version >= head.version
        {
            return;
        }
        if self.waiting.iter().all(|w| w.head.feed != head.feed || w.head.version < head.version) {
            self.waiting.retain(|w| w.head.feed != head.feed);
            self.waiting.push_back(Waiting { head, signer, by_broker: false });
        }
        match &self.state {
            State::Comes { waiting: Waiting { head, .. }, way, .. } => {
                let newer = |w: &Waiting| w.head.feed == head.feed && w.head.version > head.version;
                if self.waiting.iter().any(newer) {
                    unsubscribe(way, out);
                    out.push(Output::Leave);
                    self.next(out);
                }
            }
            State::Rest => self.next(out),
            State::Begins(_) | State::Applies => {}
        }
    }

    fn next(&mut self, out: &mut Vec<Output>) {
        self.state = match self.waiting.pop_front() {
            Some(waiting) => {
                out.push(Output::Begin(waiting.head.clone(), waiting.signer.clone()));
                State::Begins(waiting)
            }
            None => {
                out.push(Output::Rest);
                State::Rest
            }
        };
    }

    fn begun(&mut self, now: Duration, begun: Option<(Part, u32)>, out: &mut Vec<Output>) {
        let State::Begins(waiting) = std::mem::take(&mut self.state) else { return };
        let Some((part, have)) = begun else { return self.next(out) };
        if have >= Head::chunks(&part) {
            self.state = State::Applies;
            out.push(Output::Apply);
            return;
        }
        out.push(Output::Progress(have));
        let way = match &waiting.head.at {
            Some(at) if !waiting.by_broker => {
                let (sha256, url) = (part.sha256.clone(), format!("{at}/{}", part.sha256));
                out.push(Output::Wish(FeedRequest::Get(Get { url, sha256, from: have })));
                BodySource::Https
            }
            Some(_) | None => subscribe(&waiting.head, &part, have, out),
        };
        self.state = State::Comes { waiting, part, have, way, heard: now };
    }

    fn chunk(&mut self, now: Duration, sha256: &str, there: u32, out: &mut Vec<Output>) {
        let State::Comes { waiting, part, have, way, heard } = &mut self.state else { return };
        if part.sha256 != sha256 {
            return;
        }
        *heard = now;
        let before = std::mem::replace(have, there);
        if there >= Head::chunks(part) {
            unsubscribe(way, out);
            self.state = State::Applies;
            out.push(Output::Apply);
        } else if there / GROUP != before / GROUP {
            if let BodySource::Broker(_) = way {
                unsubscribe(way, out);
                *way = subscribe(&waiting.head, part, there, out);
            }
            out.push(Output::Progress(there));
        }
    }

    /// A chunk may have been lost on its way, or the body is nowhere: those that wait have their turn, then it is asked
    /// for again, from where it is.
    fn stalled(&mut self, out: &mut Vec<Output>) {
        let State::Comes { mut waiting, way, .. } = std::mem::take(&mut self.state) else { return };
        out.push(Output::Count("feed_stalled_total"));
        unsubscribe(&way, out);
        out.push(Output::Leave);
        waiting.by_broker = way == BodySource::Https;
        if self.waiting.iter().all(|w| w.head.feed != waiting.head.feed) {
            self.waiting.push_back(waiting);
        }
        self.next(out);
    }
}

fn subscribe(head: &Head, part: &Part, have: u32, out: &mut Vec<Output>) -> BodySource {
    let filter = chunk_topic(&head.feed, &part.sha256, have / GROUP, "+");
    out.push(Output::Wish(FeedRequest::Subscribe(filter.clone())));
    BodySource::Broker(filter)
}

fn unsubscribe(way: &BodySource, out: &mut Vec<Output>) {
    if let BodySource::Broker(filter) = way {
        out.push(Output::Wish(FeedRequest::Unsubscribe(filter.clone())));
    }
}

/// Whether an edition counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// It is news.
    News,
    /// It is in use.
    InUse,
    /// This one was in use, or is.
    OlderThan(u64),
}

/// Whether an edition counts, where one is in use and one was the newest that ever was. Where the newest was lost, it is
/// news once more.
pub fn judge(version: u64, in_use: Option<u64>, newest: Option<u64>) -> Edition {
    match in_use.max(newest).filter(|newest| version < *newest) {
        Some(newest) => Edition::OlderThan(newest),
        None if in_use.is_none_or(|now| version > now) => Edition::News,
        None => Edition::InUse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_wire::feed::CHUNK;
    use proptest::prelude::*;

    fn head(feed: &str, version: u64, chunks: u64, at: Option<&str>) -> Head {
        let part = Part { base: None, sha256: format!("{version:064x}"), bytes: chunks * CHUNK as u64 };
        let at = at.map(str::to_owned);
        Head { feed: feed.into(), version, issued: 0, parts: vec![part], at, from: None, canary: vec![] }
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The plan and what it has put out.
    #[derive(Default)]
    struct World {
        plan: Plan,
        out: Vec<Output>,
    }

    impl World {
        /// Tells it; bodies are taken up with so many chunks.
        fn tell(&mut self, now: Duration, input: Input, have: u32) -> Vec<Output> {
            self.plan.handle(now, input, &mut self.out);
            let mut all = Vec::new();
            while !self.out.is_empty() {
                for output in std::mem::take(&mut self.out) {
                    let answer = match &output {
                        Output::Begin(head, _) => Some(Input::Begun(Some((head.parts[0].clone(), have)))),
                        Output::Apply => Some(Input::Applied),
                        Output::Wish(_)
                        | Output::Progress(_)
                        | Output::Leave
                        | Output::Rest
                        | Output::Count(_) => None,
                    };
                    all.push(output);
                    answer.into_iter().for_each(|answer| self.plan.handle(now, answer, &mut self.out));
                }
            }
            all
        }
    }

    fn begins(out: &[Output]) -> Vec<(&str, u64)> {
        out.iter()
            .filter_map(|o| {
                if let Output::Begin(head, _) = o { Some((head.feed.as_str(), head.version)) } else { None }
            })
            .collect()
    }

    #[test]
    fn a_body_comes_in_groups_and_a_newer_edition_takes_its_place() {
        let mut world = World::default();
        let out = world.tell(s(0), Input::Head(head("status", 1, 40, None), "ops".into()), 0);
        let filter = |group| chunk_topic("status", &format!("{:064x}", 1), group, "+");
        assert_eq!(out.last(), Some(&Output::Wish(FeedRequest::Subscribe(filter(0)))));
        let sha256 = format!("{:064x}", 1);
        assert_eq!(world.tell(s(1), Input::Chunk(sha256.clone(), 15), 0), []);
        let out = world.tell(s(2), Input::Chunk(sha256.clone(), 16), 0);
        let wishes =
            [FeedRequest::Unsubscribe(filter(0)), FeedRequest::Subscribe(filter(1))].map(Output::Wish);
        assert_eq!(out, [wishes.as_slice(), &[Output::Progress(16)]].concat());
        // Another feed waits; an older edition is nothing; a newer one comes first, in its own place.
        assert_eq!(world.tell(s(3), Input::Head(head("hold", 2, 4, None), "ops".into()), 0), []);
        let out = world.tell(s(4), Input::Head(head("status", 3, 4, None), "ops".into()), 0);
        assert_eq!(begins(&out), [("hold", 2)]);
        assert!(out.contains(&Output::Leave));
        let out = world.tell(s(5), Input::Chunk(format!("{:064x}", 2), 4), 0);
        assert_eq!(begins(&out), [("status", 3)]);
        let out = world.tell(s(6), Input::Chunk(format!("{:064x}", 3), 4), 0);
        assert!(out.contains(&Output::Apply) && out.last() == Some(&Output::Rest));
    }

    #[test]
    fn what_does_not_come_by_https_comes_by_the_broker_and_a_lost_connection_asks_again() {
        let mut world = World::default();
        let out = world.tell(s(0), Input::Head(head("status", 1, 40, Some("https://c")), "ops".into()), 20);
        let sha256 = format!("{:064x}", 1);
        let get = Get { url: format!("https://c/{sha256}"), sha256: sha256.clone(), from: 20 };
        assert_eq!(out.last(), Some(&Output::Wish(FeedRequest::Get(get))));
        assert_eq!(world.tell(s(1), Input::Connected, 20), [], "HTTPS needs no broker");
        assert_eq!(world.tell(s(1), Input::Unfetched("another".into()), 20), []);
        let filter = Output::Wish(FeedRequest::Subscribe(chunk_topic("status", &sha256, 1, "+")));
        let out = world.tell(s(2), Input::Unfetched(sha256), 20);
        assert_eq!(out, [Output::Count("feed_unfetched_total"), filter.clone()]);
        assert_eq!(world.plan.deadline(), Some(s(2) + PATIENCE), "it has its own time to begin");
        assert_eq!(world.tell(s(3), Input::Connected, 20), [filter]);
        assert_eq!(world.plan.deadline(), Some(s(3) + PATIENCE));
    }

    #[test]
    fn a_head_that_comes_again_while_its_body_does_fetches_nothing_twice() {
        let mut world = World::default();
        let comes = || Input::Head(head("status", 1, 4, None), "ops".into());
        world.tell(s(0), comes(), 0);
        assert_eq!(world.tell(s(1), comes(), 0), []);
        let out = world.tell(s(2), Input::Chunk(format!("{:064x}", 1), 4), 0);
        assert!(out.contains(&Output::Apply) && out.last() == Some(&Output::Rest), "{out:?}");
    }

    #[test]
    fn a_body_that_stalls_lets_the_others_have_their_turn_and_https_is_waited_for_longer() {
        let mut world = World::default();
        world.tell(s(0), Input::Head(head("status", 1, 40, Some("https://c")), "ops".into()), 0);
        world.tell(s(0), Input::Head(head("hold", 2, 40, None), "ops".into()), 0);
        assert_eq!(world.plan.deadline(), Some(PATIENCE_HTTPS));
        assert_eq!(world.tell(PATIENCE_HTTPS - s(1), Input::Tick, 0), []);
        assert_eq!(begins(&world.tell(PATIENCE_HTTPS, Input::Tick, 0)), [("hold", 2)]);
        let later = PATIENCE_HTTPS + PATIENCE;
        assert_eq!(world.plan.deadline(), Some(later));
        let out = world.tell(later, Input::Tick, 0);
        assert_eq!(begins(&out), [("status", 1)]);
        let by_broker =
            |o: &Output| matches!(o, Output::Wish(FeedRequest::Subscribe(f)) if f.contains("status"));
        assert!(out.iter().any(by_broker), "HTTPS did not bring it");
    }

    #[test]
    fn an_edition_counts_if_it_is_newer_and_once_more_where_the_newest_was_lost() {
        assert_eq!(judge(3, None, None), Edition::News);
        assert_eq!(judge(3, Some(2), Some(2)), Edition::News);
        assert_eq!(judge(3, Some(3), Some(3)), Edition::InUse);
        assert_eq!(judge(3, Some(2), Some(4)), Edition::OlderThan(4));
        assert_eq!(judge(3, Some(5), None), Edition::OlderThan(5));
        assert_eq!(judge(3, None, Some(3)), Edition::News, "it was lost");
    }

    proptest! {
        /// Whatever comes in whatever order: one body is on its way at a time, each subscription is ended but for that
        /// of the body that is on its way, and the newest edition of each feed is built in the end.
        #[test]
        fn the_newest_edition_of_each_feed_comes_in_the_end(
            moves in prop::collection::vec((0_u8..6, 0_usize..3, 1_u64..20), 1..120),
        ) {
            let (mut world, mut now) = (World::default(), s(0));
            let feeds = ["status", "hold", "bookings"];
            let mut newest = [0_u64; 3];
            let mut open = std::collections::BTreeSet::new();
            let mut on_its_way: Option<(Head, u32)> = None;
            let mut built = [0_u64; 3];
            let end = std::iter::repeat_n((2_u8, 0_usize, 16_u64), 60);
            for (what, feed, n) in moves.into_iter().chain(end) {
                now += s(1);
                let out = match what {
                    0 => {
                        // Versions are unique over all feeds here, and so are hashes.
                        newest[feed] = newest.iter().max().unwrap() + 1;
                        let at = (n % 2 == 0).then_some("https://c");
                        world.tell(now, Input::Head(head(feeds[feed], newest[feed], n, at), "ops".into()), 0)
                    }
                    1 => { now += PATIENCE_HTTPS; world.tell(now, Input::Tick, 0) }
                    3 => world.tell(now, Input::Connected, 0),
                    4 => world.tell(now, Input::Tick, 0),
                    _ => match on_its_way.clone() {
                        Some((head, have)) => {
                            let have = (have + u32::try_from(n).unwrap()).min(Head::chunks(&head.parts[0]));
                            on_its_way = Some((head.clone(), have));
                            world.tell(now, Input::Chunk(head.parts[0].sha256.clone(), have), 0)
                        }
                        None => Vec::new(),
                    },
                };
                for output in out {
                    match output {
                        Output::Begin(head, _) => on_its_way = Some((head, 0)),
                        Output::Apply => {
                            let (head, _) = on_its_way.take().unwrap();
                            let feed = feeds.iter().position(|f| *f == head.feed).unwrap();
                            built[feed] = built[feed].max(head.version);
                        }
                        Output::Leave => prop_assert!(on_its_way.take().is_some()),
                        Output::Rest => prop_assert!(on_its_way.is_none()),
                        Output::Wish(FeedRequest::Subscribe(filter)) => drop(open.insert(filter)),
                        Output::Wish(FeedRequest::Unsubscribe(filter)) => prop_assert!(open.remove(&filter)),
                        Output::Wish(FeedRequest::Get(_) | FeedRequest::Share) | Output::Progress(_) | Output::Count(_) => {}
                    }
                    prop_assert!(open.len() <= 1, "{:?}", open);
                }
            }
            prop_assert_eq!(built, newest);
            prop_assert!(open.is_empty());
            prop_assert_eq!(world.plan.deadline(), None);
        }
    }
}
