//! Infrared thermometers on Modbus-RTU, 9600 8N1: one register holds the temperature. Which register and which
//! unit differ from maker to maker and stand in [`PROFILES`].
//!
//! Question: address, function, register, 1; answer: address, function, 2, value, CRC. Source: Modbus
//! application protocol 1.1b3, makers' register tables.

use crate::codec::Ms;
use crate::modbus_relay::{crc16, framed};
use crate::thermometer::{Front, Module};
use kakou_core::reading::Temperature;

/// Ten readings a second, if the line has time.
const ASK_EVERY_MS: Ms = 100;
/// A whole answer.
const ANSWER: usize = 7;

/// Where a maker keeps the temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Its name in configuration.
    pub name: &'static str,
    /// Function: 3 (holding register) or 4 (input register).
    pub function: u8,
    /// Register, counted from 0.
    pub register: u16,
    /// Thousandths of a degree for one count.
    pub unit_mdeg: i32,
}

/// The known ones.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "calex", function: 3, register: 0x12, unit_mdeg: 100 },
    Profile { name: "calex-unfiltered", function: 3, register: 0x13, unit_mdeg: 100 },
    Profile { name: "input-0-tenths", function: 4, register: 0, unit_mdeg: 100 },
];

/// A thermometer.
#[derive(Debug)]
pub struct ModbusIr {
    question: Vec<u8>,
    head: [u8; 3],
    unit_mdeg: i32,
    body_grade: bool,
}

impl ModbusIr {
    /// At this address.
    pub fn new(profile: Profile, address: u8, body_grade: bool) -> Self {
        let [hi, lo] = profile.register.to_be_bytes();
        Self {
            question: framed(&[address, profile.function, hi, lo, 0, 1]),
            head: [address, profile.function, 2],
            unit_mdeg: profile.unit_mdeg,
            body_grade,
        }
    }
}

/// An answer, for simulators.
pub fn answer(address: u8, function: u8, value: i16) -> Vec<u8> {
    let [hi, lo] = value.to_be_bytes();
    framed(&[address, function, 2, hi, lo])
}

impl Module for ModbusIr {
    fn start(&self) -> &[u8] {
        &self.question
    }
    fn stop(&self) -> &[u8] {
        &[]
    }
    fn ask_every(&self) -> Option<Ms> {
        Some(ASK_EVERY_MS)
    }
    fn front(&self, bytes: &[u8]) -> Front {
        let frame = match crate::thermometer::framed(bytes, &self.head, ANSWER) {
            Ok(frame) => frame,
            Err(front) => return front,
        };
        let (body, crc) = frame.split_at(ANSWER - 2);
        if crc != crc16(body) {
            return Front::Broken;
        }
        let counts = i32::from(i16::from_be_bytes([body[3], body[4]]));
        let reading = Temperature {
            object_mdeg: counts * self.unit_mdeg,
            ambient_mdeg: None,
            reference_mdeg: None,
            body_grade: self.body_grade,
        };
        Front::Frame { length: ANSWER, reading }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Out};
    use crate::thermometer::Thermometer;
    use kakou_core::reading::{Command, Report, Ticket};

    #[test]
    fn it_is_asked_again_after_each_answer_and_never_before() {
        let mut t = Thermometer::new(ModbusIr::new(PROFILES[0], 1, true));
        let mut out = Vec::new();
        t.opened(0, &mut out);
        t.command(0, Ticket(1), &Command::Measure, &mut out);
        let asked = |out: &[Out]| out.iter().filter(|o| matches!(o, Out::Write(_))).count();
        assert_eq!(asked(&out), 1);
        assert!(t.awaits_answer());
        t.bytes(20, &answer(1, 3, 365), &mut out);
        assert!(out.iter().any(
            |o| matches!(o, Out::Report(Report::Temperature { frame, .. }) if frame.object_mdeg == 36_500)
        ));
        assert!(!t.awaits_answer(), "others may use the line now");
        t.wake(119, &mut out);
        assert_eq!(asked(&out), 1);
        t.wake(120, &mut out);
        assert_eq!(asked(&out), 2);
    }
}
