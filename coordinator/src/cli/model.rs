//! `dqa-coord model`: what a model is, and whether prompts fit it. The first thing to run when a model does not load: it opens the
//! model as `submit` does, with the same errors, and scores nothing.

mod training;

use std::io::{BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use dqa_engine::models::{self, Opened, Origin, Training};
use dqa_model::{ClipWeights, Isa, Options, PromptMode, Prompts, TextConfig, VisionConfig, fingerprint_of};
use dqa_service::model_args::open_model;
use dqa_service::program::{ExitStatus, OutputError};
use serde::Serialize;

use training::ShownTraining;

/// Says what a model is, and whether prompts fit it.
#[derive(clap::Args)]
#[command(arg = super::here_only::coordinator())]
pub(super) struct Args {
    /// `show` is the one action.
    #[arg(value_enum)]
    action: Action,

    /// The model: a folder, a file, hf:OWNER/NAME, hf:OWNER/NAME@REVISION, or dqa:small.
    #[arg(value_name = "MODEL")]
    model: String,

    /// Learned prompts: a file, or dqa:small for those of that model.
    #[arg(long, env = "DQA_PROMPTS", value_name = "FILE")]
    prompts: Option<PathBuf>,

    /// Take hf: models from the hub's cache alone, as HF_HUB_OFFLINE=1 does.
    #[arg(long, env = "DQA_OFFLINE", value_parser = BoolishValueParser::new())]
    offline: bool,

    /// The form of the result.
    #[arg(long, env = "DQA_FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// What it is, where it is from, and what fits it. An hf: model that is not in the cache is downloaded, as `submit` would.
    Show,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For reading.
    Table,
    /// One object.
    Json,
}

/// A model for those who read.
#[derive(Serialize)]
struct Shown<'a> {
    model: &'a str,
    form: String,
    #[serde(flatten)]
    origin: ShownOrigin,
    files: Vec<ShownFile>,
    tensors: usize,
    precisions: Vec<Precision>,
    parameters: u64,
    architecture: String,
    vision: &'a VisionConfig,
    text: &'a TextConfig,
    embed_dim: usize,
    activation: Activations,
    weights_digest: String,
    /// What the weights were trained on.
    #[serde(flatten)]
    training: ShownTraining,
    kernels: Kernels,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompts: Option<ShownPrompts>,
}

#[derive(Serialize)]
struct ShownOrigin {
    /// `program`, `path` or `hub`.
    from: &'static str,
    path: Option<PathBuf>,
    repository: Option<String>,
    revision: Option<String>,
    commit: Option<String>,
}

#[derive(Serialize)]
struct ShownFile {
    name: String,
    bytes: u64,
}

#[derive(Serialize)]
struct Precision {
    dtype: &'static str,
    tensors: usize,
}

/// The activation functions of the two towers.
#[derive(Serialize)]
struct Activations {
    vision: String,
    text: String,
}

#[derive(Serialize)]
struct Kernels {
    /// The instructions that they use here.
    cpu: String,
    gpu: bool,
    /// Why the GPU's kernels do not fit; none where they do.
    gpu_misfit: Option<String>,
}

/// Prompts for the model, or why they are not.
#[derive(Serialize)]
struct ShownPrompts {
    file: String,
    fit: bool,
    #[serde(flatten)]
    learned: Option<Learned>,
    /// From the error to its last cause.
    errors: Vec<String>,
    hint: Option<String>,
}

