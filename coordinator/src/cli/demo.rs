//! `dqa-coord demo`: a synthetic data set, to try things out and to train small models on.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::sync::Mutex;

use clap::ValueEnum;
use dqa_demo::{Algorithm, Demo, make};
use dqa_pipelines::names::DatasetName;
use dqa_service::program::{ExitStatus, OutputError, note};

use super::progress::Steps;

/// Makes a synthetic data set of dehazed pictures with pseudo-labels.
#[derive(clap::Args)]
#[command(arg = super::here_only::coordinator())]
pub(super) struct Args {
    /// What to do.
    #[arg(value_enum)]
    action: Action,

    /// The folder that it is made in. Files that are there and the same are not written again.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// How many scenes; each is in 12 algorithms' pictures, a hazy and a clear one.
    #[arg(long, env = "DQA_SCENES", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    scenes: u64,

    /// Pixels.
    #[arg(long, env = "DQA_WIDTH", default_value_t = 320)]
    width: usize,

    /// Pixels.
    #[arg(long, env = "DQA_HEIGHT", default_value_t = 256)]
    height: usize,

    /// Another seed makes other scenes. A scene does not depend on how many there are.
    #[arg(long, env = "DQA_SEED", default_value_t = 1)]
    seed: u64,

    /// What the data set is called.
    #[arg(long, env = "DQA_NAME", default_value = "demo")]
    name: DatasetName,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Makes it.
    Make,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let Action::Make = args.action;
    let demo = Demo {
        name: args.name.to_string(),
        scenes: args.scenes,
        width: args.width,
        height: args.height,
        seed: args.seed,
    };
    let steps = Mutex::new(Steps::new(demo.scenes, "scenes"));
    let made = make(&args.folder, &demo, &|| steps.lock().expect("nothing panics with it").more(1))?;
    steps.into_inner().expect("nothing panics with it").finish();
    let algorithms = Algorithm::ALL.len();
    note(format_args!(
        "{} scenes, {algorithms} algorithms, {} pictures; {} files written",
        demo.scenes, made.pictures, made.written
    ));
    writeln!(stdout(), "{}", made.definition.display()).map_err(OutputError::from)?;
    Ok(ExitStatus::All)
}
