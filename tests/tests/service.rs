//! The daemon and the service manager that started it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::profiles;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A program that ends with the test.
struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The daemon says that it is ready and alive, and that it ends, at a socket of this name.
fn is_told(socket: &UnixDatagram, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let gate = profiles::lane("gate", &["opaque"], &[], "", false);
    std::fs::write(folder.path().join("gate.toml"), gate).unwrap();
    let gateway = Gateway::prepare(folder.path(), Plan::default().lane("lane-1", "gate.toml", &["scanner"]));
    let daemon = Command::new(programs().join("kakoud"))
        .arg("--config")
        .arg(gateway.config())
        .env("NOTIFY_SOCKET", name)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut daemon = ChildGuard(daemon.unwrap());
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let hears = |line: &str| loop {
        let mut buffer = [0; 512];
        let n = socket.recv(&mut buffer).unwrap_or_else(|e| panic!("`{line}` is not said at {name}: {e}"));
        if String::from_utf8_lossy(&buffer[..n]).lines().any(|said| said == line) {
            return;
        }
    };
    hears("READY=1");
    hears("WATCHDOG=1");
    let pid = rustix::process::Pid::from_child(&daemon.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    hears("STOPPING=1");
    assert!(daemon.0.wait().unwrap().success());
}

#[test]
fn a_service_manager_hears_of_ready_alive_and_end_at_a_socket_of_either_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    is_told(&UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap());
    let name = format!("kakou-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    is_told(&UnixDatagram::bind_addr(&address).unwrap(), &format!("@{name}"));
}
