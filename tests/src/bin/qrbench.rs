//! QR reading on a folder tree of pictures: how many are read, wrongly read, and at what cost, beside
//! bare rqrr and bare rxing in the same run.
//!
//! Beside `NAME.png` or `NAME.jpg` lies the truth: `NAME.txt` with the exact text, or `NAME.hex` with the
//! accepted payloads, one a line in hexadecimal. Without either there is no code in the picture. A code
//! that names no encoding is compared in each that is in use: reading is about its bytes.
//!
//! A payload that is not the truth is wrong, unless another of the three readers found the same: two
//! decoders with error correction that agree say that the truth beside the picture is of another code or
//! mistaken. Such pictures are counted and named as disputed.

use clap::Parser;
use kakou_core::evidence::Hash;
use kakou_drivers::qr::Grey;
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::hcert_case::unhex;
use kakou_tests::qr::{self, Found, READERS, Tally};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Reads every picture of a folder tree with each reader.
#[derive(Parser)]
struct Arguments {
    /// The folder.
    dir: PathBuf,
    /// CPU time for one picture, milliseconds: no step begins after it.
    #[arg(long, default_value_t = 2_000)]
    budget_ms: u64,
    /// Names each picture that is not read.
    #[arg(long)]
    unread: bool,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// At least so many reads in the folders whose names begin so.
const READ_BARS: [(&str, usize); 2] = [("zxing-qrcode-", 95), ("jsqr", 205)];
/// The median cost, as a ratio to bare rxing.
const MEDIAN_BAR: f64 = 1.6;

/// Published truths that are mistaken, by the SHA-256 of the picture, with the reason.
const MISTAKEN: [(&str, &str); 1] = [(
    "a8d498d6d2d6a3e27e24fd75ed023cd5b8b6b42cb4996674e88e555d68855ec1",
    "the code says `photography`, the truth `photograph`: encoded anew by another library, the first has \
     91 % of the picture's modules, the second 65 %",
)];

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| {}));
    finish(run(&Arguments::parse()))
}

/// A picture and what is in it.
struct Case {
    path: PathBuf,
    folder: String,
    truth: Vec<Vec<u8>>,
}

impl Case {
    fn name(&self, dir: &Path) -> String {
        self.path.strip_prefix(dir).unwrap_or(&self.path).display().to_string()
    }
}

fn cases(dir: &Path) -> Result<Vec<Case>, Missing> {
    let mut out = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
            if path.is_dir() {
                folders.push(path);
            } else if matches!(kind.as_str(), "png" | "jpg" | "jpeg") {
                let name = folder.strip_prefix(dir).unwrap_or(&folder).display().to_string();
                out.push(Case { truth: truth(&path)?, path, folder: name });
            }
        }
    }
    out.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(out)
}

fn truth(picture: &Path) -> Result<Vec<Vec<u8>>, Missing> {
    let (text, hex) = (picture.with_extension("txt"), picture.with_extension("hex"));
    if text.exists() {
        let exact = std::fs::read(text)?;
        // An editor may have put an end of line behind the text.
        let trimmed = exact.strip_suffix(b"\n").map(|t| t.strip_suffix(b"\r").unwrap_or(t).to_vec());
        return Ok([Some(exact), trimmed].into_iter().flatten().collect());
    }
    if !hex.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(hex)?;
    text.lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .map(|l| unhex(l).ok_or_else(|| Missing(format!("{}: not hexadecimal: {l}", picture.display()))))
        .collect()
}

fn load(path: &Path) -> Result<Grey, Missing> {
    let picture = image::open(path).map_err(|e| Missing(format!("{}: {e}", path.display())))?.into_luma8();
    let (w, h) = picture.dimensions();
    Grey::new(picture.into_raw(), w as usize, h as usize)
        .ok_or_else(|| Missing(format!("{} is empty", path.display())))
}

fn mistaken(picture: &Path) -> Result<Option<&'static str>, Missing> {
    let hash = Hash::of(&std::fs::read(picture)?).hex();
    Ok(MISTAKEN.iter().find(|(sha256, _)| *sha256 == hash).map(|(_, why)| *why))
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let cases = cases(&a.dir)?;
    if cases.is_empty() {
        return Err(Missing(format!("no pictures in {}", a.dir.display())));
    }
    let budget = Duration::from_millis(a.budget_ms);
    let mut folders: BTreeMap<String, (usize, usize, [Tally; 3])> = BTreeMap::new();
    let mut all: [Tally; 3] = Default::default();
    let (mut disputed, mut excused) = (Vec::new(), Map::new());
    for (n, case) in cases.iter().enumerate() {
        let picture = load(&case.path)?;
        let place = folders.entry(case.folder.clone()).or_default();
        place.0 += 1;
        place.1 += usize::from(!case.truth.is_empty());
        let found = qr::all(&picture, budget);
        let mistaken = mistaken(&case.path)?;
        for which in 0..READERS.len() {
            let others: Vec<&Found> =
                (0..READERS.len()).filter(|o| *o != which).map(|o| &found[o].0).collect();
            if let (Found::Payload(_), Some(why)) = (&found[which].0, mistaken) {
                place.2[which].excuse(found[which].1);
                all[which].excuse(found[which].1);
                if which == 0 {
                    excused.insert(case.name(&a.dir), json!(why));
                }
                continue;
            }
            let (read, doubt) = (all[which].read, all[which].disputed);
            let (own, took) = &found[which];
            place.2[which].take(own, &case.truth, &others, *took);
            all[which].take(own, &case.truth, &others, *took);
            if which == 0 && all[0].disputed > doubt {
                disputed.push(case.name(&a.dir));
            }
            if which == 0 && a.unread && all[0].read == read && !case.truth.is_empty() {
                eprintln!("not read: {}", case.path.display());
            }
        }
        if n % 100 == 99 {
            say(begun, &format!("{} of {} pictures", n + 1, cases.len()));
        }
    }
    let mut figures = Map::new();
    let mut short = Vec::new();
    figures.insert("seed".into(), json!(null));
    figures.insert("pictures".into(), json!(cases.len()));
    let mut per_folder = Map::new();
    for (name, (pictures, with_code, tallies)) in &folders {
        let mut entry = Map::new();
        entry.insert("pictures".into(), json!(pictures));
        entry.insert("with_code".into(), json!(with_code));
        for (which, tally) in tallies.iter().enumerate() {
            entry.insert(READERS[which].into(), tally.figures());
        }
        per_folder.insert(name.clone(), Value::Object(entry));
    }
    for (which, tally) in all.iter().enumerate() {
        figures.insert(READERS[which].into(), tally.figures());
    }
    figures.insert("disputed".into(), json!(disputed));
    figures.insert("excused".into(), Value::Object(excused));
    figures.insert("folders".into(), Value::Object(per_folder));
    let ratio = all[0].quantile(50) / all[2].quantile(50);
    figures.insert("median_vs_rxing".into(), json!(round(ratio)));
    if ratio > MEDIAN_BAR {
        short.push(format!("the median is {ratio:.2} times bare rxing's, at most {MEDIAN_BAR}"));
    }
    if all[0].wrong + all[0].panics > 0 {
        short.push(format!("{} wrong reads and {} panics, none may be", all[0].wrong, all[0].panics));
    }
    for (prefix, least) in READ_BARS {
        let there: Vec<_> = folders.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
        let read: usize = there.iter().map(|(_, f)| f.2[0].read).sum();
        if !there.is_empty() && read < least {
            short.push(format!("{prefix}: {read} read, at least {least}"));
        }
    }
    figures.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    Ok((figures, short))
}
