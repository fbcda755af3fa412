//! Follows a coordinator's run on standard error: a bar on a terminal, a plain line every 10 s elsewhere.

use std::time::{Duration, Instant};

use dqa_pipelines::causes;
use dqa_pipelines::count_text::counted;
use dqa_proto::v1::{self, RunState};
use dqa_service::net::status_text;
use dqa_service::program::{note, progress_bar};
use indicatif::{HumanDuration, ProgressBar};
use tonic::{Code, Status};

use super::client::{Client, require_run, status_error};
use super::wire::{seconds_left, state_name};

/// 10 s between two plain lines keep the log of a long run readable.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Time to wait for a coordinator that is being restarted.
const OUTAGE_MAX: Duration = Duration::from_secs(600);
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// Follows a run until it has ended, and returns it as it is then. Waits for a coordinator that goes away meanwhile.
pub(in crate::cli) async fn wait_until_ended(client: &mut Client, name: &str) -> anyhow::Result<v1::Run> {
    wait_until(client, name, has_ended).await
}

/// Follows a run until its shards are planned, or it has ended, and returns it as it is then.
pub(in crate::cli) async fn wait_until_planned(client: &mut Client, name: &str) -> anyhow::Result<v1::Run> {
    wait_until(client, name, |run| run.state() != RunState::Planning).await
}

async fn wait_until(client: &mut Client, name: &str, is_reached: fn(&v1::Run) -> bool) -> anyhow::Result<v1::Run> {
    let mut display = RunDisplay::new();
    let mut last_answer = Instant::now();
    loop {
        match follow(client, name, is_reached, (&mut display, &mut last_answer)).await {
            Ok(Some(run)) => {
                display.finish();
                return Ok(run);
            }
            // The stream ended before the run did.
            Ok(None) => {}
            Err(status) if is_transient(status.code()) && last_answer.elapsed() < OUTAGE_MAX => {
                display.show_outage(&status_text(&status));
            }
            Err(status) => {
                display.finish();
                return Err(status_error(&status));
            }
        }
        tokio::time::sleep(RECONNECT_INTERVAL).await;
    }
}

fn is_transient(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

async fn follow(
    client: &mut Client,
    name: &str,
    is_reached: fn(&v1::Run) -> bool,
    (display, last_answer): (&mut RunDisplay, &mut Instant),
) -> Result<Option<v1::Run>, Status> {
    let request = v1::WatchRunRequest { name: name.to_owned() };
    let mut answers = client.watch_run(request).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        let run = require_run(answer.run).map_err(|error| Status::internal(causes(error.as_ref()).to_string()))?;
        *last_answer = Instant::now();
        let is_reached = is_reached(&run);
        display.show(&run, is_reached);
        if is_reached {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// Returns whether the run stays in its state unless a user changes it.
pub(in crate::cli) fn has_ended(run: &v1::Run) -> bool {
    matches!(run.state(), RunState::Complete | RunState::Cancelled | RunState::Failed | RunState::Interrupted)
}

/// Describes a run and its progress in one line.
pub(in crate::cli) fn run_line(run: &v1::Run) -> String {
    let progress = run.progress.unwrap_or_default();
    let (name, state, done) = (&run.name, state_name(run), progress.shards_done);
    let unit = if run.is_training { "training" } else { "shard" };
    let mut line = format!("run {name}: {state}, {done} of {}", counted(progress.shards, unit));
    if !run.is_training {
        line += &format!(", {} of {}", progress.pictures_done, counted(progress.pictures, "picture"));
    }
    if progress.pictures_failed > 0 {
        line += &format!(", {} failed", progress.pictures_failed);
    }
    for (shards, label) in [
        (progress.shards_running, "under way"),
        (progress.shards_retrying, "to be tried again"),
        (progress.shards_quarantined, "given up"),
    ] {
        if shards > 0 {
            line += &format!(", {} {label}", counted(shards, unit));
        }
    }
    if progress.windows_per_second > 0.0 {
        line += &format!(", {:.1} windows/s", progress.windows_per_second);
    }
    if !run.failure.is_empty() {
        line += &format!("; {}", run.failure);
    }
    line
}

/// Says that a run is paused, and how it goes on. Another user may have paused it.
pub(in crate::cli) fn paused_line(run: &v1::Run) -> String {
    format!("run {0} is paused: `dqa-coord resume {0}` goes on with it", run.name)
}

/// Returns what the bar says beside the windows: the rate and the time that is left, unless the run makes no progress
/// because it is paused.
fn bar_message(run: &v1::Run) -> String {
    let progress = run.progress.unwrap_or_default();
    let mut message = match (run.state(), seconds_left(run)) {
        (RunState::Paused, _) => "paused".to_owned(),
        (_, Some(seconds)) => {
            let left = HumanDuration(Duration::from_secs(seconds));
            format!("{:.1}/s, {left} left", progress.windows_per_second)
        }
        (_, None) => "waiting for workers".to_owned(),
    };
    if run.is_training {
        message += &format!(", {} of {} trainings", progress.shards_done, progress.shards);
    }
    if progress.pictures_failed > 0 {
        message += &format!(", {} failed", progress.pictures_failed);
    }
    if !run.failure.is_empty() {
        message += &format!(", {}", run.failure);
    }
    message
}

struct RunDisplay {
    bar: Option<ProgressBar>,
    was_paused: bool,
    last_line: Option<Instant>,
}

impl RunDisplay {
    fn new() -> RunDisplay {
        let bar = progress_bar(None, "{bar:20} {pos}/{len} windows, {elapsed}, {wide_msg}");
        RunDisplay { bar, was_paused: false, last_line: None }
    }

    /// Shows the run if it is time for that, and always when it is shown for the last time. A run that is paused, before
    /// or while it is followed, makes no progress until somebody resumes it, which is said once.
    fn show(&mut self, run: &v1::Run, is_last: bool) {
        let is_paused = run.state() == RunState::Paused;
        if is_paused && !self.was_paused && !is_last {
            let line = format!("{}; waiting", paused_line(run));
            match &self.bar {
                Some(bar) => bar.suspend(|| note(format_args!("{line}"))),
                None => note(format_args!("{line}")),
            }
        }
        self.was_paused = is_paused;
        let progress = run.progress.unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_length(progress.windows);
            bar.set_position(progress.windows_done.min(progress.windows));
            bar.set_message(bar_message(run));
        } else if is_last || self.is_line_due() {
            note(format_args!("{}", run_line(run)));
            run.activities.iter().for_each(|activity| note(format_args!("  {activity}")));
            self.last_line = Some(Instant::now());
        }
    }

    fn show_outage(&mut self, reason: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("the coordinator is away: {reason}")),
            None if self.is_line_due() => {
                note(format_args!("the coordinator is away: {reason}; waiting"));
                self.last_line = Some(Instant::now());
            }
            None => {}
        }
    }

    fn is_line_due(&self) -> bool {
        self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL)
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_run_shows_no_time_left() {
        let progress =
            v1::RunProgress { windows: 100, windows_done: 40, windows_per_second: 2.0, ..Default::default() };
        let mut run = v1::Run { progress: Some(progress), ..Default::default() };
        run.set_state(RunState::Running);
        assert_eq!(bar_message(&run), "2.0/s, 30 seconds left");
        run.set_state(RunState::Paused);
        assert_eq!(bar_message(&run), "paused");
    }
}
