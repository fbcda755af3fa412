//! Options of a ranking.

use super::comparison::SignificanceTest;

/// How algorithms are compared.
#[derive(Clone, Copy, Debug)]
pub struct RankOptions {
    /// The test of differences.
    pub test: SignificanceTest,
    /// The nominal coverage of intervals. A difference is significant if its corrected p-value is below 1 less this
    /// level.
    pub level: f64,
    /// The number of sign flips that are drawn if there are too many to enumerate.
    pub draws: u32,
    /// The seed of the draws.
    pub seed: u64,
    /// The largest difference that counts as equivalent, in the unit of the scores. `None` skips the equivalence test.
    pub equivalence_margin: Option<f64>,
}

impl Default for RankOptions {
    fn default() -> Self {
        RankOptions { test: SignificanceTest::default(), level: 0.95, draws: 9_999, seed: 0, equivalence_margin: None }
    }
}
