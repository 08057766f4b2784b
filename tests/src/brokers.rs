//! Real Mosquitto brokers.

use crate::daemon::free_port;
use crate::wait;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where Mosquitto is, if it is installed.
pub fn installed() -> Option<PathBuf> {
    ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"]
        .iter()
        .map(PathBuf::from)
        .find(|p| p.exists())
}

/// A test that needs a program fails in CI without it; elsewhere it says that it was not run.
pub fn skip_without(program: &str, there: bool) -> bool {
    if there {
        return false;
    }
    assert!(std::env::var_os("CI").is_none(), "{program} is not installed, and CI must not skip");
    eprintln!("NOT RUN: {program} is not installed");
    true
}

fn head(port: u16, lines: &str) -> String {
    format!("listener {port} 127.0.0.1\nlog_type none\nset_tcp_nodelay true\n{lines}\n")
}

/// One broker.
pub struct Mosquitto {
    config: PathBuf,
    /// Its port.
    pub port: u16,
    child: Option<Child>,
}

impl Mosquitto {
    /// With these lines in its configuration; `listener` is added.
    pub fn new(folder: &Path, name: &str, lines: &str) -> Self {
        let port = free_port();
        let config = folder.join(format!("{name}.conf"));
        std::fs::write(&config, head(port, lines)).expect("a configuration of the broker");
        Self { config, port, child: None }
    }

    /// Anonymous, in memory, no limits.
    pub fn plain(folder: &Path, name: &str) -> Self {
        Self::new(
            folder,
            name,
            "allow_anonymous true\npersistence false\nmax_inflight_messages 0\nmax_queued_messages 0\nmax_queued_bytes 0",
        )
    }

    /// Other lines in its configuration; they count from the next start.
    pub fn configure(&self, lines: &str) {
        let text = head(self.port, lines);
        std::fs::write(&self.config, text).expect("a configuration of the broker");
    }

    /// Starts it and waits until it listens.
    pub fn start(&mut self) {
        let child = Command::new(installed().expect("mosquitto is installed"))
            .arg("-c")
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto starts");
        self.child = Some(child);
        wait::until("the broker", Duration::from_secs(10), || {
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the broker can be killed");
            child.wait().expect("the broker has ended");
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}
