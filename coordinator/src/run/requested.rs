//! What a run is asked for, in this process or of a coordinator: one way to its name and its record, so that one request is one
//! run, in this process and through a coordinator.
//!
//! What differs between the two and is no part of the request (the device's description, the number of threads) is not in
//! the name.

use std::collections::BTreeMap;

use dqa_engine::models;
use dqa_pipelines::dataset::{self, Definition};
use dqa_pipelines::digest;
use dqa_pipelines::limits::PictureLimits;
use dqa_pipelines::names::RunName;
use dqa_pipelines::run::{Counts, DatasetSpec, RunError, RunRecord, RunSpec, RunState};
use dqa_pipelines::store::Store;
use dqa_pipelines::trained_on::TrainedOn;
use jiff::Timestamp;

use super::Work;
use super::replaced::{self, OtherRun};

/// Of a run's name, what the data sets' names may take.
const NAME_BYTES_MAX: usize = 80;

/// A request for a run.
#[derive(Clone, Debug)]
pub struct Requested {
    /// The data sets.
    pub definitions: Vec<Definition>,
    /// The algorithms that are named; none: all.
    pub algorithms: Vec<String>,
    /// Whether the hazy inputs are scored too.
    pub with_hazy: bool,
    /// The model, as the user named it.
    pub model: String,
    /// The prompts, as the user named them.
    pub prompts: Option<String>,
    /// Which parts of a picture are looked at.
    pub views: String,
    /// The class of arithmetic.
    pub dtype: String,
    /// Of the model with its prompts, views and arithmetic: 64 digits.
    pub fingerprint: String,
    /// Where the model runs, for the record.
    pub device: String,
    /// Most windows of a shard.
    pub shard_windows: u64,
    /// How large a picture may be.
    pub limits: PictureLimits,
    /// What the results are to say of the model, if it is not what is known of it.
    pub remark: Option<String>,
}

impl Requested {
    /// What is asked for, as a record has it before the data sets are listed.
    pub fn spec(&self) -> RunSpec {
        let dataset = |definition: &Definition| DatasetSpec {
            name: definition.name.clone(),
            root: definition.root.clone(),
            algorithms: Vec::new(),
            protocol: definition.protocol.map(|protocol| protocol.to_string()),
            definition: definition.to_toml(),
            seen_in_training: None,
            hazy: None,
        };
        RunSpec {
            datasets: self.definitions.iter().map(dataset).collect(),
            model: self.model.clone(),
            prompts: self.prompts.clone(),
            views: self.views.clone(),
            dtype: self.dtype.clone(),
            device: self.device.clone(),
            shard_windows_max: self.shard_windows,
            remark: self.remark.clone().or_else(|| models::remark(&self.model).map(str::to_owned)),
            limits: self.limits,
        }
    }

    /// The run's name if it is given none: the same for the same request, so that it goes on where it was. It is made of what
    /// was asked for and not of what was found.
    pub fn default_name(&self) -> RunName {
        let mut algorithms: Vec<&str> = self.algorithms.iter().map(String::as_str).collect();
        algorithms.sort_unstable();
        algorithms.dedup();
        let mut fields = vec![self.fingerprint.clone()];
        let mut definitions: Vec<&Definition> = self.definitions.iter().collect();
        definitions.sort_by(|a, b| a.name.cmp(&b.name));
        for definition in definitions {
            fields.extend([definition.name.to_string(), dataset::canonical_address(&definition.root)]);
            fields.extend(algorithms.iter().map(|algorithm| (*algorithm).to_owned()));
        }
        if !self.limits.is_default() {
            let PictureLimits { pixels_max, side_max, bytes_max } = self.limits;
            fields.push(format!("limits {pixels_max} {side_max} {bytes_max}"));
        }
        if self.with_hazy {
            fields.push("with hazy".to_owned());
        }
        self.named(&fields)
    }

