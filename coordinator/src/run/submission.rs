//! The submission of a run, to this process or to a coordinator. Both derive the run's name from it in the same way, so
//! that the same submission is the same run.
//!
//! The name does not depend on properties of the machine (the device's description, the number of threads).

use dqa_engine::models;
use dqa_model::Views;
use dqa_pipelines::dataset::{self, Definition};
use dqa_pipelines::digest;
use dqa_pipelines::metric::MetricSpec;
use dqa_pipelines::names::RunName;
use dqa_pipelines::picture_limits::PictureLimits;
use dqa_pipelines::run::{DatasetSpec, RunRecord, RunRecordError, RunSpec};
use dqa_pipelines::store::Store;

use super::allowed_roots::Roots;
use super::plan::RunPlan;
use super::request::PlanRequest;

/// The most bytes of the data sets' names in a run's name.
const DATASET_NAMES_BYTES_MAX: usize = 80;

/// A submission of a run.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Definitions of the data sets.
    pub definitions: Vec<Definition>,
    /// Algorithms whose pictures are scored; all if empty.
    pub algorithms: Vec<String>,
    /// Whether the hazy inputs are scored too.
    pub with_hazy: bool,
    /// The metrics.
    pub metrics: Vec<MetricSpec>,
    /// Whether metrics are left out for which a data set lacks the reference. If not, such a data set is an error.
    pub leaves_out_metrics: bool,
    /// The digest of the file in the store that has the metrics' parameters. None for the published ones.
    pub metric_parameters: Option<String>,
    /// The model, as the user named it. Empty, as are all settings of the model, if CLIP-DQA is not one of the metrics.
    pub model: String,
    /// The prompts, as the user named them.
    pub prompts: Option<String>,
    /// Which parts of a picture the model looks at.
    pub views: String,
    /// The class of arithmetic.
    pub dtype: String,
    /// Fingerprint of the model with its prompts, views and arithmetic: 64 digits.
    pub fingerprint: String,
    /// Description of the device, for the record.
    pub device: String,
    /// Most windows of a shard.
    pub shard_windows: u64,
    /// Largest picture that is scored.
    pub limits: PictureLimits,
    /// The user's remark about the model for the results. It replaces the built-in one.
    pub remark: Option<String>,
}

impl Submission {
    /// Returns the request for a plan. It neither allows missing pictures nor retries failed ones.
    pub fn plan_request(&self, views: Views, roots: Roots) -> PlanRequest {
        PlanRequest {
            definitions: self.definitions.clone(),
            algorithms: self.algorithms.clone(),
            with_hazy: self.with_hazy,
            allow_missing: false,
            retry_failed: false,
            shard_windows: self.shard_windows,
            views,
            limits: self.limits,
            metrics: self.metrics.clone(),
            leaves_out_metrics: self.leaves_out_metrics,
            metric_parameters: self.metric_parameters.clone(),
            roots,
        }
    }

    /// Returns the specification of the run, as its record has it before the data sets are listed.
    pub fn spec(&self) -> RunSpec {
        RunSpec {
            datasets: self.definitions.iter().map(DatasetSpec::requested).collect(),
            model: self.model.clone(),
            prompts: self.prompts.clone(),
            views: self.views.clone(),
            dtype: self.dtype.clone(),
            device: self.device.clone(),
            shard_windows_max: self.shard_windows,
            remark: self.remark.clone().or_else(|| models::remark(&self.model).map(str::to_owned)),
            limits: self.limits,
            metrics: if self.has_only_clip_dqa() { Vec::new() } else { self.metrics.clone() },
            metric_parameters: self.metric_parameters.clone(),
        }
    }

    fn has_only_clip_dqa(&self) -> bool {
        self.metrics.iter().all(MetricSpec::is_clip_dqa)
    }

