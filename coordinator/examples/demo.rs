//! Runs a first benchmark, in two commands as a user gives them: makes a data set of dehazed pictures with
//! pseudo-labels, then scores and ranks its algorithms with the small model that is built into the program. Needs
//! neither files nor a network.

use std::process::ExitCode;

const MAKE: &str = "demo make target/demo/haze --name haze";
const SUBMIT: &str = "submit --datasets target/demo/haze/haze.toml --model dqa:small \
                      --store target/demo/store";
const VIEW: &str = "cargo run -p dqa-coordinator --no-default-features -- view --store target/demo/store --open";

fn main() -> ExitCode {
    for command in [MAKE, SUBMIT] {
        let ended = dqa_coord(command);
        if ended != ExitCode::SUCCESS {
            return ended;
        }
    }
    println!("See the leaderboard with its pictures:\n$ {VIEW}");
    ExitCode::SUCCESS
}

fn dqa_coord(arguments: &str) -> ExitCode {
    let line = format!("dqa-coord {arguments}");
    println!("$ {line}");
    dqa_coordinator::cli::run_arguments(line.split_whitespace().map(Into::into).collect())
}
