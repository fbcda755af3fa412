//! The evaluation protocol of exBeDDE, as in its authors' `assess_IQA_metric.m`: within each hazy group (the outputs of
//! ten algorithms for one hazy picture) SRCC and KRCC of the scores, and PLCC and RMSE of a five-parameter logistic
//! that is fitted to the group; then the mean over the groups of each city, then the mean over cities.

use crate::columns::Columns;
use crate::dense_ranks::DenseRanks;
use crate::estimate::{
    Estimate, Interval, IntervalMethod, NoInterval, SCENES_MIN, Scale, StandardError, combine_standard_errors,
    mean_estimate,
};
use crate::kendall::krcc;
use crate::logistic::{FitStatus, Logistic, LogisticFit, WeightedRows};
use crate::pearson::plcc;
use crate::spearman::srcc;

/// Groups with fewer pictures are left out: five parameters fit any five pictures exactly, so noise would have a PLCC
/// of 1. The authors' groups have ten pictures.
pub const GROUP_PICTURES_MIN: usize = 6;

/// The protocol's measures in the order SRCC, KRCC, PLCC, RMSE. PLCC and RMSE are those of the fitted scores; RMSE is
/// in the unit of the labels.
pub type ExbeddeMeasures = [Estimate; 4];

/// The result for one city.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExbeddeCity {
    /// The caller's id of the city.
    pub city: u32,
    /// The groups that the measures cover, and those that were left out.
    pub counts: ExbeddeCounts,
    /// The means over the groups, with Student's interval over groups; `None` if no group has measures.
    pub measures: Option<ExbeddeMeasures>,
}

/// Counts of hazy groups and their pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExbeddeCounts {
    /// Groups that the means cover.
    pub scenes: u64,
    /// Pictures of these groups.
    pub pictures: u64,
    /// Those of these groups whose fit did not converge.
    pub not_converged: u64,
    /// Groups left out because they have fewer than [`GROUP_PICTURES_MIN`] pictures.
    pub too_small: u64,
    /// Groups left out because their scores or their labels are all equal.
    pub constant: u64,
}

impl ExbeddeCounts {
    fn add(&mut self, other: &ExbeddeCounts) {
        self.scenes += other.scenes;
        self.pictures += other.pictures;
        self.not_converged += other.not_converged;
        self.too_small += other.too_small;
        self.constant += other.constant;
    }
}

/// The result of the protocol.
#[derive(Clone, Debug, PartialEq)]
pub struct Exbedde {
    /// The result for each city, in ascending order of city id.
    pub cities: Vec<ExbeddeCity>,
    /// The counts over all cities.
    pub counts: ExbeddeCounts,
    /// The mean over the cities that have measures, each with equal weight; `None` without such a city. The cities
    /// count as fixed: the interval is over the groups within them.
    pub mean: Option<ExbeddeMeasures>,
}

/// Computes the measures of exBeDDE's protocol. The table's scenes are the hazy groups; `city` is the city of each row,
/// as an id of the caller's choice; `level` is the nominal coverage of the intervals.
///
/// REFERENCE: a curve with five parameters fits about ten pictures closely whatever they are, and where its only start,
/// all ones, leads depends on the scale of the scores. PLCC and RMSE of this protocol are comparable with published
/// values, not with those of a pooled fit; PLCC has no sign, as published.
///
/// # Panics
/// If a value is NaN or the lengths differ.
pub fn exbedde(columns: &Columns<'_>, city: &[u32], level: f64) -> Exbedde {
    columns.assert_equal_lengths();
    assert_eq!(city.len(), columns.score.len(), "columns have unequal lengths");
    let mut result = Exbedde { cities: Vec::new(), counts: ExbeddeCounts::default(), mean: None };
    let mut groups_by_city = Vec::new();
    for rows in DenseRanks::from_ids(city).groups() {
        let scene: Vec<u32> = rows.iter().map(|&row| columns.scene[row as usize]).collect();
        let (score, mos) = (select(columns.score, rows), select(columns.mos, rows));
        let (groups, counts) = measure_groups(&Columns { score: &score, mos: &mos, scene: &scene });
        let groups: Vec<[f64; 4]> = groups.into_iter().flatten().collect();
        result.counts.add(&counts);
        let measures = for_each_measure(|measure| mean_estimate(&group_values(&groups, measure), level));
        result.cities.push(ExbeddeCity { city: city[rows[0] as usize], counts, measures });
        if !groups.is_empty() {
            groups_by_city.push(groups);
        }
    }
    result.mean = for_each_measure(|measure| {
        let values: Vec<Vec<f64>> = groups_by_city.iter().map(|groups| group_values(groups, measure)).collect();
        mean_over_cities(&values, level)
    });
    result
}

