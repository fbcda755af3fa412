//! The `dqa-coord` program as a binary of this package, so that cargo builds it for the tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    dqa_coordinator::cli::main()
}
