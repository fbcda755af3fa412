//! Flags of trainings on a cluster, for `train` and `study`.

#[cfg(feature = "cluster")]
use anyhow::anyhow;
#[cfg(feature = "cluster")]
use dqa_service::program::help::headings;
#[cfg(feature = "cluster")]
use dqa_service::program::with_hint;

use super::coordinator_args::CoordinatorArgs;

/// The coordinator that trains, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct ClusterTrainingArgs {
    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Return once the coordinator has planned the trainings.
    #[cfg(feature = "cluster")]
    #[arg(long, help_heading = headings::COORDINATOR)]
    pub(super) detach: bool,

    /// Priority among a coordinator's runs, high first.
    #[cfg(feature = "cluster")]
    #[arg(long, env = "DQA_PRIORITY", help_heading = headings::COORDINATOR, hide_short_help = true, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    pub(super) priority: i32,
}

#[cfg(feature = "cluster")]
impl ClusterTrainingArgs {
    /// Fails if a flag is given that has no meaning for a coordinator.
    pub(super) fn refuse_local_flags(skip_unreadable: bool, dry_run: bool) -> anyhow::Result<()> {
        let (flag, hint) = match (skip_unreadable, dry_run) {
            (true, _) => ("--skip-unreadable", "it reads all pictures on this machine; a manifest leaves pictures out"),
            (_, true) => ("--dry-run", "a coordinator only plans what it is to train"),
            _ => return Ok(()),
        };
        Err(with_hint(anyhow!("{flag} cannot be combined with --coordinator"), hint))
    }
}
