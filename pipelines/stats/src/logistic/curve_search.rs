//! The search for a logistic curve through points. Given where a curve bends and how wide the bend is, its height,
//! level and slope are a linear fit in closed form. The search therefore runs over bend and width alone (variable
//! projection, Golub and Pereyra 1973): it is quicker than a search over all parameters, and avoids the long valleys in
//! which height and bend grow together.
//!
//! A curve rises over the whole range of the points, or stays level: ITU-T P.1401 asks for a monotone map of scores to
//! labels. Its bend is at least [`WIDTH_MIN`] wide: a narrower bend is a step between a few pictures, which follows
//! their noise.

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{Dyn, Matrix, OMatrix, OVector, U2, Vector2};

/// The number of local minima of the grid from which a trial descent starts, and of trials that are continued.
const STARTS_MAX: usize = 10;
const DESCENTS: usize = 2;

/// The patience of a trial and of a whole descent, each in units of three evaluations.
const TRIAL_PATIENCE: usize = 8;
const PATIENCE: usize = 60;

/// A descent ends at a step that lowers the squared residual by less than this share, which is beyond any reported
/// digit.
const TOLERANCE: f64 = 1e-10;

/// The same for a curve whose residual is only compared with that of another curve to its third digit.
const ROUGH_TOLERANCE: f64 = 1e-6;

/// The number of starting bends between the points.
const BENDS: usize = 24;

/// The distances of starting bends outside the points, in widths. At the largest a curve is all but exponential, which
/// is where some fits end.
const OUTSIDE: [f64; 3] = [1.0, 4.0, 12.0];

/// The largest distance of a bend from the points, in widths: there a curve is exponential to the seventh digit, and
/// its height still has digits left.
const OUTSIDE_MAX: f64 = 16.0;

/// The smallest width of a bend, as a share of the range that holds nine tenths of the rows. A logistic takes 4.4
/// widths from a tenth to nine tenths of its height, so at this width it rises over a fifth of the scores: anything
/// steeper is a step that a handful of pictures decide (without this bound, half of all five-parameter fits ended
/// within a 200th of the range).
pub(super) const WIDTH_MIN: f64 = 0.05;

/// The largest width of a bend, as a multiple of the range of the points: a curve is then a parabola or a cubic to the
/// fourth digit.
const WIDTH_MAX: f64 = 10.0;

/// The starting widths, as multiples of the range that holds nine tenths of the points.
const WIDTHS: [f64; 6] = [0.05, 0.1, 0.25, 0.6, 1.5, 4.0];

/// The step of numerical derivatives of the steepness: by the bend in widths, by the width relative to itself.
const DIFFERENCE: f64 = 1e-5;

/// If this share or less of the squares is left, the bend cannot be distinguished from the straight line.
const STRAIGHT_SHARE: f64 = 1e-12;

/// The points to which a curve is fitted, in ascending order of x, with weighted means of 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Points {
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    /// The number of rows that each point represents.
    pub(super) weight: Vec<f64>,
    /// The smallest width of a bend.
    pub(super) width_min: f64,
}

/// The curve low + (high - low) * s((x - bend) / width) + slope * x, with s(t) = 1 / (1 + exp(-t)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve {
    pub(super) bend: f64,
    pub(super) width: f64,
    /// The level where s is 0.
    pub(super) low: f64,
    /// The level where s is 1.
    pub(super) high: f64,
    /// `high - low`, with digits that the difference loses where both are very large.
    pub(super) height: f64,
    pub(super) slope: f64,
    /// Whether the descent to this curve converged.
    pub(super) converged: bool,
}

