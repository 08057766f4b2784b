//! A piece of configuration for what is attached.

use super::list::{Found, kind};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Tables of all devices with a driver. A port of a device with a serial number is bound to it.
pub fn of(all: &[Found]) -> String {
    let mut out = String::new();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for found in all {
        let Some((driver, kind)) = found.driver.and_then(|d| Some((d, kind(d)?))) else { continue };
        let n = counts.entry(kind.word()).or_insert(0);
        *n += 1;
        let mut port = format!("path = {:?}", found.node.path.display().to_string());
        if let Some(baud) = found.baud.filter(|b| *b != 9600) {
            write!(port, ", baud = {baud}").expect("a string takes everything");
        }
        if let Some(usb) =
            found.node.usb.as_ref().filter(|_| found.node.path.to_string_lossy().contains("tty"))
        {
            let identity =
                if usb.serial.is_empty() { format!("{}:{}", usb.vid, usb.pid) } else { usb.identity() };
            write!(port, ", usb = {identity:?}").expect("a string takes everything");
        }
        writeln!(
            out,
            "# {}\n[[device]]\nid = \"{}-{n}\"\ndriver = {driver:?}\nport = {{ {port} }}\n",
            found.name,
            kind.word()
        )
        .expect("a string takes everything");
    }
    out
}
