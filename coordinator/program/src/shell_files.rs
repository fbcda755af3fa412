//! Completions and manual pages of both programs, made from the definitions of their command lines.

use std::io::{self, Write, stdout};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

fn programs() -> [Command; 2] {
    [dqa_coordinator::cli::command(), dqa_worker::cli::command()]
}

/// Prints what a shell sources to complete the commands and flags of both programs.
pub(crate) fn print_completions(shell: Shell) -> io::Result<()> {
    let mut text = Vec::new();
    for mut program in programs() {
        let name = program.get_name().to_owned();
        clap_complete::generate(shell, &mut program, name, &mut text);
    }
    stdout().write_all(&text)
}

/// Writes a manual page of each program and of each of its commands to a folder, which is created.
pub(crate) fn write_manual(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    programs().into_iter().try_for_each(|program| clap_mangen::generate_to(program, folder))
}
