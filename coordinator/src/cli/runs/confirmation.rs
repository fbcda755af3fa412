//! Asks before runs are removed: at a terminal by a question, elsewhere not at all, because nobody would answer.

use std::io::{IsTerminal, Write, stderr, stdin};

use anyhow::{Context, anyhow, bail};
use dqa_service::program::with_hint;

use super::args::RemoveArgs;

/// Returns if the user wants to remove the runs that `question` names.
///
/// # Errors
/// If the user does not want to, or cannot be asked.
pub(super) fn confirm(args: &RemoveArgs, question: &str) -> anyhow::Result<()> {
    if args.yes {
        return Ok(());
    }
    require_terminal(args)?;
    write!(stderr(), "{question} This cannot be undone. [y/N] ").context("cannot ask")?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).context("cannot read the answer")?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was removed: the answer was not `y`"),
    }
}

/// Checks that the user can be asked, or that nothing is to be asked.
pub(super) fn require_terminal(args: &RemoveArgs) -> anyhow::Result<()> {
    if args.yes || args.dry_run || (stdin().is_terminal() && stderr().is_terminal()) {
        return Ok(());
    }
    let error = anyhow!("nothing was removed: there is no terminal to ask whether the runs are to be removed");
    Err(with_hint(error, "--yes removes them without a question; --dry-run shows what would be freed"))
}