#[derive(Serialize)]
struct Learned {
    text_len: usize,
    text_depth: usize,
    visual_len: usize,
    visual_depth: usize,
    bad: String,
    good: String,
    digest: String,
    /// What the prompts were trained on.
    #[serde(flatten)]
    training: ShownTraining,
    /// Of weights and prompts, with the views and the arithmetic that are usual.
    fingerprint: String,
    views: String,
    dtype: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitStatus> {
    let Action::Show = args.action;
    let Opened { weights, origin } = open_model(&args.model, args.offline)?;
    let prompts = args.prompts.as_deref().map(|file| shown_prompts(file, &weights)).transpose()?;
    let done =
        if prompts.as_ref().is_none_or(|prompts| prompts.fit) { ExitStatus::All } else { ExitStatus::SomeFailed };
    let shown = shown(args, &weights, &origin, prompts)?;
    print(&shown, args.format)?;
    Ok(done)
}

fn shown<'a>(
    args: &'a Args,
    weights: &'a ClipWeights,
    origin: &Origin,
    prompts: Option<ShownPrompts>,
) -> anyhow::Result<Shown<'a>> {
    let config = weights.config();
    let size = match config.vision.width {
        768 => "ViT-B/",
        1024 => "ViT-L/",
        1280 => "ViT-H/",
        _ => "ViT of another size, patches of ",
    };
    let form = match origin {
        Origin::Program => "in the program".to_owned(),
        _ => weights.form().to_string(),
    };
    let gpu_misfit = weights.gpu_misfit();
    Ok(Shown {
        model: &args.model,
        form,
        origin: shown_origin(origin),
        files: weights.files().iter().map(|path| shown_file(path)).collect::<anyhow::Result<_>>()?,
        tensors: weights.tensor_count(),
        precisions: weights.precisions().into_iter().map(|(dtype, tensors)| Precision { dtype, tensors }).collect(),
        parameters: weights.parameter_count(),
        architecture: format!("{size}{}", config.vision.patch),
        vision: &config.vision,
        text: &config.text,
        embed_dim: config.embed_dim,
        activation: Activations {
            vision: config.vision.activation.to_string(),
            text: config.text.activation.to_string(),
        },
        weights_digest: weights.digest().to_string(),
        training: Training::of_weights(&args.model, weights.files()).into(),
        kernels: Kernels { cpu: Isa::current().to_string(), gpu: gpu_misfit.is_none(), gpu_misfit },
        prompts,
    })
}

fn shown_origin(origin: &Origin) -> ShownOrigin {
    let none = ShownOrigin { from: "program", path: None, repository: None, revision: None, commit: None };
    match origin {
        Origin::Program => none,
        Origin::Path(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            ShownOrigin { from: "path", path: Some(path), ..none }
        }
        Origin::Hub(snapshot) => ShownOrigin {
            from: "hub",
            path: Some(snapshot.folder.clone()),
            repository: Some(snapshot.repo.clone()),
            revision: Some(snapshot.revision.clone()),
            commit: Some(snapshot.commit.clone()),
        },
    }
}

fn shown_file(path: &Path) -> anyhow::Result<ShownFile> {
    let bytes = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    Ok(ShownFile { name, bytes })
}

/// Prompts that do not fit are a part of the answer.
fn shown_prompts(file: &Path, weights: &ClipWeights) -> anyhow::Result<ShownPrompts> {
    let name = file.display().to_string();
    match models::prompts(file, weights.config()) {
        Ok(prompts) => {
            let learned = Some(learned(prompts, weights, Training::of_prompts(file))?);
            Ok(ShownPrompts { file: name, fit: true, learned, errors: Vec::new(), hint: None })
        }
        Err(error) => {
            let hint = error.hint();
            let errors = anyhow::Error::from(error).chain().map(ToString::to_string).collect();
            Ok(ShownPrompts { file: name, fit: false, learned: None, errors, hint })
        }
    }
}

fn learned(prompts: Prompts, weights: &ClipWeights, training: Training) -> anyhow::Result<Learned> {
    let (shape, words) = (*prompts.shape(), prompts.words().clone());
    let digest = prompts.digest()?.to_string();
    let options = Options::default();
    let fingerprint = fingerprint_of(weights, &PromptMode::Learned(prompts), &options)?;
    Ok(Learned {
        text_len: shape.text_len,
        text_depth: shape.text_depth,
        visual_len: shape.visual_len,
        visual_depth: shape.visual_depth,
        bad: words.bad,
        good: words.good,
        digest,
        training: training.into(),
        fingerprint: fingerprint.to_string(),
        views: options.views.to_string(),
        dtype: options.arithmetic.to_string(),
    })
}

fn print(shown: &Shown, format: Format) -> Result<(), OutputError> {
    let mut out = BufWriter::new(stdout().lock());
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string(shown).expect("it has text for keys"))?,
        Format::Table => {
            for (name, value) in rows(shown) {
                writeln!(out, "{name:13} {value}")?;
            }
        }
    }
    Ok(out.flush()?)
}

