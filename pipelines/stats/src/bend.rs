//! The search for a logistic curve through points. Once it is known where a curve bends and how wide, its height, level and
//! slope are a linear fit in closed form. So the search is over bend and width alone (variable projection, Golub and
//! Pereyra 1973): it is quicker than over all parameters, and the long valleys in which height and bend grow together
//! are gone.
//!
//! A curve rises over all of the points' range, or stays level: ITU-T P.1401 wants a map of scores to labels to be monotone. And
//! it bends no more sharply than [`WIDTH_MIN`]: a narrower bend is a step between a few pictures, which follows their noise.

use levenberg_marquardt::{LeastSquaresProblem, LevenbergMarquardt};
use nalgebra::storage::Owned;
use nalgebra::{Dyn, Matrix, OMatrix, OVector, U2, Vector2};

/// Valleys of the grid from which the fit is tried, and those of the trials that go on.
const STARTS_MAX: usize = 10;
const DESCENTS: usize = 2;

/// Evaluations, in threes: of a trial and of a whole descent.
const TRIAL_PATIENCE: usize = 8;
const PATIENCE: usize = 60;

/// A step that lowers the squared residual by less than this part is the last: beyond any digit that is reported.
const TOLERANCE: f64 = 1e-10;

/// The same for a curve whose residual is only compared with that of another to its third digit.
const ROUGH_TOLERANCE: f64 = 1e-6;

/// Places between the points where a curve may bend at the start.
const BENDS: usize = 24;

/// And outside of them, in widths. At the farthest a curve is all but exponential, which is where some fits go to.
const OUTSIDE: [f64; 3] = [1.0, 4.0, 12.0];

/// As far as a bend may go: a curve is exponential to the seventh digit, and its height has digits left.
const OUTSIDE_MAX: f64 = 16.0;

/// As narrow as a bend may be, in the range that holds nine tenths of the rows. From a tenth to nine tenths of its height a
/// logistic takes 4.4 widths, so at this width it rises over a fifth of the scores: what rises faster is a step that a handful of
/// pictures decide (unbounded, half of all five-parameter fits ended within a 200th of the range).
pub(super) const WIDTH_MIN: f64 = 0.05;

/// As wide as a bend may be, in the range of the points: a parabola or a cubic to the fourth digit.
const WIDTH_MAX: f64 = 10.0;

/// How wide the bend may be at the start: parts of the range that holds nine tenths of the points.
const WIDTHS: [f64; 6] = [0.05, 0.1, 0.25, 0.6, 1.5, 4.0];

/// Of a bend in widths, and of a width in itself: a step over which a steepness is differentiated.
const DIFFERENCE: f64 = 1e-5;

/// A bend that is this near to a straight line cannot be told from the line beside it.
const STRAIGHT_SHARE: f64 = 1e-12;

/// What is fitted: in the order of x, with weighted means of 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Points {
    pub(super) x: Vec<f64>,
    pub(super) y: Vec<f64>,
    /// Rows that a point stands for.
    pub(super) weight: Vec<f64>,
    /// The least width of a bend.
    pub(super) width_min: f64,
}

/// low + (high - low) * s((x - bend) / width) + slope * x, with s(t) = 1 / (1 + exp(-t)).
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve {
    pub(super) bend: f64,
    pub(super) width: f64,
    /// Where s is 0.
    pub(super) low: f64,
    /// Where s is 1.
    pub(super) high: f64,
    /// `high - low`: near to infinity it has digits that the two have lost.
    pub(super) height: f64,
    pub(super) slope: f64,
    /// Whether a descent to it ended at a least residual.
    pub(super) converged: bool,
}

impl Points {
    /// About `most` points, neighbours averaged by weight.
    pub(super) fn averaged(&self, most: usize) -> Points {
        let size = self.x.len().div_ceil(most);
        let mut points = Points { width_min: self.width_min, ..Points::default() };
        for from in (0..self.x.len()).step_by(size) {
            let part = from..(from + size).min(self.x.len());
            let weights = &self.weight[part.clone()];
            let weight: f64 = weights.iter().sum();
            let mean = |values: &[f64]| values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / weight;
            points.x.push(mean(&self.x[part.clone()]));
            points.y.push(mean(&self.y[part]));
            points.weight.push(weight);
        }
        points
    }

