//! Selects the runs of a command line, in the same way for every command: RUN, which may be the beginning of a name, or
//! nothing for the run that was used last. The store ([`RunRecord::find_by_prefix`]) or the coordinator resolves the
//! name. A run that was not named in full is noted on standard error.

use anyhow::bail;
use dqa_pipelines::names::RunName;
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_service::program::{note, with_own_hint};

/// One run of a store or of a coordinator.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunSelector {
    /// Run, or the beginning of its name [default: the run that was used last].
    #[arg(value_name = "RUN")]
    run: Option<RunName>,

    /// The same as RUN.
    #[arg(long = "run", id = "run_flag", env = "DQA_RUN", value_name = "RUN")]
    flag: Option<RunName>,
}

impl RunSelector {
    /// Returns the name that the user gave: RUN, or else the flag, its variable or the configuration's value.
    pub(super) fn name(&self) -> Option<&RunName> {
        if let (Some(run), Some(flag)) = (&self.run, &self.flag)
            && run != flag
        {
            note(format_args!("run {run}, not {flag}: RUN wins over --run and DQA_RUN"));
        }
        self.run.as_ref().or(self.flag.as_ref())
    }

    /// Finds the run in a store.
    ///
    /// # Errors
    /// If no run, or more than one, has the name; if the store fails.
    pub(super) async fn find_record(&self, store: &Store) -> anyhow::Result<RunRecord> {
        find_record(store, self.name()).await
    }

    /// Returns whether a run is named.
    #[cfg(feature = "cluster")]
    pub(super) fn is_given(&self) -> bool {
        self.run.is_some() || self.flag.is_some()
    }
}

/// Runs of a store or of a coordinator: RUN given several times, or --run with commas.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunsSelector {
    /// Runs, or the beginnings of their names, one after the other or joined by commas [default: the run that was used
    /// last; `compare` takes two or more].
    #[arg(value_name = "RUN", value_delimiter = ',')]
    runs: Vec<RunName>,

    /// The same as RUN.
    #[arg(long = "run", id = "runs_flag", env = "DQA_RUN", value_delimiter = ',', value_name = "RUN")]
    flags: Vec<RunName>,
}

impl RunsSelector {
    /// Returns the names that the user gave: RUN, or else the flag's, its variable's or the configuration's.
    pub(super) fn names(&self) -> &[RunName] {
        if !self.runs.is_empty() && !self.flags.is_empty() && self.runs != self.flags {
            let (runs, flags) = (join_names(&self.runs), join_names(&self.flags));
            note(format_args!("{runs}, not {flags}: RUN wins over --run and DQA_RUN"));
        }
        if self.runs.is_empty() { &self.flags } else { &self.runs }
    }

    /// Returns whether runs are named.
    pub(super) fn is_given(&self) -> bool {
        !self.runs.is_empty() || !self.flags.is_empty()
    }

    /// Finds the runs in a store, of which there is at least one.
    ///
    /// # Errors
    /// As [`RunSelector::find_record`], and if two names stand for the same run.
    pub(super) async fn find_records(&self, store: &Store) -> anyhow::Result<Vec<RunRecord>> {
        let mut records: Vec<RunRecord> = Vec::new();
        for name in names_or_last_used(self.names()) {
            let record = find_record(store, name).await?;
            if records.iter().any(|other| other.name == record.name) {
                bail!("run `{}` is named twice", record.name);
            }
            records.push(record);
        }
        Ok(records)
    }
}

/// The run that a command changes, which must be named; the beginning of its name is enough.
#[cfg(feature = "cluster")]
#[derive(Clone, Debug, clap::Args)]
pub(super) struct NamedRun {
    /// Run, or the beginning of its name.
    #[arg(value_name = "RUN")]
    pub(super) run: RunName,
}

/// Returns the given names. If none is given, returns a single `None`, which stands for the run that was used last.
pub(super) fn names_or_last_used(names: &[RunName]) -> impl Iterator<Item = Option<&RunName>> {
    names.iter().map(Some).chain(names.is_empty().then_some(None))
}

/// Notes which run was chosen, unless it was named in full.
pub(super) fn note_chosen_run(name: Option<&RunName>, run: &str) {
    match name {
        None => note(format_args!("run {run}: the one that was used last")),
        Some(name) if name.as_str() != run => note(format_args!("run {run}")),
        Some(_) => {}
    }
}

fn join_names(names: &[RunName]) -> String {
    names.iter().map(RunName::as_str).collect::<Vec<_>>().join(",")
}

async fn find_record(store: &Store, name: Option<&RunName>) -> anyhow::Result<RunRecord> {
    let found = match name {
        Some(name) => RunRecord::find_by_prefix(store, name).await,
        None => RunRecord::last_used(store).await,
    };
    let record = found.map_err(with_own_hint)?;
    note_chosen_run(name, record.name.as_str());
    Ok(record)
}
