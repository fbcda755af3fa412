//! exBeDDE's own protocol, as its authors' `assess_IQA_metric.m` has it: within each hazy group (the outputs of ten
//! algorithms for one hazy picture) SRCC and KRCC of the scores, PLCC and RMSE of a five-parameter logistic that is fitted
//! to that group; then the mean of a city's groups, then the mean of cities.

use super::descent::Rows;
use super::estimate::{
    Estimate, Interval, IntervalMethod, NoInterval, SCENES_MIN, Scale, StandardError, combined, mean_estimate,
};
use super::{Columns, Fit, FitStatus, Levels, Logistic, krcc, plcc, srcc};

/// A group of fewer pictures is left out: five parameters go through five pictures whatever they are, and noise has a PLCC of
/// 1. The authors' groups have ten.
pub const GROUP_PICTURES_MIN: usize = 6;

/// The protocol's measures, in the order srcc, krcc, plcc, rmse; PLCC and RMSE are of fitted scores, RMSE in the labels' unit.
pub type ExbeddeMeasures = [Estimate; 4];

/// One city's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExbeddeCity {
    /// Its number, as the caller has it.
    pub city: u32,
    /// What the measures are of, and what is left out.
    pub counts: ExbeddeCounts,
    /// Mean of the groups, with Student's interval over them; None where no group has measures.
    pub measures: Option<ExbeddeMeasures>,
}

/// Hazy groups and their pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExbeddeCounts {
    /// Groups in the means.
    pub scenes: u64,
    /// Their pictures.
    pub pictures: u64,
    /// Of these groups, those whose fit had not converged.
    pub not_converged: u64,
    /// Groups left out: fewer than [`GROUP_PICTURES_MIN`] pictures.
    pub too_small: u64,
    /// Groups left out: scores or labels are all the same.
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

/// The protocol's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Exbedde {
    /// By number.
    pub cities: Vec<ExbeddeCity>,
    /// Of all cities.
    pub counts: ExbeddeCounts,
    /// Mean of the cities that have measures, each counting the same; None where there is none. The cities count as fixed: the
    /// interval is over the groups within them.
    pub mean: Option<ExbeddeMeasures>,
}

/// Measures by exBeDDE's protocol; `city` is each row's.
///
/// REFERENCE: a curve of five parameters through about ten pictures holds them closely whatever they are, and where its
/// one start of ones leads depends on the scores' scale. PLCC and RMSE of this protocol are comparable with published
/// ones, not with those of a pooled fit; PLCC has no sign, as published.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn exbedde(columns: &Columns<'_>, city: &[u32], level: f64) -> Exbedde {
    columns.check();
    assert_eq!(city.len(), columns.score.len(), "columns of one table");
    let mut result = Exbedde { cities: Vec::new(), counts: ExbeddeCounts::default(), mean: None };
    let mut groups_of_cities = Vec::new();
    for rows in Levels::of_numbers(city).groups() {
        let number = |of: &[u32]| rows.iter().map(|&row| of[row as usize]).collect::<Vec<_>>();
        let value = |of: &[f64]| rows.iter().map(|&row| of[row as usize]).collect::<Vec<_>>();
        let (score, mos, scene) = (value(columns.score), value(columns.mos), number(columns.scene));
        let (groups, counts) = of_groups(&Columns { score: &score, mos: &mos, scene: &scene });
        result.counts.add(&counts);
        let measures = each(|measure| mean_estimate(&column(&groups, measure), level));
        result.cities.push(ExbeddeCity { city: city[rows[0] as usize], counts, measures });
        if !groups.is_empty() {
            groups_of_cities.push(groups);
        }
    }
    result.mean = each(|measure| mean_of_cities(&groups_of_cities, measure, level));
    result
}

/// Each group's measures, and what became of the groups.
fn of_groups(columns: &Columns<'_>) -> (Vec<[f64; 4]>, ExbeddeCounts) {
    let (mut groups, mut counts) = (Vec::new(), ExbeddeCounts::default());
    for rows in Levels::of_numbers(columns.scene).groups() {
        let value = |of: &[f64]| rows.iter().map(|&row| of[row as usize]).collect::<Vec<_>>();
        let (score, mos) = (value(columns.score), value(columns.mos));
        let fit = fit_from_ones(&score, &mos);
        match (srcc(&score, &mos), krcc(&score, &mos), fit.plcc, fit.rmse) {
            (Some(srcc), Some(krcc), Some(plcc), Some(rmse)) => {
                counts.scenes += 1;
                counts.pictures += rows.len() as u64;
                counts.not_converged += u64::from(fit.status == FitStatus::NotConverged);
                groups.push([srcc, krcc, plcc, rmse]);
            }
            _ if fit.status == FitStatus::TooFewRows => counts.too_small += 1,
            _ => counts.constant += 1,
        }
    }
    (groups, counts)
}

