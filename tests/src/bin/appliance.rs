//! The appliance as an installer meets it: a virtual machine with the real package, kernel, USB scanner
//! and V4L2 camera. It is enrolled by a QR code, plays a school-gate visit and a truck's seal visit whose
//! pass and photographs come from the camera, and the events arrive by mutual TLS.

use clap::Parser;
use kakou_authority::issuer::Issuer;
use kakou_tests::desk::{DeskClient, PIN};
use kakou_tests::disk::Disk;
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::guest::{Arch, Guest, accelerator, image};
use kakou_tests::site::Site;
use kakou_tests::{passes, wait};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Boots the appliance, enrols it, and runs two visits.
#[derive(Parser)]
struct Arguments {
    /// The machine.
    #[arg(long, value_enum, default_value = "arm64")]
    arch: Arch,
    /// A folder with kernel, initrd and disk.img of `tests/appliance/build`; made if not given.
    #[arg(long)]
    image: Option<PathBuf>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

const LIMIT: Duration = Duration::from_secs(120);
/// Pupils, and patients.
const RESIDENTS: u64 = 12;
/// Memory that the daemon may take with three busy lanes, in MB.
const RSS_MB: f64 = 30.0;
/// The size of the camera's picture: an HDMI source.
const SIDES: (usize, usize) = (1280, 720);

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let image = match &a.image {
        Some(folder) => folder.clone(),
        None => image(a.arch)?,
    };
    let folder = tempfile::tempdir()?;
    let disk = Disk::copy(&image, folder.path())?;
    let issuer = passes::issuer();
    let trust =
        json!({ "name": "trust", "version": 1, "issued": passes::now_s(), "keys": [passes::entry(&issuer)] });
    let mut site = Site::make(folder.path(), &trust)?;
    let mut figures = Map::new();
    let mut short = Vec::new();
    let mut put = |name: &str, value: Value| figures.insert(name.to_owned(), value);

    say(begun, "first boot: the box is empty");
    let mut guest = site.boot(a.arch, &image, &disk)?;
    guest.until("the daemon", "systemctl is-active kakoud", LIMIT)?;
    put("boot_to_waiting_s", json!(round(guest.begun.elapsed().as_secs_f64())));
    let enrolment = Instant::now();
    site.enrol(&mut guest)?;
    put("enrolment_s", json!(round(enrolment.elapsed().as_secs_f64())));
    say(begun, "enrolled; the list of residents goes out as a feed");
    Site::open_screens(&mut guest)?;
    site.ready()?;
    let residents: Map<String, Value> =
        (1..=RESIDENTS).map(|n| (format!("ID-{n}"), passes::healthy())).collect();
    site.feeds(&Value::Object(residents))?;
    say(begun, "a pupil at the gate");
    visit(&mut site, 1)?;
    put("code_to_first_verdict_s", json!(round(enrolment.elapsed().as_secs_f64())));
    let security = guest.ask("systemd-analyze security kakoud --no-pager | tail -1")?;
    let exposure: f64 = security.split_whitespace().find_map(|w| w.parse().ok()).unwrap_or(10.0);
    put("exposure", json!(exposure));
    if exposure > 1.5 {
        short.push(format!("the exposure of the unit is {exposure}, at most 1.5"));
    }

    say(begun, "a truck, its pass read by the camera");
    let seen = truck(&site, &mut guest, &issuer)?;
    put("seal", seen);
    // The emulated lines are FTDI adapters, as many real ones are: udev tells them to keep no bytes back.
    let latency = guest.ask("cat /sys/bus/usb-serial/devices/ttyUSB*/latency_timer | sort -nu")?;
    put("serial_latency_ms", json!(latency.trim()));
    if latency.trim() != "1" {
        short.push(format!("the serial adapters keep bytes back for {} ms", latency.trim()));
    }
    say(begun, "three lanes at once");
    let (busy, peak) = busy(&mut site, &mut guest)?;
    put("rss_mb", json!(busy));
    put("rss_peak_mb", json!(peak));
    if busy > RSS_MB {
        short.push(format!("{busy} MB resident while three lanes are busy, at most {RSS_MB}"));
    }
    guest.power_off()?;

