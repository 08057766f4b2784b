//! A gateway as a virtual machine: QEMU with the image of `tests/appliance`, its serial devices on
//! ptys and sockets of this machine, and a port through which commands are run in it.

use crate::disk::Disk;
use crate::figures::Missing;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a boot may take where the machine is emulated.
const BOOT: Duration = Duration::from_secs(240);
/// A kernel that is stuck more often than this is not there by chance.
const RESETS: u64 = 3;

/// The kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// As on the boards.
    Arm64,
    /// Faster where tests run.
    Amd64,
}

impl Arch {
    /// As Debian calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::Amd64 => "amd64",
        }
    }
    const fn machine(self) -> (&'static str, [&'static str; 4], &'static str) {
        match self {
            Self::Arm64 => ("qemu-system-aarch64", ["-M", "virt", "-cpu", "cortex-a72"], "ttyAMA0"),
            // Nehalem: without the wide registers, whose emulation is slow.
            Self::Amd64 => ("qemu-system-x86_64", ["-M", "q35", "-cpu", "Nehalem"], "ttyS0"),
        }
    }
}

/// What runs the machine: QEMU's emulation, or what `KAKOU_VM_ACCEL` names; `kvm` where this machine can.
pub fn accelerator() -> String {
    std::env::var("KAKOU_VM_ACCEL").unwrap_or_else(|_| "tcg,thread=multi".into())
}

/// The project's folder.
pub fn project() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// The folder of an image with the packages of this source; made if it is not there. Progress goes to
/// standard error.
pub fn image(arch: Arch) -> Result<PathBuf, Missing> {
    let out = project().join("target/appliance").join(arch.as_str());
    step(Command::new(project().join("systemd/package")).arg(arch.as_str()))?;
    let debs = std::fs::read_dir(project().join("target/debian"))?;
    let end = format!("_{}.deb", arch.as_str());
    let debs: Vec<PathBuf> =
        debs.flatten().map(|f| f.path()).filter(|p| p.to_string_lossy().ends_with(&end)).collect();
    step(Command::new(project().join("tests/appliance/build")).arg(arch.as_str()).arg(&out).args(debs))?;
    Ok(out)
}

fn step(command: &mut Command) -> Result<(), Missing> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.stdout(std::io::stderr()).status()?;
    if status.success() { Ok(()) } else { Err(Missing(format!("{name} has failed"))) }
}

/// A machine that runs.
pub struct Guest {
    child: Child,
    control: BufReader<UnixStream>,
    folder: tempfile::TempDir,
    /// When it was switched on.
    pub begun: Instant,
    /// How often its kernel gave up before it answered, and was started again.
    pub resets: u64,
}

/// How a machine is to be.
pub struct Plan<'a> {
    /// Its kind.
    pub arch: Arch,
    /// The folder of kernel and initrd.
    pub image: &'a Path,
    /// Its disk.
    pub disk: &'a Disk,
    /// Serial numbers of USB serial lines, with the pty of this machine behind each.
    pub lines: Vec<(String, PathBuf)>,
    /// A port of this machine that leads to port 8081 of the guest.
    pub forward: u16,
}

impl Guest {
    /// Switches it on, and waits until it answers. A kernel that is stuck resets the machine, which ends it
    /// here; it starts again, as a box does.
    pub fn boot(plan: &Plan<'_>) -> Result<Self, Missing> {
        let begun = Instant::now();
        let mut resets = 0;
        loop {
            let mut guest = Self::start(plan)?;
            (guest.begun, guest.resets) = (begun, resets);
            match guest.ask_within("true", BOOT) {
                Ok(_) => return Ok(guest),
                Err(_) if resets < RESETS && guest.console().contains("Kernel panic") => resets += 1,
                Err(why) => return Err(why),
            }
        }
    }