    /// The range that holds nine tenths of the rows; all of it where that is one value.
    pub(super) fn usual_range(&self) -> f64 {
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

    /// The best curve, with a straight line beside the bend where it is `sloped`. There are at least two points.
    pub(super) fn best_curve(&self, sloped: bool) -> Curve {
        let starts = self.starts(sloped).into_iter();
        let mut tried: Vec<Fitted<'_>> = starts.map(|start| start.descend(TOLERANCE, TRIAL_PATIENCE)).collect();
        tried.sort_by(|a, b| a.residual.total_cmp(&b.residual));
        let descents = tried.into_iter().take(DESCENTS).map(|trial| trial.descend(TOLERANCE, PATIENCE));
        let best = descents.min_by(|a, b| a.residual.total_cmp(&b.residual)).expect("a grid has a lowest point");
        best.curve
    }

    /// The best curve near to one that is best on other points.
    pub(super) fn best_curve_near(&self, curve: &Curve, sloped: bool) -> Curve {
        Fitted::new(self, sloped, curve.bend, curve.width).descend(TOLERANCE, PATIENCE).curve
    }

    /// The same where a few digits of the residual are enough.
    pub(super) fn good_curve_near(&self, curve: &Curve, sloped: bool) -> Curve {
        Fitted::new(self, sloped, curve.bend, curve.width).descend(ROUGH_TOLERANCE, PATIENCE).curve
    }

    /// The valleys of a grid over bend and width: points with no better one beside them, best first.
    fn starts(&self, sloped: bool) -> Vec<Fitted<'_>> {
        let quantile = |share: f64| self.x[(share * (self.x.len() - 1) as f64).round() as usize];
        let range = quantile(0.95) - quantile(0.05);
        let range = if range > 0.0 { range } else { quantile(1.0) - quantile(0.0) };
        let row = |share: f64| {
            let width = share * range;
            self.bends(width).map(|bend| Fitted::new(self, sloped, bend, width)).collect()
        };
        let grid: Vec<Vec<Fitted<'_>>> = WIDTHS.map(row).into();
        let is_valley = |i: usize, j: usize| {
            let beside = &grid[i.saturating_sub(1)..(i + 2).min(grid.len())];
            let mut around = beside.iter().flat_map(|row| &row[j.saturating_sub(1)..(j + 2).min(row.len())]);
            around.all(|other| grid[i][j].residual <= other.residual)
        };
        let all = (0..grid.len()).flat_map(|i| (0..grid[i].len()).map(move |j| (i, j)));
        let mut starts: Vec<Fitted<'_>> =
            all.filter(|&(i, j)| is_valley(i, j)).map(|(i, j)| grid[i][j].clone()).collect();
        starts.sort_by(|a, b| a.residual.total_cmp(&b.residual));
        starts.truncate(STARTS_MAX);
        starts
    }

    /// In order: before the points, between them, after them.
    fn bends(&self, width: f64) -> impl Iterator<Item = f64> {
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

/// The best curve of a bend and a width, with what its neighbours in the descent are made of.
#[derive(Clone)]
struct Fitted<'a> {
    points: &'a Points,
    sloped: bool,
    curve: Curve,
    /// Whether the bend is as far out as it may be.
    is_bound: bool,
    /// s, or s - 1, at each point, less its mean.
    step: Vec<f64>,
    /// s (1 - s) at each point.
    steep: Vec<f64>,
    /// Which curves of this bend and width the labels leave.
    rise: Rise,
    /// Weighted sums of squares and products of `step` and x.
    step_step: f64,
    step_x: f64,
    x_x: f64,
    /// Weighted sum of squares.
    residual: f64,
}

/// Which height and slope keep a curve rising: height * steepness + slope is not negative where the step is least steep nor
/// where it is steepest.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rise {
    /// The nearest curve rises by itself.
    Free,
    /// The slope is this times the height, less than nothing: the curve is level where the step is least, or most, steep.
    Bound(Place),
    /// No curve rises with the labels.
    Level,
}

/// Where within the points.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    LeastSteep,
    Steepest,
}