    say(begun, "second boot: an enrolled box");
    let mut guest = site.boot(a.arch, &image, &disk)?;
    guest.until("the lanes", "systemctl is-active kakoud", LIMIT)?;
    put("boot_to_ready_s", json!(round(guest.begun.elapsed().as_secs_f64())));
    Site::open_screens(&mut guest)?;
    site.ready()?;
    visit(&mut site, RESIDENTS)?;
    put("boot_to_first_verdict_s", json!(round(guest.begun.elapsed().as_secs_f64())));
    let userspace = guest.ask("systemd-analyze | head -1").unwrap_or_default();
    put("systemd_analyze", json!(userspace.trim()));
    say(begun, "a stick with a list, and a configuration that takes a password from the unit's credentials");
    credential(&site, &mut guest)?;
    put("stick_s", json!(usb_drive(&site, &mut guest)?));
    let arrived = wait::try_until(LIMIT, || {
        let both = (
            site.events("transaction").len() as u64 >= 2 * RESIDENTS - 1,
            site.events("evidence").len() == 1,
        );
        (both == (true, true)).then_some(())
    });
    if arrived.is_none() {
        short.push("events are missing at the central side".into());
    }
    let photos = wait::try_until(LIMIT, || {
        let folders = std::fs::read_dir(site.folder.join("central/photos")).ok()?.flatten();
        let count = folders.filter(|f| f.path().is_dir()).count();
        (count >= 1).then_some(count)
    });
    if photos.is_none() {
        short.push("no photograph is at the central side".into());
    }
    put("arch", json!(a.arch.as_str()));
    put("accelerator", json!(accelerator()));
    put("events_received", json!(site.events("transaction").len()));
    put("seed", json!(1));
    put("seconds", json!(begun.elapsed().as_secs()));
    guest.power_off()?;
    Ok((figures, short))
}

/// A pupil is scanned, measured, admitted, and the barrier opens.
fn visit(site: &mut Site, n: u64) -> Result<(), Missing> {
    site.scanner.scan(&format!("ID-{n}"))?;
    let opened = wait::try_until(LIMIT, || (site.pulses[0].load(Ordering::SeqCst) == n).then_some(()));
    opened.ok_or_else(|| {
        Missing(format!("the barrier does not open: {}", site.get("/api/v1/status").unwrap_or_default()))
    })
}

/// Where systemd puts the decrypted credential of the unit.
const PASSWORD: &str = "/run/credentials/kakoud.service/broker-password";

/// Gives the unit a credential that is encrypted with the key of the machine.
fn credential(site: &Site, guest: &mut Guest) -> Result<(), Missing> {
    let place = "/etc/kakou/broker-password.cred";
    guest.ask(&format!(
        "printf secret | systemd-creds encrypt --with-key=host --name=broker-password - {place} \
         && mkdir -p /etc/systemd/system/kakoud.service.d \
         && printf '[Service]\\nLoadCredentialEncrypted=broker-password:{place}\\n' \
         > /etc/systemd/system/kakoud.service.d/password.conf \
         && systemctl daemon-reload && systemctl restart kakoud && test -s {PASSWORD}"
    ))?;
    site.ready()
}

