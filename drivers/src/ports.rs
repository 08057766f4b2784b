//! Serial ports and cameras of this machine, as the kernel lists them in sysfs: what is plugged where, and where
//! the same device is after the kernel has numbered anew.

use serde::Serialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How many folders above a tty its USB device may be.
const MAX_UP: usize = 5;

/// A USB device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Usb {
    /// Vendor, four hexadecimal digits.
    pub vid: String,
    /// Product.
    pub pid: String,
    /// Serial number, where it has one.
    pub serial: String,
    /// Its name.
    pub product: String,
    /// Where it is plugged in: bus and ports, `1-1.2`.
    pub place: String,
}

impl Usb {
    /// `vid:pid:serial`.
    pub fn identity(&self) -> String {
        format!("{}:{}:{}", self.vid, self.pid, self.serial)
    }
    /// Whether it is `vid:pid` or `vid:pid:serial`.
    pub fn is(&self, wanted: &str) -> bool {
        let own = self.identity();
        own == wanted || (wanted.matches(':').count() == 1 && own.starts_with(&format!("{wanted}:")))
    }
    /// Whether it is the device that was here before: by serial number, or by make and place.
    fn same_as(&self, before: &Self) -> bool {
        let make = (&self.vid, &self.pid) == (&before.vid, &before.pid);
        make && self.serial == before.serial && (!self.serial.is_empty() || self.place == before.place)
    }
}

/// A node in `/dev`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its path.
    pub path: PathBuf,
    /// The USB device behind it, if it is one.
    pub usb: Option<Usb>,
    /// What the kernel calls it.
    pub name: String,
}

/// The kernel's tree, and where its nodes are.
#[derive(Debug, Clone)]
pub struct Kernel {
    sys: PathBuf,
    dev: PathBuf,
}

impl Default for Kernel {
    fn default() -> Self {
        Self { sys: "/sys".into(), dev: "/dev".into() }
    }
}

fn text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|s| s.trim().to_owned())
}

impl Kernel {
    /// Another tree, for tests.
    pub fn at(sys: &Path, dev: &Path) -> Self {
        Self { sys: sys.into(), dev: dev.into() }
    }

    fn nodes(&self, class: &str) -> Vec<Node> {
        let Ok(entries) = std::fs::read_dir(self.sys.join("class").join(class)) else { return Vec::new() };
        let mut out: Vec<Node> = entries
            .flatten()
            // Without a device behind it, it is a console or a phantom.
            .filter(|e| e.path().join("device").exists())
            .filter_map(|e| {
                let name = e.file_name().into_string().ok()?;
                let shown = text(&e.path().join("name")).unwrap_or_default();
                Some(Node { path: self.dev.join(&name), usb: self.usb(class, &name), name: shown })
            })
            .collect();
        out.sort_by(|a, b| a.path.cmp(&b.path));
        out
    }

    /// The USB device behind a node of a class.
    pub fn usb(&self, class: &str, name: &str) -> Option<Usb> {
        let link = self.sys.join("class").join(class).join(name).join("device");
        let mut folder = std::fs::canonicalize(link).ok()?;
        for _ in 0..MAX_UP {
            let read = |file: &str| text(&folder.join(file));
            if let (Some(vid), Some(pid)) = (read("idVendor"), read("idProduct")) {
                let place = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
                let (serial, product) =
                    (read("serial").unwrap_or_default(), read("product").unwrap_or_default());
                return Some(Usb { vid, pid, serial, product, place });
            }
            folder = folder.parent()?.to_path_buf();
        }
        None
    }

    /// Serial ports that something real is behind.
    pub fn serial_ports(&self) -> Vec<Node> {
        let mut out = self.nodes("tty");
        // The kernel lists many ports of the board that do not exist.
        out.retain(|n| n.usb.is_some() || !n.path.to_string_lossy().contains("/ttyS"));
        out
    }

    /// Nodes of cameras; of a camera with several, the first gives the pictures.
    pub fn cameras(&self) -> Vec<Node> {
        self.nodes("video4linux")
    }

