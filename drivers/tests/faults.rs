//! Faults on the line, for every codec whose frames carry a checksum: bytes alone or together, noise,
//! cuts, flipped bits, frames twice. Never a panic, never a wrong reading, and after the fault at most one
//! good frame is lost.

use kakou_core::reading::{Command, Report, Ticket};
use kakou_drivers::codec::{Codec, Out};
use kakou_drivers::gy_mcu90614::GyMcu90614;
use kakou_drivers::gy_mcu90640::{self, GyMcu90640};
use kakou_drivers::haiman::{self, Haiman32, HaimanPeak};
use kakou_drivers::id_card::{self, IdCard};
use kakou_drivers::modbus_ir::{self, ModbusIr};
use kakou_drivers::registry::Make;
use kakou_drivers::scale::{self, Scale};
use kakou_drivers::ssi::{Ssi, framed};
use kakou_drivers::thermometer::Thermometer;
use kakou_drivers::{gm65, gy_mcu90614, modbus_relay};
use proptest::prelude::*;

/// A codec that reads, the frame of reading `n`, and how a report shows it.
struct Subject {
    codec: fn() -> Box<dyn Codec>,
    frame: fn(i32) -> Vec<u8>,
    shown: fn(&Report) -> Option<i32>,
    /// Readings are told in steps of so many.
    step: i32,
    /// Whether the frame has a checksum: without one a flipped bit is another reading.
    summed: bool,
    /// Whether each frame answers a question. A bit flipped in its length makes it swallow what follows; then the
    /// driver asks anew, and the answer to that is read.
    asked: bool,
}

fn celsius(report: &Report) -> Option<i32> {
    if let Report::Temperature { frame, .. } = report { Some(frame.object_mdeg / 10) } else { None }
}

fn number(report: &Report) -> Option<i32> {
    let Report::Scan { bytes } = report else { return None };
    std::str::from_utf8(bytes).ok().and_then(|t| t.strip_prefix("KP1:")?.parse().ok()).or(Some(-1))
}

fn measuring<C: Codec>(mut codec: C) -> C {
    let mut out = Vec::new();
    codec.opened(0, &mut out);
    codec.command(0, Ticket(1), &Command::Measure, &mut out);
    codec
}

/// A reader that has found and selected a card, again after each.
struct Cards(IdCard);

impl Cards {
    fn new() -> Self {
        let mut card = IdCard::default();
        let mut out = Vec::new();
        card.opened(0, &mut out);
        card.bytes(1, &id_card::packet(&[0, 0, 0x9f]), &mut out);
        card.bytes(1, &id_card::packet(&[0, 0, 0x90]), &mut out);
        Self(card)
    }
}

impl Codec for Cards {
    fn opened(&mut self, now: u64, out: &mut Vec<Out>) {
        self.0.opened(now, out);
    }
    fn bytes(&mut self, now: u64, bytes: &[u8], out: &mut Vec<Out>) {
        for byte in bytes {
            let before = out.len();
            self.0.bytes(now, &[*byte], out);
            if out[before..].contains(&Out::Seen) {
                *self = Self::new();
            }
        }
    }
    fn command(&mut self, now: u64, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        self.0.command(now, ticket, command, out);
    }
    fn deadline(&self) -> Option<u64> {
        self.0.deadline()
    }
    fn wake(&mut self, now: u64, out: &mut Vec<Out>) {
        self.0.wake(now, out);
    }
    fn lost(&mut self) -> Option<Ticket> {
        self.0.lost()
    }
}

/// A made-up number with `n` in it and a right last digit (ISO 7064 MOD 11-2).
fn id_number(n: i32) -> String {
    let digits = format!("1101051949123{n:04}");
    let sum = digits.bytes().fold(0, |sum, d| (sum + u32::from(d - b'0')) * 2 % 11);
    let check = (12 - sum) % 11;
    if check == 10 { format!("{digits}X") } else { format!("{digits}{check}") }
}

