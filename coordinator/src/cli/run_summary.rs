//! A run as `runs` and `status` show it, with the same keys and columns for a run of a store and a run of a
//! coordinator. A value that cannot be known is null: only the coordinator that works on a run knows how many of its
//! shards are being scored, the store does not.

use std::io::{BufWriter, Write, stdout};
use std::time::Duration;

use dqa_pipelines::result_page::hanging;
#[cfg(feature = "cluster")]
use dqa_pipelines::run::RunState;
#[cfg(feature = "cluster")]
use dqa_pipelines::run_progress::Progress;
use dqa_pipelines::status::RunStatus;
#[cfg(feature = "cluster")]
use dqa_pipelines::status::shortfall;
use dqa_pipelines::text_table::short_fingerprint;
use dqa_service::program::{ExitStatus, OutputError, OutputFormat};
use indicatif::HumanDuration;
use serde::Serialize;

use super::output::print_rows;

/// A run and its progress. The fields are the keys of the JSON form and the columns of CSV.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct RunSummary {
    pub(super) run: String,
    /// The state of the run's record, or `interrupted` if its process has ended.
    pub(super) state: String,
    /// Why the run failed, or what it waits for.
    pub(super) failure: Option<String>,
    /// What the workers that train for the run are doing, joined by semicolons. None if nobody says.
    pub(super) activity: Option<String>,
    /// The process or coordinator that works on the run. None if there is none, or the run has ended.
    pub(super) conductor: Option<String>,
    pub(super) hint: Option<String>,
    /// When the run was first planned.
    pub(super) created: String,
    /// When the run was last used: submitted, scored or completed.
    pub(super) updated: String,
    pub(super) fingerprint: String,
    /// Names joined by commas.
    pub(super) datasets: String,
    /// Names joined by commas. Empty until the run is planned, if all of a data set's were asked for.
    pub(super) algorithms: String,
    /// Names joined by commas.
    pub(super) metrics: String,
    /// Empty if none of the metrics needs a model.
    pub(super) model: String,
    /// None for the handcrafted sentences.
    pub(super) prompts: Option<String>,
    pub(super) views: String,
    pub(super) dtype: String,
    pub(super) device: String,
    pub(super) remark: Option<String>,
    /// None if the run was not submitted to a coordinator.
    pub(super) priority: Option<i32>,
    /// Whether the run trains: its shards are trials and tests.
    pub(super) trains: bool,
    pub(super) shards: u64,
    /// Shards whose part is in the store.
    pub(super) shards_done: u64,
    /// None if only the coordinator knows.
    pub(super) shards_running: Option<u64>,
    /// Shards that wait for another attempt. None if only the coordinator knows.
    pub(super) shards_retrying: Option<u64>,
    /// Shards that were given up: their pictures have rows with an error. None if only the coordinator knows.
    pub(super) shards_quarantined: Option<u64>,
    pub(super) windows: u64,
    pub(super) windows_done: u64,
    pub(super) pictures: u64,
    /// Pictures with a row, scored or failed.
    pub(super) pictures_done: u64,
    /// Pictures with a row and without a score.
    pub(super) pictures_failed: u64,
    /// Over the last minute. None if only the coordinator knows.
    pub(super) windows_per_second: Option<f64>,
    /// By the speed of the last minute. None for a run of which nothing is being scored, or whose speed is not known.
    pub(super) seconds_left: Option<u64>,
}

impl RunSummary {
    /// Summarizes a run of a store.
    pub(super) fn new(status: &RunStatus) -> RunSummary {
        // No shard of a run that has ended, or was interrupted, is being scored, whether by a command or by workers.
        let idle = (!status.state.is_active()).then_some(0);
        let (record, progress) = (&status.record, &status.progress);
        let spec = &record.spec;
        RunSummary {
            run: record.name.to_string(),
            state: status.state.to_string(),
            failure: record.failure.clone(),
            activity: None,
            conductor: status.owner.as_ref().map(ToString::to_string),
            hint: status.hint(),
            created: record.created.to_string(),
            updated: record.updated.to_string(),
            fingerprint: record.fingerprint.clone(),
            datasets: spec.dataset_names().join(","),
            algorithms: record.algorithms().join(","),
            metrics: record.metrics().iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>().join(","),
            model: spec.model.clone(),
            prompts: spec.prompts.clone(),
            views: spec.views.clone(),
            dtype: spec.dtype.clone(),
            device: spec.device.clone(),
            remark: spec.remark.clone(),
            priority: record.request.as_ref().map(|request| request.priority),
            trains: record.is_training(),
            shards: progress.parts,
            shards_done: progress.parts_done,
            shards_running: idle,
            shards_retrying: idle,
            shards_quarantined: idle,
            windows: progress.windows,
            windows_done: progress.windows_done,
            pictures: progress.pictures,
            pictures_done: progress.pictures_done(),
            pictures_failed: progress.failed,
            windows_per_second: idle.map(|_| 0.0),
            seconds_left: None,
        }
    }

