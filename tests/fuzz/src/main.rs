//! One fuzz target for each codec and for everything else that parses what a stranger can send to a device. The
//! variable `KAKOU_FUZZ` names the target; `./run` goes through them.
#![no_main]

use kakou_core::codes::Outcome;
use kakou_core::hl7::word::{Standing, Told, changes};
use kakou_core::hl7;
use kakou_core::pass::{self, Check, trust::TrustList};
use kakou_core::reading::{Command, Ticket};
use kakou_drivers::camera::frame::{Frame, Pixels};
use kakou_drivers::camera::watch::CodeWatch;
use kakou_drivers::codec::Codec;
use kakou_drivers::mlx90640::{Calibration, PIXELS, Scene, SubPage, WORDS};
use kakou_drivers::qr::{Effort, Grey, Reader};
use kakou_drivers::options::Options;
use kakou_drivers::registry::{self, Make};
use kakou_drivers::{jpeg, record};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

/// More output than this from one input is a loop.
const MAX_OUT: usize = 100_000;

enum Target {
    Codec(fn(&Options) -> Result<Box<dyn Codec>, String>),
    Other(fn(&[u8])),
}

/// What is no codec.
const OTHERS: [(&str, fn(&[u8])); 7] = [
    ("qr-picture", qr),
    ("camera-frame", frame),
    ("jpeg-tables", |b| drop(jpeg::with_tables(b))),
    ("pass-text", |b| {
        let trust = TrustList::default();
        drop(pass::check(b, Check { trust: &trust, now_s: Some(1_650_000_000), region: "CN" }));
    }),
    ("recording", |b| drop(record::read(&String::from_utf8_lossy(b)))),
    ("mlx90640", mlx90640),
    ("hl7", hospital),
];

/// Those that guard what they call: a panic inside is counted by them and is no failure.
const GUARDED: [&str; 2] = ["qr-picture", "camera-frame"];

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("KAKOU_FUZZ").unwrap_or_default();
    if let Some((_, other)) = OTHERS.iter().find(|(n, _)| *n == name) {
        if GUARDED.contains(&name.as_str()) {
            // The reader guards other people's code; a panic that gets past the guard ends the process all the same.
            std::panic::set_hook(Box::new(|_| {}));
        }
        return Target::Other(*other);
    }
    match registry::find(&name).map(|d| d.make) {
        Some(Make::Serial(make) | Make::Shared(make)) => Target::Codec(make),
        Some(Make::Blocking(_)) | None => {
            let codecs = registry::DRIVERS.iter().filter(|d| !matches!(d.make, Make::Blocking(_))).map(|d| d.name);
            let names: Vec<&str> = codecs.chain(OTHERS.iter().map(|o| o.0)).collect();
            println!("{}", names.join(" "));
            std::process::exit(0);
        }
    }
});

fuzz_target!(|data: &[u8]| {
    match &*TARGET {
        Target::Codec(make) => codec(make(&Options::at(Path::new("p"))).expect("the settings are good"), data),
        Target::Other(run) => run(data),
    }
});

/// A byte says what happens next: bytes arrive, time passes, the lane asks, the port is lost.
fn codec(mut codec: Box<dyn Codec>, data: &[u8]) {
    let (mut out, mut now, mut rest) = (Vec::new(), 0, data);
    codec.opened(now, &mut out);
    while let Some((&what, more)) = rest.split_first() {
        rest = more;
        match what {
            0..200 => {
                let (chunk, more) = rest.split_at(usize::from(what).min(rest.len()));
                codec.bytes(now, chunk, &mut out);
                rest = more;
            }
            200..230 => {
                now += u64::from(what - 199) * 20;
                while codec.deadline().is_some_and(|at| at <= now) {
                    let before = codec.deadline();
                    codec.wake(now, &mut out);
                    if codec.deadline() == before {
                        break;
                    }
                }
            }
            230..250 => {
                let command = match what % 7 {
                    0 => Command::Measure,
                    1 => Command::Stop,
                    2 => Command::Pulse { ms: 700 },
                    3 => Command::Print { lines: vec!["qr:A".into(), "请".into()] },
                    4 => Command::Read { on: true },
                    5 => Command::Read { on: false },
                    _ => Command::Signal { outcome: Outcome::Deny, ms: 500 },
                };
                codec.command(now, Ticket(u64::from(what)), &command, &mut out);
            }
            250..=255 => {
                codec.lost();
                codec.opened(now, &mut out);
            }
        }
        assert!(out.len() < MAX_OUT, "endless output");
    }
}

/// A message of a hospital, in either encoding, and the answer to it.
fn hospital(data: &[u8]) {
    let from = hl7::answer::From { gateway: "gw-1", number: "1", now_ms: 1_653_364_800_000, utc_offset_ms: 28_800_000 };
    for charset in [hl7::Charset::Utf8, hl7::Charset::Gb18030] {
        let with = hl7::Reading { charset, utc_offset_ms: 28_800_000, id_type: "", now_ms: Some(from.now_ms) };
        match hl7::read(data, &with) {
            Ok(message) => {
                drop(hl7::answer::accepted(&message.header, from));
                let list = Standing::default();
                if let Told::Words(words) = changes(&message, from.now_ms, Some(&list), Some(&list)) {
                    assert!(words.iter().all(|(list, word)| word.is_good(list)), "{words:?}");
                }
            }
            Err(refusal) => drop(hl7::answer::refused(&refusal, from)),
        }
    }
}

/// A picture whose first two bytes are its size.
fn qr(data: &[u8]) {
    let [width, height, pixels @ ..] = data else { return };
    let (width, height) = (usize::from(*width).max(1), usize::from(*height).max(1));
    let all: Vec<u8> = pixels.iter().copied().cycle().take(if pixels.is_empty() { 0 } else { width * height }).collect();
    if let Some(picture) = Grey::new(all, width, height) {
        Reader::default().read(&picture, Effort::Still, Duration::from_millis(200));
    }
}

fn frame(data: &[u8]) {
    let [form, width, height, stride, bytes @ ..] = data else { return };
    let forms = [Pixels::Jpeg, Pixels::Yuyv, Pixels::Grey, Pixels::Nv12, Pixels::Y16, Pixels::Y16Be];
    let frame = Frame {
        bytes,
        pixels: forms[usize::from(*form) % forms.len()],
        width: usize::from(*width),
        height: usize::from(*height),
        stride: usize::from(*stride),
    };
    drop(frame.jpeg());
    drop(kakou_drivers::camera::thermal::lepton(&frame, Some([3, 3])));
    drop(kakou_drivers::camera::thermal::amg88xx(&frame, None));
    if let Some(luma) = frame.luma() {
        CodeWatch::default().look(0, &luma);
    }
}

fn mlx90640(data: &[u8]) {
    let words: Vec<u16> = data.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    if words.is_empty() {
        return;
    }
    let many = |skip: usize| -> Vec<u16> { words.iter().copied().cycle().skip(skip).take(WORDS).collect() };
    if let Ok(calibration) = Calibration::read(&many(0)) {
        let page = SubPage { ram: many(7), control: words[0], half: usize::from(words[0] & 1) };
        let mut out = vec![0.0; PIXELS];
        calibration.temperatures(&page, Scene { emissivity: 0.98, reflected: None }, &mut out);
    }
}
