//! Commands that are programs of their own: `kakou demo` becomes `kakou-demo`, and what belongs to the central side
//! becomes `kakou-central`. They lie beside this program where their packages, of the same names, are installed.

use super::fail;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// What is handed on as it stands, `--help` as well.
#[derive(clap::Args)]
pub struct Handed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    rest: Vec<OsString>,
}

/// Becomes the demo.
pub fn demo(handed: Handed) -> ExitCode {
    run("kakou-demo", "demo", &[], handed)
}

/// Becomes the program of the central side, which has this command.
pub fn central(command: &[&str], handed: Handed) -> ExitCode {
    run("kakou-central", &command.join(" "), command, handed)
}

/// Becomes the program of a command; comes back where that does not work.
fn run(package: &str, command: &str, first: &[&str], handed: Handed) -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(own) => own.with_file_name(package),
        Err(e) => return fail(format!("where this program lies is not known: {e}")),
    };
    let why = Command::new(&program).args(first).args(handed.rest).exec();
    let program = program.display();
    if why.kind() == ErrorKind::NotFound {
        return fail(format!(
            "there is no {program}: install the package {package}, which brings `kakou {command}`"
        ));
    }
    fail(format!("{program}: {why}"))
}
