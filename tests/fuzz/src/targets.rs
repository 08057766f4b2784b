//! What is fuzzed, one target for each codec and for everything else that parses what a stranger can send: to a device, to a
//! gateway, to the central side. `main.rs` runs them with libFuzzer, and a test of `cargo test` runs the kept corpora.

use kakou_central::feeds::{columns, table};
use kakou_central::ingest::{self, From, compact};
use kakou_core::codes::Outcome;
use kakou_core::hl7::word::{Standing, Told, changes};
use kakou_core::pass::trust::{TrustFile, TrustList};
use kakou_core::pass::{self, Check};
use kakou_core::reading::{Command, Ticket};
use kakou_core::records::LISTS;
use kakou_core::register::{Slot, see};
use kakou_core::{entry, hl7, profile, scenario, signed};
use kakou_drivers::camera::frame::{Frame, Pixels};
use kakou_drivers::camera::watch::CodeWatch;
use kakou_drivers::codec::Codec;
use kakou_drivers::mlx90640::{Calibration, PIXELS, Scene, SubPage, WORDS};
use kakou_drivers::options::Options;
use kakou_drivers::qr::{Effort, Grey, Reader};
use kakou_drivers::registry::{self, Make};
use kakou_drivers::{jpeg, record};
use kakou_gateway::http::act::Act;
use kakou_gateway::{config, evidence, feeds, pack};
use kakou_provisioning::code;
use kakou_wire::{enrol, feed, order, peers, receipt};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

/// More output than this from one input is a loop.
const MAX_OUT: usize = 100_000;
/// 2022-05-24, in seconds.
const NOW_S: i64 = 1_653_364_800;

/// What takes the bytes.
pub enum Target {
    /// A codec, by a little language of its own.
    Codec(fn(&Options) -> Result<Box<dyn Codec>, String>),
    /// Anything else, as they are.
    Other(fn(&[u8])),
}

/// A name, and what takes the bytes.
type Other = (&'static str, fn(&[u8]));

/// What is no codec.
const OTHERS: [Other; 19] = [
    ("qr-picture", qr),
    ("camera-frame", frame),
    ("jpeg-tables", |b| drop(jpeg::with_tables(b))),
    ("pass-text", |b| {
        let trust = TrustList::default();
        drop(pass::check(b, Check { trust: &trust, now_s: Some(NOW_S), region: "CN" }));
    }),
    ("recording", |b| drop(record::read(&String::from_utf8_lossy(b)))),
    ("mlx90640", mlx90640),
    ("hl7", hospital),
    ("profile", |b| drop(profile::read("fuzz.toml", &String::from_utf8_lossy(b)))),
    ("scenario", |b| drop(scenario::read("fuzz.toml", &String::from_utf8_lossy(b)))),
    ("configuration", configuration),
    ("list-entry", list_entry),
    ("trust-list", trust_list),
    ("signed-word", signed_word),
    ("what-is-signed", what_is_signed),
    ("what-gateways-tell", what_gateways_tell),
    ("what-the-centre-hears", what_the_centre_hears),
    ("table", list_table),
    ("desk-act", |b| drop(json::<Act>(b))),
    ("file-of-evidence", |b| drop(evidence::verify::read(b))),
];

/// The names of all targets.
pub fn names() -> impl Iterator<Item = &'static str> {
    let codecs = registry::DRIVERS.iter().filter(|d| !matches!(d.make, Make::Blocking(_))).map(|d| d.name);
    codecs.chain(OTHERS.iter().map(|o| o.0))
}

/// The one of a name.
pub fn find(name: &str) -> Option<Target> {
    if let Some((_, other)) = OTHERS.iter().find(|(n, _)| *n == name) {
        return Some(Target::Other(*other));
    }
    match registry::find(name).map(|d| d.make) {
        Some(Make::Serial(make) | Make::Shared(make)) => Some(Target::Codec(make)),
        Some(Make::Blocking(_)) | None => None,
    }
}

impl Target {
    /// Gives it some bytes.
    pub fn run(&self, data: &[u8]) {
        match self {
            Self::Codec(make) => {
                codec(make(&Options::at(Path::new("p"))).expect("the settings are good"), data)
            }
            Self::Other(run) => run(data),
        }
    }
}

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// What is read can be written, and is read again as the same.
fn again<T: DeserializeOwned + serde::Serialize + PartialEq>(bytes: &[u8]) -> Option<T> {
    let read: T = json(bytes)?;
    let written = serde_json::to_vec(&read).expect("what was JSON is JSON");
    assert!(
        json::<T>(&written).as_ref() == Some(&read),
        "it is not what it was: {}",
        String::from_utf8_lossy(&written)
    );
    Some(read)
}

/// The configuration of a gateway, with no policy beside it.
fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    drop(config::read_with(&text, Path::new("/nowhere/kakou.toml"), &|_| None));
}

