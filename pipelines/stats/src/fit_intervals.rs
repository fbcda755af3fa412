//! Intervals of PLCC and RMSE after a logistic fit: the curve is fitted again without each of some groups of scenes, from the
//! curve of all rows, so what the fit itself leaves open is in the interval.

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::bend::{Curve, Points};
use super::bootstrap::deal;
use super::estimate::{Estimate, IntervalMethod, Scale};
use super::jackknife::DeleteOne;
use super::logistic::{Fit, Logistic, Prepared, sigmoid};
use super::pearson::Moments;
use super::{SCENES_MIN, SortedColumns};

/// Up to this many scenes each is left out by itself, more are dealt into so many groups: Student's t of 24 degrees of freedom is
/// 5% wider than that of many, and as many fits cost about as much as the search for the curve.
const GROUPS_MAX: usize = 25;

/// More points than this are averaged for these fits. What a group moves PLCC by is the same to the third digit.
const POINTS_MAX: usize = 256;

/// A fit with its measures' intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct FitEstimate {
    /// Of all rows.
    pub fit: Fit,
    /// Pearson's correlation after it.
    pub plcc: Option<Estimate>,
    /// The root of the mean squared difference after it.
    pub rmse: Option<Estimate>,
}

/// Both curves through the rows, with intervals over scenes.
pub fn fit_estimates(table: &SortedColumns<'_>, level: f64) -> [FitEstimate; 2] {
    let prepared = Prepared::of((table.columns.score, table.columns.mos), &table.score);
    let fitted = [Logistic::Four, Logistic::Five].map(|logistic| prepared.fit_with_curve(logistic));
    let cells = fitted.iter().any(|(_, curve)| curve.is_some()).then(|| Cells::of(table, &prepared));
    fitted.map(|(fit, curve)| {
        let without = match (&curve, &cells) {
            (Some(curve), Some(cells)) if cells.groups >= SCENES_MIN => cells.without_each(&fit, curve),
            _ => Vec::new(),
        };
        let method = match &cells {
            Some(cells) if cells.groups < cells.scenes => IntervalMethod::GroupJackknifeT,
            _ => IntervalMethod::JackknifeT,
        };
        let (of_plcc, of_rmse): (Vec<_>, Vec<_>) = without.into_iter().unzip();
        let direction = prepared.direction;
        let of_plcc = of_plcc.into_iter().map(|plcc: Option<f64>| plcc.map(|plcc| direction * plcc)).collect();
        let delete_one = |value: Option<f64>, without| value.map(|value| DeleteOne { value, without, method });
        FitEstimate {
            plcc: delete_one(fit.plcc, of_plcc).map(|of| of.estimate(Scale::Fisher, level)),
            rmse: delete_one(fit.rmse, of_rmse).map(|of| of.root_mean_square_estimate(level)),
            fit,
        }
    })
}

/// Rows summed up by point and group of scenes; labels in units, times the direction.
struct Cells {
    scenes: usize,
    groups: usize,
    /// Of all rows.
    points: Points,
    /// (points, groups): rows.
    weight: Vec<f64>,
    /// (points, groups): sum of labels.
    labels: Vec<f64>,
    /// Of each group: the sum of squared labels.
    squares: Vec<f64>,
    /// What a label's unit is.
    label_scale: f64,
}

impl Cells {
    fn of(table: &SortedColumns<'_>, prepared: &Prepared<'_>) -> Cells {
        let SortedColumns { columns, score, scene, .. } = table;
        let scenes = scene.counts.len();
        let (group_of, groups) = deal(scenes, GROUPS_MAX, 0);
        let levels_per_point = score.counts.len().div_ceil(POINTS_MAX).max(1);
        let len = score.counts.len().div_ceil(levels_per_point);
        let (mut weight, mut labels) = (vec![0.0; len * groups], vec![0.0; len * groups]);
        let (mut x, mut squares) = (vec![0.0; len], vec![0.0; groups]);
        for (row, (&code, &scene)) in score.codes.iter().zip(&scene.codes).enumerate() {
            let (point, group) = (code as usize / levels_per_point, group_of[scene as usize] as usize);
            let label = prepared.direction * prepared.unit_y.of_value(columns.mos[row]);
            weight[point * groups + group] += 1.0;
            labels[point * groups + group] += label;
            squares[group] += label * label;
            x[point] += prepared.unit_x.of_value(columns.score[row]);
        }
        let mut points = Points { width_min: prepared.fine.width_min, ..Points::default() };
        for (point, sum) in x.into_iter().enumerate() {
            let total = |of: &[f64]| of[point * groups..][..groups].iter().sum::<f64>();
            let rows = total(&weight);
            points.x.push(sum / rows);
            points.y.push(total(&labels) / rows);
            points.weight.push(rows);
        }
        Cells { scenes, groups, points, weight, labels, squares, label_scale: prepared.unit_y.scale }
    }

