//! A run's plan: its parts, and which of them the store already has.

use std::collections::{BTreeMap, HashMap, HashSet};

use dqa_pipelines::dataset::{DataSet, ReferenceKind};
use dqa_pipelines::metric::MetricSpec;
use dqa_pipelines::names::{AlgorithmName, DatasetName};
use dqa_pipelines::parts::{self, PartCounts, PartState};
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::plan::{self, HashPrefix, Shard, ShardCut, ShardPart, join_part_names};
use dqa_pipelines::registry::RequestedDataset;
use dqa_pipelines::run::{DatasetSpec, PartRef, RunCounts};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::scores::{self, PartColumns};
use tracing::warn;

use super::measure::MeasuredDataSet;

/// A run's shards in their order, with the data sets that they belong to.
#[derive(Debug)]
pub struct RunPlan {
    /// The data sets.
    pub datasets: Vec<MeasuredDataSet>,
    /// The run's metrics.
    pub metrics: Vec<MetricSpec>,
    /// The limits on a picture's size.
    pub limits: PictureLimits,
    /// The digest of the file in the store that has the metrics' parameters. None for the published ones.
    pub parameters: Option<String>,
    /// The shards whose parts make up the run.
    pub shards: Vec<PlannedShard>,
    /// Keys of the metrics' other parts in the same folders, which do not belong to the run.
    pub other_parts: Vec<String>,
}

/// A shard of a run: pictures with one part for each metric.
#[derive(Debug)]
pub struct PlannedShard {
    /// Index of its data set in the plan.
    pub dataset: usize,
    /// Its pictures.
    pub cut: ShardCut,
    /// Its parts, one for each metric that the data set has the pictures for.
    pub parts: Vec<PlannedPart>,
}

/// A part of a run: the rows of one metric of a shard.
#[derive(Debug)]
pub struct PlannedPart {
    /// Index of its metric in the plan.
    pub metric: usize,
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

/// How a plan's parts are made, besides their pictures.
#[derive(Clone, Debug)]
pub struct PlanSettings {
    /// The run's metrics.
    pub metrics: Vec<MetricSpec>,
    /// The limits on a picture's size.
    pub limits: PictureLimits,
    /// The digest of the file in the store that has the metrics' parameters. None for the published ones.
    pub parameters: Option<String>,
    /// Most windows of a shard.
    pub shard_windows_max: u64,
}

impl PlannedPart {
    fn is_missing(&self) -> bool {
        matches!(self.state, PlannedPartState::Missing { .. })
    }

    /// Returns the part's name: that of its object without the extension.
    pub fn name(&self) -> &str {
        part_name(&self.key)
    }
}

impl PlannedShard {
    /// Returns the parts that the store lacks.
    pub fn missing(&self) -> impl Iterator<Item = &PlannedPart> + Clone {
        self.parts.iter().filter(|part| part.is_missing())
    }

    /// Returns the name of the shard of the parts that the store lacks.
    pub fn missing_name(&self) -> String {
        join_part_names(self.missing().map(PlannedPart::name))
    }

