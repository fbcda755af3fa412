//! A run as `runs` and `status` show it: one set of keys and columns, whether a store or a coordinator is asked. What the one
//! that is asked cannot know is null: how many shards are under way is known to the coordinator that works on the run, and
//! not to the store.

use std::io::{BufWriter, Write, stdout};

use dqa_pipelines::progress::Progress;
use dqa_pipelines::run::RunState;
use dqa_pipelines::status::{RunStatus, shortfall};
use dqa_proto::v1;
use dqa_worker::program::{Format, OutputError};
use serde::Serialize;

use super::watch;

/// A run, and how far it is. Its fields are the JSON keys and the columns of CSV.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct RunSummary {
    /// Its name.
    pub(super) run: String,
    /// As its record says, or as is found out.
    pub(super) state: String,
    /// Why it failed, or what it waits for.
    pub(super) failure: Option<String>,
    /// Who works on it. None: nobody, or it has ended.
    pub(super) conductor: Option<String>,
    /// What to do about it.
    pub(super) hint: Option<String>,
    /// When it was first planned.
    pub(super) created: String,
    /// When it was last used: submitted, scored or completed.
    pub(super) updated: String,
    pub(super) fingerprint: String,
    /// Names, joined by commas.
    pub(super) datasets: String,
    pub(super) model: String,
    /// None: the handcrafted sentences.
    pub(super) prompts: Option<String>,
    pub(super) views: String,
    pub(super) dtype: String,
    pub(super) device: String,
    pub(super) remark: Option<String>,
    /// None: the run was not asked of a coordinator.
    pub(super) priority: Option<i32>,
    pub(super) shards: u64,
    /// Whose part is in the store.
    pub(super) shards_done: u64,
    /// None: not known here.
    pub(super) shards_running: Option<u64>,
    /// Those that wait for another try. None: not known here.
    pub(super) shards_retrying: Option<u64>,
    /// Those that were given up: their pictures are rows with an error. None: not known here.
    pub(super) shards_quarantined: Option<u64>,
    pub(super) windows: u64,
    pub(super) windows_done: u64,
    pub(super) pictures: u64,
    /// Pictures with a row, scored or failed.
    pub(super) pictures_done: u64,
    /// Of them, those without a score.
    pub(super) pictures_failed: u64,
    /// Over the last minute. None: not known here.
    pub(super) windows_per_second: Option<f64>,
}

impl RunSummary {
    /// Makes the summary of a run of a store.
    pub(super) fn of_store(status: &RunStatus) -> RunSummary {
        // Nothing of a run that has ended, or was interrupted, is under way, whoever made it.
        let idle = (!status.state.is_active()).then_some(0);
        let (record, progress) = (&status.record, &status.progress);
        let spec = &record.spec;
        RunSummary {
            run: record.name.to_string(),
            state: status.state.to_string(),
            failure: record.failure.clone(),
            conductor: status.conductor.as_ref().map(ToString::to_string),
            hint: status.hint(),
            created: record.created.to_string(),
            updated: record.updated.to_string(),
            fingerprint: record.fingerprint.clone(),
            datasets: spec.dataset_names().join(","),
            model: spec.model.clone(),
            prompts: spec.prompts.clone(),
            views: spec.views.clone(),
            dtype: spec.dtype.clone(),
            device: spec.device.clone(),
            remark: spec.remark.clone(),
            priority: record.request.as_ref().map(|request| request.priority),
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
        }
    }

    /// Makes the summary of a run of a coordinator.
    pub(super) fn of_coordinator(run: &v1::Run) -> RunSummary {
        let (spec, progress) = (run.spec.clone().unwrap_or_default(), run.progress.unwrap_or_default());
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        RunSummary {
            run: run.name.clone(),
            state: watch::state(run),
            failure: text(&run.failure),
            conductor: text(&run.conductor),
            hint: text(&run.hint),
            created: run.created.clone(),
            updated: run.updated.clone(),
            fingerprint: run.fingerprint.clone(),
            datasets: spec.datasets.join(","),
            model: spec.model,
            prompts: spec.prompts,
            views: spec.views,
            dtype: spec.dtype,
            device: spec.device,
            remark: spec.remark,
            priority: spec.priority,
            shards: progress.shards,
            shards_done: progress.shards_done,
            shards_running: Some(progress.shards_running),
            shards_retrying: Some(progress.shards_retrying),
            shards_quarantined: Some(progress.shards_quarantined),
            windows: progress.windows,
            windows_done: progress.windows_done,
            pictures: progress.pictures,
            pictures_done: progress.pictures_done,
            pictures_failed: progress.pictures_failed,
            windows_per_second: Some(progress.windows_per_second),
        }
    }

