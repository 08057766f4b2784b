//! The operator's command.

fn main() -> std::process::ExitCode {
    kakou_gateway::cli::main()
}
