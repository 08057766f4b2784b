//! Chance of a run: one seed, one stream of numbers for each part of it.
//!
//! ChaCha gives the same numbers on every machine. Each part draws from a stream of its own, so that one that draws
//! more than before leaves the others as they were.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Who draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// The site and the people.
    People = 1,
    /// The devices.
    Devices = 2,
    /// The broker and the link to it.
    Broker = 3,
    /// When the power goes, and for how long.
    Power = 4,
    /// What of the disk is there afterwards.
    Disk = 5,
    /// Which lanes there are.
    Lanes = 6,
    /// What staff do.
    Staff = 7,
    /// What central ops do.
    Ops = 8,
    /// When the clock is stepped, and how far.
    Clock = 9,
    /// When the disk takes no more.
    Full = 10,
    /// What lists say anew.
    Lists = 11,
    /// Which profiles are others after a start.
    Policies = 12,
    /// What becomes of the journal while the box is off.
    Damage = 13,
    /// The broker between the gateways of a site.
    Mesh = 14,
    /// When a gateway tells the others.
    Tell = 15,
}

/// Numbers of one stream.
#[derive(Debug, Clone)]
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// From a seed.
    pub fn new(seed: u64, stream: Stream) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream as u64);
        Self(rng)
    }

    /// A number below this one, which is not 0. The bias of a remainder matters to nothing here.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    /// A number from this one to that one.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Whether something happens that happens so often in a thousand.
    pub fn per_mille(&mut self, n: u64) -> bool {
        self.below(1_000) < n
    }

    /// One of these.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.below(of.len() as u64);
        &of[usize::try_from(at).expect("it is below a length")]
    }

    /// Bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}
