//! Agreement of scores with labels, and how sure it is. Pure: plain slices in, numbers out; no tables, no clock, and
//! chance only from a seed, the same for any number of threads.
//!
//! Everything is signed: callers give labels turned so that higher is better, and no measure is made positive here. A
//! measure that is not defined (fewer than two rows, a side that is constant) is `None`. Values are never NaN: leaving
//! such rows out is the caller's decision, so a NaN is a panic.

#![expect(clippy::todo, reason = "signatures for the reports; bodies follow")]
#![expect(missing_docs, reason = "signatures for the reports; bodies follow")]

pub fn srcc(_x: &[f64], _y: &[f64]) -> Option<f64> {
    todo!()
}
pub fn krcc(_x: &[f64], _y: &[f64]) -> Option<f64> {
    todo!()
}
pub fn plcc(_x: &[f64], _y: &[f64]) -> Option<f64> {
    todo!()
}
pub fn rmse(_x: &[f64], _y: &[f64]) -> Option<f64> {
    todo!()
}

/// Rows' columns, of equal lengths.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    pub score: &'a [f64],
    pub mos: &'a [f64],
    /// Numbers of scenes; which ones does not matter, only where they are equal.
    pub scene: &'a [u32],
}

/// Of pairs of one scene's pictures whose labels differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairwiseAccuracy {
    pub agree: u64,
    pub disagree: u64,
    /// Pairs of equal score: each counts half.
    pub tied: u64,
}
impl PairwiseAccuracy {
    /// 0 to 1.
    pub fn value(&self) -> f64 {
        todo!()
    }
}
pub fn pairwise_accuracy(_columns: &Columns<'_>) -> Option<PairwiseAccuracy> {
    todo!()
}

/// Mean of `values` for each number in `keys`, in the order of the numbers: (number, mean).
pub fn mean_by(_keys: &[u32], _values: &[f64]) -> Vec<(u32, f64)> {
    todo!()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logistic {
    Four,
    Five,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FitStatus {
    Converged,
    NotConverged,
    /// Not more rows than parameters.
    TooFewRows,
    /// Scores or labels are all the same.
    Constant,
}
impl FitStatus {
    pub fn as_str(self) -> &'static str {
        todo!()
    }
}
#[derive(Clone, Debug)]
pub struct Fit {
    pub logistic: Logistic,
    pub status: FitStatus,
    /// b1.. in the units of the rows; empty where nothing was fitted.
    pub parameters: Vec<f64>,
    pub plcc: Option<f64>,
    pub rmse: Option<f64>,
}
impl Fit {
    /// The fitted label of a score; None where nothing was fitted.
    pub fn at(&self, _score: f64) -> Option<f64> {
        todo!()
    }
}
pub fn fit(_logistic: Logistic, _x: &[f64], _y: &[f64]) -> Fit {
    todo!()
}

#[derive(Clone, Copy, Debug)]
pub struct Bootstrap {
    pub replicates: u32,
    pub seed: u64,
    pub level: f64,
}
impl Default for Bootstrap {
    fn default() -> Self {
        Bootstrap { replicates: 1000, seed: 0, level: 0.95 }
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntervalMethod {
    Bootstrap,
    LinearisedBootstrap,
}
impl IntervalMethod {
    pub fn as_str(self) -> &'static str {
        todo!()
    }
}
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    pub method: IntervalMethod,
}
/// A measure and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    /// None with fewer than two scenes, and where most replicates have no value.
    pub interval: Option<Interval>,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Intervals {
    pub rows: u64,
    pub scenes: u64,
    pub srcc: Option<Estimate>,
    pub krcc: Option<Estimate>,
    pub plcc: Option<Estimate>,
    pub rmse: Option<Estimate>,
    pub pairwise_accuracy: Option<Estimate>,
}
pub fn intervals(_columns: &Columns<'_>, _bootstrap: &Bootstrap) -> Intervals {
    todo!()
}

/// Scores of algorithms (rows) for scenes (columns), row-major; NaN: the algorithm has no picture of the scene.
#[derive(Clone, Copy, Debug)]
pub struct SceneScores<'a> {
    pub algorithms: usize,
    pub scenes: usize,
    pub scores: &'a [f64],
}
/// An algorithm's place in a leaderboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its row in [`SceneScores`].
    pub algorithm: usize,
    /// 1 is best.
    pub rank: u32,
    /// 1 + the algorithms that are significantly better.
    pub rank_best: u32,
    /// The last rank less the algorithms that are significantly worse.
    pub rank_worst: u32,
    /// Scenes that it has.
    pub scenes: u64,
    /// Over its scenes; None where it has none.
    pub mean: Option<Estimate>,
    /// Letters: two that share one are not significantly different.
    pub groups: String,
}
/// Two algorithms over the scenes that both have: Wilcoxon's signed-rank test.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub first: usize,
    pub second: usize,
    pub scenes: u64,
    /// First less second.
    pub mean_difference: f64,
    /// Two-sided.
    pub p: f64,
    /// Holm's correction over all pairs.
    pub p_corrected: f64,
    pub significant: bool,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Best first.
    pub standings: Vec<Standing>,
    /// Every pair once.
    pub comparisons: Vec<Comparison>,
}
pub fn rank(_scores: &SceneScores<'_>, _bootstrap: &Bootstrap) -> Ranking {
    todo!()
}

/// SRCC, KRCC, PLCC and RMSE by exBeDDE's protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExbeddeMeasures {
    pub srcc: f64,
    pub krcc: f64,
    pub plcc: f64,
    pub rmse: f64,
}
#[derive(Clone, Debug)]
pub struct ExbeddeCity {
    /// The city's number, from `city`.
    pub city: u32,
    /// Hazy groups in the mean; those where a measure is not defined are left out.
    pub scenes: u64,
    pub measures: ExbeddeMeasures,
}
#[derive(Clone, Debug)]
pub struct Exbedde {
    pub fit: Fit,
    /// Hazy groups (scenes) in which a measure is not defined.
    pub undefined: u64,
    /// By number.
    pub cities: Vec<ExbeddeCity>,
    /// Mean of the cities; None where there is none.
    pub mean: Option<ExbeddeMeasures>,
}
/// `city`: of each row.
pub fn exbedde(_columns: &Columns<'_>, _city: &[u32]) -> Exbedde {
    todo!()
}
