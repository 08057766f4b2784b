//! Devices by their USB ids, and probes that find out what is behind a plain serial adapter.
//!
//! A probe changes nothing in any supported device, but an unknown device may take it for a command: nothing is
//! probed unless an installer asks for it. Sources: USB IDs seen, and each driver's own.

use crate::codec::Ms;
use crate::ports::Usb;
use crate::thermometer::{Front, Module};
use crate::{escpos, gm65, gy_mcu90614, gy_mcu90640, haiman, id_card, modbus_relay, ssi};
use kakou_core::profile::DeviceKind;

/// A USB device that says what it is.
#[derive(Debug, Clone, Copy)]
pub struct UsbDevice {
    /// `vid:pid`, or `vid:` for all of a maker.
    pub id: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// The driver for it; none for an adapter, behind which anything may be.
    pub driver: Option<&'static str>,
}

const fn device(id: &'static str, name: &'static str, driver: &'static str) -> UsbDevice {
    UsbDevice { id, name, driver: Some(driver) }
}
const fn adapter(id: &'static str, name: &'static str) -> UsbDevice {
    UsbDevice { id, name, driver: None }
}

/// The exact ones before those of a whole maker.
pub const KNOWN: [UsbDevice; 16] = [
    device("1eab:8306", "Newland scanner", "newland"),
    device("1eab:0c06", "Newland scanner", "newland"),
    device("1eab:", "Newland scanner", "newland"),
    device("0488:5788", "Netum / BLM scanner", "line-scanner"),
    device("0c2e:", "Honeywell scanner", "honeywell"),
    device("05e0:", "Zebra scanner", "zebra-ssi"),
    device("05f9:", "Datalogic scanner", "line-scanner"),
    device("2745:300a", "Unitech scanner", "line-scanner"),
    device("1e4e:0100", "PureThermal with FLIR Lepton", "lepton"),
    device("191a:8003", "Patlite light tower", "light-tower"),
    adapter("1a86:7523", "CH340 adapter"),
    adapter("1a86:55d4", "CH9102 adapter"),
    adapter("0403:6001", "FTDI adapter"),
    adapter("0403:6015", "FTDI adapter"),
    adapter("10c4:ea60", "CP210x adapter"),
    adapter("067b:2303", "PL2303 adapter"),
];

/// What USB says a device is.
pub fn recognise(usb: &Usb) -> Option<&'static UsbDevice> {
    let own = usb.identity();
    KNOWN.iter().find(|k| own.starts_with(k.id))
}

/// The longest answer.
pub const PROBE_BYTES: usize = 4 * 1024;

/// A question.
pub struct Probe {
    /// The driver of whoever answers.
    pub driver: &'static str,
    /// The kind of device.
    pub kind: DeviceKind,
    /// The speeds it is asked at, the usual one first.
    pub bauds: &'static [u32],
    /// How long its answer may take to begin and to end.
    pub wait_ms: Ms,
    /// The question.
    pub ask: fn() -> Vec<u8>,
    /// Whether this is its answer.
    pub is_answer: fn(&[u8]) -> bool,
    /// Whether it is an answer only if nothing else comes with it.
    pub alone: bool,
    /// What undoes what questions at a wrong speed have left with it.
    pub behind: &'static [u8],
}

fn any_from(bytes: &[u8], is: impl Fn(&[u8]) -> bool) -> bool {
    (0..bytes.len()).any(|at| is(&bytes[at..]))
}

fn is_frame(module: &impl Module, bytes: &[u8]) -> bool {
    any_from(bytes, |b| matches!(module.front(b), Front::Frame { .. }))
}

/// A question that leaves nothing behind.
const fn probe(
    driver: &'static str,
    kind: DeviceKind,
    bauds: &'static [u32],
    ask: fn() -> Vec<u8>,
    is_answer: fn(&[u8]) -> bool,
) -> Probe {
    Probe { driver, kind, bauds, wait_ms: 250, ask, is_answer, alone: false, behind: &[] }
}

/// A printer prints what it does not know, questions for other devices too: it is asked before them, at each speed.
const PRINTER: Probe = Probe {
    alone: true,
    behind: &escpos::RESET,
    ..probe(
        "escpos",
        DeviceKind::Printer,
        &[9_600, 19_200, 115_200, 38_400],
        || escpos::ASK_ONLINE.to_vec(),
        escpos::is_answer,
    )
};

