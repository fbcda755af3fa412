//! The `dqa-coord` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    dqa_coordinator::cli::main()
}