/// A USB drive brings an edition of a list and a configuration; seconds from the plug to the configuration's end.
fn usb_drive(site: &Site, guest: &mut Guest) -> Result<f64, Missing> {
    let lists = site.events("list").len();
    std::fs::write(site.folder.join("next.json"), json!({ "S-1": {} }).to_string())?;
    let make =
        ["feed", "make", "--key", "ops.pk8", "--name", "hold", "--from", "next.json", "--out", "stick"];
    site.kakou(&[&make[..], &["--version", "2"]].concat())?;
    let config = guest.ask("cat /var/lib/kakou/enrolled/kakou.toml")?;
    let login = format!("[upstream]\nusername = \"gw-1\"\npassword_file = \"{PASSWORD}\"\n");
    std::fs::write(site.folder.join("next.toml"), config.replace("[upstream]\n", &login))?;
    let sign = [
        "feed",
        "configuration",
        "--key",
        "ops.pk8",
        "--from",
        "next.toml",
        "--version",
        "1",
        "--out",
        "stick",
    ];
    site.kakou(&sign)?;
    let plugged = Instant::now();
    guest.plug_usb_drive(&site.folder.join("stick"), "KAKOU")?;
    let mut done = |what: &str, test: &dyn Fn() -> bool| {
        wait::try_until(LIMIT, || test().then_some(())).ok_or_else(|| {
            let seen = guest.ask(
                "systemctl status run-usb-kakou.mount; ls -lR /run/usb; journalctl -n 20 -u kakoud; true",
            );
            Missing(format!("the stick's {what}: {}", seen.unwrap_or_default()))
        })
    };
    done("list", &|| site.events("list").len() > lists)?;
    done("configuration", &|| {
        site.events("configuration")
            .iter()
            .any(|e| e["data"]["version"] == 1 && e["data"]["errors"] == json!([]))
    })?;
    guest.until("the configuration", "test -e /var/lib/kakou/config/good.json", LIMIT)?;
    let seconds = round(plugged.elapsed().as_secs_f64());
    guest.pull_stick()?;
    guest.until("the stick is gone", "! mountpoint -q /run/usb/kakou", LIMIT)?;
    Ok(seconds)
}

/// Pupils at the gate and patients at the desk, while the camera looks for codes: the resident memory that
/// was seen, at most, and the kernel's own peak since the daemon's start, in MB.
fn busy(site: &mut Site, guest: &mut Guest) -> Result<(f64, f64), Missing> {
    let mut desk = DeskClient::new(&format!("http://127.0.0.1:{}", site.forward));
    desk.sign_in("zhao", PIN).map_err(Missing::from)?;
    let (mut most, mut peak) = (0.0_f64, 0.0);
    for n in 2..RESIDENTS {
        site.desk.scan(&format!("ID-{n}"))?;
        visit(site, n)?;
        for (question, value) in [("mask", "yes"), ("travel", "no"), ("symptoms", "no")] {
            let answer = json!({ "action": "answer", "question": question, "value": value });
            let taken = || matches!(desk.act("desk", &answer), Ok((200, _))).then_some(());
            wait::try_until(LIMIT, taken)
                .ok_or_else(|| Missing(format!("the desk does not ask {question}")))?;
        }
        let memory = guest.ask("awk '/^Vm(RSS|HWM)/ { print $2 / 1024 }' /proc/$(pidof kakoud)/status")?;
        let mut memory = memory.lines().filter_map(|l| l.trim().parse::<f64>().ok());
        peak = memory.next().unwrap_or(0.0);
        most = most.max(memory.next().unwrap_or(f64::INFINITY));
    }
    Ok((round(most), round(peak)))
}

