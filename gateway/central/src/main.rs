//! The command of the central side.

fn main() -> std::process::ExitCode {
    kakou_central::cli::main()
}
