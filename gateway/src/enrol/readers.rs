//! Every serial port of an empty box, listened to for an enrolment code.
//!
//! Nothing is configured yet, so all ports are tried: at the two rates that scanners come with, in
//! turn, while what comes makes no sense. A port that is plugged in later is found.

use kakou_drivers::ports::Kernel;
use kakou_provisioning::code::{LONGEST, PREFIX, is_port};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_serial::SerialPortBuilderExt;
use tokio_util::sync::CancellationToken;

/// Between two looks for new ports.
const LOOK: Duration = Duration::from_secs(1);
/// What scanners come with.
pub const RATES: [u32; 2] = [9_600, 115_200];
/// Without a byte for this long, what came is a whole line.
const SILENCE: Duration = Duration::from_millis(150);

/// What was read where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The port, by the name that stays.
    pub port: PathBuf,
    /// The rate at which it made sense, bauds.
    pub baud: u32,
    /// The line.
    pub line: String,
}

/// Listens at all ports until cancelled. `more` are ports that the kernel does not list.
pub async fn listen(more: Vec<PathBuf>, found: mpsc::Sender<Read>, cancel: CancellationToken) {
    let mut open: BTreeSet<PathBuf> = BTreeSet::new();
    let (ended, mut over) = mpsc::channel::<PathBuf>(16);
    loop {
        let kernel = Kernel::default();
        let listed = kernel.serial_ports().into_iter().filter(|n| n.usb.is_some()).map(|n| n.path);
        for port in listed.chain(more.iter().filter(|p| p.exists()).cloned()) {
            if open.insert(port.clone()) {
                log::info!("listening for an enrolment code at {}", port.display());
                let (found, ended, cancel) = (found.clone(), ended.clone(), cancel.clone());
                tokio::spawn(async move {
                    tokio::select! { () = cancel.cancelled() => {}, () = read(&port, &found) => {} }
                    drop(ended.send(port).await);
                });
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            Some(port) = over.recv() => {
                open.remove(&port);
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Reads lines until the port is gone.
async fn read(path: &Path, found: &mpsc::Sender<Read>) {
    for rate in RATES.iter().cycle() {
        let Ok(mut port) = tokio_serial::new(path.to_string_lossy(), *rate).open_native_async() else {
            return tokio::time::sleep(LOOK).await;
        };
        let (mut line, mut bytes) = (Vec::new(), [0; 256]);
        loop {
            let next = port.read(&mut bytes);
            let ended = if line.is_empty() {
                Some(next.await)
            } else {
                tokio::time::timeout(SILENCE, next).await.ok()
            };
            match ended {
                Some(Ok(0) | Err(_)) => return tokio::time::sleep(LOOK).await,
                Some(Ok(n)) => {
                    line.extend_from_slice(&bytes[..n]);
                    if line.len() <= LONGEST && !line.ends_with(b"\n") && !line.ends_with(b"\r") {
                        continue;
                    }
                }
                None => {}
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).trim().to_owned();
            if text.is_empty() {
                continue;
            }
            let good = text.starts_with(PREFIX);
            if found.send(Read { port: stable(path), baud: *rate, line: text }).await.is_err() {
                return;
            }
            if !good {
                // Perhaps it speaks at the other rate.
                break;
            }
        }
    }
}

/// The name of a port that stays when the kernel numbers anew: by its device, or by its place.
fn stable(path: &Path) -> PathBuf {
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let links = |folder| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|f| f.path());
    let own = |link: &PathBuf| {
        is_port(&link.to_string_lossy()) && std::fs::canonicalize(link).is_ok_and(|to| to == real)
    };
    let mut named = links("/dev/serial/by-id").chain(links("/dev/serial/by-path"));
    named.find(own).unwrap_or_else(|| path.to_path_buf())
}