/// An entry of the list that the first byte chooses.
fn list_entry(data: &[u8]) {
    let [list, json @ ..] = data else { return };
    let Ok(facts) = serde_json::from_slice::<Map<String, Value>>(json) else { return };
    let list = LISTS[usize::from(*list) % LISTS.len()];
    if let Ok(read) = entry::read(list, facts) {
        let once_more = entry::read(list, read.clone()).expect("what was read can be read");
        assert_eq!(once_more, read);
        for fact in entry::facts(list) {
            drop(fact.value(Some(&read)));
        }
    }
}

fn trust_list(data: &[u8]) {
    if let Some(file) = json::<TrustFile>(data) {
        drop(TrustList::from_file(&file, "trust"));
    }
}

/// Envelopes as files and as QR codes, and the line that enrols a box.
fn signed_word(data: &[u8]) {
    let keys = TrustList::default();
    drop(signed::open(data, feed::HEAD, &keys, feed::usage("status"), Some(NOW_S)));
    assert!(!feeds::is_signed(data, &keys, Some(NOW_S)), "nobody has signed it");
    if let Ok(code) = code::Code::read(&String::from_utf8_lossy(data)) {
        assert_eq!(code::Code::read(&code.text()).map(|again| again.text()).ok(), Some(code.text()));
    }
}

/// What stands in an envelope whose signature is good, and what an enrolment answers.
fn what_is_signed(data: &[u8]) {
    if let Some(head) = again::<feed::Head>(data) {
        drop(head.fault());
        for from in [None, Some(0), Some(head.version)] {
            black_box(head.part_from(from).map(feed::Head::chunks));
        }
    }
    if let Some(command) = json::<order::Command>(data) {
        for now in [None, Some(0), Some(NOW_S), Some(i64::MAX)] {
            drop(command.judge(now));
        }
    }
    drop(json::<feed::Entry>(data));
    drop(json::<order::Configuration>(data));
    drop(json::<order::Question>(data));
    drop(json::<enrol::Bundle>(data));
    drop(json::<enrol::Renewed>(data));
    drop(json::<receipt::Receipt>(data));
    drop(json::<receipt::PhotoReceipt>(data));
    drop(pack::bundle::read_body(data));
}

/// Uses, slots and entries between the gateways of a site.
fn what_gateways_tell(data: &[u8]) {
    if let Some(used) = json::<peers::Used>(data) {
        used.is_good();
    }
    if let Some(ask) = json::<peers::Ask>(data) {
        ask.is_good();
    }
    if let Some(page) = json::<peers::Page>(data) {
        page.is_good();
    }
    if let Some(patient) = json::<peers::ToldPatient>(data) {
        patient.is_good();
    }
    if let Some(told) = json::<peers::ToldSlot>(data) {
        told.is_good();
    }
    if let Some(slot) = json::<Slot>(data).filter(Slot::is_good) {
        let merged = slot.clone().merge(slot.clone());
        // Heard twice is heard once, also where it was given back meanwhile.
        assert_eq!(merged.clone().merge(slot.clone()), merged);
        for now_ms in [None, Some(0), Some(i64::MAX)] {
            black_box((slot.is_held(now_ms), slot.was_held(now_ms), slot.gone_ms(), slot.alarm_ms()));
            let both = vec![slot.clone(), merged.clone()];
            drop(see(both, std::slice::from_ref(&slot.holder), now_ms));
        }
    }
}

/// A message of a gateway to the central side, live and late.
fn what_the_centre_hears(data: &[u8]) {
    let Some((from, _)) = From::of_topic("kakou/v1/test/gw-1/evt/v/transaction") else { return };
    for late in [false, true] {
        drop(ingest::read(&from, late, data));
    }
    let text = String::from_utf8_lossy(data);
    if serde_json::from_str::<Value>(&text).is_ok() {
        let small = compact(&text);
        assert_eq!(compact(&small), small, "what is compact stays so");
    }
}

/// A table of an office that is to become a list.
fn list_table(data: &[u8]) {
    let known = table::ColumnNames {
        named: &|title| columns::of_list("status", None, title),
        leave_out: &[],
        all: "",
    };
    drop(table::read(data, &known));
}

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
    let from = hl7::answer::From {
        gateway: "gw-1",
        number: "1",
        now_ms: 1_653_364_800_000,
        utc_offset_ms: 28_800_000,
    };
    for charset in [hl7::Charset::Utf8, hl7::Charset::Gb18030] {
        let with =
            hl7::Reading { charset, utc_offset_ms: 28_800_000, id_type: "", now_ms: Some(from.now_ms) };
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
    let all: Vec<u8> =
        pixels.iter().copied().cycle().take(if pixels.is_empty() { 0 } else { width * height }).collect();
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
    black_box(kakou_drivers::camera::thermal::lepton(&frame, Some([3, 3])));
    black_box(kakou_drivers::camera::thermal::amg88xx(&frame, None));
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