    /// Returns the run's name if the user gives none: the same for the same submission, so that the run is resumed. It
    /// depends on what was submitted and not on what was found.
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
        // Runs of versions that had one metric keep their names.
        if !self.has_only_clip_dqa() {
            fields.extend(self.metrics.iter().map(|metric| format!("metric {} {}", metric.name, metric.fingerprint)));
        }
        self.name_from(&fields)
    }

    /// Finds the run that this submission resumes: the run with the given name, or else with the default name or with a
    /// name that an older version gave the same submission. Returns its name, and its record if there is one. `plan` is
    /// given if the data sets have been listed.
    ///
    /// # Errors
    /// If the store fails or a record is invalid.
    pub async fn find(
        &self,
        store: &Store,
        name: Option<&RunName>,
        plan: Option<&RunPlan>,
    ) -> Result<(RunName, Option<RunRecord>), RunRecordError> {
        if let Some(name) = name {
            return Ok((name.clone(), RunRecord::find(store, name).await?));
        }
        let default = self.default_name();
        let mut names = vec![default.clone()];
        // Earlier versions did not record limits.
        if self.limits.is_default() && !self.with_hazy && self.has_only_clip_dqa() {
            names.extend(plan.map(|plan| self.older_local_name(plan)));
            names.push(self.older_coordinator_name());
        }
        for name in names {
            let record = RunRecord::find(store, &name).await?;
            if let Some(record) = record.filter(|record| record.fingerprint == self.fingerprint) {
                return Ok((name, Some(record)));
            }
        }
        Ok((default, None))
    }

    /// Returns the name that earlier versions gave a local run: it depended on the algorithms that were found.
    fn older_local_name(&self, plan: &RunPlan) -> RunName {
        let mut fields = vec![self.fingerprint.clone()];
        for dataset in plan.dataset_specs() {
            fields.extend([dataset.name.to_string(), dataset.root]);
            fields.extend(dataset.algorithms.iter().map(ToString::to_string));
        }
        self.name_from(&fields)
    }

    /// Returns the name that earlier versions gave a coordinator's run: it depended on the whole definitions, and on
    /// the order of the algorithms.
    fn older_coordinator_name(&self) -> RunName {
        let definitions = self.definitions.iter().map(Definition::to_toml);
        let fields: Vec<String> = std::iter::once(self.fingerprint.clone())
            .chain(definitions)
            .chain(self.algorithms.iter().cloned())
            .collect();
        self.name_from(&fields)
    }

    fn name_from(&self, fields: &[String]) -> RunName {
        let mut hasher = blake3::Hasher::new();
        fields.iter().for_each(|text| digest::update_field(&mut hasher, text.as_bytes()));
        let mut names: Vec<&str> = self.definitions.iter().map(|definition| definition.name.as_str()).collect();
        names.sort_unstable();
        let mut text = names.join("+");
        text.truncate(DATASET_NAMES_BYTES_MAX);
        format!("{text}-{}", &hasher.finalize().to_hex()[..8]).parse().expect("names joined by + and - are a name")
    }
}

#[cfg(test)]
mod tests {
    use dqa_pipelines::dataset::ReferencesDefinition;

    use super::*;

    fn submission(root: &str) -> Submission {
        Submission {
            definitions: vec![Definition::new("haze".parse().unwrap(), root.to_owned())],
            algorithms: Vec::new(),
            with_hazy: false,
            metrics: vec![MetricSpec::clip_dqa(&"ab".repeat(32))],
            leaves_out_metrics: false,
            metric_parameters: None,
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
    fn a_default_name_depends_on_the_submission_alone() {
        let base = submission("s3://bucket/haze");
        let name = base.default_name();
        assert!(name.as_str().starts_with("haze-"), "{name}");
        let with = |change: &dyn Fn(&mut Submission)| {
            let mut other = base.clone();
            change(&mut other);
            other.default_name()
        };
        assert_eq!(with(&|r| r.device = "cuda".to_owned()), name);
        assert_eq!(with(&|r| r.definitions[0].root.push('/')), name);
        let clear = ReferencesDefinition { root: None, layout: "clear/{scene}.png".to_owned() };
        assert_eq!(with(&|r| r.definitions[0].clear = Some(clear.clone())), name);
        let niqe = MetricSpec::classic(dqa_metrics::Metric::Niqe, &dqa_metrics::Parameters::default());
        let changes: [&dyn Fn(&mut Submission); 8] = [
            &|r| r.metrics.push(niqe.clone()),
            &|r| r.metrics = vec![niqe.clone()],
            &|r| r.with_hazy = true,
            &|r| r.fingerprint = "cd".repeat(32),
            &|r| r.definitions[0].root.push('2'),
            &|r| r.algorithms = vec!["dcp".to_owned()],
            &|r| r.limits.pixels_max = 1,
            &|r| r.limits.side_max = 1,
        ];
        for (index, change) in changes.iter().enumerate() {
            assert_ne!(with(change), name, "{index}");
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
    async fn a_run_that_an_earlier_version_named_is_resumed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().to_str().unwrap(), std::path::Path::new("")).unwrap();
        let base = submission("s3://bucket/haze");
        let (older, default) = (base.older_coordinator_name(), base.default_name());
        assert_ne!(older, default);
        assert_eq!(base.find(&store, None, None).await.unwrap(), (default.clone(), None));
        let record = base.new_record(older.clone(), None, Default::default()).unwrap();
        record.write(&store).await.unwrap();
        // Earlier versions wrote records without limits.
        assert!(!serde_json::to_string(&record).unwrap().contains("limits"));
        assert_eq!(base.find(&store, None, None).await.unwrap(), (older, Some(record)));
        // With limits other than the default it is another run.
        let limits = PictureLimits { side_max: 1, ..PictureLimits::default() };
        let limited = Submission { limits, ..base.clone() };
        assert_eq!(limited.find(&store, None, None).await.unwrap(), (limited.default_name(), None));
        let other = Submission { fingerprint: "cd".repeat(32), ..base };
        assert_eq!(other.find(&store, None, None).await.unwrap().1, None);
    }
}
