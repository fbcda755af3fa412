//! The program `dqa-coord`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dqa_coordinator::cli::main()
}
