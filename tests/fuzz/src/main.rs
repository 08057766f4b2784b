//! The fuzz targets of [`targets`], run by libFuzzer. The variable `KAKOU_FUZZ` names the target; `./run` goes through them.
#![no_main]

mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use targets::Target;

/// Those that guard what they call: a panic inside is counted by them and is no failure.
const GUARDED: [&str; 2] = ["qr-picture", "camera-frame"];

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("KAKOU_FUZZ").unwrap_or_default();
    if GUARDED.contains(&name.as_str()) {
        // The reader guards other people's code; a panic that gets past the guard ends the process all the same.
        std::panic::set_hook(Box::new(|_| {}));
    }
    targets::find(&name).unwrap_or_else(|| {
        println!("{}", targets::names().collect::<Vec<_>>().join(" "));
        std::process::exit(0);
    })
});

fuzz_target!(|data: &[u8]| TARGET.run(data));