const SUBJECTS: [Subject; 8] = [
    Subject {
        codec: || Box::new(measuring(Thermometer::new(HaimanPeak { body_grade: true }))),
        frame: |n| haiman::peak(i16::try_from(n).unwrap_or(i16::MAX)),
        shown: celsius,
        step: 1,
        summed: true,
        asked: false,
    },
    Subject {
        codec: || Box::new(measuring(Thermometer::new(Haiman32 { black_body: None }))),
        frame: |n| haiman::array(i16::try_from(n / 10).unwrap_or(i16::MAX), 220),
        shown: celsius,
        step: 10,
        summed: false,
        asked: false,
    },
    Subject {
        codec: || Box::new(measuring(Thermometer::new(ModbusIr::new(modbus_ir::PROFILES[0], 1, true)))),
        frame: |n| modbus_ir::answer(1, 3, i16::try_from(n / 10).unwrap_or(i16::MAX)),
        shown: celsius,
        step: 10,
        summed: true,
        asked: false,
    },
    Subject {
        codec: || Box::new(Scale::default()),
        frame: |n| scale::line(true, n.into()),
        shown: |r| if let Report::Weight { grams, .. } = r { i32::try_from(*grams).ok() } else { None },
        step: 1,
        summed: false,
        asked: false,
    },
    Subject {
        codec: || Box::new(Cards::new()),
        frame: |n| id_card::card(&id_number(n)),
        shown: |r| {
            let Report::Scan { bytes } = r else { return None };
            std::str::from_utf8(bytes).ok().and_then(|t| t.get(13..17)?.parse().ok()).or(Some(-1))
        },
        step: 1,
        summed: true,
        asked: true,
    },
    Subject {
        codec: || Box::new(measuring(Thermometer::new(GyMcu90614 { body_grade: true }))),
        frame: |n| gy_mcu90614::frame(n * 10, 20_000),
        shown: celsius,
        step: 1,
        summed: true,
        asked: false,
    },
    Subject {
        codec: || Box::new(measuring(Thermometer::new(GyMcu90640 { black_body: None }))),
        frame: |n| {
            let n = i16::try_from(n).unwrap_or(i16::MAX);
            gy_mcu90640::frame(&[n; gy_mcu90640::COLUMNS * gy_mcu90640::ROWS], 2_000)
        },
        shown: celsius,
        step: 1,
        summed: true,
        asked: false,
    },
    Subject {
        codec: || Box::new(Ssi::default()),
        frame: |n| framed(0xf3, 0, 0, &[&[0x1c], format!("KP1:{n}").as_bytes()].concat()),
        shown: number,
        step: 1,
        summed: true,
        asked: false,
    },
];

#[derive(Debug, Clone)]
enum Fault {
    Good,
    Noise(Vec<u8>),
    /// The frame breaks off after this share of it, in thousandths.
    Cut(usize),
    /// A bit of the frame is flipped.
    Flip(usize),
    Twice,
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Good),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Fault::Noise),
        (0_usize..1_000).prop_map(Fault::Cut),
        any::<usize>().prop_map(Fault::Flip),
        Just(Fault::Twice),
    ]
}

