//! Power cuts: the appliance runs under load and is killed at random moments, again and again. What was
//! acted upon must be on record, what is on record must arrive, photographs too; the file system is
//! clean, the box comes up alone, and a daemon that hangs is started anew by its watchdog.

use clap::Parser;
use kakou_drivers::sim::Seeded;
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::guest::{Arch, disk, image};
use kakou_tests::site::Site;
use kakou_tests::{passes, wait};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Cuts the power of a virtual gateway under load.
#[derive(Parser)]
struct Arguments {
    /// How often.
    #[arg(long, default_value_t = 50)]
    rounds: u64,
    /// The moments follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The machine; amd64 boots faster where tests run.
    #[arg(long, value_enum, default_value = "amd64")]
    arch: Arch,
    /// A folder with vmlinuz, initrd.gz and disk.img of `tests/appliance/build`; made if not given.
    #[arg(long)]
    image: Option<PathBuf>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

const LIMIT: Duration = Duration::from_secs(120);
/// Residents of the list; each is scanned in turn.
const RESIDENTS: u64 = 500;

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let image = match &a.image {
        Some(folder) => folder.clone(),
        None => image(a.arch)?,
    };
    let folder = tempfile::tempdir()?;
    let disk = disk(&image, folder.path())?;
    let trust = json!({ "name": "trust", "version": 1, "issued": passes::now_s(), "keys": [passes::entry(&passes::issuer())] });
    let mut site = Site::make(folder.path(), &trust)?;
    let (mut short, mut random) = (Vec::new(), Seeded::new(a.seed));
    let mut guest = site.boot(a.arch, &image, &disk)?;
    guest.until("the daemon", "systemctl is-active kakoud", LIMIT)?;
    site.enrol(&mut guest)?;
    Site::open_screens(&mut guest)?;
    site.ready()?;
    let residents: Map<String, Value> =
        (0..RESIDENTS).map(|n| (format!("ID-{n}"), passes::healthy())).collect();
    site.feeds(&Value::Object(residents))?;
    let (mut scanned, mut unclean, mut broken, mut boots) = (0, 0_u64, 0_u64, Vec::new());
    let pulses = site.pulses[0].clone();
    for n in 1..=a.rounds {
        // A photograph on its way while the power goes.
        drop(snapshot(&site));
        let until = Instant::now() + Duration::from_millis(500 + random.below(7_500));
        while Instant::now() < until {
            scanned += 1;
            site.scanner.scan(&format!("ID-{}", scanned % RESIDENTS))?;
            let next = Instant::now() + Duration::from_millis(300 + random.below(900));
            while Instant::now() < next.min(until) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        guest.cut();
        say(
            begun,
            &format!(
                "cut {n} of {}: the barrier has opened {} times",
                a.rounds,
                pulses.load(Ordering::SeqCst)
            ),
        );
        guest = site.boot(a.arch, &image, &disk)?;
        guest.until("the lanes", "systemctl is-active kakoud", LIMIT)?;
        boots.push(guest.begun.elapsed().as_secs_f64());
        let state = guest.ask("tune2fs -l /dev/vda | grep -i 'filesystem state'; tune2fs -l /dev/vda | grep -ci 'with errors' || true")?;
        unclean += u64::from(!state.contains("clean") || state.contains("errors"));
        let whole = guest.ask("kakou journal verify --data /var/lib/kakou");
        if let Err(why) = whole {
            broken += 1;
            short.push(format!("after cut {n}: {}", why.0));
        }
        Site::open_screens(&mut guest)?;
        site.ready()?;
    }
    say(begun, "a daemon that hangs");
    let restarts = |guest: &mut kakou_tests::guest::Guest| -> Result<u64, Missing> {
        Ok(guest.ask("systemctl show kakoud -p NRestarts --value")?.trim().parse().unwrap_or(0))
    };
    let before = restarts(&mut guest)?;
    guest.ask("systemctl kill -s STOP --kill-whom=main kakoud")?;
    let hung = Instant::now();
    let revived = wait::try_until(LIMIT, || (restarts(&mut guest).ok()? > before).then(|| hung.elapsed()));
    if revived.is_none() {
        short.push("a hung daemon is not started anew".into());
    }
    guest.until("the lanes", "systemctl is-active kakoud", LIMIT)?;
    say(begun, "everything that was acted upon must arrive");
    let opened = pulses.load(Ordering::SeqCst);
    let admitted = |site: &Site| {
        let events = site.events("transaction");
        let ids: BTreeSet<String> =
            events.iter().filter(|e| e["data"]["outcome"] == "ADMIT").map(|e| e["id"].to_string()).collect();
        ids.len() as u64
    };
    wait::try_until(Duration::from_secs(60), || (admitted(&site) >= opened).then_some(()));
    // What waits behind it comes as well.
    wait::try_until(LIMIT, || {
        let outbox = site.get("/api/v1/status")?["outbox"].as_array()?.clone();
        outbox.iter().all(|class| class["unreceipted"] == 0).then_some(())
    });
    let recorded = admitted(&site);
    if recorded < opened {
        short.push(format!("the barrier opened {opened} times, {recorded} admissions are on record"));
    }
    let named: BTreeSet<String> = site
        .events("snapshot")
        .iter()
        .filter_map(|e| e["data"]["photos"][0]["sha256"].as_str().map(str::to_owned))
        .collect();
    let there =
        |sha: &String| site.folder.join("central/photos").join(&sha[..2]).join(format!("{sha}.jpg")).exists();
    wait::try_until(LIMIT, || named.iter().all(there).then_some(()));
    let lost: Vec<&String> = named.iter().filter(|sha| !there(sha)).collect();
    if !lost.is_empty() {
        short.push(format!("{} photographs are named and missing", lost.len()));
    }
    guest.power_off()?;
    let check = Command::new("e2fsck").args(["-fn"]).arg(&disk).output()?;
    if !check.status.success() {
        short.push(format!("the file system is not clean: {}", String::from_utf8_lossy(&check.stdout)));
    }
    if unclean > 0 {
        short.push(format!("{unclean} boots found a file system with errors"));
    }
    boots.sort_by(f64::total_cmp);
    let mut figures = Map::new();
    let mut put = |name: &str, value: Value| figures.insert(name.to_owned(), value);
    put("rounds", json!(a.rounds));
    put("arch", json!(a.arch.word()));
    put("codes", json!(scanned));
    put("opened", json!(opened));
    put("admissions_received", json!(recorded));
    put("photos", json!(named.len()));
    put("photos_missing", json!(lost.len()));
    put("journals_broken", json!(broken));
    put("unclean", json!(unclean));
    put("boot_median_s", json!(round(boots.get(boots.len() / 2).copied().unwrap_or(0.0))));
    put("watchdog_s", json!(revived.map(|d| round(d.as_secs_f64()))));
    put("seed", json!(a.seed));
    put("seconds", json!(begun.elapsed().as_secs()));
    Ok((figures, short))
}

/// A picture of the truck's lane, by a command of central ops.
fn snapshot(site: &Site) -> Result<String, Missing> {
    let more = [
        "vm/gw-1",
        "--sign-key",
        "ops.pk8",
        "--by",
        "test",
        "--reason",
        "power cut",
        "--wait",
        "3",
        "snapshot",
        "truck",
    ];
    site.ops(&["fleet", "command"], &more)
}
