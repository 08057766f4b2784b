//! A real NATS JetStream cluster that speaks MQTT 3.1.1.

use crate::daemon::free_port;
use crate::figures::Missing;
use crate::wait;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the server is, if it is installed.
pub fn installed() -> Option<PathBuf> {
    ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"]
        .iter()
        .map(PathBuf::from)
        .find(|p| p.exists())
}

/// One node.
pub struct Node {
    config: PathBuf,
    /// The port of MQTT.
    pub mqtt: u16,
    /// The port of figures.
    pub monitor: u16,
    child: Option<Child>,
}

/// Three nodes, copies of every message on each.
pub fn cluster(folder: &Path) -> Vec<Node> {
    let routes: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let all: Vec<String> = routes.iter().map(|p| format!("\"nats://127.0.0.1:{p}\"")).collect();
    let node = |n: usize| {
        let (mqtt, monitor, client) = (free_port(), free_port(), free_port());
        let config = folder.join(format!("nats-{n}.conf"));
        let store = folder.join(format!("nats-{n}"));
        let text = format!(
            "server_name: n{n}\nlisten: \"127.0.0.1:{client}\"\nhttp: \"127.0.0.1:{monitor}\"\nmax_payload: 1MB\n\
             jetstream {{ store_dir: \"{}\" }}\n\
             mqtt {{ listen: \"127.0.0.1:{mqtt}\"\n  ack_wait: \"5s\"\n  max_ack_pending: 200\n  stream_replicas: 3 }}\n\
             cluster {{ name: kakou\n  listen: \"127.0.0.1:{}\"\n  routes: [{}] }}\n",
            store.display(),
            routes[n],
            all.join(", ")
        );
        std::fs::write(&config, text).expect("a configuration of the node");
        Node { config, mqtt, monitor, child: None }
    };
    (0..3).map(node).collect()
}

impl Node {
    /// Starts it.
    pub fn start(&mut self) -> Result<(), Missing> {
        let program = installed().ok_or_else(|| Missing("nats-server is not installed".into()))?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.child = Some(child);
        wait::try_until(Duration::from_secs(30), || TcpStream::connect(("127.0.0.1", self.mqtt)).ok())
            .map(drop)
            .ok_or_else(|| Missing("nats-server did not start".into()))
    }

    /// Whether the cluster has a leader for its metadata, so that sessions can be made.
    pub fn ready(&self) -> bool {
        let text = ureq::get(format!("http://127.0.0.1:{}/jsz", self.monitor))
            .call()
            .ok()
            .and_then(|mut r| r.body_mut().read_to_string().ok())
            .unwrap_or_default();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        json["meta_cluster"]["leader"].as_str().is_some_and(|l| !l.is_empty())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
