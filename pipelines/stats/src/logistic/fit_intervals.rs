//! Intervals of PLCC and RMSE after a logistic fit. The curve is fitted again without each of several groups of scenes,
//! starting from the curve of all rows, so the intervals include the uncertainty of the fit itself.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::best_fit::FitProblem;
use super::curve::{Logistic, LogisticFit, sigmoid};
use super::curve_search::{Curve, Points};
use crate::columns::SortedColumns;
use crate::estimate::{Estimate, IntervalMethod, SCENES_MIN, Scale};
use crate::jackknife::LeaveOneOut;
use crate::pearson::Moments;
use crate::scene_groups::assign_groups;

/// Up to this many scenes, each is left out by itself; more are assigned to this many groups. Student's t of 24 degrees
/// of freedom is 5% wider than that of many, and this many fits take about as long as the search for the curve.
const GROUPS_MAX: usize = 25;

/// More points than this are averaged for these fits. The effect of a group on PLCC is the same to the third digit.
const POINTS_MAX: usize = 256;

/// A fit, with intervals over scenes for its measures.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticFitEstimate {
    /// The fit to all rows.
    pub fit: LogisticFit,
    /// Pearson's correlation of fitted scores and labels, with its interval on Fisher's scale.
    pub plcc: Option<Estimate>,
    /// The root of the mean squared difference of fitted scores and labels, in the unit of the labels.
    pub rmse: Option<Estimate>,
}

/// Fits both curves, with intervals of PLCC and RMSE by the jackknife over scenes or groups of scenes at `level`.
pub fn estimate_logistic_fits(table: &SortedColumns<'_>, level: f64) -> [LogisticFitEstimate; 2] {
    let problem = FitProblem::new((table.columns.score, table.columns.mos), &table.score);
    let fitted = [Logistic::Four, Logistic::Five].map(|logistic| problem.fit_with_curve(logistic));
    let cells = fitted.iter().any(|(_, curve)| curve.is_some()).then(|| GroupCells::new(table, &problem));
    fitted.map(|(fit, curve)| {
        let without = match (&curve, &cells) {
            (Some(curve), Some(cells)) if cells.groups >= SCENES_MIN => cells.without_each_group(&fit, curve),
            _ => Vec::new(),
        };
        let method = match &cells {
            Some(cells) if cells.groups < cells.scenes => IntervalMethod::GroupJackknifeT,
            _ => IntervalMethod::JackknifeT,
        };
        let (plcc, rmse): (Vec<_>, Vec<_>) = without.into_iter().unzip();
        let direction = problem.direction;
        let plcc = plcc.into_iter().map(|plcc: Option<f64>| plcc.map(|plcc| direction * plcc)).collect();
        let leave_one_out = |value: Option<f64>, without| value.map(|value| LeaveOneOut { value, without, method });
        LogisticFitEstimate {
            plcc: leave_one_out(fit.plcc, plcc).map(|plcc| plcc.estimate(Scale::Fisher, level)),
            rmse: leave_one_out(fit.rmse, rmse).map(|rmse| rmse.root_mean_square_estimate(level)),
            fit,
        }
    })
}

/// Sums of rows by point and group of scenes. Labels are scaled and multiplied by the problem's direction.
struct GroupCells {
    scenes: usize,
    groups: usize,
    /// The points of all rows.
    points: Points,
    /// (points, groups): the number of rows.
    weight: Vec<f64>,
    /// (points, groups): the sum of labels.
    labels: Vec<f64>,
    /// (groups): the sum of squared labels.
    squares: Vec<f64>,
    /// The size of a scaled label's unit, in the unit of the labels.
    label_scale: f64,
}

impl GroupCells {
    fn new(table: &SortedColumns<'_>, problem: &FitProblem<'_>) -> GroupCells {
        let SortedColumns { columns, score, scene, .. } = table;
        let scenes = scene.counts.len();
        let (group_by_scene, groups) = assign_groups(scenes, GROUPS_MAX, 0);
        let ranks_per_point = score.counts.len().div_ceil(POINTS_MAX).max(1);
        let len = score.counts.len().div_ceil(ranks_per_point);
        let (mut weight, mut labels) = (vec![0.0; len * groups], vec![0.0; len * groups]);
        let (mut x, mut squares) = (vec![0.0; len], vec![0.0; groups]);
        for (row, (&rank, &scene)) in score.ranks.iter().zip(&scene.ranks).enumerate() {
            let (point, group) = (rank as usize / ranks_per_point, group_by_scene[scene as usize] as usize);
            let label = problem.direction * problem.y_scale.to_unit(columns.mos[row]);
            weight[point * groups + group] += 1.0;
            labels[point * groups + group] += label;
            squares[group] += label * label;
            x[point] += problem.x_scale.to_unit(columns.score[row]);
        }
        let mut points = Points { width_min: problem.fine.width_min, ..Points::default() };
        for (point, sum) in x.into_iter().enumerate() {
            let total = |cells: &[f64]| cells[point * groups..][..groups].iter().sum::<f64>();
            let rows = total(&weight);
            points.x.push(sum / rows);
            points.y.push(total(&labels) / rows);
            points.weight.push(rows);
        }
        GroupCells { scenes, groups, points, weight, labels, squares, label_scale: problem.y_scale.scale }
    }

