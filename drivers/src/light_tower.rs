//! Light towers with a buzzer on a serial port, 9600 8N1: they show the verdict and answer nothing.
//!
//! `a0`: `A0`, channel, state, 8-bit sum; channels 1 red, 2 yellow, 3 green, 4 buzzer. `single`: one byte for
//! each lamp, 1x on, 2x off, 4x blinking; x is 1 red, 2 yellow, 4 green, 8 buzzer. Nobody waits for a lamp,
//! and the driver puts it out by itself. Source: public drivers.

use crate::codec::{Codec, Ms, Out};
use kakou_core::codes::Outcome;
use kakou_core::reading::{Command, NoData, Report, Ticket};

/// How a tower is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Four bytes a lamp.
    A0,
    /// One byte a lamp.
    Single,
}

impl Dialect {
    /// Their names in configuration.
    pub const NAMES: [(&str, Self); 2] = [("a0", Self::A0), ("single", Self::Single)];
}

/// The buzzer sounds for so long, unless the verdict is ADMIT.
const BUZZ_MS: Ms = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lamp {
    Red,
    Yellow,
    Green,
    Buzzer,
}

const LAMPS: [Lamp; 4] = [Lamp::Red, Lamp::Yellow, Lamp::Green, Lamp::Buzzer];

/// The codec.
#[derive(Debug)]
pub struct LightTower {
    dialect: Dialect,
    dark_at: Option<Ms>,
    quiet_at: Option<Ms>,
}

impl LightTower {
    /// With a dialect.
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, dark_at: None, quiet_at: None }
    }

    fn set(&self, lamp: Lamp, on: bool, out: &mut Vec<Out>) {
        let place = LAMPS.iter().position(|l| *l == lamp).unwrap_or(0).to_le_bytes()[0];
        out.push(Out::Write(match self.dialect {
            Dialect::A0 => {
                let (channel, state) = (place + 1, u8::from(on));
                vec![0xa0, channel, state, 0xa0_u8.wrapping_add(channel).wrapping_add(state)]
            }
            Dialect::Single => vec![if on { 0x10 } else { 0x20 } | 1 << place],
        }));
    }

    fn dark(&mut self, out: &mut Vec<Out>) {
        (self.dark_at, self.quiet_at) = (None, None);
        LAMPS.iter().for_each(|lamp| self.set(*lamp, false, out));
    }
}

impl Codec for LightTower {
    fn opened(&mut self, _: Ms, out: &mut Vec<Out>) {
        // What it showed before is of nobody who stands here now.
        self.dark(out);
        out.push(Out::Report(Report::Link { ready: true }));
    }

    fn bytes(&mut self, _: Ms, _: &[u8], out: &mut Vec<Out>) {
        // Some echo what they were told.
        out.push(Out::Seen);
    }

    fn command(&mut self, now: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        match command {
            Command::Signal { outcome, ms } => {
                self.dark(out);
                let lamp = match outcome {
                    Outcome::Admit => Lamp::Green,
                    Outcome::Refer | Outcome::Hold => Lamp::Yellow,
                    Outcome::Deny => Lamp::Red,
                };
                self.set(lamp, true, out);
                if *outcome != Outcome::Admit {
                    self.set(Lamp::Buzzer, true, out);
                    self.quiet_at = Some(now + BUZZ_MS);
                }
                self.dark_at = Some(now + ms);
            }
            Command::Stop => self.dark(out),
            Command::Measure
            | Command::Pulse { .. }
            | Command::Capture { .. }
            | Command::Print { .. }
            | Command::Read { .. } => out.push(Out::Report(Report::NoData { ticket, why: NoData::Fault })),
        }
    }

    fn deadline(&self) -> Option<Ms> {
        [self.dark_at, self.quiet_at].into_iter().flatten().min()
    }

    fn wake(&mut self, now: Ms, out: &mut Vec<Out>) {
        if self.quiet_at.is_some_and(|at| at <= now) {
            self.quiet_at = None;
            self.set(Lamp::Buzzer, false, out);
        }
        if self.dark_at.is_some_and(|at| at <= now) {
            self.dark(out);
        }
    }

    fn lost(&mut self) -> Option<Ticket> {
        (self.dark_at, self.quiet_at) = (None, None);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_shown_and_goes_out_by_itself() {
        for (dialect, red_on, red_off) in [
            (Dialect::A0, vec![0xa0, 1, 1, 0xa2], vec![0xa0, 1, 0, 0xa1]),
            (Dialect::Single, vec![0x11], vec![0x21]),
        ] {
            let (mut t, mut out) = (LightTower::new(dialect), Vec::new());
            let deny = Command::Signal { outcome: Outcome::Deny, ms: 8_000 };
            t.command(0, Ticket::NOBODY, &deny, &mut out);
            assert!(out.contains(&Out::Write(red_on.clone())));
            assert_eq!(t.deadline(), Some(BUZZ_MS));
            t.wake(BUZZ_MS, &mut out);
            out.clear();
            t.wake(8_000, &mut out);
            assert!(out.contains(&Out::Write(red_off.clone())));
            assert_eq!(t.deadline(), None);
        }
    }
}
