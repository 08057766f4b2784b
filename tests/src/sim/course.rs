//! The course of a run: what happens when, in which order, up to which step, and what is said of it.

use super::Failure;
use super::trace::Trace;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// What happens in a world, one after another. Moments are milliseconds since the run began.
pub struct Course<W> {
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    what: BTreeMap<u64, W>,
    order: u64,
    seed: u64,
    steps: u64,
    at_once: u64,
    at_once_most: u64,
    at: u64,
    ended_at: Option<u64>,
    trace: Trace,
    /// Whose it is, where there are several.
    of: &'static str,
}

/// What is due in a world.
enum Due<W> {
    /// The engine.
    Engine,
    /// Something that happens.
    What(W),
    /// Delivery.
    Uplink,
}

/// A world that has a course.
pub trait World {
    /// What happens in it.
    type What;

    /// Its course.
    fn course(&mut self) -> &mut Course<Self::What>;
    /// When the engine must be called at the latest, and delivery.
    fn deadlines(&self) -> (Option<u64>, Option<u64>);
    /// The time of the engine has come.
    fn engine_is_due(&mut self) -> Result<(), String>;
    /// That of delivery.
    fn uplink_is_due(&mut self) -> Result<(), String>;
    /// Something happens.
    fn happens(&mut self, what: Self::What) -> Result<(), String>;
    /// After the end: whether all is over, and as it must be.
    fn is_at_rest(&mut self) -> Result<bool, String>;
}

impl<W> Course<W> {
    /// Nothing happens yet. More steps than so many within one moment are a box that does not come to rest.
    pub fn new(seed: u64, at_once_most: u64, print: bool) -> Self {
        Self {
            queue: BinaryHeap::new(),
            what: BTreeMap::new(),
            order: 0,
            seed,
            steps: 0,
            at_once: 0,
            at_once_most,
            at: 0,
            ended_at: None,
            trace: Trace::new(print),
            of: "",
        }
    }

    /// What is said from now on says whose course it is.
    pub const fn is_of(&mut self, of: &'static str) {
        self.of = of;
    }

    /// Now.
    pub const fn at(&self) -> u64 {
        self.at
    }

    /// How many steps there were.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// The seed.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Nothing goes wrong any more.
    pub const fn end(&mut self) {
        self.ended_at = Some(self.at);
    }

    /// Whether that is so, and since when.
    pub const fn ended_at(&self) -> Option<u64> {
        self.ended_at
    }

    /// Whether it is so for longer than this.
    pub fn is_overdue(&self, ms: u64) -> bool {
        self.ended_at.is_some_and(|ended| self.at > ended + ms)
    }

    /// When the next of what happens is.
    pub fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// Something happens in so many milliseconds.
    pub fn later(&mut self, ms: u64, what: W) {
        self.at_moment(self.at + ms, what);
    }

    /// Something happens at a moment; now, where that is over.
    pub fn at_moment(&mut self, at: u64, what: W) {
        self.order += 1;
        self.queue.push(Reverse((at.max(self.at), self.order)));
        self.what.insert(self.order, what);
    }

    /// Says what happens.
    pub fn says(&mut self, what: &str) {
        if self.of.is_empty() {
            self.trace.line(self.at, what);
        } else {
            self.trace.line(self.at, &format!("{} {what}", self.of));
        }
    }

    /// The hash of all that was said.
    pub fn hash(&self) -> String {
        self.trace.hash()
    }

    /// Says why the run is not as it must be.
    pub fn fails(&self, why: String) -> Failure {
        let (hash, last) = (self.trace.hash(), self.trace.last());
        Failure { seed: self.seed, step: self.steps, at_ms: self.at, why, hash, last }
    }

    /// The time goes on to what is due next. What lanes are due comes first: a card that is shown then finds them so.
    fn goes_on(&mut self, engine: Option<u64>, uplink: Option<u64>) -> Result<Due<W>, String> {
        let own = self.next_at();
        let next = [own, uplink, engine].into_iter().flatten().min().ok_or("nothing happens any more")?;
        self.at_once = if next > self.at { 0 } else { self.at_once + 1 };
        if self.at_once > self.at_once_most {
            return Err("the box does not come to rest".into());
        }
        self.at = self.at.max(next);
        self.steps += 1;
        if engine.is_some_and(|at| at <= self.at) {
            return Ok(Due::Engine);
        }
        if own.is_some_and(|at| at <= self.at)
            && let Some(Reverse((_, order))) = self.queue.pop()
        {
            return Ok(Due::What(self.what.remove(&order).ok_or("what happens is known")?));
        }
        Ok(Due::Uplink)
    }
}

/// Runs a world to its end, or to a step.
pub fn run<W: World>(mut world: W, until: Option<u64>) -> Result<W, Failure> {
    loop {
        let course = world.course();
        let (cut, ended) = (until.is_some_and(|step| course.steps >= step), course.ended_at.is_some());
        if cut || (ended && world.is_at_rest().map_err(|why| world.course().fails(why))?) {
            return Ok(world);
        }
        step(&mut world)?;
    }
}

/// When the next thing in a world is due.
pub fn due<W: World>(world: &mut W) -> Option<u64> {
    let (engine, uplink) = world.deadlines();
    [world.course().next_at(), engine, uplink].into_iter().flatten().min()
}

/// What is due next happens.
pub fn step<W: World>(world: &mut W) -> Result<(), Failure> {
    let (engine, uplink) = world.deadlines();
    let done = world.course().goes_on(engine, uplink).and_then(|due| match due {
        Due::Engine => world.engine_is_due(),
        Due::What(what) => world.happens(what),
        Due::Uplink => world.uplink_is_due(),
    });
    done.map_err(|why| world.course().fails(why))
}
