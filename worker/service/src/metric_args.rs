//! The flags that choose metrics and their parameters.

use std::path::PathBuf;

use anyhow::Context;
use dqa_metrics::Parameters;
use dqa_pipelines::metric::{CLIP_DQA, MetricSelection};

use crate::program::with_hint;

/// Flags that choose metrics.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct MetricArgs {
    /// Metrics, joined by commas: names that `dqa-coord metrics` lists; psnr and contrast for groups of them; or all, those
    /// that the pictures are there for. Only clip-dqa needs a model.
    #[arg(long, env = "DQA_METRICS", value_delimiter = ',', default_value = "clip-dqa", value_name = "NAMES")]
    pub metrics: Vec<String>,

    /// Parameters of metrics.
    #[command(flatten)]
    pub parameters: ParameterArgs,
}

/// The flag that chooses parameters of metrics.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct ParameterArgs {
    /// Parameters of NIQE, BRISQUE and FADE to use in place of the published ones (JSON).
    #[arg(long, env = "DQA_METRIC_PARAMETERS", hide_short_help = true, value_name = "FILE")]
    pub metric_parameters: Option<PathBuf>,
}

/// Parameters of metrics from a file.
pub struct ParameterFile {
    /// The file's content.
    pub json: Vec<u8>,
    /// The parameters.
    pub parameters: Parameters,
}

impl MetricArgs {
    /// Returns the metrics.
    ///
    /// # Errors
    /// Fails if a name is unknown.
    pub fn selection(&self) -> anyhow::Result<MetricSelection> {
        let selection = MetricSelection::parse(self.metrics.iter().map(|name| name.trim()));
        selection.map_err(|error| with_hint(error.into(), "`dqa-coord metrics` says what each of them is"))
    }

    /// Returns whether the flags are as they are if nobody gives them.
    pub fn is_default(&self) -> bool {
        self.metrics == [CLIP_DQA] && self.parameters.metric_parameters.is_none()
    }
}

impl ParameterArgs {
    /// Reads the file of parameters, if one is given.
    ///
    /// # Errors
    /// Fails if the file cannot be read, or has no parameters.
    pub fn read(&self) -> anyhow::Result<Option<ParameterFile>> {
        let Some(path) = &self.metric_parameters else { return Ok(None) };
        let cannot = || format!("cannot use the metric parameters {}", path.display());
        let json = std::fs::read(path).with_context(cannot)?;
        let text = std::str::from_utf8(&json).with_context(cannot)?;
        let parameters = Parameters::from_json(text).with_context(cannot)?;
        Ok(Some(ParameterFile { json, parameters }))
    }
}