    /// Returns PLCC, with the labels times the direction, and RMSE without each group.
    fn without_each_group(&self, fit: &LogisticFit, curve: &Curve) -> Vec<(Option<f64>, Option<f64>)> {
        (0..self.groups).into_par_iter().map(|group| self.without_group(group, fit.logistic, curve)).collect()
    }

    fn without_group(&self, group: usize, logistic: Logistic, curve: &Curve) -> (Option<f64>, Option<f64>) {
        let mut points = self.points_without(group);
        if points.x.len() < 2 {
            return (None, None);
        }
        let total: f64 = points.weight.iter().sum();
        let mean = |values: &[f64]| values.iter().zip(&points.weight).map(|(v, w)| v * w).sum::<f64>() / total;
        let (mean_x, mean_y) = (mean(&points.x), mean(&points.y));
        points.x.iter_mut().for_each(|x| *x -= mean_x);
        points.y.iter_mut().for_each(|y| *y -= mean_y);
        let start = Curve { bend: curve.bend - mean_x, ..*curve };
        let curve = points.improve_roughly(&start, logistic == Logistic::Five);
        let squares: f64 =
            (0..self.groups).filter(|&other| other != group).map(|other| self.squares[other]).sum::<f64>();
        let mut sums = Moments { n: total, yy: squares - total * mean_y * mean_y, ..Moments::default() };
        for ((x, y), weight) in points.x.iter().zip(&points.y).zip(&points.weight) {
            let step = sigmoid((x - curve.bend) / curve.width);
            let fitted = curve.low + curve.height * step + curve.slope * x;
            sums.x += weight * fitted;
            sums.xx += weight * fitted * fitted;
            sums.xy += weight * fitted * y;
            sums.y += weight * y;
        }
        let squared_errors = (sums.xx - 2.0 * sums.xy + sums.yy).max(0.0);
        (sums.plcc(), Some(self.label_scale * (squared_errors / total).sqrt()))
    }

    /// Returns the points of the rows that are not in `group`.
    fn points_without(&self, group: usize) -> Points {
        let Points { x, y, weight, width_min } = &self.points;
        let mut points = Points { width_min: *width_min, ..Points::default() };
        for (point, (&x, (&y, &rows))) in x.iter().zip(y.iter().zip(weight)).enumerate() {
            let removed = self.weight[point * self.groups + group];
            let rest = rows - removed;
            if rest > 0.5 {
                points.x.push(x);
                points.y.push((y * rows - self.labels[point * self.groups + group]) / rest);
                points.weight.push(rest);
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::super::best_fit::fit_logistic;
    use super::*;
    use crate::columns::Columns;
    use crate::tests::table;

    #[test]
    fn intervals_agree_with_whole_fits_without_each_scene() {
        let (score, mos, scene) = table(400, 20, 8);
        let falling: Vec<f64> = mos.iter().map(|mos| -mos).collect();
        for mos in [mos, falling] {
            let columns = Columns { score: &score, mos: &mos, scene: &scene };
            for estimate in estimate_logistic_fits(&columns.sorted(), 0.95) {
                let without = |left_out: u32| {
                    let kept: Vec<usize> = (0..score.len()).filter(|&row| scene[row] != left_out * 3 + 1).collect();
                    let select = |column: &[f64]| kept.iter().map(|&row| column[row]).collect::<Vec<_>>();
                    fit_logistic(estimate.fit.logistic, &select(&score), &select(&mos))
                };
                let fits: Vec<LogisticFit> = (0..20).map(without).collect();
                let expected = |measure: fn(&LogisticFit) -> Option<f64>, scale| {
                    let without = fits.iter().map(measure).collect();
                    let value = measure(&estimate.fit).unwrap();
                    LeaveOneOut { value, without, method: IntervalMethod::JackknifeT }.estimate(scale, 0.95)
                };
                for (measure, expected) in [
                    (estimate.plcc.unwrap(), expected(|fit| fit.plcc, Scale::Fisher)),
                    (estimate.rmse.unwrap(), expected(|fit| fit.rmse, Scale::Logarithm)),
                ] {
                    let (interval, expected) = (measure.interval.unwrap(), expected.interval.unwrap());
                    assert!(
                        (interval.standard_error / expected.standard_error - 1.0).abs() < 0.02,
                        "{interval:?} {expected:?}"
                    );
                    assert!(interval.low < measure.value && measure.value < interval.high, "{measure:?}");
                }
            }
        }
    }

    #[test]
    fn many_scenes_are_left_out_in_groups() {
        let (score, mos, scene) = table(6000, 600, 9);
        let [four, _] = estimate_logistic_fits(&Columns { score: &score, mos: &mos, scene: &scene }.sorted(), 0.95);
        let interval = four.plcc.unwrap().interval.unwrap();
        assert_eq!((interval.method, interval.degrees_of_freedom), (IntervalMethod::GroupJackknifeT, 24.0));
    }
}