    /// Input devices.
    pub fn inputs(&self) -> Vec<Node> {
        let mut out = self.nodes("input");
        out.retain(|n| n.path.file_name().is_some_and(|f| f.to_string_lossy().starts_with("event")));
        out.iter_mut().for_each(|n| {
            let file = n.path.file_name().map(PathBuf::from).unwrap_or_default();
            n.name = text(&self.sys.join("class/input").join(&file).join("device/name")).unwrap_or_default();
            n.path = self.dev.join("input").join(&file);
        });
        out
    }

    /// The USB device behind a serial port's path, which may be a link.
    pub fn behind(&self, port: &Path) -> Option<Usb> {
        let real = std::fs::canonicalize(port).ok()?;
        self.usb("tty", real.file_name()?.to_str()?)
    }

    /// Whether the kernel may put a USB device to sleep.
    pub fn autosuspends(&self, usb: &Usb) -> bool {
        text(&self.sys.join("bus/usb/devices").join(&usb.place).join("power/control")).as_deref()
            == Some("auto")
    }

    /// For how many milliseconds an FTDI adapter holds bytes back.
    pub fn latency_ms(&self, port: &Path) -> Option<u32> {
        let real = std::fs::canonicalize(port).ok()?;
        let name = real.file_name()?;
        text(&self.sys.join("bus/usb-serial/devices").join(name).join("latency_timer"))?.parse().ok()
    }

