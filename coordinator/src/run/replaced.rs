//! What a request would take away from the run whose name it has. More of the same goes on under the name; anything else is
//! another run, which needs another name.

use std::collections::{BTreeMap, BTreeSet};

use dqa_pipelines::names::{AlgorithmName, DatasetName, RunName};
use dqa_pipelines::run::RunRecord;

use super::{Requested, Work};

/// A run of the same name that is not what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("run `{run}` of {created} is another run: {differs}")]
pub struct OtherRun {
    run: RunName,
    created: String,
    differs: String,
}

impl OtherRun {
    /// What to do about it.
    pub const HINT: &'static str =
        "give this one another --name; a run goes on if all that it has is asked for, with or without more";
}

/// Checks that a request has all that the run of its name has.
pub(super) fn check(requested: &Requested, earlier: &RunRecord) -> Result<(), OtherRun> {
    let mut differs = Vec::new();
    if earlier.fingerprint != requested.fingerprint {
        let unlike = earlier.spec.differs(&requested.spec());
        if unlike.is_empty() { differs.push("the content of the model".to_owned()) } else { differs.extend(unlike) }
    }
    differs.extend(dropped_from(requested, earlier));
    if differs.is_empty() {
        return Ok(());
    }
    let created = earlier.created.strftime("%Y-%m-%d %H:%M").to_string();
    Err(OtherRun { run: earlier.name.clone(), created, differs: differs.join(", ") })
}

/// What a run has rows of: those of its plan.
fn algorithms(record: &RunRecord) -> BTreeMap<&DatasetName, BTreeSet<&AlgorithmName>> {
    let mut algorithms: BTreeMap<&DatasetName, BTreeSet<&AlgorithmName>> = BTreeMap::new();
    for part in &record.parts {
        algorithms.entry(&part.dataset).or_default().insert(&part.algorithm);
    }
    algorithms
}

fn dropped_from(requested: &Requested, earlier: &RunRecord) -> Vec<String> {
    let mut differs = Vec::new();
    let algorithms = algorithms(earlier);
    let names: BTreeSet<&DatasetName> = requested.definitions.iter().map(|definition| &definition.name).collect();
    if algorithms.keys().any(|name| !names.contains(*name)) {
        differs.push(format!("data sets ({} and {})", joined(algorithms.keys()), joined(&names)));
    }
    let is_all = requested.algorithms.is_empty() || requested.algorithms.iter().any(|name| name == "all");
    for (dataset, has) in algorithms.iter().filter(|(name, _)| names.contains(*name)) {
        let spec = earlier.spec.datasets.iter().find(|spec| spec.name == **dataset);
        let hazy = spec.and_then(|spec| spec.hazy.as_ref());
        if hazy.is_some() && !requested.with_hazy {
            differs.push(format!("the hazy inputs of {dataset} (--with-hazy and without)"));
        }
        let is_hazy =
            |name: &AlgorithmName| Some(name) == hazy || requested.with_hazy && name.as_str().starts_with("hazy");
        let is_asked = |name: &AlgorithmName| requested.algorithms.iter().any(|asked| asked == name.as_str());
        let ranked: BTreeSet<_> = has.iter().filter(|name| !is_hazy(name)).collect();
        if !is_all && ranked.iter().any(|name| !is_asked(name)) {
            let asked: BTreeSet<&String> = requested.algorithms.iter().collect();
            differs.push(format!("algorithms of {dataset} ({} and {})", joined(ranked), joined(asked)));
        }
    }
    differs
}

fn joined<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    names.join(", ")
}

/// Returns what a run had that its new plan lacks, in lines for people: a folder that went away, or is no algorithm's any more.
pub fn dropped(earlier: &RunRecord, work: &Work) -> Vec<String> {
    let mut lines = Vec::new();
    for (dataset, had) in algorithms(earlier) {
        let Some(data) = work.datasets.iter().map(|measured| &measured.dataset).find(|data| data.name == *dataset)
        else {
            lines.push(format!("run {} had rows of data set {dataset}, and has none now", earlier.name));
            continue;
        };
        let has = data.algorithms();
        for name in had.into_iter().filter(|name| !has.contains(name)) {
            let is_apart = data.set_apart.iter().any(|folder| folder.name == *name);
            let why = if is_apart {
                format!("it is taken for no algorithm now: --algos all,{name} --name NAME ranks it in a run of its own")
            } else {
                "the data set has it no more".to_owned()
            };
            lines.push(format!("run {} had ranked `{name}` of data set {dataset}: {why}", earlier.name));
        }
    }
    lines
}