/// The camera sees a pass; the officer does what the desk asks.
fn truck(site: &Site, guest: &mut Guest, issuer: &Issuer) -> Result<Value, Missing> {
    let facts = json!({ "plate": "辽P12345", "category": "emergency-supplies", "from": "211400", "to": "210100",
        "uses": 1, "crew": 2, "approvals": ["transport"] });
    let pass = passes::pass(issuer, "vehicle-pass", facts);
    show(guest, &pass)?;
    site.ready()?;
    let mut desk = DeskClient::new(&format!("http://127.0.0.1:{}", site.forward));
    let (status, answer) = desk.sign_in("zhao", PIN).map_err(Missing::from)?;
    if status != 200 {
        return Err(Missing(format!("the officer cannot sign in: {status} {answer}")));
    }
    let act = |what: &str, action: Value| -> Result<(), Missing> {
        let mut last = String::new();
        let done = wait::try_until(LIMIT, || match desk.act("truck", &action) {
            Ok((200, _)) => Some(()),
            Ok((status, answer)) => {
                last = format!("{status} {answer}");
                None
            }
            Err(e) => {
                last = e.to_string();
                None
            }
        });
        let seen = || site.get("/api/v1/status").unwrap_or_default()["lanes"][1].clone();
        done.ok_or_else(|| Missing(format!("{what}: {last}; the lane: {}", seen())))
    };
    let photo = |role: &str| {
        act(role, json!({ "action": "capture", "role": role }))?;
        act(role, json!({ "action": "accept", "role": role }))
    };
    photo("plate")?;
    act("plate", json!({ "action": "answer", "question": "plate", "value": "辽P12345" }))?;
    act("crew", json!({ "action": "answer", "question": "crew", "value": "2" }))?;
    act(
        "seal",
        json!({ "action": "seal", "first": "LN0045678", "second": "LN0045678", "kind": "bolt", "door": "rear" }),
    )?;
    photo("closeup")?;
    photo("overall")?;
    act("release", json!({ "action": "confirm", "checks": ["view", "verify", "tug", "twist"] }))?;
    let opened = wait::try_until(LIMIT, || (site.pulses[1].load(Ordering::SeqCst) == 1).then_some(()));
    opened.ok_or_else(|| Missing("the truck's barrier does not open".into()))?;
    let sealed = wait::try_until(LIMIT, || site.events("seal_applied").pop());
    let sealed = sealed.ok_or_else(|| Missing("the seal's record does not arrive".into()))?;
    Ok(
        json!({ "seals": sealed["data"]["seals"].as_array().map(Vec::len), "photos": sealed["data"]["photos"].as_array().map(Vec::len) }),
    )
}

/// Plays a picture with a code through the camera: its output is looped into its input.
fn show(guest: &mut Guest, text: &str) -> Result<(), Missing> {
    let frame = picture(text)?;
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&frame)?;
    let packed = packed.finish()?;
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, packed);
    for (n, part) in text.as_bytes().chunks(3000).enumerate() {
        let to = if n == 0 { ">" } else { ">>" };
        guest.ask(&format!("printf %s '{}' {to} /run/frame.b64", String::from_utf8_lossy(part)))?;
    }
    guest.ask("base64 -d /run/frame.b64 | gunzip > /run/frame.yuyv")?;
    let (width, height) = SIDES;
    // The input cannot be changed while the daemon holds the camera. Without the text that vivid writes into
    // each frame: it covers a corner of the code.
    guest.ask("systemctl stop kakoud && v4l2-ctl -d /dev/video0 --set-input=1 && v4l2-ctl -d /dev/video0 --set-ctrl=loop_video=1,osd_text_mode=2")?;
    guest.ask(&format!(
        "systemd-run -q --unit=picture v4l2-ctl -d /dev/video1 --set-fmt-video-out=width={width},height={height},pixelformat=YUYV --stream-out-mmap --stream-from=/run/frame.yuyv --stream-loop"
    ))?;
    guest.ask("systemctl start kakoud").map(drop)
}

/// A white YUYV picture with the code in its middle.
fn picture(text: &str) -> Result<Vec<u8>, Missing> {
    let qr = qrcodegen::QrCode::encode_text(text, qrcodegen::QrCodeEcc::Low)
        .map_err(|e| Missing(e.to_string()))?;
    let size = usize::try_from(qr.size()).unwrap_or(1);
    let (width, height) = SIDES;
    let module = (height - 40) / (size + 8);
    let (left, top) = ((width - module * size) / 2, (height - module * size) / 2);
    let mut out = Vec::with_capacity(width * height * 2);
    for y in 0..height {
        for x in 0..width {
            let inside = x >= left && y >= top && x < left + module * size && y < top + module * size;
            let at = |v: usize, from: usize| i32::try_from((v - from) / module).unwrap_or(0);
            let dark = inside && qr.get_module(at(x, left), at(y, top));
            out.extend([if dark { 30 } else { 210 }, 128]);
        }
    }
    Ok(out)
}
