//! `train --coordinator`: a cluster trains, and what it learned is shown, and copied to `--out`.

use std::path::Path;

use anyhow::Context;
use dqa_engine::train::BaseModel;
use dqa_pipelines::dataset::Definition;
use dqa_pipelines::train::{Setup, TrialRecord};
use dqa_pipelines::training::{TrainedSplits, TrainingRequest, TrainingWork};
use dqa_proto::v1;
use dqa_service::portable_model::IdentifiedTrainingModel;
use dqa_service::program::{ExitStatus, note};

use super::results::Results;
use super::{Args, RESULT_FILES, check_final, only_splits, out_folder, remove_stale, splits_options};
use crate::cli::cluster_training_args::ClusterTrainingArgs;
use crate::cli::coordinator_client::{Client, get_report};
use crate::cli::remote_training::{RemoteTraining, copy_trial_file};
use crate::cli::submit::find_definitions;
use crate::cli::training_data;

/// Digits of the digest in the name of a training's run.
const NAME_DIGITS: usize = 8;

/// Submits the trainings, waits until they have ended, and shows their results.
pub(in crate::cli) async fn run(args: &Args, mut client: Client) -> anyhow::Result<ExitStatus> {
    ClusterTrainingArgs::refuse_local_flags(args.skip_unreadable, args.dry_run)?;
    let setup = args.setup.read()?;
    if args.is_final {
        check_final(&setup)?;
    }
    let definitions = find_definitions(std::slice::from_ref(&args.dataset))?;
    let base = BaseModel::open(&args.model, args.prompts.as_deref(), setup.seed, args.resources.offline);
    let base = base.with_context(|| format!("cannot open the model {}", args.model))?;
    let setup = base.resolve(&setup);
    let splits = args.splits_file.as_deref().map(training_data::read_splits).transpose()?;
    let seed = if BaseModel::new_config(&args.model).is_some() { setup.seed } else { 0 };
    let work = TrainingWork::Trials {
        setup: Box::new(setup.clone()),
        options: splits_options(args),
        numbers: only_splits(args)?.into_iter().collect(),
    };
    let models = vec![IdentifiedTrainingModel::of(&base, seed)?];
    let request = TrainingRequest {
        work,
        splits: splits.into_iter().collect(),
        models: Vec::new(),
        limits: args.resources.limits.limits(),
        provenance: Vec::new(),
    };
    let name = run_name(&definitions[0], &request, &models[0])?;
    let training = RemoteTraining {
        name: name.clone(),
        request,
        models,
        definitions,
        resources: &args.resources,
        redefine: &args.redefine,
        cluster: &args.cluster,
    };
    if training.run(&mut client).await? {
        show(args, &setup, name, &mut client).await?;
    }
    Ok(ExitStatus::All)
}

/// Returns the name of the run: the same for the same training, so that the same command follows it.
fn run_name(data: &Definition, request: &TrainingRequest, model: &IdentifiedTrainingModel) -> anyhow::Result<String> {
    let request = serde_json::to_vec(&(request, &model.model)).context("the request cannot be written as JSON")?;
    let digest = blake3::hash(&request).to_hex();
    Ok(format!("train-{}-{}", data.name, &digest[..NAME_DIGITS]))
}

/// Shows the results, and copies them to the folder of `--out`.
async fn show(args: &Args, setup: &Setup, name: String, client: &mut Client) -> anyhow::Result<()> {
    let request = v1::GetReportRequest { name, ..v1::GetReportRequest::default() };
    let text = get_report(client, request).await?;
    let trained: TrainedSplits = serde_json::from_str(&text).context("the coordinator's answer cannot be read")?;
    let TrainedSplits { splits, records } = &trained;
    Results { setup, splits, records, skipped: 0 }.show(args.result.form())?;
    for record in records {
        match &args.out {
            Some(out) => copy(client, record, &out_folder(out, record, records.len())).await?,
            None => note(format_args!("split {}: trials/{} in the coordinator's store", record.split, record.name)),
        }
    }
    if args.out.is_none() {
        note(format_args!("hint: the same command with --out DIR copies them to this machine"));
    }
    Ok(())
}

async fn copy(client: &mut Client, record: &TrialRecord, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot write {}", folder.display()))?;
    for file in RESULT_FILES {
        let path = folder.join(file);
        if !copy_trial_file(client, &record.name, file, &path).await? {
            remove_stale(&path)?;
        }
    }
    note(format_args!("split {}: {}", record.split, folder.display()));
    Ok(())
}
