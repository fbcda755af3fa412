//! A run's plan: its parts, and which of them the store already has.

use std::collections::{BTreeMap, HashSet};

use dqa_pipelines::names::{AlgorithmName, DatasetName};
use dqa_pipelines::parts::{self, PartCounts, PartState};
use dqa_pipelines::plan::{self, HashPrefix, ScoringSettings, Shard, ShardCut};
use dqa_pipelines::registry::RequestedDataset;
use dqa_pipelines::run::{DatasetSpec, PartRef, RunCounts};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::scores;
use tracing::warn;

use super::measure::MeasuredDataSet;

/// A run's parts in their order, with the data sets that they belong to.
#[derive(Debug)]
pub struct RunPlan {
    /// The data sets.
    pub datasets: Vec<MeasuredDataSet>,
    /// The model's fingerprint and the limits of pictures, which are in the names of parts.
    pub settings: ScoringSettings,
    /// The parts that make up the run.
    pub parts: Vec<PlannedPart>,
    /// Keys of the model's other parts in the same folders, which do not belong to the run.
    pub other_parts: Vec<String>,
}

/// A part of a run.
#[derive(Debug)]
pub struct PlannedPart {
    /// Index of its data set in the plan.
    pub dataset: usize,
    /// Its pictures.
    pub cut: ShardCut,
    /// Key of its object in the store.
    pub key: String,
    /// Whether the store has it.
    pub state: PlannedPartState,
}

/// Whether the store has a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedPartState {
    /// The part is in the store and whole.
    Done(PartCounts),
    /// The part is to be made. Older parts may have some of its rows.
    Missing {
        /// Keys of those older parts.
        reuse: Vec<String>,
    },
}

impl RunPlan {
    /// Cuts data sets into parts, all of them missing until [`RunPlan::find_parts`] is called. Pure.
    pub fn new(datasets: Vec<MeasuredDataSet>, settings: ScoringSettings, shard_windows_max: u64) -> RunPlan {
        let mut parts = Vec::new();
        for (index, MeasuredDataSet { dataset, windows }) in datasets.iter().enumerate() {
            for (algorithm, range) in plan::algorithm_ranges(dataset) {
                let cuts = plan::cut_shards(dataset, range.clone(), &windows[range], shard_windows_max);
                parts.extend(cuts.into_iter().map(|cut| {
                    let name = plan::part_name(dataset, &cut, &settings);
                    let key = scores::part_key(dataset.name.as_str(), algorithm.as_str(), &name);
                    PlannedPart { dataset: index, cut, key, state: PlannedPartState::Missing { reuse: Vec::new() } }
                }));
            }
        }
        RunPlan { datasets, settings, parts, other_parts: Vec::new() }
    }

    /// Returns the registrations of a request's data sets, completed with what was found when they were loaded.
    pub fn registrations(&self, requested: &[RequestedDataset]) -> Vec<RequestedDataset> {
        let loaded = |requested: &RequestedDataset| {
            let data =
                self.datasets.iter().map(|measured| &measured.dataset).find(|data| data.name == *requested.name());
            data.map(|data| requested.clone().with_loaded(data))
        };
        requested.iter().filter_map(loaded).collect()
    }