fn spoiled(frame: &[u8], fault: &Fault) -> Vec<u8> {
    match fault {
        Fault::Good => frame.to_vec(),
        Fault::Noise(noise) => [noise.as_slice(), frame].concat(),
        Fault::Cut(share) => frame[..frame.len() * share / 1_000].to_vec(),
        Fault::Flip(bit) => {
            let mut out = frame.to_vec();
            let bit = bit % (out.len() * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            out
        }
        Fault::Twice => [frame, frame].concat(),
    }
}

/// Feeds a stream in pieces of these sizes, again and again, and lets the pause behind it pass; every reading that came
/// out. Where the driver asks anew, that is answered.
fn read(subject: &Subject, stream: &[u8], pieces: &[usize], anew: Option<&[u8]>) -> Vec<i32> {
    let (mut codec, mut out, mut rest) = ((subject.codec)(), Vec::new(), stream);
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        codec.bytes(1, now, &mut out);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    codec.wake(900, &mut out);
    if let Some(frame) = anew {
        // The question that nobody answered is over, then the rest, then the next question.
        let before = out.len();
        while !out[before..].iter().any(|o| matches!(o, Out::Write(_))) {
            let at = codec.deadline().expect("it waits for an answer");
            codec.wake(at, &mut out);
        }
        codec.bytes(9_000, &id_card::packet(&[0, 0, 0x9f]), &mut out);
        codec.bytes(9_000, frame, &mut out);
    }
    out.iter().filter_map(|o| if let Out::Report(r) = o { (subject.shown)(r) } else { None }).collect()
}

proptest! {
    #[test]
    fn no_fault_makes_a_reading_and_the_line_recovers(
        which in 0_usize..SUBJECTS.len(),
        faults in prop::collection::vec((fault(), 2_000_i32..4_500), 1..6),
        pieces in prop_oneof![Just(vec![1]), Just(vec![usize::MAX]), prop::collection::vec(1_usize..700, 1..40)],
    ) {
        let subject = &SUBJECTS[which];
        let mut stream = Vec::new();
        for (fault, n) in &faults {
            if matches!(fault, Fault::Flip(_)) && !subject.summed {
                continue;
            }
            stream.extend(spoiled(&(subject.frame)(*n), fault));
        }
        // Two good frames: a cut one may swallow the first of them.
        for n in [4_501, 4_502] {
            stream.extend((subject.frame)(n));
        }
        let flipped = faults.iter().any(|(fault, _)| matches!(fault, Fault::Flip(_)));
        let last = (subject.frame)(4_502);
        let anew = (subject.asked && flipped).then_some(last.as_slice());
        let readings = read(subject, &stream, &pieces, anew);
        // Some devices tell tenths only.
        let told = |n: i32| n / subject.step * subject.step;
        for r in &readings {
            let sent = faults.iter().any(|(_, n)| told(*n) == *r) || [4_501, 4_502].map(told).contains(r);
            prop_assert!(sent, "{r} was never sent");
        }
        prop_assert_eq!(readings.last(), Some(&told(4_502)));
    }

    #[test]
    fn no_bytes_at_all_harm_a_driver(bytes in prop::collection::vec(any::<u8>(), 0..600), piece in 1_usize..64) {
        let options: kakou_drivers::options::Options =
            serde_json::from_str(r#"{"path": "p"}"#).expect("a path is enough");
        for driver in &kakou_drivers::registry::DRIVERS {
            let make = match driver.make {
                Make::Serial(make) | Make::Shared(make) => make,
                Make::Blocking(_) => continue,
            };
            let (mut codec, mut out) = (make(&options).expect("the settings are good"), Vec::new());
            codec.opened(0, &mut out);
            for (n, command) in [Command::Measure, Command::Pulse { ms: 500 }, Command::Stop].iter().enumerate() {
                codec.command(1, Ticket(n as u64), command, &mut out);
                for (at, part) in bytes.chunks(piece).enumerate() {
                    codec.bytes(at as u64, part, &mut out);
                    if codec.deadline().is_some_and(|d| d <= at as u64) {
                        codec.wake(at as u64, &mut out);
                    }
                }
            }
            let done = out.iter().any(|o| matches!(o, Out::Report(Report::Done { .. } | Report::Temperature { .. })));
            prop_assert!(!done, "{} took noise for an answer", driver.name);
            codec.lost();
        }
    }
}

/// Where a frame of this length is cut: a long one near its ends and now and then.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (1..length).filter(move |cut| *cut < 40 || length - cut < 20 || cut % 97 == 0)
}

/// What is read is one of these, and the last of them is.
fn assert_sent(subject: &Subject, readings: &[i32], sent: &[i32], what: std::fmt::Arguments<'_>) {
    let told = |n: &i32| n / subject.step * subject.step;
    assert!(readings.iter().all(|r| sent.iter().any(|n| told(n) == *r)), "{what}: {readings:?}");
    assert_eq!(readings.last().copied(), sent.last().map(told), "{what}");
}

#[test]
fn a_frame_cut_behind_any_of_its_bytes_loses_at_most_the_next() {
    for (which, subject) in SUBJECTS.iter().enumerate() {
        let whole = (subject.frame)(2_000);
        for cut in cuts(whole.len()) {
            let stream = [&whole[..cut], &(subject.frame)(4_501), &(subject.frame)(4_502)].concat();
            for pieces in [1, usize::MAX] {
                let readings = read(subject, &stream, &[pieces], None);
                assert_sent(
                    subject,
                    &readings,
                    &[2_000, 4_501, 4_502],
                    format_args!("{which}, cut behind {cut}"),
                );
            }
        }
    }
}

#[test]
fn a_frame_that_breaks_off_and_a_flipped_bit_in_the_next_never_make_a_reading_together() {
    // The short ones: their sums are right by chance now and then.
    for (which, subject) in
        SUBJECTS.iter().enumerate().filter(|(_, s)| s.summed && (s.frame)(2_000).len() < 64)
    {
        for (first, next) in [(2_000, 3_418), (3_328, 2_000), (3_656, 4_499), (3_640, 3_650)] {
            let whole = (subject.frame)(next);
            for (cut, bit) in (1..whole.len()).flat_map(|cut| (0..whole.len() * 8).map(move |bit| (cut, bit)))
            {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let broken = [&(subject.frame)(first)[..cut], &flipped].concat();
                let stream = [broken, (subject.frame)(4_501), (subject.frame)(4_502)].concat();
                let readings = read(subject, &stream, &[usize::MAX], None);
                let what = format_args!("{which}, {first} cut behind {cut}, bit {bit} of {next}");
                assert_sent(subject, &readings, &[first, next, 4_501, 4_502], what);
            }
        }
    }
}

#[test]
fn property_tests_try_the_same_cases_each_time() {
    // Cargo gives the seed, or whoever wants other cases.
    assert_ne!(ProptestConfig::default().rng_seed, proptest::test_runner::RngSeed::Random);
}

#[test]
fn a_late_answer_belongs_to_nobody() {
    // A board that answers after the time: the pulse has failed, and the answer opens nothing.
    let mut relay = modbus_relay::ModbusRelay::new(modbus_relay::Dialect::Waveshare, 1, 0);
    let mut out = Vec::new();
    relay.command(0, Ticket(1), &Command::Pulse { ms: 700 }, &mut out);
    relay.wake(modbus_relay::CONFIRM_MS, &mut out);
    out.clear();
    relay.bytes(modbus_relay::CONFIRM_MS + 50, &modbus_relay::framed(&[1, 5, 2, 0, 0, 7]), &mut out);
    assert!(!out.iter().any(|o| matches!(o, Out::Report(_))));
    // A reader that answers after the time: what it says is text at most, never a setting.
    let mut reader = kakou_drivers::engine_scanner::EngineScanner::new(
        gm65::Gm65::new(gm65::Trigger::Continuous),
        kakou_drivers::line_scanner::Terminator::Auto,
    );
    reader.opened(0, &mut out);
    for now in [500, 1_000, 1_500] {
        reader.wake(now, &mut out);
    }
    out.clear();
    reader.bytes(1_600, &gm65::answer(3), &mut out);
    assert!(!out.iter().any(|o| matches!(o, Out::Write(_))));
}
