//! Devices as installers meet them: found, asked, watched; on shared lines, behind cameras, with lamps; lost and
//! back again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_authority::issuer::Issuer;
use kakou_core::evidence::Hash;
use kakou_drivers::modbus_ir;
use kakou_drivers::modbus_relay::framed;
use kakou_drivers::sim::engine::AnswerSim;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scale::ScaleSim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn kakou(arguments: &[&str]) -> Output {
    Command::new(programs().join("kakou")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// A pass whose code is not too fine for a small picture.
fn card(issuer: &Issuer) -> String {
    passes::pass(issuer, "resident-card", json!({ "id": "P-1" }))
}

/// A folder with a lane whose devices are `(role, driver, port)`.
fn gateway(folder: &Path, steps: &str, devices: &[(&str, &str, String)]) -> (Gateway, Issuer) {
    let issuer = passes::issuer();
    let barrier = devices.iter().any(|(role, ..)| *role == "barrier");
    let profile = profiles::lane("small", &["resident-card"], &[], steps, barrier)
        .replace("kind = \"scan\"\n", "kind = \"scan\"\ndevice = \"scanner\"\n");
    std::fs::write(folder.join("small.toml"), profile).unwrap();
    let devices = devices.iter().map(|(r, d, p)| ((*r).to_owned(), (*d).to_owned(), p.clone())).collect();
    let plan = Plan {
        lanes: vec![("gate".into(), "small.toml".into(), devices)],
        http: true,
        tables: officers(),
        ..Plan::default()
    };
    let gateway = Gateway::prepare(folder, plan);
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    (gateway, issuer)
}

fn port(path: &Path, more: &str) -> String {
    format!("{{ path = {:?}{more} }}", shown(path))
}

#[test]
fn an_installer_finds_what_is_attached_and_gets_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let _scanner = AnswerSim::gm65(&at("scanner"), 9_600).unwrap();
    let _thermometer = ThermometerSim::new(&at("thermometer"), 36_500, Duration::from_millis(50)).unwrap();
    let _relay = RelaySim::new(&at("relay"), |_| {}).unwrap();
    let _printer = AnswerSim::printer(&at("printer"), 9_600, |_| {}).unwrap();
    let _mute = ScannerSim::new(&at("mute"), Faults::default(), 1).unwrap();
    let ports: Vec<String> =
        ["scanner", "thermometer", "relay", "printer", "mute"].map(|n| shown(&at(n))).to_vec();
    let ask = |more: &[&str]| {
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        kakou(&[&["devices", "--ask"], more, &ports].concat())
    };
    let found: Value = serde_json::from_str(said(&ask(&["--json"])).trim()).unwrap();
    let driver = |name: &str| {
        let all = found["devices"].as_array().unwrap();
        all.iter().find(|d| d["path"] == shown(&at(name))).unwrap()["driver"].clone()
    };
    assert_eq!(driver("scanner"), "gm65");
    assert_eq!(driver("thermometer"), "gy-mcu90614");
    assert_eq!(driver("relay"), "modbus-relay");
    assert_eq!(driver("printer"), "escpos");
    assert_eq!(driver("mute"), Value::Null);

    let file = shown(&at("devices.toml"));
    let page = ask(&["--write", &file]);
    assert!(page.status.success() && said(&page).contains("take `line-scanner`"), "{}", said(&page));
    let written: toml::Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    assert_eq!(written["device"].as_array().unwrap().len(), 4);
    let again = ask(&["--write", &file]);
    assert!(!again.status.success(), "nothing is overwritten");
}

#[test]
fn devices_are_found_at_whatever_speed_they_have_and_no_question_lands_on_paper() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let _scanner = AnswerSim::gm65(&at("scanner"), 115_200).unwrap();
    let paper = Arc::new(Mutex::new(Vec::new()));
    let printed = paper.clone();
    let keep = move |bytes: &[u8]| printed.lock().unwrap().extend_from_slice(bytes);
    let _printer = AnswerSim::printer(&at("printer"), 19_200, keep).unwrap();
    // A board whose adapter sends back what it gets.
    let _relay = AnswerSim::new(&at("relay"), |heard| {
        let answer =
            if heard[..] == framed(&[1, 1, 0, 0, 0, 8]) { framed(&[1, 1, 1, 0]) } else { Vec::new() };
        (!heard.is_empty()).then(|| (heard.len(), [heard, &answer].concat()))
    })
    .unwrap();
    let ports: Vec<String> = ["scanner", "printer", "relay"].map(|n| shown(&at(n))).to_vec();
    let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
    let output = kakou(&[&["devices", "--ask", "--json"], &ports[..]].concat());
    let found: Value = serde_json::from_str(said(&output).trim()).unwrap();
    let of = |name: &str| {
        let all = found["devices"].as_array().unwrap();
        all.iter().find(|d| d["path"] == shown(&at(name))).unwrap().clone()
    };
    assert_eq!((&of("scanner")["driver"], &of("scanner")["baud"]), (&json!("gm65"), &json!(115_200)));
    assert_eq!((&of("printer")["driver"], &of("printer")["baud"]), (&json!("escpos"), &json!(19_200)));
    assert!(paper.lock().unwrap().is_empty(), "questions for other devices were printed");
    assert_eq!(of("relay")["driver"], "modbus-relay");
    assert!(of("relay")["note"].as_str().unwrap().contains("sends back what it gets"), "{}", of("relay"));
    let page = said(&kakou(&[&["devices", "--ask"], &ports[..]].concat()));
    assert!(page.contains("sends back what it gets") && page.contains("baud = 115200"), "{page}");
}

