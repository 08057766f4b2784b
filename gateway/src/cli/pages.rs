//! `kakou pages`: manual pages and completions from the same words as `--help`.

use super::{Arguments, Daemon, fail};
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::Path;
use std::process::ExitCode;

/// Writes them into a folder.
pub fn run(folder: &Path) -> ExitCode {
    match write(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(format!("{}: {e}", folder.display())),
    }
}

fn write(folder: &Path) -> std::io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(Arguments::command().name("kakou"), &man)?;
    // The programs of these commands bring their own pages.
    for handed in [
        "demo",
        "central",
        "ca",
        "fleet",
        "feed",
        "pass-key",
        "pass-issue",
        "pass-sheet",
        "pack-sign",
        "desk-sheet",
    ] {
        std::fs::remove_file(man.join(format!("kakou-{handed}.1")))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(Daemon::command()).section("8").render(&mut page)?;
    std::fs::write(man.join("kakoud.8"), page)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Arguments::command(), "kakou", &completions)?;
    }
    Ok(())
}
