//! How a run is named on a command line, the same in every command: RUN, which may be the beginning of a name, or nothing
//! for the run that was used last. The store, or the coordinator, says which run that is ([`RunRecord::read`]); what was not
//! named in full is said on standard error.

use anyhow::bail;
use dqa_pipelines::names::RunName;
use dqa_pipelines::run::RunRecord;
use dqa_pipelines::store::Store;
use dqa_proto::v1;
use dqa_service::program::{note, with_hint};

use super::remote::{Client, given, refusal};

/// One run of a store or of a coordinator.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunSelector {
    /// The run, or how its name begins [default: the run that was used last].
    #[arg(value_name = "RUN")]
    run: Option<RunName>,

    /// The same as RUN.
    #[arg(long = "run", id = "run_flag", env = "DQA_RUN", value_name = "RUN")]
    flag: Option<RunName>,
}

impl RunSelector {
    /// Returns what the user gave: RUN, or else the flag, its variable or the configuration's value.
    fn given(&self) -> Option<&RunName> {
        if let (Some(run), Some(flag)) = (&self.run, &self.flag)
            && run != flag
        {
            note(format_args!("run {run}, not {flag}: RUN goes before --run and DQA_RUN"));
        }
        self.run.as_ref().or(self.flag.as_ref())
    }

    /// Finds the run in a store.
    ///
    /// # Errors
    /// Where the store fails; where there is no such run, or more than one.
    pub(super) async fn record(&self, store: &Store) -> anyhow::Result<RunRecord> {
        let name = self.given();
        let record = find(store, name).await?;
        say(name, record.name.as_str());
        Ok(record)
    }

    /// Finds the run at a coordinator.
    ///
    /// # Errors
    /// As the coordinator answers.
    pub(super) async fn remote(&self, client: &mut Client) -> anyhow::Result<v1::Run> {
        let name = self.given();
        let run = ask(client, name).await?;
        say(name, &run.name);
        Ok(run)
    }

    /// Whether a run is named.
    pub(super) fn is_given(&self) -> bool {
        self.run.is_some() || self.flag.is_some()
    }
}

/// Runs of a store or of a coordinator: RUN is given several times, or --run with commas.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunsSelector {
    /// The runs, or how their names begin; several follow each other, or are joined by commas [default: the run that was used
    /// last; `compare` takes two or more].
    #[arg(value_name = "RUN", value_delimiter = ',')]
    runs: Vec<RunName>,

    /// The same as RUN.
    #[arg(long = "run", id = "runs_flag", env = "DQA_RUN", value_delimiter = ',', value_name = "RUN")]
    flags: Vec<RunName>,
}

impl RunsSelector {
    fn given(&self) -> &[RunName] {
        let is_unlike = !self.runs.is_empty() && !self.flags.is_empty() && self.runs != self.flags;
        if is_unlike {
            let runs = joined(&self.runs);
            note(format_args!("{runs}, not {}: RUN goes before --run and DQA_RUN", joined(&self.flags)));
        }
        if self.runs.is_empty() { &self.flags } else { &self.runs }
    }

    /// Whether runs are named.
    pub(super) fn is_given(&self) -> bool {
        !self.runs.is_empty() || !self.flags.is_empty()
    }

    /// Finds the runs in a store; one or more.
    ///
    /// # Errors
    /// As [`RunSelector::record`], and where a run is named twice.
    pub(super) async fn records(&self, store: &Store) -> anyhow::Result<Vec<RunRecord>> {
        let names = self.given();
        let mut records: Vec<RunRecord> = Vec::new();
        for name in each(names) {
            let record = find(store, name).await?;
            if records.iter().any(|other| other.name == record.name) {
                bail!("run `{}` is named twice", record.name);
            }
            say(name, record.name.as_str());
            records.push(record);
        }
        Ok(records)
    }

    /// Finds the runs at a coordinator; one or more.
    ///
    /// # Errors
    /// As the coordinator answers, and where a run is named twice.
    pub(super) async fn remote(&self, client: &mut Client) -> anyhow::Result<Vec<v1::Run>> {
        let names = self.given();
        let mut runs: Vec<v1::Run> = Vec::new();
        for name in each(names) {
            let run = ask(client, name).await?;
            if runs.iter().any(|other| other.name == run.name) {
                bail!("run `{}` is named twice", run.name);
            }
            say(name, &run.name);
            runs.push(run);
        }
        Ok(runs)
    }
}

/// The run that something is done to: it must be named, and may be by the beginning of its name.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct NamedRun {
    /// The run, or how its name begins.
    #[arg(value_name = "RUN")]
    run: RunName,
}

impl NamedRun {
    /// Finds the run at a coordinator.
    ///
    /// # Errors
    /// As the coordinator answers.
    pub(super) async fn remote(&self, client: &mut Client) -> anyhow::Result<v1::Run> {
        let run = ask(client, Some(&self.run)).await?;
        say(Some(&self.run), &run.name);
        Ok(run)
    }
}

/// The names, or once the run that was used last.
fn each(names: &[RunName]) -> impl Iterator<Item = Option<&RunName>> {
    names.iter().map(Some).chain(names.is_empty().then_some(None))
}

fn joined(names: &[RunName]) -> String {
    names.iter().map(RunName::as_str).collect::<Vec<_>>().join(",")
}

async fn find(store: &Store, name: Option<&RunName>) -> anyhow::Result<RunRecord> {
    let found = match name {
        Some(name) => RunRecord::read(store, name).await,
        None => RunRecord::last_used(store).await,
    };
    found.map_err(|error| match error.hint() {
        Some(hint) => with_hint(error.into(), hint),
        None => error.into(),
    })
}

async fn ask(client: &mut Client, name: Option<&RunName>) -> anyhow::Result<v1::Run> {
    let name = name.map(ToString::to_string).unwrap_or_default();
    let answer = client.get_run(v1::GetRunRequest { name }).await.map_err(|status| refusal(&status))?;
    given(answer.into_inner().run)
}

/// Says which run is taken, where it was not named in full.
fn say(name: Option<&RunName>, run: &str) {
    match name {
        None => note(format_args!("run {run}: the one that was used last")),
        Some(name) if name.as_str() != run => note(format_args!("run {run}")),
        Some(_) => {}
    }
}