impl<'a> Fitted<'a> {
    fn new(points: &'a Points, sloped: bool, bend: f64, width: f64) -> Fitted<'a> {
        let Points { x, y, weight, .. } = points;
        let (first, last) = (x[0], x[x.len() - 1]);
        let width = width.clamp(points.width_min, WIDTH_MAX * (last - first));
        let outside = OUTSIDE_MAX * width;
        let bend = bend.clamp(first - outside, last + outside);
        let is_bound = bend == first - outside || bend == last + outside;
        // s, or s - 1: what is small where the points mostly lie, so that it has all its digits.
        let mirrored = bend < 0.0;
        let side = if mirrored { -1.0 } else { 1.0 };
        let part = |x: &f64| {
            let e = (side * (bend - x) / width).exp();
            if e.is_finite() { (side / (1.0 + e), e / ((1.0 + e) * (1.0 + e))) } else { (0.0, 0.0) }
        };
        let (mut step, steep): (Vec<f64>, Vec<f64>) = x.iter().map(part).unzip();
        let total: f64 = weight.iter().sum();
        let mean = weighted(weight, &step, &vec![1.0; x.len()]) / total;
        step.iter_mut().for_each(|step| *step -= mean);
        let curve = Curve { bend, width, low: 0.0, high: 0.0, height: 0.0, slope: 0.0, converged: false };
        let (step_step, step_x) = (weighted(weight, &step, &step), weighted(weight, &step, x));
        let x_x = weighted(weight, x, x);
        let rise = Rise::Free;
        let mut fitted =
            Fitted { points, sloped, curve, is_bound, step, steep, rise, step_step, step_x, x_x, residual: 0.0 };
        fitted.rise = fitted.rise_of(y);
        let (height, slope) = fitted.linear_fit(y);
        let (low, high) = if mirrored { (-1.0 - mean, -mean) } else { (-mean, 1.0 - mean) };
        fitted.curve = Curve { low: height * low, high: height * high, height, slope, ..fitted.curve };
        fitted.residual = fitted.residuals_of(y, height, slope).map(|residual| residual * residual).sum();
        fitted
    }

    /// Height and slope that come nearest to `values`, of those that the rise leaves.
    fn linear_fit(&self, values: &[f64]) -> (f64, f64) {
        match self.rise {
            Rise::Free => self.free_fit(values),
            Rise::Bound(place) => {
                let steepness = self.steepness(place, self.curve.bend, self.curve.width);
                let (height, _) = self.bound_fit(values, steepness);
                (height, -steepness * height)
            }
            Rise::Level => (0.0, 0.0),
        }
    }

    fn free_fit(&self, values: &[f64]) -> (f64, f64) {
        let step_v = weighted(&self.points.weight, &self.step, values);
        let x_v = weighted(&self.points.weight, &self.points.x, values);
        let unlike = self.step_step * self.x_x - self.step_x * self.step_x;
        if self.sloped && unlike > STRAIGHT_SHARE * self.step_step * self.x_x {
            let height = (step_v * self.x_x - x_v * self.step_x) / unlike;
            (height, (x_v * self.step_step - step_v * self.step_x) / unlike)
        } else if self.sloped {
            (0.0, x_v / self.x_x)
        } else if self.step_step > f64::MIN_POSITIVE {
            (step_v / self.step_step, 0.0)
        } else {
            (0.0, 0.0)
        }
    }

    /// The height of a curve whose slope is `steepness` times that, downwards; and by how much it lowers the residual.
    fn bound_fit(&self, values: &[f64], steepness: f64) -> (f64, f64) {
        let product = weighted(&self.points.weight, &self.step, values)
            - steepness * weighted(&self.points.weight, &self.points.x, values);
        let square = self.step_step - 2.0 * steepness * self.step_x + steepness * steepness * self.x_x;
        // What is left of nearly equal sums is rounding: such a curve is level.
        let is_level = square <= STRAIGHT_SHARE * (self.step_step + steepness * steepness * self.x_x);
        if is_level { (0.0, 0.0) } else { (product / square, product * product / square) }
    }

    /// Of the step, in its height for a unit of x.
    fn steepness(&self, place: Place, bend: f64, width: f64) -> f64 {
        let x = &self.points.x;
        let at = |x: f64| {
            let e = (-((x - bend) / width).abs()).exp();
            e / ((1.0 + e) * (1.0 + e)) / width
        };
        let (first, last) = (x[0], x[x.len() - 1]);
        match place {
            // It has one top, so it is least at an end.
            Place::LeastSteep => at(first).min(at(last)),
            Place::Steepest => at(bend.clamp(first, last)),
        }
    }

    fn rise_of(&self, y: &[f64]) -> Rise {
        let (height, slope) = self.free_fit(y);
        if !self.sloped {
            return if height > 0.0 { Rise::Free } else { Rise::Level };
        }
        let Curve { bend, width, .. } = self.curve;
        let [least, most] = [Place::LeastSteep, Place::Steepest].map(|place| self.steepness(place, bend, width));
        if height * least + slope >= 0.0 && height * most + slope >= 0.0 {
            return Rise::Free;
        }
        let (up, lowers_up) = self.bound_fit(y, least);
        let (down, lowers_down) = self.bound_fit(y, most);
        // Level at the least steep place, a curve rises elsewhere if it goes up there, and the other way round.
        match (up > 0.0, down < 0.0) {
            (true, true) if lowers_up < lowers_down => Rise::Bound(Place::Steepest),
            (true, _) => Rise::Bound(Place::LeastSteep),
            (false, true) => Rise::Bound(Place::Steepest),
            (false, false) => Rise::Level,
        }
    }

    /// Of values with a mean of 0, less their linear fit: weighted.
    fn residuals_of(&self, values: &[f64], height: f64, slope: f64) -> impl Iterator<Item = f64> {
        let rows = values.iter().zip(&self.step).zip(&self.points.x).zip(&self.points.weight);
        rows.map(move |(((value, step), x), weight)| (value - height * step - slope * x) * weight.sqrt())
    }

    fn descend(self, tolerance: f64, patience: usize) -> Fitted<'a> {
        let method = LevenbergMarquardt::new().with_tol(tolerance).with_patience(patience);
        let (mut fitted, report) = method.minimize(self);
        fitted.curve.converged = report.termination.was_successful();
        fitted
    }
}