impl Points {
    /// Averages neighbours, by weight, into about `points_max` points.
    pub(super) fn averaged(&self, points_max: usize) -> Points {
        let size = self.x.len().div_ceil(points_max);
        let mut points = Points { width_min: self.width_min, ..Points::default() };
        for start in (0..self.x.len()).step_by(size) {
            let part = start..(start + size).min(self.x.len());
            let weights = &self.weight[part.clone()];
            let weight: f64 = weights.iter().sum();
            let mean = |values: &[f64]| values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / weight;
            points.x.push(mean(&self.x[part.clone()]));
            points.y.push(mean(&self.y[part]));
            points.weight.push(weight);
        }
        points
    }

    /// Returns the range that holds nine tenths of the rows, or the whole range if that is a single value.
    pub(super) fn central_range(&self) -> f64 {
        let total: f64 = self.weight.iter().sum();
        let quantile = |share: f64| {
            let mut below = 0.0;
            let mut points = self.x.iter().zip(&self.weight);
            let found = points.find(|(_, weight)| {
                below += *weight;
                below >= share * total
            });
            found.map_or(0.0, |(x, _)| *x)
        };
        let range = quantile(0.95) - quantile(0.05);
        if range > 0.0 { range } else { self.x[self.x.len() - 1] - self.x[0] }
    }

    /// Returns the best curve, with a straight line added to the bend if `has_slope`. There must be at least two
    /// points.
    pub(super) fn best_curve(&self, has_slope: bool) -> Curve {
        let starts = self.starts(has_slope).into_iter();
        let mut trials: Vec<Candidate<'_>> = starts.map(|start| start.descend(TOLERANCE, TRIAL_PATIENCE)).collect();
        trials.sort_by(|a, b| a.residual.total_cmp(&b.residual));
        let descents = trials.into_iter().take(DESCENTS).map(|trial| trial.descend(TOLERANCE, PATIENCE));
        let best = descents.min_by(|a, b| a.residual.total_cmp(&b.residual)).expect("a grid has a smallest residual");
        best.curve
    }

    /// Returns the best curve near `curve`, which was fitted to other points.
    pub(super) fn improve(&self, curve: &Curve, has_slope: bool) -> Curve {
        Candidate::new(self, has_slope, curve.bend, curve.width).descend(TOLERANCE, PATIENCE).curve
    }

    /// The same where a few digits of the residual are enough.
    pub(super) fn improve_roughly(&self, curve: &Curve, has_slope: bool) -> Curve {
        Candidate::new(self, has_slope, curve.bend, curve.width).descend(ROUGH_TOLERANCE, PATIENCE).curve
    }

    /// Returns the local minima of a grid over bend and width, best first.
    fn starts(&self, has_slope: bool) -> Vec<Candidate<'_>> {
        let quantile = |share: f64| self.x[(share * (self.x.len() - 1) as f64).round() as usize];
        let range = quantile(0.95) - quantile(0.05);
        let range = if range > 0.0 { range } else { quantile(1.0) - quantile(0.0) };
        let row = |share: f64| {
            let width = share * range;
            self.starting_bends(width).map(|bend| Candidate::new(self, has_slope, bend, width)).collect()
        };
        let grid: Vec<Vec<Candidate<'_>>> = WIDTHS.map(row).into();
        let is_minimum = |i: usize, j: usize| {
            let rows = &grid[i.saturating_sub(1)..(i + 2).min(grid.len())];
            let mut neighbours = rows.iter().flat_map(|row| &row[j.saturating_sub(1)..(j + 2).min(row.len())]);
            neighbours.all(|other| grid[i][j].residual <= other.residual)
        };
        let all = (0..grid.len()).flat_map(|i| (0..grid[i].len()).map(move |j| (i, j)));
        let mut starts: Vec<Candidate<'_>> =
            all.filter(|&(i, j)| is_minimum(i, j)).map(|(i, j)| grid[i][j].clone()).collect();
        starts.sort_by(|a, b| a.residual.total_cmp(&b.residual));
        starts.truncate(STARTS_MAX);
        starts
    }

    /// Returns the bends of a grid row in ascending order: before the points, between them, after them.
    fn starting_bends(&self, width: f64) -> impl Iterator<Item = f64> {
        let last = self.x.len() - 1;
        let between = move |bend: usize| {
            let right = ((bend as f64 + 0.5) / BENDS as f64 * self.x.len() as f64).round() as usize;
            let right = right.clamp(1, last);
            (self.x[right - 1] + self.x[right]) / 2.0
        };
        let before = OUTSIDE.into_iter().rev().map(move |widths| self.x[0] - widths * width);
        let after = OUTSIDE.into_iter().map(move |widths| self.x[last] + widths * width);
        before.chain((0..BENDS).map(between)).chain(after)
    }
}