/// The questions behind that for a printer, the safest first.
const OTHERS: [Probe; 7] = [
    probe(
        "modbus-relay",
        DeviceKind::Relay,
        &[9_600, 19_200, 115_200, 38_400],
        || modbus_relay::framed(&[1, 1, 0, 0, 0, 8]),
        |b| {
            any_from(b, |b| {
                b.get(..6).is_some_and(|f| f[..3] == [1, 1, 1] && f[4..] == modbus_relay::crc16(&f[..4]))
            })
        },
    ),
    probe(
        "gm65",
        DeviceKind::Scanner,
        &[9_600, 115_200, 57_600, 38_400, 19_200, 14_400],
        gm65::question,
        |b| any_from(b, gm65::is_answer),
    ),
    probe(
        "zebra-ssi",
        DeviceKind::Scanner,
        &[9_600, 115_200, 38_400, 19_200],
        || ssi::packet(0xa3, &[]),
        |b| any_from(b, ssi::is_packet),
    ),
    probe(
        "gy-mcu90614",
        DeviceKind::Thermometer,
        &[9_600, 115_200],
        || vec![0xa5, 0x15, 0xba],
        |b| is_frame(&gy_mcu90614::GyMcu90614 { body_grade: false }, b),
    ),
    Probe {
        wait_ms: 400,
        ..probe(
            "gy-mcu90640",
            DeviceKind::Thermometer,
            &[115_200, 460_800],
            || vec![0xa5, 0x35, 0x01, 0xdb],
            |b| is_frame(&gy_mcu90640::GyMcu90640 { black_body: None }, b),
        )
    },
    probe(
        "haiman-peak",
        DeviceKind::Thermometer,
        &[115_200, 9_600],
        || vec![0xa5, 0x55, 0x01, 0xfb],
        |b| is_frame(&haiman::HaimanPeak { body_grade: false }, b),
    ),
    Probe {
        wait_ms: 400,
        ..probe(
            "id-card",
            DeviceKind::Scanner,
            &[115_200, 9_600],
            || id_card::question([0x20, 0x01]),
            |b| any_from(b, |b| b.starts_with(&[0xaa, 0xaa, 0xaa, 0x96, 0x69, 0x00])),
        )
    },
];

/// Every question.
pub fn probes() -> impl Iterator<Item = &'static Probe> {
    std::iter::once(&PRINTER).chain(&OTHERS)
}

/// The questions and the speeds they are asked at, in their order: the printer's at each of its speeds, then the others
/// at the usual speed of each, then at their further ones.
pub fn questions() -> Vec<(&'static Probe, u32)> {
    let most = OTHERS.iter().map(|p| p.bauds.len()).max().unwrap_or(0);
    let round = |n: usize| OTHERS.iter().filter_map(move |p| Some((p, *p.bauds.get(n)?)));
    PRINTER.bauds.iter().map(|baud| (&PRINTER, *baud)).chain((0..most).flat_map(round)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usb_names_are_found_the_exact_ones_first() {
        let usb = |vid: &str, pid: &str| Usb {
            vid: vid.into(),
            pid: pid.into(),
            serial: "S".into(),
            product: String::new(),
            place: "1-1".into(),
        };
        assert_eq!(recognise(&usb("1eab", "8306")).and_then(|k| k.driver), Some("newland"));
        assert_eq!(recognise(&usb("0c2e", "0b61")).and_then(|k| k.driver), Some("honeywell"));
        assert!(recognise(&usb("1a86", "7523")).is_some_and(|k| k.driver.is_none()));
        assert!(recognise(&usb("dead", "beef")).is_none());
        for driver in KNOWN.iter().filter_map(|k| k.driver).chain(probes().map(|p| p.driver)) {
            assert!(crate::registry::find(driver).is_some(), "{driver}");
        }
    }

    #[test]
    fn a_printer_is_asked_at_each_speed_before_anybody_else_and_everybody_at_each_of_theirs() {
        let asked = questions();
        let printer = asked.iter().take_while(|(p, _)| p.driver == "escpos").count();
        assert_eq!(printer, PRINTER.bauds.len());
        assert!(asked[printer..].iter().all(|(p, _)| p.driver != "escpos"));
        assert_eq!(asked.len(), probes().map(|p| p.bauds.len()).sum::<usize>());
        for baud in gm65::SPEEDS {
            assert!(asked.iter().any(|(p, b)| p.driver == "gm65" && *b == baud), "{baud}");
        }
    }

    #[test]
    fn no_answer_of_one_device_is_taken_for_that_of_another() {
        let answers: [(&str, Vec<u8>); 7] = [
            ("modbus-relay", modbus_relay::framed(&[1, 1, 1, 0])),
            ("gm65", gm65::answer(2)),
            ("zebra-ssi", ssi::framed(0xa4, 0, 0, b"PAAAAAS")),
            ("gy-mcu90614", gy_mcu90614::frame(36_500, 21_500)),
            ("haiman-peak", haiman::peak(3_650)),
            ("id-card", id_card::packet(&[0, 0, 0x80])),
            ("escpos", vec![0x12]),
        ];
        for (driver, answer) in &answers {
            let named: Vec<&str> = probes().filter(|p| (p.is_answer)(answer)).map(|p| p.driver).collect();
            assert_eq!(named, [*driver], "{answer:02x?}");
        }
        assert!(probes().all(|p| !(p.is_answer)(b"KP1:AB\r") && !(p.is_answer)(b"")));
    }
}
