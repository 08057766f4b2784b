//! Power cuts: the appliance runs under load and is killed at random moments, again and again, now and then
//! once more while it starts. What its disk had not flushed by then is lost, all or in part. What was
//! acted upon must be on record, what is on record must arrive, photographs too; the file system is
//! clean, the box comes up alone, and a daemon that hangs is started anew by its watchdog.

use clap::Parser;
use kakou_drivers::sim::Seeded;
use kakou_tests::disk::Disk;
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::guest::{Arch, Guest, accelerator, image, project};
use kakou_tests::remains::judge;
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
    /// Before each cut, the disk is judged so often as if the power went then: on this machine, without a boot.
    #[arg(long, default_value_t = 9)]
    moments: u64,
    /// The moments follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The machine; amd64 boots faster where tests run.
    #[arg(long, value_enum, default_value = "amd64")]
    arch: Arch,
    /// A folder with kernel, initrd and disk.img of `tests/appliance/build`; made if not given.
    #[arg(long)]
    image: Option<PathBuf>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

const LIMIT: Duration = Duration::from_secs(120);
/// Residents of the list; each is scanned in turn.
const RESIDENTS: u64 = 500;
/// Writes of the disk between two moments, at most: about 20 a visit, and more with a photograph.
const WRITES: u64 = 60;
/// And of a start that is cut.
const WRITES_OF_START: u64 = 200;
/// A guest that has nothing to write is cut all the same.
const LONGEST: Duration = Duration::from_secs(8);

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
    let disk = Disk::copy(&image, folder.path())?;
    let trust = json!({ "name": "trust", "version": 1, "issued": passes::now_s(), "keys": [passes::entry(&passes::issuer())] });
    let mut site = Site::make(folder.path(), &trust)?;
    let mut guest = site.boot(a.arch, &image, &disk)?;
    guest.until("the daemon", "systemctl is-active kakoud", LIMIT)?;
    site.enrol(&mut guest)?;
    Site::open_screens(&mut guest)?;
    site.ready()?;
    let residents: Map<String, Value> =
        (0..RESIDENTS).map(|n| (format!("ID-{n}"), passes::healthy())).collect();
    site.feeds(&Value::Object(residents))?;
    let random = Seeded::new(a.seed);
    let mut bar = Bar { a, begun, image, disk, site, random, tally: Tally::default(), figures: Map::new() };
    // From here on, a box that does not come up is what the bar is about.
    let done = bar.rounds(guest).and_then(|guest| bar.end(guest));
    let Bar { mut tally, mut figures, .. } = bar;
    if let Err(why) = done {
        tally.wrong.push(format!("after {} cuts: {}", tally.cuts, why.0));
    }
    tally.boots.sort_by(f64::total_cmp);
    let mut put = |name: &str, value: Value| figures.insert(name.to_owned(), value);
    put("rounds", json!(a.rounds));
    put("cuts", json!(tally.cuts));
    put("cuts_while_starting", json!(tally.while_starting));
    put("boots", json!(tally.boots.len()));
    put("kernel_resets", json!(tally.resets));
    put("moments_judged", json!(tally.moments));
    put("unflushed_sectors_kept", json!(tally.kept));
    put("unflushed_sectors_lost", json!(tally.lost));
    put("arch", json!(a.arch.as_str()));
    put("accelerator", json!(accelerator()));
    put("codes", json!(tally.scanned));
    put("boot_median_s", json!(round(tally.boots.get(tally.boots.len() / 2).copied().unwrap_or(0.0))));
    put("seed", json!(a.seed));
    put("seconds", json!(begun.elapsed().as_secs()));
    Ok((figures, tally.wrong))
}

/// A run under way.
struct Bar<'a> {
    a: &'a Arguments,
    begun: Instant,
    image: PathBuf,
    disk: Disk,
    site: Site,
    random: Seeded,
    tally: Tally,
    figures: Map<String, Value>,
}

