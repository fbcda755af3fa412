//! What a run has to do: its parts, and which of them are there already.

use std::collections::{BTreeMap, HashSet};

use dqa_pipelines::names::{AlgorithmName, DatasetName};
use dqa_pipelines::parts::{self, Found, PartCounts};
use dqa_pipelines::plan::{self, Cut, Prefix, Shard, Terms};
use dqa_pipelines::registry::Requested;
use dqa_pipelines::run::{Counts, PartRef};
use dqa_pipelines::store::{Store, StoreError};
use dqa_pipelines::tables::scores;
use tracing::warn;

use super::Measured;

/// A run's parts, in the order of the plan.
#[derive(Debug)]
pub struct Work {
    /// The data sets that the parts are of.
    pub datasets: Vec<Measured>,
    /// What scores them.
    pub terms: Terms,
    /// What the run is to end with.
    pub parts: Vec<Part>,
    /// Objects in the folders of the run's parts that are no part of it, though of its model.
    pub others: Vec<String>,
}

/// A part of a run.
#[derive(Debug)]
pub struct Part {
    /// Which of the data sets.
    pub dataset: usize,
    /// Its pictures.
    pub cut: Cut,
    /// Its object in the store.
    pub key: String,
    /// What is in the store.
    pub state: State,
}

/// How far a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There and whole.
    Done(PartCounts),
    /// To be made. Some rows may be in older parts.
    Missing {
        /// Those parts' objects.
        reuse: Vec<String>,
    },
}

impl Work {
    /// Cuts data sets into parts. Pure: what is in the store shows when [`Work::look`] was called.
    pub fn plan(datasets: Vec<Measured>, terms: Terms, shard_windows_max: u64) -> Work {
        let mut parts = Vec::new();
        for (at, Measured { dataset, windows }) in datasets.iter().enumerate() {
            for (algorithm, range) in plan::algorithms(dataset) {
                let cuts = plan::cut(dataset, range.clone(), &windows[range], shard_windows_max);
                parts.extend(cuts.into_iter().map(|cut| {
                    let name = plan::part_name(dataset, &cut, &terms);
                    let key = scores::part_key(dataset.name.as_str(), algorithm.as_str(), &name);
                    Part { dataset: at, cut, key, state: State::Missing { reuse: Vec::new() } }
                }));
            }
        }
        Work { datasets, terms, parts, others: Vec::new() }
    }

    /// The data sets of a request as they are registered in a store, now that they have been read.
    pub fn registered(&self, requested: &[Requested]) -> Vec<Requested> {
        let loaded = |requested: &Requested| {
            let data =
                self.datasets.iter().map(|measured| &measured.dataset).find(|data| data.name == *requested.name());
            data.map(|data| requested.clone().loaded(data))
        };
        requested.iter().filter_map(loaded).collect()
    }

    /// Finds which parts are in the store, and which older ones may hold rows of those that are not.
    ///
    /// # Errors
    /// Where the store fails.
    pub async fn look(&mut self, store: &Store) -> Result<(), StoreError> {
        let listed = self.listed(store).await?;
        let there: HashSet<&str> = listed.values().flatten().map(|(key, _)| key.as_str()).collect();
        let listed_at: Vec<usize> =
            (0..self.parts.len()).filter(|at| there.contains(self.parts[*at].key.as_str())).collect();
        let looks = listed_at.iter().map(|at| {
            let part = &self.parts[*at];
            (part.key.clone(), part.cut.pictures.len() as u64)
        });
        let found = parts::find_all(store, looks).await?;
        for (at, found) in listed_at.into_iter().zip(found) {
            match found {
                Found::Whole(counts) => self.parts[at].state = State::Done(counts),
                Found::Damaged(why) => warn!(part = self.parts[at].key, why, "a part is damaged and is made again"),
                Found::Nothing => {}
            }
        }
        let own: HashSet<&str> = self.parts.iter().map(|part| part.key.as_str()).collect();
        let older = |(key, _): &&(String, Prefix)| !own.contains(key.as_str());
        self.others = listed.values().flatten().filter(older).map(|(key, _)| key.clone()).collect();
        for at in 0..self.parts.len() {
            if matches!(self.parts[at].state, State::Missing { .. }) {
                let part = &self.parts[at];
                let overlapping = listed[&self.folder(part)]
                    .iter()
                    .filter(|(key, prefix)| key != &part.key && prefix.overlaps(part.cut.prefix));
                let reuse = overlapping.map(|(key, _)| key.clone()).collect();
                self.parts[at].state = State::Missing { reuse };
            }
        }
        Ok(())
    }

    /// The parts with failed rows are to be made again; their own good rows are taken over.
    pub fn retry_failed(&mut self) {
        for part in &mut self.parts {
            if matches!(part.state, State::Done(counts) if counts.failed > 0) {
                part.state = State::Missing { reuse: vec![part.key.clone()] };
            }
        }
    }

    /// The shards that are still to be scored, as many as are asked for at a time.
    pub fn shards<'a>(&'a self, store: &'a Store, retry_failed: bool) -> impl Iterator<Item = Shard> + 'a {
        self.parts.iter().filter_map(move |part| self.shard(part, store, retry_failed))
    }

    /// A part's shard, if it is still to be scored.
    pub fn shard(&self, part: &Part, store: &Store, retry_failed: bool) -> Option<Shard> {
        let State::Missing { reuse } = &part.state else {
            return None;
        };
        let dataset = &self.datasets[part.dataset].dataset;
        let shard = Shard::of(dataset, &part.cut, store.url().as_str(), &self.terms);
        Some(Shard { reuse: reuse.clone(), retry_failed, ..shard })
    }

    /// Whose outputs a part's are.
    pub fn whose(&self, part: &Part) -> (&DatasetName, &AlgorithmName) {
        let dataset = &self.datasets[part.dataset].dataset;
        (&dataset.name, &dataset.pictures[part.cut.pictures[0] as usize].algorithm)
    }

    /// As a run's record keeps them.
    pub fn part_refs(&self) -> Vec<PartRef> {
        let reference = |part: &Part| {
            let (dataset, algorithm) = self.whose(part);
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

    /// What is planned, and what is done of it.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for part in &self.parts {
            counts.pictures += part.cut.pictures.len() as u64;
            counts.windows += part.cut.windows;
            if let State::Done(done) = part.state {
                counts.scored += done.rows - done.failed;
                counts.failed += done.failed;
            }
        }
        counts
    }

    /// The parts that are not there.
    pub fn missing(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| matches!(part.state, State::Missing { .. }))
    }

    /// By the folder of an algorithm's parts: those of the run's model, with what their names say of their pictures.
    async fn listed(&self, store: &Store) -> Result<BTreeMap<String, Vec<(String, Prefix)>>, StoreError> {
        let mut listed = BTreeMap::new();
        for part in &self.parts {
            let folder = self.folder(part);
            if listed.contains_key(&folder) {
                continue;
            }
            let prefix = |key: &str| {
                let name = key.rsplit('/').next()?.strip_suffix(".parquet")?;
                plan::prefix_of(name, &self.terms.fingerprint)
            };
            let objects = store.list_sorted(&folder).await?;
            let parts = objects.into_iter().filter_map(|object| Some((object.key.clone(), prefix(&object.key)?)));
            listed.insert(folder, parts.collect());
        }
        Ok(listed)
    }

    fn folder(&self, part: &Part) -> String {
        let (dataset, algorithm) = self.whose(part);
        scores::part_folder(dataset.as_str(), algorithm.as_str())
    }
}