    /// The run that this request goes on with, and its record if there is one: of the name that is given, or else of the default
    /// name, or of the name that an older version gave the same request. `found` is what the data sets were found to be,
    /// where they have been listed.
    ///
    /// # Errors
    /// Where the store fails or a record is not one.
    pub async fn find(
        &self,
        store: &Store,
        name: Option<&RunName>,
        found: Option<&Work>,
    ) -> Result<(RunName, Option<RunRecord>), RunError> {
        if let Some(name) = name {
            return Ok((name.clone(), RunRecord::find(store, name).await?));
        }
        let default = self.default_name();
        let mut names = vec![default.clone()];
        // Earlier versions did not record limits.
        if self.limits.is_default() && !self.with_hazy {
            names.extend(found.map(|work| self.older_name_here(work)));
            names.push(self.older_name_there());
        }
        for name in names {
            let record = RunRecord::find(store, &name).await?;
            if let Some(record) = record.filter(|record| record.fingerprint == self.fingerprint) {
                return Ok((name, Some(record)));
            }
        }
        Ok((default, None))
    }

    /// A run's record as it is before its data sets are listed. What is there of an earlier one stays its own until then.
    ///
    /// # Errors
    /// Where the earlier one has what is not asked for, or is of another model.
    pub fn record(
        &self,
        name: RunName,
        earlier: Option<&RunRecord>,
        provenance: BTreeMap<String, String>,
    ) -> Result<RunRecord, OtherRun> {
        let spec = self.spec();
        // A run that was never planned has nothing to lose.
        let earlier_planned = earlier.filter(|earlier| !earlier.parts.is_empty());
        earlier_planned.map_or(Ok(()), |earlier| replaced::check(self, earlier))?;
        let now = Timestamp::now();
        Ok(RunRecord {
            name,
            state: RunState::Planning,
            created: earlier.map_or(now, |earlier| earlier.created),
            updated: now,
            spec,
            fingerprint: self.fingerprint.clone(),
            counts: earlier_planned.map_or_else(Counts::default, |earlier| earlier.counts),
            counted: earlier_planned.and_then(|earlier| earlier.counted.clone()),
            provenance,
            parts: earlier_planned.map_or_else(Vec::new, |earlier| earlier.parts.clone()),
            request: None,
            failure: None,
            hint: None,
        })
    }

    /// What earlier versions named a run in this process by: the algorithms that were found.
    fn older_name_here(&self, work: &Work) -> RunName {
        let mut fields = vec![self.fingerprint.clone()];
        for dataset in super::dataset_specs(work) {
            fields.extend([dataset.name.to_string(), dataset.root]);
            fields.extend(dataset.algorithms.iter().map(ToString::to_string));
        }
        self.named(&fields)
    }

    /// What they named a coordinator's run by: the whole definitions, and the algorithms in their order.
    fn older_name_there(&self) -> RunName {
        let definitions = self.definitions.iter().map(Definition::to_toml);
        let fields: Vec<String> = std::iter::once(self.fingerprint.clone())
            .chain(definitions)
            .chain(self.algorithms.iter().cloned())
            .collect();
        self.named(&fields)
    }

    fn named(&self, fields: &[String]) -> RunName {
        let mut hasher = blake3::Hasher::new();
        fields.iter().for_each(|text| digest::field(&mut hasher, text.as_bytes()));
        let mut names: Vec<&str> = self.definitions.iter().map(|definition| definition.name.as_str()).collect();
        names.sort_unstable();
        let mut text = names.join("+");
        text.truncate(NAME_BYTES_MAX);
        format!("{text}-{}", &hasher.finalize().to_hex()[..8]).parse().expect("it is made of names")
    }
}

