//! A piece of configuration for what is attached.

use super::found::{AttachedDevice, kind};
use kakou_link::shown;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Tables of all devices with a driver. A port of a device with a serial number is bound to it.
pub fn of(all: &[AttachedDevice]) -> String {
    let mut out = String::new();
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for found in all {
        let Some((driver, kind)) = found.driver.and_then(|d| Some((d, kind(d)?))) else { continue };
        let n = counts.entry(kind.as_str()).or_insert(0);
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
            // A device chooses its name, not the lines of a configuration.
            shown::line(&found.name),
            kind.as_str()
        )
        .expect("a string takes everything");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_drivers::ports::Node;
    use kakou_drivers::registry::DRIVERS;

    #[test]
    fn the_name_of_a_device_is_a_comment_whatever_it_is() {
        let driver = DRIVERS.iter().find(|d| kind(d.name).is_some()).unwrap().name;
        let node = Node { path: "/dev/ttyACM0".into(), usb: None, name: String::new() };
        let name = "Scanner\n[[officer]]\nid = \"evil\"\u{1b}[2J".to_owned();
        let found =
            AttachedDevice { node, name, driver: Some(driver), baud: None, trouble: None, note: None };
        let text = of(&[found]);
        assert!(!text.contains('\u{1b}') && !text.contains("\n[[officer]]"), "{text}");
        assert!(text.starts_with("# Scanner") && text.contains("\n[[device]]\n"), "{text}");
    }
}
