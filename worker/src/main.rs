//! The `dqa-worker` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    dqa_worker::cli::main()
}