#[test]
fn codes_and_temperatures_are_shown_as_they_come_and_a_recording_is_played_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut scanner = AnswerSim::gm65(&at("scanner"), 9_600).unwrap();
    let _thermometer = ThermometerSim::new(&at("thermometer"), 36_500, Duration::from_millis(50)).unwrap();
    let speaker = std::thread::spawn(move || {
        for _ in 0..20 {
            drop(scanner.say(b"KP1:HELLO\r"));
            std::thread::park_timeout(Duration::from_millis(100));
        }
    });
    let watched = kakou(&["devices", "watch", &shown(&at("scanner")), "--driver", "gm65", "--seconds", "2"]);
    speaker.join().unwrap();
    assert!(watched.status.success(), "{watched:?}");
    assert!(said(&watched).contains("code of 9 bytes: KP1:HELLO"), "{}", said(&watched));
    let warm =
        kakou(&["devices", "watch", &shown(&at("thermometer")), "--driver", "gy-mcu90614", "--seconds", "2"]);
    assert!(said(&warm).contains("36.5") && said(&warm).contains("not body-grade"), "{}", said(&warm));
    let _scale = ScaleSim::new(&at("scale"), 4_876, Duration::from_millis(50)).unwrap();
    let weighed = kakou(&["devices", "watch", &shown(&at("scale")), "--driver", "scale", "--seconds", "1"]);
    assert!(said(&weighed).contains("4876 g, steady"), "{}", said(&weighed));

    let tape = at("tape");
    std::fs::write(&tape, "3 > 7e00\n10 < 4b50313a41420d\n20 < 4b50\n700 < 313a\n705 < 4344310d\n").unwrap();
    let played = kakou(&["devices", "replay", &shown(&tape), "--driver", "line-scanner"]);
    assert!(said(&played).contains("code of 6 bytes: KP1:AB"), "{}", said(&played));
    assert!(said(&played).contains("code without its end"), "half a code is none: {}", said(&played));
    assert!(said(&played).contains("code of 5 bytes: 1:CD1"), "{}", said(&played));
    std::fs::write(&tape, "10 < 5d5131502d303030390d\n").unwrap();
    let dressed = kakou(&["devices", "replay", &shown(&tape), "--driver", "line-scanner"]);
    assert!(said(&dressed).contains("set `aim = true`"), "{}", said(&dressed));
    std::fs::write(&tape, "10 < 51502d303030390d\n").unwrap();
    let of = |card: &[&str]| {
        said(&kakou(&[&["devices", "replay", &shown(&tape), "--driver", "line-scanner"], card].concat()))
    };
    assert!(!of(&[]).contains("code_id"), "QP-0009 may be an id: {}", of(&[]));
    assert!(of(&["--card", "P-0009"]).contains("set `code_id = true`"), "{}", of(&["--card", "P-0009"]));
    assert!(of(&["--card", "QP-0009"]).contains("nothing is to be set"), "{}", of(&["--card", "QP-0009"]));
    let bad = kakou(&["devices", "replay", &shown(&tape), "--driver", "nonsense"]);
    assert!(!bad.status.success() && String::from_utf8_lossy(&bad.stderr).contains("is no driver"));
}