/// What was done so far, and what was wrong.
#[derive(Default)]
struct Tally {
    scanned: u64,
    cuts: u64,
    while_starting: u64,
    moments: u64,
    kept: u64,
    lost: u64,
    /// How long each boot after a cut took, in seconds.
    boots: Vec<f64>,
    /// Boots that the kernel gave up and began anew.
    resets: u64,
    wrong: Vec<String>,
}

impl Tally {
    fn cut(&mut self, sectors: (u64, u64)) {
        self.cuts += 1;
        self.sectors(sectors);
    }
    fn moment(&mut self, sectors: (u64, u64)) {
        self.moments += 1;
        self.sectors(sectors);
    }
    fn sectors(&mut self, (kept, lost): (u64, u64)) {
        self.kept += kept;
        self.lost += lost;
    }
}

impl Bar<'_> {
    fn opened(&self) -> u64 {
        self.site.pulses[0].load(Ordering::SeqCst)
    }

    /// Load, cut, boot, check: again and again.
    fn rounds(&mut self, mut guest: Guest) -> Result<Guest, Missing> {
        for n in 1..=self.a.rounds {
            load(&mut self.site, &self.disk, self.a.moments, &mut self.random, &mut self.tally)?;
            guest.cut();
            self.tally.cut(self.disk.cut(&mut self.random)?);
            let (cuts, moments, opened) = (self.tally.cuts, self.tally.moments, self.opened());
            let told = format!("{cuts} cuts and {moments} moments, the barrier has opened {opened} times");
            say(self.begun, &format!("round {n} of {}: {told}", self.a.rounds));
            if self.random.once_in(4) {
                let starting = Guest::start(&self.site.plan(self.a.arch, &self.image, &self.disk))?;
                let usual = self.tally.boots.last().copied().unwrap_or(10.0);
                self.disk.hold(self.random.below(WRITES_OF_START), Duration::from_secs_f64(usual));
                starting.cut();
                self.tally.cut(self.disk.cut(&mut self.random)?);
                self.tally.while_starting += 1;
            }
            guest = self.site.boot(self.a.arch, &self.image, &self.disk)?;
            self.tally.resets += guest.resets;
            guest.until("the lanes", "systemctl is-active kakoud", LIMIT)?;
            self.tally.boots.push(guest.begun.elapsed().as_secs_f64());
            let state = guest.ask("tune2fs -l /dev/vda | grep -i 'filesystem state'; tune2fs -l /dev/vda | grep -ci 'with errors' || true")?;
            if !state.contains("clean") || state.contains("errors") {
                let wrong = format!("after round {n} the file system has errors: {}", state.trim());
                self.tally.wrong.push(wrong);
            }
            if let Err(why) = guest.ask("kakou journal verify --data /var/lib/kakou") {
                self.tally.wrong.push(format!("after round {n}: {}", why.0));
            }
            Site::open_screens(&mut guest)?;
            self.site.ready()?;
        }
        Ok(guest)
    }

    /// A daemon that hangs; then everything that was acted upon must arrive, and the box is switched off.
    fn end(&mut self, mut guest: Guest) -> Result<(), Missing> {
        say(self.begun, "a daemon that hangs");
        let restarts = |guest: &mut Guest| -> Result<u64, Missing> {
            Ok(guest.ask("systemctl show kakoud -p NRestarts --value")?.trim().parse().unwrap_or(0))
        };
        let before = restarts(&mut guest)?;
        guest.ask("systemctl kill -s STOP --kill-whom=main kakoud")?;
        let hung = Instant::now();
        let revived =
            wait::try_until(LIMIT, || (restarts(&mut guest).ok()? > before).then(|| hung.elapsed()));
        if revived.is_none() {
            self.tally.wrong.push("a hung daemon is not started anew".into());
        }
        guest.until("the lanes", "systemctl is-active kakoud", LIMIT)?;
        say(self.begun, "everything that was acted upon must arrive");
        let (site, opened) = (&self.site, self.opened());
        let admitted = || {
            let events = site.events("transaction");
            let ids: BTreeSet<String> = events
                .iter()
                .filter(|e| e["data"]["outcome"] == "ADMIT")
                .map(|e| e["id"].to_string())
                .collect();
            ids.len() as u64
        };
        wait::try_until(Duration::from_secs(60), || (admitted() >= opened).then_some(()));
        // What waits behind it comes as well.
        wait::try_until(LIMIT, || {
            let outbox = site.get("/api/v1/status")?["outbox"].as_array()?.clone();
            outbox.iter().all(|class| class["unreceipted"] == 0).then_some(())
        });
        let recorded = admitted();
        if recorded < opened {
            let wrong = format!("the barrier opened {opened} times, {recorded} admissions are on record");
            self.tally.wrong.push(wrong);
        }
        let named: BTreeSet<String> = site
            .events("snapshot")
            .iter()
            .filter_map(|e| e["data"]["photos"][0]["sha256"].as_str().map(str::to_owned))
            .collect();
        let there = |sha: &String| {
            site.folder.join("central/photos").join(&sha[..2]).join(format!("{sha}.jpg")).exists()
        };
        wait::try_until(LIMIT, || named.iter().all(there).then_some(()));
        let lost = named.iter().filter(|sha| !there(sha)).count();
        if lost > 0 {
            self.tally.wrong.push(format!("{lost} photographs are named and missing"));
        }
        guest.power_off()?;
        self.disk.cut(&mut self.random)?;
        let check = Command::new("e2fsck").args(["-fn"]).arg(&self.disk.medium).output()?;
        if !check.status.success() {
            let said = String::from_utf8_lossy(&check.stdout);
            self.tally.wrong.push(format!("the file system is not clean: {said}"));
        }
        if self.tally.lost == 0 || opened == 0 {
            let wrong = "nothing was acted upon, or nothing was lost: the run proves nothing";
            self.tally.wrong.push(wrong.into());
        }
        let figures = [
            ("opened", json!(opened)),
            ("admissions_received", json!(recorded)),
            ("photos", json!(named.len())),
            ("photos_missing", json!(lost)),
            ("watchdog_s", json!(revived.map(|d| round(d.as_secs_f64())))),
        ];
        self.figures.extend(figures.map(|(name, value)| (name.to_owned(), value)));
        Ok(())
    }
}

