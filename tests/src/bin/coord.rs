//! The `dqa-coord` program again, as a binary of this package: so that its tests find it built.

use std::process::ExitCode;

fn main() -> ExitCode {
    dqa_coordinator::cli::main()
}
