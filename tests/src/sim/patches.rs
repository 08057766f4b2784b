//! Bugs that are planted into the product's own code, as patches: the simulation must find each by seeds that were not chosen
//! for it. A simulation that does not is what gets mended.
//!
//! A patch says in its first lines what it breaks and which invariants should find it. Its hunks are found by their text,
//! wherever in the file that stands by now. All of them are built at once, each behind a switch ([`switch`]), but for those that
//! cannot be: they are built one by one.

pub mod switch;

use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A run that takes longer than this hangs, which is found as well.
const RUN: Duration = Duration::from_secs(600);
/// What is no source.
const NOT_COPIED: [&str; 4] = ["target", ".git", "node_modules", ".ci"];

/// A planted bug.
#[derive(Debug, Clone)]
pub struct Patch {
    /// Its name: that of its file.
    pub name: String,
    /// What it breaks.
    pub breaks: String,
    /// Which invariants should find it.
    pub found_by: String,
    hunks: Vec<Hunk>,
}

/// A change of one place: lines that stay (` `), go (`-`) and come (`+`).
#[derive(Debug, Clone)]
struct Hunk {
    file: String,
    lines: Vec<(char, String)>,
}

impl Hunk {
    /// What stands there.
    fn old(&self) -> String {
        self.lines.iter().filter(|(kind, _)| *kind != '+').map(|(_, line)| format!("{line}\n")).collect()
    }
}

/// How a bug was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// In which world: `site`, `one-lane` or `pair`.
    pub world: &'static str,
    /// By which seed, and how many were tried.
    pub seed: u64,
    /// At which step; 0 where the run itself fell over.
    pub step: u64,
    /// What was wrong.
    pub why: String,
}

/// The folder of the sources that this program was built from.
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

impl Patch {
    /// All of them, in order of their names.
    pub fn all() -> Result<Vec<Self>, String> {
        let folder = sources().join("tests/planted");
        let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "patch"));
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let said = |what: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
            line.map(|line| line.trim().to_owned()).ok_or_else(|| format!("{name}: no line `{what}: …`"))
        };
        Ok(Self { breaks: said("breaks")?, found_by: said("found by")?, hunks: hunks(&text), name })
    }

    /// Whether it could be put into the sources as they are.
    pub fn applies(&self, root: &Path) -> Result<(), String> {
        self.hunks.iter().try_for_each(|hunk| {
            let text =
                fs::read_to_string(root.join(&hunk.file)).map_err(|e| format!("{}: {e}", hunk.file))?;
            let places = text.matches(hunk.old().as_str()).count();
            (places == 1 && !self.hunks.is_empty()).then_some(()).ok_or_else(|| {
                format!("{}: what it changes stands {places} times in {}", self.name, hunk.file)
            })
        })
    }
}

fn hunks(text: &str) -> Vec<Hunk> {
    let (mut out, mut file) = (Vec::<Hunk>::new(), String::new());
    let mut inside = false;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            (file, inside) = (name.to_owned(), false);
        } else if line.starts_with("--- ") || line.starts_with("diff ") {
            inside = false;
        } else if line.starts_with("@@") {
            out.push(Hunk { file: file.clone(), lines: Vec::new() });
            inside = true;
        } else if let Some(hunk) = out.last_mut().filter(|_| inside) {
            let mut chars = line.chars();
            hunk.lines.push((chars.next().unwrap_or(' '), chars.as_str().to_owned()));
        }
    }
    out
}

/// A copy of the sources, in which bugs are planted.
pub struct Garden {
    root: PathBuf,
    target: PathBuf,
}

impl Garden {
    /// Copies what has changed since the last time, below a folder that is kept. It is built where cargo is told to build;
    /// otherwise below that folder as well.
    pub fn new(below: &Path) -> io::Result<Self> {
        let (root, target) = (below.join("sources"), below.join("target"));
        copy(&sources(), &root)?;
        Ok(Self { root, target: std::env::var_os("CARGO_TARGET_DIR").map_or(target, PathBuf::from) })
    }

