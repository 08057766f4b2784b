//! QR reading on made-up photographs: which harm and which size of code costs how many reads, for our
//! pipeline, bare rqrr and bare rxing on the same pictures.

use clap::Parser;
use kakou_drivers::sim::Seeded;
use kakou_tests::figures::{Missing, finish, say};
use kakou_tests::qr::{self, READERS, Tally};
use kakou_tests::qr_scene::{HARMS, HEIGHT, Scene, VERSIONS, WIDTH, scene};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Reads made-up photographs of QR codes with each reader and prints a table.
#[derive(Parser)]
struct Arguments {
    /// Pictures for each harm and version.
    #[arg(long, default_value_t = 25)]
    each: u64,
    /// Every picture follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// CPU time for one picture, milliseconds.
    #[arg(long, default_value_t = 2_000)]
    budget_ms: u64,
    /// Writes the pictures and their truths there, for `qrbench` or for a look, and reads nothing.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// Ours must read so many times what bare rxing reads.
const READ_BAR: f64 = 1.2;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    finish(run(&Arguments::parse()))
}

fn write(dir: &Path, name: &str, scene: &Scene) -> Result<(), Missing> {
    let size = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
    let pixels = scene.picture.pixels.clone();
    let picture = image::GrayImage::from_raw(size(WIDTH), size(HEIGHT), pixels)
        .ok_or_else(|| Missing("a picture has another size".into()))?;
    picture.save(dir.join(format!("{name}.png")))?;
    std::fs::write(dir.join(format!("{name}.txt")), &scene.text)?;
    Ok(())
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let mut seeds = Seeded::new(a.seed);
    let mut all: [Tally; 3] = Default::default();
    let mut table = Map::new();
    eprintln!("{:8} {:>7}  {}", "harm", "version", READERS.map(|r| format!("{r:>6}")).join(" "));
    for harm in HARMS {
        for version in VERSIONS {
            let mut row: [Tally; 3] = Default::default();
            for n in 0..a.each {
                let scene = scene(seeds.draw(), harm, version);
                if let Some(dir) = &a.write {
                    let folder = dir.join(harm.as_str());
                    std::fs::create_dir_all(&folder)?;
                    write(&folder, &format!("v{version}-{n}"), &scene)?;
                    continue;
                }
                let truth = [scene.text.into_bytes()];
                let found = qr::all(&scene.picture, Duration::from_millis(a.budget_ms));
                for (which, (own, took)) in found.iter().enumerate() {
                    // The truth is known: whoever says otherwise is wrong, whoever agrees with him too.
                    row[which].take(own, &truth, &[], *took);
                    all[which].take(own, &truth, &[], *took);
                }
            }
            let read = row.each_ref().map(|t| t.read);
            eprintln!("{:8} {version:>7}  {}", harm.as_str(), read.map(|n| format!("{n:>6}")).join(" "));
            table.insert(format!("{} v{version}", harm.as_str()), json!(read));
        }
        say(begun, &format!("{} done", harm.as_str()));
    }
    let mut figures = Map::new();
    let mut short = Vec::new();
    figures.insert("seed".into(), json!(a.seed));
    figures.insert("pictures".into(), json!(a.each * (HARMS.len() * VERSIONS.len()) as u64));
    figures.insert("columns".into(), json!(READERS));
    figures.insert("read".into(), Value::Object(table));
    for (which, tally) in all.iter().enumerate() {
        figures.insert(READERS[which].into(), tally.figures());
    }
    if a.write.is_none() {
        let ratio = all[0].read as f64 / all[2].read.max(1) as f64;
        figures.insert("reads_vs_rxing".into(), json!(kakou_tests::figures::round(ratio)));
        if ratio < READ_BAR {
            short.push(format!("reads {ratio:.2} times what bare rxing reads, at least {READ_BAR}"));
        }
        if all[0].wrong + all[0].panics > 0 {
            short.push(format!("{} wrong reads and {} panics, none may be", all[0].wrong, all[0].panics));
        }
    }
    figures.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    Ok((figures, short))
}
