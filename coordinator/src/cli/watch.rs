//! A coordinator's run while it goes on: a bar on a terminal, a plain line now and then elsewhere.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use dqa_pipelines::causes;
use dqa_proto::v1::{self, RunState};
use dqa_service::net::said;
use dqa_service::program::note;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tonic::Code;

use super::remote::{Client, given, refusal};

/// Between two plain lines: a log of a long run stays readable.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// A coordinator that is being started again is waited for this long.
const AWAY_MAX: Duration = Duration::from_secs(600);
const AGAIN: Duration = Duration::from_secs(1);

/// Shows a run until it has ended; how it is then. A coordinator that goes away meanwhile is waited for.
pub(super) async fn watch(client: &mut Client, name: &str) -> anyhow::Result<v1::Run> {
    watch_until(client, name, has_ended).await
}

/// Shows a run until its shards are cut, or it has ended; how it is then.
pub(super) async fn until_planned(client: &mut Client, name: &str) -> anyhow::Result<v1::Run> {
    watch_until(client, name, |run| run.state() != RunState::Planning).await
}

async fn watch_until(client: &mut Client, name: &str, is_over: fn(&v1::Run) -> bool) -> anyhow::Result<v1::Run> {
    let mut shown = Shown::new();
    let mut heard = Instant::now();
    loop {
        match follow(client, name, is_over, (&mut shown, &mut heard)).await {
            Ok(Some(run)) => {
                shown.finish();
                return Ok(run);
            }
            // Its stream ended before the run did.
            Ok(None) => {}
            Err(status) if may_pass(status.code()) && heard.elapsed() < AWAY_MAX => shown.away(&said(&status)),
            Err(status) => {
                shown.finish();
                return Err(refusal(&status));
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn may_pass(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

async fn follow(
    client: &mut Client,
    name: &str,
    is_over: fn(&v1::Run) -> bool,
    (shown, heard): (&mut Shown, &mut Instant),
) -> Result<Option<v1::Run>, tonic::Status> {
    let request = v1::WatchRunRequest { name: name.to_owned() };
    let mut answers = client.watch_run(request).await?.into_inner();
    while let Some(answer) = answers.message().await? {
        let run = given(answer.run).map_err(|error| tonic::Status::internal(causes(error.as_ref()).to_string()))?;
        *heard = Instant::now();
        let is_over = is_over(&run);
        shown.show(&run, is_over);
        if is_over {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// Whether nothing more happens to a run by itself.
pub(super) fn has_ended(run: &v1::Run) -> bool {
    matches!(run.state(), RunState::Complete | RunState::Cancelled | RunState::Failed | RunState::Interrupted)
}

/// A run in a line.
pub(super) fn line(run: &v1::Run) -> String {
    let progress = run.progress.unwrap_or_default();
    let mut line = format!(
        "run {}: {}, {} of {} shards, {} of {} pictures",
        run.name,
        state(run),
        progress.shards_done,
        progress.shards,
        progress.pictures_done,
        progress.pictures,
    );
    let mut more = |count: u64, what: &str| {
        if count > 0 {
            line += &format!(", {count} {what}");
        }
    };
    more(progress.pictures_failed, "failed");
    more(progress.shards_running, "shards under way");
    more(progress.shards_retrying, "shards to be tried again");
    more(progress.shards_quarantined, "shards given up");
    if progress.windows_per_second > 0.0 {
        line += &format!(", {:.1} windows/s", progress.windows_per_second);
    }
    if !run.failure.is_empty() {
        line += &format!("; {}", run.failure);
    }
    line
}

/// A run's state as it is written.
pub(super) fn state(run: &v1::Run) -> String {
    run.state().as_str_name().trim_start_matches("RUN_STATE_").to_lowercase()
}

struct Shown {
    bar: Option<ProgressBar>,
    last: Option<Instant>,
}

impl Shown {
    fn new() -> Shown {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} windows  {msg}  {elapsed} elapsed");
            let style = style.expect("the template is well-formed");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
        });
        Shown { bar, last: None }
    }

    /// The last time is always shown.
    fn show(&mut self, run: &v1::Run, is_last: bool) {
        let progress = run.progress.unwrap_or_default();
        if let Some(bar) = &self.bar {
            bar.set_length(progress.windows);
            bar.set_position(progress.windows_done.min(progress.windows));
            let rate = progress.windows_per_second;
            let left = progress.windows.saturating_sub(progress.windows_done) as f64 / rate.max(1e-3);
            let left =
                if rate > 0.0 { HumanDuration(Duration::from_secs_f64(left)).to_string() } else { "?".to_owned() };
            let why = if run.failure.is_empty() { String::new() } else { format!(", {}", run.failure) };
            bar.set_message(format!("{rate:.1}/s, {} failed, {left} left{why}", progress.pictures_failed));
        } else if is_last || self.last.is_none_or(|last| last.elapsed() >= PLAIN_EVERY) {
            note(format_args!("{}", line(run)));
            self.last = Some(Instant::now());
        }
    }

    fn away(&mut self, why: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("the coordinator is away: {why}")),
            None if self.last.is_none_or(|last| last.elapsed() >= PLAIN_EVERY) => {
                note(format_args!("the coordinator is away: {why}; waiting"));
                self.last = Some(Instant::now());
            }
            None => {}
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
