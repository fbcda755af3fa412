//! The description of a model and its prompts that `model show` prints. The fields are the keys of the JSON form.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dqa_engine::models::{self, ModelOrigin, RecordedTraining};
use dqa_model::{ClipWeights, Isa, Options, PromptMode, Prompts, TextConfig, VisionConfig, model_fingerprint};
use dqa_pipelines::Hint;
use serde::Serialize;

use super::training::TrainingDescription;

/// The description of a model.
#[derive(Serialize)]
pub(super) struct ModelDescription<'a> {
    pub(super) model: &'a str,
    pub(super) form: String,
    #[serde(flatten)]
    pub(super) origin: OriginDescription,
    pub(super) files: Vec<FileDescription>,
    pub(super) tensors: usize,
    pub(super) precisions: Vec<Precision>,
    pub(super) parameters: u64,
    pub(super) architecture: String,
    pub(super) vision: &'a VisionConfig,
    pub(super) text: &'a TextConfig,
    pub(super) embed_dim: usize,
    pub(super) activation: Activations,
    pub(super) weights_digest: String,
    /// Data sets that the weights were trained on.
    #[serde(flatten)]
    pub(super) training: TrainingDescription,
    pub(super) kernels: Kernels,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompts: Option<PromptsDescription>,
}

#[derive(Serialize)]
pub(super) struct OriginDescription {
    /// `program`, `path` or `hub`.
    pub(super) from: &'static str,
    pub(super) path: Option<PathBuf>,
    pub(super) repository: Option<String>,
    pub(super) revision: Option<String>,
    pub(super) commit: Option<String>,
}

#[derive(Serialize)]
pub(super) struct FileDescription {
    pub(super) name: String,
    pub(super) bytes: u64,
}

#[derive(Serialize)]
pub(super) struct Precision {
    pub(super) dtype: &'static str,
    pub(super) tensors: usize,
}

/// The activation functions of the two towers.
#[derive(Serialize)]
pub(super) struct Activations {
    pub(super) vision: String,
    pub(super) text: String,
}

#[derive(Serialize)]
pub(super) struct Kernels {
    /// Instruction set that the CPU kernels use on this machine.
    pub(super) cpu: String,
    pub(super) gpu: bool,
    /// Why the GPU kernels do not fit the model, if they do not.
    pub(super) gpu_misfit: Option<String>,
}

/// Prompts that fit the model, or the reason why they do not.
#[derive(Serialize)]
pub(super) struct PromptsDescription {
    pub(super) file: String,
    pub(super) fit: bool,
    #[serde(flatten)]
    pub(super) learned: Option<LearnedPrompts>,
    /// The error and its causes, the root cause last.
    pub(super) errors: Vec<String>,
    pub(super) hint: Option<String>,
}

#[derive(Serialize)]
pub(super) struct LearnedPrompts {
    pub(super) text_len: usize,
    pub(super) text_depth: usize,
    pub(super) visual_len: usize,
    pub(super) visual_depth: usize,
    pub(super) bad: String,
    pub(super) good: String,
    pub(super) digest: String,
    /// Data sets that the prompts were trained on.
    #[serde(flatten)]
    pub(super) training: TrainingDescription,
    /// Fingerprint of weights and prompts with the default views and arithmetic.
    pub(super) fingerprint: String,
    pub(super) views: String,
    pub(super) dtype: String,
}

impl ModelDescription<'_> {
    /// Describes an opened model.
    ///
    /// # Errors
    /// If the sizes of its files cannot be read.
    pub(super) fn new<'a>(
        model: &'a str,
        weights: &'a ClipWeights,
        origin: &ModelOrigin,
        prompts: Option<PromptsDescription>,
    ) -> anyhow::Result<ModelDescription<'a>> {
        let config = weights.config();
        let size = match config.vision.width {
            768 => "ViT-B/",
            1024 => "ViT-L/",
            1280 => "ViT-H/",
            _ => "ViT of another size, patches of ",
        };
        let form = match origin {
            ModelOrigin::Program => "in the program".to_owned(),
            _ => weights.form().to_string(),
        };
        let gpu_misfit = weights.gpu_unsupported_reason();
        Ok(ModelDescription {
            model,
            form,
            origin: describe_origin(origin),
            files: weights.files().iter().map(|path| describe_file(path)).collect::<anyhow::Result<_>>()?,
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
            training: RecordedTraining::of_weights(model, weights.files()).into(),
            kernels: Kernels { cpu: Isa::current().to_string(), gpu: gpu_misfit.is_none(), gpu_misfit },
            prompts,
        })
    }
}

fn describe_origin(origin: &ModelOrigin) -> OriginDescription {
    let program = OriginDescription { from: "program", path: None, repository: None, revision: None, commit: None };
    match origin {
        ModelOrigin::Program => program,
        ModelOrigin::Path(path) => {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            OriginDescription { from: "path", path: Some(path), ..program }
        }
        ModelOrigin::Hub(snapshot) => OriginDescription {
            from: "hub",
            path: Some(snapshot.folder.clone()),
            repository: Some(snapshot.repo.clone()),
            revision: Some(snapshot.revision.clone()),
            commit: Some(snapshot.commit.clone()),
        },
    }
}

fn describe_file(path: &Path) -> anyhow::Result<FileDescription> {
    let bytes = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    Ok(FileDescription { name, bytes })
}

impl PromptsDescription {
    /// Opens prompts for a model. Prompts that do not fit are described with the reason.
    ///
    /// # Errors
    /// If the prompts fit, and their digest or fingerprint cannot be computed.
    pub(super) fn new(path: &Path, weights: &ClipWeights) -> anyhow::Result<PromptsDescription> {
        let file = path.display().to_string();
        match models::prompts(path, weights.config()) {
            Ok(prompts) => {
                let learned = Some(LearnedPrompts::new(prompts, weights, RecordedTraining::of_prompts(path))?);
                Ok(PromptsDescription { file, fit: true, learned, errors: Vec::new(), hint: None })
            }
            Err(error) => {
                let hint = error.hint();
                let errors = anyhow::Error::from(error).chain().map(ToString::to_string).collect();
                Ok(PromptsDescription { file, fit: false, learned: None, errors, hint })
            }
        }
    }
}

impl LearnedPrompts {
    fn new(prompts: Prompts, weights: &ClipWeights, training: RecordedTraining) -> anyhow::Result<LearnedPrompts> {
        let (shape, words) = (*prompts.shape(), prompts.words().clone());
        let digest = prompts.digest()?.to_string();
        let options = Options::default();
        let fingerprint = model_fingerprint(weights, &PromptMode::Learned(prompts), &options)?;
        Ok(LearnedPrompts {
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
}