    /// PLCC, of the labels times the direction, and RMSE without each group.
    fn without_each(&self, fit: &Fit, curve: &Curve) -> Vec<(Option<f64>, Option<f64>)> {
        (0..self.groups).into_par_iter().map(|group| self.without(group, fit.logistic, curve)).collect()
    }

    fn without(&self, group: usize, logistic: Logistic, curve: &Curve) -> (Option<f64>, Option<f64>) {
        let mut points = Points { width_min: self.points.width_min, ..Points::default() };
        for (point, (&x, (&y, &rows))) in
            self.points.x.iter().zip(self.points.y.iter().zip(&self.points.weight)).enumerate()
        {
            let taken = self.weight[point * self.groups + group];
            let rest = rows - taken;
            if rest > 0.5 {
                points.x.push(x);
                points.y.push((y * rows - self.labels[point * self.groups + group]) / rest);
                points.weight.push(rest);
            }
        }
        if points.x.len() < 2 {
            return (None, None);
        }
        let total: f64 = points.weight.iter().sum();
        let mean = |of: &[f64]| of.iter().zip(&points.weight).map(|(v, w)| v * w).sum::<f64>() / total;
        let (middle_x, middle_y) = (mean(&points.x), mean(&points.y));
        points.x.iter_mut().for_each(|x| *x -= middle_x);
        points.y.iter_mut().for_each(|y| *y -= middle_y);
        let near = Curve { bend: curve.bend - middle_x, ..*curve };
        let curve = points.good_curve_near(&near, logistic == Logistic::Five);
        let squares: f64 =
            (0..self.groups).filter(|&other| other != group).map(|other| self.squares[other]).sum::<f64>();
        let mut sums = Moments { n: total, yy: squares - total * middle_y * middle_y, ..Moments::default() };
        for ((x, y), weight) in points.x.iter().zip(&points.y).zip(&points.weight) {
            let step = sigmoid((x - curve.bend) / curve.width);
            let at = curve.low + curve.height * step + curve.slope * x;
            sums.x += weight * at;
            sums.xx += weight * at * at;
            sums.xy += weight * at * y;
            sums.y += weight * y;
        }
        let squared_errors = (sums.xx - 2.0 * sums.xy + sums.yy).max(0.0);
        (sums.plcc(), Some(self.label_scale * (squared_errors / total).sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Columns;
    use super::super::tests::table;
    use super::*;

    #[test]
    fn groups_of_scenes_are_as_sure_as_scenes_refitted_by_hand() {
        let (score, mos, scene) = table(400, 20, 8);
        let falling: Vec<f64> = mos.iter().map(|mos| -mos).collect();
        for mos in [mos, falling] {
            let columns = Columns { score: &score, mos: &mos, scene: &scene };
            for estimate in fit_estimates(&columns.sorted(), 0.95) {
                let without = |left_out: u32| {
                    let kept: Vec<usize> = (0..score.len()).filter(|&row| scene[row] != left_out * 3 + 1).collect();
                    let value = |of: &[f64]| kept.iter().map(|&row| of[row]).collect::<Vec<_>>();
                    super::super::fit(estimate.fit.logistic, &value(&score), &value(&mos))
                };
                let fits: Vec<Fit> = (0..20).map(without).collect();
                let by_hand = |of: fn(&Fit) -> Option<f64>, scale| {
                    let without = fits.iter().map(of).collect();
                    let value = of(&estimate.fit).unwrap();
                    DeleteOne { value, without, method: IntervalMethod::JackknifeT }.estimate(scale, 0.95)
                };
                for (of, wanted) in [
                    (estimate.plcc.unwrap(), by_hand(|fit| fit.plcc, Scale::Fisher)),
                    (estimate.rmse.unwrap(), by_hand(|fit| fit.rmse, Scale::Logarithm)),
                ] {
                    let (interval, wanted) = (of.interval.unwrap(), wanted.interval.unwrap());
                    assert!((interval.error / wanted.error - 1.0).abs() < 0.02, "{interval:?} {wanted:?}");
                    assert!(interval.low < of.value && of.value < interval.high, "{of:?}");
                }
            }
        }
    }

    #[test]
    fn many_scenes_are_left_out_in_groups() {
        let (score, mos, scene) = table(6000, 600, 9);
        let [four, _] = fit_estimates(&Columns { score: &score, mos: &mos, scene: &scene }.sorted(), 0.95);
        let interval = four.plcc.unwrap().interval.unwrap();
        assert_eq!((interval.method, interval.freedom), (IntervalMethod::GroupJackknifeT, 24.0));
    }
}
