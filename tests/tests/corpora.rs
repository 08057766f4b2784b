//! The kept inputs of the fuzz targets: none of them stops a program, and what is read is read as the same again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../fuzz/src/targets.rs"]
mod targets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn each_input_that_fuzzing_has_kept_is_taken() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut kept = BTreeSet::new();
    for folder in entries(&corpora) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let target = targets::find(&name).unwrap_or_else(|| panic!("{} is of no target", folder.display()));
        let inputs = entries(&folder);
        assert!(!inputs.is_empty(), "{} is empty", folder.display());
        for input in inputs {
            // Which one it was stands above the panic.
            eprintln!("{}", input.display());
            target.run(&std::fs::read(&input).unwrap());
        }
        kept.insert(name);
    }
    let all: BTreeSet<String> = targets::names().map(str::to_owned).collect();
    assert_eq!(kept, all, "each target has a corpus");
}
