//! `dqa-coord demo`: makes a synthetic data set, to try things out and to train small models on.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use clap::ValueEnum;
use dqa_demo::{Algorithm, DatasetOptions, generate_dataset};
use dqa_pipelines::count_text::counted;
use dqa_pipelines::names::DatasetName;
use dqa_service::program::{ExitStatus, OutputError, end_on_signal, note};

use super::progress::StepProgress;

/// Makes a synthetic data set of dehazed pictures with pseudo-labels.
#[derive(clap::Args)]
#[command(arg = super::local_only::coordinator_flag())]
pub(super) struct Args {
    /// Action: `make` is the only one.
    #[arg(value_enum)]
    action: Action,

    /// Folder for the data set. Files that it has already with the same content are not written again.
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Number of scenes. Each has a hazy picture, a clear one, and one by each of 12 algorithms.
    #[arg(long, env = "DQA_SCENES", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    scenes: u64,

    /// Width of the pictures in pixels.
    #[arg(long, env = "DQA_WIDTH", default_value_t = 320)]
    width: usize,

    /// Height of the pictures in pixels.
    #[arg(long, env = "DQA_HEIGHT", default_value_t = 256)]
    height: usize,

    /// Seed of the scenes: another seed makes other scenes. A scene does not depend on the number of scenes.
    #[arg(long, env = "DQA_DEMO_SEED", default_value_t = 1)]
    seed: u64,

    /// Name of the data set.
    #[arg(long, env = "DQA_DATASET_NAME", default_value = "demo")]
    name: DatasetName,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Makes the data set.
    Make,
}

/// Makes the data set and prints the path of its definition.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let Action::Make = args.action;
    let options = DatasetOptions {
        name: args.name.to_string(),
        scenes: args.scenes,
        width: args.width,
        height: args.height,
        seed: args.seed,
    };
    let (done, scenes) = (Arc::new(AtomicU64::new(0)), options.scenes);
    let end = end_on_signal({
        let done = done.clone();
        move || {
            let done = done.load(Relaxed);
            vec![
                format!("{done} of {scenes} scenes are made and kept"),
                "hint: the same command makes the others, and then the definition of the data set".to_owned(),
            ]
        }
    })?;
    let steps = Mutex::new(StepProgress::new(options.scenes, "scenes"));
    let add_scene = || {
        done.fetch_add(1, Relaxed);
        steps.lock().expect("nothing panics while it is locked").add(1);
    };
    let generated = generate_dataset(&args.folder, &options, &add_scene)?;
    drop(end);
    steps.into_inner().expect("nothing panics while it is locked").finish();
    let algorithms = Algorithm::ALL.len();
    note(format_args!(
        "{}, {algorithms} algorithms, {}; {} written",
        counted(options.scenes, "scene"),
        counted(generated.pictures, "picture"),
        counted(generated.written, "file")
    ));
    let definition = generated.definition.display();
    writeln!(stdout(), "{definition}").map_err(OutputError::from)?;
    note(format_args!("next: `dqa-coord submit --datasets {definition} --model dqa:small`"));
    Ok(ExitStatus::All)
}
