//! Paired comparison of several columns of scores of the same pictures by exBeDDE's protocol: the differences are taken
//! within each hazy group, and their mean is that of the protocol, over the groups of each city and then over cities. The
//! interval and the p-value are Student's, with the stratified standard error of the groups' differences.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::columns::Columns;
use crate::dense_ranks::DenseRanks;
use crate::estimate::Estimate;
use crate::exbedde::{mean_over_cities, measure_groups, select};
use crate::multiple_testing::holm_of_known;
use crate::paired_differences::{Measure, PairedDifference, PairedMeasure, ScoreColumns};
use crate::student_t::two_sided_p;

/// Computes the protocol's SRCC, PLCC (after the fit) and KRCC of each column, and its difference for each of `pairs` of
/// column indices. A difference is of the groups in which both columns have measures. `city` is the city of each row.
///
/// # Panics
/// If a value is NaN, the lengths differ, or a pair contains an unknown column.
pub fn exbedde_differences(
    columns: &ScoreColumns<'_>,
    city: &[u32],
    pairs: &[(usize, usize)],
    level: f64,
) -> Vec<PairedMeasure> {
    assert_eq!(city.len(), columns.mos.len(), "columns have unequal lengths");
    let cities = DenseRanks::from_ids(city);
    let measure_column = |score: &Vec<f64>| cities.groups().map(|rows| city_groups(score, columns, rows)).collect();
    let measured: Vec<Vec<CityGroups>> = columns.scores.par_iter().map(measure_column).collect();
    Measure::ALL.into_iter().map(|measure| compare(measure, &measured, pairs, level)).collect()
}

/// The measures SRCC, KRCC, PLCC, RMSE of each group of a city.
type CityGroups = Vec<Option<[f64; 4]>>;

fn city_groups(score: &[f64], columns: &ScoreColumns<'_>, rows: &[u32]) -> CityGroups {
    let scene: Vec<u32> = rows.iter().map(|&row| columns.scene[row as usize]).collect();
    measure_groups(&Columns { score: &select(score, rows), mos: &select(columns.mos, rows), scene: &scene }).0
}

fn compare(measure: Measure, measured: &[Vec<CityGroups>], pairs: &[(usize, usize)], level: f64) -> PairedMeasure {
    let index = match measure {
        Measure::Srcc => 0,
        Measure::Krcc => 1,
        Measure::Plcc => 2,
    };
    let value = |column: &Vec<CityGroups>| {
        mean(column.iter().map(|groups| groups.iter().flatten().map(|group| group[index]).collect()), level)
    };
    let difference = |&(first, second): &(usize, usize)| {
        let cities = measured[first].iter().zip(&measured[second]).map(|(a, b)| {
            let both = a.iter().zip(b).filter_map(|(a, b)| Some((*b)?[index] - (*a)?[index]));
            both.collect()
        });
        let estimate = mean(cities, level);
        PairedDifference { first, second, estimate, p: estimate.and_then(p_value), p_corrected: None }
    };
    let mut differences: Vec<PairedDifference> = pairs.iter().map(difference).collect();
    let p: Vec<Option<f64>> = differences.iter().map(|difference| difference.p).collect();
    for (difference, p) in differences.iter_mut().zip(holm_of_known(&p)) {
        difference.p_corrected = p;
    }
    PairedMeasure { measure, values: measured.iter().map(value).collect(), differences }
}

/// Returns the mean over the cities that have values.
fn mean(cities: impl Iterator<Item = Vec<f64>>, level: f64) -> Option<Estimate> {
    mean_over_cities(&cities.filter(|values| !values.is_empty()).collect::<Vec<_>>(), level)
}

/// Returns the two-sided p-value of no difference. None without an interval.
fn p_value(difference: Estimate) -> Option<f64> {
    let interval = difference.interval.ok()?;
    Some(two_sided_p(difference.value / interval.standard_error, interval.degrees_of_freedom))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::NoInterval;
    use crate::exbedde::exbedde;

    /// Returns three columns of scores of 12 groups of eight pictures in two cities; the last has one group that is
    /// constant.
    fn columns() -> (Vec<Vec<f64>>, Vec<f64>, Vec<u32>, Vec<u32>) {
        let rows = 0..96_u32;
        let mos: Vec<f64> = rows.clone().map(|row| f64::from(row * 7 % 8) + f64::from(row % 5) / 10.0).collect();
        let column = |factor: u32, step: f64| {
            let noise = rows.clone().map(|row| f64::from(row * factor % 13) * step);
            mos.iter().zip(noise).map(|(mos, noise)| mos / 8.0 + noise).collect::<Vec<f64>>()
        };
        let mut scores = vec![column(5, 0.08), column(3, 0.12), column(5, 0.08)];
        scores[2][..8].fill(0.5);
        (scores, mos, rows.clone().map(|row| row / 8).collect(), rows.map(|row| row / 56).collect())
    }

    #[test]
    fn a_difference_is_that_of_the_protocol_s_means() {
        let (scores, mos, scene, city) = columns();
        let table = ScoreColumns { scores: &scores, mos: &mos, scene: &scene };
        let found = exbedde_differences(&table, &city, &[(0, 1), (1, 0), (0, 2)], 0.95);
        let own = |column: usize| {
            exbedde(&Columns { score: &scores[column], mos: &mos, scene: &scene }, &city, 0.95).mean.unwrap()
        };
        for (paired, index) in found.iter().zip([0, 2, 1]) {
            for column in 0..3 {
                assert_eq!(paired.values[column].unwrap(), own(column)[index], "{:?}", paired.measure);
            }
            let [forward, back, same] = &paired.differences[..] else { panic!("three pairs") };
            let (forward_value, back_value) = (forward.estimate.unwrap(), back.estimate.unwrap());
            assert!((forward_value.value - (own(1)[index].value - own(0)[index].value)).abs() < 1e-12);
            assert_eq!((forward_value.value, forward.p), (-back_value.value, back.p));
            // The groups that both have are equal; the group that one lacks is not compared.
            assert_eq!(same.estimate.unwrap(), Estimate { value: 0.0, interval: Err(NoInterval::Constant) });
        }
        let srcc = &found[0].differences[0];
        let interval = srcc.estimate.unwrap().interval.unwrap();
        assert_eq!(interval.low > 0.0 || interval.high < 0.0, srcc.p.unwrap() < 0.05);
        let spread = own(0)[0].interval.unwrap().standard_error + own(1)[0].interval.unwrap().standard_error;
        assert!(interval.standard_error < spread && interval.standard_error > 0.0);
    }
}