pub(crate) fn select(column: &[f64], rows: &[u32]) -> Vec<f64> {
    rows.iter().map(|&row| column[row as usize]).collect()
}

/// Returns the measures of each group in ascending order of scene ids, `None` for a group without them, and the counts of
/// all groups.
pub(crate) fn measure_groups(columns: &Columns<'_>) -> (Vec<Option<[f64; 4]>>, ExbeddeCounts) {
    let (mut groups, mut counts) = (Vec::new(), ExbeddeCounts::default());
    for rows in DenseRanks::from_ids(columns.scene).groups() {
        let (score, mos) = (select(columns.score, rows), select(columns.mos, rows));
        let fit = fit_from_ones(&score, &mos);
        match (srcc(&score, &mos), krcc(&score, &mos), fit.plcc, fit.rmse) {
            (Some(srcc), Some(krcc), Some(plcc), Some(rmse)) => {
                counts.scenes += 1;
                counts.pictures += rows.len() as u64;
                counts.not_converged += u64::from(fit.status == FitStatus::NotConverged);
                groups.push(Some([srcc, krcc, plcc, rmse]));
            }
            _ => {
                let is_small = fit.status == FitStatus::TooFewRows;
                *(if is_small { &mut counts.too_small } else { &mut counts.constant }) += 1;
                groups.push(None);
            }
        }
    }
    (groups, counts)
}

fn for_each_measure(estimate: impl Fn(usize) -> Option<Estimate>) -> Option<ExbeddeMeasures> {
    Some([estimate(0)?, estimate(1)?, estimate(2)?, estimate(3)?])
}

fn group_values(groups: &[[f64; 4]], measure: usize) -> Vec<f64> {
    groups.iter().map(|group| group[measure]).collect()
}

/// Returns the stratified mean of the groups' values: the standard errors of the cities' means are combined. Each city has
/// a group.
pub(crate) fn mean_over_cities(cities: &[Vec<f64>], level: f64) -> Option<Estimate> {
    if cities.is_empty() {
        return None;
    }
    let count = cities.len() as f64;
    let (mut value, mut parts, mut groups) = (0.0, Vec::new(), 0);
    for values in cities {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        value += mean / count;
        groups += values.len();
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / (n - 1.0) / n).sqrt();
        parts.push((1.0 / count, StandardError { error, degrees_of_freedom: n - 1.0 }));
    }
    let has_error = groups >= SCENES_MIN && cities.iter().all(|city| city.len() > 1);
    let combined = combine_standard_errors(parts.into_iter());
    let interval = if !has_error {
        Err(NoInterval::TooFewScenes)
    } else if combined.error > 0.0 {
        Ok(Interval::student(value, combined, Scale::Plain, level, IntervalMethod::StudentT))
    } else {
        Err(NoInterval::Constant)
    };
    Some(Estimate { value, interval })
}

