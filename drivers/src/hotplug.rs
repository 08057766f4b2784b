//! Notification by the kernel that a device was plugged in or removed.
//!
//! The kernel multicasts an event for every device that comes or goes (netlink, `NETLINK_KOBJECT_UEVENT`,
//! group 1); it needs no right and no udev. The event comes before udev has given the node its owner, so that
//! whoever opens it tries again after a moment. In some containers no events arrive: drivers look for
//! their devices from time to time all the same.

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrAny, SocketFlags, SocketType, bind, recvfrom, socket_with,
};
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The kernel's own events.
const KERNEL: u32 = 1;
/// The largest event.
const MAX_EVENT: usize = 8 * 1024;
/// Kinds of devices that drivers wait for.
const SUBSYSTEMS: [&[u8]; 7] = [b"tty", b"video4linux", b"input", b"hidraw", b"gpio", b"i2c-dev", b"iio"];

/// Rings when something was plugged in or out.
#[derive(Debug, Clone)]
pub struct HotplugSignal(watch::Receiver<u64>);

impl HotplugSignal {
    /// How often it has rung.
    pub fn rung(&self) -> u64 {
        *self.0.borrow()
    }
    /// Waits until it rings; for ever if it never will.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// Rings the bells.
#[derive(Debug)]
pub struct Ringer(watch::Sender<u64>);

impl Ringer {
    /// With the first bell.
    pub fn new() -> (Self, HotplugSignal) {
        let (tx, rx) = watch::channel(0);
        (Self(tx), HotplugSignal(rx))
    }
    /// Rings.
    pub fn ring(&self) {
        self.0.send_modify(|n| *n += 1);
    }
}

/// Whether an event of the kernel is of a device that drivers wait for.
fn concerns(event: &[u8]) -> bool {
    let mut fields = event.split(|b| *b == 0);
    let acted = fields.next().is_some_and(|head| {
        [&b"add@"[..], b"remove@", b"bind@", b"unbind@", b"change@"].iter().any(|a| head.starts_with(a))
    });
    let subsystem = fields.find_map(|f| f.strip_prefix(b"SUBSYSTEM="));
    acted && subsystem.is_some_and(|s| SUBSYSTEMS.contains(&s))
}

fn listen() -> std::io::Result<AsyncFd<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
    bind(&socket, &SocketAddrNetlink::new(0, KERNEL))?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe code; an `OwnedFd` gives the same descriptor always"
    )]
    AsyncFd::with_interest(socket, Interest::READABLE)
}

fn from_kernel(sender: Option<&SocketAddrAny>) -> bool {
    sender.and_then(|s| SocketAddrNetlink::try_from(s.clone()).ok()).is_some_and(|s| s.pid() == 0)
}

/// Runs until cancelled.
pub async fn run(ringer: Ringer, cancel: CancellationToken) {
    let socket = match listen() {
        Ok(socket) => socket,
        Err(e) => {
            log::warn!("plugged devices are only found by looking: no events of the kernel: {e}");
            cancel.cancelled().await;
            return;
        }
    };
    let mut event = vec![0; MAX_EVENT];
    loop {
        let received = socket.async_io(Interest::READABLE, |socket| {
            let (n, _, sender) = recvfrom(socket, &mut event[..], RecvFlags::empty())?;
            Ok((n, sender))
        });
        tokio::select! {
            () = cancel.cancelled() => return,
            received = received => match received {
                Ok((n, sender)) if from_kernel(sender.as_ref()) && concerns(&event[..n]) => ringer.ring(),
                Ok(_) => {}
                // Events were lost: anything may have happened.
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => ringer.ring(),
                Err(e) => {
                    log::warn!("plugged devices are only found by looking: {e}");
                    cancel.cancelled().await;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_devices_that_drivers_wait_for_ring() {
        let event = |head: &str, subsystem: &str| {
            format!("{head}/devices/x\0ACTION=add\0SUBSYSTEM={subsystem}\0DEVNAME=ttyUSB0\0").into_bytes()
        };
        assert!(concerns(&event("add@", "tty")));
        assert!(concerns(&event("remove@", "video4linux")));
        assert!(!concerns(&event("add@", "net")));
        assert!(!concerns(&event("libudev", "tty")));
        assert!(!concerns(b""));
    }
}
