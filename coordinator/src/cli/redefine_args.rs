//! `--redefine`: data sets whose names in a store may come to stand for other sources. `submit`, `train` and `study`
//! all check that what a store keeps under a name (parts, splits, trials, evaluations) comes from one source.

use dqa_pipelines::dataset::{DataSet, Definition};
use dqa_pipelines::names::DatasetName;
use dqa_pipelines::registry::{self, RequestedDataset};
use dqa_pipelines::store::Store;
use dqa_service::program::with_own_hint;

/// Data sets that may be redefined.
#[derive(clap::Args)]
pub(super) struct RedefineArgs {
    /// Data sets that moved or were defined anew: their names in the store stand for these sources from now on.
    #[arg(
        id = "redefine",
        long = "redefine",
        env = "DQA_REDEFINE",
        hide_short_help = true,
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub(super) names: Vec<DatasetName>,
}

impl RedefineArgs {
    /// Registers loaded data sets in the store; with `dry_run` only checks that they could be registered.
    pub(super) async fn register<'a>(
        &self,
        store: &Store,
        datasets: impl IntoIterator<Item = (&'a Definition, &'a DataSet)>,
        used_by: &str,
        dry_run: bool,
    ) -> anyhow::Result<()> {
        let loaded = datasets.into_iter().map(|(definition, data)| RequestedDataset::new(definition).with_loaded(data));
        let loaded: Vec<RequestedDataset> = loaded.collect();
        let registered = if dry_run {
            registry::check(store, &loaded, &self.names).await
        } else {
            registry::register(store, &loaded, &self.names, used_by).await
        };
        registered.map_err(with_own_hint)
    }
}
