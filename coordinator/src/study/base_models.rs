//! The models that a study's trainings start from, opened on this machine.

use std::collections::HashMap;

use dqa_engine::train::BaseModel;
use dqa_pipelines::study::Line;
use dqa_pipelines::train::ModelRef;

use super::error::StudyRunError;
use super::plan::{ModelKey, model_key};

/// Opened models, by name and seed.
#[derive(Default)]
pub struct BaseModels(HashMap<ModelKey, BaseModel>);

impl BaseModels {
    /// Opens a model if it is not open, and returns its name and digests.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(&mut self, key: &ModelKey, offline: bool) -> Result<ModelRef, StudyRunError> {
        if let Some(open) = self.0.get(key) {
            return Ok(open.model().clone());
        }
        let (model, seed) = key;
        let opened = BaseModel::open(model, None, *seed, offline);
        let opened = opened.map_err(|source| StudyRunError::BaseModel { model: model.clone(), source })?;
        let model = opened.model().clone();
        self.0.insert(key.clone(), opened);
        Ok(model)
    }

    /// Returns the open model of a line.
    pub(super) fn get(&self, line: &Line) -> &BaseModel {
        &self.0[&model_key(line)]
    }

    /// Iterates over the open models, with their seeds.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &BaseModel)> {
        self.0.iter().map(|((_, seed), model)| (*seed, model))
    }
}
