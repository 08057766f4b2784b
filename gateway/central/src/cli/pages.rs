//! `kakou-central pages`: manual pages and completions from the same words as `--help`.

use super::{Arguments, fail};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::ExitCode;

/// Writes them into a folder: pages of these commands, and the completions of all commands that `kakou` has.
pub fn run(folder: &Path) -> ExitCode {
    match write(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(format!("{}: {e}", folder.display())),
    }
}

fn write(folder: &Path) -> io::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(Arguments::command().name("kakou"), &man)?;
    // These are of `kakou`, which has more of both.
    for page in ["kakou.1", "kakou-pass.1", "kakou-pack.1", "kakou-desk.1"] {
        match std::fs::remove_file(man.join(page)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
    }
    let mut whole = with(kakou_gateway::cli::command(), &Arguments::command());
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut whole, "kakou", &completions)?;
    }
    Ok(())
}

/// A command with what this program knows of its subcommands, in place of names that it hands on alone.
fn with(whole: clap::Command, own: &clap::Command) -> clap::Command {
    own.get_subcommands().filter(|c| !c.is_hide_set()).fold(whole, |whole, own| {
        whole.mut_subcommand(own.get_name(), |handed| match handed.has_subcommands() {
            true => with(handed, own),
            false => own.clone(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of all commands below one, each with those above it.
    fn names(command: &clap::Command, above: &str, into: &mut Vec<String>) {
        for c in command.get_subcommands().filter(|c| !c.is_hide_set()) {
            let name = format!("{above} {}", c.get_name());
            names(c, &name, into);
            into.push(name);
        }
    }

    #[test]
    fn kakou_hands_on_every_command_of_this_program_and_says_the_same_of_it() {
        let (own, handed) = (Arguments::command(), kakou_gateway::cli::command());
        for c in own.get_subcommands().filter(|c| !c.is_hide_set()) {
            let there = handed.find_subcommand(c.get_name()).unwrap();
            if !there.has_subcommands() {
                assert_eq!(
                    there.get_about().map(ToString::to_string),
                    c.get_about().map(ToString::to_string)
                );
                continue;
            }
            for deeper in c.get_subcommands() {
                let there = there.find_subcommand(deeper.get_name()).unwrap();
                assert_eq!(
                    there.get_about().map(ToString::to_string),
                    deeper.get_about().map(ToString::to_string)
                );
            }
        }
    }

    #[test]
    fn completions_know_what_the_program_beside_kakou_knows_and_what_kakou_knows_itself() {
        let mut all = Vec::new();
        names(&with(kakou_gateway::cli::command(), &Arguments::command()), "kakou", &mut all);
        for name in
            ["kakou ca init", "kakou fleet serve", "kakou pass issue", "kakou pass show", "kakou status"]
        {
            assert!(all.iter().any(|n| n == name), "{name}: {all:?}");
        }
    }
}
