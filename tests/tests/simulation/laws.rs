//! The laws that hold when the users of a simulated cluster have what they asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use dqa_pipelines::causes;
use dqa_pipelines::part_removal::collect_orphans;
use dqa_pipelines::parts;
use dqa_pipelines::run::{RunRecord, RunState};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::store_check::{self, ProblemKind};
use dqa_pipelines::train::{TrialRecord, trial_key};
use jiff::SignedDuration;
use url::Url;

use super::scoring::formula;
use super::world::{SubmittedRun, World};

/// Returns the laws that are broken, as sentences.
pub(super) fn check(world: &World) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without input and output needs nothing");
    runtime.block_on(check_store(world))
}

async fn check_store(world: &World) -> Vec<String> {
    let url = Url::parse(&world.origin).expect("it is an address");
    // Without latency and faults.
    let store = Store::from_object_store(Arc::new(world.objects.plain().fork()), url);
    let mut broken = Vec::new();
    let leading = world.leading();
    if leading.len() != 1 {
        broken.push(format!("one coordinator leads in the end, found {leading:?}"));
    }
    for (name, run) in world.submitted() {
        if !run.is_accepted {
            continue;
        }
        match RunRecord::find(&store, &name.parse().expect("it was accepted")).await {
            Ok(Some(record)) => check_run(&store, (&run, &record), &mut broken).await,
            Ok(None) => broken.push(format!("{name} was accepted, and is not in the store")),
            Err(error) => broken.push(format!("{name}: {}", causes(&error))),
        }
    }
    if let Err(error) = check_trials(&store, &mut broken).await {
        broken.push(format!("the trials cannot be read: {}", causes(&error)));
    }
    match check_files(&store).await {
        Ok(problems) => broken.extend(problems),
        Err(error) => broken.push(format!("the store cannot be checked: {}", causes(&error))),
    }
    broken
}

/// Checks the files themselves, whatever the records say.
async fn check_files(store: &Store) -> Result<Vec<String>, StoreError> {
    collect_orphans(store, SignedDuration::ZERO).await?;
    let problems = store_check::check(store).await?.problems;
    // Two runs may both name rows of a picture, if there were more pictures when the second was planned.
    let broken = problems.iter().filter(|problem| problem.kind != ProblemKind::Double);
    Ok(broken.map(|problem| format!("{:?}: {}: {}", problem.kind, problem.key, problem.detail)).collect())
}

async fn check_run(store: &Store, (run, record): (&SubmittedRun, &RunRecord), broken: &mut Vec<String>) {
    let name = &record.name;
    if run.is_cancelled {
        if record.state != RunState::Cancelled {
            broken.push(format!("{name} was cancelled, and is {}", record.state));
        }
        return;
    }
    if record.state != RunState::Complete {
        let failure = record.failure.as_deref().unwrap_or("it says nothing");
        broken.push(format!("{name} is {}: {failure}", record.state));
        return;
    }
    if run.is_training {
        return check_training(store, record, broken).await;
    }
    let mut pictures = BTreeSet::new();
    for part in &record.parts {
        let rows = match parts::read_rows(store, &part.key).await {
            Ok(rows) => rows,
            Err(error) => {
                broken.push(format!("{name}: part {}: {}", part.key, causes(&error)));
                continue;
            }
        };
        if rows.len() as u64 != part.rows {
            broken.push(format!("{name}: part {} has {} of {} rows", part.key, rows.len(), part.rows));
        }
        for row in rows {
            let expected = formula(&row.image, &row.version, "entropy");
            match &row.score {
                Ok(found) if found.score == expected => {}
                Ok(found) => broken.push(format!("{name}: {} has {}, expected {expected}", row.uri, found.score)),
                Err(failure) => {
                    broken.push(format!("{name}: {} failed: {} {}", row.uri, failure.code, failure.message));
                }
            }
            if !pictures.insert(row.uri.clone()) {
                broken.push(format!("{name}: {} has two rows", row.uri));
            }
        }
    }
    for missing in run.pictures.difference(&pictures) {
        broken.push(format!("{name}: {missing} has no row"));
    }
}

/// Checks that all trials and tests of a study are in the store, and its table.
async fn check_training(store: &Store, record: &RunRecord, broken: &mut Vec<String>) {
    let name = &record.name;
    match record.training_counts {
        Some(counts) if counts.units > 0 && counts.units == counts.done => {}
        counts => broken.push(format!("{name} is complete, and its trainings are {counts:?}")),
    }
    match store.list_sorted(&format!("studies/by_study={name}")).await {
        Ok(tables) if tables.len() == 1 => {}
        Ok(tables) => broken.push(format!("{name} has {} tables", tables.len())),
        Err(error) => broken.push(format!("{name}: {}", causes(&error))),
    }
}

/// Checks that each trial that is complete has its predictions.
async fn check_trials(store: &Store, broken: &mut Vec<String>) -> Result<(), StoreError> {
    for record in TrialRecord::all(store).await?.iter().filter(|record| record.is_complete()) {
        if record.kept.as_ref().is_none_or(|kept| kept.epoch != record.setup.epochs) {
            broken.push(format!("trial {} is complete without all epochs", record.name));
        }
        let key = trial_key(&record.name, "predictions.parquet");
        if let Err(error) = store.head(&key).await {
            broken.push(format!("{key}: {}", causes(&error)));
        }
    }
    Ok(())
}
