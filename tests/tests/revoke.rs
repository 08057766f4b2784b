//! What an officer takes back at the duty console of one gateway counts at the others of its site: over a real Mosquitto,
//! with the link away, and behind a restart.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::brokers::{installed, skip_without};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::desk::{self, DeskClient, PIN};
use kakou_tests::fleet::{self, Central};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const PEOPLE: [&str; 4] = ["ID-1", "ID-2", "ID-3", "ID-4"];

/// A gate that asks the lists of those who are held and of passes that were taken back.
struct Gate {
    gateway: Gateway,
    scanner: ScannerSim,
    verdicts: usize,
}

impl Gate {
    fn new(central: &Central, name: &str) -> Self {
        let profile = profiles::lane("gate", &["opaque"], &["status", "hold", "revocation"], "", false);
        let (place, plan) = central.plan(name, &[("gate", profile)]);
        let tables = plan.tables.clone() + &desk::officers();
        let plan = Plan { tables, http: true, ..plan };
        let mut gateway = Gateway::prepare(&place, plan.lane("lane-1", "gate.toml", &["scanner"]));
        // The authority gives the boxes of a site one key; these were set up by hand.
        std::fs::create_dir_all(gateway.data().join("keys")).unwrap();
        std::fs::write(gateway.data().join("keys/site.key"), [7; 32]).unwrap();
        let lists = gateway.lists().display().to_string();
        for list in ["status", "hold", "revocation"] {
            let (name, from) = (["--name", list], format!("{list}.json"));
            let make = [&["make", "--key", "ops.pk8"], &name[..], &["--from", &from, "--out", &lists]];
            central.run("feed", &make.concat());
        }
        let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
        gateway.start();
        gateway.await_events("list", 3);
        Self { gateway, scanner, verdicts: 0 }
    }

    fn code(&mut self, id: &str) -> Value {
        self.verdicts += 1;
        let (gateway, scanner) = (&self.gateway, &mut self.scanner);
        gateway.await_verdict(self.verdicts, || scanner.scan(id).unwrap())["codes"][0].clone()
    }

    /// Scans until the gate says it: what another gateway tells comes a little later.
    fn until(&mut self, id: &str, code: &str) {
        let mut last = Value::Null;
        for _ in 0..60 {
            last = self.code(id);
            if last == code {
                return;
            }
            wait::try_until(Duration::from_millis(500), || None::<()>);
        }
        panic!("{id}: {last}, not {code}\n{}", self.gateway.log());
    }

    fn hold(&self, id: &str) -> Value {
        let mut desk = DeskClient::new(&self.gateway.url(""));
        assert_eq!(desk.sign_in("wang", PIN).unwrap().0, 200);
        let act = json!({ "act": "revoke", "purpose": "遗失", "key": id, "note": "" }).to_string();
        let (status, body) = desk.post("/api/v1/console", &act, "application/json").unwrap();
        assert_eq!(status, 200, "{body}");
        body
    }

    fn waiting(&self) -> usize {
        std::fs::read_dir(self.gateway.data().join("share-patients")).map_or(0, Iterator::count)
    }
}

#[test]
fn what_is_taken_back_at_one_gateway_counts_at_all_of_the_site_also_when_the_link_was_away() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut broker, central) = fleet::open(folder.path(), &["gw-1", "gw-2"], &["feed", "operate"]);
    let status: serde_json::Map<_, _> =
        PEOPLE.map(|id| (id.to_owned(), passes::healthy())).into_iter().collect();
    std::fs::write(folder.path().join("status.json"), Value::Object(status).to_string()).unwrap();
    for list in ["hold", "revocation"] {
        std::fs::write(folder.path().join(format!("{list}.json")), "{}").unwrap();
    }
    let (mut one, mut two) = (Gate::new(&central, "gw-1"), Gate::new(&central, "gw-2"));
    assert_eq!([one.code("ID-1"), two.code("ID-1")], ["OK", "OK"]);
    assert_eq!(one.hold("ID-1")["site"], true);
    assert_eq!(one.code("ID-1"), "L_HOLD", "here at once");
    two.until("ID-1", "L_HOLD");
    assert_eq!(two.code("ID-2"), "OK", "nobody else");
    wait::until("the acknowledgement", LIMIT, || (one.waiting() == 0).then_some(()));
    // The link is away and the box is killed: what was taken back is told when both are there again.
    broker.kill();
    one.hold("ID-2");
    assert_eq!(one.waiting(), 1, "it waits on the disk");
    let wire = std::fs::read_dir(one.gateway.data().join("share-patients")).unwrap().next().unwrap().unwrap();
    let text = std::fs::read_to_string(wire.path()).unwrap();
    assert!(!text.contains("ID-2"), "nobody's id goes over the wire: {text}");
    one.gateway.kill();
    one.gateway.start();
    assert_eq!(one.code("ID-2"), "L_HOLD", "behind a restart");
    assert_eq!(two.code("ID-2"), "OK");
    broker.start();
    two.until("ID-2", "L_HOLD");
    two.gateway.stop();
    two.gateway.start();
    assert_eq!(two.code("ID-2"), "L_HOLD", "at the other one, too");
    // Central ops read who took back what.
    let told = one.gateway.await_events("audit", 1);
    let acts: Vec<_> = told.iter().filter(|event| event["data"]["act"] == "revoke").collect();
    assert_eq!(acts.len(), 2);
    assert!(acts.iter().all(|event| event["data"]["list"] == "hold" && event["data"]["key"] != "ID-1"));
}
