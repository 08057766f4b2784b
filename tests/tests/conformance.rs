//! Test data that somebody else published, where it is at hand; CI must have it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::camera::measure;
use kakou_drivers::codec::{Codec, Out};
use kakou_drivers::gy_mcu90614::GyMcu90614;
use kakou_drivers::modbus_relay::{ModbusRelay, crc16};
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
    ModbusRelay::new(1, 0).command(0, kakou_core::reading::Ticket(1), &pulse, &mut out);
    let written =
        out.iter().find_map(|o| if let Out::Write(w) = o { Some(w.clone()) } else { None }).unwrap();
    assert!(frames.contains(&written), "{written:02x?}");
}

#[test]
fn published_module_commands_are_the_ones_we_send() {
    let Some(folder) = folder() else { return };
    let frames = frames(&folder, "GY");
    let mut out = Vec::new();
    let mut codec = GyMcu90614::new(true);
    codec.command(0, kakou_core::reading::Ticket(1), &kakou_core::reading::Command::Measure, &mut out);
    codec.command(0, kakou_core::reading::Ticket(1), &kakou_core::reading::Command::Stop, &mut out);
    for o in out {
        if let Out::Write(w) = o {
            assert!(frames.iter().any(|f| f.starts_with(&w)), "{w:02x?} is not among the published frames");
        }
    }
}

#[test]
fn a_truncated_picture_is_no_evidence() {
    let Some(folder) = folder() else { return };
    let cut = std::fs::read(folder.join("devices/incomplete_image.jpg")).unwrap();
    assert!(measure(&cut).is_err());
    assert!(measure(b"not a picture").is_err());
}
