use super::*;
use kakou_core::ids::{GatewayId, LaneId, SiteId};
use kakou_core::time::Quality;
use kakou_wire::order::What;
use std::collections::VecDeque;

const AT_S: i64 = 1_700_000_000;

fn at(seconds: i64, quality: Quality) -> Now {
    Now { mono_ms: 0, wall_ms: Some((AT_S + seconds) * 1_000), quality }
}

fn command(id: &str, issued: i64, expires: i64) -> Command {
    Command {
        id: id.into(),
        site: SiteId::new("s").unwrap(),
        gateway: GatewayId::new("g").unwrap(),
        what: What::Open { lane: LaneId::new("l").unwrap() },
        by: "ops".into(),
        reason: "r".into(),
        issued: AT_S + issued,
        expires: AT_S + expires,
    }
}

/// Book, journal and lane beside the course.
struct World {
    course: Course,
    book: BTreeMap<String, Job>,
    /// What the word of an id says, if it is signed.
    words: BTreeMap<String, Command>,
    /// What was done, in order: kept, told, recorded, carried out.
    done: Vec<String>,
    records: bool,
    room: bool,
    /// The book fails from this write on.
    fails_at: Option<usize>,
    outcome: Outcome,
}

impl World {
    fn new() -> Self {
        Self {
            course: Course::new("boot".into()),
            book: BTreeMap::new(),
            words: BTreeMap::new(),
            done: Vec::new(),
            records: true,
            room: true,
            fails_at: None,
            outcome: Outcome::Done(Value::Null),
        }
    }

    fn tell(&mut self, now: &Now, input: Input) {
        let mut todo = VecDeque::new();
        let mut next = Some(input);
        loop {
            if let Some(input) = next.take() {
                let mut out = Vec::new();
                if input == Input::NoBook {
                    todo.retain(|output| matches!(output, Output::Look(..)));
                }
                self.course.handle(now, input, &mut out);
                out.into_iter().rev().for_each(|output| todo.push_front(output));
            }
            let Some(output) = todo.pop_front() else { return };
            next = self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Look(id, bytes) => {
                let found = match (self.book.get(&id), self.words.get(&id)) {
                    (Some(job), _) => OrderCheck::Known(job.clone()),
                    (None, Some(command)) => OrderCheck::New(command.clone(), "central".to_owned()),
                    (None, None) => OrderCheck::Bad("not signed".to_owned()),
                };
                return Some(Input::Word(Box::new(ReceivedOrder { id, bytes, found })));
            }
            Output::Room(_) => return Some(Input::Room(self.room)),
            Output::Keep(job) => {
                if self
                    .fails_at
                    .as_mut()
                    .is_some_and(|left| std::mem::replace(left, left.saturating_sub(1)) == 0)
                {
                    return Some(Input::NoBook);
                }
                self.done.push(format!("keep {} {}", job.id, job.state.as_str()));
                self.book.insert(job.id.clone(), job);
            }
            Output::Tell(job) => {
                let kept = self.book.get(&job.id).map(|kept| kept.state);
                assert!(kept.is_none_or(|kept| kept == job.state), "told before it is in the book");
                self.done.push(format!("tell {} {}", job.id, job.state.as_str()));
            }
            Output::Begin(data) => {
                self.done.push(format!("record {}", data["command"]));
                return Some(Input::Recorded(self.records));
            }
            Output::CarryOut(command, _) => {
                let job = &self.book[&command.id];
                assert_eq!(job.state, State::InProgress, "in the book before it is done");
                self.done.push(format!("do {}", command.id));
                return Some(Input::Done(self.outcome.clone()));
            }
            Output::End(data) => self.done.push(format!("end {}", data["state"])),
            Output::Refuse(data) => self.done.push(format!("refuse {}", data["command"])),
            Output::Count(counter) => self.done.push(counter.to_owned()),
        }
        None
    }

    fn comes(&mut self, now: &Now, command: Command) {
        let id = command.id.clone();
        self.words.insert(id.clone(), command);
        self.tell(now, Input::Came(id, b"word".to_vec()));
    }

    fn carried_out(&self) -> usize {
        self.done.iter().filter(|d| d.starts_with("do ")).count()
    }
}

