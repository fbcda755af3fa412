//! Pearson's correlation and the root of the mean squared error.

/// Pearson's correlation. Right also where the values are large beside their differences, such as 10⁹ + 0.001.
///
/// # Panics
/// Where a value is NaN or the lengths differ.
pub fn plcc(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "columns of one table");
    let (unit_x, unit_y) = (Unit::of(x), Unit::of(y));
    let mut moments = Moments::default();
    for (&x, &y) in x.iter().zip(y) {
        moments.add(unit_x.of_value(x), unit_y.of_value(y));
    }
    moments.plcc()
}

/// The root of the mean squared difference; in the columns' unit, which should be one.
///
/// # Panics
/// Where the lengths differ.
pub fn rmse(x: &[f64], y: &[f64]) -> Option<f64> {
    assert_eq!(x.len(), y.len(), "columns of one table");
    let sum: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
    (!x.is_empty()).then(|| (sum / x.len() as f64).sqrt())
}

/// A column's origin and size: in these units its values lie around 0 and within -1 to 1, whatever they were, so squares
/// neither overflow nor vanish.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    /// A value of the column: differences to it are exact where values are near to each other.
    first: f64,
    /// Mean difference to it.
    pub(super) mean: f64,
    /// The largest distance to the mean; 1 for a column that is constant.
    pub(super) scale: f64,
}

impl Unit {
    pub(super) fn of(values: &[f64]) -> Unit {
        assert!(!values.iter().any(|value| value.is_nan()), "a value is NaN");
        let first = values.first().copied().unwrap_or(0.0);
        let mean = values.iter().map(|value| value - first).sum::<f64>() / values.len().max(1) as f64;
        let largest = values.iter().map(|value| (value - first - mean).abs()).fold(0.0, f64::max);
        Unit { first, mean, scale: if largest > 0.0 { largest } else { 1.0 } }
    }

    pub(super) fn of_value(&self, value: f64) -> f64 {
        (value - self.first - self.mean) / self.scale
    }

    /// The value that lies at 0.
    pub(super) fn centre(&self) -> f64 {
        self.first + self.mean
    }
}

/// Weighted sums over the rows of two columns, each in a unit of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// Sum of the weights.
    pub n: f64,
    /// Sum of x.
    pub x: f64,
    /// Sum of y.
    pub y: f64,
    /// Sum of x squared.
    pub xx: f64,
    /// Sum of y squared.
    pub yy: f64,
    /// Sum of the products.
    pub xy: f64,
}

/// Below this share of a sum of squares, what is left after subtracting the mean's part is rounding: the side is constant.
const CONSTANT_SHARE: f64 = 1e-13;

impl Moments {
    pub(super) fn add(&mut self, x: f64, y: f64) {
        self.add_all(&Moments { n: 1.0, x, y, xx: x * x, yy: y * y, xy: x * y }, 1.0);
    }

    pub(super) fn add_all(&mut self, other: &Moments, weight: f64) {
        self.n += weight * other.n;
        self.x += weight * other.x;
        self.y += weight * other.y;
        self.xx += weight * other.xx;
        self.yy += weight * other.yy;
        self.xy += weight * other.xy;
    }

    /// Pearson's correlation; None if a side is constant.
    pub fn plcc(&self) -> Option<f64> {
        let about_mean = |squares: f64, sum: f64| {
            let rest = squares - sum * sum / self.n;
            (rest > CONSTANT_SHARE * squares).then_some(rest)
        };
        let scale = about_mean(self.xx, self.x)?.sqrt() * about_mean(self.yy, self.y)?.sqrt();
        Some(((self.xy - self.x * self.y / self.n) / scale).clamp(-1.0, 1.0))
    }
}
