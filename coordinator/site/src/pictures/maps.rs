//! Maps over a picture: the scores of its windows, and where the model looks. They are made when they are asked for, by the
//! run's own model, if its files are on this machine.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dqa_engine::explain::{AttentionLayer, DrawnPicture, MapOptions, Scale};
use dqa_model::{Explainer, Prepared, Rgb8, Views};
use dqa_pipelines::causes;
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::run::{RunRecord, RunSpec};
use dqa_service::model_args::{LimitArgs, MachineArgs, ModelArgs};

use super::image_file::ImageFile;
use crate::error::SiteError;

/// Models that are kept loaded: each takes the memory of its weights.
const MODELS_MAX: usize = 2;

/// Which map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapKind {
    /// The scores of the windows.
    Windows,
    /// The attention of the class token.
    Attention,
}

/// Makes maps, and keeps the models that make them.
#[derive(Default)]
pub(crate) struct MapMaker {
    models: Mutex<HashMap<String, Arc<Explainer>>>,
    /// One at a time: a map takes all cores.
    making: tokio::sync::Mutex<()>,
}

/// A run's model, as its record names it.
#[derive(Clone)]
pub(crate) struct RunModel {
    fingerprint: String,
    model: String,
    prompts: Option<String>,
    views: Views,
    dtype: String,
}

impl RunModel {
    /// Returns the model of a run.
    ///
    /// # Errors
    /// The run has none, or its files are not on this machine.
    pub(crate) fn find(record: &RunRecord) -> Result<RunModel, String> {
        let RunSpec { model, prompts, views, dtype, .. } = &record.spec;
        if record.fingerprint.is_empty() || model.is_empty() {
            return Err("The run has no scores by a model.".to_owned());
        }
        let is_here = |file: &String| file.starts_with("dqa:") || Path::new(file).exists();
        if let Some(absent) = [Some(model), prompts.as_ref()].into_iter().flatten().find(|file| !is_here(file)) {
            return Err(format!("Its model is needed, and {absent} is not on this machine."));
        }
        let views = views.parse().map_err(|_| format!("The views {views} are not known to this version."))?;
        Ok(RunModel {
            fingerprint: record.fingerprint.clone(),
            model: model.clone(),
            prompts: prompts.clone(),
            views,
            dtype: dtype.clone(),
        })
    }

    /// Returns a name that tells maps of different models apart.
    pub(crate) fn cache_name(&self, kind: MapKind) -> String {
        format!("{kind:?} {}", self.fingerprint)
    }

    fn load(&self) -> Result<Explainer, SiteError> {
        let limits = PictureLimits::default();
        let args = ModelArgs {
            model: self.model.clone(),
            prompts: self.prompts.clone().map(Into::into),
            handcrafted: self.prompts.is_none(),
            views: self.views,
            device: "cpu".to_owned(),
            dtype: self.dtype.parse().map_err(|_| SiteError::Model(format!("unknown precision {}", self.dtype)))?,
            batch: None,
            machine: MachineArgs { threads: None, decode_threads: None, picture_mib: 512 },
            limits: LimitArgs { pixels_max: limits.pixels_max, side_max: limits.side_max, bytes_max: limits.bytes_max },
            offline: true,
        };
        let failed = |error: anyhow::Error| SiteError::Model(format!("The run's model cannot be loaded: {error:#}"));
        let explainer = args.explainer().map_err(failed)?;
        let found = explainer.scorer().fingerprint().to_string();
        if found != self.fingerprint {
            return Err(SiteError::Model(format!(
                "{} is another model now: its fingerprint is {found}, and the run's {}.",
                self.model, self.fingerprint
            )));
        }
        Ok(explainer)
    }
}

impl MapMaker {
    /// Waits until no other map is made.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.making.lock().await
    }

    /// Draws a map over a picture as a PNG. It runs the model, so call it on a thread that may block.
    pub(crate) fn draw(&self, model: &RunModel, kind: MapKind, picture: &Rgb8) -> Result<ImageFile, SiteError> {
        let failed = |error: &(dyn std::error::Error + 'static)| SiteError::Model(causes(error).to_string());
        let explainer = self.explainer(model)?;
        let prepared = Prepared::new(picture.clone(), &model.views).map_err(|error| failed(&error))?;
        let explained = explainer.explain(&prepared, |_| {}).map_err(|error| failed(&error))?;
        let options =
            MapOptions { views: model.views, layer: AttentionLayer::Rollout, window: None, scale: Scale::Auto };
        let drawings = DrawnPicture::new("", picture, &explained, &options).maps;
        let wanted: &[&str] = match kind {
            MapKind::Windows => &["scores"],
            MapKind::Attention => &["windows", "whole"],
        };
        let drawing = wanted.iter().find_map(|name| drawings.iter().find(|drawing| drawing.name == *name));
        let drawing = drawing.ok_or_else(|| SiteError::Model("The model's views have no windows.".to_owned()))?;
        Ok(ImageFile { media_type: "image/png", bytes: drawing.png().into() })
    }

    fn explainer(&self, model: &RunModel) -> Result<Arc<Explainer>, SiteError> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(explainer) = models.get(&model.fingerprint) {
            return Ok(explainer.clone());
        }
        if models.len() >= MODELS_MAX {
            models.clear();
        }
        let explainer = Arc::new(model.load()?);
        models.insert(model.fingerprint.clone(), explainer.clone());
        Ok(explainer)
    }
}