    /// Where a device is that was at `path` before, or that is wanted there. An error says why it is nowhere.
    ///
    /// It is looked for elsewhere only when it cannot be mistaken for another: by what it was when it was opened, or
    /// by a serial number. Several with one number, as cheap adapters have it, are told apart by their plugs.
    pub fn find(&self, path: &Path, wanted: Option<&str>, before: Option<&Usb>) -> Result<PathBuf, String> {
        let all = self.serial_ports();
        let there = self.behind(path);
        let the_same = |usb: &Usb, before: &Usb| {
            let places: BTreeSet<&str> = all
                .iter()
                .filter_map(|n| n.usb.as_ref())
                .filter(|u| u.identity() == before.identity())
                .map(|u| u.place.as_str())
                .collect();
            usb.same_as(before) && (places.len() < 2 || usb.place == before.place)
        };
        let right = |usb: &Usb| match (before, wanted) {
            (Some(before), _) => the_same(usb, before),
            (None, Some(wanted)) => usb.is(wanted),
            (None, None) => true,
        };
        let here = match &there {
            Some(usb) => right(usb),
            // A port of the board or a simulated one has no identity to compare.
            None => wanted.is_none() && before.is_none(),
        };
        if here && path.exists() {
            return Ok(path.to_path_buf());
        }
        let exact = |w: &str| w.splitn(3, ':').nth(2).is_some_and(|serial| !serial.is_empty());
        let others: Vec<&Node> = if before.is_some() || wanted.is_some_and(exact) {
            all.iter().filter(|n| n.usb.as_ref().is_some_and(right)).collect()
        } else {
            Vec::new()
        };
        match (others.as_slice(), &there) {
            ([one], _) => Ok(one.path.clone()),
            // A spare of the make that the configuration asks for, at the same name.
            ([], Some(usb)) if wanted.is_some_and(|w| usb.is(w)) => Ok(path.to_path_buf()),
            ([], Some(other)) => {
                Err(format!("another device is at this port: {} ({})", other.identity(), other.product))
            }
            ([], None) => Err("not plugged in".into()),
            (many, _) => Err(format!(
                "{} ports have this device: give each a serial number or a udev name",
                many.len()
            )),
        }
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A tree with these ttys: name, vid:pid, serial, place.
    pub fn tree(root: &Path, ttys: &[(&str, &str, &str, &str)]) -> Kernel {
        let (sys, dev) = (root.join("sys"), root.join("dev"));
        drop(fs::remove_dir_all(&sys));
        drop(fs::remove_dir_all(&dev));
        fs::create_dir_all(&dev).unwrap();
        for (tty, make, serial, place) in ttys {
            let usb = sys.join("devices/usb1").join(place);
            let interface = usb.join(format!("{place}:1.0"));
            fs::create_dir_all(&interface).unwrap();
            let (vid, pid) = make.split_once(':').unwrap();
            for (file, value) in [("idVendor", vid), ("idProduct", pid), ("serial", serial), ("product", "X")]
            {
                fs::write(usb.join(file), format!("{value}\n")).unwrap();
            }
            let class = sys.join("class/tty").join(tty);
            fs::create_dir_all(&class).unwrap();
            symlink(&interface, class.join("device")).unwrap();
            fs::write(dev.join(tty), "").unwrap();
        }
        Kernel::at(&sys, &dev)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("kakou-ports-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn a_device_is_found_again_under_another_number() {
        let root = folder("again");
        let kernel = fake::tree(
            &root,
            &[("ttyUSB0", "1eab:0c06", "S1", "1-1"), ("ttyUSB1", "0403:6001", "S2", "1-2")],
        );
        let port = root.join("dev/ttyUSB0");
        let before = kernel.behind(&port);
        assert_eq!(kernel.find(&port, None, before.as_ref()), Ok(port.clone()));
        // The other one was unplugged and both came back the other way round.
        let kernel = fake::tree(
            &root,
            &[("ttyUSB1", "1eab:0c06", "S1", "1-3"), ("ttyUSB0", "0403:6001", "S2", "1-2")],
        );
        assert_eq!(kernel.find(&port, None, before.as_ref()), Ok(root.join("dev/ttyUSB1")));
        assert_eq!(kernel.find(&port, Some("1eab:0c06:S1"), None), Ok(root.join("dev/ttyUSB1")));
        // A make alone could be another lane's.
        assert!(kernel.find(&port, Some("1eab:0c06"), None).unwrap_err().contains("another device"));
        assert!(kernel.find(&port, Some("1eab:0c06:S9"), None).unwrap_err().contains("another device"));
        drop(std::fs::remove_dir_all(root));
    }

    #[test]
    fn two_of_a_make_without_a_serial_number_are_told_apart_by_their_place() {
        let root = folder("place");
        let two = [("ttyUSB0", "1a86:7523", "", "1-1"), ("ttyUSB1", "1a86:7523", "", "1-2")];
        let kernel = fake::tree(&root, &two);
        let port = root.join("dev/ttyUSB0");
        let before = kernel.behind(&port);
        let turned = [("ttyUSB1", "1a86:7523", "", "1-1"), ("ttyUSB0", "1a86:7523", "", "1-2")];
        let kernel = fake::tree(&root, &turned);
        assert_eq!(kernel.find(&port, None, before.as_ref()), Ok(root.join("dev/ttyUSB1")));
        assert_eq!(
            kernel.find(&root.join("dev/gone"), Some("1a86:7523"), None),
            Err("not plugged in".into())
        );
        drop(std::fs::remove_dir_all(root));
    }

    #[test]
    fn adapters_with_one_serial_number_and_spares_are_not_mistaken() {
        let root = folder("twins");
        let kernel = fake::tree(
            &root,
            &[("ttyUSB0", "10c4:ea60", "0001", "1-1"), ("ttyUSB1", "10c4:ea60", "0001", "1-2")],
        );
        let port = root.join("dev/ttyUSB0");
        let before = kernel.behind(&port);
        let kernel = fake::tree(
            &root,
            &[("ttyUSB1", "10c4:ea60", "0001", "1-1"), ("ttyUSB0", "10c4:ea60", "0001", "1-2")],
        );
        assert_eq!(kernel.find(&port, None, before.as_ref()), Ok(root.join("dev/ttyUSB1")));
        assert!(
            kernel
                .find(&root.join("dev/gone"), Some("10c4:ea60:0001"), None)
                .unwrap_err()
                .contains("2 ports")
        );
        // A spare of the same make, with another number: what the configuration asks for decides.
        let kernel = fake::tree(&root, &[("ttyUSB0", "10c4:ea60", "0002", "1-1")]);
        assert_eq!(kernel.find(&port, Some("10c4:ea60"), before.as_ref()), Ok(port.clone()));
        assert!(kernel.find(&port, None, before.as_ref()).unwrap_err().contains("another device"));
        drop(std::fs::remove_dir_all(root));
    }
}
