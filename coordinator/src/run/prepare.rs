//! From what is asked for to what has to be done: data sets are listed, the headers of new pictures read, shards cut, and
//! what is there already found. The same for a command and for a coordinator.

use std::time::Instant;

use dqa_engine::decode::Limits;
use dqa_engine::headers;
use dqa_model::Views;
use dqa_pipelines::dataset::{self, Check, DatasetError, Definition};
use dqa_pipelines::limits::PictureLimits;
use dqa_pipelines::plan::Terms;
use dqa_pipelines::run::{DatasetSpec, RunRecord};
use dqa_pipelines::store::Store;

use super::select::{Selected, select};
use super::{Elsewhere, Roots, RunError, Work, index, measure};

/// What is to be scored, and how it is cut.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The data sets.
    pub definitions: Vec<Definition>,
    /// The algorithms whose pictures are scored; none: all.
    pub algorithms: Vec<String>,
    /// Score the hazy inputs too.
    pub with_hazy: bool,
    /// Score what is there of a matrix that is not complete.
    pub allow_missing: bool,
    /// Score pictures again that have no score.
    pub retry_failed: bool,
    /// Most windows of a shard.
    pub shard_windows: u64,
    /// Which parts of a picture are looked at.
    pub views: Views,
    /// What a picture may be.
    pub limits: PictureLimits,
    /// Of the model.
    pub fingerprint: String,
    /// Where pictures may be.
    pub roots: Roots,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A data set that cannot be listed.
    #[error("cannot load data set `{dataset}`")]
    Load {
        /// Its name.
        dataset: String,
        /// Why.
        #[source]
        source: DatasetError,
    },
    /// An algorithm that no data set has.
    #[error(transparent)]
    Algorithms(DatasetError),
    /// Algorithms that data sets lack.
    #[error("{what}")]
    Lacking {
        /// Which data sets lack which, with near names.
        what: String,
        /// Whether other data sets have all of them.
        may_be_left_out: bool,
    },
    /// No hazy inputs to score.
    #[error("--with-hazy: data set `{dataset}` names no hazy inputs of its pictures")]
    NoHazy {
        /// Its name.
        dataset: String,
    },
    /// A manifest that names pictures elsewhere.
    #[error("data set `{dataset}` cannot be read")]
    Elsewhere {
        /// Its name.
        dataset: String,
        /// What it names.
        #[source]
        source: Elsewhere,
    },
    /// A matrix with holes.
    #[error("data set `{dataset}` is not complete")]
    Incomplete {
        /// Its name.
        dataset: String,
    },
    /// Headers, or the store.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl PrepareError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            PrepareError::Incomplete { .. } => {
                Some("--allow-missing scores what is there; comparisons are then made on the scenes that both have")
            }
            PrepareError::Lacking { may_be_left_out: true, .. } => {
                Some("--allow-missing takes of each data set the algorithms that it has")
            }
            PrepareError::NoHazy { .. } => {
                Some("[hazy] in its definition names them, or a folder `hazy` beside the algorithms' has them")
            }
            PrepareError::Run(RunError::Headers { .. }) => Some("submit again: the headers that were read are kept"),
            _ => None,
        }
    }

    /// Whether another try may do better: a store did not answer.
    pub fn may_pass(&self) -> bool {
        match self {
            PrepareError::Load { source, .. } | PrepareError::Algorithms(source) => source.may_pass(),
            PrepareError::Incomplete { .. }
            | PrepareError::Elsewhere { .. }
            | PrepareError::Lacking { .. }
            | PrepareError::NoHazy { .. } => false,
            PrepareError::Run(error) => error.may_pass(),
        }
    }
}

/// Who is told how it goes.
pub trait Watch: Send {
    /// So many headers of a data set are still to be read.
    fn headers_left(&mut self, dataset: &str, left: usize);

    /// What is wrong with a data set.
    fn faults(&mut self, check: &Check);

    /// What is to be said of a data set with which nothing is wrong, a line at a time.
    fn remark(&mut self, dataset: &str, line: &str);
}

/// The work that is to be done, with what of it is done already.
///
/// # Errors
/// Data sets that cannot be had or are not complete; a store that fails.
pub async fn prepare(store: &Store, asked: &Asked, watch: &mut dyn Watch) -> Result<Work, PrepareError> {
    let mut loaded = Vec::new();
    for definition in &asked.definitions {
        let dataset = dataset::load(definition).await;
        loaded.push(dataset.map_err(|source| PrepareError::Load { dataset: definition.name.to_string(), source })?);
    }
    let mut measured = Vec::new();
    let limits = Limits::of(asked.limits, asked.views.side_min());
    for Selected { mut dataset, hazy } in select(loaded, asked, watch)? {
        let name = dataset.name.to_string();
        for address in dataset.pictures.iter().chain(&dataset.inputs).filter_map(|picture| picture.uri.as_deref()) {
            let elsewhere = |source| PrepareError::Elsewhere { dataset: name.clone(), source };
            asked.roots.check(without_fragment(address)).map_err(elsewhere)?;
        }
        let mut told = Instant::now();
        let index = index(store, &dataset, asked.limits.bytes_max, |left| {
            if told.elapsed() > TELL_EVERY {
                watch.headers_left(&name, left);
                told = Instant::now();
            }
        });
        let index = index.await?;
        let check = dataset::check(&dataset, &|picture| headers::judged(index.get(picture), picture, &limits));
        if !check.is_clean() {
            watch.faults(&check);
        } else {
            check.remarks().iter().for_each(|line| watch.remark(&name, line));
        }
        let is_absent = check.faults.iter().any(|fault| fault.kind.is_hole());
        if !asked.allow_missing && (check.counts.missing + check.counts.duplicate > 0 || is_absent) {
            return Err(PrepareError::Incomplete { dataset: name });
        }
        if let Some(rows) = hazy {
            dataset.add_hazy_rows(rows);
        }
        measured.push(measure(dataset, &index, &asked.views, asked.limits));
    }
    let terms = Terms { fingerprint: asked.fingerprint.clone(), limits: asked.limits };
    let mut work = Work::plan(measured, terms, asked.shard_windows);
    work.look(store).await.map_err(RunError::from)?;
    if asked.retry_failed {
        work.retry_failed();
    }
    Ok(work)
}

/// An address without the place in a tar that may be behind it.
fn without_fragment(address: &str) -> &str {
    if address.contains("://") { address.split('#').next().unwrap_or_default() } else { address }
}

/// Between two lines about headers.
const TELL_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// The data sets as the record has them.
pub fn dataset_specs(work: &Work) -> Vec<DatasetSpec> {
    let spec = |measured: &super::Measured| DatasetSpec {
        name: measured.dataset.name.clone(),
        root: measured.dataset.root.url().to_string(),
        algorithms: measured.dataset.algorithms(),
        protocol: measured.dataset.protocol.map(|protocol| protocol.to_string()),
        definition: measured.dataset.definition.clone(),
        hazy: measured.dataset.hazy_rows.clone(),
        seen_in_training: None,
    };
    work.datasets.iter().map(spec).collect()
}

/// What each part's footer says of the run that made it.
pub fn facts(record: &RunRecord) -> Vec<(String, String)> {
    let mut spec = record.spec.clone();
    // It names scenes, which are many for a footer, and the run's record has it.
    spec.datasets.iter_mut().for_each(|dataset| dataset.seen_in_training = None);
    let spec = serde_json::to_string(&spec).expect("a spec has text for keys");
    vec![("dqa.run".to_owned(), record.name.to_string()), ("dqa.spec".to_owned(), spec)]
}