    /// Returns the number of its pictures, which is the number of rows of each part.
    pub fn rows(&self) -> u64 {
        self.cut.pictures.len() as u64
    }
}

impl RunPlan {
    /// Cuts data sets into shards, with all parts missing until [`RunPlan::find_parts`] is called. Pure.
    pub fn new(datasets: Vec<MeasuredDataSet>, settings: PlanSettings) -> RunPlan {
        let PlanSettings { metrics, limits, parameters, shard_windows_max } = settings;
        let mut shards = Vec::new();
        for (index, MeasuredDataSet { dataset, windows }) in datasets.iter().enumerate() {
            let available = available_metrics(dataset, &metrics);
            for (algorithm, range) in plan::algorithm_ranges(dataset) {
                let part = |cut: &ShardCut, metric: usize| {
                    let name = plan::part_name(dataset, cut, &metrics[metric], limits);
                    let key = scores::part_key(dataset.name.as_str(), algorithm.as_str(), &name);
                    PlannedPart { metric, key, state: PlannedPartState::Missing { reuse: Vec::new() } }
                };
                let cuts = plan::cut_shards(dataset, range.clone(), &windows[range], shard_windows_max);
                shards.extend(cuts.into_iter().map(|cut| {
                    let parts = available.iter().map(|metric| part(&cut, *metric)).collect();
                    PlannedShard { dataset: index, cut, parts }
                }));
            }
        }
        RunPlan { datasets, metrics, limits, parameters, shards, other_parts: Vec::new() }
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

    /// Returns the parts of all shards, in the order of the plan.
    pub fn parts(&self) -> impl Iterator<Item = (&PlannedShard, &PlannedPart)> {
        self.shards.iter().flat_map(|shard| shard.parts.iter().map(move |part| (shard, part)))
    }

    /// Finds which parts are in the store, and which older parts may hold rows of those that are not.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find_parts(&mut self, store: &Store) -> Result<(), StoreError> {
        let listed = self.list_folders(store).await?;
        let existing: HashSet<&str> = listed.values().flatten().map(|part| part.key.as_str()).collect();
        let is_listed = |(_, part): &(&PlannedShard, &PlannedPart)| existing.contains(part.key.as_str());
        let keys_and_rows = self.parts().filter(is_listed).map(|(shard, part)| (part.key.clone(), shard.rows()));
        let keys_and_rows: Vec<(String, u64)> = keys_and_rows.collect();
        let found = parts::inspect_all(store, keys_and_rows.iter().cloned()).await?;
        let found: HashMap<String, PartState> = keys_and_rows.into_iter().map(|(key, _)| key).zip(found).collect();
        let planned: HashSet<&str> = self.parts().map(|(_, part)| part.key.as_str()).collect();
        let others = listed.values().flatten().filter(|part| !planned.contains(part.key.as_str()));
        self.other_parts = others.map(|part| part.key.clone()).collect();
        let folders: Vec<String> = self.shards.iter().map(|shard| self.folder(shard)).collect();
        for (shard, folder) in self.shards.iter_mut().zip(folders) {
            for part in &mut shard.parts {
                part.state = match found.get(&part.key) {
                    Some(PartState::Complete(counts)) => PlannedPartState::Done(*counts),
                    state => {
                        if let Some(PartState::Damaged(why)) = state {
                            warn!(part = part.key, why, "a part is damaged and is made again");
                        }
                        let metric = &self.metrics[part.metric];
                        let others = listed[&folder].iter().filter(|other| other.metric == part.metric);
                        let others = others.filter(|other| may_have_rows(&other.key, part, (metric, shard.cut.prefix)));
                        let reuse = others.map(|other| other.key.clone()).collect();
                        PlannedPartState::Missing { reuse }
                    }
                };
            }
        }
        Ok(())
    }

    /// Marks all parts as missing, as for a store that has none.
    pub fn forget_parts(&mut self) {
        for part in self.shards.iter_mut().flat_map(|shard| &mut shard.parts) {
            part.state = PlannedPartState::Missing { reuse: Vec::new() };
        }
    }

    /// Lists the folders again, and marks as missing the parts that are no longer there. Whoever begins a run calls this after
    /// its record names the parts: until then, another process may remove them ([`dqa_pipelines::part_removal`]). Returns
    /// whether one has vanished.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn drop_vanished_parts(&mut self, store: &Store) -> Result<bool, StoreError> {
        let listed = self.list_folders(store).await?;
        let existing: HashSet<&str> = listed.values().flatten().map(|part| part.key.as_str()).collect();
        let mut has_vanished = false;
        for part in self.shards.iter_mut().flat_map(|shard| &mut shard.parts) {
            if matches!(part.state, PlannedPartState::Done(_)) && !existing.contains(part.key.as_str()) {
                warn!(part = part.key, "a part was removed while the run was planned, and is made again");
                part.state = PlannedPartState::Missing { reuse: Vec::new() };
                has_vanished = true;
            }
        }
        Ok(has_vanished)
    }

    /// Returns the digest of the parts that the store has: of all parts, once none is missing.
    pub fn parts_digest(&self) -> String {
        parts::digest_of_all(self.parts().filter_map(|(_, part)| match part.state {
            PlannedPartState::Done(counts) => Some((part.key.as_str(), counts.digest)),
            PlannedPartState::Missing { .. } => None,
        }))
    }

