//! What the service manager is told: by a socket that is a file, or an abstract one, see sd_notify(3).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The daemon is ready.
pub const READY: &str = "READY=1";
/// The daemon ends.
pub const STOPPING: &str = "STOPPING=1";
/// The daemon is alive.
pub const WATCHDOG: &str = "WATCHDOG=1";

/// Tells it these lines, if there is one that listens.
pub fn tell(lines: &[&str]) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(e) = send(&name, lines) {
        log::debug!("the service manager was not told at {}: {e}", name.display());
    }
}

fn send(name: &OsStr, lines: &[&str]) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(lines.join("\n").as_bytes(), &address).map(drop)
}