    /// Returns a sentence that says that the run is not complete, and how far it is; None for a complete run.
    pub(super) fn shortfall(&self) -> Option<String> {
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

    /// Whether some of its pictures have no score.
    pub(super) fn has_failed_pictures(&self) -> bool {
        self.pictures_failed > 0
    }
}

/// Writes runs to standard output, one a line.
pub(super) fn print_all(runs: &[RunSummary], format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => Ok(print_table(runs)?),
        Format::Json | Format::Csv => write_rows(runs, format),
    }
}

/// Writes one run to standard output: for reading line by line, as JSON and CSV as [`print_all`] does.
pub(super) fn print_one(run: &RunSummary, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => Ok(print_lines(run)?),
        Format::Json | Format::Csv => write_rows(std::slice::from_ref(run), format),
    }
}

fn print_table(runs: &[RunSummary]) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    let columns = ("run", "state", "shards", "under way", "pictures", "failed", "windows/s", "updated");
    let (run, state, shards, way, pictures, failed, rate, updated) = columns;
    writeln!(out, "{run:32} {state:11} {shards:>11} {way:>9} {pictures:>15} {failed:>6} {rate:>9}  {updated}")?;
    for run in runs {
        let shards = format!("{}/{}", run.shards_done, run.shards);
        let pictures = format!("{}/{}", run.pictures_done, run.pictures);
        write!(
            out,
            "{:32} {:11} {shards:>11} {:>9} {pictures:>15} {:>6} {:>9}  {}",
            run.run,
            run.state,
            shown(run.shards_running),
            run.pictures_failed,
            run.windows_per_second.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")),
            to_the_second(&run.updated),
        )?;
        let (retrying, given_up) =
            (run.shards_retrying.unwrap_or_default(), run.shards_quarantined.unwrap_or_default());
        if retrying + given_up > 0 {
            write!(out, "  {retrying} to be tried again, {given_up} given up")?;
        }
        match &run.failure {
            Some(failure) => writeln!(out, "  {failure}")?,
            None => writeln!(out)?,
        }
    }
    Ok(out.flush()?)
}

fn print_lines(run: &RunSummary) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    writeln!(out, "run          {} ({})", run.run, run.state)?;
    writeln!(out, "data sets    {}", run.datasets)?;
    writeln!(out, "model        {}", run.model)?;
    writeln!(out, "fingerprint  {}", run.fingerprint)?;
    writeln!(out, "shards       {} of {}", run.shards_done, run.shards)?;
    for (count, what) in
        [(run.shards_running, "under way"), (run.shards_retrying, "tried again"), (run.shards_quarantined, "given up")]
    {
        if let Some(count) = count.filter(|count| *count > 0) {
            writeln!(out, "{what:12} {count}")?;
        }
    }
    writeln!(out, "windows      {} of {}", run.windows_done, run.windows)?;
    writeln!(out, "pictures     {} of {}", run.pictures_done, run.pictures)?;
    writeln!(out, "failed       {}", run.pictures_failed)?;
    if let Some(rate) = run.windows_per_second.filter(|rate| *rate > 0.0) {
        writeln!(out, "windows/s    {rate:.1}")?;
    }
    writeln!(out, "updated      {}", to_the_second(&run.updated))?;
    if let Some(conductor) = &run.conductor {
        writeln!(out, "worked on    by {conductor}")?;
    }
    if let Some(failure) = &run.failure {
        writeln!(out, "because      {failure}")?;
    }
    if let Some(hint) = &run.hint {
        writeln!(out, "hint         {hint}")?;
    }
    Ok(out.flush()?)
}

fn shown(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

/// A time without fractions of a second.
fn to_the_second(time: &str) -> String {
    time.parse::<jiff::Timestamp>().map_or_else(|_| time.to_owned(), |time| format!("{time:.0}"))
}

/// Writes rows to standard output as JSON, one object a line, or as CSV with a header.
pub(super) fn write_rows<T: Serialize + Default>(rows: &[T], format: Format) -> anyhow::Result<()> {
    let bytes = match format {
        Format::Csv => encode_csv(rows)?,
        Format::Json | Format::Table => {
            let line = |row| serde_json::to_string(row).expect("a row has text for keys") + "\n";
            rows.iter().map(line).collect::<String>().into_bytes()
        }
    };
    let mut out = stdout().lock();
    out.write_all(&bytes).and_then(|()| out.flush()).map_err(OutputError::from)?;
    Ok(())
}

/// NULL is nothing. The header is there without rows too.
fn encode_csv<T: Serialize + Default>(rows: &[T]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    if !rows.is_empty() {
        return Ok(writer.into_inner()?);
    }
    writer.serialize(T::default())?;
    let mut bytes = writer.into_inner()?;
    bytes.truncate(bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    Ok(bytes)
}
