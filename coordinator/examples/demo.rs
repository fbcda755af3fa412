//! Runs a first benchmark, in two commands as a user gives them: makes a data set of dehazed pictures with
//! pseudo-labels, then scores and ranks its algorithms with the small model that is built into the program. Needs
//! neither files nor a network.

use std::process::ExitCode;

const MAKE: &str = "demo make target/demo/haze --name haze";
const SUBMIT: &str = "submit --datasets target/demo/haze/haze.toml --model dqa:small --prompts dqa:small \
                      --store target/demo/store";

fn main() -> ExitCode {
    let made = dqa_coord(MAKE);
    if made == ExitCode::SUCCESS { dqa_coord(SUBMIT) } else { made }
}

fn dqa_coord(arguments: &str) -> ExitCode {
    let line = format!("dqa-coord {arguments}");
    println!("$ {line}");
    dqa_coordinator::cli::run_arguments(line.split_whitespace().map(Into::into).collect())
}
