//! Sums over the rows of a scene, from which jackknife and bootstrap add up PLCC, RMSE and pairwise accuracy of any
//! choice of scenes without reading the rows again.

use crate::columns::{Columns, SortedColumns};
use crate::kendall::PairCounts;
use crate::pearson::{ColumnScale, Moments};

/// Sums over the rows of a scene, or of several scenes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SceneSums {
    pub(crate) moments: Moments,
    squared_errors: f64,
    /// Pairs that score and label order alike, pairs of equal score counting half.
    concordant_pairs: f64,
    /// Pairs with different labels.
    pairs: f64,
    /// The sum of the rows' influence on SRCC: the change of SRCC times the number of all rows. Only the linearised
    /// bootstrap sets it.
    pub(crate) srcc_influence: f64,
    /// The same for KRCC.
    pub(crate) krcc_influence: f64,
}

impl SceneSums {
    /// Returns the sums of each scene, in ascending order of scene ids. `pairs` are the pairs within each scene.
    pub(crate) fn by_scene(table: &SortedColumns<'_>, pairs: &[PairCounts]) -> Vec<SceneSums> {
        let Columns { score, mos, .. } = table.columns;
        let (score_scale, mos_scale) = (ColumnScale::from_values(score), ColumnScale::from_values(mos));
        let scene_sums = |(rows, pairs): (&[u32], &PairCounts)| {
            let accuracy = pairs.accuracy();
            let mut sums = SceneSums {
                concordant_pairs: accuracy.agree as f64 + accuracy.tied as f64 / 2.0,
                pairs: (accuracy.agree + accuracy.disagree + accuracy.tied) as f64,
                ..SceneSums::default()
            };
            for &row in rows {
                let (score, mos) = (score[row as usize], mos[row as usize]);
                sums.moments.add_row(score_scale.to_unit(score), mos_scale.to_unit(mos));
                sums.squared_errors += (score - mos) * (score - mos);
            }
            sums
        };
        table.scene.groups().zip(pairs).map(scene_sums).collect()
    }

    /// Returns the sums over scenes that occur `counts` times.
    pub(crate) fn weighted(scenes: &[SceneSums], counts: &[u32]) -> SceneSums {
        let mut total = SceneSums::default();
        for (sums, &count) in scenes.iter().zip(counts) {
            total.add(sums, count.into());
        }
        total
    }

    pub(crate) fn add(&mut self, other: &SceneSums, weight: f64) {
        self.moments.add_weighted(&other.moments, weight);
        self.squared_errors += weight * other.squared_errors;
        self.concordant_pairs += weight * other.concordant_pairs;
        self.pairs += weight * other.pairs;
        self.srcc_influence += weight * other.srcc_influence;
        self.krcc_influence += weight * other.krcc_influence;
    }

    /// Returns the sums over the scenes of both.
    pub(crate) fn plus(mut self, other: &SceneSums) -> SceneSums {
        self.add(other, 1.0);
        self
    }

    pub(crate) fn plcc(&self) -> Option<f64> {
        self.moments.plcc()
    }

    pub(crate) fn rmse(&self) -> Option<f64> {
        (self.moments.n > 0.0).then(|| (self.squared_errors / self.moments.n).sqrt())
    }

    pub(crate) fn pairwise_accuracy(&self) -> Option<f64> {
        (self.pairs > 0.0).then(|| self.concordant_pairs / self.pairs)
    }
}