fn weighted(weight: &[f64], a: &[f64], b: &[f64]) -> f64 {
    weight.iter().zip(a).zip(b).map(|((weight, a), b)| weight * a * b).sum()
}

/// Over the bend and the logarithm of the width.
impl LeastSquaresProblem<f64, Dyn, U2> for Fitted<'_> {
    type ResidualStorage = Owned<f64, Dyn>;
    type JacobianStorage = Owned<f64, Dyn, U2>;
    type ParameterStorage = Owned<f64, U2>;

    fn set_params(&mut self, parameters: &Vector2<f64>) {
        *self = Fitted::new(self.points, self.sloped, parameters[0], parameters[1].exp());
    }

    fn params(&self) -> Vector2<f64> {
        Vector2::new(self.curve.bend, self.curve.width.ln())
    }

    fn residuals(&self) -> Option<OVector<f64, Dyn>> {
        let residuals = self.residuals_of(&self.points.y, self.curve.height, self.curve.slope);
        Some(OVector::<f64, Dyn>::from_iterator(self.points.x.len(), residuals))
    }

    /// The curve's own slopes, less what height, level and slope take back (Kaufman 1975).
    fn jacobian(&self) -> Option<OMatrix<f64, Dyn, U2>> {
        let Points { x, weight, .. } = self.points;
        let Curve { bend, width, height, .. } = self.curve;
        let total: f64 = weight.iter().sum();
        let column = |slope: &dyn Fn(f64, f64) -> f64| {
            let mut slopes: Vec<f64> = x.iter().zip(&self.steep).map(|(&x, &steep)| slope(x, steep)).collect();
            let mean = weighted(weight, &slopes, &vec![1.0; x.len()]) / total;
            slopes.iter_mut().for_each(|slope| *slope -= mean);
            let (height, slope) = self.linear_fit(&slopes);
            OVector::<f64, Dyn>::from_iterator(x.len(), self.residuals_of(&slopes, height, slope))
        };
        // How the slope follows the bend and the logarithm of the width where the rise binds it.
        let follows = |bend_by: f64, width_by: f64| match self.rise {
            Rise::Bound(place) => {
                let at = |by: f64| self.steepness(place, bend + by * bend_by, width * (by * width_by).exp());
                (at(1.0) - at(-1.0)) / 2.0
            }
            Rise::Free | Rise::Level => 0.0,
        };
        let by_bend_follows = follows(DIFFERENCE * width, 0.0) / (DIFFERENCE * width);
        let by_width_follows = follows(0.0, DIFFERENCE) / DIFFERENCE;
        // Of the residual y - curve.
        let by_bend =
            column(&|x, steep| if self.is_bound { 0.0 } else { height * (steep / width + by_bend_follows * x) });
        let by_width = column(&|x, steep| height * (steep * (x - bend) / width + by_width_follows * x));
        Some(Matrix::from_columns(&[by_bend, by_width]))
    }
}