    /// Finds which parts are in the store, and which older parts may hold rows of those that are not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find_parts(&mut self, store: &Store) -> Result<(), StoreError> {
        let listed = self.list_folders(store).await?;
        let existing: HashSet<&str> = listed.values().flatten().map(|(key, _)| key.as_str()).collect();
        let candidates: Vec<usize> =
            (0..self.parts.len()).filter(|index| existing.contains(self.parts[*index].key.as_str())).collect();
        let keys_and_rows = candidates.iter().map(|index| {
            let part = &self.parts[*index];
            (part.key.clone(), part.cut.pictures.len() as u64)
        });
        let found = parts::inspect_all(store, keys_and_rows).await?;
        for (index, found) in candidates.into_iter().zip(found) {
            match found {
                PartState::Complete(counts) => self.parts[index].state = PlannedPartState::Done(counts),
                PartState::Damaged(why) => {
                    warn!(part = self.parts[index].key, why, "a part is damaged and is made again")
                }
                PartState::Missing => {}
            }
        }
        let planned: HashSet<&str> = self.parts.iter().map(|part| part.key.as_str()).collect();
        let is_other = |(key, _): &&(String, HashPrefix)| !planned.contains(key.as_str());
        self.other_parts = listed.values().flatten().filter(is_other).map(|(key, _)| key.clone()).collect();
        for index in 0..self.parts.len() {
            if matches!(self.parts[index].state, PlannedPartState::Missing { .. }) {
                let part = &self.parts[index];
                let overlapping = listed[&self.folder(part)]
                    .iter()
                    .filter(|(key, prefix)| key != &part.key && prefix.overlaps(part.cut.prefix));
                let reuse = overlapping.map(|(key, _)| key.clone()).collect();
                self.parts[index].state = PlannedPartState::Missing { reuse };
            }
        }
        Ok(())
    }

    /// Marks the parts with failed rows as missing. Their rows with a score are reused.
    pub fn retry_failed(&mut self) {
        for part in &mut self.parts {
            if matches!(part.state, PlannedPartState::Done(counts) if counts.failed > 0) {
                part.state = PlannedPartState::Missing { reuse: vec![part.key.clone()] };
            }
        }
    }

    /// Returns the shards that are still to be scored, made one at a time.
    pub fn shards<'a>(&'a self, store: &'a Store, retry_failed: bool) -> impl Iterator<Item = Shard> + 'a {
        self.parts.iter().filter_map(move |part| self.shard(part, store, retry_failed))
    }

    /// Returns a part's shard, if it is still to be scored.
    pub fn shard(&self, part: &PlannedPart, store: &Store, retry_failed: bool) -> Option<Shard> {
        let PlannedPartState::Missing { reuse } = &part.state else {
            return None;
        };
        let dataset = &self.datasets[part.dataset].dataset;
        let shard = Shard::new(dataset, &part.cut, store.url().as_str(), &self.settings);
        Some(Shard { reuse: reuse.clone(), retry_failed, ..shard })
    }

    /// Returns the data set and the algorithm that a part's pictures belong to.
    pub fn dataset_and_algorithm(&self, part: &PlannedPart) -> (&DatasetName, &AlgorithmName) {
        let dataset = &self.datasets[part.dataset].dataset;
        (&dataset.name, &dataset.pictures[part.cut.pictures[0] as usize].algorithm)
    }

    /// Returns the specifications of the data sets for a run's record, without the scenes seen in training.
    pub fn dataset_specs(&self) -> Vec<DatasetSpec> {
        let spec = |MeasuredDataSet { dataset, .. }: &MeasuredDataSet| DatasetSpec {
            name: dataset.name.clone(),
            root: dataset.root.url().to_string(),
            algorithms: dataset.algorithms(),
            protocol: dataset.protocol.map(|protocol| protocol.to_string()),
            definition: dataset.definition.clone(),
            hazy: dataset.hazy_rows.clone(),
            seen_in_training: None,
        };
        self.datasets.iter().map(spec).collect()
    }

    /// Returns the parts as a run's record keeps them.
    pub fn part_refs(&self) -> Vec<PartRef> {
        let reference = |part: &PlannedPart| {
            let (dataset, algorithm) = self.dataset_and_algorithm(part);
            PartRef {
                key: part.key.clone(),
                dataset: dataset.clone(),
                algorithm: algorithm.clone(),
                rows: part.cut.pictures.len() as u64,
                windows: part.cut.windows,
            }
        };
        self.parts.iter().map(reference).collect()
    }

    /// Counts the pictures and windows that are planned, and the rows that the store has.
    pub fn counts(&self) -> RunCounts {
        let mut counts = RunCounts::default();
        for part in &self.parts {
            counts.pictures += part.cut.pictures.len() as u64;
            counts.windows += part.cut.windows;
            if let PlannedPartState::Done(done) = part.state {
                counts.scored += done.rows - done.failed;
                counts.failed += done.failed;
            }
        }
        counts
    }

    /// Returns the parts that the store lacks.
    pub fn missing(&self) -> impl Iterator<Item = &PlannedPart> {
        self.parts.iter().filter(|part| matches!(part.state, PlannedPartState::Missing { .. }))
    }

    /// Lists each folder of the run's parts: the keys of the parts of the run's model, with the prefixes in their
    /// names.
    async fn list_folders(&self, store: &Store) -> Result<BTreeMap<String, Vec<(String, HashPrefix)>>, StoreError> {
        let mut listed = BTreeMap::new();
        for part in &self.parts {
            let folder = self.folder(part);
            if listed.contains_key(&folder) {
                continue;
            }
            let prefix = |key: &str| {
                let name = key.rsplit('/').next()?.strip_suffix(".parquet")?;
                plan::hash_prefix_of_part(name, &self.settings.fingerprint)
            };
            let objects = store.list_sorted(&folder).await?;
            let parts = objects.into_iter().filter_map(|object| Some((object.key.clone(), prefix(&object.key)?)));
            listed.insert(folder, parts.collect());
        }
        Ok(listed)
    }

    fn folder(&self, part: &PlannedPart) -> String {
        let (dataset, algorithm) = self.dataset_and_algorithm(part);
        scores::part_folder(dataset.as_str(), algorithm.as_str())
    }
}
