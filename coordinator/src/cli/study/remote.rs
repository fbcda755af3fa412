//! `study --coordinator`: a cluster trains and tests, and the coordinator makes the table.

use anyhow::anyhow;
use dqa_pipelines::study::{Study, StudyDefinition};
use dqa_pipelines::training::{TrainingRequest, TrainingWork};
use dqa_proto::v1;
use dqa_service::portable_model::IdentifiedTrainingModel;
use dqa_service::program::{ExitStatus, command_line, host, with_hint};

use super::{Args, read_splits, read_study, study_name, with_overrides};
use crate::cli::cluster_training_args::ClusterTrainingArgs;
use crate::cli::coordinator_client::{Client, get_report, table_format};
use crate::cli::output::print_text;
use crate::cli::remote_training::RemoteTraining;
use crate::cli::submit::find_definitions;
use crate::study::{BaseModels, model_keys};

/// Submits the study, waits until it has ended, and shows its table.
pub(in crate::cli) async fn run(args: &Args, mut client: Client) -> anyhow::Result<ExitStatus> {
    let Study::Trainings(study) = read_study(args)? else {
        let error = anyhow!("a study of metrics trains nothing, and runs on this machine");
        return Err(with_hint(
            error,
            "leave out --coordinator; `submit --metrics all --coordinator` scores on a cluster",
        ));
    };
    ClusterTrainingArgs::refuse_local_flags(args.skip_unreadable, args.dry_run)?;
    let splits = read_splits(&args.splits_file)?;
    let study = with_overrides(args, study, splits.first().map(|splits| splits.splits.len()))?;
    let definitions = find_definitions(&study.datasets)?;
    // The same order as without a coordinator: that of the study.
    let named = |text: &String| find_definitions(std::slice::from_ref(text)).map(|found| found[0].name.to_string());
    let datasets = study.datasets.iter().map(named).collect::<anyhow::Result<Vec<String>>>()?;
    let name = study_name(args, datasets.iter().map(String::as_str))?;
    let report = v1::GetReportRequest {
        name: name.to_string(),
        format: table_format(args.result.format).into(),
        wide: args.result.wide,
        so_far: args.so_far,
        ..v1::GetReportRequest::default()
    };
    if args.so_far {
        print_text(&get_report(&mut client, report).await?)?;
        return Ok(ExitStatus::All);
    }
    let definition = Box::new(StudyDefinition { datasets, ..study });
    let training = RemoteTraining {
        name: name.to_string(),
        models: identify(&definition, args.resources.offline)?,
        request: TrainingRequest {
            work: TrainingWork::Study { name, definition },
            splits,
            models: Vec::new(),
            limits: args.resources.limits.limits(),
            provenance: vec![("dqa.host".to_owned(), host()), ("dqa.command".to_owned(), command_line())],
        },
        definitions,
        resources: &args.resources,
        redefine: &args.redefine,
        cluster: &args.cluster,
    };
    if training.run(&mut client).await? {
        print_text(&get_report(&mut client, report).await?)?;
    }
    Ok(ExitStatus::All)
}

/// Opens the models that the study may start from.
fn identify(study: &StudyDefinition, offline: bool) -> anyhow::Result<Vec<IdentifiedTrainingModel>> {
    let mut models = BaseModels::default();
    for key in model_keys(study)? {
        models.open(&key, offline)?;
    }
    models.iter().map(|(seed, base)| IdentifiedTrainingModel::of(base, seed)).collect()
}