#[test]
fn a_reader_gets_another_speed_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let _scanner = AnswerSim::gm65(&at("scanner"), 9_600).unwrap();
    let _relay = RelaySim::new(&at("relay"), |_| {}).unwrap();
    let raised = kakou(&["devices", "speed", &shown(&at("scanner")), "--save"]);
    assert!(raised.status.success() && said(&raised).contains("baud = 115200"), "{raised:?}");
    let why = |args: &[&str]| {
        let refused = kakou(&[&["devices", "speed"], args].concat());
        assert!(!refused.status.success());
        String::from_utf8_lossy(&refused.stderr).into_owned()
    };
    assert!(why(&[&shown(&at("relay"))]).contains("nothing was changed"));
    assert!(why(&[&shown(&at("scanner")), "--to", "12345"]).contains("it has [9600"));
}

#[test]
fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let _scanner = ScannerSim::new(&at("scanner"), Faults::default(), 1).unwrap();
    let (gateway, _) = gateway(
        folder.path(),
        "",
        &[
            ("scanner", "line-scanner", port(&at("scanner"), ", baud = 115200")),
            ("barrier", "modbus-relay", port(&at("nowhere"), "")),
        ],
    );
    let file = shown(&folder.path().join("kakou.toml"));
    let examined = kakou(&["doctor", "--config", &file, "--json"]);
    assert_eq!(examined.status.code(), Some(1));
    let report: Value = serde_json::from_str(said(&examined).trim()).unwrap();
    let finding = |what: &str| {
        let all = report["findings"].as_array().unwrap();
        all.iter().find(|f| f["what"] == what).unwrap_or_else(|| panic!("{what}: {report}")).clone()
    };
    assert_eq!(finding("device gate-scanner")["severity"], "right");
    let lost = finding("device gate-barrier");
    assert_eq!(lost["severity"], "wrong");
    assert!(lost["todo"].as_str().unwrap().contains("plug it in"), "{lost}");
    assert_eq!(finding("broker")["severity"], "right");
    assert_eq!(finding("clock")["severity"], "right");
    // With the barrier there is nothing wrong any more.
    let _relay = RelaySim::new(&at("nowhere"), |_| {}).unwrap();
    let better = kakou(&["doctor", "--config", &file]);
    assert_ne!(better.status.code(), Some(1), "{}", said(&better));
    drop(gateway);
}

#[test]
fn a_camera_reads_the_code_and_takes_the_photograph_of_the_same_visit() {
    let folder = tempfile::tempdir().unwrap();
    let scene = folder.path().join("scene");
    std::fs::create_dir(&scene).unwrap();
    let step = format!("{}\ntimeout_s = 60\n", profiles::PHOTO_STEP);
    let (mut gateway, issuer) =
        gateway(folder.path(), &step, &[("scanner", "still-camera", port(&scene, ", read_codes = true"))]);
    // The same device in both roles.
    let text = std::fs::read_to_string(folder.path().join("kakou.toml")).unwrap();
    let both =
        text.replace("scanner = \"gate-scanner\"", "scanner = \"gate-scanner\", camera = \"gate-scanner\"");
    std::fs::write(folder.path().join("kakou.toml"), both).unwrap();
    gateway.start();
    picture(&scene.join("closeup.jpg"), None);
    picture(&scene.join("scene.jpg"), Some(&card(&issuer)));
    let mut desk = DeskClient::new(&gateway.url(""));
    assert!(matches!(desk.sign_in("li", PIN), Ok((200, _))));
    let accept = json!({ "action": "accept", "role": "closeup" });
    wait::until("the photograph", Duration::from_secs(20), || {
        matches!(desk.act("gate", &accept), Ok((200, _))).then_some(())
    });
    let verdict = &gateway.await_events("transaction", 1)[0];
    assert_eq!(verdict["data"]["outcome"], "ADMIT", "{verdict}");
    let bytes = std::fs::read(scene.join("closeup.jpg")).unwrap();
    let stored = gateway.data().join("photos");
    let kept = wait::try_until(Duration::from_secs(5), || find(&stored, &Hash::of(&bytes).hex()));
    assert_eq!(std::fs::read(kept.unwrap()).unwrap(), bytes, "the camera's own bytes are the evidence");
    // The desk sees what the camera sees, and a stranger does not.
    let preview = desk.picture("/api/v1/lanes/gate/preview").unwrap();
    assert_eq!(preview.0, 200);
    assert!(preview.1.starts_with(&[0xff, 0xd8]), "a JPEG");
    assert_eq!(DeskClient::new(&gateway.url("")).get("/api/v1/lanes/gate/preview").unwrap().0, 401);
    gateway.stop();
}

