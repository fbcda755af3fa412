//! Flags of trainings on a cluster, for `train` and `study`.

use dqa_service::program::help::headings;

use super::coordinator_args::CoordinatorArgs;

/// The coordinator that trains, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct ClusterTrainingArgs {
    #[command(flatten)]
    pub(super) coordinator: CoordinatorArgs,

    /// Return once the coordinator has planned the trainings.
    #[arg(long, help_heading = headings::COORDINATOR)]
    pub(super) detach: bool,

    /// Priority among a coordinator's runs, high first.
    #[arg(long, env = "DQA_PRIORITY", help_heading = headings::COORDINATOR, hide_short_help = true, default_value_t = 0, allow_negative_numbers = true, value_name = "N")]
    pub(super) priority: i32,
}