/// The table's lines: a name, which is empty where the line goes on with what is above it, and a value.
fn rows(shown: &Shown) -> Vec<(&'static str, String)> {
    let origin = &shown.origin;
    let mut rows = vec![("model", shown.model.to_owned()), ("form", shown.form.clone())];
    if let Some(path) = &origin.path {
        rows.push(("from", path.display().to_string()));
    }
    if let (Some(repository), Some(revision), Some(commit)) = (&origin.repository, &origin.revision, &origin.commit) {
        rows.push(("repository", repository.clone()));
        rows.push(("revision", format!("{revision}, commit {commit}")));
    }
    let files = shown.files.iter().map(|file| format!("{} ({} bytes)", file.name, grouped(file.bytes)));
    listed(&mut rows, "files", files);
    let precisions: Vec<String> = shown.precisions.iter().map(|p| format!("{} {}", p.tensors, p.dtype)).collect();
    rows.push(("tensors", format!("{}: {}", shown.tensors, precisions.join(", "))));
    rows.push(("parameters", grouped(shown.parameters)));
    let (vision, text) = (shown.vision, shown.text);
    rows.push(("architecture", format!("{}, features of {}", shown.architecture, shown.embed_dim)));
    rows.push((
        "vision",
        format!(
            "width {}, layers {}, heads {}, patches of {}, pictures of {}, {}",
            vision.width, vision.layers, vision.heads, vision.patch, vision.image, shown.activation.vision
        ),
    ));
    rows.push((
        "text",
        format!(
            "width {}, layers {}, heads {}, {} tokens, sentences of {}, {}",
            text.width, text.layers, text.heads, text.vocab, text.context, shown.activation.text
        ),
    ));
    rows.push(("weights", format!("{} (digest of configuration and tensors)", shown.weights_digest)));
    listed(&mut rows, "trained on", shown.training.lines().into_iter());
    rows.push(("kernels", format!("CPU: they fit ({} here)", shown.kernels.cpu)));
    rows.push((
        "",
        match &shown.kernels.gpu_misfit {
            None => "GPU: they fit, with --dtype f16 or bf16".to_owned(),
            Some(why) => format!("GPU: they do not fit, Candle's operations run there: {why}"),
        },
    ));
    match &shown.prompts {
        Some(prompts) => prompts_rows(&mut rows, prompts),
        None => rows.push(("fingerprint", "of weights and prompts together: give --prompts".to_owned())),
    }
    rows
}

fn prompts_rows(rows: &mut Vec<(&'static str, String)>, prompts: &ShownPrompts) {
    rows.push(("prompts", prompts.file.clone()));
    let Some(learned) = &prompts.learned else {
        rows.push(("", format!("they cannot be used with this model: {}", prompts.errors[0])));
        let causes = prompts.errors[1..].iter().map(|cause| format!("caused by: {cause}"));
        rows.extend(causes.chain(prompts.hint.iter().map(|hint| format!("hint: {hint}"))).map(|line| ("", line)));
        return;
    };
    let tower = |name: &str, len: usize, depth: usize| match depth {
        0 => format!("{name}: none"),
        _ => format!("{name}: {len} in each of the first {depth} layers"),
    };
    rows.push(("", "they fit this model".to_owned()));
    rows.push(("", tower("text", learned.text_len, learned.text_depth)));
    rows.push(("", tower("vision", learned.visual_len, learned.visual_depth)));
    rows.push(("words", format!("\"{}\" and \"{}\"", learned.bad, learned.good)));
    listed(rows, "trained on", learned.training.lines().into_iter());
    rows.push(("fingerprint", learned.fingerprint.clone()));
    rows.push(("", format!("(of weights and prompts with the views {} in {})", learned.views, learned.dtype)));
}

/// One line for each, under one name.
fn listed(rows: &mut Vec<(&'static str, String)>, name: &'static str, values: impl Iterator<Item = String>) {
    rows.extend(values.enumerate().map(|(i, value)| (if i == 0 { name } else { "" }, value)));
}

/// `151,277,313`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_are_in_groups_of_three() {
        assert_eq!([0, 999, 1000, 151_277_313].map(grouped), ["0", "999", "1,000", "151,277,313"]);
    }
}