/// A file below a folder whose name begins so.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|e| {
        let path = e.path();
        if path.is_dir() {
            return find(&path, name);
        }
        path.file_name()?.to_str()?.starts_with(name).then_some(path)
    })
}

/// A picture of a wall, or of a code on it.
fn picture(file: &Path, text: Option<&str>) {
    let code = text.map(|t| qrcodegen::QrCode::encode_text(t, qrcodegen::QrCodeEcc::Low).unwrap());
    let dark = |x: u32, y: u32| {
        let module = |v: u32| i32::try_from(v / 5).unwrap() - 6;
        code.as_ref().is_some_and(|c| c.get_module(module(x), module(y)))
    };
    let wall = |x: u32, y: u32| if code.is_none() && (x / 7 + y / 5).is_multiple_of(2) { 90 } else { 200 };
    let image =
        image::GrayImage::from_fn(640, 480, |x, y| image::Luma([if dark(x, y) { 25 } else { wall(x, y) }]));
    let fresh = file.with_extension("new.jpg");
    image.save(&fresh).unwrap();
    std::fs::rename(fresh, file).unwrap();
}

#[test]
fn whatever_a_reader_puts_around_a_pass_the_gate_reads_the_pass_and_half_of_it_is_no_visit() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut plain = ScannerSim::new(&at("plain"), Faults::default(), 1).unwrap();
    let (mut gateway, issuer) =
        gateway(folder.path(), "", &[("scanner", "line-scanner", port(&at("plain"), ""))]);
    gateway.start();
    gateway.await_events("device", 1);
    let pass = |n: usize| passes::pass(&issuer, "resident-card", json!({ "id": format!("P-{n}") }));
    let mut visits = 0;
    let mut admits = |gateway: &Gateway, what: &str| {
        visits += 1;
        let verdict = gateway.await_events("transaction", visits).pop().unwrap();
        assert_eq!(verdict["data"]["outcome"], "ADMIT", "{what}: {verdict}");
    };
    for (n, (front, end)) in [
        ("\\000026", "\r"),
        ("\u{feff}", "\r"),
        ("\0\0", "\r\n"),
        ("\u{2}", "\u{3}"),
        ("", "\n"),
        ("NOREAD\rNR\r", "\r"),
        ("", "\t"),
    ]
    .into_iter()
    .enumerate()
    {
        plain.raw(format!("{front}{}{end}", pass(n)).as_bytes()).unwrap();
        admits(&gateway, &format!("{front:?} {end:?}"));
    }
    // Half a pass, and nothing more for longer than a reader takes: dropped, counted, no visit.
    let errors = |gateway: &Gateway| {
        let (_, body) = DeskClient::new(&gateway.url("")).get("/api/v1/status").unwrap();
        let status: Value = serde_json::from_str(&body).unwrap();
        status["devices"][0]["errors"].as_u64().unwrap()
    };
    let before = errors(&gateway);
    let whole = pass(8);
    plain.raw(&whole.as_bytes()[..40]).unwrap();
    wait::until("half a pass to be dropped", Duration::from_secs(10), || {
        (errors(&gateway) > before).then_some(())
    });
    plain.raw(format!("{whole}\r").as_bytes()).unwrap();
    admits(&gateway, "behind half a pass");
    gateway.stop();
}

