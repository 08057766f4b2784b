//! Limits to which the kernel holds a process: memory, a share of a core and a slow disk by control groups of version 1,
//! open files, and a small disk that can be filled and that can fail. All of it needs root; what is not to be had is said.

use crate::figures::Missing;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

/// A control group of its own, inside the one that this process is in.
pub struct Group {
    folder: PathBuf,
    above: PathBuf,
}

impl Group {
    /// Of one controller: `memory`, `cpu`, `blkio`.
    pub fn new(controller: &str) -> Result<Self, Missing> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let ours = std::fs::read_to_string("/proc/self/cgroup")?;
        let of = |line: &str| {
            let (names, path) = line.split_once(':')?.1.split_once(':')?;
            names.split(',').any(|name| name == controller).then(|| path.trim_start_matches('/').to_owned())
        };
        let above = ours.lines().find_map(of).map(|path| Path::new(GROUPS).join(controller).join(path));
        let above = above.filter(|above| above.join("cgroup.procs").exists()).ok_or_else(|| {
            Missing(format!(
                "no control groups of version 1 for `{controller}` at {GROUPS}: mount them there"
            ))
        })?;
        let name = format!("kakou-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = above.join(name);
        std::fs::create_dir(&folder)
            .map_err(|e| Missing(format!("{}: {e}: run as root", folder.display())))?;
        Ok(Self { folder, above })
    }

    /// Sets one of its files.
    pub fn set(&self, file: &str, value: &str) -> Result<(), Missing> {
        let path = self.folder.join(file);
        std::fs::write(&path, value).map_err(|e| Missing(format!("{}: {e}", path.display())))
    }

    /// The number in one of its files, or behind a word there.
    pub fn number(&self, file: &str, word: Option<&str>) -> Option<u64> {
        let text = std::fs::read_to_string(self.folder.join(file)).ok()?;
        let number = match word {
            None => text.trim().to_owned(),
            Some(word) => text.lines().find_map(|line| line.strip_prefix(word))?.trim().to_owned(),
        };
        number.parse().ok()
    }

    /// The file that takes the id of a process.
    pub fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// A process with all its threads comes in.
    pub fn take(&self, pid: u32) -> Result<(), Missing> {
        self.set("cgroup.procs", &pid.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let inside = std::fs::read_to_string(self.procs()).unwrap_or_default();
        for pid in inside.lines() {
            drop(std::fs::write(self.above.join("cgroup.procs"), pid));
        }
        drop(std::fs::remove_dir(&self.folder));
    }
}

/// The numbers of the files that a process has open.
pub fn open_files(pid: u32) -> Vec<u64> {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    all.filter_map(|file| file.file_name().to_str()?.parse().ok()).collect()
}

/// A process opens no file any more, but in place of one that it closes; gives how many it has.
pub fn no_more_files(pid: u32) -> Result<usize, Missing> {
    let open = open_files(pid);
    let next = (0..).find(|n| !open.contains(n));
    files(pid, next)?;
    Ok(open.len())
}

/// Files of a process have numbers below this one; where none is given, as the unit of the daemon has it.
pub fn files(pid: u32, below: Option<u64>) -> Result<(), Missing> {
    let pid = Pid::from_raw(pid.cast_signed());
    let now = prlimit(
        pid,
        Resource::Nofile,
        Rlimit { current: Some(below.unwrap_or(MOST_FILES)), maximum: Some(MOST_FILES) },
    );
    now.map(drop).map_err(|e| Missing(format!("the limit of open files: {e}")))
}

/// The limit of the unit of the daemon.
const MOST_FILES: u64 = 4_096;

/// A small ext4 at a folder.
pub struct SmallDisk {
    image: PathBuf,
    at: PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), Missing> {
    let done = Command::new(program).args(arguments).output();
    let out = done.map_err(|e| Missing(format!("{program}: {e}: apt-get install e2fsprogs mount")))?;
    if out.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    Err(Missing(format!("{program} {}: {why}: run as root, where loop devices are", arguments.join(" "))))
}

impl SmallDisk {
    /// Makes it and mounts it; its image lies beside the folder.
    pub fn new(at: &Path, mb: u64) -> Result<Self, Missing> {
        let image = at.with_extension("img");
        File::create(&image)?.set_len(mb << 20)?;
        run("/sbin/mkfs.ext4", &["-q", &image.display().to_string()])?;
        std::fs::create_dir_all(at)?;
        let disk = Self { image, at: at.to_path_buf() };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), Missing> {
        let (image, at) = (self.image.display().to_string(), self.at.display().to_string());
        run("mount", &["-o", "loop,noatime,errors=remount-ro", &image, &at])
    }

    /// Major and minor number of its device.
    pub fn device(&self) -> Result<String, Missing> {
        let device = rustix::fs::stat(&self.at)?.st_dev;
        Ok(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
    }

    fn filling(&self) -> PathBuf {
        self.at.join("filling")
    }

    /// Fills it to the last block, and takes whatever room is made, until what this gives is dropped.
    pub fn fill(&self) -> Result<Filler, Missing> {
        let path = self.filling();
        let mut file = File::create(&path)?;
        fill(&mut file);
        let stop = Arc::new(AtomicBool::new(false));
        let end = stop.clone();
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                fill(&mut file);
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        Ok(Filler { path, stop, thread: Some(thread) })
    }

    /// The kernel finds a fault and lets nobody write any more.
    pub fn fail(&self) -> Result<(), Missing> {
        let mounts = std::fs::read_to_string("/proc/self/mounts")?;
        let at = self.at.display().to_string();
        let device = mounts.lines().rev().find_map(|line| {
            let mut words = line.split(' ');
            let device = words.next()?;
            (words.next()? == at).then(|| device.trim_start_matches("/dev/").to_owned())
        });
        let device = device.ok_or_else(|| Missing(format!("{at} is not mounted")))?;
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        std::fs::write(&trigger, "1").map_err(|e| Missing(format!("{trigger}: {e}")))
    }

    /// What a start of the box does: checks it, mends it, mounts it. Nobody may have a file open on it.
    pub fn start_again(&self) -> Result<(), Missing> {
        run("umount", &[&self.at.display().to_string()])?;
        let checked = Command::new("/sbin/e2fsck").arg("-fy").arg(&self.image).output()?;
        if checked.status.code().is_none_or(|code| code >= 4) {
            return Err(Missing(String::from_utf8_lossy(&checked.stdout).into_owned()));
        }
        self.mount()
    }
}

fn fill(file: &mut File) {
    for size in [1 << 20, 4_096, 512] {
        let piece = vec![0x55; size];
        while file.write_all(&piece).is_ok() {}
    }
    // What the disk has no room for was never promised.
    drop(file.sync_all());
}

/// Somebody else who writes to a disk whatever it takes, as a log that grows does.
pub struct Filler {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Filler {
    /// Makes room.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(self.thread.take().map(JoinHandle::join));
        drop(std::fs::remove_file(&self.path));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.at).output());
    }
}