    /// Builds the simulation with bugs in it, and keeps it under a name. Behind switches it is said when it is run which of
    /// them counts.
    pub fn build(&self, name: &str, patches: &[&Patch], switched: bool) -> Result<PathBuf, String> {
        let before = switch::plant(&self.root, patches, switched)?;
        let built = Command::new("cargo")
            .args(["build", "--quiet", "--release", "--package", "kakou-tests", "--bin", "sim"])
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .env_remove("RUSTFLAGS")
            .output();
        for (path, text) in before {
            fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        let built = built.map_err(|e| format!("cargo: {e}"))?;
        if !built.status.success() {
            return Err(format!(
                "{name} does not build: {}",
                String::from_utf8_lossy(&built.stderr).trim_end()
            ));
        }
        // Whatever is built there next, this one is hunted.
        let sim = self.root.join(format!("sim-{name}"));
        fs::copy(self.target.join("release/sim"), &sim).map_err(|e| format!("{}: {e}", sim.display()))?;
        Ok(sim)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if NOT_COPIED.iter().any(|not| name == *not) {
            continue;
        }
        let (source, place) = (entry.path(), to.join(&name));
        if kind.is_dir() {
            copy(&source, &place)?;
        } else if kind.is_file() {
            // What is the same keeps its time, so that it is not built anew.
            let bytes = fs::read(&source)?;
            if fs::read(&place).ok().as_deref() != Some(&bytes) {
                fs::write(&place, bytes)?;
            }
        }
    }
    Ok(())
}

/// The worlds in which a bug is hunted, and how one asks for each.
const WORLDS: [(&str, &[&str]); 3] =
    [("site", &[]), ("one-lane", &["--one-lane"]), ("pair", &["--pair", "--lanes", "2"])];

/// Runs one seed after another in all worlds until one is not as it must be.
/// `bug` is the name of its patch; without one nothing may be found.
pub fn hunt(sim: &Path, bug: Option<&str>, seeds: u64, hours: f64) -> Result<Option<Found>, String> {
    for seed in 1..=seeds {
        for (world, more) in WORLDS {
            let mut run = Command::new(sim);
            run.args(["--seed", &seed.to_string(), "--hours", &hours.to_string(), "--json"]).args(more);
            run.env_remove(switch::SWITCH).envs(bug.map(|bug| (switch::SWITCH, bug)));
            let found = |step, why| Ok(Some(Found { world, seed, step, why }));
            let Some((code, out)) = ends(&mut run)? else { return found(0, "it does not end".to_owned()) };
            let last: Value =
                out.lines().last().and_then(|l| serde_json::from_str(l).ok()).unwrap_or_default();
            match code {
                Some(0) => {}
                Some(1) => {
                    let failure = &last["failures"][0];
                    let why = failure["why"].as_str().unwrap_or_default().to_owned();
                    return found(failure["step"].as_u64().unwrap_or(0), why);
                }
                Some(2) => return Err(format!("seed {seed} could not be run: {out}")),
                Some(_) | None => return found(0, "it falls over".to_owned()),
            }
        }
    }
    Ok(None)
}

/// Its status and what it has printed; nothing if it does not end.
fn ends(run: &mut Command) -> Result<Option<(Option<i32>, String)>, String> {
    let text = |e: io::Error| e.to_string();
    let out = tempfile::NamedTempFile::new().map_err(text)?;
    let mut child = run
        .stdin(Stdio::null())
        .stdout(out.reopen().map_err(text)?)
        .stderr(Stdio::null())
        .spawn()
        .map_err(text)?;
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().map_err(text)? {
            return Ok(Some((status.code(), fs::read_to_string(out.path()).map_err(text)?)));
        }
        if begun.elapsed() > RUN {
            child.kill().and_then(|()| child.wait()).map_err(text)?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
