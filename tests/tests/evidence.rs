//! The evidence of a truck that two lanes of a real daemon have seen, with photographs of a camera: exported while the
//! daemon runs, and verified by the command alone.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::{passes, wait};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const PLATE: &str = "辽P12345";
const SEAL: &str = "LN0045678";

/// A desk at which one officer does everything.
struct Desk {
    client: DeskClient,
    lane: &'static str,
}

impl Desk {
    fn of(gateway: &Gateway, lane: &'static str) -> Self {
        let mut client = DeskClient::new(&gateway.url(""));
        assert_eq!(client.sign_in("zhao", PIN).unwrap().0, 200);
        Self { client, lane }
    }

    /// Acts as soon as the lane takes it.
    fn act(&self, act: &Value) {
        let mut last = Value::Null;
        let done = wait::try_until(LIMIT, || {
            let (status, body) = self.client.act(self.lane, act).unwrap();
            last = body;
            (status == 200).then_some(())
        });
        assert!(done.is_some(), "{act}: {last}");
    }

    fn photo(&self, role: &str) {
        self.act(&json!({ "action": "accept", "role": role }));
    }

    fn answer(&self, question: &str, value: &str) {
        self.act(&json!({ "action": "answer", "question": question, "value": value }));
    }
}

fn kakou(arguments: &[&str]) -> Output {
    Command::new(programs().join("kakou")).args(arguments).output().unwrap()
}

/// A gateway with the lane that seals and the lane that checks, and cameras that see what the demo's see.
fn truck_stop(folder: &Path) -> (Gateway, Vec<Box<dyn Send>>, String) {
    let plan =
        Plan { http: true, tables: officers(), gateway: "region = \"211400\"".into(), ..Plan::default() };
    let plan = plan.lane("out-1", "truck-supplies", &["scanner", "thermometer", "barrier", "camera"]).lane(
        "in-1",
        "seal-check",
        &["scanner", "barrier", "camera"],
    );
    let gateway = Gateway::prepare(folder, plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    for list in ["pass", "revocation", "hold", "seals", "release", "status"] {
        passes::list(&gateway.lists(), list, Map::new());
    }
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/demo/photos");
    for lane in ["out-1", "in-1"] {
        let camera = gateway.device(lane, "camera");
        std::fs::create_dir_all(&camera).unwrap();
        for role in ["plate", "closeup", "overall"] {
            let name = format!("{role}.jpg");
            std::fs::copy(pictures.join(&name), camera.join(&name)).unwrap();
        }
    }
    let pass = passes::pass(
        &issuer,
        "vehicle-pass",
        json!({ "plate": PLATE, "category": "emergency-supplies", "from": "211400", "to": "210100", "uses": 1, "crew": 2, "approvals": ["GX"] }),
    );
    let mut devices: Vec<Box<dyn Send>> = Vec::new();
    for lane in ["out-1", "in-1"] {
        devices
            .push(Box::new(ScannerSim::new(&gateway.device(lane, "scanner"), Faults::default(), 1).unwrap()));
        devices.push(Box::new(RelaySim::new(&gateway.device(lane, "barrier"), |_| {}).unwrap()));
    }
    let thermometer = gateway.device("out-1", "thermometer");
    devices.push(Box::new(ThermometerSim::new(&thermometer, 36_600, Duration::from_millis(60)).unwrap()));
    (gateway, devices, pass)
}

#[test]
fn the_evidence_of_a_sealed_truck_names_its_check_and_is_verified_by_whoever_has_the_command_and_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let (mut gateway, _devices, pass) = truck_stop(folder.path());
    gateway.start();
    let out = Desk::of(&gateway, "out-1");
    out.act(&json!({ "action": "enter", "text": pass }));
    out.photo("plate");
    out.answer("plate", PLATE);
    out.answer("crew", "2");
    out.act(&json!({ "action": "seal", "first": SEAL, "second": SEAL, "kind": "bolt", "door": "rear" }));
    out.photo("closeup");
    out.photo("overall");
    out.act(&json!({ "action": "confirm", "checks": ["view", "verify", "tug", "twist"] }));
    let sealed = gateway.await_events("seal_applied", 1)[0].clone();
    assert_eq!(gateway.events("transaction")[0]["data"]["outcome"], "ADMIT");
    // It comes to the other lane, where its seal is read.
    let back = Desk::of(&gateway, "in-1");
    back.act(&json!({ "action": "enter", "text": pass }));
    back.answer("plate", PLATE);
    back.act(&json!({ "action": "seal_check", "seals": [{ "number": SEAL, "door": "rear", "condition": "intact" }] }));
    back.photo("closeup");
    back.photo("overall");
    back.act(&json!({ "action": "form", "answers": { "purpose": "onward" } }));
    gateway.await_events("seal_verified", 1);

    let visit = sealed["subject"].as_str().unwrap().to_owned();
    let data = gateway.data().display().to_string();
    let file = folder.path().join("truck.html");
    let path = file.display().to_string();
    let exported = kakou(&["evidence", "export", &visit, "--data", &data, "--out", &path, "--json"]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let key = std::fs::read_to_string(gateway.data().join("gateway.pub")).unwrap();
    let verify = || kakou(&["evidence", "verify", &path, "--key", key.trim(), "--json"]);
    let told = verify();
    let said: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert!(told.status.success(), "{said:#}");
    let page = std::fs::read_to_string(&file).unwrap();
    for word in [PLATE, SEAL, "in-1/", "data:image/jpeg;base64,"] {
        assert!(page.contains(word), "{word}");
    }
    let content = page.split("id=\"kakou-evidence\">").nth(1).unwrap().split("</script>").next().unwrap();
    let content: Value = serde_json::from_str(content).unwrap();
    assert_eq!(content["visits"].as_array().unwrap().len(), 2, "both lanes: {:#}", content["visits"]);
    // Three of the sealing, two of the check; the same bytes are in it once.
    let photos = content["photos"].as_array().unwrap().len();
    assert!((3..=5).contains(&photos), "{photos}");
    // The gateway has gone on meanwhile; a byte of a photograph is found.
    let at = page.find("data:image/jpeg;base64,").unwrap() + 2_000;
    let mut bytes = page.into_bytes();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(&file, bytes).unwrap();
    let told = verify();
    assert_eq!(told.status.code(), Some(3), "{}", String::from_utf8_lossy(&told.stdout));
}
