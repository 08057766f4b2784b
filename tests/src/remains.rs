//! What is left on the disk of a box whose power went, judged on this machine: the file system recovers, the
//! shipped daemon starts from what lies there, and every act is on record. Nothing of the box runs.

use crate::daemon::{free_port, programs};
use crate::figures::Missing;
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
    let recovered = output(Command::new("e2fsck").arg("-p").arg(disk))?;
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