/// Codes at random intervals, now and then a photograph, and beside it moments whose disks are judged; at
/// the end the disk stands still for the cut.
fn load(
    site: &mut Site,
    disk: &Disk,
    moments: u64,
    random: &mut Seeded,
    tally: &mut Tally,
) -> Result<(), Missing> {
    let (pulses, folder) = (site.pulses[0].clone(), site.folder.clone());
    let mut others = Seeded::new(random.draw());
    let mut scanned = tally.scanned;
    std::thread::scope(|scope| {
        let judged = scope.spawn(|| -> Result<(), Missing> {
            for _ in 0..moments {
                disk.hold(1 + others.below(WRITES), LONGEST);
                // Their commits are on the disk: it stands still.
                let seen = pulses.load(Ordering::SeqCst);
                let copy = folder.join("moment.img");
                tally.moment(disk.moment(&copy, &mut others)?);
                disk.release();
                let work = tempfile::tempdir_in(&folder)?;
                let wrong = judge(&copy, work.path(), usize::try_from(seen).unwrap_or(usize::MAX))?;
                if !wrong.is_empty() {
                    // For whoever looks for the cause.
                    std::fs::copy(&copy, project().join("target/powercut-moment.img"))?;
                }
                tally.wrong.extend(wrong);
            }
            disk.hold(1 + others.below(WRITES), LONGEST);
            Ok(())
        });
        while !judged.is_finished() {
            scanned += 1;
            if scanned % 6 == 1 {
                drop(snapshot(site));
            }
            site.scanner.scan(&format!("ID-{}", scanned % RESIDENTS))?;
            let next = Instant::now() + Duration::from_millis(300 + random.below(900));
            while Instant::now() < next && !judged.is_finished() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        judged.join().map_err(|_| Missing("a judge has failed".into()))?
    })?;
    tally.scanned = scanned;
    Ok(())
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
        "1",
        "snapshot",
        "truck",
    ];
    site.ops(&["fleet", "command"], &more)
}
