//! The names of data sets in a store, as `train` and `study` use them: what is kept under a name (splits, trials, tests) is of
//! one source, as for `submit`.

use dqa_pipelines::dataset::{DataSet, Definition};
use dqa_pipelines::names::DatasetName;
use dqa_pipelines::registry::{self, RegistryError, Requested};
use dqa_pipelines::store::Store;
use dqa_service::program::with_hint;

/// Data sets whose names may come to stand for others.
#[derive(clap::Args)]
pub(super) struct RedefineArgs {
    /// Data sets that moved or are defined anew, joined by commas: under these names the store has others, and from now on
    /// these.
    #[arg(long, env = "DQA_REDEFINE", value_delimiter = ',', value_name = "NAMES")]
    redefine: Vec<DatasetName>,
}

impl RedefineArgs {
    /// The names.
    pub(super) fn names(&self) -> &[DatasetName] {
        &self.redefine
    }

    /// Registers data sets that have been loaded, or only checks them if nothing is to be written.
    pub(super) async fn register<'a>(
        &self,
        store: &Store,
        datasets: impl IntoIterator<Item = (&'a Definition, &'a DataSet)>,
        used_by: &str,
        is_dry: bool,
    ) -> anyhow::Result<()> {
        let named = datasets.into_iter().map(|(definition, data)| Requested::new(definition).loaded(data));
        let named: Vec<Requested> = named.collect();
        let done = if is_dry {
            registry::check(store, &named, &self.redefine).await
        } else {
            registry::register(store, &named, &self.redefine, used_by).await
        };
        done.map_err(advised)
    }
}

/// A data set that cannot be used under its name, with what to do.
pub(super) fn advised(error: RegistryError) -> anyhow::Error {
    match error.hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    }
}
