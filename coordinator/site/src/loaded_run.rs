//! A run as its pages need it: record, state, the tables of its report, and, when a page first needs them, all its rows and
//! the references of its scenes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dqa_pages::{MetricRef, RunHeader, SceneRef, Segment};
use dqa_pipelines::metric::{CLIP_DQA, MetricSpec};
use dqa_pipelines::run::{DatasetSpec, RunState};
use dqa_pipelines::status::RunStatus;
use dqa_pipelines::store::Store;
use tokio::sync::{Mutex, OnceCell};

use crate::error::SiteError;
use crate::pictures::PictureFiles;
use crate::references::References;
use crate::run_rows::{DatasetRows, RunRows};
use crate::scatter_data::ScatterData;
use crate::table_files::ReportTables;

/// A run that is under way is read again after this time.
const ACTIVE_FRESH_FOR: Duration = Duration::from_secs(2);

/// A run.
pub(crate) struct LoadedRun {
    pub(crate) status: RunStatus,
    pub(crate) tables: ReportTables,
    pub(crate) metrics: Vec<MetricSpec>,
    /// The versions of the record's and the leaderboard's files.
    pub(crate) versions: [Option<String>; 2],
    pub(crate) scatters: Mutex<HashMap<(String, String), Arc<ScatterData>>>,
    loaded: Instant,
    rows: OnceCell<Arc<RunRows>>,
    references: OnceCell<HashMap<String, References>>,
}

impl LoadedRun {
    pub(crate) fn new(status: RunStatus, tables: ReportTables, versions: [Option<String>; 2]) -> LoadedRun {
        LoadedRun {
            metrics: status.record.metrics(),
            status,
            tables,
            versions,
            scatters: Mutex::default(),
            loaded: Instant::now(),
            rows: OnceCell::new(),
            references: OnceCell::new(),
        }
    }

    /// Takes over the rows of an earlier reading if no part has come since.
    pub(crate) fn with_rows_of(self, earlier: &LoadedRun) -> LoadedRun {
        let is_same = self.status.record.parts == earlier.status.record.parts
            && self.status.progress.parts_done == earlier.status.progress.parts_done
            && self.versions == earlier.versions;
        match earlier.rows.get().filter(|_| is_same) {
            Some(rows) => LoadedRun { rows: OnceCell::new_with(Some(rows.clone())), ..self },
            None => self,
        }
    }

    /// Returns whether the run is worth reading again although its files have not changed: its parts come without that.
    pub(crate) fn is_stale(&self) -> bool {
        let is_under_way = matches!(self.status.state, RunState::Planning | RunState::Running);
        is_under_way && self.loaded.elapsed() > ACTIVE_FRESH_FOR
    }

    /// Returns what all pages of the run show.
    pub(crate) fn header(&self) -> RunHeader {
        let record = &self.status.record;
        let metric = |metric: &MetricSpec| MetricRef {
            name: metric.name.to_string(),
            direction: metric.direction,
            title: metric.classic_metric().map(|metric| metric.title().to_owned()),
        };
        RunHeader {
            name: record.name.to_string(),
            state: self.status.state,
            created: record.created,
            datasets: record.spec.dataset_names().into_iter().map(str::to_owned).collect(),
            has_overall: self.tables.leaderboard.iter().any(|row| row.dataset.is_none()),
            metrics: self.metrics.iter().map(metric).collect(),
            failed: self.status.progress.failed,
            remark: record.spec.remark.clone(),
        }
    }

    /// Returns all rows that are in the store. The first call reads them.
    pub(crate) async fn rows(&self, store: &Store) -> Result<&Arc<RunRows>, SiteError> {
        let read = || async { Ok(Arc::new(RunRows::read(store, &self.status.record).await?)) };
        self.rows.get_or_try_init(read).await
    }

    /// Returns the rows of a data set.
    pub(crate) async fn dataset_rows(&self, store: &Store, dataset: &str) -> Result<&DatasetRows, SiteError> {
        let missing = || SiteError::NotFound(format!("No picture of data set `{dataset}` has been scored yet."));
        self.find_dataset_rows(store, dataset).await?.ok_or_else(missing)
    }

    /// Returns the rows of a data set. None if none is in the store yet.
    pub(crate) async fn find_dataset_rows(
        &self,
        store: &Store,
        dataset: &str,
    ) -> Result<Option<&DatasetRows>, SiteError> {
        Ok(self.rows(store).await?.datasets.get(dataset))
    }

    /// Returns the hazy and clear pictures of a data set's scenes. There are none if they cannot be listed.
    pub(crate) async fn references(&self, dataset: &str, files: &PictureFiles) -> &References {
        let read = || async {
            let mut references = HashMap::new();
            for spec in &self.status.record.spec.datasets {
                references.insert(
                    spec.name.to_string(),
                    References::read(&self.status.record, spec, files.load_policy()).await,
                );
            }
            references
        };
        &self.references.get_or_init(read).await[dataset]
    }

    pub(crate) fn dataset(&self, segment: &Segment) -> Result<&DatasetSpec, SiteError> {
        let mut datasets = self.status.record.spec.datasets.iter();
        let missing = || SiteError::NotFound(format!("The run has no data set {segment}."));
        datasets.find(|dataset| segment.is_of(dataset.name.as_str())).ok_or_else(missing)
    }

    /// Returns a metric with its index in the run.
    pub(crate) fn metric(&self, segment: &Segment) -> Result<(usize, &MetricSpec), SiteError> {
        let mut metrics = self.metrics.iter().enumerate();
        let missing = || SiteError::NotFound(format!("The run has no metric {segment}."));
        metrics.find(|(_, metric)| segment.is_of(metric.name.as_str())).ok_or_else(missing)
    }

    /// Returns the name under which a data set's hazy inputs are scored.
    pub(crate) fn hazy_algorithm(&self, dataset: &str) -> Option<&str> {
        let spec = self.status.record.spec.datasets.iter().find(|spec| spec.name.as_str() == dataset)?;
        spec.hazy.as_ref().map(|name| name.as_str())
    }
}

/// Returns the metric of a row of a table. Tables of versions that had one metric lack its name.
pub(crate) fn metric_name(metric: &Option<String>) -> &str {
    metric.as_deref().unwrap_or(CLIP_DQA)
}

/// Returns the scene of a segment pair.
pub(crate) fn find_scene<'r>(rows: &'r DatasetRows, group: Option<&Segment>, scene: &Segment) -> Option<&'r SceneRef> {
    let named = |segment: &Segment| segment.name();
    let exact = match (group.map(named), named(scene)) {
        (Some(None), _) | (_, None) => None,
        (group, Some(name)) => Some(SceneRef { group: group.flatten(), name }),
    };
    match exact {
        Some(exact) => rows.scene(&exact).map(|index| &rows.scenes[index]),
        // A cut segment has no name: compare with all.
        None => rows.scenes.iter().find(|known| {
            scene.is_of(&known.name)
                && match (group, &known.group) {
                    (None, None) => true,
                    (Some(segment), Some(group)) => segment.is_of(group),
                    _ => false,
                }
        }),
    }
}
