//! Test data that somebody else published, where it is at hand; CI must have it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::camera::still::measure;
use kakou_drivers::codec::{Codec, Out};
use kakou_drivers::gy_mcu90614::GyMcu90614;
use kakou_drivers::jpeg::with_tables;
use kakou_drivers::mlx90640::{Calibration, Scene, SubPage};
use kakou_drivers::modbus_relay::{Dialect, ModbusRelay, crc16};
use kakou_drivers::ssi::{self, Ssi};
use kakou_drivers::thermometer::Thermometer;
use kakou_drivers::{gm65, id_card, known, newland};
use kakou_tests::hcert_case::load;
use std::path::{Path, PathBuf};

/// The folder: `KAKOU_CONFORMANCE`, or `shared/conformance` beside the project.
fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("KAKOU_CONFORMANCE").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let found = named.or(Some(beside)).filter(|p| p.is_dir());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI needs the published data: set KAKOU_CONFORMANCE");
        eprintln!("NOT RUN: no published data; set KAKOU_CONFORMANCE");
    }
    found
}

#[test]
fn every_published_certificate_is_judged_as_its_publisher_says() {
    let Some(folder) = folder() else { return };
    let cases = load(&folder.join("hcert")).unwrap();
    assert!(cases.len() > 100);
    let mut wrong = Vec::new();
    for case in &cases {
        for j in case.judge() {
            if j.expected != j.found && j.excuse.is_none() {
                wrong.push(format!("{} {}: expected {}", case.name, j.field, j.expected));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn frames(folder: &Path, section: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(folder.join("devices/frames.txt")).unwrap();
    let part = text.split("--").find(|s| s.starts_with(section)).unwrap().to_owned();
    part.lines()
        .map(|line| {
            line.split_whitespace()
                .filter(|w| w.len() == 2)
                .filter_map(|w| u8::from_str_radix(w, 16).ok())
                .collect::<Vec<u8>>()
        })
        .filter(|f| f.len() > 2)
        .collect()
}

#[test]
fn published_modbus_frames_have_our_checksum_and_the_pulse_is_ours() {
    let Some(folder) = folder() else { return };
    let frames = frames(&folder, "Modbus");
    assert!(frames.len() >= 9);
    for frame in &frames {
        // A label may end in a number that reads like a byte.
        let fits = |f: &[u8]| f[f.len() - 2..] == crc16(&f[..f.len() - 2]);
        assert!(fits(frame) || fits(&frame[1..]), "{frame:02x?}");
    }
    let mut out = Vec::new();
    let pulse = kakou_core::reading::Command::Pulse { ms: 700 };
    ModbusRelay::new(Dialect::Waveshare, 1, 0).command(0, kakou_core::reading::Ticket(1), &pulse, &mut out);
    let written =
        out.iter().find_map(|o| if let Out::Write(w) = o { Some(w.clone()) } else { None }).unwrap();
    assert!(frames.contains(&written), "{written:02x?}");
}

#[test]
fn published_questions_to_card_readers_and_speeds_of_scanners_are_ours() {
    let Some(folder) = folder() else { return };
    // They stand in one line, each in quotes.
    let text = std::fs::read_to_string(folder.join("devices/frames.txt")).unwrap();
    let line = text.lines().find(|l| l.contains("--ID reader")).unwrap();
    for what in [[0x20, 0x01], [0x20, 0x02], [0x30, 0x01]] {
        let bytes = id_card::question(what);
        let shown = bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(" ");
        assert!(line.contains(&shown), "{shown}");
    }
    let frames = frames(&folder, "GM65");
    for ours in [gm65::set_speed(9_600).unwrap(), gm65::save()] {
        assert!(frames.iter().any(|f| f.starts_with(&ours)), "{ours:02x?}");
    }
    let modules = self::frames(&folder, "GY");
    let asked = known::probes().find(|p| p.driver == "haiman-peak").unwrap();
    assert!(modules.contains(&(asked.ask)()));
}

#[test]
fn published_module_commands_are_the_ones_we_send() {
    let Some(folder) = folder() else { return };
    let frames = frames(&folder, "GY");
    let mut out = Vec::new();
    let mut codec = Thermometer::new(GyMcu90614 { body_grade: true });
    codec.command(0, kakou_core::reading::Ticket(1), &kakou_core::reading::Command::Measure, &mut out);
    codec.command(0, kakou_core::reading::Ticket(1), &kakou_core::reading::Command::Stop, &mut out);
    for o in out {
        if let Out::Write(w) = o {
            assert!(frames.iter().any(|f| f.starts_with(&w)), "{w:02x?} is not among the published frames");
        }
    }
}

#[test]
fn a_frame_without_huffman_tables_becomes_a_picture() {
    let Some(folder) = folder() else { return };
    let frame = std::fs::read(folder.join("devices/mjpeg_huffman.jpg")).unwrap();
    let whole = with_tables(&frame);
    assert_eq!(whole.len(), frame.len() + 420);
    let look = measure(&whole).unwrap();
    assert!(look.sharpness > 0 && (10..245).contains(&look.luma), "{look:?}");
    // A strict decoder of another library reads it as well.
    let seen = image::load_from_memory(&whole).unwrap();
    assert_eq!((seen.width(), seen.height()), (look.width, look.height));
}

#[test]
fn a_truncated_picture_is_no_evidence() {
    let Some(folder) = folder() else { return };
    let cut = std::fs::read(folder.join("devices/incomplete_image.jpg")).unwrap();
    assert!(measure(&cut).is_err());
    assert!(measure(b"not a picture").is_err());
}

#[test]
fn published_gm65_frames_are_ours() {
    let Some(folder) = folder() else { return };
    let frames = frames(&folder, "GM65");
    assert!(frames.len() >= 8);
    for frame in &frames {
        // Behind the frame stands the word `over`, and the checksum once more.
        let whole = usize::from(frame[3]) + if frame[0] == 0x7e { 8 } else { 6 };
        let frame = &frame[..whole];
        assert_eq!(frame[whole - 2..], gm65::crc16(&frame[2..whole - 2]), "{frame:02x?}");
    }
    assert!(frames.iter().any(|f| f.starts_with(&gm65::command(0x07, 0x002a, 2))));
    assert!(frames.iter().any(|f| f.starts_with(&gm65::answer(0))));
}

#[test]
fn published_newland_frames_are_ours() {
    let Some(folder) = folder() else { return };
    for frame in frames(&folder, "Newland") {
        let (asked, answered) = frame.split_at(16);
        let text = std::str::from_utf8(&asked[7..14]).unwrap();
        if asked[6] == b'#' && text != "SCNMOD*" {
            assert_eq!(asked, newland::command(text));
            assert_eq!(answered, newland::answer(text, 0x06));
        }
    }
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|b| u8::from_str_radix(b, 16).unwrap()).collect()
}

#[test]
fn published_ssi_packets_have_our_checksum_and_long_codes_are_whole() {
    let Some(folder) = folder() else { return };
    for frame in frames(&folder, "SSI") {
        // A label may leave a number in front.
        let at = (0..3).find(|at| {
            let length = usize::from(frame[*at]);
            frame.get(*at..at + length + 2).is_some_and(|f| f[length..] == ssi::checksum(&f[..length]))
        });
        assert!(at.is_some(), "{frame:02x?}");
    }
    let text = std::fs::read_to_string(folder.join("devices/ssi-long.txt")).unwrap();
    let packet =
        |name: &str| hex(text.lines().find(|l| l.starts_with(name)).unwrap().split_once('|').unwrap().1);
    let (mut codec, mut out) = (Ssi::default(), Vec::new());
    for segment in ["segment_1_of_3", "segment_2_of_3", "segment_3_of_3"] {
        codec.bytes(0, &packet(segment), &mut out);
    }
    let scan = |out: &[Out]| {
        out.iter().find_map(|o| {
            let Out::Report(kakou_core::reading::Report::Scan { bytes }) = o else { return None };
            Some(bytes.clone())
        })
    };
    assert_eq!(scan(&out), Some(vec![b'Z'; 500]));
    out.clear();
    codec.bytes(0, &packet("continuation_0xF3"), &mut out);
    assert_eq!(scan(&out), None, "more follows");
    codec.bytes(0, &ssi::framed(0xf3, 0, 0, b"\x1cEND"), &mut out);
    let whole = scan(&out).unwrap();
    assert_eq!(whole.len(), 255 - 5 + 3);
    assert!(whole.starts_with(b"{\"cid\"") && whole.ends_with(b"END"));
}

#[test]
fn the_published_thermal_picture_is_computed_to_a_hundredth_of_a_degree() {
    let Some(folder) = folder() else { return };
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("devices/mlx90640.json")).unwrap()).unwrap();
    let words = |key: &str| -> Vec<u16> {
        let text = json[key].as_str().unwrap();
        (0..text.len() / 4).map(|n| u16::from_str_radix(&text[4 * n..4 * n + 4], 16).unwrap()).collect()
    };
    let calibration = Calibration::read(&words("eeprom_hex_be_words_0x2400")).unwrap();
    let control = words("control_register_hex")[0];
    let mut found = vec![f64::NAN; 768];
    for half in 0..2 {
        let ram = words(&format!("frame{half}_ram_hex_be_words_0x0400"));
        let page = SubPage { ram, control, half };
        calibration.temperatures(&page, Scene { emissivity: 1.0, reflected: None }, &mut found);
    }
    let expected = json["expected_temperatures_celsius_768"].as_array().unwrap();
    let worst = expected.iter().zip(&found).map(|(e, f)| (e.as_f64().unwrap() - f).abs()).fold(0.0, f64::max);
    assert!(worst <= 0.01, "the worst pixel is {worst} °C away");
}
