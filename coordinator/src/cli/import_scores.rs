//! `dqa-coord import-scores`: makes scores that others made a metric of a data set.

use std::path::PathBuf;

use clap::ValueEnum;
use dqa_pipelines::count_text::counted;
use dqa_pipelines::dataset::{self, Definition, Ignore, ScoreColumns};
use dqa_pipelines::import_scores::{ImportOptions, import_scores};
use dqa_pipelines::metric::Direction;
use dqa_pipelines::names::{MetricName, RunName};
use dqa_service::program::help::headings;
use dqa_service::program::{ExitStatus, command_line, note, with_own_hint};

use super::args::StoreArgs;
use super::local_only;
use super::redefine_args::RedefineArgs;
use super::report::ReportArgs;
use super::submit::find_definitions;
use crate::run::provenance;

/// Imports a table of scores that other code made, as a metric of its own: a complete run for each data set. No picture is
/// scored.
#[derive(clap::Args)]
#[command(arg = local_only::coordinator_flag_of_store_reader())]
pub(super) struct Args {
    /// The table: CSV, Excel, Parquet or MATLAB; a path or a URL.
    #[arg(value_name = "FILE")]
    file: String,

    /// Name of the metric, for example hyperiqa.
    #[arg(long, env = "DQA_METRIC", value_name = "NAME")]
    metric: MetricName,

    /// Whether higher or lower scores are better.
    #[arg(long, env = "DQA_DIRECTION", value_enum)]
    direction: DirectionArg,

    /// Data sets whose pictures the table has, joined by commas: names, definitions or folders, as for `submit`.
    #[arg(long, env = "DQA_DATASETS", value_delimiter = ',', required = true, value_name = "NAMES")]
    datasets: Vec<String>,

    /// The code that made the scores, with its version. It is kept with the results.
    #[arg(long, env = "DQA_IMPLEMENTATION", value_name = "TEXT")]
    implementation: Option<String>,

    /// Column of the pictures' names [default: image, if the table has it].
    #[arg(long, env = "DQA_IMAGE_COLUMN", help_heading = headings::TABLE, value_name = "COLUMN")]
    image: Option<String>,

    /// Column of the scenes' names, if there is no column of pictures.
    #[arg(long, env = "DQA_SCENE_COLUMN", help_heading = headings::TABLE, value_name = "COLUMN")]
    scene: Option<String>,

    /// Column of the algorithms' names, if there is no column of pictures.
    #[arg(long, env = "DQA_ALGORITHM_COLUMN", help_heading = headings::TABLE, value_name = "COLUMN")]
    algorithm: Option<String>,

    /// Column of the scenes' groups, if there is no column of pictures and groups share names of scenes.
    #[arg(long, env = "DQA_GROUP_COLUMN", help_heading = headings::TABLE, value_name = "COLUMN")]
    group: Option<String>,

    /// Differences of names to ignore, joined by commas: zeros (`1` matches `0001`), case.
    #[arg(long, env = "DQA_IGNORE", help_heading = headings::TABLE, value_enum, value_delimiter = ',', value_name = "WHAT")]
    ignore: Vec<IgnoreArg>,

    /// Sheet of a workbook [default: the first].
    #[arg(long, env = "DQA_SHEET", help_heading = headings::TABLE, value_name = "NAME")]
    sheet: Option<String>,

    /// Column of the scores [default: score].
    #[arg(long, env = "DQA_SCORE_COLUMN", help_heading = headings::TABLE, value_name = "COLUMN")]
    score: Option<String>,

    /// Name of the run, for one data set [default: made of the data set's and the metric's names].
    #[arg(long, env = "DQA_RUN_NAME", value_name = "RUN")]
    name: Option<RunName>,

    #[command(flatten)]
    redefine: RedefineArgs,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    report: ReportArgs,
}

#[derive(Clone, Copy, ValueEnum)]
enum IgnoreArg {
    /// Leading zeros of a number.
    Zeros,
    /// Upper and lower case.
    Case,
}

impl From<IgnoreArg> for Ignore {
    fn from(ignore: IgnoreArg) -> Ignore {
        match ignore {
            IgnoreArg::Zeros => Ignore::Zeros,
            IgnoreArg::Case => Ignore::Case,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum DirectionArg {
    /// Higher scores are better.
    Higher,
    /// Lower scores are better.
    Lower,
}

/// Imports the table for each data set, and shows the reports that a run ends with.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let definitions = find_definitions(&args.datasets)?;
    if args.name.is_some() && definitions.len() > 1 {
        anyhow::bail!("--name is for one data set, and each of these has a run of its own");
    }
    let store = args.store.create().await?;
    let mut has_failed = false;
    for definition in &definitions {
        let data = dataset::load(definition).await?;
        let record = import_scores(&store, &data, &options(args, definition)).await.map_err(with_own_hint)?;
        note(format_args!(
            "run {}: {} of {} by {}, {} without",
            record.name,
            counted(record.counts.scored, "score"),
            data.name,
            args.metric,
            counted(record.counts.failed, "picture")
        ));
        has_failed |= record.counts.failed > 0;
        args.report.make_and_show(&store, &record).await?;
    }
    Ok(if has_failed { ExitStatus::SomeFailed } else { ExitStatus::All })
}

fn options(args: &Args, definition: &Definition) -> ImportOptions {
    let default_name = || format!("{}-{}", definition.name, args.metric).parse().expect("two names joined are a name");
    let mut provenance = provenance();
    provenance.insert("command".to_owned(), command_line());
    ImportOptions {
        file: args.file.clone(),
        base: PathBuf::new(),
        columns: ScoreColumns {
            image: args.image.clone(),
            scene: args.scene.clone(),
            algorithm: args.algorithm.clone(),
            group: args.group.clone(),
            score: args.score.clone(),
            ignore: args.ignore.iter().map(|ignore| (*ignore).into()).collect(),
            sheet: args.sheet.clone(),
        },
        metric: args.metric.clone(),
        direction: match args.direction {
            DirectionArg::Higher => Direction::Higher,
            DirectionArg::Lower => Direction::Lower,
        },
        implementation: args.implementation.clone(),
        run: args.name.clone().unwrap_or_else(default_name),
        redefine: args.redefine.names.clone(),
        provenance,
    }
}