    /// Switches it on.
    pub fn start(plan: &Plan<'_>) -> Result<Self, Missing> {
        let (program, machine, console) = plan.arch.machine();
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let begun = Instant::now();
        let mut command = Command::new(program);
        command.args(machine).args(["-accel", &accelerator()]);
        command.args(["-smp", "2", "-m", "1024", "-nodefaults"]);
        command.args(["-display", "none", "-no-reboot", "-kernel"]).arg(plan.image.join("kernel"));
        command.arg("-initrd").arg(plan.image.join("initrd"));
        let words = format!("console={console} quiet mitigations=off panic=5 softlockup_panic=1");
        command.args(["-append", &words]);
        command.arg("-drive").arg(plan.disk.drive());
        command.args(["-serial", &format!("file:{}", at("console"))]);
        let net = format!("user,id=net,hostfwd=tcp:127.0.0.1:{}-:8081", plan.forward);
        command.args(["-netdev", &net, "-device", "virtio-net-pci,netdev=net,romfile="]);
        command.args(["-device", "virtio-rng-pci", "-device", "i6300esb", "-watchdog-action", "reset"]);
        command.args(["-device", "qemu-xhci,id=xhci,p2=8,p3=8"]);
        for (n, (serial, pty)) in plan.lines.iter().enumerate() {
            command.args(["-chardev", &format!("serial,id=line{n},path={}", pty.display())]);
            let device = format!("usb-serial,chardev=line{n},bus=xhci.0,always-plugged=on,serial={serial}");
            command.args(["-device", &device]);
        }
        command.args(["-qmp", &format!("unix:{},server=on,wait=off", at("monitor"))]);
        command.args(["-device", "virtio-serial", "-chardev"]);
        command.arg(format!("socket,id=ctl,path={},server=on,wait=off", at("ctl")));
        command.args(["-device", "virtserialport,chardev=ctl,name=kakou.control"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(|e| {
            Missing(format!("{program}: {e}; apt-get install qemu-system-arm qemu-system-x86"))
        })?;
        let path = folder.path().join("ctl");
        let socket = crate::wait::try_until(Duration::from_secs(20), || UnixStream::connect(&path).ok());
        let socket = socket.ok_or_else(|| Missing(format!("{program} does not start")))?;
        Ok(Self { child, control: BufReader::new(socket), folder, begun, resets: 0 })
    }

    /// Runs a command; its output, if it succeeds.
    pub fn ask(&mut self, command: &str) -> Result<String, Missing> {
        self.ask_within(command, Duration::from_secs(120))
    }

    fn ask_within(&mut self, command: &str, limit: Duration) -> Result<String, Missing> {
        let (mark, end) = (format!("=== {}", self.begun.elapsed().as_nanos()), Instant::now() + limit);
        self.control.get_ref().set_read_timeout(Some(Duration::from_secs(2)))?;
        writeln!(self.control.get_mut(), "echo '{mark}'; {command}")?;
        let (mut line, mut ours, mut out) = (Vec::new(), false, String::new());
        while Instant::now() < end {
            match self.control.read_until(b'\n', &mut line) {
                Ok(0) => return Err(self.lost(command)),
                Ok(_) if line.ends_with(b"\n") => {}
                Ok(_) | Err(_) => continue,
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).trim_end().to_owned();
            match text.strip_prefix("--- exit ") {
                Some("0") if ours => return Ok(out),
                Some(code) if ours => {
                    return Err(Missing(format!("`{command}` in the guest ends with {code}: {out}")));
                }
                Some(_) => {}
                None if text == mark => ours = true,
                None if ours => {
                    out.push_str(&text);
                    out.push('\n');
                }
                None => {}
            }
        }
        Err(self.lost(command))
    }

    fn console(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn lost(&self, command: &str) -> Missing {
        let console = self.console();
        let tail: Vec<&str> = console.lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        Missing(format!("the guest does not answer to `{command}`; its console:\n{}", tail.join("\n")))
    }

    /// Asks until the answer is of use, or the time is over.
    pub fn until(&mut self, what: &str, command: &str, limit: Duration) -> Result<String, Missing> {
        let end = Instant::now() + limit;
        loop {
            match self.ask(command) {
                Ok(answer) => return Ok(answer),
                Err(why) if Instant::now() > end => return Err(Missing(format!("{what}: {}", why.0))),
                Err(_) => std::thread::sleep(Duration::from_millis(300)),
            }
        }
    }

    /// Plugs in a USB drive with FAT that holds what is in a folder now.
    pub fn plug_usb_drive(&self, folder: &Path, label: &str) -> Result<(), Missing> {
        let drive = json!({ "driver": "vvfat", "node-name": "stick", "dir": folder, "label": label, "read-only": true });
        self.monitor("blockdev-add", &drive)?;
        self.monitor(
            "device_add",
            &json!({ "driver": "usb-storage", "bus": "xhci.0", "id": "stick", "drive": "stick" }),
        )
    }

    /// Pulls it out.
    pub fn pull_stick(&self) -> Result<(), Missing> {
        self.monitor("device_del", &json!({ "id": "stick" }))
    }

    /// Tells the machine itself (QEMU Machine Protocol).
    fn monitor(&self, command: &str, arguments: &Value) -> Result<(), Missing> {
        let monitor = UnixStream::connect(self.folder.path().join("monitor"))?;
        monitor.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut lines = BufReader::new(monitor.try_clone()?).lines();
        let asked =
            [json!({ "execute": "qmp_capabilities" }), json!({ "execute": command, "arguments": arguments })];
        for ask in asked {
            writeln!(&monitor, "{ask}")?;
            // A greeting and events come between.
            loop {
                let line = lines.next().ok_or_else(|| Missing("the machine's monitor is gone".into()))??;
                let said: Value = serde_json::from_str(&line).unwrap_or_default();
                if said.get("error").is_some() {
                    return Err(Missing(format!(
                        "the machine's monitor: {command}: {}",
                        said["error"]["desc"]
                    )));
                }
                if said.get("return").is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Pulls the plug.
    pub fn cut(mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Shuts down in order.
    pub fn power_off(mut self) -> Result<(), Missing> {
        // It may be gone before it answers.
        writeln!(self.control.get_mut(), "systemctl --no-block poweroff")?;
        let ended = crate::wait::try_until(Duration::from_secs(90), || self.child.try_wait().ok().flatten());
        ended.map(drop).ok_or_else(|| Missing("the guest does not power off".into()))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
