//! A run's progress: what the store has of it, and what a coordinator knows beside.

use std::sync::Arc;
use std::time::Duration;

use dqa_pages::{Route, RunAction, RunPage, Segment};
use dqa_pipelines::run::RunState;
use jiff::Timestamp;

use crate::error::SiteError;
use crate::live::LiveRun;
use crate::loaded_run::LoadedRun;
use crate::site::{Site, Viewer};

pub(super) async fn page(site: &Site, run: &Segment, (route, viewer): (&Route, &Viewer)) -> Result<String, SiteError> {
    let (loaded, page) = data(site, run).await?;
    Ok(page.render(&site.context(route, viewer, Some(&loaded))))
}

pub(super) async fn region(site: &Site, run: &Segment, viewer: &Viewer) -> Result<String, SiteError> {
    let (loaded, page) = data(site, run).await?;
    Ok(page.render_region(&site.context(&Route::Progress(run.clone()), viewer, Some(&loaded))))
}

async fn data(site: &Site, run: &Segment) -> Result<(Arc<LoadedRun>, RunPage), SiteError> {
    let loaded = site.run(run).await?;
    let record = &loaded.status.record;
    let name = record.name.to_string();
    let live = match &site.live {
        Some(source) => source.run(&name).await,
        None => None,
    };
    let now = Timestamp::now();
    let progress = loaded.status.progress;
    let live = live.unwrap_or_default();
    let windows = live.windows_done.max(progress.windows_done);
    site.speeds.note(&name, windows, now);
    let speeds = site.speeds.of(&name);
    let LiveRun { shards, shards_running, shards_retrying, shards_quarantined, windows_per_second, .. } = live;
    // Shards have about as many pictures each; the coordinator counts shards alone.
    let pictures_running = (progress.pictures * shards_running).checked_div(shards).unwrap_or(0);
    let measured = speeds.last().map(|speed| speed.windows_per_second).filter(|speed| *speed > 0.0);
    let is_running = loaded.status.state == RunState::Running;
    let speed = windows_per_second.or(measured).filter(|_| is_running);
    let left = progress.windows.saturating_sub(windows) as f64;
    let estimate = speed.and_then(|speed| Duration::try_from_secs_f64(left / speed).ok());
    let page = RunPage {
        run: name,
        state: loaded.status.state,
        created: record.created,
        updated: record.updated,
        progress,
        pictures_running,
        shards_retrying,
        shards_quarantined,
        windows_per_second: speed,
        remaining: estimate.filter(|_| is_running),
        speeds,
        owner: loaded.status.owner.as_ref().map(ToString::to_string),
        workers: site.live.as_ref().map(|live| live.workers()),
        failure: record.failure.clone(),
        hint: loaded.status.hint(),
        actions: if record.is_managed_by_coordinator() && site.live.is_some() {
            actions(loaded.status.state, progress.failed)
        } else {
            Vec::new()
        },
        now,
    };
    Ok((loaded, page))
}

/// Returns what may be asked of a coordinator's run in its state.
fn actions(state: RunState, failed: u64) -> Vec<RunAction> {
    let mut actions = match state {
        RunState::Planning | RunState::Running => vec![RunAction::Pause, RunAction::Cancel],
        RunState::Paused => vec![RunAction::Resume, RunAction::Cancel],
        RunState::Failed | RunState::Cancelled | RunState::Interrupted => vec![RunAction::Resume],
        RunState::Complete => Vec::new(),
    };
    if failed > 0 && !state.is_active() {
        actions.push(RunAction::Retry);
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_a_run_is_offered() {
        assert_eq!(actions(RunState::Running, 3), [RunAction::Pause, RunAction::Cancel]);
        assert_eq!(actions(RunState::Complete, 0), []);
        assert_eq!(actions(RunState::Complete, 1), [RunAction::Retry]);
    }
}