/// What was planned, in a run's record; `trained_on` is what its model learned from.
pub fn record_plan(record: &mut RunRecord, work: &Work, trained_on: &TrainedOn) {
    record.spec.datasets = super::dataset_specs(work);
    super::training::mark_seen(&mut record.spec.datasets, work, trained_on);
    record.parts = work.part_refs();
    if record.counts != work.counts() {
        (record.counts, record.counted) = (work.counts(), None);
    }
    (record.failure, record.hint) = (None, None);
}

/// Whether a complete run is what is asked for and planned now. Where a model ran is no part of that.
pub fn is_answered_by(record: &RunRecord, earlier: &RunRecord) -> bool {
    let spec = RunSpec { device: record.spec.device.clone(), ..earlier.spec.clone() };
    earlier.state == RunState::Complete && earlier.parts == record.parts && spec == record.spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(root: &str) -> Requested {
        Requested {
            definitions: vec![Definition::new("haze".parse().unwrap(), root.to_owned())],
            algorithms: Vec::new(),
            with_hazy: false,
            model: "m".to_owned(),
            prompts: None,
            views: "sees=both,window=224,stride=64".to_owned(),
            dtype: "f32".to_owned(),
            fingerprint: "ab".repeat(32),
            device: "cpu (avx2, 2 threads)".to_owned(),
            shard_windows: 2048,
            limits: PictureLimits::default(),
            remark: None,
        }
    }

    #[test]
    fn a_name_is_of_the_request_and_of_nothing_else() {
        let base = requested("s3://bucket/haze");
        let name = base.default_name();
        assert!(name.as_str().starts_with("haze-"), "{name}");
        let with = |change: &dyn Fn(&mut Requested)| {
            let mut other = base.clone();
            change(&mut other);
            other.default_name()
        };
        assert_eq!(with(&|r| r.device = "cuda".to_owned()), name);
        assert_eq!(with(&|r| r.definitions[0].root.push('/')), name);
        let changes: [&dyn Fn(&mut Requested); 6] = [
            &|r| r.with_hazy = true,
            &|r| r.fingerprint = "cd".repeat(32),
            &|r| r.definitions[0].root.push('2'),
            &|r| r.algorithms = vec!["dcp".to_owned()],
            &|r| r.limits.pixels_max = 1,
            &|r| r.limits.side_max = 1,
        ];
        for (at, change) in changes.iter().enumerate() {
            assert_ne!(with(change), name, "{at}");
        }
        let named = |names: [&str; 2]| with(&|r| r.algorithms = names.map(str::to_owned).to_vec());
        assert_eq!(named(["dcp", "aod"]), named(["aod", "dcp"]));
        let several = |names: [&str; 2]| {
            let definition = |name: &str| Definition::new(name.parse().unwrap(), format!("s3://bucket/{name}"));
            with(&|r| r.definitions = names.map(definition).to_vec())
        };
        assert_eq!(several(["a", "b"]), several(["b", "a"]));
    }

    #[tokio::test]
    async fn a_run_that_an_earlier_version_named_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), std::path::Path::new("")).unwrap();
        let base = requested("s3://bucket/haze");
        let (older, default) = (base.older_name_there(), base.default_name());
        assert_ne!(older, default);
        assert_eq!(base.find(&store, None, None).await.unwrap(), (default.clone(), None));
        let record = base.record(older.clone(), None, BTreeMap::new()).unwrap();
        record.write(&store).await.unwrap();
        // As they wrote it: without limits.
        assert!(!serde_json::to_string(&record).unwrap().contains("limits"));
        assert_eq!(base.find(&store, None, None).await.unwrap(), (older, Some(record)));
        // They did not record limits: with some it is another run.
        let limits = PictureLimits { side_max: 1, ..PictureLimits::default() };
        let limited = Requested { limits, ..base.clone() };
        assert_eq!(limited.find(&store, None, None).await.unwrap(), (limited.default_name(), None));
        let other = Requested { fingerprint: "cd".repeat(32), ..base };
        assert_eq!(other.find(&store, None, None).await.unwrap().1, None);
    }
}