fn each(of: impl Fn(usize) -> Option<Estimate>) -> Option<ExbeddeMeasures> {
    Some([of(0)?, of(1)?, of(2)?, of(3)?])
}

fn column(groups: &[[f64; 4]], measure: usize) -> Vec<f64> {
    groups.iter().map(|group| group[measure]).collect()
}

/// Stratified: the standard errors of the cities' means together.
fn mean_of_cities(cities: &[Vec<[f64; 4]>], measure: usize, level: f64) -> Option<Estimate> {
    if cities.is_empty() {
        return None;
    }
    let count = cities.len() as f64;
    let (mut value, mut parts, mut groups) = (0.0, Vec::new(), 0);
    for city in cities {
        let values = column(city, measure);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        value += mean / count;
        groups += values.len();
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        parts.push((1.0 / count, StandardError { error: (squares / (n - 1.0) / n).sqrt(), freedom: n - 1.0 }));
    }
    let is_known = groups >= SCENES_MIN && cities.iter().all(|city| city.len() > 1);
    let of = combined(parts.into_iter());
    let interval = match is_known {
        false => Err(NoInterval::TooFewScenes),
        true if of.error > 0.0 => Ok(Interval::student(value, of, Scale::Plain, level, IntervalMethod::StudentT)),
        true => Err(NoInterval::Constant),
    };
    Some(Estimate { value, interval })
}

/// The curve of five parameters that one descent from ones comes to, with nothing changed in the rows: MATLAB's `fitnlm` as the
/// authors call it.
fn fit_from_ones(x: &[f64], y: &[f64]) -> Fit {
    if x.len() < GROUP_PICTURES_MIN {
        return Fit::nothing(Logistic::Five, FitStatus::TooFewRows);
    }
    if plcc(x, y).is_none() {
        return Fit::nothing(Logistic::Five, FitStatus::Constant);
    }
    let rows = Rows { x, y, weight: &vec![1.0; x.len()] };
    let (parameters, status) = rows.descend(Logistic::Five, vec![1.0; 5]);
    Fit::of(Logistic::Five, status, parameters, x, y)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three groups of ten in two cities; the numbers are of SciPy's `spearmanr`, `kendalltau` and `leastsq` from ones.
    #[test]
    fn groups_are_fitted_alone_and_cities_count_the_same() {
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
        let wanted = [0.9303030303030302, 0.8222222222222222, 0.9790846250574463, 0.05411851705134675];
        for (estimate, wanted) in result.mean.unwrap().iter().zip(wanted) {
            assert!((estimate.value - wanted).abs() < 1e-5, "{estimate:?} for {wanted}");
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
        let of_groups = |from: usize, to: usize| -> Vec<f64> {
            (from..to).map(|group| srcc(&score[group * 10..][..10], &mos[group * 10..][..10]).unwrap()).collect()
        };
        let (first, second) = (of_groups(0, 6), of_groups(6, 10));
        let variance = |of: &[f64]| {
            let mean = of.iter().sum::<f64>() / of.len() as f64;
            of.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (of.len() - 1) as f64 / of.len() as f64
        };
        let mean = result.mean.unwrap()[0].interval.unwrap();
        assert!((mean.error - (variance(&first) + variance(&second)).sqrt() / 2.0).abs() < 1e-12);
        // Welch's degrees of freedom.
        let (a, b) = (variance(&first), variance(&second));
        assert!((mean.freedom - (a + b).powi(2) / (a * a / 5.0 + b * b / 3.0)).abs() < 1e-9);
        let cities: Vec<_> =
            result.cities.iter().map(|city| city.measures.unwrap()[0].interval.map(|of| of.freedom)).collect();
        assert_eq!(cities, [Ok(5.0), Err(NoInterval::TooFewScenes)]);
    }

    #[test]
    fn groups_without_measures_are_counted_by_why_and_left_out() {
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