/// The best curve for one bend and width, with what a descent to its neighbours needs.
#[derive(Clone)]
struct Candidate<'a> {
    points: &'a Points,
    has_slope: bool,
    curve: Curve,
    /// Whether the bend is as far outside the points as it may be.
    is_at_bound: bool,
    /// s, or s - 1, at each point, less its mean.
    step: Vec<f64>,
    /// s (1 - s) at each point.
    step_derivative: Vec<f64>,
    /// How the monotony constraint restricts height and slope.
    constraint: Monotony,
    /// Weighted sums of squares and products of `step` and x.
    step_step: f64,
    step_x: f64,
    x_x: f64,
    /// The weighted sum of squared residuals.
    residual: f64,
}

/// How height and slope are restricted so that a curve rises: height * steepness + slope must not be negative where the
/// step is least steep, nor where it is steepest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Monotony {
    /// The unconstrained fit rises.
    Unconstrained,
    /// The slope is minus the height times the steepness at this place, so that the curve is level there.
    LevelAt(Steepness),
    /// No curve with this bend and width rises with the labels.
    Flat,
}

/// A place within the range of the points, by the steepness of the step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Steepness {
    Least,
    Most,
}

impl<'a> Candidate<'a> {
    fn new(points: &'a Points, has_slope: bool, bend: f64, width: f64) -> Candidate<'a> {
        let Points { x, y, weight, .. } = points;
        let (first, last) = (x[0], x[x.len() - 1]);
        let width = width.clamp(points.width_min, WIDTH_MAX * (last - first));
        let outside = OUTSIDE_MAX * width;
        let bend = bend.clamp(first - outside, last + outside);
        let is_at_bound = bend == first - outside || bend == last + outside;
        // s, or s - 1, whichever is small at most points and so keeps all its digits.
        let mirrored = bend < 0.0;
        let side = if mirrored { -1.0 } else { 1.0 };
        let step_with_derivative = |x: &f64| {
            let e = (side * (bend - x) / width).exp();
            if e.is_finite() { (side / (1.0 + e), e / ((1.0 + e) * (1.0 + e))) } else { (0.0, 0.0) }
        };
        let (mut step, step_derivative): (Vec<f64>, Vec<f64>) = x.iter().map(step_with_derivative).unzip();
        let total: f64 = weight.iter().sum();
        let mean = weighted_product(weight, &step, &vec![1.0; x.len()]) / total;
        step.iter_mut().for_each(|step| *step -= mean);
        let curve = Curve { bend, width, low: 0.0, high: 0.0, height: 0.0, slope: 0.0, converged: false };
        let (step_step, step_x) = (weighted_product(weight, &step, &step), weighted_product(weight, &step, x));
        let x_x = weighted_product(weight, x, x);
        let mut candidate = Candidate {
            points,
            has_slope,
            curve,
            is_at_bound,
            step,
            step_derivative,
            constraint: Monotony::Unconstrained,
            step_step,
            step_x,
            x_x,
            residual: 0.0,
        };
        candidate.constraint = candidate.monotony(y);
        let (height, slope) = candidate.linear_fit(y);
        let (low, high) = if mirrored { (-1.0 - mean, -mean) } else { (-mean, 1.0 - mean) };
        candidate.curve = Curve { low: height * low, high: height * high, height, slope, ..candidate.curve };
        candidate.residual = candidate.weighted_residuals(y, height, slope).map(|residual| residual * residual).sum();
        candidate
    }

    /// Returns the height and slope that fit `values` best under the constraint.
    fn linear_fit(&self, values: &[f64]) -> (f64, f64) {
        match self.constraint {
            Monotony::Unconstrained => self.unconstrained_fit(values),
            Monotony::LevelAt(place) => {
                let steepness = self.steepness(place, self.curve.bend, self.curve.width);
                let (height, _) = self.level_fit(values, steepness);
                (height, -steepness * height)
            }
            Monotony::Flat => (0.0, 0.0),
        }
    }

    fn unconstrained_fit(&self, values: &[f64]) -> (f64, f64) {
        let step_v = weighted_product(&self.points.weight, &self.step, values);
        let x_v = weighted_product(&self.points.weight, &self.points.x, values);
        let determinant = self.step_step * self.x_x - self.step_x * self.step_x;
        if self.has_slope && determinant > STRAIGHT_SHARE * self.step_step * self.x_x {
            let height = (step_v * self.x_x - x_v * self.step_x) / determinant;
            (height, (x_v * self.step_step - step_v * self.step_x) / determinant)
        } else if self.has_slope {
            (0.0, x_v / self.x_x)
        } else if self.step_step > f64::MIN_POSITIVE {
            (step_v / self.step_step, 0.0)
        } else {
            (0.0, 0.0)
        }
    }

    /// Returns the height of the curve whose slope is minus `steepness` times the height, and by how much it lowers the
    /// squared residual.
    fn level_fit(&self, values: &[f64], steepness: f64) -> (f64, f64) {
        let product = weighted_product(&self.points.weight, &self.step, values)
            - steepness * weighted_product(&self.points.weight, &self.points.x, values);
        let square = self.step_step - 2.0 * steepness * self.step_x + steepness * steepness * self.x_x;
        // The difference of nearly equal sums is rounding: such a curve is flat.
        let is_flat = square <= STRAIGHT_SHARE * (self.step_step + steepness * steepness * self.x_x);
        if is_flat { (0.0, 0.0) } else { (product / square, product * product / square) }
    }

    /// Returns the steepness of the step at a place, per unit of its height and of x.
    fn steepness(&self, place: Steepness, bend: f64, width: f64) -> f64 {
        let x = &self.points.x;
        let steepness_at = |x: f64| {
            let e = (-((x - bend) / width).abs()).exp();
            e / ((1.0 + e) * (1.0 + e)) / width
        };
        let (first, last) = (x[0], x[x.len() - 1]);
        match place {
            // The steepness has one maximum, so its minimum is at an end.
            Steepness::Least => steepness_at(first).min(steepness_at(last)),
            Steepness::Most => steepness_at(bend.clamp(first, last)),
        }
    }

    fn monotony(&self, y: &[f64]) -> Monotony {
        let (height, slope) = self.unconstrained_fit(y);
        if !self.has_slope {
            return if height > 0.0 { Monotony::Unconstrained } else { Monotony::Flat };
        }
        let Curve { bend, width, .. } = self.curve;
        let [least, most] = [Steepness::Least, Steepness::Most].map(|place| self.steepness(place, bend, width));
        if height * least + slope >= 0.0 && height * most + slope >= 0.0 {
            return Monotony::Unconstrained;
        }
        let (up, reduction_up) = self.level_fit(y, least);
        let (down, reduction_down) = self.level_fit(y, most);
        // A curve that is level where the step is least steep rises elsewhere if its height is positive, and one that
        // is level where the step is steepest rises if it is negative.
        match (up > 0.0, down < 0.0) {
            (true, true) if reduction_up < reduction_down => Monotony::LevelAt(Steepness::Most),
            (true, _) => Monotony::LevelAt(Steepness::Least),
            (false, true) => Monotony::LevelAt(Steepness::Most),
            (false, false) => Monotony::Flat,
        }
    }

    /// Returns values with a mean of 0 less their linear fit, times the roots of the weights.
    fn weighted_residuals(&self, values: &[f64], height: f64, slope: f64) -> impl Iterator<Item = f64> {
        let rows = values.iter().zip(&self.step).zip(&self.points.x).zip(&self.points.weight);
        rows.map(move |(((value, step), x), weight)| (value - height * step - slope * x) * weight.sqrt())
    }

    fn descend(self, tolerance: f64, patience: usize) -> Candidate<'a> {
        let method = LevenbergMarquardt::new().with_tol(tolerance).with_patience(patience);
        let (mut candidate, report) = method.minimize(self);
        candidate.curve.converged = report.termination.was_successful();
        candidate
    }

