//! `dqa-coord model`: describes a model, and says whether prompts fit it. The first command to run when a model does
//! not load: it opens the model as `submit` does, with the same errors, and scores nothing.

mod description;
mod table;
mod training;

use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use dqa_engine::models::{self, OpenedModel};
use dqa_pipelines::result_page::hanging;
use dqa_service::model_args::open_model;
use dqa_service::program::{ExitStatus, OutputError};

use super::output::write_json;
use description::{ModelDescription, PromptsDescription};
use table::table_rows;

/// Describes a model, and says whether prompts fit it.
#[derive(clap::Args)]
#[command(arg = super::local_only::coordinator_flag())]
pub(super) struct Args {
    /// Action: `show` is the only one.
    #[arg(value_enum)]
    action: Action,

    /// Model: a folder, a file, hf:OWNER/NAME, hf:OWNER/NAME@REVISION, or dqa:small.
    #[arg(value_name = "MODEL")]
    model: String,

    /// Learned prompts: a file, or dqa:small for those of that model [default: those of dqa:small for that model].
    #[arg(long, env = "DQA_PROMPTS", value_name = "FILE")]
    prompts: Option<PathBuf>,

    /// Take hf: models only from the hub's cache, as HF_HUB_OFFLINE=1 does.
    #[arg(long, env = "DQA_OFFLINE", value_parser = BoolishValueParser::new())]
    offline: bool,

    /// Format of the result.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = DescriptionFormat::Table)]
    format: DescriptionFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Shows what the model is, where it comes from, and what fits it. Downloads an hf: model that is not in the cache,
    /// as `submit` does.
    Show,
}

#[derive(Clone, Copy, ValueEnum)]
enum DescriptionFormat {
    /// For people to read.
    Table,
    /// One object.
    Json,
}

/// Describes the model. Prompts that do not fit it are a finding, not an error: the exit status says so.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let Action::Show = args.action;
    let OpenedModel { weights, origin } = open_model(&args.model, args.offline)?;
    let own_prompts = models::has_own_prompts(&args.model).then(|| Path::new(&args.model));
    let prompts =
        args.prompts.as_deref().or(own_prompts).map(|file| PromptsDescription::new(file, &weights)).transpose()?;
    let fits = prompts.as_ref().is_none_or(|prompts| prompts.fit);
    let description = ModelDescription::new(&args.model, &weights, &origin, prompts)?;
    print(&description, args.format)?;
    Ok(if fits { ExitStatus::All } else { ExitStatus::SomeFailed })
}

fn print(description: &ModelDescription, format: DescriptionFormat) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    match format {
        DescriptionFormat::Json => write_json(&mut out, description)?,
        DescriptionFormat::Table => {
            for (name, value) in table_rows(description) {
                write!(out, "{}", hanging(&format!("{name:13} "), &value))?;
            }
        }
    }
    Ok(out.flush()?)
}