#[test]
fn a_pulse_that_only_the_adapter_sends_back_is_not_confirmed_and_is_sent_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let pulses = Arc::new(Mutex::new(0));
    let counted = pulses.clone();
    // The board answers whether it is there, and does not hear that it is to act.
    let _board = AnswerSim::new(&at("board"), move |heard| {
        let request = heard.get(..8)?.to_vec();
        let answer = match request[1] {
            1 => framed(&[1, 1, 1, 0]),
            _ => {
                *counted.lock().unwrap() += 1;
                Vec::new()
            }
        };
        Some((8, [request, answer].concat()))
    })
    .unwrap();
    let mut scanner = ScannerSim::new(&at("scanner"), Faults::default(), 1).unwrap();
    let devices = [
        ("scanner", "line-scanner", port(&at("scanner"), "")),
        ("barrier", "modbus-relay", port(&at("board"), "")),
    ];
    let (mut gateway, issuer) = gateway(folder.path(), "", &devices);
    gateway.start();
    gateway.await_events("device", 2);
    scanner.scan(&card(&issuer)).unwrap();
    let failed = wait::until("that it is not confirmed", Duration::from_secs(20), || {
        gateway.events("device").into_iter().find(|e| e["data"]["code"] == "X_DEVICE")
    });
    assert_eq!(failed["data"]["device"], "barrier", "{failed}");
    assert_eq!(*pulses.lock().unwrap(), 1);
    gateway.stop();
}

#[test]
fn a_relay_and_a_thermometer_share_a_line_and_lamps_show_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let pulses = Arc::new(Mutex::new(0));
    let counted = pulses.clone();
    // A board at address 1 and a thermometer at address 2, on one pair of wires.
    let _line = AnswerSim::new(&at("bus"), move |heard| {
        let request = heard.get(..8)?;
        Some((
            8,
            match (request[0], request[1]) {
                (1, 5) => {
                    *counted.lock().unwrap() += 1;
                    request.to_vec()
                }
                (1, 1) => framed(&[1, 1, 1, 0]),
                (2, 3) => modbus_ir::answer(2, 3, 365),
                _ => Vec::new(),
            },
        ))
    })
    .unwrap();
    let lamps = Arc::new(Mutex::new(Vec::new()));
    let seen = lamps.clone();
    let _tower = AnswerSim::new(&at("tower"), move |heard| {
        let command = heard.get(..4)?.to_vec();
        seen.lock().unwrap().push(command);
        Some((4, Vec::new()))
    })
    .unwrap();
    let mut scanner = ScannerSim::new(&at("scanner"), Faults::default(), 1).unwrap();
    let warm = "[[step]]\nkind = \"temperature\"\ndevice = \"thermometer\"\nhigh_mdeg = 37300\nlow_mdeg = 35000\n\
                frames = 5\nspread_mdeg = 300\ntries = 3\nwait_s = 5\ntimeout_s = 15\n";
    let (mut gateway, issuer) = gateway(
        folder.path(),
        warm,
        &[
            ("scanner", "line-scanner", port(&at("scanner"), "")),
            ("thermometer", "modbus-ir", port(&at("bus"), ", address = 2, body_grade = true")),
            ("barrier", "modbus-relay", port(&at("bus"), "")),
            ("signal", "light-tower", port(&at("tower"), "")),
        ],
    );
    gateway.start();
    // What a scanner sends before its port is open is flushed.
    gateway.await_events("device", 4);
    for visit in 1..=5 {
        let card = passes::pass(&issuer, "resident-card", json!({ "id": "P-1" }));
        let before = *pulses.lock().unwrap();
        gateway.await_verdict(visit, || scanner.scan(&card).unwrap());
        wait::until("the barrier", Duration::from_secs(20), || {
            (*pulses.lock().unwrap() > before).then_some(())
        });
    }
    let verdicts = gateway.await_events("transaction", 5);
    assert!(verdicts.iter().all(|v| v["data"]["outcome"] == "ADMIT"), "{verdicts:?}");
    assert!(lamps.lock().unwrap().contains(&vec![0xa0, 3, 1, 0xa4]), "green");
    gateway.await_verdict(6, || scanner.scan("KP1:NONSENSE").unwrap());
    wait::until("the red or the yellow lamp, and the buzzer", Duration::from_secs(5), || {
        let lamps = lamps.lock().unwrap();
        let warned = lamps.iter().any(|l| *l == [0xa0, 1, 1, 0xa2] || *l == [0xa0, 2, 1, 0xa3]);
        (warned && lamps.contains(&vec![0xa0, 4, 1, 0xa5])).then_some(())
    });
    gateway.stop();
}