    /// Returns a sentence that says that the run is not complete, and its progress; None for a complete run.
    #[cfg(feature = "cluster")]
    pub(super) fn incomplete_text(&self) -> Option<String> {
        let progress = Progress {
            parts: self.shards,
            parts_done: self.shards_done,
            windows: self.windows,
            windows_done: self.windows_done,
            pictures: self.pictures,
            scored: self.pictures_done.saturating_sub(self.pictures_failed),
            failed: self.pictures_failed,
        };
        let is_complete = self.state == RunState::Complete.to_string();
        (!is_complete).then(|| shortfall(&self.run, &self.state, &progress))
    }

    /// Returns whether the run has not ended.
    #[cfg(feature = "cluster")]
    pub(super) fn is_active(&self) -> bool {
        let active = [RunState::Planning, RunState::Running, RunState::Paused];
        active.iter().any(|state| self.state == state.to_string())
    }

    /// Returns the exit status of a command that shows the run: 1 if pictures of it have no score.
    pub(super) fn exit_status(&self) -> ExitStatus {
        if self.pictures_failed > 0 { ExitStatus::SomeFailed } else { ExitStatus::All }
    }
}

/// Writes one run to standard output: as lines of a name and a value, or as a row of JSON or CSV.
pub(super) fn print_one(run: &RunSummary, format: OutputFormat) -> anyhow::Result<()> {
    match format {
        OutputFormat::Table => Ok(print_lines(run)?),
        OutputFormat::Json | OutputFormat::Csv => print_rows(std::slice::from_ref(run), format),
    }
}

fn print_lines(run: &RunSummary) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    writeln!(out, "run          {} ({})", run.run, run.state)?;
    for (label, names) in [("data sets", &run.datasets), ("algorithms", &run.algorithms), ("metrics", &run.metrics)] {
        if !names.is_empty() {
            write!(out, "{}", hanging(&format!("{label:13}"), &names.replace(',', ", ")))?;
        }
    }
    if !run.model.is_empty() {
        write!(out, "{}", hanging("model        ", &run.model))?;
    }
    if !run.model.is_empty() && !run.trains {
        writeln!(out, "prompts      {}", run.prompts.as_deref().unwrap_or("handcrafted"))?;
        write!(out, "{}", hanging("views        ", &run.views))?;
        writeln!(out, "fingerprint  {}", short_fingerprint(&run.fingerprint))?;
    }
    let units = if run.trains { "trainings" } else { "shards" };
    writeln!(out, "{units:12} {} of {}", run.shards_done, run.shards)?;
    for (count, label) in
        [(run.shards_running, "under way"), (run.shards_retrying, "tried again"), (run.shards_quarantined, "given up")]
    {
        if let Some(count) = count.filter(|count| *count > 0) {
            writeln!(out, "{label:12} {count}")?;
        }
    }
    if !run.trains {
        writeln!(out, "windows      {} of {}", run.windows_done, run.windows)?;
        writeln!(out, "pictures     {} of {}", run.pictures_done, run.pictures)?;
        writeln!(out, "failed       {}", run.pictures_failed)?;
    }
    if let Some(rate) = run.windows_per_second.filter(|rate| *rate > 0.0) {
        writeln!(out, "windows/s    {rate:.1}")?;
    }
    if let Some(seconds) = run.seconds_left {
        writeln!(out, "left         {}", duration_text(seconds))?;
    }
    writeln!(out, "updated      {}", whole_seconds(&run.updated))?;
    if let Some(conductor) = &run.conductor {
        write!(out, "{}", hanging("worked on    ", &format!("by {conductor}")))?;
    }
    for activity in run.activity.iter().flat_map(|activity| activity.split("; ")) {
        write!(out, "{}", hanging("training     ", activity))?;
    }
    if let Some(failure) = &run.failure {
        write!(out, "{}", hanging("because      ", failure))?;
    }
    if let Some(hint) = &run.hint {
        write!(out, "{}", hanging("hint         ", hint))?;
    }
    Ok(out.flush()?)
}

/// Returns a duration in its largest unit: `2h`.
pub(super) fn duration_text(seconds: u64) -> String {
    let duration = HumanDuration(Duration::from_secs(seconds));
    format!("{duration:#}")
}

/// Returns a time without fractions of a second.
pub(super) fn whole_seconds(time: &str) -> String {
    time.parse::<jiff::Timestamp>().map_or_else(|_| time.to_owned(), |time| format!("{time:.0}"))
}