/// Fits the five-parameter curve by one descent from all ones, with the rows as they are: as the authors call MATLAB's
/// `fitnlm`.
fn fit_from_ones(x: &[f64], y: &[f64]) -> LogisticFit {
    if x.len() < GROUP_PICTURES_MIN {
        return LogisticFit::not_fitted(Logistic::Five, FitStatus::TooFewRows);
    }
    if plcc(x, y).is_none() {
        return LogisticFit::not_fitted(Logistic::Five, FitStatus::Constant);
    }
    let rows = WeightedRows { x, y, weight: &vec![1.0; x.len()] };
    let (parameters, status) = rows.descend(Logistic::Five, vec![1.0; 5]);
    LogisticFit::from_parameters(Logistic::Five, status, parameters, x, y)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups of ten in two cities. The numbers come from SciPy's `spearmanr`, `kendalltau` and `leastsq` from
    /// ones.
    #[test]
    fn groups_are_fitted_separately_and_cities_have_equal_weight() {
        let (mut score, mut mos, mut scene, mut city) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for group in 0..3_u32 {
            for i in 0..10_u32 {
                let x = f64::from((i * 7 + group * 3) % 10) / 9.0 * 4.0 - 1.0 + 0.01 * f64::from(i);
                let noise = f64::from((i * 13 + group * 5) % 7) - 3.0;
                score.push(x);
                mos.push(0.5 + 0.35 * (1.1 * (x - 0.8)).tanh() + noise * 0.03);
                scene.push(group);
                city.push(group / 2);
            }
        }
        let result = exbedde(&Columns { score: &score, mos: &mos, scene: &scene }, &city, 0.95);
        let counts = ExbeddeCounts { scenes: 3, pictures: 30, ..ExbeddeCounts::default() };
        assert_eq!(result.counts, counts);
        assert_eq!(result.cities.iter().map(|city| city.counts.scenes).collect::<Vec<_>>(), [2, 1]);
        let expected = [0.9303030303030302, 0.8222222222222222, 0.9790846250574463, 0.05411851705134675];
        for (estimate, expected) in result.mean.unwrap().iter().zip(expected) {
            assert!((estimate.value - expected).abs() < 1e-5, "{estimate:?}, expected {expected}");
            assert_eq!(estimate.interval, Err(NoInterval::TooFewScenes));
        }
    }

    /// Two cities of 6 and 4 groups of ten pictures.
    #[test]
    fn intervals_are_over_groups_within_cities() {
        let (mut score, mut mos, mut scene, mut city) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for group in 0..10_u32 {
            for i in 0..10_u32 {
                score.push(f64::from((i * 7 + group * 3) % 10) + 0.1 * f64::from(i));
                mos.push(f64::from((i * 7 + group * 3) % 10) + f64::from((i * 13 + group * 5) % 7));
                scene.push(group);
                city.push(group / 6);
            }
        }
        let result = exbedde(&Columns { score: &score, mos: &mos, scene: &scene }, &city, 0.95);
        let group_srcc = |groups: std::ops::Range<usize>| -> Vec<f64> {
            groups.map(|group| srcc(&score[group * 10..][..10], &mos[group * 10..][..10]).unwrap()).collect()
        };
        let (first, second) = (group_srcc(0..6), group_srcc(6..10));
        let variance = |values: &[f64]| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
        };
        let mean = result.mean.unwrap()[0].interval.unwrap();
        assert!((mean.standard_error - (variance(&first) + variance(&second)).sqrt() / 2.0).abs() < 1e-12);
        // Welch's degrees of freedom.
        let (a, b) = (variance(&first), variance(&second));
        assert!((mean.degrees_of_freedom - (a + b).powi(2) / (a * a / 5.0 + b * b / 3.0)).abs() < 1e-9);
        let srcc_freedom =
            |city: &ExbeddeCity| city.measures.unwrap()[0].interval.map(|interval| interval.degrees_of_freedom);
        let cities: Vec<_> = result.cities.iter().map(srcc_freedom).collect();
        assert_eq!(cities, [Ok(5.0), Err(NoInterval::TooFewScenes)]);
    }

    #[test]
    fn groups_without_measures_are_counted_by_reason_and_left_out() {
        let five = [1.0, 2.0, 3.0, 4.0, 5.0];
        let score = [&five[..], &[2.0; 6], &[1.0, 3.0, 2.0, 5.0, 4.0, 6.0]].concat();
        let mos = [&five[..], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]].concat();
        let scene: Vec<u32> = [vec![0; 5], vec![1; 6], vec![2; 6]].concat();
        let columns = Columns { score: &score, mos: &mos, scene: &scene };
        let result = exbedde(&columns, &[3; 17], 0.95);
        let ExbeddeCounts { scenes, pictures, too_small, constant, .. } = result.counts;
        assert_eq!((scenes, pictures, too_small, constant), (1, 6, 1, 1));
        let none = exbedde(&Columns { score: &five, mos: &five, scene: &[0; 5] }, &[3; 5], 0.95);
        assert_eq!((none.mean, none.cities[0].measures, none.counts.too_small), (None, None, 1));
    }
}
