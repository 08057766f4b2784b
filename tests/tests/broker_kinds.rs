//! Brokers that are set up otherwise than ours: the gateway works with them, or says why it does not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::certs::Authority;
use kakou_tests::daemon::{Gateway, Plan, free_port, programs};
use kakou_tests::fleet::{Central, access_list};
use kakou_tests::{profiles, wait};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn gateway(folder: &Path, upstream: String) -> (Gateway, ScannerSim) {
    let place = folder.join("gw-1");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("gate.toml"), profiles::lane("gate", &["opaque"], &[], "", false)).unwrap();
    let plan = Plan { tables: upstream, http: true, ..Plan::default() };
    let gateway = Gateway::prepare(&place, plan.lane("lane-1", "gate.toml", &["scanner"]));
    let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    (gateway, scanner)
}

fn status(gateway: &Gateway) -> Value {
    let text = ureq::get(gateway.url("/api/v1/status")).call().unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Waits until the broker has taken so many events.
fn await_published(gateway: &Gateway, count: u64) {
    let published = || status(gateway)["upstream"]["published"].as_u64().unwrap_or(0);
    let done = wait::try_until(Duration::from_secs(30), || (published() >= count).then_some(()));
    assert!(done.is_some(), "{}\n{}", status(gateway)["upstream"], gateway.log());
}

#[test]
fn a_broker_at_an_ipv6_address_is_reached_with_tls_and_without() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (cert, key) = authority.issue("broker", true);
    let (plain, tls) = (free_port(), free_port());
    let lines = format!(
        "allow_anonymous true\nlistener {plain} ::1\nlistener {tls} ::1\ncertfile {}\nkeyfile {}\nuser root\npersistence false",
        cert.display(),
        key.display()
    );
    let mut broker = Mosquitto::new(folder.path(), "six", &lines);
    broker.start();
    for (n, url, ca) in [
        (1, format!("mqtt://[::1]:{plain}"), String::new()),
        (2, format!("mqtts://[::1]:{tls}"), format!("ca = \"{}\"\n", authority.ca.display())),
    ] {
        let place = folder.path().join(format!("box-{n}"));
        let upstream = format!("[upstream]\nbroker = \"{url}\"\n{ca}purge = \"puback\"\n");
        let (mut gateway, _scanner) = gateway(&place, upstream);
        gateway.start();
        await_published(&gateway, 1);
        assert!(status(&gateway)["upstream"]["broker"].as_str().unwrap().starts_with("[::1]:"));
    }
}

#[test]
fn a_user_name_without_a_password_is_sent_and_a_password_without_a_name_is_refused() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let access = folder.path().join("access");
    std::fs::write(&access, "user alice\ntopic readwrite #\n").unwrap();
    let lines = format!("allow_anonymous true\npersistence false\nacl_file {}", access.display());
    let mut broker = Mosquitto::new(folder.path(), "names", &lines);
    broker.start();
    for version in ["5", "3.1.1"] {
        let place = folder.path().join(version);
        let upstream = format!(
            "[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\nusername = \"alice\"\nversion = \"{version}\"\npurge = \"puback\"\n",
            broker.port
        );
        let (mut gateway, _scanner) = gateway(&place, upstream);
        gateway.start();
        await_published(&gateway, 1);
    }
    std::fs::write(folder.path().join("password"), "x").unwrap();
    let upstream =
        format!("[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\npassword_file = \"password\"\n", broker.port);
    let (nameless, _scanner) = gateway(&folder.path().join("nameless"), upstream);
    let out = Command::new(programs().join("kakoud"))
        .arg("--config")
        .arg(nameless.config())
        .arg("--check")
        .output();
    let said = String::from_utf8_lossy(&out.unwrap().stderr).into_owned();
    assert!(said.contains("`password_file` needs `username`"), "{said}");
}

#[test]
fn a_broker_without_retained_messages_is_said_and_lived_with() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::new(
        folder.path(),
        "forgetful",
        "allow_anonymous true\npersistence false\nretain_available false",
    );
    broker.start();
    let upstream = format!("[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\npurge = \"puback\"\n", broker.port);
    let (mut gateway, mut scanner) = gateway(folder.path(), upstream);
    gateway.start();
    for n in 0..20 {
        gateway.await_verdict(n + 1, || scanner.scan(&format!("ID-{n}")).unwrap());
    }
    await_published(&gateway, 20);
    let said = || status(&gateway)["upstream"]["detail"].as_str().unwrap_or_default().to_owned();
    wait::until("the word about it", Duration::from_secs(10), || said().contains("retained").then_some(()));
    assert_eq!(status(&gateway)["upstream"]["state"], "online");
}

#[test]
fn doctor_says_that_the_broker_takes_nothing_of_this_gateway() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // The block of gw-1 is missing in the access list; its certificate is good.
    let mut broker = access_list(folder.path(), &[("test", "gw-2")]);
    Authority::again(folder.path()).issue("test.gw-1", false);
    broker.start();
    let central = Central::new(folder.path(), broker.port);
    let (mut gateway, _scanner) = gateway(folder.path(), central.upstream("test.gw-1"));
    gateway.start();
    let doctor = || {
        let out = Command::new(programs().join("kakou"))
            .args(["doctor", "--config"])
            .arg(gateway.config())
            .output();
        String::from_utf8_lossy(&out.unwrap().stdout).into_owned()
    };
    let said =
        wait::try_until(Duration::from_secs(30), || Some(doctor()).filter(|s| s.contains("NotAuthorized")));
    assert!(said.is_some(), "{}\n{}\n{}", doctor(), status(&gateway)["upstream"], gateway.log());
    assert!(said.unwrap().contains("access list"));
}
