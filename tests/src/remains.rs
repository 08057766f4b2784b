//! What is left on the disk of a box whose power went, judged on this machine: the file system recovers, the
//! shipped daemon starts from what lies there, and every act is on record. Nothing of the box runs.

use crate::daemon::{free_port, programs};
use crate::figures::Missing;
use crate::guest::project;
use crate::wait;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Judges a disk in the state of one moment, by when so many acts had been seen; what is wrong with it. A
/// folder to work in must be empty.
pub fn judge(disk: &Path, work: &Path, acts: usize) -> Result<Vec<String>, Missing> {
    let mut wrong = Vec::new();
    // As the box does it when it starts, and then whether anything was left.
    let recovered = recover(disk)?;
    if recovered.status.code().is_none_or(|code| code >= 4) {
        return Ok(vec![format!("the file system is damaged: {}", text(&recovered))]);
    }
    let checked = output(Command::new("e2fsck").arg("-fn").arg(disk))?;
    if !checked.status.success() {
        wrong.push(format!("the file system is not clean: {}", text(&checked)));
    }
    let take = format!("rdump /var/lib/kakou {}", work.display());
    output(Command::new("debugfs").args(["-R", &take]).arg(disk))?;
    let data = work.join("kakou");
    wrong.extend(start(&data)?);
    let kept: Vec<_> = std::fs::read_dir(&data)?.flatten().map(|f| f.file_name()).collect();
    if let Some(aside) = kept.iter().find(|name| name.to_string_lossy().starts_with("set-aside")) {
        wrong.push(format!("{} was set aside", aside.display()));
    }
    let verified =
        output(Command::new(programs().join("kakou")).args(["journal", "verify", "--data"]).arg(&data))?;
    if !verified.status.success() {
        wrong.push(format!("the journal: {}", text(&verified)));
    }
    let recorded = admissions(&data)?;
    if recorded < acts {
        wrong.push(format!("{acts} acts were seen, {recorded} admissions are on record"));
    }
    Ok(wrong)
}

/// What the product's image does with its data partition.
fn recover(disk: &Path) -> Result<Output, Missing> {
    let program = "yocto/meta-kakou/recipes-kakou/kakou-system/files/check-data";
    output(Command::new(project().join(program)).arg(disk))
}

/// The daemon on the data folder of an enrolled box: without its devices, its network, its port.
fn start(data: &Path) -> Result<Option<String>, Missing> {
    let config = data.join("enrolled/kakou.toml");
    let (listen, elsewhere) = (format!("127.0.0.1:{}", free_port()), "127.0.0.1:9");
    let text =
        std::fs::read_to_string(&config)?.replace("/dev/", "/dev/none/").replace("127.0.0.1:8088", &listen);
    let lines = text.lines().map(|line| match line.strip_prefix("broker") {
        Some(_) => format!("broker = \"mqtts://{elsewhere}\"\n"),
        None => format!("{line}\n"),
    });
    std::fs::write(&config, lines.collect::<String>())?;
    let log = data.with_extension("log");
    let mut daemon = Command::new(programs().join("kakoud"))
        .arg("--config")
        .arg(&config)
        .env_remove("JOURNAL_STREAM")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .spawn()?;
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let mut ended = None;
    let open = wait::try_until(LIMIT, || {
        ended = daemon.try_wait().ok().flatten();
        (ended.is_some() || said().contains("lanes are open")).then_some(())
    });
    if ended.is_some() || open.is_none() {
        drop(daemon.kill());
        drop(daemon.wait());
        return Ok(Some(format!("the daemon does not start: {}", said())));
    }
    let pid = rustix::process::Pid::from_child(&daemon);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let code = wait::try_until(LIMIT, || daemon.try_wait().ok().flatten()).and_then(|status| status.code());
    if code != Some(0) {
        drop(daemon.kill());
        drop(daemon.wait());
    }
    Ok((code != Some(0)).then(|| format!("the daemon ends with {code:?}: {}", said())))
}

fn admissions(data: &Path) -> Result<usize, Missing> {
    let journal = kakou_gateway::store::journal::reader(data)?;
    let mut select = journal.prepare("SELECT body FROM event WHERE shed = 0")?;
    let bodies = select.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
    let events = bodies.flatten().filter_map(|body| serde_json::from_slice::<Value>(&body).ok());
    let admitted = |e: &Value| e["type"] == "kakou.transaction.v1" && e["data"]["outcome"] == "ADMIT";
    Ok(events.filter(admitted).count())
}

fn output(command: &mut Command) -> Result<Output, Missing> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.output().map_err(|e| Missing(format!("{name}: {e}; apt-get install e2fsprogs")))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brokers::skip_without;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    /// In the first sector of the superblock: when the file system was written to.
    const WRITTEN_AT: u64 = 1024 + 0x30;

    #[test]
    fn a_superblock_that_was_torn_comes_back_from_its_copy() {
        if skip_without("mkfs.ext4", Path::new("/sbin/mkfs.ext4").exists()) {
            return;
        }
        for block in ["1024", "4096"] {
            let folder = tempfile::tempdir().unwrap();
            let (disk, kept) = (folder.path().join("disk"), folder.path().join("kept"));
            std::fs::create_dir(&kept).unwrap();
            std::fs::write(kept.join("journal"), "what was acted upon").unwrap();
            File::create(&disk).unwrap().set_len(256 << 20).unwrap();
            let made =
                output(Command::new("/sbin/mkfs.ext4").args(["-q", "-b", block, "-d"]).arg(&kept).arg(&disk));
            assert!(made.unwrap().status.success());
            let file = File::options().write(true).open(&disk).unwrap();
            file.write_all_at(&[1, 2, 3, 4], WRITTEN_AT).unwrap();
            let check = || output(Command::new("/sbin/e2fsck").arg("-fn").arg(&disk)).unwrap();
            assert!(!check().status.success(), "it is not torn");
            let recovered = recover(&disk).unwrap();
            assert!(recovered.status.code().is_some_and(|code| code < 4), "{}", text(&recovered));
            assert!(check().status.success(), "{}", text(&check()));
            let read = output(Command::new("/sbin/debugfs").args(["-R", "cat journal"]).arg(&disk));
            assert_eq!(read.unwrap().stdout, b"what was acted upon");
        }
    }
}