    /// Returns the derivatives of the constrained slope, per unit of height, by the bend and by the logarithm of the
    /// width; both are 0 where no constraint ties the slope to the height.
    fn constrained_slope_derivatives(&self) -> (f64, f64) {
        let Monotony::LevelAt(place) = self.constraint else { return (0.0, 0.0) };
        let Curve { bend, width, .. } = self.curve;
        let difference = |bend_step: f64, width_step: f64| {
            let steepness =
                |sign: f64| self.steepness(place, bend + sign * bend_step, width * (sign * width_step).exp());
            (steepness(1.0) - steepness(-1.0)) / 2.0
        };
        let by_bend = difference(DIFFERENCE * width, 0.0) / (DIFFERENCE * width);
        (by_bend, difference(0.0, DIFFERENCE) / DIFFERENCE)
    }
}

fn weighted_product(weight: &[f64], a: &[f64], b: &[f64]) -> f64 {
    weight.iter().zip(a).zip(b).map(|((weight, a), b)| weight * a * b).sum()
}

/// The parameters of the descent are the bend and the logarithm of the width.
impl LeastSquaresProblem<f64, Dyn, U2> for Candidate<'_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, U2>;
    type ParameterStorage = Owned<f64, U2>;

    fn set_params(&mut self, parameters: &Vector2<f64>) {
        *self = Candidate::new(self.points, self.has_slope, parameters[0], parameters[1].exp());
    }

    fn params(&self) -> Vector2<f64> {
        Vector2::new(self.curve.bend, self.curve.width.ln())
    }

    fn residuals(&self) -> Option<OVector<f64, Dyn>> {
        let residuals = self.weighted_residuals(&self.points.y, self.curve.height, self.curve.slope);
        Some(OVector::<f64, Dyn>::from_iterator(self.points.x.len(), residuals))
    }

    /// The derivatives of the curve at fixed height, level and slope, less their own linear fit (Kaufman 1975).
    fn jacobian(&self) -> Option<OMatrix<f64, Dyn, U2>> {
        let Points { x, weight, .. } = self.points;
        let Curve { bend, width, height, .. } = self.curve;
        let total: f64 = weight.iter().sum();
        let column = |derivative: &dyn Fn(f64, f64) -> f64| {
            let mut derivatives: Vec<f64> =
                x.iter().zip(&self.step_derivative).map(|(&x, &step)| derivative(x, step)).collect();
            let mean = weighted_product(weight, &derivatives, &vec![1.0; x.len()]) / total;
            derivatives.iter_mut().for_each(|derivative| *derivative -= mean);
            let (height, slope) = self.linear_fit(&derivatives);
            OVector::<f64, Dyn>::from_iterator(x.len(), self.weighted_residuals(&derivatives, height, slope))
        };
        let (slope_by_bend, slope_by_width) = self.constrained_slope_derivatives();
        // The derivatives of the residual y - curve.
        let by_bend =
            column(&|x, step| if self.is_at_bound { 0.0 } else { height * (step / width + slope_by_bend * x) });
        let by_width = column(&|x, step| height * (step * (x - bend) / width + slope_by_width * x));
        Some(Matrix::from_columns(&[by_bend, by_width]))
    }
}
