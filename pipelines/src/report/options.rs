//! How a report is computed: the kind of intervals, the test of differences and their seed.

use dqa_stats::{Bootstrap, RankOptions, Resampling, SignificanceTest};

use super::error::ReportError;
use crate::run::{REPLICATES_MIN, ReportIntervals, RunRecord};

/// The confidence level of all intervals and tests.
pub(super) const LEVEL: f64 = 0.95;

/// The options of a report. A coordinator receives them as JSON and refuses unknown keys.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportOptions {
    /// How the intervals of correlations are computed.
    pub intervals: ReportIntervals,
    /// Number of bootstrap draws. Unused with the jackknife.
    pub replicates: u32,
    /// Seed of all random draws: the same seed gives the same report.
    pub seed: u32,
    /// The test of the difference between two algorithms.
    pub test: SignificanceTest,
    /// The largest score difference that does not matter. If it is given, the report also tests whether algorithms are equivalent.
    pub margin: Option<f64>,
}

impl Default for ReportOptions {
    fn default() -> Self {
        ReportOptions {
            intervals: ReportIntervals::Jackknife,
            replicates: 10_000,
            seed: 0,
            test: SignificanceTest::default(),
            margin: None,
        }
    }
}

impl ReportOptions {
    /// Returns the options that were requested from a coordinator with the run, or the defaults if a single command made the run.
    pub fn from_run(record: &RunRecord) -> ReportOptions {
        record.request.as_ref().map_or_else(ReportOptions::default, |request| ReportOptions {
            intervals: request.intervals,
            replicates: request.replicates,
            seed: request.seed,
            ..ReportOptions::default()
        })
    }

    /// Returns an error if the options cannot give an interval.
    pub(super) fn check(&self) -> Result<(), ReportError> {
        match (self.intervals, self.replicates) {
            (ReportIntervals::Bootstrap, replicates) if replicates < REPLICATES_MIN => {
                Err(ReportError::TooFewReplicates(replicates))
            }
            _ => Ok(()),
        }
    }

    fn bootstrap(&self) -> Bootstrap {
        Bootstrap { replicates: self.replicates, seed: self.seed.into(), level: LEVEL }
    }

    pub(super) fn resampling(&self) -> Resampling {
        match self.intervals {
            ReportIntervals::Jackknife => Resampling::Jackknife { level: LEVEL },
            ReportIntervals::Bootstrap => Resampling::Bootstrap(self.bootstrap()),
        }
    }

    pub(super) fn ranking(&self) -> RankOptions {
        RankOptions {
            test: self.test,
            seed: self.seed.into(),
            level: LEVEL,
            equivalence_margin: self.margin,
            ..RankOptions::default()
        }
    }
}
