//! The demo's command.

fn main() -> std::process::ExitCode {
    kakou_demo::main()
}
