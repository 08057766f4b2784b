//! The list of what is attached.

use super::super::{fail, runtime};
use super::found::{AttachedDevice, kind};
use super::{fragment, probe};
use kakou_drivers::known;
use kakou_drivers::ports::{Kernel, Node};
use rustix::fs::{Access, access};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is said of an adapter that echoes.
const ECHO: &str = "its adapter sends back what it gets (echo): that is dropped; better switch it off there";

fn recognised(node: Node, otherwise: &str) -> AttachedDevice {
    let known = node.usb.as_ref().and_then(known::recognise);
    let product = node.usb.as_ref().map(|u| u.product.clone()).filter(|p| !p.is_empty());
    let name = known.map(|k| k.name.to_owned()).or(product).unwrap_or_else(|| otherwise.to_owned());
    let trouble = access(&node.path, Access::READ_OK | Access::WRITE_OK).err().map(|e| {
        let path = node.path.display();
        match e {
            rustix::io::Errno::ACCESS => {
                format!("no right to {path}: join the group of its node, or use sudo")
            }
            other => format!("{path}: {other}"),
        }
    });
    AttachedDevice { driver: known.and_then(|k| k.driver), name, baud: None, trouble, note: None, node }
}

/// A reader that types: a keyboard by what the kernel says, a reader by its name.
fn types_codes(node: &Node) -> bool {
    let name = node.name.to_lowercase();
    node.usb.as_ref().and_then(known::recognise).is_some()
        || ["scan", "barcode", "symbol", "reader", "hid keyboard device"].iter().any(|w| name.contains(w))
}

fn collect(more: &[PathBuf]) -> Vec<AttachedDevice> {
    let kernel = Kernel::default();
    let mut out: Vec<AttachedDevice> =
        kernel.serial_ports().into_iter().map(|n| recognised(n, "serial port")).collect();
    for path in more {
        if !out.iter().any(|f| f.node.path == *path) {
            let node = Node { path: path.clone(), usb: kernel.behind(path), name: String::new() };
            out.push(recognised(node, "serial port"));
        }
    }
    let mut seen: Vec<String> = Vec::new();
    for node in kernel.cameras() {
        // A USB camera has further nodes, for data about its pictures.
        let key = node.usb.as_ref().map_or_else(|| node.path.display().to_string(), |u| u.place.clone());
        if !seen.contains(&key) {
            seen.push(key);
            let name = node.name.clone();
            let mut found = recognised(node, &name);
            found.driver = found.driver.or(Some("v4l2-camera"));
            out.push(found);
        }
    }
    for node in kernel.inputs().into_iter().filter(types_codes) {
        let name = node.name.clone();
        let mut found = recognised(node, &name);
        found.driver = Some("keyboard-wedge");
        out.push(found);
    }
    out
}

/// Runs it.
pub fn run(more: &[PathBuf], ask: bool, write: Option<&Path>, json: bool) -> ExitCode {
    let mut all = collect(more);
    if ask {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(e) => return fail(e),
        };
        runtime.block_on(ask_all(&mut all));
    }
    if json {
        println!("{}", kakou_link::shown::json(&as_json(&all)));
    } else {
        print!("{}", kakou_link::shown::lines(&page(&all, ask)));
    }
    let text = fragment::of(&all);
    match write {
        Some(file) => match std::fs::File::create_new(file)
            .and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes()))
        {
            Ok(()) => eprintln!("\nwritten to {}", file.display()),
            Err(e) => return fail(format!("{}: {e}", file.display())),
        },
        None if !json && !text.is_empty() => {
            println!("\nFor the configuration (`--write FILE` keeps it):\n\n{text}");
        }
        None => {}
    }
    ExitCode::SUCCESS
}

async fn ask_all(all: &mut [AttachedDevice]) {
    for found in all.iter_mut().filter(|f| f.driver.is_none() && f.trouble.is_none()) {
        eprintln!("asking at {} …", found.node.path.display());
        match probe::ask(&found.node.path).await {
            Ok(asked) => {
                found.note = asked.echoes.then_some(ECHO);
                if let Some((probe, baud)) = asked.who {
                    found.driver = Some(probe.driver);
                    found.name = format!("{} ({} answered)", found.name, probe.kind.as_str());
                    found.baud = Some(baud);
                }
            }
            Err(why) => found.trouble = Some(why),
        }
    }
}

fn as_json(all: &[AttachedDevice]) -> serde_json::Value {
    let one = |f: &AttachedDevice| {
        json!({ "path": f.node.path, "name": f.name, "usb": f.node.usb, "driver": f.driver,
            "kind": f.driver.and_then(kind), "baud": f.baud, "trouble": f.trouble, "note": f.note })
    };
    json!({ "devices": all.iter().map(one).collect::<Vec<_>>() })
}

fn page(all: &[AttachedDevice], asked: bool) -> String {
    if all.is_empty() {
        return "Nothing is attached that Kakou could use. Plug a scanner in (as USB virtual COM port), wait two \
                seconds, and try again.\n"
            .into();
    }
    let mut out = format!("{:<22} {:<34} {:<22} {}\n", "port", "what", "USB", "driver");
    for f in all {
        let usb = f.node.usb.as_ref().map_or_else(|| "–".into(), kakou_drivers::ports::Usb::identity);
        let driver = f.driver.unwrap_or("unknown");
        let path = f.node.path.display().to_string();
        out.push_str(&format!("{path:<22} {:<34} {usb:<22} {driver}\n", f.name));
        if let Some(trouble) = &f.trouble {
            out.push_str(&format!("{:<22} ! {trouble}\n", ""));
        }
        if let Some(note) = f.note {
            out.push_str(&format!("{:<22} · {note}\n", ""));
        }
    }
    if all.iter().any(|f| f.driver.is_none()) {
        out.push_str(if asked {
            "\nNobody known answered at an `unknown` port. A scanner that only sends text is one: take `line-scanner` \
             and try `kakou devices watch PORT`.\n"
        } else {
            "\nUSB does not say what is behind an `unknown` port: `kakou devices --ask` asks there.\n"
        });
    }
    out
}