    /// Marks the parts with failed rows as missing. Their rows with a score are reused, and those that an interrupted retry
    /// has kept.
    pub fn retry_failed(&mut self) {
        let folders: Vec<String> = self.shards.iter().map(|shard| self.folder(shard)).collect();
        for (shard, folder) in self.shards.iter_mut().zip(folders) {
            for part in &mut shard.parts {
                if !matches!(part.state, PlannedPartState::Done(counts) if counts.failed > 0) {
                    continue;
                }
                let metric = &self.metrics[part.metric];
                let in_folder =
                    self.other_parts.iter().filter(|key| key.rsplit_once('/').is_some_and(|(f, _)| f == folder));
                let kept = in_folder.filter(|key| may_have_rows(key, part, (metric, shard.cut.prefix)));
                part.state =
                    PlannedPartState::Missing { reuse: [&part.key].into_iter().chain(kept).cloned().collect() };
            }
        }
    }

    /// Returns the shards that are still to be scored, made one at a time.
    pub fn shards<'a>(&'a self, store: &'a Store, retry_failed: bool) -> impl Iterator<Item = Shard> + 'a {
        self.shards.iter().filter_map(move |shard| self.shard(shard, store, retry_failed))
    }

    /// Returns a shard with the parts that the store lacks, if there are any.
    pub fn shard(&self, planned: &PlannedShard, store: &Store, retry_failed: bool) -> Option<Shard> {
        let dataset = &self.datasets[planned.dataset].dataset;
        let (_, algorithm) = self.dataset_and_algorithm(planned);
        let parts: Vec<ShardPart> = planned.missing().map(|part| self.shard_part(dataset, algorithm, part)).collect();
        if parts.is_empty() {
            return None;
        }
        let metrics: Vec<&MetricSpec> = planned.missing().map(|part| &self.metrics[part.metric]).collect();
        Some(Shard {
            store: store.url().to_string(),
            parts,
            retry_failed,
            pictures: plan::shard_pictures(dataset, &planned.cut.pictures, &metrics),
            windows: self.missing_windows(planned),
            facts: Vec::new(),
            limits: self.limits,
            parameters: self.parameters.clone(),
        })
    }

    fn shard_part(&self, dataset: &DataSet, algorithm: &AlgorithmName, part: &PlannedPart) -> ShardPart {
        let PlannedPartState::Missing { reuse } = &part.state else { unreachable!("only missing parts are made") };
        let metric = &self.metrics[part.metric];
        let columns = PartColumns {
            dataset: dataset.name.to_string(),
            algorithm: algorithm.to_string(),
            metric: metric.name.to_string(),
            fingerprint: metric.fingerprint.clone(),
            part: part.name().to_owned(),
        };
        ShardPart { columns, reuse: reuse.clone() }
    }

    /// Returns the number of windows of a shard's parts that the store lacks.
    pub fn missing_windows(&self, shard: &PlannedShard) -> u64 {
        shard.missing().map(|part| self.windows(shard, part)).sum()
    }

    /// Returns the number of windows of a part. Metrics other than CLIP-DQA look at a picture as one window.
    fn windows(&self, shard: &PlannedShard, part: &PlannedPart) -> u64 {
        if self.metrics[part.metric].is_clip_dqa() { shard.cut.windows } else { shard.rows() }
    }

    /// Returns the data set and the algorithm that a shard's pictures belong to.
    pub fn dataset_and_algorithm(&self, shard: &PlannedShard) -> (&DatasetName, &AlgorithmName) {
        let dataset = &self.datasets[shard.dataset].dataset;
        (&dataset.name, &dataset.pictures[shard.cut.pictures[0] as usize].algorithm)
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
        let reference = |(shard, part): (&PlannedShard, &PlannedPart)| {
            let (dataset, algorithm) = self.dataset_and_algorithm(shard);
            let metric = &self.metrics[part.metric];
            PartRef {
                key: part.key.clone(),
                dataset: dataset.clone(),
                algorithm: algorithm.clone(),
                rows: shard.rows(),
                windows: self.windows(shard, part),
                metric: Some(&metric.name).filter(|_| !metric.is_clip_dqa()).cloned(),
            }
        };
        self.parts().map(reference).collect()
    }

    /// Counts the rows and windows that are planned, and the rows that the store has. A picture has a row for each metric.
    pub fn counts(&self) -> RunCounts {
        let mut counts = RunCounts::default();
        for (shard, part) in self.parts() {
            counts.pictures += shard.rows();
            counts.windows += self.windows(shard, part);
            if let PlannedPartState::Done(done) = part.state {
                counts.scored += done.rows - done.failed;
                counts.failed += done.failed;
            }
        }
        counts
    }