#[test]
fn a_command_is_in_the_book_and_on_record_before_it_is_done_and_done_once_however_often_it_comes() {
    let (mut world, now) = (World::new(), at(0, Quality::Synced));
    world.comes(&now, command("c-1", 0, 60));
    assert_eq!(
        world.done,
        [
            "keep c-1 QUEUED",
            "tell c-1 QUEUED",
            "record \"c-1\"",
            "keep c-1 IN_PROGRESS",
            "tell c-1 IN_PROGRESS",
            "do c-1",
            "keep c-1 SUCCEEDED",
            "tell c-1 SUCCEEDED",
            "end \"SUCCEEDED\""
        ]
    );
    world.done.clear();
    for _ in 0..3 {
        world.comes(&now, command("c-1", 0, 60));
    }
    world.tell(&now, Input::Came("c-1".into(), Vec::new()));
    assert_eq!(world.done, ["tell c-1 SUCCEEDED"; 3], "it is told again, and nothing is done");
    // After a restart the book knows it.
    world.course = Course::new("another boot".into());
    world.comes(&now, command("c-1", 0, 60));
    assert_eq!(world.carried_out(), 0);
}

#[test]
fn a_command_waits_for_a_confirmed_time_and_counts_by_that() {
    let mut world = World::new();
    for quality in [Quality::Unsynced, Quality::Floor] {
        world.comes(&at(0, quality), command("c-1", 0, 60));
        world.comes(&at(0, quality), command("c-2", 0, 3_600));
        world.tell(&at(0, quality), Input::Tick);
    }
    assert_eq!((world.carried_out(), world.book.len()), (0, 0));
    assert!(world.done.iter().all(|d| d.ends_with("QUEUED")), "{:?}", world.done);
    world.tell(&at(100, Quality::Synced), Input::Tick);
    assert_eq!(world.carried_out(), 1);
    let states = ["c-1", "c-2"].map(|id| world.book[id].state);
    assert_eq!(states, [State::TimedOut, State::Succeeded]);
    let before = world.done.len();
    world.tell(&at(101, Quality::Synced), Input::Tick);
    assert_eq!(world.done.len(), before, "it waits no more");
}

#[test]
fn so_many_commands_wait_for_the_clock_and_no_more() {
    let mut world = World::new();
    for n in 0..FOR_CLOCK + 3 {
        world.comes(&at(0, Quality::Unsynced), command(&format!("c-{n}"), 0, 60));
    }
    assert_eq!(world.done.iter().filter(|d| *d == "order_dropped_total").count(), 3);
    world.comes(&at(0, Quality::Unsynced), command("c-1", 0, 60));
    assert_eq!(world.done.iter().filter(|d| *d == "order_dropped_total").count(), 3, "it has its place");
    world.tell(&at(1, Quality::Synced), Input::Tick);
    assert_eq!(world.carried_out(), FOR_CLOCK);
}

#[test]
fn what_is_not_signed_not_of_now_or_finds_no_room_is_refused_and_in_no_book() {
    let (mut world, now) = (World::new(), at(0, Quality::Synced));
    world.tell(&now, Input::Came("c-1".into(), b"junk".to_vec()));
    world.comes(&now, command("c-2", 3_600, 3_700));
    world.comes(&now, command("c-3", 0, 3 * 86_400));
    world.room = false;
    world.comes(&now, command("c-4", 0, 60));
    assert!(world.book.is_empty());
    let refused = world.done.iter().filter(|d| d.starts_with("refuse")).count();
    let told = world.done.iter().filter(|d| d.ends_with("REJECTED")).count();
    assert_eq!((refused, told, world.done.len()), (4, 4, 8));
}

#[test]
fn what_cannot_be_recorded_or_kept_is_not_done() {
    let now = at(0, Quality::Synced);
    let mut world = World::new();
    world.records = false;
    world.comes(&now, command("c-1", 0, 60));
    assert_eq!((world.carried_out(), world.book["c-1"].state), (0, State::Failed));
    // The book takes nothing, or only the first word of it: nothing is done, and the next command is.
    for writes in 0..2 {
        let mut world = World::new();
        world.fails_at = Some(writes);
        world.comes(&now, command("c-1", 0, 60));
        assert_eq!(world.carried_out(), 0, "{:?}", world.done);
        world.fails_at = None;
        world.comes(&now, command("c-2", 0, 60));
        assert_eq!(world.carried_out(), 1);
    }
}

#[test]
fn a_restart_is_told_by_the_next_run() {
    let (mut world, now) = (World::new(), at(0, Quality::Synced));
    world.outcome = Outcome::Later;
    world.comes(&now, command("c-1", 0, 60));
    assert_eq!(world.book["c-1"].state, State::InProgress);
    assert_eq!(world.done.last().map(String::as_str), Some("end \"IN_PROGRESS\""));
    world.outcome = Outcome::Not("no".into());
    world.comes(&now, command("c-2", 0, 60));
    assert_eq!(world.book["c-2"].state, State::Failed);
}
