//! Ports: there, ours, fast enough, left alone by the kernel's savings.

use super::Finding;
use crate::config::{DeviceEntry, Settings};
use kakou_core::profile::DeviceKind;
use kakou_drivers::ports::{Kernel, Usb};
use kakou_drivers::registry::Make;
use rustix::fs::{Access, access};
use std::path::Path;

/// Looks at each device, or at all ports if none is configured.
pub fn examine(settings: Option<&Settings>) -> Vec<Finding> {
    let kernel = Kernel::default();
    let Some(settings) = settings else {
        let ports = kernel.serial_ports();
        let cameras = kernel.cameras();
        return vec![Finding::right(
            "ports",
            format!(
                "{} serial ports, {} camera nodes; `kakou devices` names them",
                ports.len(),
                cameras.len()
            ),
        )];
    };
    let mut out = Vec::new();
    for device in &settings.devices {
        let first = out.len();
        let usb = find(&kernel, device, &mut out);
        if let Some(usb) = &usb {
            savings(&kernel, device, usb, &mut out);
        }
        speed(device, &mut out);
        if out.len() == first {
            let model = usb.map_or_else(String::new, |u| format!(" ({} {})", u.product, u.identity()));
            out.push(Finding::right(&name(device), format!("{}{model}", device.options.path.display())));
        }
    }
    out
}

fn name(device: &DeviceEntry) -> String {
    format!("device {}", device.id)
}

fn is_serial(device: &DeviceEntry) -> bool {
    !matches!(device.driver.make, Make::Blocking(_))
}

/// Whether the device is there and may be used.
fn find(kernel: &Kernel, device: &DeviceEntry, out: &mut Vec<Finding>) -> Option<Usb> {
    let what = name(device);
    let options = &device.options;
    let found = if is_serial(device) {
        kernel.find(&options.path, options.usb.as_deref(), None)
    } else if options.path.exists() {
        Ok(options.path.clone())
    } else {
        Err("not there".into())
    };
    let path = match found {
        Ok(path) => path,
        Err(why) => {
            let todo = if options.usb.is_some() {
                "plug it in; if it was replaced by another, take its `usb` from `kakou devices`"
            } else {
                "plug it in, and compare its `path` with `kakou devices`"
            };
            out.push(Finding::wrong(&what, format!("{}: {why}", options.path.display()), todo));
            return None;
        }
    };
    if path != options.path {
        out.push(Finding::warning(
            &what,
            format!("is now at {}, not at {}", path.display(), options.path.display()),
            "it is found all the same; a name from /dev/serial/by-id would not change",
        ));
    }
    if device.driver.name != "still-camera" && access(&path, Access::READ_OK | Access::WRITE_OK).is_err() {
        out.push(Finding::wrong(&what, format!("no right to {}", path.display()), right_to(&path)));
    }
    if is_serial(device) {
        let usb = kernel.behind(&path);
        if let Some(usb) = &usb
            && options.usb.is_none()
            && path.to_string_lossy().starts_with("/dev/tty")
        {
            out.push(Finding::warning(
                &what,
                format!(
                    "{} is named by number alone: after a restart another device may be there",
                    path.display()
                ),
                format!("add `usb = \"{}\"` to its port", usb.identity().trim_end_matches(':')),
            ));
        }
        return usb;
    }
    None
}

fn right_to(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let group = std::fs::metadata(path).map(|m| m.gid()).ok();
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let name = group.and_then(|gid| {
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == gid.to_string()).then(|| name.to_owned())
        })
    });
    match name {
        Some(name) if name != "root" => format!("usermod -aG {name} USER for the user that runs the gateway"),
        Some(_) | None => "install the udev rules of the package, or give the node a group".into(),
    }
}

/// Savings of the kernel that lose codes or time.
fn savings(kernel: &Kernel, device: &DeviceEntry, usb: &Usb, out: &mut Vec<Finding>) {
    let what = name(device);
    if kernel.autosuspends(usb) {
        out.push(Finding::warning(
            &what,
            "USB may put it to sleep: the first code after a pause is lost",
            format!(
                "echo on > /sys/bus/usb/devices/{}/power/control (the package's udev rules do it)",
                usb.place
            ),
        ));
    }
    if let Some(ms) = kernel.latency_ms(&device.options.path).filter(|ms| *ms > 1) {
        out.push(Finding::warning(
            &what,
            format!("its FTDI adapter holds bytes back for {ms} ms"),
            "echo 1 > its latency_timer in /sys/bus/usb-serial/devices (the package's udev rules do it)",
        ));
    }
}

/// A slow line is felt with every code.
fn speed(device: &DeviceEntry, out: &mut Vec<Finding>) {
    let scanner = device.driver.kinds.contains(&DeviceKind::Scanner);
    if scanner && is_serial(device) && device.options.baud < 38_400 {
        let ms = 243 * 10 * 1_000 / device.options.baud.max(1);
        out.push(Finding::warning(
            &name(device),
            format!("at {} baud a pass of 243 characters takes {ms} ms", device.options.baud),
            "raise reader and `baud` to 115200; a USB port in CDC mode ignores the number and is fast",
        ));
    }
}