#[test]
fn a_visit_waits_for_a_weight_that_lies_still_and_is_not_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let scale = ScaleSim::new(&at("scale"), 0, Duration::from_millis(20)).unwrap();
    let _scanner = ScannerSim::new(&at("scanner"), Faults::default(), 1).unwrap();
    let (mut gateway, issuer) = gateway(
        folder.path(),
        "[[step]]\nkind = \"weigh\"\ndevice = \"scale\"\n",
        &[("scanner", "line-scanner", port(&at("scanner"), "")), ("scale", "scale", port(&at("scale"), ""))],
    );
    gateway.start();
    gateway.await_events("device", 2);
    // The empty scale is steady, and nobody's weight.
    gateway.await_events("weight", 1);
    let mut desk = DeskClient::new(&gateway.url(""));
    assert!(matches!(desk.sign_in("li", PIN), Ok((200, _))));
    let enter = json!({ "action": "enter", "text": card(&issuer) });
    assert!(matches!(desk.act("gate", &enter), Ok((200, _))));
    assert!(gateway.events("transaction").is_empty());
    scale.set(2_300);
    assert_eq!(gateway.await_events("transaction", 1)[0]["data"]["outcome"], "ADMIT");
    let weights = gateway.await_events("weight", 2);
    assert_eq!((&weights[0]["data"]["grams"], &weights[1]["data"]["grams"]), (&json!(0), &json!(2_300)));
    gateway.stop();
}

#[test]
fn a_setting_that_the_driver_does_not_know_is_refused_with_its_line_and_the_allowed_names() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |driver: &str, port: String| {
        let (_gateway, _) = gateway(folder.path(), "", &[("scanner", driver, port)]);
        let file = folder.path().join("kakou.toml");
        let checked = kakou(&["doctor", "--config", &shown(&file), "--json"]);
        let report: Value = serde_json::from_str(said(&checked).trim()).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let line = text.lines().position(|l| l.starts_with("port = ")).unwrap() + 1;
        let found = report["findings"][0]["found"].as_str().unwrap().to_owned();
        assert!(found.contains(&format!("kakou.toml:{line}:")), "{found}");
        found
    };
    let at = folder.path().join("a");
    let camera = refused("still-camera", port(&at, ", slave = 1"));
    assert!(
        camera.contains("`slave` is no setting of a still-camera; allowed: path, read_codes"),
        "{camera}"
    );
    let camera = refused("still-camera", port(&at, ", address = 1"));
    assert!(camera.contains("`address` is no setting of a still-camera"), "of another driver: {camera}");
    let scanner = refused("line-scanner", port(&at, ", body_grade = true"));
    assert!(scanner.contains("allowed: path, baud, usb, record, terminator, pause_ms"), "{scanner}");
}

#[test]
fn settings_that_do_not_fit_are_refused_with_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |device: &str, words: &str| {
        let (_gateway, _) = gateway(
            folder.path(),
            "",
            &[
                ("scanner", "line-scanner", port(&folder.path().join("a"), "")),
                ("barrier", "modbus-relay", device.to_owned()),
            ],
        );
        let file = shown(&folder.path().join("kakou.toml"));
        let checked = kakou(&["doctor", "--config", &file, "--json"]);
        let report: Value = serde_json::from_str(said(&checked).trim()).unwrap();
        let found = report["findings"][0]["found"].as_str().unwrap().to_owned();
        assert!(found.contains(words) && found.contains("kakou.toml:"), "{found}");
    };
    refuse("{ path = \"b\", dialect = \"morse\" }", "allowed: waveshare, dam");
    let same: PathBuf = folder.path().join("a");
    refuse(&port(&same, ""), "are at the same port");
    let folder = folder.path();
    let line = |baud: u32| port(&folder.join("bus"), &format!(", baud = {baud}"));
    let (_gateway, _) = gateway(
        folder,
        "",
        &[
            ("scanner", "line-scanner", port(&folder.join("a"), "")),
            ("barrier", "modbus-relay", line(9600)),
            ("signal", "modbus-ir", line(19_200)),
        ],
    );
    let checked = kakou(&["doctor", "--config", &shown(&folder.join("kakou.toml")), "--json"]);
    assert!(said(&checked).contains("give both one `baud`, `usb`"), "{}", said(&checked));
}
