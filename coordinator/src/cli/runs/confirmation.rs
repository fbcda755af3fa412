//! Asks before runs are removed: at a terminal by a question, elsewhere not at all, because nobody would answer.

use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr, stdin};

use anyhow::{Context, anyhow, bail};
use dqa_pipelines::result_page::{TEXT_WIDTH, wrapped};
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
    let question = wrapped(&format!("{question} This cannot be undone. [y/N]"), TEXT_WIDTH);
    write!(stderr(), "{question} ").context("cannot ask")?;
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

/// Checks that without a question no run is removed by the beginning of its name. `found` are the runs' names in full.
pub(super) fn require_whole_names(args: &RemoveArgs, found: &[impl Display]) -> anyhow::Result<()> {
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    match args.runs.iter().find(|given| !found.iter().any(|found| found == given.as_str())) {
        Some(given) if args.yes => {
            let error =
                anyhow!("nothing was removed: `{given}` is the beginning of a name, and --yes takes whole names");
            Err(with_hint(error, format!("found: {}", found.join(", "))))
        }
        _ => Ok(()),
    }
}