    /// Returns the shards with parts that the store lacks.
    pub fn missing(&self) -> impl Iterator<Item = &PlannedShard> {
        self.shards.iter().filter(|shard| shard.missing().next().is_some())
    }

    /// Lists each folder of the run's parts: the parts of the run's metrics.
    async fn list_folders(&self, store: &Store) -> Result<BTreeMap<String, Vec<ListedPart>>, StoreError> {
        let mut listed = BTreeMap::new();
        for shard in &self.shards {
            let folder = self.folder(shard);
            if listed.contains_key(&folder) {
                continue;
            }
            let parse = |key: &str| {
                let name = key.rsplit('/').next()?.strip_suffix(".parquet")?;
                self.metrics.iter().enumerate().find_map(|(metric, spec)| {
                    plan::hash_prefix_of_part(name, &spec.fingerprint)?;
                    Some(ListedPart { key: key.to_owned(), metric })
                })
            };
            let objects = store.list_sorted(&folder).await?;
            listed.insert(folder, objects.iter().filter_map(|object| parse(&object.key)).collect());
        }
        Ok(listed)
    }

    fn folder(&self, shard: &PlannedShard) -> String {
        let (dataset, algorithm) = self.dataset_and_algorithm(shard);
        scores::part_folder(dataset.as_str(), algorithm.as_str())
    }
}

/// A part in the store.
struct ListedPart {
    key: String,
    /// Index of its metric in the plan.
    metric: usize,
}

/// Returns whether another part of a metric may have rows of this one that can be reused. A row does not say which version of
/// the reference it was made with, but the part's name does.
fn may_have_rows(key: &str, part: &PlannedPart, (metric, prefix): (&MetricSpec, HashPrefix)) -> bool {
    let name = part_name(key);
    let overlaps = plan::hash_prefix_of_part(name, &metric.fingerprint).is_some_and(|other| other.overlaps(prefix));
    key != part.key && overlaps && (metric.reference().is_none() || plan::is_kept_part(name, part.name()))
}

/// Returns the name of the part with this key: that of its object without the extension.
fn part_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or_default().trim_end_matches(".parquet")
}

/// Returns the indices of the metrics that a data set has the references for.
fn available_metrics(dataset: &DataSet, metrics: &[MetricSpec]) -> Vec<usize> {
    let is_available = |metric: &MetricSpec| metric.reference().is_none_or(|kind| has_reference(dataset, kind));
    (0..metrics.len()).filter(|index| is_available(&metrics[*index])).collect()
}

/// Returns whether any picture of a data set has a reference of this kind.
pub(super) fn has_reference(dataset: &DataSet, kind: ReferenceKind) -> bool {
    dataset.pictures.iter().any(|picture| dataset.reference(picture, kind).is_some())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dqa_engine::shard::write_failed;
    use dqa_pipelines::dataset::Picture;

    use super::*;

    #[tokio::test]
    async fn a_part_that_is_removed_after_it_was_found_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), Path::new("")).unwrap();
        let picture = |scene: u32| Picture::new("dcp".parse().unwrap(), &format!("dcp/{scene}.png"));
        let dataset = DataSet::new("d".parse().unwrap(), store.clone(), (0..4).map(picture).collect());
        let settings = PlanSettings {
            metrics: vec![MetricSpec::clip_dqa(&"ab".repeat(32))],
            limits: PictureLimits::default(),
            parameters: None,
            shard_windows_max: 1,
        };
        let mut plan = RunPlan::new(vec![MeasuredDataSet { dataset, windows: vec![1; 4] }], settings);
        let shards: Vec<Shard> = plan.shards(&store, false).collect();
        for shard in &shards {
            write_failed(&store, shard, "io", "gone").await.unwrap();
        }
        plan.find_parts(&store).await.unwrap();
        assert_eq!(plan.missing().count(), 0);
        assert!(!plan.drop_vanished_parts(&store).await.unwrap());
        let digest = plan.parts_digest();
        assert_eq!(parts::find_digest_of_all(&store, &plan.part_refs()).await.unwrap(), Some(digest));
        store.delete(&shards[0].parts[0].key()).await.unwrap();
        assert!(plan.drop_vanished_parts(&store).await.unwrap());
        let missing: Vec<String> = plan.missing().map(PlannedShard::missing_name).collect();
        assert_eq!(missing, [shards[0].name()]);
    }
}
